//! A subscription that another thread requested.

use std::sync::Arc;
use std::vec::Vec;

use super::Position;
use super::history::HistoryEntry;
use super::topic::Topic;

/// A subscription on its way to the connection's worker. It begins where it was requested.
#[derive(Clone)]
pub(in crate::server) struct Subscribing {
    pub(in crate::server) topic: Arc<Topic>,
    pub(in crate::server) position: Position,
    /// The messages kept before it.
    pub(in crate::server) replay: Vec<HistoryEntry>,
}

impl Subscribing {
    pub(in crate::server) fn bytes(&self) -> usize {
        let kept = self.replay.iter().map(|it| it.payload.len());
        kept.sum::<usize>() + self.replay.len() * size_of::<HistoryEntry>()
    }
}
