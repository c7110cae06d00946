//! Refusing a request.

use std::boxed::Box;
use std::string::{String, ToString as _};

use super::cookie::CookieError;
use super::response::HttpResponse;
use crate::server::end::HandshakeFailure;

/// The response by which a guard or a route refuses a request. It can be any response; `?` converts
/// an [`HttpResponse`].
///
/// ```
/// use sockeye::server::Reject;
///
/// let reject = Reject::new(401, "sign in first").with_header("WWW-Authenticate", "Bearer");
/// assert_eq!(reject.status(), 401);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    pub(in crate::server) response: Box<HttpResponse>,
    pub(in crate::server) failure: HandshakeFailure,
}

impl Reject {
    /// Refuses with a status, 400 to 599 as a rule, and a text for the person who reads it.
    pub fn new(status: u16, text: impl Into<String>) -> Self {
        HttpResponse::text(text).with_status(status).into()
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        *self.response = self.response.with_header(name, value);
        self
    }

    /// Sets the label that the refusal is counted under.
    pub(in crate::server) fn counted_as(self, failure: HandshakeFailure) -> Self {
        Self { failure, ..self }
    }

    /// The response's status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.response.status
    }
}

impl From<HttpResponse> for Reject {
    fn from(response: HttpResponse) -> Self {
        Self {
            response: Box::new(response),
            failure: HandshakeFailure::Rejected,
        }
    }
}

/// The server is at fault.
impl From<CookieError> for Reject {
    fn from(error: CookieError) -> Self {
        Self::new(500, error.to_string())
    }
}
