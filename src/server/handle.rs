//! Reaching a running server from any thread.
//!
//! A [`Handle`] puts commands into the workers' inboxes and reads what the workers share. None of
//! its methods waits for a worker, so handlers may call them, too.

use std::boxed::Box;
use std::fmt;
#[cfg(feature = "tls")]
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::vec::Vec;

use mio::Token;

use super::handler::Application;
use super::history::HistoryEntry;
use super::http::HttpResponse;
use super::metrics::Stats;
use super::observer::ConnectionStats;
use super::presence::Member;
use super::reject::Reject;
use super::route::Accepted;
use super::shared::Shared;
#[cfg(feature = "tls")]
use crate::error::Error;
use crate::proto::{CloseCode, MessageRef, PreparedMessage};

/// A connection of this server, for as long as it lives and never again after it.
///
/// It is no secret: don't use it where only its owner may know it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

/// The top bits name the worker, the rest is its token.
const WORKER_SHIFT: u32 = 56;

impl ConnectionId {
    pub(super) fn new(worker: usize, token: Token) -> Self {
        Self((worker as u64) << WORKER_SHIFT | token.0 as u64)
    }

    pub(super) fn worker(self) -> usize {
        (self.0 >> WORKER_SHIFT) as usize
    }

    pub(super) fn token(self) -> Token {
        Token((self.0 & ((1 << WORKER_SHIFT) - 1)) as usize)
    }

    /// The id as a number, for logs and messages.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// The id that [`to_u64`](Self::to_u64) was called on. A number that never was one names no
    /// connection.
    #[must_use]
    pub const fn from_u64(id: u64) -> Self {
        Self(id)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({self})")
    }
}

/// A command was not taken, and will have no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandleError {
    /// The worker's inbox holds [`MAX_COMMANDS`] commands: whoever fills it has to slow down.
    Busy,
    /// The server has stopped, or never had the connection's worker.
    Stopped,
}

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => write!(
                f,
                "a worker has {MAX_COMMANDS} commands waiting: send more slowly"
            ),
            Self::Stopped => f.write_str("the server has stopped"),
        }
    }
}

impl std::error::Error for HandleError {}

/// Commands that may wait for one worker. A worker takes all of them each turn, so more are a
/// sign of a producer that is faster than the network.
pub const MAX_COMMANDS: usize = 65_536;

