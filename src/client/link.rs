//! A connection over its wire, without waiting.
//!
//! Owns the order in which a client reads, writes and looks at the time, and how it ends. Each call
//! does what can be done now; what to wait for then is [`Link::deadline`] and [`Link::wait`].
//!
//! ```text
//! turn ─► input ─► Connection ─► a message, an event, the end
//!           ▲          │
//!         read       write       while the end is told, its transport still lingers: settle
//! ```

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io;

use super::wait::Wakeup;
use super::wire::{Buffer, Read, Wire};
use crate::error::{Error, Misuse};
use crate::proto::{
    CloseCode, CloseFrame, Closed, Connection, Event, Fault, Linger, LingerStep, Message,
};

/// The bytes of one turn: as many as common socket buffers hold, so that all that had come when it
/// began is found by it, and a server that goes on sending can't make it endless.
const TURN: usize = 4 * 1024 * 1024;

/// How long dropping a client waits for the end of its transport: far longer than a server that is
/// there takes for it.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a turn came to.
pub(super) enum Turn {
    /// A message, which lies in the buffer: [`Link::take`] returns it.
    Buffered,
    /// A message that came in parts.
    Message(Message<'static>),
    /// A ping, which is answered.
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The connection is over.
    Over,
    /// Nothing more can be done now.
    Wait,
}

pub(super) struct Link {
    pub(super) wire: Wire,
    buffer: Buffer,
    pub(super) connection: Connection,
    /// How it ended, once it has.
    closed: Option<Closed>,
    /// The error that ended it, until a call returns it.
    untold: Option<io::Error>,
    /// What is left of the transport.
    linger: Option<Linger>,
    /// The headers of the server's response.
    headers: Box<[(String, Vec<u8>)]>,
    waking: Option<Arc<Waking>>,
}

/// What other threads ask of a connection.
pub(super) struct Waking {
    pub(super) wakeup: Wakeup,
    /// Whether it is to be closed.
    pub(super) close: AtomicBool,
}

impl Link {
    pub(super) fn new(
        wire: Wire,
        buffer: Buffer,
        connection: Connection,
        headers: Box<[(String, Vec<u8>)]>,
    ) -> Self {
        Self {
            wire,
            buffer,
            connection,
            closed: None,
            untold: None,
            linger: None,
            headers,
            waking: None,
        }
    }

    /// Returns what wakes it, from now on.
    ///
    /// # Errors
    /// The operating system's error.
    pub(super) fn waking(&mut self) -> io::Result<Arc<Waking>> {
        if let Some(waking) = &self.waking {
            return Ok(Arc::clone(waking));
        }
        let waking = Arc::new(Waking {
            wakeup: Wakeup::new()?,
            close: AtomicBool::new(false),
        });
        Ok(Arc::clone(self.waking.insert(waking)))
    }

    pub(super) fn headers(&self) -> &[(String, Vec<u8>)] {
        &self.headers
    }

    pub(super) fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    pub(super) fn is_open(&self) -> bool {
        self.connection.is_open() && !self.wire.is_broken()
    }

    /// Begins a call that receives: deadlines that have passed since the last one are judged by what
    /// has come meanwhile.
    pub(super) fn begin(&mut self) {
        let now = self.wire.clock.now();
        if self.connection.poll_timeout().is_some_and(|it| now >= it) {
            self.wire.look_again();
        }
    }

    /// Receives until there is something to return, or nothing more can be done now. `control` is
    /// whether pings and pongs are wanted.
    ///
    /// # Errors
    /// What ended the connection. A fault is returned again by each later call.
    pub(super) fn turn(&mut self, control: bool) -> Result<Turn, Error> {
        if self.closed.is_some() {
            return self.over();
        }
        let closing = |it: &Arc<Waking>| it.close.swap(false, Ordering::Relaxed);
        if self.waking.as_ref().is_some_and(closing) {
            // If it is closing already, that is what was asked for.
            let _ = self.queue(|it, out, now| it.close(CloseCode::GOING_AWAY, "", out, now));
        }
        let mut count = 0;
        loop {
            let now = self.wire.clock.now();
            self.write();
            let backlogged = self.wire.is_backlogged();
            self.connection.pause(backlogged, now);
            if backlogged {
                // What is in the buffer stays there until the server takes what it is owed.
                return match self.handle_timeout(now)? {
                    true => continue,
                    false => Ok(Turn::Wait),
                };
            }
            if self.connection.is_message_next(self.buffer.as_slice()) {
                return Ok(Turn::Buffered);
            }
            let (mut input, start) = self.buffer.input();
            let before = self.wire.out.len();
            let event = self.connection.recv(&mut input, &mut self.wire.out, now);
            *start += input.consumed();
            self.wire.replied(self.wire.out.len() - before);
            let turn = match event {
                Ok(Some(Event::Message(message))) => Some(Turn::Message(message.into_owned())),
                Ok(Some(Event::Ping(payload))) if control => Some(Turn::Ping(payload.to_vec())),
                Ok(Some(Event::Pong(payload))) if control => Some(Turn::Pong(payload.to_vec())),
                Ok(Some(Event::Closed(closed))) => {
                    self.closed_by(closed);
                    Some(Turn::Over)
                }
                Ok(Some(_)) => None,
                Ok(None) => {
                    if self.read(now, &mut count)? {
                        continue;
                    }
                    return match self.closed {
                        Some(_) => self.over(),
                        None => Ok(Turn::Wait),
                    };
                }
                Err(fault) => return Err(self.fail(fault)),
            };
            if let Some(turn) = turn {
                self.write();
                return Ok(turn);
            }
        }
    }

