//! An open connection, without its application: what is sent to it and its subscriptions.
//!
//! Owns what happens to a message on its way out: room, backlog, order. Writing it is left to the
//! session; the calls of its own application are in `sending.rs` and `topics.rs`, commands of its
//! own thread in `commands.rs`, messages from others in `delivery.rs`.

mod commands;
mod delivery;
mod fast_path;
mod io;
mod later;
mod local;
mod outcome;
mod outgoing;
#[cfg(feature = "json")]
mod questions;
mod receiving;
mod sending;
mod topics;
mod worker_state;

use std::boxed::Box;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

pub(super) use self::delivery::{Batch, Given, LocalDelivery, STALLS_AFTER};
pub(super) use self::fast_path::{CORK_LIMIT, FastPath};
pub(super) use self::io::SocketIo;
use self::later::Deferred;
pub(super) use self::local::LocalSessions;
pub use self::outcome::{Overflow, Published, Sent};
pub use self::outgoing::Outgoing;
#[cfg(feature = "json")]
use self::questions::Questions;
#[cfg(feature = "json")]
pub(super) use self::questions::{Reply, Resume};
pub(super) use self::worker_state::WorkerState;
use super::call::Call;
use super::end::EndKind;
use super::http::StoredRequest;
use super::id::ConnectionId;
use super::limits::{Permit, RateState};
use super::observe::{ConnectionStats, Metrics};
use super::options::Options;
use super::run::inbox::DIRECT;
use super::timers::Timers;
use super::topics::SubscribeError;
use super::write_queue::{Keep, WriteQueue};
use crate::proto::{CloseCode, Connection, MAX_REASON_LENGTH, PreparedMessage, Timestamp};

/// The other end of a connection.
pub(super) struct Remote {
    pub(super) peer: SocketAddr,
    /// Counts the connection while it lives: by its client's address once its head has arrived.
    pub(super) permit: Permit,
}

impl Remote {
    /// The peer's address, or the one that a trusted proxy names.
    pub(super) fn client_ip(&self) -> IpAddr {
        let peer = || self.peer.ip().to_canonical();
        self.permit.address().unwrap_or_else(peer)
    }
}

/// An open connection, without its application.
pub(super) struct WebSocket {
    pub(super) connection: Connection,
    pub(super) options: Arc<Options>,
    pub(super) cold: Option<Box<ColdState>>,
    account: Account,
    /// Whether a fragmented message is being sent.
    pub(super) sending: bool,
    /// Whether `on_drain` is owed once the queue is empty.
    pub(super) draining: Cell<bool>,
    /// Whether the application has paused reading, or has deferred work.
    pub(super) paused: bool,
    /// Whether the rest of the streamed message under way is refused, as a piece of it was.
    refusing: bool,
    /// Whether commands that still wait were carried out for it already.
    ahead: bool,
    /// Whether waiting for it was in vain: it isn't waited for until it has room again.
    lags: bool,
    /// Whether a rate limit holds for it, its address or its key.
    pub(super) limited: bool,
}

/// State that few connections need, allocated while it is used.
#[derive(Default)]
pub(super) struct ColdState {
    pub(super) request: Option<StoredRequest>,
    pub(super) subscriptions: BTreeSet<Arc<str>>,
    /// What the handler is still to be called with.
    pub(super) notices: Vec<Notice>,
    /// Messages from others, held while a fragmented message of the application is under way.
    held: Vec<(PreparedMessage, Keep)>,
    /// Why the connection ends, if neither the peer nor the protocol is the reason.
    pub(super) end: Option<EndKind>,
    /// Nothing is read until this time, after it sent too fast.
    pub(super) resume_at: Option<Duration>,
    /// Whether it publishes faster than subscribers take: nothing is read until there is room.
    pub(super) throttled: bool,
    /// The commands below this number were carried out for it.
    ahead: u64,
    /// The direct messages up to this number were given to it.
    ahead_of_direct: u64,
    /// How much of its rate limit is used up.
    rate: RateState,
    /// The key of the route's limit by key.
    pub(super) rate_key: Option<Box<str>>,
    /// The user of the application that it belongs to.
    pub(super) user: Option<Arc<str>>,
    /// The topics in which it is present.
    pub(super) joined: BTreeSet<Box<str>>,
    timers: Option<Box<Timers>>,
    deferred: Option<Box<Deferred>>,
    #[cfg(feature = "json")]
    questions: Option<Box<Questions>>,
}

