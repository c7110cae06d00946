//! Rate limits that connections share: by address, or by a key that the application chooses.

use core::marker::PhantomData;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

use super::table::Table;
use super::{RateLimit, RateState, Verdict};

/// A key of a shared limit.
pub(in crate::server) trait Key {
    fn hash(&self, table: &Table<RateState>) -> u64;
}

impl Key for str {
    fn hash(&self, table: &Table<RateState>) -> u64 {
        table.hash(self)
    }
}

impl Key for IpAddr {
    fn hash(&self, table: &Table<RateState>) -> u64 {
        table.hash(&network(*self))
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

/// A [`RateLimit`] for each key, in a [table](Table) of fixed size: 40 bytes for each entry.
pub(in crate::server) struct Keyed<K: ?Sized> {
    limit: RateLimit,
    table: Table<RateState>,
    key: PhantomData<fn(&K)>,
}

impl<K: Key + ?Sized> Keyed<K> {
    /// `max_entries` is as in [`Table::new`].
    pub(in crate::server) fn new(limit: RateLimit, max_entries: usize) -> Self {
        Self {
            limit,
            table: Table::new(max_entries),
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
        let hash = key.hash(&self.table);
        let unused_in = |it: &RateState| it.unused_in(&self.limit, now);
        self.table.with(hash, unused_in, |it| {
            it.check(&self.limit, messages, bytes, now)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::{Entry, WAYS};
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
        assert_eq!(size_of::<Entry<RateState>>(), 40);
        let keyed = Keyed::<str>::new(limit(1), 1 << 16);
        assert_eq!(
            keyed.table.groups * WAYS * keyed.table.shards.len(),
            1 << 16
        );
        assert!(keyed.table.shards.iter().all(|shard| shard.is_empty()));
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
        let entries: usize = keyed
            .table
            .shards
            .iter()
            .map(|shard| shard.len() * WAYS)
            .sum();
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
