//! The server in numbers, over real sockets: every counter and gauge, their two formats on routes,
//! and the numbers of single connections.

use core::time::Duration;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::mpsc::Receiver;

use harness::handshake::{Text, plain, upgrade};
use harness::net::exposition::exposition;
use harness::net::{
    GUARD, Observed, Peer, Running, config, masked_frame, observing, wait_for_ends,
};
use harness::sansio::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_payload, frame};
use sockeye::proto::{CloseCode, Config, Message, ReceiveRate};
use sockeye::server::limits::{Rate, RateLimit, RateLimitAction};
use sockeye::server::observe::{ErrorCause, HandshakeFailure, Stats};
use sockeye::server::socket::Overflow;
use sockeye::server::{
    Builder, Handler, HttpResponse, Reject, Request, Route, Sent, Server, Socket,
};

const SHORT: Duration = Duration::from_millis(200);

/// A message is a command; what it leads to is answered.
struct App;

impl Handler for App {
    type State = ();

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        let text = message.as_text().unwrap_or_default();
        match text.split_once(' ').unwrap_or((text, "")) {
            ("subscribe", topic) => drop(socket.subscribe(topic)),
            ("unsubscribe", topic) => drop(socket.unsubscribe(topic)),
            ("publish", topic) => drop(socket.publish_to_all(topic, "published")),
            ("fragments", _) => {
                let _ = socket.send_fragment("two ");
                let _ = socket.send_last_fragment("fragments");
                return;
            }
            ("flood", _) => while socket.send(&[0; 60_000][..]) != Sent::Dropped {},
            ("close", code) => {
                let _ = socket.close(CloseCode(code.parse().unwrap()), "");
            }
            ("panic", _) => resume_unwind(Box::new("on purpose")),
            ("stats", _) => {
                let stats = format!("{:?}", socket.stats());
                let _ = socket.send(&*stats);
                return;
            }
            _ => {}
        }
        let _ = socket.send(message);
    }
}

struct Site {
    server: Running,
    observed: Receiver<Observed>,
}

fn site(config: Config, change: impl FnOnce(Builder) -> Builder) -> Site {
    let (observer, observed) = observing();
    let stats = |request: &Request<'_>| request.handle().stats();
    let builder = Server::builder()
        .workers(NonZeroUsize::new(2).unwrap())
        .config(config)
        .max_backpressure(100_000)
        .observer(observer)
        .route("/chat", App)
        .get("/json", move |it| HttpResponse::json(stats(it).to_json()))
        .get("/metrics", move |it| {
            let response = HttpResponse {
                body: stats(it).to_prometheus().into_bytes(),
                ..HttpResponse::status(200)
            };
            response.with_header("Content-Type", Stats::PROMETHEUS_CONTENT_TYPE)
        });
    Site {
        server: Running::start(change(builder)),
        observed,
    }
}

impl Site {
    fn stats(&self) -> Stats {
        self.server.handle().stats()
    }

    fn next(&self) -> Observed {
        self.observed.recv_timeout(GUARD).expect("it is told")
    }

    fn open(&self) -> Peer {
        let peer = self.server.open();
        assert!(matches!(self.next(), Observed::Connected(_)));
        peer
    }

    /// Does something on a connection that ends it.
    fn ends(&self, act: impl FnOnce(&mut Peer)) {
        let mut peer = self.open();
        act(&mut peer);
        wait_for_ends(&self.observed, 1);
    }

    fn page(&self, path: &str) -> harness::handshake::Answer {
        let mut peer = self.server.connect();
        peer.write(plain(&format!("GET {path} HTTP/1.1")).bytes());
        peer.response()
    }

    /// All samples of the Prometheus page.
    fn samples(&self) -> BTreeMap<String, f64> {
        let answer = self.page("/metrics");
        let content_type = answer.header("Content-Type");
        assert_eq!(content_type, Some(Stats::PROMETHEUS_CONTENT_TYPE));
        exposition(core::str::from_utf8(&answer.body).unwrap())
    }
}

