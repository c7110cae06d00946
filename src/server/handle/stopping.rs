//! Stopping a server, at once or over a time, and whether clients should still be sent to it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Handle;
use crate::proto::CloseCode;
use crate::server::run::inbox::{Command, Drain};

impl Handle {
    /// Closes the listeners: nobody new can connect. Open connections stay, and so does the server;
    /// [`drain`](Self::drain) or [`shut_down`](Self::shut_down) ends it. This can't be undone.
    ///
    /// Connections that wait to be accepted still are. A worker that is busy in a handler closes its
    /// listeners after that, and serves who has come until then.
    pub fn stop_accepting(&self) {
        self.tell_all(|| Command::StopAccepting);
    }

    /// Whether the server accepts connections: false from the call of
    /// [`stop_accepting`](Self::stop_accepting), [`drain`](Self::drain) or
    /// [`shut_down`](Self::shut_down) on.
    #[must_use]
    pub fn is_accepting(&self) -> bool {
        self.shared.accepting.load(Ordering::Acquire)
    }

    /// Whether new clients should be sent to this server: it [runs](crate::server::Server::run) and accepts
    /// connections. [`Builder::readiness`](crate::server::Builder::readiness) says so to load balancers.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.shared.running.load(Ordering::Acquire) && self.is_accepting()
    }

    /// Stops the server in a way that doesn't send all clients to the other servers at once.
    ///
    /// It [stops accepting](Self::stop_accepting), and closes the connections that it has one by one
    /// with this code and reason, spread evenly over the time `over`; those that opened one after the
    /// other are far apart. Then it stops like [`shut_down`](Self::shut_down), with this code for
    /// what may be left; sooner if no connection is left. Meanwhile a response to a plain request is
    /// the last one of its connection, and upgrades get a 503. A code or reason that may not be sent
    /// (RFC 6455 section 7.4) is sent as 1000 without a reason.
    ///
    /// The time counts from this call, even if a worker is busy in a handler. A second call ends
    /// what is left sooner, or does nothing; [`shut_down_within`](Self::shut_down_within) doesn't
    /// wait for the rest of the time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sockeye::proto::CloseCode;
    /// use sockeye::server::Handle;
    ///
    /// fn deploy(handle: &Handle) {
    ///     handle.drain(Duration::from_secs(30), CloseCode::SERVICE_RESTART, "a new version");
    /// }
    /// # let _ = deploy;
    /// ```
    pub fn drain(&self, over: Duration, code: CloseCode, reason: &str) {
        let began = self.shared.clock.now();
        let until = began.saturating_add(over);
        let plan = Arc::new(Drain {
            began,
            over,
            drop_at: until.saturating_add(self.shared.config.close_timeout),
            code,
            reason: reason.into(),
        });
        self.tell_all(|| Command::Drain(Arc::clone(&plan)));
    }

    /// Stops the server like [`shut_down_within`](Self::shut_down_within), with the configuration's
    /// [`close_timeout`](crate::proto::Config::close_timeout).
    pub fn shut_down(&self) {
        self.shut_down_within(self.shared.config.close_timeout);
    }

    /// Stops the server: it accepts no more connections, sends Close 1001 to those it has and 503
    /// to requests under way, drops at the deadline what is left, and returns from
    /// [`Server::run`](crate::server::Server::run).
    ///
    /// The deadline counts from this call, even if a worker is busy in a handler and begins to stop
    /// later. A second call with an earlier deadline shortens it; one with a later deadline does
    /// nothing.
    pub fn shut_down_within(&self, deadline: Duration) {
        let at = self.shared.clock.now().saturating_add(deadline);
        self.tell_all(|| Command::ShutDown(at));
    }

    /// Tells all workers to accept no more connections, at least.
    fn tell_all(&self, command: impl Fn() -> Command) {
        self.shared.accepting.store(false, Ordering::Release);
        for inbox in &self.shared.inboxes {
            inbox.push(command());
        }
    }
}
