//! Rate limits on messages and bytes, and the action on what exceeds them.

use alloc::boxed::Box;
use core::time::Duration;

use super::bucket::{Rate, TokenBucket};
use crate::proto::CloseCode;

/// The action on a message that exceeds a [`RateLimit`].
///
/// For comparison: nginx and API gateways refuse the request (429), chat servers close with 1008 or
/// a private code; brokers such as Mosquitto and NATS stop reading.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RateLimitAction {
    /// The message is dropped, and counted. The peer isn't notified.
    Drop,
    /// The message is delivered, and then nothing is read from this peer until it is within the
    /// limit again. TCP slows the peer down, and nothing is lost, unless the peer has ended its
    /// stream and the pause is longer than [`close_timeout`](crate::proto::Config::close_timeout).
    /// A limit per address or per key pauses each connection that sends.
    Pause,
    /// The message is dropped and this text is sent instead.
    Reply(Box<str>),
    /// The connection is closed with this code and reason (at most 123 bytes).
    Close(CloseCode, Box<str>),
}

impl Default for RateLimitAction {
    /// Closes with 1008 (policy violation, RFC 6455 section 7.4.1): a client over the limit is
    /// faulty or hostile, and learns the reason.
    fn default() -> Self {
        Self::Close(CloseCode::POLICY_VIOLATION, "rate limit exceeded".into())
    }
}

/// A rate limit on messages and bytes, and the action on what exceeds it.
///
/// The default limits nothing. A message that is refused isn't charged, so a peer that keeps
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
    /// A message longer than the burst never passes, except with [`RateLimitAction::Pause`], where
    /// it passes on credit. So the burst should be at least
    /// [`max_message_size`](crate::proto::Config::max_message_size).
    pub bytes: Option<Rate>,
    /// The action on a message over either rate. Default a Close with 1008.
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
    /// Combines two limits: the second is checked (and charged) only if the first lets the message
    /// through.
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

/// How much of a [`RateLimit`] a connection, an address or a key has used. `default()` is unused.
/// 32 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::server) struct RateState {
    messages: TokenBucket,
    bytes: TokenBucket,
}

impl RateState {
    /// Checks `messages` messages with `bytes` bytes in total: 1 and its length for a message, 1
    /// and then 0 for the first and the further pieces of a streamed one.
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
        // Both are checked first: a message that one refuses isn't charged to the other.
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

    /// Returns how long until the debt is paid.
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

    /// Returns how long until it is unused, and needn't be stored.
    pub(super) fn unused_in(&self, limit: &RateLimit, now: Duration) -> Duration {
        let full_in = |rate: Option<Rate>, bucket: &TokenBucket| {
            rate.map_or(Duration::ZERO, |rate| bucket.full_in(rate, now))
        };
        full_in(limit.messages, &self.messages).max(full_in(limit.bytes, &self.bytes))
    }
}
