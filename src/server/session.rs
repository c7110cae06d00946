//! One connection of the server, from its first byte to the end of its transport.
//!
//! Owns the transport, what waits to be written to it, and the phase it is in. A readable
//! transport, a timer and a command from another thread all end in [`Session::drive`], which
//! reads, lets the core and the application answer, and writes once for each read. The clock and
//! the buffers are the worker's; how requests are answered is in `opening.rs`.

mod ending;
mod opening;

use std::boxed::Box;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use self::opening::Opening;
use super::handle::ConnectionId;
use super::handler::{Application, End};
use super::limits::Permit;
use super::link::{Link, Peers, SocketIo, Told};
use super::metrics::{HandshakeFailure, Metrics};
use super::observer::ConnectionStats;
use super::route::Options;
use super::shared::Shared;
use super::socket::Sent;
use super::timer_wheel::Tick;
use crate::error::Fault;
use crate::net::{Keep, Spares, Transport, WriteQueue};
use crate::proto::{CloseCode, Closed, Event, Input, PreparedMessage, Response, ServerHandshake};

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
    id: ConnectionId,
    /// Counts it as long as it lives.
    permit: Permit,
    phase: Phase,
    queue: WriteQueue,
    /// Received bytes that a pause has left, at most one read's worth.
    unread: Vec<u8>,
    /// When the backlog began, or the transport last took some of it.
    progress: Duration,
    /// What is still to be written of the bytes up to its last, a Close say; None while it goes on.
    last: Option<Last>,
    /// The transport may have bytes to read.
    readable: bool,
    /// The end of the peer's stream was signalled: read up to it.
    read_closed: bool,
    broken: bool,
    /// It waits to be driven without an event.
    pub(super) queued: bool,
    /// The entry of the timer wheel that counts.
    pub(super) scheduled: Option<Tick>,
}

enum Phase {
    Opening(Box<Opening>),
    Open(Box<Open>),
    /// Only what is queued is written; then the sending side is shut down and what comes is
    /// dropped, until the peer's end of the stream or the deadline.
    Lingering {
        deadline: Duration,
        /// How long after the last byte was written it waits at most, also when that is later.
        patience: Duration,
        half_closed: bool,
        /// The peer has ended its stream; only the queue keeps the session.
        peer_ended: bool,
        discarded: usize,
    },
}

/// The output of a session that is ending: a peer that is slow and takes it is waited for. What is
/// appended later, such as pongs, doesn't count, so that no peer can put off the end.
struct Last {
    owed: usize,
    /// When some of it was written last.
    progress: Duration,
}

struct Open {
    link: Link,
    application: Box<dyn Application>,
}

/// What a worker lends to the session it drives.
pub(super) struct Turn<'w> {
    pub(super) shared: &'w Arc<Shared>,
    /// The worker's.
    pub(super) metrics: &'w Metrics,
    pub(super) now: Duration,
    /// Where reads go; one for the worker.
    pub(super) buffer: &'w mut [u8],
    /// Where output gathers; empty between sessions.
    pub(super) cork: &'w mut Vec<u8>,
    /// Buffers for large messages.
    pub(super) spares: &'w mut Spares,
    /// `on_drain` was called: the next time is another turn's.
    pub(super) drained: bool,
    pub(super) peers: &'w mut (dyn Peers + 'w),
}

impl Turn<'_> {
    /// The session's output goes with it: the cork is the next session's.
    fn gone(&mut self, Gone: Gone) -> Next {
        self.cork.clear();
        Next::Drop
    }
}

/// What the worker does with a session that was driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Waits for readiness or its deadline.
    Wait,
    /// Its share of the turn is used up: it is driven again, after the others.
    Again,
    /// It is over: drop it.
    Drop,
}

/// The session's transport is of no more use; what is left to do is done.
struct Gone;

