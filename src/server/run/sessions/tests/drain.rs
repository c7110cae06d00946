//! A server that drains: when each connection is closed, and what becomes of those that are not
//! open. docs/cases.md E7.

use std::rc::Rc;

use super::single::{UPGRADE, ms};
use super::*;
use crate::server::HttpResponse;
use crate::server::handle::Handle;
use crate::server::run::inbox::Drain;

struct Quiet;
impl Handler for Quiet {
    type State = ();
    fn on_message(&self, _: &mut Socket<'_, ()>, _: Message<'_>) {}
}

/// Some workers of one server, and the wires of their connections.
struct Site {
    shared: Arc<Shared>,
    workers: Vec<Sessions<Sim>>,
    peers: Vec<Peer>,
}

struct Peer {
    worker: usize,
    token: Token,
    sim: Sim,
}

impl Peer {
    fn output(&self) -> Vec<u8> {
        mem::take(&mut self.sim.0.borrow_mut().output)
    }
}

impl Site {
    fn new(workers: usize) -> Self {
        let builder = Server::builder()
            .route("/q", Quiet)
            .get("/page", |_| HttpResponse::text("a page"));
        let wakers = (0..workers).map(|_| None).collect();
        let Parts { shared, endpoints } = builder.parts(wakers).unwrap();
        let new = |at| Sessions::new(Arc::clone(&shared), Arc::clone(&endpoints), at, ms(0));
        Self {
            workers: (0..workers).map(new).collect(),
            shared,
            peers: Vec::new(),
        }
    }

    /// A connection that has sent these bytes.
    fn connect(&mut self, worker: usize, bytes: &[u8]) -> usize {
        let sim = Sim::default();
        sim.0.borrow_mut().room = usize::MAX;
        self.shared.take_in(worker);
        let permit = self.shared.connections.admit().unwrap();
        let mut token = None;
        let peer = ([127, 0, 0, 1], 1).into();
        self.workers[worker].insert(sim.clone(), peer, permit, |_, it| {
            token = Some(it);
            true
        });
        let token = token.unwrap();
        self.peers.push(Peer { worker, token, sim });
        let at = self.peers.len() - 1;
        self.give(at, bytes, ms(0));
        at
    }

    fn give(&mut self, at: usize, bytes: &[u8], now: Duration) {
        let Peer { worker, token, sim } = &self.peers[at];
        let sessions = &mut self.workers[*worker];
        single::give(sessions, sim, *token, bytes, now);
    }

    /// The peer ends its stream.
    fn leave(&mut self, at: usize, now: Duration) {
        let Peer { worker, token, sim } = &self.peers[at];
        sim.0.borrow_mut().end();
        self.workers[*worker].at(now).ready(*token, true, true);
    }

    fn tell(&mut self, command: impl Fn() -> Command, now: Duration) {
        for worker in &mut self.workers {
            worker.at(now).tell(command());
        }
    }

    fn drain(&mut self, over: u64, now: Duration) {
        let plan = Arc::new(Drain {
            began: now,
            over: ms(over),
            drop_at: now + ms(over) + ms(10_000),
            code: CloseCode::SERVICE_RESTART,
            reason: "a new version".into(),
        });
        self.tell(|| Command::Drain(Arc::clone(&plan)), now);
    }

    /// One turn of each worker; returns the earliest time at which one has to go on.
    fn turn(&mut self, now: Duration) -> Option<Duration> {
        let mut next = None;
        for worker in &mut self.workers {
            worker.at(now).work();
            worker.drive_again();
            worker.expire();
            next = next.into_iter().chain(worker.patience()).min();
        }
        next.map(|it| now + it)
    }

    /// When each connection got its Close; the peers reply at once.
    fn closes(&mut self, from: Duration, until: Duration) -> BTreeMap<usize, Duration> {
        let mut closes = BTreeMap::new();
        let mut now = from;
        while now <= until && !self.workers.iter().all(Sessions::is_empty) {
            let next = self.turn(now);
            for at in 0..self.peers.len() {
                let output = self.peers[at].output();
                if output.first() == Some(&0x88) {
                    assert_eq!(output[2..4], 1012_u16.to_be_bytes());
                    assert_eq!(output[4..], *b"a new version");
                    assert!(closes.insert(at, now).is_none(), "one Close");
                    self.give(at, &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xF4], now);
                    self.leave(at, now);
                }
            }
            now = next.unwrap_or(until).max(now + ms(1));
        }
        closes
    }
}

#[test]
fn connections_are_closed_one_by_one_evenly_over_the_time() {
    for workers in [1, 2, 3] {
        let mut site = Site::new(workers);
        for at in 0..60 {
            site.connect(at % workers, UPGRADE);
            site.peers[at].output();
        }
        site.drain(6_000, ms(500));
        assert!(site.workers.iter().all(|it| !it.is_accepting()));
        let closes = site.closes(ms(500), ms(60_000));
        assert_eq!(closes.len(), 60);
        let mut times: Vec<_> = closes.values().copied().collect();
        times.sort_unstable();
        for (at, time) in times.iter().enumerate() {
            let due = 500 + 100 * at as u64;
            assert!(
                (due..due + 105).contains(&(time.as_millis() as u64)),
                "{at}"
            );
        }
        // Connections that opened one after the other are not closed one after the other.
        let near = |at: &usize| closes[at].abs_diff(closes[&(at + workers)]) < ms(500);
        let near = (0..60 - workers).filter(near).count();
        assert!(near < 6, "{near}");
        // It stops once all are closed, and doesn't wait for the rest of the time.
        site.turn(times[59]);
        assert!(site.workers.iter().all(|it| it.stops() && it.is_empty()));
    }
}

