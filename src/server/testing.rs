//! Applications tested without sockets, threads and real time.
//!
//! [`Builder::simulate`] makes a [`Simulation`] in place of a server: the same routes, guards,
//! handlers, topics, limits and deadlines, driven on the calling thread. Its [clients](Client) do
//! what the test says, time passes when the test [says so](Simulation::advance), and whatever can
//! happen without time passing has happened when a method returns. So a test neither sleeps nor
//! waits, and runs the same each time.
//!
//! ```
//! use std::time::Duration;
//! use sockeye::proto::{CloseCode, Message};
//! use sockeye::server::{End, Handler, Server, Socket};
//!
//! struct Room;
//!
//! impl Handler for Room {
//!     type State = ();
//!
//!     fn on_open(&self, socket: &mut Socket<'_, ()>) {
//!         _ = socket.subscribe("room");
//!     }
//!
//!     fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
//!         socket.publish("room", &message);
//!     }
//!
//!     fn on_close(&self, socket: &mut Socket<'_, ()>, end: &End) {
//!         socket.publish("room", &*format!("left with {}", end.code()));
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Two people, one leaves, the other is told.
//! let server = Server::builder().route("/chat", Room).simulate()?;
//! let mut ann = server.connect("/chat")?;
//! let mut bob = server.connect("/chat")?;
//! ann.send("hi");
//! bob.expect("hi");
//! ann.close(CloseCode::NORMAL, "");
//! bob.expect("left with 1000");
//!
//! // One that vanishes is missed when its pong doesn't come.
//! let mut cat = server.connect("/chat")?;
//! cat.vanish();
//! bob.expect_nothing();
//! server.advance(Duration::from_secs(60));
//! bob.expect("left with 1011");
//! # Ok(())
//! # }
//! ```
//!
//! # What is simulated
//!
//! - The transports, in memory: what a client sends arrives at once and in order.
//!   [`Client::stop_reading`] fills the server's queue, [`Client::vanish`] and [`Client::reset`]
//!   end a connection as networks do. There is no TLS, and there are no listeners:
//!   [`Listener`](super::Listener)s and what they set aren't asked for.
//! - The clock, for all that the server does by time. What the application reads of the operating
//!   system's clock itself is real.
//! - The workers, one unless [`Builder::workers`] says otherwise: they take turns on the calling
//!   thread, and a new connection goes to the one that has the fewest.
//!
//! - The threads of a [`Pool`](super::Pool): what is [deferred](super::Socket::defer) is done at once,
//!   on the calling thread, and followed up when the handler has returned.
//!
//! The rest is the server's own code, and its [`Handle`] works from any thread. What an application
//! gives to threads of its own is not waited for: the test has to, and then calls
//! [`Simulation::settle`] or any method of a client.

mod client;
pub(in crate::server) mod peer;
mod request;
pub(in crate::server) mod wire;
mod world;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::vec::Vec;

pub use self::client::Client;
pub use self::request::{ConnectError, Connecting, Exchange, Request, Response};
use self::world::World;
use super::build_error::BuildError;
use super::builder::Builder;
use super::handle::Handle;
use super::observe::ConnectionStats;
use super::sync::lock;

/// A server without sockets, threads and real time: see the [module](self).
///
/// It stays on its thread, and so do its clients.
pub struct Simulation {
    world: Rc<RefCell<World>>,
}

impl Simulation {
    /// Opens a WebSocket connection; `target` is its path and query.
    ///
    /// # Errors
    /// [`ConnectError`], when the server refuses.
    ///
    /// # Panics
    /// As [`Request::connect`].
    #[track_caller]
    pub fn connect(&self, target: &str) -> Result<Client, ConnectError> {
        self.request(target).connect()
    }

    /// Sends a plain GET request.
    ///
    /// # Panics
    /// As [`Request::send`].
    #[track_caller]
    #[must_use]
    pub fn get(&self, target: &str) -> Response {
        self.request(target).send("GET", "")
    }

    /// Returns a request, for headers, subprotocols, other methods and bodies.
    pub fn request(&self, target: &str) -> Request {
        Request::new(Rc::clone(&self.world), target)
    }

    /// Lets this much time pass, and all happen in its order that is due meanwhile.
    ///
    /// The server's deadlines are checked each 250 ms, as ever: one is kept up to that much late.
    ///
    /// # Panics
    /// As [`settle`](Self::settle).
    #[track_caller]
    pub fn advance(&self, time: Duration) {
        self.world.borrow_mut().advance(time);
    }

    /// Lets everything happen that happens without time passing. The other methods do so
    /// themselves; this one is for what a test asks of a [`Handle`] and doesn't see by a client.
    ///
    /// # Panics
    /// If the server never comes to rest.
    #[track_caller]
    pub fn settle(&self) {
        self.world.borrow_mut().settle();
    }

    /// Returns the time since the simulation began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.world.borrow().now
    }

    /// Returns a handle to the server.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(&self.world.borrow().shared)
    }

    /// Returns the open connections, in no particular order.
    #[track_caller]
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionStats> {
        let all = Arc::new(Mutex::new(Vec::new()));
        let receive = Arc::clone(&all);
        // Fails for a server that has stopped, which has no connections.
        let _ = self
            .handle()
            .connections(move |mut some| lock(&receive).append(&mut some));
        self.settle();
        std::mem::take(&mut *lock(&all))
    }

    /// Whether the server still runs: whether [`Server::run`](super::Server::run) wouldn't have
    /// returned yet, after [`Handle::shut_down`].
    #[must_use]
    #[track_caller]
    pub fn is_running(&self) -> bool {
        self.settle();
        self.world.borrow().is_running()
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").finish_non_exhaustive()
    }
}

impl Builder {
    /// Makes a [simulation](Simulation) in place of a server, for tests.
    ///
    /// # Errors
    /// As [`listen`](Self::listen), for what is wrong with routes and topics.
    pub fn simulate(self) -> Result<Simulation, BuildError> {
        let world = World::new(self.simulated_parts()?);
        Ok(Simulation {
            world: Rc::new(RefCell::new(world)),
        })
    }
}

#[cfg(test)]
mod tests;
