//! The other sessions of a worker, as a connection reaches them.

use std::sync::Arc;

use mio::Token;

use super::delivery::LocalDelivery;
use super::outcome::Published;
use crate::server::run::inbox::{Command, Inbox};
use crate::server::topics::{JointMessage, Topic, TopicName};

/// The other sessions of the worker, while one of them is driven.
pub(in crate::server) trait LocalSessions {
    /// Returns the record of a topic, if this worker has subscribers of it.
    fn known(&self, topic: TopicName<'_>) -> Option<Arc<Topic>>;

    /// Returns whether the turn has deliveries left.
    fn may_deliver(&self) -> bool;

    /// Returns the number of a direct message that is published now.
    fn number(&self) -> u64;

    /// Delivers to this worker's subscribers except `except`: at once, or to some of them soon
    /// after.
    fn deliver(
        &mut self,
        topic: &Arc<Topic>,
        offset: u64,
        except: Option<Token>,
        delivery: LocalDelivery<'_>,
    ) -> Published;

    /// The same for a message of several topics.
    fn deliver_joint(
        &mut self,
        joint: &Arc<JointMessage>,
        except: Option<Token>,
        delivery: LocalDelivery<'_>,
    ) -> Published;

    fn subscribe(&mut self, topic: &Arc<Topic>, token: Token, begun: u64);

    fn unsubscribe(&mut self, topic: &str, token: Token);

    /// Returns the offset behind which a subscription begins.
    fn begun(&self, topic: &str, token: Token) -> Option<u64>;

    /// Returns the direct message that is still on its way to a session, with its number.
    fn direct_for(&self, token: Token) -> Option<(u64, Command)>;

    /// Returns the first command that waits for a session, with a number from `after` to `until`.
    fn next_for(
        &mut self,
        token: Token,
        after: u64,
        until: u64,
        inbox: &Inbox,
    ) -> Option<(u64, Command)>;

    /// Reads nothing from a session until publishers may continue.
    fn throttle(&mut self, token: Token);
}
