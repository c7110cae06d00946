//! The records of all topics: the one place that orders the messages of a topic.
//!
//! Topics are known by their full names here ([`TopicName`]).

mod asking;
mod joint;

use std::borrow::Borrow;
use std::boxed::Box;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use super::history::Replay;
use super::name::TopicName;
use super::options::TopicOptions;
use super::pattern::TopicPattern;
use super::stats::Volume;
use super::subscribing::Subscribing;
use super::topic::{OnWorker, State, Topic, assert_inside};
use super::{Position, SubscribeError, Subscribed, Subscriber, TopicLimits};
use crate::net::Clock;
use crate::proto::PreparedMessage;
use crate::server::id::ConnectionId;
use crate::server::run::inbox::{Command, HandleError, Inbox, Reserved, TopicMessage};
use crate::server::shards::Shards;
use crate::server::sync::atomic::{AtomicUsize, Ordering};
use crate::server::sync::{Mutex, lock};

/// Who publishes.
#[derive(Clone, Copy, Default)]
pub(in crate::server) struct Publisher {
    /// The connection that doesn't get the message.
    pub(in crate::server) except: Option<ConnectionId>,
    /// The worker whose thread publishes, if it may deliver to its own subscribers at once when its
    /// inbox is empty.
    pub(in crate::server) delivers: Option<usize>,
    /// Whether the message announces what has happened, so that it can't be refused.
    pub(in crate::server) insists: bool,
    /// Whether the history leaves the message out.
    pub(in crate::server) unkept: bool,
}

/// The outcome of a message that has its position.
pub(in crate::server) struct Outcome {
    pub(in crate::server) position: Position,
    /// Subscribers that it is on its way to.
    pub(in crate::server) waiting: usize,
    /// Whether the worker that publishes has to deliver it now.
    pub(in crate::server) deliver: bool,
    /// Whether an inbox that it went to is filling, so that the publisher has to wait.
    pub(in crate::server) filling: bool,
}

/// The records, found by their full names.
pub(in crate::server) struct Directory {
    limits: TopicLimits,
    /// The options of a namespace's topics alone, by its name; every namespace is here.
    namespaces: Namespaces,
    /// The options of the topics of all namespaces, behind those of their own.
    options: PatternOptions,
    shards: Shards<Shard>,
    epoch: u64,
    clock: Clock,
    workers: usize,
    /// Topics that have subscribers.
    topics: AtomicUsize,
    subscriptions: AtomicUsize,
}

/// The first one whose pattern matches applies.
pub(in crate::server) type PatternOptions = Vec<(TopicPattern, Arc<TopicOptions>)>;

pub(in crate::server) type Namespaces = BTreeMap<Arc<str>, PatternOptions>;

#[derive(Default)]
struct Shard {
    topics: HashMap<Arc<str>, Arc<Topic>>,
    /// The greatest offset of removed topics: a topic that is created again continues above it.
    forgotten: u64,
}

impl Directory {
    pub(in crate::server) fn new(
        limits: TopicLimits,
        namespaces: Namespaces,
        options: PatternOptions,
        clock: Clock,
        workers: usize,
    ) -> Self {
        Self {
            limits,
            namespaces,
            options,
            shards: Shards::new(Shard::default),
            // A random number, from the standard library's random keys.
            epoch: RandomState::new().build_hasher().finish() >> 11,
            clock,
            workers,
            topics: AtomicUsize::new(0),
            subscriptions: AtomicUsize::new(0),
        }
    }

    /// Returns a namespace's name, if there is one of this name.
    pub(in crate::server) fn namespace(&self, name: &str) -> Option<Arc<str>> {
        let (found, _) = self.namespaces.get_key_value(name)?;
        Some(Arc::clone(found))
    }

