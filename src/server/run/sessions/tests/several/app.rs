//! The application of the simulation of several workers: its handlers mix calls of their socket
//! with calls of a handle.
//!
//! The server catches a panic of a handler. So handlers assert with the ledger locked, which is
//! poisoned then.

use super::ledger::SHORT;
use super::*;

#[derive(Clone)]
pub(super) struct Several(pub(super) Arc<Mutex<Ledger>>, pub(super) Decisions);

/// Upgrades that wait for a decision.
pub(super) type Decisions = Arc<Mutex<Vec<Deferred<()>>>>;

/// A thread that calls a handle: one of the simulation's, or a worker's in its handler.
pub(super) struct Caller<'a> {
    pub(super) ledger: &'a Mutex<Ledger>,
    pub(super) handle: Handle,
    pub(super) thread: usize,
}

/// A message: its number, its offset if that is known, and filling.
fn text(message: usize, offset: u64, filling: usize) -> String {
    let filling = "abcdefghijklmnop".repeat(filling / 16 + 1);
    format!("{message:08} {offset:016} {filling}")
}

impl Caller<'_> {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    fn name(&self, topic: usize) -> String {
        self.ledger().topics[topic].name.clone()
    }

    /// How long a message may be.
    pub(super) fn filling(&self, random: &mut Random) -> usize {
        match self.ledger().tight {
            Some(_) => random.below(SHORT - 50),
            None => random.bytes(),
        }
    }

    pub(super) fn publish(
        &self,
        topic: usize,
        placed: bool,
        filling: usize,
    ) -> Result<(), HandleError> {
        let (name, message) = (self.name(topic), self.ledger().message(self.thread));
        let before = self.handle.topics("/now").subscriber_count(&name);
        let published = match placed {
            true => self
                .handle
                .topics("/now")
                .publish_with(&name, |at| text(message, at.offset, filling).into())?,
            false => self
                .handle
                .topics("/now")
                .publish(&name, &*text(message, 0, filling))?,
        };
        let mut ledger = self.ledger();
        assert_eq!((published.waiting, published.sent), (before, 0));
        let offset = published.position.unwrap().offset;
        ledger.published(message, topic, offset, None);
        Ok(())
    }

    pub(super) fn send(&self, to: ConnectionId, filling: usize) -> Result<(), HandleError> {
        let message = self.ledger().message(self.thread);
        self.handle.send(to, &*text(message, 0, filling))?;
        self.ledger().sent(message, to);
        Ok(())
    }

    pub(super) fn close(&self, id: ConnectionId) -> Result<(), HandleError> {
        let reason = format!("{} {}", self.thread, self.ledger().call());
        self.handle.close(id, CloseCode(4001), &reason)
    }

    /// Subscribes a connection, or ends its subscription, if this thread is the one that does.
    pub(super) fn subscribe(
        &self,
        id: ConnectionId,
        topic: usize,
        begin: bool,
    ) -> Result<(), HandleError> {
        if self.ledger().owner(id, topic) != self.thread {
            return Ok(());
        }
        let name = self.name(topic);
        if begin {
            let position = self.handle.topics("/now").subscribe(id, &name)?;
            self.ledger().subscribed(id, topic, position.offset);
        } else {
            self.handle.topics("/now").unsubscribe(id, &name)?;
            self.ledger().unsubscribed(id, topic, true);
        }
        Ok(())
    }

    pub(super) fn inspect(&self, ledger: &Arc<Mutex<Ledger>>) -> Result<(), HandleError> {
        let told = Arc::clone(ledger);
        self.handle
            .connections(move |_| told.lock().unwrap().reports.0 += 1)?;
        let mut ledger = self.ledger();
        ledger.reports.1 += ledger.workers;
        Ok(())
    }
}

