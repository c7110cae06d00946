//! One connection of the server, from its first byte to the end of its transport.
//!
//! Owns the transport, what waits to be written to it, and the phase it is in. A readable transport
//! and a timer end in [`Session::drive`], a command from another thread in [`Session::advance`],
//! its general form: it reads, calls the core and the application, and writes once for each read.
//! The clock and the buffers are the worker's. This file has the session, its turn and what it
//! writes; the rest is in the files below.

mod answered;
mod answering;
mod calling;
mod deadlines;
mod deferred;
mod ending;
mod opening;
mod receiving;

use std::boxed::Box;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use self::opening::Opening;
use super::end::EndKind;
use super::handler::OpenSession;
use super::id::ConnectionId;
use super::limits::Permit;
use super::observe::ConnectionStats;
use super::options::Options;
use super::route::Endpoints;
use super::run::timer_wheel::Tick;
use super::websocket::{
    Batch, FastPath, Given, LocalDelivery, LocalSessions, Remote, Sent, WorkerState,
};
use super::write_queue::{Pool, WriteQueue};
use crate::net::Transport;
use crate::proto::{Linger, Scratch, ServerHandshake};

/// Reads per turn, so that one busy peer can't keep the others waiting: with the worker's buffer
/// 384 KiB.
const READS_PER_TURN: usize = 4;

/// All sessions lie in the worker's slab whatever their phase, so it has fields only for what every
/// phase needs.
pub(super) struct Session<T> {
    transport: T,
    remote: Remote,
    phase: Phase,
    queue: WriteQueue,
    halt: Option<Box<Halt>>,
    /// The transport may have bytes to read.
    readable: bool,
    /// The end of the peer's stream was signalled: read up to it.
    read_closed: bool,
    broken: bool,
    /// Whether it waits to be driven without an event.
    pub(super) queued: bool,
    /// The current entry of the timer wheel.
    pub(super) scheduled: Option<Tick>,
}

enum Phase {
    Opening(Box<Opening>),
    Open(Box<OpenSession>),
    /// Only what is queued is still written.
    Lingering(Box<Linger>),
}

/// State that a session has only while it is paused or ending.
#[derive(Default)]
struct Halt {
    /// Received bytes that a pause has left unprocessed, at most one read's worth.
    unread: Vec<u8>,
    /// What must still be written before the end, such as a Close; None while it isn't ending.
    last: Option<Last>,
    /// When it paused with nothing more to come than the end of the peer's stream.
    left_at: Option<Duration>,
}

/// The output of a session that is ending: a slow peer is waited for as long as it takes some. What
/// is appended later, such as pongs, doesn't count, so that no peer can put off the end.
struct Last {
    owed: usize,
    /// When some of it was last written.
    progress: Duration,
}

/// What a worker lends to the session that it drives.
pub(super) struct Turn<'w> {
    pub(super) id: ConnectionId,
    pub(super) worker: &'w WorkerState,
    /// For connections that aren't open yet.
    pub(super) endpoints: &'w Endpoints,
    /// The worker's buffer for reads.
    pub(super) buffer: &'w mut [u8],
    /// The output of this session; empty between sessions.
    pub(super) cork: &'w mut Vec<u8>,
    /// For the messages that the session begins to receive; without a buffer between sessions.
    pub(super) scratch: &'w mut Scratch,
    /// Whether `on_drain` was called; it is called once per turn.
    pub(super) drained: bool,
    pub(super) local: &'w mut (dyn LocalSessions + 'w),
}

impl Turn<'_> {
    /// Drops the session with its output: the cork is the next session's.
    fn gone(&mut self, Gone: Gone) -> Next {
        self.cork.clear();
        Next::Drop
    }
}

/// What the worker does with a session that was driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait for readiness or the deadline.
    Wait,
    /// The same, and the deadline is no earlier than the one scheduled.
    Settled,
    /// The share of the turn is used up: drive it again, after the others.
    Again,
    /// It has ended: drop it.
    Drop,
}

