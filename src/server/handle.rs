//! Reaching a running server from other threads.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use std::io;
use std::sync::{Mutex, PoisonError};

/// A running server, from any thread.
#[derive(Clone)]
pub struct Handle {
    inbox: Arc<Inbox>,
}

impl Handle {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox }
    }

    /// Stops the server: it accepts no more connections, sends Close 1001 to those it has, gives
    /// them [`close_timeout`](crate::proto::Config::close_timeout) and returns from
    /// [`Server::run`](super::Server::run). Calling it again, or later, does nothing.
    pub fn shut_down(&self) {
        self.inbox.send(Command::ShutDown);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// What other threads ask of a worker.
#[derive(Debug)]
pub(super) enum Command {
    ShutDown,
}

/// Commands on their way to a worker.
pub(super) struct Inbox {
    commands: Mutex<Vec<Command>>,
    waker: mio::Waker,
}

impl Inbox {
    pub(super) fn new(poll: &mio::Poll, token: mio::Token) -> io::Result<Self> {
        Ok(Self {
            commands: Mutex::new(Vec::new()),
            waker: mio::Waker::new(poll.registry(), token)?,
        })
    }

    fn send(&self, command: Command) {
        self.lock().push(command);
        // It fails only when the worker's poll is gone, and with it the worker.
        let _ = self.waker.wake();
    }

    pub(super) fn take(&self) -> Vec<Command> {
        mem::take(&mut self.lock())
    }

    /// A push or a take leaves the list whole, so a panic elsewhere doesn't poison it.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Command>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