// ---- the formats ----------------------------------------------------------------------------

/// A number of the JSON object.
fn member(json: &str, name: &str) -> f64 {
    let (_, rest) = json.split_once(&format!("\"{name}\":")).expect(name);
    let end = rest.find([',', '}']).unwrap();
    rest[..end].parse().unwrap()
}

#[test]
fn both_formats_show_every_number_as_the_handle_does() {
    let site = site(Config::default(), |it| it);
    site.ends(|peer| peer.send(CLOSE, close_payload(1000, b"")));
    let mut peer = site.open();
    peer.ask("subscribe news");
    let topics = site.server.handle().topics("/chat");
    topics.publish("nobody", "hears").unwrap();
    let stats = site.stats();
    let samples = site.samples();
    // What is sent is counted once it is written, which another worker may be asked of before.
    while (site.stats().bytes_sent as f64) <= samples["sockeye_bytes_sent_total"] {}
    let json = String::from_utf8(site.page("/json").body).unwrap();
    for (name, suffix, expected) in [
        ("connections", "", 1),
        ("connections_opened", "_total", 2),
        ("messages_received", "_total", 1),
        ("messages_sent", "_total", 1),
        ("messages_published", "_total", 1),
        ("bytes_published", "_total", 5),
        ("topics", "", 1),
        ("subscriptions", "", 1),
        ("queued_bytes", "", 0),
        ("dropped", "_total", 0),
        ("rate_limited", "_total", 0),
        ("reconnections", "_total", 0),
    ] {
        assert_eq!(
            samples[&format!("sockeye_{name}{suffix}")],
            f64::from(expected),
            "{name}"
        );
        assert_eq!(member(&json, name), f64::from(expected), "{name}");
    }
    // Each request for them is counted, too.
    for name in ["bytes_received", "bytes_sent"] {
        let first = samples[&format!("sockeye_{name}_total")];
        assert!(first > 100.0 && member(&json, name) > first, "{name}");
    }
    assert!(samples["sockeye_uptime_seconds"] >= stats.uptime.as_secs_f64());
    assert!(member(&json, "uptime_seconds") >= samples["sockeye_uptime_seconds"]);
    for (label, count) in stats.closes.iter() {
        let series = format!("sockeye_closes_total{{code=\"{label}\"}}");
        assert_eq!(samples[&series], count as f64);
        assert_eq!(member(&json, &label), count as f64);
    }
    for (label, count) in stats.errors.iter() {
        let series = format!("sockeye_errors_total{{cause=\"{label}\"}}");
        assert_eq!(samples[&series], count as f64);
    }
    for (label, count) in stats.handshake_failures.iter() {
        let series = format!("sockeye_handshake_failures_total{{reason=\"{label}\"}}");
        assert_eq!(samples[&series], count as f64);
    }
}

// ---- counters and gauges --------------------------------------------------------------------

#[test]
fn gauges_follow_and_are_zero_when_all_has_ended() {
    /// More than the kernel's buffers hold.
    const LIMIT: usize = 32 << 20;
    let site = site(Config::default(), |it| it.max_backpressure(LIMIT));
    let mut peers: Vec<Peer> = (0..4).map(|_| site.open()).collect();
    for peer in &mut peers {
        peer.ask("subscribe a");
        peer.ask("subscribe b");
    }
    peers[0].ask("unsubscribe b");
    let stats = site.stats();
    assert_eq!(
        (stats.connections, stats.topics, stats.subscriptions),
        (4, 2, 7)
    );
    // A reader that is behind.
    peers[1].say("flood");
    while site.stats().queued_bytes == 0 {}
    assert!(site.stats().queued_bytes <= LIMIT as u64);
    drop(peers);
    wait_for_ends(&site.observed, 4);
    let stats = site.stats();
    let gauges = (stats.connections, stats.topics, stats.subscriptions);
    assert_eq!((gauges, stats.connections_opened), ((0, 0, 0), 4));
    // Its session goes right after its end is told.
    while site.stats().queued_bytes > 0 {}
}

