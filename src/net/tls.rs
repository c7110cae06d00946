//! TLS over another transport.
//!
//! Owns the ciphertext: the received part of an incomplete record, and records that the socket
//! hasn't taken. When to read, to write and to give up is left to the caller; trust is left to
//! rustls' configuration.
//!
//! ```text
//! read    socket ─► the caller's buffer, behind a gap ─► rustls ─► the caller's space, then buffer
//! write   plaintext ─► rustls ─► the thread's scratch ─► socket, and what it doesn't take ─► held
//! ```
//! All that is decrypted is returned by the read that decrypted it: no plaintext waits here, where
//! no readiness would announce it. rustls' unbuffered interface is used, so that an idle connection
//! has no buffer.

use std::boxed::Box;
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::mem;
use std::ops::Deref;
use std::vec::Vec;

use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError,
    UnbufferedConnectionCommon, UnbufferedStatus, WriteTraffic,
};

use super::Transport;

/// Plaintext of one record at most (RFC 8446 section 5.1). Ciphertext is read this far behind the
/// place for its plaintext, so that a record's payload never lands on bytes still to be decrypted.
const GAP: usize = 16 * 1024;

/// The most plaintext of one write: it bounds what is encrypted ahead of a slow peer; the rest
/// waits where it can still be dropped.
const AHEAD: usize = 64 * 1024;

/// Either side of rustls.
pub(crate) trait Side: Deref<Target = UnbufferedConnectionCommon<Self::Data>> {
    type Data;

    fn process<'c, 'i>(
        &'c mut self,
        received: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

macro_rules! side {
    ($connection:ty, $data:ty) => {
        impl Side for $connection {
            type Data = $data;

            fn process<'c, 'i>(
                &'c mut self,
                received: &'i mut [u8],
            ) -> UnbufferedStatus<'c, 'i, $data> {
                self.process_tls_records(received)
            }
        }
    };
}

side!(
    rustls::server::UnbufferedServerConnection,
    rustls::server::ServerConnectionData
);
side!(
    rustls::client::UnbufferedClientConnection,
    rustls::client::ClientConnectionData
);

#[cfg(feature = "server")]
pub(crate) type ServerTls<S> = TlsStream<S, rustls::server::UnbufferedServerConnection>;
#[cfg(feature = "client")]
pub(crate) type ClientTls<S> = TlsStream<S, rustls::client::UnbufferedClientConnection>;

/// TLS over `S`.
pub(crate) struct TlsStream<S, C> {
    socket: S,
    tls: Box<Tls<C>>,
}

struct Tls<C> {
    connection: C,
    /// Ciphertext of an incomplete record or handshake message.
    received: Vec<u8>,
    /// Records for the peer, except for the first `written` bytes, which the socket has taken.
    held: Vec<u8>,
    written: usize,
    /// Whether the last read has emptied the socket.
    drained: bool,
    /// Whether what is read is not TLS yet.
    clear: bool,
    /// Whether `received` has bytes that rustls hasn't seen.
    unseen: bool,
    /// Whether bytes of TLS have arrived.
    heard: bool,
    /// Whether the socket's sending side is to end behind what is held.
    closing: bool,
    /// Whether the stream has ended: by close_notify, or by an error.
    end: Option<Result<(), rustls::Error>>,
}

/// Memory for the writes of all connections of a thread, so that an idle one has none.
#[derive(Default)]
struct Scratch {
    /// Slices that go into the same records.
    plain: Vec<u8>,
    /// Its length never shrinks, so that nothing is zeroed twice.
    records: Vec<u8>,
}

std::thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl<S: Transport, C: Side> TlsStream<S, C> {
    /// Runs TLS over `socket`, at once or, with `clear`, once [`begin`](Transport::begin) is
    /// called.
    ///
    /// # Errors
    /// rustls' error.
    pub(crate) fn new(socket: S, connection: C, clear: bool) -> io::Result<Self> {
        let mut stream = Self {
            socket,
            tls: Box::new(Tls {
                connection,
                received: Vec::new(),
                held: Vec::new(),
                written: 0,
                drained: false,
                clear,
                unseen: false,
                heard: false,
                closing: false,
                end: None,
            }),
        };
        // A client speaks first.
        stream.tls.output(|_| ())?;
        Ok(stream)
    }

    #[cfg(feature = "client")]
    pub(crate) fn socket(&self) -> &S {
        &self.socket
    }

    #[cfg(feature = "server")]
    pub(crate) fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    #[cfg(feature = "client")]
    pub(crate) fn state(&self) -> &rustls::CommonState {
        &self.tls.connection
    }

    /// Reads once from the socket and decrypts into `space` and then `buffer`, which must be a few
    /// times [`GAP`] long. `Interrupted` if that returned no byte of the stream.
    ///
    /// # Errors
    /// `InvalidData` with rustls' own error; `UnexpectedEof` for an end without close_notify, which
    /// anyone on the way can forge (RFC 8446 section 6.1); the socket's.
    pub(crate) fn read_both(&mut self, space: &mut [u8], buffer: &mut [u8]) -> io::Result<usize> {
        let tls = &mut *self.tls;
        if tls.clear {
            let count = self.socket.read(buffer)?;
            tls.drained = count < buffer.len();
            return Ok(count);
        }
        if tls.end.is_some() {
            return tls.over();
        }
        debug_assert!(buffer.len() > 2 * GAP, "a buffer of {} B", buffer.len());
        let start = GAP + tls.received.len();
        if start >= buffer.len() {
            let text = "a TLS handshake message is longer than 48 KiB";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        buffer[GAP..start].copy_from_slice(&tls.received);
        let mut end = start;
        if !mem::take(&mut tls.unseen) {
            end += self.socket.read(&mut buffer[start..])?;
            if end == start {
                let text = "the peer ended TCP without TLS's close_notify (RFC 8446 section 6.1)";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            tls.drained = end < buffer.len();
            tls.heard = true;
        }
        let (count, rest) = tls.decrypt(space, buffer, end);
        tls.received.clear();
        tls.received.extend_from_slice(&buffer[rest..end]);
        if tls.received.is_empty() {
            tls.received = Vec::new();
        }
        if tls.end.is_some() {
            // It is to be read again.
            tls.drained = false;
            if let Some(Err(_)) = tls.end {
                // The alert; nothing more can be done for it.
                let _ = self.flush();
            }
        }
        match count {
            0 => self.tls.over(),
            count => Ok(count),
        }
    }

    /// Encrypts as much of `slices` as may be ahead of the peer, once all that is held is written.
    ///
    /// # Errors
    /// The socket's error; `NotConnected` before the TLS handshake is over, and after its end.
    pub(crate) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        while self.held() > 0 {
            self.flush()?;
        }
        SCRATCH.with_borrow_mut(|Scratch { plain, records }| {
            let plain = match slices {
                [only] => &only[..only.len().min(AHEAD)],
                slices => {
                    plain.clear();
                    for slice in slices {
                        let room = AHEAD - plain.len();
                        plain.extend_from_slice(&slice[..slice.len().min(room)]);
                    }
                    plain
                }
            };
            let length = self
                .tls
                .output(|mut traffic| encrypt(&mut traffic, plain, records))?
                .ok_or(io::ErrorKind::NotConnected)??;
            let records = &records[..length];
            let tls = &mut *self.tls;
            let mut written = 0;
            // rustls' own records come first.
            if tls.held.is_empty() {
                written = match self.socket.write(records) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(count) => count,
                    Err(error) if is_later(&error) => 0,
                    Err(error) => return Err(error),
                };
            }
            tls.held.extend_from_slice(&records[written..]);
            Ok(plain.len())
        })
    }

    pub(crate) fn held(&self) -> usize {
        self.tls.held.len() - self.tls.written
    }

    /// Writes once from what is held.
    ///
    /// # Errors
    /// The socket's error.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let tls = &mut *self.tls;
        if tls.written < tls.held.len() {
            match self.socket.write(&tls.held[tls.written..])? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => tls.written += count,
            }
        }
        if tls.written == tls.held.len() {
            tls.written = 0;
            tls.held = Vec::new();
            if mem::take(&mut tls.closing) {
                self.socket.shutdown_write()?;
            }
        }
        Ok(())
    }

