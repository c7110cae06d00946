//! Requests of simulated clients, and what the server responds.

use std::boxed::Box;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::format;
use std::net::SocketAddr;
use std::rc::Rc;
use std::string::{String, ToString as _};
use std::sync::Arc;
use std::vec::Vec;

use super::client::Client;
use super::peer::Peer;
use super::world::{End, WebSocketEnd, World};
use crate::proto::http::{HeadLimits, HeadParser, parse_response};
use crate::proto::{ClientRequest, Config, Url};

/// A request that a client of a [`Simulation`](super::Simulation) is about to send: to
/// [connect](Self::connect), or a plain one.
///
/// ```
/// # use sockeye::proto::{CloseCode, Message};
/// use sockeye::server::{Handler, HttpResponse, Reject, Route, Server, Socket};
/// # struct Chat;
/// # impl Handler for Chat {
/// #     type State = ();
/// #     fn on_message(&self, _: &mut Socket<'_, ()>, _: Message<'_>) {}
/// # }
///
/// let server = Server::builder()
///     .route_with("/chat", Chat, |request| match request.header("Authorization") {
///         Some("Bearer ann") => Ok(()),
///         _ => Err(Reject::new(401, "a token, please")),
///     })
///     .post("/echo", |request| HttpResponse::text(String::from_utf8_lossy(request.body())))
///     .simulate()?;
/// let refused = server.connect("/chat").unwrap_err();
/// assert_eq!(refused.status(), Some(401));
/// let ann = server.request("/chat").header("Authorization", "Bearer ann").connect()?;
///
/// let response = server.request("/echo").send("POST", "hello");
/// assert_eq!((response.status, &*response.text()), (200, "hello"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub struct Request {
    world: Rc<RefCell<World>>,
    target: String,
    options: ClientRequest,
    from: Option<SocketAddr>,
    config: Config,
}

