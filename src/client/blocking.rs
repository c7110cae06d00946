//! A client that blocks its thread while it waits.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::time::Duration;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};

use super::random::OsRandom;
use super::stream::Stream;
#[cfg(feature = "tls")]
use super::stream::connector;
use crate::error::{Error, HandshakeError, Misuse};
use crate::net::Clock;
use crate::proto::{
    ClientHandshake, ClientRequest, CloseCode, Closed, Config, Connection, Delivery, Event, Input,
    Linger, LingerStep, Message, MessageRef, RandomSource, Url,
};

/// The bytes of one read: the most that loopback and common networks return at once.
const RECEIVE_BUFFER: usize = 64 * 1024;

/// How long the operating system gets to take or return what it can at once, if a deadline has
/// passed already.
const LOOK: Duration = Duration::from_millis(1);

/// Connects to a `ws://` URL, or with the feature `tls` to a `wss://` one, with the default options.
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
///     subprotocols: vec!["chat".into()],
///     headers: vec![("Authorization".into(), "Bearer abc".into())],
///     ..ClientRequest::default()
/// };
/// let client = options.connect("ws://127.0.0.1:9001/chat")?;
/// assert_eq!(client.subprotocol(), Some("chat"));
/// # Ok::<(), sockeye::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Limits and timeouts. Messages are delivered whole whatever [`delivery`](Config::delivery)
    /// says.
    pub config: Config,
    /// What to request besides the URL.
    pub request: ClientRequest,
    /// How long the server may take nothing of what is sent before the connection is given up. Each
    /// byte that it takes restarts the time.
    ///
    /// Default 60 s, as the server's: far over a network's gaps and a busy peer's pauses.
    pub send_timeout: Duration,
    /// The TLS configuration for `wss://`: custom roots, a client's certificate.
    ///
    /// Default none: the server's certificate is verified as the operating system does, with its
    /// roots, TLS 1.2 or 1.3.
    ///
    /// A server whose certificate is signed by a CA of your own, and no other:
    ///
    /// ```no_run
    /// use std::sync::Arc;
    /// use sockeye::client::ConnectOptions;
    /// use sockeye::rustls::pki_types::{CertificateDer, pem::PemObject};
    /// use sockeye::rustls::{ClientConfig, RootCertStore};
    ///
    /// let mut roots = RootCertStore::empty();
    /// for certificate in CertificateDer::pem_file_iter("ca.pem")? {
    ///     roots.add(certificate?)?;
    /// }
    /// let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    /// let mut options = ConnectOptions::default();
    /// options.tls = Some(Arc::new(config));
    /// let client = options.connect("wss://chat.example/")?;
    /// # drop(client);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "tls")]
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            config: Config::default(),
            request: ClientRequest::default(),
            send_timeout: Duration::from_secs(60),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl ConnectOptions {
    /// Connects, and waits until the connection is open. Connecting, TLS and the opening handshake
    /// take at most [`handshake_timeout`](Config::handshake_timeout) together. The look-up of the
    /// host's name can't be interrupted and has the operating system's own timeout, but its time
    /// counts. Redirects are not followed.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a URL that is no WebSocket URL, or a `wss://` one without the feature
    /// `tls`, or a request that can't be sent, before anything is; `Error::Tls` when the server's
    /// certificate is not to be trusted or for another host, or TLS fails otherwise;
    /// [`Error::Handshake`] when the server refused, with its status and headers; [`Error::Io`] when
    /// it can't be reached.
    pub fn connect(&self, url: &str) -> Result<Client, Error> {
        let url = Url::parse(url)?;
        let mut config = self.config.clone();
        config.delivery = Delivery::Whole;
        let clock = Clock::start();
        let mut out = Vec::new();
        let random: Box<dyn RandomSource> = Box::new(OsRandom::new());
        let config = Arc::new(config);
        let timeout = config.handshake_timeout;
        let mut handshake =
            ClientHandshake::new(&url, &self.request, config, random, &mut out, clock.now())?;
        #[cfg(feature = "tls")]
        let secure = match url.is_secure() {
            true => Some(connector(self.tls.as_ref(), url.host())?),
            false => None,
        };
        #[cfg(not(feature = "tls"))]
        if url.is_secure() {
            return Err(Misuse::TlsMissing.into());
        }
        let tcp = reach((url.host(), url.port()), &clock, timeout)?;
        tcp.set_nodelay(true)?;
        #[cfg(feature = "tls")]
        let stream = match secure {
            Some(secure) => secure(tcp)?,
            None => Stream::Plain(tcp),
        };
        #[cfg(not(feature = "tls"))]
        let stream = Stream::Plain(tcp);
        let mut wire = Wire {
            stream,
            clock,
            out,
            written: 0,
            stalled: None,
            send_timeout: self.send_timeout,
            write_timeout: None,
        };
        let mut received = Received::new();
        let connection = loop {
            handshake.handle_timeout(wire.clock.now())?;
            if !wire.write(handshake.poll_timeout())? {
                continue;
            }
            let deadline = handshake.poll_timeout();
            match wire.read(&mut received.buffer, deadline, Duration::ZERO)? {
                Read::Bytes(count) => (received.start, received.end) = (0, count),
                Read::Timeout => continue,
                Read::Eof => return Err(HandshakeError::Eof.into()),
            }
            let mut input = received.input();
            let opened = handshake.recv(&mut input, wire.clock.now())?;
            received.start += input.consumed();
            if let Some(connection) = opened {
                break connection;
            }
        };
        Ok(Client {
            wire,
            received,
            connection,
            closed: None,
        })
    }
}

