//! What a client's bytes come and go by: a socket or a stream of the application's, with or without
//! TLS.
//!
//! Owns which it is, and how to wait for it. Nothing here waits but [`Stream::wait`]: sockets are
//! non-blocking.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};

use super::wait::{Interest, Wakeup, wait};
use crate::net::Transport;

/// How long a stream that can't be waited for is left alone after it had nothing.
const NAP: Duration = Duration::from_millis(1);

/// A stream that a client runs over, connected by the application: a TCP or Unix socket, or anything
/// that reads and writes.
///
/// ```no_run
/// use std::os::unix::net::UnixStream;
/// use sockeye::client::ConnectOptions;
///
/// let socket = UnixStream::connect("/run/chat.sock")?;
/// let client = ConnectOptions::default().connect_over("ws://localhost/chat", socket)?;
/// # drop(client);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Stream {
    kind: Kind,
    /// The first bytes that were read, and how many of them there are.
    begin: ([u8; BEGIN], usize),
}

/// Enough to tell protocols apart.
const BEGIN: usize = 32;

enum Kind {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
    Other(Box<dyn ReadWrite>),
}

trait ReadWrite: io::Read + io::Write + Send {}

impl<S: io::Read + io::Write + Send> ReadWrite for S {}

impl Stream {
    /// A stream of any kind: a tunnel, another protocol's channel. A `TcpStream` or, on Unix, a
    /// `UnixStream` is a `Stream` by `into`, and better off so.
    ///
    /// The client can't wait for such a stream, so it keeps its time only as well as the stream's
    /// `read` and `write` do: they return [`WouldBlock`](io::ErrorKind::WouldBlock) or
    /// [`TimedOut`](io::ErrorKind::TimedOut) when they have waited for long enough, or at once, and
    /// are then called again until the client's own time is over. One that waits without end makes
    /// the client wait without end.
    pub fn new(stream: impl io::Read + io::Write + Send + 'static) -> Self {
        Self::of(Kind::Other(Box::new(stream)))
    }

    fn of(kind: Kind) -> Self {
        Self {
            kind,
            begin: ([0; BEGIN], 0),
        }
    }

    /// Makes a socket non-blocking, which all of them have to be.
    pub(super) fn prepare(&self) -> io::Result<()> {
        match &self.kind {
            Kind::Tcp(tcp) => {
                tcp.set_nodelay(true)?;
                tcp.set_nonblocking(true)
            }
            #[cfg(unix)]
            Kind::Unix(unix) => unix.set_nonblocking(true),
            Kind::Other(_) => Ok(()),
        }
    }

    pub(super) fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.kind {
            Kind::Tcp(tcp) => tcp.peer_addr(),
            _ => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the client's stream is no TCP socket",
            )),
        }
    }

    /// The first bytes that were read.
    pub(super) fn begin(&self) -> &[u8] {
        let (bytes, count) = &self.begin;
        &bytes[..*count]
    }

    /// The same socket once more, to be waited for by another thread.
    ///
    /// # Errors
    /// The operating system's; [`Unsupported`](io::ErrorKind::Unsupported) for a stream that can't be
    /// waited for.
    pub(super) fn clone_socket(&self) -> io::Result<OwnedFd> {
        match self.socket() {
            Some(socket) => socket.try_clone_to_owned(),
            None => {
                let text = "a stream that is no socket can't be waited for by two threads";
                Err(io::Error::new(io::ErrorKind::Unsupported, text))
            }
        }
    }

    /// Forgets what was read: a proxy's answer isn't the server's.
    pub(super) fn begins(&mut self) {
        self.begin = ([0; BEGIN], 0);
    }

    /// The socket, to be waited for.
    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        match &self.kind {
            Kind::Tcp(tcp) => Some(tcp.as_fd()),
            #[cfg(unix)]
            Kind::Unix(unix) => Some(unix.as_fd()),
            Kind::Other(_) => None,
        }
    }

    /// Waits; returns whether reading and writing are worth a try.
    pub(super) fn wait(
        &self,
        interest: Interest,
        wakeup: Option<&Wakeup>,
        timeout: Option<Duration>,
    ) -> io::Result<bool> {
        match self.socket() {
            Some(socket) => wait(socket, interest, wakeup, timeout),
            None => {
                // What it has can't be known without asking it, which may wait by itself.
                thread::sleep(timeout.map_or(NAP, |it| it.min(NAP)));
                Ok(true)
            }
        }
    }
}

impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Self {
        Self::of(Kind::Tcp(tcp))
    }
}

#[cfg(unix)]
impl From<std::os::unix::net::UnixStream> for Stream {
    fn from(unix: std::os::unix::net::UnixStream) -> Self {
        Self::of(Kind::Unix(unix))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Tcp(tcp) => tcp.fmt(f),
            #[cfg(unix)]
            Kind::Unix(unix) => unix.fmt(f),
            Kind::Other(_) => f.write_str("Stream"),
        }
    }
}

/// Whether a call had nothing to do for now.
pub(super) fn is_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

impl Transport for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.kind {
            Kind::Tcp(tcp) => io::Read::read(tcp, buffer),
            #[cfg(unix)]
            Kind::Unix(unix) => io::Read::read(unix, buffer),
            Kind::Other(other) => other.read(buffer),
        }?;
        let (bytes, known) = &mut self.begin;
        if *known < BEGIN {
            let more = count.min(BEGIN - *known);
            bytes[*known..*known + more].copy_from_slice(&buffer[..more]);
            *known += more;
        }
        Ok(count)
    }

    #[cfg(feature = "server")]
    fn read_both(&mut self, _: &mut [u8], buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &mut self.kind {
            Kind::Tcp(tcp) => io::Write::write_vectored(tcp, slices),
            #[cfg(unix)]
            Kind::Unix(unix) => io::Write::write_vectored(unix, slices),
            Kind::Other(other) => {
                let count = other.write_vectored(slices)?;
                // It may have a buffer of its own, which nothing else would empty.
                match other.flush() {
                    Err(error) if !is_later(&error) => Err(error),
                    _ => Ok(count),
                }
            }
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        match &mut self.kind {
            Kind::Tcp(tcp) => tcp.shutdown(std::net::Shutdown::Write),
            #[cfg(unix)]
            Kind::Unix(unix) => unix.shutdown(std::net::Shutdown::Write),
            // There is no such call: it ends when it is dropped.
            Kind::Other(other) => other.flush(),
        }
    }
}
