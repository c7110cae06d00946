//! Sockets that are there already: the application's own, and a service manager's.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};

use sockeye::server::Listener;
use sockeye::server::listen::LocalAddr;
use sockeye::server::observe::ErrorCause;

use super::{Place, builder, failure, serve, unix};
use harness::handshake::upgrade;
use harness::net::{Peer, Probe};

#[test]
fn a_listener_of_std_is_taken_as_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (server, _) = serve([Listener::from_std(listener)]);
    assert_eq!(server.address, address);
    let mut peer = server.open();
    let own = peer.stream().local_addr().unwrap();
    assert_eq!(peer.ask(""), format!("{own} 127.0.0.1"));
}

#[test]
fn a_unix_listener_of_std_is_taken_and_its_file_left() {
    let place = Place::new("handed");
    let listener = UnixListener::bind(place.socket()).unwrap();
    let (server, addresses) = serve([Listener::from_std_unix(listener)]);
    assert_eq!(addresses, [LocalAddr::Unix(place.socket())]);
    unix(&place.socket()).upgrade(&upgrade());
    drop(server);
    assert!(place.socket().exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_socket_that_does_not_listen_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let error = failure([Listener::from_std(OwnedFd::from(connected).into())]);
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// Whoever else has a socket can end it.
#[cfg(target_os = "linux")]
#[test]
fn a_listener_that_fails_holds_up_no_other() {
    let broken = TcpListener::bind("127.0.0.1:0").unwrap();
    let clone = broken.try_clone().unwrap();
    let (server, addresses) = serve([Listener::from_std(broken), Listener::tcp("127.0.0.1:0")]);
    // As a stream it can be shut down.
    let clone = TcpStream::from(OwnedFd::from(clone));
    clone.shutdown(Shutdown::Both).unwrap();
    let failed = || server.handle().stats().errors.count(ErrorCause::Accept);
    while failed() == 0 {
        std::thread::yield_now();
    }
    for _ in 0..100 {
        let mut peer = Peer::connect(addresses[1].tcp().unwrap());
        peer.upgrade(&upgrade());
        peer.ask("served");
    }
}

const ROLE: &str = "SOCKEYE_TEST_CHILD";

/// The process that is handed its sockets. Without its role it is no test of anything.
#[test]
fn child() {
    if env::var_os(ROLE).is_none() {
        return;
    }
    let listeners = Listener::from_systemd().unwrap();
    let names: Vec<_> = listeners
        .iter()
        .map(|it| it.name().unwrap_or("-"))
        .collect();
    println!("\nnames {}", names.join(" "));
    if listeners.is_empty() {
        return;
    }
    assert!(Listener::from_systemd().unwrap().is_empty(), "once");
    assert!(env::var_os("LISTEN_FDS").is_none());
    let (stop, _) = Probe::new(|socket, _, _| socket.handle().shut_down());
    let server = builder().route("/stop", stop).listen_on(listeners);
    server.unwrap().run().unwrap();
    println!("\nstopped");
}

/// Starts the child with these sockets as its descriptors 3 and 4. `variables` is the shell's,
/// which becomes the child.
fn hand_in(variables: &str, tcp: OwnedFd, unix: OwnedFd) -> (Child, impl Iterator<Item = String>) {
    let script = format!(
        "exec 3<&0 4<&2 0</dev/null 2>&1; export {variables}; exec \"$0\" --exact listeners::handed_in::child --nocapture"
    );
    let mut child = Command::new("sh")
        .args(["-c", &script])
        .arg(env::current_exe().unwrap())
        .env(ROLE, "1")
        .stdin(tcp)
        .stderr(unix)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines.map(Result::unwrap))
}

fn sockets(place: &Place) -> (TcpListener, UnixListener) {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    (tcp, UnixListener::bind(place.socket()).unwrap())
}

#[test]
fn sockets_that_systemd_hands_in_are_served_in_their_order_and_by_name() {
    let place = Place::new("systemd");
    let (tcp, unix_listener) = sockets(&place);
    let address = tcp.local_addr().unwrap();
    let variables = "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=http:local";
    let (mut child, mut lines) = hand_in(variables, tcp.into(), unix_listener.into());
    assert!(lines.any(|it| it == "names http local"));
    Peer::connect(address).upgrade(&upgrade());
    let mut peer = unix(&place.socket());
    peer.upgrade(&upgrade().target("/stop"));
    peer.say("");
    peer.expect_close(1001);
    drop(peer);
    assert!(lines.any(|it| it == "stopped"));
    assert!(child.wait().unwrap().success());
    assert!(place.socket().exists(), "it is systemd's");
}

/// As for a process that was started by the one they were meant for.
#[test]
fn sockets_that_are_handed_to_another_process_are_not_taken() {
    let place = Place::new("another");
    for variables in ["LISTEN_PID=1 LISTEN_FDS=2", "LISTEN_FDS=2", "LISTEN_PID=$$"] {
        let (tcp, unix) = sockets(&place);
        let (mut child, mut lines) = hand_in(variables, tcp.into(), unix.into());
        assert!(lines.any(|it| it == "names "), "{variables}");
        lines.for_each(drop);
        assert!(child.wait().unwrap().success());
        fs::remove_file(place.socket()).unwrap();
    }
}
