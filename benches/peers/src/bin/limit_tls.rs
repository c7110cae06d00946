//! The limit with TLS: what an echo costs when the server does no more than it must, and rustls the
//! rest.
//!
//! As `limit` is, with rustls' interface without buffers, which costs less than the other: one read
//! of the socket brings records, which are decrypted into one shared buffer; the replies to all its
//! complete frames are encrypted into another, and leave with one write. It checks as little.
//!
//! `--tls CERT KEY`, two files in PEM.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncryptError, UnbufferedStatus, WriteTraffic};
use sockeye_peers::bare::{BUFFER, accept, replies, serve};

/// The longest that rustls keeps of records that aren't complete: a handshake message.
const LONGEST_REST: usize = 64 * 1024;

struct Connection {
    stream: TcpStream,
    tls: UnbufferedServerConnection,
    open: bool,
    /// The beginning of a record that wasn't complete.
    records: Vec<u8>,
    /// The same of a frame.
    partial: Vec<u8>,
    /// What the socket didn't take.
    unwritten: Vec<u8>,
}

/// What all connections use.
struct Buffers {
    records: Vec<u8>,
    plain: Vec<u8>,
    out: Vec<u8>,
}

fn main() -> io::Result<()> {
    let config = sockeye_peers::tls::config().expect("--tls CERT KEY");
    let mut buffers = Buffers {
        records: vec![0; LONGEST_REST + BUFFER],
        plain: vec![0; BUFFER],
        out: vec![0; BUFFER],
    };
    let open = |stream| Connection::new(stream, &config);
    serve(open, |connection, _| connection.drive(&mut buffers))
}

impl Connection {
    fn new(stream: TcpStream, config: &Arc<ServerConfig>) -> io::Result<Self> {
        let tls = UnbufferedServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        Ok(Self {
            stream,
            tls,
            open: false,
            records: Vec::new(),
            partial: Vec::new(),
            unwritten: Vec::new(),
        })
    }

    /// Reads and replies until the socket has no more. An error ends the connection.
    fn drive(&mut self, buffers: &mut Buffers) -> io::Result<()> {
        self.write(&[])?;
        // Who doesn't read isn't read from.
        while self.unwritten.is_empty() {
            let start = self.records.len();
            buffers.records[..start].copy_from_slice(&self.records);
            let count = match self
                .stream
                .read(&mut buffers.records[start..start + BUFFER])
            {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let length = self.answer(buffers, start + count)?;
            self.write(&buffers.out[..length])?;
            // A short read has drained the socket.
            if count < BUFFER {
                break;
            }
        }
        Ok(())
    }

    /// Decrypts the first `end` bytes of records and answers what is complete: the length of the
    /// answer.
    fn answer(&mut self, buffers: &mut Buffers, end: usize) -> io::Result<usize> {
        let Buffers {
            records,
            plain,
            out,
        } = buffers;
        let mut filled = 0;
        append(plain, &mut filled, &self.partial);
        self.partial.clear();
        let (mut at, mut length) = (0, 0);
        let mut blocked = false;
        while !blocked {
            let received = &mut records[at..end];
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(received);
            match state.map_err(io::Error::other)? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        append(
                            plain,
                            &mut filled,
                            record.map_err(io::Error::other)?.payload,
                        );
                    }
                }
                // A flight of the handshake is far shorter than the buffer.
                ConnectionState::EncodeTlsData(mut data) => {
                    length += data.encode(&mut out[length..]).map_err(io::Error::other)?;
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::BlockedHandshake => blocked = true,
                ConnectionState::WriteTraffic(mut traffic) => {
                    blocked = true;
                    let plain = &mut plain[..filled];
                    if self.open {
                        let (replies, done) = replies(plain);
                        for reply in replies {
                            length = encrypt(&mut traffic, &plain[reply], out, length)?;
                        }
                        self.partial.extend_from_slice(&plain[done..]);
                    } else if !plain.is_empty() {
                        let response = accept(plain)?;
                        self.open = true;
                        length = encrypt(&mut traffic, response.as_bytes(), out, length)?;
                    }
                }
                _ => return Err(ErrorKind::UnexpectedEof.into()),
            }
            at += discard;
        }
        self.records.clear();
        self.records.extend_from_slice(&records[at..end]);
        Ok(length)
    }

    /// Writes what waits and then the bytes, as far as the socket takes them; the rest waits.
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !self.unwritten.is_empty() {
            match self.stream.write(&self.unwritten) {
                Ok(count) => drop(self.unwritten.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        while self.unwritten.is_empty() && !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.unwritten.extend_from_slice(bytes);
        Ok(())
    }
}

/// Puts bytes behind the first `filled` of a buffer that grows where it must.
fn append(buffer: &mut Vec<u8>, filled: &mut usize, bytes: &[u8]) {
    let end = *filled + bytes.len();
    if buffer.len() < end {
        buffer.resize(end, 0);
    }
    buffer[*filled..end].copy_from_slice(bytes);
    *filled = end;
}

/// Encrypts bytes behind the first `length` of `out`; the new length.
fn encrypt(
    traffic: &mut WriteTraffic<'_, ServerConnectionData>,
    bytes: &[u8],
    out: &mut Vec<u8>,
    length: usize,
) -> io::Result<usize> {
    loop {
        match traffic.encrypt(bytes, &mut out[length..]) {
            Ok(count) => return Ok(length + count),
            Err(EncryptError::InsufficientSize(needed)) => {
                out.resize(length + needed.required_size, 0);
            }
            Err(error) => return Err(io::Error::other(error)),
        }
    }
}
