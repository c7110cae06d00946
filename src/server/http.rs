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

use matchit::Params;

use super::handle::Handle;
use super::shared::Shared;

use crate::proto::handshake::percent_decode;
use crate::proto::{self, Response};

/// A request in the hands of the application: [`proto::Request`] with the parameters of its route,
/// the peer, and the body of a plain request.
#[derive(Clone)]
pub struct Request<'a> {
    request: proto::Request<'a>,
    params: Params<'a, 'a>,
    peer: SocketAddr,
    client_ip: IpAddr,
    body: &'a [u8],
    shared: &'a Arc<Shared>,
}

impl<'a> Request<'a> {
    /// The request with what its route matched, from the peer at this address, without a body.
    pub(super) fn new(
        request: proto::Request<'a>,
        params: Params<'a, 'a>,
        peer: SocketAddr,
        shared: &'a Arc<Shared>,
    ) -> Self {
        Self {
            request,
            params,
            peer,
            client_ip: peer.ip(),
            body: &[],
            shared,
        }
    }

    /// With the body that was read.
    pub(super) fn with_body(self, body: &'a [u8]) -> Self {
        Self { body, ..self }
    }

    /// With the client's address as a trusted proxy tells it.
    pub(super) fn with_client_ip(self, client_ip: IpAddr) -> Self {
        Self { client_ip, ..self }
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
/// It runs on the worker's thread: one that waits keeps the worker's connections waiting.
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
    handlers: Vec<(String, Box<dyn HttpHandler>)>,
}

impl Methods {
    /// No method yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a method, which is case-sensitive (RFC 9110 section 9.1), with `handler`. A second
    /// handler of the same method takes the place of the first.
    ///
    /// A method that is not a token fails [`listen`](super::Builder::listen).
    pub fn on(mut self, method: impl Into<String>, handler: impl HttpHandler) -> Self {
        let method = method.into();
        self.handlers.retain(|(known, _)| *known != method);
        self.handlers.push((method, Box::new(handler)));
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
    pub(super) fn answer(&self, request: &Request<'_>) -> HttpResponse {
        let method = request.method();
        // RFC 9110 section 9.3.2: "The HEAD method is identical to GET except that the server
        // MUST NOT send content in the response"; the core leaves it out.
        let handler = self.find(method).or_else(|| match method {
            "HEAD" => self.find("GET"),
            _ => None,
        });
        match (handler, method) {
            (Some(handler), _) => handler(request),
            (None, "OPTIONS") => HttpResponse::status(204).with_header("Allow", self.allow()),
            // RFC 9110 section 15.5.6: "The origin server MUST generate an Allow header field in a
            // 405 response containing a list of the target resource's currently supported
            // methods."
            (None, _) => HttpResponse::status(405).with_header("Allow", self.allow()),
        }
    }

    /// The methods that have handlers.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.handlers.iter().map(|(method, _)| method.as_str())
    }

    /// Whether a request with this method reaches a handler.
    pub(super) fn handles(&self, method: &str) -> bool {
        self.find(method).is_some()
    }

