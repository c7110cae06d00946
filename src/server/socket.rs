//! A connection, as its handler uses it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::end::EndKind;
use super::handle::Handle;
use super::http::StoredRequest;
use super::id::ConnectionId;
use super::observe::ConnectionStats;
use super::topics::{Position, PresenceChange, PresenceError, SubscribeError, Subscribed, outside};
pub use super::websocket::{Outgoing, Overflow, Sent};
use super::websocket::{Publish, Published, SocketIo};
use crate::error::Misuse;
use crate::proto::{CloseCode, Encoding, Message, MessageRef, PreparedMessage};

/// The state of a connection (RFC 6455 sections 4.1 and 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketState {
    /// Messages can be sent.
    Open,
    /// The closing handshake has begun.
    Closing,
    /// The connection has ended: in [`Handler::on_close`](super::Handler::on_close).
    Closed,
}

/// A connection with the application's state, as its handler uses it.
///
/// The ways of sending:
///
/// ```
/// use sockeye::proto::{CloseCode, Message};
/// use sockeye::server::{Handler, Sent, Socket};
///
/// struct Demo;
///
/// impl Handler for Demo {
///     type State = u64; // messages so far
///
///     fn on_message(&self, socket: &mut Socket<'_, u64>, message: Message<'_>) {
///         *socket.state_mut() += 1;
///         match message.as_text() {
///             Some("binary") => _ = socket.send(&[1, 2, 3][..]),
///             Some("parts") => {
///                 _ = socket.send_fragment("in ");
///                 _ = socket.send_last_fragment("parts");
///             }
///             Some("ping") => _ = socket.ping(b"are you there?"),
///             Some("bye") => _ = socket.close(CloseCode::NORMAL, "bye"),
///             // In place: the message leaves in the buffer that it came in.
///             _ => match socket.send(message) {
///                 Sent::Sent => {}
///                 Sent::Queued => println!("{} bytes wait", socket.buffered()),
///                 Sent::Dropped => println!("too much waits, or it is closing"),
///             },
///         }
///     }
/// }
/// ```
///
/// Topics and presence: a room whose members see each other come and go.
///
/// ```
/// use sockeye::proto::Message;
/// use sockeye::server::{End, Handler, Socket};
/// use sockeye::server::topics::PresenceChange;
///
/// struct Room;
///
/// impl Handler for Room {
///     type State = String; // the name
///
///     fn on_open(&self, socket: &mut Socket<'_, String>) {
///         let name = socket.state().clone();
///         if let Err(refused) = socket.subscribe("room") {
///             _ = socket.send(refused.to_string());
///         }
///         _ = socket.join_presence("room", &name, "{}", |change| match change {
///             PresenceChange::Joined(member) => Some(format!("{} is here", member.user).into()),
///             _ => None,
///         });
///     }
///
///     fn on_message(&self, socket: &mut Socket<'_, String>, message: Message<'_>) {
///         let sent = socket.publish_to_all("room", &message);
///         println!("{} written, {} wait, {} dropped", sent.sent, sent.queued, sent.dropped);
///     }
///
///     fn on_close(&self, socket: &mut Socket<'_, String>, _: &End) {
///         socket.leave_presence("room", |change| match change {
///             PresenceChange::Left(member) => Some(format!("{} has left", member.user).into()),
///             _ => None,
///         });
///     }
/// }
/// ```
pub struct Socket<'a, S> {
    io: &'a mut SocketIo<'a>,
    state: &'a mut S,
}

impl<'a, S> Socket<'a, S> {
    pub(super) fn new(io: &'a mut SocketIo<'a>, state: &'a mut S) -> Self {
        Self { io, state }
    }

