//! The handlers of a path, by method.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::answer::{Answer, Reply};
use super::cors::Cors;
use super::into_response::IntoResponse;
use super::param::{Parameter, Reads};
use super::request::Request;
use super::response::HttpResponse;
use crate::server::id::ConnectionId;
use crate::server::route::{Guard, Guards};

/// The handlers of one path, by method.
///
/// A handler is a function from a request to whatever [is a response](IntoResponse). It runs on the
/// worker's thread, so one that blocks delays the worker's other connections: [defer](Methods::defer)
/// what takes long.
///
/// HEAD is handled by the handler of GET, and its response has no body; OPTIONS gets 204 with
/// `Allow`; a method without a handler gets 405 with `Allow`. Handlers for HEAD and OPTIONS take
/// precedence.
///
/// ```
/// use sockeye::server::HttpResponse;
/// use sockeye::server::http::Methods;
///
/// let rooms = Methods::new()
///     .get(|_| HttpResponse::json("[]"))
///     .post(|request| match request.body() {
///         b"" => 400,
///         _ => 201,
///     });
/// assert_eq!(rooms.allow(), "GET, HEAD, POST, OPTIONS");
/// ```
#[derive(Default)]
#[must_use]
pub struct Methods {
    /// In the order in which they were added; a path has few.
    handlers: Vec<(String, Box<Answers>)>,
    pub(in crate::server) guards: Guards,
    pub(in crate::server) cors: Option<Arc<Cors>>,
    pub(in crate::server) reads: Reads,
}

