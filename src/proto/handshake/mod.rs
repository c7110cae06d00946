//! The opening handshake (RFC 6455 section 4), both roles, on byte slices.
//!
//! [`ServerHandshake`] and [`ClientHandshake`] own the bytes of a head that is not complete and
//! answer with a [`Connection`](super::Connection). Here is what they share: the accept key, the
//! errors, and writing a head. HTTP's own grammar is in [`http`](super::http).

mod client;
mod origin;
mod request;
mod response;
mod server;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::extension::GrammarError;
use super::http::{HeadParser, HttpError, RequestHead, ResponseHead};
use super::input::Input;

pub use client::{ClientHandshake, ClientRequest};
pub use origin::Origins;
pub use request::Request;
#[cfg(feature = "server")]
pub(crate) use request::percent_decode;
pub use response::Response;
pub use server::{Accept, RequestKind, ServerHandshake};

/// The version of the protocol (RFC 6455 section 4.1).
const VERSION: &str = "13";

/// The bytes of a key: a nonce of 16 bytes (RFC 6455 section 4.1).
const KEY_LENGTH: usize = 16;

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455 section 4.2.2): 28 characters.
fn accept_key(key: &[u8]) -> String {
    let mut sha1 = sha1_smol::Sha1::new();
    sha1.update(key);
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(sha1.digest().bytes())
}

/// Appends a header line.
fn write_header(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// The bytes of a head so far, and how far they were parsed.
struct HeadReader {
    parser: HeadParser,
    bytes: Vec<u8>,
}

/// The least that is copied at once to go on with a head: more than most heads lack, and little
/// beside what one that came in parts already holds.
const HEAD_STEP: usize = 512;

impl HeadReader {
    fn new(parser: HeadParser) -> Self {
        Self {
            parser,
            bytes: Vec::new(),
        }
    }

    /// Consumes input up to the end of the head; answers whether the head is complete. On an
    /// error nothing is consumed.
    ///
    /// What is behind the head may be more than the head itself, such as further requests, each
    /// of which is read by a call of its own: a call must cost no more than the head has bytes.
    fn recv(&mut self, input: &mut Input<'_>) -> Result<bool, HttpError> {
        let arrived = input.as_slice();
        if self.bytes.is_empty() {
            // Parsed where it lies; only the head's own bytes are copied.
            let end = self.parser.parse(arrived)?;
            let length = end.unwrap_or(arrived.len());
            self.bytes.extend_from_slice(&arrived[..length]);
            input.take(length);
            return Ok(end.is_some());
        }
        // Where the head ends is not known before it is parsed, and to be parsed it must lie in
        // one piece: it grows by no more than what it has.
        let before = self.bytes.len();
        let mut rest = arrived;
        while !rest.is_empty() {
            let (next, behind) = rest.split_at(rest.len().min(self.bytes.len().max(HEAD_STEP)));
            rest = behind;
            self.bytes.extend_from_slice(next);
            if let Some(length) = self.parser.parse(&self.bytes)? {
                self.bytes.truncate(length);
                input.take(length - before);
                return Ok(true);
            }
        }
        input.take(arrived.len());
        Ok(false)
    }

    /// The target and the lines that were parsed; `failed` is the input that was an error, where
    /// nothing came before it.
    #[cfg(feature = "server")]
    fn known<'a>(&'a self, failed: &'a [u8]) -> (Option<&'a str>, super::http::Headers<'a>) {
        self.parser.parsed(match self.bytes.is_empty() {
            true => failed,
            false => &self.bytes,
        })
    }

    fn request(&self) -> Option<RequestHead<'_>> {
        self.parser.request_head(&self.bytes)
    }

    fn response(&self) -> Option<ResponseHead<'_>> {
        self.parser.response_head(&self.bytes)
    }

    /// Begins anew, and frees what is held: a transport that waits for a request owns no buffer.
    fn clear(&mut self) {
        *self = Self::new(self.parser.renewed());
    }
}