/// Why no further event goes to the application for now.
enum Stop {
    /// The input is consumed.
    Drained,
    /// The session has to look: something was asked for, or much waits to be written.
    News,
    /// The connection is over, by the closing handshake.
    Closed(Closed),
    /// The connection is over, by the peer's fault.
    Failed(Fault),
}

impl<T: Transport> Session<T> {
    pub(super) fn new(
        transport: T,
        peer: SocketAddr,
        id: ConnectionId,
        permit: Permit,
        shared: &Shared,
        now: Duration,
    ) -> Self {
        let proxied = shared.settings.proxy_protocol.contains(peer.ip());
        let config = Arc::clone(&shared.settings.options.config);
        Self {
            transport,
            peer,
            id,
            permit,
            phase: Phase::Opening(Box::new(Opening {
                handshake: ServerHandshake::new(config, now),
                proxy_header: proxied.then(Vec::new),
                deferred_until: None,
                served: false,
            })),
            queue: WriteQueue::default(),
            unread: Vec::new(),
            progress: now,
            last: None,
            readable: false,
            read_closed: false,
            broken: false,
            queued: false,
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

    /// The transport has failed: it is read to its error, also by a session that has paused.
    pub(super) fn set_broken(&mut self) {
        self.set_readable(true);
        self.broken = true;
    }

    /// A message from another connection of the worker, or from another thread. It is written
    /// when the session is driven.
    pub(super) fn deliver(
        &mut self,
        message: &PreparedMessage,
        keep: Keep,
        metrics: &Metrics,
        now: Duration,
    ) -> Sent {
        match &mut self.phase {
            Phase::Open(open) => open
                .link
                .deliver(&mut self.queue, message, keep, metrics, now),
            _ => Sent::Dropped,
        }
    }

    fn options<'s>(&'s self, shared: &'s Shared) -> &'s Options {
        match &self.phase {
            Phase::Open(open) => &open.link.options,
            _ => &shared.settings.options,
        }
    }

    /// When to drive the session if nothing happens before.
    pub(super) fn deadline(&self, shared: &Shared) -> Option<Duration> {
        let options = self.options(shared);
        let stalled = self
            .queue
            .is_blocked()
            .then(|| self.progress.saturating_add(options.send_timeout));
        let own = match &self.phase {
            // The next request may wait until the last one's answer is written.
            Phase::Opening(_) if self.queue.is_blocked() => None,
            Phase::Opening(opening) => {
                let handshake = opening.handshake.poll_timeout();
                opening.deferred_until.or(handshake)
            }
            Phase::Open(open) if open.link.connection.is_open() => {
                let link = &open.link;
                // While reading is paused, silence says nothing about the peer.
                let core = match self.is_paused(shared) {
                    true => None,
                    false => link.connection.poll_timeout(),
                };
                match (link.expires, link.resume_at) {
                    (None, None) => core,
                    own => core.into_iter().chain(own.0).chain(own.1).min(),
                }
            }
            Phase::Open(open) => {
                let core = open.link.connection.poll_timeout();
                core.map(|at| self.not_before_written(at, options.config.close_timeout))
            }
            Phase::Lingering {
                deadline, patience, ..
            } => Some(self.not_before_written(*deadline, *patience)),
        };
        match (stalled, own) {
            (None, own) => own,
            (stalled, None) => stalled,
            (Some(stalled), Some(own)) => Some(stalled.min(own)),
        }
    }

    /// A deadline of the end leaves `patience` from when the last of its output was taken.
    fn not_before_written(&self, deadline: Duration, patience: Duration) -> Duration {
        let written = self.last.as_ref().map(|it| it.progress);
        written.map_or(deadline, |it| deadline.max(it.saturating_add(patience)))
    }

    /// Does all that can be done now.
    pub(super) fn drive(&mut self, turn: &mut Turn<'_>) -> Next {
        self.advance(turn).unwrap_or_else(|gone| turn.gone(gone))
    }

    /// A subscription that another thread asked for.
    pub(super) fn subscribe(&mut self, topic: &Arc<str>, turn: &mut Turn<'_>) -> Next {
        // Its guard and its history may be the application's own: a panic is the connection's.
        self.call(turn, |_, mut io| {
            if let Err(error) = io.subscribe(topic) {
                let refused = Told::Subscribed(Arc::clone(topic), Err(error));
                io.link.told.push(refused);
            }
        });
        self.tell_subscriptions(turn);
        self.drive(turn)
    }

    pub(super) fn unsubscribe(&mut self, topic: &str, turn: &mut Turn<'_>) -> Next {
        if let Some(mut io) = self.io(turn) {
            io.unsubscribe(topic);
        }
        self.tell_subscriptions(turn);
        self.drive(turn)
    }

    fn advance(&mut self, turn: &mut Turn<'_>) -> Result<Next, Gone> {
        // A command may have been told to the application.
        self.end_if_asked(turn)?;
        match self.owes_drain() {
            true => self.write_all(turn)?,
            false => self.write(turn)?,
        }
        for _ in 0..READS_PER_TURN {
            if !self.can_receive(turn.shared) {
                break;
            }
            // What a pause has left comes before what is new.
            match self.unread.is_empty() {
                true => self.read(turn)?,
                false => self.take_unread(turn)?,
            }
        }
        self.tell_pause(turn);
        // With an entry ahead in the timer wheel nothing is due.
        if self.scheduled.is_none() {
            self.handle_timeout(turn)?;
        }
        self.finish(turn)?;
        match self.can_receive(turn.shared) || self.owes_drain() {
            true => Ok(Next::Again),
            false => Ok(Next::Wait),
        }
    }

    /// A pause that ends gives the peer its time anew.
    fn tell_pause(&mut self, turn: &Turn<'_>) {
        let paused = self.is_paused(turn.shared);
        if let Phase::Open(open) = &mut self.phase {
            open.link.connection.pause(paused, turn.now);
        }
    }

    fn can_receive(&self, shared: &Shared) -> bool {
        (self.readable || !self.unread.is_empty()) && !self.is_paused(shared)
    }

    /// Reading waits while the peer doesn't take what was sent to it, while the application
    /// decides, and while it says so.
    fn is_paused(&self, shared: &Shared) -> bool {
        match &self.phase {
            // Nobody is left to wait for.
            _ if self.broken => false,
            Phase::Opening(opening) if opening.deferred_until.is_some() => true,
            // A closing handshake is read to its end, whatever the application said before.
            Phase::Open(open)
                if (open.link.paused || open.link.resume_at.is_some())
                    && open.link.connection.is_open() =>
            {
                true
            }
            _ => self.queue.len() > self.options(shared).pause_reading_at,
        }
    }

    fn read(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        let buffer = mem::take(&mut turn.buffer);
        // The rest of a large message goes where it is assembled, and only what is behind it
        // through the worker's buffer.
        let space = match &mut self.phase {
            Phase::Open(open) => open.link.connection.space(),
            _ => None,
        };
        let (direct, read) = match space {
            Some(space) => (space.len(), self.transport.read_both(space, buffer)),
            None => (0, self.transport.read(buffer)),
        };
        let result = match read {
            Ok(0) => self.eof(turn),
            Ok(count) => {
                turn.metrics.bytes_received.add(count as u64);
                // A short read has drained the socket, unless its end waits behind.
                self.readable = count == direct + buffer.len() || self.read_closed;
                let filled = count.min(direct);
                if let Phase::Open(open) = &mut self.phase
                    && filled > 0
                {
                    open.link.connection.filled(filled);
                }
                self.receive(&mut buffer[..count - filled], turn)
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
        let mut bytes = mem::take(&mut self.unread);
        self.receive(&mut bytes, turn)
    }

    /// Bytes from the peer; what they lead to is written before the answer.
    fn receive(&mut self, bytes: &mut [u8], turn: &mut Turn<'_>) -> Result<(), Gone> {
        let mut input = Input::new(bytes);
        if let Phase::Opening(opening) = &mut self.phase {
            if let Some(header) = &mut opening.proxy_header {
                header.extend_from_slice(input.as_slice());
                let Some(mut behind) = self.proxy_header(turn)? else {
                    return Ok(());
                };
                return self.receive(&mut behind, turn);
            }
            self.requests(&mut input, turn)?;
        }
        // The application may have paused as the connection opened.
        let paused = self.is_paused(turn.shared);
        match &mut self.phase {
            // Kept where a pause left it; not empty where the application decides later.
            Phase::Opening(_) if !self.unread.is_empty() => {}
            Phase::Opening(_) => self.unread = input.as_slice().to_vec(),
            Phase::Open(_) if paused => self.unread = input.as_slice().to_vec(),
            Phase::Open(open) => {
                // Lent only while it may begin to assemble: what is idle owns no buffer.
                let lent = turn.spares.take();
                let lends = lent.is_some();
                if let Some(buffer) = lent {
                    open.link.connection.lend(buffer);
                }
                let result = self.messages(&mut input, turn);
                if let Phase::Open(open) = &mut self.phase
                    && lends
                {
                    turn.spares.put(open.link.connection.reclaim());
                }
                result?;
            }
            Phase::Lingering { discarded, .. } => {
                *discarded += input.len();
                if *discarded > MAX_DISCARDED {
                    return Err(Gone);
                }
            }
        }
        self.write(turn)
    }

    /// Frames: each event goes to the application. Stops where the session has to pause.
    fn messages(&mut self, input: &mut Input<'_>, turn: &mut Turn<'_>) -> Result<(), Gone> {
        loop {
            match self.events(input, turn) {
                Stop::Drained => return Ok(()),
                Stop::Closed(closed) => {
                    self.end(End::Closed(closed), turn);
                    return Ok(());
                }
                Stop::Failed(fault) => {
                    self.fail(fault, turn);
                    return Ok(());
                }
                Stop::News => {}
            }
            self.tell_subscriptions(turn);
            self.end_if_asked(turn)?;
            if self.pauses(input, turn)? {
                return Ok(());
            }
        }
    }

    /// Gives events to the application until there is something for the session to look at. A
    /// panic ends the connection.
    fn events(&mut self, input: &mut Input<'_>, turn: &mut Turn<'_>) -> Stop {
        let Phase::Open(open) = &mut self.phase else {
            return Stop::Drained;
        };
        let Open { link, application } = &mut **open;
        let queue = &mut self.queue;
        let pause_at = link.options.pause_reading_at;
        #[cfg(feature = "tracing")]
        let _span = super::trace::connection_span(self.id, self.peer).entered();
        // As in `call`; caught once for all that was read, since it costs some instructions.
        let stop = catch_unwind(AssertUnwindSafe(|| {
            let Turn {
                shared,
                metrics,
                now,
                ref mut cork,
                ref mut peers,
                ..
            } = *turn;
            loop {
                let event = match link.connection.recv(input, cork, now) {
                    Ok(None) => return Stop::Drained,
                    Ok(Some(event)) => event,
                    Err(fault) => return Stop::Failed(fault),
                };
                let mut io = SocketIo {
                    link: &mut *link,
                    cork,
                    queue: &mut *queue,
                    peers: &mut **peers,
                    shared,
                    metrics,
                    now,
                };
                match event {
                    Event::Message(message) => {
                        if !io.allows(true, message.len()) {
                            return Stop::News;
                        }
                        application.on_message(io, message);
                    }
                    Event::Piece(piece) => {
                        if !io.allows(piece.first, piece.as_bytes().len()) {
                            return Stop::News;
                        }
                        application.on_piece(io, piece);
                    }
                    Event::Ping(payload) => application.on_ping(io, &payload),
                    Event::Pong(payload) => application.on_pong(io, &payload),
                    Event::Closed(closed) => return Stop::Closed(closed),
                }
                let much = cork.len() > CORK_LIMIT || queue.len() > pause_at;
                if much || link.has_news() {
                    return Stop::News;
                }
            }
        }));
        stop.unwrap_or_else(|_| {
            link.panicked(turn.cork, turn.now);
            Stop::News
        })
    }

    /// Writes if much has gathered. Whether the session has to pause; the rest of the input is
    /// kept then.
    #[inline]
    fn pauses(&mut self, input: &Input<'_>, turn: &mut Turn<'_>) -> Result<bool, Gone> {
        if turn.cork.len() <= CORK_LIMIT && !self.is_paused(turn.shared) {
            return Ok(false);
        }
        self.write(turn)?;
        if !self.is_paused(turn.shared) {
            return Ok(false);
        }
        self.unread = input.as_slice().to_vec();
        Ok(true)
    }

    /// The connection in numbers, once it has opened.
    pub(super) fn stats(&self, now: Duration) -> Option<ConnectionStats> {
        match &self.phase {
            Phase::Open(open) => Some(open.link.stats(self.queue.len(), now)),
            _ => None,
        }
    }

    /// Bytes that wait to be written.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queue.len()
    }

    fn io<'s>(&'s mut self, turn: &'s mut Turn<'_>) -> Option<SocketIo<'s>> {
        match &mut self.phase {
            Phase::Open(open) => Some(SocketIo {
                link: &mut open.link,
                cork: turn.cork,
                queue: &mut self.queue,
                peers: turn.peers,
                shared: turn.shared,
                metrics: turn.metrics,
                now: turn.now,
            }),
            _ => None,
        }
    }

    /// Calls the application of an open session, and tells it of the subscriptions that its own
    /// call brought about. A panic ends the connection.
    #[inline]
    fn tell(
        &mut self,
        turn: &mut Turn<'_>,
        call: impl for<'a> FnOnce(&'a mut (dyn Application + 'static), SocketIo<'a>),
    ) {
        self.call(turn, call);
        self.tell_subscriptions(turn);
    }

    #[inline]
    fn call(
        &mut self,
        turn: &mut Turn<'_>,
        call: impl for<'a> FnOnce(&'a mut (dyn Application + 'static), SocketIo<'a>),
    ) {
        let Phase::Open(open) = &mut self.phase else {
            return;
        };
        // After a panic it is told of nothing but its end, for which that reason was taken.
        if matches!(open.link.end, Some(End::Panicked)) {
            return;
        }
        let io = SocketIo {
            link: &mut open.link,
            cork: turn.cork,
            queue: &mut self.queue,
            peers: turn.peers,
            shared: turn.shared,
            metrics: turn.metrics,
            now: turn.now,
        };
        let application = &mut *open.application;
        #[cfg(feature = "tracing")]
        let _span = super::trace::connection_span(self.id, self.peer).entered();
        // The session is whole after each of the calls it makes through the socket, and the
        // application is not asked again but for its end.
        if catch_unwind(AssertUnwindSafe(|| call(application, io))).is_err() {
            open.link.panicked(turn.cork, turn.now);
        }
    }

    fn tell_subscriptions(&mut self, turn: &mut Turn<'_>) {
        // Bounded: each subscription can be made and ended by the calls that tell of others, but
        // a handler that never stops doing so hangs in any loop.
        while let Phase::Open(open) = &mut self.phase {
            let told = mem::take(&mut open.link.told);
            if told.is_empty() {
                return;
            }
            for it in told {
                self.call(turn, |application, io| match it {
                    Told::Subscribed(topic, count) => application.on_subscribe(io, &topic, count),
                    Told::Unsubscribed(topic, left) => application.on_unsubscribe(io, &topic, left),
                });
            }
        }
    }

    /// Ends the connection where its application or a limit wants it dropped.
    #[inline]
    fn end_if_asked(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        match &mut self.phase {
            Phase::Open(open) if matches!(open.link.end, Some(End::Terminated)) => {
                Err(self.lost(End::Terminated, turn))
            }
            _ => Ok(()),
        }
    }

    /// Writes what waits and what the cork holds.
    #[inline]
    fn write(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        match self.queue.is_empty() && turn.cork.is_empty() {
            true => Ok(()),
            false => self.write_all(turn),
        }
    }

    fn write_all(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        let waiting = self.queue.len() + turn.cork.len();
        let blocked = self.queue.is_blocked();
        if self.last.is_none() && self.is_ending() {
            self.last = Some(Last {
                owed: waiting,
                progress: turn.now,
            });
        }
        let drained = self
            .queue
            .write(&mut self.transport, turn.cork, turn.spares);
        if drained.is_ok() {
            self.count_written(waiting - self.queue.len(), turn);
        }
        match drained {
            Ok(true) => {}
            Ok(false) => {
                if !blocked || self.queue.len() < waiting {
                    self.progress = turn.now;
                }
                return Ok(());
            }
            Err(error) => return Err(self.lost(End::Broken(error), turn)),
        }
        if let Phase::Open(open) = &mut self.phase
            && open.link.draining
            && !mem::replace(&mut turn.drained, true)
        {
            open.link.draining = false;
            self.tell(turn, |application, io| application.on_drain(io));
            self.end_if_asked(turn)?;
            return self.write(turn);
        }
        Ok(())
    }

    /// All is written that the application waits for, and it is still to be told.
    fn owes_drain(&self) -> bool {
        match &self.phase {
            Phase::Open(open) => open.link.draining && self.queue.is_empty(),
            _ => false,
        }
    }

    /// Nothing of the application's follows what is queued.
    fn is_ending(&self) -> bool {
        match &self.phase {
            Phase::Opening(_) => false,
            Phase::Open(open) => !open.link.connection.is_open(),
            Phase::Lingering { .. } => true,
        }
    }

    fn count_written(&mut self, bytes: usize, turn: &Turn<'_>) {
        turn.metrics.bytes_sent.add(bytes as u64);
        if let Some(last) = self.last.as_mut().filter(|it| it.owed > 0 && bytes > 0) {
            last.owed = last.owed.saturating_sub(bytes);
            last.progress = turn.now;
        }
    }

    fn handle_timeout(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        if self.deadline(turn.shared).is_none_or(|at| turn.now < at) {
            return Ok(());
        }
        let send_timeout = self.options(turn.shared).send_timeout;
        if self.queue.is_blocked() && turn.now >= self.progress.saturating_add(send_timeout) {
            return Err(self.lost(End::Stalled, turn));
        }
        let expired = |link: &Link| {
            link.connection.is_open() && link.expires.is_some_and(|at| turn.now >= at)
        };
        match &mut self.phase {
            Phase::Opening(opening) if opening.deferred_until.is_some() => {
                let response = Response::status(503);
                // The status is a good one and the request is there.
                let _ = opening.handshake.reject(&response, turn.cork);
                self.failed(HandshakeFailure::Timeout, turn);
                self.linger(turn);
            }
            Phase::Opening(opening) => {
                let handshake = &mut opening.handshake;
                if let Err(error) = handshake.handle_timeout(turn.now, turn.cork) {
                    if !opening.served {
                        self.failed((&error).into(), turn);
                    }
                    self.linger(turn);
                }
            }
            Phase::Open(open) if open.link.resume_at.is_some_and(|at| turn.now >= at) => {
                open.link.resume_at = None;
            }
            Phase::Open(open) if expired(&open.link) => {
                open.link.end.get_or_insert(End::Lifetime);
                self.close(CloseCode::GOING_AWAY, "the connection's time is over", turn);
            }
            Phase::Open(open) => {
                if let Err(fault) = open.link.connection.handle_timeout(turn.now, turn.cork) {
                    self.fail(fault, turn);
                }
            }
            Phase::Lingering { .. } => return Err(Gone),
        }
        self.write(turn)
    }
}

#[cfg(test)]
mod tests;
