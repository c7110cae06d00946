//! Subscribing, and publishing: the topics of a connection.

use std::borrow::Borrow;
use std::mem;
use std::string::String;
use std::sync::Arc;

use super::outcome::Published;
use super::{LocalDelivery, Notice, SocketIo};
use crate::proto::{Encoding, Message, MessageKind, MessageRef, PreparedMessage};
use crate::server::topics::{
    HistoryEntry, Position, PresenceChange, PresenceError, Publisher, SubscribeError, Subscribed,
    Subscribing, TopicName,
};
use crate::server::write_queue::Keep;

/// How a connection publishes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Publish {
    /// To all other subscribers.
    ToOthers,
    /// To all subscribers, this connection included.
    ToAll,
    /// To all other subscribers, an event that has happened already: it can't be refused.
    Announcement,
}

impl SocketIo<'_> {
    /// Returns the full name of a topic of the connection's namespace.
    fn full_name(&self, topic: &str) -> String {
        TopicName::new(&self.ws.options.namespace, topic).full()
    }

    pub(in crate::server) fn subscribe(
        &mut self,
        topic: &str,
    ) -> Result<Subscribed, SubscribeError> {
        let topic = &self.full_name(topic);
        let (id, directory) = (self.id, &self.worker.shared.directory);
        if self.ws.is_subscribed(topic) {
            let begun = self.local.begun(topic, id.token()).unwrap_or_default();
            let Position { epoch, .. } = directory.position(topic);
            let position = Position {
                epoch,
                offset: begun,
            };
            let count = directory.count(topic);
            return Ok(Subscribed { count, position });
        }
        self.check(topic)?;
        let now = self.worker.now;
        let (subscribed, subscribing) = directory.subscribe(topic, id, now)?;
        self.begin(subscribed, &subscribing);
        Ok(subscribed)
    }

    /// Begins a subscription that another thread requested, or refuses it; the handler is notified.
    pub(in crate::server) fn subscribe_at(&mut self, subscribing: &Subscribing) {
        let name = &subscribing.topic.name;
        if self.ws.is_subscribed(name) {
            return;
        }
        if TopicName::split(name).namespace != &*self.ws.options.namespace {
            return self.refuse(name, SubscribeError::Namespace);
        }
        let directory = &self.worker.shared.directory;
        let begins = self
            .check(name)
            .and_then(|()| directory.subscribe_at(subscribing, self.id));
        match begins {
            Ok(subscribed) => self.begin(subscribed, subscribing),
            Err(error) => self.refuse(name, error),
        }
    }

    pub(in crate::server) fn refuse(&mut self, topic: &Arc<str>, error: SubscribeError) {
        let refused = Notice::Subscribed(Arc::clone(topic), Err(error));
        self.ws.cold().notices.push(refused);
    }

    fn check(&self, topic: &str) -> Result<(), SubscribeError> {
        if !self.ws.connection.is_open() {
            return Err(SubscribeError::Closed);
        }
        let subscribed = self.ws.cold.as_ref();
        let subscribed = subscribed.map_or(0, |it| it.subscriptions.len());
        let directory = &self.worker.shared.directory;
        directory.check(topic, self.id, subscribed)
    }

    /// Begins a subscription: sends what the history kept first.
    fn begin(&mut self, subscribed: Subscribed, subscribing: &Subscribing) {
        let Subscribing { topic, replay, .. } = subscribing;
        let begun = subscribed.position.offset;
        self.local.subscribe(topic, self.id.token(), begun);
        let cold = self.ws.cold();
        cold.subscriptions.insert(Arc::clone(&topic.name));
        let notices = Notice::Subscribed(Arc::clone(&topic.name), Ok(subscribed.count));
        cold.notices.push(notices);
        for HistoryEntry { kind, payload, .. } in replay {
            let text = || core::str::from_utf8(payload).ok().map(MessageRef::Text);
            let message = match kind {
                MessageKind::Text => text(),
                MessageKind::Binary => Some(MessageRef::Binary(payload)),
            };
            match message {
                Some(message) if self.ws.sending => {
                    let message = PreparedMessage::new(message, &self.ws.options.config);
                    self.send_between(&message, Keep::Always);
                }
                Some(message) => _ = self.send_ref(message, Encoding::Auto),
                None => {}
            }
        }
    }

    pub(in crate::server) fn unsubscribe(&mut self, topic: &str) -> bool {
        self.end_subscription(&self.full_name(topic))
    }

    /// Ends a subscription to a topic of this full name.
    pub(in crate::server) fn end_subscription(&mut self, topic: &str) -> bool {
        let (id, shared) = (self.id, &self.worker.shared);
        let Some(cold) = &mut self.ws.cold else {
            return false;
        };
        let Some(name) = cold.subscriptions.take(topic) else {
            return false;
        };
        let left = shared.directory.unsubscribe(topic, id);
        self.local.unsubscribe(topic, id.token());
        cold.notices.push(Notice::Unsubscribed(name, left));
        true
    }

    /// Returns the names of the topics that it is subscribed to.
    pub(in crate::server) fn subscriptions(&self) -> impl Iterator<Item = &str> {
        let subscriptions = self.ws.cold.iter().flat_map(|it| &it.subscriptions);
        subscriptions.map(|it| TopicName::split(it).name)
    }

    pub(in crate::server) fn join_presence(
        &mut self,
        topic: &str,
        user: &str,
        data: &str,
        announce: impl FnOnce(&PresenceChange) -> Option<Message<'static>>,
    ) -> Result<PresenceChange, PresenceError> {
        let (id, shared, full) = (self.id, &self.worker.shared, self.full_name(topic));
        let change = shared.join(&full, id, user, data, |change| {
            self.announce(topic, announce(change));
        })?;
        self.ws.cold().joined.insert(full.into());
        Ok(change)
    }

    pub(in crate::server) fn update_presence(
        &mut self,
        topic: &str,
        data: &str,
        announce: impl FnOnce(&PresenceChange) -> Option<Message<'static>>,
    ) -> PresenceChange {
        let (id, shared, full) = (self.id, &self.worker.shared, self.full_name(topic));
        shared.update(&full, id, data, |change| {
            self.announce(topic, announce(change));
        })
    }

    pub(in crate::server) fn leave_presence(
        &mut self,
        topic: &str,
        announce: impl FnOnce(&PresenceChange) -> Option<Message<'static>>,
    ) -> PresenceChange {
        let full = self.full_name(topic);
        if let Some(cold) = &mut self.ws.cold {
            cold.joined.remove(&*full);
        }
        self.ws.free_unused();
        let (id, shared) = (self.id, &self.worker.shared);
        shared.leave(&full, id, |change| {
            self.announce(topic, announce(change));
        })
    }

    /// Announces a change of the presence in a topic to the other subscribers.
    fn announce(&mut self, topic: &str, message: Option<Message<'static>>) {
        if let Some(message) = message {
            let message = PreparedMessage::new(&message, &self.ws.options.config);
            self.publish(topic, Publish::Announcement, |_| &message);
        }
    }

    /// Publishes a message that `make` creates once its position is known.
    pub(in crate::server) fn publish<M: Borrow<PreparedMessage>>(
        &mut self,
        topic: &str,
        publish: Publish,
        make: impl FnOnce(Position) -> M,
    ) -> Published {
        let (id, shared) = (self.id, &self.worker.shared);
        let to_self = publish == Publish::ToAll;
        let topic = TopicName::new(&self.ws.options.namespace, topic);
        let known = self.local.known(topic);
        let publisher = Publisher {
            except: (!to_self).then_some(id),
            delivers: self.local.may_deliver().then(|| id.worker()),
            insists: publish == Publish::Announcement,
        };
        let (inboxes, now) = (&shared.inboxes, self.worker.now);
        let known = known.as_ref();
        let outcome = shared
            .directory
            .publish(inboxes, topic, known, publisher, now, make);
        let Ok((outcome, message)) = outcome else {
            return Published {
                refused: true,
                ..Published::default()
            };
        };
        let mut published = Published::default();
        if outcome.deliver {
            let message = message.borrow();
            if let Some(topic) = known {
                let (keep, number) = (LocalDelivery::keep(topic), self.local.number());
                let delivery = LocalDelivery::new(message, keep, number, self.worker);
                let (offset, except) = (outcome.position.offset, Some(id.token()));
                published = self.local.deliver(topic, offset, except, delivery);
            }
            if to_self && known.is_some_and(|it| self.ws.is_subscribed(&it.name)) {
                published.count(self.send_between(message, Keep::Always));
            }
        } else if to_self {
            // It comes behind other commands in the inbox. This connection gets all of these in
            // order, but before what it sends itself next.
            self.catch_up();
        }
        published.waiting += outcome.waiting;
        published.position = Some(outcome.position);
        if outcome.filling && !mem::replace(&mut self.ws.cold().throttled, true) {
            self.local.throttle(id.token());
        }
        published
    }
}
