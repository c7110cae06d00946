//! The topics of a namespace, as any thread reaches them.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::string::{String, ToString as _};
use std::sync::Arc;
use std::vec::Vec;

use super::Handle;
use crate::proto::{Message, PreparedMessage};
use crate::server::id::ConnectionId;
use crate::server::run::inbox::{Command, HandleError};
use crate::server::topics::{
    HistoryEntry, Member, Position, Publication, Publisher, Replay, TopicName, TopicStats, outside,
};
use crate::server::websocket::Published;

/// The topics of one [namespace](crate::server::Route::namespace), for any thread:
/// [`Handle::topics`] returns it. Clones reach the same topics.
///
/// What it asks for is ordered and bounded like the [`Handle`]'s commands.
///
/// ```no_run
/// use std::{thread, time::Duration};
/// use sockeye::proto::Message;
/// use sockeye::server::{Handler, Server, Socket};
///
/// struct Prices;
///
/// impl Handler for Prices {
///     type State = ();
///
///     fn on_open(&self, socket: &mut Socket<'_, ()>) {
///         let _ = socket.subscribe("gold");
///     }
///
///     fn on_message(&self, _: &mut Socket<'_, ()>, _: Message<'_>) {}
/// }
///
/// let server = Server::builder().route("/prices", Prices).listen("127.0.0.1:9001")?;
/// let prices = server.handle().topics("/prices");
/// thread::spawn(move || {
///     for price in 100..200 {
///         if prices.publish("gold", &price.to_string()).is_err() {
///             break; // the server has stopped
///         }
///         thread::sleep(Duration::from_secs(1));
///     }
///     println!("{} listened to the last one", prices.subscriber_count("gold"));
/// });
/// server.run()?;
/// # Ok::<(), sockeye::Error>(())
/// ```
#[derive(Clone)]
pub struct Topics {
    handle: Handle,
    namespace: Arc<str>,
}

impl Handle {
    /// Returns the topics of a namespace: of a route's path, unless the route
    /// [has another](crate::server::Route::namespace).
    ///
    /// # Panics
    /// If no route has this namespace.
    #[must_use]
    pub fn topics(&self, namespace: &str) -> Topics {
        match self.shared.directory.namespace(namespace) {
            Some(namespace) => Topics {
                handle: self.clone(),
                namespace,
            },
            None => panic!("no route has the namespace {namespace:?} (by default, its path)"),
        }
    }

    /// Returns the topics of all namespaces with the most subscribers in numbers, as
    /// [`Topics::stats`] does for one namespace.
    #[must_use]
    pub fn topic_stats(&self, limit: usize) -> Vec<TopicStats> {
        self.shared.directory.largest(None, limit)
    }
}

