//! The deadlines of a session, and what is due when they pass.

use std::sync::Arc;
use std::time::Duration;

use super::{Gone, Phase, Session, Turn};
use crate::net::Transport;
use crate::proto::CloseCode;
use crate::server::end::EndKind;
use crate::server::options::{Lifetime, Options};
use crate::server::websocket::WebSocket;

impl<T: Transport> Session<T> {
    /// When to drive the session if nothing happens before. The `default` options are for a
    /// connection that isn't open.
    pub(in crate::server) fn deadline(&self, default: &Options) -> Option<Duration> {
        let own = self.own_deadline(default);
        match self.next_timer() {
            None => own,
            timer => timer.into_iter().chain(own).min(),
        }
    }

    /// When a timer of the application is due.
    #[inline]
    fn next_timer(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Open(open) => open.ws.next_timer(),
            _ => None,
        }
    }

    /// Whether a timer is due before the session is driven by the timer wheel.
    #[inline]
    pub(super) fn has_earlier_timer(&self) -> bool {
        let earlier = |at| self.scheduled.is_none_or(|it| it.is_behind(at));
        self.next_timer().is_some_and(earlier)
    }

    /// The same as [`deadline`](Self::deadline), without the application's timers.
    fn own_deadline(&self, default: &Options) -> Option<Duration> {
        let options = self.options(default);
        let stalled = self.stalls_at(options);
        let own = match &self.phase {
            // The deadline of the next request begins once the last response is written.
            Phase::Opening(_) if self.queue.is_blocked() => None,
            Phase::Opening(opening) => opening.deadline(),
            Phase::Open(open) if open.ws.connection.is_open() => {
                let ws = &open.ws;
                let expires = self.expires_at(ws);
                // While reading is paused, silence doesn't show that the peer is dead, but the end
                // of its stream does.
                let core = match self.is_paused(default) {
                    true => self.left_until(options),
                    false => ws.connection.poll_timeout(),
                };
                match (expires, ws.resume_at()) {
                    (None, None) => core,
                    own => core.into_iter().chain(own.0).chain(own.1).min(),
                }
            }
            Phase::Open(open) => {
                let core = open.ws.connection.poll_timeout();
                core.map(|at| self.not_before_written(at, options.config.close_timeout))
            }
            Phase::Lingering(linger) => Some(linger.poll_timeout()),
        };
        match (stalled, own) {
            (None, own) => own,
            (stalled, None) => stalled,
            (Some(stalled), Some(own)) => Some(stalled.min(own)),
        }
    }

    /// When a peer that takes nothing is given up.
    fn stalls_at(&self, options: &Options) -> Option<Duration> {
        let since = self.queue.blocked_since()?;
        Some(since.saturating_add(options.send_timeout))
    }

    /// When an open connection's lifetime ends.
    fn expires_at(&self, ws: &WebSocket) -> Option<Duration> {
        let lifetime = ws.options.max_lifetime.as_ref()?.time;
        // A tenth more or less, derived from its peer and the nanosecond of its opening: spread as
        // well as by chance, and always the same.
        let opened = ws.opened();
        let spread = u64::from(opened.subsec_nanos()) << 16 | u64::from(self.remote.peer.port());
        let jitter = spread.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        let share = 0.9 + (jitter % 200) as f64 / 1000.0;
        Some(opened.saturating_add(lifetime.mul_f64(share)))
    }

    /// When to end a session that is paused, and whose peer has ended its stream.
    fn left_until(&self, options: &Options) -> Option<Duration> {
        let left_at = self.halt.as_ref()?.left_at?;
        Some(left_at.saturating_add(options.config.close_timeout))
    }

    /// Leaves a deadline of the end at least `patience` after the last output was taken.
    fn not_before_written(&self, deadline: Duration, patience: Duration) -> Duration {
        let last = self.halt.as_ref().and_then(|it| it.last.as_ref());
        let written = last.map(|it| it.progress);
        written.map_or(deadline, |it| deadline.max(it.saturating_add(patience)))
    }

    pub(super) fn handle_timeout(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        self.run_timers(turn)?;
        let now = turn.worker.now;
        let due = |at: Option<Duration>| at.is_some_and(|at| now >= at);
        if !due(self.own_deadline(&turn.endpoints.options)) {
            return Ok(());
        }
        if due(self.stalls_at(self.options(&turn.endpoints.options))) {
            return Err(self.lost(EndKind::Stalled, turn));
        }
        let (expired, left) = match &self.phase {
            Phase::Open(open) if open.ws.connection.is_open() => {
                let left = self.left_until(&open.ws.options);
                (due(self.expires_at(&open.ws)), due(left))
            }
            _ => (false, false),
        };
        match &mut self.phase {
            Phase::Opening(_) => self.opening_timed_out(turn),
            // What it still reads is not delivered: the application has paused reading.
            Phase::Open(_) if left => {
                let reason = "the stream ended while reading was paused";
                self.close(CloseCode::GOING_AWAY, reason, turn);
            }
            Phase::Open(open) if due(open.ws.resume_at()) => {
                open.ws.cold().resume_at = None;
            }
            Phase::Open(open) if expired => {
                let options = Arc::clone(&open.ws.options);
                if let Some(Lifetime { code, reason, .. }) = &options.max_lifetime {
                    let (end, now) = (EndKind::Lifetime(*code), turn.worker.now);
                    open.ws.close_for(end, reason, turn.cork, now);
                }
            }
            Phase::Open(open) => {
                if let Err(fault) = open
                    .ws
                    .connection
                    .handle_timeout(turn.worker.now, turn.cork)
                {
                    self.fail(fault, turn);
                }
            }
            Phase::Lingering(linger) => linger.handle_timeout(turn.worker.now),
        }
        self.write(turn)
    }

    /// Calls the application for each of its timers that is due, and each of its questions whose time
    /// is over.
    fn run_timers(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        let mut due = false;
        while let Phase::Open(open) = &mut self.phase
            && let Some(key) = open.ws.take_timer(turn.worker.now)
        {
            due = true;
            self.notify(turn, |application, io| application.on_timer(io, key));
            self.end_if_asked(turn)?;
        }
        #[cfg(feature = "json")]
        while let Phase::Open(open) = &mut self.phase
            && let Some(call) = open.ws.take_overdue(turn.worker.now)
        {
            due = true;
            self.notify(turn, |application, io| application.on_call(io, call));
            self.end_if_asked(turn)?;
        }
        match due {
            true => self.write(turn),
            false => Ok(()),
        }
    }
}
