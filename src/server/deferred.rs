//! Answers that wait for another thread: an upgrade's, and a plain request's.
//!
//! Each is given once, as a command to the connection's worker; one that is dropped without it
//! says so to the client.

use std::boxed::Box;
use std::fmt;

use super::handle::{Command, ConnectionId, Handle};
use super::handler::Application;
use super::http::HttpResponse;
use super::reject::Reject;
use super::route::Accepted;

/// An upgrade that is decided later, on any thread. Dropped undecided, it is refused with 500.
pub struct Deferred<S> {
    handle: Handle,
    id: ConnectionId,
    /// None once it is decided.
    open: Option<Box<OpenWith<S>>>,
}

type OpenWith<S> = dyn FnOnce(S) -> Box<dyn Application> + Send;

impl<S> Deferred<S> {
    pub(super) fn new(
        handle: Handle,
        id: ConnectionId,
        open: impl FnOnce(S) -> Box<dyn Application> + Send + 'static,
    ) -> Self {
        Self {
            handle,
            id,
            open: Some(Box::new(open)),
        }
    }

    /// The id that the connection will have.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Opens the connection with this state. Does nothing if the client has gone meanwhile.
    pub fn accept(mut self, state: impl Into<Accepted<S>>) {
        if let Some(open) = self.open.take() {
            self.decide(Ok(state.into().map(open)));
        }
    }

    /// Refuses the connection. Does nothing if the client has gone meanwhile.
    pub fn reject(mut self, reject: Reject) {
        self.open = None;
        self.decide(Err(reject));
    }

    fn decide(&self, decision: Result<Accepted<Box<dyn Application>>, Reject>) {
        let command = Command::Decide(self.id.token(), decision);
        self.handle.command(self.id, command);
    }
}

impl<S> Drop for Deferred<S> {
    fn drop(&mut self) {
        if self.open.take().is_some() {
            self.decide(Err(Reject::new(500, "the request was not decided")));
        }
    }
}

impl<S> fmt::Debug for Deferred<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The answer to a plain request, given later, on any thread: see
/// [`Methods::defer`](super::Methods::defer). Dropped without it, the client gets a 500.
pub struct Reply {
    /// None once it is given.
    to: Option<(Handle, ConnectionId)>,
}

impl Reply {
    pub(super) fn new(handle: Handle, id: ConnectionId) -> Self {
        Self {
            to: Some((handle, id)),
        }
    }

    /// Answers the request. Does nothing if the client has gone meanwhile, or its time was over.
    pub fn send(mut self, response: HttpResponse) {
        self.give(response);
    }

    fn give(&mut self, response: HttpResponse) {
        if let Some((handle, id)) = self.to.take() {
            handle.command(id, Command::Reply(id.token(), response));
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.give(HttpResponse::text("the request was not answered").with_status(500));
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}
