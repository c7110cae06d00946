//! A request that is not complete, or malformed, as far as it is known.

use super::head::HeadReader;
use super::request::Request;
use crate::proto::http::{Headers, Target};

/// What is known of a request whose head is not complete or not well formed: for logs.
///
/// Nothing of it is trusted: the lines that would contradict it may not have been read.
#[derive(Clone, Copy, Debug)]
pub struct PartialRequest<'a> {
    target: Option<Target<'a>>,
    headers: Headers<'a>,
    complete: bool,
}

impl<'a> PartialRequest<'a> {
    /// Of a head, as far as it was parsed.
    pub(super) fn of(head: &'a HeadReader) -> Self {
        match head.request() {
            Some(head) => Self {
                target: Target::parse(head.target).ok(),
                headers: head.headers,
                complete: true,
            },
            None => {
                let head = head.partial_head();
                Self {
                    target: head.target.and_then(|it| Target::parse(it).ok()),
                    headers: head.headers,
                    complete: false,
                }
            }
        }
    }

    /// Whether the head is there to its end, with all its header lines.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The path, percent-encoded as sent, if the head came that far.
    #[must_use]
    pub fn path(&self) -> Option<&'a str> {
        Some(self.target?.path)
    }

    /// The origin of the page that connects, if the head came that far and has one.
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

/// A request that is complete and well formed.
impl<'a> From<Request<'a>> for PartialRequest<'a> {
    fn from(request: Request<'a>) -> Self {
        Self {
            target: Some(request.target_parts()),
            headers: request.headers(),
            complete: true,
        }
    }
}
