//! Rate limits that connections share: by address, or by a key that the application chooses.

use alloc::boxed::Box;
use alloc::vec;
use core::marker::PhantomData;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

use super::{RateLimit, RateState, Verdict};
use crate::server::shards::Shards;

/// A key of a shared limit.
pub(in crate::server) trait Key {
    fn hash<T>(&self, shards: &Shards<T>) -> u64;
}

impl Key for str {
    fn hash<T>(&self, shards: &Shards<T>) -> u64 {
        shards.hash(self)
    }
}

impl Key for IpAddr {
    fn hash<T>(&self, shards: &Shards<T>) -> u64 {
        shards.hash(&network(*self))
    }
}

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 address, the least that one
/// customer is assigned. IPv4 mapped into IPv6 is IPv4.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
        v4 => v4,
    }
}

/// The entries that one look-up examines; all of a group are within a few cache lines.
const WAYS: usize = 8;

/// A [`RateLimit`] for each key, in a table of fixed size.
///
/// An entry holds a keyed 64-bit hash instead of the key, so that the memory depends neither on the
/// number of keys nor on their length: 40 bytes for each of `max_entries`, allocated when a shard
/// is first used. Two keys with the same hash share an entry; with 2^16 keys the odds are one in
/// 2^33, and nobody can choose such keys.
///
/// A key maps to one group of entries. An unused entry, whose buckets are full, can be replaced, so
/// nothing has to be swept. If a group has none, as in a flood of addresses, the entry closest to
/// it is replaced: it loses the least, and heavy users are remembered longest.
pub(in crate::server) struct Keyed<K: ?Sized> {
    limit: RateLimit,
    shards: Shards<Box<[Group]>>,
    groups: usize,
    key: PhantomData<fn(&K)>,
}

type Group = [Entry; WAYS];

#[derive(Clone, Copy, Default)]
struct Entry {
    hash: u64,
    state: RateState,
}

impl<K: Key + ?Sized> Keyed<K> {
    /// `max_entries` should be twice the number of keys that are active within the time in which
    /// a bucket fills; it is rounded up to a multiple of 256.
    pub(in crate::server) fn new(limit: RateLimit, max_entries: usize) -> Self {
        let shards = Shards::new(Box::default);
        Self {
            limit,
            groups: max_entries.div_ceil(WAYS * shards.len()).max(1),
            shards,
            key: PhantomData,
        }
    }

    /// Like [`RateState::check`], on the entry of `key`.
    pub(in crate::server) fn check(
        &self,
        key: &K,
        messages: u32,
        bytes: usize,
        now: Duration,
    ) -> Verdict<'_> {
        let hash = key.hash(&self.shards);
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
                    .min_by_key(|entry| entry.state.unused_in(&self.limit, now))
                    .expect("a group has entries");
                *entry = Entry {
                    hash,
                    state: RateState::default(),
                };
                entry
            }
        };
        entry.state.check(&self.limit, messages, bytes, now)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Rate, RateLimitAction};
    use super::*;
    use alloc::format;

    fn limit(count: u32) -> RateLimit {
        RateLimit {
            messages: Some(Rate::per_second(count)),
            bytes: None,
            action: RateLimitAction::Drop,
        }
    }

    fn passes<K: Key + ?Sized>(keyed: &Keyed<K>, key: &K, now: u64) -> bool {
        keyed.check(key, 1, 0, Duration::from_millis(now)) == Verdict::Deliver
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn keys_have_buckets_of_their_own() {
        let keyed = Keyed::<str>::new(limit(2), 1024);
        for key in ["a", "b", ""] {
            assert!(passes(&keyed, key, 0));
            assert!(passes(&keyed, key, 0));
            assert!(!passes(&keyed, key, 0), "{key}");
        }
        assert!(passes(&keyed, "a", 500));
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_mapped_ipv4_is_ipv4() {
        let keyed = Keyed::<IpAddr>::new(limit(1), 1024);
        assert!(passes(&keyed, &ip("2001:db8::1"), 0));
        assert!(!passes(&keyed, &ip("2001:db8::ffff:1"), 0));
        assert!(passes(&keyed, &ip("2001:db8:0:1::1"), 0));
        assert!(passes(&keyed, &ip("192.0.2.1"), 0));
        assert!(!passes(&keyed, &ip("::ffff:192.0.2.1"), 0));
        assert!(passes(&keyed, &ip("192.0.2.2"), 0));
    }

    #[test]
    fn an_entry_is_40_bytes_and_unused_shards_take_none() {
        assert_eq!(size_of::<Entry>(), 40);
        let keyed = Keyed::<str>::new(limit(1), 1 << 16);
        assert_eq!(keyed.groups * WAYS * keyed.shards.len(), 1 << 16);
        assert!(keyed.shards.iter().all(|shard| shard.is_empty()));
    }

    #[test]
    fn who_used_up_most_is_remembered_through_a_flood_of_addresses() {
        let keyed = Keyed::<str>::new(limit(100), 256);
        for _ in 0..100 {
            assert!(passes(&keyed, "greedy", 0));
        }
        for flood in 0..100_000 {
            assert!(passes(&keyed, &*format!("flood {flood}"), 0));
        }
        assert!(!passes(&keyed, "greedy", 0));
        let entries: usize = keyed.shards.iter().map(|shard| shard.len() * WAYS).sum();
        assert_eq!(entries, 256);
    }

    #[test]
    fn at_half_load_hardly_any_bucket_is_lost() {
        let keyed = Keyed::<str>::new(limit(1), 4096);
        let keys = 0..2048;
        for key in keys.clone() {
            assert!(passes(&keyed, &*format!("{key}"), 0));
        }
        let lost = keys
            .filter(|key| passes(&keyed, &*format!("{key}"), 0))
            .count();
        assert!(lost < 200, "{lost}");
        // A second later all buckets are full again, and others replace them.
        for key in 5000..9000 {
            assert!(passes(&keyed, &*format!("{key}"), 2000));
        }
    }
}