    fn options(&self, topic: &str) -> Option<&Arc<TopicOptions>> {
        let TopicName { namespace, name } = TopicName::split(topic);
        let own = self.namespaces.get(namespace).into_iter().flatten();
        let mut options = own.chain(&self.options);
        let (_, found) = options.find(|(pattern, _)| pattern.matches(name))?;
        Some(found)
    }

    fn find(&self, name: &str) -> Option<Arc<Topic>> {
        assert_inside();
        self.shards.of(name).topics.get(name).cloned()
    }

    /// Calls `look` with the record of a topic, if there is one.
    fn look<R>(&self, name: &str, look: impl Fn(&State) -> R) -> Option<R> {
        self.find(name).map(|it| look(&lock(&it.state)))
    }

    /// Calls `enter` with the record of a topic, which is created if there is none, and removed if
    /// it is unused afterwards.
    fn enter<R>(&self, name: &str, mut enter: impl FnMut(&Arc<Topic>, &mut State) -> R) -> R {
        assert_inside();
        loop {
            let topic = self.record(name);
            if let Some(result) = self.enter_record(&topic, &mut enter) {
                return result;
            }
        }
    }

    /// Returns the record of a topic, which is created if there is none.
    fn record(&self, name: &str) -> Arc<Topic> {
        let mut shard = self.shards.of(name);
        if let Some(topic) = shard.topics.get(name) {
            return Arc::clone(topic);
        }
        let topic = self.new_topic(name, shard.forgotten);
        shard
            .topics
            .insert(Arc::clone(&topic.name), Arc::clone(&topic));
        topic
    }

    /// Like [`enter`](Self::enter), with a record that was found; returns None if it was removed
    /// since.
    fn enter_record<R>(
        &self,
        topic: &Arc<Topic>,
        enter: &mut impl FnMut(&Arc<Topic>, &mut State) -> R,
    ) -> Option<R> {
        assert_inside();
        let mut state = lock(&topic.state);
        if state.gone {
            return None;
        }
        let result = enter(topic, &mut state);
        let unused = state.is_unused();
        drop(state);
        if unused {
            self.sweep(topic);
        }
        Some(result)
    }

    fn new_topic(&self, name: &str, forgotten: u64) -> Arc<Topic> {
        let options = self.options(name).cloned();
        let keeps = options.as_ref().is_some_and(|it| it.history.is_some());
        // With a history, the history knows the last position.
        let position = (!keeps).then_some(Position {
            epoch: self.epoch,
            offset: forgotten,
        });
        Arc::new(Topic {
            name: name.into(),
            options,
            state: Mutex::new(State {
                position,
                subscribers: BTreeSet::new(),
                workers: vec![OnWorker::default(); self.workers].into(),
                volume: Volume::default(),
                gone: false,
            }),
        })
    }

    /// Removes a record that is no longer used.
    fn sweep(&self, topic: &Arc<Topic>) {
        let mut shard = self.shards.of(&*topic.name);
        let mut state = lock(&topic.state);
        if state.gone || !state.is_unused() {
            return;
        }
        state.gone = true;
        if let Some(position) = state.position
            && topic.history().is_none()
        {
            shard.forgotten = shard.forgotten.max(position.offset);
        }
        shard.topics.remove(&topic.name);
    }

    // ---- subscribing --------------------------------------------------------------------------

    fn check_name(&self, topic: &str) -> Result<(), SubscribeError> {
        let name = TopicName::split(topic).name;
        match name.is_empty() || name.len() > self.limits.max_name {
            true => Err(SubscribeError::Name),
            false => Ok(()),
        }
    }

    /// Checks the name, the limits and the guard for a connection that is already subscribed to
    /// `subscribed` topics.
    pub(in crate::server) fn check(
        &self,
        topic: &str,
        subscriber: &Subscriber<'_>,
        subscribed: usize,
    ) -> Result<(), SubscribeError> {
        self.check_name(topic)?;
        if subscribed >= self.limits.max_per_connection {
            return Err(SubscribeError::ConnectionFull);
        }
        match self.options(topic).and_then(|it| it.guard.as_ref()) {
            Some(guard) => {
                guard(subscriber, TopicName::split(topic).name).map_err(SubscribeError::Refused)
            }
            None => Ok(()),
        }
    }

