//! The request as an application sees it: the core's, with what the server knows about it.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use core::fmt;
use std::net::{IpAddr, SocketAddr};

use matchit::Params;

use crate::net::Agreed;
use crate::proto;
use crate::proto::http::{Headers, Version};
use crate::proto::percent_decode;
use crate::server::handle::Handle;
use crate::server::shared::Shared;

/// A request as the application sees it: the core's [`Request`](proto::Request) with the parameters
/// of its route, the peer's address, and the body of a plain request.
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
    /// Creates a request without a body, with the parameters of its route and the addresses of the
    /// peer and the client.
    pub(in crate::server) fn new(
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

    /// Adds the body.
    pub(in crate::server) fn with_body(self, body: &'a [u8]) -> Self {
        Self { body, ..self }
    }

    /// Adds what TLS has agreed on.
    pub(in crate::server) fn with_agreed(self, agreed: Agreed<'a>) -> Self {
        Self { agreed, ..self }
    }

    /// Whether this is a valid opening handshake, and not a plain HTTP request.
    #[must_use]
    pub fn is_upgrade(&self) -> bool {
        self.request.is_upgrade()
    }

    /// The method; `GET` for an opening handshake.
    #[must_use]
    pub fn method(&self) -> &'a str {
        self.request.method()
    }

    /// The HTTP version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.request.version()
    }

    /// The request target as sent, such as `/chat?room=1`.
    #[must_use]
    pub fn target(&self) -> &'a str {
        self.request.target()
    }

    /// The path, percent-encoded as sent; it begins with `/`.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.request.path()
    }

    /// The query as sent, without the `?`.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.request.query()
    }

    /// The query's parameters in order, decoded: see
    /// [`query_params`](proto::Request::query_params) of the core.
    pub fn query_params(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        self.request.query_params()
    }

    /// The first query parameter of this name, decoded.
    #[must_use]
    pub fn query_param(&self, name: &str) -> Option<Cow<'a, str>> {
        self.request.query_param(name)
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        self.request.headers()
    }

    /// The first header of this name, in any case, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.request.header(name)
    }

    /// The host the client means, with its port if it sent one; HTTP/1.0 may have none.
    #[must_use]
    pub fn host(&self) -> Option<&'a str> {
        self.request.host()
    }

    /// The origin of the page that connects (RFC 6454); clients other than browsers send none.
    #[must_use]
    pub fn origin(&self) -> Option<&'a str> {
        self.request.origin()
    }

    /// The offered subprotocols, the client's preferred one first (RFC 6455 section 1.9).
    pub fn subprotocols(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.request.subprotocols()
    }

    /// The value of a route parameter in this path, percent-decoded: for `/rooms/{room}` and
    /// `/rooms/a%20b`, `param("room")` is `a b`. Bytes that are not UTF-8 once decoded become
    /// U+FFFD. None if the route has no such parameter, or it is optional and absent.
    ///
    /// A `%2F` is decoded, too, and does not end the segment: a value may contain slashes, so check
    /// it before using it in a file name.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<Cow<'a, str>> {
        self.params.get(name).map(percent_decode)
    }

    /// The value of a route parameter as sent.
    #[cfg(feature = "files")]
    pub(in crate::server) fn raw_param(&self, name: &str) -> Option<&str> {
        self.params.get(name)
    }

    /// Returns a handle to the server, which can be sent to another thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(self.shared)
    }

    /// The address of the other end of the transport.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// The client's address: the peer's, unless the peer is a trusted proxy that names another one.
    #[must_use]
    pub fn client_ip(&self) -> IpAddr {
        self.client_ip
    }

    /// What TLS has agreed on: the client's certificates, if the configuration asks for them, the
    /// ALPN protocol, the version and the cipher suite. None for a connection without TLS.
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

    /// The media type of the body, such as `application/json`: `Content-Type` without its
    /// parameters, in the case it was sent in.
    #[must_use]
    pub fn media_type(&self) -> Option<&'a str> {
        let value = self.header("content-type")?;
        Some(value.split(';').next().unwrap_or(value).trim())
    }

    /// The body of a plain request, whole; empty if there is none.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}

/// RFC 6265 section 4.1.1: cookie-value = *cookie-octet / ( DQUOTE *cookie-octet DQUOTE ). Bytes
/// other than cookie-octets are accepted, except DQUOTE: browsers send them.
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

/// The core's request: for [`Origins::allow`](crate::proto::Origins::allow), say.
impl<'a> AsRef<proto::Request<'a>> for Request<'a> {
    fn as_ref(&self) -> &proto::Request<'a> {
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

#[cfg(test)]
mod tests;
