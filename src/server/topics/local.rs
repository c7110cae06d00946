//! The subscribers of one worker.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use mio::Token;

use super::Topic;

/// The subscribers by topic, which delivering reads without a lock.
#[derive(Default)]
pub(in crate::server) struct Local {
    topics: HashMap<Arc<str>, Subscribers>,
}

/// The subscribers of one topic.
pub(in crate::server) struct Subscribers {
    pub(in crate::server) topic: Arc<Topic>,
    /// Each subscriber, with the offset behind which its subscription begins.
    begun: BTreeMap<Token, u64>,
    /// The greatest of these offsets that there ever was.
    latest: u64,
}

impl Local {
    pub(in crate::server) fn insert(&mut self, topic: &Arc<Topic>, token: Token, begun: u64) {
        let name = Arc::clone(&topic.name);
        let subscribers = self.topics.entry(name).or_insert_with(|| Subscribers {
            topic: Arc::clone(topic),
            begun: BTreeMap::new(),
            latest: 0,
        });
        subscribers.latest = subscribers.latest.max(begun);
        subscribers.begun.insert(token, begun);
    }

    pub(in crate::server) fn remove(&mut self, topic: &str, token: Token) {
        if let Some(subscribers) = self.topics.get_mut(topic) {
            subscribers.begun.remove(&token);
            // A topic without subscribers is removed.
            if subscribers.begun.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    #[cfg(test)]
    pub(in crate::server) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    #[inline]
    pub(in crate::server) fn of(&self, topic: &str) -> Option<&Subscribers> {
        self.topics.get(topic)
    }
}

impl Subscribers {
    #[inline]
    pub(in crate::server) fn len(&self) -> usize {
        self.begun.len()
    }

    pub(in crate::server) fn begun(&self, token: Token) -> Option<u64> {
        self.begun.get(&token).copied()
    }

    /// Returns whether a message at this offset is for all subscribers.
    #[inline]
    pub(in crate::server) fn all_take(&self, offset: u64) -> bool {
        offset > self.latest
    }

    /// Returns all subscribers.
    pub(in crate::server) fn all(&self) -> impl Iterator<Item = Token> {
        self.begun.keys().copied()
    }

    /// Returns the subscribers behind `cursor` that a message at `offset` is for.
    #[inline]
    pub(in crate::server) fn takers(
        &self,
        offset: u64,
        cursor: Option<Token>,
    ) -> impl Iterator<Item = Token> {
        let behind = cursor.map_or(Unbounded, Excluded);
        let all = self.begun.range((behind, Unbounded));
        all.filter_map(move |(token, begun)| (*begun < offset).then_some(*token))
    }
}
