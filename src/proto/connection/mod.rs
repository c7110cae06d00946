//! A connection after the opening handshake: the state that both directions share.
//!
//! [`recv`](Connection::recv) is in `recv.rs`, sending in `send.rs`. This file has the states, the
//! deadlines and the end. Bytes, sockets and waiting are left to the caller.

mod outgoing;
mod recv;
mod scratch;
mod send;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::assembler::Assembler;
use super::close::{CloseCode, CloseFrame, Closed};
use super::config::{Config, Delivery};
use super::decoder::FrameDecoder;
use super::extension::PerMessage;
use super::fault::Fault;
use super::frame::{Opcode, Role, Rsv};
use super::limit_error::LimitError;
use super::message::MessageKind;
use super::negotiated::Negotiated;
use super::random::RandomSource;
use super::teardown::{Linger, Teardown};
use super::timer::{Progress, Timer, Timers};
use super::timestamp::Timestamp;
use crate::proto::sync::Arc;

pub use outgoing::OutgoingPayload;
pub use scratch::{Scratch, Space};
pub use send::Frame;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// A streamed piece was handed over, and the fault behind it is reported next.
    Failing,
    /// This endpoint's Close is sent, the peer's has not arrived.
    Closing,
    /// Closed or failed.
    Over(Teardown),
}

/// A WebSocket connection of either role, with no socket, clock or thread (RFC 6455).
///
/// Four kinds of method:
/// - inputs: [`recv`](Self::recv), [`handle_eof`](Self::handle_eof),
///   [`handle_timeout`](Self::handle_timeout), [`pause`](Self::pause),
///   [`space`](Self::space);
/// - commands: `send*`, [`close`](Self::close);
/// - outputs: bytes are appended to the `out` that inputs and commands are given;
///   [`poll_timeout`](Self::poll_timeout) says when to call `handle_timeout`, and
///   [`teardown`](Self::teardown) what to do with the transport;
/// - getters: the rest.
///
/// After each input or command, in this order: write `out`, look at `teardown`, set the timer to
/// `poll_timeout`.
///
/// # Who bounds `out`
///
/// The caller does. The core appends, and never waits. A command appends what it sends. `recv`
/// returns after each ping that it has answered, so one call appends at most a pong or a Close, 131
/// bytes; only after this endpoint's own Close it continues, and then appends at most three bytes
/// for each input byte. So check `out` between two calls, and if too much waits to be written,
/// stop: keep what the [`Input`](super::Input) has not consumed, stop reading, and call
/// [`pause`](Self::pause). A peer that sends pings and takes no pongs is then held up by its own
/// transport.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// use sockeye::proto::{Config, Connection, Input};
///
/// const MOST: usize = 64 * 1024; // bytes that may wait to be written
///
/// # let now = Duration::ZERO;
/// # let random = |key: &mut [u8]| key.fill(1);
/// # let mut peer = Connection::client(Arc::new(Config::default()), Box::new(random), now);
/// # let mut received = Vec::new();
/// # for _ in 0..10_000 { peer.send_ping(b"forever", &mut received)?; }
/// let mut connection = Connection::server(Arc::new(Config::default()), now);
/// let (mut out, mut consumed) = (Vec::new(), 0);
/// while consumed < received.len() {
///     let mut input = Input::new(&mut received[consumed..]);
///     while out.len() <= MOST && connection.recv(&mut input, &mut out, now)?.is_some() {}
///     consumed += input.consumed();
///     if out.len() > MOST {
///         connection.pause(true, now);
///         // Wait until the transport takes some of it.
///         out.clear();
///         connection.pause(false, now);
///     }
/// }
/// assert!(out.capacity() < 3 * MOST);
/// # Ok::<(), sockeye::Error>(())
/// ```
///
/// `now` is always the time since one fixed origin of the caller's choice, a [`Duration`] or a
/// [`Timestamp`].
pub struct Connection {
    config: Arc<Config>,
    /// Partial input; None while nothing has begun to arrive, so that an idle connection is small.
    receiving: Option<Box<Receiving>>,
    /// State that a server's connection usually doesn't need.
    cold: Option<Box<ColdState>>,
    timers: Timers,
    state: State,
    role: Role,
    /// The reserved bits that mark the extension's messages.
    rsv: Rsv,
    /// `take_message` takes a message that comes in one frame of fewer bytes.
    whole_below: u32,
    /// A message of fewer bytes may be sent now as a single unmasked frame.
    plain_below: u32,
    /// The kind of the fragmented message being sent.
    sending: Option<MessageKind>,
    /// Whether the caller has paused reading.
    paused: bool,
}

