//! The server's side of the opening handshake (RFC 6455 section 4.2).

use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeSliceError, Engine as _};

use super::response::check_headers;
use super::{
    HandshakeError, HeadReader, KEY_LENGTH, Request, RequestError, Response, VERSION, accept_key,
    header_names, write_header,
};
use crate::error::Misuse;
use crate::proto::config::Config;
use crate::proto::connection::Connection;
use crate::proto::extension::{Extension, PerMessage, parse_extensions};
use crate::proto::http::{
    self, BodyReader, HeadParser, Headers, HttpError, RequestHead, Target, Version, is_token,
};
use crate::proto::input::Input;
use crate::proto::sync::Arc;

/// What a complete request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// A proper opening handshake: [`accept`](ServerHandshake::accept) or
    /// [`reject`](ServerHandshake::reject) it.
    Upgrade,
    /// A plain HTTP request: [`respond`](ServerHandshake::respond), after
    /// [`read_body`](ServerHandshake::read_body) if its body is wanted.
    Plain,
}

/// What goes into the 101 besides what the handshake itself needs.
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

/// Reads a request and answers it, on byte slices.
///
/// Inputs: [`recv`](Self::recv), [`read_body`](Self::read_body),
/// [`handle_timeout`](Self::handle_timeout). Outputs: bytes appended to `out`,
/// [`poll_timeout`](Self::poll_timeout). Commands, once `recv` has answered a kind:
/// [`accept`](Self::accept), [`reject`](Self::reject), [`respond`](Self::respond); a request is
/// answered once. Getters, from then on: [`request`](Self::request), [`body`](Self::body).
///
/// # The transport of a refused request
///
/// After an error, after `reject`, and after a `respond` that answers false, the transport is to
/// be closed, but not at once. RFC 9112 section 9.6: "If a server performs an immediate close of a
/// TCP connection, there is a significant risk that the client will not be able to read the last
/// HTTP response": what the client still sends is answered by a reset, which can destroy the
/// response on its way. So write `out`; shut the sending side down; read and drop what comes until
/// the end of the stream; and give that a bound in time, of
/// [`close_timeout`](Config::close_timeout) say, and in bytes. `examples/embed.rs` does it.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use sockeye::proto::{Accept, Config, Input, ServerHandshake};
///
/// let mut bytes = *b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
///     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
///     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, superchat\r\n\r\n";
/// let now = Duration::ZERO;
/// let mut out = Vec::new();
/// let mut handshake = ServerHandshake::new(Arc::new(Config::default()), now);
/// let mut input = Input::new(&mut bytes);
/// handshake.recv(&mut input, &mut out)?.expect("a whole request");
///
/// let request = handshake.request().unwrap();
/// assert_eq!(request.path(), "/chat");
/// let subprotocol = request.choose_subprotocol(&["superchat"]);
/// let accept = Accept { subprotocol, ..Accept::default() };
/// let connection = handshake.accept(&accept, &mut out, now)?;
/// assert_eq!(connection.subprotocol(), Some("superchat"));
/// assert!(out.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
/// // What is left of `input` are frames: give it to `connection.recv`.
/// # Ok::<(), sockeye::Error>(())
/// ```
#[derive(Debug)]
pub struct ServerHandshake {
    config: Arc<Config>,
    head: HeadReader,
    body: Body,
    state: State,
    /// The request was answered. Atomic, because an answer is given while the request is borrowed,
    /// and a handshake may be shared between threads.
    answered: AtomicBool,
    deadline: Duration,
}

/// What is known of a request.
#[cfg(feature = "server")]
pub(crate) struct Known<'a> {
    pub(crate) path: Option<&'a str>,
    pub(crate) origin: Option<&'a str>,
    /// Where all of them are there.
    pub(crate) headers: Option<Headers<'a>>,
}

#[derive(Debug)]
enum State {
    Reading,
    Read(RequestKind),
    Failed(HandshakeError),
}

/// The body of a request whose head is complete.
enum Body {
    /// Nobody asked for it.
    Unread,
    Reading(BodyReader),
    /// Whole; empty if there was none.
    Read(Vec<u8>),
}

impl Body {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Unread => &[],
            Self::Reading(reader) => reader.body(),
            Self::Read(body) => body,
        }
    }
}

