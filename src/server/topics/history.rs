//! The last messages of a topic, for subscribers that come later or come back.
//!
//! Owns what is kept and for how long. The caller decides to whom it is sent. Time is an argument.

mod memory;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use std::time::SystemTime;

pub use memory::{HistoryLimits, MemoryHistory};

use crate::proto::MessageKind;

/// Where the last messages of topics are kept.
///
/// The topic gives each message its offset, greater than those before it in its topic, and keeps
/// the order: it calls `push` or `skip` for one message
/// after the other. Offsets belong to one
/// [`epoch`](Self::epoch); together they are a [`Position`](super::Position). A client that comes
/// back with the last one that it saw gets what it missed from [`since`](Self::since), and learns
/// whether that is everything. (Centrifugo does the same; Socket.IO's connection state recovery
/// also works with an offset.)
///
/// `topic` is its full name: the [namespace](crate::server::Route::namespace), a space, and the name.
/// `now` is the time since any fixed origin.
///
/// [`MemoryHistory`] is for one server. The methods are called while the topic is locked, on a
/// worker's thread or on the thread that publishes: they must not wait for a network, nor call the
/// server's topics.
pub trait History: Send + Sync {
    /// Appends a message; its offset counts even if it is too long to be kept.
    fn push(&self, topic: &str, entry: HistoryEntry);

    /// Notes the offset of a message that is not to be kept
    /// ([`Publication::not_kept`](super::Publication::not_kept)): the topic continues above it.
    fn skip(&self, topic: &str, offset: u64);

    /// Returns the last messages, at most `limit`, oldest first.
    fn recent(&self, topic: &str, limit: usize, now: Duration) -> Vec<HistoryEntry>;

    /// Returns the messages behind `offset`, oldest first.
    fn since(&self, topic: &str, offset: u64, now: Duration) -> Replay;

    /// Returns the offset from which the topic continues: that of its last message, or a greater
    /// one. Called when the topic comes into use.
    fn last(&self, topic: &str) -> u64;

    /// Returns the epoch in which offsets are valid. Below 2^53, so that JavaScript can hold it.
    fn epoch(&self) -> u64;
}

/// A message that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Its offset in the topic.
    pub offset: u64,
    /// When it was published, as the time since the server began to run, which has no meaning in
    /// another run.
    pub at: Duration,
    /// When it was published, as the time of day by the system's clock, to be shown: it may be set
    /// back, while `at` only grows. In a [simulation](crate::server::testing), by its clock.
    pub time: SystemTime,
    /// Text or binary.
    pub kind: MessageKind,
    /// The message, shared by all that hold it.
    pub payload: Arc<[u8]>,
}

/// What a client missed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// The messages that are still kept, oldest first.
    pub entries: Vec<HistoryEntry>,
    /// Whether that is all that it missed. If not, the client has to load its state again.
    pub complete: bool,
}
