//! HTTP/1.1 messages (RFC 9112): the head, which stands before the first frame, and the body of a
//! request that leads to no frames.
//!
//! Owns: the bytes of a request or response head, from the first byte to the empty line — where
//! they end, whether they are well formed, which header lines they hold — and the small grammars
//! that every reader of a head needs (tokens, `Host`, `Content-Length`, the request target); and
//! the bytes of a request's body, in [`BodyReader`].
//!
//! Leaves to the opening handshake: what a head *means* for an upgrade (method, `Connection`,
//! `Sec-WebSocket-*`, duplicates of headers it cares about) and the answer to it. Leaves to the
//! caller: the buffer. [`HeadParser`] keeps positions, never bytes.
//!
//! ```
//! use sockeye::proto::http::{HeadLimits, HeadParser, Target};
//!
//! let bytes = b"GET /chat?room=1 HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive, Upgrade\r\n\r\n\x81\x80";
//! let mut parser = HeadParser::request(HeadLimits::default());
//! assert_eq!(parser.parse(&bytes[..20]), Ok(None)); // more to come
//! let length = parser.parse(bytes)?.unwrap();
//! assert_eq!(&bytes[length..], b"\x81\x80"); // the first frame
//!
//! let request = parser.request_head(bytes).unwrap();
//! assert_eq!(Target::parse(request.target)?.path, "/chat");
//! assert!(request.headers.contains_token("connection", "upgrade"));
//! # Ok::<(), sockeye::proto::http::HttpError>(())
//! ```

mod body;
mod error;
mod headers;
mod line;
mod parser;
mod syntax;
mod target;

pub use body::{BodyReader, expects_continue};
pub use error::HttpError;
pub use headers::{HeaderIter, Headers, content_length, host};
pub use parser::HeadParser;
pub use syntax::{is_header_value, is_request_target, is_token};
pub use target::{Target, is_host};

pub(super) use syntax::{TOKEN, is_class, skip};
pub(super) use target::{AuthorityError, split_authority};

/// How large a head may grow before it is refused.
///
/// A [`HeadParser`] holds 16 bytes per header line, in storage that doubles as it grows: at most
/// 32 per line, and 256 from the first line on. The bytes of the head themselves are the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head: a skipped leading empty line, the start line, the header lines and
    /// the final CRLF CRLF. The byte after the last one allowed fails with
    /// [`HttpError::HeadTooLarge`]. Values above `u32::MAX` count as `u32::MAX`.
    ///
    /// Default 16 KiB: browsers' requests with large cookies stay under 8 KiB, and common servers
    /// and proxies refuse from 8 to 16 KiB on, so nothing that reaches a server today is cut off.
    pub max_head: usize,
    /// Header lines, counted as lines and not as distinct names. The first byte of the line after
    /// the last one allowed fails with [`HttpError::TooManyLines`].
    ///
    /// Default 100: a browser sends about 15 lines and a chain of proxies adds a dozen; this is
    /// also the default of most HTTP servers.
    pub max_lines: usize,
    /// Bytes of the request target. The byte after the last one allowed fails with
    /// [`HttpError::TargetTooLong`]. Not used for responses.
    ///
    /// Default 8 KiB: RFC 9112 section 3 recommends that request lines of at least 8000 octets be
    /// supported.
    pub max_target: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            max_head: 16 * 1024,
            max_lines: 100,
            max_target: 8 * 1024,
        }
    }
}

/// The HTTP version of a message, as far as it changes how to treat it.
///
/// Other major versions are refused while parsing, with [`HttpError::UnsupportedVersion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0. The opening handshake needs 1.1 or higher (RFC 6455 section 4.1).
    Http10,
    /// HTTP/1.1, and every higher minor version of 1: a recipient treats these as the highest
    /// minor version it knows (RFC 9110 section 2.5).
    Http11,
}

/// A complete request head, borrowed from the caller's bytes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RequestHead<'a> {
    /// The method, a token, in the case it was sent in: methods are case-sensitive (RFC 9110
    /// section 9.1).
    pub method: &'a str,
    /// The request target as sent, in any of the four forms of RFC 9112 section 3.2; not empty.
    /// [`Target::parse`] splits it.
    pub target: &'a str,
    /// The version.
    pub version: Version,
    /// The header lines.
    pub headers: Headers<'a>,
}

/// A request head that is not complete, or malformed, as far as it was parsed:
/// [`HeadParser::partial_request`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PartialHead<'a> {
    /// The request target, if the head came that far.
    pub target: Option<&'a str>,
    /// The header lines that are complete.
    pub headers: Headers<'a>,
}

/// A complete response head, borrowed from the caller's bytes.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ResponseHead<'a> {
    /// The version.
    pub version: Version,
    /// The status code, 100 to 999.
    pub status: u16,
    /// The reason phrase as sent, possibly empty. May hold bytes above 0x7f; no control bytes but
    /// HTAB. RFC 9112 section 4: a client should ignore it.
    pub reason: &'a [u8],
    /// The header lines.
    pub headers: Headers<'a>,
}

/// Parses a request head that is likely all there; returns it with the bytes behind it.
///
/// `parser` is reset first (its limits and its storage are kept), so this starts over at each
/// call. To read from a connection, where the head comes in parts, drive [`HeadParser::parse`].
///
/// `Ok(None)`: the head is not complete, or `parser` is one for responses.
///
/// # Errors
/// As [`HeadParser::parse`].
pub fn parse_request<'a>(
    parser: &'a mut HeadParser,
    bytes: &'a [u8],
) -> Result<Option<(RequestHead<'a>, &'a [u8])>, HttpError> {
    parser.reset();
    let Some(length) = parser.parse(bytes)? else {
        return Ok(None);
    };
    Ok(parser
        .request_head(bytes)
        .map(|head| (head, &bytes[length..])))
}

/// Parses a response head that is likely all there; returns it with the bytes behind it.
///
/// The counterpart of [`parse_request`]; the same remarks apply.
///
/// # Errors
/// As [`HeadParser::parse`].
pub fn parse_response<'a>(
    parser: &'a mut HeadParser,
    bytes: &'a [u8],
) -> Result<Option<(ResponseHead<'a>, &'a [u8])>, HttpError> {
    parser.reset();
    let Some(length) = parser.parse(bytes)? else {
        return Ok(None);
    };
    Ok(parser
        .response_head(bytes)
        .map(|head| (head, &bytes[length..])))
}
