//! Work that is done beside the worker, with what follows it.

use std::any::Any;
use std::boxed::Box;

use super::Socket;
use super::function::erase;
use crate::server::pool::{Job, Pool};

impl<S: 'static> Socket<'_, S> {
    /// Has `work` done by a [`Pool`], and `then` called with its result, on the worker's thread as a
    /// handler's method is. Meanwhile nothing is read from this connection, so that its next message
    /// comes after `then`; others are served.
    ///
    /// A client proves who it is with its first message, and verifying takes time:
    ///
    /// ```
    /// use sockeye::proto::{CloseCode, Message};
    /// use sockeye::server::{Handler, Pool, Socket};
    ///
    /// # fn verify(token: &str) -> Option<String> { Some(token.to_owned()) }
    /// struct Members {
    ///     pool: Pool,
    /// }
    ///
    /// impl Handler for Members {
    ///     type State = Option<String>; // who it is, once that is known
    ///
    ///     fn on_message(&self, socket: &mut Socket<'_, Self::State>, message: Message<'_>) {
    ///         if let Some(user) = socket.state() {
    ///             return println!("{user} says {message:?}");
    ///         }
    ///         let token = message.as_text().unwrap_or_default().to_owned();
    ///         socket.defer(&self.pool, move || verify(&token), |socket, user| {
    ///             if user.is_none() {
    ///                 socket.close(CloseCode(4001), "the token is not valid");
    ///             }
    ///             *socket.state_mut() = user;
    ///         });
    ///     }
    /// }
    /// ```
    ///
    /// - **Order.** Several calls for one connection are done beside each other, and each `then` is
    ///   called in the order of the calls. What others send to the connection, its timers and its
    ///   notices don't wait.
    /// - **Pausing.** The connection is read again when the last `then` has returned, unless the
    ///   application has [paused](super::Sender::pause) it.
    /// - **The end.** When the connection ends, `then` is dropped, and so is work that no thread has
    ///   begun; in [`on_close`](crate::server::Handler::on_close) nothing is deferred any more. A
    ///   server that stops doesn't wait for work that is still under way.
    /// - **Panics.** A panic of `work` or `then` closes the connection with 1011, as one of a
    ///   handler does.
    pub fn defer<R>(
        &mut self,
        pool: &Pool,
        work: impl FnOnce() -> R + Send + 'static,
        then: impl FnOnce(&mut Socket<'_, S>, R) + Send + 'static,
    ) where
        R: Send + 'static,
    {
        let work = move || -> Box<dyn Any + Send> {
            let result = work();
            erase(move |socket: &mut Socket<'_, S>| then(socket, result))
        };
        let io = self.io();
        let job = Job::new(Box::new(work), io.id.token(), &io.worker.inbox);
        match io.worker.inbox.is_polled() {
            true => pool.add(&job),
            // A simulation is whole without other threads.
            false => job.run(),
        }
        io.ws.defer(job);
    }
}
