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
/// Each message has a sequence number, greater than those before it in its topic; numbers may be
/// left out. A client that comes back with the last one it saw gets what it missed by
/// [`since`](Self::since), and is told if that isn't all any more. Sequence numbers are those of
/// one [`epoch`](Self::epoch): a client says both, and one of another epoch begins anew. (So does
/// Centrifugo; Socket.IO's connection state recovery works with an offset alike.)
///
/// `now` is the time since any fixed origin.
///
/// [`MemoryHistory`] is for one server. The methods are called on a worker's thread and must not
/// wait for a network. An implementation over one keeps a copy of the topics that this server has
/// subscribers of, filled by what is published; it takes the order of the messages from the one
/// place that all servers publish through, so that a sequence number means the same on each, and
/// lets `push` answer its own guess only if it never hands it to a client.
pub trait History: Send + Sync {
    /// Appends a message; answers its sequence number, also if it is too long to be kept.
    fn push(&self, topic: &str, kind: MessageKind, payload: Arc<[u8]>, now: Duration) -> u64;

    /// The last messages, at most `limit`, the oldest first.
    fn recent(&self, topic: &str, limit: usize, now: Duration) -> Vec<HistoryEntry>;

    /// The messages behind `sequence`, the oldest first.
    fn since(&self, topic: &str, sequence: u64, now: Duration) -> Missed;

    /// What sequence numbers are valid with. Below 2^53, so that JavaScript can hold it.
    fn epoch(&self) -> u64;
}

/// A message that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Its number in its topic.
    pub sequence: u64,
    /// When it was pushed.
    pub at: Duration,
    /// Text or binary.
    pub kind: MessageKind,
    /// The message, shared by all who have it.
    pub payload: Arc<[u8]>,
}

/// What a client missed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// The messages that are still there, the oldest first.
    pub entries: Vec<HistoryEntry>,
    /// Whether that is all it missed. If not, it has to load the state anew.
    pub complete: bool,
}
