//! A connection, apart from the application's state: what can be asked of it and sent.
//!
//! Its topics and presence are in `topics.rs`.

mod topics;
mod users;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::end::EndKind;
use super::handle::Handle;
use super::http::StoredRequest;
use super::id::ConnectionId;
use super::observe::ConnectionStats;
use super::websocket::{Outgoing, Sent, SocketIo};
use crate::error::Misuse;
use crate::proto::{CloseCode, Encoding, MessageRef, PreparedMessage};

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

/// A connection without the application's state.
///
/// [`Socket`](super::Socket) dereferences to it. A function of the application that sends,
/// subscribes or closes takes a `&mut Sender<'_>` and serves handlers with any state; while state is
/// read, [`Socket::split`](super::Socket::split) gives both side by side.
///
/// ```
/// use sockeye::proto::{CloseCode, Message};
/// use sockeye::server::{Handler, Sender, Socket};
///
/// /// For any handler.
/// fn refuse(sender: &mut Sender<'_>, reason: &str) {
///     sender.send(reason);
///     sender.close(CloseCode::POLICY_VIOLATION, reason);
/// }
///
/// struct Room;
///
/// impl Handler for Room {
///     type State = Option<String>; // the name, once it is known
///
///     fn on_message(&self, socket: &mut Socket<'_, Self::State>, message: Message<'_>) {
///         let (name, sender) = socket.split();
///         match name {
///             Some(name) => _ = sender.publish(name, &message),
///             None => refuse(sender, "say who you are first"),
///         }
///     }
/// }
/// ```
pub struct Sender<'a> {
    pub(super) io: &'a mut SocketIo<'a>,
}

impl<'a> Sender<'a> {
    pub(super) fn new(io: &'a mut SocketIo<'a>) -> Self {
        Self { io }
    }

    /// The connection's id, by which a [`Handle`] reaches it.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.io.id
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

    /// The time of this turn of the worker, by the server's clock: what [`limits`](super::limits)
    /// take as `now`. [`Handle::now`] is the same clock.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.io.worker.now
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

    /// Sends a message: text from `&str`, binary from byte slices, a received
    /// [`Message`](crate::proto::Message), or a [`PreparedMessage`]. It is written when the handler
    /// has returned.
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
    /// # Panics
    /// If the value can't be written as JSON: a map whose keys aren't text or numbers, or a
    /// `Serialize` of its own that fails. What its type's `derive` writes always can.
    #[cfg(feature = "json")]
    pub fn send_json<T>(&mut self, value: &T) -> Sent
    where
        T: serde::Serialize + ?Sized,
    {
        let text = serde_json::to_string(value).expect("the value can be written as JSON");
        self.send(text.as_str())
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

    /// Begins the closing handshake; [`Handler::on_close`](super::Handler::on_close) follows. Returns
    /// whether this call began it: false if it had begun, or the connection is over.
    ///
    /// A reason of over 123 bytes is cut behind the last character that fits; a code that may not be
    /// sent (RFC 6455 section 7.4) is sent as 1000 without a reason. With `None` the Close has
    /// neither.
    pub fn close(&mut self, code: impl Into<Option<CloseCode>>, reason: &str) -> bool {
        self.io.sync();
        let now = self.io.worker.now;
        self.io.ws.close(code, reason, self.io.cork, now)
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
        self.io.sync();
        self.io.ws.set_paused(true);
    }

    /// Resumes reading, after [`pause`](Self::pause) and not before deferred work is
    /// [done](super::Socket::defer).
    pub fn resume(&mut self) {
        self.io.sync();
        self.io.ws.set_paused(false);
    }

    /// Sets a timer: [`Handler::on_timer`](super::Handler::on_timer) is called with its key, once
    /// this time has passed. One of the same key that is set is replaced, so that each key is a
    /// timer of its own.
    ///
    /// It is never early, and up to a quarter of a second late: the worker looks at its deadlines
    /// four times a second. It runs while reading is paused, while something waits to be written,
    /// and during the closing handshake; the end of the connection cancels it.
    ///
    /// A client that has to prove who it is in five seconds:
    ///
    /// ```
    /// use std::time::Duration;
    /// use sockeye::proto::{CloseCode, Message};
    /// use sockeye::server::{Handler, Socket};
    ///
    /// struct Members;
    ///
    /// const LOGIN: u64 = 1;
    ///
    /// impl Handler for Members {
    ///     type State = ();
    ///
    ///     fn on_open(&self, socket: &mut Socket<'_, ()>) {
    ///         socket.set_timer(LOGIN, Duration::from_secs(5));
    ///     }
    ///
    ///     fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
    ///         if message.as_text() == Some("the secret") {
    ///             socket.cancel_timer(LOGIN);
    ///         }
    ///     }
    ///
    ///     fn on_timer(&self, socket: &mut Socket<'_, ()>, _: u64) {
    ///         socket.close(CloseCode(4001), "say who you are");
    ///     }
    /// }
    /// ```
    pub fn set_timer(&mut self, key: u64, after: Duration) {
        // Not in this turn, also without a delay: a handler that sets its timer again goes on
        // without holding up the others.
        let after = after.max(Duration::from_nanos(1));
        let at = self.io.worker.now.saturating_add(after);
        self.io.ws.set_timer(key, at);
    }

    /// Cancels a timer; returns whether it was set.
    pub fn cancel_timer(&mut self, key: u64) -> bool {
        self.io.ws.cancel_timer(key)
    }
}

impl fmt::Debug for Sender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("id", &self.id())
            .field("peer", &self.peer_addr())
            .field("connection", &self.io.ws.connection)
            .finish()
    }
}
