//! An open connection apart from its application: what is sent to it and what it is subscribed
//! to.
//!
//! Owns what becomes of a message on its way out: room, backlog, order. Writing it is the
//! session's.

use std::boxed::Box;
use std::collections::BTreeSet;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use mio::Token;

use super::events::CORK_LIMIT;
use super::handle::{Command, ConnectionId};
use super::handler::{Application, End};
use super::limits::{Permit, RateState, Verdict};
use super::metrics::Metrics;
use super::observer::ConnectionStats;
use super::route::Options;
use super::shared::Shared;
use super::socket::{Outgoing, Overflow, Published, Sent, StoredRequest};
use super::topics::SubscribeError;
use crate::error::Misuse;
use crate::net::{Keep, Spares, WriteQueue};
use crate::proto::{
    CloseCode, Connection, Encoding, Instant, Message, MessageRef, PreparedMessage,
};

/// The other sessions of the worker, while one of them is driven.
pub(super) trait Peers {
    /// Delivers to this worker's subscribers but `except`.
    fn publish(&mut self, topic: &str, delivery: Delivery<'_>, except: Option<Token>) -> Published;

    fn subscribe(&mut self, topic: &Arc<str>, token: Token);

    fn unsubscribe(&mut self, topic: &str, token: Token);
}

/// An open connection with its application: one piece of memory for both.
pub(super) struct Open<A: ?Sized = dyn Application> {
    pub(super) link: Link,
    pub(super) application: A,
}

/// Who is at the other end.
pub(super) struct Remote {
    pub(super) peer: SocketAddr,
    /// Counts the connection as long as it lives, once its head is there by its client's address.
    pub(super) permit: Permit,
}

impl Remote {
    /// The peer's address, or what a trusted proxy tells.
    pub(super) fn client_ip(&self) -> IpAddr {
        let peer = || self.peer.ip().to_canonical();
        self.permit.address().unwrap_or_else(peer)
    }
}

/// An open connection, apart from its application.
pub(super) struct Link {
    pub(super) connection: Connection,
    pub(super) options: Arc<Options>,
    pub(super) rare: Option<Box<Rare>>,
    account: Account,
    /// It is being sent.
    pub(super) sending: bool,
    /// `on_drain` is owed once the queue is empty.
    pub(super) draining: bool,
    /// The application doesn't want to read.
    pub(super) paused: bool,
    /// The rest of the streamed message under way is refused, as a piece of it was.
    refusing: bool,
    /// A limit of messages or bytes over time holds for it, its address or its key.
    pub(super) limited: bool,
}

/// What a connection that only echoes has none of, say: it costs memory where it is used.
#[derive(Default)]
pub(super) struct Rare {
    pub(super) request: Option<StoredRequest>,
    pub(super) subscriptions: BTreeSet<Arc<str>>,
    /// Subscriptions that a command brought about, which the handler is still to be told.
    pub(super) told: Vec<Told>,
    /// What others sent while a fragmented message of the application's is under way.
    held: Vec<(PreparedMessage, Keep)>,
    /// Why the connection ends, where neither the peer nor the protocol is the reason.
    pub(super) end: Option<End>,
    /// It sent too fast: nothing is read until then.
    pub(super) resume_at: Option<Duration>,
    /// How much of its rate limit is used up.
    rate: RateState,
    /// What the route's limit by key counts it under.
    pub(super) rate_key: Option<Box<str>>,
    /// The topics in whose presence it is.
    pub(super) joined: BTreeSet<Box<str>>,
}

impl Rare {
    /// Whether there is nothing in it, but for how much of the rate limit is used up.
    fn is_unused(&self) -> bool {
        self.request.is_none()
            && self.subscriptions.is_empty()
            && self.told.is_empty()
            && self.held.is_empty()
            && self.end.is_none()
            && self.resume_at.is_none()
            && self.rate_key.is_none()
            && self.joined.is_empty()
    }
}

/// What a connection sent and received.
struct Account {
    opened: Instant,
    /// When it last sent a message, or was opened.
    sent: Instant,
    messages_received: u64,
    bytes_received: u64,
    messages_sent: u64,
    bytes_sent: u64,
}

impl Account {
    #[inline]
    fn sent(&mut self, messages: u64, bytes: usize, now: Instant) {
        self.messages_sent += messages;
        self.bytes_sent += bytes as u64;
        self.sent = now;
    }
}

pub(super) enum Told {
    Subscribed(Arc<str>, Result<usize, SubscribeError>),
    Unsubscribed(Arc<str>, usize),
}

impl Link {
    pub(super) fn new(connection: Connection, options: &Arc<Options>, now: Duration) -> Self {
        Self {
            connection,
            options: Arc::clone(options),
            rare: None,
            account: Account {
                opened: now.into(),
                sent: now.into(),
                messages_received: 0,
                bytes_received: 0,
                messages_sent: 0,
                bytes_sent: 0,
            },
            sending: false,
            draining: false,
            paused: false,
            refusing: false,
            limited: options.rate_limit.messages.is_some()
                || options.rate_limit.bytes.is_some()
                || options.rate_by_key.is_some(),
        }
    }

