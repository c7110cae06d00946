//! Why a connection is failed (RFC 6455 section 7.1.7), and the Close that says so.
//!
//! Owns the one mapping from a fault to a close code and reason. When that Close is queued is left
//! to the connection.

use core::fmt;

use super::close::{CloseCode, MAX_REASON_LENGTH};
use super::limit_error::LimitError;
use super::protocol_error::ProtocolError;

/// Why a connection was failed (RFC 6455 section 7.1.7). It sticks: each later
/// [`recv`](super::Connection::recv) returns the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The peer broke the protocol.
    Protocol(ProtocolError),
    /// The peer exceeded a limit.
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
    pub(super) const fn close_reason(self) -> &'static str {
        let text = match self {
            Self::Protocol(error) => error.text(),
            Self::Limit(error) => error.text(),
        };
        // An extension's text may be of any length.
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

/// A fault is one of its two kinds, and forwards their text and source.
impl core::error::Error for Fault {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Protocol(error) => error.source(),
            Self::Limit(error) => error.source(),
        }
    }
}
