//! One connection of the server, from its first byte to the end of its transport.
//!
//! Owns the transport, what waits to be written to it, and the phase it is in. A readable
//! transport, a timer and a command from another thread all end in [`Session::drive`], which
//! reads, lets the core and the application answer, and writes once for each read. The clock and
//! the buffers are the worker's.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;

use super::handler::{Application, End, Reject, SocketIo};
use super::{Settings, timer_wheel::Tick};
use crate::net::{Transport, WriteQueue};
use crate::proto::{
    Accept, CloseCode, Connection, Event, Input, Payload, RequestKind, Response, ServerHandshake,
    Teardown,
};

/// Reads per turn, so that one busy peer can't keep the others waiting: with the worker's buffer
/// 256 KiB.
const READS_PER_TURN: usize = 4;

/// What a peer may still send once its connection is over, before its transport is dropped: as
/// much as common socket buffers hold, so that an honest peer's data in flight don't cause a
/// reset that destroys the last bytes sent to it.
const MAX_DISCARDED: usize = 4 * 1024 * 1024;

/// Output that is written before the turn ends: one handler that answers with much more than it
/// was sent must not fill the memory. The size of a read, so that an echo is never cut in two.
const CORK_LIMIT: usize = 96 * 1024;

pub(super) struct Session<T> {
    transport: T,
    peer: SocketAddr,
    phase: Phase,
    queue: WriteQueue,
    /// Received bytes that a pause has left, at most one read's worth.
    unread: Vec<u8>,
    /// When the transport last took bytes while some waited.
    progress: Duration,
    /// The transport may have bytes to read.
    readable: bool,
    /// The end of the peer's stream was signalled: read up to it.
    read_closed: bool,
    /// `on_drain` is owed once the queue is empty.
    draining: bool,
    /// The entry of the timer wheel that counts.
    pub(super) scheduled: Option<Tick>,
}

enum Phase {
    Handshake(Box<ServerHandshake>),
    Open(Box<Open>),
    /// Only what is queued is written; then the sending side is shut down and what comes is
    /// dropped, until the peer's end of the stream or the deadline.
    Lingering {
        deadline: Duration,
        half_closed: bool,
        /// The peer has ended its stream; only the queue keeps the session.
        peer_ended: bool,
        discarded: usize,
    },
}

struct Open {
    connection: Connection,
    application: Box<dyn Application>,
}

/// What a worker lends to the session it drives.
pub(super) struct Turn<'w> {
    pub(super) settings: &'w Arc<Settings>,
    pub(super) now: Duration,
    /// Where reads go; one for the worker.
    pub(super) buffer: &'w mut [u8],
    /// Where output gathers; empty between sessions.
    pub(super) cork: &'w mut Vec<u8>,
}

/// What the worker does with a session that was driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Waits for readiness or its deadline.
    Wait,
    /// Its read budget is used up: it is driven again, after the others.
    Again,
    /// It is over: drop it.
    Drop,
}

/// The session's transport is of no more use; what is left to do is done.
struct Gone;

impl<T: Transport> Session<T> {
    pub(super) fn new(transport: T, peer: SocketAddr, settings: &Settings, now: Duration) -> Self {
        let handshake = ServerHandshake::new(Arc::clone(&settings.config), now);
        Self {
            transport,
            peer,
            phase: Phase::Handshake(Box::new(handshake)),
            queue: WriteQueue::default(),
            unread: Vec::new(),
            progress: now,
            readable: false,
            read_closed: false,
            draining: false,
            scheduled: None,
        }
    }

    pub(super) fn transport_mut(&mut self) -> &mut T {
        &mut self.transport
    }

    /// The transport signalled that it can be read, and whether up to its end.
    pub(super) fn set_readable(&mut self, read_closed: bool) {
        self.readable = true;
        self.read_closed |= read_closed;
    }

