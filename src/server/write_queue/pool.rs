//! Memory that a worker's sessions share: buffers to be reused, and what was published to several
//! sessions.

use std::boxed::Box;
use std::cell::{Cell, OnceCell, Ref, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::vec::Vec;

use super::Backlog;

/// A smaller buffer isn't kept: a new one is as cheap.
const LEAST: usize = 16 * 1024;

/// How much is kept at most: as many buffers as busy peers have large messages assembled at a time,
/// and no more bytes than one worker's other buffers may take.
const MOST_BUFFERS: usize = 8;
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of backlogs that are kept at most: those of some ten thousand subscribers of a topic, to
/// whom a short message is published.
const MOST_BACKLOG_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of published frames in one segment at most: this much stays in a processor's cache while
/// it is written again and again.
const SEGMENT: usize = 256 * 1024;

/// Bytes of segments that are kept for slow subscribers at most. Beyond it each of these gets
/// copies, which count against its own limit. Several topics can each have a subscriber whose
/// backlog is at its limit.
const MOST_KEPT: usize = 256 * 1024 * 1024;

/// Longer frames are shared one by one.
const LONGEST_PUBLISHED: usize = 16 * 1024;

/// Owned by a worker. What it keeps was written before, so that using it again costs neither an
/// allocation nor new pages.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    buffers: RefCell<Kept<Vec<u8>>>,
    backlogs: RefCell<Kept<Box<Backlog>>>,
    /// The segment that is being filled. A subscriber refers to it by a range of offsets alone,
    /// until it has to wait for its transport.
    published: RefCell<Rc<Segment>>,
    /// The same for frames as extensions encode them, which few subscribers take: each of these
    /// holds a reference.
    encoded: RefCell<Rc<Segment>>,
    /// Bytes of full segments that some subscriber has yet to take.
    kept: Rc<Cell<usize>>,
}

/// Published frames one behind the other, kept once for all that have yet to take them. While
/// anything refers to it, bytes are only appended.
#[derive(Debug, Default)]
pub(in crate::server) struct Segment {
    bytes: RefCell<Vec<u8>>,
    /// The counter of kept bytes, once the segment is full.
    counted: OnceCell<Rc<Cell<usize>>>,
}

impl Segment {
    #[inline]
    pub(in crate::server) fn bytes(&self) -> Ref<'_, Vec<u8>> {
        self.bytes.borrow()
    }

    /// Adds a frame if there is room for it; returns where it lies.
    #[inline]
    fn append(&self, frame: &[u8]) -> Option<Place> {
        let mut bytes = self.bytes.borrow_mut();
        let start = bytes.len();
        if frame.len() > LONGEST_PUBLISHED || start + frame.len() > SEGMENT {
            return None;
        }
        bytes.extend_from_slice(frame);
        Some(start..bytes.len())
    }

    /// Marks it as full: its last reference frees it.
    fn retire(&self, kept: &Rc<Cell<usize>>) {
        kept.set(kept.get() + SEGMENT);
        let _ = self.counted.set(Rc::clone(kept));
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if let Some(kept) = self.counted.get() {
            kept.set(kept.get() - SEGMENT);
        }
    }
}

/// Where published frames lie in the segment that is being filled.
pub(crate) type Place = Range<usize>;

/// A range of a segment, which it keeps.
#[derive(Clone, Debug)]
pub(crate) struct KeptPlace {
    pub(in crate::server) segment: Rc<Segment>,
    pub(in crate::server) at: Place,
}

#[derive(Debug, Default)]
struct Kept<T> {
    all: Vec<T>,
    bytes: usize,
}

impl Pool {
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

    /// Returns the buffer that was used last.
    #[inline]
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        let kept = &mut *self.buffers.borrow_mut();
        let buffer = kept.all.pop()?;
        kept.bytes -= buffer.capacity();
        Some(buffer)
    }

    /// Takes a backlog in which nothing waits.
    pub(in crate::server) fn put_backlog(&self, backlog: Box<Backlog>) {
        let bytes = backlog.bytes();
        let kept = &mut *self.backlogs.borrow_mut();
        if kept.bytes + bytes <= MOST_BACKLOG_BYTES {
            kept.bytes += bytes;
            kept.all.push(backlog);
        }
    }

    /// Returns the backlog that was used last.
    #[inline]
    pub(in crate::server) fn take_backlog(&self) -> Option<Box<Backlog>> {
        let kept = &mut *self.backlogs.borrow_mut();
        let backlog = kept.all.pop()?;
        kept.bytes -= backlog.bytes();
        Some(backlog)
    }
}

