//! What the application has asked of its peer, until the reply comes or its time is over.

use std::any::Any;
use std::boxed::Box;
use std::collections::BTreeMap;
use std::time::Duration;

use super::{Notice, WebSocket};
use crate::server::call::{Call, Guarded};
use crate::server::timers::Timers;

/// Returns the function that the connection's application is to be called with.
pub(in crate::server) type Resume = Box<dyn FnOnce(Reply<'_>) -> Box<dyn Any + Send> + Send>;

/// What a question has come to.
pub(in crate::server) enum Reply<'a> {
    /// The peer's data, as JSON.
    Data(&'a str),
    /// The peer's error, as JSON.
    Error(&'a str),
    /// Its time is over.
    Late,
    /// It was not asked: too much waits.
    Full,
    /// It was not asked: the connection isn't open.
    Closed,
}

/// Questions of a connection that wait at once: more than a page handles in the time of a round trip.
const MAX_WAITING: usize = 256;

/// Kept from the first question to the end of the connection, so that no id is used twice: a reply
/// that comes too late is for no later question.
#[derive(Default)]
pub(super) struct Questions {
    last: u64,
    waiting: BTreeMap<u64, Guarded<Resume>>,
    timers: Timers,
}

impl Questions {
    /// Returns when the time of the next one is over.
    pub(super) fn next(&self) -> Option<Duration> {
        self.timers.next()
    }
}

impl WebSocket {
    /// Adds a question whose time is over at `at`; returns its id.
    ///
    /// # Errors
    /// If too many wait.
    pub(in crate::server) fn ask(&mut self, at: Duration, resume: Resume) -> Result<u64, Resume> {
        let cold = self.cold();
        let questions = cold.questions.get_or_insert_default();
        if questions.waiting.len() >= MAX_WAITING {
            return Err(resume);
        }
        questions.last += 1;
        let id = questions.last;
        questions.waiting.insert(id, Guarded::new(resume));
        if questions.timers.set(id, at) {
            // Its session has to look at its deadlines.
            cold.notices.push(Notice::Timer);
        }
        Ok(id)
    }

    /// Takes the question that a reply is for.
    pub(in crate::server) fn take_question(&mut self, id: u64) -> Option<Resume> {
        let questions = self.cold.as_mut()?.questions.as_mut()?;
        questions.timers.cancel(id);
        questions.waiting.remove(&id)?.into_inner()
    }

    /// Takes a question whose time is over; returns how it ends.
    pub(in crate::server) fn take_overdue(&mut self, now: Duration) -> Option<Call> {
        let questions = self.cold.as_mut()?.questions.as_mut()?;
        let id = questions.timers.take_due(now)?;
        let resume = questions.waiting.remove(&id)?.into_inner()?;
        Some(Call::Function(Guarded::new(resume(Reply::Late))))
    }
}
