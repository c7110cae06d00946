//! The event loop: one thread, one poll, its [`Sessions`].

use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use mio::{Events, Interest, Poll, Token};

use super::balance::Balance;
use super::inbox::Inbox;
use super::sessions::Sessions;
use crate::net::Clock;
use crate::server::end::HandshakeFailure;
use crate::server::handle::Handle;
use crate::server::listen::{AcceptedStream, BACKLOG, Port, Socket, Tls};
use crate::server::route::Endpoints;
use crate::server::shared::Shared;

/// Tokens from the slab are below these: the listeners' tokens from here on, in their order, and
/// the waker's.
const LISTENERS: usize = usize::MAX / 2;
pub(in crate::server) const WAKER: Token = Token(usize::MAX);

/// Readiness events taken at once; more stay in the kernel for the next turn.
const EVENTS: usize = 1024;

/// Connections accepted from each listener before the next listener.
const ACCEPTS_PER_TURN: usize = 64;

/// How long accepting pauses after the process or the system ran out of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// A thread's part of a server, before it runs.
pub(in crate::server) struct Worker<T> {
    index: usize,
    shared: Arc<Shared>,
    endpoints: Arc<Endpoints>,
    poll: Poll,
    ports: Vec<Port>,
    sessions: PhantomData<fn() -> T>,
}

/// A worker on its thread. What its sessions share never leaves that thread.
struct Loop<T> {
    index: usize,
    clock: Clock,
    poll: Poll,
    sessions: Sessions<T>,
    /// All listeners of the server; empty once it stops.
    ports: Vec<Port>,
    /// Whether a listener may have connections to accept.
    acceptable: bool,
    /// When to accept again, if every listener that may have connections has failed.
    accept_at: Option<Duration>,
    balance: Balance,
}

impl<T: AcceptedStream> Worker<T> {
    pub(in crate::server) fn new(
        index: usize,
        shared: &Arc<Shared>,
        endpoints: &Arc<Endpoints>,
        poll: Poll,
        mut ports: Vec<Port>,
    ) -> io::Result<Self> {
        for (at, port) in ports.iter_mut().enumerate() {
            let source = port.acceptor.source();
            let token = Token(LISTENERS + at);
            poll.registry()
                .register(source, token, Interest::READABLE)?;
        }
        Ok(Self {
            index,
            shared: Arc::clone(shared),
            endpoints: Arc::clone(endpoints),
            poll,
            ports,
            sessions: PhantomData,
        })
    }

    /// Runs until the server is to stop and its sessions are over.
    pub(in crate::server) fn run(self) -> io::Result<()> {
        let Self {
            index,
            shared,
            endpoints,
            poll,
            ports,
            ..
        } = self;
        let clock = shared.clock.clone();
        let mut worker = Loop::<T> {
            index,
            sessions: Sessions::new(Arc::clone(&shared), endpoints, index, clock.now()),
            clock,
            poll,
            acceptable: !ports.is_empty(),
            ports,
            accept_at: None,
            balance: Balance::new(index, shared.loads.len()),
        };
        let result = worker.turns();
        // The thread may run another server's worker next, or none.
        Inbox::leave_thread();
        worker.sessions.stop();
        if result.is_err() {
            // The other workers must not continue without this one.
            Handle::new(&shared).shut_down();
        }
        result
    }
}