    pub(super) fn stats(
        &self,
        id: ConnectionId,
        remote: &Remote,
        buffered: usize,
        now: Duration,
    ) -> ConnectionStats {
        let account = &self.account;
        let active = account.sent.max(self.connection.data_received());
        let request = self.rare.as_ref().and_then(|it| it.request.as_ref());
        ConnectionStats {
            id,
            peer_addr: remote.peer,
            client_ip: remote.client_ip(),
            age: now.saturating_sub(self.opened()),
            idle: now.saturating_sub(active.into()),
            messages_received: account.messages_received,
            bytes_received: account.bytes_received,
            messages_sent: account.messages_sent,
            bytes_sent: account.bytes_sent,
            buffered,
            subscriptions: self.rare.as_ref().map_or(0, |it| it.subscriptions.len()),
            round_trip: self.connection.round_trip(),
            user_agent: request
                .and_then(|it| it.header("user-agent"))
                .map(Into::into),
        }
    }

    pub(super) fn opened(&self) -> Duration {
        self.account.opened.into()
    }

    /// What it has of the rarely used.
    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Why it ends, where neither the peer nor the protocol is the reason.
    #[inline]
    pub(super) fn end(&self) -> Option<&End> {
        self.rare.as_ref()?.end.as_ref()
    }

    /// It ends for this reason, unless there is one.
    pub(super) fn ends(&mut self, end: End) {
        self.rare().end.get_or_insert(end);
    }

    pub(super) fn take_end(&mut self) -> Option<End> {
        self.rare.as_mut()?.end.take()
    }

    /// Gives up what waits for the end of a fragmented message; answers how many.
    pub(super) fn drop_held(&mut self) -> usize {
        let held = self.rare.as_mut().map(|it| mem::take(&mut it.held));
        held.map_or(0, |it| it.len())
    }

    /// Until when nothing is read, for it sent too fast.
    #[inline]
    pub(super) fn resume_at(&self) -> Option<Duration> {
        self.rare.as_ref()?.resume_at
    }

    /// Nothing is to be read for now.
    #[inline]
    pub(super) fn is_paused(&self) -> bool {
        self.paused || self.resume_at().is_some()
    }

    /// What the handler is still to be told.
    #[inline]
    pub(super) fn take_told(&mut self) -> Vec<Told> {
        let Some(rare) = &mut self.rare else {
            return Vec::new();
        };
        let told = mem::take(&mut rare.told);
        if told.is_empty() {
            self.free_unused();
        }
        told
    }

    /// Gives back what is no longer used.
    pub(super) fn free_unused(&mut self) {
        let unused = self.rare.as_ref().is_some_and(|it| it.is_unused());
        if unused && !self.limited {
            self.rare = None;
        }
    }

    #[inline]
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        let rare = self.rare.as_ref();
        rare.is_some_and(|it| it.subscriptions.contains(topic))
    }

    /// A message of `length` bytes is on its way; what became of it.
    #[inline]
    pub(super) fn sent(&mut self, queue: &WriteQueue, length: usize, now: Instant) -> Sent {
        self.account.sent(1, length, now);
        self.tell_sent(queue)
    }

    /// As [`sent`](Self::sent), of a part of a message.
    fn appended(&mut self, queue: &WriteQueue, length: usize, now: Instant) -> Sent {
        self.account.sent(0, length, now);
        self.tell_sent(queue)
    }

    /// What becomes of what was sent; `on_drain` follows if it has to wait.
    #[inline]
    fn tell_sent(&mut self, queue: &WriteQueue) -> Sent {
        if queue.is_blocked() {
            self.draining = true;
            return Sent::Queued;
        }
        Sent::Sent
    }

    /// The application panicked.
    #[cold]
    pub(super) fn panicked(&mut self, out: &mut Vec<u8>, now: Duration) {
        self.ends(End::Panicked);
        // It fails when the closing handshake began already.
        let _ = self
            .connection
            .close(CloseCode::INTERNAL_ERROR, "the server failed", out, now);
    }

