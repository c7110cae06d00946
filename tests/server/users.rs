//! Users with their connections, and the list of all connections: from handlers and other threads,
//! on two workers.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;

use harness::net::{GUARD, Peer, Probe, Running, Told, Watch, patient};
use harness::sansio::{CLOSE, close_payload};
use sockeye::proto::CloseCode;
use sockeye::server::{Builder, HandleError, Server};

fn builder(probe: Probe) -> Builder {
    Server::builder()
        .config(patient())
        .workers(NonZeroUsize::new(2).unwrap())
        .route("/chat", probe)
}

/// `set NAME` and `replace NAME` are answered with the result, anything else with the user.
fn probe() -> (Probe, Watch) {
    Probe::new(|socket, message, _| {
        let text = message.as_text().unwrap();
        let answer = match text.split_once(' ') {
            Some(("set", name)) => format!("{:?}", socket.set_user(name)),
            Some(("replace", name)) => {
                format!(
                    "{:?}",
                    socket.replace_user(name, CloseCode(4003), "elsewhere")
                )
            }
            _ => format!("{:?}", socket.user()),
        };
        socket.send(&answer);
    })
}

fn serve() -> (Running, Watch) {
    let (probe, watch) = probe();
    (Running::start(builder(probe)), watch)
}

#[test]
fn a_message_to_a_user_reaches_all_of_its_connections_and_no_other() {
    let (server, _watch) = serve();
    let mut anns: Vec<Peer> = (0..10).map(|_| server.open()).collect();
    let mut bob = server.open();
    for peer in &mut anns {
        assert_eq!(peer.ask("set ann"), "Ok(())");
        assert_eq!(peer.ask("who?"), "Some(\"ann\")");
    }
    assert_eq!(bob.ask("set bob"), "Ok(())");
    let handle = server.handle();
    let ids = handle.user_connections("ann");
    let workers: BTreeSet<_> = ids.iter().map(|it| it.to_u64() >> 56).collect();
    assert_eq!((ids.len(), workers.len()), (10, 2));
    assert_eq!(handle.send_to_user("ann", "for ann"), Ok(10));
    assert_eq!(handle.send_to_user("eve", "for nobody"), Ok(0));
    for peer in &mut anns {
        assert_eq!(peer.hear(), "for ann");
    }
    assert_eq!(bob.ask("who?"), "Some(\"bob\")");
    // A connection belongs to one user.
    assert_eq!(anns[0].ask("set bob"), "Ok(())");
    assert_eq!(handle.user_connections("ann").len(), 9);
    assert_eq!(handle.user_connections("bob").len(), 2);
    assert_eq!(anns[0].ask("set "), "Err(Length)");
    assert_eq!(anns[0].ask("who?"), "Some(\"bob\")");
    assert_eq!(handle.close_user("bob", CloseCode(4001), "signed out"), 2);
    for peer in [&mut anns[0], &mut bob] {
        let close = peer.frame();
        assert_eq!(close.payload, close_payload(4001, b"signed out"));
    }
    assert_eq!(anns[1].ask("who?"), "Some(\"ann\")");
    for peer in anns.iter_mut().chain([&mut bob]) {
        peer.stream().shutdown(std::net::Shutdown::Both).unwrap();
    }
}

#[test]
fn a_connection_that_has_ended_belongs_to_nobody() {
    let (server, watch) = serve();
    for _ in 0..3 {
        let mut peer = server.open();
        peer.ask("set ann");
        peer.close();
        watch.close();
    }
    // One more, behind whose opening all of that is done.
    let mut last = server.open();
    last.settle();
    assert_eq!(server.handle().user_connections("ann"), []);
    last.close();
}

#[test]
fn of_connections_that_replace_each_other_at_once_exactly_one_stays() {
    let (server, _watch) = serve();
    for _ in 0..20 {
        let mut peers: Vec<Peer> = (0..8).map(|_| server.open()).collect();
        for peer in &mut peers {
            peer.say("replace ann");
        }
        for peer in &mut peers {
            let answer = peer.hear();
            assert!(answer.starts_with("Ok("), "{answer}");
        }
        // Each worker has been told by now, and has done it behind the first answer.
        let stays = |peer: &mut Peer| {
            let mut answers = (0..2).map(|_| {
                peer.say("who?");
                peer.frame()
            });
            match answers.find(|it| it.opcode == CLOSE) {
                Some(close) => {
                    assert_eq!(close.payload, close_payload(4003, b"elsewhere"));
                    false
                }
                None => true,
            }
        };
        let stays = peers.iter_mut().map(stays).filter(|it| *it).count();
        assert_eq!(stays, 1);
        assert_eq!(server.handle().user_connections("ann").len(), 1);
        for peer in &mut peers {
            peer.stream().shutdown(std::net::Shutdown::Both).unwrap();
        }
    }
}

/// A worker that is held by its handler has no room: nobody gets the message.
#[test]
fn a_message_to_a_user_is_sent_to_all_or_none() {
    let (tell, held) = channel();
    let (let_go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (probe, _watch) = Probe::new(move |socket, message, _| {
        socket.set_user("ann").unwrap();
        if message.as_bytes() == b"hold" {
            tell.send(()).unwrap();
            let _ = wait.lock().unwrap().recv();
        }
        socket.send("done");
    });
    let server = Running::start(builder(probe).max_inbox(10_000));
    let mut peers: Vec<Peer> = (0..10).map(|_| server.open()).collect();
    for peer in &mut peers {
        peer.ask("");
    }
    let workers = server.handle().user_connections("ann");
    let workers: BTreeSet<_> = workers.iter().map(|it| it.to_u64() >> 56).collect();
    assert_eq!(workers.len(), 2);
    peers[0].say("hold");
    held.recv_timeout(GUARD).unwrap();
    let text = "x".repeat(1_000);
    let mut sent = 0;
    while server.handle().send_to_user("ann", &text).is_ok() {
        sent += 1;
        assert!(sent < 20, "it is bounded");
    }
    let_go.send(()).unwrap();
    assert_eq!(peers[0].hear(), "done");
    for peer in &mut peers {
        for _ in 0..sent {
            assert_eq!(peer.hear(), text);
        }
        assert_eq!(peer.ask("and nothing more"), "done");
    }
    peers.into_iter().for_each(Peer::close);
}

#[test]
fn all_connections_are_listed_in_one_call_but_not_on_a_workers_thread() {
    let (probe, watch) = Probe::new(|socket, _, told| {
        let listed = socket.handle().list_connections();
        let _ = told.send(Told::Note(format!("{:?}", listed.map(|it| it.len()))));
    });
    let server = builder(probe).listen("127.0.0.1:0").unwrap();
    let handle = server.handle();
    assert_eq!(handle.list_connections(), Ok(Vec::new()));
    let mut server = Running::of(server);
    let mut peers: Vec<Peer> = (0..20).map(|_| server.open()).collect();
    peers.iter_mut().for_each(Peer::settle);
    let ids = |handle: &sockeye::server::Handle| {
        let all = handle.list_connections().unwrap();
        all.iter().map(|it| it.id).collect::<BTreeSet<_>>()
    };
    assert_eq!(ids(&handle).len(), 20);
    // Of any other thread.
    let other = handle.clone();
    assert_eq!(thread::spawn(move || ids(&other).len()).join().unwrap(), 20);
    peers[0].say("");
    let note = Told::Note("Err(OnWorker)".into());
    while watch.next() != note {}
    peers.into_iter().for_each(Peer::close);
    server.shut_down();
    server.join();
    assert_eq!(handle.list_connections(), Err(HandleError::Stopped));
}