impl fmt::Debug for Body {
    /// Shows the length only: a body may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Unread => "Unread",
            Self::Reading(_) => "Reading",
            Self::Read(_) => "Read",
        };
        write!(f, "{name}({} bytes)", self.bytes().len())
    }
}

/// Bytes of a body that extend its deadline by a second: a fifth of what a GPRS modem uploads, so
/// that no honest peer is too slow, and a body that drips in is bounded by its limit.
const BODY_BYTES_PER_SECOND: u64 = 512;

impl ServerHandshake {
    /// Waits for a request from `now` on.
    #[must_use]
    pub fn new(config: Arc<Config>, now: Duration) -> Self {
        Self {
            head: HeadReader::new(HeadParser::request(config.head)),
            body: Body::Unread,
            state: State::Reading,
            answered: AtomicBool::new(false),
            deadline: now.saturating_add(config.handshake_timeout),
            config,
        }
    }

    /// Reads up to the end of the request's head; answers what it asks for, or None while it is
    /// incomplete. What is left of `input` then is behind the head and not read: frames, or the
    /// body of a plain request.
    ///
    /// A request that speaks of WebSocket at all (an `Upgrade` to it, or a key or version of it)
    /// must be a proper opening handshake; any other HTTP request is plain, and so is each of
    /// HTTP/1.0, where there is no upgrade (RFC 9110 section 7.8).
    ///
    /// # Errors
    /// [`HandshakeError`] for a malformed request, as early as its bytes prove it; `out` holds
    /// the response, to be written before the [transport is closed](Self#the-transport-of-a-refused-request).
    /// The error sticks. A head that is none consumes nothing of this `input`, and neither does a
    /// call after an error: drop it.
    pub fn recv(
        &mut self,
        input: &mut Input<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Option<RequestKind>, HandshakeError> {
        match &self.state {
            State::Reading => {}
            State::Read(kind) => return Ok(Some(*kind)),
            State::Failed(error) => return Err(error.clone()),
        }
        let kind = match self.head.recv(input) {
            Ok(true) => self.judge(),
            Ok(false) => return Ok(None),
            Err(error) => Err(error.into()),
        };
        match kind {
            Ok(kind) => {
                self.state = State::Read(kind);
                Ok(Some(kind))
            }
            Err(error) => Err(self.fail(error, out)),
        }
    }

    /// The request, once [`recv`](Self::recv) has answered its kind.
    #[must_use]
    pub fn request(&self) -> Option<Request<'_>> {
        let State::Read(kind) = self.state else {
            return None;
        };
        let head = self.head.request()?;
        let target = Target::parse(head.target).ok()?;
        Some(Request::new(head, target, kind == RequestKind::Upgrade))
    }

    /// Reads the body of a plain request; answers whether it is complete. Call it again with more
    /// input until it is; a request without a body is complete at once. What is left of `input`
    /// then is the next request. Before [`recv`](Self::recv) has answered a kind there is nothing
    /// to read, and the answer is false.
    ///
    /// The first call decides that the body is wanted, and counts: its `limit` is the most bytes
    /// that the body may have once decoded, and it appends `100 Continue` to `out` if the client
    /// waits for that, unless bytes of the body are there already. Its `now` begins the body's
    /// time: [`handshake_timeout`](Config::handshake_timeout), and a second more for each 512
    /// bytes received, so that a slow upload ends and a drip is cut off.
    ///
    /// # Errors
    /// [`HandshakeError::Body`], as early as the bytes prove it, a `Content-Length` over the limit
    /// before any; `out` holds the response, to be written before the transport is closed. The
    /// error sticks.
    pub fn read_body(
        &mut self,
        limit: usize,
        input: &mut Input<'_>,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<bool, HandshakeError> {
        match &self.state {
            State::Reading => return Ok(false),
            State::Read(_) => {}
            State::Failed(error) => return Err(error.clone()),
        }
        let result = match self.body {
            Body::Unread => self.begin_body(limit, input.is_empty(), out, now),
            _ => Ok(()),
        };
        let result = result.and_then(|()| match &mut self.body {
            Body::Reading(reader) => reader.recv(input),
            _ => Ok(true),
        });
        let complete = result.map_err(|error| self.fail(HandshakeError::Body(error), out))?;
        if complete {
            self.body = match mem::replace(&mut self.body, Body::Unread) {
                Body::Reading(reader) => Body::Read(reader.into_body()),
                body => body,
            };
        }
        Ok(complete)
    }

