//! The event loop: one thread, one poll, one [`Hub`] of sessions.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::handle::Command;
use super::hub::Hub;
use super::limits::Permit;
use super::metrics::HandshakeFailure;
use super::shared::Shared;
use crate::net::{Clock, Transport};

/// Tokens from the slab never reach these two.
pub(super) const LISTENER: Token = Token(usize::MAX);
pub(super) const WAKER: Token = Token(usize::MAX - 1);

/// Readiness events taken at once; more stay in the kernel for the next turn.
const EVENTS: usize = 1024;

/// Connections accepted before the others get their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// After the process or the system ran out of file descriptors or memory, accepting waits this
/// long: no spinning meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// What sessions run on: made of a connection that was accepted.
pub(super) trait Carrier: Transport + Sized {
    fn new(socket: TcpStream, peer: SocketAddr, shared: &Shared) -> io::Result<Self>;

    /// What the poll watches.
    fn socket(&mut self) -> &mut TcpStream;

    /// Tells a connection that is one too many, as far as its socket takes that at once.
    fn refuse(socket: TcpStream);
}

impl Carrier for TcpStream {
    fn new(socket: TcpStream, _: SocketAddr, _: &Shared) -> io::Result<Self> {
        Ok(socket)
    }

    fn socket(&mut self) -> &mut TcpStream {
        self
    }

    fn refuse(mut socket: TcpStream) {
        let response = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\
            Retry-After: 5\r\nContent-Length: 0\r\n\r\n";
        let _ = Transport::write(&mut socket, response);
    }
}

pub(super) struct Worker<T> {
    index: usize,
    clock: Clock,
    poll: Poll,
    hub: Hub<T>,
    /// The first worker accepts for all; None for the others, and once the server stops.
    listener: Option<TcpListener>,
    /// The listener may have connections to accept.
    acceptable: bool,
    /// Accepting waits until then.
    accept_at: Option<Duration>,
}

impl<T: Carrier> Worker<T> {
    pub(super) fn new(
        index: usize,
        shared: &Arc<Shared>,
        poll: Poll,
        mut listener: Option<TcpListener>,
    ) -> io::Result<Self> {
        if let Some(listener) = &mut listener {
            poll.registry()
                .register(listener, LISTENER, Interest::READABLE)?;
        }
        let clock = shared.clock;
        Ok(Self {
            index,
            hub: Hub::new(Arc::clone(shared), index, clock.now()),
            clock,
            poll,
            acceptable: listener.is_some(),
            listener,
            accept_at: None,
        })
    }

    /// Runs until the server was told to stop and its sessions are over.
    pub(super) fn run(mut self) -> io::Result<()> {
        let result = self.turns();
        let shared = self.hub.shared();
        shared.inboxes[self.index].stop();
        if result.is_err() {
            // The others must not go on without this one.
            let timeout = shared.settings.options.config.close_timeout;
            let at = self.clock.now().saturating_add(timeout);
            for inbox in &shared.inboxes {
                inbox.push(Command::ShutDown(at));
            }
        }
        result
    }

    fn turns(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        // Read once for each turn: a wait is too long by what the last turn took, which is within
        // a tick of the timer wheel as a rule.
        let mut now = self.clock.now();
        while !(self.hub.stops() && self.hub.is_empty()) {
            match self.poll.poll(&mut events, self.patience(now)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            now = self.clock.now();
            self.hub.at(now);
            for event in &events {
                match event.token() {
                    LISTENER => self.acceptable = true,
                    WAKER => self.obey(),
                    token => {
                        if event.is_error() {
                            self.hub.broken(token);
                        }
                        let read_closed = event.is_read_closed();
                        self.hub.ready(token, event.is_readable(), read_closed);
                    }
                }
            }
            self.hub.drive_again();
            // Behind the events: what a peer sent in time counts, also when this worker was late.
            self.hub.expire();
            self.accept(now);
        }
        Ok(())
    }

    /// How long to wait for events.
    fn patience(&self, now: Duration) -> Option<Duration> {
        if self.acceptable && self.accept_at.is_none() {
            return Some(Duration::ZERO);
        }
        let hub = self.hub.patience();
        match self.accept_at {
            None => hub,
            Some(at) => hub.into_iter().chain([at.saturating_sub(now)]).min(),
        }
    }

    fn obey(&mut self) {
        let shared = Arc::clone(self.hub.shared());
        for command in shared.inboxes[self.index].take() {
            match command {
                Command::Adopt(..) if self.hub.stops() => shared.left(self.index),
                Command::Adopt(stream, peer, permit) => self.add(stream, peer, permit),
                Command::ShutDown(_) => {
                    self.listener = None;
                    self.acceptable = false;
                    self.accept_at = None;
                    self.hub.obey(command);
                }
                command => self.hub.obey(command),
            }
        }
    }

    fn accept(&mut self, now: Duration) {
        if self.accept_at.is_some_and(|at| now < at) {
            return;
        }
        self.accept_at = None;
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(listener) = self.listener.as_ref().filter(|_| self.acceptable) else {
                return;
            };
            match listener.accept() {
                Ok((stream, peer)) => self.spread(stream, peer),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.acceptable = false,
                    // The peer was gone before it was accepted.
                    io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::Interrupted => {}
                    // Out of file descriptors or memory: the listener lives and tries again.
                    _ => {
                        self.hub.shared().accept_failed(self.index, &error);
                        self.accept_at = Some(now.saturating_add(ACCEPT_PAUSE));
                        return;
                    }
                },
            }
        }
    }

    /// Gives a connection to the worker that has the fewest.
    fn spread(&mut self, stream: TcpStream, peer: SocketAddr) {
        // Replies leave when their turn ends, not when the peer has acknowledged the last ones.
        // Where it can't be set, they are only slower.
        let _ = stream.set_nodelay(true);
        let shared = self.hub.shared();
        let Ok(permit) = shared.connections.admit() else {
            shared.handshake_failed(self.index, peer, HandshakeFailure::TooManyConnections);
            return T::refuse(stream);
        };
        let worker = shared.take_in();
        if worker == self.index {
            self.add(stream, peer, permit);
        } else if !shared.inboxes[worker].push(Command::Adopt(stream, peer, permit)) {
            shared.left(worker);
        }
    }

    fn add(&mut self, stream: TcpStream, peer: SocketAddr, permit: Permit) {
        let Ok(stream) = T::new(stream, peer, self.hub.shared()) else {
            let shared = self.hub.shared();
            shared.handshake_failed(self.index, peer, HandshakeFailure::Tls);
            return shared.left(self.index);
        };
        let registry = self.poll.registry();
        self.hub.insert(stream, peer, permit, |stream, token| {
            let interest = Interest::READABLE | Interest::WRITABLE;
            let socket = stream.socket();
            registry.register(socket, token, interest).is_ok()
        });
    }
}
