//! Several workers, the [`Handle`] that reaches them from other threads, and upgrades that are
//! decided on another thread, over real sockets: docs/cases.md E3, E7, H12, H23.

use core::time::Duration;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use harness::handshake::{assert_proper_101, upgrade};
use harness::net::{
    GUARD, How, Observed, Peer, Probe, Running, Told, Watch, config, masked_frame, observing,
    patient, serve_with,
};
use harness::sansio::{CLOSE, TEXT, close_payload};
use sockeye::proto::{CloseCode, Config};
use sockeye::server::observe::HandshakeFailure;
use sockeye::server::route::{Accepted, Deferred};
use sockeye::server::{ConnectionId, Handle, HandleError, Reject, Route, Server};

fn many(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// A server with these workers; a message is answered with the connection's id and the name of
/// its thread.
fn serve(workers: usize) -> (Running, Watch) {
    serve_with(
        |it| it.config(patient()).workers(many(workers)),
        Probe::new(|socket, _, _| {
            let thread = thread::current();
            let text = format!(
                "{} {}",
                socket.id().to_u64(),
                thread.name().unwrap_or("first")
            );
            let _ = socket.send(&*text);
        }),
    )
}

/// An open connection and its id.
fn open(server: &Running) -> (Peer, ConnectionId) {
    let mut peer = server.open();
    let answer = peer.ask("who am I?");
    let (id, _) = answer.split_once(' ').unwrap();
    (peer, ConnectionId::from_u64(id.parse().unwrap()))
}

/// What each worker answers to [`Handle::connections`]: the ids of its connections.
fn connections(handle: &Handle, workers: usize) -> Vec<Vec<ConnectionId>> {
    let (tell, told) = channel();
    handle
        .connections(move |all| {
            let _ = tell.send(all.iter().map(|it| it.id).collect());
        })
        .unwrap();
    let all: Vec<_> = (0..workers)
        .map(|_| told.recv_timeout(GUARD).expect("each worker answers"))
        .collect();
    assert!(told.recv_timeout(GUARD).is_err(), "once");
    all
}

#[test]
fn each_worker_lists_the_connections_that_it_has() {
    let (server, _) = serve(4);
    let peers: Vec<_> = (0..20).map(|_| open(&server)).collect();
    assert_eq!(server.handle().connection_count(), 20);
    let listed = connections(server.handle(), 4);
    for (_, id) in &peers {
        assert_eq!(listed.iter().filter(|it| it.contains(id)).count(), 1);
    }
    for ids in listed {
        let workers: BTreeSet<u64> = ids.iter().map(|it| it.to_u64() >> 56).collect();
        assert!(workers.len() <= 1, "{ids:?}");
    }
}

#[test]
fn a_handle_sends_from_several_threads_each_in_its_order() {
    const COUNT: usize = 200;
    let (server, _) = serve(3);
    let mut peers: Vec<_> = (0..6).map(|_| open(&server)).collect();
    thread::scope(|scope| {
        for sender in 0..3 {
            let handle = server.handle();
            let ids: Vec<_> = peers.iter().map(|(_, id)| *id).collect();
            scope.spawn(move || {
                for at in 0..COUNT {
                    for id in &ids {
                        handle.send(*id, &*format!("{sender} {at}")).unwrap();
                    }
                }
            });
        }
        for (peer, _) in &mut peers {
            let mut next = [0; 3];
            for _ in 0..3 * COUNT {
                let text = peer.hear();
                let (sender, at) = text.split_once(' ').unwrap();
                let next = &mut next[sender.parse::<usize>().unwrap()];
                assert_eq!(at.parse(), Ok(*next));
                *next += 1;
            }
        }
    });
}

#[test]
fn a_handle_closes_and_terminates_and_tells_what_is_gone() {
    let (server, watch) = serve(2);
    let ((mut closed, first), (mut dropped, second)) = (open(&server), open(&server));
    let handle = server.handle();
    handle.close(first, CloseCode(4001), "enough").unwrap();
    let frame = closed.frame();
    assert_eq!(frame.payload, close_payload(4001, b"enough"));
    closed.send(CLOSE, close_payload(4001, b""));
    closed.expect_eof();
    assert_eq!(watch.close(), (4001, How::Clean));
    handle.terminate(second).unwrap();
    dropped.expect_end();
    assert_eq!(watch.close(), (1006, How::Terminated));
    // A code that may not be sent is 1000.
    let (mut third, id) = open(&server);
    handle.close(id, CloseCode(1005), "no").unwrap();
    assert_eq!(third.frame().payload, close_payload(1000, b""));
    third.send(CLOSE, close_payload(1000, b""));
    third.expect_eof();
    for gone in [first, second] {
        let over = Err(HandleError::Gone);
        assert_eq!(handle.send(gone, "too late"), over);
        assert_eq!(handle.close(gone, CloseCode(4001), ""), over);
        assert_eq!(handle.terminate(gone), over);
        assert_eq!(
            handle.topics("/chat").subscribe(gone, "topic").map(drop),
            over
        );
    }
    // Their workers live.
    assert_eq!(connections(handle, 2).concat(), []);
    assert_eq!(handle.topics("/chat").list(), []);
}

/// None of the queries blocks a worker, also when its own handler asks.
#[test]
fn a_handler_asks_the_handle_everything_and_goes_on() {
    let (tell, listed) = channel();
    let probe = Probe::new(move |socket, _, _| {
        let handle = socket.handle();
        let id = socket.id();
        socket.subscribe("topic").unwrap();
        socket.join_presence("topic", "ann", "", |_| None).unwrap();
        assert_eq!(handle.topics("/chat").subscriber_count("topic"), 1);
        assert_eq!(handle.topics("/chat").subscribers("topic"), [id]);
        assert_eq!(handle.topics("/chat").list(), [("topic".into(), 1)]);
        assert_eq!(handle.topics("/chat").presence_members("topic").len(), 1);
        assert!(handle.topics("/chat").history("topic", 10).is_empty());
        assert_eq!(handle.stats().connections, 1);
        assert_eq!(handle.connection_count(), 1);
        let tell = tell.clone();
        handle
            .connections(move |all| {
                let _ = tell.send(all.len());
            })
            .unwrap();
        handle.send(id, "from the handle").unwrap();
        assert_eq!(
            handle
                .topics("/chat")
                .publish("topic", "published")
                .unwrap()
                .waiting,
            1
        );
        let _ = socket.send("asked");
    });
    let (server, _) = serve_with(|it| it.config(patient()).workers(many(2)), probe);
    let mut peer = server.open();
    // In the order of the calls.
    assert_eq!(peer.ask(""), "from the handle");
    assert_eq!(peer.hear(), "published");
    assert_eq!(peer.hear(), "asked");
    let mut counts: Vec<usize> = (0..2)
        .map(|_| listed.recv_timeout(GUARD).unwrap())
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, [0, 1]);
}

