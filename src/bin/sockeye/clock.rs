//! The one place that reads the clock.

use core::time::Duration;
use std::time::Instant;

/// The time since its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    #[allow(clippy::disallowed_methods)]
    pub(crate) fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}
