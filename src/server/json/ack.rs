//! An acknowledgement that is given later.

use alloc::string::ToString as _;
use core::fmt;

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::message::{EventError, reply};
use crate::server::handle::Handle;
use crate::server::id::ConnectionId;

/// What an event is acknowledged with, once that is known: an argument of the handlers of
/// [`Events::on_deferred`](super::Events::on_deferred).
///
/// It goes to whatever thread finds out. If it is dropped without a [`reply`](Self::reply), the peer
/// gets the error `dropped`, so that it doesn't wait in vain.
pub struct Ack {
    handle: Handle,
    connection: ConnectionId,
    id: Option<u64>,
    replied: bool,
}

impl Ack {
    pub(super) fn new(handle: Handle, connection: ConnectionId, id: Option<u64>) -> Self {
        Self {
            handle,
            connection,
            id,
            replied: false,
        }
    }

    /// Whether the peer asked for it. If not, only an error is sent.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.id.is_some()
    }

    /// The connection that it is for.
    #[must_use]
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }

    /// Sends it. Returns false if it doesn't reach the connection, which is over, or for which too
    /// much waits ([`HandleError`](crate::server::HandleError)).
    pub fn reply<R: Serialize>(mut self, result: Result<R, EventError>) -> bool {
        self.replied = true;
        match result.and_then(|it| written(&it)) {
            Ok(_) if self.id.is_none() => true,
            Ok(data) => self.send(Ok(&data)),
            Err(error) => self.send(Err(&error)),
        }
    }

    fn send(&self, result: Result<&RawValue, &EventError>) -> bool {
        let text = reply(self.id, result);
        self.handle.send(self.connection, text.as_str()).is_ok()
    }
}

/// Returns what a handler returned, as JSON.
pub(super) fn written<R: Serialize>(value: &R) -> Result<alloc::boxed::Box<RawValue>, EventError> {
    to_raw_value(value).map_err(|error| EventError::new("internal", error.to_string()))
}

impl Drop for Ack {
    fn drop(&mut self) {
        if !self.replied && self.is_wanted() {
            self.send(Err(&EventError::new("dropped", "nobody replied")));
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ack")
            .field("connection", &self.connection)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
