//! The sessions of one worker and what they share, apart from the operating system's event queue.
//!
//! Generic over the transport, with the clock as data, so that a whole server also runs in
//! simulation. The [`Worker`](super::worker::Worker) polls and accepts.

mod burst;
mod fan_out;
mod joint;
mod pending;
#[cfg(any(test, feature = "testing"))]
mod stepping;
mod stopping;
mod work;

use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use mio::Token;

use self::fan_out::{Exchange, FanOut};
use self::stopping::Draining;
use super::chores::Chores;
use super::slab::{self, Slab};
use super::timer_wheel::TimerWheel;
use crate::net::Transport;
use crate::proto::Scratch;
use crate::server::end::{EndKind, ErrorCause};
use crate::server::handle::Handle;
use crate::server::id::{ConnectionId, Standing};
use crate::server::limits::Permit;
use crate::server::route::Endpoints;
use crate::server::session::{Next, Session, Turn};
use crate::server::shared::Shared;
use crate::server::sync::lock;
use crate::server::websocket::WorkerState;

/// The size of the receive buffer. A worker has one, so that its size is no cost per connection. A
/// socket often has 64 KiB at once, which fits whole with the headers. A larger buffer makes no
/// measurable difference.
pub(in crate::server) const RECEIVE_BUFFER: usize = 96 * 1024;

/// The share of each part of a turn (events, commands, waiting sessions, deadlines), in bytes that
/// are read or written. The system calls of a drive count as [`DRIVE`] bytes. A share lasts about
/// two milliseconds, so that no part delays the others, or a ping, for longer.
const SHARE: u64 = 2 * 1024 * 1024;
const DRIVE: u64 = 4 * 1024;

/// Drives between two checks of the byte counters, since reading these has a cost, too.
const UNTIL_LOOK: u32 = 32;

pub(in crate::server) struct Sessions<T> {
    worker: WorkerState,
    endpoints: Arc<Endpoints>,
    index: usize,
    slab: Slab<Session<T>>,
    wheel: TimerWheel,
    /// Those of the server, on its first worker.
    chores: Chores,
    exchange: Exchange,
    buffer: Vec<u8>,
    cork: Vec<u8>,
    scratch: Scratch,
    /// Whether it accepts connections.
    accepting: bool,
    /// How far the server's drain is here, once it has begun.
    draining: Option<Draining>,
    /// When a server that stops drops the sessions that are left.
    stop_at: Option<Duration>,
    /// Sessions that have yet to begin to close, as the server stops.
    stopping: Vec<Token>,
    /// What the current part of the turn has used of its share.
    spent: Spent,
}

/// What a part of a turn has used of its share.
#[derive(Default)]
struct Spent {
    /// The byte counters at the beginning of the part.
    from: u64,
    drives: u64,
    /// Drives until the share is checked again.
    until_look: u32,
}

impl<T: Transport> Sessions<T> {
    pub(in crate::server) fn new(
        shared: Arc<Shared>,
        endpoints: Arc<Endpoints>,
        index: usize,
        now: Duration,
    ) -> Self {
        let chores = match index {
            0 => mem::take(&mut *lock(&endpoints.chores)),
            _ => Vec::new(),
        };
        let (chores, mut wheel) = (Chores::new(chores, now), TimerWheel::new(now));
        for (place, due) in chores.places() {
            wheel.schedule(place, Some(due), None);
        }
        Self {
            worker: WorkerState::new(shared, index, now),
            endpoints,
            index,
            slab: Slab::new(),
            wheel,
            chores,
            exchange: Exchange::default(),
            buffer: vec![0; RECEIVE_BUFFER],
            cork: Vec::new(),
            scratch: Scratch::new(),
            accepting: true,
            draining: None,
            stop_at: None,
            stopping: Vec::new(),
            spent: Spent::default(),
        }
    }

    pub(in crate::server) fn shared(&self) -> &Arc<Shared> {
        &self.worker.shared
    }

    pub(in crate::server) fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Begins a turn at `now`, which is the time for all of the turn. Takes the commands that have
    /// arrived by then; later ones wait for the events of the next poll, so that the end of a
    /// stream is seen before a command that was added after it.
    pub(in crate::server) fn at(&mut self, now: Duration) -> &mut Self {
        self.worker.at(now);
        if !self.worker.inbox.is_idle() {
            self.exchange.pending.take(&self.worker.inbox);
        }
        self.exchange.deliveries = work::DELIVERIES;
        self.begin_part();
        self
    }

