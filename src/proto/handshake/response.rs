//! A plain HTTP response, written by the caller of a server's handshake.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

use super::header::{VERSION, header_names, write_header};
use crate::proto::http::{is_header_value, is_token};
use crate::proto::misuse::Misuse;

/// Headers that the handshake writes itself, with the `Sec-WebSocket-` ones.
const RESERVED: [&str; 6] = [
    "connection",
    "content-length",
    "host",
    "transfer-encoding",
    "upgrade",
    "trailer",
];

/// A response to a request that does not become a connection.
///
/// ```
/// use sockeye::proto::Response;
///
/// let response = Response {
///     status: 401,
///     headers: &[("WWW-Authenticate", "Bearer")],
///     body: b"a token is needed",
/// };
/// ```
///
/// `Debug` shows the names of the headers and the body's length only: they may hold credentials.
#[derive(Clone, Copy)]
pub struct Response<'a> {
    /// The status code, 200 to 599.
    pub status: u16,
    /// Headers besides `Content-Length`, `Connection` and, for 426, `Upgrade` and
    /// `Sec-WebSocket-Version`, which are written by themselves. Without a `Content-Type`, a body
    /// is `text/plain; charset=utf-8`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body. It is not sent with 204, 205 and 304, nor in response to HEAD; with 304, unless it
    /// is empty, and in response to HEAD `Content-Length` still is its length.
    pub body: &'a [u8],
}

impl Response<'_> {
    /// An empty response with this status.
    #[must_use]
    pub const fn status(status: u16) -> Self {
        Self {
            status,
            headers: &[],
            body: b"",
        }
    }

    /// Checks whether it can be sent.
    pub(super) fn check(&self) -> Result<(), Misuse> {
        if !matches!(self.status, 200..=599) {
            return Err(Misuse::Status(self.status));
        }
        check_headers(self.headers)
    }

    /// Appends the response. `head_only` leaves the body out but not its length, as in a response
    /// to HEAD (RFC 9110 section 9.3.2).
    pub(super) fn write(&self, keep_alive: bool, head_only: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(self.status.to_string().as_bytes());
        out.extend_from_slice(b" ");
        out.extend_from_slice(reason_phrase(self.status).as_bytes());
        out.extend_from_slice(b"\r\n");
        if self.status == 426 {
            // RFC 9110 section 15.5.22: the server MUST send Upgrade; RFC 6455 section 4.4.
            write_header(out, "Upgrade", "websocket");
            write_header(out, "Sec-WebSocket-Version", VERSION);
        }
        let connection = match (self.status, keep_alive) {
            (426, true) => "Upgrade",
            (426, false) => "Upgrade, close",
            (_, true) => "keep-alive",
            (_, false) => "close",
        };
        write_header(out, "Connection", connection);
        for (name, value) in self.headers {
            write_header(out, name, value);
        }
        // RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5: no content. A 1xx is refused.
        let bodiless = matches!(self.status, 204 | 205 | 304);
        let typed = |(name, _): &(&str, &str)| name.eq_ignore_ascii_case("content-type");
        if !bodiless && !self.body.is_empty() && !self.headers.iter().any(typed) {
            write_header(out, "Content-Type", "text/plain; charset=utf-8");
        }
        if let Some(length) = self.content_length() {
            write_header(out, "Content-Length", &length.to_string());
        }
        out.extend_from_slice(b"\r\n");
        if !head_only && !bodiless {
            out.extend_from_slice(self.body);
        }
    }

    /// The value of `Content-Length`, if it may be sent.
    fn content_length(&self) -> Option<usize> {
        match (self.status, self.body.len()) {
            // RFC 9110 section 8.6: "A server MUST NOT send a Content-Length header field in any
            // response with a status code of 1xx (Informational) or 204 (No Content)."
            (204, _) => None,
            // The same for a 304 "unless its field value equals the decimal number of octets that
            // would have been sent in the content of a 200 (OK) response": an empty body here
            // means that the application didn't say.
            (304, 0) => None,
            // RFC 9110 section 15.3.6: "a server MUST NOT generate content in a 205 response".
            (205, _) => Some(0),
            (_, length) => Some(length),
        }
    }
}

impl fmt::Debug for Response<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &header_names(self.headers))
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

/// Whether the application's headers can be sent: names are tokens, values hold no control
/// characters (so no CR or LF that would begin another header), none is the handshake's own.
pub(super) fn check_headers<S: AsRef<str>>(headers: &[(S, S)]) -> Result<(), Misuse> {
    for (name, value) in headers {
        let (name, value) = (name.as_ref(), value.as_ref());
        let lower = name.to_ascii_lowercase();
        let reserved = RESERVED.contains(&&*lower) || lower.starts_with("sec-websocket-");
        if reserved || !is_token(name.as_bytes()) || !is_header_value(value.as_bytes()) {
            return Err(Misuse::Header(name.into()));
        }
    }
    Ok(())
}

/// The usual phrase of a status; recipients ignore it (RFC 9112 section 4).
fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        205 => "Reset Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
