//! A plain HTTP request: its body and its response.

use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::time::Duration;

use super::ServerHandshake;
use crate::proto::config::Config;
use crate::proto::handshake::error::HandshakeError;
use crate::proto::handshake::head::HeadReader;
use crate::proto::handshake::refused::{Refused, Unanswered};
use crate::proto::handshake::request::Request;
use crate::proto::handshake::response::Response;
use crate::proto::http::{self, BodyReader, Headers, HttpError, Version};
use crate::proto::input::Input;
use crate::proto::sync::Arc;
use crate::proto::teardown::{Linger, Teardown};

/// The bytes of a body that extend its deadline by a second: a fifth of a GPRS modem's upload rate,
/// so that no honest peer is too slow, and the limit bounds a body that drips in.
const BODY_BYTES_PER_SECOND: u64 = 512;

/// The result of [`PlainRequest::read_body`].
#[derive(Debug)]
pub enum ReadBody {
    /// More is to come: continue with the next bytes.
    Incomplete(PlainRequest),
    /// The body is complete.
    Complete(PlainRequest),
}

/// What follows the response to a plain request.
#[derive(Debug)]
pub enum Responded {
    /// The transport stays open (RFC 9112 section 9.3) and the next request is waited for.
    KeepAlive(ServerHandshake),
    /// The transport is to be closed.
    Close(Linger),
}

/// A plain HTTP request whose head is complete.
///
/// Inputs: [`read_body`](Self::read_body), [`handle_timeout`](Self::handle_timeout). Outputs:
/// [`poll_timeout`](Self::poll_timeout). Commands, which consume it: [`respond`](Self::respond),
/// [`reject`](Self::reject). Getters: the rest. It may be kept while something else prepares the
/// response, also on another thread.
pub struct PlainRequest {
    config: Arc<Config>,
    head: HeadReader,
    body: Body,
    /// The bytes of the body, once it is read.
    deadline: Duration,
}

/// The body of a request whose head is complete.
enum Body {
    /// Not requested.
    Unread,
    Reading(BodyReader),
    /// Complete; empty if there was none.
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

impl PlainRequest {
    pub(super) fn new(config: Arc<Config>, head: HeadReader) -> Self {
        Self {
            config,
            head,
            body: Body::Unread,
            deadline: Duration::MAX,
        }
    }

    /// The request.
    #[must_use]
    pub fn request(&self) -> Request<'_> {
        Request::of(&self.head, false)
    }

    /// What [`read_body`](Self::read_body) has read of the body; empty if there is none.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.body.bytes()
    }

    /// Reads the body. Call it again with more input until it is complete, which a request without
    /// a body is at once. What is left of `input` then is the next request.
    ///
    /// The first call requests the body, and its arguments count: `limit` is the most bytes of the
    /// body once decoded, and `100 Continue` is appended to `out` if the client waits for it,
    /// unless bytes of the body are there already. `now` begins the body's time:
    /// [`handshake_timeout`](Config::handshake_timeout), and a second more for each 512 bytes
    /// received, so that a slow upload ends and a drip is cut off.
    ///
    /// # Errors
    /// [`Refused`] with [`HandshakeError::Body`], as early as the bytes prove it, a
    /// `Content-Length` over the limit before any; `out` holds the response.
    pub fn read_body(
        mut self,
        limit: usize,
        input: &mut Input<'_>,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<ReadBody, Refused> {
        let begun = match self.body {
            Body::Unread => self.begin_body(limit, input.is_empty(), out, now),
            _ => Ok(()),
        };
        let result = begun.and_then(|()| match &mut self.body {
            Body::Reading(reader) => reader.recv(input),
            _ => Ok(true),
        });
        match result {
            Ok(false) => Ok(ReadBody::Incomplete(self)),
            Ok(true) => {
                self.body = match mem::replace(&mut self.body, Body::Unread) {
                    Body::Reading(reader) => Body::Read(reader.into_body()),
                    body => body,
                };
                Ok(ReadBody::Complete(self))
            }
            Err(error) => {
                let error = HandshakeError::Body(error);
                Err(Refused::new(error, self.head, &self.config, out, now))
            }
        }
    }

    fn begin_body(
        &mut self,
        limit: usize,
        nothing_came: bool,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<(), HttpError> {
        let request = self.request();
        let (headers, version) = (request.headers(), request.version());
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

    /// Responds: appends the response to `out`. If [`read_body`](Self::read_body) has not read the
    /// body to its end, the transport has to be closed, since the start of the next request is
    /// unknown.
    ///
    /// # Errors
    /// [`Unanswered`] when the response can't be sent. Nothing is appended then.
    pub fn respond(
        self,
        response: &Response<'_>,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<Responded, Unanswered<Self>> {
        let request = self.request();
        let headers = request.headers();
        let at_end = match self.body {
            Body::Unread => !has_body(headers),
            Body::Reading(_) => false,
            Body::Read(_) => true,
        };
        let keep_alive = at_end
            && !headers.contains_token("connection", "close")
            && (request.version() == Version::Http11
                || headers.contains_token("connection", "keep-alive"));
        match keep_alive {
            true => {
                let config = self.write(response, true, out)?;
                Ok(Responded::KeepAlive(ServerHandshake::new(config, now)))
            }
            false => self.reject(response, out, now).map(Responded::Close),
        }
    }

    /// Like [`respond`](Self::respond), and closes the transport in any case.
    ///
    /// # Errors
    /// As [`respond`](Self::respond).
    pub fn reject(
        self,
        response: &Response<'_>,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<Linger, Unanswered<Self>> {
        let config = self.write(response, false, out)?;
        Ok(Linger::new(Teardown::HalfClose, now, config.close_timeout))
    }

    fn write(
        self,
        response: &Response<'_>,
        keep_alive: bool,
        out: &mut Vec<u8>,
    ) -> Result<Arc<Config>, Unanswered<Self>> {
        match response.check() {
            Ok(()) => {
                response.write(keep_alive, self.request().method() == "HEAD", out);
                Ok(self.config)
            }
            Err(misuse) => Err(Unanswered::new(self, misuse)),
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), while the body is being read.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        match &self.body {
            Body::Reading(reader) => {
                let earned = reader.body().len() as u64 / BODY_BYTES_PER_SECOND;
                Some(self.deadline.saturating_add(Duration::from_secs(earned)))
            }
            Body::Unread | Body::Read(_) => None,
        }
    }

    /// Refuses the request with 408 if the time of its body is over.
    ///
    /// # Errors
    /// [`Refused`] with [`HandshakeError::Timeout`].
    pub fn handle_timeout(self, now: Duration, out: &mut Vec<u8>) -> Result<Self, Refused> {
        if self.poll_timeout().is_none_or(|deadline| now < deadline) {
            return Ok(self);
        }
        let timeout = self.config.handshake_timeout;
        let error = HandshakeError::Timeout { timeout };
        Err(Refused::new(error, self.head, &self.config, out, now))
    }
}

impl fmt::Debug for PlainRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainRequest")
            .field("request", &self.request())
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

fn has_body(headers: Headers<'_>) -> bool {
    headers.get("transfer-encoding").is_some()
        || !matches!(http::content_length(headers), Ok(None | Some(0)))
}
