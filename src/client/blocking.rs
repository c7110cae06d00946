//! A client that blocks its thread while it waits.

use core::fmt;
use core::mem;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;

use super::wire::{LOOK, Read, Received, Wire};
use crate::error::{Error, Misuse};
use crate::proto::{CloseCode, Closed, Connection, Event, Input, Message, MessageRef};

/// A connection whose methods block until they are done.
///
/// [`recv`](Self::recv) and [`recv_timeout`](Self::recv_timeout) answer pings, send keep-alive
/// pings and keep deadlines while they wait; a thread that doesn't receive for longer than the
/// server waits is disconnected. While a large message is sent nothing is received: two endpoints
/// that both only send are stuck, until [`send_timeout`](super::ConnectOptions::send_timeout). Dropping
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
    pub(super) fn new(wire: Wire, received: Received, connection: Connection) -> Self {
        Self {
            wire,
            received,
            connection,
            closed: None,
        }
    }

    /// Sends a message: text from `&str`, binary from byte slices, or a received `&Message`. Blocks
    /// until the operating system has taken it, as long as that makes progress.
    ///
    /// # Errors
    /// [`Error::Misuse`] once the closing handshake began; [`Error::Io`] when the transport
    /// broke, or took nothing for [`send_timeout`](super::ConnectOptions::send_timeout)
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
    /// delivered. [`ping_interval`](crate::proto::Config::ping_interval) finds a dead server without it, and
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
    /// [`send_timeout`](super::ConnectOptions::send_timeout).
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
    /// for the server's, for at most [`close_timeout`](crate::proto::Config::close_timeout), and for the end of
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