/// A header, a frame or a message that is incomplete, or a buffer for the next one.
struct Receiving {
    decoder: FrameDecoder,
    assembler: Assembler,
    /// What has arrived of a control frame's payload that did not arrive whole.
    control: Vec<u8>,
    /// Bytes in the assembler's space that `recv` has not seen.
    filled: usize,
    /// A frame or fragmented message was incomplete when the input was last consumed.
    incomplete: Option<Progress>,
}

impl Receiving {
    fn new(role: Role, rsv: Rsv) -> Self {
        Self {
            decoder: FrameDecoder::with_rsv(role, rsv),
            assembler: Assembler::new(),
            control: Vec::new(),
            filled: 0,
            incomplete: None,
        }
    }

    /// Whether it holds nothing that the next input needs.
    fn is_idle(&self) -> bool {
        self.decoder.is_between_messages() && self.assembler.is_empty()
    }

    /// Notes that a piece of a frame arrived, with so many bytes of data, and whether it `ended`
    /// what was incomplete. What arrives whole needs no such note.
    #[inline]
    fn progress(&mut self, bytes: usize, ended: bool, config: &Config, now: Timestamp) {
        match &mut self.incomplete {
            None => {}
            Some(_) if ended => self.incomplete = None,
            Some(progress) => progress.add(bytes, config, now),
        }
    }
}

#[derive(Default)]
struct ColdState {
    extension: Option<PerMessage>,
    subprotocol: Option<Box<str>>,
    /// The source of masking keys; a client has one.
    random: Option<Box<dyn RandomSource>>,
    /// Set once the connection ends.
    ending: Option<Box<Ending>>,
}

/// What is known about the end.
#[derive(Default)]
struct Ending {
    /// Why the connection was failed; it sticks.
    fault: Option<Fault>,
    /// What this endpoint closed with; not set for a fault, which has its own code and reason.
    sent: Option<CloseFrame>,
}

impl Connection {
    /// The server's end of a connection whose opening handshake was done elsewhere, and agreed on
    /// no subprotocol and no extension. [`ServerHandshake`](super::ServerHandshake) does it here.
    #[must_use]
    pub fn server(config: Arc<Config>, now: impl Into<Timestamp>) -> Self {
        Self::server_with(config, Negotiated::default(), now)
    }

    /// Like [`server`](Self::server), with what the opening handshake agreed on.
    #[must_use]
    pub fn server_with(
        config: Arc<Config>,
        negotiated: Negotiated,
        now: impl Into<Timestamp>,
    ) -> Self {
        Self::new(config, None, negotiated, now)
    }

    /// The client's end of a connection whose opening handshake was done elsewhere, and agreed on
    /// no subprotocol and no extension. [`ClientHandshake`](super::ClientHandshake) does it here.
    #[must_use]
    pub fn client(
        config: Arc<Config>,
        random: Box<dyn RandomSource>,
        now: impl Into<Timestamp>,
    ) -> Self {
        Self::client_with(config, random, Negotiated::default(), now)
    }

    /// Like [`client`](Self::client), with what the opening handshake agreed on.
    #[must_use]
    pub fn client_with(
        config: Arc<Config>,
        random: Box<dyn RandomSource>,
        negotiated: Negotiated,
        now: impl Into<Timestamp>,
    ) -> Self {
        Self::new(config, Some(random), negotiated, now)
    }

