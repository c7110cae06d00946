//! Limits of rate, of connections, of their lifetime and of what waits, over real sockets:
//! docs/cases.md D7, D12.

use core::time::Duration;

use harness::handshake::upgrade;
use harness::net::{
    GUARD, How, Peer, Probe, Running, Told, Watch, config, masked_frame, patient, serve_with,
};
use harness::sansio::{CLOSE, CONTINUATION, TEXT, close_payload};
use sockeye::proto::{CloseCode, Delivery};
use sockeye::server::limits::{Rate, RateLimit, RateLimitAction};
use sockeye::server::observe::HandshakeFailure;
use sockeye::server::{Builder, Route, Server};

/// So many messages at once, and then none for the time of a test.
fn burst(count: u32, action: RateLimitAction) -> RateLimit {
    RateLimit {
        messages: Some(Rate::per_hour(1).burst(count)),
        action,
        ..RateLimit::default()
    }
}

fn close_4029() -> RateLimitAction {
    RateLimitAction::Close(CloseCode(4029), "slow down".into())
}

fn echo(change: impl FnOnce(Builder) -> Builder) -> (Running, Watch) {
    serve_with(|it| change(it.config(patient())), Probe::echo())
}

/// The status that an upgrade is answered with.
fn status(server: &Running, request: &harness::handshake::Text) -> u16 {
    let mut peer = server.connect();
    peer.write(request.bytes());
    peer.response().status
}

// ---- rates ----------------------------------------------------------------------------------

#[test]
fn a_message_over_the_rate_is_dropped_and_the_next_connection_has_its_own() {
    let (server, _) = echo(|it| it.rate_limit(burst(2, RateLimitAction::Drop)));
    for _ in 0..2 {
        let mut peer = server.open();
        for text in ["one", "two"] {
            assert_eq!(peer.ask(text), text);
        }
        peer.say("three");
        // Control frames are not messages.
        peer.settle();
        peer.close();
    }
    assert_eq!(server.handle().stats().rate_limited, 2);
}

#[test]
fn a_message_over_the_rate_is_answered_with_the_limits_text() {
    let (server, watch) =
        echo(|it| it.rate_limit(burst(1, RateLimitAction::Reply("slow down".into()))));
    let mut peer = server.open();
    assert_eq!(peer.ask("one"), "one");
    assert_eq!(peer.ask("two"), "slow down");
    assert_eq!(peer.ask("three"), "slow down");
    assert_eq!(server.handle().stats().messages_sent, 3);
    assert_eq!(watch.rest(), [Told::Open, Told::Message(b"one".to_vec())]);
}

/// One that sends and never reads must not fill the memory with what it is told for it.
#[test]
fn the_limits_text_is_bounded_by_what_may_wait() {
    const TEXT: usize = 100_000;
    let reply = RateLimitAction::Reply("x".repeat(TEXT).into());
    let (server, _) = echo(|it| it.rate_limit(burst(1, reply)).max_backpressure(5));
    let mut peer = server.open();
    assert_eq!(peer.ask("one"), "one");
    while server.handle().stats().dropped < 10 {
        peer.say("two");
    }
    let queued = server.handle().stats().queued_bytes;
    assert!(queued <= TEXT as u64 + 10, "{queued}");
    peer.stream().shutdown(std::net::Shutdown::Both).unwrap();
}

#[test]
fn a_message_over_the_rate_closes_with_the_limits_code() {
    let (server, watch) = echo(|it| it.rate_limit(burst(1, close_4029())));
    let mut peer = server.open();
    // In one segment: nothing behind the excess is told.
    peer.write(masked_frame(true, TEXT, b"message").repeat(5));
    assert_eq!(peer.hear(), "message");
    assert_eq!(peer.frame().payload, close_payload(4029, b"slow down"));
    peer.send(CLOSE, close_payload(4029, b""));
    peer.expect_eof();
    assert_eq!(watch.next(), Told::Open);
    assert_eq!(watch.next(), Told::Message(b"message".to_vec()));
    let how = How::RateLimit;
    assert_eq!(watch.next(), Told::Close { code: 4029, how });
}

