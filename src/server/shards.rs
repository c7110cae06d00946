//! A value in several parts, each behind its own lock, so that workers seldom meet at one.

use alloc::boxed::Box;
use core::hash::{BuildHasher as _, Hash};
use std::hash::RandomState;

use super::sync::{Mutex, MutexGuard, lock};

/// A power of two, well above the number of workers that are ever at it at the same time. In a
/// model all meet in one.
const SHARDS: usize = if cfg!(all(test, shuttle)) { 1 } else { 32 };

pub(super) struct Shards<T> {
    shards: Box<[Mutex<T>]>,
    /// Keyed at random: which keys share a shard can't be chosen from outside.
    hasher: RandomState,
}

impl<T> Shards<T> {
    pub(super) fn new(make: impl FnMut() -> T) -> Self {
        Self::with_shards(SHARDS, make)
    }

    /// `shards` is at least 1.
    pub(super) fn with_shards(shards: usize, mut make: impl FnMut() -> T) -> Self {
        Self {
            shards: (0..shards).map(|_| Mutex::new(make())).collect(),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.len()
    }

    /// The part that this key belongs to.
    pub(super) fn of<K: Hash + ?Sized>(&self, key: &K) -> MutexGuard<'_, T> {
        self.of_hash(self.hash(key))
    }

    pub(super) fn hash<K: Hash + ?Sized>(&self, key: &K) -> u64 {
        self.hasher.hash_one(key)
    }

    /// The part of a key whose [`hash`](Self::hash) is known.
    pub(super) fn of_hash(&self, hash: u64) -> MutexGuard<'_, T> {
        lock(&self.shards[hash as usize % self.shards.len()])
    }

    /// Each part in turn; only one is locked at a time.
    pub(super) fn iter(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.shards.iter().map(lock)
    }
}