#[test]
fn the_time_of_a_drain_is_the_callers_also_where_the_worker_is_late() {
    let mut site = Site::new(1);
    for _ in 0..10 {
        site.connect(0, UPGRADE);
    }
    site.peers.iter().for_each(|it| drop(it.output()));
    let plan = Arc::new(Drain {
        began: ms(0),
        over: ms(1_000),
        drop_at: ms(2_000),
        code: CloseCode::SERVICE_RESTART,
        reason: "a new version".into(),
    });
    site.tell(|| Command::Drain(Arc::clone(&plan)), ms(500));
    site.turn(ms(500));
    let closed = site.peers.iter().filter(|it| !it.output().is_empty());
    assert_eq!(closed.count(), 5);
    // Nobody replies: what is left is dropped at the end.
    for now in [1_000, 1_999] {
        site.turn(ms(now));
        assert!(!site.workers[0].is_empty());
    }
    site.turn(ms(2_000));
    assert!(site.workers[0].is_empty());
}

#[test]
fn a_second_drain_or_a_stop_only_shortens_it() {
    let mut site = Site::new(1);
    for at in 0..8 {
        site.connect(0, UPGRADE);
        site.peers[at].output();
    }
    site.drain(60_000, ms(0));
    site.drain(80_000, ms(100));
    assert_eq!(
        site.turn(ms(100)),
        Some(ms(3_750)),
        "an eighth of a minute's half"
    );
    site.drain(800, ms(200));
    let closes = site.closes(ms(200), ms(5_000));
    assert!(closes.len() == 8 && closes.values().all(|it| *it <= ms(1_000)));

    let mut site = Site::new(1);
    site.connect(0, UPGRADE);
    site.peers[0].output();
    site.drain(60_000, ms(0));
    site.tell(|| Command::ShutDown(ms(3_000)), ms(100));
    assert_eq!(site.peers[0].output()[2..4], 1001_u16.to_be_bytes());
    assert_eq!(site.turn(ms(100)), Some(ms(3_000)));
}

const PAGE: &[u8] = b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn while_it_drains_a_response_is_the_last_one_and_an_upgrade_is_refused() {
    let mut site = Site::new(1);
    let open = site.connect(0, UPGRADE);
    let page = site.connect(0, PAGE);
    let upgrade = site.connect(0, PAGE);
    for peer in &site.peers {
        let output = String::from_utf8(peer.output()).unwrap();
        assert!(!output.contains("Connection: close"), "{output}");
    }
    site.drain(60_000, ms(0));
    site.turn(ms(0));
    for (at, bytes, status) in [(page, PAGE, "200"), (upgrade, UPGRADE, "503")] {
        site.give(at, bytes, ms(10));
        let output = String::from_utf8(site.peers[at].output()).unwrap();
        assert!(
            output.starts_with(&format!("HTTP/1.1 {status} ")),
            "{output}"
        );
        assert!(output.contains("Connection: close\r\n"), "{output}");
    }
    assert!(site.peers[open].output().is_empty());
    let failures = site.shared.stats().handshake_failures;
    let stopping = crate::server::observe::HandshakeFailure::Stopping;
    assert_eq!((failures.count(stopping), failures.sum()), (1, 1));
}

#[test]
fn an_idle_connection_is_dropped_in_its_turn_and_a_request_under_way_is_answered() {
    let mut site = Site::new(1);
    let idle = site.connect(0, PAGE);
    let half = site.connect(0, &PAGE[..20]);
    site.drain(1_000, ms(0));
    let mut now = ms(0);
    while site.peers.iter().any(|it| Rc::strong_count(&it.sim.0) > 1) && now < ms(1_000) {
        site.turn(now);
        now += ms(100);
    }
    assert_eq!(Rc::strong_count(&site.peers[idle].sim.0), 1);
    site.peers[half].output();
    site.give(half, &PAGE[20..], ms(999));
    let output = String::from_utf8(site.peers[half].output()).unwrap();
    assert!(output.starts_with("HTTP/1.1 200 "), "{output}");
    site.leave(half, ms(1_000));
    site.turn(ms(1_000));
    assert!(site.workers[0].stops() && site.workers[0].is_empty());
}

#[test]
fn a_server_without_connections_has_drained() {
    let mut site = Site::new(2);
    site.drain(60_000, ms(0));
    site.turn(ms(0));
    assert!(site.workers.iter().all(Sessions::stops));
    // One worker waits for the other's connection, which may be asked for from there.
    let mut site = Site::new(2);
    let peer = site.connect(1, UPGRADE);
    site.drain(60_000, ms(0));
    site.turn(ms(0));
    assert!(!site.workers[0].stops());
    site.leave(peer, ms(100));
    site.turn(ms(100));
    site.turn(ms(100));
    assert!(site.workers.iter().all(Sessions::stops));
}

#[test]
fn nobody_is_accepted_and_everyone_stays() {
    let mut site = Site::new(2);
    let peer = site.connect(1, UPGRADE);
    site.peers[peer].output();
    let handle = Handle::new(&site.shared);
    assert!(handle.is_accepting() && handle.is_ready());
    handle.stop_accepting();
    assert!(!handle.is_accepting() && !handle.is_ready());
    site.turn(ms(0));
    assert!(
        site.workers
            .iter()
            .all(|it| !it.is_accepting() && !it.stops())
    );
    assert!(site.peers[peer].output().is_empty());
}