#[test]
fn messages_and_bytes_are_counted_both_ways() {
    let site = site(Config::default(), |it| it);
    let mut peer = site.open();
    let before = site.stats();
    assert_eq!(peer.ask("hello"), "hello");
    peer.send(PING, "ping");
    peer.expect(PONG, "ping");
    peer.say("fragments");
    peer.frame();
    peer.frame();
    for part in [
        (false, TEXT, "in "),
        (false, CONTINUATION, "three "),
        (true, CONTINUATION, "x"),
    ] {
        peer.write(masked_frame(part.0, part.1, part.2.as_bytes()));
    }
    assert_eq!(peer.hear(), "in three x");
    peer.close();
    wait_for_ends(&site.observed, 1);
    let stats = site.stats();
    assert_eq!(stats.messages_received - before.messages_received, 3);
    assert_eq!(stats.messages_sent - before.messages_sent, 3);
    let payloads = 5 + 4 + 9 + 3 + 6 + 1 + 2;
    assert_eq!(
        stats.bytes_received - before.bytes_received,
        payloads + 7 * 6
    );
    let payloads = 5 + 4 + 4 + 9 + 10 + 2;
    assert_eq!(stats.bytes_sent - before.bytes_sent, payloads + 6 * 2);
}

#[test]
fn each_end_is_counted_by_its_close_code_and_its_cause() {
    let limits = config(|it| {
        it.max_message_size = 1000;
        it.max_fragments = 3;
    });
    let site = site(limits, |it| it);
    let raw = |bytes: Vec<u8>| move |peer: &mut Peer| peer.write(&bytes);
    let cause = |bytes: Vec<u8>, cause: ErrorCause, code: CloseCode| {
        let before = site.stats();
        site.ends(raw(bytes));
        let after = site.stats();
        let errors = after.errors.count(cause) - before.errors.count(cause);
        let closes = after.closes.count(code) - before.closes.count(code);
        assert_eq!((errors, closes), (1, 1), "{cause:?} {code:?}");
        assert_eq!(after.errors.sum() - before.errors.sum(), 1, "{cause:?}");
    };
    let many = [
        masked_frame(false, TEXT, b""),
        masked_frame(false, CONTINUATION, b"").repeat(3),
    ];
    cause(
        masked_frame(true, 3, b""),
        ErrorCause::Frame,
        CloseCode::PROTOCOL_ERROR,
    );
    cause(
        frame(true, 0, TEXT, None, b""),
        ErrorCause::Unmasked,
        CloseCode::PROTOCOL_ERROR,
    );
    cause(
        masked_frame(true, CLOSE, b"x"),
        ErrorCause::CloseFrame,
        CloseCode::PROTOCOL_ERROR,
    );
    cause(
        masked_frame(true, TEXT, b"\xFF"),
        ErrorCause::Utf8,
        CloseCode::INVALID_PAYLOAD,
    );
    cause(
        masked_frame(true, BINARY, &[0; 1001]),
        ErrorCause::TooBig,
        CloseCode::MESSAGE_TOO_BIG,
    );
    cause(
        many.concat(),
        ErrorCause::Fragments,
        CloseCode::POLICY_VIOLATION,
    );
    cause(
        // Its Close is answered at once.
        [
            masked_frame(true, TEXT, b"panic"),
            masked_frame(true, CLOSE, b""),
        ]
        .concat(),
        ErrorCause::Panic,
        CloseCode::INTERNAL_ERROR,
    );

    for (code, label) in [
        (1000, CloseCode::NORMAL),
        (1001, CloseCode::GOING_AWAY),
        (1003, CloseCode::UNSUPPORTED_DATA),
        (3999, CloseCode(3000)),
        (4000, CloseCode(4000)),
    ] {
        let before = site.stats();
        site.ends(|peer| peer.send(CLOSE, close_payload(code, b"")));
        assert_eq!(
            site.stats().closes.count(label) - before.closes.count(label),
            1
        );
        assert_eq!(site.stats().errors, before.errors, "an end, and no error");
    }
    site.ends(|peer| peer.send(CLOSE, ""));
    assert_eq!(site.stats().closes.count(CloseCode::NO_STATUS), 1);
    site.ends(Peer::shut_write);
    assert_eq!(site.stats().closes.count(CloseCode::ABNORMAL), 1);
    assert_eq!(site.stats().closes.sum(), site.stats().connections_opened);
}

