//! The simulated worker: its clock, its clients, and the schedule.

use super::*;
use crate::server::handle::Handle;

/// What the schedules reached, so that a test that tests nothing fails.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) clean: u64,
    pub(super) unclean: u64,
    /// Clients that heard all that they were sent.
    pub(super) complete: u64,
    pub(super) dropped: u64,
    /// Slots that had more than one owner.
    pub(super) reused: u64,
    /// Events of sessions that were over.
    pub(super) stale: u64,
}

pub(super) struct World {
    random: Random,
    now: Duration,
    sessions: Sessions<Sim>,
    shared: Arc<Shared>,
    app: App,
    clients: Vec<Client>,
    /// The number of the handle's next message.
    next: u64,
    /// Whether some messages may be dropped for later ones.
    lossy: bool,
    stale: u64,
}

const TOPICS: usize = 4;

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let app = App::default();
        let overflow = [Overflow::DropNewest, Overflow::DropOldest, Overflow::Close];
        let overflow = overflow[random.below(3)];
        let conflate = random.one_in(3);
        let config = Config {
            close_timeout: Duration::from_secs(5),
            ..Config::default()
        };
        let mut builder = Server::builder()
            .config(config)
            .overflow(overflow)
            .send_timeout(Duration::from_secs(20))
            .max_backpressure([600, 5_000, 1 << 20][random.below(3)])
            .pause_reading_at([200, 5_000, 1 << 20][random.below(3)])
            .observer(app.clone())
            .route("/now", app.clone());
        if conflate {
            builder = builder.topic("t3", TopicOptions::new().conflate());
        }
        if random.one_in(3) {
            builder = builder.max_lifetime(Duration::from_secs(20));
        }
        let Parts { shared, endpoints } = builder.parts(vec![None]).unwrap();
        Self {
            sessions: Sessions::new(Arc::clone(&shared), endpoints, 0, Duration::ZERO),
            random,
            now: Duration::ZERO,
            shared,
            app,
            clients: Vec::new(),
            next: 0,
            lossy: conflate || overflow == Overflow::DropOldest,
            stale: 0,
        }
    }

    /// Some hundreds of random steps.
    pub(super) fn run(&mut self) {
        for _ in 0..100 + self.random.below(200) {
            match self.random.below(10) {
                0 => self.connect(),
                1..5 => self.act(),
                5 => self.command(),
                _ => self.turn(),
            }
        }
    }

    fn connect(&mut self) {
        let sim = Sim::default();
        {
            let mut wire = sim.0.borrow_mut();
            wire.room = self.random.bytes();
            wire.faults = (!self.random.one_in(4)).then(|| Random(self.random.next()));
        }
        let mut client = Client::new(self.clients.len(), sim.clone(), self.random.next());
        let registers = !self.random.one_in(50);
        client.broken = !registers;
        self.shared.take_in(0);
        let permit = self.shared.connections.admit().unwrap();
        let (peer, token) = (([127, 0, 0, 1], 1).into(), &mut client.token);
        self.sessions
            .at(self.now)
            .insert(sim, peer, permit, |_, it| {
                *token = Some(it);
                registers
            });
        self.clients.push(client);
    }

    /// A random action of a client, or of its wire.
    fn act(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        // One of the latest, since the first ones are over.
        let random = &mut self.random;
        let at = self.clients.len() - random.below(self.clients.len().min(6)) - 1;
        let client = &mut self.clients[at];
        let (topic, filling) = (random.below(TOPICS), random.bytes());
        match random.below(26) {
            0..4 => client.say("echo", topic, filling),
            4..6 => (0..=random.below(4)).for_each(|_| client.say("publish", topic, filling)),
            6..8 => {
                let what = if random.one_in(3) { "both" } else { "all" };
                (0..=random.below(4)).for_each(|_| client.say(what, topic, filling));
            }
            8..11 => client.say("subscribe", topic, 0),
            11 => client.say("unsubscribe", topic, 0),
            12 => client.say("begin", topic, filling),
            13..15 => client.say("finish", topic, 0),
            15 if random.one_in(3) => client.say("close", topic, 0),
            16 if random.one_in(4) => client.say("terminate", topic, 0),
            17 if random.one_in(3) => client.close(),
            18 if random.one_in(4) => client.break_off(random.one_in(2)),
            19 if random.one_in(4) => client.deaf = true,
            20 if random.one_in(6) => client.say("panic", topic, 0),
            21 if random.one_in(3) => client.say("pause", topic, 0),
            _ => client.wire(|wire| {
                wire.arrive(filling);
                wire.give_room(filling);
            }),
        }
    }

    /// A random call of another thread, for one connection or all.
    fn command(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        let random = &mut self.random;
        let token = self.clients[random.below(self.clients.len())].token;
        let token = token.unwrap();
        let topic: Arc<str> = format!("t{}", random.below(TOPICS)).into();
        let filling = "y".repeat(random.bytes());
        let text = format!("told {topic} handle {} {filling}", self.next);
        self.next += 1;
        let (handle, id) = (Handle::new(&self.shared), ConnectionId::new(0, token));
        // Some of these calls find the connection over.
        let _ = match random.below(12) {
            0..3 => handle.send(id, &*text),
            3..7 => handle.topics("/now").publish(&topic, &*text).map(drop),
            7..9 => handle.topics("/now").subscribe(id, &topic).map(drop),
            9 => handle.topics("/now").unsubscribe(id, &topic),
            10 if random.one_in(2) => handle.close(id, CloseCode(4001), "told to"),
            11 if random.one_in(3) => handle.terminate(id),
            _ => handle.connections(drop),
        };
        self.sessions.at(self.now).work();
    }

    /// A turn of the worker: the events of one poll, then what else is due.
    fn turn(&mut self) {
        let _thread = self.sessions.on_its_thread();
        let step = [0, 1, 30, 300, 2_000][self.random.below(5)];
        self.now += Duration::from_millis(step);
        let mut events = self.events();
        // In any order, and some that are spurious.
        for at in (1..events.len()).rev() {
            events.swap(at, self.random.below(at + 1));
        }
        if !self.clients.is_empty() && self.random.one_in(3) {
            let at = self.random.below(self.clients.len());
            let token = self.clients[at].token.unwrap();
            events.push((token, self.random.one_in(2), false));
        }
        for (token, readable, ended) in events {
            // An earlier event of this batch may have ended the session, and another may have its
            // slot.
            self.stale += u64::from(self.sessions.slab.get_mut(token).is_none());
            self.sessions.at(self.now).ready(token, readable, ended);
            if self.random.one_in(8) {
                self.connect();
            }
        }
        self.sessions.at(self.now).end_turn();
        for client in &mut self.clients {
            if !client.deaf && !self.random.one_in(3) {
                client.listen();
            }
        }
    }

    fn events(&mut self) -> Vec<(Token, bool, bool)> {
        let mut events = Vec::new();
        for client in &self.clients {
            client.wire(|wire| {
                if let Some((readable, ended)) = wire.take_event() {
                    events.push((client.token.unwrap(), readable, ended));
                }
            });
        }
        events
    }

    /// The clients close, or the server stops; from here on no wire has faults.
    pub(super) fn finish(&mut self) {
        let stops = self.random.one_in(2);
        if stops {
            let at = self.now + Duration::from_secs(60);
            self.sessions.at(self.now).tell(Command::ShutDown(at));
        }
        let _thread = self.sessions.on_its_thread();
        let deadline = self.now + Duration::from_secs(200);
        let enough = self.now + Duration::from_secs(30);
        while !self.sessions.is_empty() {
            assert!(self.now < deadline, "a session is stuck");
            for client in &mut self.clients {
                client.wire(|wire| {
                    wire.faults = None;
                    let left = wire.input.len();
                    wire.arrive(left);
                    wire.give_room(1 << 20);
                });
                if !stops {
                    client.close();
                    // A session that has paused doesn't reply; a client that waits for it breaks
                    // off in the end.
                    if self.now > enough && !client.closed() && !client.broken {
                        client.break_off(false);
                    }
                }
                if !client.deaf {
                    client.listen();
                }
            }
            for (token, readable, ended) in self.events() {
                self.sessions.at(self.now).ready(token, readable, ended);
            }
            self.sessions.at(self.now).end_turn();
            self.now += Duration::from_millis(500);
        }
        for client in &mut self.clients {
            client.listen();
        }
    }

    /// Asserts what must hold when all has ended.
    pub(super) fn check(&mut self, seen: &mut Seen) {
        let stats = self.shared.stats();
        let gauges = [
            ("connections", stats.connections),
            ("topics", stats.topics),
            ("subscriptions", stats.subscriptions),
            ("queued_bytes", stats.queued_bytes),
            ("permits", self.shared.connections.total() as u64),
            (
                "load",
                self.shared.loads[0].connections.load(Ordering::Relaxed) as u64,
            ),
        ];
        for (name, gauge) in gauges {
            assert_eq!(gauge, 0, "{name}");
        }
        assert!(self.sessions.exchange.topics.is_empty() && self.sessions.cork.is_empty());
        // Entries of sessions that are over are removed when they expire: the horizon is about a
        // minute.
        self.sessions.at(self.now).drive_again();
        self.sessions
            .at(self.now + Duration::from_secs(70))
            .expire();
        assert_eq!(
            (
                self.sessions.exchange.again.len(),
                self.sessions.wheel.len()
            ),
            (0, 0)
        );

        let lives = self.app.0.lock().unwrap();
        assert_eq!(stats.connections_opened, lives.len() as u64);
        assert_eq!(stats.closes.sum(), lives.len() as u64);
        for (id, life) in &*lives {
            assert_eq!((life.opened, life.closed), (1, 1), "{id:?}");
            assert!(life.end.is_some(), "{id:?}");
        }
        for (at, client) in self.clients.iter().enumerate() {
            assert!(client.peer.is_dropped(), "client {at}");
            let token = client.token.unwrap();
            let life = lives.get(&ConnectionId::new(0, token));
            check_client(client, life, self.lossy, seen);
            seen.reused += u64::from(token.0 > u32::MAX as usize);
        }
        seen.dropped += stats.dropped;
        seen.stale += self.stale;
    }
}

/// Asserts that a client that closed in order got all that it was due.
fn check_client(client: &Client, life: Option<&Life>, lossy: bool, seen: &mut Seen) {
    let Some((stats, code, clean)) = life.and_then(|it| it.end.as_ref()) else {
        assert!(!client.accepted(), "it was told that it is open");
        return;
    };
    match clean {
        true => seen.clean += 1,
        false => seen.unclean += 1,
    }
    // Nothing follows the server's Close, so everything before it has arrived.
    if *clean && client.closed() && !client.broken {
        let (heard, sent) = (client.messages, stats.messages_sent);
        let all = heard == sent;
        assert!(all || lossy && heard < sent, "{heard} of {sent}, {code:?}");
        seen.complete += u64::from(all && sent > 0);
    }
}
