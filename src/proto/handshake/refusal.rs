//! The body of the response with which a server refuses a client (RFC 9112 section 6.3).
//!
//! Owns how it is delimited and how much of it is kept. Nothing about it is an error: what has come
//! of it is what there is.

use alloc::vec::Vec;
use core::mem;

use crate::proto::http::{BodyReader, ResponseHead, content_length};
use crate::proto::input::Input;

/// The bytes that are kept: far more than what says why, and little enough to hold.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// Reads such a body, however its bytes are split.
pub(super) enum Refusal {
    /// By Content-Length or in chunks.
    Framed(BodyReader),
    /// Up to the end of the stream.
    ToEnd(Vec<u8>),
    /// It has none, or all that is kept of it is there.
    Complete(Vec<u8>),
}

impl Refusal {
    pub(super) fn new(head: &ResponseHead<'_>) -> Self {
        // RFC 9112 section 6.3; what comes behind a 101 are frames.
        if matches!(head.status, 100..=199 | 204 | 304) {
            return Self::Complete(Vec::new());
        }
        match BodyReader::new(head.headers, head.version, usize::MAX) {
            Ok(Some(body)) => Self::Framed(body),
            Ok(None) if content_length(head.headers) == Ok(Some(0)) => Self::Complete(Vec::new()),
            Ok(None) | Err(_) => Self::ToEnd(Vec::new()),
        }
    }

    /// Consumes input up to the end of the body; returns whether it is complete, or all of it is
    /// there that is kept.
    pub(super) fn recv(&mut self, input: &mut Input<'_>) -> bool {
        loop {
            // A piece can't bring more than what is still kept.
            let room = MAX_BODY - self.bytes().len();
            let mut piece = Input::new(input.take(input.len().min(room)));
            let complete = match self {
                Self::Framed(body) => body.recv(&mut piece).unwrap_or(true),
                Self::ToEnd(bytes) => {
                    bytes.extend_from_slice(piece.as_slice());
                    false
                }
                Self::Complete(_) => return true,
            };
            if complete || self.bytes().len() == MAX_BODY {
                let whole = mem::replace(self, Self::Complete(Vec::new()));
                *self = Self::Complete(whole.into_body());
                return true;
            }
            if input.is_empty() {
                return false;
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Framed(body) => body.body(),
            Self::ToEnd(bytes) | Self::Complete(bytes) => bytes,
        }
    }

    pub(super) fn into_body(self) -> Vec<u8> {
        match self {
            Self::Framed(body) => body.into_body(),
            Self::ToEnd(bytes) | Self::Complete(bytes) => bytes,
        }
    }
}
