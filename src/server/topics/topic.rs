//! The record of one topic: its subscribers, and the position of its last message.

use std::boxed::Box;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use super::Position;
use super::history::{History, HistoryEntry, Replay};
use super::options::TopicOptions;
use super::stats::Volume;
use crate::net::Clock;
use crate::proto::PreparedMessage;
use crate::server::id::ConnectionId;
use crate::server::sync::{Mutex, thread_local};

/// One topic. Its record exists as long as there is a subscriber, or a subscription on its way.
pub(in crate::server) struct Topic {
    /// Its full name.
    pub(in crate::server) name: Arc<str>,
    pub(super) options: Option<Arc<TopicOptions>>,
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    /// None until it is needed: the history may know the last offset.
    pub(super) position: Option<Position>,
    pub(super) subscribers: BTreeSet<ConnectionId>,
    pub(super) workers: Box<[OnWorker]>,
    pub(super) volume: Volume,
    /// Whether it was removed from the directory, which may have another record of this name.
    pub(super) gone: bool,
}

#[derive(Clone, Copy, Default)]
pub(super) struct OnWorker {
    pub(super) subscribers: u32,
    /// Subscriptions on their way to the worker.
    pub(super) coming: u32,
}

impl OnWorker {
    pub(super) fn is_unused(self) -> bool {
        self.subscribers == 0 && self.coming == 0
    }
}

impl Topic {
    /// Returns whether a message that waits is replaced by the next one.
    pub(in crate::server) fn conflates(&self) -> bool {
        self.options.as_ref().is_some_and(|it| it.conflate)
    }

    #[inline]
    pub(super) fn history(&self) -> Option<&Kept> {
        self.options.as_ref()?.history.as_ref()
    }

    /// Returns the most bytes of a message.
    #[inline]
    pub(super) fn max_message(&self) -> usize {
        self.options
            .as_ref()
            .map_or(usize::MAX, |it| it.max_message)
    }

    /// Returns what was published behind `since`, as far as it is kept, where the topic is at
    /// `position`.
    pub(super) fn since(&self, position: Position, since: Position, now: Duration) -> Replay {
        if position == since {
            return Replay {
                entries: Vec::new(),
                complete: true,
            };
        }
        match self.history() {
            Some((history, _)) if position.epoch == since.epoch => {
                outside(|| history.since(&self.name, since.offset, now))
            }
            _ => Replay::default(),
        }
    }

    /// Adds a message to the history, if there is one; one that is `unkept` leaves only its offset
    /// there.
    #[inline]
    pub(super) fn keep(
        &self,
        message: &PreparedMessage,
        offset: u64,
        unkept: bool,
        now: Duration,
        clock: &Clock,
    ) {
        if let Some((history, _)) = self.history() {
            outside(|| match unkept {
                true => history.skip(&self.name, offset),
                false => {
                    let entry = HistoryEntry {
                        offset,
                        at: now,
                        time: clock.date(),
                        kind: message.kind(),
                        payload: message.payload().into(),
                    };
                    history.push(&self.name, entry);
                }
            });
        }
    }

    /// Returns what a new subscriber is sent.
    pub(super) fn replay(&self, now: Duration) -> Vec<HistoryEntry> {
        let Some((history, count)) = self.history() else {
            return Vec::new();
        };
        outside(|| history.recent(&self.name, *count, now))
    }
}

/// Where a topic's messages are kept, and how many of them a new subscriber is sent.
pub(super) type Kept = (Arc<dyn History>, usize);

thread_local! {
    /// Whether this thread runs the application's code while it holds a topic's record.
    static OUTSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Calls the application's code while a record is held.
pub(in crate::server) fn outside<R>(call: impl FnOnce() -> R) -> R {
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            OUTSIDE.with(|it| it.set(false));
        }
    }
    OUTSIDE.with(|it| it.set(true));
    let _back = Back;
    call()
}

/// Panics if the thread would wait for a record that it holds itself.
pub(super) fn assert_inside() {
    assert!(
        !OUTSIDE.with(Cell::get),
        "publish_with's function, or a History, called the server's topics: it is asked while its \
         topic is locked, and must only return"
    );
}

impl State {
    pub(super) fn position(&mut self, topic: &Topic, epoch: u64) -> Position {
        *self.position.get_or_insert_with(|| match topic.history() {
            Some((history, _)) => outside(|| Position {
                epoch: history.epoch(),
                offset: history.last(&topic.name),
            }),
            None => Position { epoch, offset: 0 },
        })
    }

    pub(super) fn is_unused(&self) -> bool {
        self.subscribers.is_empty() && self.workers.iter().all(|it| it.is_unused())
    }
}
