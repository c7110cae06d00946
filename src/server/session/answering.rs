//! What a request is answered: by the application's functions, by limits and guards, by the route.

use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::ToString;
use std::vec::Vec;

use super::Turn;
use crate::net::Agreed;
use crate::proto::{self, Accept, PlainRequest, Upgrade};
use crate::server::end::HandshakeFailure;
use crate::server::handle::Handle;
use crate::server::handler::{Application, OpenSession};
use crate::server::http::{Answer, HttpResponse, Reject, Request, StoredRequest};
use crate::server::route::{Accepted, Decision, Endpoint, Endpoints};
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

/// Asks the guards of its path about a plain request, before its body is read.
pub(super) fn screen(
    plain: &PlainRequest,
    remote: &Remote,
    agreed: Agreed<'_>,
    turn: &Turn<'_>,
) -> Result<(), Reject> {
    let (shared, endpoints) = (&turn.worker.shared, turn.endpoints);
    let request = plain.request();
    let Some((entry, params)) = endpoints.router.at(request.path()) else {
        return Ok(());
    };
    let client_ip = endpoints.client_ip(remote.peer, request.headers());
    let request = Request::new(request, params, remote.peer, client_ip, shared).with_agreed(agreed);
    guarded(|| entry.methods.guards.check(&request)).and_then(|it| it)
}

/// Returns the response to a plain request.
pub(super) fn answer(
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
