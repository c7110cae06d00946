//! A history in memory, for one server.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::hash::{BuildHasher as _, Hasher as _};
use core::time::Duration;
use std::collections::HashMap;
use std::hash::RandomState;

use super::{History, HistoryEntry, Replay};
use crate::server::shards::Shards;

/// How much a [`MemoryHistory`] keeps. The limit that is reached first applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryLimits {
    /// Messages of one topic. Default 100: a screen or two of a chat.
    pub max_messages: usize,
    /// Bytes of one topic, payloads alone. A longer message isn't kept, and neither are those
    /// before it. Default 1 MiB.
    pub max_bytes: usize,
    /// How old a message may become. Default 5 minutes, within which a client that lost its
    /// connection should come back (the documentation of Centrifugo and Socket.IO shows 1 and 2
    /// minutes).
    pub max_age: Duration,
    /// Topics. The least recently used one is dropped. Default 10,000.
    pub max_topics: usize,
    /// Bytes of all topics, payloads and names; applied like `max_topics`. Default 256 MiB.
    pub max_total_bytes: usize,
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self {
            max_messages: 100,
            max_bytes: 1024 * 1024,
            max_age: Duration::from_secs(300),
            max_topics: 10_000,
            max_total_bytes: 256 * 1024 * 1024,
        }
    }
}

/// The last messages of topics in memory, for one server.
///
/// The limits of all topics together are divided among 32 parts, to which topics are assigned by
/// hash; each part has room for at least one topic.
pub struct MemoryHistory {
    limits: HistoryLimits,
    shards: Shards<Shard>,
    epoch: u64,
}

#[derive(Default)]
struct Shard {
    topics: HashMap<Arc<str>, Topic>,
    /// The topics by their last use.
    by_use: BTreeMap<u64, Arc<str>>,
    uses: u64,
    /// The greatest offset of the topics that were dropped: a topic that is created again continues
    /// above what its clients saw.
    forgotten: u64,
    /// Bytes of all payloads and names.
    bytes: usize,
}

#[derive(Default)]
struct Topic {
    entries: VecDeque<HistoryEntry>,
    /// Bytes of the payloads.
    bytes: usize,
    /// The offset of the last message that is no longer kept, or that a dropped topic of this name
    /// may have had.
    dropped: u64,
    /// The offset of the last message that was not to be kept.
    skipped: u64,
    used: u64,
}

impl Topic {
    /// Returns the offset of the last message.
    fn last(&self) -> u64 {
        let kept = self.entries.back().map_or(self.dropped, |it| it.offset);
        kept.max(self.skipped)
    }

    fn drop_first(&mut self) -> usize {
        let Some(entry) = self.entries.pop_front() else {
            return 0;
        };
        self.dropped = entry.offset;
        self.bytes -= entry.payload.len();
        entry.payload.len()
    }

    /// Returns how many bytes that freed.
    fn enforce(&mut self, limits: &HistoryLimits, now: Duration) -> usize {
        let mut freed = 0;
        while let Some(oldest) = self.entries.front()
            && (self.entries.len() > limits.max_messages
                || self.bytes > limits.max_bytes
                || now.saturating_sub(oldest.at) >= limits.max_age)
        {
            freed += self.drop_first();
        }
        freed
    }
}

impl Shard {
    /// Returns the topic to which a message is added, which is new with one of this offset.
    fn used(&mut self, name: &str, offset: u64) -> Option<&mut Topic> {
        let name = match self.topics.get_key_value(name) {
            Some((name, _)) => name.clone(),
            None => {
                let name: Arc<str> = name.into();
                let new = Topic {
                    dropped: offset.saturating_sub(1),
                    ..Topic::default()
                };
                self.bytes += name.len();
                self.topics.insert(name.clone(), new);
                name
            }
        };
        self.touch(&name)
    }

    /// Marks the topic as just used.
    fn touch(&mut self, name: &Arc<str>) -> Option<&mut Topic> {
        let topic = self.topics.get_mut(name)?;
        self.by_use.remove(&topic.used);
        self.uses += 1;
        topic.used = self.uses;
        self.by_use.insert(self.uses, name.clone());
        Some(topic)
    }

