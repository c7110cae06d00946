//! A client that blocks its thread while it waits.
//!
//! Owns the waiting; what is done between two waits is [`Link`]'s.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::ops::ControlFlow;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;

use super::closer::Closer;
use super::link::{Link, Turn};
use super::received::Received;
use super::split::{Receiver, Sender, split};
use crate::error::{Error, Misuse};
use crate::proto::{CloseCode, Closed, Message, MessageRef};

/// A connection whose methods block until they are done.
///
/// [`recv`](Self::recv) and [`recv_timeout`](Self::recv_timeout) answer pings, send keep-alive
/// pings and keep deadlines while they wait; a thread that doesn't receive for longer than the
/// server waits is disconnected. While a large message is sent nothing is received: two endpoints
/// that both only send are stuck, until [`send_timeout`](super::ConnectOptions::send_timeout).
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
///
/// # The end
///
/// It is told at once, by whichever call meets it, and once: [`recv`](Self::recv) returns None for a
/// closing handshake, and an error for any other end, after which it returns None. From then on
/// [`is_open`](Self::is_open) is false and [`closed`](Self::closed) says how it ended. What is left of
/// the transport, the Close on its way and the server's end, is done with by the next call, or by
/// dropping the client, which waits for it for at most a second and 4 MiB. Dropping a client that is
/// open ends the transport without the closing handshake.
pub struct Client {
    link: Link,
}

impl Client {
    pub(super) fn new(link: Link) -> Self {
        Self { link }
    }

