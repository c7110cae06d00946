//! A connection before it is open: plain requests, and the opening handshake.
//!
//! Owns how requests are answered: by the application's functions, by limits and guards, by the
//! route. Reading and writing are left to the session.

use std::boxed::Box;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::ToString;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use super::{Gone, Next, Phase, Session, Turn};
use crate::error::HandshakeError;
use crate::net::{Agreed, Transport};
use crate::proto::{
    self, Accept, Input, Linger, PartialRequest, PlainRequest, ReadBody, Received, Refused,
    Responded, Response, ServerHandshake, Upgrade,
};
use crate::server::end::HandshakeFailure;
use crate::server::handle::Handle;
use crate::server::handler::{Application, OpenSession};
use crate::server::http::{Answer, HttpResponse, Reject, Request, Slot, StoredRequest};
use crate::server::observe::FailedHandshake;
use crate::server::proxy::ProxyHeader;
use crate::server::route::{Accepted, Decided, Decision, Endpoint, Endpoints};
use crate::server::websocket::{Remote, WebSocket};

/// Requests, until one of them is an opening handshake.
pub(super) struct Opening {
    pub(super) stage: Stage,
    /// The part of the leading PROXY header that has arrived.
    pub(super) proxy_header: Option<Vec<u8>>,
    /// Whether the server stops once the response is sent.
    pub(super) stopping: bool,
    /// Whether bytes of the client have arrived; a PROXY header is the proxy's.
    pub(super) begun: bool,
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
            served: false,
        }
    }

    /// Whether the application answers later.
    pub(super) fn is_deferred(&self) -> bool {
        matches!(self.stage, Stage::Upgrade(..) | Stage::Reply(..))
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
    fn request(&self) -> Option<PartialRequest<'_>> {
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
                Some(response) => self.reply(request, &response, turn),
                None => opening.stage = Stage::Reply(request, later),
            },
            stage => opening.stage = stage,
        }
        self.advance(false, turn)
    }

    /// Answers a plain request.
    fn reply(&mut self, request: PlainRequest, response: &HttpResponse, turn: &mut Turn<'_>) {
        let Phase::Opening(opening) = &mut self.phase else {
            return;
        };
        opening.served = true;
        let now = turn.worker.now;
        let mut respond = |request: PlainRequest, response: &Response<'_>| match opening.stopping {
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

    /// Counts a connection that failed to open, and notifies the observers.
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
    pub(super) fn refused(&mut self, refused: Refused, turn: &Turn<'_>) {
        let error = refused.error();
        self.failed_with(Some(refused.request()), error.into(), error, turn);
        self.linger(refused.into_linger());
    }

    /// Checks the deadline of a request that is being read, or that the application answers later.
    pub(super) fn opening_timed_out(&mut self, turn: &mut Turn<'_>) {
        let Phase::Opening(opening) = &mut self.phase else {
            return;
        };
        let (now, unavailable) = (turn.worker.now, Response::status(503));
        let checked = match opening.take() {
            Stage::Head(handshake) => handshake.handle_timeout(now, turn.cork).map(Stage::Head),
            Stage::Body(request) => request.handle_timeout(now, turn.cork).map(Stage::Body),
            Stage::Upgrade(upgrade, later) if now >= later.until => {
                let reason = "the application did not decide within handshake_timeout";
                let request = Some(upgrade.request().into());
                self.failed_with(request, HandshakeFailure::Timeout, &reason, turn);
                return match upgrade.reject(&unavailable, turn.cork, now) {
                    Ok(linger) => self.linger(linger),
                    Err(_) => self.linger_for_close_timeout(turn),
                };
            }
            Stage::Reply(request, later) if now >= later.until => {
                return match request.reject(&unavailable, turn.cork, now) {
                    Ok(linger) => self.linger(linger),
                    Err(_) => self.linger_for_close_timeout(turn),
                };
            }
            stage => Ok(stage),
        };
        match checked {
            Ok(stage) => opening.stage = stage,
            // A plain client that is silent between two requests has not failed.
            Err(refused) if opening.served => self.linger(refused.into_linger()),
            Err(refused) => self.refused(refused, turn),
        }
    }

    /// Responds with a 503 to the request that is under way as the server stops; None if there is
    /// none.
    pub(super) fn reject_stopping(
        &mut self,
        response: &Response<'_>,
        turn: &mut Turn<'_>,
    ) -> Option<Linger> {
        let Phase::Opening(opening) = &mut self.phase else {
            return None;
        };
        let (cork, now) = (&mut *turn.cork, turn.worker.now);
        match opening.take() {
            Stage::Head(handshake) => handshake.reject(response, cork, now).ok()?,
            Stage::Body(request) | Stage::Reply(request, _) => {
                request.reject(response, cork, now).ok()
            }
            Stage::Upgrade(upgrade, _) => upgrade.reject(response, cork, now).ok(),
            Stage::Taken => None,
        }
    }

    /// Receives plain requests, and the opening handshake.
    pub(super) fn requests(
        &mut self,
        input: &mut Input<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Gone> {
        while let Phase::Opening(opening) = &mut self.phase {
            let now = turn.worker.now;
            let request = match opening.take() {
                Stage::Head(handshake) => match handshake.recv(input, turn.cork, now) {
                    Ok(Received::Incomplete(handshake)) => {
                        opening.stage = Stage::Head(handshake);
                        return Ok(());
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
                    // The body of a request that has no handler is not waited for.
                    Ok(Received::Plain(request)) if !handles(&request, turn.endpoints) => {
                        Ok(ReadBody::Complete(request))
                    }
                    Ok(Received::Plain(request)) => {
                        request.read_body(turn.endpoints.max_body, input, turn.cork, now)
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
                            self.reply(request, &response, turn);
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
                Err(refused) => self.refused(refused, turn),
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
            Decision::Accept(accepted) => {
                let returns = upgrade.request().query_param(PREVIOUS).is_some();
                match accept(
                    upgrade,
                    accepted,
                    &self.remote,
                    self.transport.agreed(),
                    turn,
                ) {
                    Ok(open) => return self.open(open, returns, turn),
                    Err(rejected) => *rejected,
                }
            }
            Decision::Reject(reject) => (upgrade, reject),
            Decision::Deferred(_) => (upgrade, Reject::new(500, "the request was not decided")),
        };
        let (upgrade, reject) = accepted;
        let request = Some(upgrade.request().into());
        self.failed_with(request, reject.failure, &Refusal(&reject.response), turn);
        let now = turn.worker.now;
        let mut sent = reject
            .response
            .as_response(|it| upgrade.reject(it, turn.cork, now));
        if let Err(unanswered) = sent {
            // The application's response can't be sent.
            let upgrade = unanswered.into_request();
            sent = upgrade.reject(&Response::status(500), turn.cork, now);
        }
        match sent {
            Ok(linger) => self.linger(linger),
            Err(_) => self.linger_for_close_timeout(turn),
        }
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

/// Catches a panic in the application's code that looks at a request, and refuses with a 500.
fn guarded<R>(call: impl FnOnce() -> R) -> Result<R, Reject> {
    catch_unwind(AssertUnwindSafe(call))
        .map_err(|_| Reject::new(500, "the server failed to answer this request"))
}

/// Whether the application has a handler for a plain request.
fn handles(request: &PlainRequest, endpoints: &Endpoints) -> bool {
    let request = request.request();
    let found = endpoints.router.at(request.path());
    found.is_some_and(|(entry, _)| entry.methods.handles(request.method()))
}

/// Returns the response to a plain request.
fn answer(
    plain: &PlainRequest,
    remote: &Remote,
    agreed: Agreed<'_>,
    turn: &Turn<'_>,
) -> Answer<HttpResponse> {
    let (shared, endpoints) = (&turn.worker.shared, turn.endpoints);
    let request = plain.request();
    let Some((entry, params)) = endpoints.router.at(request.path()) else {
        let none = HttpResponse::text("there is nothing at this path");
        return Answer::Now(none.with_status(404));
    };
    let client_ip = endpoints.client_ip(remote.peer, request.headers());
    let request = Request::new(request, params, remote.peer, client_ip, shared)
        .with_agreed(agreed)
        .with_body(plain.body());
    guarded(|| entry.answer(&request, turn.id)).unwrap_or_else(|it| Answer::Now(*it.response))
}

/// Asks the limits, the guards and the route about an opening handshake.
fn decide(upgrade: &Upgrade, remote: &mut Remote, agreed: Agreed<'_>, turn: &Turn<'_>) -> Decision {
    let (shared, endpoints, peer) = (&turn.worker.shared, turn.endpoints, remote.peer);
    let decision = endpoint(upgrade, endpoints).and_then(|(request, params, endpoint)| {
        let client_ip = endpoints.client_ip(peer, request.headers());
        remote
            .permit
            .assign(client_ip)
            .map_err(|_| Reject::new(429, "too many connections from this address"))
            .map_err(|it| it.counted_as(HandshakeFailure::TooManyConnections))?;
        endpoints
            .handshake_rates
            .allow(client_ip, turn.worker.now)
            .map_err(|_| Reject::new(429, "too many handshakes: try again later"))
            .map_err(|it| it.counted_as(HandshakeFailure::RateLimited))?;
        let request = Request::new(request, params, peer, client_ip, shared).with_agreed(agreed);
        guarded(|| {
            let server = endpoints.guards.iter();
            for guard in server.chain(&endpoint.guards) {
                if let Err(reject) = guard.check(&request) {
                    return Decision::Reject(reject);
                }
            }
            (endpoint.decide)(&request, &Handle::new(shared), turn.id)
        })
    });
    decision.unwrap_or_else(Decision::Reject)
}

/// The query parameter by which a returning client names its earlier connection.
const PREVIOUS: &str = "previous-connection";

type Found<'r, 'e> = (proto::Request<'r>, matchit::Params<'e, 'r>, &'e Endpoint);

fn endpoint<'r, 'e>(
    upgrade: &'r Upgrade,
    endpoints: &'e Endpoints,
) -> Result<Found<'r, 'e>, Reject> {
    let none = || {
        Reject::new(404, "no WebSocket endpoint has this path")
            .counted_as(HandshakeFailure::NotFound)
    };
    let request = upgrade.request();
    let (entry, params) = endpoints.router.at(request.path()).ok_or_else(none)?;
    let endpoint = entry.endpoint.as_ref().ok_or_else(none)?;
    Ok((request, params, endpoint))
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

/// Opens the connection; returns the upgrade if it has to be rejected.
fn accept(
    upgrade: Upgrade,
    accepted: Accepted<Box<dyn Application>>,
    remote: &Remote,
    agreed: Agreed<'_>,
    turn: &mut Turn<'_>,
) -> Result<Box<OpenSession>, Box<(Upgrade, Reject)>> {
    // The application's own key may panic, and so may dropping its state; both come before the 101.
    let route = guarded(|| {
        let (request, params, endpoint) = endpoint(&upgrade, turn.endpoints)?;
        let options = &endpoint.options;
        let rate_key = options.rate_by_key.as_ref().and_then(|limit| {
            let (shared, client_ip) = (&turn.worker.shared, remote.client_ip());
            let request = Request::new(request, params, remote.peer, client_ip, shared);
            (limit.key)(&request.with_agreed(agreed))
        });
        Ok((options, rate_key))
    });
    let (options, rate_key) = match route.and_then(|it| it) {
        Ok(route) => route,
        Err(reject) => return Err(Box::new((upgrade, dropped(accepted, reject)))),
    };
    let request = upgrade.request();
    let stored = options.keep_request.then(|| StoredRequest::new(&request));
    let headers: Vec<_> = accepted
        .headers
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let accept = Accept {
        subprotocol: accepted.subprotocol.as_deref().or_else(|| {
            let supported: Vec<&str> = options.subprotocols.iter().map(|it| &**it).collect();
            request.choose_subprotocol(&supported)
        }),
        headers: &headers,
        config: Some(&options.config),
    };
    let connection = match upgrade.accept(&accept, turn.cork, turn.worker.now) {
        Ok(connection) => connection,
        Err(unanswered) => {
            let reject = Reject::new(500, unanswered.misuse().to_string());
            let rejected = (unanswered.into_request(), dropped(accepted, reject));
            return Err(Box::new(rejected));
        }
    };
    let mut ws = WebSocket::new(connection, options, turn.worker.now);
    ws.limited |= turn.worker.shared.by_address.is_some();
    if let Some(stored) = stored {
        ws.cold().request = Some(stored);
    }
    if let Some(key) = rate_key {
        ws.cold().rate_key = Some(key.into());
    }
    Ok(accepted.state.open(ws))
}

/// Drops what was accepted, which may panic.
fn dropped(accepted: Accepted<Box<dyn Application>>, reject: Reject) -> Reject {
    match guarded(|| drop(accepted)) {
        Ok(()) => reject,
        Err(panicked) => panicked,
    }
}