    /// Whether there is something for the session to look at after a call of the application.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        let news = |it: &Rare| it.end.is_some() || it.resume_at.is_some() || !it.told.is_empty();
        self.paused || self.rare.as_deref().is_some_and(news)
    }

    /// Whether nothing is under way but messages, and no deadline can come earlier than it was.
    #[inline]
    pub(super) fn is_settled(&self) -> bool {
        self.connection.is_settled() && !self.draining && !self.has_news()
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
                self.ends(End::Backpressure);
                false
            }
        }
    }

    /// Takes a message from others of the worker.
    #[inline]
    pub(super) fn deliver(&mut self, queue: &mut WriteQueue, delivery: &Delivery<'_>) -> Sent {
        let length = delivery.message.payload().len();
        // The usual case: nothing is in its way, and it is as all get it.
        if self.connection.is_plain(length)
            && delivery.keep == Keep::Always
            && self.end().is_none()
            && self.options.overflow != Overflow::DropOldest
            && queue.len() + length <= self.options.max_backpressure
        {
            match &delivery.place {
                // What waits longer than this turn is the connection's own.
                Some(place) if !queue.is_blocked() => queue.push_published(place),
                _ => queue.push_shared(delivery.message.plain(), Keep::Always),
            }
            return self.sent(queue, length, delivery.instant);
        }
        self.deliver_late(queue, delivery)
    }

    /// As [`deliver`](Self::deliver) where something may be in the way.
    #[inline(never)]
    fn deliver_late(&mut self, queue: &mut WriteQueue, delivery: &Delivery<'_>) -> Sent {
        let &Delivery {
            message,
            ref keep,
            metrics,
            now,
            instant,
            ..
        } = delivery;
        let length = message.payload().len();
        if !self.connection.is_open() || self.end().is_some() {
            return Sent::Dropped;
        }
        if self.sending {
            let held = self.rare().held.iter();
            let held: usize = held.map(|(it, _)| it.payload().len()).sum();
            if !self.make_room(queue, held, length, metrics, now) {
                return Sent::Dropped;
            }
            self.rare().held.push((message.clone(), keep.clone()));
            return Sent::Queued;
        }
        if let Keep::UntilNext(key) = keep {
            queue.drop_key(key);
        }
        let keep = match keep {
            Keep::Always if self.options.overflow == Overflow::DropOldest => Keep::UntilFull,
            keep => keep.clone(),
        };
        if !self.make_room(queue, 0, length, metrics, now) {
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
        self.sent(queue, length, instant)
    }
}

/// A message on its way to sessions that are not being driven.
pub(super) struct Delivery<'a> {
    message: &'a PreparedMessage,
    keep: Keep,
    /// Where the plain frame is published, if it is.
    place: Option<Range<usize>>,
    /// The worker's.
    pub(super) metrics: &'a Metrics,
    now: Duration,
    /// The same as a connection counts it.
    instant: Instant,
}

impl<'a> Delivery<'a> {
    pub(super) fn new(
        message: &'a PreparedMessage,
        keep: Keep,
        metrics: &'a Metrics,
        now: Duration,
    ) -> Self {
        Self {
            message,
            keep,
            place: None,
            metrics,
            now,
            instant: now.into(),
        }
    }

    /// For many connections.
    pub(super) fn publish(&mut self, spares: &Spares) {
        if self.keep == Keep::Always {
            self.place = spares.publish(self.message.plain());
        }
    }
}

/// A socket without the application's state.
pub(super) struct SocketIo<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) remote: &'a Remote,
    pub(super) link: &'a mut Link,
    /// What this turn has appended.
    pub(super) cork: &'a mut Vec<u8>,
    pub(super) queue: &'a mut WriteQueue,
    pub(super) peers: &'a mut (dyn Peers + 'a),
}

/// What stays the same for all that a connection's application is told at once.
pub(super) struct Context<'a> {
    pub(super) id: ConnectionId,
    pub(super) shared: &'a Arc<Shared>,
    /// The worker's.
    pub(super) metrics: &'a Metrics,
    pub(super) now: Duration,
    /// The same as the connection counts it: it is asked for with each message.
    pub(super) instant: Instant,
}

