//! What a request is answered: by the application's functions, by limits and guards, by the route.

use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::{String, ToString};
use std::vec::Vec;

use matchit::Params;

use super::Turn;
use crate::net::Agreed;
use crate::proto::{self, Accept, PlainRequest, Upgrade};
use crate::server::end::HandshakeFailure;
use crate::server::handle::Handle;
use crate::server::handler::{Application, OpenSession};
use crate::server::http::{Answer, Cors, HttpResponse, Reject, Request, StoredRequest};
use crate::server::route::{Accepted, Decision, Endpoint, Endpoints, Entry};
use crate::server::websocket::{Remote, WebSocket};

/// Catches a panic in the application's code that looks at a request, and refuses with a 500.
pub(super) fn guarded<R>(call: impl FnOnce() -> R) -> Result<R, Reject> {
    catch_unwind(AssertUnwindSafe(call))
        .map_err(|_| Reject::new(500, "the server failed to answer this request"))
}

/// Whether the application has a handler for a plain request.
pub(super) fn handles(request: &PlainRequest, endpoints: &Endpoints) -> bool {
    let request = request.request();
    let found = endpoints.router.at(request.path());
    found.is_some_and(|(entry, _)| entry.methods.handles(request.method()))
}

/// Returns the response to a plain request that its handler isn't to see: a preflight request, or one
/// that a guard refuses. It is asked before the body is read.
pub(super) fn screen(
    plain: &PlainRequest,
    remote: &Remote,
    agreed: Agreed<'_>,
    turn: &Turn<'_>,
) -> Option<HttpResponse> {
    let (entry, request) = asked(plain, remote, agreed, turn);
    let methods = || entry.map_or_else(String::new, |it| it.methods.allow());
    if let Some(cors) = cors(entry, turn.endpoints)
        && let Some(response) = cors.preflight(&request, methods)
    {
        return Some(response);
    }
    let guards = &entry?.methods.guards;
    let checked = guarded(|| guards.check(&request)).and_then(|it| it);
    checked.err().map(|it| *it.response)
}

/// Adds to the response of a plain request what all of its path have.
pub(super) fn complete(
    response: &mut HttpResponse,
    plain: &PlainRequest,
    remote: &Remote,
    turn: &Turn<'_>,
) {
    let (entry, request) = asked(plain, remote, Agreed::default(), turn);
    if let Some(cors) = cors(entry, turn.endpoints) {
        cors.add_to(response, &request);
    }
}

fn cors<'e>(entry: Option<&'e Entry>, endpoints: &'e Endpoints) -> Option<&'e Cors> {
    let cors = match entry {
        Some(entry) => &entry.methods.cors,
        None => &endpoints.cors,
    };
    cors.as_deref()
}

/// Returns a plain request as the application sees it, and what its path has.
fn asked<'a>(
    plain: &'a PlainRequest,
    remote: &Remote,
    agreed: Agreed<'a>,
    turn: &'a Turn<'_>,
) -> (Option<&'a Entry>, Request<'a>) {
    let (shared, endpoints) = (&turn.worker.shared, turn.endpoints);
    let request = plain.request();
    let (entry, params) = match endpoints.router.at(request.path()) {
        Some((entry, params)) => (Some(entry), params),
        None => (None, Params::new()),
    };
    let client_ip = endpoints.client_ip(remote.peer, request.headers());
    let request = Request::new(request, params, remote.peer, client_ip, shared)
        .with_agreed(agreed)
        .with_body(plain.body());
    (entry, request)
}

/// Returns the response to a plain request.
pub(super) fn answer(
    plain: &PlainRequest,
    remote: &Remote,
    agreed: Agreed<'_>,
    turn: &Turn<'_>,
) -> Answer<HttpResponse> {
    let (entry, request) = asked(plain, remote, agreed, turn);
    let Some(entry) = entry else {
        let none = HttpResponse::text("there is nothing at this path");
        return Answer::Now(none.with_status(404));
    };
    guarded(|| entry.answer(&request, turn.id)).unwrap_or_else(|it| Answer::Now(*it.response))
}

/// Asks the limits, the guards and the route about an opening handshake.
pub(super) fn decide(
    upgrade: &Upgrade,
    remote: &mut Remote,
    agreed: Agreed<'_>,
    turn: &Turn<'_>,
) -> Decision {
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
            let checked = endpoint.guards.check(&request);
            checked.map(|()| (endpoint.decide)(&request, &Handle::new(shared), turn.id))
        })
        .and_then(|it| it)
    });
    decision.unwrap_or_else(Decision::Reject)
}

type Found<'r, 'e> = (proto::Request<'r>, Params<'e, 'r>, &'e Endpoint);

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

/// Opens the connection; returns the upgrade if it has to be rejected.
pub(super) fn accept(
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
        let stored = options
            .keep_request
            .then(|| StoredRequest::new(&request, &params));
        let rate_key = options.rate_by_key.as_ref().and_then(|limit| {
            let (shared, client_ip) = (&turn.worker.shared, remote.client_ip());
            let request = Request::new(request, params, remote.peer, client_ip, shared);
            (limit.key)(&request.with_agreed(agreed))
        });
        Ok((options, rate_key, stored))
    });
    let (options, rate_key, stored) = match route.and_then(|it| it) {
        Ok(route) => route,
        Err(reject) => return Err(Box::new((upgrade, dropped(accepted, reject)))),
    };
    let request = upgrade.request();
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
