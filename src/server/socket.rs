//! A connection in the hands of its handler: what it can be asked and told.

use std::boxed::Box;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use mio::Token;

use super::handle::{Command, ConnectionId, Handle};
use super::handler::End;
use super::limits::RateState;
use super::observer::ConnectionStats;
use super::presence::{PresenceChange, PresenceError};
use super::route::Options;
use super::shared::Shared;
use super::topics::SubscribeError;
use crate::error::Misuse;
use crate::net::{Keep, WriteQueue};
use crate::proto::{self, CloseCode, Connection, Encoding, Message, MessageRef, PreparedMessage};

/// What becomes of a message that would take the bytes that wait for a peer over
/// [`max_backpressure`](super::Builder::max_backpressure).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// It is dropped; what waits is sent.
    #[default]
    DropNewest,
    /// The oldest messages that wait are dropped to make room. From the first byte that waits on,
    /// each message is queued on its own, which costs a buffer for each.
    DropOldest,
    /// The connection is closed with 1013, and nothing but the Close is sent any more.
    Close,
}

/// What became of a message given to [`Socket::send`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It leaves with this turn's write; nothing waits before it.
    Sent,
    /// It waits behind a backlog; [`Handler::on_drain`](super::Handler::on_drain) follows.
    Queued,
    /// It was not sent: the connection is closing, or the backlog would go over
    /// [`max_backpressure`](super::Builder::max_backpressure).
    /// [`Handler::on_drain`](super::Handler::on_drain) follows in the second case.
    Dropped,
}

/// What became of a message that was published, for the subscribers of this worker; how many
/// others have it on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Published {
    /// Subscribers that nothing waits for.
    pub sent: usize,
    /// Subscribers it waits for behind a backlog.
    pub queued: usize,
    /// Subscribers it was not sent to.
    pub dropped: usize,
    /// Subscribers on other workers, which it is on its way to.
    pub remote: usize,
}

impl Published {
    pub(super) fn count(&mut self, sent: Sent) {
        *match sent {
            Sent::Sent => &mut self.sent,
            Sent::Queued => &mut self.queued,
            Sent::Dropped => &mut self.dropped,
        } += 1;
    }
}

/// Where a connection stands (RFC 6455 section 4.1, 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketState {
    /// Messages can be sent.
    Open,
    /// The closing handshake has begun.
    Closing,
    /// It is over: in [`Handler::on_close`](super::Handler::on_close).
    Closed,
}

/// A message to send: borrowed text or bytes, or a received message itself.
///
/// Giving a received message by value, as an echo or a relay does, lets a large one leave in the
/// buffer it came in.
#[derive(Debug)]
pub enum Outgoing<'m> {
    /// Text or bytes from anywhere.
    Ref(MessageRef<'m>),
    /// A received message.
    Message(Message<'m>),
    /// A message that was prepared once for many.
    Prepared(&'m PreparedMessage),
}

impl<'m, T: Into<MessageRef<'m>>> From<T> for Outgoing<'m> {
    fn from(message: T) -> Self {
        Self::Ref(message.into())
    }
}

impl<'m> From<Message<'m>> for Outgoing<'m> {
    fn from(message: Message<'m>) -> Self {
        Self::Message(message)
    }
}

impl<'m> From<&'m PreparedMessage> for Outgoing<'m> {
    fn from(message: &'m PreparedMessage) -> Self {
        Self::Prepared(message)
    }
}

/// A connection in the hands of its handler, with the application's state.
pub struct Socket<'a, S> {
    io: SocketIo<'a>,
    state: &'a mut S,
}

impl<'a, S> Socket<'a, S> {
    pub(super) fn new(io: SocketIo<'a>, state: &'a mut S) -> Self {
        Self { io, state }
    }

