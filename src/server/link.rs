//! An open connection apart from its application: what is sent to it and what it is subscribed
//! to.
//!
//! Owns what becomes of a message on its way out: room, backlog, order. Writing it is the
//! session's.

use std::boxed::Box;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use mio::Token;

use super::handle::{Command, ConnectionId};
use super::handler::End;
use super::limits::{RateState, Verdict};
use super::metrics::Metrics;
use super::observer::ConnectionStats;
use super::route::Options;
use super::shared::Shared;
use super::socket::{Outgoing, Overflow, Published, Sent, StoredRequest};
use super::topics::SubscribeError;
use crate::error::Misuse;
use crate::net::{Keep, WriteQueue};
use crate::proto::{CloseCode, Connection, Encoding, Message, MessageRef, PreparedMessage};

/// The other sessions of the worker, while one of them is driven.
pub(super) trait Peers {
    /// Delivers to this worker's subscribers but `except`.
    fn publish(
        &mut self,
        topic: &str,
        message: &PreparedMessage,
        except: Option<Token>,
    ) -> Published;

    fn subscribe(&mut self, topic: &Arc<str>, token: Token);

    fn unsubscribe(&mut self, topic: &str, token: Token);
}

/// An open connection, apart from its application.
pub(super) struct Link {
    pub(super) id: ConnectionId,
    pub(super) peer: SocketAddr,
    pub(super) connection: Connection,
    pub(super) options: Arc<Options>,
    pub(super) request: Option<Box<StoredRequest>>,
    pub(super) subscriptions: BTreeSet<Arc<str>>,
    /// Subscriptions that a command brought about, which the handler is still to be told.
    pub(super) told: Vec<Told>,
    /// What others sent while a fragmented message of the application's is under way.
    pub(super) held: Vec<(PreparedMessage, Keep)>,
    /// It is being sent.
    pub(super) sending: bool,
    /// `on_drain` is owed once the queue is empty.
    pub(super) draining: bool,
    /// The application doesn't want to read.
    pub(super) paused: bool,
    /// Why the connection ends, where neither the peer nor the protocol is the reason.
    pub(super) end: Option<End>,
    /// When its lifetime is over.
    pub(super) expires: Option<Duration>,
    /// The rest of the streamed message under way is refused, as a piece of it was.
    refusing: bool,
    /// It sent too fast: nothing is read until then.
    pub(super) resume_at: Option<Duration>,
    pub(super) client_ip: IpAddr,
    /// A limit of messages or bytes over time holds for it, its address or its key.
    pub(super) limited: bool,
    /// How much of its rate limit is used up.
    pub(super) rate: RateState,
    /// What the route's limit by key counts it under.
    pub(super) rate_key: Option<Box<str>>,
    /// The topics in whose presence it is.
    pub(super) joined: BTreeSet<Box<str>>,
    pub(super) account: Account,
}

/// What a connection sent and received.
#[derive(Default)]
pub(super) struct Account {
    pub(super) opened: Duration,
    pub(super) active: Duration,
    pub(super) messages_received: u64,
    pub(super) bytes_received: u64,
    pub(super) messages_sent: u64,
    pub(super) bytes_sent: u64,
}

pub(super) enum Told {
    Subscribed(Arc<str>, Result<usize, SubscribeError>),
    Unsubscribed(Arc<str>, usize),
}

impl Link {
    pub(super) fn new(
        id: ConnectionId,
        peer: SocketAddr,
        client_ip: IpAddr,
        connection: Connection,
        options: &Arc<Options>,
        now: Duration,
    ) -> Self {
        let expires = options.max_lifetime.map(|lifetime| {
            // A tenth more or less: the id decides, which is as good as chance here.
            let jitter = RandomState::new().hash_one(id) % 200;
            now.saturating_add(lifetime.mul_f64(0.9 + jitter as f64 / 1000.0))
        });
        Self {
            id,
            peer,
            connection,
            options: Arc::clone(options),
            request: None,
            subscriptions: BTreeSet::new(),
            told: Vec::new(),
            held: Vec::new(),
            sending: false,
            draining: false,
            paused: false,
            end: None,
            expires,
            refusing: false,
            resume_at: None,
            client_ip,
            limited: options.rate_limit.messages.is_some()
                || options.rate_limit.bytes.is_some()
                || options.rate_by_key.is_some(),
            rate: RateState::default(),
            rate_key: None,
            joined: BTreeSet::new(),
            account: Account {
                opened: now,
                active: now,
                ..Account::default()
            },
        }
    }

