//! What an application's calls do: sending, closing, and what is counted of them.
//!
//! Borrows what a turn lends; the connection itself is the [`Link`]. Topics are in `topics.rs`.

use std::mem;
use std::sync::Arc;
use std::vec::Vec;

use super::context::Context;
use super::outcome::{Overflow, Sent};
use super::outgoing::Outgoing;
use super::{Delivery, Given, Link, Peers, Remote};
use crate::error::Misuse;
use crate::proto::{Encoding, Message, MessageRef, PreparedMessage};
use crate::server::handler::EndKind;
use crate::server::id::ConnectionId;
use crate::server::limits::Verdict;
use crate::server::observe::Metrics;
use crate::server::output::{Keep, WriteQueue};
use crate::server::run::inbox::own_waits;

/// A socket without the application's state.
pub(in crate::server) struct SocketIo<'a> {
    pub(in crate::server) id: ConnectionId,
    pub(in crate::server) context: &'a Context,
    pub(in crate::server) remote: &'a Remote,
    pub(in crate::server) link: &'a mut Link,
    /// What this turn has appended.
    pub(in crate::server) cork: &'a mut Vec<u8>,
    pub(in crate::server) queue: &'a mut WriteQueue,
    pub(in crate::server) peers: &'a mut (dyn Peers + 'a),
}

/// Output that is written before the turn ends: one handler that answers with much more than it
/// was sent must not fill the memory. The size of a read, so that an echo is never cut in two.
pub(in crate::server) const CORK_LIMIT: usize = 96 * 1024;

/// From here on an assembled message leaves in its own buffer instead of being copied behind
/// the turn's other output.
const IN_PLACE_FROM: usize = 16 * 1024;