/// What was published, until all its subscribers have taken it.
impl Pool {
    /// Stores a frame for its subscribers; returns where it lies, if there is room for it.
    #[inline]
    pub(crate) fn publish(&self, frame: &[u8]) -> Option<Place> {
        self.published.borrow().append(frame)
    }

    /// The same for an encoded frame.
    pub(crate) fn publish_encoded(&self, frame: &[u8]) -> Option<KeptPlace> {
        let mut encoded = self.encoded.borrow_mut();
        self.renew(&mut encoded);
        let at = encoded.append(frame)?;
        let segment = Rc::clone(&encoded);
        Some(KeptPlace { segment, at })
    }

    /// Called when each subscriber has tried to write what was published: a segment that all have
    /// taken is reused, and one that is more than half full is replaced.
    #[inline]
    pub(crate) fn turn_over(&self) {
        let mut published = self.published.borrow_mut();
        if !published.bytes.borrow().is_empty() {
            self.renew(&mut published);
        }
    }

    fn renew(&self, segment: &mut Rc<Segment>) {
        if Rc::strong_count(segment) == 1 {
            segment.bytes.borrow_mut().clear();
        } else if segment.bytes.borrow().len() > SEGMENT / 2 && self.kept.get() < MOST_KEPT {
            segment.retire(&self.kept);
            *segment = Rc::default();
        }
    }

    /// Returns the segment that is being filled.
    pub(in crate::server) fn segment(&self) -> Rc<Segment> {
        Rc::clone(&self.published.borrow())
    }

    /// Returns a range of it, which keeps the segment.
    pub(in crate::server) fn kept_at(&self, place: &Place) -> KeptPlace {
        KeptPlace {
            segment: self.segment(),
            at: place.clone(),
        }
    }

    /// Lends the bytes of the segment that is being filled.
    #[inline]
    pub(in crate::server) fn with_published<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        look(&self.published.borrow().bytes.borrow())
    }

    /// Returns the bytes of published frames in full segments that slow subscribers have yet to
    /// take.
    pub(crate) fn kept(&self) -> usize {
        self.kept.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_in_number_and_bytes_and_the_last_comes_first() {
        let pool = Pool::default();
        pool.put(Vec::with_capacity(LEAST - 1));
        assert!(pool.take().is_none());
        for extra in 0..2 * MOST_BUFFERS {
            pool.put(Vec::with_capacity(LEAST + extra));
        }
        assert_eq!(pool.buffers.borrow().all.len(), MOST_BUFFERS);
        let last = pool.take().unwrap();
        assert_eq!(last.capacity(), LEAST + MOST_BUFFERS - 1);
        while pool.take().is_some() {}
        assert_eq!(pool.buffers.borrow().bytes, 0);
        pool.put(Vec::with_capacity(MOST_BYTES));
        pool.put(Vec::with_capacity(LEAST));
        assert_eq!(pool.buffers.borrow().all.len(), 1);
    }

    #[test]
    fn a_segment_is_filled_anew_once_all_of_it_is_taken_and_another_begun_while_it_is_not() {
        let pool = Pool::default();
        assert_eq!(pool.publish(&[0; LONGEST_PUBLISHED + 1]), None);
        let mut end = 0;
        while let Some(place) = pool.publish(&[1; LONGEST_PUBLISHED]) {
            assert_eq!(place, end..end + LONGEST_PUBLISHED);
            end = place.end;
        }
        assert_eq!(end, SEGMENT);
        let kept = pool.kept_at(&(0..1));
        pool.turn_over();
        assert_eq!(pool.kept(), SEGMENT);
        assert_eq!(pool.publish(&[2]), Some(0..1));
        let other = pool.kept_at(&(0..1));
        pool.turn_over();
        assert_eq!(pool.publish(&[3]), Some(1..2), "there is room");
        assert_eq!((kept.segment.bytes()[0], other.segment.bytes()[0]), (1, 2));
        drop(kept);
        assert_eq!(pool.kept(), 0);
        drop(other);
        pool.turn_over();
        assert_eq!(pool.publish(&[4]), Some(0..1));
    }

    #[test]
    fn segments_that_are_kept_are_bounded_in_bytes() {
        let pool = Pool::default();
        let mut places = Vec::new();
        while let Some(place) = pool.publish(&[0; LONGEST_PUBLISHED]) {
            places.push(pool.kept_at(&place));
            pool.turn_over();
        }
        assert_eq!(pool.kept(), MOST_KEPT);
        places.clear();
        pool.turn_over();
        assert!(pool.publish(&[0]).is_some());
        assert_eq!(pool.kept(), 0);
    }
}
