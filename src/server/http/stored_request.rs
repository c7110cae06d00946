//! The request of an opening handshake, kept while the connection is open.

use std::boxed::Box;
use std::vec::Vec;

use crate::proto;

/// The request of an opening handshake, kept beyond it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredRequest {
    /// The request target: path and query, as sent.
    pub target: Box<str>,
    /// The headers in their order.
    pub headers: Vec<(Box<str>, Box<[u8]>)>,
}

impl StoredRequest {
    pub(in crate::server) fn new(request: &proto::Request<'_>) -> Self {
        Self {
            target: request.target().into(),
            headers: request
                .headers()
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        }
    }

    /// The value of the first header of this name, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter();
        let (_, value) = named.find(|(it, _)| it.eq_ignore_ascii_case(name))?;
        core::str::from_utf8(value).ok()
    }
}
