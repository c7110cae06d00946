//! A WebSocket route: its handler, and who may connect to it.

mod accepted;
mod decision;
mod deferred;
mod endpoints;
mod guard;
mod router;

use std::boxed::Box;
use std::fmt;
use std::mem;
use std::string::String;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

pub use self::accepted::Accepted;
use self::decision::Decide;
pub(super) use self::decision::{Decided, Decision};
pub use self::deferred::Deferred;
pub(super) use self::endpoints::Endpoints;
pub use self::guard::Guard;
pub(super) use self::guard::{Guards, ServerGuards};
pub(super) use self::router::{Entry, Router};
use super::handle::Handle;
use super::handler::{Handler, instance};
use super::http::{Parameter, Reads, Reject, Request};
use super::id::ConnectionId;
use super::limits::{Keyed, RateLimit};
use super::options::{Lifetime, MAX_KEYS, MAX_REASON, Options, RateByKey, option_methods};
use super::topics::TopicOptions;
use super::websocket::Overflow;
#[cfg(feature = "deflate")]
use crate::proto::Deflate;
use crate::proto::{CloseCode, Config};

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
/// use sockeye::server::{Reject, Route, Server};
/// use sockeye::server::socket::Overflow;
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
    pub(super) guards: Guards,
    pub(super) reads: Reads,
    namespace: Option<Arc<str>>,
    topics: Vec<(String, TopicOptions)>,
    overrides: Vec<Box<Override>>,
}

/// A setting that overrides the server's for this route.
type Override = dyn FnOnce(&mut Options);

impl Route {
    /// Hands connections on `path` to `handler`; each one's state begins as its type's default.
    ///
    /// The path is as [`Builder::route`](super::Builder::route) says.
    pub fn new<H>(path: &str, handler: H) -> Self
    where
        H: Handler,
        H::State: Default,
    {
        Self::with(path, handler, |_| Ok(H::State::default()))
    }

    /// Like [`new`](Self::new), with the state made from the request. Refusing here refuses the
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

    /// Like [`with`](Self::with), with headers or a subprotocol added to the response.
    ///
    /// ```
    /// # use sockeye::{proto::Message, server::{Handler, Socket}};
    /// # struct Chat;
    /// # impl Handler for Chat {
    /// #     type State = ();
    /// #     fn on_message(&self, _: &mut Socket<'_, ()>, _: Message<'_>) {}
    /// # }
    /// use sockeye::server::Route;
    /// use sockeye::server::route::Accepted;
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

    /// Like [`with`](Self::with), decided later: by a database's or an identity provider's answer,
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
            guards: Guards::default(),
            reads: Reads::default(),
            namespace: None,
            topics: Vec::new(),
            overrides: Vec::new(),
        }
    }

    /// Adds a guard, which runs after those already added.
    pub fn guard(mut self, guard: impl Guard) -> Self {
        self.guards.add(guard);
        self
    }

    /// Leaves the [server's guards](super::Builder::guard) out for this route; its own remain.
    pub fn public(mut self) -> Self {
        self.guards.set_public();
        self
    }

    /// States that this route reads this parameter of its path: if the path doesn't have it,
    /// [`listen`](super::Builder::listen) fails. See [`Param`](super::http::Param).
    pub fn reads(mut self, param: impl Parameter) -> Self {
        self.reads.add(&param);
        self
    }

    /// Sets the namespace of the topics that its connections subscribe and publish to. Routes with
    /// the same namespace share topics; a connection reaches those of no other. Default the path,
    /// as written in [`Builder::route`](super::Builder::route): each route has topics of its own.
    ///
    /// Other threads, and connections of other routes, reach the topics by
    /// [`Handle::topics`](super::Handle::topics).
    ///
    /// A namespace isn't empty and has no space:
    /// [`listen`](super::Builder::listen) returns
    /// [`BuildError::Namespace`](super::BuildError::Namespace) if it is or has.
    ///
    /// ```
    /// # use sockeye::{proto::Message, server::{Handler, Socket}};
    /// # struct Chat;
    /// # impl Handler for Chat {
    /// #     type State = ();
    /// #     fn on_message(&self, _: &mut Socket<'_, ()>, _: Message<'_>) {}
    /// # }
    /// use sockeye::server::{Route, Server};
    ///
    /// // Who watches reads what is said, in the same rooms.
    /// let server = Server::builder()
    ///     .add_route(Route::new("/chat", Chat).namespace("chat"))
    ///     .add_route(Route::new("/watch", Chat).namespace("chat"))
    ///     .listen("127.0.0.1:0")?;
    /// server.handle().topics("chat").publish("lobby", "for both")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn namespace(mut self, name: &str) -> Self {
        self.namespace = Some(name.into());
        self
    }

    /// Sets the options of the topics of the route's namespace that match a pattern, as
    /// [`Builder::topic`](super::Builder::topic) does for all namespaces. The first call whose
    /// pattern matches applies: those of routes come before those of the builder.
    pub fn topic(mut self, pattern: &str, options: TopicOptions) -> Self {
        self.topics.push((pattern.into(), options));
        self
    }

    option_methods!();

    fn option(mut self, change: impl FnOnce(&mut Options) + 'static) -> Self {
        self.overrides.push(Box::new(change));
        self
    }

    /// Takes the options of its topics.
    pub(super) fn take_topics(&mut self) -> Vec<(String, TopicOptions)> {
        mem::take(&mut self.topics)
    }

    /// Returns the path and its endpoint; settings that the route leaves unset are the server's.
    pub(super) fn into_endpoint(self, defaults: &Options) -> (String, Endpoint) {
        let mut options = defaults.clone();
        options.namespace = self.namespace.unwrap_or_else(|| (&*self.path).into());
        for change in self.overrides {
            change(&mut options);
        }
        options.complete();
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

/// A route as the server stores it.
pub(super) struct Endpoint {
    pub(super) decide: Box<Decide>,
    pub(super) guards: Guards,
    pub(super) options: Arc<Options>,
}
