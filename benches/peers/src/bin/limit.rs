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

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// A read takes at most so much, which is enough for what a loopback socket has at once.
const BUFFER: usize = 256 * 1024;
/// The longest header of a client's frame: two bytes, the length, the masking key.
const LONGEST_HEADER: usize = 14;
/// Payloads up to here are moved next to the reply before, which costs less than one more slice
/// to write.
const MOVED: usize = 4096;
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
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind("127.0.0.1:0".parse().expect("an address"))?;
    let readable = Interest::READABLE;
    poll.registry()
        .register(&mut listener, Token(0), readable)?;
    println!("listening on {}", listener.local_addr()?);
    // By token; those that ended are not reused, for they are few.
    let mut connections: Vec<Option<Connection>> = vec![None];
    let mut buffer = vec![0; BUFFER];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let Token(token) = event.token();
            if token == 0 {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let both = readable | Interest::WRITABLE;
                    let token = Token(connections.len());
                    poll.registry().register(&mut stream, token, both)?;
                    connections.push(Some(Connection::new(stream)));
                }
                continue;
            }
            // Lent out, so that a fan-out reaches the others.
            let Some(mut connection) = connections[token].take() else {
                continue;
            };
            let all = fanout.then_some(&mut connections[..]);
            if connection.drive(&mut buffer, all).is_ok() {
                connections[token] = Some(connection);
            }
        }
    }
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
        let mut replies: Vec<Range<usize>> = Vec::new();
        let mut at = 0;
        while let Some((header, length)) = frame(&bytes[at..])
            && bytes.len() - at >= header + length
        {
            let first = bytes[at];
            let payload = at + header;
            let key: [u8; 4] = bytes[payload - 4..payload].try_into().expect("four bytes");
            unmask(&mut bytes[payload..payload + length], key);
            at = payload + length;

            let (head, head_length) = reply_header(first, length);
            match replies.last_mut() {
                Some(last) if length <= MOVED => {
                    let to = last.end + head_length;
                    bytes.copy_within(payload..at, to);
                    bytes[last.end..to].copy_from_slice(&head[..head_length]);
                    last.end = to + length;
                }
                _ => {
                    // The client's header is longer by its key.
                    let start = payload - head_length;
                    bytes[start..payload].copy_from_slice(&head[..head_length]);
                    replies.push(start..at);
                }
            }
        }
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

    /// The opening handshake, of a request that came whole.
    fn accept(&mut self, request: &[u8]) -> io::Result<()> {
        let request = String::from_utf8_lossy(request);
        let key = request
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
            .ok_or(ErrorKind::InvalidData)?;
        let accept = tungstenite::handshake::derive_accept_key(key.1.as_bytes());
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.open = true;
        self.write(&mut [IoSlice::new(response.as_bytes())])
    }
}

/// The lengths of a client frame's header and payload, once the header is complete.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (header, length) = match *bytes.get(1)? & 0x7F {
        126 => (
            8,
            usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
        ),
        127 => (
            14,
            usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?,
        ),
        length => (6, usize::from(length)),
    };
    (bytes.len() >= header).then_some((header, length))
}

/// The header of the reply, and its length.
fn reply_header(first: u8, length: usize) -> ([u8; 10], usize) {
    let mut header = [0; 10];
    header[0] = first;
    let header_length = match length {
        0..126 => {
            header[1] = length as u8;
            2
        }
        126..0x1_0000 => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            4
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&(length as u64).to_be_bytes());
            10
        }
    };
    (header, header_length)
}

/// In words of 16 bytes, which the compiler makes vectors of.
fn unmask(payload: &mut [u8], key: [u8; 4]) {
    let word = u128::from_ne_bytes(std::array::from_fn(|at| key[at % 4]));
    let (words, rest) = payload.as_chunks_mut::<16>();
    for bytes in words {
        *bytes = (u128::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (at, byte) in rest.iter_mut().enumerate() {
        *byte ^= key[at % 4];
    }
}
