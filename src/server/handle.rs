//! Reaching a running server from any thread.
//!
//! A [`Handle`] puts commands into the workers' inboxes and reads what the workers share. None of
//! its methods but one waits for a worker, so handlers may call them, too. Topics are reached through
//! [`Topics`].

mod stopping;
mod topics;
mod users;

use std::any::Any;
use std::boxed::Box;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::Duration;
use std::vec::Vec;

use mio::Token;

pub use self::topics::Topics;
#[cfg(feature = "tls")]
use super::build_error::BuildError;
use super::call::Parcel;
use super::id::{ConnectionId, Standing};
use super::observe::{ConnectionStats, Stats};
use super::run::inbox::{Command, HandleError, Inbox, Inspect};
use super::shared::Shared;
use crate::proto::{CloseCode, MessageRef, PreparedMessage};

/// A handle to a running server, for any thread. Clones reach the same server.
///
/// Commands are carried out soon but not at once, on each connection in the order in which one
/// thread gave them, also where that thread is a worker's and its handler mixes them with calls of
/// its [`Socket`](super::Socket). A command for a connection that has ended, or that has not opened
/// yet, does nothing. What waits for a worker is bounded: see
/// [`max_inbox`](super::Builder::max_inbox).
///
/// ```no_run
/// use std::{thread, time::Duration};
/// use sockeye::proto::Message;
/// use sockeye::server::{Handler, Server, Socket};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     type State = ();
///
///     fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
///         let (handle, id, text) = (socket.handle(), socket.id(), format!("{message:?}"));
///         thread::spawn(move || {
///             thread::sleep(Duration::from_secs(1));
///             let _ = handle.send(id, &text); // unless it has ended meanwhile
///         });
///     }
/// }
///
/// let server = Server::builder().route("/echo", Echo).listen("127.0.0.1:9001")?;
/// let handle = server.handle();
/// thread::spawn(move || {
///     thread::sleep(Duration::from_secs(3600));
///     println!("{} connections are open", handle.connection_count());
///     // 1001 for everybody, and down after ten seconds at the latest.
///     handle.shut_down_within(Duration::from_secs(10));
/// });
/// server.run()?;
/// # Ok::<(), sockeye::Error>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
        }
    }

    /// Sends a message to one connection.
    ///
    /// # Errors
    /// [`HandleError`]; the message is not sent then. Otherwise it is sent, unless the connection
    /// ends first or its backlog is at its limit.
    pub fn send<'m>(
        &self,
        to: ConnectionId,
        message: impl Into<MessageRef<'m>>,
    ) -> Result<(), HandleError> {
        self.send_prepared(to, &self.prepare(message))
    }

    /// Sends a prepared message to one connection.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_prepared(
        &self,
        to: ConnectionId,
        message: &PreparedMessage,
    ) -> Result<(), HandleError> {
        self.to(to, |token| Command::Send(token, message.clone()))
    }

    /// Prepares a message for many connections, with the server's configuration.
    #[must_use]
    pub fn prepare<'m>(&self, message: impl Into<MessageRef<'m>>) -> PreparedMessage {
        PreparedMessage::new(message, &self.shared.config)
    }

    /// Begins the closing handshake of a connection. The code and the reason are sent as
    /// [`Sender::close`](super::Sender::close) sends them.
    ///
    /// # Errors
    /// [`HandleError`]; nothing happens then.
    pub fn close(
        &self,
        id: ConnectionId,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), HandleError> {
        self.to(id, |token| Command::Close(token, code, reason.into()))
    }

    /// Drops a connection's transport at once, without a closing handshake.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub fn terminate(&self, id: ConnectionId) -> Result<(), HandleError> {
        self.to(id, Command::Terminate)
    }

    /// Has [`Handler::on_notify`](super::Handler::on_notify) called for a connection with this value,
    /// on its worker's thread, with its socket and its state.
    ///
    /// It is called after what this thread has asked before, also where the connection's reading is
    /// paused. A handler that notifies its own connection is called again once it has returned. What
    /// is sent to a connection that ends before is dropped.
    ///
    /// The value counts against [`max_inbox`](super::Builder::max_inbox) with its own size, without
    /// what it refers to.
    ///
    /// # Errors
    /// [`HandleError`]; the handler isn't called then.
    pub fn notify(&self, id: ConnectionId, notice: impl Any + Send) -> Result<(), HandleError> {
        self.to(id, |token| {
            Command::Call(token, Parcel::notice(Box::new(notice)))
        })
    }

    /// Stops reading from a connection, as [`Sender::pause`](super::Sender::pause) does.
    ///
    /// # Errors
    /// [`HandleError`]; nothing happens then.
    pub fn pause(&self, id: ConnectionId) -> Result<(), HandleError> {
        self.to(id, |token| Command::Pause(token, true))
    }

    /// Resumes reading from a connection, whoever has paused it.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub fn resume(&self, id: ConnectionId) -> Result<(), HandleError> {
        self.to(id, |token| Command::Pause(token, false))
    }

    /// Whether a connection is open: it has opened, and `on_close` has not been called. It may end
    /// at any moment.
    #[must_use]
    pub fn is_open(&self, id: ConnectionId) -> bool {
        self.shared.standing(id) == Standing::Open
    }

    /// Returns the server's statistics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Returns the number of open connections.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.shared.stats().connections as usize
    }

    /// Returns the time since the server was built, by its clock: what
    /// [`limits`](super::limits) take as `now`.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.shared.clock.now()
    }

    /// Lists the open connections, in no particular order. Waits until each worker has told its own,
    /// as long as its handlers take; none are open before the server runs.
    ///
    /// ```
    /// use sockeye::server::{Handle, HandleError};
    ///
    /// fn slow(handle: &Handle) -> Result<usize, HandleError> {
    ///     let all = handle.list_connections()?;
    ///     Ok(all.iter().filter(|it| it.buffered > 64 * 1024).count())
    /// }
    /// # let _ = slow;
    /// ```
    ///
    /// # Errors
    /// [`HandleError::OnWorker`] on the thread of a worker, such as in a handler or of a simulation,
    /// which would wait for itself: [`connections`](Self::connections) waits for nobody. [`HandleError::Stopped`]
    /// also when the server stops meanwhile.
    pub fn list_connections(&self) -> Result<Vec<ConnectionStats>, HandleError> {
        let mut inboxes = self.shared.inboxes.iter();
        if Inbox::is_on_worker() || inboxes.any(|it| !it.is_polled()) {
            return Err(HandleError::OnWorker);
        }
        if !self.shared.running.load(Ordering::Acquire) {
            let stopped = self.shared.inboxes.iter().any(|it| it.is_stopped());
            return if stopped {
                Err(HandleError::Stopped)
            } else {
                Ok(Vec::new())
            };
        }
        let (tell, told) = channel();
        self.connections(move |own| {
            // Who asked may have given up.
            let _ = tell.send(own);
        })?;
        // It ends when the last worker has dropped the function.
        let lists: Vec<_> = told.iter().collect();
        match lists.len() == self.shared.inboxes.len() {
            true => Ok(lists.concat()),
            false => Err(HandleError::Stopped),
        }
    }

    /// Lists the open connections: each worker calls `receive` once, on its thread, with its own.
    /// So this waits for nobody, even when called from a handler.
    ///
    /// # Errors
    /// [`HandleError`]; then no worker is asked.
    pub fn connections<F>(&self, receive: F) -> Result<(), HandleError>
    where
        F: Fn(Vec<ConnectionStats>) + Send + Sync + 'static,
    {
        let receive: Arc<Inspect> = Arc::new(receive);
        let mut places = Vec::new();
        for inbox in &self.shared.inboxes {
            let command = Command::Inspect(Arc::clone(&receive));
            places.push((inbox.reserve(command.bytes())?, command));
        }
        for (place, command) in places {
            place.add(command);
        }
        Ok(())
    }

    /// Gives new connections this TLS configuration, such as a renewed certificate; existing
    /// connections keep theirs.
    ///
    /// It replaces that of [`Builder::tls`](super::Builder::tls), on all listeners that use it; if
    /// that wasn't called, the one that the listeners of [`Listener::tls`](super::Listener::tls)
    /// share. A listener with a different one keeps it: rustls' resolvers renew certificates within
    /// a configuration.
    ///
    /// # Errors
    /// [`BuildError::Tls`] when no connection can be made from it, [`BuildError::NoTls`] for a server
    /// that was started without TLS, or with several configurations and none of
    /// [`Builder::tls`](super::Builder::tls); nothing changes then.
    #[cfg(feature = "tls")]
    pub fn set_tls(&self, config: Arc<rustls::ServerConfig>) -> Result<(), BuildError> {
        let tls = self.shared.tls.as_ref().ok_or(BuildError::NoTls)?;
        tls.replace(config)
    }

    /// Reads the files of [`Builder::tls_from_pem`](super::Builder::tls_from_pem) again, as SIGHUP does
    /// where the server heeds signals, and gives new connections what they contain. Observers are
    /// told, too ([`tls_reloaded`](super::observe::Observer::tls_reloaded)).
    ///
    /// # Errors
    /// [`BuildError::NoTlsFiles`] without such files; as
    /// [`tls_from_pem`](super::listen::tls_from_pem) for what is wrong with them. Nothing changes
    /// then.
    #[cfg(feature = "tls")]
    pub fn reload_tls(&self) -> Result<(), BuildError> {
        let files = self.shared.tls_files.as_ref();
        let files = files.ok_or(BuildError::NoTlsFiles)?;
        let result = files.read().and_then(|it| self.set_tls(it));
        self.shared.tls_reloaded(result.as_ref().copied());
        result
    }

    /// Whether there are files of a TLS configuration to be read again.
    #[cfg(all(unix, feature = "signals"))]
    pub(super) fn has_tls_files(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.shared.tls_files.is_some();
        #[cfg(not(feature = "tls"))]
        return false;
    }

    /// Gives a connection's worker a command that ends something, however many wait. If the server
    /// has stopped, so has the connection.
    pub(super) fn command(&self, id: ConnectionId, command: Command) {
        self.shared.inboxes[id.worker()].push(command);
    }

    pub(super) fn to(
        &self,
        id: ConnectionId,
        command: impl FnOnce(Token) -> Command,
    ) -> Result<(), HandleError> {
        self.check(id)?;
        self.shared.inboxes[id.worker()].send(command(id.token()))
    }

    /// Whether a command for a connection can reach it, as far as this thread can see.
    fn check(&self, id: ConnectionId) -> Result<(), HandleError> {
        match self.shared.inboxes.get(id.worker()) {
            Some(inbox) if inbox.is_stopped() => Err(HandleError::Stopped),
            Some(_) if self.shared.standing(id) != Standing::Gone => Ok(()),
            _ => Err(HandleError::Gone),
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
