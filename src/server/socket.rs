//! A connection with its state, as its handler uses it.

mod deferring;
mod forward;
mod function;

use std::fmt;
use std::ops::{Deref, DerefMut};

#[cfg(feature = "json")]
pub(super) use self::function::erase;
pub(super) use self::function::run;
pub use super::sender::{Sender, SocketState};
use super::websocket::SocketIo;
pub use super::websocket::{Outgoing, Overflow, Sent};

/// A connection with the application's state, as its handler uses it.
///
/// All that isn't the state is a method of [`Sender`], to which a socket dereferences. While the
/// state is borrowed, [`split`](Self::split) gives both side by side.
///
/// The ways of sending:
///
/// ```
/// use sockeye::proto::{CloseCode, Message};
/// use sockeye::server::{Handler, Sent, Socket};
///
/// struct Demo;
///
/// impl Handler for Demo {
///     type State = u64; // messages so far
///
///     fn on_message(&self, socket: &mut Socket<'_, u64>, message: Message<'_>) {
///         *socket.state_mut() += 1;
///         match message.as_text() {
///             Some("binary") => {
///                 socket.send(&[1, 2, 3][..]);
///             }
///             Some("parts") => {
///                 let _ = socket.send_fragment("in ");
///                 let _ = socket.send_last_fragment("parts");
///             }
///             Some("ping") => {
///                 let _ = socket.ping(b"are you there?");
///             }
///             Some("bye") => {
///                 socket.close(CloseCode::NORMAL, "bye");
///             }
///             // In place: the message leaves in the buffer that it came in.
///             _ => match socket.send(message) {
///                 Sent::Sent => {}
///                 Sent::Queued => println!("{} bytes wait", socket.buffered()),
///                 Sent::Dropped => println!("too much waits, or it is closing"),
///             },
///         }
///     }
/// }
/// ```
///
/// Topics and presence: a room whose members see each other come and go.
///
/// ```
/// use sockeye::proto::Message;
/// use sockeye::server::{End, Handler, Socket};
/// use sockeye::server::topics::PresenceChange;
///
/// struct Room;
///
/// impl Handler for Room {
///     type State = String; // the name
///
///     fn on_open(&self, socket: &mut Socket<'_, String>) {
///         let (name, sender) = socket.split();
///         if let Err(refused) = sender.subscribe("room") {
///             sender.send(refused.to_string());
///         }
///         _ = sender.join_presence("room", name, "{}", |change| match change {
///             PresenceChange::Joined(member) => Some(format!("{} is here", member.user).into()),
///             _ => None,
///         });
///     }
///
///     fn on_message(&self, socket: &mut Socket<'_, String>, message: Message<'_>) {
///         let sent = socket.publish_to_all("room", &message);
///         println!("{} written, {} wait, {} dropped", sent.sent, sent.queued, sent.dropped);
///     }
///
///     fn on_close(&self, socket: &mut Socket<'_, String>, _: &End) {
///         socket.leave_presence("room", |change| match change {
///             PresenceChange::Left(member) => Some(format!("{} has left", member.user).into()),
///             _ => None,
///         });
///     }
/// }
/// ```
pub struct Socket<'a, S> {
    state: &'a mut S,
    sender: Sender<'a>,
}

impl<'a, S> Socket<'a, S> {
    pub(super) fn new(io: &'a mut SocketIo<'a>, state: &'a mut S) -> Self {
        Self {
            state,
            sender: Sender::new(io),
        }
    }

    /// The application's state of this connection.
    #[must_use]
    pub fn state(&self) -> &S {
        self.state
    }

    /// The application's state of this connection, mutably.
    #[must_use]
    pub fn state_mut(&mut self) -> &mut S {
        self.state
    }

    /// Returns the state and the connection side by side, so that one can be read or changed while
    /// the other is used:
    ///
    /// ```
    /// # use sockeye::server::Socket;
    /// # struct Person { room: String, name: String, said: u64 }
    /// # fn said(socket: &mut Socket<'_, Person>, text: &str) {
    /// let (person, sender) = socket.split();
    /// person.said += 1;
    /// sender.publish(&person.room, &format!("{}: {text}", person.name));
    /// # }
    /// ```
    pub fn split(&mut self) -> (&mut S, &mut Sender<'a>) {
        (self.state, &mut self.sender)
    }

    /// Without the state, as the receiving loop uses it.
    #[inline]
    pub(super) fn io(&mut self) -> &mut SocketIo<'a> {
        self.sender.io
    }
}

impl<'a, S> Deref for Socket<'a, S> {
    type Target = Sender<'a>;

    #[inline]
    fn deref(&self) -> &Sender<'a> {
        &self.sender
    }
}

impl<'a, S> DerefMut for Socket<'a, S> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Sender<'a> {
        &mut self.sender
    }
}

impl<S: fmt::Debug> fmt::Debug for Socket<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.id())
            .field("peer", &self.peer_addr())
            .field("connection", &self.sender.io.ws.connection)
            .field("state", &self.state)
            .finish()
    }
}
