//! A message on its way to sessions that are not being driven, and its outcome at each of them.

use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use super::outcome::{Overflow, Sent};
use super::{WebSocket, WorkerState};
use crate::proto::{PreparedMessage, Timestamp};
use crate::server::topics::Topic;
use crate::server::write_queue::{Keep, KeptPlace, Place, Pool, WriteQueue};

impl WebSocket {
    #[inline(always)]
    pub(in crate::server) fn deliver_batch(
        &mut self,
        queue: &mut WriteQueue,
        batch: &Batch,
        pool: &Pool,
    ) {
        queue.push_published(&batch.place, pool);
        let account = &mut self.account;
        account.sent(batch.messages, batch.payload, batch.instant);
    }

    /// Delivers a message that another session, or a command, published.
    pub(in crate::server) fn deliver(
        &mut self,
        queue: &mut WriteQueue,
        delivery: &mut LocalDelivery<'_>,
        pool: &Pool,
    ) -> Given {
        let message = delivery.message;
        if self.is_ahead_of(delivery.number) {
            return Given::Passed;
        }
        // What it was ahead of is carried out.
        self.ahead = false;
        if !self.connection.is_open() || self.end().is_some() {
            return Given::Sent(Sent::Dropped);
        }
        if self.sending {
            let keep = delivery.keep.clone();
            return Given::Sent(self.hold(queue, message, keep, delivery.worker));
        }
        self.take(queue, delivery, pool)
    }

    /// Holds a message until the fragmented one that is under way has ended.
    #[cold]
    pub(super) fn hold(
        &mut self,
        queue: &mut WriteQueue,
        message: &PreparedMessage,
        keep: Keep,
        worker: &WorkerState,
    ) -> Sent {
        let length = message.payload().len();
        let held = self.cold().held.iter();
        let held: usize = held.map(|(it, _)| it.payload().len()).sum();
        if !self.make_room(queue, held, length, &worker.metrics, worker.now) {
            return Sent::Dropped;
        }
        self.cold().held.push((message.clone(), keep));
        Sent::Queued
    }

    /// Takes the message that is next in order, delivered now or held before.
    pub(super) fn take(
        &mut self,
        queue: &mut WriteQueue,
        delivery: &mut LocalDelivery<'_>,
        pool: &Pool,
    ) -> Given {
        let message = delivery.message;
        let WorkerState { metrics, now, .. } = delivery.worker;
        let length = message.payload().len();
        // Only what waits behind a backlog is replaced: a subscriber that keeps up gets every
        // message.
        if let Keep::UntilNext(key) = &delivery.keep
            && queue.is_blocked()
        {
            let replaced = queue.drop_key(key);
            metrics.conflated.add(replaced as u64);
        }
        if !self.fits(queue, 0, length)
            && delivery.waits
            && !self.lags
            && keeps_up(queue.blocked_since(), *now)
        {
            return Given::Later;
        }
        let keep = match &delivery.keep {
            Keep::Always if self.options.overflow == Overflow::DropOldest => Keep::UntilFull,
            keep => keep.clone(),
        };
        if !self.make_room(queue, 0, length, metrics, *now) {
            return Given::Sent(Sent::Dropped);
        }
        let mut own = Vec::new();
        // As in `append`.
        let lasts = keep == Keep::Always;
        if !lasts {
            self.connection.forget();
        }
        let shared = self.connection.share_prepared(message, &mut own);
        if !lasts {
            self.connection.forget();
        }
        match shared {
            Ok(Some(frame)) if lasts && delivery.publishes => {
                if !delivery.push(frame, queue, pool) {
                    queue.push_shared(frame, keep);
                }
            }
            Ok(Some(frame)) => queue.push_shared(frame, keep),
            Ok(None) => queue.push(own, 0, keep),
            Err(_) => return Given::Sent(Sent::Dropped),
        }
        Given::Sent(self.sent(queue, length, delivery.worker.instant))
    }
}

/// What became of a message that was given to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Given {
    Sent(Sent),
    /// The session already has it.
    Passed,
    /// The session has no room for it and is waited for, since it reads what waits.
    Later,
}

/// How long the worker waits for a connection that takes nothing of its backlog.
pub(in crate::server) const STALLS_AFTER: Duration = Duration::from_millis(500);

