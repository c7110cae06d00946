//! How a connection ends: by the peer, by the application, by a deadline, or with its transport.

use std::boxed::Box;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::opening::Stage;
use super::{Gone, Next, Phase, Session, Turn};
use crate::error::{Fault, HandshakeError, LimitError};
use crate::net::Transport;
use crate::proto::{CloseCode, Linger, LingerStep, Response, Teardown};
use crate::server::end::{End, EndKind, HandshakeFailure, STOPS};

impl<T: Transport> Session<T> {
    /// Begins the closing handshake, or ends a connection that isn't open: a request under way is
    /// refused, one that the application answers later still gets its response, and a connection
    /// without a request is dropped.
    pub(in crate::server) fn shut_down(
        &mut self,
        code: CloseCode,
        reason: &str,
        turn: &mut Turn<'_>,
    ) -> Next {
        match self.try_shut_down(code, reason, turn) {
            Ok(()) => self.advance(false, turn),
            Err(gone) => turn.gone(gone),
        }
    }

    /// Begins the closing handshake as the server drains, or drops a connection on which no request
    /// is under way; one that is under way is answered first.
    pub(in crate::server) fn drain(
        &mut self,
        code: CloseCode,
        reason: &str,
        turn: &mut Turn<'_>,
    ) -> Next {
        if let Err(gone) = self.read_request(turn) {
            return turn.gone(gone);
        }
        match &self.phase {
            // Also one whose TLS handshake is under way has begun.
            Phase::Opening(opening)
                if opening.is_idle()
                    && self.queue.is_empty()
                    && (opening.served || !self.has_begun()) =>
            {
                if !opening.served {
                    let end = EndKind::ShutDown;
                    self.failed(end.handshake_failure(), &end, turn);
                }
                turn.gone(Gone)
            }
            _ => {
                self.close(code, reason, turn);
                self.advance(false, turn)
            }
        }
    }

    /// Reads a request that has arrived and that nobody has looked at: it would be reset.
    fn read_request(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        match self.phase {
            Phase::Opening(_) if !self.is_paused(&turn.endpoints.options) => {
                match self.has_unread() {
                    false => self.read(turn),
                    true => self.take_unread(turn),
                }
            }
            _ => Ok(()),
        }
    }

    fn try_shut_down(
        &mut self,
        code: CloseCode,
        reason: &str,
        turn: &mut Turn<'_>,
    ) -> Result<(), Gone> {
        self.read_request(turn)?;
        match &mut self.phase {
            Phase::Opening(opening) if matches!(opening.stage, Stage::Reply(..)) => {
                opening.stopping = true;
            }
            Phase::Opening(opening) => {
                if !opening.served {
                    let end = EndKind::ShutDown;
                    self.failed(end.handshake_failure(), &end, turn);
                }
                match self.refuse_stopping(turn) {
                    Some(linger) => self.linger(linger),
                    None if self.queue.is_empty() => return Err(Gone),
                    None => self.linger_for_close_timeout(turn),
                }
            }
            Phase::Open(_) => self.close(code, reason, turn),
            Phase::Lingering(_) => {}
        }
        Ok(())
    }

    /// Responds with 503 to the request under way, if there is one.
    fn refuse_stopping(&mut self, turn: &mut Turn<'_>) -> Option<Linger> {
        let response = Response {
            status: 503,
            headers: &[("Retry-After", "5")],
            body: STOPS.as_bytes(),
        };
        self.reject_stopping(&response, turn)
    }

    /// Begins the closing handshake, if it hasn't begun.
    pub(in crate::server) fn close(&mut self, code: CloseCode, reason: &str, turn: &mut Turn<'_>) {
        if let Phase::Open(open) = &mut self.phase {
            open.ws.close(code, reason, turn.cork, turn.worker.now);
        }
    }

    /// Drops the connection; `end` says why. A request that still waits for its response as the
    /// server stops gets a 503, as far as the transport takes it.
    pub(in crate::server) fn terminate(&mut self, end: EndKind, turn: &mut Turn<'_>) -> Next {
        let stopping = matches!(end, EndKind::ShutDown);
        let gone = self.lost(end, turn);
        if stopping && self.refuse_stopping(turn).is_some() {
            // It is dropped in any case.
            let _ = self.write(turn);
        }
        turn.gone(gone)
    }

    /// Follows a connection that has ended to the end of its transport.
    pub(super) fn finish(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        self.write(turn)?;
        match &mut self.phase {
            Phase::Lingering(linger) => match linger.step(self.queue.is_empty()) {
                LingerStep::Write | LingerStep::Read => Ok(()),
                LingerStep::ShutDown => {
                    // RFC 6455 section 7.1.1: the server closes first, and only its own direction.
                    self.transport.shutdown_write().map_err(|_| Gone)?;
                    self.queue.hold(&self.transport);
                    self.write(turn)
                }
                LingerStep::Drop => Err(Gone),
            },
            // It could never open. A plain client may have ended its side and still read.
            Phase::Opening(opening)
                if self.read_closed && matches!(opening.stage, Stage::Upgrade(..)) =>
            {
                self.failed(HandshakeFailure::Eof, &HandshakeError::Eof, turn);
                Err(Gone)
            }
            _ => Ok(()),
        }
    }

