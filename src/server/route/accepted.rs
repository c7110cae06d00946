//! What the application adds to the response when it accepts an upgrade.

use std::string::{String, ToString as _};
use std::vec::Vec;

use crate::server::http::Cookie;

/// A connection's state, with the headers and the subprotocol of its 101 response. A state converts
/// into one without either.
#[derive(Clone, Debug)]
pub struct Accepted<S> {
    pub(in crate::server) state: S,
    pub(in crate::server) headers: Vec<(String, String)>,
    pub(in crate::server) subprotocol: Option<String>,
}

impl<S> Accepted<S> {
    /// Accepts with this state.
    #[must_use]
    pub fn new(state: S) -> Self {
        Self {
            state,
            headers: Vec::new(),
            subprotocol: None,
        }
    }

    /// Adds a header to the 101 response, such as a cookie. If it can't be sent, the connection is
    /// refused with 500.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a cookie to the 101 response.
    #[must_use]
    pub fn with_cookie(self, cookie: &Cookie) -> Self {
        self.with_header("Set-Cookie", cookie.to_string())
    }

    /// Sets the subprotocol, which must be one of those offered. It replaces the choice among the
    /// route's.
    #[must_use]
    pub fn with_subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocol = Some(name.into());
        self
    }

    pub(in crate::server) fn map<R>(self, make: impl FnOnce(S) -> R) -> Accepted<R> {
        Accepted {
            state: make(self.state),
            headers: self.headers,
            subprotocol: self.subprotocol,
        }
    }
}

impl<S> From<S> for Accepted<S> {
    fn from(state: S) -> Self {
        Self::new(state)
    }
}
