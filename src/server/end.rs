//! How a connection ended, or failed to open.
//!
//! Owns what follows from an end: its close code, the labels that it is counted by, its text in
//! logs. Counting and logging are left to `observe`.

use std::fmt;
use std::io;

use super::observe::{Label, labels};
use crate::error::{Fault, HandshakeError, HttpError, LimitError, ProtocolError, RequestError};
use crate::proto::{CloseCode, CloseFrame, Closed, Connection};

/// The text of a server that stops: of its logs, its responses, and its Close without another reason.
pub(super) const STOPS: &str = "the server stops";

/// How a connection ended: the [kind](Self::kind) of its end, and this server's own Close. Displayed
/// as a text for logs.
///
/// ```
/// use sockeye::server::End;
/// use sockeye::server::end::EndKind;
///
/// fn describe(end: &End) -> String {
///     let by = match end.kind() {
///         EndKind::Closed(closed) if closed.clean => "the closing handshake",
///         EndKind::Closed(_) => "the end of the transport",
///         _ => end.error().map_or("this server", |it| it.name()),
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
    /// Its [maximum lifetime](super::Route::max_lifetime) ended, and it was closed with this code.
    Lifetime(CloseCode),
    /// [`Socket::terminate`](super::Sender::terminate) or
    /// [`Handle::terminate`](super::Handle::terminate).
    Terminated,
    /// The server was stopped, and the peer didn't answer its Close in time.
    ShutDown,
    /// A method of the handler panicked.
    Panicked,
}

impl EndKind {
    /// The close code, and the cause that it is counted by if it is an error.
    fn outcome(&self) -> (CloseCode, Option<ErrorCause>) {
        match self {
            Self::Closed(closed) => (closed.code, None),
            Self::Failed(fault) => (fault.close_code(), Some((*fault).into())),
            Self::FailedClosing(fault) => (CloseCode::ABNORMAL, Some((*fault).into())),
            Self::Broken(_) => (CloseCode::ABNORMAL, Some(ErrorCause::Transport)),
            Self::Stalled => (CloseCode::ABNORMAL, Some(ErrorCause::Stalled)),
            Self::Backpressure => (CloseCode::TRY_AGAIN_LATER, Some(ErrorCause::Backpressure)),
            Self::RateLimit(code) | Self::Lifetime(code) => (*code, None),
            Self::Terminated | Self::ShutDown => (CloseCode::ABNORMAL, None),
            Self::Panicked => (CloseCode::INTERNAL_ERROR, Some(ErrorCause::Panic)),
        }
    }

    /// The code of the Close that such an end sends or received, or 1006.
    pub(super) fn code(&self) -> CloseCode {
        self.outcome().0
    }

    /// The label of a connection that ends so before it has opened.
    pub(super) fn handshake_failure(&self) -> HandshakeFailure {
        match self {
            Self::Broken(error) => match error.kind() {
                io::ErrorKind::InvalidData => HandshakeFailure::Tls,
                io::ErrorKind::UnexpectedEof => HandshakeFailure::Eof,
                _ => HandshakeFailure::Transport,
            },
            Self::ShutDown => HandshakeFailure::Stopping,
            _ => HandshakeFailure::Other,
        }
    }
}

impl fmt::Display for EndKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed(closed) if closed.clean => {
                let how = match closed.local {
                    true => "this server closed and the peer replied",
                    false => "the peer closed",
                };
                return write!(f, "{how} with {} {:?}", closed.code, closed.reason);
            }
            Self::Closed(closed) if closed.truncated => {
                "the transport ended inside a frame or a message"
            }
            Self::Closed(_) => "the transport ended without the peer's Close",
            Self::Failed(fault) => return fault.fmt(f),
            Self::FailedClosing(fault) => return write!(f, "{fault}, after this server's Close"),
            Self::Broken(error) => return error.fmt(f),
            Self::Stalled => "the peer took none of what was sent within send_timeout",
            Self::Backpressure => "what waited for the peer exceeded max_backpressure",
            Self::RateLimit(_) => "the peer exceeded its rate limit",
            Self::Lifetime(_) => "its max_lifetime ended",
            Self::Terminated => "dropped by the application",
            Self::ShutDown => STOPS,
            Self::Panicked => "the handler panicked",
        })
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
        self.kind.code()
    }

    /// The peer's reason; empty if it gave none.
    #[must_use]
    pub fn reason(&self) -> &str {
        match &self.kind {
            EndKind::Closed(closed) => &closed.reason,
            _ => "",
        }
    }

    /// The error, as [`Stats::errors`](super::observe::Stats::errors) counts it; None if the end
    /// was wanted: by the peer, the application, a rate limit, a stop.
    #[must_use]
    pub fn error(&self) -> Option<ErrorCause> {
        self.kind.outcome().1
    }

    /// Whether both endpoints sent a Close (RFC 6455 section 7.1.4).
    #[must_use]
    pub fn is_clean(&self) -> bool {
        matches!(&self.kind, EndKind::Closed(closed) if closed.clean)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        match self.sent() {
            Some((code, reason)) => write!(f, "; sent {code} {reason:?}"),
            None => Ok(()),
        }
    }
}

