//! A worker without a poll: who has its sessions accepts for it, and gives it its turns.

use std::net::SocketAddr;

use mio::Token;

use super::Sessions;
use crate::net::Transport;
use crate::server::run::inbox::Inbox;

/// While it lives, this thread belongs to a worker.
pub(in crate::server) struct OnThread;

impl Drop for OnThread {
    fn drop(&mut self) {
        Inbox::leave_thread();
    }
}

impl<T: Transport> Sessions<T> {
    /// Makes this thread the worker's.
    pub(in crate::server) fn on_its_thread(&self) -> OnThread {
        self.worker.inbox.own_thread();
        OnThread
    }

    /// Adds a connection, in the turn that has begun; None if the server has too many.
    pub(in crate::server) fn accept(&mut self, transport: T, peer: SocketAddr) -> Option<Token> {
        let permit = self.worker.shared.admit(self.index, peer)?;
        self.worker.shared.take_in(self.index);
        let mut accepted = None;
        self.insert(transport, peer, permit, |_, token| {
            accepted = Some(token);
            true
        });
        accepted
    }

    /// Whether this connection isn't over.
    pub(in crate::server) fn has(&mut self, token: Token) -> bool {
        self.slab.get_mut(token).is_some()
    }

    /// Ends a turn, after its events: does all else that is due.
    pub(in crate::server) fn end_turn(&mut self) {
        self.work();
        self.drive_again();
        self.expire();
    }
}
