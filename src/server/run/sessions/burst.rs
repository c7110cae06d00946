//! Messages that are published one behind the other.

use std::sync::Arc;

use mio::Token;

use crate::net::Transport;
use crate::server::run::slab;
use crate::server::session::Session;
use crate::server::topics::{Local, Topic, TopicName};
use crate::server::websocket::Batch;
use crate::server::write_queue::Pool;

/// Messages that are published one behind the other to the same subscribers. Each subscriber is
/// given the first. The rest gathers here while nothing is in the way at any of them, and is given
/// to them in one piece before anything else happens to one of them. Only the session that is being
/// driven subscribes or unsubscribes meanwhile, and its own bursts exclude it.
#[derive(Default)]
pub(super) struct Burst {
    topic: Option<Arc<Topic>>,
    except: Option<Token>,
    /// How many subscribers were given the first message; 0 if there is no burst.
    pub(super) subscribers: usize,
    /// How many more bytes of frames each of them has room for.
    room: usize,
    gathered: Option<Batch>,
}

impl Burst {
    #[inline]
    pub(super) fn goes_on(&self) -> bool {
        self.subscribers > 0
    }

    /// Begins a burst: all subscribers were given a message, with nothing in the way.
    pub(super) fn begin(
        &mut self,
        topic: &Arc<Topic>,
        except: Option<Token>,
        subscribers: usize,
        room: usize,
    ) {
        self.topic = Some(Arc::clone(topic));
        self.except = except;
        self.subscribers = subscribers;
        self.room = room;
    }

    #[inline]
    pub(super) fn is_of(&self, topic: &Arc<Topic>, except: Option<Token>) -> bool {
        let same = |it: &Arc<Topic>| Arc::ptr_eq(it, topic);
        self.goes_on() && self.except == except && self.topic.as_ref().is_some_and(same)
    }

    /// Returns the topic of the burst, if it has this name.
    #[inline]
    pub(super) fn topic(&self, name: TopicName<'_>) -> Option<&Arc<Topic>> {
        self.topic
            .as_ref()
            .filter(|it| self.goes_on() && name.is(&it.name))
    }

    /// Adds the next message, if every subscriber has room for it.
    pub(super) fn gather(&mut self, message: Batch) -> bool {
        let gathered = self.gathered.as_ref().map_or(0, Batch::len);
        if gathered + message.len() > self.room {
            return false;
        }
        match &mut self.gathered {
            Some(gathered) if gathered.borders(&message) => gathered.join(&message),
            Some(_) => return false,
            None => self.gathered = Some(message),
        }
        true
    }

    pub(super) fn end<T: Transport>(
        &mut self,
        sessions: &mut slab::Rest<'_, Session<T>>,
        topics: &Local,
        pool: &Pool,
    ) {
        self.subscribers = 0;
        let (Some(batch), Some(topic)) = (self.gathered.take(), &self.topic) else {
            return;
        };
        let Some(subscribers) = topics.of(&topic.name) else {
            return;
        };
        for token in subscribers.all() {
            if Some(token) != self.except
                && let Some(session) = sessions.get_mut(token)
            {
                session.deliver_batch(&batch, pool);
            }
        }
    }
}