    /// Returns the message that [`Turn::Buffered`] announced, which may turn out to be text that is
    /// none.
    pub(super) fn take(&mut self) -> Result<Option<Message<'_>>, Error> {
        let now = self.wire.clock.now();
        let (mut input, start) = self.buffer.input();
        let event = self.connection.recv(&mut input, &mut self.wire.out, now);
        *start += input.consumed();
        match event {
            Ok(Some(Event::Message(message))) => Ok(Some(message)),
            Ok(_) => Ok(None),
            Err(fault) => {
                self.untold = None;
                self.closed = Some(failed(&self.connection));
                self.linger = linger(&self.connection, &self.wire);
                // The compiler considers this one's borrowed by what is returned.
                settle(&mut self.linger, &mut self.wire, &mut Buffer::new());
                Err(fault.into())
            }
        }
    }

    /// Reads; returns whether that is worth another look at the input. Once nothing more is there,
    /// looks at the time.
    fn read(&mut self, now: Duration, count: &mut usize) -> Result<bool, Error> {
        if !self.wire.is_drained() && *count < TURN {
            match self.wire.read(&mut self.buffer) {
                Ok(Read::Bytes(more)) => {
                    *count += more;
                    return Ok(true);
                }
                Ok(Read::Nothing) => {}
                Ok(Read::Eof) => {
                    self.end(None);
                    return Ok(false);
                }
                Err(error) => {
                    self.end(Some(error));
                    return Ok(false);
                }
            }
        }
        if self.wire.is_broken() {
            // What had come is delivered.
            self.end(None);
            return Ok(false);
        }
        self.handle_timeout(now)
    }

    /// Acts on a deadline that has passed; returns whether one had.
    fn handle_timeout(&mut self, now: Duration) -> Result<bool, Error> {
        if self.connection.poll_timeout().is_none_or(|it| now < it) {
            return Ok(false);
        }
        let result = self.connection.handle_timeout(now, &mut self.wire.out);
        result.map_err(|fault| self.fail(fault))?;
        Ok(true)
    }

    /// Writes what can be written now. If that fails, what the server has said is received still,
    /// and then the error ends the connection.
    fn write(&mut self) {
        if let Err(error) = self.wire.write() {
            self.wire.broke();
            self.untold = Some(error);
        }
    }

    /// Queues a message or a Close.
    pub(super) fn queue(
        &mut self,
        queue: impl FnOnce(&mut Connection, &mut Vec<u8>, Duration) -> Result<(), Misuse>,
    ) -> Result<(), Error> {
        if self.wire.is_broken() {
            return Err(Misuse::Closed.into());
        }
        let now = self.wire.clock.now();
        Ok(queue(&mut self.connection, &mut self.wire.out, now)?)
    }

    /// Writes what was queued, as far as it can be written now; returns whether that is all.
    ///
    /// # Errors
    /// That of the transport. What the server has said before is received still.
    pub(super) fn flush(&mut self) -> Result<bool, Error> {
        let error = match self.wire.write() {
            Ok(written) => return Ok(written),
            Err(error) => error,
        };
        // A frame may be cut: nothing can be sent behind it.
        self.wire.broke();
        self.wire.look_again();
        if self.buffer.as_slice().is_empty()
            && !matches!(self.wire.read(&mut self.buffer), Ok(Read::Bytes(_)))
        {
            self.end(None);
        }
        Err(error.into())
    }

    /// Both sides have closed, as far as this one could.
    fn closed_by(&mut self, mut closed: Closed) {
        self.untold = None;
        if self.wire.is_broken() {
            closed.clean = false;
            if !closed.local {
                closed.sent = None;
            }
        }
        self.closed = Some(closed);
        self.linger = linger(&self.connection, &self.wire);
        self.settle();
    }

    /// The server broke a rule or a limit.
    fn fail(&mut self, fault: Fault) -> Error {
        self.untold = None;
        self.closed = Some(failed(&self.connection));
        self.linger = linger(&self.connection, &self.wire);
        self.settle();
        fault.into()
    }

