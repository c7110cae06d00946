//! What the application implements, and what it is given to answer with.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;

use crate::error::{Fault, Misuse};
use crate::net::WriteQueue;
use crate::proto::{
    CloseCode, Closed, Connection, Message, MessagePiece, MessageRef, Request, Response,
};

/// An application: one value for a route, shared by its connections.
///
/// The methods run on the worker's thread. They only append what they send; it is written after
/// they return, a burst of replies in one system call. A method that waits keeps its worker's
/// other connections waiting.
///
/// ```no_run
/// use sockeye::proto::Message;
/// use sockeye::server::{Handler, Server, Socket};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     type State = (); // per connection, the application's own
///
///     fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
///         socket.send(message);
///     }
/// }
///
/// Server::builder().route("/echo", Echo).listen("127.0.0.1:9001")?.run()?;
/// # Ok::<(), sockeye::Error>(())
/// ```
pub trait Handler: Send + Sync + 'static {
    /// What the application keeps for each connection.
    type State: Send + 'static;

    /// The connection is open: the 101 is written.
    fn on_open(&self, socket: &mut Socket<'_, Self::State>) {
        let _ = socket;
    }

    /// A whole message.
    fn on_message(&self, socket: &mut Socket<'_, Self::State>, message: Message<'_>);

    /// A piece of a message, with [`Delivery::Streamed`](crate::proto::Delivery::Streamed).
    fn on_piece(&self, socket: &mut Socket<'_, Self::State>, piece: MessagePiece<'_>) {
        let _ = (socket, piece);
    }

    /// A ping, already answered.
    fn on_ping(&self, socket: &mut Socket<'_, Self::State>, payload: &[u8]) {
        let _ = (socket, payload);
    }

    /// A pong.
    fn on_pong(&self, socket: &mut Socket<'_, Self::State>, payload: &[u8]) {
        let _ = (socket, payload);
    }

    /// All that waited is written, after a [`send`](Socket::send) answered
    /// [`Sent::Queued`] or [`Sent::Dropped`].
    fn on_drain(&self, socket: &mut Socket<'_, Self::State>) {
        let _ = socket;
    }

    /// The connection is over: called once for each connection that opened. Nothing can be sent
    /// any more.
    fn on_close(&self, socket: &mut Socket<'_, Self::State>, end: &End) {
        let _ = (socket, end);
    }
}

/// How a connection ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum End {
    /// By the closing handshake, or the transport ended before it was complete.
    Closed(Closed),
    /// The peer broke the protocol or a limit.
    Failed(Fault),
    /// The transport broke.
    Broken(io::Error),
    /// The peer took nothing of what was sent to it for
    /// [`send_timeout`](super::Builder::send_timeout).
    Stalled,
}

impl End {
    /// The close code: the peer's, that of the Close which failed the connection, or 1006.
    #[must_use]
    pub fn code(&self) -> CloseCode {
        match self {
            Self::Closed(closed) => closed.code,
            Self::Failed(fault) => fault.close_code(),
            Self::Broken(_) | Self::Stalled => CloseCode::ABNORMAL,
        }
    }

    /// The peer's reason; empty when it gave none.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Closed(closed) => &closed.reason,
            _ => "",
        }
    }

    /// Whether both endpoints sent a Close (RFC 6455 section 7.1.4).
    #[must_use]
    pub fn is_clean(&self) -> bool {
        matches!(self, Self::Closed(closed) if closed.clean)
    }
}

/// What became of a message given to [`Socket::send`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It leaves with this turn's write; nothing waits before it.
    Sent,
    /// It waits behind a backlog; [`Handler::on_drain`] follows.
    Queued,
    /// It was not sent: the connection is closing, or the backlog would go over
    /// [`max_backpressure`](super::Builder::max_backpressure). [`Handler::on_drain`] follows in
    /// the second case.
    Dropped,
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

/// A connection in the hands of its handler, with the application's state.
pub struct Socket<'a, S> {
    io: SocketIo<'a>,
    state: &'a mut S,
}

impl<S> Socket<'_, S> {
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
        self.io.peer
    }

    /// The agreed subprotocol.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.io.connection.subprotocol()
    }

    /// Whether messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.io.connection.is_open()
    }

    /// Bytes that wait to be written, frame headers included.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.io.buffered()
    }

    /// The round trip of the last keep-alive ping that was answered.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.io.connection.round_trip()
    }

    /// Sends a message: text from `&str`, binary from byte slices, or a received [`Message`]. It
    /// is written when the handler has returned.
    pub fn send<'m>(&mut self, message: impl Into<Outgoing<'m>>) -> Sent {
        self.io.send(message.into())
    }

    /// Sends a ping of at most 125 bytes; [`Handler::on_pong`] follows.
    ///
    /// # Errors
    /// As [`Connection::send_ping`].
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Misuse> {
        self.io.connection.send_ping(payload, self.io.cork)
    }

    /// Begins the closing handshake; [`Handler::on_close`] follows.
    ///
    /// # Errors
    /// As [`Connection::close`].
    pub fn close(
        &mut self,
        code: impl Into<Option<CloseCode>>,
        reason: &str,
    ) -> Result<(), Misuse> {
        let now = self.io.now;
        self.io.connection.close(code, reason, self.io.cork, now)
    }
}

