//! The connections of a user of the application, from any thread.

use std::sync::Arc;
use std::vec::Vec;

use super::Handle;
use crate::proto::{CloseCode, MessageRef};
use crate::server::id::ConnectionId;
use crate::server::run::inbox::{Command, HandleError};

impl Handle {
    /// Returns the connections that belong to a user, the earliest first: see
    /// [`Sender::set_user`](crate::server::Sender::set_user).
    #[must_use]
    pub fn user_connections(&self, user: &str) -> Vec<ConnectionId> {
        self.shared.users.connections(user)
    }

    /// Sends a message to all connections of a user; returns how many there are.
    ///
    /// # Errors
    /// [`HandleError::Busy`]; then none of them gets it, and the call may be repeated.
    pub fn send_to_user<'m>(
        &self,
        user: &str,
        message: impl Into<MessageRef<'m>>,
    ) -> Result<usize, HandleError> {
        let message = self.prepare(message);
        let mut places = Vec::new();
        for id in self.user_connections(user) {
            let command = Command::Send(id.token(), message.clone());
            match self.shared.inboxes[id.worker()].reserve(command.bytes()) {
                Ok(place) => places.push((place, command)),
                Err(HandleError::Busy) => return Err(HandleError::Busy),
                // It has ended meanwhile.
                Err(_) => {}
            }
        }
        let count = places.len();
        for (place, command) in places {
            place.add(command);
        }
        Ok(count)
    }

    /// Begins the closing handshake of all connections of a user, as where somebody signs out;
    /// returns how many there are. Code and reason are as for [`close`](Self::close).
    pub fn close_user(&self, user: &str, code: CloseCode, reason: &str) -> usize {
        let connections = self.user_connections(user);
        let reason: Arc<str> = reason.into();
        for id in &connections {
            let close = Command::Close(id.token(), code, Arc::clone(&reason));
            self.command(*id, close);
        }
        connections.len()
    }
}
