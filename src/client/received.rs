//! What a call that receives came to.

use alloc::vec::Vec;

use crate::proto::Message;

/// What [`Client::recv_timeout`](super::Client::recv_timeout) and
/// [`Client::recv_event`](super::Client::recv_event) return.
#[derive(Debug)]
pub enum Received<'c> {
    /// A message.
    Message(Message<'c>),
    /// The payload of a ping, which is answered already (RFC 6455 section 5.5.2). By `recv_event`
    /// alone.
    Ping(Vec<u8>),
    /// The payload of a pong, solicited or not (RFC 6455 section 5.5.3). By `recv_event` alone.
    Pong(Vec<u8>),
    /// Nothing came in that time. No part of an incomplete message is lost.
    TimedOut,
    /// The connection is over: see [`Client::closed`](super::Client::closed).
    Closed,
}

impl<'c> Received<'c> {
    /// The message, if it is one.
    #[must_use]
    pub fn message(self) -> Option<Message<'c>> {
        match self {
            Self::Message(message) => Some(message),
            _ => None,
        }
    }
}
