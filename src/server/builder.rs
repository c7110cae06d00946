//! Putting a server together.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::net::{SocketAddr, ToSocketAddrs};

use super::handle::Handle;
use super::handler::{Handler, Reject, make_application};
use super::router::{Page, Route, Router};
use super::worker::Worker;
use crate::error::Error;
use crate::proto::{Config, Origins, Request};

/// What all sessions of a server share.
pub(super) struct Settings {
    pub(super) config: Arc<Config>,
    pub(super) router: Router,
    pub(super) origins: Origins,
    pub(super) subprotocols: Vec<String>,
    pub(super) max_backpressure: usize,
    pub(super) pause_reading_at: usize,
    pub(super) send_timeout: Duration,
}

/// Makes a [`Server`].
#[must_use]
pub struct Builder {
    config: Config,
    routes: BTreeMap<String, Route>,
    origins: Origins,
    subprotocols: Vec<String>,
    max_backpressure: usize,
    pause_reading_at: usize,
    send_timeout: Duration,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            config: Config::default(),
            routes: BTreeMap::new(),
            origins: Origins::any(),
            subprotocols: Vec::new(),
            max_backpressure: 16 * 1024 * 1024,
            pause_reading_at: 1024 * 1024,
            send_timeout: Duration::from_secs(60),
        }
    }

    /// The limits and times of the connections. Default [`Config::default`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Answers WebSocket connections on `path` with `handler`; each connection's state begins as
    /// its type's default.
    ///
    /// A path is fixed (`/chat`), has parameters (`/rooms/{room}`, one segment each), or ends in
    /// a catch-all (`/files/{*rest}`, at least one byte). Fixed segments win over parameters,
    /// whatever the order of the calls. Paths are compared as they are sent, percent-encoded.
    pub fn route<H>(self, path: &str, handler: H) -> Self
    where
        H: Handler,
        H::State: Default,
    {
        self.route_with(path, handler, |_| Ok(H::State::default()))
    }

    /// As [`route`](Self::route), with the state made from the request. Refusing here refuses the
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
    pub fn route_with<H, F>(mut self, path: &str, handler: H, make_state: F) -> Self
    where
        H: Handler,
        F: Fn(&Request<'_>) -> Result<H::State, Reject> + Send + Sync + 'static,
    {
        let route = self.routes.entry(path.into()).or_default();
        route.application = Some(make_application(handler, make_state));
        self
    }

    /// Answers plain GET and HEAD requests on `path` with a fixed page. The same path may also be
    /// a WebSocket route.
    pub fn page(mut self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let route = self.routes.entry(path.into()).or_default();
        route.page = Some(Page {
            content_type: content_type.into(),
            body: body.into(),
        });
        self
    }

    /// The web pages that may connect; others are answered with 403. Default any.
    pub fn origins(mut self, origins: Origins) -> Self {
        self.origins = origins;
        self
    }

    /// The subprotocols that are spoken; the first of the client's offers that is among them is
    /// agreed on. Default none.
    pub fn subprotocols<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// The most bytes that may wait to be written to one connection: a message that would go over
    /// is [`Dropped`](super::Sent::Dropped).
    ///
    /// Default 16 MiB: sixteen of the longest messages that are received by default.
    pub fn max_backpressure(mut self, bytes: usize) -> Self {
        self.max_backpressure = bytes;
        self
    }

    /// Above this many waiting bytes a connection is not read from until they are written, so
    /// that a peer that sends and never reads fills its own buffers and not the server's.
    ///
    /// Default 1 MiB: well over what a live peer leaves unread.
    pub fn pause_reading_at(mut self, bytes: usize) -> Self {
        self.pause_reading_at = bytes;
        self
    }

    /// A connection that takes nothing of what waits for this long is dropped.
    ///
    /// Default 60 s: a phone in a tunnel comes back before.
    pub fn send_timeout(mut self, timeout: Duration) -> Self {
        self.send_timeout = timeout;
        self
    }

    /// Binds the address and listens; port 0 takes a free one, which
    /// [`Server::local_addr`] tells.
    ///
    /// # Errors
    /// [`Error::Io`] when the address can't be bound, or for a path that is no pattern or clashes
    /// with another.
    pub fn listen(self, address: impl ToSocketAddrs) -> Result<Server, Error> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let settings = Settings {
            config: Arc::new(self.config),
            router: Router::new(self.routes)?,
            origins: self.origins,
            subprotocols: self.subprotocols,
            max_backpressure: self.max_backpressure,
            pause_reading_at: self.pause_reading_at,
            send_timeout: self.send_timeout,
        };
        let listener = mio::net::TcpListener::from_std(listener);
        let worker = Worker::new(Arc::new(settings), listener)?;
        Ok(Server { worker, address })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("routes", &self.routes.keys())
            .finish_non_exhaustive()
    }
}

/// A server that listens. It accepts connections once it [runs](Self::run).
pub struct Server {
    worker: Worker,
    address: SocketAddr,
}

impl Server {
    /// Begins to put a server together.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The address it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// A handle that reaches the server from any thread while it runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.worker.inbox())
    }

    /// Serves on this thread, until [`Handle::shut_down`].
    ///
    /// # Errors
    /// [`Error::Io`] when the operating system's event queue fails. Errors of single connections
    /// end these only.
    pub fn run(self) -> Result<(), Error> {
        Ok(self.worker.run()?)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
