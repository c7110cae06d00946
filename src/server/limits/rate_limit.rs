//! How many messages and bytes may come over time, and what happens to more.

use alloc::boxed::Box;
use core::time::Duration;

use super::bucket::{Rate, TokenBucket};
use crate::proto::CloseCode;

/// What happens to a message that is over a [`RateLimit`].
///
/// Neighbours: nginx and API gateways refuse the request (429), chat servers close with 1008 or a
/// code of theirs; brokers such as Mosquitto and NATS stop reading.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RateLimitAction {
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

impl Default for RateLimitAction {
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
/// use sockeye::server::limits::{RateLimitAction, Rate, RateLimit};
///
/// let limit = RateLimit {
///     messages: Some(Rate::per_second(20).burst(100)),
///     bytes: Some(Rate::per_second(64 * 1024).burst(1024 * 1024)),
///     action: RateLimitAction::Pause,
/// };
/// # let _ = limit;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// Data messages. Default no limit.
    pub messages: Option<Rate>,
    /// Bytes of their payloads, decompressed. Default no limit.
    ///
    /// A message longer than the burst never passes, but with [`RateLimitAction::Pause`], where it
    /// goes on credit. So the burst should be at least
    /// [`max_message_size`](crate::proto::Config::max_message_size).
    pub bytes: Option<Rate>,
    /// What happens to a message over either. Default a Close with 1008.
    pub action: RateLimitAction,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Verdict<'a> {
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
    pub(in crate::server) fn and(self, second: impl FnOnce() -> Verdict<'a>) -> Verdict<'a> {
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
pub(in crate::server) struct RateState {
    messages: TokenBucket,
    bytes: TokenBucket,
}

impl RateState {
    /// Asks for `messages` messages with `bytes` bytes together: 1 and its length for a message,
    /// 1 and then 0 for the first and the further pieces of a streamed one.
    pub(in crate::server) fn check<'a>(
        &mut self,
        limit: &'a RateLimit,
        messages: u32,
        bytes: usize,
        now: Duration,
    ) -> Verdict<'a> {
        if limit.action == RateLimitAction::Pause {
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
        match &limit.action {
            RateLimitAction::Drop | RateLimitAction::Pause => Verdict::Drop,
            RateLimitAction::Reply(text) => Verdict::Reply(text),
            RateLimitAction::Close(code, reason) => Verdict::Close(*code, reason),
        }
    }

    /// Returns how long the debt takes to be paid.
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
    pub(super) fn unused_in(&self, limit: &RateLimit, now: Duration) -> Duration {
        let full_in = |rate: Option<Rate>, bucket: &TokenBucket| {
            rate.map_or(Duration::ZERO, |rate| bucket.full_in(rate, now))
        };
        full_in(limit.messages, &self.messages).max(full_in(limit.bytes, &self.bytes))
    }
}
