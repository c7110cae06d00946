//! A message to publish, with what holds for it alone.

use crate::server::id::ConnectionId;
use crate::server::websocket::Outgoing;

/// A message to publish: by itself, or with what holds for it alone.
///
/// All that can be [sent](crate::server::Socket::send) is a publication without further ado: text,
/// bytes, a received message, a
/// [`PreparedMessage`](crate::proto::PreparedMessage).
///
/// ```
/// use sockeye::proto::Message;
/// use sockeye::server::{Handler, Socket};
/// use sockeye::server::topics::Publication;
///
/// struct Room;
///
/// impl Handler for Room {
///     type State = String; // the name
///
///     fn on_message(&self, socket: &mut Socket<'_, String>, message: Message<'_>) {
///         let (name, sender) = socket.split();
///         match message.as_text() {
///             // Nobody who comes later has to know that somebody was typing.
///             Some("") => {
///                 let typing = format!("{name} is typing");
///                 sender.publish("room", Publication::new(&typing).not_kept());
///             }
///             _ => {
///                 sender.publish("room", &message);
///             }
///         }
///     }
/// }
/// ```
#[derive(Debug)]
#[must_use]
pub struct Publication<'m> {
    pub(in crate::server) message: Outgoing<'m>,
    pub(in crate::server) except: Option<ConnectionId>,
    pub(in crate::server) kept: bool,
}

impl<'m> Publication<'m> {
    /// Creates a publication for all subscribers that is kept in the topic's history.
    #[inline(always)]
    pub fn new(message: impl Into<Outgoing<'m>>) -> Self {
        Self {
            message: message.into(),
            except: None,
            kept: true,
        }
    }

    /// Leaves out a connection. With [`Socket::publish`](crate::server::Socket::publish), which
    /// leaves out its own connection, this one is left out in place of it.
    pub fn except(mut self, id: ConnectionId) -> Self {
        self.except = Some(id);
        self
    }

    /// Keeps the message out of the topic's history: who comes later doesn't get it. It has a
    /// position like any other.
    pub fn not_kept(mut self) -> Self {
        self.kept = false;
        self
    }
}

impl<'m, M: Into<Outgoing<'m>>> From<M> for Publication<'m> {
    // Always inlined, so that the form of the message is known at the call.
    #[inline(always)]
    fn from(message: M) -> Self {
        Self::new(message)
    }
}
