//! Plain HTTP as an application sees it: the request with what the server knows of it, the
//! response, and the handlers of a path.
//!
//! Owns these types and the choice of a handler by method. Leaves the grammar, bodies and
//! keep-alive to the core, and the choice of a path to the router.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};

use matchit::Params;

use super::deferred::{Answer, Reply};
use super::handle::Handle;
use super::id::ConnectionId;
use super::shared::Shared;
use crate::net::Agreed;
use crate::proto::{self, Response, percent_decode};

/// A request in the hands of the application: [`proto::Request`] with the parameters of its route,
/// the peer, and the body of a plain request.
#[derive(Clone)]
pub struct Request<'a> {
    request: proto::Request<'a>,
    params: Params<'a, 'a>,
    peer: SocketAddr,
    client_ip: IpAddr,
    body: &'a [u8],
    #[cfg_attr(not(feature = "tls"), expect(dead_code))]
    agreed: Agreed<'a>,
    /// For handles.
    shared: &'a Arc<Shared>,
}

impl<'a> Request<'a> {
    /// The request with what its route matched, from the peer at this address and the client at
    /// that one, without a body.
    pub(super) fn new(
        request: proto::Request<'a>,
        params: Params<'a, 'a>,
        peer: SocketAddr,
        client_ip: IpAddr,
        shared: &'a Arc<Shared>,
    ) -> Self {
        Self {
            request,
            params,
            peer,
            client_ip,
            body: &[],
            agreed: Agreed::default(),
            shared,
        }
    }

    /// With the body that was read.
    pub(super) fn with_body(self, body: &'a [u8]) -> Self {
        Self { body, ..self }
    }

    /// With what its transport's TLS has agreed on.
    pub(super) fn with_agreed(self, agreed: Agreed<'a>) -> Self {
        Self { agreed, ..self }
    }

    /// What a parameter of the route stands for in this path, percent-decoded: for `/rooms/{room}`
    /// and `/rooms/a%20b`, `param("room")` is `a b`. Bytes that are not UTF-8 once decoded become
    /// U+FFFD. None if the route has no such parameter, or it is optional and absent.
    ///
    /// A `%2F` is decoded, too, and does not end the segment: a value may hold slashes, so check
    /// it before it becomes part of a file's name.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Cow<'a, str>> {
        self.params.get(name).map(percent_decode)
    }

    /// A handle to the server: to publish, to count, to take to another thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.shared)
    }

    /// The other end of the transport.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// The client's address: the peer's, unless the peer is a trusted proxy that tells another.
    #[must_use]
    pub fn client_ip(&self) -> IpAddr {
        self.client_ip
    }

    /// What TLS has agreed on: the client's certificates, if the configuration asks for them, the
    /// protocol by ALPN, version and cipher suite. None for a server without TLS.
    ///
    /// ```
    /// use sockeye::server::{Reject, Request};
    ///
    /// // A guard: whoever has one of the certificates that the configuration trusts may come in.
    /// fn certified(request: &Request<'_>) -> Result<(), Reject> {
    ///     let certificates = request.tls().and_then(|tls| tls.peer_certificates());
    ///     match certificates {
    ///         Some(_) => Ok(()),
    ///         None => Err(Reject::new(403, "come with a certificate")),
    ///     }
    /// }
    /// ```
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(&self) -> Option<&'a rustls::CommonState> {
        self.agreed.tls
    }

    /// The value of the first cookie of this name, over all `Cookie` headers, as it was sent (RFC
    /// 6265 section 4.2.1). Names compare case-sensitively. Quotes around a value are taken off.
    ///
    /// A semicolon ends a cookie also within quotes, and a value with quotes elsewhere is passed
    /// over, as is one that is not UTF-8: peers that read quotes differently can be made to take
    /// one cookie for part of another.
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&'a str> {
        self.headers()
            .get_all("cookie")
            .flat_map(|line| line.split(|&byte| byte == b';'))
            .find_map(|pair| {
                let value = pair.trim_ascii().strip_prefix(name.as_bytes())?;
                cookie_value(value.strip_prefix(b"=")?)
            })
    }

    /// The body of a plain request, whole; empty if there is none.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}

