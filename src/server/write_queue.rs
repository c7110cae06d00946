//! The bytes that a session has accepted and not yet written.
//!
//! Owns their order, their count, and which of them may still be dropped. When to write, and what
//! to do when there are too many, is left to the session.

mod items;
mod pool;

use std::boxed::Box;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

pub(crate) use self::items::Keep;
use self::items::{Bytes, Item, Items};
pub(super) use self::pool::{KeptPlace, Place, Pool};
use crate::net::Transport;

/// Slices for one vectored write: from some tens on, a system call's fixed cost is negligible.
const MAX_SLICES: usize = 32;

/// Leftovers are gathered in chunks up to this size, so that many small ones don't each keep a
/// buffer, and a large one isn't moved repeatedly.
const CHUNK: usize = 64 * 1024;

/// A chunk up to this size is kept with its backlog: what a burst of short messages takes.
const KEPT_CHUNK: usize = 4 * 1024;

/// A shared frame up to this size is copied behind what waits: that is cheaper than another slice
/// in the vectored write, and than keeping the frame alive.
const COPY_UP_TO: usize = 1024;

/// A session without a backlog owns only a pointer here.
#[derive(Debug, Default)]
pub(crate) struct WriteQueue(Option<Box<Backlog>>);

#[derive(Debug, Default)]
pub(crate) struct Backlog {
    items: Items,
    /// Bytes of the items, and those that the transport holds.
    length: usize,
    held: usize,
    /// When the transport last took something, if it didn't take everything at the last write.
    blocked: Option<Duration>,
    /// The memory of a written chunk, for the next one.
    chunk: Vec<u8>,
}

impl WriteQueue {
    /// Returns the bytes that wait, including those that the transport holds.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |it| it.length)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether nothing waits, and no memory was lent for it.
    #[inline]
    pub(crate) fn is_unused(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the bytes that the transport holds, as last noted.
    #[inline]
    pub(in crate::server) fn held(&self) -> usize {
        self.0.as_ref().map_or(0, |it| it.held)
    }

    /// Notes what the transport holds: needed after something other than this queue has called it.
    #[inline]
    pub(crate) fn hold(&mut self, transport: &impl Transport) {
        let held = transport.held();
        if held != self.held() {
            let backlog = self.0.get_or_insert_default();
            backlog.length = backlog.length - backlog.held + held;
            backlog.held = held;
        }
    }

    /// Returns whether the transport didn't take everything at the last write: there is a backlog,
    /// and not just what this turn has queued.
    #[inline]
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked_since().is_some()
    }

    /// Returns when the backlog began, or the transport last took some of it.
    #[inline]
    pub(crate) fn blocked_since(&self) -> Option<Duration> {
        self.0.as_ref()?.blocked
    }

    /// Queues `bytes` from `start` on, without a copy. They must be whole frames.
    pub(crate) fn push(&mut self, bytes: Vec<u8>, start: usize, keep: Keep) {
        self.push_item(Bytes::Owned(bytes), start, keep);
    }

    /// Queues a frame whose bytes other queues may hold, too.
    pub(crate) fn push_shared(&mut self, frame: &Arc<[u8]>, keep: Keep) {
        if keep == Keep::Always && frame.len() <= COPY_UP_TO {
            self.extend(frame);
        } else {
            self.push_item(Bytes::Shared(Arc::clone(frame)), 0, keep);
        }
    }

    /// Queues frames that are [published](Pool::publish) in `pool`. A write of them must be tried
    /// before the turn is [over](Pool::turn_over).
    #[inline(always)]
    pub(crate) fn push_published(&mut self, place: &Place, pool: &Pool) {
        let backlog = self.lend(pool);
        if backlog.blocked.is_some() {
            return self.push_kept(&pool.kept_at(place));
        }
        if let Some(Item {
            bytes: Bytes::Published(end),
            ..
        }) = backlog.items.back_mut()
            && *end == place.start
        {
            *end = place.end;
            backlog.length += place.len();
        } else {
            backlog.length += place.len();
            backlog.items.push_back(Item {
                bytes: Bytes::Published(place.end),
                start: place.start,
                started: false,
                keep: Keep::Always,
            });
        }
    }

    /// Queues frames that are kept while they wait; copies them only if that is smaller than the
    /// reference.
    #[inline(never)]
    pub(crate) fn push_kept(&mut self, place: &KeptPlace) {
        let backlog = self.0.get_or_insert_default();
        match backlog.items.back_mut() {
            Some(Item {
                bytes: Bytes::Kept(segment, end),
                ..
            }) if *end == place.at.start && Rc::ptr_eq(segment, &place.segment) => {
                *end = place.at.end;
                backlog.length += place.at.len();
            }
            Some(_) if place.at.len() <= size_of::<Item>() => {
                self.extend(&place.segment.bytes()[place.at.clone()]);
            }
            _ => {
                let bytes = Bytes::Kept(Rc::clone(&place.segment), place.at.end);
                self.push_item(bytes, place.at.start, Keep::Always);
            }
        }
    }

