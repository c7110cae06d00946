//! The example `echo_server` as a process: what it prints, how it stops and what it refuses.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};

use harness::handshake::{plain, upgrade};
use harness::net::Peer;
use harness::program::example;
use harness::sansio::{BINARY, CLOSE, TEXT, close_payload};

use super::Example;

const NAME: &str = "echo_server";

fn refused(options: &[&str]) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(example(NAME)).args(options).output().unwrap();
    assert!(!status.success() && status.code().is_some(), "{options:?}");
    assert!(stdout.is_empty());
    String::from_utf8(stderr).unwrap()
}

#[test]
fn it_echoes_serves_a_page_and_stops_cleanly_when_told() {
    for signal in ["-TERM", "-INT"] {
        let mut example = Example::start(NAME, &[]);
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

/// A client that doesn't answer its Close keeps a stop waiting for its deadline.
#[test]
fn a_second_interrupt_ends_it_at_once() {
    let mut example = Example::start(NAME, &[]);
    let mut peer = Peer::connect(example.address);
    peer.upgrade(&upgrade().target("/"));
    example.signal("-INT");
    peer.expect_close(1001);
    example.signal("-INT");
    peer.expect_end();
    let status = example.child.wait().unwrap();
    assert_eq!(status.signal(), Some(2), "{status}");
}

#[test]
fn the_longest_message_is_echoed_and_a_longer_one_refused() {
    let example = Example::start(NAME, &["--max-message", "2000000", "--workers", "2"]);
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
    let example = Example::start(NAME, &[]);
    let stderr = refused(&["--listen", &example.address.to_string()]);
    assert!(stderr.contains("echo_server: "), "{stderr}");
}
