//! In which order and at what pace the addresses of a host are tried (RFC 8305, happy eyeballs).
//!
//! Owns the order, the pace and what came of each attempt. Sockets and waiting are left to the
//! caller; the time is an argument.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;

/// RFC 8305 section 5: "A simple implementation can have a fixed delay for how long to wait before
/// starting the next connection attempt. This delay is referred to as the "Connection Attempt Delay".
/// One recommended value for a default delay is 250 milliseconds."
pub(super) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The attempts to connect to one host.
///
/// Inputs: [`failed`](Self::failed). Outputs: [`next`](Self::next), which address to try now, and
/// [`poll_timeout`](Self::poll_timeout), when to ask again.
pub(super) struct Attempts {
    left: vec::IntoIter<SocketAddr>,
    /// When the next attempt is due.
    due: Duration,
    failures: Vec<(SocketAddr, io::Error)>,
}

impl Attempts {
    pub(super) fn new(addresses: Vec<SocketAddr>, now: Duration) -> Self {
        Self {
            left: in_turn(addresses).into_iter(),
            due: now,
            failures: Vec::new(),
        }
    }

    /// Returns the address to try now, if one is due.
    pub(super) fn next(&mut self, now: Duration) -> Option<SocketAddr> {
        if now < self.due {
            return None;
        }
        let next = self.left.next()?;
        self.due = now.saturating_add(ATTEMPT_DELAY);
        Some(next)
    }

    /// When an address will be due; None if there is none left.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        (!self.left.as_slice().is_empty()).then_some(self.due)
    }

    /// Notes that an attempt has failed: the next one needn't wait any longer.
    pub(super) fn failed(&mut self, address: SocketAddr, error: io::Error, now: Duration) {
        self.failures.push((address, error));
        self.due = now;
    }

    /// Returns the error for a host of which no address could be reached.
    pub(super) fn into_error(self, host: &str) -> io::Error {
        let kind = match self.failures.last() {
            Some((_, error)) => error.kind(),
            None => io::ErrorKind::NotFound,
        };
        let host = host.into();
        let attempts = self.failures;
        io::Error::new(kind, Unreachable { host, attempts })
    }
}

/// RFC 8305 section 4: the resolver's order, except that the families take turns, beginning with
/// that of the first address, so that one that doesn't work is left after one attempt.
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv6) else {
        return addresses;
    };
    let count = addresses.len();
    let (one, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|it| it.is_ipv6() == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut ordered = Vec::with_capacity(count);
    while ordered.len() < count {
        ordered.extend(one.next());
        ordered.extend(other.next());
    }
    ordered
}

/// No address of a host could be reached; [`Error::Io`](crate::Error::Io) has it as its source.
///
/// ```no_run
/// use sockeye::Error;
/// use sockeye::client::{Unreachable, connect};
///
/// if let Err(Error::Io(error)) = connect("ws://chat.example/") {
///     let cause = error.get_ref().and_then(|it| it.downcast_ref::<Unreachable>());
///     for (address, error) in cause.iter().flat_map(|it| it.attempts()) {
///         println!("{address}: {error}");
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Unreachable {
    host: String,
    attempts: Vec<(SocketAddr, io::Error)>,
}

impl Unreachable {
    /// The host's name, or its address as text.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Each address that was tried, in the order in which they failed, and what was wrong with it.
    #[must_use]
    pub fn attempts(&self) -> &[(SocketAddr, io::Error)] {
        &self.attempts
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, attempts } = self;
        if attempts.is_empty() {
            return write!(f, "{host} has no address");
        }
        write!(f, "{host} can't be reached")?;
        for (at, (address, error)) in attempts.iter().enumerate() {
            let separator = if at == 0 { ": " } else { "; " };
            write!(f, "{separator}{address}: {error}")?;
        }
        Ok(())
    }
}

impl core::error::Error for Unreachable {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;

    const FOUR: [&str; 3] = ["192.0.2.1:80", "192.0.2.2:80", "192.0.2.3:80"];
    const SIX: [&str; 2] = ["[2001:db8::1]:80", "[2001:db8::2]:80"];

    fn addresses<'a>(list: impl IntoIterator<Item = &'a str>) -> Vec<SocketAddr> {
        list.into_iter().map(|it| it.parse().unwrap()).collect()
    }

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn the_families_take_turns_beginning_with_the_first() {
        let listed = addresses([SIX[0], SIX[1], FOUR[0], FOUR[1], FOUR[2]]);
        let ordered = addresses([SIX[0], FOUR[0], SIX[1], FOUR[1], FOUR[2]]);
        assert_eq!(in_turn(listed), ordered);
        let listed = addresses([FOUR[0], FOUR[1], SIX[0]]);
        assert_eq!(in_turn(listed), addresses([FOUR[0], SIX[0], FOUR[1]]));
        assert_eq!(in_turn(addresses(FOUR)), addresses(FOUR));
        assert_eq!(in_turn(Vec::new()), []);
    }

    #[test]
    fn an_attempt_that_hangs_is_joined_by_the_next_after_250_ms() {
        let mut attempts = Attempts::new(addresses(FOUR), ms(10));
        let all = addresses(FOUR);
        assert_eq!(attempts.next(ms(10)), Some(all[0]));
        assert_eq!(attempts.next(ms(10)), None);
        assert_eq!(attempts.poll_timeout(), Some(ms(260)));
        assert_eq!(attempts.next(ms(259)), None);
        assert_eq!(attempts.next(ms(260)), Some(all[1]));
        assert_eq!(attempts.poll_timeout(), Some(ms(510)));
        assert_eq!(attempts.next(ms(600)), Some(all[2]));
        assert_eq!(attempts.poll_timeout(), None);
        assert_eq!(attempts.next(ms(9999)), None);
    }

    #[test]
    fn an_attempt_that_fails_is_followed_at_once() {
        let mut attempts = Attempts::new(addresses(FOUR), ms(0));
        let first = attempts.next(ms(0)).unwrap();
        attempts.failed(first, io::ErrorKind::ConnectionRefused.into(), ms(3));
        assert_eq!(attempts.poll_timeout(), Some(ms(3)));
        assert!(attempts.next(ms(3)).is_some());
        assert_eq!(attempts.next(ms(4)), None);
    }

    #[test]
    fn the_error_names_each_address_and_what_it_said() {
        let mut attempts = Attempts::new(addresses([FOUR[0], SIX[0]]), ms(0));
        for kind in [io::ErrorKind::TimedOut, io::ErrorKind::ConnectionRefused] {
            let address = attempts.next(ms(0)).unwrap();
            attempts.failed(address, kind.into(), ms(0));
        }
        let error = attempts.into_error("chat.example");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(
            error.to_string(),
            "chat.example can't be reached: 192.0.2.1:80: timed out; \
             [2001:db8::1]:80: connection refused"
        );
        let none = Attempts::new(Vec::new(), ms(0)).into_error("chat.example");
        assert_eq!(none.kind(), io::ErrorKind::NotFound);
        assert_eq!(none.to_string(), "chat.example has no address");
    }
}
