//! Topics: who is subscribed to what.
//!
//! [`Topics`] is a worker's own table, which publishing reads without a lock. [`Directory`] is
//! what all workers share: counts, lists and limits, touched when someone subscribes or leaves
//! and never on the message path.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec::Vec;

use mio::Token;

use super::ConnectionId;
use super::shards::Shards;

/// What bounds topics and subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicLimits {
    /// The longest topic name in bytes. Default 256: names are paths and keys, not data.
    pub max_name: usize,
    /// The most topics one connection may be subscribed to. Default 1,000.
    pub max_per_connection: usize,
    /// The most topics there may be. Default 1,000,000.
    pub max_topics: usize,
    /// The most subscribers one topic may have. Default none.
    pub max_subscribers: usize,
}

impl Default for TopicLimits {
    fn default() -> Self {
        Self {
            max_name: 256,
            max_per_connection: 1_000,
            max_topics: 1_000_000,
            max_subscribers: usize::MAX,
        }
    }
}

/// Why a subscription was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The name is empty or longer than [`TopicLimits::max_name`].
    Name,
    /// The connection has [`TopicLimits::max_per_connection`] topics.
    ConnectionFull,
    /// There are [`TopicLimits::max_topics`] topics.
    TooManyTopics,
    /// The topic has [`TopicLimits::max_subscribers`] subscribers.
    TopicFull,
    /// A guard of the topic refused, and said why.
    Refused(Arc<str>),
    /// The connection is closing.
    Closed,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "the topic's name is empty or longer than max_name",
            Self::ConnectionFull => "the connection has max_per_connection topics already",
            Self::TooManyTopics => "there are max_topics topics already",
            Self::TopicFull => "the topic has max_subscribers subscribers already",
            Self::Refused(reason) => reason,
            Self::Closed => "the connection is closing",
        })
    }
}

impl std::error::Error for SubscribeError {}

/// The subscribers of one worker.
#[derive(Debug, Default)]
pub(super) struct Topics {
    topics: HashMap<Arc<str>, BTreeSet<Token>>,
}

impl Topics {
    pub(super) fn insert(&mut self, topic: &Arc<str>, token: Token) {
        self.topics
            .entry(Arc::clone(topic))
            .or_default()
            .insert(token);
    }

