//! Publishing one message to several topics.

use std::collections::BTreeSet;
use std::string::String;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use super::{Directory, Publisher};
use crate::proto::PreparedMessage;
use crate::server::id::ConnectionId;
use crate::server::run::inbox::{Command, HandleError, Inbox, Reserved};
use crate::server::sync::{MutexGuard, lock};
use crate::server::topics::joint::JointMessage;
use crate::server::topics::topic::{State, Topic, assert_inside};

/// The outcome of a message that has its position in each of several topics.
pub(in crate::server) struct JointOutcome {
    pub(in crate::server) message: Arc<JointMessage>,
    /// Subscriptions that it is on its way to.
    pub(in crate::server) waiting: usize,
    /// Whether the worker that publishes has to deliver it now.
    pub(in crate::server) deliver: bool,
    /// Whether an inbox that it went to is filling, so that the publisher has to wait.
    pub(in crate::server) filling: bool,
}

impl Directory {
    /// Adds a message to the order and the history of several topics, and to the inbox of each
    /// worker that has subscribers of one of them: to all of these, or to none.
    ///
    /// All topics are locked meanwhile, so that the message has one place among all others.
    ///
    /// # Errors
    /// [`HandleError::Busy`] when one of the inboxes is full, [`HandleError::TooLong`] when it is
    /// too long for one of the topics.
    pub(in crate::server) fn publish_joint(
        &self,
        inboxes: &[Arc<Inbox>],
        topics: &BTreeSet<String>,
        publisher: Publisher,
        now: Duration,
        message: &PreparedMessage,
    ) -> Result<JointOutcome, HandleError> {
        assert_inside();
        loop {
            let topics: Vec<Arc<Topic>> = topics.iter().map(|it| self.record(it)).collect();
            // In the order of their names, so that no two publishers wait for each other.
            let mut states: Vec<MutexGuard<'_, State>> =
                topics.iter().map(|it| lock(&it.state)).collect();
            if states.iter().any(|it| it.gone) {
                continue;
            }
            let outcome =
                self.publish_to_each(inboxes, &topics, &mut states, publisher, now, message);
            let unused: Vec<bool> = states.iter().map(|it| it.is_unused()).collect();
            drop(states);
            for (topic, _) in topics.iter().zip(unused).filter(|(_, unused)| *unused) {
                self.sweep(topic);
            }
            return outcome;
        }
    }

    fn publish_to_each(
        &self,
        inboxes: &[Arc<Inbox>],
        topics: &[Arc<Topic>],
        states: &mut [MutexGuard<'_, State>],
        publisher: Publisher,
        now: Duration,
        message: &PreparedMessage,
    ) -> Result<JointOutcome, HandleError> {
        let length = message.payload().len();
        if topics.iter().any(|it| length > it.max_message()) {
            return Err(HandleError::TooLong);
        }
        let next = topics.iter().zip(&mut *states).map(|(topic, state)| {
            let mut position = state.position(topic, self.epoch);
            position.offset += 1;
            (Arc::clone(topic), position)
        });
        let joint = Arc::new(JointMessage {
            places: next.collect(),
            message: message.clone(),
        });
        let delivers = publisher.delivers.filter(|it| inboxes[*it].is_idle());
        let mut outcome = JointOutcome {
            message: Arc::clone(&joint),
            waiting: 0,
            deliver: delivers.is_some(),
            filling: false,
        };
        // Room is reserved in all inboxes, or in none.
        let mut reserved: Vec<(Reserved<'_>, Command)> = Vec::new();
        for (worker, inbox) in inboxes.iter().enumerate() {
            let unused = states.iter().all(|it| it.workers[worker].is_unused());
            if unused || delivers == Some(worker) || inbox.is_stopped() {
                continue;
            }
            let except = publisher.except.filter(|it| it.worker() == worker);
            let command =
                Command::PublishJoint(Arc::clone(&joint), except.map(ConnectionId::token));
            match inbox.reserve(command.bytes()) {
                Ok(room) => reserved.push((room, command)),
                // It has stopped since it was checked.
                Err(HandleError::Stopped) => continue,
                Err(error) => return Err(error),
            }
            outcome.filling |= inbox.is_filling();
            for state in &*states {
                let left_out = except.is_some_and(|it| state.subscribers.contains(&it));
                let subscribers = state.workers[worker].subscribers as usize;
                outcome.waiting += subscribers - usize::from(left_out);
            }
        }
        for ((topic, position), state) in joint.places.iter().zip(states) {
            topic.keep(message, position.offset, publisher.unkept, now, &self.clock);
            state.position = Some(*position);
            state.volume.add(length);
        }
        for (room, command) in reserved {
            room.add(command);
        }
        Ok(outcome)
    }
}
