//! Events for `tracing`, with the feature of that name.
//!
//! Quiet by default: a healthy server has a few events of level `INFO` in its life, what is the
//! application's or the machine's fault is `WARN` or `ERROR`, and each connection is `DEBUG`.
//! Bounded: whoever connects causes events, so those of connections are counted out by a token
//! bucket, and how many were left out is said by the next that is let through.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::string::ToString;
use std::sync::{Mutex, PoisonError};

use tracing::{Level, Span, debug, debug_span, enabled, error, warn};

use super::metrics::ErrorCause;
use super::observer::{ConnectionStats, FailedHandshake, Observer};
use crate::net::Clock;
use crate::server::end::End;
use crate::server::id::ConnectionId;
use crate::server::limits::{Rate, TokenBucket};

/// A person reads along at the rate; a burst is what a page of some users makes as it reconnects.
const RATE: Rate = Rate::per_second(10).burst(100);

/// Characters of a path, an origin or a reason: more than usual ones have.
const MOST: usize = 256;

/// The span in which a connection's handler is called: what the handler logs is in it.
pub(in crate::server) fn connection_span(id: ConnectionId, peer: SocketAddr) -> Span {
    debug_span!(target: "sockeye", "connection", %id, %peer)
}

/// The observer that emits an event for each connection.
pub(in crate::server) struct Trace {
    clock: Clock,
    gate: Mutex<Gate>,
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
            gate: Mutex::default(),
        }
    }

    /// Whether a further event may be emitted; if so, how many were left out since the last one.
    fn admit(&self) -> Option<u64> {
        let mut gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        match gate.bucket.take(RATE, 1, self.clock.now()) {
            Ok(()) => Some(mem::take(&mut gate.suppressed)),
            Err(_) => {
                gate.suppressed += 1;
                None
            }
        }
    }
}

/// As much of a text of the peer's, or of the application's, as a line of a log should have.
fn start(text: &str) -> &str {
    match text.char_indices().nth(MOST) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

impl Observer for Trace {
    fn connected(&self, connection: &ConnectionStats) {
        if enabled!(target: "sockeye", Level::DEBUG)
            && let Some(suppressed) = self.admit()
        {
            let ConnectionStats { id, client_ip, .. } = connection;
            debug!(target: "sockeye", %id, %client_ip, suppressed, "connection opened");
        }
    }

    fn failed(&self, connection: &ConnectionStats, cause: ErrorCause, end: &End) {
        // The faults of others are logged as their connections close.
        if cause == ErrorCause::Panic
            && let Some(suppressed) = self.admit()
        {
            let (id, code) = (connection.id, end.code().0);
            error!(target: "sockeye", %id, code, suppressed, "handler panicked");
        }
    }

    fn disconnected(&self, connection: &ConnectionStats, end: &End) {
        if enabled!(target: "sockeye", Level::DEBUG)
            && let Some(suppressed) = self.admit()
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
                target: "sockeye", %id, code, ?end, ?age, messages_received, messages_sent,
                suppressed, "connection closed"
            );
        }
    }

    fn handshake_failed(&self, failure: &FailedHandshake<'_>) {
        if enabled!(target: "sockeye", Level::DEBUG)
            && let Some(suppressed) = self.admit()
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

    fn accept_failed(&self, error: &io::Error) {
        warn!(target: "sockeye", %error, "no connection can be accepted");
    }
}