impl<T: AcceptedStream> Loop<T> {
    fn turns(&mut self) -> io::Result<()> {
        self.sessions.shared().inboxes[self.index].own_thread();
        let mut events = Events::with_capacity(EVENTS);
        // Read once per turn: a wait is too long by the time that the last turn took, which is
        // usually within a tick of the timer wheel.
        let mut now = self.clock.now();
        while !(self.sessions.stops() && self.sessions.is_empty()) {
            match self.poll.poll(&mut events, self.patience(now)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            now = self.clock.now();
            self.sessions.at(now);
            for event in &events {
                match event.token() {
                    // A wake-up needs no handling: each turn looks at the inbox.
                    Token(token) if token >= LISTENERS => self.arrived(token - LISTENERS),
                    token => {
                        if event.is_error() {
                            self.sessions.broken(token);
                        }
                        let read_closed = event.is_read_closed();
                        self.sessions.ready(token, event.is_readable(), read_closed);
                    }
                }
            }
            self.sessions.work();
            if !self.sessions.is_accepting() {
                self.stop_listening();
            }
            self.sessions.drive_again();
            // After the events: what a peer sent in time counts, even when this worker was late.
            self.sessions.expire();
            if self.acceptable {
                // The turn may have been long, and the other workers wait by the clock.
                self.accept(self.clock.now());
            }
        }
        Ok(())
    }

    /// Returns how long to wait for events.
    fn patience(&self, now: Duration) -> Option<Duration> {
        let sessions = self.sessions.patience();
        if !self.acceptable {
            return sessions;
        }
        match self.accept_at.or(self.balance.until()) {
            None => Some(Duration::ZERO),
            Some(at) => sessions.into_iter().chain([at.saturating_sub(now)]).min(),
        }
    }

    /// Stops listening, unless it has. Connections that wait already are accepted, except where the
    /// server stops at once: they would be reset. Other workers may keep the same sockets open for longer, so that closing a
    /// socket doesn't remove it from this worker's poll.
    fn stop_listening(&mut self) {
        if !self.sessions.stops() {
            self.accept_waiting();
        }
        for mut port in self.ports.drain(..) {
            // Fails only for a socket that isn't in the poll.
            let _ = self.poll.registry().deregister(port.acceptor.source());
        }
        self.acceptable = false;
        self.accept_at = None;
    }

    /// Accepts the connections that wait, at most as many as can wait by default.
    fn accept_waiting(&mut self) {
        let shared = Arc::clone(self.sessions.shared());
        for at in 0..self.ports.len() {
            for _ in 0..BACKLOG {
                let port = &self.ports[at];
                let Ok((socket, peer)) = port.acceptor.accept() else {
                    break;
                };
                let tls = port.tls.clone();
                self.admit(socket, tls.as_deref(), peer, &shared);
            }
        }
    }

    /// Notes that a listener has connections; ignores the waker, and a listener that is gone.
    fn arrived(&mut self, at: usize) {
        if let Some(port) = self.ports.get_mut(at) {
            port.acceptable = true;
            self.acceptable = true;
        }
    }

    fn accept(&mut self, now: Duration) {
        if !self.ports.iter().any(|it| it.is_ready(now)) {
            return;
        }
        self.accept_at = None;
        let shared = Arc::clone(self.sessions.shared());
        self.balance.look(&shared.loads);
        for at in 0..self.ports.len() {
            for _ in 0..ACCEPTS_PER_TURN {
                let port = &mut self.ports[at];
                if !port.is_ready(now) {
                    break;
                }
                if !self.balance.takes(&shared.loads, now) {
                    return;
                }
                match port.acceptor.accept() {
                    Ok((socket, peer)) => {
                        let tls = port.tls.clone();
                        self.admit(socket, tls.as_deref(), peer, &shared);
                        self.balance.took(&shared.loads);
                    }
                    Err(error) => match error.kind() {
                        io::ErrorKind::WouldBlock => port.acceptable = false,
                        // The peer was gone before its connection was accepted.
                        io::ErrorKind::ConnectionAborted
                        | io::ErrorKind::ConnectionReset
                        | io::ErrorKind::Interrupted => {}
                        // Out of file descriptors or memory: the listener stays and tries again.
                        _ => {
                            shared.accept_failed(self.index, &error);
                            port.accept_at = Some(now.saturating_add(ACCEPT_PAUSE));
                        }
                    },
                }
            }
        }
        self.acceptable = self.ports.iter().any(|it| it.acceptable);
        if !self.ports.iter().any(|it| it.is_ready(now)) {
            let waiting = self.ports.iter().filter(|it| it.acceptable);
            self.accept_at = waiting.filter_map(|it| it.accept_at).min();
            self.balance.done();
        }
    }

    /// Adds a connection, unless the server has too many.
    fn admit(&mut self, socket: Socket, tls: Option<&Tls>, peer: SocketAddr, shared: &Shared) {
        let Some(permit) = shared.admit(self.index, peer) else {
            // A response needs the TLS handshake first, which costs too much for a refusal.
            if tls.is_none() {
                socket.refuse();
            }
            return;
        };
        let proxied = self.sessions.endpoints().is_proxied(peer);
        let Ok(transport) = T::new(socket, tls, proxied) else {
            let reason = "the transport of an accepted socket could not be set up";
            return shared.handshake_failed(self.index, peer, HandshakeFailure::Tls, reason);
        };
        shared.take_in(self.index);
        let registry = self.poll.registry();
        self.sessions
            .insert(transport, peer, permit, |transport, token| {
                let interest = Interest::READABLE | Interest::WRITABLE;
                registry
                    .register(transport.source(), token, interest)
                    .is_ok()
            });
    }
}
