//! Several workers of one server in simulation. A seed interleaves their turns with those of other
//! threads, their clients and their clock. docs/cases.md O1 to O7.
//!
//! The [`Ledger`] asserts what must hold for each message that a client hears,
//! [`World::check_step`] at each step, and [`World::check`] once all has ended. `SOCKEYE_SEEDS` and
//! `SOCKEYE_SEED` work as in the simulation of one worker.

use std::sync::MutexGuard;

use super::super::super::inbox::HandleError;
use super::*;
use crate::server::handle::Handle;
use crate::server::http::Reject;
use crate::server::id::Standing;
use crate::server::route::Deferred;
use crate::server::route::Route;
use crate::server::topics::Position;
use crate::server::topics::PresenceChange;
use crate::server::topics::{HistoryLimits, MemoryHistory};
use crate::server::websocket::Sent;

mod app;
mod ear;
mod ledger;
mod seen;
mod threads;
mod watch;

use app::{Several, members_of};
use ear::Ear;
use ledger::{Ledger, SHORT, TopicLog};
use seen::Seen;
use threads::Thread;
use watch::Watch;

struct World {
    random: Random,
    now: Duration,
    all_sessions: Vec<Sessions<Sim>>,
    /// How many of its turns each worker will miss.
    blocked: Vec<usize>,
    shared: Arc<Shared>,
    app: Several,
    watch: Watch,
    threads: Vec<Thread>,
    local: Vec<Ear>,
    max_inbox: usize,
    /// The configurations of clients without an extension, and with one.
    configs: [Arc<Config>; 2],
}

#[cfg(feature = "deflate")]
fn deflate(random: &mut Random, config: &mut Config) {
    use crate::proto::{Deflate, PreparedUse};
    config.extensions.push(Arc::new(Deflate {
        server_no_context_takeover: random.one_in(3),
        threshold: 20,
        prepared: [PreparedUse::Shared, PreparedUse::Each, PreparedUse::Plain][random.below(3)],
        ..Deflate::default()
    }));
}

#[cfg(not(feature = "deflate"))]
fn deflate(_: &mut Random, _: &mut Config) {}