    fn begin_body(
        &mut self,
        limit: usize,
        nothing_came: bool,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<(), HttpError> {
        let Some(RequestHead {
            headers, version, ..
        }) = self.head.request()
        else {
            return Ok(());
        };
        let expects_continue = http::expects_continue(headers, version)?;
        self.body = match BodyReader::new(headers, version, limit)? {
            None => Body::Read(Vec::new()),
            Some(reader) => {
                // RFC 9110 section 10.1.1: "A server MAY omit sending a 100 (Continue) response
                // if it has already received some or all of the content".
                if expects_continue && nothing_came {
                    out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                Body::Reading(reader)
            }
        };
        self.deadline = now.saturating_add(self.config.handshake_timeout);
        Ok(())
    }

    /// The body of the request, or what [`read_body`](Self::read_body) has read of it; empty if
    /// there is none.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.body.bytes()
    }

    /// The request, if it is not answered yet.
    fn unanswered(&self) -> Result<Request<'_>, Misuse> {
        let answered = self.answered.load(Ordering::Relaxed);
        self.request()
            .filter(|_| !answered)
            .ok_or(Misuse::HandshakeState)
    }

    /// Accepts the opening handshake (RFC 6455 section 4.2.2): appends the 101 to `out` and
    /// answers the connection. The first of the client's extension offers that one of
    /// [`Config::extensions`] accepts is agreed on.
    ///
    /// # Errors
    /// [`Misuse`] when there is no opening handshake to accept or it was answered already, the
    /// subprotocol was not offered, or a header can't be sent (a CR or LF in it, say). Nothing is
    /// appended then, and the handshake can still be answered.
    pub fn accept(
        &self,
        accept: &Accept<'_>,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<Connection, Misuse> {
        let request = self.unanswered()?;
        if !request.is_upgrade() {
            return Err(Misuse::HandshakeState);
        }
        check_headers(accept.headers)?;
        if let Some(name) = accept.subprotocol
            && !request.subprotocols().any(|offered| offered == name)
        {
            return Err(Misuse::Subprotocol(name.into()));
        }
        let config = accept.config.unwrap_or(&self.config);
        let (response, extension) = negotiate(config, &request).unzip();

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
        self.answered.store(true, Ordering::Relaxed);
        let subprotocol = accept.subprotocol.map(Into::into);
        Ok(Connection::new(
            Arc::clone(config),
            None,
            extension,
            subprotocol,
            now,
        ))
    }

    /// Refuses the request: appends the response to `out`. Once it is written,
    /// [close the transport](Self#the-transport-of-a-refused-request); bytes behind the request are
    /// not looked at.
    ///
    /// # Errors
    /// [`Misuse`] when there is no request to answer or it was answered already, or the response
    /// can't be sent. Nothing is appended then, and the request can still be answered.
    pub fn reject(&self, response: &Response<'_>, out: &mut Vec<u8>) -> Result<(), Misuse> {
        let request = self.unanswered()?;
        response.check()?;
        self.answered.store(true, Ordering::Relaxed);
        response.write(false, request.method() == "HEAD", out);
        Ok(())
    }

    /// Refuses whatever request is under way, complete or not, as a server that stops does with a
    /// 503: appends the response to `out`, and [the transport is
    /// closed](Self#the-transport-of-a-refused-request) once it is written. Answers whether there
    /// was one. A transport on which no byte of a request has come since the last answer is idle:
    /// nothing is appended then.
    ///
    /// # Errors
    /// [`Misuse`] when the response can't be sent. Nothing is appended then.
    pub fn interrupt(&self, response: &Response<'_>, out: &mut Vec<u8>) -> Result<bool, Misuse> {
        response.check()?;
        let under_way = match self.state {
            State::Reading => !self.head.bytes.is_empty(),
            State::Read(_) => true,
            State::Failed(_) => false,
        };
        if !under_way || self.answered.swap(true, Ordering::Relaxed) {
            return Ok(false);
        }
        let head_only = self.head.request().is_some_and(|it| it.method == "HEAD");
        response.write(false, head_only, out);
        Ok(true)
    }