    pub(super) fn new(
        config: Arc<Config>,
        random: Option<Box<dyn RandomSource>>,
        negotiated: Negotiated,
        now: impl Into<Timestamp>,
    ) -> Self {
        let Negotiated {
            subprotocol,
            extension,
        } = negotiated;
        let role = match random {
            Some(_) => Role::Client,
            None => Role::Server,
        };
        let rsv = extension.as_ref().map_or(Rsv::NONE, |it| it.rsv);
        let usual = role == Role::Server && extension.is_none() && subprotocol.is_none();
        let cold = ColdState {
            extension,
            subprotocol,
            random,
            ending: None,
        };
        let mut connection = Self {
            config,
            receiving: None,
            cold: (!usual).then(|| Box::new(cold)),
            timers: Timers::new(now.into()),
            state: State::Open,
            role,
            rsv,
            whole_below: 0,
            plain_below: 0,
            sending: None,
            paused: false,
        };
        connection.find_fast_paths();
        connection
    }

    /// Which end of the connection this is.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// The subprotocol that both endpoints agreed on (RFC 6455 section 1.9).
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.cold.as_ref()?.subprotocol.as_deref()
    }

    /// The round trip of the last keep-alive ping that was answered. It relies on the peer: one
    /// that answers late seems far away, and one that guesses the payload of a ping under way can
    /// answer early.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.timers.round_trip()
    }

    /// When bytes of a data frame last arrived; if none has, or none since a [pause](Self::pause),
    /// when the connection was created or the pause ended.
    #[must_use]
    pub fn last_data(&self) -> Timestamp {
        self.timers.data_received()
    }

    /// Whether messages may be sent: neither endpoint has begun the closing handshake and nothing
    /// failed.
    #[must_use]
    #[inline]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open | State::Failing)
    }

    /// Whether nothing has begun to arrive: no frame and no message is incomplete. If all input is
    /// consumed, too, [`recv`](Self::recv) would return None.
    #[must_use]
    #[inline]
    pub fn is_between_messages(&self) -> bool {
        self.receiving.is_none()
    }

    /// Whether the connection is open, not paused, [between two
    /// messages](Self::is_between_messages), and awaits no pong. If it is so before and after
    /// messages arrive and are sent, these only postpone the deadline of
    /// [`poll_timeout`](Self::poll_timeout): a timer that is set for it needs no update, and
    /// calling `handle_timeout` early does nothing.
    #[must_use]
    #[inline]
    pub fn is_settled(&self) -> bool {
        self.state == State::Open
            && self.is_between_messages()
            && !self.paused
            && !self.timers.awaits_pong()
    }

    /// What to do with the transport; None while the connection needs it.
    #[must_use]
    pub fn teardown(&self) -> Option<Teardown> {
        match self.state {
            State::Over(teardown) => Some(teardown),
            State::Open | State::Failing | State::Closing => None,
        }
    }

    /// Follows the transport to its end, by value; None while the connection needs it.
    #[must_use]
    pub fn linger(&self) -> Option<Linger> {
        let teardown = self.teardown()?;
        let deadline = self.poll_timeout().unwrap_or_default();
        let patience = self.config.close_timeout;
        Some(Linger::until(teardown, deadline, patience))
    }

    /// Why the connection was failed, if it was.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.ending()?.fault
    }

    /// The code and reason of this endpoint's own Close, once it was sent: those that it
    /// [closed](Self::close) with, or those that reported a fault to the peer; the code is 1005 if
    /// it had none. It does not say whether the peer got it. A Close that replies to the peer's is
    /// in [`Closed::sent`] only.
    #[must_use]
    pub fn sent_close(&self) -> Option<(CloseCode, &str)> {
        let Ending { fault, sent } = self.ending()?;
        match sent {
            Some(sent) => Some((sent.code, &sent.reason)),
            None => fault.map(|it| (it.close_code(), it.close_reason())),
        }
    }

    /// The same, as an owned value.
    fn own_close(&self) -> Option<CloseFrame> {
        let (code, reason) = self.sent_close()?;
        Some(CloseFrame::new(Some(code), reason))
    }

    fn ending(&self) -> Option<&Ending> {
        self.cold.as_ref()?.ending.as_deref()
    }

    fn ending_mut(&mut self) -> &mut Ending {
        let cold = self.cold.get_or_insert_default();
        cold.ending.get_or_insert_default()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), if nothing happens before. Call this
    /// again after each input or command.
    ///
    /// The deadlines judge the peer by what arrived, so read what is there before `handle_timeout`,
    /// and when reading stops for reasons of your own, call [`pause`](Self::pause).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.state {
            State::Over(Teardown::Drop) => None,
            _ => {
                let (deadline, _) = self.next_timer();
                let deadline = Duration::from(deadline);
                (deadline < Duration::MAX).then_some(deadline)
            }
        }
    }

    /// Sets whether the caller has stopped reading (`paused`).
    ///
    /// Call it whenever bytes may wait in the transport that are not given to [`recv`](Self::recv):
    /// while too much output waits, while the application is busy, while a budget is used up for
    /// longer than a moment. A peer that isn't read from can't be distinguished from one that is
    /// silent or too slow, and would be pinged, given up, or failed for a message that is half
    /// read. While paused no ping is sent, and only the deadline of the closing handshake runs;
    /// afterwards the peer's time restarts. Repeating the same value is allowed, so a loop can call
    /// it in each turn.
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use sockeye::proto::{Config, Connection, Input};
    ///
    /// let seconds = Duration::from_secs;
    /// let mut connection = Connection::server(Arc::new(Config::default()), seconds(0));
    /// let mut out = vec![0; 1 << 20]; // a megabyte waits for a slow socket
    ///
    /// connection.pause(out.len() > 64 * 1024, seconds(1));
    /// assert_eq!(connection.poll_timeout(), None);
    ///
    /// // Five minutes later all of it is written. Nobody is to blame.
    /// out.clear();
    /// connection.pause(false, seconds(300));
    /// assert_eq!(connection.poll_timeout(), Some(seconds(330)), "the next ping");
    /// # let _ = connection.recv(&mut Input::new(&mut []), &mut out, seconds(300))?;
    /// # Ok::<(), sockeye::Error>(())
    /// ```
    pub fn pause(&mut self, paused: bool, now: impl Into<Timestamp>) {
        if self.paused && !paused {
            let now = now.into();
            self.timers.resume(now);
            if let Some(receiving) = &mut self.receiving {
                receiving.incomplete = receiving.incomplete.take().map(|_| now.into());
            }
        }
        self.paused = paused;
    }

    fn next_timer(&self) -> (Timestamp, Timer) {
        let incomplete = self
            .receiving
            .as_ref()
            .and_then(|it| it.incomplete.as_ref());
        match self.is_open() {
            false => self.timers.closing(&self.config),
            true if self.paused => (Timestamp::NEVER, Timer::Idle),
            true => self.timers.next(incomplete, &self.config),
        }
    }

    /// Acts on the earliest deadline if it has passed: sends a keep-alive ping, or gives up.
    /// Calling it early does nothing. A caller that slept past several deadlines calls
    /// `poll_timeout` and this again, so a peer is always pinged before it is given up.
    ///
    /// # Errors
    /// [`LimitError::Idle`], [`LimitError::Pong`] and [`LimitError::ReceiveRate`] fail the
    /// connection as a fault of [`recv`](Self::recv) does; [`LimitError::Close`] when the peer left
    /// a Close unanswered.
    pub fn handle_timeout(
        &mut self,
        now: impl Into<Timestamp>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let now = now.into();
        let (deadline, timer) = self.next_timer();
        if now < deadline {
            return Ok(());
        }
        let error = match (self.state, timer) {
            // The end of the stream is late: not waiting for it loses nothing.
            (State::Over(_), _) => {
                self.state = State::Over(Teardown::Drop);
                return Ok(());
            }
            (_, Timer::Ping) => {
                if let Some(extension) = self.extension() {
                    extension.encoder.idle();
                }
                let payload = self.timers.ping_sent(now);
                self.write_frame(true, Rsv::NONE, Opcode::Ping, &payload, out);
                return Ok(());
            }
            (_, Timer::Pong) => LimitError::Pong {
                timeout: self.config.pong_timeout,
            },
            (_, Timer::Idle) => LimitError::Idle {
                timeout: self.config.idle_timeout.unwrap_or_default(),
            },
            (_, Timer::Rate(rate)) => LimitError::ReceiveRate {
                bytes: rate.bytes,
                period: rate.period,
            },
            (_, Timer::Close) => LimitError::Close {
                timeout: self.config.close_timeout,
            },
        };
        Err(self.fail(error.into(), out, now))
    }

    /// The transport has ended: the peer closed it, or it broke. Returns how the connection
    /// ended if that was not reported yet; the code is then 1006 (RFC 6455 section 7.1.5), and
    /// [`truncated`](Closed::truncated) says whether it ended inside a frame or message.
    pub fn handle_eof(&mut self) -> Option<Closed> {
        let closed = match self.state {
            State::Open | State::Failing | State::Closing => {
                let truncated =
                    (self.receiving.as_ref()).is_some_and(|it| !it.decoder.is_between_messages());
                Some(Closed::abnormal(self.own_close(), truncated))
            }
            State::Over(..) => None,
        };
        self.over(Teardown::Drop);
        closed
    }

    fn extension(&mut self) -> Option<&mut PerMessage> {
        self.cold.as_mut()?.extension.as_mut()
    }

    /// Drops the extension.
    fn drop_extension(&mut self) {
        if let Some(cold) = &mut self.cold {
            cold.extension = None;
            if cold.subprotocol.is_none() && cold.random.is_none() && cold.ending.is_none() {
                self.cold = None;
            }
        }
    }

    /// Fails the connection (RFC 6455 section 7.1.7): the one place that queues the Close frame
    /// of a fault. After this endpoint's own Close, no second one is sent and the transport is
    /// dropped.
    #[cold]
    fn fail(&mut self, fault: Fault, out: &mut Vec<u8>, now: Timestamp) -> Fault {
        let teardown = if self.is_open() {
            let code = fault.close_code();
            self.write_close(Some(code), fault.close_reason(), out, now);
            Teardown::HalfClose
        } else {
            Teardown::Drop
        };
        self.over(teardown);
        self.ending_mut().fault = Some(fault);
        fault
    }

    /// Nothing will be delivered any more: frees what only delivery needs.
    fn over(&mut self, teardown: Teardown) {
        self.state = State::Over(teardown);
        self.receiving = None;
        self.drop_extension();
        self.find_fast_paths();
    }

    /// Determines which fast paths can be taken; called whenever that may change.
    fn find_fast_paths(&mut self) {
        let config = &*self.config;
        // Messages whose length takes at most 16 bits of the header.
        let below = |is_there: bool, limit: u64| match is_there {
            true => limit.min(u16::MAX.into()) as u32 + 1,
            false => 0,
        };
        // The limits that the assembler would check of a whole message, combined.
        let limit = config.max_frame_size.unwrap_or(u64::MAX);
        let limit = limit.min(config.max_message_size as u64);
        let whole = config.delivery == Delivery::Whole && config.max_fragments > 0;
        self.whole_below = below(whole && self.state == State::Open, limit);

        let fragment = config.fragment_size.map_or(u64::MAX, |it| it.get() as u64);
        let extension = self.cold.as_ref().is_some_and(|it| it.extension.is_some());
        let starts = self.is_open() && self.sending.is_none();
        let plain = self.role == Role::Server && starts && !extension;
        self.plain_below = below(plain, fragment);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role())
            .field("state", &self.state)
            .field("subprotocol", &self.subprotocol())
            .finish_non_exhaustive()
    }
}
