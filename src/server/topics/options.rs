//! What holds for the topics of one pattern.

use std::fmt;
use std::sync::Arc;

use super::history::{History, HistoryLimits, MemoryHistory};
use crate::server::id::ConnectionId;

/// What holds for the topics of a pattern, for [`Builder::topic`](crate::server::Builder::topic).
///
/// ```
/// use sockeye::server::Server;
/// use sockeye::server::topics::TopicOptions;
///
/// let server = Server::builder()
///     .topic("prices/*", TopicOptions::new().conflate())
///     .topic("rooms/*", TopicOptions::new().history(50));
/// # let _ = server;
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct TopicOptions {
    pub(in crate::server) conflate: bool,
    pub(in crate::server) history: Option<(Arc<dyn History>, usize)>,
    pub(in crate::server) guard: Option<Arc<TopicGuard>>,
}

/// Lets a connection subscribe, or says why not.
pub(in crate::server) type TopicGuard =
    dyn Fn(ConnectionId, &str) -> Result<(), Arc<str>> + Send + Sync;

impl TopicOptions {
    /// Nothing but delivery.
    pub fn new() -> Self {
        Self::default()
    }

    /// A subscriber that is behind gets only the latest message of each topic: a newer one takes
    /// the place of one that waits behind a backlog, and
    /// [`Stats::conflated`](crate::server::observe::Stats::conflated) counts that. One that keeps
    /// up gets all of them. For prices, positions, states; not for chat.
    pub fn conflate(mut self) -> Self {
        self.conflate = true;
        self
    }

    /// Keeps the last `count` messages of each topic in memory and sends them to each new
    /// subscriber, the oldest first; what is published from then on follows, each message once. The
    /// other limits are those of [`HistoryLimits`].
    pub fn history(self, count: usize) -> Self {
        let limits = HistoryLimits {
            max_messages: count,
            ..HistoryLimits::default()
        };
        self.history_in(Arc::new(MemoryHistory::new(limits)), count)
    }

    /// As [`history`](Self::history), kept in `store`.
    pub fn history_in(mut self, store: Arc<dyn History>, count: usize) -> Self {
        self.history = Some((store, count));
        self
    }

    /// Asks `guard` about each subscription to a topic of the pattern; its error is
    /// [`SubscribeError::Refused`](super::SubscribeError::Refused).
    ///
    /// It knows the connection by its id only. What depends on the connection's state is better
    /// decided where [`Socket::subscribe`](crate::server::Socket::subscribe) is called.
    pub fn guard<F>(mut self, guard: F) -> Self
    where
        F: Fn(ConnectionId, &str) -> Result<(), Arc<str>> + Send + Sync + 'static,
    {
        self.guard = Some(Arc::new(guard));
        self
    }
}

impl fmt::Debug for TopicOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicOptions")
            .field("conflate", &self.conflate)
            .field("history", &self.history.as_ref().map(|(_, count)| count))
            .field("guard", &self.guard.is_some())
            .finish()
    }
}