    /// What has come of the request's head, also where it is incomplete or malformed: then `behind`
    /// is the input that [`recv`](Self::recv) has failed of, and else of no matter.
    #[cfg(feature = "server")]
    pub(crate) fn known<'a>(&'a self, behind: &'a [u8]) -> Known<'a> {
        let (target, headers) = self.head.known(behind);
        let target = target.and_then(|it| Target::parse(it).ok());
        let text = |it: &'a [u8]| core::str::from_utf8(it).ok();
        Known {
            path: target.map(|it| it.path),
            origin: headers.get("origin").and_then(text),
            headers: self.head.request().map(|it| it.headers),
        }
    }

    /// Answers a plain request: appends the response to `out`. True when the transport stays
    /// open (RFC 9112 section 9.3) and the next request is waited for; else
    /// [close it](Self#the-transport-of-a-refused-request) once the response is written. A body that [`read_body`](Self::read_body) has not read to its end
    /// costs the transport, since nobody knows where the next request begins.
    ///
    /// # Errors
    /// As [`reject`](Self::reject).
    pub fn respond(
        &mut self,
        response: &Response<'_>,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<bool, Misuse> {
        let request = self.unanswered()?;
        response.check()?;
        let headers = request.headers();
        let at_end = match self.body {
            Body::Unread => !has_body(headers),
            Body::Reading(_) => false,
            Body::Read(_) => true,
        };
        let keep_alive = !request.is_upgrade()
            && at_end
            && !headers.contains_token("connection", "close")
            && (request.version() == Version::Http11
                || headers.contains_token("connection", "keep-alive"));
        response.write(keep_alive, request.method() == "HEAD", out);
        self.answered.store(!keep_alive, Ordering::Relaxed);
        self.body = Body::Unread;
        if keep_alive {
            self.head.clear();
            self.state = State::Reading;
            self.deadline = now.saturating_add(self.config.handshake_timeout);
        }
        Ok(keep_alive)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) if no complete request has come, or
    /// the body that is being read isn't complete. None once the request was answered.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        match (&self.state, &self.body) {
            _ if self.answered.load(Ordering::Relaxed) => None,
            (State::Reading, _) => Some(self.deadline),
            (State::Read(_), Body::Reading(reader)) => {
                let earned = reader.body().len() as u64 / BODY_BYTES_PER_SECOND;
                Some(self.deadline.saturating_add(Duration::from_secs(earned)))
            }
            _ => None,
        }
    }

    /// Fails the handshake if its time is over: the deadline is for the whole head, not for each
    /// read; for a body see [`read_body`](Self::read_body). A peer that sent part of a request is
    /// answered with 408, a silent one with nothing.
    ///
    /// # Errors
    /// [`HandshakeError::Timeout`].
    pub fn handle_timeout(
        &mut self,
        now: Duration,
        out: &mut Vec<u8>,
    ) -> Result<(), HandshakeError> {
        if self.poll_timeout().is_none_or(|deadline| now < deadline) {
            return Ok(());
        }
        let timeout = self.config.handshake_timeout;
        let mut unsent = Vec::new();
        let out = if self.head.bytes.is_empty() {
            &mut unsent
        } else {
            out
        };
        Err(self.fail(HandshakeError::Timeout { timeout }, out))
    }

    /// The one place that answers a malformed request. Its head stays, for who tells of it.
    fn fail(&mut self, error: HandshakeError, out: &mut Vec<u8>) -> HandshakeError {
        let text = error.to_string();
        let allow = [("Allow", "GET")];
        let response = Response {
            status: error.status().unwrap_or(400),
            // RFC 9110 section 15.5.6: 405 comes with Allow.
            headers: match error {
                HandshakeError::Request(RequestError::Method) => &allow,
                _ => &[],
            },
            body: text.as_bytes(),
        };
        let head_only = self.head.request().is_some_and(|it| it.method == "HEAD");
        if !self.answered.swap(true, Ordering::Relaxed) {
            response.write(false, head_only, out);
        }
        self.body = Body::Unread;
        self.state = State::Failed(error.clone());
        error
    }

    /// Judges a complete head.
    fn judge(&self) -> Result<RequestKind, HandshakeError> {
        let Some(head) = self.head.request() else {
            return Err(HttpError::RequestLine.into());
        };
        // RFC 9112 section 3.2: one valid Host, which only HTTP/1.0 may leave out.
        match http::host(head.headers) {
            Err(HttpError::HostMissing) if head.version == Version::Http10 => {}
            host => drop(host?),
        }
        let length = http::content_length(head.headers)?;
        Target::parse(head.target)?;
        let headers = head.headers;
        let upgrade = head.version == Version::Http11
            && (headers.contains_token("upgrade", "websocket")
                || headers.get("sec-websocket-key").is_some()
                || headers.get("sec-websocket-version").is_some());
        if !upgrade {
            return Ok(RequestKind::Plain);
        }
        check_upgrade(&head, length)?;
        Ok(RequestKind::Upgrade)
    }
}

