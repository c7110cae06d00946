//! One connection on a worker: when it is driven without an event, and what remains of a client
//! that has left.

use std::sync::atomic::AtomicUsize;

use super::*;

struct Quiet;
impl Handler for Quiet {
    type State = ();
    fn on_message(&self, _: &mut Socket<'_, ()>, _: Message<'_>) {}
}

pub(super) const UPGRADE: &[u8] =
    b"GET /q HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn sessions(builder: crate::server::Builder) -> (Sessions<Sim>, Sim, Token) {
    let Parts { shared, endpoints } = builder.parts(vec![None]).unwrap();
    let mut sessions = Sessions::new(Arc::clone(&shared), endpoints, 0, Duration::ZERO);
    let sim = Sim::default();
    sim.0.borrow_mut().room = usize::MAX;
    shared.take_in(0);
    let permit = shared.connections.admit().unwrap();
    let mut token = None;
    sessions.insert(sim.clone(), ([127, 0, 0, 1], 1).into(), permit, |_, it| {
        token = Some(it);
        true
    });
    (sessions, sim, token.unwrap())
}

pub(super) fn give(
    sessions: &mut Sessions<Sim>,
    sim: &Sim,
    token: Token,
    bytes: &[u8],
    now: Duration,
) {
    {
        let mut wire = sim.0.borrow_mut();
        wire.input.extend_from_slice(bytes);
        wire.arrive(bytes.len());
        wire.readable = false;
    }
    sessions.at(now).ready(token, true, false);
}

/// When the sessions next write something, in ms, checked every 250 ms.
fn next_output(
    sessions: &mut Sessions<Sim>,
    sim: &Sim,
    from: u64,
    until: u64,
) -> Option<(u64, Vec<u8>)> {
    sim.0.borrow_mut().output.clear();
    let mut now = from;
    while now <= until {
        sessions.at(ms(now)).drive_again();
        sessions.expire();
        let out = mem::take(&mut sim.0.borrow_mut().output);
        if !out.is_empty() {
            return Some((now, out));
        }
        now += 250;
    }
    None
}

#[test]
fn the_first_ping_is_due_after_its_interval_and_not_with_the_handshake() {
    let config = Config {
        ping_interval: Some(ms(1000)),
        ..Config::default()
    };
    let (mut sessions, sim, token) = sessions(Server::builder().config(config).route("/q", Quiet));
    give(&mut sessions, &sim, token, UPGRADE, ms(0));
    let at = next_output(&mut sessions, &sim, 0, 60_000).unwrap().0;
    assert!(at <= 1500, "first ping at {at} ms, due at 1000 ms");
}

#[test]
fn an_idle_timeout_shorter_than_the_handshakes_is_kept() {
    let config = Config {
        idle_timeout: Some(ms(2000)),
        ..Config::default()
    };
    let (mut sessions, sim, token) = sessions(Server::builder().config(config).route("/q", Quiet));
    give(&mut sessions, &sim, token, UPGRADE, ms(0));
    let at = next_output(&mut sessions, &sim, 0, 60_000).unwrap().0;
    assert!(at <= 2500, "idle close at {at} ms, due at 2000 ms");
}

#[test]
fn a_ping_comes_after_its_interval_also_where_a_pong_may_take_longer() {
    let config = Config {
        ping_interval: Some(ms(5000)),
        pong_timeout: ms(20_000),
        handshake_timeout: ms(1000),
        ..Config::default()
    };
    let (mut sessions, sim, token) = sessions(Server::builder().config(config).route("/q", Quiet));
    give(&mut sessions, &sim, token, UPGRADE, ms(0));
    let mut now = 0;
    let mut pings = Vec::new();
    for _ in 0..4 {
        let (at, ping) = next_output(&mut sessions, &sim, now, now + 60_000).unwrap();
        assert_eq!((ping[0], ping[1]), (0x89, 8));
        pings.push(at);
        let mut pong = vec![0x8A, 0x88, 0, 0, 0, 0];
        pong.extend_from_slice(&ping[2..10]);
        give(&mut sessions, &sim, token, &pong, ms(at + 50));
        now = at + 250;
    }
    let gaps: Vec<u64> = pings.windows(2).map(|it| it[1] - it[0]).collect();
    assert!(gaps.iter().all(|gap| *gap <= 5500), "pings at {pings:?}");
}

#[test]
fn a_deferred_request_is_handled_once_also_where_its_client_resets() {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&calls);
    let kept = Arc::new(Mutex::new(Vec::new()));
    let builder = Server::builder()
        .route("/q", Quiet)
        .methods("/pay", move |methods| {
            methods.defer("POST", move |_, reply| {
                seen.fetch_add(1, Ordering::Relaxed);
                kept.lock().unwrap().push(reply);
            })
        });
    let (mut sessions, sim, token) = sessions(builder);
    let request = b"POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nokX";
    give(&mut sessions, &sim, token, request, ms(0));
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    sim.0.borrow_mut().reset();
    sessions.broken(token);
    sessions.at(ms(10)).ready(token, true, true);
    assert_eq!(calls.load(Ordering::Relaxed), 1, "handled again");
}

#[test]
fn a_client_that_has_ended_its_side_gets_the_whole_of_a_long_answer() {
    let page = vec![b'p'; 5000];
    let (mut sessions, sim, token) = sessions(Server::builder().route("/q", Quiet).page(
        "/",
        "text/plain",
        page,
    ));
    {
        let mut wire = sim.0.borrow_mut();
        wire.room = 1000;
        wire.input
            .extend_from_slice(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let len = wire.input.len();
        wire.arrive(len);
        wire.end();
    }
    sessions.at(ms(0)).ready(token, true, true);
    for now in 0..20 {
        sim.0.borrow_mut().give_room(1000);
        sessions.at(ms(now)).ready(token, false, false);
        sessions.drive_again();
    }
    let got = sim.0.borrow().output.len();
    assert!(got > 5000, "{got} bytes written");
}

/// A timer that each message moves costs an entry of the wheel once in its time.
#[test]
fn a_timer_that_is_set_again_and_again_adds_no_entries() {
    #[derive(Clone, Default)]
    struct Timed(Arc<AtomicUsize>);
    impl Handler for Timed {
        type State = ();
        fn on_message(&self, socket: &mut Socket<'_, ()>, _: Message<'_>) {
            socket.set_timer(1, ms(20_000));
        }
        fn on_timer(&self, _: &mut Socket<'_, ()>, _: u64) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let timed = Timed::default();
    let config = Config {
        ping_interval: None,
        ..Config::default()
    };
    let builder = Server::builder().config(config).route("/q", timed.clone());
    let (mut sessions, sim, token) = sessions(builder);
    give(&mut sessions, &sim, token, UPGRADE, ms(0));
    let message = [0x81, 0x81, 0, 0, 0, 0, b'x'];
    for now in 1..=10_000 {
        give(&mut sessions, &sim, token, &message, ms(now));
        sessions.expire();
        assert!(sessions.wheel.len() <= 2, "{now}: {}", sessions.wheel.len());
    }
    sessions.at(ms(29_999)).expire();
    assert_eq!(timed.0.load(Ordering::Relaxed), 0);
    sessions.at(ms(30_250)).expire();
    assert_eq!(timed.0.load(Ordering::Relaxed), 1);
    sessions.at(ms(60_000)).expire();
    assert_eq!(timed.0.load(Ordering::Relaxed), 1);
}
