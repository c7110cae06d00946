//! Whether the usual way can be taken.
//!
//! Nearly always a connection is open, with nothing under way but messages and nothing waiting to
//! be written. Receiving, sending, fan-out and the end of a turn each have a way for that with less
//! to look at. What stands in the way is asked here, and nowhere else.

use super::WebSocket;
use super::outcome::Overflow;
use crate::server::options::Options;
use crate::server::write_queue::WriteQueue;

/// Output that is written before the turn ends: one handler that sends much more than it received
/// must not fill the memory. The size of a read, so that an echo is never cut in two.
pub(in crate::server) const CORK_LIMIT: usize = 96 * 1024;

/// An open connection and its queue, as they are looked at for the usual way.
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

    /// Whether the next event can go to the application at once, with this much in the cork. If
    /// not, the session has something to do first.
    #[inline]
    pub(in crate::server) fn receives(self, corked: usize) -> bool {
        let backlog = || self.queue.len() > self.ws.options.pause_reading_at;
        corked <= CORK_LIMIT && !self.is_interrupted() && (self.queue.is_unused() || !backlog())
    }

    /// Whether a message of this length can be appended to the cork as it is.
    #[inline]
    pub(in crate::server) fn sends(self, corked: usize, length: usize) -> bool {
        self.queue.is_unused()
            && corked + length <= self.ws.options.max_backpressure
            && self.ws.end().is_none()
    }

    /// How many bytes of published frames can be queued as they are.
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

    /// Whether nothing is under way but messages, nothing waits to be written, and no deadline can
    /// come earlier than it was.
    #[inline]
    pub(in crate::server) fn is_settled(self) -> bool {
        self.queue.is_unused() && self.settles()
    }

    /// Whether it is settled, or will be once what is queued is written.
    #[inline]
    pub(in crate::server) fn settles(self) -> bool {
        !self.queue.is_blocked()
            && self.ws.connection.is_settled()
            && !self.ws.draining.get()
            && !self.is_interrupted()
    }

    /// Whether it is settled after events that all [went through](Self::receives): only what was
    /// sent, and the connection, can have changed that.
    #[inline]
    pub(in crate::server) fn stays_settled(self) -> bool {
        self.queue.is_unused()
            && !self.ws.draining.get()
            && self.ws.connection.is_open()
            && self.ws.connection.is_between_messages()
    }

    /// Whether a call of the application, or a limit, has asked the session for something.
    #[inline]
    fn is_interrupted(self) -> bool {
        let cold = self.ws.cold.as_deref();
        self.ws.paused || cold.is_some_and(|it| it.interrupts())
    }
}
