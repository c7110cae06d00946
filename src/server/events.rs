//! From received bytes to the application's methods: the loop that runs once for each message.
//!
//! Compiled for each handler, so that its `on_message` and what that sends are part of the loop.

use std::boxed::Box;

use super::handler::Handler;
use super::socket::Socket;
use crate::error::Fault;
use crate::net::Spares;
use crate::proto::{Closed, Event, Input, Scratch};

/// Output that is written before the turn ends: one handler that answers with much more than it
/// was sent must not fill the memory. The size of a read, so that an echo is never cut in two.
pub(super) const CORK_LIMIT: usize = 96 * 1024;

/// Why no further event goes to the application for now.
pub(super) enum Stop {
    /// The input is consumed.
    Drained,
    /// The session has to look: something was asked for, or much waits to be written.
    News,
    /// The connection is over. (In a box: each turn returns one of these, and in registers.)
    Over(Box<Over>),
}

/// How a connection is over.
pub(super) enum Over {
    /// By the closing handshake.
    Closed(Closed),
    /// By the peer's fault.
    Failed(Fault),
}

/// The worker's memory for messages that come in several parts.
pub(super) struct Memory<'w> {
    /// Without a buffer, which is lent for as long as it takes.
    pub(super) scratch: &'w mut Scratch,
    pub(super) spares: &'w Spares,
}

/// Gives events to the handler until there is something for the session to look at.
#[inline]
pub(super) fn deliver<H: Handler>(
    handler: &H,
    socket: &mut Socket<'_, H::State>,
    input: &mut Input<'_>,
    mut memory: Memory<'_>,
) -> Stop {
    loop {
        let io = socket.io();
        let connection = &mut io.link.connection;
        // The usual event by itself, so that what is known of it needn't be asked again.
        if let Some(message) = connection.take_message(input, io.context.instant) {
            if !io.allows(true, message.len()) {
                return Stop::News;
            }
            handler.on_message(socket, message);
        } else if let Some(stop) = deliver_any(handler, socket, input, &mut memory) {
            return stop;
        }
        let io = socket.io();
        if io.has_news() {
            return Stop::News;
        }
        if input.is_empty() && io.link.connection.is_between_messages() {
            return Stop::Drained;
        }
    }
}

/// Gives the next event to the handler, whatever it is.
#[inline(never)]
fn deliver_any<H: Handler>(
    handler: &H,
    socket: &mut Socket<'_, H::State>,
    input: &mut Input<'_>,
    memory: &mut Memory<'_>,
) -> Option<Stop> {
    let io = socket.io();
    let connection = &mut io.link.connection;
    let Memory { scratch, spares } = memory;
    scratch.put(spares.take().unwrap_or_default());
    let event = connection.recv_with(input, scratch, io.cork, io.context.instant);
    spares.put(scratch.take());
    let event = match event {
        Ok(None) => return Some(Stop::Drained),
        Ok(Some(event)) => event,
        Err(fault) => return Some(Stop::Over(Box::new(Over::Failed(fault)))),
    };
    match event {
        Event::Message(message) => {
            if !io.allows(true, message.len()) {
                return Some(Stop::News);
            }
            handler.on_message(socket, message);
        }
        Event::Piece(piece) => {
            if !io.allows(piece.first, piece.as_bytes().len()) {
                return Some(Stop::News);
            }
            handler.on_piece(socket, piece);
        }
        Event::Ping(payload) => handler.on_ping(socket, &payload),
        Event::Pong(payload) => handler.on_pong(socket, &payload),
        Event::Closed(closed) => return Some(Stop::Over(Box::new(Over::Closed(closed)))),
    }
    None
}
