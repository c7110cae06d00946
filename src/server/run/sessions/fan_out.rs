//! Gives messages to the sessions of the worker, and keeps their subscriptions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::vec::Vec;

use mio::Token;

use super::burst::Burst;
use super::pending::{Pending, Stop};
use crate::net::Transport;
use crate::server::observe::Metrics;
use crate::server::run::inbox::{Command, Inbox, TopicMessage};
use crate::server::run::slab;
use crate::server::session::Session;
use crate::server::topics::{JointMessage, Local, Topic, TopicName};
use crate::server::websocket::{Given, LocalDelivery, LocalSessions, Published};
use crate::server::write_queue::Pool;

/// The sessions of the worker that are not being driven.
pub(super) struct FanOut<'h, T> {
    pub(super) sessions: slab::Rest<'h, Session<T>>,
    pub(super) exchange: &'h mut Exchange,
    pub(super) pool: &'h Pool,
}

/// What sessions reach each other through.
#[derive(Default)]
pub(super) struct Exchange {
    pub(super) topics: Local,
    pub(super) burst: Burst,
    pub(super) pending: Pending,
    /// Sessions to be driven without an event.
    pub(super) again: VecDeque<Token>,
    /// Sessions that publish faster than subscribers take: nothing is read from them until there is
    /// room.
    pub(super) throttled: Vec<Token>,
    /// How many deliveries the turn has left.
    pub(super) deliveries: usize,
    /// How many sessions at the front of `again` are to be driven before the next slice of
    /// commands, which delivered to them.
    pub(super) fence: usize,
}

impl<T: Transport> FanOut<'_, T> {
    /// Gives a message to one session; returns false if the session has no room and is waited for.
    pub(super) fn send(&mut self, token: Token, delivery: &mut LocalDelivery<'_>) -> bool {
        self.end_burst();
        let mut tally = Tally::default();
        let mut taken = true;
        if let Some(session) = self.sessions.get_mut(token) {
            let again = &mut self.exchange.again;
            taken = tally.deliver(session, token, delivery, self.pool, again);
        }
        tally.count(&delivery.worker.metrics);
        taken
    }

    /// Gives the gathered messages of the burst to its subscribers.
    pub(super) fn end_burst(&mut self) {
        self.exchange
            .burst
            .end(&mut self.sessions, &self.exchange.topics, self.pool);
    }

    /// Gives a message to the subscribers of its topic behind `cursor`: to all of them, or until it
    /// has to stop; then `cursor` is the last one that has the message.
    pub(super) fn fan_out(
        &mut self,
        topic: &Arc<Topic>,
        offset: u64,
        except: Option<Token>,
        mut delivery: LocalDelivery<'_>,
        cursor: &mut Option<Token>,
    ) -> (Published, Option<Stop>) {
        let Exchange {
            topics,
            burst,
            again,
            deliveries,
            ..
        } = &mut *self.exchange;
        let sessions = &mut self.sessions;
        let mut tally = Tally::default();
        if cursor.is_none() && burst.is_of(topic, except) {
            delivery.publish(self.pool);
            if let Some(message) = delivery.batch() {
                let length = message.len();
                if burst.gather(message) {
                    tally.published.sent = burst.subscribers;
                    tally.queued = (burst.subscribers * length) as i64;
                    return (tally.count(&delivery.worker.metrics), None);
                }
            }
        }
        burst.end(sessions, topics, self.pool);
        let Some(subscribers) = topics.of(&topic.name) else {
            return (tally.published, None);
        };
        if subscribers.len() > 1 {
            delivery.publish(self.pool);
        }
        let whole = cursor.is_none() && subscribers.all_take(offset);
        let batch = delivery.batch();
        let (mut stop, mut left, mut least_room) = (None, *deliveries, usize::MAX);
        for token in subscribers.takers(offset, *cursor) {
            if Some(token) == except {
                continue;
            }
            if left == 0 {
                stop = Some(Stop::Budget);
                break;
            }
            left -= 1;
            let Some(session) = sessions.get_mut(token) else {
                continue;
            };
            let room = session.room_for_batch();
            match &batch {
                Some(batch) if room >= batch.len() => {
                    least_room = least_room.min(room - batch.len());
                    session.deliver_batch(batch, self.pool);
                    tally.published.sent += 1;
                    tally.queued += batch.len() as i64;
                    drive_later(session, token, again);
                }
                _ if !tally.deliver(session, token, &mut delivery, self.pool, again) => {
                    stop = Some(Stop::Full(token, delivery.len()));
                    left += 1;
                    break;
                }
                // Something is in this subscriber's way, and may be in the way of the next message.
                _ => least_room = 0,
            }
        }
        let given = *deliveries - left;
        *deliveries = left;
        let Published {
            queued, dropped, ..
        } = tally.published;
        match stop {
            Some(_) if given > 0 => {
                let takers = subscribers.takers(offset, *cursor);
                *cursor = takers.filter(|it| Some(*it) != except).nth(given - 1);
            }
            None if whole && batch.is_some() && queued + dropped == 0 && !tally.passed => {
                burst.begin(topic, except, tally.published.sent, least_room);
            }
            _ => {}
        }
        (tally.count(&delivery.worker.metrics), stop)
    }
}

