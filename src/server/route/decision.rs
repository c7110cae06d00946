//! The outcome of an opening handshake, as limits, guards and the route decide it.

use std::boxed::Box;
use std::sync::Arc;

use super::accepted::Accepted;
use crate::server::handle::Handle;
use crate::server::handler::Application;
use crate::server::http::{Reject, Request, Slot};
use crate::server::id::ConnectionId;

/// The outcome of an opening handshake.
pub(in crate::server) enum Decision {
    Accept(Accepted<Box<dyn Application>>),
    Reject(Reject),
    /// Decided later: a command wakes the session when the slot is filled.
    Deferred(Arc<Slot<Decided>>),
}

/// The outcome of an upgrade.
pub(in crate::server) type Decided = Result<Accepted<Box<dyn Application>>, Reject>;

/// Decides the opening handshake of the connection that will have this id.
pub(in crate::server) type Decide =
    dyn Fn(&Request<'_>, &Handle, ConnectionId) -> Decision + Send + Sync;
