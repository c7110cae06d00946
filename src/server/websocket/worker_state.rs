//! What a worker lends to all its connections.

use std::sync::Arc;
use std::time::Duration;

use crate::proto::Timestamp;
use crate::server::http::Date;
use crate::server::observe::Metrics;
use crate::server::run::inbox::Inbox;
use crate::server::shared::Shared;
use crate::server::write_queue::Pool;

/// What is the same for all connections of a worker in one turn of its loop.
pub(in crate::server) struct WorkerState {
    pub(in crate::server) shared: Arc<Shared>,
    /// The worker's counters.
    pub(in crate::server) metrics: Arc<Metrics>,
    pub(in crate::server) inbox: Arc<Inbox>,
    /// Buffers for large messages, and what is published in this turn.
    pub(in crate::server) pool: Pool,
    /// Whether the server drains: no further connection opens, and plain ones end with a response.
    pub(in crate::server) draining: bool,
    pub(in crate::server) now: Duration,
    pub(in crate::server) date: Date,
    /// The same time as the connection counts it, which each message needs.
    pub(in crate::server) instant: Timestamp,
}

impl WorkerState {
    pub(in crate::server) fn new(shared: Arc<Shared>, index: usize, now: Duration) -> Self {
        Self {
            metrics: Arc::clone(&shared.metrics[index]),
            inbox: Arc::clone(&shared.inboxes[index]),
            shared,
            pool: Pool::default(),
            draining: false,
            now,
            date: Date::default(),
            instant: now.into(),
        }
    }

    /// Begins another turn.
    pub(in crate::server) fn at(&mut self, now: Duration) {
        self.now = now;
        self.instant = now.into();
    }
}
