//! Responses that another thread gives: where they are stored, and how the session is woken.
//!
//! Each is given once, into a [`Slot`] that the connection's session reads when a command wakes it.
//! Dropping a [`Reply`] unsent sends a 500.

use std::fmt;
use std::sync::Arc;

use super::into_response::IntoResponse;
use super::response::HttpResponse;
use crate::server::handle::Handle;
use crate::server::id::ConnectionId;
use crate::server::run::inbox::Command;
use crate::server::sync::{Mutex, lock};

/// Where an answer is stored for the session that waits for it.
pub(in crate::server) struct Slot<T>(Mutex<Option<T>>);

impl<T> Slot<T> {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(None)))
    }

    pub(in crate::server) fn take(&self) -> Option<T> {
        lock(&self.0).take()
    }

    fn put(&self, value: T) {
        *lock(&self.0) = Some(value);
    }
}

/// An answer that the application gives at once, or will give later.
pub(in crate::server) enum Answer<T> {
    Now(T),
    Later(Arc<Slot<T>>),
}

/// Stores an answer where its session finds it, and wakes the session.
pub(in crate::server) struct Giver<T> {
    handle: Handle,
    pub(in crate::server) id: ConnectionId,
    slot: Arc<Slot<T>>,
}

impl<T> Giver<T> {
    pub(in crate::server) fn new(handle: Handle, id: ConnectionId) -> (Self, Arc<Slot<T>>) {
        let slot = Slot::new();
        let giver = Self {
            handle,
            id,
            slot: Arc::clone(&slot),
        };
        (giver, slot)
    }

    pub(in crate::server) fn give(&self, value: T) {
        self.slot.put(value);
        let command = Command::Decided(self.id.token());
        self.handle.command(self.id, command);
    }
}

/// The response to a plain request, given later and on any thread: see
/// [`Methods::defer`](super::Methods::defer). Dropping it unsent sends a 500.
pub struct Reply {
    /// None once it is sent.
    giver: Option<Giver<HttpResponse>>,
}

impl Reply {
    pub(in crate::server) fn new(
        handle: Handle,
        id: ConnectionId,
    ) -> (Self, Arc<Slot<HttpResponse>>) {
        let (giver, slot) = Giver::new(handle, id);
        (Self { giver: Some(giver) }, slot)
    }

    /// Sends the response. Does nothing if the client has disconnected or has already got a 503.
    pub fn send(mut self, response: impl IntoResponse) {
        self.give(response.into_response());
    }

    /// Whether the client still waits for it.
    #[cfg(feature = "files")]
    pub(in crate::server) fn is_awaited(&self) -> bool {
        let slot = self.giver.as_ref().map(|it| &it.slot);
        slot.is_some_and(|it| Arc::strong_count(it) > 1)
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
