//! Observing a server: metrics, and observers of its connections.

mod metrics;
mod observer;
#[cfg(feature = "tracing")]
mod trace;

pub(super) use self::metrics::Metrics;
pub use self::metrics::{CloseLabel, Counts, ErrorCause, HandshakeFailure, Stats};
pub use self::observer::{ConnectionStats, FailedHandshake, Observer};
#[cfg(feature = "tracing")]
pub(super) use self::trace::{Trace, connection_span};
