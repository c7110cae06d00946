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

/// The least that is copied at once to go on with a head: more than most heads lack, and little
/// beside what one that came in parts already holds.
const HEAD_STEP: usize = 512;

impl HeadReader {
    pub(super) fn new(parser: HeadParser) -> Self {
        Self {
            parser,
            bytes: Vec::new(),
        }
    }

    /// Consumes input up to the end of the head; returns whether the head is complete. On an
    /// error nothing is consumed.
    ///
    /// What is behind the head may be more than the head itself, such as further requests, each
    /// of which is read by a call of its own: a call must cost no more than the head has bytes.
    pub(super) fn recv(&mut self, input: &mut Input<'_>) -> Result<bool, HttpError> {
        let arrived = input.as_slice();
        if self.bytes.is_empty() {
            // Parsed where it lies; only the head's own bytes are copied. Of a head that is none
            // stays what is told of it.
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
        // Where the head ends is not known before it is parsed, and to be parsed it must lie in
        // one piece: it grows by no more than what it has.
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
