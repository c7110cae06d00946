//! Memory that a worker's sessions share: what some are done with, for the next ones, and what
//! was published to many.

use std::boxed::Box;
use std::cell::{Cell, OnceCell, Ref, RefCell};
use std::rc::Rc;
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

/// Published frames that lie in one segment at most: what stays in a processor's cache while they
/// are written again and again.
const SEGMENT: usize = 256 * 1024;

/// Segments that are kept for slow subscribers at most. Beyond it each of these has its own copies,
/// which count against its own limit. Several topics can each have a subscriber that is as far
/// behind as it may be.
const MOST_KEPT: usize = 256 * 1024 * 1024;

/// Longer frames are shared each by itself.
const LONGEST_PUBLISHED: usize = 16 * 1024;

/// Owned by a worker. What is in here was written before, so that using it again costs neither an
/// allocation nor new pages.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    buffers: RefCell<Kept<Vec<u8>>>,
    backlogs: RefCell<Kept<Box<Backlog>>>,
    /// The segments that are being filled: with frames as they are, and as extensions encode them,
    /// so that what a subscriber gets lies in one piece.
    published: [RefCell<Rc<Segment>>; 2],
    /// Bytes of the segments that are full, and that somebody has yet to take.
    kept: Rc<Cell<usize>>,
}

/// Which of a message's frames is published.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    Plain,
    Encoded,
}

/// Frames one behind the other, as they were published: kept once, and for as long as somebody has
/// yet to take one of them. Bytes are only appended while anybody refers to it.
#[derive(Debug, Default)]
pub(super) struct Segment {
    bytes: RefCell<Vec<u8>>,
    /// Where it counts once it is full.
    counted: OnceCell<Rc<Cell<usize>>>,
}

impl Segment {
    #[inline]
    pub(super) fn bytes(&self) -> Ref<'_, Vec<u8>> {
        self.bytes.borrow()
    }

    /// It is full: others refer to it, and it goes with them.
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

/// Where published frames lie.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(super) segment: Rc<Segment>,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Place {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether `next` lies right behind it.
    #[inline]
    pub(crate) fn borders(&self, next: &Self) -> bool {
        self.end == next.start && Rc::ptr_eq(&self.segment, &next.segment)
    }

    /// Adds what lies right behind it.
    pub(crate) fn join(&mut self, next: &Self) {
        debug_assert!(self.borders(next));
        self.end = next.end;
    }
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

/// What was published, until all its subscribers have taken it.
impl Spares {
    /// Keeps a frame for its subscribers; where, if there is room for it.
    pub(crate) fn publish(&self, form: Form, frame: &[u8]) -> Option<Place> {
        if frame.len() > LONGEST_PUBLISHED {
            return None;
        }
        let mut current = self.published[form as usize].borrow_mut();
        if Rc::strong_count(&current) == 1 {
            // All of it was taken.
            current.bytes.borrow_mut().clear();
        } else if current.bytes.borrow().len() + frame.len() > SEGMENT {
            if self.kept.get() > MOST_KEPT {
                return None;
            }
            current.retire(&self.kept);
            *current = Rc::default();
        }
        let mut bytes = current.bytes.borrow_mut();
        let start = bytes.len();
        bytes.extend_from_slice(frame);
        let end = bytes.len();
        drop(bytes);
        let segment = Rc::clone(&current);
        Some(Place {
            segment,
            start,
            end,
        })
    }

    /// Bytes of published frames that slow subscribers have yet to take, in full segments.
    pub(crate) fn kept(&self) -> usize {
        self.kept.get()
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
    fn a_segment_is_filled_anew_once_all_of_it_was_taken_and_another_begun_while_it_was_not() {
        let spares = Spares::default();
        assert!(
            spares
                .publish(Form::Plain, &[0; LONGEST_PUBLISHED + 1])
                .is_none()
        );
        let publish = |byte| {
            spares
                .publish(Form::Plain, &[byte; LONGEST_PUBLISHED])
                .unwrap()
        };
        let first = publish(1);
        assert_eq!((first.start, first.end), (0, LONGEST_PUBLISHED));
        let kept = spares.kept();
        let mut last = first.clone();
        for _ in 1..SEGMENT / LONGEST_PUBLISHED {
            let next = publish(2);
            assert!(last.borders(&next));
            last = next;
        }
        let other = publish(3);
        assert!(!last.borders(&other) && other.start == 0);
        assert_eq!(spares.kept(), kept + SEGMENT);
        assert_eq!(first.segment.bytes()[0], 1);
        drop((first, last));
        assert_eq!(spares.kept(), kept);
        drop(other);
        let again = publish(4);
        assert_eq!((again.start, again.segment.bytes()[0]), (0, 4));
    }

    #[test]
    fn segments_that_are_kept_are_bounded_in_bytes() {
        let spares = Spares::default();
        let mut places = Vec::new();
        while let Some(place) = spares.publish(Form::Plain, &[0; LONGEST_PUBLISHED]) {
            places.push(place);
        }
        assert!(spares.kept() <= MOST_KEPT + SEGMENT);
        places.clear();
        assert!(spares.publish(Form::Plain, &[0]).is_some());
        assert_eq!(spares.kept(), 0);
    }
}
