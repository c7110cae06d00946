//! How much may come: messages and bytes over time, handshakes, connections.
//!
//! Owns the rules and the counts, per connection, per address and by the application's own key.
//! What follows from an answer (dropping, pausing, closing, refusing) is the session's to do.
//! Time is an argument.

mod bucket;
mod connections;
mod keyed;

use alloc::boxed::Box;
use core::net::IpAddr;
use core::time::Duration;

use super::sync::{Mutex, lock};
use crate::proto::CloseCode;

pub use bucket::Rate;
pub(super) use bucket::TokenBucket;
pub(super) use connections::{ConnectionCounts, Permit, Refused};
pub(super) use keyed::Keyed;

/// What happens to a message that is over a [`RateLimit`].
///
/// Neighbours: nginx and API gateways refuse the request (429), chat servers close with 1008 or a
/// code of theirs; brokers such as Mosquitto and NATS stop reading.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Excess {
    /// The message is dropped, and counted. The peer isn't told.
    Drop,
    /// The message is delivered, and then nothing is read from this peer until it is within the
    /// limit again. TCP slows the peer down, and nothing is lost, but where the peer has ended its
    /// stream and the pause is longer than
    /// [`close_timeout`](crate::proto::Config::close_timeout). With a limit per address or per key
    /// it holds each connection that sends.
    Pause,
    /// The message is dropped and this text is sent for it.
    Reply(Box<str>),
    /// The connection is closed with this code and reason (at most 123 bytes).
    Close(CloseCode, Box<str>),
}

impl Default for Excess {
    /// Closing with 1008 (policy violation, RFC 6455 section 7.4.1): a client that is over the
    /// limit is at fault or hostile, and hears which.
    fn default() -> Self {
        Self::Close(CloseCode::POLICY_VIOLATION, "rate limit exceeded".into())
    }
}

/// How many messages and bytes may come over time, and what happens to more.
///
/// The default limits nothing. A message that is refused costs nothing, so a peer that goes on
/// sending too fast still gets its rate through.
///
/// ```
/// use sockeye::server::{Excess, Rate, RateLimit};
///
/// let limit = RateLimit {
///     messages: Some(Rate::per_second(20).burst(100)),
///     bytes: Some(Rate::per_second(64 * 1024).burst(1024 * 1024)),
///     excess: Excess::Pause,
/// };
/// # let _ = limit;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// Data messages. Default no limit.
    pub messages: Option<Rate>,
    /// Bytes of their payloads, decompressed. Default no limit.
    ///
    /// A message longer than the burst never passes, but with [`Excess::Pause`], where it goes on
    /// credit. So the burst should be at least
    /// [`max_message_size`](crate::proto::Config::max_message_size).
    pub bytes: Option<Rate>,
    /// What happens to a message over either. Default a Close with 1008.
    pub excess: Excess,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict<'a> {
    Deliver,
    /// Deliver it, then read nothing more for this long.
    DeliverThenPause(Duration),
    Drop,
    /// Drop it and send this text.
    Reply(&'a str),
    Close(CloseCode, &'a str),
}

impl<'a> Verdict<'a> {
    /// What two limits say together: the second is asked (and charged) only if the first lets
    /// the message through.
    pub(super) fn and(self, second: impl FnOnce() -> Verdict<'a>) -> Verdict<'a> {
        match self {
            Self::Deliver => second(),
            Self::DeliverThenPause(first) => match second() {
                Verdict::Deliver => self,
                Verdict::DeliverThenPause(second) => Self::DeliverThenPause(first.max(second)),
                refused => refused,
            },
            refused => refused,
        }
    }
}

/// How much of a [`RateLimit`] is used up, by a connection, an address or a key. `default()` is
/// unused. 32 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RateState {
    messages: TokenBucket,
    bytes: TokenBucket,
}

impl RateState {
    /// Asks for `messages` messages with `bytes` bytes together: 1 and its length for a message,
    /// 1 and then 0 for the first and the further pieces of a streamed one.
    pub(super) fn check<'a>(
        &mut self,
        limit: &'a RateLimit,
        messages: u32,
        bytes: usize,
        now: Duration,
    ) -> Verdict<'a> {
        if limit.excess == Excess::Pause {
            let pause = self.charge(limit, messages, bytes, now);
            return match pause {
                Duration::ZERO => Verdict::Deliver,
                pause => Verdict::DeliverThenPause(pause),
            };
        }
        let within = |rate: Option<Rate>, bucket: &TokenBucket, count| {
            rate.is_none_or(|rate| bucket.wait(rate, count, now).is_ok())
        };
        // Both first: a message that one refuses costs nothing in the other.
        if within(limit.messages, &self.messages, messages.into())
            && within(limit.bytes, &self.bytes, bytes as u64)
        {
            self.charge(limit, messages, bytes, now);
            return Verdict::Deliver;
        }
        match &limit.excess {
            Excess::Drop | Excess::Pause => Verdict::Drop,
            Excess::Reply(text) => Verdict::Reply(text),
            Excess::Close(code, reason) => Verdict::Close(*code, reason),
        }
    }

    /// Answers how long the debt takes to be paid.
    fn charge(
        &mut self,
        limit: &RateLimit,
        messages: u32,
        bytes: usize,
        now: Duration,
    ) -> Duration {
        let charge = |rate: Option<Rate>, bucket: &mut TokenBucket, count| {
            rate.map_or(Duration::ZERO, |rate| bucket.charge(rate, count, now))
        };
        let for_messages = charge(limit.messages, &mut self.messages, messages.into());
        let for_bytes = charge(limit.bytes, &mut self.bytes, bytes as u64);
        for_messages.max(for_bytes)
    }

    /// How long until nothing of it is used, and it need not be kept.
    fn unused_in(&self, limit: &RateLimit, now: Duration) -> Duration {
        let full_in = |rate: Option<Rate>, bucket: &TokenBucket| {
            rate.map_or(Duration::ZERO, |rate| bucket.full_in(rate, now))
        };
        full_in(limit.messages, &self.messages).max(full_in(limit.bytes, &self.bytes))
    }
}

