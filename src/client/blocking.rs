//! A client that blocks its thread while it waits.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};

use super::random::OsRandom;
use crate::error::{Error, HandshakeError, Misuse};
use crate::net::{Clock, Transport};
use crate::proto::{
    ClientHandshake, ClientRequest, CloseCode, Closed, Config, Connection, Delivery, Event, Input,
    Message, MessageRef, RandomSource, Teardown, Url,
};

/// A read's worth: the largest that loopback and common networks hand over at once.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// Connects to a `ws://` URL with the default options.
///
/// # Errors
/// As [`ConnectOptions::connect`].
pub fn connect(url: &str) -> Result<Client, Error> {
    ConnectOptions::default().connect(url)
}

/// How to connect.
///
/// ```no_run
/// use sockeye::client::ConnectOptions;
/// use sockeye::proto::ClientRequest;
///
/// let mut options = ConnectOptions::default();
/// options.config.max_message_size = 16 * 1024 * 1024;
/// options.request = ClientRequest {
///     subprotocols: &["chat"],
///     headers: &[("Authorization", "Bearer abc")],
///     ..ClientRequest::default()
/// };
/// let client = options.connect("ws://127.0.0.1:9001/chat")?;
/// assert_eq!(client.subprotocol(), Some("chat"));
/// # Ok::<(), sockeye::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ConnectOptions<'a> {
    /// Limits and times. Messages are delivered whole whatever
    /// [`delivery`](Config::delivery) says.
    pub config: Config,
    /// What to ask for besides the URL.
    pub request: ClientRequest<'a>,
}

impl ConnectOptions<'_> {
    /// Connects, and waits until the connection is open. Reaching the address and the opening
    /// handshake take at most [`handshake_timeout`](Config::handshake_timeout) together. Redirects
    /// are not followed.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a URL that is no `ws://` URL or a request that can't be sent, before
    /// anything is; [`Error::Handshake`] when the server refused, with its status and headers;
    /// [`Error::Io`] when it can't be reached.
    pub fn connect(&self, url: &str) -> Result<Client, Error> {
        let url = Url::parse(url)?;
        if url.is_secure() {
            let text = "wss:// needs TLS, which this build doesn't have; use ws://";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text).into());
        }
        let mut config = self.config.clone();
        config.delivery = Delivery::Whole;
        let clock = Clock::start();
        let mut out = Vec::new();
        let random: Box<dyn RandomSource> = Box::new(OsRandom::new());
        let config = Arc::new(config);
        let timeout = config.handshake_timeout;
        let mut handshake =
            ClientHandshake::new(&url, &self.request, config, random, &mut out, clock.now())?;
        let stream = reach((url.host(), url.port()), &clock, timeout)?;
        stream.set_nodelay(true)?;
        let mut wire = Wire {
            stream,
            clock,
            buffer: vec![0; RECEIVE_BUFFER],
            start: 0,
            end: 0,
            out,
        };
        wire.write()?;
        let connection = loop {
            handshake.handle_timeout(wire.clock.now())?;
            match wire.read(handshake.poll_timeout())? {
                Read::Bytes => {}
                Read::Timeout => continue,
                Read::Eof => return Err(HandshakeError::Eof.into()),
            }
            let mut input = Input::new(&mut wire.buffer[wire.start..wire.end]);
            let opened = handshake.recv(&mut input, wire.clock.now())?;
            wire.start += input.consumed();
            if let Some(connection) = opened {
                break connection;
            }
        };
        Ok(Client {
            wire,
            connection,
            closed: None,
        })
    }
}