/// The transport is of no more use, and nothing is left to do.
struct Gone;

impl<T: Transport> Session<T> {
    pub(super) fn new(
        transport: T,
        peer: SocketAddr,
        permit: Permit,
        endpoints: &Endpoints,
        now: Duration,
    ) -> Self {
        let proxied = endpoints.is_proxied(peer);
        let config = Arc::clone(&endpoints.options.config);
        Self {
            transport,
            remote: Remote { peer, permit },
            phase: Phase::Opening(Box::new(Opening::new(
                ServerHandshake::new(config, now),
                proxied,
            ))),
            queue: WriteQueue::default(),
            halt: None,
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

    /// Notes that the transport can be read, and whether up to its end.
    pub(super) fn set_readable(&mut self, read_closed: bool) {
        self.readable = true;
        self.read_closed |= read_closed;
    }

    /// Notes that the transport has failed: it is read to its error, even while the session is
    /// paused.
    pub(super) fn set_broken(&mut self) {
        self.set_readable(true);
        self.broken = true;
    }

    /// Queues a message from another connection of the worker, or from another thread. It is
    /// written when the session is driven.
    #[inline]
    pub(super) fn deliver(&mut self, delivery: &mut LocalDelivery<'_>, pool: &Pool) -> Given {
        match &mut self.phase {
            Phase::Open(open) => {
                self.queue.lend(pool);
                let given = open.ws.deliver(&mut self.queue, delivery, pool);
                if self.queue.is_empty() {
                    self.queue.reclaim(pool);
                }
                given
            }
            _ => Given::Sent(Sent::Dropped),
        }
    }

    /// If it has no room for a message of `length` bytes, returns when it last took some of its
    /// backlog.
    pub(super) fn full_since(&self, length: usize) -> Option<Option<Duration>> {
        match &self.phase {
            Phase::Open(open) if open.ws.connection.is_open() => {
                (!open.ws.has_room(&self.queue, length)).then(|| self.queue.blocked_since())
            }
            _ => None,
        }
    }

    /// Notes that waiting for it was in vain.
    pub(super) fn lags(&mut self) {
        if let Phase::Open(open) = &mut self.phase {
            open.ws.lags();
        }
    }

    /// Whether the command with this number was carried out for it already.
    pub(super) fn is_ahead_of(&self, number: u64) -> bool {
        match &self.phase {
            Phase::Open(open) => open.ws.is_ahead_of(number),
            _ => false,
        }
    }

    /// Reads from it again, after it published faster than subscribers took.
    pub(super) fn unthrottle(&mut self) {
        if let Phase::Open(open) = &mut self.phase {
            open.ws.cold().throttled = false;
            open.ws.free_unused();
        }
    }

    /// How many bytes of published frames it can take now without further checks.
    #[inline]
    pub(super) fn room_for_batch(&self) -> usize {
        self.fast_path().map_or(0, FastPath::room_for_published)
    }

    /// Queues published frames that there was [room](Self::room_for_batch) for.
    #[inline(always)]
    pub(super) fn deliver_batch(&mut self, batch: &Batch, pool: &Pool) {
        if let Phase::Open(open) = &mut self.phase {
            open.ws.deliver_batch(&mut self.queue, batch, pool);
        }
    }

    /// The options of its route, or the server's before it has one.
    fn options<'s>(&'s self, default: &'s Options) -> &'s Options {
        match &self.phase {
            Phase::Open(open) => &open.ws.options,
            _ => default,
        }
    }

    /// Does all that can be done now. The cork must be empty.
    pub(super) fn drive(&mut self, turn: &mut Turn<'_>) -> Next {
        debug_assert!(turn.cork.is_empty());
        // With an entry ahead in the timer wheel no deadline has passed.
        if !self.settles() || self.scheduled.is_none() {
            return self.advance(false, turn);
        }
        match self.turn_settled(turn) {
            Ok(true) => Next::Settled,
            Ok(false) => self.advance(true, turn),
            Err(gone) => turn.gone(gone),
        }
    }

    /// Like [`drive`](Self::drive), for a session in any state, and with whatever a command has put
    /// into the cork. The usual turn may have `begun`, with a write and a read.
    #[inline(never)]
    pub(super) fn advance(&mut self, begun: bool, turn: &mut Turn<'_>) -> Next {
        let next = self.try_advance(begun, turn);
        next.unwrap_or_else(|gone| turn.gone(gone))
    }

    fn try_advance(&mut self, begun: bool, turn: &mut Turn<'_>) -> Result<Next, Gone> {
        let settled = self.is_settled();
        if !settled || !turn.cork.is_empty() {
            // A command may have called the application.
            self.end_if_asked(turn)?;
            let tried = begun && self.queue.is_blocked() && turn.cork.is_empty();
            match self.owes_drain() {
                true => self.write_all(turn)?,
                false if tried => {}
                false => self.write(turn)?,
            }
        }
        for _ in usize::from(begun)..READS_PER_TURN {
            if !self.can_receive(&turn.endpoints.options) {
                break;
            }
            self.is_read_again();
            // Bytes that a pause has left come before new ones.
            match self.has_unread() {
                false => self.read(turn)?,
                true => self.take_unread(turn)?,
            }
        }
        let scheduled = self.scheduled.is_some();
        if settled && scheduled && !self.readable && self.is_settled() && !self.has_earlier_timer()
        {
            return Ok(Next::Settled);
        }
        self.note_pause(turn);
        if !scheduled {
            self.handle_timeout(turn)?;
        }
        self.finish(turn)?;
        match self.can_receive(&turn.endpoints.options) || self.owes_drain() {
            true => Ok(Next::Again),
            false => Ok(Next::Wait),
        }
    }

    /// None unless it is open.
    #[inline]
    fn fast_path(&self) -> Option<FastPath<'_>> {
        match &self.phase {
            Phase::Open(open) => Some(FastPath::of(&open.ws, &self.queue)),
            _ => None,
        }
    }

    /// Whether it is open and settled: the usual state, in which there is little to check.
    #[inline]
    fn is_settled(&self) -> bool {
        self.halt.is_none() && self.fast_path().is_some_and(FastPath::is_settled)
    }

    /// Whether it is settled, or will be once what has been queued since is written.
    #[inline]
    fn settles(&self) -> bool {
        self.halt.is_none() && self.fast_path().is_some_and(FastPath::settles)
    }

    /// After a pause the peer's deadlines restart; a pause in which the peer has ended its stream
    /// has its own deadline.
    fn note_pause(&mut self, turn: &Turn<'_>) {
        let (paused, now) = (self.is_paused(&turn.endpoints.options), turn.worker.now);
        if let Phase::Open(open) = &mut self.phase {
            open.ws.connection.pause(paused, now);
            if paused && self.read_closed && open.ws.is_paused() {
                let halt = self.halt.get_or_insert_default();
                halt.left_at.get_or_insert(now);
            }
        }
    }

    /// Ends the deadline of a pause in which the peer has ended its stream.
    fn is_read_again(&mut self) {
        if let Some(halt) = &mut self.halt
            && halt.left_at.take().is_some()
        {
            self.tidy();
        }
    }

    fn can_receive(&self, default: &Options) -> bool {
        (self.readable || self.has_unread()) && !self.is_paused(default)
    }

    /// Reading waits while the peer doesn't take what was sent to it, while the application
    /// decides, and while the application has paused it.
    fn is_paused(&self, default: &Options) -> bool {
        match &self.phase {
            // The transport is read to its error, which ends it.
            _ if self.broken => false,
            Phase::Opening(opening) if opening.is_deferred() => true,
            // A closing handshake is read to its end, even if the application has paused reading.
            Phase::Open(open) if open.ws.is_paused() && open.ws.connection.is_open() => true,
            _ => self.queue.len() > self.options(default).pause_reading_at,
        }
    }

    /// The connection's statistics, once it has opened.
    pub(super) fn stats(&self, id: ConnectionId, now: Duration) -> Option<ConnectionStats> {
        match &self.phase {
            Phase::Open(open) => {
                let buffered = self.queue.len();
                Some(open.ws.stats(id, &self.remote, buffered, now))
            }
            _ => None,
        }
    }

    /// Whether it has yet to write what was published in this turn.
    pub(super) fn holds_published(&self) -> bool {
        self.queue.holds_published()
    }

    /// Bytes that wait to be written.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queue.len()
    }

