//! The timers of a connection that its application has set.
//!
//! Owns which are set and which is next. When the session is driven is left to the timer wheel.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Kept while some are set.
#[derive(Default)]
pub(super) struct Timers {
    at: BTreeMap<u64, Duration>,
    order: BTreeSet<(Duration, u64)>,
}

impl Timers {
    /// Sets a timer; returns whether it is the next one now.
    pub(super) fn set(&mut self, key: u64, at: Duration) -> bool {
        self.cancel(key);
        self.at.insert(key, at);
        self.order.insert((at, key));
        self.order.first() == Some(&(at, key))
    }

    /// Removes a timer; returns whether it was set.
    pub(super) fn cancel(&mut self, key: u64) -> bool {
        let at = self.at.remove(&key);
        at.is_some_and(|at| self.order.remove(&(at, key)))
    }

    /// Returns when the next timer is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.order.first().map(|it| it.0)
    }

    /// Removes the next timer if it is due.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<u64> {
        let &(at, key) = self.order.first()?;
        (at <= now && self.cancel(key)).then_some(key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}