    pub(super) fn stats(&self, buffered: usize, now: Duration) -> ConnectionStats {
        let account = &self.account;
        ConnectionStats {
            id: self.id,
            peer_addr: self.peer,
            client_ip: self.client_ip,
            age: now.saturating_sub(account.opened),
            idle: now.saturating_sub(account.active),
            messages_received: account.messages_received,
            bytes_received: account.bytes_received,
            messages_sent: account.messages_sent,
            bytes_sent: account.bytes_sent,
            buffered,
            subscriptions: self.subscriptions.len(),
            round_trip: self.connection.round_trip(),
            user_agent: self
                .request
                .as_ref()
                .and_then(|it| it.header("user-agent"))
                .map(Into::into),
        }
    }

    /// A message of `length` bytes is on its way; what became of it.
    #[inline]
    pub(super) fn sent(&mut self, queue: &WriteQueue, length: usize, now: Duration) -> Sent {
        self.account.messages_sent += 1;
        self.appended(queue, length, now)
    }

    /// As [`sent`](Self::sent), of a part of a message.
    #[inline]
    fn appended(&mut self, queue: &WriteQueue, length: usize, now: Duration) -> Sent {
        self.account.bytes_sent += length as u64;
        self.account.active = now;
        if queue.is_blocked() {
            self.draining = true;
            return Sent::Queued;
        }
        Sent::Sent
    }

    /// The application panicked.
    #[cold]
    pub(super) fn panicked(&mut self, out: &mut Vec<u8>, now: Duration) {
        self.end.get_or_insert(End::Panicked);
        // It fails when the closing handshake began already.
        let _ = self
            .connection
            .close(CloseCode::INTERNAL_ERROR, "the server failed", out, now);
    }

    /// Whether there is something for the session to look at after a call of the application.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        self.end.is_some() || self.paused || self.resume_at.is_some() || !self.told.is_empty()
    }

    /// Makes room for a message of `length` bytes behind `waiting`; false if it is dropped.
    pub(super) fn make_room(
        &mut self,
        queue: &mut WriteQueue,
        corked: usize,
        length: usize,
        metrics: &Metrics,
        now: Duration,
    ) -> bool {
        let limit = self.options.max_backpressure;
        let fits = |queue: &WriteQueue| queue.len() + corked + length <= limit;
        if fits(queue) {
            return true;
        }
        // What is too long for an empty queue waits for nothing.
        self.draining |= queue.len() + corked > 0;
        self.draining &= self.options.overflow != Overflow::Close;
        match self.options.overflow {
            Overflow::DropNewest => false,
            Overflow::DropOldest => {
                let dropped = queue.shrink_to(limit.saturating_sub(corked + length));
                metrics.dropped.add(dropped as u64);
                fits(queue)
            }
            Overflow::Close => {
                queue.clear_unwritten();
                let mut close = Vec::new();
                let code = CloseCode::TRY_AGAIN_LATER;
                // It fails when the closing handshake began already.
                let _ = self
                    .connection
                    .close(code, "too much waits to be sent", &mut close, now);
                queue.push(close, 0, Keep::Always);
                self.end.get_or_insert(End::Backpressure);
                false
            }
        }
    }

    /// Takes a message from others of the worker.
    pub(super) fn deliver(
        &mut self,
        queue: &mut WriteQueue,
        message: &PreparedMessage,
        keep: Keep,
        metrics: &Metrics,
        now: Duration,
    ) -> Sent {
        if !self.connection.is_open() || self.end.is_some() {
            return Sent::Dropped;
        }
        if self.sending {
            let held: usize = self.held.iter().map(|(it, _)| it.payload().len()).sum();
            if !self.make_room(queue, held, message.payload().len(), metrics, now) {
                return Sent::Dropped;
            }
            self.held.push((message.clone(), keep));
            return Sent::Queued;
        }
        if let Keep::UntilNext(key) = &keep {
            queue.drop_key(key);
        }
        let keep = match keep {
            Keep::Always if self.options.overflow == Overflow::DropOldest => Keep::UntilFull,
            keep => keep,
        };
        if !self.make_room(queue, 0, message.payload().len(), metrics, now) {
            return Sent::Dropped;
        }
        let mut own = Vec::new();
        // As in `append`.
        let lasts = keep == Keep::Always;
        if !lasts {
            self.connection.forget();
        }
        let shared = self.connection.share_prepared(message, &mut own);
        if !lasts {
            self.connection.forget();
        }
        match shared {
            Ok(Some(frame)) => queue.push_shared(frame, keep),
            Ok(None) => queue.push(own, 0, keep),
            Err(_) => return Sent::Dropped,
        }
        self.sent(queue, message.payload().len(), now)
    }
}