    /// Begins a part of the turn, with a new share.
    fn begin_part(&mut self) {
        self.spent = Spent {
            from: self.bytes(),
            drives: 0,
            until_look: UNTIL_LOOK,
        };
    }

    /// Returns the bytes read and written so far.
    fn bytes(&self) -> u64 {
        let metrics = &self.worker.metrics;
        metrics.bytes_received.value() + metrics.bytes_sent.value()
    }

    /// Counts a drive; returns whether the part has used its share.
    #[inline]
    fn spend(&mut self) -> bool {
        self.spent.until_look -= 1;
        self.spent.until_look == 0 && self.is_spent()
    }

    #[inline(never)]
    fn is_spent(&mut self) -> bool {
        let bytes = self.bytes().wrapping_sub(self.spent.from);
        self.spent.drives += u64::from(UNTIL_LOOK);
        let is_spent = bytes + self.spent.drives * DRIVE > SHARE;
        // Once the share is used, each further call returns true.
        self.spent.until_look = if is_spent { 1 } else { UNTIL_LOOK };
        is_spent
    }

    pub(in crate::server) fn is_empty(&self) -> bool {
        self.slab.len() == 0
    }

    /// Returns how long to wait for an event; None if nothing else is due.
    pub(in crate::server) fn patience(&self) -> Option<Duration> {
        if !self.exchange.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = self.worker.now;
        let wheel = self.wheel.next(now);
        match (self.work_in(), self.stops_on()) {
            (None, None) => wheel,
            (work, stop) => {
                let stop = stop.map(|at| at.saturating_sub(now));
                wheel.into_iter().chain(work).chain(stop).min()
            }
        }
    }

    /// Adds a connection; `register` registers its transport for events under its token.
    pub(in crate::server) fn insert(
        &mut self,
        transport: T,
        peer: SocketAddr,
        permit: Permit,
        register: impl FnOnce(&mut T, Token) -> bool,
    ) {
        let session = Session::new(transport, peer, permit, &self.endpoints, self.worker.now);
        let token = self.slab.insert(session);
        self.set_standing(token, Standing::Opening);
        let session = self.slab.get_mut(token);
        if session.is_some_and(|it| register(it.transport_mut(), token)) {
            // The deadline runs even if the peer never sends a byte.
            self.drive(token);
        } else {
            self.drop_session(token);
        }
    }

    /// Drives a session whose transport can be read (up to its end, if `read_closed`) or written.
    #[inline]
    pub(in crate::server) fn ready(&mut self, token: Token, readable: bool, read_closed: bool) {
        if self.spend() {
            return self.ready_later(token, readable, read_closed);
        }
        // The token of a session that is over matches no session.
        self.drive_by(token, |session, turn| {
            if readable {
                session.set_readable(read_closed);
            }
            session.drive(turn)
        });
    }

    /// Like [`ready`](Self::ready), but drives the session later: the share is used.
    #[cold]
    fn ready_later(&mut self, token: Token, readable: bool, read_closed: bool) {
        if let Some(session) = self.slab.get_mut(token) {
            if readable {
                session.set_readable(read_closed);
            }
            self.drive_later(token);
        }
    }

    /// Queues a session to be driven without an event.
    fn drive_later(&mut self, token: Token) {
        if let Some(session) = self.slab.get_mut(token)
            && !session.queued
        {
            session.queued = true;
            self.exchange.again.push_back(token);
        }
    }

    /// Notes that the transport of a session has failed; what it received before can still be read.
    pub(in crate::server) fn broken(&mut self, token: Token) {
        if let Some(session) = self.slab.get_mut(token) {
            session.set_broken();
        }
    }

    /// Drives the sessions whose deadline may have passed.
    pub(in crate::server) fn expire(&mut self) {
        let now = self.worker.now;
        while let Some((tick, places)) = self.wheel.expire(now) {
            for place in places {
                let Some(token) = self.slab.token_at(place) else {
                    self.run_chore(place);
                    continue;
                };
                if let Some(session) = self.slab.get_mut(token)
                    && session.scheduled == Some(tick)
                {
                    session.scheduled = None;
                    match self.spend() {
                        true => self.drive_later(token),
                        false => self.drive(token),
                    }
                }
            }
        }
        if self.draining.is_some() {
            self.go_on_draining();
        }
        // Sessions begin to close before they are dropped, even if the deadline has already passed.
        if self.stopping.is_empty() && self.stop_at.is_some_and(|at| now >= at) {
            for token in self.slab.tokens() {
                self.drive_by(token, |session, turn| {
                    session.terminate(EndKind::ShutDown, turn)
                });
            }
        }
    }

