//! Memory that large messages are done with, for the next ones.

use std::boxed::Box;
use std::vec::Vec;

use super::write_queue::Backlog;

/// Smaller ones are as cheap to allocate.
const LEAST: usize = 16 * 1024;

/// What is kept at most: as many messages as are assembled at a time by busy peers, and no more
/// bytes than one worker's other buffers may take.
const MOST_BUFFERS: usize = 8;
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Owned by a worker. A buffer in here was written before, so that using it again costs neither
/// an allocation nor new pages.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
    /// An empty one.
    pub(super) backlog: Option<Box<Backlog>>,
}

impl Spares {
    /// Takes a buffer that is no longer needed; drops it if it isn't worth keeping.
    pub(crate) fn put(&mut self, buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        let room = self.buffers.len() < MOST_BUFFERS && self.bytes + bytes <= MOST_BYTES;
        if bytes >= LEAST && room {
            self.bytes += bytes;
            self.buffers.push(buffer);
        }
    }

    /// The buffer that was used last.
    #[inline]
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        let buffer = self.buffers.pop()?;
        self.bytes -= buffer.capacity();
        Some(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_in_number_and_bytes_and_the_last_comes_first() {
        let mut spares = Spares::default();
        spares.put(Vec::with_capacity(LEAST - 1));
        assert!(spares.take().is_none());
        for extra in 0..2 * MOST_BUFFERS {
            spares.put(Vec::with_capacity(LEAST + extra));
        }
        assert_eq!(spares.buffers.len(), MOST_BUFFERS);
        let last = spares.take().unwrap();
        assert_eq!(last.capacity(), LEAST + MOST_BUFFERS - 1);
        while spares.take().is_some() {}
        assert_eq!(spares.bytes, 0);
        spares.put(Vec::with_capacity(MOST_BYTES));
        spares.put(Vec::with_capacity(LEAST));
        assert_eq!(spares.buffers.len(), 1);
    }
}