/// A socket without the application's state.
pub(super) struct SocketIo<'a> {
    pub(super) link: &'a mut Link,
    /// What this turn has appended.
    pub(super) cork: &'a mut Vec<u8>,
    pub(super) queue: &'a mut WriteQueue,
    pub(super) peers: &'a mut (dyn Peers + 'a),
    pub(super) shared: &'a Arc<Shared>,
    /// The worker's.
    pub(super) metrics: &'a Metrics,
    pub(super) now: Duration,
}

/// From here on an assembled message leaves in its own buffer instead of being copied behind
/// the turn's other output.
const IN_PLACE_FROM: usize = 16 * 1024;

impl SocketIo<'_> {
    /// Counts a received message, or a piece of one, and asks the rate limits; whether the
    /// application gets it. A streamed message is refused from the piece on that was too much.
    #[inline]
    pub(super) fn allows(&mut self, first: bool, bytes: usize) -> bool {
        let account = &mut self.link.account;
        account.messages_received += u64::from(first);
        account.bytes_received += bytes as u64;
        account.active = self.now;
        self.metrics.messages_received.add(first.into());
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
        let now = self.now;
        let link = &mut *self.link;
        let options = Arc::clone(&link.options);
        let verdict = link
            .rate
            .check(&options.rate_limit, messages, bytes, now)
            .and(|| match &self.shared.by_address {
                Some(limit) => limit.check(&link.client_ip, messages, bytes, now),
                None => Verdict::Deliver,
            })
            .and(|| match (&options.rate_by_key, link.rate_key.as_deref()) {
                (Some(limit), Some(key)) => limit.table.check(key, messages, bytes, now),
                _ => Verdict::Deliver,
            });
        if verdict == Verdict::Deliver {
            return true;
        }
        self.metrics.rate_limited.add(1);
        match verdict {
            Verdict::Deliver => true,
            Verdict::DeliverThenPause(pause) => {
                link.resume_at = Some(now.saturating_add(pause));
                true
            }
            Verdict::Drop => false,
            Verdict::Reply(text) => {
                // While a fragmented message is sent it is dropped, too.
                self.append(text.len(), |link, out| link.connection.send(text, out));
                false
            }
            Verdict::Close(code, reason) => {
                link.end.get_or_insert(End::RateLimit(code));
                // It fails when the closing handshake began already.
                let _ = link.connection.close(code, reason, self.cork, now);
                false
            }
        }
    }

    #[inline]
    pub(super) fn buffered(&self) -> usize {
        self.queue.len() + self.cork.len()
    }

    /// Inlined into what has a message of a known form: its form is not asked for again.
    #[inline]
    pub(super) fn send(&mut self, message: Outgoing<'_>) -> Sent {
        match message {
            Outgoing::Message(message)
                if message.len() >= IN_PLACE_FROM && !message.is_borrowed() =>
            {
                self.send_in_place(message)
            }
            Outgoing::Message(message) => self.send_ref((&message).into(), Encoding::Auto),
            Outgoing::Ref(message) => self.send_ref(message, Encoding::Auto),
            Outgoing::Prepared(message) => self.append(message.payload().len(), |link, out| {
                link.connection.send_prepared(message, out)
            }),
        }
    }

    #[inline]
    pub(super) fn send_ref(&mut self, message: MessageRef<'_>, encoding: Encoding) -> Sent {
        let length = message.as_bytes().len();
        // The usual case: nothing is in its way.
        if self.fits(length) && self.link.end.is_none() && !self.queue.is_blocked() {
            let connection = &mut self.link.connection;
            return match connection.send_with(message, encoding, self.cork) {
                Ok(()) => self.count_sent(length),
                Err(_) => Sent::Dropped,
            };
        }
        self.send_late(message, encoding)
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
    pub(super) fn append(
        &mut self,
        length: usize,
        encode: impl FnOnce(&mut Link, &mut Vec<u8>) -> Result<(), Misuse>,
    ) -> Sent {
        if !self.link.connection.is_open() || self.link.end.is_some() {
            return Sent::Dropped;
        }
        let metrics = self.metrics;
        let corked = self.cork.len();
        if !self.fits(length)
            && !self
                .link
                .make_room(self.queue, corked, length, metrics, self.now)
        {
            if matches!(self.link.end, Some(End::Backpressure)) {
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
        self.metrics.messages_sent.add(1);
        self.link.sent(self.queue, length, self.now)
    }

    /// Whether a message that is sent now may be dropped to make room for later ones.
    #[inline]
    fn may_be_dropped(&self) -> bool {
        self.queue.is_blocked() && self.link.options.overflow == Overflow::DropOldest
    }

    fn dropped(&self) -> Sent {
        self.metrics.dropped.add(1);
        Sent::Dropped
    }

    /// What the cork holds goes first.
    fn uncork(&mut self) {
        if !self.cork.is_empty() {
            self.queue.extend(self.cork);
            self.cork.clear();
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
            let (buffer, start) = frame.into_parts();
            let keep = match self.may_be_dropped() {
                true => Keep::UntilFull,
                false => Keep::Always,
            };
            self.queue.push(buffer, start, keep);
        }
        sent
    }

    pub(super) fn send_fragment(
        &mut self,
        fragment: MessageRef<'_>,
        fin: bool,
    ) -> Result<Sent, Misuse> {
        // A fragment can't be dropped without the rest of its message.
        self.link
            .connection
            .send_fragment(fragment, fin, self.cork)?;
        self.link.sending = !fin;
        if fin && !self.link.held.is_empty() {
            self.uncork();
            let metrics = self.metrics;
            for (message, keep) in mem::take(&mut self.link.held) {
                let sent = self
                    .link
                    .deliver(self.queue, &message, keep, metrics, self.now);
                if sent == Sent::Dropped {
                    metrics.dropped.add(1);
                }
            }
        }
        let length = fragment.as_bytes().len();
        if fin {
            return Ok(self.count_sent(length));
        }
        // The message counts when it is whole.
        Ok(self.link.appended(self.queue, length, self.now))
    }

    pub(super) fn subscribe(&mut self, topic: &str) -> Result<usize, SubscribeError> {
        let link = &mut *self.link;
        if link.subscriptions.contains(topic) {
            return Ok(self.shared.directory.count(topic));
        }
        if !link.connection.is_open() {
            return Err(SubscribeError::Closed);
        }
        self.shared.check_topic(topic, link.id)?;
        let (name, count) =
            self.shared
                .directory
                .insert(topic, link.id, link.subscriptions.len())?;
        self.peers.subscribe(&name, link.id.token());
        link.subscriptions.insert(Arc::clone(&name));
        link.told
            .push(Told::Subscribed(Arc::clone(&name), Ok(count)));
        for message in self.shared.recent(&name, &self.link.options) {
            self.send(Outgoing::Prepared(&message));
        }
        Ok(count)
    }

    pub(super) fn unsubscribe(&mut self, topic: &str) -> bool {
        let Some(name) = self.link.subscriptions.take(topic) else {
            return false;
        };
        let left = self.shared.directory.remove(topic, self.link.id);
        self.peers.unsubscribe(topic, self.link.id.token());
        self.link.told.push(Told::Unsubscribed(name, left));
        true
    }

    pub(super) fn publish(
        &mut self,
        topic: &str,
        message: &PreparedMessage,
        to_self: bool,
    ) -> Published {
        let subscribed = self.link.subscriptions.contains(topic);
        self.shared.remember(topic, message);
        let id = self.link.id;
        let mut published = self.peers.publish(topic, message, Some(id.token()));
        if self.shared.inboxes.len() > 1 {
            published.remote = self.publish_elsewhere(topic, message, published, subscribed);
        }
        if to_self && subscribed {
            published.count(self.send(Outgoing::Prepared(message)));
        }
        published
    }

    /// Publishes on the other workers; answers how many subscribers they have.
    fn publish_elsewhere(
        &self,
        topic: &str,
        message: &PreparedMessage,
        here: Published,
        subscribed: bool,
    ) -> usize {
        let here = here.sent + here.queued + here.dropped + usize::from(subscribed);
        let elsewhere = self.shared.directory.count(topic).saturating_sub(here);
        if elsewhere == 0 {
            return 0;
        }
        let topic: Arc<str> = topic.into();
        for (worker, inbox) in self.shared.inboxes.iter().enumerate() {
            if worker != self.link.id.worker() {
                // Never refused: what a handler publishes is bounded by what it receives.
                inbox.push(Command::Publish(Arc::clone(&topic), message.clone()));
            }
        }
        elsewhere
    }
}
