//! A WebSocket route: its handler, who may connect to it, and its own settings.

use std::boxed::Box;
use std::fmt;
use std::string::String;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use super::deferred::Deferred;
use super::handle::Handle;
use super::handler::{Decide, Decision, Handler, instance};
use super::http::Request;
use super::id::ConnectionId;
use super::limits::{Keyed, RateLimit};
use super::reject::Reject;
use super::socket::Overflow;
use crate::proto::Config;

/// Looks at a request before the handler does, and refuses it or lets it pass.
///
/// Each function from a request to a `Result<(), Reject>` is one; so is
/// [`Origins`](crate::proto::Origins). Guards of the server run before those of the route, each
/// in the order they were added; the first that refuses answers.
pub trait Guard: Send + Sync + 'static {
    /// Lets the request pass, or says how it is refused.
    ///
    /// # Errors
    /// The response that refuses the request.
    fn check(&self, request: &Request<'_>) -> Result<(), Reject>;
}

impl<F> Guard for F
where
    F: Fn(&Request<'_>) -> Result<(), Reject> + Send + Sync + 'static,
{
    fn check(&self, request: &Request<'_>) -> Result<(), Reject> {
        self(request)
    }
}

impl Guard for crate::proto::Origins {
    fn check(&self, request: &Request<'_>) -> Result<(), Reject> {
        match self.allow(request) {
            true => Ok(()),
            false => Err(Reject::new(403, "this origin is not allowed")),
        }
    }
}

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
        /// Default 16 MiB: sixteen of the longest messages that are received by default. uWebSockets
        /// has 64 KiB and drops, Bun 16 MiB; `ws` and Socket.IO have no limit.
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

/// A WebSocket route with settings of its own, for
/// [`Builder::add_route`](super::Builder::add_route).
///
/// ```
/// # use sockeye::{proto::Message, server::{Handler, Socket}};
/// # struct Chat;
/// # impl Handler for Chat {
/// #     type State = String;
/// #     fn on_message(&self, _: &mut Socket<'_, String>, _: Message<'_>) {}
/// # }
/// use sockeye::server::{Overflow, Reject, Route, Server};
///
/// let server = Server::builder().add_route(
///     Route::with("/rooms/{room}", Chat, |request| match request.query_param("name") {
///         Some(name) => Ok(name.into_owned()),
///         None => Err(Reject::new(400, "add ?name= to the URL")),
///     })
///     .guard(|request: &sockeye::server::Request<'_>| match request.cookie("session") {
///         Some(_) => Ok(()),
///         None => Err(Reject::new(401, "sign in first")),
///     })
///     .max_backpressure(256 * 1024)
///     .overflow(Overflow::Close),
/// );
/// # let _ = server;
/// ```
#[must_use]
pub struct Route {
    pub(super) path: String,
    pub(super) decide: Box<Decide>,
    pub(super) guards: Vec<Box<dyn Guard>>,
    overrides: Vec<Box<Override>>,
}

/// A setting of the route's own.
type Override = dyn FnOnce(&mut Options);

impl Route {
    /// Connections on `path` are `handler`'s; each one's state begins as its type's default.
    ///
    /// The path is as [`Builder::route`](super::Builder::route) says.
    pub fn new<H>(path: &str, handler: H) -> Self
    where
        H: Handler,
        H::State: Default,
    {
        Self::with(path, handler, |_| Ok(H::State::default()))
    }

    /// As [`new`](Self::new), with the state made from the request. Refusing here refuses the
    /// connection before it opens.
    pub fn with<H, F>(path: &str, handler: H, make_state: F) -> Self
    where
        H: Handler,
        F: Fn(&Request<'_>) -> Result<H::State, Reject> + Send + Sync + 'static,
    {
        Self::accepting(path, handler, move |request| {
            make_state(request).map(Accepted::new)
        })
    }

    /// As [`with`](Self::with), with more to say in the response: headers, a subprotocol.
    ///
    /// ```
    /// # use sockeye::{proto::Message, server::{Handler, Socket}};
    /// # struct Chat;
    /// # impl Handler for Chat {
    /// #     type State = ();
    /// #     fn on_message(&self, _: &mut Socket<'_, ()>, _: Message<'_>) {}
    /// # }
    /// use sockeye::server::{Accepted, Route};
    ///
    /// let route = Route::accepting("/chat", Chat, |_| {
    ///     Ok(Accepted::new(()).with_header("Set-Cookie", "seen=1; Secure; HttpOnly"))
    /// });
    /// # let _ = route;
    /// ```
    pub fn accepting<H, F>(path: &str, handler: H, accept: F) -> Self
    where
        H: Handler,
        F: Fn(&Request<'_>) -> Result<Accepted<H::State>, Reject> + Send + Sync + 'static,
    {
        let handler = Arc::new(handler);
        Self::decided(path, move |request, _, _| match accept(request) {
            Ok(accepted) => Decision::Accept(accepted.map(|state| instance(&handler, state))),
            Err(reject) => Decision::Reject(reject),
        })
    }

    /// As [`with`](Self::with), decided later: by a database's or an identity provider's answer,
    /// on another thread. Nothing is read from the client meanwhile, for at most
    /// [`handshake_timeout`](Config::handshake_timeout); then it is refused with 503.
    ///
    /// ```
    /// # use sockeye::{proto::Message, server::{Handler, Socket}};
    /// # struct Chat;
    /// # impl Handler for Chat {
    /// #     type State = String;
    /// #     fn on_message(&self, _: &mut Socket<'_, String>, _: Message<'_>) {}
    /// # }
    /// # fn look_up(token: &str) -> Option<String> { None }
    /// use sockeye::server::{Reject, Route};
    ///
    /// let route = Route::deferred("/chat", Chat, |request, upgrade| {
    ///     let token = request.query_param("token").unwrap_or_default().into_owned();
    ///     std::thread::spawn(move || match look_up(&token) {
    ///         Some(user) => upgrade.accept(user),
    ///         None => upgrade.reject(Reject::new(401, "the token is not valid")),
    ///     });
    /// });
    /// # let _ = route;
    /// ```
    pub fn deferred<H, F>(path: &str, handler: H, decide: F) -> Self
    where
        H: Handler,
        F: Fn(&Request<'_>, Deferred<H::State>) + Send + Sync + 'static,
    {
        let handler = Arc::new(handler);
        Self::decided(path, move |request, handle, id| {
            let handler = Arc::clone(&handler);
            let open = move |state| instance(&handler, state);
            let (deferred, slot) = Deferred::new(handle.clone(), id, open);
            decide(request, deferred);
            Decision::Deferred(slot)
        })
    }

    fn decided(
        path: &str,
        decide: impl Fn(&Request<'_>, &Handle, ConnectionId) -> Decision + Send + Sync + 'static,
    ) -> Self {
        Self {
            path: path.into(),
            decide: Box::new(decide),
            guards: Vec::new(),
            overrides: Vec::new(),
        }
    }

    /// Adds a guard, which runs after those there are.
    pub fn guard(mut self, guard: impl Guard) -> Self {
        self.guards.push(Box::new(guard));
        self
    }

    option_methods!();

    fn option(mut self, change: impl FnOnce(&mut Options) + 'static) -> Self {
        self.overrides.push(Box::new(change));
        self
    }

    /// What answers on the path, with the server's settings where the route has none of its own.
    pub(super) fn into_endpoint(self, defaults: &Options) -> (String, Endpoint) {
        let mut options = defaults.clone();
        for change in self.overrides {
            change(&mut options);
        }
        let endpoint = Endpoint {
            decide: self.decide,
            guards: self.guards,
            options: Arc::new(options),
        };
        (self.path, endpoint)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A connection's state, and what else its acceptance says. A state alone becomes one with
/// nothing else.
#[derive(Clone, Debug)]
pub struct Accepted<S> {
    pub(super) state: S,
    pub(super) headers: Vec<(String, String)>,
    pub(super) subprotocol: Option<String>,
}

impl<S> Accepted<S> {
    /// Accepts with this state.
    #[must_use]
    pub fn new(state: S) -> Self {
        Self {
            state,
            headers: Vec::new(),
            subprotocol: None,
        }
    }

    /// The same with a header in the 101, a cookie, say. One that can't be sent refuses the
    /// connection with 500.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The same with this subprotocol, which has to be one of those offered, instead of the
    /// choice among the route's.
    #[must_use]
    pub fn with_subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocol = Some(name.into());
        self
    }

    pub(super) fn map<R>(self, make: impl FnOnce(S) -> R) -> Accepted<R> {
        Accepted {
            state: make(self.state),
            headers: self.headers,
            subprotocol: self.subprotocol,
        }
    }
}

impl<S> From<S> for Accepted<S> {
    fn from(state: S) -> Self {
        Self::new(state)
    }
}

/// A route as the server has it.
pub(super) struct Endpoint {
    pub(super) decide: Box<Decide>,
    pub(super) guards: Vec<Box<dyn Guard>>,
    pub(super) options: Arc<Options>,
}