/// How many opening handshakes are taken up over time, per address and in all.
pub(super) struct HandshakeRates {
    per_address: Option<Keyed<IpAddr>>,
    total: Option<(Rate, Mutex<TokenBucket>)>,
}

impl HandshakeRates {
    /// `max_addresses` as in [`Keyed::new`].
    pub(super) fn new(
        per_address: Option<Rate>,
        total: Option<Rate>,
        max_addresses: usize,
    ) -> Self {
        let limit = |rate| RateLimit {
            messages: Some(rate),
            bytes: None,
            excess: Excess::Drop,
        };
        Self {
            per_address: per_address.map(|rate| Keyed::new(limit(rate), max_addresses)),
            total: total.map(|rate| (rate, Mutex::default())),
        }
    }

    /// Whether one more handshake from this address is taken up; answer one that is not with 429
    /// or 503, or drop it. The address is asked first, so that a flood from one doesn't use up
    /// what is there for all.
    pub(super) fn allow(&self, address: IpAddr, now: Duration) -> Result<(), Refused> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn limit(excess: Excess) -> RateLimit {
        RateLimit {
            messages: Some(Rate::per_second(10).burst(2)),
            bytes: Some(Rate::per_second(1000)),
            excess,
        }
    }

    #[test]
    fn by_default_nothing_is_limited_and_excess_closes_with_1008() {
        let limit = RateLimit::default();
        let mut state = RateState::default();
        for _ in 0..1000 {
            assert_eq!(state.check(&limit, 1, usize::MAX, ms(0)), Verdict::Deliver);
        }
        assert!(matches!(limit.excess, Excess::Close(CloseCode(1008), _)));
    }

    #[test]
    fn each_excess_answers_what_it_says() {
        for (excess, verdict) in [
            (Excess::Drop, Verdict::Drop),
            (
                Excess::Reply("slow down".into()),
                Verdict::Reply("slow down"),
            ),
            (
                Excess::Close(CloseCode(4029), "calm".into()),
                Verdict::Close(CloseCode(4029), "calm"),
            ),
        ] {
            let limit = limit(excess);
            let mut state = RateState::default();
            assert_eq!(state.check(&limit, 1, 10, ms(0)), Verdict::Deliver);
            assert_eq!(state.check(&limit, 1, 10, ms(0)), Verdict::Deliver);
            assert_eq!(state.check(&limit, 1, 10, ms(0)), verdict);
            assert_eq!(state.check(&limit, 1, 10, ms(100)), Verdict::Deliver);
        }
    }

    #[test]
    fn a_message_refused_for_its_bytes_costs_no_message() {
        let limit = limit(Excess::Drop);
        let mut state = RateState::default();
        for _ in 0..10 {
            assert_eq!(state.check(&limit, 1, 1001, ms(0)), Verdict::Drop);
        }
        assert_eq!(state.check(&limit, 1, 500, ms(0)), Verdict::Deliver);
        assert_eq!(state.check(&limit, 1, 500, ms(0)), Verdict::Deliver);
    }

    #[test]
    fn a_pause_delivers_everything_and_holds_the_rate() {
        let limit = limit(Excess::Pause);
        let mut state = RateState::default();
        let (mut now, mut delivered) = (ms(0), 0);
        while now < Duration::from_secs(100) {
            delivered += 1;
            if let Verdict::DeliverThenPause(pause) = state.check(&limit, 1, 10, now) {
                now += pause;
            }
        }
        assert!((1000..=1003).contains(&delivered), "{delivered}");
        // A message that is far longer than the burst goes through, on credit.
        assert_eq!(
            RateState::default().check(&limit, 1, 11_000, now),
            Verdict::DeliverThenPause(ms(10_000))
        );
    }

    #[test]
    fn two_limits_join_to_the_stricter_and_the_second_is_spared() {
        let pause = Verdict::DeliverThenPause;
        assert_eq!(Verdict::Deliver.and(|| pause(ms(1))), pause(ms(1)));
        assert_eq!(pause(ms(2)).and(|| pause(ms(1))), pause(ms(2)));
        assert_eq!(pause(ms(2)).and(|| Verdict::Deliver), pause(ms(2)));
        assert_eq!(pause(ms(2)).and(|| Verdict::Drop), Verdict::Drop);
        assert_eq!(Verdict::Drop.and(|| unreachable!()), Verdict::Drop);
    }

    #[test]
    fn handshakes_are_counted_per_address_before_all() {
        let rates = HandshakeRates::new(Some(Rate::per_minute(2)), Some(Rate::per_second(3)), 64);
        let address = |last| IpAddr::from([192, 0, 2, last]);
        assert_eq!(rates.allow(address(1), ms(0)), Ok(()));
        assert_eq!(rates.allow(address(1), ms(0)), Ok(()));
        for _ in 0..10 {
            assert_eq!(rates.allow(address(1), ms(0)), Err(Refused::Address));
        }
        assert_eq!(rates.allow(address(2), ms(0)), Ok(()));
        assert_eq!(rates.allow(address(3), ms(0)), Err(Refused::Total));
        assert_eq!(rates.allow(address(3), ms(400)), Ok(()));
        assert_eq!(rates.allow(address(1), ms(30_000)), Ok(()));
    }
}
