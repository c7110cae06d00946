//! The value of `Date` (RFC 9110 section 6.6.1), written once a second.

use std::cell::RefCell;
use std::string::String;
use std::time::Duration;

use crate::net::Clock;

/// Keeps the date in its form, for one thread.
#[derive(Default)]
pub(in crate::server) struct Date(RefCell<Option<(u64, String)>>);

impl Date {
    /// Calls `read` with the date, which may be a second old; `now` is the clock's.
    pub(in crate::server) fn at<R>(
        &self,
        now: Duration,
        clock: &Clock,
        read: impl FnOnce(&str) -> R,
    ) -> R {
        let mut kept = self.0.borrow_mut();
        let second = now.as_secs();
        if kept.as_ref().is_none_or(|(of, _)| *of != second) {
            *kept = Some((second, httpdate::fmt_http_date(clock.date())));
        }
        read(kept.as_ref().map_or("", |(_, text)| text))
    }
}