/// Tries the host's addresses in turn; `timeout` is for all of them together.
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
/// [`recv`](Self::recv) and [`recv_timeout`](Self::recv_timeout) answer pings, send keep-alive
/// pings and keep deadlines while they wait; a thread that doesn't receive for longer than the
/// server waits is disconnected. While a large message is sent nothing is received: two endpoints
/// that both only send are stuck, until [`send_timeout`](ConnectOptions::send_timeout). Dropping
/// the value without [`close`](Self::close) ends the transport without the closing handshake.
///
/// A received message borrows the client, whose buffer it is in if that saves a copy. To send while
/// it is in use, make it owned:
///
/// ```no_run
/// let mut client = sockeye::client::connect("ws://127.0.0.1:9001/echo")?;
/// while let Some(message) = client.recv()? {
///     let message = message.into_owned();
///     client.send(&message)?;
/// }
/// # Ok::<(), sockeye::Error>(())
/// ```
pub struct Client {
    wire: Wire,
    received: Received,
    connection: Connection,
    closed: Option<Closed>,
}

impl Client {
    /// Sends a message: text from `&str`, binary from byte slices, or a received `&Message`. Blocks
    /// until the operating system has taken it, as long as that makes progress.
    ///
    /// # Errors
    /// [`Error::Misuse`] once the closing handshake began; [`Error::Io`] when the transport
    /// broke, or took nothing for [`send_timeout`](ConnectOptions::send_timeout)
    /// ([`TimedOut`](io::ErrorKind::TimedOut)): the connection is then over.
    pub fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        self.connection.send(message, &mut self.wire.out)?;
        self.write()
    }

    /// Sends a fragment of a message, which more fragments follow; see
    /// [`Connection::send_fragment`].
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_fragment<'m>(&mut self, fragment: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        self.connection
            .send_fragment(fragment, &mut self.wire.out)?;
        self.write()
    }

    /// Sends the last fragment of a message; see [`Connection::send_last_fragment`].
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_last_fragment<'m>(
        &mut self,
        fragment: impl Into<MessageRef<'m>>,
    ) -> Result<(), Error> {
        self.connection
            .send_last_fragment(fragment, &mut self.wire.out)?;
        self.write()
    }

    /// Sends a ping of at most 125 bytes, to keep a proxy's connection alive, say: the pong is not
    /// delivered. [`ping_interval`](Config::ping_interval) finds a dead server without it, and
    /// [`round_trip`](Self::round_trip) measures the distance.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.connection.send_ping(payload, &mut self.wire.out)?;
        self.write()
    }

    /// Waits for the next message.
    ///
    /// None is the end, and [`closed`](Self::closed) says which: the closing handshake, with the
    /// code and reason of whoever closed, or the end of the stream without one, which is
    /// [1006](CloseCode::ABNORMAL) and not [clean](Closed::clean).
    /// [`recv_timeout`](Self::recv_timeout) also returns None if nothing came in time: then the
    /// connection [is open](Self::is_open).
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// let mut client = sockeye::client::connect("ws://127.0.0.1:9001/chat")?;
    /// loop {
    ///     if let Some(message) = client.recv_timeout(Duration::from_secs(5))? {
    ///         println!("{:?}", message.as_text());
    ///     } else if client.is_open() {
    ///         println!("nothing for five seconds");
    ///     } else {
    ///         break;
    ///     }
    /// }
    /// match client.closed() {
    ///     Some(closed) if closed.clean => println!("closed: {} {}", closed.code, closed.reason),
    ///     _ => println!("the server has gone"),
    /// }
    /// # Ok::<(), sockeye::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Protocol`] and [`Error::Limit`] when the server broke the protocol or a limit; a
    /// Close has told it so, and each later call returns the same. [`Error::Io`] when the transport
    /// failed, or took nothing of what is owed to the server for
    /// [`send_timeout`](ConnectOptions::send_timeout).
    pub fn recv(&mut self) -> Result<Option<Message<'_>>, Error> {
        self.recv_until(None)
    }

    /// Like [`recv`](Self::recv), for at most `timeout`; zero takes what is there. Also returns
    /// None if no message came in that time: the connection then still [is open](Self::is_open),
    /// and no part of an incomplete message is lost.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Message<'_>>, Error> {
        let until = self.wire.clock.now().saturating_add(timeout);
        self.recv_until(Some(until))
    }

    fn recv_until(&mut self, until: Option<Duration>) -> Result<Option<Message<'_>>, Error> {
        // What came while the caller was elsewhere counts before the deadlines that passed.
        let mut away = true;
        // A message that lies in the buffer is received behind the loop, which reads into that.
        while !self.connection.is_message_next(self.received.bytes()) {
            let now = self.wire.clock.now();
            let Received { buffer, start, end } = &mut self.received;
            let mut input = Input::new(&mut buffer[*start..*end]);
            let event = self.connection.recv(&mut input, &mut self.wire.out, now);
            *start += input.consumed();
            match event {
                Ok(Some(Event::Message(message))) => {
                    // It was assembled, so it is not copied, or lies behind an empty fragment.
                    let message = message.into_owned();
                    self.write_until(until)?;
                    return Ok(Some(message));
                }
                Ok(Some(Event::Closed(closed))) => {
                    self.closed = Some(closed);
                    // Neither side owes anything any more, so nothing can fail any more.
                    let _ = self.tear_down();
                    return Ok(None);
                }
                Ok(Some(_)) => {}
                Ok(None) if self.connection.teardown().is_some() => return Ok(None),
                Ok(None) => {
                    let written = self.write_until(until)?;
                    if !away && until.is_some_and(|until| now >= until) {
                        return Ok(None);
                    }
                    away |= !written;
                    self.wait(until, mem::take(&mut away))?;
                }
                Err(fault) => {
                    // The fault says more than an error while its Close is sent.
                    let _ = self.tear_down();
                    return Err(fault.into());
                }
            }
        }
        self.write_until(until)?;
        let now = self.wire.clock.now();
        let Received { buffer, start, end } = &mut self.received;
        let mut input = Input::new(&mut buffer[*start..*end]);
        let event = self.connection.recv(&mut input, &mut self.wire.out, now);
        *start += input.consumed();
        match event {
            Ok(Some(Event::Message(message))) => Ok(Some(message)),
            Ok(_) => Ok(None),
            Err(fault) => {
                let _ = tear_down(&mut self.connection, &mut self.wire);
                Err(fault.into())
            }
        }
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
        while self.recv()?.is_some() {}
        Ok(())
    }

    /// How the connection was closed, once [`recv`](Self::recv) has returned None.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// This client's own Close, once it was sent, whatever the server replied: also if
    /// [`recv`](Self::recv) or [`close`](Self::close) fails. See [`Connection::sent_close`].
    #[must_use]
    pub fn sent_close(&self) -> Option<(CloseCode, &str)> {
        self.connection.sent_close()
    }

    /// Whether messages may be sent: the closing handshake has not begun and nothing failed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.connection.is_open()
    }

    /// The round trip of the last keep-alive ping that was answered; see
    /// [`Connection::round_trip`].
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.connection.round_trip()
    }

    /// The agreed subprotocol.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.connection.subprotocol()
    }

    /// The server's address.
    ///
    /// # Errors
    /// The operating system's error.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.wire.stream.tcp().peer_addr()
    }

    /// Writes the output, until `deadline`; returns whether all is written.
    fn write_before(&mut self, deadline: Option<Duration>) -> Result<bool, Error> {
        self.wire.write(deadline).map_err(|error| {
            // A frame may be cut: nothing can be sent behind it.
            self.closed = self.connection.handle_eof();
            error.into()
        })
    }

    fn write(&mut self) -> Result<(), Error> {
        self.write_before(None).map(drop)
    }

    /// Like `write_before`, but no longer than to the connection's next deadline.
    fn write_until(&mut self, until: Option<Duration>) -> Result<bool, Error> {
        self.write_before(earlier(self.connection.poll_timeout(), until))
    }

    /// Waits for bytes, the next deadline or `until`; after a time without reading (`away`), also
    /// reads if that has passed.
    fn wait(&mut self, until: Option<Duration>, away: bool) -> Result<(), Error> {
        let deadline = earlier(self.connection.poll_timeout(), until);
        let least = match away && self.connection.is_open() {
            true => LOOK,
            false => Duration::ZERO,
        };
        let received = &mut self.received;
        match self.wire.read(&mut received.buffer, deadline, least)? {
            Read::Bytes(count) => (received.start, received.end) = (0, count),
            Read::Timeout => {
                let now = self.wire.clock.now();
                if let Err(fault) = self.connection.handle_timeout(now, &mut self.wire.out) {
                    let _ = self.tear_down();
                    return Err(fault.into());
                }
            }
            Read::Eof => self.closed = self.connection.handle_eof(),
        }
        Ok(())
    }

    fn tear_down(&mut self) -> io::Result<()> {
        tear_down(&mut self.connection, &mut self.wire)
    }
}

