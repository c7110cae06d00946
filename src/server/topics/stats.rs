//! What was published to each topic, and the largest topics.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use super::name::TopicName;

/// A topic in numbers. They count from its first subscriber on, and anew after it has lost its last
/// one.
///
/// [`Topics::stats`](super::Topics::stats) and
/// [`Handle::topic_stats`](crate::server::Handle::topic_stats) return it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStats {
    /// Its [namespace](crate::server::Route::namespace).
    pub namespace: String,
    /// Its name in the namespace.
    pub name: String,
    /// Its subscribers now, on all workers.
    pub subscribers: usize,
    /// Messages published to it. Each counts once, however many subscribers it has.
    pub messages: u64,
    /// Bytes of their payloads, before compression.
    pub bytes: u64,
}

/// What was published to a topic since its record was created.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Volume {
    pub(super) bytes: u64,
    pub(super) messages: u64,
}

impl Volume {
    #[inline]
    pub(super) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }
}

/// The largest of the topics that it has seen: a bounded number of them.
pub(super) struct Largest {
    limit: usize,
    /// The least of them first.
    topics: BinaryHeap<Reverse<Entry>>,
}

/// In the order of the fields; the names make it a total one.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    subscribers: usize,
    volume: Volume,
    name: Reverse<Arc<str>>,
}

impl Largest {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            topics: BinaryHeap::new(),
        }
    }

    pub(super) fn see(&mut self, name: &Arc<str>, subscribers: usize, volume: Volume) {
        self.topics.push(Reverse(Entry {
            subscribers,
            volume,
            name: Reverse(Arc::clone(name)),
        }));
        if self.topics.len() > self.limit {
            self.topics.pop();
        }
    }

    /// Returns them, the largest first.
    pub(super) fn into_stats(self) -> Vec<TopicStats> {
        let sorted = self.topics.into_sorted_vec().into_iter();
        let stats = sorted.map(|Reverse(entry)| {
            let TopicName { namespace, name } = TopicName::split(&entry.name.0);
            TopicStats {
                namespace: namespace.into(),
                name: name.into(),
                subscribers: entry.subscribers,
                messages: entry.volume.messages,
                bytes: entry.volume.bytes,
            }
        });
        stats.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_are_those_with_the_most_subscribers_then_bytes_then_the_first_by_name() {
        let seen = [
            ("/ b", 1, 10, 1),
            ("/ d", 0, 99, 9),
            ("/a x y", 1, 10, 1),
            ("/ a", 1, 10, 1),
            ("/ c", 3, 0, 0),
            ("/ e", 1, 11, 1),
            ("/ f", 2, 1, 1),
        ];
        let expected = [
            ("/", "c", 3, 0),
            ("/", "f", 2, 1),
            ("/", "e", 1, 11),
            ("/", "a", 1, 10),
            ("/", "b", 1, 10),
            ("/a", "x y", 1, 10),
            ("/", "d", 0, 99),
        ];
        for limit in 0..=seen.len() + 1 {
            let mut largest = Largest::new(limit);
            for (name, subscribers, bytes, messages) in seen {
                largest.see(&name.into(), subscribers, Volume { bytes, messages });
            }
            let stats = largest.into_stats();
            let found = stats
                .iter()
                .map(|it| (&*it.namespace, &*it.name, it.subscribers, it.bytes));
            assert!(found.eq(expected.into_iter().take(limit)), "{stats:?}");
        }
    }
}
