//! Positions, and the outcome of a subscription.

use std::fmt;
use std::sync::Arc;

use super::presence::PresenceError;

/// A position in the order of a topic's messages: behind the message with this offset.
///
/// Offsets of one topic grow with each message that is published to it while the epoch is the same;
/// they need not grow by one. A position of another epoch has no meaning: what was kept then is
/// lost. Both numbers are below 2^53, so that JavaScript can hold them.
///
/// A client that comes back with the position of the last message that it saw gets what it missed
/// from [`Topics::history_since`](super::Topics::history_since).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "json", derive(serde::Deserialize, serde::Serialize))]
pub struct Position {
    /// The epoch in which the offset counts: it changes when the server, or the store of the
    /// topic's history, starts anew.
    pub epoch: u64,
    /// The offset within the epoch.
    pub offset: u64,
}

/// A subscription that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscribed {
    /// How many subscribers the topic has now, on all workers.
    pub count: usize,
    /// Where it begins: each message behind this position arrives live, and none before it.
    pub position: Position,
    /// Whether all that was published behind the position that the subscription went on from is
    /// sent. If not, the client has to load its state again.
    pub complete: bool,
}

/// The limits of topics and subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicLimits {
    /// The longest topic name in bytes. Default 256: names are paths and keys, not data.
    pub max_name: usize,
    /// How many topics one connection may be subscribed to. Default 1,000.
    pub max_per_connection: usize,
    /// How many topics may exist. Default 1,000,000.
    pub max_topics: usize,
    /// How many subscribers one topic may have. Default: no limit.
    pub max_subscribers: usize,
}

impl Default for TopicLimits {
    fn default() -> Self {
        Self {
            max_name: 256,
            max_per_connection: 1_000,
            max_topics: 1_000_000,
            max_subscribers: usize::MAX,
        }
    }
}

/// Why a subscription was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The name is empty or longer than [`TopicLimits::max_name`].
    Name,
    /// The connection is subscribed to [`TopicLimits::max_per_connection`] topics already.
    ConnectionFull,
    /// There are [`TopicLimits::max_topics`] topics already.
    TooManyTopics,
    /// The topic has [`TopicLimits::max_subscribers`] subscribers already.
    TopicFull,
    /// The topic's guard refused, for this reason.
    Refused(Arc<str>),
    /// The connection's route has another [namespace](crate::server::Route::namespace) than the
    /// topic.
    Namespace,
    /// The connection can't enter the topic's presence.
    Presence(PresenceError),
    /// The connection is closing.
    Closed,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "the topic's name is empty or longer than max_name",
            Self::ConnectionFull => "the connection has max_per_connection topics already",
            Self::TooManyTopics => "there are max_topics topics already",
            Self::TopicFull => "the topic has max_subscribers subscribers already",
            Self::Refused(reason) => reason,
            Self::Namespace => "the connection's route has another namespace",
            Self::Presence(error) => return error.fmt(f),
            Self::Closed => "the connection is closing",
        })
    }
}

impl std::error::Error for SubscribeError {}