/// Queues a session to be driven, which writes what it was given.
#[inline(always)]
fn drive_later<T>(session: &mut Session<T>, token: Token, again: &mut VecDeque<Token>) {
    if !session.queued {
        session.queued = true;
        again.push_back(token);
    }
}

/// The outcome of a message for sessions that are not being driven.
#[derive(Default)]
pub(super) struct Tally {
    published: Published,
    /// By how many bytes the backlogs have grown; negative if messages were dropped to make room.
    queued: i64,
    /// Whether one of them already has the message.
    passed: bool,
}

impl Tally {
    /// Gives the message to a session and queues it to be driven, which writes the message; returns
    /// false if the session has no room and is waited for.
    #[inline(always)]
    pub(super) fn deliver<T: Transport>(
        &mut self,
        session: &mut Session<T>,
        token: Token,
        delivery: &mut LocalDelivery<'_>,
        pool: &Pool,
        again: &mut VecDeque<Token>,
    ) -> bool {
        let before = session.queued_bytes();
        let given = session.deliver(delivery, pool);
        self.queued += session.queued_bytes() as i64 - before as i64;
        match given {
            Given::Sent(sent) => self.published.count(sent),
            Given::Passed => {
                self.passed = true;
                return true;
            }
            Given::Later => return false,
        }
        drive_later(session, token, again);
        true
    }

    pub(super) fn count(self, metrics: &Metrics) -> Published {
        let Published {
            sent,
            queued,
            dropped,
            ..
        } = self.published;
        metrics.messages_sent.add((sent + queued) as u64);
        metrics.dropped.add(dropped as u64);
        let gauge = &metrics.queued_bytes;
        gauge.set(gauge.value().wrapping_add_signed(self.queued));
        self.published
    }
}

impl<T: Transport> LocalSessions for FanOut<'_, T> {
    fn known(&self, topic: TopicName<'_>) -> Option<Arc<Topic>> {
        let Exchange { topics, burst, .. } = &*self.exchange;
        let found = burst.topic(topic);
        found
            .or_else(|| topics.of(&topic.full()).map(|it| &it.topic))
            .cloned()
    }

    fn may_deliver(&self) -> bool {
        self.exchange.deliveries > 0
    }

    fn number(&self) -> u64 {
        self.exchange.pending.direct()
    }

    fn deliver(
        &mut self,
        topic: &Arc<Topic>,
        offset: u64,
        except: Option<Token>,
        delivery: LocalDelivery<'_>,
    ) -> Published {
        let (message, worker) = (delivery.message, delivery.worker);
        let mut cursor = None;
        let (mut published, stop) = self.fan_out(topic, offset, except, delivery, &mut cursor);
        if let Some(stop) = stop {
            // The other subscribers are next, before any command.
            let publication = TopicMessage {
                topic: Arc::clone(topic),
                message: message.clone(),
                offset,
                except,
            };
            let subscribers = self.exchange.topics.of(&topic.name);
            let left = subscribers.into_iter();
            let left = left.flat_map(|it| it.takers(offset, cursor));
            published.waiting += left.filter(|it| Some(*it) != except).count();
            let pending = &mut self.exchange.pending;
            pending.resume(
                Command::Publish(publication),
                cursor,
                stop,
                worker.now,
                &worker.inbox,
            );
        }
        published
    }

    fn deliver_joint(
        &mut self,
        joint: &Arc<JointMessage>,
        except: Option<Token>,
        delivery: LocalDelivery<'_>,
    ) -> Published {
        let (worker, mut cursor) = (delivery.worker, None);
        let (mut published, stop) = self.fan_out_joint(joint, except, delivery, &mut cursor);
        if let Some(stop) = stop {
            let Exchange {
                topics, pending, ..
            } = &mut *self.exchange;
            let left = joint.takers(topics, cursor);
            published.waiting += left.filter(|it| Some(*it) != except).count();
            // The other subscribers are next, before any command.
            let command = Command::PublishJoint(Arc::clone(joint), except);
            pending.resume(command, cursor, stop, worker.now, &worker.inbox);
        }
        published
    }

    fn subscribe(&mut self, topic: &Arc<Topic>, token: Token, begun: u64) {
        self.exchange.topics.insert(topic, token, begun);
    }

    fn unsubscribe(&mut self, topic: &str, token: Token) {
        self.exchange.topics.remove(topic, token);
    }

    fn begun(&self, topic: &str, token: Token) -> Option<u64> {
        self.exchange.topics.of(topic)?.begun(token)
    }

    fn direct_for(&self, token: Token) -> Option<(u64, Command)> {
        self.exchange.pending.direct_for(token)
    }

    fn next_for(
        &mut self,
        token: Token,
        after: u64,
        until: u64,
        inbox: &Inbox,
    ) -> Option<(u64, Command)> {
        self.exchange.pending.next_for(token, after, until, inbox)
    }

    fn throttle(&mut self, token: Token) {
        self.exchange.throttled.push(token);
    }
}
