//! A server that takes no new clients: it stops accepting, and drains. Over real sockets, on two
//! workers, also where one of them is held by its handler: docs/cases.md E7, O9, O10.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use harness::handshake::{plain, upgrade};
use harness::net::{GUARD, Peer, Probe, Running, patient};
use harness::sansio::{CLOSE, close_payload};
use sockeye::proto::CloseCode;
use sockeye::server::{Builder, Reject, Request, Server};

fn builder(probe: Probe) -> Builder {
    Server::builder()
        .config(patient())
        .workers(NonZeroUsize::new(2).unwrap())
        .readiness("/ready")
        .guard_under("/ready", |_: &Request<'_>| {
            Err(Reject::new(401, "for nobody"))
        })
        .route("/chat", probe)
}

/// A connection on each of the two workers, in the order of these.
fn open(server: &Running) -> [Peer; 2] {
    let mut peers = BTreeMap::new();
    while peers.len() < 2 {
        let mut peer = server.open();
        let id: u64 = peer.ask("id").parse().unwrap();
        peers.insert(id >> 56, peer);
    }
    peers
        .into_values()
        .collect::<Vec<_>>()
        .try_into()
        .ok()
        .unwrap()
}

fn probe() -> Probe {
    Probe::new(|socket, _, _| {
        let id = socket.id().to_u64().to_string();
        socket.send(&id);
    })
    .0
}

fn ready(peer: &mut Peer) -> u16 {
    peer.write(plain("GET /ready HTTP/1.1").bytes());
    peer.response().status
}

#[track_caller]
fn assert_refused(server: &Running) {
    let refused = TcpStream::connect(server.address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

/// Waits until both workers have done what they were asked.
fn settle(peers: &mut [Peer; 2]) {
    for peer in peers.iter_mut() {
        // The first pong may be of the turn in which the command arrives.
        peer.settle();
        peer.settle();
    }
}

#[test]
fn a_server_that_stops_accepting_keeps_its_connections_and_is_not_ready() {
    let mut server = Running::start(builder(probe()));
    let mut peers = open(&server);
    let mut check = server.connect();
    assert_eq!(ready(&mut check), 200);
    assert!(server.handle().is_ready() && server.handle().is_accepting());
    server.handle().stop_accepting();
    assert!(!server.handle().is_ready() && !server.handle().is_accepting());
    settle(&mut peers);
    assert_refused(&server);
    // Of the connections that it has, none notices.
    assert_eq!(ready(&mut check), 503);
    check.upgrade(&upgrade());
    for peer in peers.iter_mut().chain([&mut check]) {
        peer.ask("still here?");
    }
    server.handle().stop_accepting();
    settle(&mut peers);
    for peer in peers {
        peer.close();
    }
    check.close();
    server.shut_down();
    server.join();
    assert!(!server.handle().is_ready());
}

#[test]
fn who_has_connected_before_the_listeners_close_is_served() {
    let server = builder(probe()).listen("127.0.0.1:0").unwrap();
    // It doesn't run yet: they wait in the kernel.
    let mut waiting: Vec<_> = (0..20)
        .map(|_| Peer::connect(server.local_addr()))
        .collect();
    server.handle().stop_accepting();
    let _server = Running::of(server);
    for peer in &mut waiting {
        peer.upgrade(&upgrade());
        peer.ask("served?");
    }
    waiting.into_iter().for_each(Peer::close);
}

#[test]
fn a_drain_closes_the_connections_of_both_workers_and_stops() {
    let mut server = Running::start(builder(probe()));
    let mut peers = Vec::from(open(&server));
    peers.extend((0..20).map(|_| server.open()));
    server
        .handle()
        .drain(Duration::from_millis(300), CloseCode(4100), "moved");
    for peer in &mut peers {
        let close = peer.frame();
        assert_eq!(close.payload, close_payload(4100, b"moved"));
        peer.send(CLOSE, close_payload(4100, b""));
        peer.expect_eof();
    }
    drop(peers);
    server.join();
    assert_refused(&server);
}

/// What may not be sent is sent as a close without it.
#[test]
fn a_drain_with_a_code_that_may_not_be_sent_closes_with_1000() {
    let mut server = Running::start(builder(probe()));
    let peers = open(&server);
    server.handle().drain(Duration::ZERO, CloseCode(1005), "no");
    for mut peer in peers {
        assert_eq!(peer.frame().payload, close_payload(1000, b""));
        peer.send(CLOSE, close_payload(1000, b""));
        peer.expect_eof();
    }
    server.join();
}

#[test]
fn while_a_handler_holds_its_worker_the_other_one_drains() {
    let (tell, held) = channel();
    let (let_go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (probe, _watch) = Probe::new(move |socket, message, _| {
        if message.as_bytes() == b"hold" {
            tell.send(()).unwrap();
            let _ = wait.lock().unwrap().recv();
        }
        let id = socket.id().to_u64().to_string();
        socket.send(&id);
    });
    let mut server = Running::start(builder(probe));
    let [mut holding, mut other] = open(&server);
    holding.say("hold");
    held.recv_timeout(GUARD).unwrap();
    server
        .handle()
        .drain(Duration::from_millis(50), CloseCode(4100), "moved");
    other.expect_close(4100);
    other.send(CLOSE, close_payload(4100, b""));
    other.expect_eof();
    // It has yet to close its listeners, so this one gets in, and isn't left hanging.
    let late = TcpStream::connect(server.address).map(Peer::new);
    let_go.send(()).unwrap();
    holding.hear();
    holding.expect_close(4100);
    holding.send(CLOSE, close_payload(4100, b""));
    holding.expect_eof();
    late.unwrap().expect_end();
    drop((holding, other));
    server.join();
}