/// Follows a connection that has ended to the end of its transport.
fn tear_down(connection: &mut Connection, wire: &mut Wire) -> io::Result<()> {
    let Some(linger) = connection.linger() else {
        return Ok(());
    };
    let result = wire.follow(linger);
    connection.handle_eof();
    result
}

fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.into_iter().chain(other).min()
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("peer", &self.peer_addr().ok())
            .field("connection", &self.connection)
            .finish()
    }
}

/// The bytes that were read.
struct Received {
    buffer: Vec<u8>,
    /// Received and not consumed: `buffer[start..end]`.
    start: usize,
    end: usize,
}

impl Received {
    fn new() -> Self {
        Self {
            buffer: vec![0; RECEIVE_BUFFER],
            start: 0,
            end: 0,
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn input(&mut self) -> Input<'_> {
        Input::new(&mut self.buffer[self.start..self.end])
    }
}

/// The socket and the bytes on their way to it.
struct Wire {
    stream: Stream,
    clock: Clock,
    out: Vec<u8>,
    /// How much of `out` is written.
    written: usize,
    /// Since when the operating system has taken nothing of it.
    stalled: Option<Duration>,
    send_timeout: Duration,
    /// The timeout that was last set on the socket.
    write_timeout: Option<Duration>,
}

enum Read {
    /// This many bytes, at the front of the buffer.
    Bytes(usize),
    Eof,
    Timeout,
}

/// Whether a blocking call timed out or was interrupted with nothing done.
fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

impl Wire {
    /// Whether there is something to write: what the stream holds, and once its own handshake is
    /// over, `out`.
    fn has_output(&self) -> bool {
        let waits = self.written < self.out.len() && !self.stream.is_handshaking();
        waits || self.stream.held() > 0
    }