impl fmt::Debug for HeadReader {
    /// Shows the length only: a head may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadReader")
            .field("length", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// The names of headers, for `Debug`: values may be credentials.
fn header_names<'a>(headers: &[(&'a str, &str)]) -> Vec<&'a str> {
    headers.iter().map(|(name, _)| *name).collect()
}

/// The opening handshake failed; there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer's head is no HTTP/1.1 head, or over a limit.
    Head(HttpError),
    /// Server: the body of a plain request is malformed, over the limit, or announced in a way
    /// that is not supported.
    Body(HttpError),
    /// Server: the request is HTTP, but no proper opening handshake.
    Request(RequestError),
    /// Client: the server refused, or answered against RFC 6455.
    Response(Box<ResponseError>),
    /// The handshake, or the body of a plain request, was not complete within
    /// [`handshake_timeout`](super::Config::handshake_timeout).
    Timeout {
        /// The time allowed.
        timeout: Duration,
    },
    /// The transport ended before the handshake was complete.
    Eof,
}

impl HandshakeError {
    /// The status that a server answers such a request with; None where no answer helps. A
    /// client has nothing to answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Head(error) | Self::Body(error) => Some(error.status()),
            Self::Request(error) => Some(error.status()),
            Self::Timeout { .. } => Some(408),
            Self::Response(_) | Self::Eof => None,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(error) | Self::Body(error) => error.fmt(f),
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
            Self::Head(error) | Self::Body(error) => Some(error),
            Self::Request(error) => Some(error),
            Self::Response(error) => Some(error),
            Self::Timeout { .. } | Self::Eof => None,
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

/// Why a request is no proper opening handshake (RFC 6455 section 4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestError {
    /// The method is not GET.
    Method,
    /// `Upgrade` doesn't list `websocket`.
    Upgrade,
    /// `Connection` doesn't list `Upgrade`.
    Connection,
    /// `Sec-WebSocket-Version` is missing, or another version than 13.
    VersionUnsupported,
    /// `Sec-WebSocket-Version` is no version number.
    VersionMalformed,
    /// More than one `Sec-WebSocket-Version`.
    VersionRepeated,
    /// No `Sec-WebSocket-Key`.
    KeyMissing,
    /// More than one `Sec-WebSocket-Key`.
    KeyRepeated,
    /// `Sec-WebSocket-Key` does not have the length of 16 bytes in base64: 22 characters and two
    /// of padding.
    KeyLength,
    /// `Sec-WebSocket-Key` has 24 characters but is no base64 of 16 bytes.
    KeyEncoding,
    /// The request has a body: a `Content-Length` above 0, or `Transfer-Encoding`.
    Body,
    /// More than one `Origin`, or one with bytes that no origin has.
    Origin,
    /// `Sec-WebSocket-Protocol` holds what is not a token.
    Subprotocol,
    /// `Sec-WebSocket-Extensions` is malformed.
    Extensions(GrammarError),
}

