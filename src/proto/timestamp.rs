//! Points in time on the caller's clock.

use core::num::NonZeroU64;
use core::time::Duration;

/// A point in time in 8 bytes: whole nanoseconds since an origin that the caller chose.
///
/// What takes `now` takes a [`Duration`] since that origin, too, and makes a `Timestamp` of it. A
/// caller with many connections converts its clock once for all that it does at a time, and keeps
/// `Timestamp`s, which add and compare as one machine word; an `Option` of one has 8 bytes as well.
///
/// They last for 584 years. The last of them is [`NEVER`](Self::NEVER), and no `Duration` becomes
/// it: a longer one becomes the last before it.
///
/// ```
/// use std::time::Duration;
/// use sockeye::proto::Timestamp;
///
/// let now = Timestamp::from(Duration::from_secs(5));
/// assert_eq!(now + Duration::from_secs(1), Duration::from_secs(6).into());
/// assert_eq!(Duration::from(now), Duration::from_secs(5));
/// assert!(now < Timestamp::NEVER);
/// ```
// One more than the nanoseconds, so that zero is the None of an `Option`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(NonZeroU64);

impl Timestamp {
    /// Later than any other time.
    pub const NEVER: Self = Self(NonZeroU64::MAX);

    /// How much time has passed since `earlier`; zero where that is later.
    #[must_use]
    #[inline]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// Its number among all timestamps: never 0, and one more for each nanosecond.
    #[inline]
    pub(super) fn number(self) -> u64 {
        self.0.get()
    }
}

/// Adds `period`; [`NEVER`](Timestamp::NEVER) if there is no such time.
impl core::ops::Add<Duration> for Timestamp {
    type Output = Self;

    #[inline]
    fn add(self, period: Duration) -> Self {
        Self(self.0.saturating_add(nanos(period)))
    }
}

/// Converts from the time since the origin.
impl From<Duration> for Timestamp {
    #[inline]
    fn from(since_origin: Duration) -> Self {
        let nanos = nanos(since_origin).min(u64::MAX - 2);
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }
}

/// Converts to the time since the origin; [`Duration::MAX`] for [`NEVER`](Timestamp::NEVER).
impl From<Timestamp> for Duration {
    #[inline]
    fn from(at: Timestamp) -> Self {
        match at {
            Timestamp::NEVER => Self::MAX,
            Timestamp(number) => Self::from_nanos(number.get() - 1),
        }
    }
}

#[inline]
fn nanos(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(duration.subsec_nanos().into())
}