    /// The connection's id, by which a [`Handle`] reaches it.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.io.link.id
    }

    /// The application's state of this connection.
    #[must_use]
    pub fn state(&self) -> &S {
        self.state
    }

    /// The application's state of this connection.
    #[must_use]
    pub fn state_mut(&mut self) -> &mut S {
        self.state
    }

    /// The peer's address.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.io.link.peer
    }

    /// The client's address: the peer's, or what a trusted proxy tells.
    #[must_use]
    pub fn client_ip(&self) -> IpAddr {
        self.io.link.client_ip
    }

    /// The connection in numbers.
    #[must_use]
    pub fn stats(&self) -> ConnectionStats {
        self.io.link.stats(self.buffered(), self.io.now)
    }

    /// The request of the opening handshake, where the route
    /// [keeps it](super::Route::keep_request).
    #[must_use]
    pub fn request(&self) -> Option<&StoredRequest> {
        self.io.link.request.as_deref()
    }

    /// The agreed subprotocol.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.io.link.connection.subprotocol()
    }

    /// Where the connection stands.
    #[must_use]
    pub fn ready_state(&self) -> SocketState {
        let connection = &self.io.link.connection;
        if connection.is_open() {
            SocketState::Open
        } else if connection.teardown().is_none() {
            SocketState::Closing
        } else {
            SocketState::Closed
        }
    }

    /// Whether messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.io.link.connection.is_open()
    }

    /// Bytes that wait to be written, frame headers included.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.io.buffered()
    }

    /// The round trip of the last keep-alive ping that was answered.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.io.link.connection.round_trip()
    }

    /// A handle to the server, to reach other connections or to take to another thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.io.shared)
    }

    /// Sends a message: text from `&str`, binary from byte slices, a received [`Message`], or a
    /// [`PreparedMessage`]. It is written when the handler has returned.
    pub fn send<'m>(&mut self, message: impl Into<Outgoing<'m>>) -> Sent {
        self.io.send(message.into())
    }

    /// As [`send`](Self::send), with a choice about the agreed extension for this message.
    pub fn send_with<'m>(
        &mut self,
        message: impl Into<MessageRef<'m>>,
        encoding: Encoding,
    ) -> Sent {
        self.io.send_ref(message.into(), encoding)
    }

    /// Sends one fragment of a message (RFC 6455 section 5.4); the one with `fin` ends it. Until
    /// then [`send`](Self::send) answers [`Sent::Dropped`], and what others send or publish to
    /// this connection waits.
    ///
    /// # Errors
    /// As [`Connection::send_fragment`].
    pub fn send_fragment<'m>(
        &mut self,
        fragment: impl Into<MessageRef<'m>>,
        fin: bool,
    ) -> Result<Sent, Misuse> {
        self.io.send_fragment(fragment.into(), fin)
    }

    /// Prepares a message to be sent on many connections, with this connection's configuration.
    #[must_use]
    pub fn prepare<'m>(&self, message: impl Into<MessageRef<'m>>) -> PreparedMessage {
        PreparedMessage::new(message, &self.io.link.options.config)
    }

    /// Sends a ping of at most 125 bytes; [`Handler::on_pong`](super::Handler::on_pong) follows.
    ///
    /// # Errors
    /// As [`Connection::send_ping`].
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Misuse> {
        self.io.link.connection.send_ping(payload, self.io.cork)
    }

    /// Begins the closing handshake; [`Handler::on_close`](super::Handler::on_close) follows.
    ///
    /// # Errors
    /// As [`Connection::close`].
    pub fn close(
        &mut self,
        code: impl Into<Option<CloseCode>>,
        reason: &str,
    ) -> Result<(), Misuse> {
        let now = self.io.now;
        self.io
            .link
            .connection
            .close(code, reason, self.io.cork, now)
    }

    /// Drops the transport once the handler has returned, without a closing handshake and with
    /// what waits unsent.
    pub fn terminate(&mut self) {
        self.io.link.end.get_or_insert(End::Terminated);
    }

    /// Stops reading from the peer until [`resume`](Self::resume): its messages wait in its own
    /// buffers. While reading is paused no deadline of the connection runs.
    pub fn pause(&mut self) {
        self.io.link.paused = true;
    }

    /// Reads again.
    pub fn resume(&mut self) {
        self.io.link.paused = false;
    }

    /// Subscribes to a topic; answers how many subscribers it has now, over all workers. Asking
    /// again changes nothing.
    ///
    /// # Errors
    /// [`SubscribeError`], for a limit or a guard of the topic.
    pub fn subscribe(&mut self, topic: &str) -> Result<usize, SubscribeError> {
        self.io.subscribe(topic)
    }

    /// Ends a subscription; whether there was one.
    pub fn unsubscribe(&mut self, topic: &str) -> bool {
        self.io.unsubscribe(topic)
    }

    /// Enters the presence of a topic as `user`, with the application's data; what to tell the
    /// others, if anything changed for them. Being subscribed is another matter.
    ///
    /// The connection leaves when it ends, after
    /// [`Handler::on_close`](super::Handler::on_close); one that wants to tell the others calls
    /// [`leave`](Self::leave) there.
    ///
    /// # Errors
    /// [`PresenceError`]; nothing changed then.
    pub fn join(
        &mut self,
        topic: &str,
        user: &str,
        data: &str,
    ) -> Result<PresenceChange, PresenceError> {
        let link = &mut *self.io.link;
        let id = link.id.to_u64();
        let change = self.io.shared.presence.join(topic, id, user, data)?;
        link.joined.insert(topic.into());
        Ok(change)
    }

    /// Changes the data of the user this connection is in the topic as.
    pub fn update(&mut self, topic: &str, data: &str) -> PresenceChange {
        let id = self.io.link.id.to_u64();
        self.io.shared.presence.update(topic, id, data)
    }

    /// Leaves the presence of a topic; what to tell the others.
    pub fn leave(&mut self, topic: &str) -> PresenceChange {
        let link = &mut *self.io.link;
        link.joined.remove(topic);
        self.io.shared.presence.leave(topic, link.id.to_u64())
    }

    /// The topics it is subscribed to.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.io.link.subscriptions.iter().map(|it| &**it)
    }

    /// Publishes a message to the other subscribers of a topic, whether or not this connection is
    /// one.
    pub fn publish<'m>(&mut self, topic: &str, message: impl Into<MessageRef<'m>>) -> Published {
        let message = self.prepare(message);
        self.io.publish(topic, &message, false)
    }

    /// Publishes a message to all subscribers of a topic, this connection included if it is one.
    pub fn publish_to_all<'m>(
        &mut self,
        topic: &str,
        message: impl Into<MessageRef<'m>>,
    ) -> Published {
        let message = self.prepare(message);
        self.io.publish(topic, &message, true)
    }

    /// As [`publish`](Self::publish), or with `to_self` as
    /// [`publish_to_all`](Self::publish_to_all), with a message that was prepared once.
    pub fn publish_prepared(
        &mut self,
        topic: &str,
        message: &PreparedMessage,
        to_self: bool,
    ) -> Published {
        self.io.publish(topic, message, to_self)
    }
}

