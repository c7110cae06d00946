//! The topics of a connection, which are those of its namespace, and its presence in them.

use std::sync::Arc;

use super::Sender;
use crate::proto::{Message, PreparedMessage};
use crate::server::topics::{
    Join, Joined, Position, PresenceChange, PresenceError, Publication, Publisher, SubscribeError,
    Subscribed, outside,
};
use crate::server::websocket::Published;

impl Sender<'_> {
    /// Subscribes to a topic of the route's [namespace](crate::server::Route::namespace), in which
    /// all topics of this type's methods are. Messages published behind the position where the
    /// subscription begins arrive, each once; earlier ones that the topic's history keeps are sent
    /// first. Subscribing again changes nothing.
    ///
    /// # Errors
    /// [`SubscribeError`], for a limit or a guard of the topic.
    pub fn subscribe(&mut self, topic: &str) -> Result<Subscribed, SubscribeError> {
        self.io.sync();
        self.io.subscribe(topic, None)
    }

    /// Subscribes to a topic, for a client that comes back with the position of the last message
    /// that it saw: what was published behind it is sent first, as far as it is kept, and
    /// [`Subscribed::complete`] says whether that is everything.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub fn subscribe_since(
        &mut self,
        topic: &str,
        since: Position,
    ) -> Result<Subscribed, SubscribeError> {
        self.io.sync();
        self.io.subscribe(topic, Some(since))
    }

    /// Joins a topic in one step: subscribes to it, enters its presence if [`Join::user`] says so,
    /// and returns what was before that: the messages that are kept, who is there, and the position
    /// from which on messages arrive. Between these is no gap, and nothing is told twice, so that
    /// one message to the client can hold all of it. A message that another thread publishes meanwhile
    /// may be sent before that one: it is behind the position.
    ///
    /// Nothing is replayed on a connection that is subscribed already.
    ///
    /// ```
    /// use sockeye::proto::Message;
    /// use sockeye::server::{Handler, Socket};
    /// use sockeye::server::topics::{Join, PresenceChange};
    ///
    /// struct Room;
    ///
    /// impl Handler for Room {
    ///     type State = String; // the name
    ///
    ///     fn on_open(&self, socket: &mut Socket<'_, String>) {
    ///         let (name, sender) = socket.split();
    ///         let join = Join::new().user(name, "").announce(|change| match change {
    ///             PresenceChange::Joined(member) => Some(format!("{} is here", member.user).into()),
    ///             _ => None,
    ///         });
    ///         match sender.join("room", join) {
    ///             Ok(joined) => {
    ///                 let (said, people) = (joined.replay.entries.len(), joined.members.len());
    ///                 sender.send(&format!("{said} messages, {people} people"));
    ///             }
    ///             Err(refused) => {
    ///                 sender.send(&refused.to_string());
    ///             }
    ///         }
    ///     }
    ///
    ///     fn on_message(&self, socket: &mut Socket<'_, String>, message: Message<'_>) {
    ///         socket.publish_to_all("room", &message);
    ///     }
    /// }
    /// # let _ = Room;
    /// ```
    ///
    /// # Errors
    /// [`SubscribeError`], for a limit, a guard, or the presence; nothing changed then.
    pub fn join(&mut self, topic: &str, join: Join<'_>) -> Result<Joined, SubscribeError> {
        self.io.sync();
        self.io.join(topic, join)
    }

    /// Ends a subscription; returns whether there was one.
    pub fn unsubscribe(&mut self, topic: &str) -> bool {
        self.io.sync();
        self.io.unsubscribe(topic)
    }

    /// Enters the presence of a topic as `user`, with the application's data. This is independent
    /// of being subscribed.
    ///
    /// If that changes anything that others see, `announce` returns the message to send them: it is
    /// published to the topic's other subscribers before anything else changes in its presence, so
    /// that all of them learn of changes in the order in which they happened. It must not call
    /// presence itself. A message becomes a publication with `into()`;
    /// [`Publication::not_kept`] leaves it out of the topic's history, so that who comes later isn't
    /// told of those who came and went.
    ///
    /// The connection leaves when it ends, after [`Handler::on_close`](crate::server::Handler::on_close);
    /// to announce that, call [`leave_presence`](Self::leave_presence) there.
    ///
    /// # Errors
    /// [`PresenceError`]; nothing changed then.
    pub fn join_presence(
        &mut self,
        topic: &str,
        user: &str,
        data: &str,
        announce: impl FnOnce(&PresenceChange) -> Option<Publication<'static>>,
    ) -> Result<PresenceChange, PresenceError> {
        self.io.join_presence(topic, user, data, announce)
    }

    /// Changes the data of the user as whom this connection is in the topic; announced like
    /// [`join_presence`](Self::join_presence).
    pub fn update_presence(
        &mut self,
        topic: &str,
        data: &str,
        announce: impl FnOnce(&PresenceChange) -> Option<Publication<'static>>,
    ) -> PresenceChange {
        self.io.update_presence(topic, data, announce)
    }

    /// Leaves the presence of a topic; announced like [`join_presence`](Self::join_presence).
    pub fn leave_presence(
        &mut self,
        topic: &str,
        announce: impl FnOnce(&PresenceChange) -> Option<Publication<'static>>,
    ) -> PresenceChange {
        self.io.leave_presence(topic, announce)
    }

    /// Returns the topics that the connection is subscribed to.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.io.subscriptions()
    }

    /// Publishes a message to the other subscribers of a topic, whether or not this connection is
    /// one. It has one position in the topic's order, for all of them and for its history.
    ///
    /// Where subscribers take less than is published, this connection is not read from for a while:
    /// see [`max_inbox`](crate::server::Builder::max_inbox).
    pub fn publish<'m>(
        &mut self,
        topic: &str,
        publication: impl Into<Publication<'m>>,
    ) -> Published {
        let mut publication = publication.into();
        publication.except.get_or_insert(self.io.id);
        self.io.publish(topic, publication)
    }

    /// Publishes a message to all subscribers of a topic, this connection included if it is one.
    pub fn publish_to_all<'m>(
        &mut self,
        topic: &str,
        publication: impl Into<Publication<'m>>,
    ) -> Published {
        self.io.publish(topic, publication.into())
    }

    /// Publishes a message to the other subscribers of several topics: who is subscribed to more
    /// than one of them gets it once. It has a position in each topic's order and history, and is
    /// published to all of them or, if one refuses it, to none.
    ///
    /// In [`Published`], `waiting` counts a connection for each of its subscriptions, and `position`
    /// is None. Topics that conflate replace the message only for those who get it by none that
    /// doesn't.
    ///
    /// ```
    /// use sockeye::proto::Message;
    /// use sockeye::server::{Handler, Socket};
    ///
    /// struct Desk;
    ///
    /// impl Handler for Desk {
    ///     type State = ();
    ///
    ///     fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
    ///         socket.publish_to(&["support", "sales"], message);
    ///     }
    /// }
    /// # let _ = Desk;
    /// ```
    pub fn publish_to<'m>(
        &mut self,
        topics: &[&str],
        publication: impl Into<Publication<'m>>,
    ) -> Published {
        let mut publication = publication.into();
        publication.except.get_or_insert(self.io.id);
        self.io.publish_to(topics, publication)
    }

    /// Like [`publish_to_all`](Self::publish_to_all), with a message that is made once its position
    /// is known, so that it can contain the position.
    ///
    /// # Panics
    /// If `make` publishes, subscribes or asks about topics: its own is locked meanwhile. A panic
    /// closes the connection, as in any method of a handler.
    pub fn publish_with(
        &mut self,
        topic: &str,
        make: impl FnOnce(Position) -> Message<'static>,
    ) -> Published {
        let options = Arc::clone(&self.io.ws.options);
        let publisher = Publisher::default();
        self.io.publish_made(topic, publisher, |position| {
            let message = outside(|| make(position));
            PreparedMessage::new(&message, &options.config)
        })
    }
}
