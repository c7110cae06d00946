//! The labels of the metrics. Each has a fixed set of values: what a peer sends never adds one,
//! since each is a time series that is stored forever.

use core::fmt::Debug;

use crate::error::{Fault, HandshakeError, HttpError, LimitError, ProtocolError, RequestError};
use crate::proto::CloseCode;

/// The values of a label.
pub(in crate::server) trait Label: Copy + Debug + 'static {
    const ALL: &'static [Self];

    fn index(self) -> usize;

    /// Its name, of letters, digits and `_`.
    fn name(self) -> &'static str;
}

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident: $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn index(self) -> usize {
                self as usize
            }

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl $name {
            /// The name in JSON and Prometheus.
            #[must_use]
            pub fn name(self) -> &'static str {
                Label::name(self)
            }
        }
    };
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
    /// A handler panicked.
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

labels! {
    /// The close code that a connection ended with: registered codes by themselves, those of
    /// libraries and applications grouped by the thousand, since the peer chooses them.
    CloseLabel:
    /// 1000, normal.
    Normal = "1000",
    /// 1001, going away.
    GoingAway = "1001",
    /// 1002, protocol error.
    ProtocolError = "1002",
    /// 1003, unsupported data.
    UnsupportedData = "1003",
    /// 1005, a Close without a code.
    NoStatus = "1005",
    /// 1006, no Close was received.
    Abnormal = "1006",
    /// 1007, data inconsistent with its type.
    InvalidPayload = "1007",
    /// 1008, policy violation.
    PolicyViolation = "1008",
    /// 1009, message too big.
    MessageTooBig = "1009",
    /// 1010, a mandatory extension is missing.
    MandatoryExtension = "1010",
    /// 1011, internal error.
    InternalError = "1011",
    /// 1012, service restart.
    ServiceRestart = "1012",
    /// 1013, try again later.
    TryAgainLater = "1013",
    /// 1014, bad gateway.
    BadGateway = "1014",
    /// 3000–3999, of libraries and frameworks.
    Library = "3xxx",
    /// 4000–4999, of applications.
    Application = "4xxx",
    /// Any other.
    Other = "other",
}

impl From<CloseCode> for CloseLabel {
    fn from(code: CloseCode) -> Self {
        match code {
            CloseCode::NORMAL => Self::Normal,
            CloseCode::GOING_AWAY => Self::GoingAway,
            CloseCode::PROTOCOL_ERROR => Self::ProtocolError,
            CloseCode::UNSUPPORTED_DATA => Self::UnsupportedData,
            CloseCode::NO_STATUS => Self::NoStatus,
            CloseCode::ABNORMAL => Self::Abnormal,
            CloseCode::INVALID_PAYLOAD => Self::InvalidPayload,
            CloseCode::POLICY_VIOLATION => Self::PolicyViolation,
            CloseCode::MESSAGE_TOO_BIG => Self::MessageTooBig,
            CloseCode::MANDATORY_EXTENSION => Self::MandatoryExtension,
            CloseCode::INTERNAL_ERROR => Self::InternalError,
            CloseCode::SERVICE_RESTART => Self::ServiceRestart,
            CloseCode::TRY_AGAIN_LATER => Self::TryAgainLater,
            CloseCode::BAD_GATEWAY => Self::BadGateway,
            CloseCode(3000..=3999) => Self::Library,
            CloseCode(4000..=4999) => Self::Application,
            _ => Self::Other,
        }
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
    /// The head was not complete in time.
    Timeout = "timeout",
    /// The peer left before the head was complete, or before it got a response. One that has sent
    /// nothing, such as a health check, is not counted.
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
            HandshakeError::Response(_) => Self::Other,
        }
    }
}
