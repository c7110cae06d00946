//! Topics: their subscribers, and the order in which messages are delivered.
//!
//! Each topic has one record (`Topic`), which orders its messages: publishing and subscribing take
//! its lock. All workers find the records in the `Directory`; `Local` is a worker's table of its
//! own subscribers.

mod directory;
mod history;
mod joining;
mod joint;
mod local;
mod name;
mod options;
mod pattern;
mod presence;
mod publication;
mod stats;
mod subscriber;
mod subscribing;
mod subscription;
mod topic;

pub(super) use self::directory::{Directory, Namespaces, PatternOptions, Publisher};
pub use self::history::{History, HistoryEntry, HistoryLimits, MemoryHistory, Replay};
pub use self::joining::{Join, Joined};
pub(super) use self::joint::JointMessage;
pub(super) use self::local::Local;
pub(super) use self::name::{TopicName, is_namespace};
pub use self::options::TopicOptions;
pub use self::pattern::{PatternError, TopicPattern};
pub use self::presence::{Member, MemoryPresence, Presence, PresenceChange, PresenceError};
pub use self::publication::Publication;
pub use self::stats::TopicStats;
pub use self::subscriber::Subscriber;
pub(super) use self::subscribing::Subscribing;
pub use self::subscription::{Position, SubscribeError, Subscribed, TopicLimits};
pub(super) use self::topic::{Topic, outside};
pub use super::handle::Topics;
pub use super::websocket::Published;
