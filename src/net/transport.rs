//! The transport of a connection, and the clock.

use core::time::Duration;
use std::io;
use std::io::IoSlice;
#[cfg(feature = "server")]
use std::io::IoSliceMut;
#[cfg(all(feature = "server", any(test, feature = "testing")))]
use std::sync::Arc;
#[cfg(all(feature = "server", any(test, feature = "testing")))]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
#[cfg(feature = "server")]
use std::time::SystemTime;
#[cfg(all(feature = "server", any(test, feature = "testing")))]
use std::time::UNIX_EPOCH;
#[cfg(feature = "server")]
use std::vec::Vec;

/// A stream to the peer. The server's sessions are generic over it, so that they also run on a
/// simulated one.
pub(crate) trait Transport {
    /// Reads into `buffer`; 0 is the end of the stream.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Reads into `space`, and what is behind it into `buffer`.
    #[cfg(feature = "server")]
    fn read_both(&mut self, space: &mut [u8], buffer: &mut [u8]) -> io::Result<usize>;

    /// Whether there may be more to read, after a read that returned `count` of `asked` bytes.
    #[cfg(feature = "server")]
    fn has_more(&self, count: usize, asked: usize) -> bool {
        count == asked
    }

    /// Writes as much of `bytes` as it accepts.
    #[cfg(any(feature = "server", feature = "tls"))]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    /// Writes as much of `slices` as it accepts, in order.
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Bytes for the peer that it has accepted, or that are its own, and that are not written yet.
    /// A read, a write, a flush and the end of the sending side change the number.
    #[cfg(feature = "server")]
    fn held(&self) -> usize {
        0
    }

    /// Writes some of what it holds.
    #[cfg(feature = "server")]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Ends the clear text that came first; these bytes behind it belong to the stream. None if the
    /// transport has to read them itself.
    #[cfg(feature = "server")]
    fn begin(&mut self, behind: Vec<u8>) -> Option<Vec<u8>> {
        Some(behind)
    }

    /// Whether the peer has sent bytes that reads don't return: those of a TLS handshake.
    #[cfg(feature = "server")]
    fn has_heard(&self) -> bool {
        false
    }

    /// Returns what TLS has agreed on.
    #[cfg(feature = "server")]
    fn agreed(&self) -> Agreed<'_> {
        Agreed::default()
    }

    /// Ends the sending side, behind what it holds; the receiving side stays open.
    fn shutdown_write(&mut self) -> io::Result<()>;
}

/// Implements the transport for a stream of mio's; `$read` and `$write` are its system calls.
#[cfg(feature = "server")]
macro_rules! socket_transport {
    ($stream:ty, $read:expr, $write:expr) => {
        impl Transport for $stream {
            #[inline]
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                $read(self, buffer)
            }

            fn read_both(&mut self, space: &mut [u8], buffer: &mut [u8]) -> io::Result<usize> {
                let mut slices = [IoSliceMut::new(space), IoSliceMut::new(buffer)];
                io::Read::read_vectored(self, &mut slices)
            }

            #[inline]
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                $write(self, bytes)
            }

            fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                io::Write::write_vectored(self, slices)
            }

            fn shutdown_write(&mut self) -> io::Result<()> {
                self.shutdown(std::net::Shutdown::Write)
            }
        }
    };
}

#[cfg(all(feature = "server", target_os = "linux"))]
socket_transport!(mio::net::TcpStream, linux::recv, linux::send);
#[cfg(all(feature = "server", target_os = "linux"))]
socket_transport!(mio::net::UnixStream, linux::recv, linux::send);
#[cfg(all(feature = "server", not(target_os = "linux")))]
socket_transport!(mio::net::TcpStream, io::Read::read, io::Write::write);
#[cfg(all(feature = "server", unix, not(target_os = "linux")))]
socket_transport!(mio::net::UnixStream, io::Read::read, io::Write::write);

/// The system calls of a server's messages, without the C library, which makes each a cancellation
/// point: that costs more instructions than a short message.
#[cfg(all(feature = "server", target_os = "linux"))]
mod linux {
    use std::io;
    use std::os::fd::AsFd;

    use rustix::io::Errno;
    use rustix::net::{RecvFlags, SendFlags};

    #[inline]
    pub(super) fn recv(stream: &impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
        let received = rustix::net::recv(stream, buffer, RecvFlags::empty());
        received.map(|(count, _)| count).map_err(failed)
    }

    #[inline]
    pub(super) fn send(stream: &impl AsFd, bytes: &[u8]) -> io::Result<usize> {
        // Without SIGPIPE: writing to a connection that the peer has ended is an error.
        rustix::net::send(stream, bytes, SendFlags::NOSIGNAL).map_err(failed)
    }

    /// Outlined from the code of success.
    #[cold]
    #[inline(never)]
    fn failed(error: Errno) -> io::Error {
        error.into()
    }
}

/// What TLS has agreed on, if there is TLS.
#[cfg(feature = "server")]
#[derive(Clone, Copy, Default)]
pub(crate) struct Agreed<'a> {
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<&'a rustls::CommonState>,
    #[cfg(not(feature = "tls"))]
    tls: core::marker::PhantomData<&'a ()>,
}

/// The only place that reads the operating system's clock.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// The operating system's, since this start.
    System(Instant),
    /// A simulation's, in nanoseconds.
    #[cfg(all(feature = "server", any(test, feature = "testing")))]
    Simulated(Arc<AtomicU64>),
}

impl Clock {
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn start() -> Self {
        Self::System(Instant::now())
    }

    /// Returns the time of day; a simulation begins with the year 2026.
    #[cfg(feature = "server")]
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn date(&self) -> SystemTime {
        match self {
            Self::System(_) => SystemTime::now(),
            #[cfg(any(test, feature = "testing"))]
            Self::Simulated(_) => UNIX_EPOCH + YEAR_2026 + self.now(),
        }
    }

    /// Returns the time since the start.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn now(&self) -> Duration {
        match self {
            Self::System(start) => start.elapsed(),
            #[cfg(all(feature = "server", any(test, feature = "testing")))]
            Self::Simulated(time) => Duration::from_nanos(time.load(Ordering::Relaxed)),
        }
    }
}

/// The beginning of that year.
#[cfg(all(feature = "server", any(test, feature = "testing")))]
const YEAR_2026: Duration = Duration::from_secs(1_767_225_600);

#[cfg(all(feature = "server", any(test, feature = "testing")))]
impl Clock {
    /// Returns a clock that stands still until it is [set](Self::set).
    pub(crate) fn simulated() -> Self {
        Self::Simulated(Arc::default())
    }

    /// Sets the time of a simulated clock; all its clones show it.
    pub(crate) fn set(&self, now: Duration) {
        if let Self::Simulated(time) = self {
            let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
            time.store(now, Ordering::Relaxed);
        }
    }
}
