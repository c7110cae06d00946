//! The deadlines of a connection, as data.
//!
//! Owns what was seen and sent when; each deadline is derived from it, so none has to be moved
//! when bytes arrive. The clock is the caller's: a [`Duration`] since any fixed origin. In here it
//! is a count of nanoseconds, since these are added and compared for each read.

use core::num::NonZeroU64;
use core::time::Duration;

use super::config::{Config, ReceiveRate};

/// What is due when a deadline passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Send a keep-alive ping.
    Ping,
    /// Nothing arrived after the last keep-alive ping.
    Pong,
    /// No data arrived.
    Idle,
    /// What has begun to arrive goes on too slowly.
    Rate(ReceiveRate),
    /// The closing handshake or the end of the transport takes too long.
    Close,
}

/// A point in time: nanoseconds since the origin and one more, so that an optional one is no
/// larger. They last for 584 years, and the last of them is never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(NonZeroU64);

impl Instant {
    pub(crate) const NEVER: Self = Self(NonZeroU64::MAX);

    #[inline]
    fn after(self, period: Duration) -> Self {
        Self(self.0.saturating_add(nanos(period)))
    }
}

impl From<Duration> for Instant {
    #[inline]
    fn from(since_origin: Duration) -> Self {
        // Never itself is no time that comes.
        let nanos = nanos(since_origin).min(u64::MAX - 2);
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }
}

impl From<Instant> for Duration {
    #[inline]
    fn from(at: Instant) -> Self {
        match at {
            Instant::NEVER => Self::MAX,
            Instant(nanos) => Self::from_nanos(nanos.get() - 1),
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

#[derive(Debug)]
pub(crate) struct Timers {
    /// When bytes last arrived.
    received: Instant,
    /// When bytes of a data frame last arrived.
    data: Instant,
    /// When the last keep-alive ping was sent, until its pong arrives; later this endpoint's Close.
    sent: Option<Instant>,
    /// As long after the origin as the round trip took.
    round_trip: Option<Instant>,
}

/// What arrived of an incomplete frame or message in the current period.
#[derive(Debug)]
pub(crate) struct Progress {
    since: Instant,
    /// Payload bytes of data frames.
    bytes: u64,
}

impl Timers {
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            received: now.into(),
            data: now.into(),
            sent: None,
            round_trip: None,
        }
    }

    #[inline]
    pub(crate) fn received(&mut self, now: Duration) {
        self.received = now.into();
    }

    /// Bytes of a data frame arrived.
    #[inline]
    pub(crate) fn received_data(&mut self, now: Duration) {
        self.data = now.into();
    }

    #[cfg(feature = "server")]
    pub(crate) fn data_received(&self) -> Instant {
        self.data
    }

    /// A message arrived whole.
    #[inline]
    pub(crate) fn received_message(&mut self, now: Instant) {
        self.received = now;
        self.data = now;
    }

    /// The caller stopped to read and reads again: its peer's time begins anew.
    pub(crate) fn resume(&mut self, now: Duration) {
        self.received = now.into();
        self.data = self.received;
    }

    /// A keep-alive ping is sent; answers its payload.
    pub(crate) fn ping_sent(&mut self, now: Duration) -> [u8; 8] {
        self.sent = Some(now.into());
        ping_payload(now.into())
    }

    /// A pong arrived, before this endpoint's Close was sent. The first that answers the last
    /// keep-alive ping measures the round trip; others are unsolicited or late (RFC 6455 section
    /// 5.5.3) and mean nothing here.
    pub(crate) fn pong(&mut self, payload: &[u8], now: Duration) {
        if let Some(sent) = self.sent
            && payload == ping_payload(sent)
        {
            self.sent = None;
            self.round_trip = Some(now.saturating_sub(sent.into()).into());
        }
    }

    /// Nothing has arrived since the last keep-alive ping: what arrives can bring the next deadline
    /// forward, from the pong's to the next ping's.
    #[cfg(feature = "server")]
    #[inline]
    pub(crate) fn awaits_pong(&self) -> bool {
        // None is before all instants.
        self.sent.map_or(0, |Instant(sent)| sent.get()) > self.received.0.get()
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip.map(Duration::from)
    }

    /// This endpoint's Close is sent, the only one there is: from now on [`closing`](Self::closing)
    /// says what is due.
    pub(crate) fn close_sent(&mut self, now: Duration) {
        self.sent = Some(now.into());
    }

    /// The deadline of the end, once this endpoint's Close is sent.
    pub(crate) fn closing(&self, config: &Config) -> (Instant, Timer) {
        let sent = self.sent.unwrap_or(self.received);
        (sent.after(config.close_timeout), Timer::Close)
    }

    /// The earliest deadline of an open connection, with what is incomplete.
    pub(crate) fn next(&self, incomplete: Option<&Progress>, config: &Config) -> (Instant, Timer) {
        let mut next = (Instant::NEVER, Timer::Idle);
        // At the same instant, what ends the connection comes before a ping.
        let mut due = |at, timer| {
            if at < next.0 {
                next = (at, timer);
            }
        };
        if let (Some(progress), Some(rate)) = (incomplete, config.min_receive_rate) {
            due(progress.since.after(rate.period), Timer::Rate(rate));
        }
        if let Some(timeout) = config.idle_timeout {
            due(self.data.after(timeout), Timer::Idle);
        }
        match self.sent {
            // Whatever arrives after a ping shows that the peer lives.
            Some(sent) if sent > self.received => {
                due(sent.after(config.pong_timeout), Timer::Pong);
            }
            _ => {
                if let Some(interval) = config.ping_interval {
                    // So that a ping is later than what was received before it.
                    let interval = interval.max(Duration::from_nanos(1));
                    due(self.received.after(interval), Timer::Ping);
                }
            }
        }
        next
    }
}

impl Progress {
    /// So many bytes of data arrived.
    pub(crate) fn add(&mut self, bytes: usize, config: &Config, now: Duration) {
        self.bytes += bytes as u64;
        let due = config.min_receive_rate.map_or(0, |rate| rate.bytes);
        if self.bytes >= due {
            *self = Self::from(now);
        }
    }
}

impl From<Duration> for Progress {
    fn from(since: Duration) -> Self {
        Self {
            since: since.into(),
            bytes: 0,
        }
    }
}

/// What no heartbeat of the peer's own has by accident, as it might have a count or a time: the
/// instant in nanoseconds, spread over all bits (Fibonacci hashing; one to one, since the factor
/// is odd). The first round trip after it is the peer's claim all the same: it was told the
/// payload.
fn ping_payload(sent: Instant) -> [u8; 8] {
    let Instant(sent) = sent;
    sent.get().wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()
}