/// A running server, from any thread. Clones reach the same server.
///
/// Commands are carried out in the order they were given, by the connection's or each worker,
/// soon and not at once. One for a connection that has gone meanwhile does nothing.
///
/// ```no_run
/// use std::{thread, time::Duration};
/// use sockeye::proto::Message;
/// use sockeye::server::{Handler, Server, Socket};
///
/// struct Prices;
///
/// impl Handler for Prices {
///     type State = ();
///
///     fn on_open(&self, socket: &mut Socket<'_, ()>) {
///         let _ = socket.subscribe("prices");
///     }
///
///     fn on_message(&self, _: &mut Socket<'_, ()>, _: Message<'_>) {}
/// }
///
/// let server = Server::builder().route("/prices", Prices).listen("127.0.0.1:9001")?;
/// let handle = server.handle();
/// thread::spawn(move || {
///     for price in 100..200 {
///         if handle.publish("prices", &price.to_string()).is_err() {
///             break; // the server has stopped
///         }
///         thread::sleep(Duration::from_secs(1));
///     }
///     println!("{} listened to the last one", handle.subscriber_count("prices"));
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
    /// [`HandleError`]; the message is not sent then.
    pub fn send<'m>(
        &self,
        to: ConnectionId,
        message: impl Into<MessageRef<'m>>,
    ) -> Result<(), HandleError> {
        self.send_prepared(to, &self.prepare(message))
    }

    /// Sends a message that was prepared once to one connection.
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
        PreparedMessage::new(message, &self.shared.settings.options.config)
    }

    /// Begins the closing handshake of a connection. A code or reason that may not be sent
    /// (RFC 6455 section 7.4) is sent as 1000 without a reason.
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

    /// Publishes a message to all subscribers of a topic; answers how many there were when it
    /// was called. Messages that one thread publishes arrive in its order.
    ///
    /// # Errors
    /// [`HandleError`] when a worker didn't take it; others may have.
    pub fn publish<'m>(
        &self,
        topic: &str,
        message: impl Into<MessageRef<'m>>,
    ) -> Result<usize, HandleError> {
        self.publish_prepared(topic, &self.prepare(message))
    }

    /// As [`publish`](Self::publish), with a message that was prepared once.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn publish_prepared(
        &self,
        topic: &str,
        message: &PreparedMessage,
    ) -> Result<usize, HandleError> {
        let count = self.shared.directory.count(topic);
        let topic: Arc<str> = topic.into();
        self.shared.remember(&topic, message);
        if count > 0 {
            for inbox in &self.shared.inboxes {
                inbox.send(Command::Publish(Arc::clone(&topic), message.clone()))?;
            }
        }
        Ok(count)
    }

    /// Subscribes a connection to a topic, as
    /// [`Socket::subscribe`](super::Socket::subscribe) does.
    ///
    /// # Errors
    /// [`HandleError`]; whether the subscription was allowed is told to the connection's
    /// [`on_subscribe`](super::Handler::on_subscribe).
    pub fn subscribe(&self, id: ConnectionId, topic: &str) -> Result<(), HandleError> {
        self.to(id, |token| Command::Subscribe(token, topic.into()))
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// [`HandleError`].
    pub fn unsubscribe(&self, id: ConnectionId, topic: &str) -> Result<(), HandleError> {
        self.to(id, |token| Command::Unsubscribe(token, topic.into()))
    }

    /// How many subscribers a topic has, over all workers.
    #[must_use]
    pub fn subscriber_count(&self, topic: &str) -> usize {
        self.shared.directory.count(topic)
    }

    /// The subscribers of a topic, over all workers.
    #[must_use]
    pub fn subscribers(&self, topic: &str) -> Vec<ConnectionId> {
        self.shared.directory.list(topic)
    }

    /// All topics that have subscribers, with their counts, in no order.
    #[must_use]
    pub fn topics(&self) -> Vec<(Arc<str>, usize)> {
        self.shared.directory.topics()
    }

    /// The users who are present in a topic, in the order they came.
    #[must_use]
    pub fn members(&self, topic: &str) -> Vec<Member> {
        self.shared.presence.members(topic)
    }

    /// The last messages of a topic that keeps a [history](super::TopicOptions::history), at most
    /// `limit`, the oldest first.
    #[must_use]
    pub fn history(&self, topic: &str, limit: usize) -> Vec<HistoryEntry> {
        self.shared.history(topic, limit)
    }

    /// The server in numbers.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// How many connections are open.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.shared.stats().connections as usize
    }

    /// Lists the open connections: `receive` is called once by each worker, on its thread, with
    /// those that it has. So this waits for nobody, also when a handler asks.
    ///
    /// # Errors
    /// [`HandleError`] when a worker didn't take it; others may have.
    pub fn connections<F>(&self, receive: F) -> Result<(), HandleError>
    where
        F: Fn(Vec<ConnectionStats>) + Send + Sync + 'static,
    {
        let receive: Arc<Inspect> = Arc::new(receive);
        for inbox in &self.shared.inboxes {
            inbox.send(Command::Inspect(Arc::clone(&receive)))?;
        }
        Ok(())
    }

    /// Gives new connections this TLS configuration, a renewed certificate say; those that there
    /// are go on with theirs.
    ///
    /// It replaces that of [`Builder::tls`](super::Builder::tls), on all listeners that have it;
    /// where that wasn't called, the one that the listeners of
    /// [`Listener::tls`](super::Listener::tls) share. A listener with another keeps its own:
    /// rustls' resolvers renew certificates within a configuration.
    ///
    /// # Errors
    /// [`Error::Tls`](crate::Error::Tls) when no connection can be made of it, [`Error::Io`] for a
    /// server that was started without TLS, or with several configurations and none of
    /// [`Builder::tls`](super::Builder::tls); nothing changes then.
    #[cfg(feature = "tls")]
    pub fn set_tls(&self, config: Arc<rustls::ServerConfig>) -> Result<(), Error> {
        let Some(tls) = &self.shared.tls else {
            let text = "the server has no one TLS configuration to replace: Builder::tls";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text).into());
        };
        tls.replace(config)
    }

    /// Stops the server as [`shut_down_within`](Self::shut_down_within) does, with the
    /// configuration's [`close_timeout`](crate::proto::Config::close_timeout).
    pub fn shut_down(&self) {
        self.shut_down_within(self.shared.settings.options.config.close_timeout);
    }

    /// Stops the server: it accepts no more connections, sends Close 1001 to those it has, drops
    /// at the deadline those that haven't closed, and returns from
    /// [`Server::run`](super::Server::run). Calling it again, or later, does nothing.
    pub fn shut_down_within(&self, deadline: Duration) {
        for inbox in &self.shared.inboxes {
            inbox.push(Command::ShutDown(deadline));
        }
    }

    /// Gives a command to a connection's worker, also when many wait: one that ends something.
    /// If the server has stopped, so has the connection.
    pub(super) fn command(&self, id: ConnectionId, command: Command) {
        self.shared.inboxes[id.worker()].push(command);
    }

    pub(super) fn to(
        &self,
        id: ConnectionId,
        command: impl FnOnce(Token) -> Command,
    ) -> Result<(), HandleError> {
        let inbox = self.shared.inboxes.get(id.worker());
        inbox.ok_or(HandleError::Stopped)?.send(command(id.token()))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// Receives a worker's connections.
pub(super) type Inspect = dyn Fn(Vec<ConnectionStats>) + Send + Sync;

/// What other threads ask of a worker.
pub(super) enum Command {
    Send(Token, PreparedMessage),
    Close(Token, CloseCode, Arc<str>),
    Terminate(Token),
    Publish(Arc<str>, PreparedMessage),
    Subscribe(Token, Arc<str>),
    Unsubscribe(Token, Arc<str>),
    /// A deferred upgrade is decided.
    Decide(Token, Result<Accepted<Box<dyn Application>>, Reject>),
    /// A deferred plain request is answered.
    Reply(Token, HttpResponse),
    Inspect(Arc<Inspect>),
    ShutDown(Duration),
}

/// Commands on their way to a worker.
pub(super) struct Inbox {
    commands: Mutex<Commands>,
    waker: mio::Waker,
}

#[derive(Default)]
struct Commands {
    waiting: Vec<Command>,
    /// The worker has stopped: nobody will take them.
    stopped: bool,
}

impl Inbox {
    pub(super) fn new(waker: mio::Waker) -> Self {
        Self {
            commands: Mutex::default(),
            waker,
        }
    }

    /// Gives a command to the worker, unless too many wait.
    pub(super) fn send(&self, command: Command) -> Result<(), HandleError> {
        if self.lock().waiting.len() >= MAX_COMMANDS {
            return Err(HandleError::Busy);
        }
        match self.push(command) {
            true => Ok(()),
            false => Err(HandleError::Stopped),
        }
    }

    /// Gives a command to the worker; false when it has stopped.
    pub(super) fn push(&self, command: Command) -> bool {
        let mut commands = self.lock();
        if commands.stopped {
            return false;
        }
        let first = commands.waiting.is_empty();
        commands.waiting.push(command);
        drop(commands);
        if first {
            // It fails only when the worker's poll is gone, and with it the worker.
            let _ = self.waker.wake();
        }
        true
    }

    pub(super) fn take(&self) -> Vec<Command> {
        mem::take(&mut self.lock().waiting)
    }

    /// Takes no more commands.
    pub(super) fn stop(&self) {
        let mut commands = self.lock();
        commands.stopped = true;
        commands.waiting = Vec::new();
    }

    /// A push or a take leaves the list whole, so a panic elsewhere doesn't poison it.
    fn lock(&self) -> std::sync::MutexGuard<'_, Commands> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
