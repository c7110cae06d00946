//! Errors, sorted by who is at fault.
//!
//! | type | who | what follows |
//! |---|---|---|
//! | [`ProtocolError`] | the peer broke a rule | the connection is failed with a Close of [`close_code`](Fault::close_code) |
//! | [`LimitError`] | the peer went over a limit of this endpoint | the same |
//! | [`HandshakeError`] | the opening handshake was malformed or refused | no connection |
//! | [`Misuse`] | the caller | nothing: the call had no effect and the connection is usable |
//!
//! [`Fault`] joins the first two, [`Error`] all. The mapping from fault to close code is
//! [`Fault::close_code`] and nothing else.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use crate::proto::Utf8Error;
use crate::proto::close::{CloseCode, MAX_REASON_LENGTH};
pub use crate::proto::extension::GrammarError;
pub use crate::proto::handshake::{HandshakeError, RequestError, ResponseError, ResponseFault};
pub use crate::proto::http::HttpError;
pub use crate::proto::url::UrlError;

/// The peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set and no negotiated extension uses it there.
    ReservedBits,
    /// The opcode is one of the reserved 3–7 and 0xB–0xF.
    ReservedOpcode(u8),
    /// A client's frame is not masked.
    Unmasked,
    /// A server's frame is masked.
    Masked,
    /// The payload length uses more bytes than it needs.
    LengthNotMinimal,
    /// The 64-bit payload length has its top bit set.
    LengthTopBit,
    /// A control frame without FIN.
    FragmentedControl,
    /// A control frame of more than 125 bytes.
    ControlTooLong,
    /// A continuation frame, but no message to continue.
    UnexpectedContinuation,
    /// A text or binary frame inside a fragmented message.
    MessageInsideMessage,
    /// A Close payload of one byte.
    CloseTruncated,
    /// A Close with a code that may not be sent.
    CloseCode(u16),
    /// A Close reason that is not UTF-8.
    CloseReasonUtf8,
    /// A text message that is not UTF-8.
    Utf8,
    /// The data of a message don't fit the negotiated extension; the text says what is wrong.
    Extension(&'static str),
}

impl ProtocolError {
    /// What happened and the section of the rule, short enough for a Close reason.
    const fn text(self) -> &'static str {
        match self {
            Self::ReservedBits => {
                "reserved bit set without an extension that uses it (RFC 6455 section 5.2)"
            }
            Self::ReservedOpcode(_) => "reserved opcode (RFC 6455 section 5.2)",
            Self::Unmasked => "a client must mask its frames (RFC 6455 section 5.1)",
            Self::Masked => "a server must not mask its frames (RFC 6455 section 5.1)",
            Self::LengthNotMinimal => {
                "payload length not in its shortest form (RFC 6455 section 5.2)"
            }
            Self::LengthTopBit => "payload length over 63 bits (RFC 6455 section 5.2)",
            Self::FragmentedControl => "fragmented control frame (RFC 6455 section 5.5)",
            Self::ControlTooLong => "control frame over 125 bytes (RFC 6455 section 5.5)",
            Self::UnexpectedContinuation => {
                "continuation frame without a message to continue (RFC 6455 section 5.4)"
            }
            Self::MessageInsideMessage => {
                "new message before the last one was complete (RFC 6455 section 5.4)"
            }
            Self::CloseTruncated => "close payload of one byte (RFC 6455 section 5.5.1)",
            Self::CloseCode(_) => "close code that may not be sent (RFC 6455 section 7.4)",
            Self::CloseReasonUtf8 => "close reason is not UTF-8 (RFC 6455 section 5.5.1)",
            Self::Utf8 => "text message is not UTF-8 (RFC 6455 section 8.1)",
            Self::Extension(text) => text,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer broke the protocol: ")?;
        match self {
            Self::ReservedOpcode(opcode) => {
                write!(f, "reserved opcode {opcode:#x} (RFC 6455 section 5.2)")
            }
            Self::CloseCode(code) => write!(
                f,
                "close code {code}, which may not be sent (RFC 6455 section 7.4)"
            ),
            other => f.write_str(other.text()),
        }
    }
}

impl core::error::Error for ProtocolError {}

/// The peer went over a limit that this endpoint set in its [`Config`](crate::proto::Config).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitError {
    /// A frame header announced more payload than `max_frame_size`.
    FrameSize {
        /// Bytes announced.
        length: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A message is, or by its frame headers would become, longer than `max_message_size`.
    MessageSize {
        /// Bytes allowed.
        limit: usize,
    },
    /// A message came in more frames than `max_fragments`.
    Fragments {
        /// Frames allowed.
        limit: u32,
    },
    /// An incomplete frame or message went on more slowly than `min_receive_rate`.
    ReceiveRate {
        /// Bytes asked for in each period.
        bytes: u64,
        /// The period.
        period: Duration,
    },
    /// No data arrived for `idle_timeout`.
    Idle {
        /// The time allowed.
        timeout: Duration,
    },
    /// Nothing arrived for `pong_timeout` after a keep-alive ping.
    Pong {
        /// The time allowed.
        timeout: Duration,
    },
    /// The peer did not answer a Close within `close_timeout`.
    Close {
        /// The time allowed.
        timeout: Duration,
    },
}

