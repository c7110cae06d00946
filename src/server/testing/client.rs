//! A scripted WebSocket client.

use std::cell::RefCell;
use std::fmt;
use std::format;
use std::rc::Rc;
use std::string::{String, ToString as _};
use std::vec::Vec;

use super::world::{End, WebSocketEnd, World};
use crate::proto::{CloseCode, Closed, Connection, Message, MessageRef};
use crate::server::id::ConnectionId;

/// A client of a [`Simulation`](super::Simulation): a browser tab, as the server sees it.
///
/// It does what the test says, and by itself only what the protocol demands: it replies to pings
/// and to a Close. What the server sends is read at once, unless the client has
/// [stopped reading](Self::stop_reading), and waits for the test to take it.
///
/// Each method first lets everything happen that happens without time passing. Dropping a client
/// ends its stream without a closing handshake, as a process that exits does: the server sees 1006.
pub struct Client {
    world: Rc<RefCell<World>>,
    at: usize,
    /// What it is called in messages of panics.
    target: String,
}

impl Client {
    pub(super) fn new(world: Rc<RefCell<World>>, at: usize, target: String) -> Self {
        Self { world, at, target }
    }

    fn with<R>(&self, use_it: impl FnOnce(&mut WebSocketEnd) -> R) -> R {
        match self.world.borrow_mut().end(self.at) {
            End::WebSocket(end) => use_it(end),
            _ => unreachable!("a client has a connection until it is dropped"),
        }
    }

    #[track_caller]
    fn settle(&self) {
        self.world.borrow_mut().settle();
    }

    /// Whether the server has accepted it.
    #[track_caller]
    pub(super) fn has_opened(&mut self) -> bool {
        self.settle();
        self.with(|end| end.peer.is_accepted())
    }

    /// The response that refused, if one did.
    pub(super) fn refusal(&self) -> Option<Vec<u8>> {
        self.with(|end| end.peer.is_refused().then(|| end.peer.response().to_vec()))
    }

    /// Calls the core, and lets what that sends arrive.
    #[track_caller]
    fn write<R>(&self, write: impl FnOnce(&mut Connection, &mut Vec<u8>) -> R) -> R {
        self.settle();
        let written = self.with(|end| end.peer.write(write));
        self.settle();
        written.expect("a client has opened")
    }

