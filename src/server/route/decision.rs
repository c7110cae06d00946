//! What is decided about an opening handshake.

use std::boxed::Box;
use std::sync::Arc;

use super::accepted::Accepted;
use crate::server::handle::Handle;
use crate::server::handler::Application;
use crate::server::http::{Reject, Request, Slot};
use crate::server::id::ConnectionId;

/// What is decided about an opening handshake.
pub(in crate::server) enum Decision {
    Accept(Accepted<Box<dyn Application>>),
    Reject(Reject),
    /// Later: a command wakes the session when it is there.
    Deferred(Arc<Slot<Decided>>),
}

/// What is decided about an upgrade.
pub(in crate::server) type Decided = Result<Accepted<Box<dyn Application>>, Reject>;

/// Decides about the opening handshake of the connection that will have this id.
pub(in crate::server) type Decide =
    dyn Fn(&Request<'_>, &Handle, ConnectionId) -> Decision + Send + Sync;