#[test]
fn deadlines_and_backlogs_are_counted_by_their_cause() {
    let limits = |change: fn(&mut Config)| config(change);
    let route = |path: &str, change: fn(&mut Config)| Route::new(path, App).config(limits(change));
    let site = site(Config::default(), |it| {
        it.add_route(route("/ping", |it| {
            it.ping_interval = Some(SHORT);
            it.pong_timeout = SHORT;
        }))
        .add_route(route("/idle", |it| it.idle_timeout = Some(SHORT)))
        .add_route(route("/slow", |it| {
            it.min_receive_rate = Some(ReceiveRate {
                bytes: 1000,
                period: SHORT,
            });
        }))
        .add_route(route("/close", |it| it.close_timeout = SHORT))
        .add_route(
            Route::new("/stalled", App)
                .send_timeout(SHORT)
                .max_backpressure(32 << 20),
        )
        .add_route(route("/full", |it| it.close_timeout = SHORT).overflow(Overflow::Close))
    });
    for (path, bytes, cause) in [
        ("/ping", vec![], ErrorCause::PingTimeout),
        ("/idle", vec![], ErrorCause::Idle),
        (
            "/slow",
            masked_frame(true, TEXT, &[b'x'; 100])[..50].to_vec(),
            ErrorCause::Slow,
        ),
        (
            "/close",
            masked_frame(true, TEXT, b"close 4000"),
            ErrorCause::CloseTimeout,
        ),
        (
            "/stalled",
            masked_frame(true, TEXT, b"flood"),
            ErrorCause::Stalled,
        ),
        (
            "/full",
            masked_frame(true, TEXT, b"flood"),
            ErrorCause::Backpressure,
        ),
    ] {
        let mut peer = site.server.connect();
        peer.upgrade(&upgrade().target(path));
        peer.write(bytes);
        wait_for_ends(&site.observed, 1);
        let errors = site.stats().errors;
        assert_eq!(errors.count(cause), 1, "{cause:?}: {errors:?}");
    }
    assert_eq!(site.stats().errors.sum(), 6);
}

#[test]
fn messages_over_a_rate_and_clients_that_come_back_are_counted() {
    let limit = RateLimit {
        messages: Some(Rate::per_hour(1).burst(2)),
        action: RateLimitAction::Drop,
        ..RateLimit::default()
    };
    let site = site(Config::default(), |it| it.rate_limit(limit));
    let mut peer = site.server.connect();
    peer.upgrade(&upgrade().target("/chat?previous-connection=17"));
    for _ in 0..5 {
        peer.say("");
    }
    for _ in 0..2 {
        assert_eq!(peer.hear(), "");
    }
    peer.settle();
    let stats = site.stats();
    assert_eq!((stats.rate_limited, stats.reconnections), (3, 1));
    assert_eq!((stats.messages_received, stats.messages_sent), (5, 2));
}

// ---- handshakes -----------------------------------------------------------------------------

