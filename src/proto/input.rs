//! Received bytes, as they are passed to the core.

use core::mem;

/// Received bytes on their way in: a view of the caller's buffer that shrinks from the front.
///
/// The core unmasks payloads in place and hands slices of the same buffer out, so it takes the
/// bytes as `&mut`.
#[derive(Debug)]
pub struct Input<'b> {
    rest: &'b mut [u8],
    consumed: usize,
}

impl<'b> Input<'b> {
    /// Wraps all of `bytes`, none of it consumed.
    #[inline]
    pub fn new(bytes: &'b mut [u8]) -> Self {
        Self {
            rest: bytes,
            consumed: 0,
        }
    }

    /// How many bytes were consumed since [`new`](Self::new). A caller that stops before the core
    /// has returned None keeps the bytes behind this point and passes them again.
    #[must_use]
    #[inline]
    pub fn consumed(&self) -> usize {
        self.consumed
    }

    /// The bytes that are not consumed yet.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.rest
    }

    /// How many bytes are not consumed yet.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether all bytes are consumed.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Consumes the next `count` bytes.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> &'b mut [u8] {
        let (taken, rest) = mem::take(&mut self.rest).split_at_mut(count);
        self.rest = rest;
        self.consumed += count;
        taken
    }

    /// Consumes all bytes.
    pub(super) fn discard(&mut self) {
        self.take(self.len());
    }
}