impl Request {
    pub(super) fn new(world: Rc<RefCell<World>>, target: &str) -> Self {
        Self {
            world,
            target: target.into(),
            options: ClientRequest::default(),
            from: None,
            config: Config::default(),
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.options.headers.push((name.into(), value.into()));
        self
    }

    /// Offers a subprotocol, after those already offered.
    pub fn subprotocol(mut self, name: &str) -> Self {
        self.options.subprotocols.push(name.into());
        self
    }

    /// Sets the address that the connection comes from. Default a port of 127.0.0.1, another one
    /// for each connection.
    pub fn from(mut self, address: SocketAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// Sets the client's side of the protocol, such as the extensions that it offers. Default
    /// [`Config::default`].
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Opens a WebSocket connection.
    ///
    /// # Errors
    /// [`ConnectError`], when the server refuses.
    ///
    /// # Panics
    /// If the request can't be sent, or if the server hasn't decided when it comes to rest: see
    /// [`begin_connect`](Self::begin_connect).
    #[track_caller]
    pub fn connect(self) -> Result<Client, ConnectError> {
        let target = self.target.clone();
        let decided = self.begin_connect().poll();
        decided.unwrap_or_else(|_| panic!("the server has yet to decide about {target}"))
    }

    /// Begins to open a WebSocket connection, for a route that decides
    /// [later](crate::server::Route::deferred).
    ///
    /// # Panics
    /// If the request can't be sent.
    #[track_caller]
    pub fn begin_connect(self) -> Connecting {
        let Self {
            world,
            target,
            options,
            from,
            config,
        } = self;
        let mut locked = world.borrow_mut();
        let url = match Url::parse(&format!("ws://localhost{target}")) {
            Ok(url) => url,
            Err(error) => panic!("{target:?} is no request target: {error}"),
        };
        let (sim, random, now) = (World::wire(), locked.random(), locked.now);
        let peer = Peer::new(sim.clone(), &url, &options, Arc::new(config), random, now);
        let peer = peer.unwrap_or_else(|misuse| panic!("the request can't be sent: {misuse}"));
        sim.0.borrow_mut().arrive_all();
        let accepted = locked.accept(&sim, from);
        let at = accepted.map(|id| {
            locked.add(End::WebSocket(Box::new(WebSocketEnd {
                peer,
                id,
                messages: VecDeque::new(),
                is_cut: false,
            })))
        });
        let refusal = sim.0.borrow().output.clone();
        drop(locked);
        Connecting {
            client: at.map(|at| Client::new(world, at, target)),
            refusal: Response::parse(&refusal),
        }
    }

    /// Sends a plain request, on a connection of its own.
    ///
    /// # Panics
    /// If the server hasn't responded when it comes to rest: see [`begin`](Self::begin).
    #[track_caller]
    pub fn send(self, method: &str, body: impl AsRef<[u8]>) -> Response {
        let target = self.target.clone();
        let mut pending = self.begin(method, body);
        let response = pending.response();
        response.unwrap_or_else(|| panic!("the server has yet to respond to {method} {target}"))
    }

    /// Begins a plain request, for a handler that
    /// [replies later](crate::server::http::Methods::defer).
    ///
    /// # Panics
    /// If the request can't be sent.
    #[track_caller]
    pub fn begin(self, method: &str, body: impl AsRef<[u8]>) -> Exchange {
        let body = body.as_ref();
        let mut head = format!("{method} {} HTTP/1.1\r\nHost: localhost\r\n", self.target);
        for (name, value) in &self.options.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || !matches!(method, "GET" | "HEAD") {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("Connection: close\r\n\r\n");
        let mut world = self.world.borrow_mut();
        let sim = World::wire();
        {
            let mut wire = sim.0.borrow_mut();
            wire.input = [head.as_bytes(), body].concat();
            wire.arrive_all();
        }
        world.accept(&sim, self.from);
        let at = world.add(End::Http(sim, Vec::new()));
        drop(world);
        Exchange {
            world: self.world,
            at,
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("target", &self.target)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// A WebSocket connection that the server has yet to decide about.
#[derive(Debug)]
#[must_use]
pub struct Connecting {
    /// None if the connection wasn't accepted.
    client: Option<Client>,
    refusal: Option<Response>,
}

impl Connecting {
    /// Returns the client, or why it was refused; itself again while the server hasn't decided.
    ///
    /// # Errors
    /// This connection, which is still undecided.
    #[track_caller]
    pub fn poll(self) -> Result<Result<Client, ConnectError>, Self> {
        let refusal = |response: Option<Response>| match response {
            Some(response) => ConnectError::Refused(response),
            None => ConnectError::NoResponse,
        };
        let Some(mut client) = self.client else {
            return Ok(Err(refusal(self.refusal)));
        };
        if client.has_opened() {
            return Ok(Ok(client));
        }
        match client.refusal() {
            Some(response) => Ok(Err(refusal(Response::parse(&response)))),
            None => Err(Self {
                client: Some(client),
                refusal: None,
            }),
        }
    }
}

/// Why no connection was opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server responded otherwise than with 101.
    Refused(Response),
    /// The server accepts no connections, or dropped this one without a response.
    NoResponse,
}

impl ConnectError {
    /// The status of the response, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused(response) => Some(response.status),
            Self::NoResponse => None,
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(response) => {
                write!(f, "refused with {}: {}", response.status, response.text())
            }
            Self::NoResponse => f.write_str("the server ended the connection without a response"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// A plain request that was sent.
#[must_use]
pub struct Exchange {
    world: Rc<RefCell<World>>,
    at: usize,
}

impl Exchange {
    /// Returns the response once all of it has come.
    #[track_caller]
    pub fn response(&mut self) -> Option<Response> {
        let mut world = self.world.borrow_mut();
        world.settle();
        match world.end(self.at) {
            End::Http(sim, response) => {
                let over = sim.0.borrow().half_closed || Rc::strong_count(&sim.0) == 1;
                over.then(|| Response::parse(response)).flatten()
            }
            _ => None,
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").finish_non_exhaustive()
    }
}

/// What the server responded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers, in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// None if there is no whole head.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut parser = HeadParser::response(HeadLimits::default());
        let parsed = parse_response(&mut parser, bytes);
        let (head, body) = parsed.expect("the server writes HTTP")?;
        let headers = head.headers.iter();
        Some(Self {
            status: head.status,
            headers: headers
                .map(|(name, value)| (name.into(), String::from_utf8_lossy(value).into()))
                .collect(),
            body: body.to_vec(),
        })
    }

    /// Returns the first header of this name, in whatever case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    ///
    /// # Panics
    /// If it isn't UTF-8.
    #[must_use]
    #[track_caller]
    pub fn text(&self) -> String {
        let text = std::str::from_utf8(&self.body);
        text.expect("a body in UTF-8").to_string()
    }

    /// Returns the body, read as JSON.
    ///
    /// # Panics
    /// If it isn't JSON of this type.
    #[cfg(feature = "json")]
    #[must_use]
    #[track_caller]
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).expect("a body in JSON of this type")
    }
}
