//! A value in several parts, each behind its own lock, so that workers seldom contend.

use alloc::boxed::Box;
use core::hash::{BuildHasher as _, Hash};
use std::hash::RandomState;

use super::sync::{Mutex, MutexGuard, lock};

/// A power of two, well above the number of workers that lock at the same time. A model has only
/// one.
const SHARDS: usize = if cfg!(all(test, shuttle)) { 1 } else { 32 };

pub(super) struct Shards<T> {
    shards: Box<[Mutex<T>]>,
    /// Keyed at random, so that nobody outside can choose keys of one shard.
    hasher: RandomState,
}

impl<T> Shards<T> {
    pub(super) fn new(make: impl FnMut() -> T) -> Self {
        Self::with_shards(SHARDS, make)
    }

    /// `shards` must be at least 1.
    pub(super) fn with_shards(shards: usize, mut make: impl FnMut() -> T) -> Self {
        Self {
            shards: (0..shards).map(|_| Mutex::new(make())).collect(),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.len()
    }

    /// Returns the shard of this key.
    pub(super) fn of<K: Hash + ?Sized>(&self, key: &K) -> MutexGuard<'_, T> {
        self.of_hash(self.hash(key))
    }

    pub(super) fn hash<K: Hash + ?Sized>(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    /// Returns the shard of a key whose [`hash`](Self::hash) is known.
    pub(super) fn of_hash(&self, hash: u64) -> MutexGuard<'_, T> {
        lock(&self.shards[hash as usize % self.shards.len()])
    }

    /// Visits each shard in turn; only one is locked at a time.
    pub(super) fn iter(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.shards.iter().map(lock)
    }
}
