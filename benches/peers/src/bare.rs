//! What the limits share: the event loop, the frames, the opening handshake.
//!
//! Each limit's file in `src/bin` has how it reads and writes.

use std::io::{self, ErrorKind};
use std::ops::Range;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// A read takes at most so much, which is enough for what a loopback socket has at once.
pub const BUFFER: usize = 256 * 1024;
/// Payloads up to here are moved next to the reply before, which costs less than one more slice
/// to write.
const MOVED: usize = 4096;

/// Accepts connections on a free port of 127.0.0.1, which it prints, makes of each what `open`
/// does, and calls `drive` with it and all others whenever its socket is ready. An error ends the
/// connection.
///
/// # Errors
///
/// What the system says.
pub fn serve<C>(
    mut open: impl FnMut(TcpStream) -> io::Result<C>,
    mut drive: impl FnMut(&mut C, &mut [Option<C>]) -> io::Result<()>,
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind("127.0.0.1:0".parse().expect("an address"))?;
    let readable = Interest::READABLE;
    poll.registry()
        .register(&mut listener, Token(0), readable)?;
    println!("listening on {}", listener.local_addr()?);
    // By token; those that ended are not reused, for they are few.
    let mut connections: Vec<Option<C>> = vec![None];
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
                    connections.push(Some(open(stream)?));
                }
                continue;
            }
            // Lent out, so that a fan-out reaches the others.
            let Some(mut connection) = connections[token].take() else {
                continue;
            };
            if drive(&mut connection, &mut connections).is_ok() {
                connections[token] = Some(connection);
            }
        }
    }
}

/// Makes replies of the complete frames that the bytes begin with, in their place: where the
/// replies are, and how many bytes the frames had.
pub fn replies(bytes: &mut [u8]) -> (Vec<Range<usize>>, usize) {
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
    (replies, at)
}

/// The answer to an opening handshake, of a request that came whole.
///
/// # Errors
///
/// InvalidData where it has no key.
pub fn accept(request: &[u8]) -> io::Result<String> {
    let request = String::from_utf8_lossy(request);
    let key = request
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"))
        .ok_or(ErrorKind::InvalidData)?;
    let accept = tungstenite::handshake::derive_accept_key(key.1.as_bytes());
    Ok(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ))
}

/// The lengths of a client frame's header and payload, once the header is complete.
pub fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
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