impl Several {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap()
    }

    /// Notes what a handler sees of its backlog, and whether its own messages may find no room.
    fn look(&self, socket: &mut Socket<'_, ()>) {
        let mut ledger = self.ledger();
        if let Some(limit) = ledger.tight {
            let buffered = socket.buffered();
            let conn = ledger.conn(socket.id());
            conn.owes_drain |= buffered > 0 && socket.is_open();
            // What it catches up with is also in the way of its own messages.
            conn.lossy |= buffered + SHORT > limit || socket.io().worker.inbox.own() != 0;
        }
        ledger.seen.caught_up += u64::from(socket.io().worker.inbox.own() != 0);
    }

    fn send(&self, socket: &mut Socket<'_, ()>, filling: usize) {
        let (id, thread) = (socket.id(), socket.id().worker());
        let message = self.ledger().message(thread);
        let sent = socket.send(&*text(message, 0, filling));
        let waits = sent == Sent::Dropped && socket.is_open() && socket.buffered() > 0;
        let mut ledger = self.ledger();
        if sent != Sent::Dropped {
            ledger.sent(message, id);
        }
        ledger.conn(id).owes_drain |= waits || sent == Sent::Queued;
    }

    fn publish(&self, socket: &mut Socket<'_, ()>, topic: usize, random: &mut Random) {
        let (id, thread) = (socket.id(), socket.id().worker());
        let caller = self.caller(socket);
        let (name, filling) = (caller.name(topic), caller.filling(random));
        let message = self.ledger().message(thread);
        let count = socket.handle().topics("/now").subscriber_count(&name);
        let own = usize::from(socket.topics().any(|it| it == name));
        let (published, to_self) = match random.below(3) {
            0 => (socket.publish(&name, &*text(message, 0, filling)), false),
            1 => {
                let text = text(message, 0, filling);
                (socket.publish_to_all(&name, &*text), true)
            }
            _ => {
                let make = |at: Position| text(message, at.offset, filling).into();
                (socket.publish_with(&name, make), true)
            }
        };
        let mut ledger = self.ledger();
        if published.refused.is_some() {
            ledger.seen.refused += 1;
            return;
        }
        let given = published.sent + published.queued + published.dropped + published.waiting;
        let expected = if to_self { count } else { count - own };
        assert_eq!(given, expected, "{published:?} to_self {to_self} own {own}");
        let offset = published.position.unwrap().offset;
        ledger.published(message, topic, offset, (!to_self).then_some(id));
    }

    fn caller(&self, socket: &Socket<'_, ()>) -> Caller<'_> {
        Caller {
            ledger: &self.0,
            handle: socket.handle(),
            thread: socket.id().worker(),
        }
    }

    fn subscribe(&self, socket: &mut Socket<'_, ()>, topic: usize, begin: bool) {
        let (id, caller) = (socket.id(), self.caller(socket));
        if self.ledger().owner(id, topic) != caller.thread {
            return;
        }
        let name = caller.name(topic);
        if !begin {
            socket.unsubscribe(&name);
            self.ledger().unsubscribed(id, topic, false);
        } else if let Ok(subscribed) = socket.subscribe(&name) {
            let position = subscribed.position.offset;
            self.ledger().subscribed(id, topic, position);
        }
    }

    /// Joins the presence of a topic, updates it, or leaves it.
    fn presence(&self, socket: &mut Socket<'_, ()>, topic: usize, what: usize, data: &str) {
        let (id, thread) = (socket.id(), socket.id().worker());
        let name = self.caller(socket).name(topic);
        let message = self.ledger().message(thread);
        let mut told = None;
        let announce = |change: &PresenceChange| {
            told = Some(change.clone());
            Some(text(message, 0, 20).into())
        };
        // Every two connections may be one user.
        let user = format!("u{}", id.to_u64() % 8 / 2);
        match what {
            0 => _ = socket.join_presence(&name, &user, data, announce),
            1 => _ = socket.update_presence(&name, data, announce),
            _ => _ = socket.leave_presence(&name, announce),
        }
        let Some(change) = told else {
            return;
        };
        let offset = socket.handle().topics("/now").position(&name).offset;
        let mut ledger = self.ledger();
        ledger.forced += 2 * 300 * ledger.workers;
        ledger.seen.announced += 1;
        ledger.published(message, topic, offset, Some(id));
        let members = &mut ledger.topics[topic].members;
        match change {
            PresenceChange::Joined(it) | PresenceChange::Updated(it) => {
                members.insert(it.user.as_ref().into(), it.data.as_ref().into());
            }
            PresenceChange::Left(it) => assert!(members.remove(&*it.user).is_some()),
            PresenceChange::None => panic!("nothing was announced"),
        }
        assert_eq!(
            ledger.topics[topic].members,
            members_of(&socket.handle(), &name)
        );
    }

    /// A random action of a handler.
    fn act(&self, socket: &mut Socket<'_, ()>, random: &mut Random) {
        let id = socket.id();
        let (topics, other, rests) = {
            let ledger = self.ledger();
            let other = ledger.pick(random).unwrap_or(id);
            (ledger.topics.len(), other, ledger.rests)
        };
        let topic = random.below(topics);
        let caller = self.caller(socket);
        self.look(socket);
        let filling = caller.filling(random);
        let asked = match random.below(30) {
            0..5 => return self.send(socket, filling),
            5..9 => return self.publish(socket, topic, random),
            9..12 => caller.publish(topic, random.one_in(2), filling),
            12..15 => caller.send(id, filling),
            15..17 => caller.send(other, filling),
            17..20 => return self.subscribe(socket, topic, !random.one_in(3)),
            20..22 => caller.subscribe(id, topic, !random.one_in(3)),
            22..24 => caller.subscribe(other, topic, !random.one_in(3)),
            24 if random.one_in(12) => caller.close(other),
            25 if random.one_in(12) => {
                let reason = format!("{} {}", caller.thread, self.ledger().call());
                let _ = socket.close(CloseCode(4002), &reason);
                return;
            }
            26 if random.one_in(4) && !rests => {
                socket.pause();
                return self.ledger().conn(id).paused = true;
            }
            27 if !rests => return self.fragment(socket, filling),
            28 => {
                let data = format!("{}", random.below(3));
                return self.presence(socket, topic, random.below(3), &data);
            }
            29 if random.one_in(40) => return socket.terminate(),
            29 if random.one_in(40) => resume_unwind(Box::new("on purpose")),
            _ => return,
        };
        self.ledger().seen.refused += u64::from(asked == Err(HandleError::Busy));
    }

    fn fragment(&self, socket: &mut Socket<'_, ()>, filling: usize) {
        let (id, thread) = (socket.id(), socket.id().worker());
        let under_way = self.ledger().conn(id).fragment;
        if under_way {
            self.ledger().conn(id).fragment = socket.send_last_fragment("").is_err();
            return;
        }
        let message = self.ledger().message(thread);
        if socket.send_fragment(&*text(message, 0, filling)).is_ok() {
            let mut ledger = self.ledger();
            ledger.sent(message, id);
            // Until the fragmented message ends, only this much is held.
            let lossy = ledger.tight.is_some();
            let conn = ledger.conn(id);
            (conn.fragment, conn.lossy) = (true, conn.lossy || lossy);
        }
    }
}

