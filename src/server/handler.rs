//! What an application implements, and how a connection ended.

mod application;
mod dispatch;

use std::io;

pub(super) use self::application::{Application, Memory, OpenSession, Over, Stop};
pub(super) use self::dispatch::instance;

use super::observe::ErrorCause;
use super::socket::Socket;
use super::topics::SubscribeError;
use crate::error::{Fault, LimitError};
use crate::proto::{CloseCode, CloseFrame, Closed, Connection, Message, MessagePiece};

/// An application: one value for a route, shared by its connections.
///
/// The methods run on the worker's thread. They only append what they send; it is written after
/// they return, a burst of replies in one system call. A method that waits keeps its worker's
/// other connections waiting: what takes long is given to another thread, which answers through
/// the [`Handle`](super::Handle).
///
/// A panic in a method closes its connection with 1011 and leaves the others alone, where panics
/// unwind (with `panic = "abort"` it ends the process).
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
    ///
    /// The loop that receives is compiled for each handler. Where there is little to do for a
    /// message, `#[inline(always)]` on this method makes it part of that loop, which is felt
    /// there.
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

    /// All that waited is written. Follows whenever something had to wait: a write was taken in
    /// part, a [`send`](Socket::send) returned [`Sent::Queued`](super::Sent::Queued) or
    /// [`Sent::Dropped`](super::Sent::Dropped), or [`Socket::buffered`] was above 0. Called once a
    /// turn, so that one that fills up again leaves the others theirs.
    fn on_drain(&self, socket: &mut Socket<'_, Self::State>) {
        let _ = socket;
    }

    /// The connection was subscribed to a topic, which has `count` subscribers now; or the
    /// subscription that was asked for through a [`Handle`](super::Handle) was refused.
    fn on_subscribe(
        &self,
        socket: &mut Socket<'_, Self::State>,
        topic: &str,
        count: Result<usize, SubscribeError>,
    ) {
        let _ = (socket, topic, count);
    }

    /// The connection's subscription ended before the connection; `count` are left.
    fn on_unsubscribe(&self, socket: &mut Socket<'_, Self::State>, topic: &str, count: usize) {
        let _ = (socket, topic, count);
    }

    /// The connection ends by an error, which `end` tells in full: a fault of the peer's, a broken
    /// transport, a deadline, a panic. Called once, right before [`on_close`](Self::on_close);
    /// nothing can be sent any more.
    fn on_error(&self, socket: &mut Socket<'_, Self::State>, cause: ErrorCause, end: &End) {
        let _ = (socket, cause, end);
    }

    /// The connection is over: called once for each connection that opened. Nothing can be sent
    /// any more; its subscriptions end after this.
    fn on_close(&self, socket: &mut Socket<'_, Self::State>, end: &End) {
        let _ = (socket, end);
    }
}

/// How a connection ended: the [kind](Self::kind) of its end, and this server's own Close.
///
/// ```
/// use sockeye::server::End;
/// use sockeye::server::handler::EndKind;
///
/// fn describe(end: &End) -> String {
///     let by = match end.kind() {
///         EndKind::Closed(closed) if closed.clean => "the closing handshake",
///         EndKind::Closed(_) => "the end of the transport",
///         _ => end.cause().as_str(),
///     };
///     let sent = end.sent().map_or(String::new(), |(code, reason)| format!(", sent {code} {reason}"));
///     format!("by {by}: {} {:?}{sent}", end.code(), end.reason())
/// }
/// ```
#[derive(Debug)]
pub struct End {
    kind: EndKind,
    /// None for those that know it themselves.
    sent: Option<CloseFrame>,
}

/// How a connection ended, by what brought it about.
#[derive(Debug)]
#[non_exhaustive]
pub enum EndKind {
    /// By the closing handshake, or the transport ended before it was complete.
    Closed(Closed),
    /// The peer broke the protocol or a limit.
    Failed(Fault),
    /// The peer broke the protocol or a limit after this endpoint's Close was sent: no second one
    /// is, and the transport is dropped.
    FailedClosing(Fault),
    /// The transport broke.
    Broken(io::Error),
    /// The peer took nothing of what was sent to it for
    /// [`send_timeout`](super::Builder::send_timeout).
    Stalled,
    /// What waited for the peer went over the limit, and the policy was to
    /// [close](super::socket::Overflow::Close).
    Backpressure,
    /// It sent more than its [rate limit](super::limits::RateLimit) allows, and that said to close.
    RateLimit(CloseCode),
    /// Its [maximum lifetime](super::Route::max_lifetime) was over.
    Lifetime,
    /// [`Socket::terminate`] or [`Handle::terminate`](super::Handle::terminate).
    Terminated,
    /// The server was stopped, and the peer didn't answer its Close in time.
    ShutDown,
    /// A method of the handler panicked.
    Panicked,
}

