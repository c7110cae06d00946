//! The sessions of one worker and what they share, apart from the operating system's event queue.
//!
//! Generic over the transport, with the clock as data, so that a whole server also runs in
//! simulation. Who polls and accepts is the [`Worker`](super::worker::Worker).

mod others;

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use mio::Token;

use self::others::{Exchange, Others};
use super::handle::{Command, ConnectionId};
use super::handler::End;
use super::limits::Permit;
use super::link::{Context, Delivery, Peers};
use super::session::{Next, Session, Turn};
use super::shared::Shared;
use super::slab::{self, Slab};
use super::timer_wheel::TimerWheel;
use crate::net::{Keep, Spares, Transport};
use crate::proto::Spare;

/// One for the worker, so its size is no cost per connection. What a socket has at once is often
/// 64 KiB in all: with the headers, that fits whole. More makes no measurable difference.
pub(super) const RECEIVE_BUFFER: usize = 96 * 1024;

/// Sessions driven without an event of theirs before the others get their turn: writing to this
/// many takes a few milliseconds, which is what a published message may delay a ping's answer.
const AGAIN_PER_TURN: usize = 512;

pub(super) struct Hub<T> {
    context: Context,
    worker: usize,
    sessions: Slab<Session<T>>,
    wheel: TimerWheel,
    exchange: Exchange,
    buffer: Vec<u8>,
    cork: Vec<u8>,
    spares: Spares,
    spare: Spare,
    /// The server stops; what is left then is dropped.
    stop_at: Option<Duration>,
}

