//! The bytes on their way in and out.
//!
//! Owns what was read and not consumed, what waits to be written, and for how long the server has
//! taken nothing of that. Nothing here waits but [`Wire::wait`].

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use std::io;

use super::channel::Channel;
use super::stream::is_later;
use super::wait::{Interest, Wakeup};
use crate::net::Clock;
use crate::proto::Input;

/// The bytes of one read: the most that loopback and common networks return at once.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// The bytes of replies that may wait to be written while reading goes on: what is owed to a server
/// for what it sends then waits no longer in memory, but holds the server up. Messages don't count:
/// who sends them waits by itself, and a server that stops taking them until its own are read would
/// wait for ever.
const MAX_BACKLOG: usize = 64 * 1024;

/// The bytes that were read.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// Received and not consumed: `bytes[start..end]`.
    start: usize,
    end: usize,
}

impl Buffer {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; RECEIVE_BUFFER],
            start: 0,
            end: 0,
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Returns the bytes as input, and where to note how many of them were consumed.
    pub(super) fn input(&mut self) -> (Input<'_>, &mut usize) {
        let input = Input::new(&mut self.bytes[self.start..self.end]);
        (input, &mut self.start)
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }
}

/// What a read came to.
pub(super) enum Read {
    /// So many bytes.
    Bytes(usize),
    /// Nothing is there now.
    Nothing,
    Eof,
}

/// The channel and the bytes on their way to it.
pub(super) struct Wire {
    pub(super) channel: Channel,
    pub(super) clock: Clock,
    pub(super) out: Vec<u8>,
    /// How much of `out` is written.
    written: usize,
    /// How much was ever written.
    total: u64,
    /// How much of what waits are replies, at most.
    replies: usize,
    /// Since when the operating system has taken nothing of it.
    stalled: Option<Duration>,
    send_timeout: Duration,
    /// Whether nothing can be written any more. What is to be written then is dropped.
    broken: bool,
    /// Whether the last read has emptied the socket.
    drained: bool,
}

impl Wire {
    pub(super) fn new(
        channel: Channel,
        clock: Clock,
        out: Vec<u8>,
        send_timeout: Duration,
    ) -> Self {
        Self {
            channel,
            clock,
            out,
            written: 0,
            total: 0,
            replies: 0,
            stalled: None,
            send_timeout,
            broken: false,
            drained: false,
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Gives up writing.
    pub(super) fn broke(&mut self) {
        self.broken = true;
        self.out = Vec::new();
        self.written = 0;
        self.stalled = None;
    }

    /// Whether there is something to write: what the channel holds, and once its own handshake is
    /// over, `out`.
    pub(super) fn has_output(&self) -> bool {
        let waits = self.written < self.out.len() && !self.channel.is_handshaking();
        !self.broken && (waits || self.channel.held() > 0)
    }

    /// Notes that so many bytes of replies were appended to `out`.
    pub(super) fn replied(&mut self, count: usize) {
        self.replies += count;
    }

    /// Whether so many replies wait to be written that nothing should be read.
    pub(super) fn is_backlogged(&self) -> bool {
        self.replies.min(self.out.len() - self.written) > MAX_BACKLOG
    }

    /// Where in all that is ever written the bytes that wait now end.
    pub(super) fn end_of_output(&self) -> u64 {
        self.total + (self.out.len() - self.written) as u64
    }

    /// Whether all before `end` is with the operating system.
    pub(super) fn has_written(&self, end: u64) -> bool {
        self.total > end || self.total == end && self.channel.held() == 0
    }

    /// Writes what the operating system takes now; returns whether that is all that can be written.
    ///
    /// # Errors
    /// Those of the transport; [`TimedOut`](io::ErrorKind::TimedOut) when nothing was taken for
    /// `send_timeout`.
    pub(super) fn write(&mut self) -> io::Result<bool> {
        if self.broken {
            self.out.clear();
            return Ok(true);
        }
        while self.has_output() {
            let written = match self.channel.held() {
                0 => match self.channel.write(&self.out[self.written..]) {
                    Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                    result => result,
                },
                _ => self.channel.flush().map(|()| 0),
            };
            match written {
                Ok(count) => {
                    self.written += count;
                    self.total += count as u64;
                    self.stalled = None;
                    self.drop_written();
                    self.replies = self.replies.min(self.out.len() - self.written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_later(&error) => {
                    let now = self.clock.now();
                    let stalled = *self.stalled.get_or_insert(now);
                    if now >= stalled.saturating_add(self.send_timeout) {
                        let text = "the server took nothing of what was sent within send_timeout";
                        return Err(io::Error::new(io::ErrorKind::TimedOut, text));
                    }
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Forgets what is written, once it is at least half: so each byte is moved once at most.
    fn drop_written(&mut self) {
        if self.written >= self.out.len() / 2 {
            self.out.drain(..self.written);
            self.written = 0;
        }
    }

    /// When [`write`](Self::write) gives up.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        Some(self.stalled?.saturating_add(self.send_timeout))
    }

    /// Whether there is nothing more to read without waiting first.
    pub(super) fn is_drained(&self) -> bool {
        self.drained
    }

    /// Reads once more before it is waited, whatever was known of the socket.
    pub(super) fn look_again(&mut self) {
        self.drained = false;
    }

    /// Reads what is there now. The buffer's bytes are consumed.
    pub(super) fn read(&mut self, buffer: &mut Buffer) -> io::Result<Read> {
        debug_assert!(buffer.as_slice().is_empty());
        loop {
            match self.channel.read(&mut buffer.bytes) {
                Ok(0) => return Ok(Read::Eof),
                Ok(count) => {
                    (buffer.start, buffer.end) = (0, count);
                    self.drained = self.channel.is_drained(count, buffer.bytes.len());
                    return Ok(Read::Bytes(count));
                }
                // A signal, or over TLS bytes that were no message's.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_later(&error) => {
                    self.drained = true;
                    return Ok(Read::Nothing);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What is to be waited for; `read` is whether bytes are wanted.
    pub(super) fn interest(&self, read: bool) -> Interest {
        Interest {
            read,
            write: self.has_output(),
        }
    }

    /// Waits for the socket or the wakeup until `deadline`.
    pub(super) fn wait(
        &mut self,
        read: bool,
        wakeup: Option<&Wakeup>,
        deadline: Option<Duration>,
    ) -> io::Result<()> {
        let now = self.clock.now();
        let timeout = deadline.map(|it| it.saturating_sub(now));
        let interest = self.interest(read);
        let ready = self.channel.stream().wait(interest, wakeup, timeout)?;
        self.drained = !ready;
        Ok(())
    }
}