labels! {
    /// What caused a connection to fail.
    ErrorCause:
    /// A frame that breaks RFC 6455, except for the causes below.
    Frame = "frame",
    /// A frame that is not masked.
    Unmasked = "unmasked",
    /// A malformed Close frame, or one with a code that must not be sent.
    CloseFrame = "close_frame",
    /// Text that is not UTF-8.
    Utf8 = "utf8",
    /// A payload that its extension can't decode.
    Extension = "extension",
    /// A frame or message over its size limit.
    TooBig = "too_big",
    /// A message of too many frames.
    Fragments = "fragments",
    /// A frame or message that arrived too slowly.
    Slow = "slow",
    /// No data arrived for the idle timeout.
    Idle = "idle",
    /// A ping was not answered.
    PingTimeout = "ping_timeout",
    /// A Close was not answered.
    CloseTimeout = "close_timeout",
    /// The transport failed.
    Transport = "transport",
    /// The peer took nothing of what was sent to it for too long.
    Stalled = "stalled",
    /// The backlog went over its limit, and the policy was to close.
    Backpressure = "backpressure",
    /// A handler panicked, or a function of [`Builder::every`](crate::server::Builder::every).
    Panic = "panic",
    /// Accepting a connection failed.
    Accept = "accept",
}

impl From<Fault> for ErrorCause {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Protocol(error) => match error {
                ProtocolError::Unmasked => Self::Unmasked,
                ProtocolError::CloseTruncated
                | ProtocolError::CloseCode(_)
                | ProtocolError::CloseReasonUtf8 => Self::CloseFrame,
                ProtocolError::Utf8 => Self::Utf8,
                ProtocolError::Extension(_) => Self::Extension,
                _ => Self::Frame,
            },
            Fault::Limit(error) => match error {
                LimitError::FrameSize { .. } | LimitError::MessageSize { .. } => Self::TooBig,
                LimitError::Fragments { .. } => Self::Fragments,
                LimitError::ReceiveRate { .. } => Self::Slow,
                LimitError::Idle { .. } => Self::Idle,
                LimitError::Pong { .. } => Self::PingTimeout,
                LimitError::Close { .. } => Self::CloseTimeout,
            },
        }
    }
}

/// A close code is counted by itself if it is registered. Those of libraries (3000–3999) and of
/// applications (4000–4999) are counted together, and so are all others: the peer chooses them.
impl Label for CloseCode {
    const NAMES: &'static [&'static str] = &[
        "1000", "1001", "1002", "1003", "1005", "1006", "1007", "1008", "1009", "1010", "1011",
        "1012", "1013", "1014", "3xxx", "4xxx", "other",
    ];

    fn index(self) -> usize {
        let position = match self.0 {
            code @ 1000..=1003 => code - 1000,
            // 1004 is reserved, without a meaning.
            code @ 1005..=1014 => code - 1001,
            3000..=3999 => 14,
            4000..=4999 => 15,
            _ => 16,
        };
        position.into()
    }
}

