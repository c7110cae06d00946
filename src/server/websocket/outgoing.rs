//! The forms in which a message can be given to a connection.

use std::string::String;
use std::vec::Vec;

use crate::proto::{Config, Message, MessageRef, PreparedMessage};

/// A message to send: borrowed text or bytes, or a received message itself.
///
/// A received message that is given by value, as by an echo or a relay, can leave in the buffer in
/// which it was received, if it is large.
// With an explicit tag: if the tag were hidden in a message's buffer, the compiler would look for
// it even in a value that it has just made.
#[derive(Debug)]
#[non_exhaustive]
#[repr(u8)]
pub enum Outgoing<'m> {
    /// Text or bytes from anywhere.
    Ref(MessageRef<'m>),
    /// A received message.
    Message(Message<'m>),
    /// A message that was prepared once for many connections.
    Prepared(&'m PreparedMessage),
}

impl Outgoing<'_> {
    pub(in crate::server) fn prepared(self, config: &Config) -> PreparedMessage {
        match self {
            Self::Prepared(message) => message.clone(),
            Self::Ref(message) => PreparedMessage::new(message, config),
            Self::Message(message) => PreparedMessage::new(&message, config),
        }
    }
}

impl<'m, T: Into<MessageRef<'m>>> From<T> for Outgoing<'m> {
    fn from(message: T) -> Self {
        Self::Ref(message.into())
    }
}

impl<'m> From<Message<'m>> for Outgoing<'m> {
    fn from(message: Message<'m>) -> Self {
        Self::Message(message)
    }
}

impl From<String> for Outgoing<'_> {
    fn from(text: String) -> Self {
        Self::Message(text.into())
    }
}

impl From<Vec<u8>> for Outgoing<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Message(bytes.into())
    }
}

impl<'m> From<&'m PreparedMessage> for Outgoing<'m> {
    fn from(message: &'m PreparedMessage) -> Self {
        Self::Prepared(message)
    }
}
