//! Upgrades that another thread decides about.
//!
//! Each decision is made once, into a [`Slot`] that the connection's session reads when a command
//! wakes it. Dropping a [`Deferred`] undecided refuses the upgrade.

use std::boxed::Box;
use std::fmt;
use std::sync::Arc;

use super::accepted::Accepted;
use super::decision::Decided;
use crate::server::handle::Handle;
use crate::server::handler::Application;
use crate::server::http::{Giver, Reject, Slot};
use crate::server::id::ConnectionId;

/// An upgrade that is decided later, on any thread. Dropping it undecided refuses it with 500.
pub struct Deferred<S> {
    giver: Giver<Decided>,
    /// None once it is decided.
    open: Option<Box<OpenWith<S>>>,
}

type OpenWith<S> = dyn FnOnce(S) -> Box<dyn Application> + Send;

impl<S> Deferred<S> {
    pub(in crate::server) fn new(
        handle: Handle,
        id: ConnectionId,
        open: impl FnOnce(S) -> Box<dyn Application> + Send + 'static,
    ) -> (Self, Arc<Slot<Decided>>) {
        let (giver, slot) = Giver::new(handle, id);
        let open: Option<Box<OpenWith<S>>> = Some(Box::new(open));
        (Self { giver, open }, slot)
    }

    /// The id that the connection will have.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.giver.id
    }

    /// Opens the connection with this state. Does nothing if the client has disconnected.
    pub fn accept(mut self, state: impl Into<Accepted<S>>) {
        if let Some(open) = self.open.take() {
            self.giver.give(Ok(state.into().map(open)));
        }
    }

    /// Refuses the connection. Does nothing if the client has disconnected.
    pub fn reject(mut self, reject: Reject) {
        self.open = None;
        self.giver.give(Err(reject));
    }
}

impl<S> Drop for Deferred<S> {
    fn drop(&mut self) {
        if self.open.take().is_some() {
            let reject = Reject::new(500, "the request was not decided");
            self.giver.give(Err(reject));
        }
    }
}

impl<S> fmt::Debug for Deferred<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
