//! The request of an opening handshake, kept while the connection is open.

use std::borrow::Cow;
use std::boxed::Box;
use std::vec::Vec;

use matchit::Params;

use crate::proto::http::Target;
use crate::proto::{self, percent_decode, query_params};

/// The request of an opening handshake, kept beyond it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredRequest {
    /// The request target: path and query, as sent.
    pub target: Box<str>,
    /// The headers in their order.
    pub headers: Vec<(Box<str>, Box<[u8]>)>,
    /// Names and values as sent.
    params: Box<[(Box<str>, Box<str>)]>,
}

impl StoredRequest {
    pub(in crate::server) fn new(request: &proto::Request<'_>, params: &Params<'_, '_>) -> Self {
        Self {
            target: request.target().into(),
            headers: request
                .headers()
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            params: params
                .iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        }
    }

    /// The value of a parameter of the route, as
    /// [`Request::param`](crate::server::Request::param) has it.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        let (_, value) = self.params.iter().find(|(it, _)| **it == *name)?;
        Some(percent_decode(value))
    }

    /// The first query parameter of this name, decoded, as
    /// [`Request::query_param`](crate::server::Request::query_param) has it.
    #[must_use]
    pub fn query_param(&self, name: &str) -> Option<Cow<'_, str>> {
        let query = Target::parse(&self.target).ok()?.query?;
        query_params(query).find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The value of the first header of this name, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter();
        let (_, value) = named.find(|(it, _)| it.eq_ignore_ascii_case(name))?;
        core::str::from_utf8(value).ok()
    }
}
