//! The event loop: one thread, one poll, one slab of sessions, one receive buffer.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use std::io;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::Settings;
use super::handle::{Command, Inbox};
use super::session::{Next, Session, Turn};
use super::slab::Slab;
use super::timer_wheel::TimerWheel;
use crate::net::Clock;

/// Tokens from the slab never reach these two.
const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// One for the worker, so its size is no cost per connection; 64, 256 and 512 KiB make no
/// measurable difference.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// Readiness events taken at once; more stay in the kernel for the next turn.
const EVENTS: usize = 1024;

/// Connections accepted before the others get their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// After the process or the system ran out of file descriptors or memory, accepting waits this
/// long, or until a session ends: no spinning meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Worker {
    settings: Arc<Settings>,
    clock: Clock,
    poll: Poll,
    /// None once the server stops.
    listener: Option<TcpListener>,
    /// The listener may have connections to accept.
    acceptable: bool,
    /// Accepting waits until then.
    accept_at: Option<Duration>,
    sessions: Slab<Box<Session<TcpStream>>>,
    wheel: TimerWheel,
    /// Sessions to be driven without an event of theirs.
    again: VecDeque<Token>,
    inbox: Arc<Inbox>,
    buffer: Vec<u8>,
    cork: Vec<u8>,
}

impl Worker {
    pub(super) fn new(settings: Arc<Settings>, mut listener: TcpListener) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        let inbox = Arc::new(Inbox::new(&poll, WAKER)?);
        let clock = Clock::start();
        Ok(Self {
            settings,
            wheel: TimerWheel::new(clock.now()),
            clock,
            poll,
            listener: Some(listener),
            acceptable: true,
            accept_at: None,
            sessions: Slab::new(),
            again: VecDeque::new(),
            inbox,
            buffer: vec![0; RECEIVE_BUFFER],
            cork: Vec::new(),
        })
    }

    pub(super) fn inbox(&self) -> Arc<Inbox> {
        Arc::clone(&self.inbox)
    }

    /// Runs until the server was told to stop and its sessions are over.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        while self.listener.is_some() || !self.sessions.is_empty() {
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            let now = self.clock.now();
            self.expire(now);
            for event in &events {
                match event.token() {
                    LISTENER => self.acceptable = true,
                    WAKER => self.obey(now),
                    token => {
                        // An event of a session that is gone has a token that is gone.
                        let Some(session) = self.sessions.get_mut(token) else {
                            continue;
                        };
                        if event.is_readable() || event.is_error() {
                            session.set_readable(event.is_read_closed() || event.is_error());
                        }
                        self.drive(token, now, Session::drive);
                    }
                }
            }
            for _ in 0..self.again.len() {
                if let Some(token) = self.again.pop_front() {
                    self.drive(token, now, Session::drive);
                }
            }
            self.accept(now);
        }
        Ok(())
    }

    /// How long to wait for events.
    fn patience(&self) -> Option<Duration> {
        let now = self.clock.now();
        if !self.again.is_empty() || (self.acceptable && self.accept_at.is_none()) {
            return Some(Duration::ZERO);
        }
        let accept = self.accept_at.map(|at| at.saturating_sub(now));
        accept.into_iter().chain(self.wheel.next(now)).min()
    }

    fn obey(&mut self, now: Duration) {
        for command in self.inbox.take() {
            match command {
                Command::ShutDown => {
                    self.listener = None;
                    self.acceptable = false;
                    self.accept_at = None;
                    for token in self.sessions.tokens() {
                        self.drive(token, now, Session::shut_down);
                    }
                }
            }
        }
    }

    /// Drives the sessions whose deadline may have passed.
    fn expire(&mut self, now: Duration) {
        while let Some((tick, tokens)) = self.wheel.expire(now) {
            for token in tokens {
                let Some(session) = self.sessions.get_mut(token) else {
                    continue;
                };
                if session.scheduled == Some(tick) {
                    session.scheduled = None;
                    self.drive(token, now, Session::drive);
                }
            }
        }
    }

    /// Drives a session, and sees to what it needs next.
    fn drive(
        &mut self,
        token: Token,
        now: Duration,
        how: fn(&mut Session<TcpStream>, &mut Turn<'_>) -> Next,
    ) {
        let Some(session) = self.sessions.get_mut(token) else {
            return;
        };
        let mut turn = Turn {
            settings: &self.settings,
            now,
            buffer: &mut self.buffer,
            cork: &mut self.cork,
        };
        match how(session, &mut turn) {
            Next::Drop => return self.drop_session(token),
            Next::Again => self.again.push_back(token),
            Next::Wait => {}
        }
        let deadline = session.deadline(&self.settings);
        session.scheduled = self.wheel.schedule(token, deadline, session.scheduled);
    }

    fn drop_session(&mut self, token: Token) {
        if let Some(mut session) = self.sessions.remove(token) {
            // Closing the socket takes it out of the poll as well.
            let _ = self.poll.registry().deregister(session.transport_mut());
            // A file descriptor is free again.
            self.accept_at = None;
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
                Ok((stream, peer)) => {
                    // Replies leave when their turn ends, not when the peer has acknowledged the
                    // last ones. Where it can't be set, they are only slower.
                    let _ = stream.set_nodelay(true);
                    let session = Session::new(stream, peer, &self.settings, now);
                    self.add(session, now);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => self.acceptable = false,
                    // The peer was gone before it was accepted.
                    io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::Interrupted => {}
                    // Out of file descriptors or memory: the listener lives and tries again.
                    _ => {
                        self.accept_at = Some(now.saturating_add(ACCEPT_PAUSE));
                        return;
                    }
                },
            }
        }
    }

    fn add(&mut self, session: Session<TcpStream>, now: Duration) {
        let token = self.sessions.insert(Box::new(session));
        let Some(session) = self.sessions.get_mut(token) else {
            return;
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        if registry
            .register(session.transport_mut(), token, interest)
            .is_err()
        {
            self.sessions.remove(token);
            return;
        }
        // Its deadline runs also if it never sends a byte.
        self.drive(token, now, Session::drive);
    }
}
