//! Functions that are run with a connection's socket, later and from elsewhere.

use std::any::{Any, type_name};
use std::boxed::Box;

use super::Socket;
use crate::server::call::Parcel;
use crate::server::handle::Handle;
use crate::server::id::ConnectionId;
use crate::server::run::inbox::{Command, HandleError};

/// A function for the connections whose state is an `S`.
struct Function<S>(Box<Call<S>>);

type Call<S> = dyn FnOnce(&mut Socket<'_, S>) + Send;

/// Returns a function without its type.
pub(in crate::server) fn erase<S: 'static>(
    function: impl FnOnce(&mut Socket<'_, S>) + Send + 'static,
) -> Box<dyn Any + Send> {
    Box::new(Function(Box::new(function)))
}

/// Runs a function with a connection.
///
/// # Panics
/// If it is for connections with another state: a mistake in the application's code, which ends the
/// connection as any panic does.
pub(in crate::server) fn run<S: 'static>(
    function: Box<dyn Any + Send>,
    socket: &mut Socket<'_, S>,
) {
    match function.downcast::<Function<S>>() {
        Ok(function) => (function.0)(socket),
        Err(_) => panic!(
            "Handle::run_on: the state of connection {} is a {}, and the function is for another",
            socket.id(),
            type_name::<S>()
        ),
    }
}

impl Handle {
    /// Runs a function with a connection, on its worker's thread: from there all is possible that a
    /// handler can do. `S` is the [`State`](crate::server::Handler::State) of the connection's
    /// route.
    ///
    /// The function has its place in the order of what this thread asks for, as
    /// [`notify`](Self::notify) has, and is dropped if the connection ends before.
    ///
    /// ```
    /// use sockeye::server::{ConnectionId, Handle, HandleError, Socket};
    ///
    /// struct Player {
    ///     score: u64,
    /// }
    ///
    /// /// Called on any thread.
    /// fn reward(handle: &Handle, id: ConnectionId, points: u64) -> Result<(), HandleError> {
    ///     handle.run_on(id, move |socket: &mut Socket<'_, Player>| {
    ///         socket.state_mut().score += points;
    ///         socket.send(format!("your score is {}", socket.state().score));
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// [`HandleError`]; the function isn't run then.
    ///
    /// # Panics
    /// Not here: a panic of the function closes the connection with 1011, as in any method of a
    /// handler. So does a connection whose state isn't an `S`; the panic's message names its type.
    pub fn run_on<S: 'static>(
        &self,
        id: ConnectionId,
        function: impl FnOnce(&mut Socket<'_, S>) + Send + 'static,
    ) -> Result<(), HandleError> {
        self.to(id, |token| {
            Command::Call(token, Parcel::function(erase(function)))
        })
    }
}
