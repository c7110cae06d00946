//! Queries about topics: their subscribers, their positions, and their kept messages.

use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use super::Directory;
use crate::server::id::ConnectionId;
use crate::server::sync::atomic::Ordering;
use crate::server::sync::lock;
use crate::server::topics::history::{HistoryEntry, Replay};
use crate::server::topics::stats::{Largest, TopicStats};
use crate::server::topics::topic::{Topic, assert_inside};
use crate::server::topics::{Position, TopicName};

impl Directory {
    pub(in crate::server) fn count(&self, topic: &str) -> usize {
        self.look(topic, |it| it.subscribers.len()).unwrap_or(0)
    }

    pub(in crate::server) fn list(&self, topic: &str) -> Vec<ConnectionId> {
        let all = self.look(topic, |it| it.subscribers.iter().copied().collect());
        all.unwrap_or_default()
    }

    /// Returns all topics that have subscribers, by their full names, with their numbers, in any
    /// order.
    pub(in crate::server) fn topics(&self) -> Vec<(Arc<str>, usize)> {
        assert_inside();
        let mut all: Vec<Arc<Topic>> = Vec::new();
        for shard in self.shards.iter() {
            all.extend(shard.topics.values().cloned());
        }
        let count = |it: Arc<Topic>| {
            let count = lock(&it.state).subscribers.len();
            (Arc::clone(&it.name), count)
        };
        let counts = all.into_iter().map(count);
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// Returns the largest topics that have subscribers, at most `limit`, of one namespace or of
    /// all.
    pub(in crate::server) fn largest(
        &self,
        namespace: Option<&str>,
        limit: usize,
    ) -> Vec<TopicStats> {
        assert_inside();
        let mut largest = Largest::new(limit);
        let is_asked = |it: &&Arc<Topic>| {
            namespace.is_none_or(|own| TopicName::split(&it.name).namespace == own)
        };
        for shard in self.shards.iter() {
            let all: Vec<Arc<Topic>> = shard.topics.values().filter(is_asked).cloned().collect();
            drop(shard);
            for topic in all {
                let state = lock(&topic.state);
                let (subscribers, volume) = (state.subscribers.len(), state.volume);
                drop(state);
                if subscribers > 0 {
                    largest.see(&topic.name, subscribers, volume);
                }
            }
        }
        largest.into_stats()
    }

    /// Returns how many topics and subscriptions there are.
    pub(in crate::server) fn totals(&self) -> (usize, usize) {
        let topics = self.topics.load(Ordering::Relaxed);
        (topics, self.subscriptions.load(Ordering::Relaxed))
    }

    /// Returns whether there is no record.
    #[cfg(test)]
    pub(in crate::server) fn is_empty(&self) -> bool {
        self.shards.iter().all(|it| it.topics.is_empty())
    }

    /// Returns how many records there are.
    #[cfg(all(test, shuttle))]
    pub(in crate::server) fn records(&self) -> usize {
        self.shards.iter().map(|it| it.topics.len()).sum()
    }

    /// Returns the position of a topic.
    pub(in crate::server) fn position(&self, topic: &str) -> Position {
        self.enter(topic, |topic, state| state.position(topic, self.epoch))
    }

    pub(in crate::server) fn history(
        &self,
        topic: &str,
        limit: usize,
        now: Duration,
    ) -> Vec<HistoryEntry> {
        match self.options(topic).and_then(|it| it.history.as_ref()) {
            Some((history, _)) => history.recent(topic, limit, now),
            None => Vec::new(),
        }
    }

    /// Returns what was published behind a position, as far as it is kept.
    pub(in crate::server) fn history_since(
        &self,
        topic: &str,
        since: Position,
        now: Duration,
    ) -> Replay {
        self.enter(topic, |topic, state| {
            let position = state.position(topic, self.epoch);
            topic.since(position, since, now)
        })
    }
}