impl<S: fmt::Debug> fmt::Debug for Socket<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("peer", &self.io.peer)
            .field("connection", &self.io.connection)
            .field("state", &self.state)
            .finish()
    }
}

/// A socket without the application's state.
pub(super) struct SocketIo<'a> {
    pub(super) connection: &'a mut Connection,
    /// What this turn has appended.
    pub(super) cork: &'a mut Vec<u8>,
    pub(super) queue: &'a mut WriteQueue,
    /// The session waits for its backlog to be written.
    pub(super) draining: &'a mut bool,
    pub(super) max_backpressure: usize,
    pub(super) peer: SocketAddr,
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
        let length = match &message {
            Outgoing::Ref(message) => message.as_bytes().len(),
            Outgoing::Message(message) => message.len(),
        };
        if self.buffered().saturating_add(length) > self.max_backpressure {
            *self.draining = true;
            return Sent::Dropped;
        }
        let backlog = !self.queue.is_empty();
        let sent = match message {
            Outgoing::Message(message) if length >= IN_PLACE_FROM && !message.is_borrowed() => {
                self.send_in_place(message)
            }
            Outgoing::Message(message) => self.connection.send(&message, self.cork),
            Outgoing::Ref(message) => self.connection.send(message, self.cork),
        };
        match sent {
            Err(_) => Sent::Dropped,
            Ok(()) if backlog => {
                *self.draining = true;
                Sent::Queued
            }
            Ok(()) => Sent::Sent,
        }
    }

    /// The queue keeps the order: first what the cork holds, then the frame in its own buffer.
    fn send_in_place(&mut self, message: Message<'_>) -> Result<(), Misuse> {
        if let Some(frame) = self.connection.send_in_place(message, self.cork)? {
            self.queue.extend(self.cork);
            self.cork.clear();
            let (buffer, start) = frame.into_parts();
            self.queue.push(buffer, start);
        }
        Ok(())
    }
}

/// What [`Builder::route_with`](super::Builder::route_with) answers to refuse a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The status, 400 to 599 as a rule.
    pub status: u16,
    /// The body, as plain text.
    pub body: Box<str>,
}

impl Reject {
    /// Refuses with a status and a text for the person who reads it.
    pub fn new(status: u16, body: impl Into<Box<str>>) -> Self {
        Self {
            status,
            body: body.into(),
        }
    }

    pub(super) fn response(&self) -> Response<'_> {
        Response {
            body: self.body.as_bytes(),
            ..Response::status(self.status)
        }
    }
}

/// The application of one connection, whatever its state's type.
pub(super) trait Application: Send {
    fn on_open(&mut self, io: SocketIo<'_>);
    fn on_message(&mut self, io: SocketIo<'_>, message: Message<'_>);
    fn on_piece(&mut self, io: SocketIo<'_>, piece: MessagePiece<'_>);
    fn on_ping(&mut self, io: SocketIo<'_>, payload: &[u8]);
    fn on_pong(&mut self, io: SocketIo<'_>, payload: &[u8]);
    fn on_drain(&mut self, io: SocketIo<'_>);
    fn on_close(&mut self, io: SocketIo<'_>, end: &End);
}

struct Instance<H: Handler> {
    handler: Arc<H>,
    state: H::State,
}

macro_rules! forward {
    ($($method:ident($($argument:ident: $type:ty)?);)*) => {$(
        fn $method(&mut self, io: SocketIo<'_>, $($argument: $type)?) {
            let mut socket = Socket { io, state: &mut self.state };
            self.handler.$method(&mut socket, $($argument)?);
        }
    )*};
}

impl<H: Handler> Application for Instance<H> {
    forward! {
        on_open();
        on_message(message: Message<'_>);
        on_piece(piece: MessagePiece<'_>);
        on_ping(payload: &[u8]);
        on_pong(payload: &[u8]);
        on_drain();
        on_close(end: &End);
    }
}

/// Makes the application of a connection from its request, or refuses it.
pub(super) type MakeApplication =
    Box<dyn Fn(&Request<'_>) -> Result<Box<dyn Application>, Reject> + Send + Sync>;

pub(super) fn make_application<H, F>(handler: H, make_state: F) -> MakeApplication
where
    H: Handler,
    F: Fn(&Request<'_>) -> Result<H::State, Reject> + Send + Sync + 'static,
{
    let handler = Arc::new(handler);
    Box::new(move |request| {
        Ok(Box::new(Instance {
            state: make_state(request)?,
            handler: Arc::clone(&handler),
        }))
    })
}