    /// When to drive the session if nothing happens before.
    pub(super) fn deadline(&self, settings: &Settings) -> Option<Duration> {
        let stalled =
            (!self.queue.is_empty()).then(|| self.progress.saturating_add(settings.send_timeout));
        let own = match &self.phase {
            Phase::Handshake(handshake) => handshake.poll_timeout(),
            // While reading is paused, silence says nothing about the peer.
            Phase::Open(open) if open.connection.is_open() && self.is_paused(settings) => None,
            Phase::Open(open) => open.connection.poll_timeout(),
            Phase::Lingering { deadline, .. } => Some(*deadline),
        };
        stalled.into_iter().chain(own).min()
    }

    /// Does all that can be done now.
    pub(super) fn drive(&mut self, turn: &mut Turn<'_>) -> Next {
        match self.advance(turn) {
            Ok(next) => next,
            Err(Gone) => {
                turn.cork.clear();
                Next::Drop
            }
        }
    }

    /// Begins the closing handshake, or drops what is no connection yet.
    pub(super) fn shut_down(&mut self, turn: &mut Turn<'_>) -> Next {
        match &mut self.phase {
            Phase::Handshake(_) => return Next::Drop,
            Phase::Open(open) => {
                let reason = "the server stops";
                // An error says that it closes already.
                let _ = open
                    .connection
                    .close(CloseCode::GOING_AWAY, reason, turn.cork, turn.now);
            }
            Phase::Lingering { .. } => {}
        }
        self.drive(turn)
    }

    fn advance(&mut self, turn: &mut Turn<'_>) -> Result<Next, Gone> {
        self.write(turn)?;
        self.take_unread(turn)?;
        let mut reads = 0;
        while self.readable && !self.is_paused(turn.settings) {
            if reads == READS_PER_TURN {
                return Ok(Next::Again);
            }
            reads += 1;
            self.read(turn)?;
        }
        self.handle_timeout(turn)?;
        self.finish(turn)?;
        Ok(Next::Wait)
    }

    /// Reading waits while the peer doesn't take what was sent to it.
    fn is_paused(&self, settings: &Settings) -> bool {
        self.queue.len() > settings.pause_reading_at
    }

    fn read(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        let buffer = mem::take(&mut turn.buffer);
        let read = self.transport.read(buffer);
        let result = match read {
            Ok(0) => self.eof(turn),
            Ok(count) => {
                // A short read has drained the socket, unless its end waits behind.
                self.readable = count == buffer.len() || self.read_closed;
                self.receive(&mut buffer[..count], turn)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => Ok(()),
                io::ErrorKind::WouldBlock => {
                    self.readable = false;
                    Ok(())
                }
                _ => Err(self.lost(End::Broken(error), turn)),
            },
        };
        turn.buffer = buffer;
        result
    }

    /// Goes on with bytes that a pause has left.
    fn take_unread(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        if self.unread.is_empty() || self.is_paused(turn.settings) {
            return Ok(());
        }
        let mut bytes = mem::take(&mut self.unread);
        self.receive(&mut bytes, turn)
    }

    /// Bytes from the peer; what they lead to is written before the answer.
    fn receive(&mut self, bytes: &mut [u8], turn: &mut Turn<'_>) -> Result<(), Gone> {
        let mut input = Input::new(bytes);
        if let Phase::Handshake(_) = self.phase {
            self.handshake(&mut input, turn)?;
        }
        match &mut self.phase {
            Phase::Handshake(_) => {}
            Phase::Open(_) => self.messages(&mut input, turn)?,
            Phase::Lingering { discarded, .. } => {
                *discarded += input.len();
                if *discarded > MAX_DISCARDED {
                    return Err(Gone);
                }
            }
        }
        self.write(turn)
    }

    /// The opening handshake, and plain requests before it.
    fn handshake(&mut self, input: &mut Input<'_>, turn: &mut Turn<'_>) -> Result<(), Gone> {
        while let Phase::Handshake(handshake) = &mut self.phase {
            match handshake.recv(input, turn.cork) {
                Ok(None) => return Ok(()),
                Ok(Some(RequestKind::Plain)) => {
                    if !respond(handshake, turn) {
                        self.linger(turn);
                    }
                }
                Ok(Some(RequestKind::Upgrade)) => match upgrade(handshake, turn) {
                    Some(open) => {
                        // A peer that has gone again was never open.
                        if self.read_closed {
                            return Err(Gone);
                        }
                        self.write(turn)?;
                        self.phase = Phase::Open(Box::new(open));
                        self.tell(turn, |application, io| application.on_open(io));
                    }
                    None => self.linger(turn),
                },
                Err(_) => self.linger(turn),
            }
        }
        Ok(())
    }

