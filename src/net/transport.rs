//! What carries the bytes of a connection, and the clock beside it.

use core::time::Duration;
use std::io;
#[cfg(feature = "server")]
use std::io::{IoSlice, IoSliceMut};
use std::time::Instant;

/// A stream to the peer. The server's sessions are generic over it, so that they also run on a
/// simulated one.
pub(crate) trait Transport {
    /// Reads what is there into `buffer`; 0 is the end of the stream.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Reads what is there into `space`, and into `buffer` what is behind it.
    #[cfg(feature = "server")]
    fn read_both(&mut self, space: &mut [u8], buffer: &mut [u8]) -> io::Result<usize>;

    /// Writes as much as it takes of `bytes`.
    #[cfg(feature = "server")]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    /// Writes as much as it takes of `slices`, in order.
    #[cfg(feature = "server")]
    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Ends the sending side; the receiving side stays open.
    fn shutdown_write(&mut self) -> io::Result<()>;
}

macro_rules! tcp_transport {
    ($stream:ty) => {
        impl Transport for $stream {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                io::Read::read(self, buffer)
            }

            #[cfg(feature = "server")]
            fn read_both(&mut self, space: &mut [u8], buffer: &mut [u8]) -> io::Result<usize> {
                let mut slices = [IoSliceMut::new(space), IoSliceMut::new(buffer)];
                io::Read::read_vectored(self, &mut slices)
            }

            #[cfg(feature = "server")]
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                io::Write::write(self, bytes)
            }

            #[cfg(feature = "server")]
            fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                io::Write::write_vectored(self, slices)
            }

            fn shutdown_write(&mut self) -> io::Result<()> {
                self.shutdown(std::net::Shutdown::Write)
            }
        }
    };
}

#[cfg(feature = "server")]
tcp_transport!(mio::net::TcpStream);
#[cfg(feature = "client")]
tcp_transport!(std::net::TcpStream);

/// The one place that reads the operating system's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// The time since the start.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}