    /// Writes `out` until `deadline`, as long as it makes progress; returns whether everything that
    /// can be written is. Tries at least once.
    fn write(&mut self, deadline: Option<Duration>) -> io::Result<bool> {
        let mut least = LOOK;
        while self.has_output() {
            let now = self.clock.now();
            let stalled = *self.stalled.get_or_insert(now);
            let stuck = stalled.saturating_add(self.send_timeout);
            let until = deadline.map_or(stuck, |it| it.min(stuck));
            let patience = until.saturating_sub(now).max(mem::take(&mut least));
            if now >= stuck {
                let text = "the server took nothing of what was sent within send_timeout";
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            if patience.is_zero() {
                return Ok(false);
            }
            if self.write_timeout != Some(patience) {
                self.stream.tcp().set_write_timeout(Some(patience))?;
                self.write_timeout = Some(patience);
            }
            let written = match self.stream.held() {
                0 => match self.stream.write(&self.out[self.written..]) {
                    Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                    count => count,
                },
                _ => self.stream.flush().map(|()| 0),
            };
            match written {
                Ok(count) => {
                    self.written += count;
                    self.stalled = None;
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error),
            }
        }
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
        Ok(true)
    }

    /// Follows the transport to its end.
    fn follow(&mut self, mut linger: Linger) -> io::Result<()> {
        let mut dropped = [0; 16 * 1024];
        loop {
            let deadline = Some(linger.poll_timeout());
            match linger.step(!self.has_output()) {
                LingerStep::Write => _ = self.write(deadline)?,
                LingerStep::ShutDown => self.stream.shutdown_write()?,
                LingerStep::Read => match self.read(&mut dropped, deadline, Duration::ZERO)? {
                    Read::Bytes(count) => linger.discard(count),
                    Read::Timeout => {}
                    Read::Eof => linger.handle_eof(),
                },
                LingerStep::Drop => break,
            }
            linger.handle_timeout(self.clock.now());
        }
        if !linger.is_shut_down() {
            self.stream.farewell();
        }
        Ok(())
    }

    /// Waits for bytes until `deadline`, but at least for `least`.
    fn read(
        &mut self,
        buffer: &mut [u8],
        deadline: Option<Duration>,
        least: Duration,
    ) -> io::Result<Read> {
        let now = self.clock.now();
        let patience = deadline.map(|at| at.saturating_sub(now).max(least));
        if patience == Some(Duration::ZERO) {
            return Ok(Read::Timeout);
        }
        self.stream.tcp().set_read_timeout(patience)?;
        match self.stream.read(buffer) {
            Ok(0) => Ok(Read::Eof),
            Ok(count) => Ok(Read::Bytes(count)),
            Err(error) if is_timeout(&error) => Ok(Read::Timeout),
            Err(error) => Err(error),
        }
    }
}
