//! Whether the fast path can be taken.
//!
//! Nearly always a connection is open, with nothing under way but messages and nothing waiting to
//! be written. Receiving, sending, fan-out and the end of a turn each have a fast path for that,
//! which checks less. Only this file decides whether it can be taken.

use super::WebSocket;
use super::outcome::Overflow;
use crate::server::options::Options;
use crate::server::write_queue::WriteQueue;

/// Output from which on it is written before the turn ends: a handler that sends much more than it
/// received must not fill the memory. The size of a read, so that an echo is never split, unless
/// half of what may wait is less: nothing is dropped that the transport would have taken.
pub(in crate::server) const CORK_LIMIT: usize = 96 * 1024;

/// Output that is left for the end of the turn, whatever may wait: limits below it are for tests.
const LITTLE: usize = 1024;

/// An open connection and its queue, as the fast path checks them.
#[derive(Clone, Copy)]
pub(in crate::server) struct FastPath<'a> {
    ws: &'a WebSocket,
    queue: &'a WriteQueue,
}

impl<'a> FastPath<'a> {
    #[inline]
    pub(in crate::server) fn of(ws: &'a WebSocket, queue: &'a WriteQueue) -> Self {
        Self { ws, queue }
    }

    /// Returns whether the next event can go to the application at once, with this much in the
    /// cork. If not, the session first has something to do.
    #[inline]
    pub(in crate::server) fn receives(self, corked: usize) -> bool {
        let waits = || self.queue.len() > self.ws.options.pause_reading_at || self.fills(corked);
        // The first check is the usual one, and the cheaper.
        (corked <= LITTLE || corked <= self.cork_limit())
            && !self.is_interrupted()
            && (self.queue.is_unused() || !waits())
    }

    /// Returns whether so much was sent, with this much in the cork, that it is written before the
    /// next event.
    #[inline]
    pub(in crate::server) fn fills(self, corked: usize) -> bool {
        corked + self.queue.len() > self.cork_limit() && !self.queue.is_blocked()
    }

    #[inline]
    fn cork_limit(self) -> usize {
        CORK_LIMIT.min(self.ws.options.max_backpressure / 2)
    }

    /// Returns whether a message of this length can be appended to the cork without further checks.
    #[inline]
    pub(in crate::server) fn sends(self, corked: usize, length: usize) -> bool {
        self.queue.is_unused()
            && corked + length <= self.ws.options.max_backpressure
            && self.ws.end().is_none()
    }

    /// Returns how many bytes of published frames can be queued without further checks.
    #[inline]
    pub(in crate::server) fn room_for_published(self) -> usize {
        let Options {
            overflow,
            max_backpressure,
            ..
        } = *self.ws.options;
        let ends = self.ws.ahead || self.ws.end().is_some();
        if self.queue.is_blocked() || ends || overflow == Overflow::DropOldest {
            return 0;
        }
        let room = max_backpressure.saturating_sub(self.queue.len());
        room.min(self.ws.connection.plain_below().saturating_sub(1))
    }

    /// Returns whether nothing is under way but messages, nothing waits to be written, and no
    /// deadline has moved forward.
    #[inline]
    pub(in crate::server) fn is_settled(self) -> bool {
        self.queue.is_unused() && self.settles()
    }

    /// Returns whether it is settled, or will be once the queue is written.
    #[inline]
    pub(in crate::server) fn settles(self) -> bool {
        !self.queue.is_blocked()
            && self.ws.connection.is_settled()
            && !self.ws.draining.get()
            && !self.is_interrupted()
    }

    /// Returns whether it is settled after events that all passed [`receives`](Self::receives):
    /// only what was sent, and the connection, can have changed that.
    #[inline]
    pub(in crate::server) fn stays_settled(self) -> bool {
        self.queue.is_unused()
            && !self.ws.draining.get()
            && self.ws.connection.is_open()
            && self.ws.connection.is_between_messages()
    }

    /// Returns whether the application, or a limit, has asked the session for something.
    #[inline]
    fn is_interrupted(self) -> bool {
        let cold = self.ws.cold.as_deref();
        self.ws.paused || cold.is_some_and(|it| it.interrupts())
    }
}
