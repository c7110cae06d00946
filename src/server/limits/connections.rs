//! Limits on the number of connections, in total and per address.

use alloc::sync::Arc;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::HashMap;

use super::keyed::network;
use crate::server::shards::Shards;

/// The limit that a connection or a handshake is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Refused {
    /// The total.
    Total,
    /// The limit per address.
    Address,
}

/// Counts connections. An address is an IPv4 address or an IPv6 /64.
///
/// Memory is linear in the connections: an address without any has no entry.
pub(in crate::server) struct ConnectionCounts {
    max_total: usize,
    max_per_address: usize,
    total: AtomicUsize,
    addresses: Shards<HashMap<IpAddr, usize>>,
}

impl ConnectionCounts {
    /// `usize::MAX` means no limit.
    pub(in crate::server) fn new(max_total: usize, max_per_address: usize) -> Self {
        Self {
            max_total,
            max_per_address,
            total: AtomicUsize::new(0),
            addresses: Shards::new(HashMap::new),
        }
    }

    /// Counts one more connection before its address is known: behind a proxy only the head names
    /// the client, and [`Permit::assign`] follows it.
    pub(in crate::server) fn admit(self: &Arc<Self>) -> Result<Permit, Refused> {
        // Never above the limit, not even briefly, when another connection would be refused.
        let admit = |total| (total < self.max_total).then_some(total + 1);
        match self
            .total
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, admit)
        {
            Ok(_) => Ok(Permit {
                counts: self.clone(),
                address: Ipv6Addr::UNSPECIFIED,
            }),
            Err(_) => Err(Refused::Total),
        }
    }

    /// The number of connections now.
    #[cfg(test)]
    pub(in crate::server) fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    fn release(&self, address: IpAddr) {
        let mut addresses = self.addresses.of(&address);
        let Some(count) = addresses.get_mut(&address) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            addresses.remove(&address);
            // Gives back what a flood made it grow to; by halves, so that the cost is amortized.
            if addresses.capacity() > 64 && addresses.len() < addresses.capacity() / 4 {
                let keep = addresses.len() * 2;
                addresses.shrink_to(keep);
            }
        }
    }
}

/// One counted connection; it counts until this is dropped.
#[must_use]
pub(in crate::server) struct Permit {
    counts: Arc<ConnectionCounts>,
    /// The client's address, IPv4 mapped into IPv6; unspecified while it is not known.
    address: Ipv6Addr,
}

impl Permit {
    /// The address it was assigned to.
    pub(in crate::server) fn address(&self) -> Option<IpAddr> {
        (!self.address.is_unspecified()).then(|| self.address.to_canonical())
    }

    /// Counts the connection for this address, and no longer for an earlier one. If the address has
    /// too many, nothing changes.
    pub(in crate::server) fn assign(&mut self, address: IpAddr) -> Result<(), Refused> {
        // The unspecified IPv6 address stands for none here.
        let address = match address.is_unspecified() {
            true => Ipv4Addr::UNSPECIFIED.into(),
            false => address,
        };
        let counted = network(address);
        let previous = self.address().map(network);
        if previous != Some(counted) {
            let mut addresses = self.counts.addresses.of(&counted);
            let count = addresses.get(&counted).copied().unwrap_or(0);
            if count >= self.counts.max_per_address {
                return Err(Refused::Address);
            }
            addresses.insert(counted, count + 1);
        }
        self.address = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        match previous {
            Some(previous) if previous != counted => self.counts.release(previous),
            _ => {}
        }
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(address) = self.address() {
            self.counts.release(network(address));
        }
        self.counts.total.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn ip(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    fn open(counts: &Arc<ConnectionCounts>, address: IpAddr) -> Result<Permit, Refused> {
        let mut permit = counts.admit()?;
        permit.assign(address)?;
        Ok(permit)
    }

    fn entries(counts: &ConnectionCounts) -> usize {
        counts.addresses.iter().map(|shard| shard.len()).sum()
    }

    #[test]
    fn both_limits_hold_and_a_dropped_permit_frees_its_place() {
        let counts = Arc::new(ConnectionCounts::new(3, 2));
        let first = open(&counts, ip(1)).ok().unwrap();
        let second = open(&counts, ip(1)).ok().unwrap();
        assert_eq!(open(&counts, ip(1)).err(), Some(Refused::Address));
        assert_eq!(counts.total(), 2, "a refused one leaves nothing behind");
        let third = open(&counts, ip(2)).ok().unwrap();
        assert_eq!(open(&counts, ip(3)).err(), Some(Refused::Total));
        drop(first);
        drop(open(&counts, ip(1)).ok().unwrap());
        drop((second, third));
        assert_eq!((counts.total(), entries(&counts)), (0, 0));
    }

    #[test]
    fn an_address_found_later_replaces_the_peers() {
        let counts = Arc::new(ConnectionCounts::new(usize::MAX, 1));
        let mut permit = open(&counts, ip(1)).ok().unwrap();
        assert_eq!(permit.assign(ip(1)), Ok(()));
        assert_eq!(permit.assign(ip(2)), Ok(()));
        let mut other = open(&counts, ip(1)).ok().unwrap();
        assert_eq!(other.assign(ip(2)), Err(Refused::Address));
        drop(permit);
        assert_eq!(other.assign(ip(2)), Ok(()));
        assert_eq!(entries(&counts), 1);
    }

    #[test]
    fn the_memory_of_a_flood_is_given_back() {
        let counts = Arc::new(ConnectionCounts::new(usize::MAX, 1));
        let permits: Vec<Permit> = (0..100_000)
            .map(|number| open(&counts, ip(number)).ok().unwrap())
            .collect();
        assert_eq!(entries(&counts), 100_000);
        drop(permits);
        let capacity: usize = counts.addresses.iter().map(|shard| shard.capacity()).sum();
        assert!(capacity < 5000, "{capacity}");
    }

    #[test]
    fn threads_never_admit_more_than_the_limit() {
        let counts = Arc::new(ConnectionCounts::new(10, usize::MAX));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let counts = &counts;
                scope.spawn(move || {
                    for _ in 0..10_000 {
                        let permit = open(counts, ip(thread));
                        assert!(counts.total() <= 10);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!((counts.total(), entries(&counts)), (0, 0));
    }

    #[test]
    fn the_unspecified_address_is_counted_and_given_back_as_any() {
        let counts = Arc::new(ConnectionCounts::new(usize::MAX, 2));
        let unspecified: IpAddr = Ipv6Addr::UNSPECIFIED.into();
        let permit = open(&counts, unspecified).ok().unwrap();
        assert_eq!(entries(&counts), 1);
        drop(permit);
        assert_eq!(entries(&counts), 0);
    }
}
