//! Why an opening handshake failed.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use super::check::RequestError;
use super::confirm::ResponseError;
use super::foreign::Foreign;
use crate::proto::http::HttpError;

/// The opening handshake failed; there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Server: the request's head is not an HTTP/1.1 head, or exceeds a limit.
    Head(HttpError),
    /// Client: the response's head is not an HTTP/1.1 head, or exceeds a limit.
    ResponseHead(HttpError),
    /// Client: what answered speaks another protocol.
    Foreign(Foreign),
    /// Server: the body of a plain request is malformed, over the limit, or announced in a way
    /// that is not supported.
    Body(HttpError),
    /// Server: the request is valid HTTP, but not a valid opening handshake.
    Request(RequestError),
    /// Client: the server refused, or its response breaks RFC 6455.
    Response(Box<ResponseError>),
    /// The handshake, or the body of a plain request, was not complete within
    /// [`handshake_timeout`](crate::proto::Config::handshake_timeout).
    Timeout {
        /// The time allowed.
        timeout: Duration,
    },
    /// The transport ended before the handshake was complete.
    Eof,
}

impl HandshakeError {
    /// The status of a server's response to such a request. None if no response helps, and for a
    /// client, which sends none.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Head(error) | Self::Body(error) => Some(error.status()),
            Self::Request(error) => Some(error.status()),
            Self::Timeout { .. } => Some(408),
            Self::ResponseHead(_) | Self::Foreign(_) | Self::Response(_) | Self::Eof => None,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(error) | Self::Body(error) => error.fmt(f),
            Self::ResponseHead(error) => f.write_str(error.response_text()),
            Self::Foreign(foreign) => write!(
                f,
                "what answered is no HTTP/1.1 server (RFC 6455 section 4.1): {foreign}"
            ),
            Self::Request(error) => error.fmt(f),
            Self::Response(error) => error.fmt(f),
            Self::Timeout { timeout } => write!(
                f,
                "the opening handshake or the request was not complete within handshake_timeout, \
                 {timeout:?}"
            ),
            Self::Eof => {
                f.write_str("the peer ended the stream before the opening handshake was complete")
            }
        }
    }
}

impl core::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Head(error) | Self::Body(error) | Self::ResponseHead(error) => error.source(),
            Self::Request(error) => error.source(),
            Self::Response(error) => error.source(),
            Self::Foreign(_) | Self::Timeout { .. } | Self::Eof => None,
        }
    }
}

impl From<HttpError> for HandshakeError {
    fn from(error: HttpError) -> Self {
        Self::Head(error)
    }
}

impl From<RequestError> for HandshakeError {
    fn from(error: RequestError) -> Self {
        Self::Request(error)
    }
}
