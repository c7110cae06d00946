//! The handlers of a path, by method.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::answer::{Answer, Reply};
use super::request::Request;
use super::response::HttpResponse;
use crate::server::id::ConnectionId;

/// A handler of plain requests: each function from a request to a response is one.
///
/// It runs on the worker's thread: one that waits keeps the worker's connections waiting. What
/// takes long is [deferred](Methods::defer).
pub trait HttpHandler: Fn(&Request<'_>) -> HttpResponse + Send + Sync + 'static {}

impl<F> HttpHandler for F where F: Fn(&Request<'_>) -> HttpResponse + Send + Sync + 'static {}

/// The handlers of one path, by method.
///
/// HEAD is answered by the handler of GET, without the body; OPTIONS with 204 and `Allow`; a
/// method that is not there with 405 and `Allow`. Handlers of their own for HEAD and OPTIONS go
/// first.
///
/// ```
/// use sockeye::server::HttpResponse;
/// use sockeye::server::http::Methods;
///
/// let rooms = Methods::new()
///     .get(|_| HttpResponse::json("[]"))
///     .post(|request| match request.body() {
///         b"" => HttpResponse::status(400),
///         _ => HttpResponse::status(201),
///     });
/// assert_eq!(rooms.allow(), "GET, HEAD, POST, OPTIONS");
/// ```
#[derive(Default)]
#[must_use]
pub struct Methods {
    /// In the order they were added; a path has few.
    handlers: Vec<(String, Box<Answers>)>,
}

/// Answers a request of the connection with this id, at once or later.
type Answers = dyn Fn(&Request<'_>, ConnectionId) -> Answer<HttpResponse> + Send + Sync;

impl Methods {
    /// No method yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a method, which is case-sensitive (RFC 9110 section 9.1), with `handler`. A second
    /// handler of the same method takes the place of the first.
    ///
    /// A method that is not a token fails [`listen`](crate::server::Builder::listen).
    pub fn on(self, method: impl Into<String>, handler: impl HttpHandler) -> Self {
        self.add(method.into(), move |request, _| {
            Answer::Now(handler(request))
        })
    }

    /// Answers a method later: by what a database or another server says, on another thread.
    /// `handler` takes from the request what it needs and gives the [`Reply`] away.
    ///
    /// Nothing more is read from the client meanwhile, for at most
    /// [`handshake_timeout`](crate::proto::Config::handshake_timeout) of the server's; then it
    /// gets a 503. A server that is told to stop waits for the answer.
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
            // After a panic it is the reply that answers, wherever it has gone: each request has
            // one answer, so that none is taken for that of a later request.
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

    /// Answers GET, and HEAD.
    pub fn get(self, handler: impl HttpHandler) -> Self {
        self.on("GET", handler)
    }

    /// Answers POST.
    pub fn post(self, handler: impl HttpHandler) -> Self {
        self.on("POST", handler)
    }

    /// Answers PUT.
    pub fn put(self, handler: impl HttpHandler) -> Self {
        self.on("PUT", handler)
    }

    /// Answers PATCH.
    pub fn patch(self, handler: impl HttpHandler) -> Self {
        self.on("PATCH", handler)
    }

    /// Answers DELETE.
    pub fn delete(self, handler: impl HttpHandler) -> Self {
        self.on("DELETE", handler)
    }

    /// Whether no method has a handler.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.handlers.is_empty()
    }

    /// The value of `Allow` (RFC 9110 section 10.2.1): the methods that are answered.
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

    /// The response to a request with one of all methods.
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