pub(super) fn members_of(handle: &Handle, topic: &str) -> BTreeMap<String, String> {
    let members = handle.topics("/now").presence_members(topic).into_iter();
    members
        .map(|it| (it.user.as_ref().into(), it.data.as_ref().into()))
        .collect()
}

impl Handler for Several {
    type State = ();

    fn on_open(&self, socket: &mut Socket<'_, ()>) {
        let id = socket.id();
        let topics = {
            let mut ledger = self.ledger();
            ledger.conn(id).opened += 1;
            ledger.topics.len()
        };
        for topic in 0..topics {
            if id.to_u64() >> topic & 1 == 0 {
                self.subscribe(socket, topic, true);
            }
        }
        self.look(socket);
    }

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        let text = message.as_text().unwrap();
        let seed = text.split(' ').next().unwrap();
        let mut random = Random(seed.parse().unwrap());
        self.ledger().conn(socket.id()).acts += 1;
        for _ in 0..=random.below(4) {
            self.act(socket, &mut random);
        }
        self.look(socket);
    }

    fn on_drain(&self, socket: &mut Socket<'_, ()>) {
        let id = socket.id();
        let mut random = {
            let mut ledger = self.ledger();
            ledger.seen.drains += 1;
            let call = ledger.call();
            let conn = ledger.conn(id);
            (conn.owes_drain, conn.paused) = (false, false);
            Random(call)
        };
        socket.resume();
        if random.one_in(3) {
            self.act(socket, &mut random);
            self.look(socket);
        }
    }

    fn on_subscribe(
        &self,
        socket: &mut Socket<'_, ()>,
        topic: &str,
        _: Result<usize, SubscribeError>,
    ) {
        socket.resume();
        self.ledger().conn(socket.id()).paused = false;
        if topic == "wake" && self.ledger().conn(socket.id()).fragment {
            self.fragment(socket, 0);
        }
        self.look(socket);
    }

    fn on_close(&self, socket: &mut Socket<'_, ()>, _: &End) {
        let topics = self.ledger().topics.len();
        for topic in 0..topics {
            self.presence(socket, topic, 2, "");
        }
        let mut ledger = self.ledger();
        ledger.conn(socket.id()).closed += 1;
    }
}

impl Observer for Several {
    fn disconnected(&self, connection: &ConnectionStats, _: &End) {
        self.ledger().conn(connection.id).ended += 1;
    }
}
