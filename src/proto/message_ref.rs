//! Messages to send, borrowed from wherever they are.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::message::{Message, MessageKind, MessagePiece};
use super::sync::Arc;

/// A message to send: a kind and its bytes, borrowed from wherever they are.
///
/// Made from references to text and to bytes in their usual forms (`&str`, `&String`,
/// `&Cow<str>`, `&Box<str>`, `&Arc<str>`; slices, arrays, `&Vec<u8>`, `&Cow<[u8]>`, `&Box<[u8]>`,
/// `&Arc<[u8]>`) and to a received `Message` or `MessagePiece`. For types of other crates, such as
/// `Bytes`, there are [`text`](Self::text) and [`binary`](Self::binary).
///
/// ```
/// use std::borrow::Cow;
/// use sockeye::proto::MessageRef;
///
/// let name = Cow::from("chat");
/// assert_eq!(MessageRef::from(&name), MessageRef::Text("chat"));
/// let bytes = std::rc::Rc::<[u8]>::from([1, 2]);
/// assert_eq!(MessageRef::binary(&bytes), MessageRef::Binary(&[1, 2]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageRef<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message.
    Binary(&'a [u8]),
}

impl<'a> MessageRef<'a> {
    /// A text message, from any type that derefs to text.
    #[must_use]
    #[inline]
    pub fn text<T: AsRef<str> + ?Sized>(text: &'a T) -> Self {
        Self::Text(text.as_ref())
    }

    /// A binary message, from any type that derefs to bytes.
    #[must_use]
    #[inline]
    pub fn binary<T: AsRef<[u8]> + ?Sized>(bytes: &'a T) -> Self {
        Self::Binary(bytes.as_ref())
    }

    /// Text or binary.
    #[must_use]
    #[inline]
    pub const fn kind(self) -> MessageKind {
        match self {
            Self::Text(_) => MessageKind::Text,
            Self::Binary(_) => MessageKind::Binary,
        }
    }

    /// The message's bytes.
    #[must_use]
    #[inline]
    pub const fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a str> for MessageRef<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for MessageRef<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Binary(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for MessageRef<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Binary(bytes)
    }
}

/// Conversions from types that hold text or bytes, by what they dereference to.
macro_rules! from_holders {
    ($($variant:ident: $($holder:ty),+;)+) => {$($(
        impl<'a> From<&'a $holder> for MessageRef<'a> {
            fn from(held: &'a $holder) -> Self {
                Self::$variant(held)
            }
        }
    )+)+};
}

from_holders! {
    Text: String, Cow<'_, str>, Box<str>, Arc<str>;
    Binary: Vec<u8>, Cow<'_, [u8]>, Box<[u8]>, Arc<[u8]>;
}

impl<'a> From<&'a Message<'_>> for MessageRef<'a> {
    #[inline]
    fn from(message: &'a Message<'_>) -> Self {
        match message.as_text() {
            Some(text) => Self::Text(text),
            None => Self::Binary(message.as_bytes()),
        }
    }
}

/// For [`send_fragment`](super::Connection::send_fragment): passes a message on as it arrives.
impl<'a> From<&'a MessagePiece<'_>> for MessageRef<'a> {
    fn from(piece: &'a MessagePiece<'_>) -> Self {
        match piece.as_text() {
            Some(text) => Self::Text(text),
            None => Self::Binary(piece.as_bytes()),
        }
    }
}