#[test]
fn each_handshake_that_fails_is_counted_by_its_reason() {
    let timeout = config(|it| it.handshake_timeout = SHORT);
    let refusing = Route::with("/refusing", App, |_| Err(Reject::new(403, "no")));
    let site = site(timeout, |it| it.add_route(refusing));
    let fails = |reason: HandshakeFailure, act: &dyn Fn(&mut Peer)| {
        let before = site.stats().handshake_failures;
        let mut peer = site.server.connect();
        act(&mut peer);
        let told = site.next();
        assert!(
            matches!(told, Observed::Failed(_, it) if it == reason),
            "{told:?}"
        );
        let after = site.stats().handshake_failures;
        assert_eq!(after.count(reason) - before.count(reason), 1);
        assert_eq!(after.sum() - before.sum(), 1);
    };
    let request = |reason, text: Text| fails(reason, &|peer| peer.write(text.bytes()));
    let long = "x".repeat(20_000);
    request(HandshakeFailure::Malformed, plain("GET  / HTTP/1.1"));
    request(HandshakeFailure::TooLarge, upgrade().add("Long", long));
    request(
        HandshakeFailure::Method,
        upgrade().start("POST /chat HTTP/1.1"),
    );
    request(
        HandshakeFailure::Version,
        upgrade().set("Sec-WebSocket-Version", "8"),
    );
    request(
        HandshakeFailure::Key,
        upgrade().set("Sec-WebSocket-Key", "short"),
    );
    request(
        HandshakeFailure::Request,
        upgrade().add("Content-Length", "5"),
    );
    request(HandshakeFailure::NotFound, upgrade().target("/nowhere"));
    request(HandshakeFailure::Rejected, upgrade().target("/refusing"));
    fails(HandshakeFailure::Timeout, &|peer| {
        peer.write("GET /chat");
        peer.expect_end();
    });
    fails(HandshakeFailure::Eof, &|peer| {
        peer.write("GET /chat");
        peer.shut_write();
    });
    assert_eq!(site.stats().connections_opened, 0);
}

/// Browsers open connections in advance; some of them are never used.
#[test]
fn a_connection_that_sends_nothing_is_unused_and_no_failed_handshake() {
    let short = config(|it| it.handshake_timeout = SHORT);
    let mut site = site(short, |it| it);
    site.server.connect().expect_end();
    let mut reset = site.server.connect();
    reset.shut_write();
    reset.expect_end();
    let handle = site.server.handle().clone();
    site.server.shut_down();
    site.server.join();
    let stats = handle.stats();
    assert_eq!(stats.connections_unused, 2);
    assert_eq!(stats.handshake_failures.sum(), 0);
}

#[test]
fn a_client_that_only_reads_pages_is_no_failed_handshake() {
    let short = config(|it| it.handshake_timeout = SHORT);
    let mut site = site(short, |it| it);
    for _ in 0..3 {
        site.page("/json");
    }
    let mut idle = site.server.connect();
    idle.write(plain("GET /json HTTP/1.1").bytes());
    idle.response();
    idle.expect_end();
    drop(idle);
    let handle = site.server.handle().clone();
    site.server.shut_down();
    site.server.join();
    let failures = handle.stats().handshake_failures;
    assert_eq!(failures.sum(), 0, "{failures:?}");
    assert_eq!(handle.stats().connections_unused, 0);
}

// ---- single connections ---------------------------------------------------------------------

#[test]
fn a_connections_numbers_hold_its_user_agent_and_its_round_trip() {
    let pinging = config(|it| it.ping_interval = Some(SHORT));
    let site = site(pinging, |it| it.keep_request());
    let mut peer = site.server.connect();
    peer.upgrade(&upgrade().add("User-Agent", "a browser"));
    let Observed::Connected(stats) = site.next() else {
        panic!("it has opened");
    };
    assert_eq!(stats.user_agent.as_deref(), Some("a browser"));
    assert_eq!((stats.round_trip, stats.messages_received), (None, 0));
    let ping = peer.frame();
    assert_eq!(ping.opcode, PING);
    peer.send(PONG, &ping.payload);
    peer.ask("subscribe news");
    peer.ask("hello");
    peer.close();
    let Observed::Disconnected(stats, 1000) = site.next() else {
        panic!("it has ended");
    };
    assert!(stats.round_trip.is_some_and(|it| it < GUARD), "{stats:?}");
    assert!(stats.age >= SHORT && stats.idle <= stats.age, "{stats:?}");
    assert_eq!((stats.messages_received, stats.messages_sent), (2, 2));
    assert_eq!((stats.bytes_received, stats.bytes_sent), (14 + 5, 14 + 5));
    // Those that it had to its end.
    assert_eq!((stats.subscriptions, stats.buffered), (1, 0));
}