labels! {
    /// Why an opening handshake failed.
    HandshakeFailure:
    /// The head is not HTTP.
    Malformed = "malformed",
    /// The head, its target or its number of lines exceeds a limit.
    TooLarge = "too_large",
    /// Valid HTTP, but not a valid upgrade.
    Request = "request",
    /// The method is not GET.
    Method = "method",
    /// Another version of the WebSocket protocol, or none.
    Version = "version",
    /// `Sec-WebSocket-Key` is missing or invalid.
    Key = "key",
    /// The head was not complete in time, of which a part had arrived.
    Timeout = "timeout",
    /// The peer left before the head was complete, or before it got a response. One that has sent
    /// nothing is counted in [`Stats::connections_unused`](super::observe::Stats) instead.
    Eof = "eof",
    /// No route matches.
    NotFound = "not_found",
    /// The page's origin is not allowed.
    Origin = "origin",
    /// The application refused.
    Rejected = "rejected",
    /// A limit on handshakes was exceeded.
    RateLimited = "rate_limited",
    /// A limit on connections was exceeded.
    TooManyConnections = "too_many_connections",
    /// An invalid PROXY header, or one from a peer that is not trusted.
    Proxy = "proxy",
    /// The TLS handshake failed.
    Tls = "tls",
    /// The transport failed.
    Transport = "transport",
    /// The server is stopping.
    Stopping = "stopping",
    /// Anything else.
    Other = "other",
}

impl From<&HandshakeError> for HandshakeFailure {
    fn from(error: &HandshakeError) -> Self {
        match error {
            HandshakeError::Head(
                HttpError::HeadTooLarge | HttpError::TooManyLines | HttpError::TargetTooLong,
            ) => Self::TooLarge,
            HandshakeError::Head(_) => Self::Malformed,
            HandshakeError::Request(error) => match error {
                RequestError::Method => Self::Method,
                RequestError::VersionUnsupported
                | RequestError::VersionMalformed
                | RequestError::VersionRepeated => Self::Version,
                RequestError::KeyMissing
                | RequestError::KeyRepeated
                | RequestError::KeyLength
                | RequestError::KeyEncoding => Self::Key,
                _ => Self::Request,
            },
            HandshakeError::Body(_) => Self::Request,
            HandshakeError::Timeout { .. } => Self::Timeout,
            HandshakeError::Eof => Self::Eof,
            // Only a client gets this error.
            HandshakeError::Response(_)
            | HandshakeError::ResponseHead(_)
            | HandshakeError::Foreign(_) => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;

    fn closed(clean: bool, local: bool) -> EndKind {
        EndKind::Closed(Closed {
            code: CloseCode::NORMAL,
            reason: "by\n".into(),
            clean,
            local,
            sent: Some(CloseFrame {
                code: CloseCode::NO_STATUS,
                reason: "".into(),
            }),
            truncated: !clean && !local,
        })
    }

    #[test]
    fn each_end_has_its_text_on_one_line() {
        let fault = Fault::Protocol(ProtocolError::Utf8);
        let broken = io::Error::other("a reset");
        let texts = [
            (closed(true, false), "the peer closed with 1000 \"by\\n\""),
            (
                closed(true, true),
                "this server closed and the peer replied with 1000 \"by\\n\"",
            ),
            (
                closed(false, false),
                "the transport ended inside a frame or a message",
            ),
            (
                closed(false, true),
                "the transport ended without the peer's Close",
            ),
            (EndKind::Broken(broken), "a reset"),
            (EndKind::ShutDown, "the server stops"),
        ];
        for (kind, text) in texts {
            assert_eq!(kind.to_string(), text);
        }
        let text = fault.to_string();
        assert_eq!(EndKind::Failed(fault).to_string(), text);
        let after = EndKind::FailedClosing(fault).to_string();
        assert_eq!(after, text + ", after this server's Close");
        let (kind, sent) = (closed(true, false), None);
        let end = End { kind, sent };
        let text = "the peer closed with 1000 \"by\\n\"; sent 1005 \"\"";
        assert_eq!(end.to_string(), text);
    }

    #[test]
    fn what_has_not_opened_fails_by_the_error_of_its_transport() {
        use io::ErrorKind::{ConnectionReset, InvalidData, UnexpectedEof};

        for (kind, failure) in [
            (InvalidData, HandshakeFailure::Tls),
            (UnexpectedEof, HandshakeFailure::Eof),
            (ConnectionReset, HandshakeFailure::Transport),
        ] {
            let end = EndKind::Broken(kind.into());
            assert_eq!(end.handshake_failure(), failure);
        }
        let stops = EndKind::ShutDown.handshake_failure();
        assert_eq!(stops, HandshakeFailure::Stopping);
        let stalls = EndKind::Stalled.handshake_failure();
        assert_eq!(stalls, HandshakeFailure::Other);
    }
}
