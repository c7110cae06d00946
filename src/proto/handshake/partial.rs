//! The part of an incomplete or malformed request that is known.

use super::head::HeadReader;
use super::request::Request;
use crate::proto::http::{Headers, Target};

/// What is known of a request whose head is not complete or not well formed: for logs.
///
/// None of it can be trusted: the lines that would contradict it may not have been read.
#[derive(Clone, Copy, Debug)]
pub struct PartialRequest<'a> {
    method: Option<&'a str>,
    sent_target: Option<&'a str>,
    target: Option<Target<'a>>,
    headers: Headers<'a>,
    complete: bool,
}

impl<'a> PartialRequest<'a> {
    /// From a head, as far as it was parsed.
    pub(super) fn of(head: &'a HeadReader) -> Self {
        match head.request() {
            Some(head) => Self {
                method: Some(head.method),
                sent_target: Some(head.target),
                target: Target::parse(head.target).ok(),
                headers: head.headers,
                complete: true,
            },
            None => {
                let head = head.partial_head();
                Self {
                    method: None,
                    sent_target: head.target,
                    target: head.target.and_then(|it| Target::parse(it).ok()),
                    headers: head.headers,
                    complete: false,
                }
            }
        }
    }

    /// Whether the head is complete, with all its header lines.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The method, if the head is complete.
    #[must_use]
    pub fn method(&self) -> Option<&'a str> {
        self.method
    }

    /// The request target as sent, if that much of the head arrived.
    #[must_use]
    pub fn target(&self) -> Option<&'a str> {
        self.sent_target
    }

    /// The path, percent-encoded as sent, if that much of the head arrived.
    #[must_use]
    pub fn path(&self) -> Option<&'a str> {
        Some(self.target?.path)
    }

    /// The origin of the page that connects, if that much of the head arrived and it has one.
    #[must_use]
    pub fn origin(&self) -> Option<&'a str> {
        core::str::from_utf8(self.headers.get("origin")?).ok()
    }

    /// The header lines so far.
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        self.headers
    }
}

/// From a request that is complete and well formed.
impl<'a> From<Request<'a>> for PartialRequest<'a> {
    fn from(request: Request<'a>) -> Self {
        Self {
            method: Some(request.method()),
            sent_target: Some(request.target()),
            target: Some(request.target_parts()),
            headers: request.headers(),
            complete: true,
        }
    }
}
