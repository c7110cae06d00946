//! The one place that reads the clock.

use core::time::Duration;
use std::time::Instant;

/// Returns the time since it was started.
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