impl RequestError {
    /// The status to answer with: 405 for the method, 426 for the version, else 400.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::VersionUnsupported => 426,
            _ => 400,
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "the opening handshake must be a GET (RFC 6455 section 4.1)",
            Self::Upgrade => {
                "Upgrade must list websocket (RFC 6455 section 4.2.1); a proxy in between has to \
                 pass the header on"
            }
            Self::Connection => {
                "Connection must list Upgrade (RFC 6455 section 4.2.1); a proxy in between has to \
                 pass the header on"
            }
            Self::VersionUnsupported => "Sec-WebSocket-Version must be 13 (RFC 6455 section 4.2.1)",
            Self::VersionMalformed => {
                "Sec-WebSocket-Version is not a number from 0 to 255 (RFC 6455 section 4.3)"
            }
            Self::VersionRepeated => {
                "Sec-WebSocket-Version is there more than once (RFC 6455 section 11.3.5)"
            }
            Self::KeyMissing => "Sec-WebSocket-Key is missing (RFC 6455 section 4.2.1)",
            Self::KeyRepeated => {
                "Sec-WebSocket-Key is there more than once (RFC 6455 section 11.3.1)"
            }
            Self::KeyLength => {
                "Sec-WebSocket-Key must be 16 bytes in base64, 22 characters and two of padding (RFC \
                 6455 section 4.2.1); its length is another"
            }
            Self::KeyEncoding => {
                "Sec-WebSocket-Key must be 16 bytes in base64, 24 characters (RFC 6455 section \
                 4.2.1); its characters or its padding are not base64"
            }
            Self::Body => {
                "the opening handshake must have no body: leave Content-Length and \
                 Transfer-Encoding out (RFC 6455 section 4.1)"
            }
            Self::Origin => "Origin must be there once at most, in ASCII (RFC 6454 section 7)",
            Self::Subprotocol => "Sec-WebSocket-Protocol must list tokens (RFC 6455 section 4.1)",
            Self::Extensions(error) => return error.fmt(f),
        })
    }
}

impl core::error::Error for RequestError {}

/// The server refused the opening handshake, or answered against RFC 6455 section 4.1. Holds
/// what it answered.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseError {
    /// What is wrong with the response.
    pub fault: ResponseFault,
    /// The response's status, such as 401.
    pub status: u16,
    /// The response's headers in order, values as sent.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl ResponseError {
    /// The first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            ResponseFault::Status => write!(
                f,
                "the server refused the opening handshake with status {} (RFC 6455 section 4.1)",
                self.status
            ),
            fault => f.write_str(fault.text()),
        }
    }
}

impl fmt::Debug for ResponseError {
    /// Shows the names of the headers only: values may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("ResponseError")
            .field("fault", &self.fault)
            .field("status", &self.status)
            .field("headers", &names)
            .finish()
    }
}

impl core::error::Error for ResponseError {}

/// What is wrong with a server's response (RFC 6455 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResponseFault {
    /// The status is not 101: the server refused, redirects or wants authentication.
    Status,
    /// The response is HTTP/1.0, which has no upgrade.
    Version,
    /// `Upgrade` is not `websocket`.
    Upgrade,
    /// `Connection` doesn't list `Upgrade`.
    Connection,
    /// `Sec-WebSocket-Accept` is missing, there more than once, or not the one for this key.
    Accept,
    /// A subprotocol that was not offered, or more than one.
    Subprotocol,
    /// An extension that was not offered, or more than one.
    Extension,
    /// `Sec-WebSocket-Extensions` is malformed.
    ExtensionGrammar(GrammarError),
    /// The response to an offered extension breaks that extension's rules; the text says which.
    ExtensionResponse(&'static str),
}

impl ResponseFault {
    const fn text(self) -> &'static str {
        match self {
            Self::Status => "the status is not 101 (RFC 6455 section 4.1)",
            Self::Version => "the server answered in HTTP/1.0 (RFC 6455 section 4.1)",
            Self::Upgrade => "the response's Upgrade is not websocket (RFC 6455 section 4.1)",
            Self::Connection => {
                "the response's Connection doesn't list Upgrade (RFC 6455 section 4.1)"
            }
            Self::Accept => {
                "the response's Sec-WebSocket-Accept is missing, repeated or wrong (RFC 6455 \
                 section 4.1); what answered may be no WebSocket server"
            }
            Self::Subprotocol => {
                "the server chose a subprotocol that was not offered, or several (RFC 6455 \
                 section 4.1)"
            }
            Self::Extension => {
                "the server chose an extension that was not offered, or several (RFC 6455 \
                 section 4.1)"
            }
            Self::ExtensionGrammar(_) => {
                "the response's Sec-WebSocket-Extensions is malformed (RFC 6455 section 9.1)"
            }
            Self::ExtensionResponse(text) => text,
        }
    }
}