impl Topics {
    /// Returns the namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    fn name<'n>(&'n self, topic: &'n str) -> TopicName<'n> {
        TopicName::new(&self.namespace, topic)
    }

    fn full_name(&self, topic: &str) -> String {
        self.name(topic).full()
    }

    /// Returns the message of a publication, and how it is published.
    fn take(&self, publication: Publication<'_>) -> (PreparedMessage, Publisher) {
        let publisher = Publisher {
            except: publication.except,
            unkept: !publication.kept,
            ..Publisher::default()
        };
        let message = publication.message.prepared(&self.handle.shared.config);
        (message, publisher)
    }

    /// Publishes a message to all subscribers of a topic. It has one position in the topic's order,
    /// for all of them and for its history.
    ///
    /// # Errors
    /// [`HandleError::Busy`]; then nobody gets it, and the call may be repeated.
    /// [`HandleError::TooLong`] for a message that is longer than the topic's
    /// [`max_message`](crate::server::topics::TopicOptions::max_message).
    pub fn publish<'m>(
        &self,
        topic: &str,
        publication: impl Into<Publication<'m>>,
    ) -> Result<Published, HandleError> {
        let (message, publisher) = self.take(publication.into());
        self.publish_made(topic, publisher, |_| &message)
    }

    /// Publishes a message to all subscribers of several topics, like
    /// [`Socket::publish_to`](crate::server::Socket::publish_to): who is subscribed to more than one
    /// of them gets it once.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), for any of the topics; it is published to none then.
    pub fn publish_to<'m>(
        &self,
        topics: &[&str],
        publication: impl Into<Publication<'m>>,
    ) -> Result<Published, HandleError> {
        let (message, publisher) = self.take(publication.into());
        let shared = &self.handle.shared;
        let topics: BTreeSet<String> = topics.iter().map(|it| self.full_name(it)).collect();
        if topics.is_empty() {
            return Ok(Published::default());
        }
        let (inboxes, now) = (&shared.inboxes, shared.clock.now());
        let outcome = shared
            .directory
            .publish_joint(inboxes, &topics, publisher, now, &message)?;
        shared.published.messages.add(1);
        shared.published.bytes.add(message.payload().len() as u64);
        Ok(Published {
            waiting: outcome.waiting,
            ..Published::default()
        })
    }

    /// Like [`publish`](Self::publish), with a message that is made once its position is known, so
    /// that it can contain the position.
    ///
    /// ```
    /// # use sockeye::server::HandleError;
    /// # use sockeye::server::topics::Topics;
    /// # fn say(topics: &Topics) -> Result<(), HandleError> {
    /// topics.publish_with("news", |at| format!(r#"{{"offset":{},"text":"hello"}}"#, at.offset).into())?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    ///
    /// # Panics
    /// If `make` publishes, subscribes or asks about topics: its own is locked meanwhile.
    pub fn publish_with(
        &self,
        topic: &str,
        make: impl FnOnce(Position) -> Message<'static>,
    ) -> Result<Published, HandleError> {
        let prepare = |position| self.handle.prepare(&outside(|| make(position)));
        self.publish_made(topic, Publisher::default(), prepare)
    }

    fn publish_made<M: Borrow<PreparedMessage>>(
        &self,
        topic: &str,
        publisher: Publisher,
        make: impl FnOnce(Position) -> M,
    ) -> Result<Published, HandleError> {
        let shared = &self.handle.shared;
        let (inboxes, name, now) = (&shared.inboxes, self.name(topic), shared.clock.now());
        let publish = shared
            .directory
            .publish(inboxes, name, None, publisher, now, make);
        let (outcome, message) = publish?;
        shared.published.messages.add(1);
        let bytes = message.borrow().payload().len();
        shared.published.bytes.add(bytes as u64);
        Ok(Published {
            waiting: outcome.waiting,
            position: Some(outcome.position),
            ..Published::default()
        })
    }

    /// Subscribes a connection of the namespace to a topic, like
    /// [`Socket::subscribe`](crate::server::Socket::subscribe). Returns where the subscription
    /// begins: each message published from now on arrives.
    ///
    /// # Errors
    /// [`HandleError`]; whether the subscription was allowed is an argument of the connection's
    /// [`on_subscribe`](crate::server::Handler::on_subscribe).
    pub fn subscribe(&self, id: ConnectionId, topic: &str) -> Result<Position, HandleError> {
        self.handle.check(id)?;
        let shared = &self.handle.shared;
        let (inbox, now) = (&shared.inboxes[id.worker()], shared.clock.now());
        let topic = self.full_name(topic);
        shared.directory.begin(&topic, id, inbox, now)
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// [`HandleError`].
    pub fn unsubscribe(&self, id: ConnectionId, topic: &str) -> Result<(), HandleError> {
        let topic = self.full_name(topic);
        self.handle
            .to(id, |token| Command::Unsubscribe(token, topic.into()))
    }

    /// Returns the number of subscribers of a topic, over all workers.
    #[must_use]
    pub fn subscriber_count(&self, topic: &str) -> usize {
        self.handle.shared.directory.count(&self.full_name(topic))
    }

    /// Returns the subscribers of a topic, over all workers.
    #[must_use]
    pub fn subscribers(&self, topic: &str) -> Vec<ConnectionId> {
        self.handle.shared.directory.list(&self.full_name(topic))
    }

    /// Returns the topics of the namespace that have subscribers, with their counts, in no
    /// particular order.
    #[must_use]
    pub fn list(&self) -> Vec<(String, usize)> {
        let all = self.handle.shared.directory.topics().into_iter();
        let own = all.filter_map(|(full, count)| {
            let TopicName { namespace, name } = TopicName::split(&full);
            (namespace == &*self.namespace).then(|| (name.to_string(), count))
        });
        own.collect()
    }

    /// Returns the topics of the namespace with the most subscribers in numbers, at most `limit`;
    /// those with the most first, and of as many subscribers those with the most bytes. Takes time
    /// linear in the number of all topics.
    #[must_use]
    pub fn stats(&self, limit: usize) -> Vec<TopicStats> {
        let directory = &self.handle.shared.directory;
        directory.largest(Some(&self.namespace), limit)
    }

    /// Returns the users who are present in a topic, in the order in which they came.
    #[must_use]
    pub fn presence_members(&self, topic: &str) -> Vec<Member> {
        self.handle.shared.presence.members(&self.full_name(topic))
    }

    /// Returns the last messages of a topic that keeps a
    /// [history](crate::server::topics::TopicOptions::history), at most `limit`, the oldest first.
    #[must_use]
    pub fn history(&self, topic: &str, limit: usize) -> Vec<HistoryEntry> {
        let (shared, topic) = (&self.handle.shared, self.full_name(topic));
        shared.directory.history(&topic, limit, shared.clock.now())
    }

    /// Returns what was published to a topic behind a position, the oldest first, and whether that
    /// is complete: for a client that reconnects with the position of the last message it saw.
    #[must_use]
    pub fn history_since(&self, topic: &str, position: Position) -> Replay {
        let (shared, topic) = (&self.handle.shared, self.full_name(topic));
        let now = shared.clock.now();
        shared.directory.history_since(&topic, position, now)
    }

    /// Returns the current position of a topic: behind its last message.
    #[must_use]
    pub fn position(&self, topic: &str) -> Position {
        self.handle
            .shared
            .directory
            .position(&self.full_name(topic))
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topics")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::server::{Handler, Route, Server, Socket};

    struct Quiet;

    impl Handler for Quiet {
        type State = ();

        fn on_message(&self, _: &mut Socket<'_, ()>, _: Message<'_>) {}
    }

    fn handle(routes: impl IntoIterator<Item = Route>) -> Handle {
        let builder = routes
            .into_iter()
            .fold(Server::builder(), |it, route| it.add_route(route));
        Handle::new(&builder.parts(Vec::from([None])).unwrap().shared)
    }

    #[test]
    fn a_message_that_asks_its_own_topic_while_it_is_made_panics_instead_of_waiting_for_itself() {
        let topics = handle([Route::new("/", Quiet)]).topics("/");
        let asks: [fn(&Topics); 7] = [
            |it| _ = it.publish("t", "inner"),
            |it| _ = it.subscriber_count("t"),
            |it| _ = it.subscribers("t"),
            |it| _ = it.list(),
            |it| _ = it.stats(1),
            |it| _ = it.history_since("t", Position::default()),
            |it| _ = it.position("t"),
        ];
        for (at, ask) in asks.into_iter().enumerate() {
            let asked = catch_unwind(AssertUnwindSafe(|| {
                let _ = topics.publish_with("t", |_| {
                    ask(&topics);
                    String::from("made").into()
                });
            }));
            assert!(asked.is_err(), "{at}");
            // It took no offset, and the next one takes it.
            let published = topics.publish("t", "after").unwrap();
            let offset = published.position.map(|it| it.offset);
            assert_eq!(offset, Some(at as u64 + 1));
        }
    }

    #[test]
    fn only_a_namespace_that_a_route_has_has_topics() {
        let handle = handle([
            Route::new("/a", Quiet),
            Route::new("/b", Quiet).namespace("shared"),
            Route::new("/c", Quiet).namespace("shared"),
        ]);
        for name in ["/a", "shared"] {
            assert_eq!(handle.topics(name).namespace(), name);
        }
        for name in ["/b", "/", "", "shared x"] {
            let asked = catch_unwind(AssertUnwindSafe(|| handle.topics(name)));
            assert!(asked.is_err(), "{name:?}");
        }
    }
}
