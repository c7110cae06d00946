//! What an application implements.

mod application;
mod dispatch;
mod layer;

pub(super) use self::application::{Application, Memory, OpenSession, Over, Stop};
pub(super) use self::dispatch::instance;
pub use self::layer::{Layer, Layered};
use std::any::Any;
use std::boxed::Box;

use super::end::{End, ErrorCause};
use super::socket::Socket;
use super::topics::SubscribeError;
use crate::proto::{Message, MessagePiece};

/// An application: one value per route, shared by its connections.
///
/// The methods run on the worker's thread. What they send is appended and written after they
/// return, a burst of replies in one system call. A method that blocks delays the worker's other
/// connections: give slow work to another thread, which replies through the
/// [`Handle`](super::Handle).
///
/// A panic in a method closes its connection with 1011 and leaves the others alone, if panics
/// unwind (with `panic = "abort"` it ends the process).
///
/// ```no_run
/// use sockeye::proto::Message;
/// use sockeye::server::{Handler, Server, Socket};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     type State = (); // per connection, the application's own
///
///     fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
///         socket.send(message);
///     }
/// }
///
/// Server::builder().route("/echo", Echo).listen("127.0.0.1:9001")?.run()?;
/// # Ok::<(), sockeye::Error>(())
/// ```
pub trait Handler: Send + Sync + 'static {
    /// What the application keeps for each connection.
    type State: Send + 'static;

    /// The connection is open: the 101 is written.
    fn on_open(&self, socket: &mut Socket<'_, Self::State>) {
        let _ = socket;
    }

    /// A whole message.
    ///
    /// The receiving loop is compiled for each handler. If a message needs little work,
    /// `#[inline(always)]` on this method makes it part of that loop, which is then measurably
    /// faster.
    fn on_message(&self, socket: &mut Socket<'_, Self::State>, message: Message<'_>);

    /// A piece of a message, with [`Delivery::Streamed`](crate::proto::Delivery::Streamed).
    fn on_piece(&self, socket: &mut Socket<'_, Self::State>, piece: MessagePiece<'_>) {
        let _ = (socket, piece);
    }

    /// A ping, to which a pong was sent already.
    fn on_ping(&self, socket: &mut Socket<'_, Self::State>, payload: &[u8]) {
        let _ = (socket, payload);
    }

    /// A pong.
    fn on_pong(&self, socket: &mut Socket<'_, Self::State>, payload: &[u8]) {
        let _ = (socket, payload);
    }

    /// All that waited is written. The connection is open, and everything may be called, also what
    /// makes it wait again. Follows whenever something had to wait: a write was accepted in
    /// part, a [`send`](Socket::send) returned [`Sent::Queued`](super::Sent::Queued) or
    /// [`Sent::Dropped`](super::Sent::Dropped), or [`buffered`](super::Sender::buffered) was above 0. Called at most
    /// once a turn, so that a handler that fills the queue again doesn't delay the other
    /// connections.
    fn on_drain(&self, socket: &mut Socket<'_, Self::State>) {
        let _ = socket;
    }

    /// The connection was subscribed to a topic, which has `count` subscribers now; or a
    /// subscription requested through a [`Handle`](super::Handle) was refused.
    fn on_subscribe(
        &self,
        socket: &mut Socket<'_, Self::State>,
        topic: &str,
        count: Result<usize, SubscribeError>,
    ) {
        let _ = (socket, topic, count);
    }

    /// The subscription ended before the connection did; `count` subscribers are left.
    fn on_unsubscribe(&self, socket: &mut Socket<'_, Self::State>, topic: &str, count: usize) {
        let _ = (socket, topic, count);
    }

    /// A [timer](super::Sender::set_timer) of this key is due.
    ///
    /// It may be called while reading is paused, and during the closing handshake, in which nothing
    /// can be sent any more.
    fn on_timer(&self, socket: &mut Socket<'_, Self::State>, key: u64) {
        let _ = (socket, key);
    }

    /// Another thread, or another connection, has [notified](super::Handle::notify) this one.
    ///
    /// ```
    /// use std::any::Any;
    /// use sockeye::proto::Message;
    /// use sockeye::server::{Handler, Socket};
    ///
    /// struct Game;
    /// struct Points(u64);
    ///
    /// impl Handler for Game {
    ///     type State = u64;
    ///
    ///     fn on_message(&self, _: &mut Socket<'_, u64>, _: Message<'_>) {}
    ///
    ///     // For `handle.notify(id, Points(10))`.
    ///     fn on_notify(&self, socket: &mut Socket<'_, u64>, notice: Box<dyn Any + Send>) {
    ///         if let Ok(points) = notice.downcast::<Points>() {
    ///             *socket.state_mut() += points.0;
    ///             socket.send(format!("{} points", socket.state()));
    ///         }
    ///     }
    /// }
    /// ```
    fn on_notify(&self, socket: &mut Socket<'_, Self::State>, notice: Box<dyn Any + Send>) {
        let _ = (socket, notice);
    }

    /// The connection ends with an error, which `end` holds in full: a fault of the peer, a failed
    /// transport, a deadline, a panic. Called once, right before [`on_close`](Self::on_close), and
    /// the same may be called in it.
    fn on_error(&self, socket: &mut Socket<'_, Self::State>, cause: ErrorCause, end: &End) {
        let _ = (socket, cause, end);
    }

    /// The connection has ended: called once for each connection that opened.
    ///
    /// Nothing can be sent to it any more: `send` returns [`Sent::Dropped`](super::Sent::Dropped),
    /// `close` false. It can publish, to all others; leave and announce presence; read its state, its
    /// statistics, topics and request; and ask anything of the server through
    /// [`Socket::handle`](super::Sender::handle). Its subscriptions and what is left of its presence
    /// end after this, and its timers, deferred work and notices are dropped; setting one here, or
    /// subscribing, does nothing.
    fn on_close(&self, socket: &mut Socket<'_, Self::State>, end: &End) {
        let _ = (socket, end);
    }
}