/// What brought a connection to its end, for statistics and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Cause {
    /// The peer closed.
    Peer,
    /// This endpoint closed: the application, a shutdown, the connection's lifetime.
    Local,
    /// A deadline passed.
    Timeout,
    /// The peer went over a limit.
    Limit,
    /// The peer broke the protocol.
    Protocol,
    /// The transport broke or ended without a closing handshake.
    Transport,
    /// The application panicked.
    Panic,
}

impl Cause {
    /// The cause's name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Local => "local",
            Self::Timeout => "timeout",
            Self::Limit => "limit",
            Self::Protocol => "protocol",
            Self::Transport => "transport",
            Self::Panic => "panic",
        }
    }
}

impl End {
    pub(super) fn new(kind: EndKind, connection: &Connection) -> Self {
        let sent = match kind {
            EndKind::Closed(_) => None,
            _ => connection.sent_close().map(|(code, reason)| CloseFrame {
                code,
                reason: reason.into(),
            }),
        };
        Self { kind, sent }
    }

    /// What brought it about, with its details.
    #[must_use]
    pub fn kind(&self) -> &EndKind {
        &self.kind
    }

    /// This server's own Close, its code and reason: what the application, a stop or a limit
    /// closed with, what told the peer of its fault, or the answer to the peer's. The code is 1005
    /// where the Close had none. None where none was sent.
    ///
    /// It is told also where the peer answered with others, or with none; whether the peer got it
    /// is another question.
    #[must_use]
    pub fn sent(&self) -> Option<(CloseCode, &str)> {
        let sent = match &self.kind {
            EndKind::Closed(closed) => closed.sent.as_ref(),
            _ => self.sent.as_ref(),
        };
        sent.map(|it| (it.code, &*it.reason))
    }

    /// The close code: the peer's, that of the Close which ended the connection, or 1006.
    #[must_use]
    pub fn code(&self) -> CloseCode {
        match &self.kind {
            EndKind::Closed(closed) => closed.code,
            EndKind::Failed(fault) => fault.close_code(),
            EndKind::FailedClosing(_)
            | EndKind::Broken(_)
            | EndKind::Stalled
            | EndKind::Terminated
            | EndKind::ShutDown => CloseCode::ABNORMAL,
            EndKind::Backpressure => CloseCode::TRY_AGAIN_LATER,
            EndKind::RateLimit(code) => *code,
            EndKind::Lifetime => CloseCode::GOING_AWAY,
            EndKind::Panicked => CloseCode::INTERNAL_ERROR,
        }
    }

    /// The peer's reason; empty when it gave none.
    #[must_use]
    pub fn reason(&self) -> &str {
        match &self.kind {
            EndKind::Closed(closed) => &closed.reason,
            _ => "",
        }
    }

    /// What brought it about.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match &self.kind {
            EndKind::Closed(closed) if closed.local => Cause::Local,
            EndKind::Closed(closed) if closed.clean => Cause::Peer,
            EndKind::Failed(fault) | EndKind::FailedClosing(fault) => match fault {
                Fault::Protocol(_) => Cause::Protocol,
                Fault::Limit(
                    LimitError::Idle { .. } | LimitError::Pong { .. } | LimitError::Close { .. },
                ) => Cause::Timeout,
                Fault::Limit(_) => Cause::Limit,
            },
            EndKind::Stalled => Cause::Timeout,
            EndKind::Backpressure | EndKind::RateLimit(_) => Cause::Limit,
            EndKind::Closed(_) | EndKind::Broken(_) => Cause::Transport,
            EndKind::Lifetime | EndKind::Terminated | EndKind::ShutDown => Cause::Local,
            EndKind::Panicked => Cause::Panic,
        }
    }

    /// The error that it was, as [`Stats::errors`](super::observe::Stats::errors) counts them; None where
    /// somebody wanted the end: the peer, the application, a rate limit's rule, a stop.
    #[must_use]
    pub fn error(&self) -> Option<ErrorCause> {
        match &self.kind {
            EndKind::Failed(fault) | EndKind::FailedClosing(fault) => Some((*fault).into()),
            EndKind::Broken(_) => Some(ErrorCause::Transport),
            EndKind::Stalled => Some(ErrorCause::Stalled),
            EndKind::Backpressure => Some(ErrorCause::Backpressure),
            EndKind::Panicked => Some(ErrorCause::Panic),
            EndKind::Closed(_)
            | EndKind::RateLimit(_)
            | EndKind::Lifetime
            | EndKind::Terminated
            | EndKind::ShutDown => None,
        }
    }

    /// Whether both endpoints sent a Close (RFC 6455 section 7.1.4).
    #[must_use]
    pub fn is_clean(&self) -> bool {
        matches!(&self.kind, EndKind::Closed(closed) if closed.clean)
    }
}