impl ColdState {
    /// Returns whether the session has to act on something in it before it continues.
    #[inline]
    fn interrupts(&self) -> bool {
        self.end.is_some() || self.resume_at.is_some() || self.throttled || !self.notices.is_empty()
    }

    /// Returns whether it is empty, except for how much of the rate limit is used up.
    fn is_unused(&self) -> bool {
        self.request.is_none()
            && self.subscriptions.is_empty()
            && self.notices.is_empty()
            && self.held.is_empty()
            && self.end.is_none()
            && self.resume_at.is_none()
            && !self.throttled
            && self.rate_key.is_none()
            && self.user.is_none()
            && self.joined.is_empty()
            && self.timers.is_none()
            && self.deferred.is_none()
            && !self.has_asked()
    }

    /// Returns whether the application has asked its peer something.
    #[cfg(feature = "json")]
    fn has_asked(&self) -> bool {
        self.questions.is_some()
    }

    #[cfg(not(feature = "json"))]
    fn has_asked(&self) -> bool {
        false
    }
}

/// What a connection has sent and received.
struct Account {
    opened: Timestamp,
    /// When it last sent a message, or was opened.
    sent: Timestamp,
    messages_received: u64,
    bytes_received: u64,
    messages_sent: u64,
    bytes_sent: u64,
}

impl Account {
    #[inline]
    fn sent(&mut self, messages: u64, bytes: usize, now: Timestamp) {
        self.messages_sent += messages;
        self.bytes_sent += bytes as u64;
        self.sent = now;
    }
}

/// What its session has to do before it goes on.
pub(super) enum Notice {
    Subscribed(Arc<str>, Result<usize, SubscribeError>),
    Unsubscribed(Arc<str>, usize),
    /// To call the application.
    Call(Call),
    /// To continue after deferred work.
    Worked,
    /// To look at its deadlines: a timer is the next one.
    Timer,
}

impl WebSocket {
    pub(super) fn new(connection: Connection, options: &Arc<Options>, now: Duration) -> Self {
        Self {
            connection,
            options: Arc::clone(options),
            cold: None,
            account: Account {
                opened: now.into(),
                sent: now.into(),
                messages_received: 0,
                bytes_received: 0,
                messages_sent: 0,
                bytes_sent: 0,
            },
            sending: false,
            draining: Cell::new(false),
            paused: false,
            refusing: false,
            ahead: false,
            lags: false,
            limited: options.rate_limit.messages.is_some()
                || options.rate_limit.bytes.is_some()
                || options.rate_by_key.is_some(),
        }
    }

    pub(super) fn stats(
        &self,
        id: ConnectionId,
        remote: &Remote,
        buffered: usize,
        now: Duration,
    ) -> ConnectionStats {
        let account = &self.account;
        let active = account.sent.max(self.connection.last_data());
        let request = self.cold.as_ref().and_then(|it| it.request.as_ref());
        ConnectionStats {
            id,
            peer_addr: remote.peer,
            client_ip: remote.client_ip(),
            age: now.saturating_sub(self.opened()),
            idle: now.saturating_sub(active.into()),
            messages_received: account.messages_received,
            bytes_received: account.bytes_received,
            messages_sent: account.messages_sent,
            bytes_sent: account.bytes_sent,
            buffered,
            subscriptions: self.cold.as_ref().map_or(0, |it| it.subscriptions.len()),
            round_trip: self.connection.round_trip(),
            user_agent: request
                .and_then(|it| it.header("user-agent"))
                .map(Into::into),
        }
    }

