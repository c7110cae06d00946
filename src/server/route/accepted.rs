//! What the application says to an upgrade that it takes.

use std::string::String;
use std::vec::Vec;

/// A connection's state, and what else its acceptance says. A state alone becomes one with
/// nothing else.
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

    /// The same with a header in the 101, a cookie, say. One that can't be sent refuses the
    /// connection with 500.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same with this subprotocol, which has to be one of those offered, instead of the
    /// choice among the route's.
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
