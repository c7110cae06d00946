//! Observing a server: metrics, and observers of its connections.

mod metrics;
mod observer;
#[cfg(feature = "tracing")]
mod trace;

pub(super) use self::metrics::{CloseCounters, Label, Metrics, PublishedCounters, labels};
pub use self::metrics::{CloseCounts, Counts, Stats};
pub use self::observer::{
    ConnectionStats, FailedHandshake, Observer, RequestLog, TopicChange, TopicEvent,
};
#[cfg(feature = "tracing")]
pub(super) use self::trace::{Trace, connection_span};
#[doc(inline)]
pub use super::end::{ErrorCause, HandshakeFailure};
