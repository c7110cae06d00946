//! The bytes of a head that arrives in parts.

use alloc::vec::Vec;
use core::fmt;

use crate::proto::http::{HeadParser, HttpError, PartialHead, RequestHead, ResponseHead};
use crate::proto::input::Input;

/// The bytes of a head so far, and how far they were parsed.
pub(super) struct HeadReader {
    parser: HeadParser,
    bytes: Vec<u8>,
}

/// The least that is copied at once to continue a head: more than most heads still lack, and little
/// compared with what one that came in parts already holds.
const HEAD_STEP: usize = 512;

impl HeadReader {
    pub(super) fn new(parser: HeadParser) -> Self {
        Self {
            parser,
            bytes: Vec::new(),
        }
    }

    /// Consumes input up to the end of the head; returns whether the head is complete. On an error
    /// nothing is consumed.
    ///
    /// The input behind the head may be longer than the head itself, such as further requests, each
    /// of which takes another call: so a call must cost no more than the length of the head.
    pub(super) fn recv(&mut self, input: &mut Input<'_>) -> Result<bool, HttpError> {
        let arrived = input.as_slice();
        if self.bytes.is_empty() {
            // Parsed in place; only the head's own bytes are copied. If the head is malformed, what
            // was parsed of it stays.
            let end = match self.parser.parse(arrived) {
                Ok(end) => end,
                Err(error) => {
                    self.bytes
                        .extend_from_slice(self.parser.within_limit(arrived));
                    return Err(error);
                }
            };
            let length = end.unwrap_or(arrived.len());
            self.bytes.extend_from_slice(&arrived[..length]);
            input.take(length);
            return Ok(end.is_some());
        }
        // The end of the head isn't known before it is parsed, and parsing needs it in one piece:
        // it grows by no more than its own length.
        let before = self.bytes.len();
        let mut rest = arrived;
        while !rest.is_empty() {
            let (next, behind) = rest.split_at(rest.len().min(self.bytes.len().max(HEAD_STEP)));
            rest = behind;
            self.bytes.extend_from_slice(next);
            if let Some(length) = self.parser.parse(&self.bytes)? {
                self.bytes.truncate(length);
                input.take(length - before);
                return Ok(true);
            }
        }
        input.take(arrived.len());
        Ok(false)
    }

    /// What was parsed of a request so far.
    pub(super) fn partial_head(&self) -> PartialHead<'_> {
        self.parser.partial_request(&self.bytes)
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn request(&self) -> Option<RequestHead<'_>> {
        self.parser.request_head(&self.bytes)
    }

    pub(super) fn response(&self) -> Option<ResponseHead<'_>> {
        self.parser.response_head(&self.bytes)
    }
}

impl fmt::Debug for HeadReader {
    /// Shows the length only: a head may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeadReader")
            .field("length", &self.bytes.len())
            .finish_non_exhaustive()
    }
}
