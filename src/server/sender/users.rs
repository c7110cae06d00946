//! The user that a connection belongs to.

use std::sync::Arc;

use super::Sender;
use crate::proto::CloseCode;
use crate::server::run::inbox::Command;
use crate::server::users::UserError;

impl Sender<'_> {
    /// The user that the connection belongs to, as [`set_user`](Self::set_user) or
    /// [`replace_user`](Self::replace_user) has said.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.io.ws.cold.as_ref()?.user.as_deref()
    }

    /// Says which user of the application the connection belongs to, and no longer to any other. A
    /// user may have any number of connections, on any workers; by the name
    /// [`Handle::send_to_user`](crate::server::Handle::send_to_user) and others reach them all. The
    /// server checks nothing: only give it the name of somebody who has proved it.
    ///
    /// It is the user's until its [`on_close`](crate::server::Handler::on_close) has been called.
    ///
    /// # Errors
    /// [`UserError`], for a name that isn't of 1 to 256 bytes; nothing changes then.
    pub fn set_user(&mut self, user: &str) -> Result<(), UserError> {
        if self.user() == Some(user) {
            return Ok(());
        }
        let name = self.io.worker.shared.users.add(user, self.io.id)?;
        self.belong_to(name);
        Ok(())
    }

    /// Like [`set_user`](Self::set_user), and begins the closing handshake of all other connections
    /// of this user, with this code and reason: one session for each user. Returns how many there
    /// were. Of connections that replace each other at once, exactly one stays.
    ///
    /// ```
    /// use sockeye::proto::{CloseCode, Message};
    /// use sockeye::server::{Handler, Socket};
    ///
    /// struct Game;
    ///
    /// impl Handler for Game {
    ///     type State = String; // who it is, from a token
    ///
    ///     fn on_open(&self, socket: &mut Socket<'_, String>) {
    ///         let (user, sender) = socket.split();
    ///         match sender.replace_user(user, CloseCode(4003), "opened elsewhere") {
    ///             Ok(older) => println!("{user} plays here now, and no longer on {older} others"),
    ///             Err(error) => println!("{error}"),
    ///         }
    ///     }
    ///
    ///     fn on_message(&self, _: &mut Socket<'_, String>, _: Message<'_>) {}
    /// }
    /// ```
    ///
    /// On a connection whose closing handshake has begun it does nothing, so that one which is replaced
    /// itself, or drained, ends no other.
    ///
    /// # Errors
    /// As [`set_user`](Self::set_user).
    pub fn replace_user(
        &mut self,
        user: &str,
        code: CloseCode,
        reason: &str,
    ) -> Result<usize, UserError> {
        if !self.is_open() {
            return Ok(0);
        }
        let users = &self.io.worker.shared.users;
        let (name, others) = users.replace(user, self.io.id)?;
        self.belong_to(name);
        let handle = self.handle();
        let reason: Arc<str> = reason.into();
        for id in &others {
            let close = Command::Close(id.token(), code, Arc::clone(&reason));
            handle.command(*id, close);
        }
        Ok(others.len())
    }

    /// Notes the user, after the table has.
    fn belong_to(&mut self, name: Arc<str>) {
        let before = self.io.ws.cold().user.replace(name);
        if let Some(before) = before.filter(|it| self.user() != Some(it)) {
            let users = &self.io.worker.shared.users;
            users.remove(&before, self.io.id);
        }
    }
}