    /// Does a chore of the server that may be due, if this place is one's.
    #[cold]
    fn run_chore(&mut self, place: u32) {
        if self.stops() {
            return;
        }
        let handle = Handle::new(&self.worker.shared);
        let Some((due, panicked)) = self.chores.run(place, self.worker.now, &handle) else {
            return;
        };
        if panicked {
            self.worker.metrics.errors.add(ErrorCause::Panic, 1);
        }
        self.wheel.schedule(place, Some(due), None);
    }

    /// Drives the sessions that wait for their turn without an event.
    pub(in crate::server) fn drive_again(&mut self) {
        if self.exchange.again.is_empty() {
            return self.look_at_gate();
        }
        self.begin_part();
        let waiting = self.exchange.again.len();
        let mut driven = 0;
        while driven < waiting {
            let Some(token) = self.exchange.again.pop_front() else {
                break;
            };
            driven += 1;
            if let Some(session) = self.slab.get_mut(token) {
                session.queued = false;
                self.drive(token);
                if self.spend() {
                    break;
                }
            }
        }
        self.exchange.fence = self.exchange.fence.saturating_sub(driven);
        if self.exchange.again.is_empty() {
            // Every subscriber was driven, and no burst continues, since its subscribers would be
            // waiting.
            self.worker.pool.turn_over();
            let kept = &self.worker.metrics.published_bytes;
            kept.set(self.worker.pool.kept() as u64);
        }
        // The subscriber that the gate waits for may have taken something, or nothing.
        self.look_at_gate();
    }

    fn drive(&mut self, token: Token) {
        self.drive_by(token, Session::drive);
    }

    #[inline]
    fn drive_by(&mut self, token: Token, how: impl FnOnce(&mut Session<T>, &mut Turn<'_>) -> Next) {
        if self.exchange.burst.goes_on() {
            self.end_burst();
        }
        // The session is lent, so that what it publishes can reach the others.
        let Some((session, sessions)) = self.slab.lend(token) else {
            return;
        };
        let mut local = FanOut {
            sessions,
            exchange: &mut self.exchange,
            pool: &self.worker.pool,
        };
        let mut turn = Turn {
            id: ConnectionId::new(self.index, token),
            worker: &self.worker,
            endpoints: &self.endpoints,
            buffer: &mut self.buffer,
            cork: &mut self.cork,
            scratch: &mut self.scratch,
            drained: false,
            local: &mut local,
        };
        let queued = session.queued_bytes();
        let next = how(session, &mut turn);
        debug_assert!(next == Next::Drop || !session.holds_published());
        if next == Next::Settled && queued == 0 {
            return;
        }
        let gauge = &self.worker.metrics.queued_bytes;
        if session.queued_bytes() != queued {
            gauge.set(gauge.value() + session.queued_bytes() as u64 - queued as u64);
        }
        match next {
            Next::Drop => return self.drop_session(token),
            Next::Again => {
                if !session.queued {
                    session.queued = true;
                    self.exchange.again.push_back(token);
                }
            }
            Next::Settled => return,
            Next::Wait => {}
        }
        let deadline = session.deadline(&self.endpoints.options);
        session.scheduled = self
            .wheel
            .schedule(slab::place(token), deadline, session.scheduled);
    }

    /// Drops a session. Closing the transport also removes it from the poll.
    fn drop_session(&mut self, token: Token) {
        let Some(session) = self.slab.remove(token) else {
            return;
        };
        let gauge = &self.worker.metrics.queued_bytes;
        gauge.set(gauge.value() - session.queued_bytes() as u64);
        drop(session);
        self.set_standing(token, Standing::Gone);
        self.worker.shared.left(self.index);
    }

    fn set_standing(&self, token: Token, standing: Standing) {
        let id = ConnectionId::new(self.index, token);
        self.worker.shared.set_standing(id, standing);
    }

    /// Ends the burst, before a session is driven or inspected.
    #[cold]
    fn end_burst(&mut self) {
        self.split().1.end_burst();
    }

    /// Returns all sessions, with none being driven.
    fn split(&mut self) -> (&WorkerState, FanOut<'_, T>) {
        let fan_out = FanOut {
            sessions: self.slab.all(),
            exchange: &mut self.exchange,
            pool: &self.worker.pool,
        };
        (&self.worker, fan_out)
    }
}

#[cfg(test)]
mod tests;
