//! A connection before it is open: plain requests, and the opening handshake.
//!
//! Owns the stages of a request. What it is answered is in `answering`; reading and writing are left to
//! the session.

use std::boxed::Box;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use super::answering::{accept, answer, complete, decide, guarded, handles, screen};
use super::{Gone, Next, Phase, Session, Turn};
use crate::error::HandshakeError;
use crate::net::Transport;
use crate::proto::{
    Input, Linger, PartialRequest, PlainRequest, ReadBody, Received, Refused, Responded, Response,
    ServerHandshake, Upgrade,
};
use crate::server::end::{HandshakeFailure, STOPS};
use crate::server::handler::OpenSession;
use crate::server::http::{Answer, HttpResponse, Reject, Slot};
use crate::server::observe::FailedHandshake;
use crate::server::proxy::ProxyHeader;
use crate::server::route::{Decided, Decision};

/// The query parameter by which a returning client names its earlier connection.
const PREVIOUS: &str = "previous-connection";

/// Requests, until one of them is an opening handshake.
pub(super) struct Opening {
    pub(super) stage: Stage,
    /// The part of the leading PROXY header that has arrived.
    pub(super) proxy_header: Option<Vec<u8>>,
    /// Whether the server stops once the response is sent.
    pub(super) stopping: bool,
    /// Whether bytes of the client have arrived; a PROXY header is the proxy's.
    pub(super) begun: bool,
    /// When the head of the last request was complete.
    pub(super) since: Duration,
    /// Whether a plain request was served: then the end is not a failed handshake.
    pub(super) served: bool,
}

/// The stage of a request.
pub(super) enum Stage {
    Head(ServerHandshake),
    /// The body of a plain request is being read.
    Body(PlainRequest),
    /// The application decides an upgrade later.
    Upgrade(Upgrade, Later<Decided>),
    /// The application responds to a plain request later.
    Reply(PlainRequest, Later<HttpResponse>),
    /// The response is being made.
    Taken,
}

/// An answer that the application gives later.
pub(super) struct Later<T> {
    slot: Arc<Slot<T>>,
    until: Duration,
}

impl<T> Later<T> {
    fn new(slot: Arc<Slot<T>>, turn: &Turn<'_>) -> Self {
        let timeout = turn.endpoints.options.config.handshake_timeout;
        let until = turn.worker.now.saturating_add(timeout);
        Self { slot, until }
    }
}

impl Opening {
    pub(super) fn new(handshake: ServerHandshake, proxied: bool) -> Self {
        Self {
            stage: Stage::Head(handshake),
            proxy_header: proxied.then(Vec::new),
            stopping: false,
            begun: false,
            since: Duration::ZERO,
            served: false,
        }
    }

    /// Whether the application answers later.
    pub(super) fn is_deferred(&self) -> bool {
        matches!(self.stage, Stage::Upgrade(..) | Stage::Reply(..))
    }

    /// Whether no byte of a request has arrived since the last one.
    pub(super) fn is_idle(&self) -> bool {
        matches!(&self.stage, Stage::Head(handshake) if handshake.is_idle())
    }

    /// When waiting for it ends.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match &self.stage {
            Stage::Head(handshake) => Some(handshake.poll_timeout()),
            Stage::Body(request) => request.poll_timeout(),
            Stage::Upgrade(_, later) => Some(later.until),
            Stage::Reply(_, later) => Some(later.until),
            Stage::Taken => None,
        }
    }

    /// The request, as far as it has arrived.
    pub(super) fn request(&self) -> Option<PartialRequest<'_>> {
        match &self.stage {
            Stage::Head(handshake) => Some(handshake.request()),
            Stage::Body(request) | Stage::Reply(request, _) => Some(request.request().into()),
            Stage::Upgrade(upgrade, _) => Some(upgrade.request().into()),
            Stage::Taken => None,
        }
    }

    pub(super) fn take(&mut self) -> Stage {
        mem::replace(&mut self.stage, Stage::Taken)
    }
}

impl<T: Transport> Session<T> {
    /// Takes the application's answer, if it is there and still waited for. The wake-up may also be
    /// for an earlier request.
    pub(in crate::server) fn decided(&mut self, turn: &mut Turn<'_>) -> Next {
        let Phase::Opening(opening) = &mut self.phase else {
            return self.advance(false, turn);
        };
        match opening.take() {
            Stage::Upgrade(upgrade, later) => match later.slot.take() {
                Some(decided) => {
                    let decision = decided.map_or_else(Decision::Reject, Decision::Accept);
                    if let Err(gone) = self.settle(upgrade, decision, turn) {
                        return turn.gone(gone);
                    }
                }
                None => opening.stage = Stage::Upgrade(upgrade, later),
            },
            Stage::Reply(request, later) => match later.slot.take() {
                Some(response) => self.reply(request, response, turn),
                None => opening.stage = Stage::Reply(request, later),
            },
            stage => opening.stage = stage,
        }
        self.advance(false, turn)
    }