    /// Ends the connection if its application or a limit wants it dropped.
    #[inline]
    fn end_if_asked(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        match &mut self.phase {
            Phase::Open(open) if matches!(open.ws.end(), Some(EndKind::Terminated)) => {
                Err(self.lost(EndKind::Terminated, turn))
            }
            _ => Ok(()),
        }
    }

    /// Writes what waits and the cork.
    #[inline]
    fn write(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        match self.queue.is_empty() && turn.cork.is_empty() {
            true => Ok(()),
            false => self.write_all(turn),
        }
    }

    fn write_all(&mut self, turn: &mut Turn<'_>) -> Result<(), Gone> {
        let held = self.transport.held();
        let written = self
            .queue
            .write(&mut self.transport, turn.cork, &turn.worker.pool);
        self.wrote(written, held, turn)
    }

    /// Continues after the first write, before which the transport `held` this many bytes.
    #[inline(never)]
    fn wrote(
        &mut self,
        written: io::Result<usize>,
        held: usize,
        turn: &mut Turn<'_>,
    ) -> Result<(), Gone> {
        let waiting = self.queue.len() + turn.cork.len();
        if self.is_ending() {
            let halt = self.halt.get_or_insert_default();
            halt.last.get_or_insert(Last {
                owed: waiting,
                progress: turn.worker.now,
            });
        }
        let now = turn.worker.now;
        let drained = self.queue.wrote(
            written,
            &mut self.transport,
            turn.cork,
            &turn.worker.pool,
            now,
        );
        if drained.is_ok() {
            // What the transport holds was counted when it took the plaintext.
            let sent = waiting - held - (self.queue.len() - self.transport.held());
            turn.worker.metrics.bytes_sent.add(sent as u64);
            // The ciphertext is longer.
            self.count_written(waiting.saturating_sub(self.queue.len()), turn);
        }
        if let Phase::Open(open) = &mut self.phase {
            open.ws.wrote(&self.queue);
        }
        match drained {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => return Err(self.lost(EndKind::Broken(error), turn)),
        }
        if let Phase::Open(open) = &mut self.phase
            && open.ws.draining.get()
            && !mem::replace(&mut turn.drained, true)
        {
            open.ws.draining.set(false);
            self.notify(turn, |application, io| application.on_drain(io));
            self.end_if_asked(turn)?;
            return self.write(turn);
        }
        Ok(())
    }

    /// Whether everything that the application waits for is written, and `on_drain` is still to be
    /// called.
    fn owes_drain(&self) -> bool {
        match &self.phase {
            Phase::Open(open) => open.ws.draining.get() && self.queue.is_empty(),
            _ => false,
        }
    }

    /// Whether the application can't send anything after what is queued.
    fn is_ending(&self) -> bool {
        match &self.phase {
            Phase::Opening(_) => false,
            Phase::Open(open) => !open.ws.connection.is_open(),
            Phase::Lingering(_) => true,
        }
    }

    fn count_written(&mut self, bytes: usize, turn: &Turn<'_>) {
        if let Some(halt) = &mut self.halt
            && let Some(last) = halt.last.as_mut().filter(|it| it.owed > 0 && bytes > 0)
        {
            last.owed = last.owed.saturating_sub(bytes);
            last.progress = turn.worker.now;
            if let Phase::Lingering(linger) = &mut self.phase {
                linger.wrote(last.progress);
            }
        }
    }
}

#[cfg(test)]
mod tests;
