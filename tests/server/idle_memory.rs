//! What an open connection of the server holds while it is idle: the bytes that the worker's
//! thread has asked for, counted by its allocator.

use core::num::NonZeroUsize;
use std::io::{Read, Write};

use harness::counting::held;
use harness::net::{Peer, Running};
use sockeye::proto::Message;
#[cfg(feature = "tls")]
use sockeye::rustls::server::NoServerSessionStorage;
use sockeye::server::{Builder, Handler, Server, Socket};

/// Tells, when it is asked, what its thread holds.
struct Tell;

impl Handler for Tell {
    type State = ();

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        match message.as_text() {
            Some("subscribe") => _ = socket.subscribe("topic"),
            Some("unsubscribe") => _ = socket.unsubscribe("topic"),
            _ => {}
        }
        socket.send(held().to_string());
    }
}

fn builder() -> Builder {
    Server::builder()
        .workers(NonZeroUsize::MIN)
        .route("/chat", Tell)
}

/// With the one that asks a power of two, so that the table of connections is full.
const CONNECTIONS: usize = 255;

/// Bytes of an idle connection, on 64-bit systems: its place in the worker's table 120, and 8 more
/// where mio checks itself; its state with the application's, which is empty, 152; an entry for its
/// deadline 4. The allocator's own come on top, 8 as a rule.
///
/// A change that passes this number should be worth its bytes times a hundred thousand.
const BYTES: isize = match cfg!(debug_assertions) {
    true => 284,
    false => 276,
};

/// The lists of deadlines have room for up to as many again.
const ROOM: isize = 4;

fn ask<S: Read + Write>(peer: &mut Peer<S>, what: &str) -> isize {
    peer.ask(what).parse().expect("a number")
}

#[test]
fn an_idle_connection_holds_no_more_than_is_written_down() {
    check(|| Running::start(builder()), Running::open, BYTES, ROOM);
}

/// On a busy machine the same connections have more deadlines for a while, and in more lists: a
/// message that comes in two reads has one of its own. So one round of these is enough that holds
/// what is written down. What each connection holds would be too much in all.
const ROUNDS: usize = 5;

/// `expected` bytes each, give or take `room`.
fn check<S: Read + Write>(
    start: impl Fn() -> Running,
    open: impl Fn(&Running) -> Peer<S>,
    expected: isize,
    room: isize,
) {
    let rounds = (0..ROUNDS).map(|_| {
        let server = start();
        let each = round(|| open(&server));
        println!("opened, used: {each:?} bytes each");
        each
    });
    let is_as_expected = |each: &isize| (each - expected).abs() <= room;
    let others: Vec<_> = rounds
        .take_while(|each| cfg!(target_pointer_width = "64") && !each.iter().all(is_as_expected))
        .collect();
    assert!(others.len() < ROUNDS, "{others:?} instead of {expected}");
}

/// What each connection holds when it is opened, and when it has been used.
fn round<S: Read + Write>(open: impl Fn() -> Peer<S>) -> [isize; 2] {
    let mut asking = open();
    // What the worker needs once, such as the buffer of its output, is there from the first time.
    ask(&mut asking, "held");
    let before = ask(&mut asking, "held");
    let mut idle: Vec<_> = (0..CONNECTIONS).map(|_| open()).collect();
    let opened = ask(&mut asking, "held");
    // What a message has needed is given back when it is done with.
    for peer in &mut idle {
        for text in ["short", &"long".repeat(5_000)] {
            peer.ask(text);
        }
    }
    let used = ask(&mut asking, "held");
    [opened, used].map(|held| (held - before) / CONNECTIONS as isize)
}

/// As [`BYTES`], over TLS: rustls' keys and state come on top, and no buffer of either. Another
/// version of rustls may need more or less; with a buffer it would be 4 KiB more.
#[cfg(feature = "tls")]
#[test]
fn an_idle_connection_over_tls_holds_no_more_than_is_written_down() {
    use harness::tls::{Authority, VERSIONS, connect, server};

    for (version, expected) in VERSIONS.into_iter().zip([3920, 3860]) {
        let authority = Authority::default();
        let start = || {
            let mut config = (*server(&authority.issue("localhost"))).clone();
            // What is kept for resumption is bounded, and no connection's.
            config.session_storage = std::sync::Arc::new(NoServerSessionStorage {});
            Running::start(builder().tls(config.into()))
        };
        let open = |server: &Running| {
            let mut peer = connect(server, authority.client_of(&[version]));
            peer.upgrade(&harness::handshake::upgrade());
            peer
        };
        check(start, open, expected, 256);
    }
}

#[test]
fn what_a_subscription_needs_is_given_back_with_it() {
    let server = Running::start(builder());
    let mut peer = server.open();
    let round = |peer: &mut Peer| {
        ask(peer, "subscribe");
        let held = ask(peer, "held");
        ask(peer, "unsubscribe");
        [held, ask(peer, "held")]
    };
    let first = round(&mut peer);
    assert!(first[1] + 240 < first[0], "{first:?}");
    assert_eq!(round(&mut peer), first);
}
