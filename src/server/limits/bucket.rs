//! Token buckets, exact and small.

use core::time::Duration;

const NANOS: u64 = 1_000_000_000;

/// A rate of messages, bytes or handshakes: a count per period over time, and
/// [`burst`](Self::burst) at once.
///
/// A token bucket, as in nginx's `limit_req` and most servers. `burst` defaults to one period's
/// worth, so that a client within the rate never notices, and a page may open with several
/// messages. (nginx's default admits no burst at all, which real clients run into.)
///
/// ```
/// use sockeye::server::limits::Rate;
///
/// let messages = Rate::per_second(20).burst(100);
/// let handshakes = Rate::per_minute(30);
/// # let _ = (messages, handshakes);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    seconds: u32,
    burst: u32,
}

impl Rate {
    /// `count` per second. 0 lets the burst through and then nothing.
    #[must_use]
    pub const fn per_second(count: u32) -> Self {
        Self::new(count, 1)
    }

    /// `count` per minute.
    #[must_use]
    pub const fn per_minute(count: u32) -> Self {
        Self::new(count, 60)
    }

    /// `count` per hour.
    #[must_use]
    pub const fn per_hour(count: u32) -> Self {
        Self::new(count, 3600)
    }

    const fn new(count: u32, seconds: u32) -> Self {
        Self {
            count,
            seconds,
            burst: if count == 0 { 1 } else { count },
        }
    }

    /// Sets how much may come at once after a pause. Default one period's worth; at least 1.
    ///
    /// For bytes it should be at least the longest message that is to pass, see
    /// [`RateLimit::bytes`](super::RateLimit::bytes).
    #[must_use]
    pub const fn burst(mut self, burst: u32) -> Self {
        self.burst = if burst == 0 { 1 } else { burst };
        self
    }

    /// One token, in the bucket's unit.
    const fn token(self) -> u64 {
        self.seconds as u64 * NANOS
    }

    /// The burst, in the bucket's unit. It saturates only for bursts above 300 million per minute
    /// or 5 million per hour.
    const fn capacity(self) -> u64 {
        self.token().saturating_mul(self.burst as u64)
    }

    /// Returns how long it takes to gain `amount` of the bucket's unit.
    fn time_for(self, amount: u64) -> Duration {
        match u64::from(self.count) {
            0 => Duration::MAX,
            count => Duration::from_nanos(amount.div_ceil(count)),
        }
    }
}

/// How much of a [`Rate`] is used up. The rate is stored apart from it, once for all;
/// [`default`](Self::default) is unused. 16 bytes.
///
/// ```
/// use std::time::Duration;
/// use sockeye::proto::Message;
/// use sockeye::server::limits::{Rate, TokenBucket};
/// use sockeye::server::{Handler, Socket};
///
/// const POSTS: Rate = Rate::per_second(5).burst(20);
/// const TYPING: Rate = Rate::per_second(1);
///
/// #[derive(Default)]
/// struct Member {
///     posts: TokenBucket,
///     typing: TokenBucket,
/// }
///
/// struct Room;
///
/// impl Handler for Room {
///     type State = Member;
///
///     fn on_message(&self, socket: &mut Socket<'_, Member>, message: Message<'_>) {
///         let (member, sender) = socket.split();
///         let taken = match message.as_text() {
///             Some("typing") => member.typing.take(TYPING, 1, sender.now()),
///             _ => member.posts.take(POSTS, 1, sender.now()),
///         };
///         match taken {
///             Ok(()) => _ = sender.publish("room", &message),
///             Err(wait) => _ = sender.send(&format!("slow down: {} ms", wait.as_millis())),
///         }
///     }
/// }
/// # let _ = Room;
/// ```
// The unit is the part of a token that a rate of one per period gains in a nanosecond, so all
// arithmetic is on whole numbers and exact: nothing drifts, however often it is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenBucket {
    /// The amount missing to a full bucket; above the capacity it is a debt.
    spent: u64,
    /// The time of `spent`, in nanoseconds.
    at: u64,
}

impl TokenBucket {
    /// Takes `count` if there is as much. `now` is any clock that doesn't go back, the same for each
    /// call, such as [`Sender::now`](crate::server::Sender::now).
    ///
    /// # Errors
    /// How long until there is as much; [`Duration::MAX`] for more than the burst. Nothing is taken
    /// then.
    pub fn take(&mut self, rate: Rate, count: u64, now: Duration) -> Result<(), Duration> {
        self.wait(rate, count, now)?;
        self.charge(rate, count, now);
        Ok(())
    }

    /// Like [`take`](Self::take), but never takes any.
    pub(super) fn wait(&self, rate: Rate, count: u64, now: Duration) -> Result<(), Duration> {
        let Some(free) = rate
            .token()
            .checked_mul(count)
            .and_then(|cost| rate.capacity().checked_sub(cost))
        else {
            return Err(Duration::MAX);
        };
        match self.spent_at(rate, now).saturating_sub(free) {
            0 => Ok(()),
            missing => Err(rate.time_for(missing)),
        }
    }

    /// Takes `count` tokens, on credit if necessary. Returns how long until the debt is paid, zero
    /// if there is none.
    pub(super) fn charge(&mut self, rate: Rate, count: u64, now: Duration) -> Duration {
        let cost = rate.token().saturating_mul(count);
        self.spent = self.spent_at(rate, now).saturating_add(cost);
        // Never backwards: a caller with an older `now` must not refill the same time twice.
        self.at = self.at.max(nanos(now));
        match self.spent.saturating_sub(rate.capacity()) {
            0 => Duration::ZERO,
            debt => rate.time_for(debt),
        }
    }