impl SocketIo<'_> {
    /// Counts a received message, or a piece of one, and asks the rate limits; whether the
    /// application gets it. A streamed message is refused from the piece on that was too much.
    #[inline]
    pub(in crate::server) fn allows(&mut self, first: bool, bytes: usize) -> bool {
        let account = &mut self.link.account;
        account.messages_received += u64::from(first);
        account.bytes_received += bytes as u64;
        self.context.metrics.messages_received.add(first.into());
        if !self.link.limited {
            return true;
        }
        if first || !self.link.refusing {
            self.link.refusing = !self.check_rate(first.into(), bytes);
        }
        !self.link.refusing
    }

    /// Asks the limits of the connection, its address and its key about what it sent, and does
    /// what they say.
    #[inline(never)]
    fn check_rate(&mut self, messages: u32, bytes: usize) -> bool {
        let now = self.context.now;
        let link = &mut *self.link;
        let options = Arc::clone(&link.options);
        let rare = link.rare.get_or_insert_default();
        let client_ip = self.remote.client_ip();
        let verdict = rare
            .rate
            .check(&options.rate_limit, messages, bytes, now)
            .and(|| match &self.context.shared.by_address {
                Some(limit) => limit.check(&client_ip, messages, bytes, now),
                None => Verdict::Deliver,
            })
            .and(|| match (&options.rate_by_key, rare.rate_key.as_deref()) {
                (Some(limit), Some(key)) => limit.table.check(key, messages, bytes, now),
                _ => Verdict::Deliver,
            });
        if verdict == Verdict::Deliver {
            return true;
        }
        self.context.metrics.rate_limited.add(1);
        match verdict {
            Verdict::Deliver => true,
            Verdict::DeliverThenPause(pause) => {
                rare.resume_at = Some(now.saturating_add(pause));
                true
            }
            Verdict::Drop => false,
            Verdict::Reply(text) => {
                // While a fragmented message is sent it is dropped, too.
                self.append(text.len(), |link, out| link.connection.send(text, out));
                false
            }
            Verdict::Close(code, reason) => {
                link.ends(EndKind::RateLimit(code));
                // It fails when the closing handshake began already.
                let _ = link.connection.close(code, reason, self.cork, now);
                false
            }
        }
    }

    /// Whether there is something for the session to look at after a call of the application.
    #[inline]
    pub(in crate::server) fn has_news(&self) -> bool {
        let queued = || self.queue.len() > self.link.options.pause_reading_at;
        self.cork.len() > CORK_LIMIT || self.link.has_news() || !self.queue.is_unused() && queued()
    }

    #[inline]
    fn buffered(&self) -> usize {
        self.queue.len() + self.cork.len()
    }

    /// As the application is told: if something waits, it is told when that is written.
    pub(in crate::server) fn buffered_seen(&self) -> usize {
        let buffered = self.buffered();
        if buffered > 0 && self.link.connection.is_open() {
            self.link.draining.set(true);
        }
        buffered
    }

    /// Carries out first what this thread has asked of the connection through a
    /// [`Handle`](crate::server::Handle).
    #[inline]
    pub(in crate::server) fn sync(&mut self) {
        if own_waits() {
            self.catch_up();
        }
    }

    /// Tells the others what has changed in the presence of a topic.
    pub(in crate::server) fn announce(&mut self, topic: &str, message: Option<Message<'static>>) {
        if let Some(message) = message {
            let message = PreparedMessage::new(&message, &self.link.options.config);
            self.publish(topic, false, true, |_| &message);
        }
    }

    /// Always inlined, into what has a message of a known form: its form is not asked for again.
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
                if !self.is_clear(length) {
                    return self.send_late((&message).into(), Encoding::Auto);
                }
                let sent = self.link.connection.send_received(message, self.cork);
                self.sent_clear(sent, length)
            }
            Outgoing::Ref(message) => self.send_ref(message, Encoding::Auto),
            Outgoing::Prepared(message) => self.append(message.payload().len(), |link, out| {
                link.connection.send_prepared(message, out)
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
        if !self.is_clear(length) {
            return self.send_late(message, encoding);
        }
        let sent = self.link.connection.send_with(message, encoding, self.cork);
        self.sent_clear(sent, length)
    }

    /// Whether nothing is in the way of a message of this length, as a rule.
    #[inline]
    fn is_clear(&self, length: usize) -> bool {
        self.queue.is_unused()
            && self.cork.len() + length <= self.link.options.max_backpressure
            && self.link.end().is_none()
    }

    /// As [`count_sent`](Self::count_sent), where nothing was in the way.
    #[inline]
    fn sent_clear(&mut self, sent: Result<(), Misuse>, length: usize) -> Sent {
        if sent.is_err() {
            return Sent::Dropped;
        }
        self.context.metrics.messages_sent.add(1);
        self.link.account.sent(1, length, self.context.instant);
        Sent::Sent
    }

    /// As [`send_ref`](Self::send_ref) where something may be in the way.
    #[inline(never)]
    fn send_late(&mut self, message: MessageRef<'_>, encoding: Encoding) -> Sent {
        self.append(message.as_bytes().len(), |link, out| {
            link.connection.send_with(message, encoding, out)
        })
    }

    /// Appends one message of `length` bytes to the turn's output.
    #[inline]
    pub(in crate::server) fn append(
        &mut self,
        length: usize,
        encode: impl FnOnce(&mut Link, &mut Vec<u8>) -> Result<(), Misuse>,
    ) -> Sent {
        if !self.link.connection.is_open() || self.link.end().is_some() {
            return Sent::Dropped;
        }
        let metrics = &self.context.metrics;
        let corked = self.cork.len();
        if !self.fits(length)
            && !self
                .link
                .make_room(self.queue, corked, length, metrics, self.context.now)
        {
            if matches!(self.link.end(), Some(EndKind::Backpressure)) {
                // Its Close is queued, and would be followed by what the cork holds.
                self.cork.clear();
            }
            return self.dropped();
        }
        if self.may_be_dropped() {
            let mut frame = Vec::new();
            // The peer may never get it, or not what came before it.
            self.link.connection.forget();
            if encode(self.link, &mut frame).is_err() {
                return Sent::Dropped;
            }
            self.link.connection.forget();
            self.uncork();
            self.queue.push(frame, 0, Keep::UntilFull);
        } else if encode(self.link, self.cork).is_err() {
            return Sent::Dropped;
        }
        self.count_sent(length)
    }

    #[inline]
    fn fits(&self, length: usize) -> bool {
        self.buffered() + length <= self.link.options.max_backpressure
    }

    #[inline]
    fn count_sent(&mut self, length: usize) -> Sent {
        self.context.metrics.messages_sent.add(1);
        self.link.sent(self.queue, length, self.context.instant)
    }

    /// Whether a message that is sent now may be dropped to make room for later ones.
    #[inline]
    fn may_be_dropped(&self) -> bool {
        self.queue.is_blocked() && self.link.options.overflow == Overflow::DropOldest
    }

    fn dropped(&self) -> Sent {
        self.context.metrics.dropped.add(1);
        Sent::Dropped
    }

    /// What the cork holds goes first.
    fn uncork(&mut self) {
        if !self.cork.is_empty() {
            self.queue.extend(self.cork);
            self.cork.clear();
        }
    }

    /// Sends what others may send, too: it waits for the end of a fragmented message.
    pub(super) fn send_between(&mut self, message: &PreparedMessage, keep: Keep) -> Sent {
        let open = self.link.connection.is_open() && self.link.end().is_none();
        match self.link.sending && open {
            true => {
                self.uncork();
                let sent = self.link.hold(self.queue, message, keep, self.context);
                let Metrics {
                    messages_sent,
                    dropped,
                    ..
                } = &*self.context.metrics;
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
        let sent = self.append(message.len(), |link, out| {
            frame = link.connection.send_in_place(message, out)?;
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
            false => self.link.connection.send_fragment(fragment, self.cork)?,
            true => (self.link.connection).send_last_fragment(fragment, self.cork)?,
        }
        self.link.sending = !fin;
        if fin
            && let Some(rare) = &mut self.link.rare
            && !rare.held.is_empty()
        {
            let held = mem::take(&mut rare.held);
            self.uncork();
            let context = self.context;
            for (message, keep) in held {
                // They had room.
                let number = self.peers.number();
                let mut delivery = Delivery::new(&message, keep, number, context).hurry();
                let given = self.link.take(self.queue, &mut delivery, &context.spares);
                if given == Given::Sent(Sent::Dropped) {
                    context.metrics.dropped.add(1);
                }
            }
        }
        let length = fragment.as_bytes().len();
        if fin {
            return Ok(self.count_sent(length));
        }
        // The message counts when it is whole.
        Ok(self.link.appended(self.queue, length, self.context.instant))
    }
}