impl<'a> Context<'a> {
    #[inline]
    pub(super) fn new(
        id: ConnectionId,
        shared: &'a Arc<Shared>,
        metrics: &'a Metrics,
        now: Duration,
    ) -> Self {
        Self {
            id,
            shared,
            metrics,
            now,
            instant: now.into(),
        }
    }
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
                link.ends(End::RateLimit(code));
                // It fails when the closing handshake began already.
                let _ = link.connection.close(code, reason, self.cork, now);
                false
            }
        }
    }

    /// Whether there is something for the session to look at after a call of the application.
    #[inline]
    pub(super) fn has_news(&self) -> bool {
        let queued = || self.queue.len() > self.link.options.pause_reading_at;
        self.cork.len() > CORK_LIMIT || self.link.has_news() || !self.queue.is_unused() && queued()
    }

    #[inline]
    pub(super) fn buffered(&self) -> usize {
        self.queue.len() + self.cork.len()
    }

    /// Always inlined, into what has a message of a known form: its form is not asked for again.
    #[inline(always)]
    pub(super) fn send(&mut self, message: Outgoing<'_>) -> Sent {
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
    pub(super) fn send_ref(&mut self, message: MessageRef<'_>, encoding: Encoding) -> Sent {
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
    pub(super) fn append(
        &mut self,
        length: usize,
        encode: impl FnOnce(&mut Link, &mut Vec<u8>) -> Result<(), Misuse>,
    ) -> Sent {
        if !self.link.connection.is_open() || self.link.end().is_some() {
            return Sent::Dropped;
        }
        let metrics = self.context.metrics;
        let corked = self.cork.len();
        if !self.fits(length)
            && !self
                .link
                .make_room(self.queue, corked, length, metrics, self.context.now)
        {
            if matches!(self.link.end(), Some(End::Backpressure)) {
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
        if fin
            && let Some(rare) = &mut self.link.rare
            && !rare.held.is_empty()
        {
            let held = mem::take(&mut rare.held);
            self.uncork();
            let context = &self.context;
            for (message, keep) in held {
                let delivery = Delivery::new(&message, keep, context.metrics, context.now);
                let sent = self.link.deliver(self.queue, &delivery);
                if sent == Sent::Dropped {
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

    pub(super) fn subscribe(&mut self, topic: &str) -> Result<usize, SubscribeError> {
        let Context { id, shared, .. } = *self.context;
        if self.link.is_subscribed(topic) {
            return Ok(shared.directory.count(topic));
        }
        if !self.link.connection.is_open() {
            return Err(SubscribeError::Closed);
        }
        shared.check_topic(topic, id)?;
        let rare = self.link.rare();
        let directory = &shared.directory;
        let (name, count) = directory.insert(topic, id, rare.subscriptions.len())?;
        self.peers.subscribe(&name, id.token());
        rare.subscriptions.insert(Arc::clone(&name));
        rare.told
            .push(Told::Subscribed(Arc::clone(&name), Ok(count)));
        for message in shared.recent(&name, &self.link.options) {
            self.send(Outgoing::Prepared(&message));
        }
        Ok(count)
    }

    pub(super) fn unsubscribe(&mut self, topic: &str) -> bool {
        let Context { id, shared, .. } = *self.context;
        let Some(rare) = &mut self.link.rare else {
            return false;
        };
        let Some(name) = rare.subscriptions.take(topic) else {
            return false;
        };
        let left = shared.directory.remove(topic, id);
        self.peers.unsubscribe(topic, id.token());
        rare.told.push(Told::Unsubscribed(name, left));
        true
    }

    pub(super) fn publish(
        &mut self,
        topic: &str,
        message: &PreparedMessage,
        to_self: bool,
    ) -> Published {
        let Context { id, shared, .. } = *self.context;
        let subscribed = self.link.is_subscribed(topic);
        shared.remember(topic, message);
        let Context { metrics, now, .. } = *self.context;
        let delivery = Delivery::new(message, shared.keep(topic), metrics, now);
        let mut published = self.peers.publish(topic, delivery, Some(id.token()));
        if shared.inboxes.len() > 1 {
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
        let Context { id, shared, .. } = *self.context;
        let here = here.sent + here.queued + here.dropped + usize::from(subscribed);
        let elsewhere = shared.directory.count(topic).saturating_sub(here);
        if elsewhere == 0 {
            return 0;
        }
        let topic: Arc<str> = topic.into();
        for (worker, inbox) in shared.inboxes.iter().enumerate() {
            if worker != id.worker() {
                // Never refused: what a handler publishes is bounded by what it receives.
                inbox.push(Command::Publish(Arc::clone(&topic), message.clone()));
            }
        }
        elsewhere
    }
}