impl<T: Transport> Hub<T> {
    pub(super) fn new(shared: Arc<Shared>, worker: usize, now: Duration) -> Self {
        Self {
            context: Context::new(shared, worker, now),
            worker,
            sessions: Slab::new(),
            wheel: TimerWheel::new(now),
            exchange: Exchange::default(),
            buffer: vec![0; RECEIVE_BUFFER],
            cork: Vec::new(),
            spares: Spares::default(),
            spare: Spare::default(),
            stop_at: None,
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.context.shared
    }

    /// From here on it is `now`: all of a turn of the worker's loop has one time.
    pub(super) fn at(&mut self, now: Duration) -> &mut Self {
        self.context.at(now);
        self
    }

    /// Whether it was told to stop.
    pub(super) fn stops(&self) -> bool {
        self.stop_at.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sessions.len() == 0
    }

    /// How long nothing is to be done without an event; None for ever.
    pub(super) fn patience(&self) -> Option<Duration> {
        if !self.exchange.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let now = self.context.now;
        let wheel = self.wheel.next(now);
        match self.stop_at {
            None => wheel,
            Some(at) => wheel.into_iter().chain([at.saturating_sub(now)]).min(),
        }
    }

    /// Takes a connection; `register` makes its events known under its token.
    pub(super) fn insert(
        &mut self,
        transport: T,
        peer: SocketAddr,
        permit: Permit,
        register: impl FnOnce(&mut T, Token) -> bool,
    ) {
        let session = Session::new(
            transport,
            peer,
            permit,
            &self.context.shared,
            self.context.now,
        );
        let token = self.sessions.insert(session);
        let session = self.sessions.get_mut(token);
        if session.is_some_and(|it| register(it.transport_mut(), token)) {
            // Its deadline runs also if it never sends a byte.
            self.drive(token);
        } else {
            self.drop_session(token);
        }
    }

    /// The transport of a session can be read (up to its end, if `read_closed`) or written.
    #[inline]
    pub(super) fn ready(&mut self, token: Token, readable: bool, read_closed: bool) {
        // An event of a session that is gone has a token that is gone.
        self.drive_by(token, |session, turn| {
            if readable {
                session.set_readable(read_closed);
            }
            session.drive(turn)
        });
    }

    /// The transport of a session has failed; what it received before can still be read.
    pub(super) fn broken(&mut self, token: Token) {
        if let Some(session) = self.sessions.get_mut(token) {
            session.set_broken();
        }
    }

    /// Drives the sessions whose deadline may have passed.
    pub(super) fn expire(&mut self) {
        let now = self.context.now;
        while let Some((tick, places)) = self.wheel.expire(now) {
            for place in places {
                let Some(token) = self.sessions.token_at(place) else {
                    continue;
                };
                if let Some(session) = self.sessions.get_mut(token)
                    && session.scheduled == Some(tick)
                {
                    session.scheduled = None;
                    self.drive(token);
                }
            }
        }
        if self.stop_at.is_some_and(|at| now >= at) {
            for token in self.sessions.tokens() {
                self.drive_by(token, |session, turn| {
                    session.terminate(End::ShutDown, turn)
                });
            }
        }
    }

    /// Drives sessions that wait for their turn without an event.
    pub(super) fn drive_again(&mut self) {
        for _ in 0..self.exchange.again.len().min(AGAIN_PER_TURN) {
            let Some(token) = self.exchange.again.pop_front() else {
                return;
            };
            if let Some(session) = self.sessions.get_mut(token) {
                session.queued = false;
                self.drive(token);
            }
        }
        if self.exchange.again.is_empty() {
            // Each subscriber was driven, which has written it, or made it its own; nor does a
            // burst go on, whose subscribers wait to be driven.
            self.spares.clear_published();
        }
    }

    /// Carries a command out.
    pub(super) fn obey(&mut self, command: Command) {
        let now = self.context.now;
        match command {
            Command::Send(token, message) => {
                let (context, mut others) = self.split();
                others.send(token, &Delivery::new(&message, Keep::Always, context));
            }
            Command::Publish(topic, message) => {
                let (context, mut others) = self.split();
                let keep = context.shared.keep(&topic);
                others.publish(&topic, Delivery::new(&message, keep, context), None);
            }
            Command::Close(token, code, reason) => self.drive_by(token, |session, turn| {
                session.close(code, &reason, turn);
                session.advance(false, turn)
            }),
            Command::Terminate(token) => self.drive_by(token, |session, turn| {
                session.terminate(End::Terminated, turn)
            }),
            Command::Subscribe(token, topic) => {
                self.drive_by(token, |session, turn| session.subscribe(&topic, turn))
            }
            Command::Unsubscribe(token, topic) => {
                self.drive_by(token, |session, turn| session.unsubscribe(&topic, turn))
            }
            Command::Decide(token, decision) => {
                self.drive_by(token, |session, turn| session.decide(decision, turn))
            }
            Command::Reply(token, response) => self.drive_by(token, |session, turn| {
                session.reply_deferred(&response, turn)
            }),
            Command::Inspect(receive) => {
                self.end_burst();
                let mut all = Vec::new();
                for token in self.sessions.tokens() {
                    let session = self.sessions.get_mut(token);
                    let id = ConnectionId::new(self.worker, token);
                    all.extend(session.and_then(|it| it.stats(id, now)));
                }
                // A panic is the asking thread's own affair: the worker lives.
                let _ = catch_unwind(AssertUnwindSafe(|| receive(all)));
            }
            Command::ShutDown(within) => {
                if self.stop_at.is_some() {
                    return;
                }
                self.stop_at = Some(now.saturating_add(within));
                for token in self.sessions.tokens() {
                    self.drive_by(token, Session::shut_down);
                }
            }
        }
    }

    fn drive(&mut self, token: Token) {
        self.drive_by(token, Session::drive);
    }

    #[inline]
    fn drive_by(&mut self, token: Token, how: impl FnOnce(&mut Session<T>, &mut Turn<'_>) -> Next) {
        if self.exchange.burst.goes_on() {
            self.end_burst();
        }
        // Lent, so that what it publishes reaches the others.
        let Some((session, sessions)) = self.sessions.lend(token) else {
            return;
        };
        let mut peers = Others {
            sessions,
            exchange: &mut self.exchange,
            spares: &self.spares,
        };
        let mut turn = Turn {
            id: ConnectionId::new(self.worker, token),
            context: &self.context,
            buffer: &mut self.buffer,
            cork: &mut self.cork,
            spares: &self.spares,
            spare: &mut self.spare,
            drained: false,
            peers: &mut peers,
        };
        let queued = session.queued_bytes();
        let next = how(session, &mut turn);
        debug_assert!(next == Next::Drop || !session.holds_published());
        if next == Next::Settled && queued == 0 {
            return;
        }
        let gauge = &self.context.metrics.queued_bytes;
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
        let deadline = session.deadline(&self.context.shared);
        session.scheduled = self
            .wheel
            .schedule(slab::place(token), deadline, session.scheduled);
    }

    /// Closing the transport takes it out of the poll as well.
    fn drop_session(&mut self, token: Token) {
        let Some(session) = self.sessions.remove(token) else {
            return;
        };
        let gauge = &self.context.metrics.queued_bytes;
        gauge.set(gauge.value() - session.queued_bytes() as u64);
        drop(session);
        self.context.shared.left(self.worker);
    }

    /// Before a session is driven, or looked at.
    #[cold]
    fn end_burst(&mut self) {
        self.split().1.end_burst();
    }

    /// All sessions, none being driven.
    fn split(&mut self) -> (&Context, Others<'_, T>) {
        let others = Others {
            sessions: self.sessions.all(),
            exchange: &mut self.exchange,
            spares: &self.spares,
        };
        (&self.context, others)
    }
}

#[cfg(test)]
mod tests;
