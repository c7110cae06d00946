//! What a server's operation needs: certificates, signals, readiness.

#[cfg(feature = "tls")]
use std::path::PathBuf;
#[cfg(feature = "tls")]
use std::sync::Arc;
#[cfg(all(unix, feature = "signals"))]
use std::time::Duration;

use super::Builder;
#[cfg(all(unix, feature = "signals"))]
use crate::proto::CloseCode;
use crate::server::http::{HttpResponse, Request};
#[cfg(feature = "tls")]
use crate::server::listen::TlsFiles;
#[cfg(all(unix, feature = "signals"))]
use crate::server::signals::DrainOnTerm;

impl Builder {
    /// Serves only `wss://`, with this rustls configuration, on all listeners that have none
    /// themselves; to serve `ws://` as well, give it to [the listeners](crate::server::Listener::tls) that speak
    /// TLS instead. [`tls_from_pem`](Self::tls_from_pem) makes one from files, and
    /// [`Handle::set_tls`](crate::server::Handle::set_tls) replaces it while the server runs. A PROXY
    /// header is expected before the TLS handshake, in clear text. Early data is never accepted.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: Arc<rustls::ServerConfig>) -> Self {
        self.tls = Some(config);
        self.tls_files = None;
        self
    }

    /// Like [`tls`](Self::tls) with what [`listen::tls_from_pem`](crate::server::listen::tls_from_pem) makes
    /// of these files. They are read by [`listen`](Self::listen), and again by
    /// [`Handle::reload_tls`](crate::server::Handle::reload_tls), or on SIGHUP where the server heeds
    /// `signals`: a renewed certificate needs no restart.
    ///
    /// ```no_run
    /// use sockeye::server::Server;
    ///
    /// let server = Server::builder()
    ///     .tls_from_pem("fullchain.pem", "privkey.pem")
    ///     .listen("0.0.0.0:443")?;
    /// server.run()?;
    /// # Ok::<(), sockeye::Error>(())
    /// ```
    #[cfg(feature = "tls")]
    pub fn tls_from_pem(
        mut self,
        certificates: impl Into<PathBuf>,
        private_key: impl Into<PathBuf>,
    ) -> Self {
        self.tls = None;
        self.tls_files = Some(TlsFiles {
            certificates: certificates.into(),
            private_key: private_key.into(),
        });
        self
    }

    /// Heeds the signals of the operating system while the server runs, with the feature `signals`
    /// on Unix:
    ///
    /// - SIGINT stops the server as [`Handle::shut_down`](crate::server::Handle::shut_down) does, and a
    ///   second one ends the process at once;
    /// - SIGTERM stops it in the same way, or [drains](Self::drain_on_term) it;
    /// - SIGHUP reads the files of `tls_from_pem` again; without them it isn't heeded.
    ///
    /// [`Server::run`](crate::server::Server::run) starts a thread for it, and fails if that can't be; when it returns, signals
    /// do again what they do by default.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use sockeye::proto::CloseCode;
    /// use sockeye::server::Server;
    ///
    /// let server = Server::builder()
    ///     .signals()
    ///     .drain_on_term(Duration::from_secs(20), CloseCode::SERVICE_RESTART, "a new version")
    ///     .readiness("/ready")
    ///     .listen("0.0.0.0:9001")?;
    /// server.run()?;
    /// # Ok::<(), sockeye::Error>(())
    /// ```
    #[cfg(all(unix, feature = "signals"))]
    pub fn signals(mut self) -> Self {
        self.signals = true;
        self
    }

    /// Has SIGTERM, where the server heeds [`signals`](Self::signals), drain it as
    /// [`Handle::drain`](crate::server::Handle::drain) does. Default a stop with 1001.
    ///
    /// What runs the server has to leave it that much time, and ten seconds for the rest: systemd's
    /// `TimeoutStopSec` (90 s by default), Kubernetes' `terminationGracePeriodSeconds` (30 s).
    #[cfg(all(unix, feature = "signals"))]
    pub fn drain_on_term(mut self, over: Duration, code: CloseCode, reason: &str) -> Self {
        self.drain_on_term = Some(DrainOnTerm {
            over,
            code,
            reason: reason.into(),
        });
        self
    }

    /// Responds to GET requests on `path` with 200 while the server is
    /// [ready](crate::server::Handle::is_ready) for new clients, and with 503 once it drains or stops: what a
    /// load balancer asks for to know where to send clients. No [guard](Self::guard) is in front of
    /// it.
    ///
    /// A balancer that opens a connection for each check finds none once the listeners are closed,
    /// which says the same.
    ///
    /// ```
    /// use sockeye::server::Server;
    ///
    /// let server = Server::builder().readiness("/ready");
    /// # let _ = server;
    /// ```
    pub fn readiness(self, path: &str) -> Self {
        let answer = |request: &Request<'_>| match request.handle().is_ready() {
            true => HttpResponse::text("ready"),
            false => HttpResponse::text("not ready").with_status(503),
        };
        self.methods(path, |it| it.public().get(answer))
    }
}