    /// Without the state.
    #[inline]
    pub(super) fn io(&mut self) -> &mut SocketIo<'a> {
        self.io
    }

    /// The connection's id, by which a [`Handle`] reaches it.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.io.id
    }

    /// The application's state of this connection.
    #[must_use]
    pub fn state(&self) -> &S {
        self.state
    }

    /// The application's state of this connection, mutably.
    #[must_use]
    pub fn state_mut(&mut self) -> &mut S {
        self.state
    }

    /// The peer's address.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.io.remote.peer
    }

    /// The client's address: the peer's, or the one that a trusted proxy names.
    #[must_use]
    pub fn client_ip(&self) -> IpAddr {
        self.io.remote.client_ip()
    }

    /// Returns the connection's statistics.
    #[must_use]
    pub fn stats(&self) -> ConnectionStats {
        let worker = self.io.worker;
        let buffered = self.buffered();
        self.io
            .ws
            .stats(self.io.id, self.io.remote, buffered, worker.now)
    }

    /// The request of the opening handshake, where the route
    /// [keeps it](super::Route::keep_request).
    #[must_use]
    pub fn request(&self) -> Option<&StoredRequest> {
        self.io.ws.cold.as_ref()?.request.as_ref()
    }

    /// The agreed subprotocol.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.io.ws.connection.subprotocol()
    }

    /// The state of the connection.
    #[must_use]
    pub fn ready_state(&self) -> SocketState {
        let connection = &self.io.ws.connection;
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
        self.io.ws.connection.is_open()
    }

    /// Returns the bytes that wait to be written, frame headers included: those that the transport
    /// hasn't taken, and what this turn has sent. If it is above 0,
    /// [`on_drain`](super::Handler::on_drain) follows.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.io.buffered_seen()
    }

    /// The round trip of the last keep-alive ping that was answered.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.io.ws.connection.round_trip()
    }

    /// Returns a handle to the server, to reach other connections or to pass to another thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(&self.io.worker.shared)
    }

    /// Sends a message: text from `&str`, binary from byte slices, a received [`Message`], or a
    /// [`PreparedMessage`]. It is written when the handler has returned.
    // Always inlined: the form of the message is known at the call, and needn't be checked again.
    #[inline(always)]
    pub fn send<'m>(&mut self, message: impl Into<Outgoing<'m>>) -> Sent {
        self.io.sync();
        self.io.send(message.into())
    }

    /// Like [`send`](Self::send), with a choice about the agreed extension for this message.
    pub fn send_with<'m>(
        &mut self,
        message: impl Into<MessageRef<'m>>,
        encoding: Encoding,
    ) -> Sent {
        self.io.sync();
        self.io.send_ref(message.into(), encoding)
    }

    /// Sends a value as JSON, in a text message.
    ///
    /// # Errors
    /// The value's own, if it can't be written as JSON: nothing is sent then.
    #[cfg(feature = "json")]
    pub fn send_json<T>(&mut self, value: &T) -> Result<Sent, serde_json::Error>
    where
        T: serde::Serialize + ?Sized,
    {
        let text = serde_json::to_string(value)?;
        Ok(self.send(text.as_str()))
    }

    /// Sends a fragment of a message, which more fragments follow (RFC 6455 section 5.4). Until
    /// [`send_last_fragment`](Self::send_last_fragment) ends the message, [`send`](Self::send)
    /// returns [`Sent::Dropped`], and what others send or publish to this connection waits.
    ///
    /// # Errors
    /// As [`Connection::send_fragment`](crate::proto::Connection::send_fragment).
    pub fn send_fragment<'m>(
        &mut self,
        fragment: impl Into<MessageRef<'m>>,
    ) -> Result<Sent, Misuse> {
        self.io.sync();
        self.io.send_fragment(fragment.into(), false)
    }

    /// Sends the last fragment of a message, which may be empty, or its only one.
    ///
    /// # Errors
    /// As [`send_fragment`](Self::send_fragment).
    pub fn send_last_fragment<'m>(
        &mut self,
        fragment: impl Into<MessageRef<'m>>,
    ) -> Result<Sent, Misuse> {
        self.io.sync();
        self.io.send_fragment(fragment.into(), true)
    }

    /// Prepares a message to be sent on many connections, with this connection's configuration.
    #[must_use]
    pub fn prepare<'m>(&self, message: impl Into<MessageRef<'m>>) -> PreparedMessage {
        PreparedMessage::new(message, &self.io.ws.options.config)
    }

    /// Sends a ping of at most 125 bytes; [`Handler::on_pong`](super::Handler::on_pong) follows.
    ///
    /// # Errors
    /// As [`Connection::send_ping`](crate::proto::Connection::send_ping).
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Misuse> {
        self.io.sync();
        self.io.ws.connection.send_ping(payload, self.io.cork)
    }

    /// Begins the closing handshake; [`Handler::on_close`](super::Handler::on_close) follows.
    ///
    /// # Errors
    /// As [`Connection::close`](crate::proto::Connection::close).
    pub fn close(
        &mut self,
        code: impl Into<Option<CloseCode>>,
        reason: &str,
    ) -> Result<(), Misuse> {
        self.io.sync();
        let now = self.io.worker.now;
        self.io.ws.connection.close(code, reason, self.io.cork, now)
    }

    /// Drops the transport once the handler has returned, without a closing handshake and without
    /// sending what waits.
    pub fn terminate(&mut self) {
        // Also when it is already closing for another reason.
        self.io.ws.cold().end = Some(EndKind::Terminated);
    }

    /// Stops reading from the peer until [`resume`](Self::resume): its messages wait in its own
    /// buffers. While reading is paused only one deadline of the connection runs: if the peer has
    /// ended its stream, and reading isn't resumed within
    /// [`close_timeout`](crate::proto::Config::close_timeout), the connection ends. What the peer
    /// has sent is not delivered then; the end has the code of the peer's Close if there was one,
    /// and 1006 if not.
    pub fn pause(&mut self) {
        self.io.ws.paused = true;
    }

    /// Resumes reading.
    pub fn resume(&mut self) {
        self.io.ws.paused = false;
    }

    /// Subscribes to a topic of the route's [namespace](super::Route::namespace), as all methods
    /// here are about topics of that. Messages published behind the position where the subscription begins
    /// arrive, each once; earlier ones that the topic's history keeps are sent first. Subscribing
    /// again changes nothing.
    ///
    /// # Errors
    /// [`SubscribeError`], for a limit or a guard of the topic.
    pub fn subscribe(&mut self, topic: &str) -> Result<Subscribed, SubscribeError> {
        self.io.sync();
        self.io.subscribe(topic)
    }

    /// Ends a subscription; returns whether there was one.
    pub fn unsubscribe(&mut self, topic: &str) -> bool {
        self.io.sync();
        self.io.unsubscribe(topic)
    }

    /// Enters the presence of a topic as `user`, with the application's data. This is independent
    /// of being subscribed.
    ///
    /// If that changes anything that others see, `announce` returns the message to send them: it is
    /// published to the topic's other subscribers before anything else changes in its presence, so
    /// that all of them learn of changes in the order in which they happened. It must not call
    /// presence itself.
    ///
    /// The connection leaves when it ends, after [`Handler::on_close`](super::Handler::on_close);
    /// to announce that, call [`leave_presence`](Self::leave_presence) there.
    ///
    /// # Errors
    /// [`PresenceError`]; nothing changed then.
    pub fn join_presence(
        &mut self,
        topic: &str,
        user: &str,
        data: &str,
        announce: impl FnOnce(&PresenceChange) -> Option<Message<'static>>,
    ) -> Result<PresenceChange, PresenceError> {
        self.io.join_presence(topic, user, data, announce)
    }

    /// Changes the data of the user as whom this connection is in the topic; announced like
    /// [`join_presence`](Self::join_presence).
    pub fn update_presence(
        &mut self,
        topic: &str,
        data: &str,
        announce: impl FnOnce(&PresenceChange) -> Option<Message<'static>>,
    ) -> PresenceChange {
        self.io.update_presence(topic, data, announce)
    }

    /// Leaves the presence of a topic; announced like [`join_presence`](Self::join_presence).
    pub fn leave_presence(
        &mut self,
        topic: &str,
        announce: impl FnOnce(&PresenceChange) -> Option<Message<'static>>,
    ) -> PresenceChange {
        self.io.leave_presence(topic, announce)
    }

    /// Returns the topics that the connection is subscribed to.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.io.subscriptions()
    }

    /// Publishes a message to the other subscribers of a topic, whether or not this connection is
    /// one. It has one position in the topic's order, for all of them and for its history.
    ///
    /// Where subscribers take less than is published, this connection is not read from for a while:
    /// see [`max_inbox`](super::Builder::max_inbox).
    pub fn publish<'m>(&mut self, topic: &str, message: impl Into<MessageRef<'m>>) -> Published {
        let message = self.prepare(message);
        self.publish_prepared(topic, &message)
    }

    /// Publishes a message to all subscribers of a topic, this connection included if it is one.
    pub fn publish_to_all<'m>(
        &mut self,
        topic: &str,
        message: impl Into<MessageRef<'m>>,
    ) -> Published {
        let message = self.prepare(message);
        self.publish_prepared_to_all(topic, &message)
    }

    /// Like [`publish`](Self::publish), with a prepared message.
    pub fn publish_prepared(&mut self, topic: &str, message: &PreparedMessage) -> Published {
        self.io.publish(topic, Publish::ToOthers, |_| message)
    }

    /// Like [`publish_to_all`](Self::publish_to_all), with a prepared message.
    pub fn publish_prepared_to_all(&mut self, topic: &str, message: &PreparedMessage) -> Published {
        self.io.publish(topic, Publish::ToAll, |_| message)
    }

    /// Like [`publish_to_all`](Self::publish_to_all), with a message that is made once its position
    /// is known, so that it can contain the position.
    ///
    /// # Panics
    /// If `make` publishes, subscribes or asks about topics: its own is locked meanwhile. A panic
    /// closes the connection, as in any method of a handler.
    pub fn publish_with(
        &mut self,
        topic: &str,
        make: impl FnOnce(Position) -> Message<'static>,
    ) -> Published {
        let options = Arc::clone(&self.io.ws.options);
        self.io.publish(topic, Publish::ToAll, |position| {
            let message = outside(|| make(position));
            PreparedMessage::new(&message, &options.config)
        })
    }
}

impl<S: fmt::Debug> fmt::Debug for Socket<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.id())
            .field("peer", &self.peer_addr())
            .field("connection", &self.io.ws.connection)
            .field("state", &self.state)
            .finish()
    }
}
