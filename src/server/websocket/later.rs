//! What the application has asked for later: its timers, the work it has deferred, and when reading
//! goes on.

use std::boxed::Box;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::{Notice, WebSocket};
use crate::server::pool::{Job, Outcome};
use crate::server::timers::Timers;

/// Work that is done elsewhere; kept while there is some.
pub(super) struct Deferred {
    /// In the order in which the application is to continue.
    jobs: VecDeque<Arc<Job>>,
    /// Whether the application itself has paused reading.
    paused: bool,
}

impl WebSocket {
    /// Pauses or resumes reading, as the application asks.
    pub(in crate::server) fn set_paused(&mut self, paused: bool) {
        let deferred = self.cold.as_mut().and_then(|it| it.deferred.as_mut());
        match deferred {
            // Paused until the work is done in any case.
            Some(deferred) => deferred.paused = paused,
            None => self.paused = paused,
        }
    }

    // ---- deferred work --------------------------------------------------------------------------

    /// Pauses reading until this is done and the application has continued with it.
    pub(in crate::server) fn defer(&mut self, job: Arc<Job>) {
        let paused = self.paused;
        self.paused = true;
        let deferred = self.cold().deferred.get_or_insert_with(|| {
            Box::new(Deferred {
                jobs: VecDeque::new(),
                paused,
            })
        });
        deferred.jobs.push_back(job);
    }

    /// Takes the work that was deferred first, if it is done.
    pub(in crate::server) fn take_deferred(&mut self) -> Option<Outcome> {
        let jobs = &mut self.cold.as_mut()?.deferred.as_mut()?.jobs;
        let outcome = jobs.front()?.outcome()?;
        jobs.pop_front();
        Some(outcome)
    }

    /// Notes that the application has continued with the work that was taken.
    pub(in crate::server) fn continued(&mut self) {
        let Some(cold) = &mut self.cold else {
            return;
        };
        match cold.deferred.as_ref().map(|it| it.jobs.front()) {
            Some(Some(next)) if next.is_done() => cold.notices.push(Notice::Worked),
            Some(None) => {
                self.paused = cold.deferred.take().is_some_and(|it| it.paused);
                self.free_unused();
            }
            _ => {}
        }
    }

    // ---- timers ---------------------------------------------------------------------------------

    pub(in crate::server) fn set_timer(&mut self, key: u64, at: Duration) {
        let cold = self.cold();
        if cold.timers.get_or_insert_default().set(key, at) {
            // Its session has to look at its deadlines.
            cold.notices.push(Notice::Timer);
        }
    }

    pub(in crate::server) fn cancel_timer(&mut self, key: u64) -> bool {
        self.change_timers(|it| it.cancel(key)).unwrap_or_default()
    }

    /// Removes a timer that is due.
    pub(in crate::server) fn take_timer(&mut self, now: Duration) -> Option<u64> {
        self.change_timers(|it| it.take_due(now)).flatten()
    }

    /// Returns when the next timer is due, or the time of a question is over.
    #[inline]
    pub(in crate::server) fn next_timer(&self) -> Option<Duration> {
        let cold = self.cold.as_ref()?;
        let timer = cold.timers.as_ref().and_then(|it| it.next());
        #[cfg(feature = "json")]
        if let Some(questions) = &cold.questions {
            return timer.into_iter().chain(questions.next()).min();
        }
        timer
    }

    fn change_timers<R>(&mut self, change: impl FnOnce(&mut Timers) -> R) -> Option<R> {
        let cold = self.cold.as_mut()?;
        let timers = cold.timers.as_mut()?;
        let changed = change(timers);
        if timers.is_empty() {
            cold.timers = None;
            self.free_unused();
        }
        Some(changed)
    }
}