    /// Adds a subscriber; returns its record, and the messages kept before it, or `since` a
    /// position. Its subscription begins now.
    pub(in crate::server) fn subscribe(
        &self,
        topic: &str,
        id: ConnectionId,
        since: Option<Position>,
        now: Duration,
    ) -> Result<(Subscribed, Subscribing), SubscribeError> {
        self.enter(topic, |topic, state| {
            let count = self.admit(state, id)?;
            let position = state.position(topic, self.epoch);
            let replay = match since {
                Some(since) => topic.since(position, since, now),
                None => Replay {
                    entries: topic.replay(now),
                    complete: true,
                },
            };
            let subscribed = Subscribed {
                count,
                position,
                complete: replay.complete,
            };
            let subscribing = Subscribing {
                topic: Arc::clone(topic),
                position,
                replay: replay.entries,
            };
            Ok((subscribed, subscribing))
        })
    }

    /// Adds a subscriber whose subscription began on another thread and arrives now.
    pub(in crate::server) fn subscribe_at(
        &self,
        subscribing: &Subscribing,
        id: ConnectionId,
    ) -> Result<Subscribed, SubscribeError> {
        let position = subscribing.position;
        // The record exists: the subscription on its way keeps it.
        let mut state = lock(&subscribing.topic.state);
        let count = self.admit(&mut state, id)?;
        Ok(Subscribed {
            count,
            position,
            complete: true,
        })
    }

    fn admit(&self, state: &mut State, id: ConnectionId) -> Result<usize, SubscribeError> {
        if state.subscribers.len() >= self.limits.max_subscribers {
            return Err(SubscribeError::TopicFull);
        }
        if state.subscribers.is_empty() {
            let more = |topics| (topics < self.limits.max_topics).then_some(topics + 1);
            self.topics
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
                .map_err(|_| SubscribeError::TooManyTopics)?;
        }
        if state.subscribers.insert(id) {
            state.workers[id.worker()].subscribers += 1;
            self.subscriptions.fetch_add(1, Ordering::Relaxed);
        }
        Ok(state.subscribers.len())
    }

    /// Begins a subscription for a connection of another thread: from here on messages go to its
    /// worker, behind the command.
    pub(in crate::server) fn begin(
        &self,
        topic: &str,
        id: ConnectionId,
        inbox: &Inbox,
        now: Duration,
    ) -> Result<Position, HandleError> {
        if let Err(error) = self.check_name(topic) {
            // The worker calls the handler.
            inbox.send(Command::Refuse(id.token(), topic.into(), error))?;
            return Ok(Position::default());
        }
        self.enter(topic, |topic, state| {
            let position = state.position(topic, self.epoch);
            let subscribing = Subscribing {
                topic: Arc::clone(topic),
                position,
                replay: topic.replay(now),
            };
            inbox.send(Command::Subscribe(id.token(), Box::new(subscribing)))?;
            state.workers[id.worker()].coming += 1;
            Ok(position)
        })
    }

    /// Notes that the command of [`begin`](Self::begin) is carried out.
    pub(in crate::server) fn arrived(&self, topic: &Arc<Topic>, worker: usize) {
        let mut state = lock(&topic.state);
        state.workers[worker].coming -= 1;
        let unused = state.is_unused();
        drop(state);
        if unused {
            self.sweep(topic);
        }
    }

