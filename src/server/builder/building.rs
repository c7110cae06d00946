//! From what is set to a server: its listeners, and what its workers share.

use std::collections::BTreeMap;
use std::net::ToSocketAddrs;
use std::num::NonZeroUsize;
use std::string::String;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::vec::Vec;

use mio::Poll;

use super::Builder;
use crate::error::Error;
use crate::net::Clock;
use crate::server::build_error::{BuildError, RouteFault};
use crate::server::id::Standings;
use crate::server::limits::{ConnectionCounts, HandshakeRates, Keyed};
use crate::server::listen::{Listener, bind_all};
#[cfg(feature = "tls")]
use crate::server::listen::{Tls, share_tls};
use crate::server::observe::{CloseCounters, PublishedCounters};
use crate::server::options::MAX_KEYS;
use crate::server::route::{Endpoints, Entry, Router};
use crate::server::run::balance::Load;
use crate::server::run::inbox::Inbox;
use crate::server::run::server::{Parts, Server};
use crate::server::run::worker::WAKER;
use crate::server::shards::Shards;
use crate::server::shared::Shared;
use crate::server::sync::{Mutex, Waker};
use crate::server::topics::{
    Directory, Namespaces, PatternOptions, TopicOptions, TopicPattern, is_namespace,
};
use crate::server::users::Users;

impl Builder {
    /// Listens on a TCP address; port 0 takes a free one, which [`Server::local_addr`] returns. The
    /// same as [`listen_on`](Self::listen_on) with one [`Listener::tcp`].
    ///
    /// # Errors
    /// As [`listen_on`](Self::listen_on).
    pub fn listen(self, address: impl ToSocketAddrs) -> Result<Server, Error> {
        self.listen_on([Listener::tcp(address)])
    }

    /// Listens on all of these; the same workers, routes and topics serve their connections.
    ///
    /// ```no_run
    /// use sockeye::server::{HttpResponse, Listener, Server};
    ///
    /// let server = Server::builder()
    ///     .get("/health", |_| HttpResponse::text("ok"))
    ///     .listen_on([
    ///         Listener::tcp("0.0.0.0:9001"),
    ///         Listener::tcp("[::]:9001").only_v6(true),
    ///     ])?;
    /// server.run()?;
    /// # Ok::<(), sockeye::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Io`] when one of them can't be bound (it is named). [`Error::Build`] when one can't
    /// have one of its settings or there is none, for a path that can't be routed, a topic that is
    /// not a pattern, or a TLS configuration that can't be used: see [`BuildError`].
    pub fn listen_on(
        #[cfg_attr(not(any(feature = "tls", feature = "signals")), expect(unused_mut))] mut self,
        listeners: impl IntoIterator<Item = Listener>,
    ) -> Result<Server, Error> {
        #[cfg_attr(not(feature = "tls"), expect(unused_mut))]
        let mut listeners: Vec<Listener> = listeners.into_iter().collect();
        #[cfg(feature = "tls")]
        if let Some(files) = &self.tls_files {
            self.tls = Some(files.read()?);
        }
        #[cfg(feature = "tls")]
        let config = share_tls(&mut listeners, self.tls.take());
        #[cfg(feature = "tls")]
        self.tls.clone_from(&config);
        let count = self.workers.map_or_else(processors, NonZeroUsize::get);
        let count = count.min(MAX_WORKERS);
        let mut polls = Vec::with_capacity(count);
        let mut wakers = Vec::with_capacity(count);
        for _ in 0..count {
            let poll = Poll::new()?;
            let waker = Waker::new(poll.registry(), WAKER)?;
            wakers.push(Some(waker));
            polls.push(poll);
        }
        #[cfg(all(unix, feature = "signals"))]
        let signals = (self.signals, self.drain_on_term.take());
        let parts = self.parts(wakers)?;
        let bound = bind_all(
            listeners,
            #[cfg(feature = "tls")]
            config.as_ref().zip(parts.shared.tls.as_ref()),
        )?;
        let server = Server::new(polls, bound, parts)?;
        #[cfg(all(unix, feature = "signals"))]
        let server = match signals {
            (true, drain) => server.heeding_signals(drain),
            (false, _) => server,
        };
        Ok(server)
    }

    /// Builds what the workers with these wakers share; a waker is None if nobody polls.
    pub(in crate::server) fn parts(self, wakers: Vec<Option<Waker>>) -> Result<Parts, BuildError> {
        self.parts_by(Clock::start(), wakers)
    }

    /// Like [`parts`](Self::parts), by a simulated clock and for workers that nobody polls: one,
    /// unless [`workers`](Self::workers) set their number.
    #[cfg(any(test, feature = "testing"))]
    pub(in crate::server) fn simulated_parts(self) -> Result<Parts, BuildError> {
        let count = self.workers.map_or(1, NonZeroUsize::get).min(MAX_WORKERS);
        let wakers = (0..count).map(|_| None).collect();
        self.parts_by(Clock::simulated(), wakers)
    }