/// RFC 6265 section 4.1.1: cookie-value = *cookie-octet / ( DQUOTE *cookie-octet DQUOTE ). Of the
/// bytes that are no cookie-octets, those but DQUOTE are let through: browsers send them.
fn cookie_value(value: &[u8]) -> Option<&str> {
    let value = match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    };
    if value.contains(&b'"') {
        return None;
    }
    core::str::from_utf8(value).ok()
}

impl<'a> Deref for Request<'a> {
    type Target = proto::Request<'a>;

    fn deref(&self) -> &proto::Request<'a> {
        &self.request
    }
}

impl fmt::Debug for Request<'_> {
    /// Shows the length of the body only: it may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("request", &self.request)
            .field("params", &self.params)
            .field("peer", &self.peer)
            .field("client_ip", &self.client_ip)
            .field("body", &self.body.len())
            .finish()
    }
}

/// The response to a plain request, or to an opening handshake that is refused.
///
/// ```
/// use sockeye::server::HttpResponse;
///
/// let created = HttpResponse::json(r#"{"id":7}"#)
///     .with_status(201)
///     .with_header("Location", "/rooms/7");
/// assert_eq!(created.status, 201);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status code, 200 to 599.
    pub status: u16,
    /// Headers besides those that [`Response::headers`] says are written by themselves. A name
    /// that is no token, or a value with a control character, can't be sent: the client gets a
    /// 500 in its place.
    pub headers: Vec<(String, String)>,
    /// The body, in bytes as sent.
    pub body: Vec<u8>,
}

impl HttpResponse {
    /// An empty response with this status.
    #[must_use]
    pub const fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// 200 with plain text in UTF-8.
    #[must_use]
    pub fn text(body: impl Into<String>) -> Self {
        Self::ok("text/plain; charset=utf-8", body.into().into_bytes())
    }

    /// 200 with HTML in UTF-8.
    #[must_use]
    pub fn html(body: impl Into<String>) -> Self {
        Self::ok("text/html; charset=utf-8", body.into().into_bytes())
    }

    /// 200 with a text that is JSON already.
    #[must_use]
    pub fn json(body: impl Into<String>) -> Self {
        Self::ok("application/json", body.into().into_bytes())
    }

    /// 200 with a body of this media type.
    pub(super) fn ok(content_type: &str, body: Vec<u8>) -> Self {
        Self {
            body,
            ..Self::status(200).with_header("Content-Type", content_type)
        }
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The same with a further header; one of the same name stays.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Gives this as the core's response to `send`, and answers what that answers.
    pub fn as_response<R>(&self, send: impl FnOnce(&Response<'_>) -> R) -> R {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        send(&Response {
            status: self.status,
            headers: &headers,
            body: &self.body,
        })
    }
}

/// What answers plain requests: each function from a request to a response is one.
///
/// It runs on the worker's thread: one that waits keeps the worker's connections waiting. What takes
/// long is [deferred](Methods::defer).
pub trait HttpHandler: Fn(&Request<'_>) -> HttpResponse + Send + Sync + 'static {}

impl<F> HttpHandler for F where F: Fn(&Request<'_>) -> HttpResponse + Send + Sync + 'static {}

/// The handlers of one path, by method.
///
/// HEAD is answered by the handler of GET, without the body; OPTIONS with 204 and `Allow`; a
/// method that is not there with 405 and `Allow`. Handlers of their own for HEAD and OPTIONS go
/// first.
///
/// ```
/// use sockeye::server::{HttpResponse, Methods};
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
    /// A method that is not a token fails [`listen`](super::Builder::listen).
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
    pub(super) fn answer(&self, request: &Request<'_>, id: ConnectionId) -> Answer<HttpResponse> {
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
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.handlers.iter().map(|(method, _)| method.as_str())
    }

    /// Whether a request with this method reaches a handler.
    pub(super) fn handles(&self, method: &str) -> bool {
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

#[cfg(test)]
mod tests;
