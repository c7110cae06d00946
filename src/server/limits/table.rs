//! The states of many keys, in a table of fixed size.

use alloc::boxed::Box;
use alloc::vec;
use core::hash::Hash;
use core::time::Duration;

use crate::server::shards::Shards;

/// The entries that one look-up examines; all of a group are within a few cache lines.
pub(super) const WAYS: usize = 8;

/// A state for each key. `S::default()` is that of an unused key.
///
/// An entry holds a keyed 64-bit hash instead of the key, so that the memory depends neither on the
/// number of keys nor on their length: 8 bytes and a state for each of `max_entries`, allocated when
/// a shard is first used. Two keys with the same hash share an entry; with 2^16 keys the odds are one
/// in 2^33, and nobody can choose such keys.
///
/// A key maps to one group of entries. An unused entry, whose buckets are full, can be replaced, so
/// nothing has to be swept. If a group has none, as in a flood of addresses, the entry closest to
/// it is replaced: it loses the least, and heavy users are remembered longest.
pub(in crate::server) struct Table<S> {
    pub(super) shards: Shards<Box<[Group<S>]>>,
    pub(super) groups: usize,
}

type Group<S> = [Entry<S>; WAYS];

#[derive(Clone, Copy, Default)]
pub(super) struct Entry<S> {
    hash: u64,
    state: S,
}

impl<S: Copy + Default> Table<S> {
    /// `max_entries` should be twice the number of keys that are active within the time in which
    /// a bucket fills; it is rounded up to a multiple of 256.
    pub(super) fn new(max_entries: usize) -> Self {
        let shards = Shards::new(Box::default);
        Self {
            groups: max_entries.div_ceil(WAYS * shards.len()).max(1),
            shards,
        }
    }

    pub(super) fn hash(&self, key: &(impl Hash + ?Sized)) -> u64 {
        self.shards.hash(key)
    }

    /// Calls `change` with the state of the key that has this hash; `unused_in` returns how long
    /// until a state is unused.
    pub(super) fn with<R>(
        &self,
        hash: u64,
        unused_in: impl Fn(&S) -> Duration,
        change: impl FnOnce(&mut S) -> R,
    ) -> R {
        let mut shard = self.shards.of_hash(hash);
        if shard.is_empty() {
            *shard = vec![Group::default(); self.groups].into_boxed_slice();
        }
        // The lower half selected the shard.
        let group = &mut shard[(hash >> 32) as usize % self.groups];
        let entry = match group.iter().position(|entry| entry.hash == hash) {
            Some(at) => &mut group[at],
            None => {
                let entry = group
                    .iter_mut()
                    .min_by_key(|entry| unused_in(&entry.state))
                    .expect("a group has entries");
                *entry = Entry {
                    hash,
                    state: S::default(),
                };
                entry
            }
        };
        change(&mut entry.state)
    }
}
