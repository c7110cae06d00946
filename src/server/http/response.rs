//! The response of an application to a plain request, or to an opening handshake that it refuses.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::cookie::Cookie;
use crate::proto::Response;

/// The response to a plain request, or to an opening handshake that is refused.
///
/// ```
/// use sockeye::server::HttpResponse;
///
/// let created = HttpResponse::json(r#"{"id":7}"#)
///     .with_status(201)
///     .with_header("Location", "/rooms/7");
/// assert_eq!(created.status, 201);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status code, 200 to 599.
    pub status: u16,
    /// Headers in addition to those that [`Response::headers`] says are written automatically. If a
    /// name is not a token, or a value has a control character, the client gets a 500 instead.
    pub headers: Vec<(String, String)>,
    /// The body, in bytes as sent.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// An empty response with this status.
    #[must_use]
    pub const fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// 200 with plain text in UTF-8.
    #[must_use]
    pub fn text(body: impl Into<String>) -> Self {
        Self::new("text/plain; charset=utf-8", body.into())
    }

    /// 200 with HTML in UTF-8.
    #[must_use]
    pub fn html(body: impl Into<String>) -> Self {
        Self::new("text/html; charset=utf-8", body.into())
    }

    /// 200 with a text that is JSON already.
    #[must_use]
    pub fn json(body: impl Into<String>) -> Self {
        Self::new("application/json", body.into())
    }

    /// 200 with a body of this media type, such as `image/png`.
    #[must_use]
    pub fn new(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..Self::status(200).with_header("Content-Type", content_type)
        }
    }

    /// Replaces the status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// Adds a header, also if there is one of the same name.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a cookie.
    #[must_use]
    pub fn with_cookie(self, cookie: &Cookie) -> Self {
        self.with_header("Set-Cookie", cookie.to_string())
    }

    /// Passes this to `send` as the core's response, and returns what that returns.
    pub fn as_response<R>(&self, send: impl FnOnce(&Response<'_>) -> R) -> R {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        send(&Response {
            status: self.status,
            headers: &headers,
            body: &self.body,
        })
    }
}