    /// Answers a plain request.
    fn reply(&mut self, request: PlainRequest, mut response: HttpResponse, turn: &mut Turn<'_>) {
        let (asked, start) = (self.asked(request.request().into(), turn), turn.cork.len());
        let Phase::Opening(opening) = &mut self.phase else {
            return;
        };
        complete(&mut response, &request, &self.remote, turn);
        // The date moves the body, which must not move the rest as well.
        if request.request().method() != "HEAD" {
            turn.cork.reserve(response.body.len() + 1024);
        }
        opening.served = true;
        let now = turn.worker.now;
        let last = opening.stopping || turn.worker.draining;
        let mut respond = |request: PlainRequest, response: &Response<'_>| match last {
            true => request
                .reject(response, turn.cork, now)
                .map(Responded::Close),
            false => request.respond(response, turn.cork, now),
        };
        let mut sent = response.as_response(|it| respond(request, it));
        if let Err(unanswered) = sent {
            // The application's response can't be sent.
            sent = respond(unanswered.into_request(), &Response::status(500));
        }
        self.responded(asked, start, turn);
        let Phase::Opening(opening) = &mut self.phase else {
            return;
        };
        match sent {
            Ok(Responded::KeepAlive(next)) => opening.stage = Stage::Head(next),
            Ok(Responded::Close(linger)) => self.linger(linger),
            Err(_) => self.linger_for_close_timeout(turn),
        }
    }

    /// Reads the PROXY header; once it is complete, returns the bytes behind it.
    #[cold]
    pub(super) fn proxy_header(&mut self, turn: &mut Turn<'_>) -> Result<Option<Vec<u8>>, Gone> {
        let Phase::Opening(opening) = &mut self.phase else {
            return Ok(None);
        };
        let header = opening.proxy_header.take().unwrap_or_default();
        match ProxyHeader::parse(&header) {
            Ok(None) => {
                opening.proxy_header = Some(header);
                Ok(None)
            }
            Ok(Some((proxied, length))) => {
                if let ProxyHeader::Proxied { source, .. } = proxied {
                    self.remote.peer = source;
                }
                // TLS begins behind the header, and these bytes are its first.
                let behind = self.transport.begin(header[length..].to_vec());
                self.readable |= behind.is_none();
                Ok(behind)
            }
            Err(error) => {
                opening.begun = true;
                self.failed(HandshakeFailure::Proxy, &error, turn);
                Err(Gone)
            }
        }
    }

    /// Whether the peer has sent a byte.
    pub(super) fn has_begun(&self) -> bool {
        match &self.phase {
            Phase::Opening(opening) => {
                let header = opening.proxy_header.as_ref();
                let header = header.is_some_and(|it| !it.is_empty());
                opening.begun || header || self.transport.has_heard()
            }
            _ => true,
        }
    }

    /// Counts a connection that failed to open, and notifies the observers. One that has sent nothing,
    /// as those that browsers open in advance and health checks of the port, is only unused.
    pub(super) fn failed(
        &self,
        cause: HandshakeFailure,
        reason: &dyn fmt::Display,
        turn: &Turn<'_>,
    ) {
        let request = match &self.phase {
            Phase::Opening(opening) => opening.request(),
            _ => None,
        };
        self.failed_with(request, cause, reason, turn);
    }

    /// Like [`failed`](Self::failed), with what is known of a request that was taken.
    #[cold]
    pub(super) fn failed_with(
        &self,
        request: Option<PartialRequest<'_>>,
        cause: HandshakeFailure,
        reason: &dyn fmt::Display,
        turn: &Turn<'_>,
    ) {
        if !self.has_begun() {
            return turn.worker.metrics.unused.add(1);
        }
        let (shared, peer) = (&turn.worker.shared, self.remote.peer);
        shared.count_failed(turn.id.worker(), cause, || {
            let complete = request.filter(PartialRequest::is_complete);
            FailedHandshake {
                peer_addr: peer,
                client_ip: match complete {
                    Some(request) => turn.endpoints.client_ip(peer, request.headers()),
                    None => self.remote.client_ip(),
                },
                path: request.and_then(|it| it.path()),
                origin: request.and_then(|it| it.origin()),
                cause,
                reason,
            }
        });
    }

    /// Handles a request that the core has refused.
    /// The response begins at `start` of the output.
    pub(super) fn refused(&mut self, refused: Refused, start: usize, turn: &mut Turn<'_>) {
        let asked = self.asked(refused.request(), turn);
        self.responded(asked, start, turn);
        let error = refused.error();
        self.failed_with(Some(refused.request()), error.into(), error, turn);
        self.linger(refused.into_linger());
    }

    /// Checks the deadline of a request that is being read, or that the application answers later.
    pub(super) fn opening_timed_out(&mut self, turn: &mut Turn<'_>) {
        let Phase::Opening(opening) = &mut self.phase else {
            return;
        };
        let (now, start) = (turn.worker.now, turn.cork.len());
        let checked = match opening.take() {
            Stage::Head(handshake) => handshake.handle_timeout(now, turn.cork).map(Stage::Head),
            Stage::Body(request) => request.handle_timeout(now, turn.cork).map(Stage::Body),
            Stage::Upgrade(upgrade, later) if now >= later.until => {
                let reason = "the application did not decide within handshake_timeout";
                let request = Some(upgrade.request().into());
                self.failed_with(request, HandshakeFailure::Timeout, &reason, turn);
                return self.reject(upgrade, &HttpResponse::status(503), turn);
            }
            Stage::Reply(request, later) if now >= later.until => {
                opening.stopping = true;
                return self.reply(request, HttpResponse::status(503), turn);
            }
            stage => Ok(stage),
        };
        match checked {
            Ok(stage) => opening.stage = stage,
            // A plain client that is silent between two requests has not failed.
            Err(refused) if opening.served => {
                let asked = self.asked(refused.request(), turn);
                self.responded(asked, start, turn);
                self.linger(refused.into_linger());
            }
            Err(refused) => self.refused(refused, start, turn),
        }
    }

    /// Responds with a 503 to the request that is under way as the server stops; None if there is
    /// none.
    pub(super) fn reject_stopping(
        &mut self,
        response: &Response<'_>,
        turn: &mut Turn<'_>,
    ) -> Option<Linger> {
        let (asked, start) = (self.asked_last(turn), turn.cork.len());
        let Phase::Opening(opening) = &mut self.phase else {
            return None;
        };
        let (cork, now) = (&mut *turn.cork, turn.worker.now);
        let linger = match opening.take() {
            Stage::Head(handshake) => handshake.reject(response, cork, now).ok()?,
            Stage::Body(request) | Stage::Reply(request, _) => {
                request.reject(response, cork, now).ok()
            }
            Stage::Upgrade(upgrade, _) => upgrade.reject(response, cork, now).ok(),
            Stage::Taken => None,
        };
        self.responded(asked, start, turn);
        linger
    }

    /// Rejects an opening handshake.
    fn reject(&mut self, upgrade: Upgrade, response: &HttpResponse, turn: &mut Turn<'_>) {
        let (asked, start) = (self.asked(upgrade.request().into(), turn), turn.cork.len());
        let now = turn.worker.now;
        let mut sent = response.as_response(|it| upgrade.reject(it, turn.cork, now));
        if let Err(unanswered) = sent {
            // The application's response can't be sent.
            let upgrade = unanswered.into_request();
            sent = upgrade.reject(&Response::status(500), turn.cork, now);
        }
        self.responded(asked, start, turn);
        match sent {
            Ok(linger) => self.linger(linger),
            Err(_) => self.linger_for_close_timeout(turn),
        }
    }

    /// Receives plain requests, and the opening handshake.
    pub(super) fn requests(
        &mut self,
        input: &mut Input<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Gone> {
        while let Phase::Opening(opening) = &mut self.phase {
            let (now, start) = (turn.worker.now, turn.cork.len());
            if matches!(opening.stage, Stage::Head(_)) {
                opening.since = now;
            }
            let request = match opening.take() {
                Stage::Head(handshake) => match handshake.recv(input, turn.cork, now) {
                    Ok(Received::Incomplete(handshake)) => {
                        opening.stage = Stage::Head(handshake);
                        return Ok(());
                    }
                    Ok(Received::Upgrade(upgrade)) if turn.worker.draining => {
                        let reject = Reject::new(503, STOPS).with_header("Retry-After", "5");
                        let reject = reject.counted_as(HandshakeFailure::Stopping);
                        self.settle(upgrade, Decision::Reject(reject), turn)?;
                        continue;
                    }
                    Ok(Received::Upgrade(upgrade)) => {
                        let agreed = self.transport.agreed();
                        match decide(&upgrade, &mut self.remote, agreed, turn) {
                            Decision::Deferred(slot) => {
                                opening.stage = Stage::Upgrade(upgrade, Later::new(slot, turn));
                                return Ok(());
                            }
                            decision => self.settle(upgrade, decision, turn)?,
                        }
                        continue;
                    }
                    Ok(Received::Plain(request)) => {
                        let agreed = self.transport.agreed();
                        if let Some(response) = screen(&request, &self.remote, agreed, turn) {
                            self.reply(request, response, turn);
                            if self.pauses(input, turn)? {
                                return Ok(());
                            }
                            continue;
                        }
                        match handles(&request, turn.endpoints) {
                            true => {
                                request.read_body(turn.endpoints.max_body, input, turn.cork, now)
                            }
                            // The body of a request that has no handler is not waited for.
                            false => Ok(ReadBody::Complete(request)),
                        }
                    }
                    Err(refused) => Err(refused),
                },
                Stage::Body(request) => {
                    request.read_body(turn.endpoints.max_body, input, turn.cork, now)
                }
                stage => {
                    opening.stage = stage;
                    return Ok(());
                }
            };
            match request {
                Ok(ReadBody::Incomplete(request)) => {
                    opening.stage = Stage::Body(request);
                    return Ok(());
                }
                Ok(ReadBody::Complete(request)) => {
                    match answer(&request, &self.remote, self.transport.agreed(), turn) {
                        Answer::Now(response) => {
                            self.reply(request, response, turn);
                            if self.pauses(input, turn)? {
                                return Ok(());
                            }
                        }
                        Answer::Later(slot) => {
                            opening.served = true;
                            opening.stage = Stage::Reply(request, Later::new(slot, turn));
                            return Ok(());
                        }
                    }
                }
                Err(refused) => self.refused(refused, start, turn),
            }
        }
        Ok(())
    }

    /// Accepts or rejects the opening handshake.
    fn settle(
        &mut self,
        upgrade: Upgrade,
        decision: Decision,
        turn: &mut Turn<'_>,
    ) -> Result<(), Gone> {
        let accepted = match decision {
            // A peer that has left already was never open.
            Decision::Accept(_) if self.read_closed => {
                let request = Some(upgrade.request().into());
                let (cause, error) = (HandshakeFailure::Eof, HandshakeError::Eof);
                self.failed_with(request, cause, &error, turn);
                // Drops the application's state, which may panic.
                let _ = guarded(|| drop(decision));
                return Err(Gone);
            }
            // No connection opens any more that would have to be closed again.
            Decision::Accept(_) if turn.worker.draining => {
                let _ = guarded(|| drop(decision));
                (upgrade, Reject::new(503, "the server is stopping"))
            }
            Decision::Accept(accepted) => {
                let returns = upgrade.request().query_param(PREVIOUS).is_some();
                let (asked, start) = (self.asked(upgrade.request().into(), turn), turn.cork.len());
                match accept(
                    upgrade,
                    accepted,
                    &self.remote,
                    self.transport.agreed(),
                    turn,
                ) {
                    Ok(open) => {
                        self.responded(asked, start, turn);
                        return self.open(open, returns, turn);
                    }
                    Err(rejected) => *rejected,
                }
            }
            Decision::Reject(reject) => (upgrade, reject),
            Decision::Deferred(_) => (upgrade, Reject::new(500, "the request was not decided")),
        };
        let (upgrade, reject) = accepted;
        let request = Some(upgrade.request().into());
        self.failed_with(request, reject.failure, &Refusal(&reject.response), turn);
        self.reject(upgrade, &reject.response, turn);
        Ok(())
    }

    /// Opens the session; `returns` says whether the client had a connection before.
    fn open(
        &mut self,
        open: Box<OpenSession>,
        returns: bool,
        turn: &mut Turn<'_>,
    ) -> Result<(), Gone> {
        self.write(turn)?;
        if returns {
            turn.worker.metrics.reconnections.add(1);
        }
        self.phase = Phase::Open(open);
        // The handshake's deadline, for which it is scheduled, may be later than its own.
        self.scheduled = None;
        if let Some(stats) = self.stats(turn.id, turn.worker.now) {
            turn.worker.shared.opened(&stats);
        }
        self.notify(turn, |application, io| application.on_open(io));
        self.end_if_asked(turn)
    }
}

/// Shows a response as a reason: its status, and the text if there is one.
struct Refusal<'a>(&'a HttpResponse);

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut headers = self.0.headers.iter();
        let text = headers.any(|(name, value)| {
            name.eq_ignore_ascii_case("content-type") && value.starts_with("text/plain")
        });
        match str::from_utf8(&self.0.body) {
            Ok(body) if text && !body.is_empty() => write!(f, "{}: {body}", self.0.status),
            _ => write!(f, "{}", self.0.status),
        }
    }
}