/// Responds to a request of the connection with this id, at once or later.
type Answers = dyn Fn(&Request<'_>, ConnectionId) -> Answer<HttpResponse> + Send + Sync;

impl Methods {
    /// Returns an empty set of handlers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Handles a method, which is case-sensitive (RFC 9110 section 9.1), with `handler`. It
    /// replaces an earlier handler of the same method.
    ///
    /// A method that is not a token fails [`listen`](crate::server::Builder::listen).
    pub fn on<R: IntoResponse>(
        self,
        method: impl Into<String>,
        handler: impl Fn(&Request<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.add(method.into(), move |request, _| {
            Answer::Now(handler(request).into_response())
        })
    }

    /// Handles a method with a response that another thread sends later, from a database, say.
    /// `handler` copies what it needs from the request and hands the [`Reply`] on.
    ///
    /// Nothing more is read from the client until then, for at most the server's
    /// [`handshake_timeout`](crate::proto::Config::handshake_timeout); after that it gets a 503. A
    /// server that is stopping waits for the response.
    ///
    /// ```
    /// # fn look_up(user: &str) -> Option<String> { None }
    /// use sockeye::server::{HttpResponse, Server};
    ///
    /// let server = Server::builder().methods("/users/{name}", |methods| {
    ///     methods.defer("GET", |request, reply| {
    ///         let name = request.param("name").unwrap_or_default().into_owned();
    ///         std::thread::spawn(move || match look_up(&name) {
    ///             Some(user) => reply.send(HttpResponse::json(user)),
    ///             None => reply.send(HttpResponse::status(404)),
    ///         });
    ///     })
    /// });
    /// # let _ = server;
    /// ```
    pub fn defer<F>(self, method: impl Into<String>, handler: F) -> Self
    where
        F: Fn(&Request<'_>, Reply) + Send + Sync + 'static,
    {
        self.add(method.into(), move |request, id| {
            let (reply, slot) = Reply::new(request.handle(), id);
            // After a panic the `Reply` responds, wherever it was moved to: each request has
            // exactly one response, so that none is taken for a later request's.
            let _ = catch_unwind(AssertUnwindSafe(|| handler(request, reply)));
            Answer::Later(slot)
        })
    }

    fn add<F>(mut self, method: String, answer: F) -> Self
    where
        F: Fn(&Request<'_>, ConnectionId) -> Answer<HttpResponse> + Send + Sync + 'static,
    {
        self.handlers.retain(|(known, _)| *known != method);
        self.handlers.push((method, Box::new(answer)));
        self
    }

    /// Handles GET, and HEAD.
    pub fn get<R: IntoResponse>(
        self,
        handler: impl Fn(&Request<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.on("GET", handler)
    }

    /// Handles POST.
    pub fn post<R: IntoResponse>(
        self,
        handler: impl Fn(&Request<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.on("POST", handler)
    }

    /// Handles PUT.
    pub fn put<R: IntoResponse>(
        self,
        handler: impl Fn(&Request<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.on("PUT", handler)
    }

    /// Handles PATCH.
    pub fn patch<R: IntoResponse>(
        self,
        handler: impl Fn(&Request<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.on("PATCH", handler)
    }

    /// Handles DELETE.
    pub fn delete<R: IntoResponse>(
        self,
        handler: impl Fn(&Request<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.on("DELETE", handler)
    }

    /// Adds a guard of all requests to this path but upgrades, which runs after those already
    /// added. A WebSocket route on the same path has [its own](crate::server::Route::guard).
    pub fn guard(mut self, guard: impl Guard) -> Self {
        self.guards.add(guard);
        self
    }

    /// Leaves the [server's guards](crate::server::Builder::guard) out for this path; its own
    /// remain.
    pub fn public(mut self) -> Self {
        self.guards.set_public();
        self
    }

    /// Sets which pages of other origins may use this path, in place of
    /// [the server's](crate::server::Builder::cors).
    pub fn cors(self, cors: Cors) -> Self {
        Self {
            cors: Some(Arc::new(cors)),
            ..self
        }
    }

    /// States that the handlers read this parameter of the path: if it doesn't have it,
    /// [`listen`](crate::server::Builder::listen) fails.
    pub fn reads(mut self, param: impl Parameter) -> Self {
        self.reads.add(&param);
        self
    }

    /// Whether no method has a handler.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.handlers.is_empty()
    }

    /// Returns the value of `Allow` (RFC 9110 section 10.2.1): the methods that are handled.
    #[must_use]
    pub fn allow(&self) -> String {
        let mut known: Vec<&str> = Vec::new();
        let mut add = |method| {
            if !known.contains(&method) {
                known.push(method);
            }
        };
        for method in self.names() {
            add(method);
            if method == "GET" {
                add("HEAD");
            }
        }
        add("OPTIONS");
        known.join(", ")
    }

    /// Returns the response to a request, whatever its method.
    pub(in crate::server) fn answer(
        &self,
        request: &Request<'_>,
        id: ConnectionId,
    ) -> Answer<HttpResponse> {
        let method = request.method();
        // RFC 9110 section 9.3.2: "The HEAD method is identical to GET except that the server
        // MUST NOT send content in the response"; the core leaves it out.
        let handler = self.find(method).or_else(|| match method {
            "HEAD" => self.find("GET"),
            _ => None,
        });
        let response = match (handler, method) {
            (Some(answer), _) => return answer(request, id),
            (None, "OPTIONS") => HttpResponse::status(204),
            // RFC 9110 section 15.5.6: "The origin server MUST generate an Allow header field in a
            // 405 response containing a list of the target resource's currently supported
            // methods."
            (None, _) => HttpResponse::status(405),
        };
        Answer::Now(response.with_header("Allow", self.allow()))
    }

    /// The methods that have handlers.
    pub(in crate::server) fn names(&self) -> impl Iterator<Item = &str> {
        self.handlers.iter().map(|(method, _)| method.as_str())
    }

    /// Whether a request with this method reaches a handler.
    pub(in crate::server) fn handles(&self, method: &str) -> bool {
        self.find(method).is_some()
    }

    fn find(&self, method: &str) -> Option<&Answers> {
        let found = self.handlers.iter().find(|(known, _)| known == method);
        found.map(|(_, handler)| &**handler)
    }
}

impl fmt::Debug for Methods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}
