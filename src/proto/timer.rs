//! The deadlines of a connection, as data.
//!
//! Owns when something was last received and sent; each deadline is derived from it, so none has to
//! be moved when bytes arrive. The clock is the caller's.

use core::time::Duration;

use super::config::{Config, ReceiveRate};
use super::timestamp::Timestamp;

/// What is due when a deadline passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// Send a keep-alive ping.
    Ping,
    /// Nothing arrived after the last keep-alive ping.
    Pong,
    /// No data arrived.
    Idle,
    /// What has begun to arrive is too slow.
    Rate(ReceiveRate),
    /// The closing handshake or the end of the transport takes too long.
    Close,
}

#[derive(Debug)]
pub(super) struct Timers {
    /// When bytes last arrived.
    received: Timestamp,
    /// When bytes of a data frame last arrived.
    data: Timestamp,
    /// When the last keep-alive ping was sent, until its pong arrives; later this endpoint's Close.
    sent: Option<Timestamp>,
    /// The round trip, as a time after the origin.
    round_trip: Option<Timestamp>,
}

/// What arrived of an incomplete frame or message in the current period.
#[derive(Debug)]
pub(super) struct Progress {
    since: Timestamp,
    /// Payload bytes of data frames.
    bytes: u64,
}

impl Timers {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            received: now,
            data: now,
            sent: None,
            round_trip: None,
        }
    }

    #[inline]
    pub(super) fn received(&mut self, now: Timestamp) {
        self.received = now;
    }

    /// Notes that bytes of a data frame arrived.
    #[inline]
    pub(super) fn received_data(&mut self, now: Timestamp) {
        self.data = now;
    }

    pub(super) fn data_received(&self) -> Timestamp {
        self.data
    }

    /// Notes that a message arrived whole.
    #[inline]
    pub(super) fn received_message(&mut self, now: Timestamp) {
        self.received = now;
        self.data = now;
    }

    /// Notes that the caller, who had paused, reads again: the peer's time restarts.
    pub(super) fn resume(&mut self, now: Timestamp) {
        self.received = now;
        self.data = self.received;
    }

    /// Notes that a keep-alive ping is sent; returns its payload.
    pub(super) fn ping_sent(&mut self, now: Timestamp) -> [u8; 8] {
        self.sent = Some(now);
        ping_payload(now)
    }

    /// Notes a pong that arrived before this endpoint's Close was sent. The first that answers the
    /// last keep-alive ping measures the round trip; others are unsolicited or late (RFC 6455
    /// section 5.5.3) and ignored.
    pub(super) fn pong(&mut self, payload: &[u8], now: Timestamp) {
        if let Some(sent) = self.sent
            && payload == ping_payload(sent)
        {
            self.sent = None;
            self.round_trip = Some(now.saturating_since(sent).into());
        }
    }

    /// Whether nothing has arrived since the last keep-alive ping: what arrives can make the next
    /// deadline earlier, from the pong's to the next ping's.
    #[inline]
    pub(super) fn awaits_pong(&self) -> bool {
        // None is earlier than any time.
        self.sent.map_or(0, Timestamp::number) > self.received.number()
    }

    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip.map(Duration::from)
    }

    /// Notes that this endpoint's Close is sent, its only one: from now on
    /// [`closing`](Self::closing) determines the deadline.
    pub(super) fn close_sent(&mut self, now: Timestamp) {
        self.sent = Some(now);
    }

    /// The deadline of the end, once this endpoint's Close is sent.
    pub(super) fn closing(&self, config: &Config) -> (Timestamp, Timer) {
        let sent = self.sent.unwrap_or(self.received);
        (sent + config.close_timeout, Timer::Close)
    }

    /// Returns the earliest deadline of an open connection, given what is incomplete.
    pub(super) fn next(
        &self,
        incomplete: Option<&Progress>,
        config: &Config,
    ) -> (Timestamp, Timer) {
        let mut next = (Timestamp::NEVER, Timer::Idle);
        // If both are due, what ends the connection comes before a ping.
        let mut due = |at, timer| {
            if at < next.0 {
                next = (at, timer);
            }
        };
        if let (Some(progress), Some(rate)) = (incomplete, config.min_receive_rate) {
            due(progress.since + rate.period, Timer::Rate(rate));
        }
        if let Some(timeout) = config.idle_timeout {
            due(self.data + timeout, Timer::Idle);
        }
        match self.sent {
            // Anything that arrives after a ping shows that the peer is alive.
            Some(sent) if sent > self.received => {
                due(sent + config.pong_timeout, Timer::Pong);
            }
            _ => {
                if let Some(interval) = config.ping_interval {
                    // So that a ping is later than what was received before it.
                    let interval = interval.max(Duration::from_nanos(1));
                    due(self.received + interval, Timer::Ping);
                }
            }
        }
        next
    }
}

impl Progress {
    /// Adds this many bytes of data.
    pub(super) fn add(&mut self, bytes: usize, config: &Config, now: Timestamp) {
        self.bytes += bytes as u64;
        let due = config.min_receive_rate.map_or(0, |rate| rate.bytes);
        if self.bytes >= due {
            *self = Self::from(now);
        }
    }
}

impl From<Timestamp> for Progress {
    fn from(since: Timestamp) -> Self {
        Self { since, bytes: 0 }
    }
}

/// A payload that no heartbeat of the peer's contains by accident, as a count or a time might: the
/// time in nanoseconds, spread over all bits (Fibonacci hashing; one to one, since the factor is
/// odd). Later round trips can still be forged: the peer has seen the payload of the first.
fn ping_payload(sent: Timestamp) -> [u8; 8] {
    sent.number()
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .to_be_bytes()
}
