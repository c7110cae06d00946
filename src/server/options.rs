//! The settings of connections, which a server has for all its routes and a route for itself.

use std::boxed::Box;
use std::string::String;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use super::http::Request;
use super::limits::{Keyed, RateLimit};
use super::websocket::Overflow;
use crate::proto::Config;

/// The settings of a route's connections.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) config: Arc<Config>,
    pub(super) subprotocols: Vec<String>,
    pub(super) max_backpressure: usize,
    pub(super) overflow: Overflow,
    pub(super) pause_reading_at: usize,
    pub(super) send_timeout: Duration,
    pub(super) max_lifetime: Option<Duration>,
    pub(super) keep_request: bool,
    pub(super) rate_limit: RateLimit,
    pub(super) rate_by_key: Option<Arc<RateByKey>>,
}

/// A limit that the application's own key counts under.
pub(super) struct RateByKey {
    pub(super) table: Keyed<str>,
    pub(super) key: Box<RateKey>,
}

type RateKey = dyn Fn(&Request<'_>) -> Option<String> + Send + Sync;

impl Default for Options {
    fn default() -> Self {
        Self {
            config: Arc::new(Config::default()),
            subprotocols: Vec::new(),
            max_backpressure: 16 * 1024 * 1024,
            overflow: Overflow::default(),
            pause_reading_at: 1024 * 1024,
            send_timeout: Duration::from_secs(60),
            max_lifetime: None,
            keep_request: false,
            rate_limit: RateLimit::default(),
            rate_by_key: None,
        }
    }
}

/// Keys or addresses whose rates are told apart: 4 MB once they are used.
pub(super) const MAX_KEYS: usize = 100_000;

/// The settings that a server has for all its routes, and a route for itself.
macro_rules! option_methods {
    () => {
        /// The limits and times of the connections, and their extensions. Default
        /// [`Config::default`].
        pub fn config(self, config: Config) -> Self {
            let config = Arc::new(config);
            self.option(move |it| it.config = config)
        }

        /// The subprotocols that are spoken; the first of the client's offers that is among them
        /// is agreed on (RFC 6455 section 1.9). Default none.
        pub fn subprotocols<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
            let names: Vec<String> = names.into_iter().map(Into::into).collect();
            self.option(move |it| it.subprotocols = names)
        }

        /// The most bytes that may wait to be written to one connection. What becomes of a
        /// message that would go over says [`overflow`](Self::overflow).
        ///
        /// Default 16 MiB: sixteen of the longest messages that are received by default.
        /// uWebSockets has 64 KiB and drops, Bun 16 MiB; `ws` and Socket.IO have no limit.
        pub fn max_backpressure(self, bytes: usize) -> Self {
            self.option(move |it| it.max_backpressure = bytes)
        }

        /// What happens at [`max_backpressure`](Self::max_backpressure). Default
        /// [`Overflow::DropNewest`].
        pub fn overflow(self, overflow: Overflow) -> Self {
            self.option(move |it| it.overflow = overflow)
        }

        /// Above this many waiting bytes a connection is not read from until they are written, so
        /// that a peer that sends and never reads fills its own buffers and not the server's.
        ///
        /// Default 1 MiB: well over what a live peer leaves unread.
        pub fn pause_reading_at(self, bytes: usize) -> Self {
            self.option(move |it| it.pause_reading_at = bytes)
        }

        /// A connection that takes nothing of what waits for this long is dropped.
        ///
        /// Default 60 s, as nginx: a phone in a tunnel comes back before.
        pub fn send_timeout(self, timeout: Duration) -> Self {
            self.option(move |it| it.send_timeout = timeout)
        }

        /// A connection is closed with 1001 after this time, give or take a tenth, so that those
        /// that were opened together don't come back together.
        ///
        /// Default none, as in uWebSockets; most neighbours have no such setting.
        pub fn max_lifetime(self, lifetime: Duration) -> Self {
            self.option(move |it| it.max_lifetime = Some(lifetime))
        }

        /// Keeps the request of the opening handshake, for [`Socket::request`] and the
        /// statistics. Costs the memory of its head for each connection, so it isn't the default:
        /// what the application needs of it is better taken into its own state.
        ///
        /// [`Socket::request`]: super::Socket::request
        pub fn keep_request(self) -> Self {
            self.option(|it| it.keep_request = true)
        }

        /// How much a connection may send, and what happens when it sends more. Default no limit.
        pub fn rate_limit(self, limit: RateLimit) -> Self {
            self.option(move |it| it.rate_limit = limit)
        }

        /// How much the connections of one key may send together, and what happens when they send
        /// more: a user's, say, over all tabs. Those that `key` has none for are not limited by it.
        /// Default no limit.
        ///
        /// Up to 100,000 keys are told apart; more of them at once may be let through with more.
        pub fn rate_limit_by_key<F>(self, limit: RateLimit, key: F) -> Self
        where
            F: Fn(&Request<'_>) -> Option<String> + Send + Sync + 'static,
        {
            let limit = Arc::new(RateByKey {
                table: Keyed::new(limit, MAX_KEYS),
                key: Box::new(key),
            });
            self.option(move |it| it.rate_by_key = Some(limit))
        }
    };
}
pub(super) use option_methods;
