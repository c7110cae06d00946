//! The client's side of the opening handshake (RFC 6455 section 4.1).

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::confirm::{Offer, ResponseError, confirm};
use super::error::HandshakeError;
use super::head::HeadReader;
use super::header::{KEY_LENGTH, VERSION, accept_key, header_names, write_header};
use super::refusal::Refusal;
use super::response::check_headers;
use crate::proto::config::Config;
use crate::proto::connection::Connection;
use crate::proto::http::{
    HeadLimits, HeadParser, ResponseHead, is_header_value, is_host, is_token,
};
use crate::proto::input::Input;
use crate::proto::misuse::Misuse;
use crate::proto::negotiated::Negotiated;
use crate::proto::random::RandomSource;
use crate::proto::sync::Arc;
use crate::proto::url::Url;

/// What a client asks for besides the URL.
///
/// It is kept, cloned and used as often as the client connects. `Debug` shows the names of the
/// headers only: values may be credentials.
#[derive(Clone, Default)]
pub struct ClientRequest {
    /// The value of `Host` in place of the URL's: the name that a server behind another name or an
    /// address is to be asked for.
    pub host: Option<String>,
    /// The subprotocols to offer, the preferred one first (RFC 6455 section 1.9).
    pub subprotocols: Vec<String>,
    /// The origin, where a server wants one (RFC 6454).
    pub origin: Option<String>,
    /// Further headers, such as `Authorization`.
    pub headers: Vec<(String, String)>,
}

impl fmt::Debug for ClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientRequest")
            .field("host", &self.host)
            .field("subprotocols", &self.subprotocols)
            .field("origin", &self.origin)
            .field("headers", &header_names(&self.headers))
            .finish()
    }
}

/// Writes a request and checks the response, on byte slices.
///
/// Inputs: [`recv`](Self::recv), [`handle_timeout`](Self::handle_timeout). Outputs: the request
/// appended by [`new`](Self::new), [`poll_timeout`](Self::poll_timeout).
pub struct ClientHandshake {
    /// Passed on to the connection.
    random: Option<Box<dyn RandomSource>>,
    head: HeadReader,
    offer: Offer,
    /// The bytes left for the head after interim responses.
    limits: HeadLimits,
    deadline: Duration,
    error: Option<HandshakeError>,
    /// The body of a response that refused.
    refusal: Option<Refusal>,
}

