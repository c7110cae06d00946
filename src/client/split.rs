//! A client in two halves, for a thread that sends and one that receives.
//!
//! Owns the lock over the connection, which nobody holds while it waits.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fd::{AsFd as _, OwnedFd};

use super::closer::Closer;
use super::link::{Link, Turn, Waking, earlier};
use super::received::Received;
use super::wait::{Interest, wait};
use crate::error::{Error, Misuse};
use crate::net::Clock;
use crate::proto::{CloseCode, Closed, Message, MessageRef};

struct Shared {
    link: Mutex<Link>,
    /// The same socket, for those who wait.
    socket: OwnedFd,
    waking: Arc<Waking>,
    clock: Clock,
}

pub(super) fn split(link: Link, waking: Arc<Waking>) -> io::Result<(Sender, Receiver)> {
    let shared = Arc::new(Shared {
        socket: link.wire.channel.stream().clone_socket()?,
        clock: link.wire.clock.clone(),
        waking,
        link: Mutex::new(link),
    });
    let sender = Sender {
        shared: Arc::clone(&shared),
    };
    Ok((sender, Receiver { shared }))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how long it is until `deadline`.
    fn until(&self, deadline: Option<Duration>) -> Option<Duration> {
        deadline.map(|it| it.saturating_sub(self.clock.now()))
    }
}

/// The sending half of a [`Client`](super::Client); it can be cloned. A send doesn't wait for a
/// receiver's timeout, nor for the receiver at all: what it sends is written by its own thread.
///
/// ```no_run
/// let client = sockeye::client::connect("ws://127.0.0.1:9001/chat")?;
/// let (sender, mut receiver) = client.split()?;
/// let printer = std::thread::spawn(move || {
///     while let Ok(Some(message)) = receiver.recv() {
///         println!("{:?}", message.as_text());
///     }
/// });
/// sender.send("Hello")?;
/// sender.close(sockeye::proto::CloseCode::NORMAL, "")?;
/// let _ = printer.join();
/// # Ok::<(), sockeye::Error>(())
/// ```
#[derive(Clone)]
pub struct Sender {
    shared: Arc<Shared>,
}

impl Sender {
    /// Sends a message, as [`Client::send`](super::Client::send) does. Those of several threads are
    /// sent one after the other, whole.
    ///
    /// # Errors
    /// As [`Client::send`](super::Client::send).
    pub fn send<'m>(&self, message: impl Into<MessageRef<'m>>) -> Result<(), Error> {
        let mut link = self.shared.lock();
        link.queue(|it, out, _| it.send(message, out))?;
        self.finish(link)
    }

    /// Sends a ping of at most 125 bytes, whose pong [`Receiver::recv_event`] returns.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn ping(&self, payload: &[u8]) -> Result<(), Error> {
        let mut link = self.shared.lock();
        link.queue(|it, out, _| it.send_ping(payload, out))?;
        self.finish(link)
    }

    /// Closes: sends a Close with a code and reason, or with neither, and doesn't wait for the
    /// server's. The receiver returns the end. Closing a closed connection does nothing.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a code that may not be sent or a reason of over 123 bytes; [`Error::Io`]
    /// when the transport broke.
    pub fn close(&self, code: impl Into<Option<CloseCode>>, reason: &str) -> Result<(), Error> {
        let mut link = self.shared.lock();
        match link.queue(|it, out, now| it.close(code, reason, out, now)) {
            Err(Error::Misuse(Misuse::Closed)) => return Ok(()),
            result => result?,
        }
        let result = link.flush();
        drop(link);
        // It has another deadline now, and may have something to write.
        self.shared.waking.wakeup.wake();
        result.map(drop)
    }

    /// Whether messages may be sent: the closing handshake has not begun and nothing failed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shared.lock().is_open()
    }

    /// Writes what was queued last, by turns with whoever else writes.
    fn finish<'a>(&'a self, mut link: MutexGuard<'a, Link>) -> Result<(), Error> {
        let end = link.wire.end_of_output();
        let write = Interest {
            read: false,
            write: true,
        };
        loop {
            let flushed = link.flush();
            if flushed.is_err() {
                self.shared.waking.wakeup.wake();
            }
            if flushed? || link.wire.has_written(end) {
                return Ok(());
            }
            let timeout = self.shared.until(link.wire.poll_timeout());
            drop(link);
            wait(self.shared.socket.as_fd(), write, None, timeout)?;
            link = self.shared.lock();
            if link.wire.is_broken() && !link.wire.has_written(end) {
                let text = "the connection ended before all of the message was sent";
                return Err(io::Error::new(io::ErrorKind::BrokenPipe, text).into());
            }
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

/// The receiving half of a [`Client`](super::Client). It is this half that answers pings and keeps
/// the deadlines, while it receives; the connection is dropped with the last of both halves.
pub struct Receiver {
    shared: Arc<Shared>,
}

impl Receiver {
    /// Waits for the next message, as [`Client::recv`](super::Client::recv) does.
    ///
    /// # Errors
    /// As [`Client::recv`](super::Client::recv).
    pub fn recv(&mut self) -> Result<Option<Message<'static>>, Error> {
        Ok(self.recv_until(None, false)?.message())
    }

    /// Waits for at most `timeout`, as [`Client::recv_timeout`](super::Client::recv_timeout) does.
    ///
    /// # Errors
    /// As [`Client::recv`](super::Client::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Received<'static>, Error> {
        self.recv_until(Some(timeout), false)
    }

    /// Returns pings and pongs, too, as [`Client::recv_event`](super::Client::recv_event) does.
    ///
    /// # Errors
    /// As [`Client::recv`](super::Client::recv).
    pub fn recv_event(&mut self, timeout: Option<Duration>) -> Result<Received<'static>, Error> {
        self.recv_until(timeout, true)
    }

    /// How the connection ended; None while it hasn't.
    #[must_use]
    pub fn closed(&self) -> Option<Closed> {
        self.shared.lock().closed().cloned()
    }

    /// Returns what closes the connection from another thread, or from a signal's handler.
    #[must_use]
    pub fn closer(&self) -> Closer {
        Closer(Arc::clone(&self.shared.waking))
    }

    fn recv_until(
        &mut self,
        timeout: Option<Duration>,
        control: bool,
    ) -> Result<Received<'static>, Error> {
        let shared = &*self.shared;
        let until = timeout.map(|it| shared.clock.now().saturating_add(it));
        let mut link = shared.lock();
        link.settle();
        link.begin();
        let mut looked = false;
        loop {
            match link.turn(control)? {
                Turn::Buffered => {
                    let message = link.take()?.map(Message::into_owned);
                    return Ok(message.map_or(Received::Closed, Received::Message));
                }
                Turn::Message(message) => return Ok(Received::Message(message)),
                Turn::Ping(payload) => return Ok(Received::Ping(payload)),
                Turn::Pong(payload) => return Ok(Received::Pong(payload)),
                Turn::Over => return Ok(Received::Closed),
                Turn::Wait => {}
            }
            if looked && until.is_some_and(|until| shared.clock.now() >= until) {
                return Ok(Received::TimedOut);
            }
            let interest = link.wire.interest(link.wants_to_read());
            let timeout = shared.until(earlier(link.poll_timeout(), until));
            drop(link);
            let wakeup = Some(&shared.waking.wakeup);
            let ready = wait(shared.socket.as_fd(), interest, wakeup, timeout)?;
            link = shared.lock();
            if ready {
                link.wire.look_again();
            }
            looked = true;
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}
