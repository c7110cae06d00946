//! Events for `tracing`, with the feature of that name.
//!
//! Quiet by default: a healthy server emits a few `INFO` events in its life, faults of the
//! application or the machine are `WARN` or `ERROR`, and each connection is `DEBUG`. Bounded:
//! clients cause events, so those of connections pass a token bucket, and those of requests another,
//! and the next event that passes says how many were left out.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::string::ToString;
use std::sync::{Mutex, PoisonError};

#[cfg(feature = "tls")]
use tracing::info;
use tracing::{Level, Span, debug, debug_span, enabled, error, warn};

use super::observer::{ConnectionStats, FailedHandshake, Observer, RequestLog};
use crate::net::Clock;
#[cfg(feature = "tls")]
use crate::server::build_error::BuildError;
use crate::server::end::{End, ErrorCause};
use crate::server::id::ConnectionId;
use crate::server::limits::{Rate, TokenBucket};

/// A rate that a person can read; the burst is a page of some users reconnecting.
const RATE: Rate = Rate::per_second(10).burst(100);

/// The most characters of a path, an origin or a reason; usual ones are shorter.
const MOST: usize = 256;

/// The span in which a connection's handler is called, so that it contains what the handler logs.
pub(in crate::server) fn connection_span(id: ConnectionId, peer: SocketAddr) -> Span {
    debug_span!(target: "sockeye", "connection", %id, %peer)
}

/// The observer that emits an event for each connection.
pub(in crate::server) struct Trace {
    clock: Clock,
    connections: Mutex<Gate>,
    /// Apart from those of connections, each of which begins with one.
    requests: Mutex<Gate>,
}

#[derive(Default)]
struct Gate {
    bucket: TokenBucket,
    suppressed: u64,
}

impl Trace {
    pub(in crate::server) fn new() -> Self {
        Self {
            clock: Clock::start(),
            connections: Mutex::default(),
            requests: Mutex::default(),
        }
    }

    /// Returns how many events were left out since the last one; None if this one is left out, too.
    fn admit(&self, gate: &Mutex<Gate>) -> Option<u64> {
        let mut gate = gate.lock().unwrap_or_else(PoisonError::into_inner);
        match gate.bucket.take(RATE, 1, self.clock.now()) {
            Ok(()) => Some(mem::take(&mut gate.suppressed)),
            Err(_) => {
                gate.suppressed += 1;
                None
            }
        }
    }
}

/// Shortens a text of the peer's or the application's to what fits a line of a log.
fn start(text: &str) -> &str {
    match text.char_indices().nth(MOST) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

impl Observer for Trace {
    fn connected(&self, connection: &ConnectionStats) {
        if enabled!(target: "sockeye", Level::DEBUG)
            && let Some(suppressed) = self.admit(&self.connections)
        {
            let ConnectionStats { id, client_ip, .. } = connection;
            debug!(target: "sockeye", %id, %client_ip, suppressed, "connection opened");
        }
    }

    fn failed(&self, connection: &ConnectionStats, cause: ErrorCause, end: &End) {
        // Other faults are logged as their connections close.
        if cause == ErrorCause::Panic
            && let Some(suppressed) = self.admit(&self.connections)
        {
            let (id, code) = (connection.id, end.code().0);
            error!(target: "sockeye", %id, code, suppressed, "handler panicked");
        }
    }

    fn disconnected(&self, connection: &ConnectionStats, end: &End) {
        if enabled!(target: "sockeye", Level::DEBUG)
            && let Some(suppressed) = self.admit(&self.connections)
        {
            let ConnectionStats {
                id,
                age,
                messages_received,
                messages_sent,
                ..
            } = connection;
            let code = end.code().0;
            debug!(
                target: "sockeye", %id, code, %end, ?age, messages_received, messages_sent,
                suppressed, "connection closed"
            );
        }
    }

    fn handshake_failed(&self, failure: &FailedHandshake<'_>) {
        if enabled!(target: "sockeye", Level::DEBUG)
            && let Some(suppressed) = self.admit(&self.connections)
        {
            let FailedHandshake {
                peer_addr: peer,
                client_ip,
                path,
                origin,
                cause,
                reason,
            } = *failure;
            let (path, origin) = (path.map(start), origin.map(start));
            let (cause, reason) = (cause.name(), reason.to_string());
            debug!(
                target: "sockeye", %peer, %client_ip, path, origin, cause, reason = start(&reason),
                suppressed, "handshake failed"
            );
        }
    }

    fn on_request(&self, request: &RequestLog<'_>) {
        if enabled!(target: "sockeye", Level::DEBUG)
            && let Some(suppressed) = self.admit(&self.requests)
        {
            let RequestLog {
                client_ip,
                method,
                target,
                status,
                bytes,
                took,
                ..
            } = *request;
            // The query may hold credentials.
            let path = target.map(|it| start(it.split('?').next().unwrap_or(it)));
            debug!(
                target: "sockeye", %client_ip, method, path, status, bytes, ?took, suppressed,
                "request answered"
            );
        }
    }

    fn accept_failed(&self, error: &io::Error) {
        warn!(target: "sockeye", %error, "accepting a connection failed");
    }

    #[cfg(feature = "tls")]
    fn tls_reloaded(&self, result: Result<(), &BuildError>) {
        match result {
            Ok(()) => info!(target: "sockeye", "the TLS configuration was read again"),
            Err(error) => {
                error!(target: "sockeye", %error, "the TLS configuration can't be read again");
            }
        }
    }
}