    /// Returns whether something published is queued that has not been offered to the transport.
    pub(crate) fn holds_published(&self) -> bool {
        let mut items = self.0.iter().flat_map(|it| it.items.iter());
        items.any(|it| matches!(it.bytes, Bytes::Published(_)))
    }

    /// Queues a copy of `bytes`, which must be whole frames.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match self
            .0
            .as_mut()
            .and_then(|it| Some((it.items.back_mut()?, &mut it.length)))
        {
            Some((
                Item {
                    bytes: Bytes::Owned(last),
                    keep: Keep::Always,
                    ..
                },
                length,
            )) if last.len() + bytes.len() <= CHUNK => {
                last.extend_from_slice(bytes);
                *length += bytes.len();
            }
            _ => {
                let backlog = self.0.get_or_insert_default();
                let mut chunk = mem::take(&mut backlog.chunk);
                chunk.extend_from_slice(bytes);
                self.push(chunk, 0, Keep::Always);
            }
        }
    }

    fn push_item(&mut self, bytes: Bytes, start: usize, keep: Keep) {
        let item = Item {
            bytes,
            start,
            started: false,
            keep,
        };
        let length = item.len();
        if length > 0 {
            let backlog = self.0.get_or_insert_default();
            backlog.length += length;
            backlog.items.push_back(item);
        }
    }

    /// Drops the oldest messages that may be dropped until at most `length` bytes wait; returns
    /// how many.
    pub(crate) fn shrink_to(&mut self, length: usize) -> usize {
        self.drop_where(|waiting, item| waiting > length && item.keep != Keep::Always)
    }

    /// Drops the message of this key; returns how many there were, 0 or 1.
    pub(crate) fn drop_key(&mut self, key: &str) -> usize {
        self.drop_where(|_, item| matches!(&item.keep, Keep::UntilNext(it) if **it == *key))
    }

    /// Drops everything behind a frame that is written in part.
    pub(crate) fn clear_unwritten(&mut self) {
        self.drop_where(|_, _| true);
    }

    /// Drops the items of which nothing is written and for which `test` returns true, given the
    /// bytes that wait.
    fn drop_where(&mut self, test: impl Fn(usize, &Item) -> bool) -> usize {
        let Some(Backlog { items, length, .. }) = self.0.as_deref_mut() else {
            return 0;
        };
        let before = items.len();
        items.retain(|item| {
            let drop = !item.started && test(*length, item);
            if drop {
                *length -= item.len();
            }
            !drop
        });
        before - items.len()
    }

    /// Writes once, as much as the transport takes of what waits and then of `fresh`.
    /// [`wrote`](Self::wrote) follows.
    ///
    /// # Errors
    /// The transport's.
    #[inline]
    pub(crate) fn write(
        &self,
        transport: &mut impl Transport,
        fresh: &[u8],
        pool: &Pool,
    ) -> io::Result<usize> {
        while transport.held() > 0 {
            transport.flush()?;
        }
        match &self.0 {
            None if fresh.is_empty() => Ok(0),
            None => transport.write(fresh),
            Some(backlog) if backlog.queued() + fresh.len() == 0 => Ok(0),
            Some(backlog) => backlog.write(transport, fresh, pool),
        }
    }

    /// Notes that all that waited is written.
    #[inline]
    pub(crate) fn clear(&mut self, pool: &Pool) {
        if let Some(mut backlog) = self.0.take() {
            backlog.clear(pool);
            pool.put_backlog(backlog);
        }
    }

    /// Continues after the first write, which has written `written` bytes, in as few system calls
    /// as possible, and queues what the transport doesn't take. `fresh` is empty afterwards, and
    /// `pool` gets the buffers that are no longer needed. Returns whether nothing waits any more.
    ///
    /// # Errors
    /// The transport's; it is broken then.
    pub(crate) fn wrote(
        &mut self,
        mut written: io::Result<usize>,
        transport: &mut impl Transport,
        fresh: &mut Vec<u8>,
        pool: &Pool,
        now: Duration,
    ) -> io::Result<bool> {
        let queued = |queue: &Self| queue.0.as_ref().map_or(0, |it| it.queued());
        let all = queued(self) + fresh.len();
        // The usual case: all is taken at once.
        if let Ok(count) = written
            && count == all
            && transport.held() == 0
        {
            fresh.clear();
            self.clear(pool);
            return Ok(true);
        }
        let (mut fresh_at, mut took) = (0, false);
        loop {
            took |= transport.held() < self.held();
            match written {
                Ok(0) if queued(self) + fresh.len() > fresh_at => {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                Ok(count) => {
                    took |= count > 0;
                    fresh_at += match &mut self.0 {
                        Some(backlog) => backlog.advance(count, pool),
                        None => count,
                    };
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.extend(&fresh[fresh_at..]);
                    fresh.clear();
                    self.hold(transport);
                    let backlog = self.0.get_or_insert_default();
                    backlog.keep(pool);
                    if fresh_at > 0
                        && let Some(item) = backlog.items.back_mut()
                    {
                        item.started = true;
                    }
                    // Bytes that are only the transport's own, as in the TLS handshake, are not a
                    // backlog.
                    let begun = backlog.blocked.is_some() || all > 0;
                    if begun && (took || backlog.blocked.is_none()) {
                        backlog.blocked = Some(now);
                    }
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
            self.hold(transport);
            if self.is_empty() && fresh_at == fresh.len() {
                break;
            }
            written = self.write(transport, &fresh[fresh_at..], pool);
        }
        fresh.clear();
        self.reclaim(pool);
        Ok(true)
    }

    /// Lends it the memory of a former backlog, for what is queued next.
    #[inline(always)]
    pub(crate) fn lend(&mut self, pool: &Pool) -> &mut Backlog {
        self.0
            .get_or_insert_with(|| pool.take_backlog().unwrap_or_default())
    }

    /// Gives its memory back to the pool, if nothing waits.
    pub(crate) fn reclaim(&mut self, pool: &Pool) {
        if self.is_empty() {
            self.clear(pool);
        }
    }
}

impl Backlog {
    /// Returns the bytes of the items.
    #[inline]
    fn queued(&self) -> usize {
        self.length - self.held
    }

    /// Returns the size of the memory that it holds.
    pub(in crate::server) fn bytes(&self) -> usize {
        size_of::<Self>() + self.chunk.capacity() + self.items.rest.capacity() * size_of::<Item>()
    }

    /// Writes once: what waits, and `fresh` if everything before it goes along.
    #[inline]
    fn write(
        &self,
        transport: &mut impl Transport,
        fresh: &[u8],
        pool: &Pool,
    ) -> io::Result<usize> {
        match &self.items.first {
            Some(Item {
                bytes: Bytes::Published(end),
                start,
                ..
            }) if self.items.rest.is_empty() && fresh.is_empty() => {
                pool.with_published(|published| transport.write(&published[*start..*end]))
            }
            _ => self.write_slices(transport, fresh, pool),
        }
    }

    #[inline(never)]
    fn write_slices(
        &self,
        transport: &mut impl Transport,
        fresh: &[u8],
        pool: &Pool,
    ) -> io::Result<usize> {
        let mut segments = [const { None }; MAX_SLICES];
        for (segment, item) in segments.iter_mut().zip(self.items.iter()) {
            *segment = item.bytes.open();
        }
        pool.with_published(|published| {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            // `fresh` is written only together with everything before it.
            let last = (self.items.len() < MAX_SLICES).then_some(fresh);
            let mut count = 0;
            let items = self.items.iter().zip(&segments).map(|(item, kept)| {
                let kept = kept.as_ref().map(|it| it.as_slice());
                item.rest(published, kept)
            });
            for (slice, bytes) in slices.iter_mut().zip(items.chain(last)) {
                *slice = IoSlice::new(bytes);
                count += 1;
            }
            match count {
                1 => transport.write(&slices[0]),
                _ => transport.write_vectored(&slices[..count]),
            }
        })
    }

    /// Items that wait longer than this turn keep their segment.
    fn keep(&mut self, pool: &Pool) {
        for item in self.items.first.iter_mut().chain(&mut self.items.rest) {
            if let Bytes::Published(end) = item.bytes {
                item.bytes = Bytes::Kept(pool.segment(), end);
            }
        }
    }

    /// Notes that everything is written.
    #[inline]
    fn clear(&mut self, pool: &Pool) {
        self.length = 0;
        self.held = 0;
        self.blocked = None;
        match self.items.first.take() {
            // As in `push_back`.
            Some(item) if matches!(item.bytes, Bytes::Published(_)) => mem::forget(item),
            Some(item) => self.done(item, pool),
            None => {}
        }
        if self.items.rest.capacity() > 0 {
            while let Some(item) = self.items.rest.pop_front() {
                self.done(item, pool);
            }
            if self.items.rest.capacity() > MAX_SLICES {
                self.items.rest = VecDeque::new();
            }
        }
    }

    /// Keeps the memory of a written item if it is worth it.
    #[inline]
    fn done(&mut self, item: Item, pool: &Pool) {
        if let Bytes::Owned(mut buffer) = item.bytes {
            if buffer.capacity() <= KEPT_CHUNK && self.chunk.capacity() == 0 {
                buffer.clear();
                self.chunk = buffer;
            } else {
                pool.put(buffer);
            }
        }
    }

    /// Removes `written` bytes from the front; returns how many were written beyond the queue.
    fn advance(&mut self, mut written: usize, pool: &Pool) -> usize {
        while let Some(first) = self.items.first.as_mut() {
            let waiting = first.len();
            if written < waiting {
                first.start += written;
                first.started |= written > 0;
                self.length -= written;
                return 0;
            }
            written -= waiting;
            self.length -= waiting;
            if let Some(item) = self.items.pop_front() {
                self.done(item, pool);
            }
        }
        written
    }
}

#[cfg(test)]
mod tests;