impl LimitError {
    const fn text(self) -> &'static str {
        match self {
            Self::FrameSize { .. } => "frame too long",
            Self::MessageSize { .. } => "message too long",
            Self::Fragments { .. } => "message in too many frames",
            Self::ReceiveRate { .. } => "message arrives too slowly",
            Self::Idle { .. } => "idle for too long",
            Self::Pong { .. } => "no answer to a ping",
            // No Close is sent after a Close.
            Self::Close { .. } => "",
        }
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameSize { length, limit } => write!(
                f,
                "a frame announced {length} bytes and max_frame_size is {limit}"
            ),
            Self::MessageSize { limit } => {
                write!(
                    f,
                    "a message is longer than max_message_size, {limit} bytes"
                )
            }
            Self::Fragments { limit } => {
                write!(f, "a message came in more than max_fragments, {limit}")
            }
            Self::ReceiveRate { bytes, period } => write!(
                f,
                "an incomplete frame or message went on more slowly than min_receive_rate, {bytes} \
                 bytes in {period:?}"
            ),
            Self::Idle { timeout } => {
                write!(f, "no data arrived for idle_timeout, {timeout:?}")
            }
            Self::Pong { timeout } => write!(
                f,
                "nothing arrived for pong_timeout, {timeout:?}, after a keep-alive ping"
            ),
            Self::Close { timeout } => write!(
                f,
                "the peer did not answer a Close within close_timeout, {timeout:?}"
            ),
        }
    }
}

impl core::error::Error for LimitError {}

/// Why a connection was failed (RFC 6455 section 7.1.7). It sticks: each later
/// [`recv`](crate::proto::Connection::recv) answers the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The peer broke the protocol.
    Protocol(ProtocolError),
    /// The peer went over a limit.
    Limit(LimitError),
}

impl Fault {
    /// The code of the Close frame that fails the connection: the one place that decides it.
    ///
    /// [`CloseCode::ABNORMAL`] for an unanswered Close, where no further frame is sent.
    #[must_use]
    pub const fn close_code(self) -> CloseCode {
        match self {
            // RFC 6455 section 7.4.1: 1007 is for data not consistent with the message's type.
            Self::Protocol(
                ProtocolError::Utf8 | ProtocolError::CloseReasonUtf8 | ProtocolError::Extension(_),
            ) => CloseCode::INVALID_PAYLOAD,
            Self::Protocol(_) => CloseCode::PROTOCOL_ERROR,
            Self::Limit(LimitError::FrameSize { .. } | LimitError::MessageSize { .. }) => {
                CloseCode::MESSAGE_TOO_BIG
            }
            Self::Limit(LimitError::Fragments { .. } | LimitError::ReceiveRate { .. }) => {
                CloseCode::POLICY_VIOLATION
            }
            Self::Limit(LimitError::Idle { .. }) => CloseCode::GOING_AWAY,
            Self::Limit(LimitError::Pong { .. }) => CloseCode::INTERNAL_ERROR,
            Self::Limit(LimitError::Close { .. }) => CloseCode::ABNORMAL,
        }
    }

    /// The reason of that Close frame.
    pub(crate) const fn close_reason(self) -> &'static str {
        let text = match self {
            Self::Protocol(error) => error.text(),
            Self::Limit(error) => error.text(),
        };
        // An extension's own text may be of any length.
        if text.len() > MAX_REASON_LENGTH {
            ""
        } else {
            text
        }
    }
}