fn negotiate(config: &Config, request: &Request<'_>) -> Option<(Extension, PerMessage)> {
    let mut offers = request.extensions();
    offers.find_map(|offer| config.extensions.iter().find_map(|it| it.accept(&offer)))
}

fn has_body(headers: Headers<'_>) -> bool {
    headers.get("transfer-encoding").is_some()
        || !matches!(http::content_length(headers), Ok(None | Some(0)))
}

/// RFC 6455 section 4.2.1, in its order.
fn check_upgrade(head: &RequestHead<'_>, length: Option<u64>) -> Result<(), RequestError> {
    let headers = head.headers;
    if head.method != "GET" {
        return Err(RequestError::Method);
    }
    // What a body holds must never be read as frames (request smuggling).
    if headers.get("transfer-encoding").is_some() || length.is_some_and(|length| length > 0) {
        return Err(RequestError::Body);
    }
    if !headers.contains_token("upgrade", "websocket") {
        return Err(RequestError::Upgrade);
    }
    if !headers.contains_token("connection", "upgrade") {
        return Err(RequestError::Connection);
    }
    check_version(headers)?;
    check_key(headers)?;
    let mut origins = headers.get_all("origin");
    if origins.next().is_some_and(|it| !it.is_ascii()) || origins.next().is_some() {
        return Err(RequestError::Origin);
    }
    if !headers.tokens("sec-websocket-protocol").all(is_token) {
        return Err(RequestError::Subprotocol);
    }
    for offer in parse_extensions(headers.get_all("sec-websocket-extensions")) {
        offer.map_err(RequestError::Extensions)?;
    }
    Ok(())
}

fn check_version(headers: Headers<'_>) -> Result<(), RequestError> {
    let mut versions = headers.get_all("sec-websocket-version");
    let version = versions.next().ok_or(RequestError::VersionUnsupported)?;
    if versions.next().is_some() {
        return Err(RequestError::VersionRepeated);
    }
    if version == VERSION.as_bytes() {
        return Ok(());
    }
    // A list of proper versions gets the answer that a proper version gets.
    let proper = |it: &[u8]| {
        matches!(it.trim_ascii(), [b'0'] | [b'1'..=b'9', ..])
            && core::str::from_utf8(it.trim_ascii()).is_ok_and(|it| it.parse::<u8>().is_ok())
    };
    Err(match version.split(|&byte| byte == b',').all(proper) {
        true => RequestError::VersionUnsupported,
        false => RequestError::VersionMalformed,
    })
}

/// Many clients send 22 random characters: the last one's spare bits may be set.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

fn check_key(headers: Headers<'_>) -> Result<(), RequestError> {
    let mut keys = headers.get_all("sec-websocket-key");
    let key = keys.next().ok_or(RequestError::KeyMissing)?;
    if keys.next().is_some() {
        return Err(RequestError::KeyRepeated);
    }
    if key.len() != 24 {
        return Err(RequestError::KeyLength);
    }
    // Room for what 24 characters of any padding may hold.
    let mut nonce = [0; 18];
    match KEY_BASE64.decode_slice(key, &mut nonce) {
        Ok(KEY_LENGTH) => Ok(()),
        // 24 characters with another padding: 17 or 18 bytes.
        Ok(_) | Err(DecodeSliceError::OutputSliceTooSmall) => Err(RequestError::KeyLength),
        Err(DecodeSliceError::DecodeError(_)) => Err(RequestError::KeyEncoding),
    }
}
