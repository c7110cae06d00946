//! How a connection ended.

use std::io;

use super::observe::ErrorCause;
use crate::error::{Fault, LimitError};
use crate::proto::{CloseCode, CloseFrame, Closed, Connection};

/// How a connection ended: the [kind](Self::kind) of its end, and this server's own Close.
///
/// ```
/// use sockeye::server::End;
/// use sockeye::server::end::EndKind;
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
    /// None for kinds that contain it.
    sent: Option<CloseFrame>,
}

/// How a connection ended, by cause and with its details.
#[derive(Debug)]
#[non_exhaustive]
pub enum EndKind {
    /// By the closing handshake, or by the end of the transport before it was complete.
    Closed(Closed),
    /// The peer broke the protocol or exceeded a limit.
    Failed(Fault),
    /// The peer broke the protocol or exceeded a limit after this endpoint's Close was sent: no
    /// second one is sent, and the transport is dropped.
    FailedClosing(Fault),
    /// The transport failed.
    Broken(io::Error),
    /// The peer took nothing of what was sent to it for
    /// [`send_timeout`](super::Builder::send_timeout).
    Stalled,
    /// What waited for the peer exceeded the limit, and the policy was to
    /// [close](super::socket::Overflow::Close).
    Backpressure,
    /// It sent more than its [rate limit](super::limits::RateLimit) allows, whose action was to
    /// close.
    RateLimit(CloseCode),
    /// Its [maximum lifetime](super::Route::max_lifetime) ended.
    Lifetime,
    /// [`Socket::terminate`](super::Socket::terminate) or
    /// [`Handle::terminate`](super::Handle::terminate).
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
    /// The peer exceeded a limit.
    Limit,
    /// The peer broke the protocol.
    Protocol,
    /// The transport failed, or ended without a closing handshake.
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

    /// What ended the connection, with its details.
    #[must_use]
    pub fn kind(&self) -> &EndKind {
        &self.kind
    }

    /// The code and reason of this server's own Close: those of the application, a stop, a limit,
    /// the report of a fault, or the reply to the peer's Close. The code is 1005 if the Close had
    /// none. None if no Close was sent.
    ///
    /// Also present where the peer replied with other values, or not at all; whether the peer
    /// received it is unknown.
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

    /// The peer's reason; empty if it gave none.
    #[must_use]
    pub fn reason(&self) -> &str {
        match &self.kind {
            EndKind::Closed(closed) => &closed.reason,
            _ => "",
        }
    }

    /// What ended the connection.
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

    /// The error, as [`Stats::errors`](super::observe::Stats::errors) counts it; None if the end
    /// was wanted: by the peer, the application, a rate limit, a stop.
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
