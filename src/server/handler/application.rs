//! The application of one connection, as a session calls it.

use std::boxed::Box;

use crate::error::Fault;
use crate::proto::{Closed, Input, Scratch};
use crate::server::call::Call;
use crate::server::end::{End, ErrorCause};
use crate::server::topics::SubscribeError;
use crate::server::websocket::{SocketIo, WebSocket};
use crate::server::write_queue::Pool;

/// The application of one connection, whatever the type of its state.
pub(in crate::server) trait Application: Send {
    /// Gives the application what the peer sends, until the session has something to check.
    fn events<'a>(
        &'a mut self,
        io: &'a mut SocketIo<'a>,
        input: &mut Input<'_>,
        memory: Memory<'_>,
    ) -> Stop;
    /// Opens the connection, in one allocation with its application.
    fn open(self: Box<Self>, ws: WebSocket) -> Box<OpenSession>;
    fn on_open<'a>(&'a mut self, io: &'a mut SocketIo<'a>);
    fn on_drain<'a>(&'a mut self, io: &'a mut SocketIo<'a>);
    fn on_subscribe<'a>(
        &'a mut self,
        io: &'a mut SocketIo<'a>,
        topic: &str,
        count: Result<usize, SubscribeError>,
    );
    fn on_unsubscribe<'a>(&'a mut self, io: &'a mut SocketIo<'a>, topic: &str, count: usize);
    fn on_timer<'a>(&'a mut self, io: &'a mut SocketIo<'a>, key: u64);
    fn on_call<'a>(&'a mut self, io: &'a mut SocketIo<'a>, call: Call);
    fn on_error<'a>(&'a mut self, io: &'a mut SocketIo<'a>, cause: ErrorCause, end: &End);
    fn on_close<'a>(&'a mut self, io: &'a mut SocketIo<'a>, end: &End);
}

/// An open connection with its application, in one allocation.
pub(in crate::server) struct OpenSession<A: ?Sized = dyn Application> {
    pub(in crate::server) ws: WebSocket,
    pub(in crate::server) application: A,
}

/// Why no further event goes to the application for now.
pub(in crate::server) enum Stop {
    /// The input is consumed.
    Drained,
    /// The session has something to check: the application made a request, or much waits to be
    /// written.
    News,
    /// The connection is over. Boxed, so that the value, which each turn returns, fits in
    /// registers.
    Over(Box<Over>),
}

/// How a connection is over.
pub(in crate::server) enum Over {
    /// By the closing handshake.
    Closed(Closed),
    /// By a fault of the peer.
    Failed(Fault),
}

/// The worker's memory for messages that arrive in several parts.
pub(in crate::server) struct Memory<'w> {
    /// Holds no buffer between calls; one of the pool is lent to it during a call.
    pub(in crate::server) scratch: &'w mut Scratch,
    pub(in crate::server) pool: &'w Pool,
}
