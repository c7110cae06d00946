//! A connection before it is open: plain requests, and the opening handshake.
//!
//! Owns how requests are answered: by the application's functions, by limits and guards, by the
//! route. Reading and writing are the session's.

use std::boxed::Box;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::ToString;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use super::{Gone, Next, Phase, Session, Turn};
use crate::error::HandshakeError;
use crate::net::{Agreed, Transport};
use crate::proto::{self, Accept, Input, RequestKind, Response, ServerHandshake};
use crate::server::handle::Handle;
use crate::server::handler::{Application, OpenSession};
use crate::server::http::{Answer, HttpResponse, Reject, Request, Slot, StoredRequest};
use crate::server::observe::{FailedHandshake, HandshakeFailure};
use crate::server::proxy::ProxyHeader;
use crate::server::route::{Accepted, Decided, Decision, Endpoint, Endpoints};
use crate::server::websocket::{Remote, WebSocket};

/// Requests, until one of them is an opening handshake.
pub(super) struct Opening {
    pub(super) handshake: ServerHandshake,
    /// What has arrived of the PROXY header that comes first.
    pub(super) proxy_header: Option<Vec<u8>>,
    /// The application answers later, until then.
    pub(super) deferred_until: Option<Duration>,
    /// Where the answer will be.
    slot: Option<Waits>,
    /// The server stops once it has answered.
    pub(super) stopping: bool,
    /// Bytes of the client have come; a PROXY header is the proxy's.
    pub(super) begun: bool,
    /// A plain request was served, so that its end is no failed handshake.
    pub(super) served: bool,
}

/// What the application will say.
enum Waits {
    Upgrade(Arc<Slot<Decided>>),
    Reply(Arc<Slot<HttpResponse>>),
}

impl Opening {
    pub(super) fn new(handshake: ServerHandshake, proxied: bool) -> Self {
        Self {
            handshake,
            proxy_header: proxied.then(Vec::new),
            deferred_until: None,
            slot: None,
            stopping: false,
            begun: false,
            served: false,
        }
    }

    fn defer(&mut self, slot: Waits, turn: &Turn<'_>) {
        let timeout = turn.endpoints.options.config.handshake_timeout;
        self.deferred_until = Some(turn.worker.now.saturating_add(timeout));
        self.slot = Some(slot);
    }

    /// Whether the application decides about an upgrade, later.
    pub(super) fn defers_upgrade(&self) -> bool {
        let request = self.handshake.request();
        self.deferred_until.is_some() && request.is_some_and(|it| it.is_upgrade())
    }

    /// Whether the application answers a plain request, later.
    pub(super) fn defers_reply(&self) -> bool {
        self.deferred_until.is_some() && !self.defers_upgrade()
    }
}

impl<T: Transport> Session<T> {
    /// The application has said what was waited for, if it is still waited for.
    pub(in crate::server) fn decided(&mut self, turn: &mut Turn<'_>) -> Next {
        if let Phase::Opening(opening) = &mut self.phase
            && opening.deferred_until.is_some()
        {
            match opening.slot.take() {
                Some(Waits::Upgrade(slot)) => {
                    if let Some(decision) = slot.take() {
                        opening.deferred_until = None;
                        let decision = decision.map_or_else(Decision::Reject, Decision::Accept);
                        if let Err(gone) = self.settle(decision, turn) {
                            return turn.gone(gone);
                        }
                    } else {
                        // It was woken for an earlier request.
                        opening.slot = Some(Waits::Upgrade(slot));
                    }
                }
                Some(Waits::Reply(slot)) => {
                    if let Some(response) = slot.take() {
                        opening.deferred_until = None;
                        self.reply(&response, turn);
                    } else {
                        opening.slot = Some(Waits::Reply(slot));
                    }
                }
                None => {}
            }
        }
        self.advance(false, turn)
    }

    /// Answers the plain request that was read.
    fn reply(&mut self, response: &HttpResponse, turn: &mut Turn<'_>) {
        let Phase::Opening(opening) = &mut self.phase else {
            return;
        };
        let handshake = &mut opening.handshake;
        let sent = response.as_response(|it| match opening.stopping {
            true => handshake.reject(it, turn.cork).map(|()| false),
            false => handshake.respond(it, turn.cork, turn.worker.now),
        });
        let keep_alive = sent.unwrap_or_else(|_| {
            // The application's own response can't be sent.
            let failed = handshake.respond(&Response::status(500), turn.cork, turn.worker.now);
            failed.unwrap_or(false)
        });
        opening.served = true;
        if !keep_alive {
            self.linger(turn);
        }
    }

    /// The PROXY header that its proxy puts first; what came behind it, once it is complete.
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

