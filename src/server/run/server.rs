//! A server, its workers, and the threads they run on.

use std::fmt;
use std::format;
use std::io;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::vec::Vec;

use mio::Poll;

use super::worker::Worker;
use crate::error::Error;
use crate::server::handle::Handle;
#[cfg(unix)]
use crate::server::listen::SocketFile;
#[cfg(any(unix, feature = "tls"))]
use crate::server::listen::Stream;
use crate::server::listen::{AcceptedStream, Bound, LOCAL, LocalAddr};
use crate::server::route::Endpoints;
use crate::server::shared::Shared;
#[cfg(all(unix, feature = "signals"))]
use crate::server::signals::{DrainOnTerm, Watcher};

/// What the workers of a server share.
pub(in crate::server) struct Parts {
    pub(in crate::server) shared: Arc<Shared>,
    pub(in crate::server) endpoints: Arc<Endpoints>,
}

/// A server that listens. It accepts connections once it [runs](Self::run); until then up to
/// [`backlog`](crate::server::Listener::backlog) of them wait.
pub struct Server {
    workers: Workers,
    shared: Arc<Shared>,
    addresses: Vec<LocalAddr>,
    /// What SIGTERM does, if the server heeds signals.
    #[cfg(all(unix, feature = "signals"))]
    signals: Option<Option<DrainOnTerm>>,
    /// The files to remove when the server has stopped.
    #[cfg(unix)]
    #[expect(dead_code, reason = "what counts is when they are dropped")]
    files: Vec<SocketFile>,
}

/// The workers, over TCP alone or over every kind of stream: decided once, not with each read.
enum Workers {
    Tcp(Vec<Worker<mio::net::TcpStream>>),
    #[cfg(any(unix, feature = "tls"))]
    Any(Vec<Worker<Stream>>),
}

impl Server {
    /// Creates a server with one worker for each of the polls.
    pub(in crate::server) fn new(
        polls: Vec<Poll>,
        bound: Vec<Bound>,
        parts: Parts,
    ) -> io::Result<Self> {
        #[cfg(any(unix, feature = "tls"))]
        let workers = match bound.iter().all(Bound::is_plain_tcp) {
            true => Workers::Tcp(workers(polls, &bound, &parts)?),
            false => Workers::Any(workers(polls, &bound, &parts)?),
        };
        #[cfg(not(any(unix, feature = "tls")))]
        let workers = Workers::Tcp(workers(polls, &bound, &parts)?);
        Ok(Self {
            workers,
            shared: parts.shared,
            #[cfg(all(unix, feature = "signals"))]
            signals: None,
            addresses: bound.iter().map(|it| it.address().clone()).collect(),
            #[cfg(unix)]
            files: bound.into_iter().filter_map(Bound::into_file).collect(),
        })
    }

    /// Heeds signals while it runs.
    #[cfg(all(unix, feature = "signals"))]
    pub(in crate::server) fn heeding_signals(mut self, drain: Option<DrainOnTerm>) -> Self {
        self.signals = Some(drain);
        self
    }

    /// Returns the address of the first TCP listener, or 127.0.0.1:0 if there are only Unix
    /// sockets.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        let mut addresses = self.addresses.iter();
        addresses.find_map(LocalAddr::tcp).unwrap_or(LOCAL)
    }

    /// Returns the addresses it listens on, in the order of the listeners.
    #[must_use]
    pub fn local_addrs(&self) -> &[LocalAddr] {
        &self.addresses
    }

    /// Returns a handle that reaches the server from any thread while it runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(&self.shared)
    }

    /// Serves, on this thread and one more for each further worker, until
    /// [`Handle::shut_down`].
    ///
    /// # Errors
    /// [`Error::Io`] when the operating system's event queue fails, or no thread can be started, or
    /// signals can't be heeded. An
    /// error of a single connection ends only that connection.
    pub fn run(self) -> Result<(), Error> {
        #[cfg(feature = "tracing")]
        for address in &self.addresses {
            tracing::info!(target: "sockeye", %address, "serving");
        }
        #[cfg(all(unix, feature = "signals"))]
        let _watcher = match self.signals {
            Some(drain) => Some(Watcher::start(Handle::new(&self.shared), drain)?),
            None => None,
        };
        self.shared.running.store(true, Ordering::Release);
        let result = match self.workers {
            Workers::Tcp(workers) => run(workers, &self.shared),
            #[cfg(any(unix, feature = "tls"))]
            Workers::Any(workers) => run(workers, &self.shared),
        };
        self.shared.running.store(false, Ordering::Release);
        result
    }
}

fn workers<T: AcceptedStream>(
    polls: Vec<Poll>,
    bound: &[Bound],
    parts: &Parts,
) -> io::Result<Vec<Worker<T>>> {
    let polls = polls.into_iter().enumerate();
    polls
        .map(|(index, poll)| {
            let ports = bound.iter().map(Bound::port).collect::<io::Result<_>>()?;
            Worker::new(index, &parts.shared, &parts.endpoints, poll, ports)
        })
        .collect()
}

fn run<T: AcceptedStream + Send>(
    workers: Vec<Worker<T>>,
    shared: &Arc<Shared>,
) -> Result<(), Error> {
    let mut workers = workers.into_iter();
    let Some(first) = workers.next() else {
        return Ok(());
    };
    thread::scope(|scope| {
        let mut others = Vec::new();
        for (index, worker) in workers.enumerate() {
            let name = format!("sockeye-{}", index + 1);
            let spawned = thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, || worker.run());
            match spawned {
                Ok(other) => others.push(other),
                Err(error) => {
                    Handle::new(shared).shut_down();
                    return Err(error.into());
                }
            }
        }
        let mut result = first.run();
        for other in others {
            let other = other.join().unwrap_or_else(|panic| resume_unwind(panic));
            result = result.and(other);
        }
        Ok(result?)
    })
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addresses", &self.addresses)
            .field("workers", &self.shared.inboxes.len())
            .finish_non_exhaustive()
    }
}
