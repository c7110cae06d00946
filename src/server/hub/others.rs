//! What one session, or a command, brings to the others of the worker: messages and subscriptions.

use std::collections::VecDeque;
use std::string::String;
use std::sync::Arc;

use mio::Token;

use crate::net::{Spares, Transport};
use crate::server::link::{Batch, Delivery, Peers};
use crate::server::metrics::Metrics;
use crate::server::session::Session;
use crate::server::slab;
use crate::server::socket::Published;
use crate::server::topics::Topics;

/// The sessions of the worker that are not being driven.
pub(super) struct Others<'h, T> {
    pub(super) sessions: slab::Others<'h, Session<T>>,
    pub(super) exchange: &'h mut Exchange,
    pub(super) spares: &'h Spares,
}

/// What sessions reach each other by.
#[derive(Default)]
pub(super) struct Exchange {
    pub(super) topics: Topics,
    pub(super) burst: Burst,
    /// Sessions to be driven without an event of theirs.
    pub(super) again: VecDeque<Token>,
}

impl<T: Transport> Others<'_, T> {
    /// Gives a message to one session.
    pub(super) fn send(&mut self, token: Token, delivery: &Delivery<'_>) {
        self.end_burst();
        let mut tally = Tally::default();
        if let Some(session) = self.sessions.get_mut(token) {
            tally.deliver(
                session,
                token,
                delivery,
                self.spares,
                &mut self.exchange.again,
            );
        }
        tally.count(&delivery.context.metrics);
    }

    /// Gives what has gathered to those it is for.
    pub(super) fn end_burst(&mut self) {
        self.exchange
            .burst
            .end(&mut self.sessions, &self.exchange.topics);
    }
}

/// Messages that are published one behind the other to the same subscribers. Each of these is given
/// the first; the rest gathers here, as long as nothing is in its way at any of them, and is given
/// to them in one piece before anything else happens to one of them. Who subscribes or leaves
/// meanwhile is the session that is being driven, to which no burst of its own turn goes.
#[derive(Default)]
pub(super) struct Burst {
    topic: String,
    except: Option<Token>,
    /// How many were given the first; 0 where there is no burst.
    subscribers: usize,
    /// How many bytes of frames may gather, once that was asked for; 0 where one message found it
    /// too small.
    room: Option<usize>,
    gathered: Option<Batch>,
}

impl Burst {
    #[inline]
    pub(super) fn goes_on(&self) -> bool {
        self.subscribers > 0
    }

    /// All subscribers were given a message, with nothing in its way.
    fn begin(
        &mut self,
        topic: &str,
        except: Option<Token>,
        subscribers: usize,
        room: Option<usize>,
    ) {
        self.topic.clear();
        self.topic.push_str(topic);
        self.except = except;
        self.subscribers = subscribers;
        self.room = room;
    }

    fn is_of(&self, topic: &str, except: Option<Token>) -> bool {
        self.goes_on() && self.except == except && self.topic == topic
    }

    /// Takes its next message, if there is room; `room` finds out how much.
    fn gather(&mut self, message: Batch, room: impl FnOnce() -> usize) -> bool {
        let room = *self.room.get_or_insert_with(room);
        let gathered = self.gathered.as_ref().map_or(0, Batch::len);
        if gathered + message.len() > room {
            return false;
        }
        match &mut self.gathered {
            Some(gathered) => gathered.join(message),
            None => self.gathered = Some(message),
        }
        true
    }

    fn end<T: Transport>(&mut self, sessions: &mut slab::Others<'_, Session<T>>, topics: &Topics) {
        self.subscribers = 0;
        let Some(batch) = self.gathered.take() else {
            return;
        };
        for &token in topics.subscribers(&self.topic).into_iter().flatten() {
            if Some(token) != self.except
                && let Some(session) = sessions.get_mut(token)
            {
                session.deliver_batch(&batch);
            }
        }
    }
}

/// What came of a message for sessions that are not being driven.
#[derive(Default)]
struct Tally {
    published: Published,
    /// By how much what waits has grown; below zero where it was dropped for this.
    queued: i64,
}

impl Tally {
    /// Gives the message to a session and has it driven, which writes it.
    #[inline]
    fn deliver<T: Transport>(
        &mut self,
        session: &mut Session<T>,
        token: Token,
        delivery: &Delivery<'_>,
        spares: &Spares,
        again: &mut VecDeque<Token>,
    ) {
        let before = session.queued_bytes();
        self.published.count(session.deliver(delivery, spares));
        self.queued += session.queued_bytes() as i64 - before as i64;
        if !session.queued {
            session.queued = true;
            again.push_back(token);
        }
    }

    fn count(self, metrics: &Metrics) -> Published {
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

impl<T: Transport> Peers for Others<'_, T> {
    fn publish(
        &mut self,
        topic: &str,
        mut delivery: Delivery<'_>,
        except: Option<Token>,
    ) -> Published {
        let Exchange {
            topics,
            burst,
            again,
        } = &mut *self.exchange;
        let mut tally = Tally::default();
        let Some(subscribers) = topics.subscribers(topic) else {
            return tally.published;
        };
        if subscribers.len() > 1 {
            delivery.publish(self.spares);
        }
        let all = subscribers.iter().filter(|it| Some(**it) != except);
        let sessions = &mut self.sessions;
        let room = || {
            let mut least = usize::MAX;
            for &token in all.clone() {
                if let Some(session) = sessions.get_mut(token) {
                    least = least.min(session.room_for_batch());
                }
                if least == 0 {
                    break;
                }
            }
            least
        };
        let mut next_room = None;
        if burst.is_of(topic, except)
            && let Some(message) = delivery.batch()
        {
            let length = message.len();
            if burst.gather(message, room) {
                tally.published.sent = burst.subscribers;
                tally.queued = (burst.subscribers * length) as i64;
                return tally.count(&delivery.context.metrics);
            }
            // What takes no message takes no other: not looked for again.
            next_room = burst.gathered.is_none().then_some(0);
        }
        burst.end(&mut self.sessions, topics);
        for &token in all {
            if let Some(session) = self.sessions.get_mut(token) {
                tally.deliver(session, token, &delivery, self.spares, again);
            }
        }
        let Published {
            sent,
            queued,
            dropped,
            ..
        } = tally.published;
        if delivery.is_published() && queued + dropped == 0 {
            burst.begin(topic, except, sent, next_room);
        }
        tally.count(&delivery.context.metrics)
    }

    fn subscribe(&mut self, topic: &Arc<str>, token: Token) {
        self.exchange.topics.insert(topic, token);
    }

    fn unsubscribe(&mut self, topic: &str, token: Token) {
        self.exchange.topics.remove(topic, token);
    }
}
