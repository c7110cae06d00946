//! What an observer is told of topics, compared with the topics that there are.

use std::collections::BTreeSet;
use std::format;
use std::string::String;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use crate::server::observe::{Observer, TopicChange, TopicEvent};
use crate::server::shared::Shared;

/// The topics that have appeared and not been emptied, by their full names; and what was told and
/// can't be.
#[derive(Clone, Default)]
pub(super) struct Watch(Arc<Mutex<(BTreeSet<String>, Vec<String>)>>);

impl Observer for Watch {
    fn on_topic(&self, topic: &TopicEvent<'_>) {
        let (topics, faults) = &mut *self.0.lock().unwrap();
        let full = format!("{} {}", topic.namespace, topic.name);
        let is_change = match topic.change {
            TopicChange::Appeared => topics.insert(full),
            TopicChange::Emptied => topics.remove(&full),
        };
        if !is_change {
            faults.push(format!("{topic:?}"));
        }
    }
}

impl Watch {
    /// Asserts that it was told of all that has happened, while nobody does anything.
    pub(super) fn check(&self, shared: &Shared) {
        let (topics, faults) = &*self.0.lock().unwrap();
        assert!(faults.is_empty(), "told twice: {faults:?}");
        let all = shared.directory.topics().into_iter();
        let names: BTreeSet<String> = all.map(|(name, _)| name.as_ref().into()).collect();
        assert_eq!(*topics, names);
    }
}
