//! Messages and payloads that a connection delivers and sends, borrowed or owned.
//!
//! Owns the guarantee that text is valid UTF-8. The assembler makes the messages.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::ops::Deref;

use super::frame::Opcode;
use super::utf8;

/// What a data message holds (RFC 6455 section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Binary,
}

impl MessageKind {
    pub(super) const fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// Received bytes: a slice of the caller's own buffer where they arrived whole, else an owned
/// buffer. Dereferences to `[u8]`.
pub struct Payload<'b> {
    bytes: Bytes<'b>,
    /// The offset at which the payload begins; before it there is room for a header.
    start: usize,
}

enum Bytes<'b> {
    Borrowed(&'b mut [u8]),
    Owned(Vec<u8>),
}

impl<'b> Payload<'b> {
    #[inline]
    pub(super) fn borrowed(bytes: &'b mut [u8], start: usize) -> Self {
        Self {
            bytes: Bytes::Borrowed(bytes),
            start,
        }
    }

    pub(super) fn owned(bytes: Vec<u8>, start: usize) -> Payload<'static> {
        Payload {
            bytes: Bytes::Owned(bytes),
            start,
        }
    }

    /// Whether this is a slice of the caller's buffer: no copy was made.
    #[must_use]
    #[inline]
    pub fn is_borrowed(&self) -> bool {
        matches!(self.bytes, Bytes::Borrowed(_))
    }

    /// Returns the payload as an owned buffer. Copies a borrowed one; an owned one is moved to its
    /// buffer's front.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        match self.bytes {
            Bytes::Borrowed(bytes) => bytes[self.start..].to_vec(),
            Bytes::Owned(mut bytes) => {
                bytes.drain(..self.start);
                bytes
            }
        }
    }

    /// The payload with no borrow; copies a borrowed one.
    #[must_use]
    pub fn into_owned(self) -> Payload<'static> {
        match self.bytes {
            Bytes::Borrowed(bytes) => Payload::owned(bytes[self.start..].to_vec(), 0),
            Bytes::Owned(bytes) => Payload::owned(bytes, self.start),
        }
    }

    /// Returns the buffer and the offset of the payload in it. Copies a borrowed one; an owned one
    /// is not moved.
    #[must_use]
    pub fn into_parts(self) -> (Vec<u8>, usize) {
        match self.bytes {
            Bytes::Borrowed(bytes) => (bytes[self.start..].to_vec(), 0),
            Bytes::Owned(bytes) => (bytes, self.start),
        }
    }

    /// The buffer of an owned payload.
    pub(super) fn into_buffer(self) -> Option<Vec<u8>> {
        match self.bytes {
            Bytes::Borrowed(_) => None,
            Bytes::Owned(bytes) => Some(bytes),
        }
    }

    /// Shortens the payload.
    pub(super) fn truncate(&mut self, length: usize) {
        let end = self.start + length;
        match &mut self.bytes {
            Bytes::Borrowed(bytes) => *bytes = &mut mem::take(bytes)[..end],
            Bytes::Owned(bytes) => bytes.truncate(end),
        }
    }

    /// Whether the buffer has `room` bytes in front of the payload.
    #[inline]
    pub(super) fn has_room(&self, room: usize) -> bool {
        self.start >= room
    }

    /// Extends the payload by `room` bytes in front, and makes all of it writable.
    ///
    /// # Panics
    /// When the buffer doesn't have them.
    #[inline]
    pub(super) fn extend_front(&mut self, room: usize) -> &mut [u8] {
        self.start -= room;
        match &mut self.bytes {
            Bytes::Borrowed(bytes) => &mut bytes[self.start..],
            Bytes::Owned(bytes) => &mut bytes[self.start..],
        }
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Borrowed(bytes) => &bytes[self.start..],
            Bytes::Owned(bytes) => &bytes[self.start..],
        }
    }
}

impl AsRef<[u8]> for Payload<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Payload<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Payload<'_> {}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// A whole message.
#[derive(PartialEq, Eq)]
pub struct Message<'b> {
    kind: MessageKind,
    payload: Payload<'b>,
}

impl<'b> Message<'b> {
    /// Text must have passed a [`Utf8Validator`](super::Utf8Validator).
    #[inline]
    pub(super) fn new(kind: MessageKind, payload: Payload<'b>) -> Self {
        Self { kind, payload }
    }

