//! Memory that a worker's sessions are done with, for the next ones.

use std::boxed::Box;
use std::cell::RefCell;
use std::vec::Vec;

use super::write_queue::Backlog;

/// Smaller buffers are as cheap to allocate.
const LEAST: usize = 16 * 1024;

/// What is kept at most: as many large messages as are assembled at a time by busy peers, and no
/// more bytes than one worker's other buffers may take.
const MOST_BUFFERS: usize = 8;
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of backlogs that are kept at most: those of some ten thousand subscribers of a topic, to
/// whom a short message is published.
const MOST_BACKLOG_BYTES: usize = 4 * 1024 * 1024;

/// Owned by a worker. What is in here was written before, so that using it again costs neither an
/// allocation nor new pages.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    buffers: RefCell<Kept<Vec<u8>>>,
    backlogs: RefCell<Kept<Box<Backlog>>>,
}

#[derive(Debug, Default)]
struct Kept<T> {
    all: Vec<T>,
    bytes: usize,
}

impl Spares {
    /// Takes a buffer that is no longer needed; drops it if it isn't worth keeping.
    #[inline]
    pub(crate) fn put(&self, buffer: Vec<u8>) {
        if buffer.capacity() >= LEAST {
            self.put_large(buffer);
        }
    }

    fn put_large(&self, buffer: Vec<u8>) {
        let bytes = buffer.capacity();
        let kept = &mut *self.buffers.borrow_mut();
        if kept.all.len() < MOST_BUFFERS && kept.bytes + bytes <= MOST_BYTES {
            kept.bytes += bytes;
            kept.all.push(buffer);
        }
    }

    /// The buffer that was used last.
    #[inline]
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        let kept = &mut *self.buffers.borrow_mut();
        let buffer = kept.all.pop()?;
        kept.bytes -= buffer.capacity();
        Some(buffer)
    }

    /// Takes a backlog in which nothing waits.
    pub(super) fn put_backlog(&self, backlog: Box<Backlog>) {
        let bytes = backlog.bytes();
        let kept = &mut *self.backlogs.borrow_mut();
        if kept.bytes + bytes <= MOST_BACKLOG_BYTES {
            kept.bytes += bytes;
            kept.all.push(backlog);
        }
    }

    /// The backlog that was used last.
    pub(super) fn take_backlog(&self) -> Option<Box<Backlog>> {
        let kept = &mut *self.backlogs.borrow_mut();
        let backlog = kept.all.pop()?;
        kept.bytes -= backlog.bytes();
        Some(backlog)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_in_number_and_bytes_and_the_last_comes_first() {
        let spares = Spares::default();
        spares.put(Vec::with_capacity(LEAST - 1));
        assert!(spares.take().is_none());
        for extra in 0..2 * MOST_BUFFERS {
            spares.put(Vec::with_capacity(LEAST + extra));
        }
        assert_eq!(spares.buffers.borrow().all.len(), MOST_BUFFERS);
        let last = spares.take().unwrap();
        assert_eq!(last.capacity(), LEAST + MOST_BUFFERS - 1);
        while spares.take().is_some() {}
        assert_eq!(spares.buffers.borrow().bytes, 0);
        spares.put(Vec::with_capacity(MOST_BYTES));
        spares.put(Vec::with_capacity(LEAST));
        assert_eq!(spares.buffers.borrow().all.len(), 1);
    }
}
