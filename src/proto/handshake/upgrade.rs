//! A valid opening handshake, to be accepted or rejected (RFC 6455 section 4.2.2).

use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::head::HeadReader;
use super::header::{accept_key, header_names, write_header};
use super::refused::Unanswered;
use super::request::Request;
use super::response::{Response, check_headers};
use crate::proto::config::Config;
use crate::proto::connection::Connection;
use crate::proto::misuse::Misuse;
use crate::proto::negotiated::Negotiated;
use crate::proto::sync::Arc;
use crate::proto::teardown::{Linger, Teardown};

/// What to put into the 101 besides what the handshake itself needs.
///
/// `Debug` shows the names of the headers only: values may be credentials.
#[derive(Clone, Copy, Default)]
pub struct Accept<'a> {
    /// The subprotocol to speak, one of those offered.
    pub subprotocol: Option<&'a str>,
    /// Further headers, such as cookies.
    pub headers: &'a [(&'a str, &'a str)],
    /// The connection's configuration, its extensions included. Default the handshake's own.
    pub config: Option<&'a Arc<Config>>,
}

impl fmt::Debug for Accept<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accept")
            .field("subprotocol", &self.subprotocol)
            .field("headers", &header_names(self.headers))
            .field("config", &self.config)
            .finish()
    }
}

/// A valid opening handshake, with its request.
///
/// It may be kept while something else decides, also on another thread: it borrows nothing. What
/// the client sends meanwhile are frames, so don't read, or keep the bytes; and bound the time, by
/// [`handshake_timeout`](Config::handshake_timeout) say.
pub struct Upgrade {
    config: Arc<Config>,
    head: HeadReader,
}

impl Upgrade {
    pub(super) fn new(config: Arc<Config>, head: HeadReader) -> Self {
        Self { config, head }
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> Request<'_> {
        Request::of(&self.head, true)
    }

    /// Accepts: appends the 101 to `out` and returns the connection. The first of the client's
    /// extension offers that one of [`Config::extensions`] accepts is agreed on.
    ///
    /// # Errors
    /// [`Unanswered`] when the subprotocol was not offered, or a header can't be sent (a CR or LF in
    /// it, say). Nothing is appended then.
    pub fn accept(
        self,
        accept: &Accept<'_>,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<Connection, Unanswered<Self>> {
        let request = self.request();
        if let Err(misuse) = check(accept, &request) {
            return Err(Unanswered::new(self, misuse));
        }
        let config = accept.config.unwrap_or(&self.config);
        let (response, extension) = config.choose_extension(request.extensions()).unzip();

        let key = request.headers().get("sec-websocket-key").unwrap_or(b"");
        out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
        write_header(out, "Upgrade", "websocket");
        write_header(out, "Connection", "Upgrade");
        write_header(out, "Sec-WebSocket-Accept", &accept_key(key));
        if let Some(name) = accept.subprotocol {
            write_header(out, "Sec-WebSocket-Protocol", name);
        }
        if let Some(response) = response {
            write_header(out, "Sec-WebSocket-Extensions", &response.to_string());
        }
        for (name, value) in accept.headers {
            write_header(out, name, value);
        }
        out.extend_from_slice(b"\r\n");
        let negotiated = Negotiated {
            subprotocol: accept.subprotocol.map(Into::into),
            extension,
        };
        Ok(Connection::server_with(Arc::clone(config), negotiated, now))
    }

    /// Rejects: appends the response to `out`. Bytes behind the request are ignored.
    ///
    /// # Errors
    /// [`Unanswered`] when the response can't be sent. Nothing is appended then.
    pub fn reject(
        self,
        response: &Response<'_>,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<Linger, Unanswered<Self>> {
        if let Err(misuse) = response.check() {
            return Err(Unanswered::new(self, misuse));
        }
        response.write(false, false, out);
        let timeout = self.config.close_timeout;
        Ok(Linger::new(Teardown::HalfClose, now, timeout))
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade")
            .field("request", &self.request())
            .finish_non_exhaustive()
    }
}

fn check(accept: &Accept<'_>, request: &Request<'_>) -> Result<(), Misuse> {
    check_headers(accept.headers)?;
    match accept.subprotocol {
        Some(name) if !request.subprotocols().any(|offered| offered == name) => {
            Err(Misuse::Subprotocol(name.into()))
        }
        _ => Ok(()),
    }
}
