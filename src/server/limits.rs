//! Rate and connection limits: messages and bytes over time, handshakes, connections.
//!
//! Owns the rules and the counts, per connection, per address and by the application's own key.
//! Acting on a verdict (dropping, pausing, closing, refusing) is the session's. Time is an
//! argument.
//!
//! [`RateLimit`] limits what a peer sends, whatever it is, before a handler sees it. For what one
//! kind of message costs, a handler has [`TokenBucket`], in its connection's state, and
//! [`KeyedLimiter`], by user or by whatever else.

mod bucket;
mod connections;
mod handshakes;
mod keyed;
mod limiter;
mod rate_limit;
mod table;

pub use bucket::{Rate, TokenBucket};
pub(super) use connections::{ConnectionCounts, Permit};
pub(super) use handshakes::HandshakeRates;
pub(super) use keyed::Keyed;
pub use limiter::KeyedLimiter;
pub use rate_limit::{RateLimit, RateLimitAction};
pub(super) use rate_limit::{RateState, Verdict};

#[cfg(test)]
mod tests {
    use core::net::IpAddr;
    use core::time::Duration;

    use super::connections::Refused;
    use super::*;
    use crate::proto::CloseCode;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn limit(action: RateLimitAction) -> RateLimit {
        RateLimit {
            messages: Some(Rate::per_second(10).burst(2)),
            bytes: Some(Rate::per_second(1000)),
            action,
        }
    }

    #[test]
    fn by_default_nothing_is_limited_and_excess_closes_with_1008() {
        let limit = RateLimit::default();
        let mut state = RateState::default();
        for _ in 0..1000 {
            assert_eq!(state.check(&limit, 1, usize::MAX, ms(0)), Verdict::Deliver);
        }
        assert!(matches!(
            limit.action,
            RateLimitAction::Close(CloseCode(1008), _)
        ));
    }

    #[test]
    fn each_excess_answers_what_it_says() {
        for (action, verdict) in [
            (RateLimitAction::Drop, Verdict::Drop),
            (
                RateLimitAction::Reply("slow down".into()),
                Verdict::Reply("slow down"),
            ),
            (
                RateLimitAction::Close(CloseCode(4029), "calm".into()),
                Verdict::Close(CloseCode(4029), "calm"),
            ),
        ] {
            let limit = limit(action);
            let mut state = RateState::default();
            assert_eq!(state.check(&limit, 1, 10, ms(0)), Verdict::Deliver);
            assert_eq!(state.check(&limit, 1, 10, ms(0)), Verdict::Deliver);
            assert_eq!(state.check(&limit, 1, 10, ms(0)), verdict);
            assert_eq!(state.check(&limit, 1, 10, ms(100)), Verdict::Deliver);
        }
    }

    #[test]
    fn a_message_refused_for_its_bytes_costs_no_message() {
        let limit = limit(RateLimitAction::Drop);
        let mut state = RateState::default();
        for _ in 0..10 {
            assert_eq!(state.check(&limit, 1, 1001, ms(0)), Verdict::Drop);
        }
        assert_eq!(state.check(&limit, 1, 500, ms(0)), Verdict::Deliver);
        assert_eq!(state.check(&limit, 1, 500, ms(0)), Verdict::Deliver);
    }

    #[test]
    fn a_pause_delivers_everything_and_holds_the_rate() {
        let limit = limit(RateLimitAction::Pause);
        let mut state = RateState::default();
        let (mut now, mut delivered) = (ms(0), 0);
        while now < Duration::from_secs(100) {
            delivered += 1;
            if let Verdict::DeliverThenPause(pause) = state.check(&limit, 1, 10, now) {
                now += pause;
            }
        }
        assert!((1000..=1003).contains(&delivered), "{delivered}");
        // A message much longer than the burst passes, on credit.
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
