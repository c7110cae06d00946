//! The settings of connections: a server's for all its routes, or a single route's.

use std::boxed::Box;
use std::string::String;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use super::http::Request;
use super::limits::{Keyed, RateLimit};
use super::websocket::Overflow;
#[cfg(feature = "deflate")]
use crate::proto::Deflate;
use crate::proto::{CloseCode, Config};

/// The settings of a route's connections.
#[derive(Clone)]
pub(super) struct Options {
    /// That of the topics; empty before a connection has a route.
    pub(super) namespace: Arc<str>,
    pub(super) config: Arc<Config>,
    pub(super) subprotocols: Vec<String>,
    pub(super) max_backpressure: usize,
    pub(super) overflow: Overflow,
    pub(super) pause_reading_at: usize,
    pub(super) send_timeout: Duration,
    pub(super) max_lifetime: Option<Lifetime>,
    /// What [`config`](Self::config) is still to get as its first extension.
    #[cfg(feature = "deflate")]
    pub(super) compression: Option<Arc<Deflate>>,
    pub(super) keep_request: bool,
    pub(super) rate_limit: RateLimit,
    pub(super) rate_by_key: Option<Arc<RateByKey>>,
}

/// How long connections stay open, and the Close that they get then.
#[derive(Clone)]
pub(super) struct Lifetime {
    pub(super) time: Duration,
    pub(super) code: CloseCode,
    pub(super) reason: Arc<str>,
}

/// A limit that is shared by connections with the same key, which the application chooses.
pub(super) struct RateByKey {
    pub(super) table: Keyed<str>,
    pub(super) key: Box<RateKey>,
}

type RateKey = dyn Fn(&Request<'_>) -> Option<String> + Send + Sync;

impl Default for Options {
    fn default() -> Self {
        Self {
            namespace: Arc::default(),
            config: Arc::new(Config::default()),
            subprotocols: Vec::new(),
            max_backpressure: 16 * 1024 * 1024,
            overflow: Overflow::default(),
            pause_reading_at: 1024 * 1024,
            send_timeout: Duration::from_secs(60),
            max_lifetime: None,
            #[cfg(feature = "deflate")]
            compression: None,
            keep_request: false,
            rate_limit: RateLimit::default(),
            rate_by_key: None,
        }
    }
}

impl Options {
    /// Puts together what was set apart from each other, once nothing more is set.
    pub(super) fn complete(&mut self) {
        #[cfg(feature = "deflate")]
        if let Some(deflate) = self.compression.take() {
            Arc::make_mut(&mut self.config)
                .extensions
                .insert(0, deflate);
        }
    }
}

/// Bytes of a Close's reason (RFC 6455 section 5.5).
pub(super) const MAX_REASON: usize = 123;

/// How many keys or addresses are told apart: 4 MB once they are used.
pub(super) const MAX_KEYS: usize = 100_000;

/// The settings that a server has for all its routes, or a single route.
macro_rules! option_methods {
    () => {
        /// Sets the limits and timeouts of the connections, and their extensions. Default
        /// [`Config::default`].
        pub fn config(self, config: Config) -> Self {
            let config = Arc::new(config);
            self.option(move |it| it.config = config)
        }

        /// Sets the supported subprotocols; the first of the client's offers among them is agreed
        /// on (RFC 6455 section 1.9). Default none.
        pub fn subprotocols<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
            let names: Vec<String> = names.into_iter().map(Into::into).collect();
            self.option(move |it| it.subprotocols = names)
        }

        /// Sets the most bytes that may wait to be written to one connection.
        /// [`overflow`](Self::overflow) says what happens to a message that would exceed it. One
        /// longer message is always accepted when nothing waits, so that a limit below the longest
        /// message drops only what is behind others.
        ///
        /// Default 16 MiB: sixteen of the longest messages that are received by default.
        /// uWebSockets has 64 KiB and drops, Bun 16 MiB; `ws` and Socket.IO have no limit.
        pub fn max_backpressure(self, bytes: usize) -> Self {
            self.option(move |it| it.max_backpressure = bytes)
        }

        /// Sets what happens at [`max_backpressure`](Self::max_backpressure). Default
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

        /// Closes a connection with 1001 after this time, give or take a tenth, so that those that
        /// opened together don't reconnect together.
        ///
        /// Default none, as in uWebSockets; most servers have no such setting.
        pub fn max_lifetime(self, lifetime: Duration) -> Self {
            let reason = "the connection's time is over";
            self.max_lifetime_with(lifetime, CloseCode::GOING_AWAY, reason)
        }

        /// Like [`max_lifetime`](Self::max_lifetime), with a code and a reason for the Close: to have
        /// clients sign in again, say. A code or reason that may not be sent (RFC 6455 section 7.4)
        /// is sent as 1000 without a reason.
        pub fn max_lifetime_with(self, time: Duration, code: CloseCode, reason: &str) -> Self {
            let may_be_sent = code.is_sendable() && reason.len() <= MAX_REASON;
            let (code, reason) = match may_be_sent {
                true => (code, reason),
                false => (CloseCode::NORMAL, ""),
            };
            let reason = reason.into();
            let lifetime = Lifetime { time, code, reason };
            self.option(move |it| it.max_lifetime = Some(lifetime))
        }

        /// Compresses messages with permessage-deflate (RFC 7692) where the client offers it, with
        /// the memory for it bounded: connections have no contexts of their own, and those of a
        /// worker share a few ([`Deflate::shared`](crate::proto::Deflate::shared)).
        ///
        /// Default none: it costs time for each message, and what a message's length tells of a
        /// secret in it.
        #[cfg(feature = "deflate")]
        pub fn compression(self) -> Self {
            self.compression_with(Deflate::shared())
        }

        /// Like [`compression`](Self::compression), with these settings. With context takeover,
        /// [`Deflate::default`](crate::proto::Deflate), short messages become a third instead of
        /// four fifths, and each connection may take 0.5 MB.
        ///
        /// They come before the extensions of [`config`](Self::config), in whatever order the two
        /// are called.
        #[cfg(feature = "deflate")]
        pub fn compression_with(self, deflate: Deflate) -> Self {
            let deflate = Arc::new(deflate);
            self.option(move |it| it.compression = Some(deflate))
        }

        /// Keeps the request of the opening handshake, for [`Sender::request`] and the statistics.
        /// Costs the memory of its head per connection, so it isn't the default: the application
        /// should rather copy what it needs into its own state.
        ///
        /// [`Sender::request`]: super::Sender::request
        pub fn keep_request(self) -> Self {
            self.option(|it| it.keep_request = true)
        }

        /// Limits what a connection may send. Default no limit.
        pub fn rate_limit(self, limit: RateLimit) -> Self {
            self.option(move |it| it.rate_limit = limit)
        }

        /// Limits what the connections of one key may send together: a user's, say, over all tabs.
        /// Connections for which `key` returns None are not limited. Default no limit.
        ///
        /// Up to 100,000 keys are told apart; beyond that, some keys may send more.
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
