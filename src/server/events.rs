//! From received bytes to the application's methods: the loop that runs once for each message.
//!
//! Compiled for each handler, so that its `on_message` and what that sends are part of the loop.

use super::handler::Handler;
use super::socket::Socket;
use crate::error::Fault;
use crate::proto::{Closed, Event, Input, Spare};

/// Output that is written before the turn ends: one handler that answers with much more than it
/// was sent must not fill the memory. The size of a read, so that an echo is never cut in two.
pub(super) const CORK_LIMIT: usize = 96 * 1024;

/// Why no further event goes to the application for now.
pub(super) enum Stop {
    /// The input is consumed.
    Drained,
    /// The session has to look: something was asked for, or much waits to be written.
    News,
    /// The connection is over, by the closing handshake.
    Closed(Closed),
    /// The connection is over, by the peer's fault.
    Failed(Fault),
}

/// Gives events to the handler until there is something for the session to look at.
pub(super) fn deliver<H: Handler>(
    handler: &H,
    socket: &mut Socket<'_, H::State>,
    input: &mut Input<'_>,
    spare: &mut Spare,
) -> Stop {
    loop {
        let io = socket.io();
        let event = match io
            .link
            .connection
            .recv_with(input, spare, io.cork, io.context.instant)
        {
            Ok(None) => return Stop::Drained,
            Ok(Some(event)) => event,
            Err(fault) => return Stop::Failed(fault),
        };
        match event {
            Event::Message(message) => {
                if !io.allows(true, message.len()) {
                    return Stop::News;
                }
                handler.on_message(socket, message);
            }
            Event::Piece(piece) => {
                if !io.allows(piece.first, piece.as_bytes().len()) {
                    return Stop::News;
                }
                handler.on_piece(socket, piece);
            }
            Event::Ping(payload) => handler.on_ping(socket, &payload),
            Event::Pong(payload) => handler.on_pong(socket, &payload),
            Event::Closed(closed) => return Stop::Closed(closed),
        }
        let io = socket.io();
        let pause_at = io.link.options.pause_reading_at;
        let much = io.cork.len() > CORK_LIMIT || io.queue.len() > pause_at;
        if much || io.link.has_news() {
            return Stop::News;
        }
    }
}
