//! Memory that a worker's sessions share: what some are done with, for the next ones, and what
//! was published to many.

use std::boxed::Box;
use std::cell::RefCell;
use std::ops::{Deref, Range};
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

/// Published frames that are kept for their subscribers at most: what stays in a processor's cache
/// while they are written again and again.
const MOST_PUBLISHED: usize = 256 * 1024;

/// Longer frames are shared each by itself.
const LONGEST_PUBLISHED: usize = 16 * 1024;

/// Owned by a worker. What is in here was written before, so that using it again costs neither an
/// allocation nor new pages.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    buffers: RefCell<Kept<Vec<u8>>>,
    backlogs: RefCell<Kept<Box<Backlog>>>,
    /// Frames one behind the other, as they were published. A subscriber needs of them no more than
    /// from where to where, and writes a burst of them by one plain write.
    published: RefCell<Vec<u8>>,
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

/// What was published, until all its subscribers have written it.
impl Spares {
    /// Keeps a frame for its subscribers; where, if there is room for it.
    pub(crate) fn publish(&self, frame: &[u8]) -> Option<Range<usize>> {
        let mut published = self.published.borrow_mut();
        let start = published.len();
        if frame.len() > LONGEST_PUBLISHED || start + frame.len() > MOST_PUBLISHED {
            return None;
        }
        published.extend_from_slice(frame);
        Some(start..published.len())
    }

    /// All that is kept.
    #[inline]
    pub(super) fn published(&self) -> impl Deref<Target = Vec<u8>> {
        self.published.borrow()
    }

    /// Nobody needs any more what was published.
    #[inline]
    pub(crate) fn clear_published(&self) {
        self.published.borrow_mut().clear();
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

    #[test]
    fn what_is_published_is_bounded_and_has_room_again_once_it_is_cleared() {
        let spares = Spares::default();
        assert_eq!(spares.publish(&[0; LONGEST_PUBLISHED + 1]), None);
        let mut end = 0;
        while let Some(place) = spares.publish(&[1; LONGEST_PUBLISHED]) {
            assert_eq!(place, end..end + LONGEST_PUBLISHED);
            end = place.end;
        }
        assert_eq!(end, MOST_PUBLISHED);
        assert_eq!(spares.published().len(), MOST_PUBLISHED);
        spares.clear_published();
        assert_eq!(spares.publish(&[1]), Some(0..1));
    }
}
