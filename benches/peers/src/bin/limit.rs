//! The limit: what an echo over these sockets costs when the server does no more than it must.
//!
//! A bare mio loop with one shared buffer. It parses the length of each frame, unmasks the payload
//! where it lies, puts the reply's header in front of it and writes: one read and one write for all
//! the complete frames of a read. It checks nothing: no UTF-8, no limits, no reserved bits, no
//! control frames, no fragments, no closing handshake, no timeouts.
//!
//! `--fanout` writes the replies to all connections instead.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::ops::Range;

use mio::net::TcpStream;
use sockeye_peers::bare::{BUFFER, accept, frame, replies, serve};

/// The longest header of a client's frame: two bytes, the length, the masking key.
const LONGEST_HEADER: usize = 14;
/// The system takes so many slices at once.
const SLICES: usize = 1024;

struct Connection {
    stream: TcpStream,
    open: bool,
    /// The beginning of a frame that wasn't complete, in a buffer with room for all of it.
    partial: Vec<u8>,
    filled: usize,
    /// What the socket didn't take.
    unwritten: Vec<u8>,
}

fn main() -> io::Result<()> {
    let fanout = std::env::args().any(|argument| argument == "--fanout");
    let mut buffer = vec![0; BUFFER];
    let open = |stream| Ok(Connection::new(stream));
    serve(open, |connection, others| {
        connection.drive(&mut buffer, fanout.then_some(others))
    })
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            open: false,
            partial: Vec::new(),
            filled: 0,
            unwritten: Vec::new(),
        }
    }

    /// Reads and replies until the socket has no more. An error ends the connection.
    fn drive(
        &mut self,
        buffer: &mut [u8],
        mut all: Option<&mut [Option<Connection>]>,
    ) -> io::Result<()> {
        self.write(&mut [])?;
        // Who doesn't read isn't read from.
        while self.unwritten.is_empty() {
            let in_partial = self.filled > 0;
            let room = match in_partial {
                true => &mut self.partial[self.filled..],
                false => &mut *buffer,
            };
            let (count, size) = match self.stream.read(room) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => (count, room.len()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            if in_partial {
                self.filled += count;
                let wanted = frame(&self.partial[..self.filled]).map_or(0, |it| it.0 + it.1);
                if self.filled < wanted && wanted <= self.partial.len() {
                    if count < size {
                        break;
                    }
                    continue;
                }
                let mut partial = std::mem::take(&mut self.partial);
                let length = std::mem::take(&mut self.filled);
                self.reply(&mut partial[..length], all.as_deref_mut())?;
                if self.filled == 0 {
                    self.partial = partial;
                }
            } else {
                self.reply(&mut buffer[..count], all.as_deref_mut())?;
            }
            // A short read has drained the socket.
            if count < size {
                break;
            }
        }
        Ok(())
    }

    /// Answers what is complete, and keeps the rest.
    fn reply(
        &mut self,
        bytes: &mut [u8],
        mut all: Option<&mut [Option<Connection>]>,
    ) -> io::Result<()> {
        if !self.open {
            return self.accept(bytes);
        }
        let (replies, at) = replies(bytes);
        self.keep(&bytes[at..]);
        for replies in replies.chunks(SLICES) {
            let slices = || {
                let slice = |reply: &Range<usize>| IoSlice::new(&bytes[reply.clone()]);
                replies.iter().map(slice).collect::<Vec<_>>()
            };
            self.write(&mut slices())?;
            let others = all.iter_mut().flat_map(|all| all.iter_mut().flatten());
            for other in others.filter(|other| other.open) {
                // Its own event tells of its end.
                let _ = other.write(&mut slices());
            }
        }
        Ok(())
    }

    /// Keeps the beginning of a frame, with room for all of it: the next reads go there.
    fn keep(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let size = frame(bytes).map_or(LONGEST_HEADER, |(header, length)| header + length);
        if self.partial.len() < size {
            self.partial.resize(size, 0);
        }
        self.partial[..bytes.len()].copy_from_slice(bytes);
        self.filled = bytes.len();
    }

    /// Writes what waits and then the slices, as far as the socket takes them; the rest waits.
    fn write(&mut self, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        while !self.unwritten.is_empty() {
            match self.stream.write(&self.unwritten) {
                Ok(count) => drop(self.unwritten.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        while self.unwritten.is_empty() && !slices.is_empty() {
            match self.stream.write_vectored(slices) {
                Ok(count) => IoSlice::advance_slices(&mut slices, count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        for slice in slices {
            self.unwritten.extend_from_slice(slice);
        }
        Ok(())
    }

    fn accept(&mut self, request: &[u8]) -> io::Result<()> {
        let response = accept(request)?;
        self.open = true;
        self.write(&mut [IoSlice::new(response.as_bytes())])
    }
}
