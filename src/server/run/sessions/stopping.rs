//! The end of a worker's sessions as its server stops: all at once, or spread over the time in
//! which it drains.

use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use mio::Token;

use super::Sessions;
use crate::net::Transport;
use crate::proto::CloseCode;
use crate::server::end::STOPS;
use crate::server::run::inbox::Drain;
use crate::server::run::slab;
use crate::server::session::Session;

/// Sessions that begin to close in one turn: each of them may write.
const CLOSES: usize = 256;

/// Where this worker is in its server's drain.
pub(super) struct Draining {
    plan: Arc<Drain>,
    /// Sessions that have yet to begin to close; the next one is the last.
    waiting: Vec<Token>,
    /// How many there were, and the place of this worker between two of them, so that workers don't
    /// close at the same time.
    count: usize,
    offset: f64,
}

impl Draining {
    /// Returns when the next session is to close, or when the drain is over.
    fn next(&self) -> Duration {
        let Drain { began, over, .. } = *self.plan;
        if self.waiting.is_empty() {
            return began.saturating_add(over);
        }
        let done = (self.count - self.waiting.len()) as f64;
        began.saturating_add(over.mul_f64((done + self.offset) / self.count as f64))
    }
}

/// The place of a session in the order of a drain. Those that opened one after the other, as the
/// clients of one network or page do, are as far apart as can be (Fibonacci hashing).
fn place_in_drain(token: Token) -> u32 {
    slab::place(token).wrapping_mul(0x9E37_79B9)
}

impl<T: Transport> Sessions<T> {
    /// Returns whether the worker accepts connections.
    pub(in crate::server) fn is_accepting(&self) -> bool {
        self.accepting
    }

    /// Returns whether the worker is to stop.
    pub(in crate::server) fn stops(&self) -> bool {
        self.stop_at.is_some()
    }

    /// Returns when the drain or the stop goes on without an event.
    pub(super) fn stops_on(&self) -> Option<Duration> {
        let next = |it: &Draining| match self.shared().is_empty() {
            true => self.worker.now,
            false => it.next(),
        };
        let drain = self.draining.as_ref().map(next);
        drain.filter(|_| !self.stops()).or(self.stop_at)
    }

    pub(super) fn stop_accepting(&mut self) {
        self.accepting = false;
    }

    /// Begins to drain, unless it ends sooner already.
    pub(super) fn drain(&mut self, plan: Arc<Drain>) {
        self.stop_accepting();
        let ends = |it: &Drain| it.began.saturating_add(it.over);
        let sooner = |it: &Draining| ends(&it.plan) <= ends(&plan);
        if self.stops() || self.draining.as_ref().is_some_and(sooner) {
            return;
        }
        self.worker.draining = true;
        let mut waiting = match self.draining.take() {
            Some(begun) => begun.waiting,
            None => self.slab.tokens(),
        };
        waiting.sort_unstable_by_key(|it| place_in_drain(*it));
        let workers = self.shared().inboxes.len() as f64;
        self.draining = Some(Draining {
            plan,
            count: waiting.len(),
            waiting,
            offset: (self.index as f64 + 0.5) / workers,
        });
    }

    /// Begins to close the sessions whose time in the drain has come; after the last one, or once
    /// the server has no connection left, it stops.
    pub(super) fn go_on_draining(&mut self) {
        let now = self.worker.now;
        for _ in 0..CLOSES {
            let Some(draining) = &mut self.draining else {
                return;
            };
            if self.stop_at.is_some() || now < draining.next() {
                break;
            }
            let plan = Arc::clone(&draining.plan);
            let Some(token) = draining.waiting.pop() else {
                return self.begin_stop(plan.drop_at);
            };
            self.drive_by(token, |session, turn| {
                session.drain(plan.code, &plan.reason, turn)
            });
        }
        if !self.stops() && self.shared().is_empty() {
            // The other workers may wait for this one's connections only.
            for inbox in &self.shared().inboxes {
                inbox.wake();
            }
            self.begin_stop(now);
        }
    }

    /// Stops the server, which may drain, at once.
    pub(super) fn shut_down(&mut self, drop_at: Duration) {
        if self.stop_at.is_none() {
            self.draining = None;
        }
        self.begin_stop(drop_at);
    }

    /// Begins to stop: what is left at `drop_at` is dropped. Of two such times the earlier counts.
    fn begin_stop(&mut self, drop_at: Duration) {
        self.stop_accepting();
        if self.stop_at.is_none() {
            self.stopping = self.slab.tokens();
        }
        self.stop_at = Some(self.stop_at.map_or(drop_at, |it| it.min(drop_at)));
    }

    /// Begins to close some of the sessions, as the server stops.
    pub(super) fn shut_down_some(&mut self) {
        let plan = self.draining.as_ref().map(|it| Arc::clone(&it.plan));
        let (code, reason) = match &plan {
            Some(plan) => (plan.code, &*plan.reason),
            None => (CloseCode::GOING_AWAY, STOPS),
        };
        for _ in 0..CLOSES {
            let Some(token) = self.stopping.pop() else {
                return;
            };
            self.drive_by(token, |session: &mut Session<T>, turn| {
                session.shut_down(code, reason, turn)
            });
        }
    }
}