#[test]
fn a_pause_for_the_rate_delivers_everything_in_order_and_others_are_not_held() {
    const COUNT: usize = 8;
    let limit = RateLimit {
        messages: Some(Rate::per_second(10).burst(2)),
        action: RateLimitAction::Pause,
        ..RateLimit::default()
    };
    let (server, _) = echo(|it| it.rate_limit(limit));
    let (mut fast, mut other) = (server.open(), server.open());
    for at in 0..COUNT {
        fast.say(&at.to_string());
    }
    assert_eq!(other.ask("meanwhile"), "meanwhile");
    for at in 0..COUNT {
        assert_eq!(fast.hear(), at.to_string());
    }
    // A pause may let several through after it, since deadlines are coarse; never all.
    assert!((2..=COUNT as u64 - 2).contains(&server.handle().stats().rate_limited));
}

#[test]
fn bytes_are_limited_as_messages_are() {
    let limit = RateLimit {
        bytes: Some(Rate::per_hour(1).burst(10)),
        action: RateLimitAction::Drop,
        ..RateLimit::default()
    };
    let (server, _) = echo(|it| it.rate_limit(limit));
    let mut peer = server.open();
    // Longer than what is left; what is refused costs nothing.
    for text in ["123456", "78901", "7890"] {
        peer.say(text);
    }
    assert_eq!((&*peer.hear(), &*peer.hear()), ("123456", "7890"));
}

/// A streamed message over the limit is dropped as a whole, not its first piece alone.
#[test]
fn of_a_streamed_message_over_the_rate_no_piece_is_told() {
    let streamed = config(|it| {
        it.delivery = Delivery::Streamed;
        it.close_timeout = 10 * GUARD;
    });
    let (tell, pieces) = std::sync::mpsc::channel();
    let builder = Server::builder()
        .config(streamed)
        .rate_limit(burst(1, RateLimitAction::Drop))
        .route("/chat", Pieces(tell));
    let server = Running::start(builder);
    let mut peer = server.open();
    for payload in ["first", "never"] {
        for (fin, opcode) in [(false, TEXT), (false, CONTINUATION), (true, CONTINUATION)] {
            peer.write(masked_frame(fin, opcode, payload.as_bytes()));
        }
    }
    peer.settle();
    let pieces: String = pieces.try_iter().collect();
    assert_eq!(pieces, "firstfirstfirst");
}

struct Pieces(std::sync::mpsc::Sender<String>);

impl sockeye::server::Handler for Pieces {
    type State = ();

    fn on_message(&self, _: &mut sockeye::server::Socket<'_, ()>, _: sockeye::proto::Message<'_>) {
        unreachable!("it is streamed");
    }

    fn on_piece(
        &self,
        _: &mut sockeye::server::Socket<'_, ()>,
        piece: sockeye::proto::MessagePiece<'_>,
    ) {
        let text = String::from_utf8(piece.as_bytes().to_vec()).unwrap();
        let _ = self.0.send(text);
    }
}

#[test]
fn the_connections_of_one_address_share_a_limit_over_all_workers() {
    let workers = std::num::NonZeroUsize::new(2).unwrap();
    let (server, _) = echo(|it| {
        it.workers(workers)
            .rate_limit_by_address(burst(3, RateLimitAction::Reply("too much".into())))
    });
    let mut peers = [server.open(), server.open()];
    for (at, answer) in [
        (0, "x"),
        (1, "x"),
        (0, "x"),
        (1, "too much"),
        (0, "too much"),
    ] {
        assert_eq!(peers[at].ask("x"), answer);
    }
    assert_eq!(server.open().ask("x"), "too much");
}

#[test]
fn the_connections_of_one_key_share_a_limit_and_without_a_key_there_is_none() {
    let limit = burst(1, RateLimitAction::Reply("too much".into()));
    let (server, _) = echo(|it| {
        it.rate_limit_by_key(limit, |request| {
            request.query_param("user").map(|it| it.into_owned())
        })
    });
    let open = |query: &str| {
        let mut peer = server.connect();
        peer.upgrade(&upgrade().target(format!("/chat{query}")));
        peer
    };
    let (mut tab, mut phone, mut bob) = (open("?user=ann"), open("?user=ann"), open("?user=bob"));
    assert_eq!(tab.ask("x"), "x");
    assert_eq!(phone.ask("x"), "too much");
    assert_eq!(bob.ask("x"), "x");
    let mut nobody = open("");
    for _ in 0..10 {
        assert_eq!(nobody.ask("x"), "x");
    }
}

// ---- connections ----------------------------------------------------------------------------