    /// The connection's id, by which a [`Handle`](crate::server::Handle) reaches it.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.with(|end| end.id)
    }

    /// The agreed subprotocol.
    #[must_use]
    pub fn subprotocol(&self) -> Option<String> {
        self.with(|end| Some(end.peer.connection()?.subprotocol()?.into()))
    }

    // ---- sending ------------------------------------------------------------------------------

    /// Sends a message: text from `&str`, binary from byte slices.
    ///
    /// # Panics
    /// If the connection isn't open.
    #[track_caller]
    pub fn send<'m>(&mut self, message: impl Into<MessageRef<'m>>) {
        if self
            .write(|connection, out| connection.send(message, out))
            .is_err()
        {
            panic!("{self} can't send: {}", self.state());
        }
    }

    /// Sends a value as JSON, in a text message.
    ///
    /// # Panics
    /// If the connection isn't open, or the value can't be written as JSON.
    #[cfg(feature = "json")]
    #[track_caller]
    pub fn send_json<T: serde::Serialize + ?Sized>(&mut self, value: &T) {
        let text = serde_json::to_string(value).expect("a value that JSON can hold");
        self.send(text.as_str());
    }

    /// Sends bytes past the protocol: what a client with a fault of its own, or an attacker, may
    /// send.
    #[track_caller]
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.write(|_, out| out.extend_from_slice(bytes));
    }

    // ---- receiving ----------------------------------------------------------------------------

    /// Returns the next message; None if none waits.
    #[track_caller]
    pub fn recv(&mut self) -> Option<Message<'static>> {
        self.settle();
        self.with(|end| end.messages.pop_front())
    }

    /// Returns the next message's text.
    ///
    /// # Panics
    /// If no message waits, or if it is a binary one.
    #[track_caller]
    #[must_use]
    pub fn text(&mut self) -> String {
        match self.recv().map(Message::into_text) {
            Some(Ok(text)) => text,
            Some(Err(message)) => panic!("{self} got {message:?}, not text"),
            None => panic!("{self} got no message: {}", self.state()),
        }
    }

    /// Returns the next message, read as JSON.
    ///
    /// # Panics
    /// If no message waits, or if it isn't JSON of this type.
    #[cfg(feature = "json")]
    #[track_caller]
    #[must_use]
    pub fn json<T: serde::de::DeserializeOwned>(&mut self) -> T {
        let text = self.text();
        match serde_json::from_str(&text) {
            Ok(value) => value,
            Err(error) => panic!("{self} got {text:?}: {error}"),
        }
    }

    /// Takes the next message, which has to be this text.
    ///
    /// # Panics
    /// If it is another one, or none waits.
    #[track_caller]
    pub fn expect(&mut self, text: &str) {
        match self.recv() {
            Some(message) if message.as_text() == Some(text) => {}
            Some(message) => panic!("{self} got {message:?}, not {text:?}"),
            None => panic!("{self} didn't get {text:?}: {}", self.state()),
        }
    }

    /// Asserts that no message waits.
    ///
    /// # Panics
    /// If one does.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        if let Some(message) = self.recv() {
            panic!("{self} got {message:?}, not nothing");
        }
    }

    /// Stops reading: the server can write nothing more to this client, and what it sends waits in
    /// its queue.
    #[track_caller]
    pub fn stop_reading(&mut self) {
        self.settle();
        self.with(|end| end.peer.wire(|wire| wire.room = 0));
    }

    /// Reads the next `bytes` bytes, frame headers included, after
    /// [`stop_reading`](Self::stop_reading).
    #[track_caller]
    pub fn read(&mut self, bytes: usize) {
        self.with(|end| end.peer.wire(|wire| wire.give_room(bytes)));
        self.settle();
    }

    /// Reads everything again, after [`stop_reading`](Self::stop_reading).
    #[track_caller]
    pub fn read_on(&mut self) {
        self.read(usize::MAX);
    }

    // ---- the end ------------------------------------------------------------------------------

    /// Begins the closing handshake. Messages that come later are dropped, as a browser does.
    ///
    /// # Panics
    /// If the connection isn't open, or for a code or reason that can't be sent
    /// ([`Connection::close`]).
    #[track_caller]
    pub fn close(&mut self, code: impl Into<Option<CloseCode>>, reason: &str) {
        let now = self.world.borrow().now;
        let closed = self.write(|connection, out| connection.close(code, reason, out, now));
        if let Err(misuse) = closed {
            panic!("{self} can't close: {misuse}; {}", self.state());
        }
    }

    /// Ends the stream without a closing handshake, as a process that exits does.
    #[track_caller]
    pub fn leave(self) {
        let world = Rc::clone(&self.world);
        drop(self);
        world.borrow_mut().settle();
    }

    /// Resets the connection: both ends are told at once that the transport is broken.
    #[track_caller]
    pub fn reset(self) {
        self.with(|end| end.peer.wire(|wire| wire.reset()));
        self.leave();
    }

    /// Vanishes, as a phone in a tunnel: from here on nothing passes in either direction, and
    /// nobody is told. Only deadlines end such a connection.
    #[track_caller]
    pub fn vanish(&mut self) {
        self.settle();
        self.with(|end| end.is_cut = true);
    }

    /// Returns how the connection ended, as this client sees it; None while it hasn't.
    #[track_caller]
    pub fn closed(&mut self) -> Option<Closed> {
        self.settle();
        self.with(|end| end.peer.closed().cloned())
    }

    /// Asserts that the connection has ended with this code.
    ///
    /// # Panics
    /// If it has ended with another one, or is still open.
    #[track_caller]
    pub fn expect_close(&mut self, code: CloseCode) {
        match self.closed() {
            Some(closed) if closed.code == code => {}
            _ => panic!("{self} wasn't closed with {code}: {}", self.state()),
        }
    }

    /// What a failed assertion says of the connection.
    fn state(&self) -> String {
        self.with(|end| match end.peer.closed() {
            Some(closed) => format!("it was closed with {} {:?}", closed.code, closed.reason),
            None => "the connection is open".to_string(),
        })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Not where the simulation itself has panicked.
        if let Ok(mut world) = self.world.try_borrow_mut() {
            world.drop_end(self.at);
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {} of {}", self.at, self.target)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}
