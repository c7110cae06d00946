//! Limits on opening handshakes over time.

use core::net::IpAddr;
use core::time::Duration;

use super::bucket::{Rate, TokenBucket};
use super::connections::Refused;
use super::keyed::Keyed;
use super::rate_limit::{RateLimit, RateLimitAction, Verdict};
use crate::server::sync::{Mutex, lock};

/// Limits on opening handshakes over time, per address and in total.
pub(in crate::server) struct HandshakeRates {
    per_address: Option<Keyed<IpAddr>>,
    total: Option<(Rate, Mutex<TokenBucket>)>,
}

impl HandshakeRates {
    /// `max_addresses` is as in [`Keyed::new`].
    pub(in crate::server) fn new(
        per_address: Option<Rate>,
        total: Option<Rate>,
        max_addresses: usize,
    ) -> Self {
        let limit = |rate| RateLimit {
            messages: Some(rate),
            bytes: None,
            action: RateLimitAction::Drop,
        };
        Self {
            per_address: per_address.map(|rate| Keyed::new(limit(rate), max_addresses)),
            total: total.map(|rate| (rate, Mutex::default())),
        }
    }

    /// Whether one more handshake from this address is allowed; one that isn't gets a 429 or 503,
    /// or is dropped. The address is checked first, so that a flood from one doesn't use up the
    /// total.
    pub(in crate::server) fn allow(&self, address: IpAddr, now: Duration) -> Result<(), Refused> {
        if let Some(addresses) = &self.per_address
            && addresses.check(&address, 1, 0, now) != Verdict::Deliver
        {
            return Err(Refused::Address);
        }
        if let Some((rate, bucket)) = &self.total
            && lock(bucket).take(*rate, 1, now).is_err()
        {
            return Err(Refused::Total);
        }
        Ok(())
    }
}
