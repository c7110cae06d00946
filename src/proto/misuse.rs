//! Calls that can't be carried out.

use alloc::boxed::Box;
use core::fmt;

use super::url::UrlError;

/// A call can't be carried out. Nothing was sent and nothing changed: it is not a fault of the
/// peer, and the connection continues as if the call had not been made.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use sockeye::proto::{CloseCode, Config, Connection, Misuse};
///
/// let mut connection = Connection::server(Arc::new(Config::default()), Duration::ZERO);
/// let mut out = Vec::new();
///
/// connection.send_fragment("a message in ", &mut out)?;
/// // Not before that one is complete.
/// assert_eq!(connection.send("another", &mut out), Err(Misuse::FragmentUnderWay));
/// connection.send_last_fragment("parts", &mut out)?;
/// connection.send("another", &mut out)?;
///
/// // 1005 says that there was no code: it is never sent itself.
/// let closed = connection.close(CloseCode::NO_STATUS, "", &mut out, Duration::ZERO);
/// assert_eq!(closed, Err(Misuse::CloseCode(1005)));
/// assert!(connection.is_open());
/// # Ok::<(), sockeye::Error>(())
/// ```
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
    /// A subprotocol that the peer did not offer, or that is not a token (RFC 6455 section 4.2.2).
    Subprotocol(Box<str>),
    /// A header whose name is not a token or whose value holds a control character, or one that
    /// the opening handshake writes itself.
    Header(Box<str>),
    /// A response status that the call can't send: 101 is sent by accepting.
    Status(u16),
    /// A URL that is not a WebSocket URL.
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

impl core::error::Error for Misuse {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Url(error) => error.source(),
            _ => None,
        }
    }
}

impl From<UrlError> for Misuse {
    fn from(error: UrlError) -> Self {
        Self::Url(error)
    }
}
