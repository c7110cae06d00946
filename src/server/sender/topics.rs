//! The topics of a connection, which are those of its namespace, and its presence in them.

use std::sync::Arc;

use super::Sender;
use crate::proto::{Message, MessageRef, PreparedMessage};
use crate::server::topics::{
    Position, PresenceChange, PresenceError, SubscribeError, Subscribed, outside,
};
use crate::server::websocket::{Publish, Published};

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
        self.io.subscribe(topic)
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
    /// presence itself.
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
        announce: impl FnOnce(&PresenceChange) -> Option<Message<'static>>,
    ) -> Result<PresenceChange, PresenceError> {
        self.io.join_presence(topic, user, data, announce)
    }

    /// Changes the data of the user as whom this connection is in the topic; announced like
    /// [`join_presence`](Self::join_presence).
    pub fn update_presence(
        &mut self,
        topic: &str,
        data: &str,
        announce: impl FnOnce(&PresenceChange) -> Option<Message<'static>>,
    ) -> PresenceChange {
        self.io.update_presence(topic, data, announce)
    }

    /// Leaves the presence of a topic; announced like [`join_presence`](Self::join_presence).
    pub fn leave_presence(
        &mut self,
        topic: &str,
        announce: impl FnOnce(&PresenceChange) -> Option<Message<'static>>,
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
    pub fn publish<'m>(&mut self, topic: &str, message: impl Into<MessageRef<'m>>) -> Published {
        let message = self.prepare(message);
        self.publish_prepared(topic, &message)
    }

    /// Publishes a message to all subscribers of a topic, this connection included if it is one.
    pub fn publish_to_all<'m>(
        &mut self,
        topic: &str,
        message: impl Into<MessageRef<'m>>,
    ) -> Published {
        let message = self.prepare(message);
        self.publish_prepared_to_all(topic, &message)
    }

    /// Like [`publish`](Self::publish), with a prepared message.
    pub fn publish_prepared(&mut self, topic: &str, message: &PreparedMessage) -> Published {
        self.io.publish(topic, Publish::ToOthers, |_| message)
    }

    /// Like [`publish_to_all`](Self::publish_to_all), with a prepared message.
    pub fn publish_prepared_to_all(&mut self, topic: &str, message: &PreparedMessage) -> Published {
        self.io.publish(topic, Publish::ToAll, |_| message)
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
        self.io.publish(topic, Publish::ToAll, |position| {
            let message = outside(|| make(position));
            PreparedMessage::new(&message, &options.config)
        })
    }
}