    /// Removes a subscriber; returns how many are left.
    pub(in crate::server) fn unsubscribe(&self, topic: &str, id: ConnectionId) -> usize {
        let Some(topic) = self.find(topic) else {
            return 0;
        };
        let mut state = lock(&topic.state);
        if state.subscribers.remove(&id) {
            state.workers[id.worker()].subscribers -= 1;
            self.subscriptions.fetch_sub(1, Ordering::Relaxed);
            if state.subscribers.is_empty() {
                self.topics.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let (left, unused) = (state.subscribers.len(), state.is_unused());
        drop(state);
        if unused {
            self.sweep(&topic);
        }
        left
    }

    // ---- publishing ---------------------------------------------------------------------------

    /// Adds a message to the topic's order, to its history, and to the inbox of each worker that
    /// has subscribers: to all of these, or to none.
    ///
    /// `make` is called with the position and must not publish to the topic.
    ///
    /// # Errors
    /// [`HandleError::Busy`] when one of the inboxes is full, [`HandleError::TooLong`].
    pub(in crate::server) fn publish<M: Borrow<PreparedMessage>>(
        &self,
        inboxes: &[Arc<Inbox>],
        topic: TopicName<'_>,
        known: Option<&Arc<Topic>>,
        publisher: Publisher,
        now: Duration,
        make: impl FnOnce(Position) -> M,
    ) -> Result<(Outcome, M), HandleError> {
        assert_inside();
        if let Some(topic) = known {
            let state = &mut lock(&topic.state);
            // As a rule the record is current, since a worker that knows it has subscribers of the
            // topic.
            if !state.gone {
                return self.publish_to(inboxes, topic, state, publisher, now, make);
            }
        }
        let mut make = Some(make);
        self.enter(&topic.full(), |topic, state| match make.take() {
            Some(make) => self.publish_to(inboxes, topic, state, publisher, now, make),
            // `make` is taken once.
            None => Err(HandleError::Stopped),
        })
    }

    fn publish_to<M: Borrow<PreparedMessage>>(
        &self,
        inboxes: &[Arc<Inbox>],
        topic: &Arc<Topic>,
        state: &mut State,
        publisher: Publisher,
        now: Duration,
        make: impl FnOnce(Position) -> M,
    ) -> Result<(Outcome, M), HandleError> {
        let mut position = state.position(topic, self.epoch);
        position.offset += 1;
        let made = make(position);
        let message: &PreparedMessage = made.borrow();
        if message.payload().len() > topic.max_message() && !publisher.insists {
            return Err(HandleError::TooLong);
        }
        let delivers = publisher.delivers.filter(|it| inboxes[*it].is_idle());
        let mut outcome = Outcome {
            position,
            waiting: 0,
            deliver: delivers.is_some(),
            filling: false,
        };
        // Room is reserved in all inboxes, or in none.
        let mut places: Vec<(Reserved<'_>, Command)> = Vec::new();
        if delivers.is_none() || inboxes.len() > 1 {
            for (worker, (on, inbox)) in state.workers.iter().zip(inboxes).enumerate() {
                if on.is_unused() || delivers == Some(worker) || inbox.is_stopped() {
                    continue;
                }
                let except = publisher.except.filter(|it| it.worker() == worker);
                let command = Command::Publish(TopicMessage {
                    topic: Arc::clone(topic),
                    message: message.clone(),
                    offset: position.offset,
                    except: except.map(ConnectionId::token),
                });
                let reserved = match publisher.insists {
                    true => inbox.reserve_always(command.bytes()),
                    false => match inbox.reserve(command.bytes()) {
                        Ok(reserved) => reserved,
                        // It has stopped since it was checked.
                        Err(HandleError::Stopped) => continue,
                        Err(error) => return Err(error),
                    },
                };
                outcome.filling |= inbox.is_filling();
                outcome.waiting += on.subscribers as usize;
                if except.is_some_and(|it| state.subscribers.contains(&it)) {
                    outcome.waiting -= 1;
                }
                places.push((reserved, command));
            }
        }
        topic.keep(message, position.offset, publisher.unkept, now, &self.clock);
        state.position = Some(position);
        state.volume.add(message.payload().len());
        for (reserved, command) in places {
            reserved.add(command);
        }
        Ok((outcome, made))
    }
}
