//! The example `echo_server` as a process: what it prints, how it stops and what it refuses.
#![cfg(all(unix, feature = "server"))]

mod handshake_util;
mod net;
mod util;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use handshake_util::{plain, upgrade};
use net::Peer;
use util::{BINARY, CLOSE, TEXT, close_payload};

/// The example that was built with this test: `target/…/examples` beside `target/…/deps`.
fn path() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    path.join("echo_server")
}

/// A running example, killed if its test fails.
struct Example {
    child: Child,
    address: SocketAddr,
}

impl Example {
    fn start(options: &[&str]) -> Self {
        let mut child = Command::new(path())
            .args(["--listen", "127.0.0.1:0"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .expect("cargo builds the examples with the tests");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").expect(&line);
        let address: SocketAddr = address.parse().unwrap();
        assert_ne!(address.port(), 0);
        Self { child, address }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Its exit code. It has been told to stop.
    fn code(&mut self) -> Option<i32> {
        // Standard output ends with the process.
        let mut rest = String::new();
        let stdout = self.child.stdout.as_mut().unwrap();
        stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn refused(options: &[&str]) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(path()).args(options).output().unwrap();
    assert!(!status.success() && status.code().is_some(), "{options:?}");
    assert!(stdout.is_empty());
    String::from_utf8(stderr).unwrap()
}

#[test]
fn it_echoes_serves_a_page_and_stops_cleanly_when_told() {
    for signal in ["-TERM", "-INT"] {
        let mut example = Example::start(&[]);
        let mut peer = Peer::connect(example.address);
        peer.write(plain("GET / HTTP/1.1").bytes());
        assert_eq!(peer.response().status, 200);
        peer.upgrade(&upgrade().target("/"));
        peer.send(TEXT, "hello");
        peer.expect(TEXT, "hello");
        example.signal(signal);
        peer.expect_close(1001);
        peer.send(CLOSE, close_payload(1001, b""));
        peer.expect_eof();
        drop(peer);
        assert_eq!(example.code(), Some(0), "{signal}");
    }
}

#[test]
fn the_longest_message_is_echoed_and_a_longer_one_refused() {
    let example = Example::start(&["--max-message", "2000000", "--workers", "2"]);
    let mut peer = Peer::connect(example.address);
    peer.upgrade(&upgrade().target("/any/path"));
    let message = vec![5; 2_000_000];
    peer.send(BINARY, &message);
    peer.expect(BINARY, &message);
    peer.send(BINARY, [5; 2_000_001]);
    peer.expect_close(1009);
}

#[test]
fn bad_options_are_refused_with_what_is_wrong() {
    for (options, text) in [
        (&["--listen"][..], "--listen needs a value"),
        (
            &["--max-message", "many"],
            "--max-message many: not a number",
        ),
        (&["--workers", "0"], "--workers 0: not a number"),
        (&["--port", "1"], "--port: unknown; there are --listen"),
        (&["--listen", "nowhere"], "echo_server: "),
    ] {
        let stderr = refused(options);
        assert!(stderr.contains(text), "{options:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{options:?}: {stderr}");
    }
}

#[test]
fn an_address_in_use_is_refused() {
    let example = Example::start(&[]);
    let stderr = refused(&["--listen", &example.address.to_string()]);
    assert!(stderr.contains("echo_server: "), "{stderr}");
}
