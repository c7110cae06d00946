//! Gives a message of several topics to the sessions of the worker.

use mio::Token;

use super::fan_out::{FanOut, Tally};
use super::pending::Stop;
use crate::net::Transport;
use crate::server::topics::JointMessage;
use crate::server::websocket::{LocalDelivery, Published};

impl<T: Transport> FanOut<'_, T> {
    /// Gives a message to the subscribers of its topics behind `cursor`, each once: to all of them,
    /// or until it has to stop; then `cursor` is the last one that has the message.
    // Apart, so that it isn't in the way of messages of one topic.
    #[cold]
    #[inline(never)]
    pub(super) fn fan_out_joint(
        &mut self,
        joint: &JointMessage,
        except: Option<Token>,
        mut delivery: LocalDelivery<'_>,
        cursor: &mut Option<Token>,
    ) -> (Published, Option<Stop>) {
        self.end_burst();
        let (topics, again) = (&self.exchange.topics, &mut self.exchange.again);
        let conflates = joint.conflates();
        if joint.takers(topics, *cursor).nth(1).is_some() {
            delivery.publish(self.pool);
        }
        let (mut tally, mut stop) = (Tally::default(), None);
        for token in joint.takers(topics, *cursor) {
            if Some(token) == except {
                continue;
            }
            if self.exchange.deliveries == 0 {
                stop = Some(Stop::Budget);
                break;
            }
            if conflates {
                let begun = |topic: &str| topics.of(topic)?.begun(token);
                delivery.keep_for(joint.topic_for(begun));
            }
            if let Some(session) = self.sessions.get_mut(token)
                && !tally.deliver(session, token, &mut delivery, self.pool, again)
            {
                stop = Some(Stop::Full(token, delivery.len()));
                break;
            }
            self.exchange.deliveries -= 1;
            *cursor = Some(token);
        }
        (tally.count(&delivery.worker.metrics), stop)
    }
}
