//! The options of the topics that a pattern matches.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::history::{History, HistoryLimits, MemoryHistory};
use super::subscriber::Subscriber;

/// The options of the topics that a pattern matches, for
/// [`Builder::topic`](crate::server::Builder::topic).
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
#[derive(Clone)]
#[must_use]
pub struct TopicOptions {
    pub(in crate::server) conflate: bool,
    pub(in crate::server) max_message: usize,
    pub(in crate::server) history: Option<(Arc<dyn History>, usize)>,
    pub(in crate::server) guard: Option<Arc<TopicGuard>>,
}

/// Decides whether a connection may subscribe; its error is the reason why not.
pub(in crate::server) type TopicGuard =
    dyn Fn(&Subscriber<'_>, &str) -> Result<(), Arc<str>> + Send + Sync;

impl TopicOptions {
    /// Creates options with which messages are delivered, and nothing else.
    pub fn new() -> Self {
        Self {
            conflate: false,
            max_message: usize::MAX,
            history: None,
            guard: None,
        }
    }

    /// Sets the longest message in bytes; publishing a longer one is refused with
    /// [`HandleError::TooLong`](crate::server::HandleError::TooLong). Default no limit but that of
    /// [`max_message_size`](crate::proto::Config::max_message_size) on what is received.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// A subscriber that is behind gets only the latest message of each topic: a newer one replaces
    /// one that waits behind a backlog, and
    /// [`Stats::conflated`](crate::server::observe::Stats::conflated) counts it. A subscriber that
    /// keeps up gets all of them. For prices, positions, states; not for chat.
    pub fn conflate(mut self) -> Self {
        self.conflate = true;
        self
    }

    /// Keeps the last `count` messages of each topic for 5 minutes, as
    /// [`history_for`](Self::history_for) does.
    pub fn history(self, count: usize) -> Self {
        self.history_for(count, HistoryLimits::default().max_age)
    }

    /// Keeps the last `count` messages of each topic in memory until they are older than `age`, and
    /// sends them to each new subscriber, oldest first; messages published from then on follow,
    /// each once. The other limits are those of [`HistoryLimits`].
    pub fn history_for(self, count: usize, age: Duration) -> Self {
        let limits = HistoryLimits {
            max_messages: count,
            max_age: age,
            ..HistoryLimits::default()
        };
        self.history_in(Arc::new(MemoryHistory::new(limits)), count)
    }

    /// Like [`history`](Self::history), but keeps the messages in `store`.
    pub fn history_in(mut self, store: Arc<dyn History>, count: usize) -> Self {
        self.history = Some((store, count));
        self
    }

    /// Calls `guard` with the connection and the topic's name before each subscription to a topic
    /// of the pattern, also one by [`Topics::subscribe`](super::Topics::subscribe); its error
    /// becomes [`SubscribeError::Refused`](super::SubscribeError::Refused).
    ///
    /// It runs on the connection's worker, and a panic closes the connection. It doesn't see the
    /// application's state: topics are the server's, and connections of several routes, each with
    /// a type of state of its own, may share a pattern. Besides, the handler that calls
    /// [`Socket::subscribe`](crate::server::Sender::subscribe) holds the state already. So what is
    /// decided by the state is checked where `subscribe` is called; what has to hold wherever that
    /// is, here, by the [user](crate::server::Sender::set_user) or the request.
    ///
    /// ```
    /// use sockeye::server::Server;
    /// use sockeye::server::topics::{Subscriber, TopicOptions};
    ///
    /// // Each user has a topic, for all connections of that user alone.
    /// let own = |who: &Subscriber<'_>, topic: &str| match topic.strip_prefix("users/") {
    ///     Some(name) if who.user() == Some(name) => Ok(()),
    ///     _ => Err("another user's".into()),
    /// };
    /// let server = Server::builder().topic("users/*", TopicOptions::new().guard(own));
    /// # let _ = server;
    /// ```
    pub fn guard<F>(mut self, guard: F) -> Self
    where
        F: Fn(&Subscriber<'_>, &str) -> Result<(), Arc<str>> + Send + Sync + 'static,
    {
        self.guard = Some(Arc::new(guard));
        self
    }
}

impl Default for TopicOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TopicOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicOptions")
            .field("conflate", &self.conflate)
            .field("max_message", &self.max_message)
            .field("history", &self.history.as_ref().map(|(_, count)| count))
            .field("guard", &self.guard.is_some())
            .finish()
    }
}
