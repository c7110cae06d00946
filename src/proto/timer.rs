//! The deadlines of a connection, as data.
//!
//! Owns what was seen and sent when; each deadline is derived from it, so none has to be moved
//! when bytes arrive. The clock is the caller's: a [`Duration`] since any fixed origin.

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

#[derive(Debug)]
pub(crate) struct Timers {
    /// When bytes last arrived.
    received: Duration,
    /// When bytes of a data frame last arrived.
    data: Duration,
    /// A frame or fragmented message was incomplete when the input was last consumed.
    incomplete: Option<Progress>,
    /// When the last keep-alive ping was sent, until its pong arrives.
    ping: Option<Duration>,
    round_trip: Option<Duration>,
    /// When this endpoint's Close was sent.
    closing: Option<Duration>,
    /// The caller doesn't read.
    paused: bool,
}

/// What arrived of an incomplete frame or message in the current period.
#[derive(Debug)]
struct Progress {
    since: Duration,
    /// Payload bytes of data frames.
    bytes: u64,
}

impl Timers {
    pub(crate) fn new(now: Duration) -> Self {
        Self {
            received: now,
            data: now,
            incomplete: None,
            ping: None,
            round_trip: None,
            closing: None,
            paused: false,
        }
    }

    #[inline]
    pub(crate) fn received(&mut self, now: Duration) {
        self.received = now;
    }

    /// Bytes of a data frame arrived.
    #[inline]
    pub(crate) fn received_data(&mut self, now: Duration) {
        self.data = now;
    }

    /// A piece of a frame arrived, of so many bytes of data, and perhaps `ended` what was
    /// incomplete. For what arrives whole there is nothing to do.
    #[inline]
    pub(crate) fn progress(&mut self, bytes: usize, ended: bool, config: &Config, now: Duration) {
        let Some(progress) = &mut self.incomplete else {
            return;
        };
        if ended {
            self.incomplete = None;
            return;
        }
        progress.bytes += bytes as u64;
        let due = config.min_receive_rate.map_or(0, |rate| rate.bytes);
        if progress.bytes >= due {
            *progress = Progress::from(now);
        }
    }

    /// All input is consumed and ends inside a frame or message.
    pub(crate) fn incomplete(&mut self, now: Duration) {
        self.incomplete.get_or_insert(Progress::from(now));
    }

    /// The caller stops to read, or reads again: then its peer's time begins anew.
    pub(crate) fn pause(&mut self, paused: bool, now: Duration) {
        if self.paused && !paused {
            self.received = now;
            self.data = now;
            self.incomplete = self.incomplete.take().map(|_| Progress::from(now));
        }
        self.paused = paused;
    }

    /// A keep-alive ping is sent; answers its payload.
    pub(crate) fn ping_sent(&mut self, now: Duration) -> [u8; 8] {
        self.ping = Some(now);
        ping_payload(now)
    }

    /// A pong arrived. The first that answers the last keep-alive ping measures the round trip;
    /// others are unsolicited or late (RFC 6455 section 5.5.3) and mean nothing here.
    pub(crate) fn pong(&mut self, payload: &[u8], now: Duration) {
        if let Some(sent) = self.ping
            && payload == ping_payload(sent)
        {
            self.ping = None;
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
        if self.paused {
            return (Duration::MAX, Timer::Idle);
        }
        // Whatever arrives after a ping shows that the peer lives.
        let keep_alive = match self.ping {
            Some(sent) if sent > self.received => {
                Some((sent.saturating_add(config.pong_timeout), Timer::Pong))
            }
            _ => config.ping_interval.map(|interval| {
                // So that a ping is later than what was received before it.
                let interval = interval.max(Duration::from_nanos(1));
                (self.received.saturating_add(interval), Timer::Ping)
            }),
        };
        let idle = config
            .idle_timeout
            .map(|timeout| (self.data.saturating_add(timeout), Timer::Idle));
        let rate = self.incomplete.as_ref().zip(config.min_receive_rate);
        let rate = rate.map(|(progress, rate)| {
            let deadline = progress.since.saturating_add(rate.period);
            (deadline, Timer::Rate(rate))
        });
        // At the same instant, what ends the connection comes before a ping.
        rate.into_iter()
            .chain(idle)
            .chain(keep_alive)
            .min_by_key(|(deadline, _)| *deadline)
            .unwrap_or((Duration::MAX, Timer::Idle))
    }
}

impl From<Duration> for Progress {
    fn from(since: Duration) -> Self {
        Self { since, bytes: 0 }
    }
}

/// What no heartbeat of the peer's own has by accident, as it might have a count or a time: the
/// instant in nanoseconds, spread over all bits (Fibonacci hashing; one to one, since the factor
/// is odd). The first round trip after it is the peer's claim all the same: it was told the
/// payload.
fn ping_payload(sent: Duration) -> [u8; 8] {
    #[expect(clippy::cast_possible_truncation, reason = "its low bits are enough")]
    let instant = sent.as_nanos() as u64;
    instant
        .wrapping_add(1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .to_be_bytes()
}