/// Tries the host's addresses in turn; `timeout` is for all together.
fn reach(host: (&str, u16), clock: &Clock, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in host.to_socket_addrs()? {
        let left = timeout.saturating_sub(clock.now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A connection whose methods block until they are done.
///
/// Pings are answered, keep-alive pings sent and deadlines kept while [`recv`](Self::recv) waits;
/// a thread that doesn't receive for longer than the server's patience is disconnected. A value
/// that is dropped without [`close`](Self::close) ends the transport without the closing
/// handshake.
pub struct Client {
    wire: Wire,
    connection: Connection,
    closed: Option<Closed>,
}

impl Client {
    /// Sends a message: text from `&str`, binary from byte slices, or a received `&Message`.
    /// Blocks until the operating system has taken it.
    ///
    /// # Errors
    /// [`Error::Misuse`] once the closing handshake began; [`Error::Io`] when the transport
    /// broke.
    pub fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        self.connection.send(message, &mut self.wire.out)?;
        Ok(self.wire.write()?)
    }

    /// Sends one fragment of a message; see [`Connection::send_fragment`].
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_fragment<'m>(
        &mut self,
        fragment: impl Into<MessageRef<'m>>,
        fin: bool,
    ) -> Result<(), Error> {
        self.connection
            .send_fragment(fragment, fin, &mut self.wire.out)?;
        Ok(self.wire.write()?)
    }

    /// Sends a ping of at most 125 bytes.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.connection.send_ping(payload, &mut self.wire.out)?;
        Ok(self.wire.write()?)
    }

    /// Waits for the next message. None when the connection was closed by the closing handshake
    /// or the server ended it; [`closed`](Self::closed) tells how.
    ///
    /// # Errors
    /// [`Error::Protocol`] and [`Error::Limit`] when the server broke the protocol or a limit;
    /// it was told by a Close. [`Error::Io`] when the transport broke.
    pub fn recv(&mut self) -> Result<Option<Message<'_>>, Error> {
        let detached = loop {
            let now = self.wire.clock.now();
            let input_start = self.wire.start;
            let mut input = Input::new(&mut self.wire.buffer[input_start..self.wire.end]);
            let event = self.connection.recv(&mut input, &mut self.wire.out, now);
            self.wire.start = input_start + input.consumed();
            match event {
                Ok(Some(Event::Message(message))) => break message.detach(),
                Ok(Some(Event::Closed(closed))) => {
                    self.closed = Some(closed);
                    // Nothing more is owed by either side, so nothing can go wrong any more.
                    let _ = self.tear_down();
                    return Ok(None);
                }
                Ok(Some(_)) => {}
                Ok(None) if self.connection.teardown().is_some() => return Ok(None),
                Ok(None) => {
                    self.wire.write()?;
                    self.wait()?;
                }
                Err(fault) => {
                    // The fault says more than what may go wrong while its Close is sent.
                    let _ = self.tear_down();
                    return Err(fault.into());
                }
            }
        };
        self.wire.write()?;
        let consumed = &mut self.wire.buffer[..self.wire.start];
        Ok(Some(detached.attach(consumed)))
    }

    /// Closes: sends a Close with a code and reason, or with neither (`close(None, "")`), waits
    /// for the server's, for at most [`close_timeout`](Config::close_timeout), and for the end of
    /// the transport. Messages that come meanwhile are dropped. Closing a closed connection does
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a code that may not be sent or a reason of over 123 bytes;
    /// [`Error::Limit`] when the server didn't answer; [`Error::Io`] when the transport broke.
    pub fn close(&mut self, code: impl Into<Option<CloseCode>>, reason: &str) -> Result<(), Error> {
        let now = self.wire.clock.now();
        match self.connection.close(code, reason, &mut self.wire.out, now) {
            Err(Misuse::Closed) => return Ok(()),
            result => result?,
        }
        self.wire.write()?;
        while self.recv()?.is_some() {}
        Ok(())
    }

    /// How the connection was closed, once [`recv`](Self::recv) has answered None.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// The agreed subprotocol.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.connection.subprotocol()
    }

    /// The server's address.
    ///
    /// # Errors
    /// The operating system's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.wire.stream.peer_addr()
    }

    /// Waits for bytes or the next deadline.
    fn wait(&mut self) -> Result<(), Error> {
        match self.wire.read(self.connection.poll_timeout())? {
            Read::Bytes => {}
            Read::Timeout => {
                let now = self.wire.clock.now();
                if let Err(fault) = self.connection.handle_timeout(now, &mut self.wire.out) {
                    let _ = self.tear_down();
                    return Err(fault.into());
                }
                self.wire.write()?;
            }
            Read::Eof => self.closed = self.connection.handle_eof(),
        }
        Ok(())
    }

    /// Follows a connection that is over to the end of its transport.
    fn tear_down(&mut self) -> io::Result<()> {
        self.wire.write()?;
        if self.connection.teardown() == Some(Teardown::HalfClose) {
            self.wire.stream.shutdown_write()?;
        }
        while self.connection.teardown() != Some(Teardown::Drop) {
            self.wire.start = self.wire.end;
            match self.wire.read(self.connection.poll_timeout())? {
                Read::Bytes => {}
                Read::Timeout => {
                    let now = self.wire.clock.now();
                    // Nothing can fail any more.
                    let _ = self.connection.handle_timeout(now, &mut self.wire.out);
                }
                Read::Eof => {
                    self.connection.handle_eof();
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("peer", &self.peer_addr().ok())
            .field("connection", &self.connection)
            .finish()
    }
}

/// The socket and the bytes on their way from and to it.
struct Wire {
    stream: TcpStream,
    clock: Clock,
    buffer: Vec<u8>,
    /// Received and not consumed: `buffer[start..end]`.
    start: usize,
    end: usize,
    out: Vec<u8>,
}

enum Read {
    Bytes,
    Eof,
    Timeout,
}

impl Wire {
    fn write(&mut self) -> io::Result<()> {
        let written = io::Write::write_all(&mut self.stream, &self.out);
        self.out.clear();
        written
    }

    /// Waits for bytes until `deadline`. All earlier ones are consumed.
    fn read(&mut self, deadline: Option<Duration>) -> io::Result<Read> {
        let patience = match deadline.map(|at| at.saturating_sub(self.clock.now())) {
            Some(Duration::ZERO) => return Ok(Read::Timeout),
            patience => patience,
        };
        self.stream.set_read_timeout(patience)?;
        match Transport::read(&mut self.stream, &mut self.buffer) {
            Ok(0) => Ok(Read::Eof),
            Ok(count) => {
                (self.start, self.end) = (0, count);
                Ok(Read::Bytes)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => Ok(Read::Timeout),
                _ => Err(error),
            },
        }
    }
}