    /// The transport has ended, or `error` broke it.
    fn end(&mut self, error: Option<io::Error>) {
        let Some(closed) = self.connection.handle_eof() else {
            return;
        };
        let told = self.wire.is_broken();
        // After this side's Close nothing is owed any more but its answer, which some servers leave
        // out.
        let quiet = error.is_none() && closed.local && !closed.truncated;
        if !told && !quiet {
            self.untold = Some(error.unwrap_or_else(|| no_close(closed.truncated)));
        }
        self.closed = Some(closed);
        let _ = self.wire.channel.shutdown_write();
        self.wire.broke();
    }

    /// What there is to return once the connection is over.
    fn over(&mut self) -> Result<Turn, Error> {
        if let Some(fault) = self.connection.fault() {
            return Err(fault.into());
        }
        match self.untold.take() {
            Some(error) => Err(error.into()),
            None => Ok(Turn::Over),
        }
    }

    /// Whether the connection is over and something is left of its transport.
    pub(super) fn lingers(&self) -> bool {
        self.linger.is_some()
    }

    /// Follows the transport towards its end, as far as that can be done now.
    pub(super) fn settle(&mut self) {
        settle(&mut self.linger, &mut self.wire, &mut self.buffer);
    }

    /// When something is to be done although nothing came.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let next = match &self.linger {
            Some(linger) => Some(linger.poll_timeout()),
            None => self.connection.poll_timeout(),
        };
        let stuck = self.wire.poll_timeout().filter(|_| self.wire.has_output());
        earlier(next, stuck)
    }

    /// Whether bytes are wanted: not while too much is owed for those that came.
    pub(super) fn wants_to_read(&self) -> bool {
        !self.wire.is_backlogged() || self.linger.is_some()
    }

    /// Waits until there may be something to do, or `until`.
    ///
    /// # Errors
    /// The operating system's error.
    pub(super) fn wait(&mut self, until: Option<Duration>) -> io::Result<()> {
        let read = self.wants_to_read();
        let deadline = earlier(self.poll_timeout(), until);
        let wakeup = self.waking.as_deref().map(|it| &it.wakeup);
        self.wire.wait(read, wakeup, deadline)
    }

    /// Follows the transport of a connection that is over to its end.
    ///
    /// # Errors
    /// The operating system's error.
    pub(super) fn follow(&mut self, until: Option<Duration>) -> io::Result<()> {
        loop {
            self.settle();
            let now = self.wire.clock.now();
            if !self.lingers() || until.is_some_and(|until| now >= until) {
                return Ok(());
            }
            self.wait(until)?;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.lingers() {
            let until = self.wire.clock.now().saturating_add(FAREWELL);
            let _ = self.follow(Some(until));
        }
    }
}

/// What is left of the transport of a connection that is over.
fn linger(connection: &Connection, wire: &Wire) -> Option<Linger> {
    connection.linger().filter(|_| !wire.is_broken())
}

/// Follows a transport towards its end, as far as that can be done now. What is in the buffer is
/// dropped.
fn settle(left: &mut Option<Linger>, wire: &mut Wire, buffer: &mut Buffer) {
    while let Some(linger) = left {
        linger.handle_timeout(wire.clock.now());
        let step = match linger.step(!wire.has_output()) {
            LingerStep::Write => match wire.write() {
                Ok(false) => return,
                result => result.map(drop),
            },
            LingerStep::ShutDown => wire.channel.shutdown_write(),
            LingerStep::Read => {
                buffer.clear();
                match wire.read(buffer) {
                    Ok(Read::Bytes(count)) => {
                        linger.discard(count);
                        Ok(())
                    }
                    Ok(Read::Nothing) => return,
                    Ok(Read::Eof) => {
                        linger.handle_eof();
                        Ok(())
                    }
                    Err(error) => Err(error),
                }
            }
            LingerStep::Drop => {
                if !linger.is_shut_down() {
                    let _ = wire.channel.shutdown_write();
                }
                wire.broke();
                *left = None;
                return;
            }
        };
        if step.is_err() {
            wire.broke();
            *left = None;
        }
    }
}

/// The end of a connection that was failed.
fn failed(connection: &Connection) -> Closed {
    let sent = connection.sent_close().map(|(code, reason)| CloseFrame {
        code,
        reason: reason.into(),
    });
    Closed {
        code: CloseCode::ABNORMAL,
        reason: Box::default(),
        clean: false,
        local: sent.is_some(),
        sent,
        truncated: false,
    }
}

/// The error for a stream that ended without a Close.
fn no_close(truncated: bool) -> io::Error {
    let text = match truncated {
        true => "the server ended the stream inside a message (RFC 6455 section 7.1.5)",
        false => "the server ended the stream without a Close (RFC 6455 section 7.1.5)",
    };
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

pub(super) fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}