/// Returns whether a session is waited for that last took some of its backlog at `progress`.
fn keeps_up(progress: Option<Duration>, now: Duration) -> bool {
    progress.is_none_or(|it| now < it.saturating_add(STALLS_AFTER))
}

/// A message on its way to sessions that are not being driven.
pub(in crate::server) struct LocalDelivery<'a> {
    pub(in crate::server) message: &'a PreparedMessage,
    keep: Keep,
    /// Its number among the worker's commands.
    number: u64,
    /// Whether a session that has no room for it is waited for.
    waits: bool,
    /// Where the plain frame is published, if it is.
    place: Option<Place>,
    /// The same for an encoded frame that several sessions take.
    encoded: Option<(*const [u8], KeptPlace)>,
    /// Whether it is for several sessions.
    publishes: bool,
    pub(in crate::server) worker: &'a WorkerState,
}

impl<'a> LocalDelivery<'a> {
    pub(in crate::server) fn new(
        message: &'a PreparedMessage,
        keep: Keep,
        number: u64,
        worker: &'a WorkerState,
    ) -> Self {
        Self {
            message,
            keep,
            number,
            waits: true,
            place: None,
            encoded: None,
            publishes: false,
            worker,
        }
    }

    /// Returns what may happen to a message of this topic while it waits.
    pub(in crate::server) fn keep(topic: &Topic) -> Keep {
        match topic.conflates() {
            true => Keep::UntilNext(Arc::clone(&topic.name)),
            false => Keep::Always,
        }
    }

    /// Is a message of this topic for the sessions that are next; of several topics, a session may
    /// take it as another one's than the session before.
    pub(in crate::server) fn keep_for(&mut self, topic: Option<&Arc<Topic>>) {
        self.keep = topic.map_or(Keep::Always, |it| Self::keep(it));
    }

    /// Returns the bytes of its payload.
    pub(in crate::server) fn len(&self) -> usize {
        self.message.payload().len()
    }

    /// Waits for no session.
    pub(in crate::server) fn hurry(mut self) -> Self {
        self.waits = false;
        self
    }

    /// Publishes the frame in the pool, as it is for several sessions.
    pub(in crate::server) fn publish(&mut self, pool: &Pool) {
        if self.keep == Keep::Always && !self.publishes {
            self.publishes = true;
            self.place = pool.publish(self.message.frame());
        }
    }

    /// Queues one of the message's frames without a copy; returns false if the pool has no room for
    /// it.
    fn push(&mut self, frame: &Arc<[u8]>, queue: &mut WriteQueue, pool: &Pool) -> bool {
        if Arc::ptr_eq(frame, self.message.frame()) {
            return match &self.place {
                Some(place) => {
                    queue.push_published(place, pool);
                    true
                }
                None => false,
            };
        }
        let known = self.encoded.as_ref();
        if known.is_none_or(|(it, _)| !core::ptr::eq(*it, Arc::as_ptr(frame))) {
            let Some(place) = pool.publish_encoded(frame) else {
                return false;
            };
            self.encoded = Some((Arc::as_ptr(frame), place));
        }
        if let Some((_, place)) = &self.encoded {
            queue.push_kept(place);
        }
        true
    }

    /// Returns the message alone, if its frame is published.
    pub(in crate::server) fn batch(&self) -> Option<Batch> {
        Some(Batch {
            place: self.place.clone()?,
            messages: 1,
            payload: self.message.payload().len(),
            instant: self.worker.instant,
        })
    }
}

/// Published messages whose frames lie one behind the other.
pub(in crate::server) struct Batch {
    place: Place,
    messages: u64,
    /// Bytes of payload.
    payload: usize,
    /// When the last one was published.
    instant: Timestamp,
}

impl Batch {
    /// Returns the bytes of the frames.
    pub(in crate::server) fn len(&self) -> usize {
        self.place.len()
    }

    /// Returns whether the frames of `next` lie right behind these.
    pub(in crate::server) fn borders(&self, next: &Self) -> bool {
        self.place.end == next.place.start
    }

    /// Adds the frames that follow these.
    pub(in crate::server) fn join(&mut self, next: &Self) {
        self.place.end = next.place.end;
        self.messages += next.messages;
        self.payload += next.payload;
        self.instant = next.instant;
    }
}