    fn parts_by(mut self, clock: Clock, wakers: Vec<Option<Waker>>) -> Result<Parts, BuildError> {
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        let mut namespaces = Namespaces::new();
        for mut route in self.routes {
            if let Err(fault) = route.reads.check(&route.path) {
                let path = route.path.into();
                return Err(BuildError::Route { path, fault });
            }
            let topics = route.take_topics();
            let (path, endpoint) = route.into_endpoint(&self.options);
            let namespace = Arc::clone(&endpoint.options.namespace);
            namespaces
                .entry(namespace)
                .or_default()
                .extend(by_pattern(topics)?);
            entries.entry(path).or_default().endpoint = Some(endpoint);
        }
        self.options.complete();
        #[cfg(feature = "files")]
        for (path, files) in self.files {
            for (path, methods) in files.into_methods(&path)? {
                entries.entry(path).or_default().methods = methods;
            }
        }
        for (path, methods) in self.methods {
            entries.entry(path).or_default().methods = methods;
        }
        if let Some(path) = self.guards.without_path(entries.keys()) {
            let (path, fault) = (path.into(), RouteFault::Unused);
            return Err(BuildError::Route { path, fault });
        }
        if let Some(cors) = &self.cors {
            cors.check().map_err(BuildError::Cors)?;
        }
        for (path, entry) in &mut entries {
            if let Err(fault) = entry.methods.reads.check(path) {
                let path = path.as_str().into();
                return Err(BuildError::Route { path, fault });
            }
            entry.methods.cors = entry.methods.cors.take().or_else(|| self.cors.clone());
            if let Some(cors) = &entry.methods.cors {
                cors.check().map_err(BuildError::Cors)?;
            }
            self.guards.put_before(&mut entry.methods.guards, path);
            if let Some(endpoint) = &mut entry.endpoint {
                self.guards.put_before(&mut endpoint.guards, path);
            }
        }
        let (per_address, total) = self.handshake_rates;
        // A path that can't be routed is told as such, and not as a namespace.
        let router = Router::new(entries)?;
        if let Some(name) = namespaces.keys().find(|it| !is_namespace(it)) {
            return Err(BuildError::Namespace(name.as_ref().into()));
        }
        let topics = by_pattern(self.topics)?;
        let workers = 0..wakers.len();
        let simulated = wakers.iter().all(Option::is_none);
        let inboxes = wakers.into_iter();
        let inboxes = inboxes.map(|it| Arc::new(Inbox::new(it, self.max_inbox)));
        let shared = Shared {
            config: Arc::clone(&self.options.config),
            clock: clock.clone(),
            // A simulation runs without `run`.
            running: AtomicBool::new(simulated),
            accepting: AtomicBool::new(true),
            loads: workers.clone().map(|_| Load::default()).collect(),
            metrics: workers.clone().map(|_| Arc::default()).collect(),
            closes: CloseCounters::default(),
            standings: workers.clone().map(|_| Standings::default()).collect(),
            inboxes: inboxes.collect(),
            directory: Directory::new(self.topic_limits, namespaces, topics, clock, workers.len()),
            observers: self.observers,
            presence: self.presence,
            users: Users::new(),
            presence_order: Shards::new(|| ()),
            topic_order: Shards::new(|| ()),
            published: PublishedCounters::default(),
            connections: Arc::new(ConnectionCounts::new(
                self.max_connections,
                self.max_per_address,
            )),
            by_address: self.by_address.map(|limit| Keyed::new(limit, MAX_KEYS)),
            #[cfg(feature = "tls")]
            tls: self.tls.map(Tls::new).transpose()?.map(Arc::new),
            #[cfg(feature = "tls")]
            tls_files: self.tls_files,
        };
        let endpoints = Endpoints {
            options: self.options,
            router,
            cors: self.cors,
            max_body: self.max_body,
            trusted_proxies: self.trusted_proxies,
            proxy_protocol: self.proxy_protocol,
            handshake_rates: HandshakeRates::new(per_address, total, MAX_KEYS),
            chores: Mutex::new(self.chores),
        };
        Ok(Parts {
            shared: Arc::new(shared),
            endpoints: Arc::new(endpoints),
        })
    }
}

impl Server {
    /// Returns a builder with the defaults.
    pub fn builder() -> Builder {
        Builder::new()
    }
}

/// A worker's number must fit into a [`ConnectionId`](crate::server::ConnectionId).
const MAX_WORKERS: usize = 128;

/// Parses the patterns of topics.
fn by_pattern(topics: Vec<(String, TopicOptions)>) -> Result<PatternOptions, BuildError> {
    let topics = topics.into_iter();
    topics
        .map(|(pattern, options)| Ok((TopicPattern::new(&pattern)?, Arc::new(options))))
        .collect()
}

fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
