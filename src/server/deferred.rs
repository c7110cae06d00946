//! Answers that wait for another thread: an upgrade's, and a plain request's.
//!
//! Each is given once, into a [`Slot`] that the connection's session looks into when a command has
//! woken it; one that is dropped without it says so to the client.

use std::boxed::Box;
use std::fmt;
use std::sync::Arc;

use super::accepted::Accepted;
use super::handle::Handle;
use super::handler::Application;
use super::http::HttpResponse;
use super::id::ConnectionId;
use super::inbox::Command;
use super::reject::Reject;
use super::sync::{Mutex, lock};

/// Where an answer is put for the session that waits for it.
pub(super) struct Slot<T>(Mutex<Option<T>>);

impl<T> Slot<T> {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(None)))
    }

    pub(super) fn take(&self) -> Option<T> {
        lock(&self.0).take()
    }

    fn put(&self, value: T) {
        *lock(&self.0) = Some(value);
    }
}

/// What is decided about an upgrade.
pub(super) type Decided = Result<Accepted<Box<dyn Application>>, Reject>;

/// What an application says to a request at once, or will say later.
pub(super) enum Answer<T> {
    Now(T),
    Later(Arc<Slot<T>>),
}

/// Puts an answer where its session finds it, and wakes that.
struct Giver<T> {
    handle: Handle,
    id: ConnectionId,
    slot: Arc<Slot<T>>,
}

impl<T> Giver<T> {
    fn new(handle: Handle, id: ConnectionId) -> (Self, Arc<Slot<T>>) {
        let slot = Slot::new();
        let giver = Self {
            handle,
            id,
            slot: Arc::clone(&slot),
        };
        (giver, slot)
    }

    fn give(&self, value: T) {
        self.slot.put(value);
        let command = Command::Decided(self.id.token());
        self.handle.command(self.id, command);
    }
}

/// An upgrade that is decided later, on any thread. Dropped undecided, it is refused with 500.
pub struct Deferred<S> {
    giver: Giver<Decided>,
    /// None once it is decided.
    open: Option<Box<OpenWith<S>>>,
}

type OpenWith<S> = dyn FnOnce(S) -> Box<dyn Application> + Send;

impl<S> Deferred<S> {
    pub(super) fn new(
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

    /// Opens the connection with this state. Does nothing if the client has gone meanwhile.
    pub fn accept(mut self, state: impl Into<Accepted<S>>) {
        if let Some(open) = self.open.take() {
            self.giver.give(Ok(state.into().map(open)));
        }
    }

    /// Refuses the connection. Does nothing if the client has gone meanwhile.
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

/// The answer to a plain request, given later, on any thread: see
/// [`Methods::defer`](super::Methods::defer). Dropped without it, the client gets a 500.
pub struct Reply {
    /// None once it is given.
    giver: Option<Giver<HttpResponse>>,
}

impl Reply {
    pub(super) fn new(handle: Handle, id: ConnectionId) -> (Self, Arc<Slot<HttpResponse>>) {
        let (giver, slot) = Giver::new(handle, id);
        (Self { giver: Some(giver) }, slot)
    }

    /// Answers the request. Does nothing if the client has gone meanwhile, or its time was over.
    pub fn send(mut self, response: HttpResponse) {
        self.give(response);
    }

    fn give(&mut self, response: HttpResponse) {
        if let Some(giver) = self.giver.take() {
            giver.give(response);
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
