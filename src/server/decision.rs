//! What is decided about an opening handshake.

use std::boxed::Box;
use std::sync::Arc;

use super::accepted::Accepted;
use super::answer::Slot;
use super::application::Application;
use super::handle::Handle;
use super::http::Request;
use super::id::ConnectionId;
use super::reject::Reject;

/// What is decided about an opening handshake.
pub(super) enum Decision {
    Accept(Accepted<Box<dyn Application>>),
    Reject(Reject),
    /// Later: a command tells when it is there.
    Deferred(Arc<Slot<Decided>>),
}

/// What is decided about an upgrade.
pub(super) type Decided = Result<Accepted<Box<dyn Application>>, Reject>;

/// Decides about the opening handshake of the connection that will have this id.
pub(super) type Decide = dyn Fn(&Request<'_>, &Handle, ConnectionId) -> Decision + Send + Sync;