/// E7.
#[test]
fn a_stop_says_1001_to_the_peers_of_all_workers() {
    const COUNT: usize = 200;
    let (mut server, watch) = serve(4);
    let mut peers: Vec<Peer> = (0..COUNT).map(|_| server.open()).collect();
    server.shut_down();
    for peer in &mut peers {
        peer.expect_close(1001);
        peer.send(CLOSE, close_payload(1001, b""));
        peer.expect_eof();
    }
    drop(peers);
    server.join();
    let refused = TcpStream::connect(server.address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let closed = Told::Close {
        code: 1001,
        how: How::Clean,
    };
    let ends = watch.rest().into_iter().filter(|it| *it == closed);
    assert_eq!(ends.count(), COUNT);
}

/// E7: the deadline holds on each worker.
#[test]
fn a_stop_within_a_deadline_drops_the_silent_peers_of_all_workers() {
    let (mut server, watch) = serve(3);
    let mut peers: Vec<Peer> = (0..9).map(|_| server.open()).collect();
    server.handle().shut_down_within(Duration::from_millis(100));
    server.join();
    for peer in &mut peers {
        peer.expect_close(1001);
        peer.expect_end();
    }
    let ends = watch.rest().into_iter();
    let ends = ends.filter(|it| matches!(it, Told::Close { code: 1006, .. }));
    assert_eq!(ends.count(), 9);
}

#[test]
fn a_handle_of_a_stopped_server_answers_stopped() {
    let (mut server, _) = serve(2);
    let (peer, id) = open(&server);
    let unknown = ConnectionId::from_u64(u64::MAX);
    let handle = server.handle().clone();
    assert_eq!(handle.send(unknown, ""), Err(HandleError::Gone));
    server.handle().shut_down_within(Duration::ZERO);
    server.join();
    drop(peer);
    let stopped = Err(HandleError::Stopped);
    assert_eq!(handle.send(id, "too late"), stopped);
    assert_eq!(handle.close(id, CloseCode::NORMAL, ""), stopped);
    assert_eq!(handle.terminate(id), stopped);
    assert_eq!(
        handle.topics("/chat").subscribe(id, "topic").map(drop),
        stopped
    );
    assert_eq!(handle.topics("/chat").unsubscribe(id, "topic"), stopped);
    assert_eq!(handle.connections(|_| {}), stopped);
    // Nobody is subscribed.
    assert_eq!(
        handle
            .topics("/chat")
            .publish("topic", "too late")
            .unwrap()
            .waiting,
        0
    );
    assert_eq!(handle.stats().closes.sum(), 1);
    assert_eq!(handle.connection_count(), 0);
    handle.shut_down();
}

/// What runs a server's first worker is any thread again once that has stopped, whatever of its memory
/// the next server gets.
#[test]
fn a_thread_that_has_run_a_server_reaches_the_next_one() {
    for _ in 0..10 {
        let (probe, _) = Probe::echo();
        let first = Server::builder().workers(many(1)).route("/chat", probe);
        let first = first.listen("127.0.0.1:0").unwrap();
        first.handle().shut_down();
        first.run().unwrap();

        let (server, _) = serve(1);
        let (mut peer, id) = open(&server);
        server.handle().send(id, "from here").unwrap();
        assert_eq!(peer.hear(), "from here");
    }
}

// ---- deferred upgrades ----------------------------------------------------------------------

/// A server whose upgrades are decided by the test; messages are echoed.
fn deferring(config: Config) -> (Running, Receiver<Deferred<()>>, Watch) {
    deferring_on(2, config)
}

fn deferring_on(workers: usize, config: Config) -> (Running, Receiver<Deferred<()>>, Watch) {
    let (tell, asked) = channel();
    let (probe, watch) = Probe::echo();
    let route = Route::deferred("/chat", probe, move |_, upgrade| {
        let _ = tell.send(upgrade);
    });
    let builder = Server::builder()
        .workers(many(workers))
        .config(config)
        .add_route(route);
    (Running::start(builder), asked, watch)
}

/// H12: what comes behind the upgrade waits, in the same segment or in later ones.
#[test]
fn a_deferred_upgrade_is_accepted_from_another_thread_and_then_its_frames_are_read() {
    let (server, asked, watch) = deferring(patient());
    for accept_with_cookie in [false, true] {
        let mut peer = server.connect();
        let request = upgrade().behind(masked_frame(true, TEXT, b"at once"));
        peer.write(request.bytes());
        let upgrade = asked.recv_timeout(GUARD).unwrap();
        let id = upgrade.id();
        for text in ["later", "and later"] {
            peer.say(text);
        }
        assert_eq!(watch.rest(), [], "before it is decided");
        match accept_with_cookie {
            false => upgrade.accept(()),
            true => upgrade.accept(Accepted::new(()).with_header("Set-Cookie", "a=b")),
        }
        let head = peer.head();
        if accept_with_cookie {
            assert!(head.ends_with(b"\r\nSet-Cookie: a=b\r\n\r\n"));
        } else {
            assert_proper_101(&head, harness::handshake::KEY.as_bytes());
        }
        for text in ["at once", "later", "and later"] {
            assert_eq!(peer.hear(), text);
        }
        server.handle().send(id, "the id holds").unwrap();
        assert_eq!(peer.hear(), "the id holds");
        peer.close();
        assert_eq!(watch.next(), Told::Open);
        assert_eq!(watch.close(), (1000, How::Clean));
    }
}

#[test]
fn a_deferred_upgrade_is_refused_by_reject_by_being_dropped_and_by_time() {
    let short = config(|it| it.handshake_timeout = Duration::from_millis(100));
    let (server, asked, watch) = deferring(short);
    let next = || asked.recv_timeout(GUARD).unwrap();
    let mut late = None;
    for status in [401, 500, 503] {
        let mut peer = server.connect();
        peer.write(
            upgrade()
                .behind(masked_frame(true, TEXT, b"never read"))
                .bytes(),
        );
        match status {
            401 => next().reject(Reject::new(401, "who are you?")),
            500 => drop(next()),
            _ => late = Some(next()),
        }
        let answer = peer.response();
        assert_eq!(answer.status, status);
        assert!(answer.has_token("Connection", "close"));
        peer.expect_eof();
    }
    // The decision comes when nobody waits for it.
    late.unwrap().accept(());
    drop(server);
    assert_eq!(watch.rest(), []);
}

/// H23: decided when the client has gone.
#[test]
fn a_deferred_upgrade_whose_client_has_gone_never_opens_and_its_slot_is_free() {
    let (server, asked, watch) = deferring(patient());
    for _ in 0..10 {
        let mut peer = server.connect();
        peer.write(upgrade().bytes());
        let upgrade = asked.recv_timeout(GUARD).unwrap();
        drop(peer);
        upgrade.accept(());
    }
    // It stops at once, so that no session is left.
    drop(server);
    assert_eq!(watch.rest(), []);
}

/// It would never be open, so nothing is kept for it until the application has decided.
#[test]
fn a_deferred_upgrade_ends_as_soon_as_its_client_has_gone() {
    let (tell, asked) = channel();
    let route = Route::deferred("/chat", Probe::echo().0, move |_, upgrade: Deferred<()>| {
        let _ = tell.send(upgrade);
    });
    let (observer, observed) = observing();
    let builder = Server::builder().config(patient());
    let server = Running::start(builder.observer(observer).add_route(route));
    let mut peer = server.connect();
    peer.write(upgrade().bytes());
    let upgrade = asked.recv_timeout(GUARD).unwrap();
    drop(peer);
    let seen = observed.recv_timeout(GUARD).unwrap();
    assert!(
        matches!(seen, Observed::Failed(_, HandshakeFailure::Eof)),
        "{seen:?}"
    );
    upgrade.accept(());
}

/// H23: what was to be said to it is said to nobody else.
#[test]
fn the_answer_to_a_client_that_has_gone_reaches_no_other() {
    let (server, asked, _watch) = deferring_on(1, patient());
    let open = || {
        let mut peer = server.connect();
        peer.write(upgrade().bytes());
        asked.recv_timeout(GUARD).unwrap().accept(());
        peer.head();
        peer
    };
    let mut other = open();
    let mut gone = server.connect();
    gone.write(upgrade().bytes());
    let upgrade = asked.recv_timeout(GUARD).unwrap();
    gone.shut_write();
    // Behind this the end of the stream has been seen.
    other.settle();
    upgrade.accept(());
    gone.expect_end();
    assert_eq!(other.ask("mine"), "mine");
}

#[test]
fn an_undecided_upgrade_does_not_keep_a_server_from_stopping() {
    let (mut server, asked, watch) = deferring(patient());
    let mut peer = server.connect();
    peer.write(upgrade().bytes());
    let upgrade = asked.recv_timeout(GUARD).unwrap();
    server.shut_down();
    assert_eq!(peer.response().status, 503);
    peer.expect_eof();
    drop(peer);
    server.join();
    upgrade.accept(());
    assert_eq!(watch.rest(), []);
}