    fn forget_least_used(&mut self) {
        if let Some((_, name)) = self.by_use.pop_first()
            && let Some(topic) = self.topics.remove(&name)
        {
            self.bytes -= topic.bytes + name.len();
            self.forgotten = self.forgotten.max(topic.last());
        }
    }

    /// Drops the least recently used topic if all it keeps is too old: no query is needed for that.
    fn forget_oldest_if_expired(&mut self, limits: &HistoryLimits, now: Duration) {
        let Some((_, name)) = self.by_use.first_key_value() else {
            return;
        };
        let newest = self.topics.get(name).and_then(|topic| topic.entries.back());
        if newest.is_none_or(|entry| now.saturating_sub(entry.at) >= limits.max_age) {
            self.forget_least_used();
        }
    }

    /// Returns the topic, with what is too old dropped.
    fn read(&mut self, name: &str, limits: &HistoryLimits, now: Duration) -> Option<&mut Topic> {
        let name = self.topics.get_key_value(name)?.0.clone();
        let freed = self.touch(&name)?.enforce(limits, now);
        self.bytes -= freed;
        self.topics.get_mut(&name)
    }
}

impl MemoryHistory {
    /// Creates an empty history with a new epoch.
    #[must_use]
    pub fn new(limits: HistoryLimits) -> Self {
        Self {
            limits,
            shards: Shards::new(Shard::default),
            // A random number, from the standard library's random keys.
            epoch: RandomState::new().build_hasher().finish() >> 11,
        }
    }

    fn share(&self, total: usize) -> usize {
        (total / self.shards.len()).max(1)
    }

    /// Drops the least recently used topics beyond the limits.
    fn enforce(&self, shard: &mut Shard) {
        // The topic that was just used is never dropped, however large it is.
        while shard.topics.len() > 1
            && (shard.topics.len() > self.share(self.limits.max_topics)
                || shard.bytes > self.share(self.limits.max_total_bytes))
        {
            shard.forget_least_used();
        }
    }
}

impl Default for MemoryHistory {
    fn default() -> Self {
        Self::new(HistoryLimits::default())
    }
}

impl fmt::Debug for MemoryHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryHistory")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl History for MemoryHistory {
    fn push(&self, topic: &str, entry: HistoryEntry) {
        let mut shard = self.shards.of(topic);
        let shard = &mut *shard;
        let now = entry.at;
        if let Some(topic) = shard.used(topic, entry.offset) {
            let length = entry.payload.len();
            topic.bytes += length;
            topic.entries.push_back(entry);
            let freed = topic.enforce(&self.limits, now);
            shard.bytes = shard.bytes + length - freed;
        }
        self.enforce(shard);
        shard.forget_oldest_if_expired(&self.limits, now);
    }

    fn skip(&self, topic: &str, offset: u64) {
        let mut shard = self.shards.of(topic);
        if let Some(topic) = shard.used(topic, offset) {
            topic.skipped = offset;
        }
        self.enforce(&mut shard);
    }

    fn recent(&self, topic: &str, limit: usize, now: Duration) -> Vec<HistoryEntry> {
        let mut shard = self.shards.of(topic);
        let Some(topic) = shard.read(topic, &self.limits, now) else {
            return Vec::new();
        };
        let skip = topic.entries.len().saturating_sub(limit);
        topic.entries.range(skip..).cloned().collect()
    }

    fn since(&self, topic: &str, offset: u64, now: Duration) -> Replay {
        let mut shard = self.shards.of(topic);
        let forgotten = shard.forgotten;
        let Some(topic) = shard.read(topic, &self.limits, now) else {
            return Replay {
                entries: Vec::new(),
                complete: offset == forgotten,
            };
        };
        let seen = topic.entries.partition_point(|it| it.offset <= offset);
        Replay {
            entries: topic.entries.range(seen..).cloned().collect(),
            complete: (topic.dropped..=topic.last()).contains(&offset),
        }
    }

    fn last(&self, topic: &str) -> u64 {
        let shard = self.shards.of(topic);
        shard.topics.get(topic).map_or(shard.forgotten, Topic::last)
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }
}

#[cfg(test)]
mod tests;