    pub(super) fn opened(&self) -> Duration {
        self.account.opened.into()
    }

    /// Returns its cold state, which is created if there is none.
    pub(super) fn cold(&mut self) -> &mut ColdState {
        self.cold.get_or_insert_default()
    }

    /// Returns why it ends, if neither the peer nor the protocol is the reason.
    #[inline]
    pub(super) fn end(&self) -> Option<&EndKind> {
        self.cold.as_ref()?.end.as_ref()
    }

    /// Closes with the code of this end, which is the reason for its end unless there is one.
    #[cold]
    pub(super) fn close_for(
        &mut self,
        end: EndKind,
        reason: &str,
        out: &mut Vec<u8>,
        now: Duration,
    ) {
        let code = end.code();
        self.cold().end.get_or_insert(end);
        // Fails if the closing handshake has begun already.
        let _ = self.connection.close(code, reason, out, now);
    }

    pub(super) fn take_end(&mut self) -> Option<EndKind> {
        self.cold.as_mut()?.end.take()
    }

    /// Drops the messages that wait for the end of a fragmented one; returns how many.
    pub(super) fn drop_held(&mut self) -> usize {
        let held = self.cold.as_mut().map(|it| mem::take(&mut it.held));
        held.map_or(0, |it| it.len())
    }

    /// Returns until when nothing is read, after it sent too fast.
    #[inline]
    pub(super) fn resume_at(&self) -> Option<Duration> {
        self.cold.as_ref()?.resume_at
    }

    /// Returns whether reading is suspended for now.
    #[inline]
    pub(super) fn is_paused(&self) -> bool {
        let waits = |it: &ColdState| it.resume_at.is_some() || it.throttled;
        self.paused || self.cold.as_deref().is_some_and(waits)
    }

    /// Takes the notices that the handler is still to get.
    #[inline]
    pub(super) fn take_notices(&mut self) -> Vec<Notice> {
        let Some(cold) = &mut self.cold else {
            return Vec::new();
        };
        let notices = mem::take(&mut cold.notices);
        if notices.is_empty() {
            self.free_unused();
        }
        notices
    }

    /// Frees the cold state if nothing in it is used.
    pub(super) fn free_unused(&mut self) {
        let unused = self.cold.as_ref().is_some_and(|it| it.is_unused());
        if unused && !self.limited && !self.ahead {
            self.cold = None;
        }
    }

