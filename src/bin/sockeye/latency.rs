//! Latencies: when the messages under way were sent, and the histogram of those that came back.

use core::time::Duration;
use std::collections::VecDeque;

use hdrhistogram::Histogram;

/// The longest latency that is distinguished, in nanoseconds: five minutes, more than any sensible
/// `--timeout`. Longer ones count as this.
const LONGEST: u64 = 300_000_000_000;

/// Three digits: 0.1 % is well below the difference between two runs.
const DIGITS: u8 = 3;

/// Latencies in nanoseconds.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        #[allow(clippy::expect_used)]
        let histogram = Histogram::new_with_max(LONGEST, DIGITS).expect("valid constants");
        Self(histogram)
    }

    /// Records `count` messages with this latency.
    pub(crate) fn record(&mut self, latency: Duration, count: u64) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(LONGEST);
        self.0.saturating_record_n(nanoseconds, count);
    }

    pub(crate) fn clear(&mut self) {
        self.0.reset();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The latency that this share of the messages didn't exceed.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(share))
    }

    pub(crate) fn max(&self) -> Duration {
        Duration::from_nanos(self.0.max())
    }

    pub(crate) fn mean(&self) -> Duration {
        Duration::from_nanos(self.0.mean() as u64)
    }
}

/// The messages under way on one connection, oldest first: they come back in order, so those that
/// began together need one entry.
#[derive(Default)]
pub(crate) struct InFlight {
    batches: VecDeque<(Duration, u64)>,
    count: u64,
}

impl InFlight {
    /// Adds `count` messages that begin at `since`.
    pub(crate) fn push(&mut self, since: Duration, count: u64) {
        self.count += count;
        self.batches.push_back((since, count));
    }

    /// Completes the oldest `count`: passes on when they began, and how many. Returns whether there
    /// were as many.
    pub(crate) fn complete(&mut self, count: u64, mut done: impl FnMut(Duration, u64)) -> bool {
        let mut left = count;
        while left > 0 {
            let Some((since, batch)) = self.batches.front_mut() else {
                return false;
            };
            let taken = left.min(*batch);
            done(*since, taken);
            *batch -= taken;
            left -= taken;
            self.count -= taken;
            if *batch == 0 {
                self.batches.pop_front();
            }
        }
        true
    }

    /// How many are under way.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// When the oldest began.
    pub(crate) fn oldest(&self) -> Option<Duration> {
        self.batches.front().map(|(since, _)| *since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn micros(count: u64) -> Duration {
        Duration::from_micros(count)
    }

    fn near(one: Duration, other: Duration) -> bool {
        one.abs_diff(other) <= other / 1000
    }

    #[test]
    fn quantiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::new();
        assert!(latencies.is_empty());
        for at in 1..=1000 {
            latencies.record(micros(at), 7);
        }
        for (share, expected) in [
            (0.5, 500),
            (0.9, 900),
            (0.99, 990),
            (0.999, 999),
            (1.0, 1000),
        ] {
            let quantile = latencies.quantile(share);
            assert!(near(quantile, micros(expected)), "{share}: {quantile:?}");
        }
        assert!(near(latencies.max(), micros(1000)));
        assert!(near(latencies.mean(), Duration::from_nanos(500_500)));
        latencies.clear();
        assert!(latencies.is_empty());
    }

    #[test]
    fn what_takes_longer_than_the_longest_counts_as_that() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::MAX, 1);
        assert!(near(latencies.max(), Duration::from_nanos(LONGEST)));
    }

    #[test]
    fn messages_complete_in_the_order_they_began() {
        let mut in_flight = InFlight::default();
        in_flight.push(micros(1), 3);
        in_flight.push(micros(2), 2);
        assert_eq!(
            (in_flight.count(), in_flight.oldest()),
            (5, Some(micros(1)))
        );
        let mut done = Vec::new();
        assert!(in_flight.complete(4, |since, count| done.push((since, count))));
        assert_eq!(done, [(micros(1), 3), (micros(2), 1)]);
        assert_eq!(
            (in_flight.count(), in_flight.oldest()),
            (1, Some(micros(2)))
        );
        assert!(!in_flight.complete(2, |_, _| {}));
        assert_eq!((in_flight.count(), in_flight.oldest()), (0, None));
    }
}
