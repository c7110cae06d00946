//! Configuring a server.

mod operation;

use std::boxed::Box;
use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::net::ToSocketAddrs;
use std::num::NonZeroUsize;
use std::string::String;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use mio::Poll;

use super::build_error::{BuildError, RouteFault};
use super::handle::Handle;
use super::handler::Handler;
#[cfg(feature = "files")]
use super::http::Files;
use super::http::{Cors, HttpResponse, IntoResponse, Methods, Reject, Request};
use super::id::Standings;
use super::limits::{ConnectionCounts, HandshakeRates, Keyed, Rate, RateLimit};
use super::listen::{Listener, bind_all};
#[cfg(feature = "tls")]
use super::listen::{Tls, TlsFiles, share_tls};
use super::observe::{CloseCounters, Observer, PublishedCounters};
use super::options::{Lifetime, MAX_KEYS, MAX_REASON, Options, RateByKey, option_methods};
use super::proxy::TrustedProxies;
use super::route::{Endpoints, Entry, Guard, Route, Router, ServerGuards};
use super::run::balance::Load;
use super::run::chores::Chore;
use super::run::inbox::{self, Inbox};
use super::run::server::{Parts, Server};
use super::run::worker::WAKER;
use super::shards::Shards;
use super::shared::Shared;
#[cfg(all(unix, feature = "signals"))]
use super::signals::DrainOnTerm;
use super::sync::{Mutex, Waker};
use super::topics::{
    Directory, MemoryPresence, Namespaces, PatternOptions, Presence, TopicLimits, TopicOptions,
    TopicPattern, is_namespace,
};
use super::users::Users;
use super::websocket::Overflow;
use crate::error::Error;
use crate::net::Clock;
#[cfg(feature = "deflate")]
use crate::proto::Deflate;
use crate::proto::{CloseCode, Config, Origins};

