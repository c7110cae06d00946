//! The socket of a client, and the bytes on their way in and out.

use alloc::vec;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;
use std::io;

use super::stream::Stream;
use crate::net::Clock;
use crate::proto::{Input, Linger, LingerStep};

/// The bytes of one read: the most that loopback and common networks return at once.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// How long the operating system gets to take or return what it can at once, if a deadline has
/// passed already.
pub(super) const LOOK: Duration = Duration::from_millis(1);

/// The bytes that were read.
pub(super) struct Received {
    pub(super) buffer: Vec<u8>,
    /// Received and not consumed: `buffer[start..end]`.
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Received {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; RECEIVE_BUFFER],
            start: 0,
            end: 0,
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(super) fn input(&mut self) -> Input<'_> {
        Input::new(&mut self.buffer[self.start..self.end])
    }
}

/// The socket and the bytes on their way to it.
pub(super) struct Wire {
    pub(super) stream: Stream,
    pub(super) clock: Clock,
    pub(super) out: Vec<u8>,
    /// How much of `out` is written.
    written: usize,
    /// Since when the operating system has taken nothing of it.
    stalled: Option<Duration>,
    send_timeout: Duration,
    /// The timeout that was last set on the socket.
    write_timeout: Option<Duration>,
}

pub(super) enum Read {
    /// This many bytes, at the front of the buffer.
    Bytes(usize),
    Eof,
    Timeout,
}

/// Whether a blocking call timed out or was interrupted with nothing done.
fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

impl Wire {
    pub(super) fn new(stream: Stream, clock: Clock, out: Vec<u8>, send_timeout: Duration) -> Self {
        Self {
            stream,
            clock,
            out,
            written: 0,
            stalled: None,
            send_timeout,
            write_timeout: None,
        }
    }

    /// Whether there is something to write: what the stream holds, and once its own handshake is
    /// over, `out`.
    pub(super) fn has_output(&self) -> bool {
        let waits = self.written < self.out.len() && !self.stream.is_handshaking();
        waits || self.stream.held() > 0
    }

    /// Writes `out` until `deadline`, as long as it makes progress; returns whether everything that
    /// can be written is. Tries at least once.
    pub(super) fn write(&mut self, deadline: Option<Duration>) -> io::Result<bool> {
        let mut least = LOOK;
        while self.has_output() {
            let now = self.clock.now();
            let stalled = *self.stalled.get_or_insert(now);
            let stuck = stalled.saturating_add(self.send_timeout);
            let until = deadline.map_or(stuck, |it| it.min(stuck));
            let patience = until.saturating_sub(now).max(mem::take(&mut least));
            if now >= stuck {
                let text = "the server took nothing of what was sent within send_timeout";
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            if patience.is_zero() {
                return Ok(false);
            }
            if self.write_timeout != Some(patience) {
                self.stream.tcp().set_write_timeout(Some(patience))?;
                self.write_timeout = Some(patience);
            }
            let written = match self.stream.held() {
                0 => match self.stream.write(&self.out[self.written..]) {
                    Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                    count => count,
                },
                _ => self.stream.flush().map(|()| 0),
            };
            match written {
                Ok(count) => {
                    self.written += count;
                    self.stalled = None;
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
        }
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
        Ok(true)
    }

    /// Follows the transport to its end.
    pub(super) fn follow(&mut self, mut linger: Linger) -> io::Result<()> {
        let mut dropped = vec![0; RECEIVE_BUFFER];
        loop {
            let deadline = Some(linger.poll_timeout());
            match linger.step(!self.has_output()) {
                LingerStep::Write => _ = self.write(deadline)?,
                LingerStep::ShutDown => self.stream.shutdown_write()?,
                LingerStep::Read => match self.read(&mut dropped, deadline, Duration::ZERO)? {
                    Read::Bytes(count) => linger.discard(count),
                    Read::Timeout => {}
                    Read::Eof => linger.handle_eof(),
                },
                LingerStep::Drop => break,
            }
            linger.handle_timeout(self.clock.now());
        }
        if !linger.is_shut_down() {
            self.stream.farewell();
        }
        Ok(())
    }

    /// Waits for bytes until `deadline`, but at least for `least`.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        deadline: Option<Duration>,
        least: Duration,
    ) -> io::Result<Read> {
        let now = self.clock.now();
        let patience = deadline.map(|at| at.saturating_sub(now).max(least));
        if patience == Some(Duration::ZERO) {
            return Ok(Read::Timeout);
        }
        self.stream.tcp().set_read_timeout(patience)?;
        match self.stream.read(buffer) {
            Ok(0) => Ok(Read::Eof),
            Ok(count) => Ok(Read::Bytes(count)),
            Err(error) if is_timeout(&error) => Ok(Read::Timeout),
            Err(error) => Err(error),
        }
    }
}