    /// Sends a message: text from `&str`, binary from byte slices, or a received `&Message`. Blocks
    /// until the operating system has taken it, as long as that makes progress.
    ///
    /// # Errors
    /// [`Error::Misuse`] once the closing handshake began; [`Error::Io`] when the transport
    /// broke, or took nothing for [`send_timeout`](super::ConnectOptions::send_timeout)
    /// ([`TimedOut`](io::ErrorKind::TimedOut)): the connection is then over. What the server had said
    /// before that, a Close that says why among it, is received still.
    pub fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        self.link.queue(|it, out, _| it.send(message, out))?;
        self.flush()
    }

    /// Sends a fragment of a message, which more fragments follow; see
    /// [`Connection::send_fragment`](crate::proto::Connection::send_fragment).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_fragment<'m>(&mut self, fragment: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        self.link
            .queue(|it, out, _| it.send_fragment(fragment, out))?;
        self.flush()
    }

    /// Sends the last fragment of a message; see
    /// [`Connection::send_last_fragment`](crate::proto::Connection::send_last_fragment).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_last_fragment<'m>(
        &mut self,
        fragment: impl Into<MessageRef<'m>>,
    ) -> Result<(), Error> {
        self.link
            .queue(|it, out, _| it.send_last_fragment(fragment, out))?;
        self.flush()
    }

    /// Sends a ping of at most 125 bytes, whose pong [`recv_event`](Self::recv_event) returns.
    /// [`ping_interval`](crate::proto::Config::ping_interval) finds a dead server without it, and
    /// [`round_trip`](Self::round_trip) measures the distance.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn ping(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.link.queue(|it, out, _| it.send_ping(payload, out))?;
        self.flush()
    }

    /// Waits for the next message. None is the end by the closing handshake, with the code and reason
    /// of [`closed`](Self::closed), and each call after the end was told.
    ///
    /// ```no_run
    /// let mut client = sockeye::client::connect("ws://127.0.0.1:9001/chat")?;
    /// while let Some(message) = client.recv()? {
    ///     println!("{:?}", message.as_text());
    /// }
    /// if let Some(closed) = client.closed() {
    ///     println!("closed: {} {}", closed.code, closed.reason);
    /// }
    /// # Ok::<(), sockeye::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Protocol`] and [`Error::Limit`] when the server broke the protocol or a limit; a
    /// Close has told it so, and each later call returns the same. Once: [`Error::Io`] when the
    /// transport failed, took nothing of what is owed to the server for
    /// [`send_timeout`](super::ConnectOptions::send_timeout), or ended without a Close
    /// ([`UnexpectedEof`](io::ErrorKind::UnexpectedEof)), which is
    /// [1006](CloseCode::ABNORMAL). If this client had closed before, such an end is None, unless a
    /// message was cut.
    pub fn recv(&mut self) -> Result<Option<Message<'_>>, Error> {
        Ok(self.recv_until(None, false)?.message())
    }

    /// Like [`recv`](Self::recv), for at most `timeout`. With zero it doesn't wait: all that has come
    /// is looked at.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use sockeye::client::Received;
    ///
    /// let mut client = sockeye::client::connect("ws://127.0.0.1:9001/chat")?;
    /// loop {
    ///     match client.recv_timeout(Duration::from_secs(5))? {
    ///         Received::Message(message) => println!("{:?}", message.as_text()),
    ///         Received::TimedOut => println!("nothing for five seconds"),
    ///         _ => break,
    ///     }
    /// }
    /// # Ok::<(), sockeye::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Received<'_>, Error> {
        let until = self.link.wire.clock.now().saturating_add(timeout);
        self.recv_until(Some(until), false)
    }

    /// Like [`recv_timeout`](Self::recv_timeout), or without a time limit, and returns pings and
    /// pongs, too.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_event(&mut self, timeout: Option<Duration>) -> Result<Received<'_>, Error> {
        let now = self.link.wire.clock.now();
        self.recv_until(timeout.map(|it| now.saturating_add(it)), true)
    }

    /// The messages until the end, owned. It ends behind an error.
    ///
    /// ```no_run
    /// let mut client = sockeye::client::connect("ws://127.0.0.1:9001/chat")?;
    /// for message in client.messages() {
    ///     println!("{:?}", message?.as_text());
    /// }
    /// # Ok::<(), sockeye::Error>(())
    /// ```
    pub fn messages(&mut self) -> Messages<'_> {
        Messages {
            client: self,
            ended: false,
        }
    }

    fn recv_until(
        &mut self,
        until: Option<Duration>,
        control: bool,
    ) -> Result<Received<'_>, Error> {
        if self.link.lingers() {
            self.link.follow(until)?;
        }
        self.link.begin();
        let mut looked = false;
        loop {
            match self.link.turn(control)? {
                Turn::Buffered => break,
                Turn::Message(message) => return Ok(Received::Message(message)),
                Turn::Ping(payload) => return Ok(Received::Ping(payload)),
                Turn::Pong(payload) => return Ok(Received::Pong(payload)),
                Turn::Over => return Ok(Received::Closed),
                Turn::Wait => {}
            }
            if looked && until.is_some_and(|until| self.link.wire.clock.now() >= until) {
                return Ok(Received::TimedOut);
            }
            self.link.wait(until)?;
            looked = true;
        }
        Ok(match self.link.take()? {
            Some(message) => Received::Message(message),
            None => Received::Closed,
        })
    }

    /// Writes all that is queued.
    fn flush(&mut self) -> Result<(), Error> {
        while !self.link.flush()? {
            let until = self.link.wire.poll_timeout();
            self.link.wire.wait(false, None, until)?;
        }
        Ok(())
    }

    /// Closes: sends a Close with a code and reason, or with neither (`close(None, "")`), waits
    /// for the server's, for at most [`close_timeout`](crate::proto::Config::close_timeout), and for
    /// the end of the transport. Messages that come meanwhile are dropped: see
    /// [`close_after_draining`](Self::close_after_draining). Closing a closed connection does nothing.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a code that may not be sent or a reason of over 123 bytes;
    /// [`Error::Limit`] when the server didn't answer; [`Error::Io`] when the transport broke.
    pub fn close(&mut self, code: impl Into<Option<CloseCode>>, reason: &str) -> Result<(), Error> {
        let closing = self
            .link
            .queue(|it, out, now| it.close(code, reason, out, now));
        match closing {
            Err(Error::Misuse(Misuse::Closed)) if self.link.closed().is_some() => return Ok(()),
            Err(Error::Misuse(Misuse::Closed)) => {}
            result => result?,
        }
        while self.recv()?.is_some() {}
        Ok(self.link.follow(None)?)
    }

    /// Waits for messages until none has come for `quiet`, or `each` breaks, and then
    /// [closes](Self::close): for a program that sends, leaves, and still wants to see its answers.
    /// A server that closes first ends it, too.
    ///
    /// ```no_run
    /// use std::ops::ControlFlow;
    /// use std::time::Duration;
    /// use sockeye::proto::CloseCode;
    ///
    /// let mut client = sockeye::client::connect("ws://127.0.0.1:9001/rpc")?;
    /// client.send("one")?;
    /// client.send("two")?;
    /// client.close_after_draining(CloseCode::NORMAL, "", Duration::from_secs(1), |message| {
    ///     println!("{:?}", message.as_text());
    ///     ControlFlow::Continue(())
    /// })?;
    /// # Ok::<(), sockeye::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv) and [`close`](Self::close).
    pub fn close_after_draining(
        &mut self,
        code: impl Into<Option<CloseCode>>,
        reason: &str,
        quiet: Duration,
        mut each: impl FnMut(Message<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        while let Received::Message(message) = self.recv_timeout(quiet)? {
            if each(message).is_break() {
                break;
            }
        }
        self.close(code, reason)
    }

    /// Returns what closes the connection from another thread, or from a signal's handler.
    ///
    /// # Errors
    /// The operating system's error: it has no more descriptors, say.
    pub fn closer(&mut self) -> io::Result<Closer> {
        Ok(Closer(self.link.waking()?))
    }

    /// Splits the client, so that one thread sends while another receives: see [`Sender`] and
    /// [`Receiver`].
    ///
    /// # Errors
    /// [`Error::Io`], and then the connection is dropped: the operating system has no more
    /// descriptors, or the client's stream is [no socket](super::Stream::new).
    pub fn split(mut self) -> Result<(Sender, Receiver), Error> {
        let waking = self.link.waking()?;
        Ok(split(self.link, waking)?)
    }

    /// How the connection ended; None while it hasn't.
    #[must_use]
    pub fn closed(&self) -> Option<&Closed> {
        self.link.closed()
    }

    /// This client's own Close, once it was sent, whatever the server replied: also if
    /// [`recv`](Self::recv) or [`close`](Self::close) fails. See
    /// [`Connection::sent_close`](crate::proto::Connection::sent_close).
    #[must_use]
    pub fn sent_close(&self) -> Option<(CloseCode, &str)> {
        self.link.connection.sent_close()
    }

    /// Whether messages may be sent: the closing handshake has not begun and nothing failed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.link.is_open()
    }

    /// The round trip of the last keep-alive ping that was answered; see
    /// [`Connection::round_trip`](crate::proto::Connection::round_trip).
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.link.connection.round_trip()
    }

    /// The agreed subprotocol.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.link.connection.subprotocol()
    }

    /// The headers of the server's 101 response in their order, values as sent.
    #[must_use]
    pub fn headers(&self) -> &[(String, Vec<u8>)] {
        self.link.headers()
    }

    /// The values of each header of this name, in any case, in the server's 101 response.
    pub fn header(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let headers = self.link.headers().iter();
        let named = headers.filter(move |(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice())
    }

    /// The address that the client is connected to: the server's, or its proxy's.
    ///
    /// # Errors
    /// The operating system's error; [`Unsupported`](io::ErrorKind::Unsupported) over a stream that is
    /// not TCP.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.link.wire.channel.stream().peer_addr()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("peer", &self.peer_addr().ok())
            .field("connection", &self.link.connection)
            .finish_non_exhaustive()
    }
}

/// The messages of a [`Client`]; see [`Client::messages`].
#[derive(Debug)]
pub struct Messages<'c> {
    client: &'c mut Client,
    ended: bool,
}

impl Iterator for Messages<'_> {
    type Item = Result<Message<'static>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.client.recv();
        let next = next.map(|it| it.map(Message::into_owned)).transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}