    /// Sends close_notify and ends the socket's sending side behind it.
    ///
    /// # Errors
    /// The errors of rustls and of the socket.
    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        let tls = &mut *self.tls;
        let mut record = [0; 64];
        let length = tls.output(|mut traffic| traffic.queue_close_notify(&mut record))?;
        match length {
            Some(Ok(length)) => tls.held.extend_from_slice(&record[..length]),
            // Too long for `record` with rustls' other records: this writes all of them.
            Some(Err(_)) => _ = tls.output(|_| ())?,
            None => {}
        }
        tls.closing = true;
        match self.flush() {
            Err(error) if is_later(&error) => Ok(()),
            result => result,
        }
    }
}

impl<C: Side> Tls<C> {
    /// The result of a read without bytes of the stream.
    fn over(&self) -> io::Result<usize> {
        match &self.end {
            Some(Ok(())) => Ok(0),
            Some(Err(error)) => Err(failed(error.clone())),
            None => Err(io::ErrorKind::Interrupted.into()),
        }
    }

    /// Decrypts `buffer` from [`GAP`] to `end`; returns how much plaintext is in `space` and then
    /// at the front of `buffer`, and where ciphertext is left.
    fn decrypt(&mut self, space: &mut [u8], buffer: &mut [u8], end: usize) -> (usize, usize) {
        let (mut start, mut count) = (GAP, 0);
        loop {
            let (front, rest) = buffer.split_at_mut(start);
            let UnbufferedStatus { mut discard, state } =
                self.connection.process(&mut rest[..end - start]);
            let mut blocked = false;
            match state {
                Ok(ConnectionState::ReadTraffic(mut records)) => {
                    while let Some(record) = records.next_record() {
                        match record {
                            Ok(record) => {
                                discard += record.discard;
                                place(record.payload, space, front, &mut count);
                            }
                            Err(error) => self.end = Some(Err(error)),
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(data)) => encode(data, &mut self.held),
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.end = Some(Ok(())),
                Ok(ConnectionState::ReadEarlyData(_)) => self.end = Some(Err(early_data())),
                Ok(_) => blocked = true,
                Err(error) => self.end = Some(Err(error)),
            }
            start += discard;
            if let Some(Err(_)) = self.end {
                self.last_words(&mut buffer[start..end]);
            }
            if blocked || self.end.is_some() {
                // What follows the end is ignored (RFC 8446 section 6.1).
                let rest = if self.end.is_some() { end } else { start };
                return (count, rest);
            }
        }
    }

    /// Takes what rustls still has for the peer after an error: usually an alert, which comes behind
    /// the records that were due before it, a server's ServerHello among them. No more of the peer's
    /// bytes are decrypted: they could only be another error.
    fn last_words(&mut self, rest: &mut [u8]) {
        while self.connection.wants_write()
            && let Ok(ConnectionState::EncodeTlsData(data)) = self.connection.process(rest).state
        {
            encode(data, &mut self.held);
        }
    }

    /// Takes rustls' own records, and then lets `write` add more; None before the TLS handshake is
    /// over.
    fn output<R>(
        &mut self,
        write: impl FnOnce(WriteTraffic<'_, C::Data>) -> R,
    ) -> io::Result<Option<R>> {
        if let Some(Err(error)) = &self.end {
            return Err(failed(error.clone()));
        }
        loop {
            let UnbufferedStatus { discard, state } = self.connection.process(&mut self.received);
            match state.map_err(failed)? {
                ConnectionState::WriteTraffic(traffic) => {
                    let result = write(traffic);
                    self.received.drain(..discard);
                    return Ok(Some(result));
                }
                ConnectionState::EncodeTlsData(data) => encode(data, &mut self.held),
                ConnectionState::TransmitTlsData(data) => data.done(),
                // Each read decrypts all that it can.
                ConnectionState::ReadTraffic(_) => return Err(io::ErrorKind::Other.into()),
                _ => {
                    self.received.drain(..discard);
                    return Ok(None);
                }
            }
            self.received.drain(..discard);
        }
    }
}

/// Copies a record's payload to the end of the plaintext.
fn place(payload: &[u8], space: &mut [u8], buffer: &mut [u8], count: &mut usize) {
    let room = space.len().saturating_sub(*count);
    let (direct, behind) = payload.split_at(payload.len().min(room));
    if !direct.is_empty() {
        space[*count..*count + direct.len()].copy_from_slice(direct);
    }
    if !behind.is_empty() {
        let at = *count + direct.len() - space.len();
        buffer[at..at + behind.len()].copy_from_slice(behind);
    }
    *count += payload.len();
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, held: &mut Vec<u8>) {
    let start = held.len();
    let needed = data.encode(&mut []);
    if let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) = needed {
        held.resize(start + required_size, 0);
        // It has the room that rustls asked for.
        let _ = data.encode(&mut held[start..]);
    }
}

fn encrypt<D>(
    traffic: &mut WriteTraffic<'_, D>,
    plain: &[u8],
    records: &mut Vec<u8>,
) -> io::Result<usize> {
    loop {
        match traffic.encrypt(plain, records) {
            Ok(length) => return Ok(length),
            Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) => {
                records.resize(required_size, 0);
            }
            Err(EncryptError::EncryptExhausted) => {
                let text = "TLS has used its keys up, and this version can't renew them";
                return Err(io::Error::other(text));
            }
        }
    }
}

fn failed(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Early data can be replayed (RFC 8446 section 8): the server's configuration doesn't offer it.
fn early_data() -> rustls::Error {
    rustls::Error::General("early data is not taken".into())
}

/// Whether a write accepted nothing for now.
fn is_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

#[cfg(feature = "server")]
impl<S: Transport, C: Side> Transport for TlsStream<S, C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_both(&mut [], buffer)
    }

    fn read_both(&mut self, space: &mut [u8], buffer: &mut [u8]) -> io::Result<usize> {
        TlsStream::read_both(self, space, buffer)
    }

    fn has_more(&self, _: usize, _: usize) -> bool {
        !self.tls.drained
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        TlsStream::write_vectored(self, slices)
    }

    fn held(&self) -> usize {
        TlsStream::held(self)
    }

    fn flush(&mut self) -> io::Result<()> {
        TlsStream::flush(self)
    }

    fn begin(&mut self, behind: Vec<u8>) -> Option<Vec<u8>> {
        let tls = &mut *self.tls;
        tls.clear = false;
        tls.unseen = !behind.is_empty();
        tls.heard = tls.unseen;
        tls.received = behind;
        None
    }

    fn has_heard(&self) -> bool {
        self.tls.heard
    }

    fn agreed(&self) -> super::Agreed<'_> {
        super::Agreed {
            tls: Some(&self.tls.connection),
        }
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        TlsStream::shutdown_write(self)
    }
}

#[cfg(all(test, feature = "server", feature = "client"))]
pub(crate) mod tests;