    /// Frames: each event goes to the application. Stops where the session has to pause.
    fn messages(&mut self, input: &mut Input<'_>, turn: &mut Turn<'_>) -> Result<(), Gone> {
        loop {
            let Phase::Open(open) = &mut self.phase else {
                return Ok(());
            };
            let event = match open.connection.recv(input, turn.cork, turn.now) {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(()),
                Err(fault) => {
                    self.end(End::Failed(fault), turn);
                    return Ok(());
                }
            };
            match event {
                Event::Message(message) => {
                    self.tell(turn, |application, io| application.on_message(io, message));
                }
                Event::Piece(piece) => {
                    self.tell(turn, |application, io| application.on_piece(io, piece));
                }
                Event::Ping(payload) => self.on_control(payload, turn, |application, io, it| {
                    application.on_ping(io, it);
                }),
                Event::Pong(payload) => self.on_control(payload, turn, |application, io, it| {
                    application.on_pong(io, it);
                }),
                Event::Closed(closed) => {
                    self.end(End::Closed(closed), turn);
                    return Ok(());
                }
            }
            if turn.cork.len() > CORK_LIMIT || self.is_paused(turn.settings) {
                self.write(turn)?;
                if self.is_paused(turn.settings) {
                    self.unread = input.as_slice().to_vec();
                    return Ok(());
                }
            }
        }
    }

    fn on_control(
        &mut self,
        payload: Payload<'_>,
        turn: &mut Turn<'_>,
        call: impl FnOnce(&mut dyn Application, SocketIo<'_>, &[u8]),
    ) {
        self.tell(turn, |application, io| call(application, io, &payload));
    }

    /// Calls the application of an open session.
    fn tell(&mut self, turn: &mut Turn<'_>, call: impl FnOnce(&mut dyn Application, SocketIo<'_>)) {
        if let Phase::Open(open) = &mut self.phase {
            let io = SocketIo {
                connection: &mut open.connection,
                cork: turn.cork,
                queue: &mut self.queue,
                draining: &mut self.draining,
                max_backpressure: turn.settings.max_backpressure,
                peer: self.peer,
                now: turn.now,
            };
            call(&mut *open.application, io);
        }
    }

    /// Writes what waits and what the cork holds.
    fn write(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        if self.queue.is_empty() && turn.cork.is_empty() {
            return Ok(());
        }
        let waiting = self.queue.len() + turn.cork.len();
        let waited = !self.queue.is_empty();
        match self.queue.write(&mut self.transport, turn.cork) {
            Ok(true) => {}
            Ok(false) => {
                if !waited || self.queue.len() < waiting {
                    self.progress = turn.now;
                }
                return Ok(());
            }
            Err(error) => return Err(self.lost(End::Broken(error), turn)),
        }
        if mem::take(&mut self.draining) {
            self.tell(turn, |application, io| application.on_drain(io));
            return self.write(turn);
        }
        Ok(())
    }

    fn handle_timeout(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        if self.deadline(turn.settings).is_none_or(|at| turn.now < at) {
            return Ok(());
        }
        if !self.queue.is_empty()
            && turn.now >= self.progress.saturating_add(turn.settings.send_timeout)
        {
            return Err(self.lost(End::Stalled, turn));
        }
        match &mut self.phase {
            Phase::Handshake(handshake) => {
                if handshake.handle_timeout(turn.now, turn.cork).is_err() {
                    self.linger(turn);
                }
            }
            Phase::Open(open) => {
                if let Err(fault) = open.connection.handle_timeout(turn.now, turn.cork) {
                    self.end(End::Failed(fault), turn);
                }
            }
            Phase::Lingering { .. } => return Err(Gone),
        }
        self.write(turn)
    }