/// Configures a [`Server`].
#[must_use]
pub struct Builder {
    workers: Option<NonZeroUsize>,
    options: Options,
    guards: ServerGuards,
    cors: Option<Arc<Cors>>,
    routes: Vec<Route>,
    methods: BTreeMap<String, Methods>,
    #[cfg(feature = "files")]
    files: Vec<(String, Files)>,
    max_body: usize,
    max_inbox: usize,
    topic_limits: TopicLimits,
    topics: Vec<(String, TopicOptions)>,
    presence: Arc<dyn Presence>,
    observers: Vec<Box<dyn Observer>>,
    max_connections: usize,
    max_per_address: usize,
    handshake_rates: (Option<Rate>, Option<Rate>),
    chores: Vec<Chore>,
    by_address: Option<RateLimit>,
    trusted_proxies: TrustedProxies,
    proxy_protocol: TrustedProxies,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ServerConfig>>,
    #[cfg(feature = "tls")]
    tls_files: Option<TlsFiles>,
    #[cfg(all(unix, feature = "signals"))]
    signals: bool,
    #[cfg(all(unix, feature = "signals"))]
    drain_on_term: Option<DrainOnTerm>,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            workers: None,
            options: Options::default(),
            guards: ServerGuards::default(),
            cors: None,
            routes: Vec::new(),
            methods: BTreeMap::new(),
            #[cfg(feature = "files")]
            files: Vec::new(),
            max_body: 1024 * 1024,
            max_inbox: inbox::DEFAULT_CAPACITY,
            topic_limits: TopicLimits::default(),
            topics: Vec::new(),
            presence: Arc::new(MemoryPresence::new()),
            observers: vec![
                #[cfg(feature = "tracing")]
                Box::new(super::observe::Trace::new()),
            ],
            max_connections: usize::MAX,
            max_per_address: usize::MAX,
            handshake_rates: (None, None),
            chores: Vec::new(),
            by_address: None,
            trusted_proxies: TrustedProxies::default(),
            proxy_protocol: TrustedProxies::default(),
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "tls")]
            tls_files: None,
            #[cfg(all(unix, feature = "signals"))]
            signals: false,
            #[cfg(all(unix, feature = "signals"))]
            drain_on_term: None,
        }
    }

    /// Sets how many threads serve, each with its own connections; a worker that has few and isn't
    /// blocked in a handler accepts a new one. Default one per processor, at most 128.
    pub fn workers(mut self, count: NonZeroUsize) -> Self {
        self.workers = Some(count);
        self
    }

    option_methods!();

    pub(super) fn option(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    /// Adds a guard in front of all that has a path, WebSocket routes and plain requests, which
    /// runs after those already added. [`Methods::public`] and [`Route::public`] leave it out for
    /// one path, such as that of a health check.
    pub fn guard(self, guard: impl Guard) -> Self {
        self.guard_under("", guard)
    }

    /// Adds a guard in front of `path` and all paths below it: `/admin` is for what is routed as
    /// `/admin`, `/admin/users` and `/admin/{page}`, and not for `/{any}`, whatever a request has
    /// in its place. In all else the same as [`guard`](Self::guard).
    ///
    /// If there is no such path, [`listen`](Self::listen) fails.
    ///
    /// ```
    /// use sockeye::server::{HttpResponse, Reject, Request, Server};
    ///
    /// let server = Server::builder()
    ///     .guard_under("/admin", |request: &Request<'_>| match request.header("authorization") {
    ///         Some("Bearer s3cret") => Ok(()),
    ///         _ => Err(Reject::new(401, "for administrators")),
    ///     })
    ///     .get("/admin/users", |_| HttpResponse::json("[]"))
    ///     .get("/", |_| HttpResponse::text("for all"));
    /// # let _ = server;
    /// ```
    pub fn guard_under(mut self, path: &str, guard: impl Guard) -> Self {
        self.guards.add(path, guard);
        self
    }

    /// Sets the origins of web pages that may connect by WebSocket; others get a 403. Default any.
    /// The same as [`guard`](Self::guard) with them for upgrades alone: browsers send no origin
    /// when they load a page.
    pub fn origins(self, origins: Origins) -> Self {
        self.guard(move |request: &Request<'_>| match request.is_upgrade() {
            true => origins.check(request),
            false => Ok(()),
        })
    }

    /// Sets which pages of other origins may make plain requests and read the responses. Default
    /// none. [`Methods::cors`] sets it for one path.
    pub fn cors(mut self, cors: Cors) -> Self {
        self.cors = Some(Arc::new(cors));
        self
    }

    /// Hands WebSocket connections on `path` to `handler`; each connection's state begins as its
    /// type's default.
    ///
    /// A path begins with `/`, and [`listen`](Self::listen) refuses one that doesn't. It is fixed
    /// (`/chat`), has parameters (`/rooms/{room}`, one segment each), ends in an optional one
    /// (`/rooms/{room?}`) or in a catch-all (`/files/{*rest}`, at least one byte). Fixed segments
    /// take precedence over parameters, whatever the order of the calls. Paths are compared as
    /// sent, percent-encoded; [`Request::param`](super::Request::param) decodes.
    pub fn route<H>(self, path: &str, handler: H) -> Self
    where
        H: Handler,
        H::State: Default,
    {
        self.add_route(Route::new(path, handler))
    }

    /// Like [`route`](Self::route), with the state made from the request. Refusing here refuses the
    /// connection before it opens.
    ///
    /// ```
    /// use sockeye::server::{Reject, Server};
    /// # use sockeye::{proto::Message, server::{Handler, Socket}};
    /// # struct Chat;
    /// # impl Handler for Chat {
    /// #     type State = String;
    /// #     fn on_message(&self, _: &mut Socket<'_, String>, _: Message<'_>) {}
    /// # }
    ///
    /// let server = Server::builder().route_with("/chat", Chat, |request| {
    ///     match request.query_param("name") {
    ///         Some(name) => Ok(name.into_owned()),
    ///         None => Err(Reject::new(400, "add ?name= to the URL")),
    ///     }
    /// });
    /// # let _ = server;
    /// ```
    pub fn route_with<H, F>(self, path: &str, handler: H, make_state: F) -> Self
    where
        H: Handler,
        F: Fn(&Request<'_>) -> Result<H::State, Reject> + Send + Sync + 'static,
    {
        self.add_route(Route::with(path, handler, make_state))
    }

    /// Adds a route with its own settings.
    pub fn add_route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Handles plain GET requests on `path`, and HEAD. The same path may also be a WebSocket route.
    ///
    /// ```
    /// use sockeye::server::{HttpResponse, Server};
    ///
    /// let server = Server::builder().get("/health", |_| HttpResponse::text("ok"));
    /// # let _ = server;
    /// ```
    pub fn get<R: IntoResponse>(
        self,
        path: &str,
        handler: impl Fn(&Request<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.methods(path, |it| it.get(handler))
    }

    /// Handles plain POST requests on `path`; [`Request::body`](super::Request::body) is the posted
    /// body.
    pub fn post<R: IntoResponse>(
        self,
        path: &str,
        handler: impl Fn(&Request<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.methods(path, |it| it.post(handler))
    }

    /// Handles plain requests on `path` with the methods that `add` adds.
    ///
    /// ```
    /// use sockeye::server::{HttpResponse, Server};
    ///
    /// let server = Server::builder().methods("/rooms/{room}", |methods| {
    ///     methods
    ///         .on("PUT", |_| HttpResponse::status(201))
    ///         .on("DELETE", |_| HttpResponse::status(204))
    /// });
    /// # let _ = server;
    /// ```
    pub fn methods(mut self, path: &str, add: impl FnOnce(Methods) -> Methods) -> Self {
        let methods = self.methods.entry(path.into()).or_default();
        *methods = add(mem::take(methods));
        self
    }

    /// Serves plain GET and HEAD requests on `path` with a fixed page. The same path may also be a
    /// WebSocket route.
    pub fn page(self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let page = HttpResponse::new(content_type, body);
        self.get(path, move |_| page.clone())
    }

    /// Serves plain GET and HEAD requests of `path` and all below it with the files of a folder: see
    /// [`Files`]. A path below it that has handlers of its own keeps these.
    #[cfg(feature = "files")]
    pub fn files(mut self, path: &str, files: Files) -> Self {
        self.files.push((path.into(), files));
        self
    }

    /// Sets the longest body of a plain request in bytes; a longer one gets a 413.
    ///
    /// Default 1 MiB, as nginx.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sets how many bytes may wait for one worker: messages that other workers and threads publish
    /// or send to its connections, and other commands given through a [`Handle`](super::Handle).
    /// When half is used, connections that publish there are not read from until three quarters are
    /// free; when all is used, a call is refused as a whole
    /// ([`HandleError::Busy`](super::HandleError::Busy),
    /// [`Published::refused`](super::topics::Published::refused)).
    ///
    /// Default 64 MiB. One longer message is always accepted when nothing waits.
    pub fn max_inbox(mut self, bytes: usize) -> Self {
        self.max_inbox = bytes;
        self
    }

    /// Sets the limits on topics and subscriptions.
    pub fn topic_limits(mut self, limits: TopicLimits) -> Self {
        self.topic_limits = limits;
        self
    }

    /// Sets the options of the topics that match a pattern, in every namespace: `prices/*` (one
    /// more segment), `rooms/**` (any rest), or a topic itself. The first call whose pattern
    /// matches applies, those of [`Route::topic`] before these.
    pub fn topic(mut self, pattern: &str, options: TopicOptions) -> Self {
        self.topics.push((pattern.into(), options));
        self
    }

    /// Sets the store of who is present in which topic. Default in memory, [`MemoryPresence`].
    pub fn presence(mut self, store: Arc<dyn Presence>) -> Self {
        self.presence = store;
        self
    }

    /// Has a function called at regular times while the server runs, on the thread of its first
    /// worker, for the first time when a period has passed.
    ///
    /// It is never called early, and up to a quarter of a second late; a shorter period counts as a
    /// quarter of a second. Where the worker was busy for longer, the times that have passed are left
    /// out, and the next is where it would have been. One that blocks delays the worker's
    /// connections. A panic is counted as [`ErrorCause::Panic`](super::observe::ErrorCause) and ends
    /// nothing: the function is called again. It is no longer called once the server stops.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sockeye::server::Server;
    ///
    /// let server = Server::builder().every(Duration::from_secs(1), |handle| {
    ///     println!("{} connections", handle.connection_count());
    /// });
    /// # let _ = server;
    /// ```
    pub fn every(mut self, period: Duration, run: impl FnMut(&Handle) + Send + 'static) -> Self {
        self.chores.push(Chore::new(period, Box::new(run)));
        self
    }

    /// Adds an observer of all connections.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// Sets the most connections at once, plain HTTP included; more get a 503 and are closed.
    ///
    /// Default none: the file descriptors are the limit. When they run out, accepting waits.
    pub fn max_connections(mut self, count: usize) -> Self {
        self.max_connections = count;
        self
    }

    /// Sets the most connections at once per address (an IPv6 address counts by its /64); a further
    /// upgrade gets a 429. Behind a proxy the address is the client's.
    ///
    /// Default none: many people share an address behind a carrier's or a company's NAT.
    pub fn max_connections_per_address(mut self, count: usize) -> Self {
        self.max_per_address = count;
        self
    }

    /// Limits opening handshakes over time, per address and in total; others get a 429. Default no
    /// limit.
    pub fn handshake_rate(mut self, per_address: Option<Rate>, total: Option<Rate>) -> Self {
        self.handshake_rates = (per_address, total);
        self
    }

    /// Limits what the connections of one address may send together. Default no limit.
    pub fn rate_limit_by_address(mut self, limit: RateLimit) -> Self {
        self.by_address = Some(limit);
        self
    }

    /// Sets the proxies whose `X-Forwarded-For`, or another header, gives a client's address.
    /// Default none: anyone could write such a header.
    pub fn trusted_proxies(mut self, proxies: TrustedProxies) -> Self {
        self.trusted_proxies = proxies;
        self
    }

    /// Sets the proxies that begin each connection with a PROXY header, version 1 or 2, which gives
    /// the client's address. Theirs must have one; others' must not. Default none.
    pub fn proxy_protocol(mut self, proxies: TrustedProxies) -> Self {
        self.proxy_protocol = proxies;
        self
    }

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
    pub(super) fn parts(self, wakers: Vec<Option<Waker>>) -> Result<Parts, BuildError> {
        self.parts_by(Clock::start(), wakers)
    }

    /// Like [`parts`](Self::parts), by a simulated clock and for workers that nobody polls: one,
    /// unless [`workers`](Self::workers) set their number.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn simulated_parts(self) -> Result<Parts, BuildError> {
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

/// A worker's number must fit into a [`ConnectionId`](super::ConnectionId).
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

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.options.config)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}
