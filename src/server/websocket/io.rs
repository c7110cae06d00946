//! An open connection and what its application reaches while it is called.
//!
//! Borrows what is lent for the drive; the connection itself is the [`WebSocket`]. Sending is in
//! `sending.rs`, topics are in `topics.rs`, limits on what is received in `receiving.rs`.

use std::vec::Vec;

use super::fast_path::FastPath;
use super::worker_state::WorkerState;
use super::{LocalSessions, Remote, WebSocket};
use crate::server::id::ConnectionId;
use crate::server::run::inbox::own_waits;
use crate::server::write_queue::WriteQueue;

/// A socket without the application's state.
pub(in crate::server) struct SocketIo<'a> {
    pub(in crate::server) id: ConnectionId,
    pub(in crate::server) worker: &'a WorkerState,
    pub(in crate::server) remote: &'a Remote,
    pub(in crate::server) ws: &'a mut WebSocket,
    /// What was sent in this drive and isn't written or queued yet.
    pub(in crate::server) cork: &'a mut Vec<u8>,
    pub(in crate::server) queue: &'a mut WriteQueue,
    pub(in crate::server) local: &'a mut (dyn LocalSessions + 'a),
}

impl SocketIo<'_> {
    #[inline]
    pub(in crate::server) fn fast_path(&self) -> FastPath<'_> {
        FastPath::of(self.ws, self.queue)
    }

    #[inline]
    pub(super) fn buffered(&self) -> usize {
        self.queue.len() + self.cork.len()
    }

    /// For the application: if bytes wait, `on_drain` follows once they are written.
    pub(in crate::server) fn buffered_seen(&self) -> usize {
        let buffered = self.buffered();
        if buffered > 0 && self.ws.connection.is_open() {
            self.ws.draining.set(true);
        }
        buffered
    }

    /// First carries out what this thread has asked of the connection through a
    /// [`Handle`](crate::server::Handle).
    #[inline]
    pub(in crate::server) fn sync(&mut self) {
        if own_waits() {
            self.catch_up();
        }
    }
}