/// A history that doesn't drop anything by age, since threads publish by the real clock.
fn keeps(count: usize) -> TopicOptions {
    let limits = HistoryLimits {
        max_messages: count,
        max_age: Duration::MAX,
        ..HistoryLimits::default()
    };
    TopicOptions::new().history_in(Arc::new(MemoryHistory::new(limits)), count)
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let workers = 1 + random.below(3);
        let threads = 1 + random.below(3);
        let tight = random.one_in(2);
        let mut config = Config {
            close_timeout: Duration::from_secs(5),
            ..Config::default()
        };
        let plain = Arc::new(Config::default());
        if random.one_in(4) {
            deflate(&mut random, &mut config);
        }
        let deflated = Config {
            extensions: config.extensions.clone(),
            ..Config::default()
        };
        let max_inbox = [2_000, 20_000, 1 << 26][random.below(3)];
        let max_backpressure = match tight {
            true => [2_000, 6_000][random.below(2)],
            false => 1 << 26,
        };
        let overflow = [Overflow::DropNewest, Overflow::DropOldest, Overflow::Close];
        let (few, many) = match tight && random.one_in(2) {
            true => (0, 0),
            false => (2, 20),
        };
        let topics = vec![
            TopicLog::new("a", 0, false),
            TopicLog::new("b", 0, false),
            TopicLog::new("kept/few", few, false),
            TopicLog::new("kept/many", many, false),
            TopicLog::new("latest", 0, true),
        ];
        let mut ledger = Ledger::new(workers, threads, topics);
        ledger.tight = tight.then_some(max_backpressure);
        let (decisions, watch) = (app::Decisions::default(), Watch::default());
        let app = Several(Arc::new(Mutex::new(ledger)), Arc::clone(&decisions));
        let deferred = Route::deferred("/later", app.clone(), move |_, it: Deferred<()>| {
            decisions.lock().unwrap().push(it);
        })
        .namespace("/now");
        let mut builder = Server::builder()
            .config(config)
            .overflow(overflow[random.below(3)])
            .send_timeout(Duration::from_secs(20))
            .max_inbox(max_inbox)
            .max_backpressure(max_backpressure)
            .pause_reading_at([200, 5_000, 1 << 20][random.below(3)])
            .observer(app.clone())
            .observer(watch.clone())
            .topic("kept/few", keeps(few))
            .topic("kept/many", keeps(many))
            .topic("latest", TopicOptions::new().conflate())
            .route("/now", app.clone())
            .add_route(deferred);
        if random.one_in(4) {
            builder = builder.max_lifetime(Duration::from_secs(30));
        }
        let wakers = (0..workers).map(|_| None).collect();
        let Parts { shared, endpoints } = builder.parts(wakers).unwrap();
        let sessions = |worker| {
            let endpoints = Arc::clone(&endpoints);
            Sessions::new(Arc::clone(&shared), endpoints, worker, Duration::ZERO)
        };
        Self {
            all_sessions: (0..workers).map(sessions).collect(),
            blocked: vec![0; workers],
            threads: (0..threads).map(|it| Thread::new(workers + it)).collect(),
            random,
            now: Duration::ZERO,
            shared,
            app,
            watch,
            local: Vec::new(),
            max_inbox,
            configs: [plain, Arc::new(deflated)],
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.app.0.lock().unwrap()
    }

    fn run(&mut self) {
        for _ in 0..100 + self.random.below(200) {
            match self.random.below(12) {
                0 => self.connect(),
                1..5 => self.act(),
                5..8 => self.call(),
                _ => {
                    let worker = self.random.below(self.all_sessions.len());
                    self.turn_unless_blocked(worker);
                }
            }
            self.check_step();
        }
    }

    fn connect(&mut self) {
        if self.local.iter().filter(|it| !it.peer.is_dropped()).count() > 12 {
            return;
        }
        let sim = Sim::default();
        let random = &mut self.random;
        let keen = random.one_in(2);
        {
            let mut wire = sim.0.borrow_mut();
            wire.room = if keen { usize::MAX } else { random.bytes() };
            wire.faults = (!keen && random.one_in(2)).then(|| Random(random.next()));
        }
        let path = if random.one_in(4) { "/later" } else { "/now" };
        let config = &self.configs[random.below(2)];
        let mut peer = Ear::new(sim.clone(), path, config, random.next());
        peer.keen = keen;
        let worker = random.below(self.all_sessions.len());
        self.shared.take_in(worker);
        let permit = self.shared.connections.admit().unwrap();
        let (address, id) = (([127, 0, 0, 1], 1).into(), &mut peer.id);
        let sessions = &mut self.all_sessions[worker];
        let _thread = sessions.on_its_thread();
        sessions.at(self.now).insert(sim, address, permit, |_, it| {
            *id = Some(ConnectionId::new(worker, it));
            true
        });
        let id = peer.id.unwrap();
        self.local.push(peer);
        self.ledger().keen.insert(id, keen);
    }

    /// A random action of a client, or of its wire.
    fn act(&mut self) {
        let random = &mut self.random;
        let alive: Vec<usize> = (0..self.local.len())
            .filter(|it| !self.local[*it].peer.is_dropped())
            .collect();
        if alive.is_empty() {
            return;
        }
        let peer = &mut self.local[alive[random.below(alive.len())]];
        match random.below(24) {
            0..14 => {
                let filling = random.bytes() / 16;
                (0..=random.below(3)).for_each(|_| peer.say(random.next() >> 16, filling));
                peer.wire(|wire| {
                    let all = wire.input.len();
                    wire.arrive(all);
                });
            }
            14 if random.one_in(8) => peer.close(),
            15 if random.one_in(12) => peer.break_off(random.one_in(2)),
            16 if random.one_in(8) && !peer.keen => peer.deaf = true,
            _ => {
                let count = random.bytes();
                peer.wire(|wire| {
                    wire.arrive(count);
                    wire.give_room(count);
                });
            }
        }
    }

    /// A call of one of the threads.
    fn call(&mut self) {
        let thread = self.random.below(self.threads.len());
        let handle = Handle::new(&self.shared);
        self.threads[thread].step(&mut self.random, &self.app, &handle);
    }

    fn turn_unless_blocked(&mut self, worker: usize) {
        self.now += Duration::from_millis([0, 0, 1, 30, 300][self.random.below(5)]);
        if self.blocked[worker] > 0 {
            self.blocked[worker] -= 1;
            return self.ledger().seen.blocked += 1;
        }
        self.turn(worker, false);
        if self.random.one_in(30) {
            self.blocked[worker] = self.random.below(30);
        }
    }

    /// A turn of a worker: the events of one poll, then what else is due; with little time for
    /// each, unless it `settles`.
    fn turn(&mut self, worker: usize, settles: bool) {
        let mut events = self.events(worker, settles);
        for at in (1..events.len()).rev() {
            events.swap(at, self.random.below(at + 1));
        }
        let sessions = &mut self.all_sessions[worker];
        let _thread = sessions.on_its_thread();
        sessions.at(self.now);
        if !settles && self.random.one_in(6) {
            sessions.exchange.deliveries = self.random.below(4);
        }
        for (token, readable, ended) in events {
            if !settles && self.random.one_in(10) {
                // The part has used its share.
                sessions.spent.drives = SHARE / DRIVE;
                sessions.spent.until_look = 1;
            }
            sessions.ready(token, readable, ended);
        }
        sessions.end_turn();
        let seen = &mut self.app.0.lock().unwrap().seen;
        let exchange = &sessions.exchange;
        seen.throttled += exchange.throttled.len() as u64;
        seen.gates += u64::from(exchange.pending.gate().is_some());
        seen.partial += u64::from(!exchange.pending.is_empty() && exchange.deliveries == 0);
    }

    /// The events of one worker, or some of them if it may learn of the rest later.
    fn events(&mut self, worker: usize, all: bool) -> Vec<(Token, bool, bool)> {
        let mut events = Vec::new();
        for peer in &mut self.local {
            if peer.id.unwrap().worker() != worker || !all && self.random.one_in(4) {
                continue;
            }
            peer.wire(|wire| {
                if let Some((readable, ended)) = wire.take_event() {
                    events.push((peer.token(), readable, ended));
                }
            });
            if !peer.deaf && (all || self.random.one_in(2)) {
                peer.listen(&self.app.0);
            }
        }
        events
    }

    /// Time passes, with no faults on the wires.
    fn settle(&mut self) {
        self.now += Duration::from_millis(250);
        for peer in &mut self.local {
            peer.wire(|wire| {
                wire.faults = None;
                let left = wire.input.len();
                if wire.arrived < left {
                    wire.arrive(left);
                }
                if !peer.deaf {
                    wire.give_room(1 << 20);
                }
            });
        }
        for worker in 0..self.all_sessions.len() {
            self.turn(worker, true);
        }
        for peer in self.local.iter_mut().filter(|it| !it.deaf) {
            peer.listen(&self.app.0);
        }
        self.check_step();
    }

    /// No new actions: what is under way completes, and reaches those to whom it is due.
    fn rest(&mut self) {
        let handle = Handle::new(&self.shared);
        self.blocked.fill(0);
        self.ledger().rests = true;
        self.app.1.lock().unwrap().clear();
        for _ in 0..4 {
            self.settle();
        }
        // Clients that have paused continue to read.
        let ids: Vec<_> = self.ledger().connections.keys().copied().collect();
        for id in ids {
            while handle.topics("/now").subscribe(id, "wake") == Err(HandleError::Busy) {
                self.settle();
            }
        }
        let counters = |world: &Self| {
            let stats = world.shared.stats();
            let sent = (stats.messages_sent, stats.bytes_sent, stats.bytes_received);
            (sent, stats.inbox_bytes)
        };
        let (mut before, mut quiet) = (counters(self), 0);
        for round in 0.. {
            assert!(round < 200, "it never comes to rest: {before:?}");
            self.settle();
            let now = counters(self);
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
            // Longer than the gate waits for a subscriber.
            if quiet == 10 {
                break;
            }
        }
        assert_eq!(before.1, 0, "commands are stuck");
        let mut ledger = self.app.0.lock().unwrap();
        let (reports, asked) = ledger.reports;
        assert_eq!(reports, asked, "reports of connections");
        for (at, peer) in self.local.iter().enumerate() {
            let id = peer.id.unwrap();
            let open = |it: &ledger::Conn| (it.opened, it.closed) == (1, 0);
            if !peer.is_well() || !ledger.connections.get(&id).is_some_and(open) {
                continue;
            }
            peer.wire(|wire| assert_eq!(wire.read, wire.input.len(), "client {at} is not read"));
            assert_eq!(ledger.connections[&id].acts, peer.said, "client {at}");
            ledger.check_complete(id);
            ledger.seen.deflated += u64::from(!self.configs[1].extensions.is_empty());
        }
    }

    /// The clients close, or the server stops.
    fn finish(&mut self) {
        let stops = self.random.one_in(2);
        if stops {
            let at = self.now + Duration::from_secs(60);
            for inbox in &self.shared.inboxes {
                inbox.push(Command::ShutDown(at));
            }
        }
        let deadline = self.now + Duration::from_secs(200);
        let enough = self.now + Duration::from_secs(30);
        while !self.all_sessions.iter().all(|it| it.is_empty()) {
            assert!(self.now < deadline, "a session is stuck");
            self.now += Duration::from_millis(750);
            for peer in &mut self.local {
                if !stops {
                    peer.close();
                }
                if self.now > enough && !peer.is_over() && !peer.broken {
                    peer.break_off(false);
                }
            }
            self.settle();
        }
        self.settle();
    }

    // ---- what must hold -------------------------------------------------------------------------

    fn check_step(&mut self) {
        let ledger = self.app.0.lock().unwrap();
        // The longest command is a subscription with its kept messages, which an empty inbox takes;
        // and a message that stopped on its way is counted again.
        let message = match ledger.tight {
            Some(_) => SHORT + 200,
            None => 17_000,
        };
        let kept = ledger.topics.iter().map(|it| it.keeps).max();
        let longest = (2 + kept.unwrap_or(0)) * message;
        let bound = self.max_inbox + longest + ledger.forced;
        for inbox in &self.shared.inboxes {
            assert!(inbox.bytes() <= bound, "{} bytes wait", inbox.bytes());
        }
        let (handle, mut open) = (Handle::new(&self.shared), 0);
        for (id, conn) in &ledger.connections {
            assert!(conn.opened <= 1 && conn.closed <= conn.opened && conn.ended == conn.closed);
            let is_open = conn.opened > conn.closed;
            assert_eq!(handle.is_open(*id), is_open, "{id:?}");
            open += usize::from(is_open);
        }
        assert_eq!(handle.connection_count(), open);
        self.watch.check(&self.shared);
    }

    /// Asserts that all has ended, and nothing is left.
    fn check(&mut self) {
        let stats = self.shared.stats();
        let loads = self.shared.loads.iter();
        let loads = loads.map(|it| it.connections.load(Ordering::Relaxed) as u64);
        let gauges = [
            ("connections", stats.connections),
            ("topics", stats.topics),
            ("subscriptions", stats.subscriptions),
            ("queued_bytes", stats.queued_bytes),
            ("inbox_bytes", stats.inbox_bytes),
            ("permits", self.shared.connections.total() as u64),
            ("load", loads.sum()),
        ];
        for (name, gauge) in gauges {
            assert_eq!(gauge, 0, "{name}");
        }
        assert!(self.shared.directory.is_empty(), "records are left");
        let handle = Handle::new(&self.shared);
        let ledger = self.app.0.lock().unwrap();
        for log in &ledger.topics {
            assert!(log.members.is_empty() && members_of(&handle, &log.name).is_empty());
        }
        for sessions in &mut self.all_sessions {
            assert!(sessions.exchange.topics.is_empty() && sessions.cork.is_empty());
            assert!(sessions.exchange.pending.is_empty());
        }
        for (id, conn) in &ledger.connections {
            let once = (conn.opened, conn.closed, conn.ended);
            assert!(once == (1, 1, 1) || once == (0, 0, 0), "{id:?}: {once:?}");
        }
        for (at, peer) in self.local.iter().enumerate() {
            assert!(peer.peer.is_dropped(), "client {at}");
            let standing = self.shared.standing(peer.id.unwrap());
            assert_eq!(standing, Standing::Gone, "client {at}");
        }
    }
}

#[test]
fn whatever_workers_and_threads_do_each_connection_sees_one_order_without_gaps() {
    let seeds = match from_env("SOCKEYE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..from_env("SOCKEYE_SEEDS").unwrap_or(SEEDS),
    };
    let mut seen = Seen::default();
    for seed in seeds.clone() {
        let _naming = Naming(seed);
        let mut world = World::new(seed);
        world.run();
        world.rest();
        world.finish();
        world.check();
        seen.add(&world.ledger().seen);
        // An upgrade that the application has not decided holds the server, whose observer it is.
        world.app.1.lock().unwrap().clear();
        let server = Arc::downgrade(&world.shared);
        drop(world);
        assert!(server.upgrade().is_none(), "the server is left");
    }
    // The schedule reaches what it is meant to reach.
    if seeds.end - seeds.start >= SEEDS {
        std::println!("{seen:?}");
        if cfg!(not(feature = "deflate")) {
            seen.deflated += 1;
        }
        assert!(seen.all().iter().all(|it| *it > 0), "{seen:?}");
    }
}
