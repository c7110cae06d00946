//! A transport in memory: the same frames over and over; what is written is gone.

use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A read gives at most so much, if nothing else is said, as a socket with a burst in it does.
pub const READ: usize = 64 * 1024;

/// Reads are never short of bytes, so no future waits.
#[derive(Clone)]
pub struct Pipe {
    bytes: Arc<[u8]>,
    at: usize,
    read: usize,
}

impl Pipe {
    pub fn new(bytes: &[u8]) -> Self {
        Self::with_reads(bytes, READ)
    }

    /// Reads give at most `read` bytes.
    pub fn with_reads(bytes: &[u8], read: usize) -> Self {
        Self {
            bytes: bytes.into(),
            at: 0,
            read,
        }
    }

    /// The next bytes, at most `room`.
    fn next_bytes(&mut self, room: usize) -> &[u8] {
        let count = room.min(self.read).min(self.bytes.len() - self.at);
        let taken = &self.bytes[self.at..][..count];
        self.at = (self.at + count) % self.bytes.len();
        taken
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = self.next_bytes(buffer.len());
        buffer[..taken.len()].copy_from_slice(taken);
        Ok(taken.len())
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let taken = self.next_bytes(buffer.remaining());
        buffer.put_slice(taken);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl wtx::stream::StreamReader for Pipe {
    async fn read(&mut self, bytes: &mut [u8]) -> wtx::Result<usize> {
        let taken = self.next_bytes(bytes.len());
        bytes[..taken.len()].copy_from_slice(taken);
        Ok(taken.len())
    }
}

impl wtx::stream::StreamWriter for Pipe {
    async fn write_all(&mut self, _: &[u8]) -> wtx::Result<()> {
        Ok(())
    }

    async fn write_all_vectored(&mut self, _: &[&[u8]]) -> wtx::Result<()> {
        Ok(())
    }
}