    /// Counts a connection that does not come to open, and notifies the observers.
    pub(super) fn failed(
        &self,
        cause: HandshakeFailure,
        reason: &dyn fmt::Display,
        turn: &Turn<'_>,
    ) {
        self.failed_at(&[], cause, reason, turn);
    }

    /// As [`failed`](Self::failed), of a head that is none; `input` is the one that proved it.
    #[cold]
    fn failed_at(
        &self,
        input: &[u8],
        cause: HandshakeFailure,
        reason: &dyn fmt::Display,
        turn: &Turn<'_>,
    ) {
        let (shared, peer) = (&turn.worker.shared, self.remote.peer);
        shared.count_failed(turn.id.worker(), cause, || {
            let known = match &self.phase {
                Phase::Opening(opening) => Some(opening.handshake.known(input)),
                _ => None,
            };
            let headers = known.as_ref().and_then(|it| it.headers);
            FailedHandshake {
                peer_addr: peer,
                client_ip: match headers {
                    Some(headers) => turn.endpoints.client_ip(peer, headers),
                    None => self.remote.client_ip(),
                },
                path: known.as_ref().and_then(|it| it.path),
                origin: known.as_ref().and_then(|it| it.origin),
                cause,
                reason,
            }
        });
    }

    /// Plain requests, and the opening handshake.
    pub(super) fn requests(
        &mut self,
        input: &mut Input<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Gone> {
        while let Phase::Opening(opening) = &mut self.phase {
            let handshake = &mut opening.handshake;
            match handshake.recv(input, turn.cork) {
                Ok(None) => return Ok(()),
                Ok(Some(RequestKind::Plain)) => {
                    // The body of a request that nobody handles is not waited for.
                    let limit = turn.endpoints.max_body;
                    let read = match handles(handshake, turn.endpoints) {
                        true => handshake.read_body(limit, input, turn.cork, turn.worker.now),
                        false => Ok(true),
                    };
                    match read {
                        Ok(false) => return Ok(()),
                        Ok(true) => {
                            match answer(handshake, &self.remote, self.transport.agreed(), turn) {
                                Answer::Now(response) => {
                                    self.reply(&response, turn);
                                    if self.pauses(input, turn)? {
                                        return Ok(());
                                    }
                                }
                                Answer::Later(slot) => {
                                    opening.served = true;
                                    opening.defer(Waits::Reply(slot), turn);
                                    return Ok(());
                                }
                            }
                        }
                        Err(error) => {
                            self.failed((&error).into(), &error, turn);
                            self.linger(turn);
                        }
                    }
                }
                Ok(Some(RequestKind::Upgrade)) => {
                    let agreed = self.transport.agreed();
                    let decision = decide(handshake, &mut self.remote, agreed, turn);
                    if let Decision::Deferred(slot) = decision {
                        opening.defer(Waits::Upgrade(slot), turn);
                        return Ok(());
                    }
                    self.settle(decision, turn)?;
                }
                Err(error) => {
                    self.failed_at(input.as_slice(), (&error).into(), &error, turn);
                    self.linger(turn);
                }
            }
        }
        Ok(())
    }

    /// Accepts or rejects the opening handshake.
    fn settle(&mut self, decision: Decision, turn: &mut Turn<'_>) -> Result<(), Gone> {
        let Phase::Opening(opening) = &self.phase else {
            return Ok(());
        };
        let agreed = self.transport.agreed();
        match settle(&opening.handshake, decision, &self.remote, agreed, turn) {
            Ok(open) => self.open(open, turn),
            Err(reject) => {
                self.failed(reject.failure, &Refusal(&reject.response), turn);
                self.linger(turn);
                Ok(())
            }
        }
    }

    fn open(&mut self, open: Box<OpenSession>, turn: &mut Turn<'_>) -> Result<(), Gone> {
        // Where the peer has ended its stream already, the connection never opens.
        if self.read_closed {
            self.failed(HandshakeFailure::Eof, &HandshakeError::Eof, turn);
            return Err(Gone);
        }
        self.write(turn)?;
        if let Phase::Opening(opening) = &self.phase
            && let Some(request) = opening.handshake.request()
            && request.query_param(PREVIOUS).is_some()
        {
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

/// A panic in the application's code that looks at a request is the server's error.
fn guarded<R>(call: impl FnOnce() -> R) -> Result<R, Reject> {
    catch_unwind(AssertUnwindSafe(call))
        .map_err(|_| Reject::new(500, "the server failed to answer this request"))
}

/// Whether a plain request is handled by a function of the application's.
fn handles(handshake: &ServerHandshake, endpoints: &Endpoints) -> bool {
    handshake.request().is_some_and(|request| {
        let found = endpoints.router.at(request.path());
        found.is_some_and(|(entry, _)| entry.methods.handles(request.method()))
    })
}

/// The answer to a plain request.
fn answer(
    handshake: &ServerHandshake,
    remote: &Remote,
    agreed: Agreed<'_>,
    turn: &Turn<'_>,
) -> Answer<HttpResponse> {
    let (shared, endpoints) = (&turn.worker.shared, turn.endpoints);
    let found = handshake
        .request()
        .and_then(|it| Some((it, endpoints.router.at(it.path())?)));
    let Some((request, (entry, params))) = found else {
        let none = HttpResponse::text("there is nothing at this path");
        return Answer::Now(none.with_status(404));
    };
    let client_ip = endpoints.client_ip(remote.peer, request.headers());
    let request = Request::new(request, params, remote.peer, client_ip, shared)
        .with_agreed(agreed)
        .with_body(handshake.body());
    guarded(|| entry.answer(&request, turn.id)).unwrap_or_else(|it| Answer::Now(*it.response))
}

/// What the limits, the guards and the route say to an opening handshake.
fn decide(
    handshake: &ServerHandshake,
    remote: &mut Remote,
    agreed: Agreed<'_>,
    turn: &Turn<'_>,
) -> Decision {
    let (shared, endpoints, peer) = (&turn.worker.shared, turn.endpoints, remote.peer);
    let decision = endpoint(handshake, endpoints).and_then(|(request, params, endpoint)| {
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

/// The query parameter by which a client that comes back says which connection it had.
const PREVIOUS: &str = "previous-connection";

type Found<'a> = (proto::Request<'a>, matchit::Params<'a, 'a>, &'a Endpoint);

fn endpoint<'a>(
    handshake: &'a ServerHandshake,
    endpoints: &'a Endpoints,
) -> Result<Found<'a>, Reject> {
    let none = || {
        Reject::new(404, "no WebSocket endpoint has this path")
            .counted_as(HandshakeFailure::NotFound)
    };
    let request = handshake.request().ok_or_else(none)?;
    let (entry, params) = endpoints.router.at(request.path()).ok_or_else(none)?;
    let endpoint = entry.endpoint.as_ref().ok_or_else(none)?;
    Ok((request, params, endpoint))
}

/// A response as a reason: its status, and the text if there is one.
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

/// Accepts or rejects an opening handshake: the open session, or why there is none.
fn settle(
    handshake: &ServerHandshake,
    decision: Decision,
    remote: &Remote,
    agreed: Agreed<'_>,
    turn: &mut Turn<'_>,
) -> Result<Box<OpenSession>, Reject> {
    let accepted = match decision {
        // The application's own key may panic, and so may its state as it is dropped; both come
        // before the 101 is there.
        Decision::Accept(accepted) => {
            guarded(|| accept(handshake, accepted, remote, agreed, turn)).unwrap_or_else(Err)
        }
        Decision::Reject(reject) => Err(reject),
        Decision::Deferred(_) => Err(Reject::new(500, "the request was not decided")),
    };
    let reject = match accepted {
        Ok(open) => return Ok(open),
        Err(reject) => reject,
    };
    let sent = reject
        .response
        .as_response(|it| handshake.reject(it, turn.cork));
    if sent.is_err() {
        // The application's own response can't be sent.
        let _ = handshake.reject(&Response::status(500), turn.cork);
    }
    Err(reject)
}

fn accept(
    handshake: &ServerHandshake,
    accepted: Accepted<Box<dyn Application>>,
    remote: &Remote,
    agreed: Agreed<'_>,
    turn: &mut Turn<'_>,
) -> Result<Box<OpenSession>, Reject> {
    let (request, params, endpoint) = endpoint(handshake, turn.endpoints)?;
    let options = &endpoint.options;
    let rate_key = options.rate_by_key.as_ref().and_then(|limit| {
        let (shared, client_ip) = (&turn.worker.shared, remote.client_ip());
        let request = Request::new(request, params, remote.peer, client_ip, shared);
        (limit.key)(&request.with_agreed(agreed))
    });
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
    let connection = handshake
        .accept(&accept, turn.cork, turn.worker.now)
        .map_err(|misuse| Reject::new(500, misuse.to_string()))?;
    let mut ws = WebSocket::new(connection, options, turn.worker.now);
    ws.limited |= turn.worker.shared.by_address.is_some();
    if options.keep_request {
        ws.cold().request = Some(StoredRequest::new(&request));
    }
    if let Some(key) = rate_key {
        ws.cold().rate_key = Some(key.into());
    }
    Ok(accepted.state.open(ws))
}
