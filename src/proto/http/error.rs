//! The errors of a head or body, and the status of each.

use core::fmt;

/// A message head or body that breaks HTTP, or exceeds a limit.
///
/// Which error it is depends on the bytes alone, never on how they were split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HttpError {
    /// The request method is empty or has a byte that is not allowed in a token.
    Method,
    /// The request line is not three parts with one space between them.
    RequestLine,
    /// The request target has a byte that must be percent-encoded, or is a fragment.
    Target,
    /// The request target is longer than [`HeadLimits::max_target`](super::HeadLimits::max_target).
    TargetTooLong,
    /// The request target is well formed but names no path: `*`, authority-form, or absolute-form
    /// of another scheme or with a malformed authority.
    TargetForm,
    /// The version does not have the form `HTTP/1.1`.
    Version,
    /// The version is well formed, but its major version is not 1.
    UnsupportedVersion,
    /// The status line of a response is malformed.
    StatusLine,
    /// A line ends in LF without CR.
    BareLf,
    /// A CR is not followed by LF.
    BareCr,
    /// A header line begins with white space.
    ObsFold,
    /// A header line has no colon.
    MissingColon,
    /// A header name is empty or has a byte that is not allowed in a token.
    HeaderName,
    /// There is white space in a header name or between it and the colon.
    SpaceBeforeColon,
    /// A header value has a control byte.
    HeaderValue,
    /// The head is longer than [`HeadLimits::max_head`](super::HeadLimits::max_head).
    HeadTooLarge,
    /// There are more header lines than [`HeadLimits::max_lines`](super::HeadLimits::max_lines).
    TooManyLines,
    /// `Content-Length` is not one decimal number, or is repeated.
    ContentLength,
    /// There is no `Host`.
    HostMissing,
    /// There is more than one `Host`.
    HostRepeated,
    /// `Host` is not a host with an optional port.
    HostInvalid,
    /// The length of the body is ambiguous: both `Content-Length` and `Transfer-Encoding` are
    /// present, or a `Transfer-Encoding` that doesn't end in `chunked`, or one in HTTP/1.0.
    BodyLength,
    /// `Transfer-Encoding` lists more than `chunked`.
    TransferCoding,
    /// The body exceeds the server's limit, or would by a length that it announced.
    BodyTooLarge,
    /// A chunk does not begin with its size in 1 to 16 hexadecimal digits, or a byte behind it is
    /// not allowed there.
    ChunkSize,
    /// A chunk's data are not followed by CR LF.
    ChunkEnd,
    /// The chunk extensions of the body are longer than [`BodyReader`](super::BodyReader) takes.
    ChunkExtensionsTooLarge,
    /// The trailers of the body are longer, or have more lines, than
    /// [`BodyReader`](super::BodyReader) takes.
    TrailersTooLarge,
    /// `Expect` contains something other than `100-continue`.
    Expectation,
}

