//! The last messages of a topic, for those who come later or come back.
//!
//! Owns what is kept and for how long. Whom it is sent to is the caller's to say. Time is an
//! argument.

mod memory;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

pub use memory::{HistoryLimits, MemoryHistory};

use crate::proto::MessageKind;

/// Where the last messages of topics are kept.
///
/// The topic gives each message its offset, greater than those before it in its topic, and keeps
/// the order: it calls `push` for one message after the other. Offsets are those of one
/// [`epoch`](Self::epoch); together they are a [`Position`](super::Position). A client that comes
/// back with the last one it saw gets what it missed by [`since`](Self::since), and is told if that
/// isn't all any more. (So does Centrifugo; Socket.IO's connection state recovery works with an
/// offset alike.)
///
/// `now` is the time since any fixed origin.
///
/// [`MemoryHistory`] is for one server. The methods are called while the topic is locked, on a
/// worker's thread or on one that publishes: they must not wait for a network, nor call the
/// server's topics.
pub trait History: Send + Sync {
    /// Appends a message; its offset counts also if it is too long to be kept.
    fn push(&self, topic: &str, entry: HistoryEntry);

    /// The last messages, at most `limit`, the oldest first.
    fn recent(&self, topic: &str, limit: usize, now: Duration) -> Vec<HistoryEntry>;

    /// The messages behind `offset`, the oldest first.
    fn since(&self, topic: &str, offset: u64, now: Duration) -> Replay;

    /// The offset that the topic goes on from: that of its last message, or a greater one. Asked
    /// when the topic comes into use.
    fn last(&self, topic: &str) -> u64;

    /// What offsets are valid with. Below 2^53, so that JavaScript can hold it.
    fn epoch(&self) -> u64;
}

/// A message that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Its place in its topic.
    pub offset: u64,
    /// When it was published.
    pub at: Duration,
    /// Text or binary.
    pub kind: MessageKind,
    /// The message, shared by all who have it.
    pub payload: Arc<[u8]>,
}

/// What a client missed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// The messages that are still there, the oldest first.
    pub entries: Vec<HistoryEntry>,
    /// Whether that is all it missed. If not, it has to load the state anew.
    pub complete: bool,
}