    /// Returns how long until it is full, and so unused.
    pub(super) fn full_in(&self, rate: Rate, now: Duration) -> Duration {
        match self.spent_at(rate, now) {
            0 => Duration::ZERO,
            spent => rate.time_for(spent),
        }
    }

    fn spent_at(&self, rate: Rate, now: Duration) -> u64 {
        let elapsed = nanos(now).saturating_sub(self.at);
        self.spent
            .saturating_sub(elapsed.saturating_mul(rate.count.into()))
    }
}

/// Saturates after 584 years.
fn nanos(now: Duration) -> u64 {
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_bucket_is_16_bytes_and_begins_full() {
        assert_eq!(size_of::<TokenBucket>(), 16);
        let rate = Rate::per_second(10).burst(3);
        let mut bucket = TokenBucket::default();
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, 1, ms(0)), Ok(()));
        }
        assert_eq!(bucket.take(rate, 1, ms(0)), Err(ms(100)));
    }

    #[test]
    fn the_wait_it_answers_is_exact_to_the_nanosecond() {
        for rate in [
            Rate::per_second(3).burst(1),
            Rate::per_second(7).burst(5),
            Rate::per_minute(7).burst(2),
            Rate::per_hour(11),
            Rate::per_second(u32::MAX),
        ] {
            let mut bucket = TokenBucket::default();
            let now = Duration::from_secs(1000);
            bucket.take(rate, rate.burst.into(), now).unwrap();
            let wait = bucket.take(rate, 1, now).unwrap_err();
            let early = now + wait - Duration::from_nanos(1);
            assert!(bucket.wait(rate, 1, early).is_err(), "{rate:?}");
            assert_eq!(bucket.take(rate, 1, now + wait), Ok(()), "{rate:?}");
        }
    }

    #[test]
    fn a_rate_that_divides_no_nanosecond_does_not_drift() {
        // A third of a second is not a whole number of nanoseconds.
        let rate = Rate::per_second(3).burst(1);
        let mut bucket = TokenBucket::default();
        let mut passed = 0;
        for step in 0..100_000 {
            passed += u32::from(bucket.take(rate, 1, ms(step)).is_ok());
        }
        // 100 s: the burst and 3 in each second, asked each millisecond.
        assert!((299..=301).contains(&passed), "{passed}");
        let mut bucket = TokenBucket::default();
        for second in 0..1_000_000 {
            let now = Duration::from_secs(second);
            let rate = Rate::per_second(3).burst(3);
            assert_eq!(bucket.take(rate, 3, now), Ok(()));
            assert!(bucket.wait(rate, 1, now).is_err());
        }
    }

    #[test]
    fn a_debt_is_paid_before_anything_passes() {
        let rate = Rate::per_second(100).burst(100);
        let mut bucket = TokenBucket::default();
        assert_eq!(bucket.charge(rate, 100, ms(0)), ms(0));
        assert_eq!(bucket.charge(rate, 500, ms(0)), ms(5000));
        assert_eq!(bucket.take(rate, 1, ms(5000)), Err(ms(10)));
        assert_eq!(bucket.full_in(rate, ms(5000)), ms(1000));
    }

    #[test]
    fn extremes_saturate() {
        let mut bucket = TokenBucket::default();
        let rate = Rate::per_second(u32::MAX);
        assert_eq!(bucket.take(rate, u64::MAX, ms(0)), Err(Duration::MAX));
        assert!(bucket.charge(rate, u64::MAX, ms(0)) > Duration::ZERO);
        assert_eq!(bucket.take(rate, 1, Duration::MAX), Ok(()));

        let rate = Rate::per_hour(u32::MAX);
        let mut bucket = TokenBucket::default();
        bucket.charge(rate, u64::MAX, ms(0));
        assert!(bucket.take(rate, 1, ms(0)).is_err(), "a saturated bucket");

        let rate = Rate::per_second(0).burst(0);
        let mut bucket = TokenBucket::default();
        assert_eq!(bucket.take(rate, 1, ms(0)), Ok(()));
        assert_eq!(
            bucket.take(rate, 1, Duration::from_secs(1 << 40)),
            Err(Duration::MAX)
        );
    }

    #[test]
    fn time_that_goes_back_refills_nothing() {
        let rate = Rate::per_second(1);
        let mut bucket = TokenBucket::default();
        assert_eq!(bucket.take(rate, 1, ms(10_000)), Ok(()));
        assert!(bucket.take(rate, 1, ms(0)).is_err());
        bucket.charge(rate, 0, ms(0));
        assert!(bucket.take(rate, 1, ms(10_500)).is_err());
    }

    proptest! {
        /// In any span of time no more passes than the burst plus the rate's share of the span.
        #[test]
        fn no_more_passes_than_the_rate_and_the_burst(
            count in 1u32..50,
            burst in 1u32..50,
            steps in proptest::collection::vec((0u64..2_000_000_000, 1u64..10), 1..200),
        ) {
            let rate = Rate::per_second(count).burst(burst);
            let mut bucket = TokenBucket::default();
            let (mut now, mut passed) = (0u64, 0u64);
            for (step, tokens) in steps {
                now += step;
                if bucket.take(rate, tokens, Duration::from_nanos(now)).is_ok() {
                    passed += tokens;
                }
                let allowed = u128::from(burst) * 1_000_000_000
                    + u128::from(now) * u128::from(count);
                prop_assert!(u128::from(passed) * 1_000_000_000 <= allowed);
            }
        }
    }
}
