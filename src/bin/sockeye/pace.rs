//! The schedule: connections by `--ramp`, messages and handshakes by `--rate`.

use core::num::NonZeroU64;
use core::time::Duration;

const SECOND: u128 = 1_000_000_000;

/// Evenly spaced starts, so many per second; without a rate, as soon as there is room.
///
/// What is late stays due at its original time: a server that stalls doesn't make the generator
/// send less, and the wait counts as latency.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    rate: Option<NonZeroU64>,
    begun: Duration,
    taken: u64,
}

impl Pace {
    /// The first is due at `now`.
    pub(crate) fn new(rate: Option<NonZeroU64>, now: Duration) -> Self {
        Self {
            rate,
            begun: now,
            taken: 0,
        }
    }

    /// When the next is due; without a rate, always.
    pub(crate) fn next(&self) -> Duration {
        match self.rate {
            Some(rate) => {
                let nanoseconds = u128::from(self.taken) * SECOND / u128::from(rate.get());
                self.begun + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
            }
            None => Duration::ZERO,
        }
    }

    /// Takes the next start if it is due: returns when it was due, which is `now` without a rate.
    pub(crate) fn take(&mut self, now: Duration) -> Option<Duration> {
        let next = self.next();
        if next > now {
            return None;
        }
        self.taken += 1;
        Some(self.rate.map_or(now, |_| next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(5);

    #[test]
    fn a_rate_is_kept_exactly_over_any_time() {
        for rate in [1, 3, 7, 1000, 999_983] {
            let mut pace = Pace::new(NonZeroU64::new(rate), START);
            let mut taken = 0;
            for tick in 0..=3000 {
                let now = START + Duration::from_millis(tick);
                while let Some(since) = pace.take(now) {
                    assert!(since <= now);
                    taken += 1;
                }
            }
            // One at the beginning, and then this many in each second.
            assert_eq!(taken, 3 * rate + 1, "{rate}");
        }
    }

    #[test]
    fn what_is_late_counts_from_when_it_was_due() {
        let mut pace = Pace::new(NonZeroU64::new(10), START);
        let late = START + Duration::from_millis(250);
        let due: Vec<_> = core::iter::from_fn(|| pace.take(late)).collect();
        assert_eq!(
            due,
            [0, 100, 200].map(|at| START + Duration::from_millis(at))
        );
        assert_eq!(pace.next(), START + Duration::from_millis(300));
    }

    #[test]
    fn without_a_rate_everything_is_due_now() {
        let mut pace = Pace::new(None, START);
        for at in [START, START, 2 * START] {
            assert_eq!(pace.take(at), Some(at));
        }
    }
}