    /// Handles a fault for which the core has failed the connection.
    pub(super) fn fail(&mut self, fault: Fault, turn: &mut Turn<'_>) {
        let teardown = match &self.phase {
            Phase::Open(open) => open.ws.connection.teardown(),
            _ => None,
        };
        // An unanswered Close is a fault itself; any other fault after a Close means that no second
        // one is sent.
        let end = match (teardown, fault) {
            (_, Fault::Limit(LimitError::Close { .. })) => EndKind::Failed(fault),
            (Some(Teardown::Drop), _) => EndKind::FailedClosing(fault),
            _ => EndKind::Failed(fault),
        };
        self.end(end, turn);
    }

    /// The only place that calls `on_error` and `on_close`; afterwards the session lingers or is
    /// dropped.
    pub(super) fn end(&mut self, end: EndKind, turn: &mut Turn<'_>) {
        if let Phase::Open(open) = &mut self.phase {
            let kind = open.ws.take_end().unwrap_or(end);
            let end = End::new(kind, &open.ws.connection);
            turn.worker.metrics.dropped.add(open.ws.drop_held() as u64);
            if let Some(cause) = end.error() {
                self.call(turn, |application, io| {
                    application.on_error(io, cause, &end)
                });
            }
            if let Phase::Open(open) = &mut self.phase {
                // After a panic in `on_error` the original end is reported.
                open.ws.take_end();
            }
            self.call(turn, |application, io| application.on_close(io, &end));
            let stats = self.stats(turn.id, turn.worker.now);
            self.leave(turn);
            if let Some(stats) = stats {
                turn.worker.shared.closed(&stats, &end);
            }
        }
        let linger = match &self.phase {
            Phase::Open(open) => open.ws.connection.linger(),
            Phase::Opening(_) | Phase::Lingering(_) => None,
        };
        match linger {
            Some(linger) => self.linger(linger),
            None => self.linger_for_close_timeout(turn),
        }
    }

    /// Ends its subscriptions and its presence in topics; it belongs to no user any more.
    pub(super) fn leave(&mut self, turn: &mut Turn<'_>) {
        let Phase::Open(open) = &mut self.phase else {
            return;
        };
        let Some(cold) = &mut open.ws.cold else {
            return;
        };
        for topic in mem::take(&mut cold.subscriptions) {
            turn.worker.shared.unsubscribe(&topic, turn.id);
            turn.local.unsubscribe(&topic, turn.id.token());
        }
        if let Some(user) = cold.user.take() {
            turn.worker.shared.users.remove(&user, turn.id);
        }
        for topic in mem::take(&mut cold.joined) {
            // The store may be the application's: its panic must not end the worker.
            let shared = &turn.worker.shared;
            let leave = || shared.leave(&topic, turn.id, |_| ());
            let _ = catch_unwind(AssertUnwindSafe(leave));
        }
    }

    /// Follows the transport to its end.
    pub(super) fn linger(&mut self, mut linger: Linger) {
        // A peer that keeps taking the remaining output is waited for.
        if let Some(last) = self.halt.as_ref().and_then(|it| it.last.as_ref()) {
            linger.wrote(last.progress);
        }
        let before = mem::replace(&mut self.phase, Phase::Lingering(Box::new(linger)));
        // Drops the application's state, which may panic.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(before)));
        self.keep_unread(&[]);
    }

    /// The same, for a session of which only the end is left.
    pub(super) fn linger_for_close_timeout(&mut self, turn: &Turn<'_>) {
        let timeout = self.options(&turn.endpoints.options).config.close_timeout;
        let now = turn.worker.now;
        self.linger(Linger::new(Teardown::HalfClose, now, timeout));
    }

    /// Handles the end of the peer's stream. What the peer is still owed after the end of its
    /// connection is written first.
    pub(super) fn eof(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        self.readable = false;
        match &mut self.phase {
            Phase::Opening(opening) => {
                if !opening.served {
                    self.failed(HandshakeFailure::Eof, &HandshakeError::Eof, turn);
                }
                if self.queue.is_empty() {
                    return Err(Gone);
                }
                self.linger_for_close_timeout(turn);
                self.eof(turn)
            }
            Phase::Open(open) => {
                if let Some(closed) = open.ws.connection.handle_eof() {
                    self.end(EndKind::Closed(closed), turn);
                }
                Err(Gone)
            }
            Phase::Lingering(linger) => {
                linger.handle_eof();
                Ok(())
            }
        }
    }

    /// Ends a connection whose transport is of no more use before its own end.
    pub(super) fn lost(&mut self, end: EndKind, turn: &mut Turn<'_>) -> Gone {
        match &mut self.phase {
            Phase::Open(open) => {
                open.ws.connection.handle_eof();
                self.end(end, turn);
            }
            Phase::Opening(opening) if !opening.served => {
                self.failed(end.handshake_failure(), &end, turn);
            }
            Phase::Opening(_) | Phase::Lingering(_) => {}
        }
        Gone
    }
}
