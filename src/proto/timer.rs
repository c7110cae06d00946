//! The deadlines of a connection, as data.
//!
//! Owns what was seen and sent when; each deadline is derived from it, so none has to be moved
//! when bytes arrive. The clock is the caller's: a [`Duration`] since any fixed origin.

use core::time::Duration;

use super::config::Config;

/// What is due when a deadline passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Send a keep-alive ping.
    Ping,
    /// Nothing arrived after the last keep-alive ping.
    Pong,
    /// Nothing arrived at all.
    Idle,
    /// The closing handshake or the end of the transport takes too long.
    Close,
}

#[derive(Debug)]
pub(crate) struct Timers {
    /// When bytes last arrived.
    received: Duration,
    /// When the keep-alive ping was sent that nothing has arrived after.
    unanswered: Option<Duration>,
    /// The last keep-alive ping: how many were sent, and when.
    ping: (u64, Duration),
    round_trip: Option<Duration>,
    /// When this endpoint's Close was sent.
    closing: Option<Duration>,
}

impl Timers {
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            received: now,
            unanswered: None,
            ping: (0, now),
            round_trip: None,
            closing: None,
        }
    }

    #[inline]
    pub(crate) fn received(&mut self, now: Duration) {
        self.received = now;
        self.unanswered = None;
    }

    /// A keep-alive ping is sent; answers its payload.
    pub(crate) fn ping_sent(&mut self, now: Duration) -> [u8; 8] {
        self.ping = (self.ping.0 + 1, now);
        self.unanswered = Some(now);
        self.ping.0.to_be_bytes()
    }

    /// A pong arrived. One that answers the last keep-alive ping measures the round trip; others
    /// are unsolicited or late (RFC 6455 section 5.5.3) and mean nothing here.
    pub(crate) fn pong(&mut self, payload: &[u8], now: Duration) {
        let (count, sent) = self.ping;
        if count > 0 && payload == count.to_be_bytes() {
            self.round_trip = Some(now.saturating_sub(sent));
        }
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// This endpoint's Close is sent: from now on only [`Timer::Close`] runs.
    pub(crate) fn close_sent(&mut self, now: Duration) {
        self.closing.get_or_insert(now);
    }

    /// The earliest deadline.
    pub(crate) fn next(&self, config: &Config) -> (Duration, Timer) {
        if let Some(closing) = self.closing {
            return (closing.saturating_add(config.close_timeout), Timer::Close);
        }
        let keep_alive = match self.unanswered {
            Some(sent) => Some((sent.saturating_add(config.pong_timeout), Timer::Pong)),
            None => config
                .ping_interval
                .map(|interval| (self.received.saturating_add(interval), Timer::Ping)),
        };
        let idle = config
            .idle_timeout
            .map(|timeout| (self.received.saturating_add(timeout), Timer::Idle));
        keep_alive
            .into_iter()
            .chain(idle)
            .min_by_key(|(deadline, _)| *deadline)
            .unwrap_or((Duration::MAX, Timer::Idle))
    }
}
