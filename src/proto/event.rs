//! What a connection reports of what it received.

use super::close::Closed;
use super::message::{Message, MessagePiece, Payload};

/// What [`Connection::recv`](super::Connection::recv) reports. It borrows the caller's buffer, never the connection.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'b> {
    /// A whole message.
    Message(Message<'b>),
    /// A piece of a message, with [`Delivery::Streamed`](super::Delivery::Streamed).
    Piece(MessagePiece<'b>),
    /// A ping, already answered (RFC 6455 section 5.5.2).
    Ping(Payload<'b>),
    /// A pong, solicited or not (RFC 6455 section 5.5.3).
    Pong(Payload<'b>),
    /// Both Close frames were exchanged: the last event. Write what is in the output, then
    /// follow [`Connection::teardown`](super::Connection::teardown).
    Closed(Closed),
}
