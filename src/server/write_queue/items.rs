//! What waits in a queue, in its order.

use std::cell::Ref;
use std::collections::VecDeque;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::vec::Vec;

use super::pool::Segment;

/// One or more whole frames; the first item of the queue may be written in part.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) bytes: Bytes,
    /// Where the unwritten part begins.
    pub(super) start: usize,
    /// Whether some of it is written.
    pub(super) started: bool,
    pub(super) keep: Keep,
}

#[derive(Debug)]
pub(super) enum Bytes {
    Owned(Vec<u8>),
    Shared(Arc<[u8]>),
    /// Up to this offset in the segment being filled, until the first attempt to write it.
    Published(usize),
    /// Up to this offset in a segment that is kept while this waits.
    Kept(Rc<Segment>, usize),
}

impl Bytes {
    /// Reads the segment, if it is one.
    #[inline]
    pub(super) fn open(&self) -> Option<Ref<'_, Vec<u8>>> {
        match self {
            Self::Kept(segment, _) => Some(segment.bytes()),
            _ => None,
        }
    }
}

/// The items in their order. Usually there is one, as when a message is published to several
/// sessions: it needs no memory besides the backlog itself.
#[derive(Debug, Default)]
pub(super) struct Items {
    pub(super) first: Option<Item>,
    /// None if there is no first item.
    pub(super) rest: VecDeque<Item>,
}

impl Items {
    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Item> {
        self.first.iter().chain(&self.rest)
    }

    pub(super) fn back_mut(&mut self) -> Option<&mut Item> {
        self.rest.back_mut().or(self.first.as_mut())
    }

    #[inline]
    pub(super) fn push_back(&mut self, item: Item) {
        match self.first {
            // `None` is forgotten: dropping it would check for a value first.
            None => mem::forget(self.first.replace(item)),
            Some(_) => self.rest.push_back(item),
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<Item> {
        mem::replace(&mut self.first, self.rest.pop_front())
    }

    pub(super) fn retain(&mut self, mut test: impl FnMut(&Item) -> bool) {
        self.first = self.first.take().filter(&mut test);
        self.rest.retain(test);
        if self.first.is_none() {
            self.first = self.rest.pop_front();
        }
    }
}

/// What may happen to a message before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// It is written, in its order.
    Always,
    /// It may be dropped to make room for later ones.
    UntilFull,
    /// A later one with the same key replaces it.
    UntilNext(Arc<str>),
}

impl Item {
    #[inline]
    pub(super) fn len(&self) -> usize {
        let end = match &self.bytes {
            Bytes::Owned(bytes) => bytes.len(),
            Bytes::Shared(bytes) => bytes.len(),
            Bytes::Published(end) | Bytes::Kept(_, end) => *end,
        };
        end - self.start
    }

    /// Returns the unwritten bytes; `published` is the segment being filled, and `kept` the item's
    /// own segment, [opened](Bytes::open).
    #[inline]
    pub(super) fn rest<'a>(&'a self, published: &'a [u8], kept: Option<&'a [u8]>) -> &'a [u8] {
        match &self.bytes {
            Bytes::Owned(bytes) => &bytes[self.start..],
            Bytes::Shared(bytes) => &bytes[self.start..],
            Bytes::Published(end) => &published[self.start..*end],
            Bytes::Kept(_, end) => &kept.unwrap_or_default()[self.start..*end],
        }
    }
}