    fn find(&self, method: &str) -> Option<&dyn HttpHandler> {
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
mod tests {
    use alloc::vec;
    use core::time::Duration;

    use super::*;
    use crate::proto::{Config, Input, ServerHandshake};
    use crate::server::builder::Builder;

    const PEER: &str = "192.0.2.1:4000";

    /// A plain request with these header lines, in the hands of `look`.
    fn with<R>(start: &str, lines: &[u8], look: impl FnOnce(Request<'_>) -> R) -> R {
        let mut bytes = [
            start.as_bytes(),
            b" HTTP/1.1\r\nHost: a\r\n",
            lines,
            b"\r\n",
        ]
        .concat();
        let config = Arc::new(Config::default());
        let mut handshake = ServerHandshake::new(config, Duration::ZERO);
        let read = handshake.recv(&mut Input::new(&mut bytes), &mut Vec::new());
        assert!(matches!(read, Ok(Some(_))));
        let mut routes = matchit::Router::new();
        routes.insert("/rooms/{room}/{*rest}", ()).unwrap();
        let request = handshake.request().unwrap();
        let params = match routes.at(request.path()) {
            Ok(found) => found.params,
            Err(_) => Params::new(),
        };
        let shared = Arc::new(Builder::new().shared(Vec::new()).unwrap());
        look(Request::new(
            request,
            params,
            PEER.parse().unwrap(),
            &shared,
        ))
    }

    #[test]
    fn parameters_are_percent_decoded_and_plus_stays() {
        with(
            "GET /rooms/a%20b+c/d%2Fe/%ff%zz%4?room=no",
            b"",
            |request| {
                assert_eq!(request.param("room").as_deref(), Some("a b+c"));
                assert_eq!(request.param("rest").as_deref(), Some("d/e/\u{fffd}%zz%4"));
                assert_eq!(request.param("other"), None);
                assert_eq!(request.query_param("room").as_deref(), Some("no"));
                assert!(matches!(request.param("room"), Some(Cow::Owned(_))));
            },
        );
        with("GET /rooms/plain/x", b"", |request| {
            assert!(matches!(
                request.param("room"),
                Some(Cow::Borrowed("plain"))
            ));
        });
    }

    #[test]
    fn the_client_is_the_peer_unless_a_proxy_says_otherwise() {
        with("GET /", b"", |request| {
            assert_eq!(request.peer_addr(), PEER.parse().unwrap());
            assert_eq!(request.client_ip(), request.peer_addr().ip());
            let ip = "2001:db8::1".parse().unwrap();
            let request = request.with_client_ip(ip).with_body(b"secret");
            assert_eq!((request.client_ip(), request.body()), (ip, &b"secret"[..]));
            assert_eq!(request.peer_addr(), PEER.parse().unwrap());
            assert!(alloc::format!("{request:?}").contains("body: 6"));
        });
    }

    #[test]
    fn the_first_good_cookie_of_a_name_counts_over_all_lines() {
        let lines = b"Cookie: a=1; b=\"2\"; A=3;c=\r\nX: y\r\ncookie: a=4;d=5=6; e=\"7; f=8\"; \
            g=x\"y; h=\"; i=\xff; i=z; k=j, l m;n; nn=n; a%62=o; q=\"\" \r\n";
        with("GET /", lines, |request| {
            for (name, value) in [
                ("a", Some("1")),
                ("b", Some("2")),
                ("A", Some("3")),
                ("c", Some("")),
                ("d", Some("5=6")),
                // A quote does not hide a semicolon, nor a cookie behind it.
                ("e", None),
                ("f", None),
                ("g", None),
                ("h", None),
                ("i", Some("z")),
                ("k", Some("j, l m")),
                ("n", None),
                ("nn", Some("n")),
                ("ab", None),
                ("q", Some("")),
                ("", None),
                ("missing", None),
            ] {
                assert_eq!(request.cookie(name), value, "{name}");
            }
        });
        with("GET /", b"", |request| {
            assert_eq!(request.cookie("a"), None)
        });
    }

    #[test]
    fn a_response_becomes_the_cores() {
        let response = HttpResponse::html("<p>")
            .with_status(404)
            .with_header("Set-Cookie", "a=1")
            .with_header("Set-Cookie", "b=2");
        response.as_response(|it| {
            assert_eq!((it.status, it.body), (404, &b"<p>"[..]));
            let headers = [
                ("Content-Type", "text/html; charset=utf-8"),
                ("Set-Cookie", "a=1"),
                ("Set-Cookie", "b=2"),
            ];
            assert_eq!(it.headers, headers);
        });
        let typed = |response: HttpResponse| response.headers[0].1.clone();
        assert_eq!(typed(HttpResponse::text("")), "text/plain; charset=utf-8");
        assert_eq!(typed(HttpResponse::json("1")), "application/json");
        assert_eq!(HttpResponse::status(204).headers, vec![]);
    }

    fn answered(methods: &Methods, start: &str) -> (u16, Option<String>, Vec<u8>) {
        let response = with(start, b"", |request| methods.answer(&request));
        let allow = response.headers.into_iter().find(|it| it.0 == "Allow");
        (response.status, allow.map(|it| it.1), response.body)
    }

    fn named(name: &'static str) -> impl HttpHandler {
        move |_| HttpResponse {
            body: name.into(),
            ..HttpResponse::status(200)
        }
    }

    #[test]
    fn methods_lead_to_their_handlers_and_others_are_told_what_is_allowed() {
        let methods = Methods::new()
            .post(named("old"))
            .get(named("get"))
            .post(named("post"))
            .on("REPORT", named("report"));
        let allow = || Some(String::from("GET, HEAD, POST, REPORT, OPTIONS"));
        for (start, body) in [
            ("GET /", "get"),
            // The core leaves the body out.
            ("HEAD /", "get"),
            ("POST /", "post"),
            ("REPORT /", "report"),
        ] {
            assert_eq!(answered(&methods, start), (200, None, body.into()));
        }
        assert_eq!(answered(&methods, "OPTIONS /"), (204, allow(), vec![]));
        for start in ["PUT /", "get /", "DELETE /", "CONNECT /"] {
            assert_eq!(answered(&methods, start), (405, allow(), vec![]));
        }
    }

    #[test]
    fn handlers_of_their_own_go_before_the_automatic_ones() {
        let methods = Methods::new()
            .on("OPTIONS", named("options"))
            .on("HEAD", named("head"))
            .get(named("get"));
        assert_eq!(methods.allow(), "OPTIONS, HEAD, GET");
        for (start, body) in [("HEAD /", "head"), ("OPTIONS /", "options")] {
            assert_eq!(answered(&methods, start).2, body.as_bytes());
        }
        let none = Methods::new().post(named("post"));
        let allow = Some(String::from("POST, OPTIONS"));
        assert_eq!(answered(&none, "HEAD /"), (405, allow, vec![]));
    }

    #[test]
    fn a_path_without_methods_asks_for_an_upgrade() {
        use crate::server::router::Entry;
        let mut route = Entry::default();
        let answered = |entry: &Entry| with("GET /", b"", |request| entry.answer(&request).status);
        assert_eq!(answered(&route), 426);
        route.methods = Methods::new().post(named("post"));
        assert_eq!(answered(&route), 405);
    }
}