    #[inline]
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        let cold = self.cold.as_ref();
        cold.is_some_and(|it| it.subscriptions.contains(topic))
    }

    /// Counts a message of `length` bytes that was appended; returns the outcome.
    #[inline]
    pub(super) fn sent(&mut self, queue: &WriteQueue, length: usize, now: Timestamp) -> Sent {
        self.account.sent(1, length, now);
        self.outcome(queue)
    }

    /// Like [`sent`](Self::sent), for a part of a message.
    fn appended(&mut self, queue: &WriteQueue, length: usize, now: Timestamp) -> Sent {
        self.account.sent(0, length, now);
        self.outcome(queue)
    }

    /// Returns the outcome of a send; `on_drain` follows if it has to wait.
    #[inline]
    fn outcome(&mut self, queue: &WriteQueue) -> Sent {
        if queue.is_blocked() {
            self.draining.set(true);
            return Sent::Queued;
        }
        Sent::Sent
    }

    /// Begins the closing handshake; returns whether this call began it. A reason that is too long is
    /// cut; a code that may not be sent is replaced by 1000 without a reason; without a code, nothing
    /// is sent of the reason.
    pub(super) fn close(
        &mut self,
        code: impl Into<Option<CloseCode>>,
        reason: &str,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> bool {
        let (code, reason) = match code.into() {
            Some(code) if code.is_sendable() => (Some(code), cut(reason)),
            Some(_) => (Some(CloseCode::NORMAL), ""),
            None => (None, ""),
        };
        self.connection.close(code, reason, out, now).is_ok()
    }

    /// Ends the connection after a panic of the application.
    #[cold]
    pub(super) fn panicked(&mut self, out: &mut Vec<u8>, now: Duration) {
        self.close_for(EndKind::Panicked, "the server failed", out, now);
    }

    /// Returns whether a message of `length` bytes may wait behind the queue and `corked` bytes: one
    /// of any length where nothing waits but some of what was sent in this turn.
    #[inline]
    fn fits(&self, queue: &WriteQueue, corked: usize, length: usize) -> bool {
        let (waiting, limit) = (queue.len() + corked, self.options.max_backpressure);
        waiting + length <= limit || !queue.is_blocked() && waiting <= limit / 2
    }

    /// Makes room for a message of `length` bytes behind what waits and `corked` bytes; returns false if it is dropped.
    pub(super) fn make_room(
        &mut self,
        queue: &mut WriteQueue,
        corked: usize,
        length: usize,
        metrics: &Metrics,
        now: Duration,
    ) -> bool {
        let limit = self.options.max_backpressure;
        if self.fits(queue, corked, length) {
            return true;
        }
        self.draining.set(self.options.overflow != Overflow::Close);
        match self.options.overflow {
            Overflow::DropNewest => false,
            Overflow::DropOldest => {
                let dropped = queue.shrink_to(limit.saturating_sub(corked + length));
                metrics.dropped.add(dropped as u64);
                self.fits(queue, corked, length)
            }
            Overflow::Close => {
                queue.clear_unwritten();
                let mut close = Vec::new();
                let reason = "too much waits to be sent";
                self.close_for(EndKind::Backpressure, reason, &mut close, now);
                queue.push(close, 0, Keep::Always);
                false
            }
        }
    }

    /// Returns whether the command with this number was carried out for it already.
    pub(super) fn is_ahead_of(&self, number: u64) -> bool {
        let is_ahead = |it: &ColdState| match number & DIRECT {
            0 => number < it.ahead,
            _ => number <= it.ahead_of_direct,
        };
        self.ahead && self.cold.as_deref().is_some_and(is_ahead)
    }

    /// Notes that the commands below this number were carried out for it.
    fn set_ahead(&mut self, number: u64) {
        self.ahead = true;
        let ahead = &mut self.cold().ahead;
        *ahead = number.max(*ahead);
    }

    /// Notes that the direct message with this number was given to it.
    fn set_ahead_of_direct(&mut self, number: u64) {
        self.ahead = true;
        self.cold().ahead_of_direct = number;
    }

    /// Returns the number from which on commands are still to be carried out for it.
    fn ahead(&self) -> u64 {
        match (&self.cold, self.ahead) {
            (Some(cold), true) => cold.ahead,
            _ => 0,
        }
    }

    /// Stops waiting for it until it has taken half of what may wait.
    pub(super) fn lags(&mut self) {
        self.lags = true;
    }

    /// Returns whether it has room again, and for a message of `length` bytes.
    pub(super) fn has_room(&self, queue: &WriteQueue, length: usize) -> bool {
        let limit = self.options.max_backpressure;
        queue.len() <= (limit / 2).min(limit.saturating_sub(length))
    }

    /// Notes that some of what waited was written.
    pub(super) fn wrote(&mut self, queue: &WriteQueue) {
        self.lags &= !self.has_room(queue, 0);
        // The application already knows: it sent more than was taken.
        if queue.is_blocked() && self.connection.is_open() && self.end().is_none() {
            self.draining.set(true);
        }
    }
}

/// Returns as many whole characters as the reason of a Close may have.
fn cut(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON_LENGTH);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    &reason[..end]
}