    /// Follows a connection that is over to the end of its transport.
    fn finish(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        self.write(turn)?;
        if let Phase::Lingering {
            half_closed,
            peer_ended,
            ..
        } = &mut self.phase
            && self.queue.is_empty()
        {
            if *peer_ended {
                return Err(Gone);
            }
            if !mem::replace(half_closed, true) {
                // RFC 6455 section 7.1.1: the server closes first, by half.
                self.transport.shutdown_write().map_err(|_| Gone)?;
            }
        }
        Ok(())
    }

    /// The one call of `on_close`; from here on the session lingers or goes.
    fn end(&mut self, end: End, turn: &mut Turn<'_>) {
        self.tell(turn, |application, io| application.on_close(io, &end));
        self.linger(turn);
    }

    fn linger(&mut self, turn: &mut Turn<'_>) {
        let patience = turn.now.saturating_add(turn.settings.config.close_timeout);
        let deadline = match &self.phase {
            Phase::Open(open) => match open.connection.teardown() {
                Some(Teardown::Drop) => turn.now,
                _ => open.connection.poll_timeout().unwrap_or(patience),
            },
            _ => patience,
        };
        self.phase = Phase::Lingering {
            deadline,
            half_closed: false,
            peer_ended: false,
            discarded: 0,
        };
        self.unread = Vec::new();
    }

    /// The peer has ended its stream. What it is still owed after the end of its connection is
    /// written first.
    fn eof(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        self.readable = false;
        match &mut self.phase {
            Phase::Handshake(_) => Err(Gone),
            Phase::Open(open) => {
                if let Some(closed) = open.connection.handle_eof() {
                    self.end(End::Closed(closed), turn);
                }
                Err(Gone)
            }
            Phase::Lingering { peer_ended, .. } => {
                *peer_ended = true;
                Ok(())
            }
        }
    }

    /// The transport is of no more use, before the connection was over.
    fn lost(&mut self, end: End, turn: &mut Turn<'_>) -> Gone {
        if let Phase::Open(open) = &mut self.phase {
            open.connection.handle_eof();
            self.end(end, turn);
        }
        Gone
    }
}

/// Answers a plain request; whether the transport stays open for the next.
fn respond(handshake: &mut ServerHandshake, turn: &mut Turn<'_>) -> bool {
    let Some(request) = handshake.request() else {
        return false;
    };
    let settings = Arc::clone(turn.settings);
    let method = match request.method() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        _ => "",
    };
    let mut keep_alive = false;
    let route = settings.router.find(request.path());
    let mut answer = |response: &Response<'_>| {
        keep_alive = handshake
            .respond(response, turn.cork, turn.now)
            .unwrap_or(false);
    };
    match route {
        Some(route) => route.respond(method, answer),
        None => answer(&Response::status(404)),
    }
    keep_alive
}

/// Accepts or rejects an opening handshake; the open session if it was accepted.
fn upgrade(handshake: &ServerHandshake, turn: &mut Turn<'_>) -> Option<Open> {
    let request = handshake.request()?;
    let settings = turn.settings;
    let decision = if settings.origins.allow(&request) {
        settings
            .router
            .find(request.path())
            .and_then(|route| route.application.as_ref())
            .ok_or_else(|| Reject::new(404, "no WebSocket endpoint has this path"))
            .and_then(|make| make(&request))
    } else {
        Err(Reject::new(403, "this origin is not allowed"))
    };
    let supported: Vec<&str> = settings.subprotocols.iter().map(|it| &**it).collect();
    let accept = Accept {
        subprotocol: request.choose_subprotocol(&supported),
        headers: &[],
    };
    let rejected = match decision {
        Ok(application) => match handshake.accept(&accept, turn.cork, turn.now) {
            Ok(connection) => {
                return Some(Open {
                    connection,
                    application,
                });
            }
            Err(misuse) => handshake.reject(
                &Response {
                    body: alloc::string::ToString::to_string(&misuse).as_bytes(),
                    ..Response::status(500)
                },
                turn.cork,
            ),
        },
        Err(reject) => handshake.reject(&reject.response(), turn.cork),
    };
    if rejected.is_err() {
        // The application's own status can't be sent.
        let _ = handshake.reject(&Response::status(500), turn.cork);
    }
    None
}