/// D12.
#[test]
fn one_connection_too_many_is_answered_with_503_until_another_ends() {
    let (server, _) = echo(|it| it.max_connections(2));
    let (first, mut second) = (server.open(), server.open());
    let mut third = server.connect();
    let answer = third.response();
    assert_eq!(answer.status, 503);
    assert!(answer.header("Retry-After").is_some());
    third.expect_end();
    first.close();
    // Its place is free once the server has seen the end of its transport, which nothing tells.
    while status_of_next(&server) == 503 {}
    assert_eq!(second.ask("still here"), "still here");
    let stats = server.handle().stats();
    let refused = stats
        .handshake_failures
        .count(HandshakeFailure::TooManyConnections);
    assert!(refused >= 1);
}

/// The status of the next connection's first answer, whether it is refused or served.
fn status_of_next(server: &Running) -> u16 {
    let mut peer = server.connect();
    // A connection that is refused may be gone already.
    let _ = std::io::Write::write_all(peer.stream(), &upgrade().bytes());
    harness::handshake::Answer::read(&peer.head()).status
}

/// D12.
#[test]
fn one_connection_too_many_of_an_address_is_answered_with_429() {
    let (server, _) = echo(|it| it.max_connections_per_address(2));
    let (_first, mut second) = (server.open(), server.open());
    assert_eq!(status(&server, &upgrade()), 429);
    assert_eq!(second.ask("still here"), "still here");
    let failures = server.handle().stats().handshake_failures;
    assert_eq!(failures.count(HandshakeFailure::TooManyConnections), 1);
}

/// D12.
#[test]
fn handshakes_over_the_rate_of_an_address_or_of_all_are_answered_with_429() {
    let rate = Some(Rate::per_hour(1).burst(2));
    for (per_address, total) in [(rate, None), (None, rate)] {
        let (server, _) = echo(|it| it.handshake_rate(per_address, total));
        let mut peers = [server.open(), server.open()];
        assert_eq!(status(&server, &upgrade()), 429);
        for peer in &mut peers {
            assert_eq!(peer.ask("still here"), "still here");
        }
        let failures = server.handle().stats().handshake_failures;
        assert_eq!(failures.count(HandshakeFailure::RateLimited), 1);
    }
}

#[test]
fn a_connection_is_closed_with_1001_at_the_end_of_its_lifetime() {
    let (server, watch) = echo(|it| it.max_lifetime(Duration::from_millis(300)));
    let mut peers: Vec<Peer> = (0..10).map(|_| server.open()).collect();
    for peer in &mut peers {
        peer.expect_close(1001);
        peer.send(CLOSE, close_payload(1001, b""));
        peer.expect_eof();
        assert_eq!(watch.close(), (1001, How::Lifetime));
    }
}

#[test]
fn the_end_of_a_lifetime_has_the_code_and_reason_that_it_was_given() {
    let sign_in = (CloseCode(4010), "sign in again");
    let bad = (CloseCode(1005), "no such code");
    for ((code, reason), sent, told) in [
        (sign_in, close_payload(4010, b"sign in again"), 4010),
        (bad, close_payload(1000, b""), 1000),
    ] {
        let (server, watch) =
            echo(|it| it.max_lifetime_with(Duration::from_millis(50), code, reason));
        let mut peer = server.open();
        assert_eq!(peer.frame().payload, sent);
        peer.send(CLOSE, close_payload(told, b""));
        peer.expect_eof();
        assert_eq!(watch.close(), (told, How::Lifetime));
        assert_eq!(server.handle().stats().closes.count(CloseCode(told)), 1);
    }
}

#[test]
fn a_routes_own_limits_stand_before_the_servers() {
    let builder = Server::builder()
        .config(patient())
        .rate_limit(burst(1, RateLimitAction::Reply("server".into())))
        .route("/plain", Probe::echo().0)
        .add_route(Route::new("/chat", Probe::echo().0).rate_limit(burst(2, close_4029())));
    let server = Running::start(builder);
    let mut peer = server.connect();
    peer.upgrade(&upgrade().target("/plain"));
    assert_eq!((&*peer.ask("x"), &*peer.ask("x")), ("x", "server"));
    let mut peer = server.open();
    assert_eq!((&*peer.ask("x"), &*peer.ask("x")), ("x", "x"));
    peer.say("x");
    peer.expect_close(4029);
}