impl From<ProtocolError> for Fault {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<LimitError> for Fault {
    fn from(error: LimitError) -> Self {
        Self::Limit(error)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => error.fmt(f),
            Self::Limit(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Fault {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Protocol(error) => Some(error),
            Self::Limit(error) => Some(error),
        }
    }
}

/// The caller asked for what can't be done. Nothing was sent and nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// A message, ping or Close after the closing handshake began or the connection failed.
    Closed,
    /// A whole message while a fragmented one is under way; finish that one first.
    FragmentUnderWay,
    /// A fragment of the other kind than the message it belongs to.
    FragmentKind,
    /// A ping or pong payload of this many bytes; 125 are allowed (RFC 6455 section 5.5).
    ControlTooLong(usize),
    /// A close code that may not be sent (RFC 6455 section 7.4); use 1000–1003, 1007–1014 or
    /// 3000–4999.
    CloseCode(u16),
    /// A Close reason of this many bytes; 123 are allowed (RFC 6455 section 5.5).
    CloseReasonTooLong(usize),
    /// A Close reason without a close code (RFC 6455 section 5.5.1).
    CloseReasonWithoutCode,
    /// The opening handshake was already answered, or no complete request was received yet.
    HandshakeState,
    /// A subprotocol that the peer did not offer, or that is not a token (RFC 6455 section 4.2.2).
    Subprotocol(Box<str>),
    /// A header whose name is not a token or whose value holds a control character, or one that
    /// the opening handshake writes itself.
    Header(Box<str>),
    /// A response status that the call can't send: 101 is sent by accepting.
    Status(u16),
    /// A URL that is no WebSocket URL.
    Url(UrlError),
    /// A `wss://` URL in a build without TLS: the feature `tls` of this crate adds it.
    TlsMissing,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str(
                "nothing may be sent once the closing handshake began (RFC 6455 section 5.5.1)",
            ),
            Self::FragmentUnderWay => f.write_str(
                "a fragmented message is under way; end it before the next (RFC 6455 section 5.4)",
            ),
            Self::FragmentKind => f.write_str(
                "a fragment must be of its message's kind, text or binary (RFC 6455 section 5.4)",
            ),
            Self::ControlTooLong(length) => write!(
                f,
                "a ping or pong of {length} bytes; at most 125 are allowed (RFC 6455 section 5.5)"
            ),
            Self::CloseCode(code) => write!(
                f,
                "close code {code} may not be sent; use 1000-1003, 1007-1014 or 3000-4999 \
                 (RFC 6455 section 7.4)"
            ),
            Self::CloseReasonTooLong(length) => write!(
                f,
                "a close reason of {length} bytes; at most 123 are allowed (RFC 6455 section 5.5)"
            ),
            Self::CloseReasonWithoutCode => {
                f.write_str("a close reason needs a close code (RFC 6455 section 5.5.1)")
            }
            Self::HandshakeState => f.write_str(
                "the opening handshake has no request to answer, or was answered already",
            ),
            Self::Subprotocol(name) => write!(
                f,
                "subprotocol {name:?} is not a token or was not offered (RFC 6455 section 4.2.2)"
            ),
            Self::Header(name) => write!(
                f,
                "header {name:?} has a bad name or value, or belongs to the opening handshake \
                 itself (RFC 9110 section 5)"
            ),
            Self::Status(status) => write!(f, "status {status} can't be sent by this call"),
            Self::Url(error) => error.fmt(f),
            Self::TlsMissing => f.write_str(
                "wss:// needs TLS, which this build of sockeye doesn't have: build it with its \
                 feature `tls`",
            ),
        }
    }
}

impl core::error::Error for Misuse {}

impl From<UrlError> for Misuse {
    fn from(error: UrlError) -> Self {
        Self::Url(error)
    }
}

/// Any error of this crate.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The peer broke the protocol.
    Protocol(ProtocolError),
    /// The peer went over a limit.
    Limit(LimitError),
    /// The opening handshake failed.
    Handshake(HandshakeError),
    /// The caller asked for what can't be done.
    Misuse(Misuse),
    /// The operating system reported an error.
    #[cfg(any(feature = "server", feature = "client"))]
    Io(std::io::Error),
    /// TLS failed: the peer's certificate is not to be trusted, say, or a configuration can't be
    /// used.
    #[cfg(feature = "tls")]
    Tls(rustls::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => error.fmt(f),
            Self::Limit(error) => error.fmt(f),
            Self::Handshake(error) => error.fmt(f),
            Self::Misuse(error) => error.fmt(f),
            #[cfg(any(feature = "server", feature = "client"))]
            Self::Io(error) => error.fmt(f),
            #[cfg(feature = "tls")]
            Self::Tls(error) => write!(f, "TLS failed: {error}"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(match self {
            Self::Protocol(error) => error,
            Self::Limit(error) => error,
            Self::Handshake(error) => error,
            Self::Misuse(error) => error,
            #[cfg(any(feature = "server", feature = "client"))]
            Self::Io(error) => error,
            #[cfg(feature = "tls")]
            Self::Tls(error) => error,
        })
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Protocol(error) => Self::Protocol(error),
            Fault::Limit(error) => Self::Limit(error),
        }
    }
}

impl From<HandshakeError> for Error {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl From<Misuse> for Error {
    fn from(error: Misuse) -> Self {
        Self::Misuse(error)
    }
}

impl From<ProtocolError> for Error {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<LimitError> for Error {
    fn from(error: LimitError) -> Self {
        Self::Limit(error)
    }
}

/// For those who parse heads on their own: [`HandshakeError::Head`].
impl From<HttpError> for Error {
    fn from(error: HttpError) -> Self {
        Self::Handshake(error.into())
    }
}

/// For those who validate text on their own: [`ProtocolError::Utf8`].
impl From<Utf8Error> for Error {
    fn from(_: Utf8Error) -> Self {
        Self::Protocol(ProtocolError::Utf8)
    }
}

impl From<UrlError> for Error {
    fn from(error: UrlError) -> Self {
        Self::Misuse(error.into())
    }
}

#[cfg(any(feature = "server", feature = "client"))]
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        // What a TLS transport answers as an error of reading or writing.
        #[cfg(feature = "tls")]
        if let Some(error) = error.get_ref().and_then(|it| it.downcast_ref()) {
            return Self::Tls(rustls::Error::clone(error));
        }
        Self::Io(error)
    }
}

#[cfg(feature = "tls")]
impl From<rustls::Error> for Error {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error)
    }
}