    pub(super) fn remove(&mut self, topic: &str, token: Token) {
        if let Some(subscribers) = self.topics.get_mut(topic) {
            subscribers.remove(&token);
            // Empty topics vanish.
            if subscribers.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    pub(super) fn subscribers(&self, topic: &str) -> Option<&BTreeSet<Token>> {
        self.topics.get(topic)
    }
}

/// The subscribers of all workers.
pub(super) struct Directory {
    limits: TopicLimits,
    shards: Shards<HashMap<Arc<str>, BTreeSet<ConnectionId>>>,
    topics: AtomicUsize,
    subscriptions: AtomicUsize,
}

impl Directory {
    pub(super) fn new(limits: TopicLimits) -> Self {
        Self {
            limits,
            shards: Shards::new(HashMap::new),
            topics: AtomicUsize::new(0),
            subscriptions: AtomicUsize::new(0),
        }
    }

    /// Adds a subscriber that has `subscribed` topics already; answers the topic's name, shared,
    /// and its count.
    pub(super) fn insert(
        &self,
        topic: &str,
        id: ConnectionId,
        subscribed: usize,
    ) -> Result<(Arc<str>, usize), SubscribeError> {
        if topic.is_empty() || topic.len() > self.limits.max_name {
            return Err(SubscribeError::Name);
        }
        if subscribed >= self.limits.max_per_connection {
            return Err(SubscribeError::ConnectionFull);
        }
        let mut shard = self.shards.of(topic);
        let name = match shard.get_key_value(topic) {
            Some((name, subscribers)) => {
                if subscribers.len() >= self.limits.max_subscribers {
                    return Err(SubscribeError::TopicFull);
                }
                Arc::clone(name)
            }
            None => {
                if self.topics.fetch_add(1, Ordering::Relaxed) >= self.limits.max_topics {
                    self.topics.fetch_sub(1, Ordering::Relaxed);
                    return Err(SubscribeError::TooManyTopics);
                }
                Arc::from(topic)
            }
        };
        let subscribers = shard.entry(Arc::clone(&name)).or_default();
        if subscribers.insert(id) {
            self.subscriptions.fetch_add(1, Ordering::Relaxed);
        }
        Ok((name, subscribers.len()))
    }

    /// Removes a subscriber; answers how many are left.
    pub(super) fn remove(&self, topic: &str, id: ConnectionId) -> usize {
        let mut shard = self.shards.of(topic);
        let Some(subscribers) = shard.get_mut(topic) else {
            return 0;
        };
        if subscribers.remove(&id) {
            self.subscriptions.fetch_sub(1, Ordering::Relaxed);
        }
        let left = subscribers.len();
        if left == 0 {
            shard.remove(topic);
            self.topics.fetch_sub(1, Ordering::Relaxed);
        }
        left
    }

    pub(super) fn count(&self, topic: &str) -> usize {
        self.shards.of(topic).get(topic).map_or(0, BTreeSet::len)
    }

    pub(super) fn list(&self, topic: &str) -> Vec<ConnectionId> {
        let shard = self.shards.of(topic);
        shard.get(topic).into_iter().flatten().copied().collect()
    }

    /// All topics and their counts, in no order.
    pub(super) fn topics(&self) -> Vec<(Arc<str>, usize)> {
        let mut all = Vec::new();
        for shard in self.shards.iter() {
            all.extend(shard.iter().map(|(name, it)| (Arc::clone(name), it.len())));
        }
        all
    }

    /// How many topics and subscriptions there are.
    pub(super) fn totals(&self) -> (usize, usize) {
        let topics = self.topics.load(Ordering::Relaxed);
        (topics, self.subscriptions.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> ConnectionId {
        ConnectionId::from_u64(number)
    }

    #[test]
    fn counts_follow_and_empty_topics_vanish() {
        let directory = Directory::new(TopicLimits::default());
        for (number, count) in [(1, 1), (2, 2), (2, 2)] {
            assert_eq!(directory.insert("a", id(number), 0).unwrap().1, count);
        }
        assert_eq!(directory.insert("b", id(1), 1).unwrap().1, 1);
        assert_eq!(directory.totals(), (2, 3));
        assert_eq!(directory.list("a"), [id(1), id(2)]);
        assert_eq!(directory.remove("a", id(1)), 1);
        assert_eq!(directory.remove("a", id(7)), 1);
        assert_eq!(directory.remove("a", id(2)), 0);
        assert_eq!(directory.remove("a", id(2)), 0);
        assert_eq!((directory.count("a"), directory.count("b")), (0, 1));
        assert_eq!(directory.topics(), [(Arc::from("b"), 1)]);
        assert_eq!(directory.totals(), (1, 1));
    }

    #[test]
    fn d13_each_limit_refuses_with_its_own_error_and_changes_nothing() {
        let limits = TopicLimits {
            max_name: 3,
            max_per_connection: 2,
            max_topics: 2,
            max_subscribers: 1,
        };
        let directory = Directory::new(limits);
        let long = "x".repeat(1 << 20);
        for name in ["", "abcd", &long] {
            assert_eq!(directory.insert(name, id(1), 0), Err(SubscribeError::Name));
        }
        directory.insert("a\0b", id(1), 0).unwrap();
        directory.insert("b", id(1), 1).unwrap();
        for (name, subscribed, error) in [
            ("b", 0, SubscribeError::TopicFull),
            ("c", 0, SubscribeError::TooManyTopics),
            ("c", 2, SubscribeError::ConnectionFull),
        ] {
            assert_eq!(directory.insert(name, id(2), subscribed), Err(error));
        }
        assert_eq!(directory.totals(), (2, 2));
        directory.remove("b", id(1));
        directory.insert("c", id(2), 0).unwrap();
    }
}