impl ClientHandshake {
    /// Appends the request for `url` to `out` and waits for the response from `now` on.
    ///
    /// # Errors
    /// [`Misuse`] for a subprotocol that is not a token or is named twice, or an origin, host or header
    /// that can't be sent. Nothing is appended then.
    pub fn new(
        url: &Url,
        request: &ClientRequest,
        config: Arc<Config>,
        mut random: Box<dyn RandomSource>,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<Self, Misuse> {
        check_headers(&request.headers)?;
        for (at, name) in request.subprotocols.iter().enumerate() {
            // RFC 6455 section 4.1: "the elements that comprise this value MUST be non-empty
            // strings [...] and MUST all be unique strings."
            if !is_token(name.as_bytes()) || request.subprotocols[..at].contains(name) {
                return Err(Misuse::Subprotocol(name.as_str().into()));
            }
        }
        if let Some(origin) = &request.origin {
            if !origin.is_ascii() || !is_header_value(origin.as_bytes()) {
                return Err(Misuse::Header("Origin".into()));
            }
            let named = |(name, _): &&(String, String)| name.eq_ignore_ascii_case("origin");
            if let Some((name, _)) = request.headers.iter().find(named) {
                return Err(Misuse::Header(name.as_str().into()));
            }
        }
        if request
            .host
            .as_ref()
            .is_some_and(|it| !is_host(it.as_bytes()))
        {
            return Err(Misuse::Header("Host".into()));
        }
        let mut nonce = [0; KEY_LENGTH];
        random.fill(&mut nonce);
        let key = STANDARD.encode(nonce);

        out.extend_from_slice(b"GET ");
        out.extend_from_slice(url.target().as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let host = request.host.as_deref().unwrap_or(url.host_header());
        write_header(out, "Host", host);
        write_header(out, "Upgrade", "websocket");
        write_header(out, "Connection", "Upgrade");
        write_header(out, "Sec-WebSocket-Key", &key);
        write_header(out, "Sec-WebSocket-Version", VERSION);
        if let Some(origin) = &request.origin {
            write_header(out, "Origin", origin);
        }
        if !request.subprotocols.is_empty() {
            let list = request.subprotocols.join(", ");
            write_header(out, "Sec-WebSocket-Protocol", &list);
        }
        let offers = config.extensions.iter().flat_map(|it| it.offers());
        let offers: Vec<String> = offers.map(|offer| offer.to_string()).collect();
        if !offers.is_empty() {
            write_header(out, "Sec-WebSocket-Extensions", &offers.join(", "));
        }
        for (name, value) in &request.headers {
            write_header(out, name, value);
        }
        out.extend_from_slice(b"\r\n");

        Ok(Self {
            random: Some(random),
            head: HeadReader::new(HeadParser::response(config.head)),
            limits: config.head,
            deadline: now.saturating_add(config.handshake_timeout),
            error: None,
            refusal: None,
            offer: Offer {
                accept: accept_key(key.as_bytes()),
                subprotocols: request.subprotocols.clone(),
                config,
            },
        })
    }

    /// Reads up to the end of the response's head; returns the connection, or None while it is
    /// incomplete. What is left of `input` then are frames: give it to
    /// [`Connection::recv`]. The handshake is then over: a further call consumes nothing and
    /// returns None.
    ///
    /// Interim responses, such as 103 Early Hints, are read over; all heads together have
    /// [`max_head`](HeadLimits::max_head) bytes.
    ///
    /// # Errors
    /// [`HandshakeError`] when the server refused or broke RFC 6455 section 4.1, with its status
    /// and headers. Drop the transport, at once or once [`recv_body`](Self::recv_body) has the body.
    /// The error sticks.
    pub fn recv(
        &mut self,
        input: &mut Input<'_>,
        now: Duration,
    ) -> Result<Option<Connection>, HandshakeError> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        if self.random.is_none() {
            return Ok(None);
        }
        let judged = loop {
            match self.head.recv(input) {
                // RFC 9110 section 15.2: "A client MUST be able to parse one or more 1xx
                // responses received prior to a final response, even if the client does not
                // expect one." 101 is the final one here.
                Ok(true) if matches!(self.status(), Some(100 | 102..=199)) => self.read_over(),
                Ok(true) => break self.judge(),
                Ok(false) => return Ok(None),
                Err(error) => break Err(HandshakeError::ResponseHead(error)),
            }
        };
        match judged {
            Ok(negotiated) => {
                let config = Arc::clone(&self.offer.config);
                let random = self.random.take();
                Ok(Some(Connection::new(config, random, negotiated, now)))
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Reads the body of a response for which [`recv`](Self::recv) returned
    /// [`HandshakeError::Response`]; returns whether there is nothing more to read. The rest of the
    /// input of that `recv` is its beginning. 64 KiB of it are kept, and it may be given up at any
    /// time: [`into_error`](Self::into_error) has what came.
    pub fn recv_body(&mut self, input: &mut Input<'_>) -> bool {
        self.refusal.as_mut().is_none_or(|it| it.recv(input))
    }

    /// The error of a handshake that failed, with the body that was read.
    #[must_use]
    pub fn into_error(self) -> Option<HandshakeError> {
        let mut error = self.error?;
        if let (HandshakeError::Response(response), Some(refusal)) = (&mut error, self.refusal) {
            response.body = refusal.into_body();
        }
        Some(error)
    }

    /// The server's response, once [`recv`](Self::recv) has returned the connection.
    #[must_use]
    pub fn response(&self) -> Option<ResponseHead<'_>> {
        self.head.response()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) if no complete response has come.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        (self.random.is_some() && self.error.is_none()).then_some(self.deadline)
    }

    /// Fails the handshake if its time is over: the deadline is for the whole response, not for
    /// each read. Drop the transport then.
    ///
    /// # Errors
    /// [`HandshakeError::Timeout`].
    pub fn handle_timeout(&mut self, now: Duration) -> Result<(), HandshakeError> {
        if self.poll_timeout().is_none_or(|deadline| now < deadline) {
            return Ok(());
        }
        let timeout = self.offer.config.handshake_timeout;
        Err(self.fail(HandshakeError::Timeout { timeout }))
    }

    fn status(&self) -> Option<u16> {
        Some(self.head.response()?.status)
    }

    /// Waits for the next response, within the rest of the limit.
    fn read_over(&mut self) {
        self.limits.max_head -= self.head.len();
        self.head = HeadReader::new(HeadParser::response(self.limits));
    }

    fn fail(&mut self, error: HandshakeError) -> HandshakeError {
        self.head = HeadReader::new(HeadParser::response(self.limits));
        self.error = Some(error.clone());
        error
    }

    /// Checks a complete head; returns what was agreed on, or what is wrong.
    fn judge(&mut self) -> Result<Negotiated, HandshakeError> {
        let Some(head) = self.head.response() else {
            return Err(HandshakeError::Eof);
        };
        confirm(&head, &self.offer).map_err(|fault| {
            self.refusal = Some(Refusal::new(&head));
            HandshakeError::Response(Box::new(ResponseError {
                fault,
                status: head.status,
                headers: head
                    .headers
                    .iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
                body: Vec::new(),
            }))
        })
    }
}

impl fmt::Debug for ClientHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandshake")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}