impl<S: fmt::Debug> fmt::Debug for Socket<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.id())
            .field("peer", &self.peer_addr())
            .field("connection", &self.io.link.connection)
            .field("state", &self.state)
            .finish()
    }
}

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
    /// It sent too fast: nothing is read until then.
    pub(super) resume_at: Option<Duration>,
    pub(super) client_ip: IpAddr,
    /// A limit of messages or bytes over time holds for it.
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

/// The request of an opening handshake, kept beyond it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredRequest {
    /// The request target: path and query, as sent.
    pub target: Box<str>,
    /// The headers in their order.
    pub headers: Vec<(Box<str>, Box<[u8]>)>,
}

impl StoredRequest {
    pub(super) fn new(request: &proto::Request<'_>) -> Self {
        Self {
            target: request.target().into(),
            headers: request
                .headers()
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        }
    }

    /// The value of the first header of this name, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter();
        let (_, value) = named.find(|(it, _)| it.eq_ignore_ascii_case(name))?;
        core::str::from_utf8(value).ok()
    }
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
    fn sent(&mut self, queue: &WriteQueue, length: usize, now: Duration) -> Sent {
        self.account.messages_sent += 1;
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

    /// Makes room for a message of `length` bytes behind `waiting`; false if it is dropped.
    fn make_room(
        &mut self,
        queue: &mut WriteQueue,
        corked: usize,
        length: usize,
        now: Duration,
    ) -> bool {
        let limit = self.options.max_backpressure;
        let fits = |queue: &WriteQueue| queue.len() + corked + length <= limit;
        if fits(queue) {
            return true;
        }
        self.draining = true;
        match self.options.overflow {
            Overflow::DropNewest => false,
            Overflow::DropOldest => {
                queue.shrink_to(limit.saturating_sub(corked + length));
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
        now: Duration,
    ) -> Sent {
        if !self.connection.is_open() || self.end.is_some() {
            return Sent::Dropped;
        }
        if self.sending {
            let held: usize = self.held.iter().map(|(it, _)| it.payload().len()).sum();
            if !self.make_room(queue, held, message.payload().len(), now) {
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
        if !self.make_room(queue, 0, message.payload().len(), now) {
            return Sent::Dropped;
        }
        let mut own = Vec::new();
        match self.connection.share_prepared(message, &mut own) {
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
    pub(super) now: Duration,
}

/// From here on an assembled message leaves in its own buffer instead of being copied behind
/// the turn's other output.
const IN_PLACE_FROM: usize = 16 * 1024;

impl SocketIo<'_> {
    fn buffered(&self) -> usize {
        self.queue.len() + self.cork.len()
    }

    fn send(&mut self, message: Outgoing<'_>) -> Sent {
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

    fn send_ref(&mut self, message: MessageRef<'_>, encoding: Encoding) -> Sent {
        self.append(message.as_bytes().len(), |link, out| {
            link.connection.send_with(message, encoding, out)
        })
    }

    /// Appends one message of `length` bytes to the turn's output.
    #[inline]
    fn append(
        &mut self,
        length: usize,
        encode: impl FnOnce(&mut Link, &mut Vec<u8>) -> Result<(), Misuse>,
    ) -> Sent {
        if !self.link.connection.is_open() || self.link.end.is_some() {
            return Sent::Dropped;
        }
        if !self
            .link
            .make_room(self.queue, self.cork.len(), length, self.now)
        {
            return self.dropped();
        }
        if self.queue.is_blocked() && self.link.options.overflow == Overflow::DropOldest {
            let mut frame = Vec::new();
            if encode(self.link, &mut frame).is_err() {
                return Sent::Dropped;
            }
            self.uncork();
            self.queue.push(frame, 0, Keep::UntilFull);
        } else if encode(self.link, self.cork).is_err() {
            return Sent::Dropped;
        }
        self.count_sent(length)
    }

    #[inline]
    fn count_sent(&mut self, length: usize) -> Sent {
        self.shared.metrics(self.link.id).messages_sent.add(1);
        self.link.sent(self.queue, length, self.now)
    }

    fn dropped(&self) -> Sent {
        self.shared.metrics(self.link.id).dropped.add(1);
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
            self.queue.push(buffer, start, Keep::Always);
        }
        sent
    }

    fn send_fragment(&mut self, fragment: MessageRef<'_>, fin: bool) -> Result<Sent, Misuse> {
        // A fragment can't be dropped without the rest of its message.
        self.link
            .connection
            .send_fragment(fragment, fin, self.cork)?;
        self.link.sending = !fin;
        if fin && !self.link.held.is_empty() {
            self.uncork();
            for (message, keep) in mem::take(&mut self.link.held) {
                self.link.deliver(self.queue, &message, keep, self.now);
            }
        }
        Ok(self.count_sent(fragment.as_bytes().len()))
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

    fn publish(&mut self, topic: &str, message: &PreparedMessage, to_self: bool) -> Published {
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
