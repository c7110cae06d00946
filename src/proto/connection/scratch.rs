//! The memory of messages that arrive in several parts: what the caller keeps for them
//! ([`Scratch`]), and where in a message the next bytes belong ([`Space`]).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Deref, DerefMut};

use super::{Connection, Receiving, State};
use crate::proto::message::Payload;

/// Memory for messages that arrive in several parts, kept by the caller: one for each thread is
/// enough, however many connections it drives.
///
/// A message that is whole in the caller's read buffer is delivered from there, and needs no memory
/// (unless an extension decodes it). Any other is assembled in a buffer that grows with it, and
/// while a frame is incomplete the connection holds its state. Without a `Scratch`
/// ([`Connection::recv`]) both are allocated for each such message and freed with it. With one
/// ([`Connection::recv_with`]) they are taken from it:
///
/// 1. [`Connection::recv_with`] takes the buffer out once a message has to be assembled. It may
///    put another in, and it never leaves one with an idle connection.
/// 2. A message that was assembled owns its buffer ([`Message::is_borrowed`] is false).
///    [`recycle`](Self::recycle) gives that back, for the next.
/// 3. A caller with a buffer pool lends from it by [`put`](Self::put) and [`take`](Self::take).
///
/// It holds at most one buffer. The buffer's content is unspecified: it may be part of some earlier
/// message, of another connection.
///
/// # Reading to where a message is assembled
///
/// From 16 KiB on, the next bytes of a message can be read straight to where it is assembled:
/// [`Connection::space`] returns the place, and [`Space::filled`] takes the number of bytes. This
/// saves a copy. The space ends where the frame does at the latest, and is never longer than what
/// has arrived of the message, so that a length that is only claimed costs no memory. With a
/// vectored read what follows the space goes to the usual buffer, for the same call of `recv_with`:
///
/// ```
/// use std::io::{self, IoSliceMut, Read};
/// use std::{sync::Arc, time::Duration};
/// use sockeye::proto::{Config, Connection, Event, Input, MessageKind, Scratch};
///
/// /// Reads once, and echoes what came. False at the end of the stream.
/// fn turn(
///     socket: &mut impl Read,
///     connection: &mut Connection,
///     buffer: &mut [u8],
///     scratch: &mut Scratch,
///     out: &mut Vec<u8>,
///     now: Duration,
/// ) -> Result<bool, Box<dyn std::error::Error>> {
///     let (count, behind) = match connection.space() {
///         Some(mut space) => {
///             let mut both = [IoSliceMut::new(&mut space), IoSliceMut::new(buffer)];
///             let count = socket.read_vectored(&mut both)?;
///             (count, space.filled(count))
///         }
///         None => {
///             let count = socket.read(buffer)?;
///             (count, count)
///         }
///     };
///     let mut input = Input::new(&mut buffer[..behind]);
///     while let Some(event) = connection.recv_with(&mut input, scratch, out, now)? {
///         if let Event::Message(message) = event {
///             connection.send(&message, out)?;
///             scratch.recycle(message.into_payload());
///         }
///     }
///     Ok(count > 0)
/// }
///
/// # let now = Duration::ZERO;
/// # let config = Arc::new(Config::default());
/// # let random = |key: &mut [u8]| key.fill(1);
/// # let mut sent = Vec::new();
/// # let mut peer = Connection::client(config.clone(), Box::new(random), now);
/// # for length in [300_000, 5, 100_000] {
/// #     peer.send(&vec![b'x'; length], &mut sent)?;
/// # }
/// # let mut socket = &sent[..];
/// let mut connection = Connection::server(config, now);
/// let (mut buffer, mut scratch, mut out) = (vec![0; 64 * 1024], Scratch::new(), Vec::new());
/// while turn(&mut socket, &mut connection, &mut buffer, &mut scratch, &mut out, now)? {}
/// # assert_eq!(out.len(), 300_010 + 7 + 100_010);
/// # assert!(scratch.take().capacity() >= 300_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`Message::is_borrowed`]: crate::proto::Message::is_borrowed
#[derive(Default)]
pub struct Scratch {
    /// A buffer to assemble a message in.
    pub(super) buffer: Vec<u8>,
    /// A box for the state of an incomplete frame.
    pub(super) receiving: Option<Box<Receiving>>,
}

impl Scratch {
    /// Has no memory yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            buffer: Vec::new(),
            receiving: None,
        }
    }

    /// Takes back the buffer of an assembled message, for the next one. A borrowed payload has
    /// none. The larger buffer is kept.
    pub fn recycle(&mut self, payload: Payload<'_>) {
        if let Some(buffer) = payload.into_buffer() {
            self.put(buffer);
        }
    }

    /// Takes any buffer, for the next message to be assembled in. The larger one is kept.
    #[inline]
    pub fn put(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() > self.buffer.capacity() {
            self.buffer = buffer;
        }
    }

    /// Takes the buffer out; if there is none, the returned one has no capacity.
    #[inline]
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.buffer)
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch")
            .field("capacity", &self.buffer.capacity())
            .finish_non_exhaustive()
    }
}

/// Where the next bytes from the transport belong, inside a large message: see [`Scratch`].
/// Dereferences to the bytes to read into; it is never empty.
#[derive(Debug)]
pub struct Space<'c> {
    bytes: &'c mut [u8],
    filled: &'c mut usize,
}

impl Space<'_> {
    /// `count` bytes were read, into the front of the space first and only then behind it: the
    /// connection sees those in the space with its next call of
    /// [`recv_with`](Connection::recv_with) or [`recv`](Connection::recv), before the input it is
    /// given. Returns how many are behind the space.
    #[must_use = "so many bytes are in the caller's own buffer"]
    pub fn filled(self, count: usize) -> usize {
        *self.filled = count.min(self.bytes.len());
        count - *self.filled
    }
}

impl Deref for Space<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl DerefMut for Space<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes
    }
}

impl Connection {
    /// Returns where the next bytes from the transport belong, inside a large message that has to
    /// be assembled; [`Scratch`] shows its use, which is optional.
    ///
    /// None if the bytes belong into an [`Input`](crate::proto::Input): between messages, in small
    /// or streamed ones, if an extension decodes them, and while an earlier space was filled and
    /// not received yet.
    #[inline]
    pub fn space(&mut self) -> Option<Space<'_>> {
        let receiving = self.receiving.as_deref_mut()?;
        let left = receiving.decoder.data_left()?;
        match self.state {
            State::Open if receiving.filled == 0 => Some(Space {
                bytes: receiving.assembler.space(left, &self.config)?,
                filled: &mut receiving.filled,
            }),
            _ => None,
        }
    }
}
