//! Sending to a connection that is being driven: the outcome of a message, and the counters.

use std::mem;
use std::vec::Vec;

use super::outcome::{Overflow, Sent};
use super::outgoing::Outgoing;
use super::{Given, LocalDelivery, SocketIo, WebSocket};
use crate::error::Misuse;
use crate::proto::{Encoding, Message, MessageRef, PreparedMessage};
use crate::server::end::EndKind;
use crate::server::observe::Metrics;
use crate::server::write_queue::Keep;

/// From this length on an assembled message leaves in its own buffer instead of being copied into
/// the cork.
const IN_PLACE_FROM: usize = 16 * 1024;

impl SocketIo<'_> {
    /// Always inlined into its callers, where the form of the message is known.
    #[inline(always)]
    pub(in crate::server) fn send(&mut self, message: Outgoing<'_>) -> Sent {
        match message {
            Outgoing::Message(message)
                if message.len() >= IN_PLACE_FROM && !message.is_borrowed() =>
            {
                self.send_in_place(message)
            }
            Outgoing::Message(message) => {
                let length = message.len();
                if !self.fast_path().sends(self.cork.len(), length) {
                    return self.send_late((&message).into(), Encoding::Auto);
                }
                let sent = self.ws.connection.send_received(message, self.cork);
                self.sent_clear(sent, length)
            }
            Outgoing::Ref(message) => self.send_ref(message, Encoding::Auto),
            Outgoing::Prepared(message) => self.append(message.payload().len(), |ws, out| {
                ws.connection.send_prepared(message, out)
            }),
        }
    }

    #[inline]
    pub(in crate::server) fn send_ref(
        &mut self,
        message: MessageRef<'_>,
        encoding: Encoding,
    ) -> Sent {
        let length = message.as_bytes().len();
        if !self.fast_path().sends(self.cork.len(), length) {
            return self.send_late(message, encoding);
        }
        let sent = self.ws.connection.send_with(message, encoding, self.cork);
        self.sent_clear(sent, length)
    }

    /// Like [`count_sent`](Self::count_sent), with nothing in the way.
    #[inline]
    fn sent_clear(&mut self, sent: Result<(), Misuse>, length: usize) -> Sent {
        if sent.is_err() {
            return Sent::Dropped;
        }
        self.worker.metrics.messages_sent.add(1);
        self.ws.account.sent(1, length, self.worker.instant);
        Sent::Sent
    }

    /// Like [`send_ref`](Self::send_ref), if something may be in the way.
    #[inline(never)]
    fn send_late(&mut self, message: MessageRef<'_>, encoding: Encoding) -> Sent {
        self.append(message.as_bytes().len(), |ws, out| {
            ws.connection.send_with(message, encoding, out)
        })
    }

    /// Appends one message of `length` bytes to the cork, or to the queue if it may be dropped
    /// later.
    #[inline]
    pub(in crate::server) fn append(
        &mut self,
        length: usize,
        encode: impl FnOnce(&mut WebSocket, &mut Vec<u8>) -> Result<(), Misuse>,
    ) -> Sent {
        if !self.ws.connection.is_open() || self.ws.end().is_some() {
            return Sent::Dropped;
        }
        let metrics = &self.worker.metrics;
        let corked = self.cork.len();
        if !self.fits(length)
            && !self
                .ws
                .make_room(self.queue, corked, length, metrics, self.worker.now)
        {
            if matches!(self.ws.end(), Some(EndKind::Backpressure)) {
                // Its Close is queued, and what the cork holds would follow it.
                self.cork.clear();
            }
            return self.dropped();
        }
        if self.may_be_dropped() {
            let mut frame = Vec::new();
            // The peer may not get it, nor what came before it, so no later message may refer to
            // it.
            self.ws.connection.forget();
            if encode(self.ws, &mut frame).is_err() {
                return Sent::Dropped;
            }
            self.ws.connection.forget();
            self.uncork();
            self.queue.push(frame, 0, Keep::UntilFull);
        } else if encode(self.ws, self.cork).is_err() {
            return Sent::Dropped;
        }
        self.count_sent(length)
    }

    #[inline]
    fn fits(&self, length: usize) -> bool {
        self.ws.fits(self.queue, self.cork.len(), length)
    }

    #[inline]
    fn count_sent(&mut self, length: usize) -> Sent {
        self.worker.metrics.messages_sent.add(1);
        self.ws.sent(self.queue, length, self.worker.instant)
    }

    /// Returns whether a message that is sent now may be dropped to make room for later ones.
    #[inline]
    fn may_be_dropped(&self) -> bool {
        self.queue.is_blocked() && self.ws.options.overflow == Overflow::DropOldest
    }

    fn dropped(&self) -> Sent {
        self.worker.metrics.dropped.add(1);
        Sent::Dropped
    }

    /// Moves what the cork holds to the queue, before what is queued next.
    fn uncork(&mut self) {
        if !self.cork.is_empty() {
            self.queue.extend(self.cork);
            self.cork.clear();
        }
    }

    /// Sends a message that doesn't belong to the fragmented one under way, and waits for its end.
    pub(super) fn send_between(&mut self, message: &PreparedMessage, keep: Keep) -> Sent {
        let open = self.ws.connection.is_open() && self.ws.end().is_none();
        match self.ws.sending && open {
            true => {
                self.uncork();
                let sent = self.ws.hold(self.queue, message, keep, self.worker);
                let Metrics {
                    messages_sent,
                    dropped,
                    ..
                } = &*self.worker.metrics;
                match sent {
                    Sent::Dropped => dropped.add(1),
                    _ => messages_sent.add(1),
                }
                sent
            }
            false => self.send(Outgoing::Prepared(message)),
        }
    }

    fn send_in_place(&mut self, message: Message<'_>) -> Sent {
        let mut frame = None;
        let sent = self.append(message.len(), |ws, out| {
            frame = ws.connection.send_in_place(message, out)?;
            Ok(())
        });
        if let Some(frame) = frame {
            self.uncork();
            let (buffer, start) = frame.into_payload().into_parts();
            let keep = match self.may_be_dropped() {
                true => Keep::UntilFull,
                false => Keep::Always,
            };
            self.queue.push(buffer, start, keep);
        }
        sent
    }

    pub(in crate::server) fn send_fragment(
        &mut self,
        fragment: MessageRef<'_>,
        fin: bool,
    ) -> Result<Sent, Misuse> {
        // A fragment can't be dropped without the rest of its message.
        match fin {
            false => self.ws.connection.send_fragment(fragment, self.cork)?,
            true => (self.ws.connection).send_last_fragment(fragment, self.cork)?,
        }
        self.ws.sending = !fin;
        if fin
            && let Some(cold) = &mut self.ws.cold
            && !cold.held.is_empty()
        {
            let held = mem::take(&mut cold.held);
            self.uncork();
            let worker = self.worker;
            for (message, keep) in held {
                // They had room when they were held.
                let number = self.local.number();
                let mut delivery = LocalDelivery::new(&message, keep, number, worker).hurry();
                let given = self.ws.take(self.queue, &mut delivery, &worker.pool);
                if given == Given::Sent(Sent::Dropped) {
                    worker.metrics.dropped.add(1);
                }
            }
        }
        let length = fragment.as_bytes().len();
        if fin {
            return Ok(self.count_sent(length));
        }
        // The message counts once it is complete.
        Ok(self.ws.appended(self.queue, length, self.worker.instant))
    }
}