    /// Text or binary.
    #[must_use]
    #[inline]
    pub fn kind(&self) -> MessageKind {
        self.kind
    }

    /// Whether this is a text message.
    #[must_use]
    #[inline]
    pub fn is_text(&self) -> bool {
        self.kind == MessageKind::Text
    }

    /// The message's bytes, of either kind.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.payload
    }

    /// The text of a text message, None for a binary one. Costs nothing: it was validated when
    /// it arrived.
    #[must_use]
    #[inline]
    pub fn as_text(&self) -> Option<&str> {
        self.is_text().then(|| utf8::validated(&self.payload))
    }

    /// The message's length in bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.payload.len()
    }

    /// Whether the message has no bytes.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }

    /// Whether the message is a slice of the caller's buffer: no copy was made.
    #[must_use]
    #[inline]
    pub fn is_borrowed(&self) -> bool {
        self.payload.is_borrowed()
    }

    /// Returns the message's bytes as an owned buffer; see [`Payload::into_vec`] for the cost.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.payload.into_vec()
    }

    /// The text of a text message as a `String`; see [`Payload::into_vec`] for the cost.
    ///
    /// # Errors
    /// The message itself when it is binary.
    pub fn into_text(self) -> Result<String, Self> {
        match self.as_text() {
            Some(text) if self.is_borrowed() => Ok(text.into()),
            Some(_) => Ok(utf8::validated_string(self.payload.into_vec())),
            None => Err(self),
        }
    }

    /// The message with no borrow; copies a borrowed one.
    #[must_use]
    pub fn into_owned(self) -> Message<'static> {
        Message {
            kind: self.kind,
            payload: self.payload.into_owned(),
        }
    }

    /// The message's bytes without its kind.
    #[must_use]
    #[inline]
    pub fn into_payload(self) -> Payload<'b> {
        self.payload
    }

    #[inline]
    pub(super) fn payload(&self) -> &Payload<'b> {
        &self.payload
    }
}

/// An owned text message.
impl From<String> for Message<'static> {
    fn from(text: String) -> Self {
        Message::new(MessageKind::Text, Payload::owned(text.into_bytes(), 0))
    }
}

/// An owned text message; copies what is borrowed.
impl From<Cow<'_, str>> for Message<'static> {
    fn from(text: Cow<'_, str>) -> Self {
        text.into_owned().into()
    }
}

/// An owned binary message.
impl From<Vec<u8>> for Message<'static> {
    fn from(bytes: Vec<u8>) -> Self {
        Message::new(MessageKind::Binary, Payload::owned(bytes, 0))
    }
}

/// An owned binary message; copies what is borrowed.
impl From<Cow<'_, [u8]>> for Message<'static> {
    fn from(bytes: Cow<'_, [u8]>) -> Self {
        bytes.into_owned().into()
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_text() {
            Some(text) => f.debug_tuple("Text").field(&text).finish(),
            None => f.debug_tuple("Binary").field(&self.as_bytes()).finish(),
        }
    }
}

/// A piece of a message, handed over before the message is complete
/// ([`Delivery::Streamed`](super::Delivery::Streamed)).
#[derive(Debug, PartialEq, Eq)]
pub struct MessagePiece<'b> {
    kind: MessageKind,
    payload: Payload<'b>,
    first: bool,
    last: bool,
}

impl<'b> MessagePiece<'b> {
    /// Text must have passed a [`Utf8Validator`](super::Utf8Validator), and end with a character.
    pub(super) fn new(kind: MessageKind, payload: Payload<'b>, first: bool, last: bool) -> Self {
        Self {
            kind,
            payload,
            first,
            last,
        }
    }

    /// Text or binary, on each piece of a message the same.
    #[must_use]
    #[inline]
    pub fn kind(&self) -> MessageKind {
        self.kind
    }

    /// Whether the message begins with this piece.
    #[must_use]
    #[inline]
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// Whether the message ends with this piece. Only then it may be empty.
    #[must_use]
    #[inline]
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// The piece's bytes, of either kind.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.payload
    }

    /// The text of a piece of a text message, None of a binary one. A piece ends with a character:
    /// one that has not arrived whole comes with the next piece. Costs nothing: it was validated
    /// when it arrived.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        (self.kind == MessageKind::Text).then(|| utf8::validated(&self.payload))
    }

    /// The piece's bytes without its kind.
    #[must_use]
    #[inline]
    pub fn into_payload(self) -> Payload<'b> {
        self.payload
    }
}
