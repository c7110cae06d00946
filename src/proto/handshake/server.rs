//! The server's side of the opening handshake (RFC 6455 section 4.2): reading a request.

mod plain;

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::check::check_upgrade;
use super::error::HandshakeError;
use super::head::HeadReader;
use super::partial::PartialRequest;
use super::refused::{Refused, Unanswered};
use super::response::Response;
use super::upgrade::Upgrade;
use crate::proto::config::Config;
use crate::proto::http::{self, HeadParser, HttpError, Target, Version};
use crate::proto::input::Input;
use crate::proto::sync::Arc;
use crate::proto::teardown::{Linger, Teardown};

pub use self::plain::{PlainRequest, ReadBody, Responded};

/// The result of [`ServerHandshake::recv`].
#[derive(Debug)]
pub enum Received {
    /// The head of the request is not complete: continue with the next bytes.
    Incomplete(ServerHandshake),
    /// A valid opening handshake: accept or reject it.
    Upgrade(Upgrade),
    /// A plain HTTP request.
    Plain(PlainRequest),
}

/// Reads a request, on byte slices.
///
/// Each step consumes the value and returns the next: a handshake becomes an [`Upgrade`] or a
/// [`PlainRequest`], an upgrade a connection, a plain request the handshake that reads the next
/// one. So each request gets one response, in order.
///
/// Inputs: [`recv`](Self::recv), [`handle_timeout`](Self::handle_timeout). Outputs: bytes appended
/// to `out`, [`poll_timeout`](Self::poll_timeout).
///
/// # The transport of a refused request
///
/// Every call that refuses a request returns a [`Linger`], or an error that holds one: write `out`,
/// then follow it. The transport must not be closed at once. RFC 9112 section 9.6: "If a server
/// performs an immediate close of a TCP connection, there is a significant risk that the client
/// will not be able to read the last HTTP response".
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use sockeye::proto::{Accept, Config, Input, Received, ServerHandshake};
///
/// let mut bytes = *b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
///     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
///     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, superchat\r\n\r\n";
/// let now = Duration::ZERO;
/// let mut out = Vec::new();
/// let handshake = ServerHandshake::new(Arc::new(Config::default()), now);
/// let mut input = Input::new(&mut bytes);
/// let Received::Upgrade(upgrade) = handshake.recv(&mut input, &mut out, now)? else {
///     panic!("a whole opening handshake");
/// };
///
/// let request = upgrade.request();
/// assert_eq!(request.path(), "/chat");
/// let subprotocol = request.choose_subprotocol(&["superchat"]);
/// let accept = Accept { subprotocol, ..Accept::default() };
/// let connection = upgrade.accept(&accept, &mut out, now)?;
/// assert_eq!(connection.subprotocol(), Some("superchat"));
/// assert!(out.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
/// // What is left of `input` are frames: give it to `connection.recv`.
/// # Ok::<(), sockeye::Error>(())
/// ```
///
/// A request can't be answered twice:
///
/// ```compile_fail,E0382
/// # fn twice(upgrade: sockeye::proto::Upgrade, out: &mut Vec<u8>, now: std::time::Duration) {
/// # use sockeye::proto::{Accept, Response};
/// let connection = upgrade.accept(&Accept::default(), out, now);
/// let rejected = upgrade.reject(&Response::status(403), out, now);
/// # }
/// ```
pub struct ServerHandshake {
    config: Arc<Config>,
    head: HeadReader,
    deadline: Duration,
}

impl ServerHandshake {
    /// Waits for a request from `now` on.
    #[must_use]
    pub fn new(config: Arc<Config>, now: Duration) -> Self {
        Self {
            head: HeadReader::new(HeadParser::request(config.head)),
            deadline: now.saturating_add(config.handshake_timeout),
            config,
        }
    }

    /// Reads up to the end of the request's head. What is left of `input` then is behind the head
    /// and not read: frames, or the body of a plain request. While the head is incomplete, nothing
    /// is left.
    ///
    /// A request that mentions WebSocket at all (in `Upgrade`, or by its key or version) must be a
    /// valid opening handshake; any other HTTP request is plain, and so is any of HTTP/1.0, which
    /// has no upgrade (RFC 9110 section 7.8).
    ///
    /// # Errors
    /// [`Refused`] for a malformed request, as early as its bytes prove it; `out` holds the
    /// response. A malformed head consumes nothing of this `input`: drop it.
    pub fn recv(
        mut self,
        input: &mut Input<'_>,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<Received, Refused> {
        let upgrade = match self.head.recv(input) {
            Ok(false) => return Ok(Received::Incomplete(self)),
            Ok(true) => is_upgrade(&self.head),
            Err(error) => Err(error.into()),
        };
        match upgrade {
            Ok(true) => Ok(Received::Upgrade(Upgrade::new(self.config, self.head))),
            Ok(false) => Ok(Received::Plain(PlainRequest::new(self.config, self.head))),
            Err(error) => Err(Refused::new(error, self.head, &self.config, out, now)),
        }
    }

    /// Returns the request, as far as its head has arrived.
    #[must_use]
    pub fn request(&self) -> PartialRequest<'_> {
        PartialRequest::of(&self.head)
    }

    /// Whether no byte of a request has arrived: the transport is idle.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.head.is_empty()
    }

    /// Refuses the request whose head is incomplete, with a 503 when a server stops, say: appends
    /// the response to `out`. None for an [idle](Self::is_idle) transport: nothing is appended and
    /// it may be dropped.
    ///
    /// # Errors
    /// When the response can't be sent.
    pub fn reject(
        self,
        response: &Response<'_>,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<Option<Linger>, Unanswered<Self>> {
        if let Err(misuse) = response.check() {
            return Err(Unanswered::new(self, misuse));
        }
        if self.is_idle() {
            return Ok(None);
        }
        response.write(false, false, out);
        let timeout = self.config.close_timeout;
        Ok(Some(Linger::new(Teardown::HalfClose, now, timeout)))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) if no complete head has come. The
    /// deadline is for the whole head, not for each read.
    #[must_use]
    pub fn poll_timeout(&self) -> Duration {
        self.deadline
    }

    /// Refuses the request if its time is over: a peer that sent part of one gets a 408, a silent
    /// one nothing.
    ///
    /// # Errors
    /// [`Refused`] with [`HandshakeError::Timeout`].
    pub fn handle_timeout(self, now: Duration, out: &mut Vec<u8>) -> Result<Self, Refused> {
        if now < self.deadline {
            return Ok(self);
        }
        let timeout = self.config.handshake_timeout;
        let error = HandshakeError::Timeout { timeout };
        Err(Refused::new(error, self.head, &self.config, out, now))
    }
}

impl fmt::Debug for ServerHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandshake")
            .field("head", &self.head)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Checks a complete head: whether it is an opening handshake, and not a plain request.
fn is_upgrade(head: &HeadReader) -> Result<bool, HandshakeError> {
    let Some(head) = head.request() else {
        return Err(HttpError::RequestLine.into());
    };
    // RFC 9112 section 3.2: one valid Host, which only HTTP/1.0 may omit.
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
    if upgrade {
        check_upgrade(&head, length)?;
    }
    Ok(upgrade)
}