impl HttpError {
    /// The status code that a server responds with before it closes the connection.
    ///
    /// One of 400, 413, 414, 417, 431, 501 and 505. Not used for a response head: a client fails
    /// the connection.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            // RFC 9110 section 15.5.14; RFC 9112 section 7.1.1 asks for "an appropriate 4xx".
            Self::BodyTooLarge | Self::ChunkExtensionsTooLarge => 413,
            // RFC 9110 section 15.5.15.
            Self::TargetTooLong => 414,
            // RFC 9110 section 10.1.1.
            Self::Expectation => 417,
            // RFC 6585 section 5.
            Self::HeadTooLarge | Self::TooManyLines | Self::TrailersTooLarge => 431,
            // RFC 9112 section 6.1.
            Self::TransferCoding => 501,
            // RFC 9110 section 15.6.6.
            Self::UnsupportedVersion => 505,
            _ => 400,
        }
    }

    /// The text for a client, whose server sent the head: what that did, and what helps here.
    pub(in crate::proto) const fn response_text(self) -> &'static str {
        match self {
            Self::Version | Self::StatusLine => {
                "the server's response doesn't begin with `HTTP/1.1 status reason` (RFC 9112 \
                 section 4): check that the port is the WebSocket server's"
            }
            Self::UnsupportedVersion => {
                "the server answered in another major version of HTTP than 1 (RFC 9110 section \
                 2.5): check that the port speaks HTTP/1.1"
            }
            Self::BareLf | Self::BareCr => {
                "the server ended a line of its response in another way than CR LF (RFC 9112 \
                 section 2.2)"
            }
            Self::ObsFold => {
                "the server folded a header of its response over several lines, which is obsolete \
                 (RFC 9112 section 5.2)"
            }
            Self::MissingColon | Self::HeaderName | Self::SpaceBeforeColon | Self::HeaderValue => {
                "the server's response has a malformed header (RFC 9112 section 5)"
            }
            Self::HeadTooLarge => {
                "the head of the server's response is larger than the limit: raise max_head if that \
                 is right"
            }
            Self::TooManyLines => {
                "the server's response has more header lines than the limit: raise max_lines if \
                 that is right"
            }
            // What only a request or a body has.
            _ => "the server's response is malformed (RFC 9112)",
        }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => {
                "the request method is not a token (RFC 9110 section 9.1): send GET; \
                 if the first byte is 0x16, a TLS client has reached a plain-text port: \
                 connect with ws:// or set up TLS on it"
            }
            Self::RequestLine => {
                "the request line is not `method target HTTP/1.1` with single spaces \
                 (RFC 9112 section 3): send exactly these three parts"
            }
            Self::Target => {
                "the request target has a byte that is not allowed in it, or a fragment \
                 (RFC 9112 section 3.2): percent-encode the byte, leave the fragment out"
            }
            Self::TargetTooLong => {
                "the request target is longer than the limit (RFC 9112 section 3): \
                 shorten the query, or raise max_target"
            }
            Self::TargetForm => {
                "the request target names no path (RFC 9112 section 3.2): \
                 send origin-form, such as /chat, or an absolute http(s) or ws(s) URI"
            }
            Self::Version => {
                "the version is malformed (RFC 9112 section 2.3): send HTTP/1.1, in capitals"
            }
            Self::UnsupportedVersion => {
                "the major version is not 1 (RFC 9110 section 2.5): send HTTP/1.1"
            }
            Self::StatusLine => {
                "the status line is not `HTTP/1.1 status reason` with a three-digit status \
                 (RFC 9112 section 4): check that the server speaks HTTP/1.1 on this port"
            }
            Self::BareLf => "a line ends in LF alone (RFC 9112 section 2.2): end lines in CR LF",
            Self::BareCr => {
                "a CR is not followed by LF (RFC 9112 section 2.2): end lines in CR LF, \
                 and send no CR elsewhere"
            }
            Self::ObsFold => {
                "a header line begins with white space (RFC 9112 sections 2.2 and 5.2): \
                 send each header on one line"
            }
            Self::MissingColon => {
                "a header line has no colon (RFC 9112 section 5): send `name: value`"
            }
            Self::HeaderName => {
                "a header name is not a token (RFC 9110 section 5.1): \
                 use letters, digits and -, and do not leave it empty"
            }
            Self::SpaceBeforeColon => {
                "there is white space in a header name or before the colon \
                 (RFC 9112 section 5.1): put the colon right behind the name"
            }
            Self::HeaderValue => {
                "a header value has a control byte (RFC 9110 section 5.5): encode the value"
            }
            Self::HeadTooLarge => {
                "the head is larger than the limit (RFC 6585 section 5): \
                 send fewer or smaller headers, cookies above all, or raise max_head"
            }
            Self::TooManyLines => {
                "there are more header lines than the limit (RFC 6585 section 5): \
                 send fewer headers, or raise max_lines"
            }
            Self::ContentLength => {
                "Content-Length is not one decimal number (RFC 9110 section 8.6): \
                 send it once, in digits only, or not at all"
            }
            Self::HostMissing => {
                "the request has no Host (RFC 9112 section 3.2): send the host of the URL"
            }
            Self::HostRepeated => {
                "the request has more than one Host (RFC 9112 section 3.2): send one"
            }
            Self::HostInvalid => {
                "Host is not a host with an optional port (RFC 9110 section 7.2): \
                 send `example.com`, `example.com:8080` or `[::1]:8080`"
            }
            Self::BodyLength => {
                "the length of the body is in doubt (RFC 9112 section 6.3): send either \
                 Content-Length or, in HTTP/1.1, `Transfer-Encoding: chunked`"
            }
            Self::TransferCoding => {
                "a transfer coding other than chunked is not implemented (RFC 9112 section 6.1): \
                 send `Transfer-Encoding: chunked`, or Content-Length"
            }
            Self::BodyTooLarge => {
                "the body is larger than the limit (RFC 9110 section 15.5.14): send less"
            }
            Self::ChunkSize => {
                "a chunk's first line is not its size in 1 to 16 hexadecimal digits and its \
                 extensions (RFC 9112 section 7.1): send the digits without a sign, a prefix or \
                 white space"
            }
            Self::ChunkEnd => {
                "a chunk's data are not followed by CR LF (RFC 9112 section 7.1): \
                 send as many bytes as its size says"
            }
            Self::ChunkExtensionsTooLarge => {
                "the chunk extensions are larger than the limit (RFC 9112 section 7.1.1): \
                 leave them out"
            }
            Self::TrailersTooLarge => {
                "the trailers are larger than the limit (RFC 9112 section 7.1.2): \
                 leave them out"
            }
            Self::Expectation => {
                "Expect is not 100-continue (RFC 9110 section 10.1.1): send that, or leave it out"
            }
        })
    }
}

impl core::error::Error for HttpError {}
