//! The end of a transport, after its connection has ended.
//!
//! Owns the steps, their order and their bounds. Writing, shutting down and reading are left to the
//! caller.

use core::time::Duration;

/// What remains to be done with the transport once a connection is over. In every case write the
/// output first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teardown {
    /// Shut the sending side down, then read and drop what comes until the end of the stream or
    /// the deadline of [`Connection::poll_timeout`](super::Connection::poll_timeout). Dropping the socket at once could reset it
    /// and destroy the Close on its way (RFC 6455 section 7.1.1).
    HalfClose,
    /// A client after the closing handshake: read and drop until the server ends the stream
    /// (RFC 6455 section 7.1.1: the server closes first) or the deadline passes.
    AwaitEof,
    /// Drop the transport now.
    Drop,
}

/// Follows a transport to its end, once its connection has ended or its request was refused.
///
/// Inputs: [`discard`](Self::discard), [`handle_eof`](Self::handle_eof),
/// [`handle_timeout`](Self::handle_timeout), [`wrote`](Self::wrote). Outputs: [`step`](Self::step),
/// which says what to do next, and [`poll_timeout`](Self::poll_timeout). It is bounded in time and in
/// bytes: of these, [`MAX_DISCARDED`](Self::MAX_DISCARDED) at most are read and dropped.
///
/// ```
/// use std::io::{self, Read as _, Write as _};
/// use std::net::{Shutdown, TcpStream};
/// use sockeye::proto::{Linger, LingerStep};
///
/// /// `stream` has a read timeout, at which the deadline is looked at.
/// fn follow(mut linger: Linger, mut stream: TcpStream, out: &[u8]) -> io::Result<()> {
///     # fn now() -> std::time::Duration { Default::default() }
///     stream.write_all(out)?;
///     let mut buffer = [0; 4096];
///     loop {
///         match linger.step(true) {
///             LingerStep::ShutDown => stream.shutdown(Shutdown::Write)?,
///             LingerStep::Drop => return Ok(()),
///             LingerStep::Write | LingerStep::Read => match stream.read(&mut buffer) {
///                 Ok(0) => linger.handle_eof(),
///                 Ok(count) => linger.discard(count),
///                 Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
///                 Err(error) => return Err(error),
///             },
///         }
///         linger.handle_timeout(now());
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Linger {
    teardown: Teardown,
    deadline: Duration,
    /// The least time that it waits after the last byte was written.
    patience: Duration,
    shut_down: bool,
    /// Whether the peer has ended its stream.
    ended: bool,
    /// Bytes that may still be discarded.
    left: usize,
}

/// The next step of a [`Linger`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LingerStep {
    /// Write the rest of the output.
    Write,
    /// Shut down the sending side: a FIN, with TLS after close_notify.
    ShutDown,
    /// Read and drop input, until the end of the stream or the deadline.
    Read,
    /// Drop the transport.
    Drop,
}

impl Linger {
    /// Bytes that a peer may still send before its transport is dropped: as many as common socket
    /// buffers hold, so that an honest peer's data in flight don't cause a reset that destroys the
    /// last bytes sent to it.
    pub const MAX_DISCARDED: usize = 4 * 1024 * 1024;

    /// Waits at most `timeout` from `now` on.
    #[must_use]
    pub fn new(teardown: Teardown, now: Duration, timeout: Duration) -> Self {
        Self::until(teardown, now.saturating_add(timeout), timeout)
    }

    pub(super) fn until(teardown: Teardown, deadline: Duration, patience: Duration) -> Self {
        Self {
            teardown,
            deadline,
            patience,
            shut_down: false,
            ended: false,
            left: Self::MAX_DISCARDED,
        }
    }

    /// Returns what remains to be done.
    #[must_use]
    pub fn teardown(&self) -> Teardown {
        self.teardown
    }

    /// Returns the next step; `written` says whether all output is written.
    /// [`LingerStep::ShutDown`] is returned once.
    pub fn step(&mut self, written: bool) -> LingerStep {
        match self.teardown {
            Teardown::Drop => LingerStep::Drop,
            // A peer that has ended its side still reads.
            _ if !written => LingerStep::Write,
            _ if self.ended => LingerStep::Drop,
            Teardown::HalfClose if !self.shut_down => {
                self.shut_down = true;
                LingerStep::ShutDown
            }
            Teardown::HalfClose | Teardown::AwaitEof => LingerStep::Read,
        }
    }

    /// Whether the sending side was to be shut down.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.shut_down
    }

    /// Notes that this many bytes were read and dropped.
    pub fn discard(&mut self, count: usize) {
        match self.left.checked_sub(count) {
            Some(left) => self.left = left,
            None => self.teardown = Teardown::Drop,
        }
    }

    /// Notes that the peer has ended its stream. What it is still owed is written first.
    pub fn handle_eof(&mut self) {
        self.ended = true;
    }

    /// Notes that output was taken at this time: a slow peer that keeps taking what it is owed is
    /// waited for, from then on anew.
    pub fn wrote(&mut self, now: Duration) {
        self.deadline = self.deadline.max(now.saturating_add(self.patience));
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Duration {
        self.deadline
    }

    /// Ends the wait if its time is over: the transport is to be dropped.
    pub fn handle_timeout(&mut self, now: Duration) {
        if now >= self.deadline {
            self.teardown = Teardown::Drop;
        }
    }
}
