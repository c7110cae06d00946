//! What an application has the server do every so often.

use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use std::vec::Vec;

use crate::server::handle::Handle;

/// A place in the timer wheel from which on they count down; no worker has so many sessions.
const LAST_PLACE: u32 = u32::MAX;

/// The shortest period: a tick of the timer wheel.
const LEAST: Duration = Duration::from_millis(250);

/// A function and its period.
pub(in crate::server) struct Chore {
    period: Duration,
    run: Box<dyn FnMut(&Handle) + Send>,
}

impl Chore {
    pub(in crate::server) fn new(period: Duration, run: Box<dyn FnMut(&Handle) + Send>) -> Self {
        let period = period.max(LEAST);
        Self { period, run }
    }
}

/// Those of a worker, each with the time when it is due.
pub(super) struct Chores(Vec<(Chore, Duration)>);

impl Chores {
    pub(super) fn new(chores: Vec<Chore>, now: Duration) -> Self {
        let due = |it: Chore| {
            let at = now.saturating_add(it.period);
            (it, at)
        };
        Self(chores.into_iter().map(due).collect())
    }

    /// Returns their places in the timer wheel, each with the time when it is due.
    pub(super) fn places(&self) -> impl Iterator<Item = (u32, Duration)> {
        let due = self.0.iter().map(|it| it.1);
        due.enumerate()
            .map(|(at, due)| (LAST_PLACE - at as u32, due))
    }

    /// Does the chore at `place` if it is due; returns when it is due next, and whether it panicked.
    /// Those that were missed are not made up for.
    pub(super) fn run(
        &mut self,
        place: u32,
        now: Duration,
        handle: &Handle,
    ) -> Option<(Duration, bool)> {
        let (chore, due) = self.0.get_mut((LAST_PLACE - place) as usize)?;
        if now < *due {
            return Some((*due, false));
        }
        // At the same distance as ever from the first time.
        let missed = (now - *due).as_nanos() / chore.period.as_nanos();
        let behind = u32::try_from(missed + 1).unwrap_or(u32::MAX);
        *due = due.saturating_add(chore.period.saturating_mul(behind));
        let run = || (chore.run)(handle);
        Some((*due, catch_unwind(AssertUnwindSafe(run)).is_err()))
    }
}
