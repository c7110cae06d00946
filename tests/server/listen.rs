//! Where a server listens, and how it stops with many peers: docs/cases.md E7.

use core::time::Duration;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread;

use harness::handshake::{plain, upgrade};
use harness::net::{GUARD, How, Peer, Probe, Running, Told, patient, serve};
use harness::sansio::{CLOSE, close_payload};
use sockeye::Error;
use sockeye::server::{HandleError, Server};

#[test]
fn a_server_listens_on_ipv6_and_tells_the_clients_address() {
    // Where the machine has none there is nothing to test.
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let (probe, _) = Probe::new(|socket, _, _| {
        let addresses = format!("{} {}", socket.peer_addr(), socket.client_ip());
        let _ = socket.send(&*addresses);
    });
    let builder = Server::builder().config(patient()).route("/chat", probe);
    let server = builder.listen("[::1]:0").unwrap();
    let (address, handle) = (server.local_addr(), server.handle());
    assert!(address.is_ipv6() && address.port() != 0);
    let running = thread::spawn(move || server.run());
    let stream = TcpStream::connect(address).unwrap();
    let own = stream.local_addr().unwrap();
    let mut peer = Peer::new(stream);
    peer.upgrade(&upgrade());
    assert_eq!(peer.ask("who am I?"), format!("{own} ::1"));
    peer.close();
    handle.shut_down();
    running.join().unwrap().unwrap();
}

#[test]
fn a_free_port_is_told_and_one_that_is_taken_is_an_error() {
    let first = Server::builder().listen("127.0.0.1:0").unwrap();
    let second = Server::builder().listen("127.0.0.1:0").unwrap();
    assert_ne!(first.local_addr().port(), 0);
    assert_ne!(first.local_addr(), second.local_addr());
    let taken = Server::builder().listen(first.local_addr());
    assert!(matches!(taken, Err(Error::Io(_))), "{taken:?}");
}

/// E7.
#[test]
fn a_server_that_stops_says_1001_to_hundreds_and_accepts_no_more() {
    const PEERS: usize = 300;
    let (mut server, watch) = serve(patient(), Probe::echo());
    let mut peers: Vec<Peer> = (0..PEERS).map(|_| server.open()).collect();
    server.shut_down();
    for peer in &mut peers {
        peer.expect_close(1001);
    }
    // All workers have obeyed by now, and the listener is gone.
    assert!(is_refused(server.address));
    for mut peer in peers {
        peer.send(CLOSE, close_payload(1001, b""));
        peer.expect_eof();
    }
    server.join();
    let told = watch.rest();
    let clean = |it: &&Told| {
        matches!(
            it,
            Told::Close {
                code: 1001,
                how: How::Clean
            }
        )
    };
    assert_eq!(told.iter().filter(clean).count(), PEERS);
}

fn is_refused(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_err()
}

/// E7: a page that is under way is finished.
#[test]
fn a_server_that_stops_finishes_the_pages_that_are_under_way() {
    const SIZE: usize = 32 << 20;
    let (probe, _) = Probe::echo();
    let builder = Server::builder()
        .config(patient())
        .page("/large", "text/plain", vec![b'p'; SIZE])
        .route("/chat", probe);
    let mut server = Running::start(builder);
    let mut reader = server.connect();
    reader.write(plain("GET /large HTTP/1.1").bytes());
    let head = reader.head();
    let mut peer = server.open();
    server.handle().shut_down_within(GUARD);
    // The Close says that the server stops; only then the page is read.
    peer.expect_close(1001);
    assert!(head.starts_with(b"HTTP/1.1 200 "));
    assert!(reader.read(SIZE).iter().all(|it| *it == b'p'));
    reader.expect_eof();
    drop((reader, peer));
    server.join();
}

#[test]
fn threads_that_use_the_handle_of_a_server_that_stops_are_told_and_never_wait() {
    let (mut server, _) = serve(patient(), Probe::echo());
    let peer = server.open();
    let (tell, ids) = channel();
    let list = move |all: Vec<sockeye::server::observe::ConnectionStats>| drop(tell.send(all));
    server.handle().connections(list).unwrap();
    let id = ids.iter().flatten().next().expect("its id").id;
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let handle = server.handle().clone();
            thread::spawn(move || {
                loop {
                    match handle.send(id, "to whom it may concern") {
                        Err(HandleError::Stopped) => return,
                        Ok(()) | Err(_) => thread::yield_now(),
                    }
                }
            })
        })
        .collect();
    server.handle().shut_down_within(Duration::ZERO);
    server.join();
    for thread in threads {
        thread.join().unwrap();
    }
    drop(peer);
}
