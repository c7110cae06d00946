//! The signals of the operating system. SIGINT ends processes, so that its test is with the
//! examples; SIGHUP's is with TLS.

use core::time::Duration;
use std::process::{self, Command};
use std::thread;

use harness::net::{Peer, Probe, Running, patient};
use harness::sansio::{CLOSE, close_payload};
use sockeye::proto::CloseCode;
use sockeye::server::Server;

#[test]
fn sigterm_drains_where_that_is_set() {
    let (probe, _watch) = Probe::echo();
    let mut server = Running::start(
        Server::builder()
            .config(patient())
            .signals()
            .drain_on_term(Duration::from_millis(100), CloseCode(4100), "a new version")
            .route("/chat", probe),
    );
    let mut peers: Vec<Peer> = (0..10).map(|_| server.open()).collect();
    // Signals are heeded before it is.
    while !server.handle().is_ready() {
        thread::yield_now();
    }
    let id = process::id().to_string();
    let kill = Command::new("kill").args(["-TERM", &id]).status();
    assert!(kill.unwrap().success());
    for peer in &mut peers {
        let close = peer.frame();
        assert_eq!(close.payload, close_payload(4100, b"a new version"));
        peer.send(CLOSE, close_payload(4100, b""));
        peer.expect_eof();
    }
    drop(peers);
    server.join();
    assert!(!server.handle().is_accepting());
}
