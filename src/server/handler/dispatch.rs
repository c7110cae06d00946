//! From received bytes to the application's methods: the loop that runs once for each message.
//!
//! Compiled for each handler, so that its `on_message` and what that sends are part of the loop.

use std::boxed::Box;
use std::sync::Arc;

use super::Handler;
use super::application::{Application, Memory, OpenSession, Over, Stop};
use crate::proto::{Event, Input};
use crate::server::call::Call;
use crate::server::end::{End, ErrorCause};
use crate::server::socket::{Socket, run};
use crate::server::topics::SubscribeError;
use crate::server::websocket::{SocketIo, WebSocket};

/// Gives events to the handler until the session has something to check.
#[inline]
pub(in crate::server) fn deliver<H: Handler>(
    handler: &H,
    socket: &mut Socket<'_, H::State>,
    input: &mut Input<'_>,
    mut memory: Memory<'_>,
) -> Stop {
    loop {
        let io = socket.io();
        let connection = &mut io.ws.connection;
        // The usual event is taken first, so that its kind needn't be checked again.
        if let Some(message) = connection.take_message(input, io.worker.instant) {
            if !io.allows(true, message.len()) {
                return Stop::News;
            }
            handler.on_message(socket, message);
        } else if let Some(stop) = deliver_any(handler, socket, input, &mut memory) {
            return stop;
        }
        let io = socket.io();
        if !io.fast_path().receives(io.cork.len()) {
            return Stop::News;
        }
        if input.is_empty() && io.ws.connection.is_between_messages() {
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
    let connection = &mut io.ws.connection;
    let Memory { scratch, pool } = memory;
    scratch.put(pool.take().unwrap_or_default());
    let event = connection.recv_with(input, scratch, io.cork, io.worker.instant);
    pool.put(scratch.take());
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
            if !io.allows(piece.is_first(), piece.as_bytes().len()) {
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

struct Instance<H: Handler> {
    handler: Arc<H>,
    state: H::State,
}

macro_rules! forward {
    ($($method:ident($($argument:ident: $type:ty),*);)*) => {$(
        fn $method<'a>(&'a mut self, io: &'a mut SocketIo<'a>, $($argument: $type),*) {
            let mut socket = Socket::new(io, &mut self.state);
            self.handler.$method(&mut socket, $($argument),*);
        }
    )*};
}

impl<H: Handler> Application for Instance<H> {
    fn open(self: Box<Self>, ws: WebSocket) -> Box<OpenSession> {
        let application = *self;
        Box::new(OpenSession { ws, application })
    }

    fn events<'a>(
        &'a mut self,
        io: &'a mut SocketIo<'a>,
        input: &mut Input<'_>,
        memory: Memory<'_>,
    ) -> Stop {
        let mut socket = Socket::new(io, &mut self.state);
        deliver(&*self.handler, &mut socket, input, memory)
    }

    fn on_call<'a>(&'a mut self, io: &'a mut SocketIo<'a>, call: Call) {
        let mut socket = Socket::new(io, &mut self.state);
        match call {
            Call::Notice(notice) => {
                if let Some(notice) = notice.into_inner() {
                    self.handler.on_notify(&mut socket, notice);
                }
            }
            Call::Function(function) => {
                if let Some(function) = function.into_inner() {
                    run(function, &mut socket);
                }
            }
        }
    }

    forward! {
        on_open();
        on_drain();
        on_subscribe(topic: &str, count: Result<usize, SubscribeError>);
        on_unsubscribe(topic: &str, count: usize);
        on_timer(key: u64);
        on_error(cause: ErrorCause, end: &End);
        on_close(end: &End);
    }
}

pub(in crate::server) fn instance<H: Handler>(
    handler: &Arc<H>,
    state: H::State,
) -> Box<dyn Application> {
    Box::new(Instance {
        handler: Arc::clone(handler),
        state,
    })
}
