//! Subscribing, and publishing: the topics of a connection.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::mem;
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use super::outcome::Published;
use super::{LocalDelivery, Notice, Outgoing, SocketIo};
use crate::proto::{Encoding, MessageKind, MessageRef, PreparedMessage};
use crate::server::id::ConnectionId;
use crate::server::topics::{
    HistoryEntry, Join, Joined, Position, PresenceChange, PresenceError, Publication, Publisher,
    Replay, SubscribeError, Subscribed, Subscriber, Subscribing, Topic, TopicName,
};
use crate::server::write_queue::Keep;

impl SocketIo<'_> {
    /// Returns the full name of a topic of the connection's namespace.
    fn full_name(&self, topic: &str) -> String {
        TopicName::new(&self.ws.options.namespace, topic).full()
    }

    /// Subscribes to a topic, and sends what it keeps for a new subscriber, or `since` a position.
    pub(in crate::server) fn subscribe(
        &mut self,
        topic: &str,
        since: Option<Position>,
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
            return Ok(Subscribed {
                count: directory.count(topic),
                position,
                complete: true,
            });
        }
        self.check(topic)?;
        let now = self.worker.now;
        let shared = &self.worker.shared;
        let (subscribed, subscribing) = shared.subscribe(topic, id, since, now)?;
        self.begin(subscribed, &subscribing.topic);
        self.replay(&subscribing.replay);
        Ok(subscribed)
    }

    /// Subscribes to a topic and enters its presence, with what was before it as data.
    pub(in crate::server) fn join(
        &mut self,
        topic: &str,
        join: Join<'_>,
    ) -> Result<Joined, SubscribeError> {
        let (id, now, full) = (self.id, self.worker.now, self.full_name(topic));
        let shared = Arc::clone(&self.worker.shared);
        let Join {
            since,
            user,
            announce,
        } = join;
        let subscribed_already = self.ws.is_subscribed(&full);
        if !subscribed_already {
            self.check(&full)?;
        }
        // Nobody enters or leaves until all of this has happened, so that the list of members and
        // the announcements behind the position tell of each change once.
        let _order = shared.presence_order.of(&*full);
        let enters = user.map(|(user, data)| shared.presence.join(&full, id.to_u64(), user, data));
        let change = enters.transpose().map_err(SubscribeError::Presence)?;
        let was_present = self.is_present(&full);
        if change.is_some() {
            // Before the application's history, which may panic.
            self.ws.cold().joined.insert(full.as_str().into());
        }
        let subscribed = match subscribed_already {
            true => self.subscribe(topic, None).map(|it| (it, Vec::new())),
            false => shared
                .subscribe(&full, id, since, now)
                .map(|(subscribed, subscribing)| {
                    self.begin(subscribed, &subscribing.topic);
                    (subscribed, subscribing.replay)
                }),
        };
        let (subscribed, entries) = match subscribed {
            Ok(subscribed) => subscribed,
            Err(error) => {
                if change.is_some() && !was_present {
                    self.ws.cold().joined.remove(&*full);
                    shared.presence.leave(&full, id.to_u64());
                    self.ws.free_unused();
                }
                return Err(error);
            }
        };
        if let Some(change) = change.filter(|it| *it != PresenceChange::None)
            && let Some(announce) = announce
        {
            self.announce(topic, announce(&change));
        }
        Ok(Joined {
            position: subscribed.position,
            replay: Replay {
                entries,
                complete: subscribed.complete,
            },
            members: shared.presence.members(&full),
            count: subscribed.count,
        })
    }

    fn is_present(&self, topic: &str) -> bool {
        let cold = self.ws.cold.as_ref();
        cold.is_some_and(|it| it.joined.contains(topic))
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
        let shared = &self.worker.shared;
        let begins = self
            .check(name)
            .and_then(|()| shared.subscribe_at(subscribing, self.id));
        match begins {
            Ok(subscribed) => {
                self.begin(subscribed, &subscribing.topic);
                self.replay(&subscribing.replay);
            }
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
        let cold = self.ws.cold.as_ref();
        let subscriber = Subscriber {
            id: self.id,
            client_ip: self.remote.client_ip(),
            user: cold.and_then(|it| it.user.as_deref()),
            request: cold.and_then(|it| it.request.as_ref()),
            subprotocol: self.ws.connection.subprotocol(),
        };
        let subscribed = cold.map_or(0, |it| it.subscriptions.len());
        let directory = &self.worker.shared.directory;
        directory.check(topic, &subscriber, subscribed)
    }

    /// Begins a subscription.
    fn begin(&mut self, subscribed: Subscribed, topic: &Arc<Topic>) {
        let begun = subscribed.position.offset;
        self.local.subscribe(topic, self.id.token(), begun);
        let cold = self.ws.cold();
        cold.subscriptions.insert(Arc::clone(&topic.name));
        let notices = Notice::Subscribed(Arc::clone(&topic.name), Ok(subscribed.count));
        cold.notices.push(notices);
    }

    /// Sends the messages that were kept.
    fn replay(&mut self, entries: &[HistoryEntry]) {
        for HistoryEntry { kind, payload, .. } in entries {
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
        let left = shared.unsubscribe(topic, id);
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
        announce: impl FnOnce(&PresenceChange) -> Option<Publication<'static>>,
    ) -> Result<PresenceChange, PresenceError> {
        let (id, shared, full) = (self.id, &self.worker.shared, self.full_name(topic));
        let shared = Arc::clone(shared);
        let change = shared.join(&full, id, user, data, |change| {
            // Before the application's function, which may panic.
            self.ws.cold().joined.insert(full.as_str().into());
            self.announce(topic, announce(change));
        })?;
        self.ws.cold().joined.insert(full.as_str().into());
        Ok(change)
    }

    pub(in crate::server) fn update_presence(
        &mut self,
        topic: &str,
        data: &str,
        announce: impl FnOnce(&PresenceChange) -> Option<Publication<'static>>,
    ) -> PresenceChange {
        let (id, shared, full) = (self.id, &self.worker.shared, self.full_name(topic));
        shared.update(&full, id, data, |change| {
            self.announce(topic, announce(change));
        })
    }

    pub(in crate::server) fn leave_presence(
        &mut self,
        topic: &str,
        announce: impl FnOnce(&PresenceChange) -> Option<Publication<'static>>,
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
    fn announce(&mut self, topic: &str, publication: Option<Publication<'static>>) {
        if let Some(publication) = publication {
            let message = publication.message.prepared(&self.ws.options.config);
            let publisher = Publisher {
                except: publication.except.or(Some(self.id)),
                insists: true,
                unkept: !publication.kept,
                ..Publisher::default()
            };
            self.publish_made(topic, publisher, |_| &message);
        }
    }

    // Always inlined, so that the form of the message is known at the call.
    #[inline(always)]
    pub(in crate::server) fn publish(
        &mut self,
        topic: &str,
        publication: Publication<'_>,
    ) -> Published {
        let Publication {
            message,
            except,
            kept,
        } = publication;
        let publisher = Publisher {
            except,
            unkept: !kept,
            ..Publisher::default()
        };
        let config = &self.ws.options.config;
        let made;
        let message = match message {
            Outgoing::Prepared(message) => message,
            Outgoing::Ref(message) => {
                made = PreparedMessage::new(message, config);
                &made
            }
            Outgoing::Message(message) => {
                made = PreparedMessage::new(&message, config);
                &made
            }
        };
        self.publish_made(topic, publisher, |_| message)
    }

    /// Publishes a message to several topics.
    #[inline(never)]
    pub(in crate::server) fn publish_to(
        &mut self,
        topics: &[&str],
        publication: Publication<'_>,
    ) -> Published {
        let Publication {
            message,
            except,
            kept,
        } = publication;
        let topics: BTreeSet<String> = topics.iter().map(|it| self.full_name(it)).collect();
        if topics.is_empty() {
            return Published::default();
        }
        let message = &message.prepared(&self.ws.options.config);
        let (id, shared) = (self.id, &self.worker.shared);
        let publisher = Publisher {
            except,
            delivers: self.delivers(except),
            unkept: !kept,
            ..Publisher::default()
        };
        let (inboxes, now) = (&shared.inboxes, self.worker.now);
        let outcome = shared
            .directory
            .publish_joint(inboxes, &topics, publisher, now, message);
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                return Published {
                    refused: Some(error),
                    ..Published::default()
                };
            }
        };
        self.worker.metrics.messages_published.add(1);
        let bytes = message.payload().len() as u64;
        self.worker.metrics.bytes_published.add(bytes);
        let mut published = Published::default();
        let to_self = except != Some(id);
        if outcome.deliver {
            let number = self.local.number();
            let delivery = LocalDelivery::new(message, Keep::Always, number, self.worker);
            let except = Some(id.token());
            published = self.local.deliver_joint(&outcome.message, except, delivery);
            if to_self && topics.iter().any(|it| self.ws.is_subscribed(it)) {
                published.count(self.send_between(message, Keep::Always));
            }
        } else if to_self {
            // As in `publish_made`.
            self.catch_up();
        }
        published.waiting += outcome.waiting;
        self.throttle(outcome.filling);
        published
    }

    /// Returns the worker, if a message that leaves out `except` may be delivered directly: of its
    /// worker's connections, such a message leaves out itself alone.
    #[inline(always)]
    fn delivers(&self, except: Option<ConnectionId>) -> Option<usize> {
        let id = self.id;
        let other = except.filter(|it| *it != id);
        let leaves_out_other = other.is_some_and(|it| it.worker() == id.worker());
        (!leaves_out_other && self.local.may_deliver()).then(|| id.worker())
    }

    /// Reads nothing from this connection for a while, if an inbox that it publishes to is filling.
    #[inline(always)]
    fn throttle(&mut self, filling: bool) {
        if filling && !mem::replace(&mut self.ws.cold().throttled, true) {
            self.local.throttle(self.id.token());
        }
    }

    /// Publishes a message that `make` creates once its position is known.
    pub(in crate::server) fn publish_made<M: Borrow<PreparedMessage>>(
        &mut self,
        topic: &str,
        mut publisher: Publisher,
        make: impl FnOnce(Position) -> M,
    ) -> Published {
        let (id, shared) = (self.id, &self.worker.shared);
        let to_self = publisher.except != Some(id);
        publisher.delivers = self.delivers(publisher.except);
        let topic = TopicName::new(&self.ws.options.namespace, topic);
        let known = self.local.known(topic);
        let (inboxes, now) = (&shared.inboxes, self.worker.now);
        let known = known.as_ref();
        let outcome = shared
            .directory
            .publish(inboxes, topic, known, publisher, now, make);
        let (outcome, message) = match outcome {
            Ok(published) => published,
            Err(error) => {
                return Published {
                    refused: Some(error),
                    ..Published::default()
                };
            }
        };
        let bytes = message.borrow().payload().len() as u64;
        self.worker.metrics.messages_published.add(1);
        self.worker.metrics.bytes_published.add(bytes);
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
        self.throttle(outcome.filling);
        published
    }
}
