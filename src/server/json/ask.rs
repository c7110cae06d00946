//! Events that the server asks its peer to acknowledge.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use core::any::Any;
use core::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::message::{EventError, Received, ReceivedError, event_with_id};
use crate::server::socket::{Sent, Socket, erase, run};
use crate::server::websocket::{Reply, Resume};

impl<S: 'static> Socket<'_, S> {
    /// Sends an event and asks the peer to acknowledge it: `then` is called with what it replies,
    /// read as an `R`, or with an error. It is the peer's own, or one of:
    ///
    /// | code | |
    /// |---|---|
    /// | `timeout` | nothing came `within` this time (a quarter of a second more at the most); a later reply is ignored |
    /// | `bad_data` | what came isn't an `R` |
    /// | `full` | 256 replies are waited for already, or too many bytes; nothing was sent |
    /// | `closed` | the connection isn't open any more; nothing was sent |
    ///
    /// The last two are told before this returns. When the connection ends, `then` is dropped:
    /// [`on_close`](crate::server::Handler::on_close) says so. While reading is
    /// [paused](crate::server::Sender::pause) no reply is read, and the time runs.
    ///
    /// Replies are read by [`Events::dispatch`](super::Events::dispatch).
    ///
    /// ```
    /// use std::time::Duration;
    /// use sockeye::proto::{CloseCode, Message};
    /// use sockeye::server::json::Events;
    /// use sockeye::server::{Handler, Socket};
    ///
    /// struct Exam {
    ///     events: Events<u32>, // a connection's state is its points
    /// }
    ///
    /// impl Handler for Exam {
    ///     type State = u32;
    ///
    ///     fn on_open(&self, socket: &mut Socket<'_, u32>) {
    ///         let time = Duration::from_secs(20);
    ///         socket.emit_with_ack("question", "6 times 7?", time, |socket, answer| match answer {
    ///             Ok(42) => *socket.state_mut() += 1,
    ///             Ok(_) => {}
    ///             Err(error) => println!("{}: {error}", socket.id()),
    ///         });
    ///     }
    ///
    ///     fn on_message(&self, socket: &mut Socket<'_, u32>, message: Message<'_>) {
    ///         self.events.dispatch(socket, &message);
    ///     }
    /// }
    /// ```
    ///
    /// # Panics
    /// If the data can't be written as JSON, as [`Sender::send_json`](crate::server::Sender::send_json).
    pub fn emit_with_ack<T, R>(
        &mut self,
        name: &str,
        data: &T,
        within: Duration,
        then: impl FnOnce(&mut Socket<'_, S>, Result<R, EventError>) + Send + 'static,
    ) where
        T: Serialize + ?Sized,
        R: DeserializeOwned + Send + 'static,
    {
        let resume = move |reply: Reply<'_>| -> Box<dyn Any + Send> {
            let result = read(reply);
            erase(move |socket: &mut Socket<'_, S>| then(socket, result))
        };
        let resume: Resume = Box::new(resume);
        if !self.is_open() {
            return run(resume(Reply::Closed), self);
        }
        // Not in this turn, also without a delay.
        let within = within.max(Duration::from_nanos(1));
        let at = self.io().worker.now.saturating_add(within);
        let id = match self.io().ws.ask(at, resume) {
            Ok(id) => id,
            Err(resume) => return run(resume(Reply::Full), self),
        };
        let text = event_with_id(name, data, Some(id)).expect("the data can be written as JSON");
        if self.send(text.as_str()) == Sent::Dropped
            && let Some(resume) = self.io().ws.take_question(id)
        {
            run(resume(Reply::Full), self);
        }
    }
}

/// Gives a reply to whom it is for.
pub(super) fn take_reply<S: 'static>(socket: &mut Socket<'_, S>, received: &Received<'_>) {
    let id = received.ack.and_then(|it| it.get().parse().ok());
    let Some(resume) = id.and_then(|id| socket.io().ws.take_question(id)) else {
        return;
    };
    let reply = match received.error {
        Some(error) => Reply::Error(error.get()),
        None => Reply::Data(received.data.map_or("null", RawValue::get)),
    };
    run(resume(reply), socket);
}

fn read<R: DeserializeOwned>(reply: Reply<'_>) -> Result<R, EventError> {
    let bad_data = |error: serde_json::Error| EventError::new("bad_data", error.to_string());
    match reply {
        Reply::Data(data) => serde_json::from_str(data).map_err(bad_data),
        Reply::Error(error) => Err(serde_json::from_str(error)
            .map_or_else(bad_data, |it: ReceivedError| {
                EventError::new(it.code, it.message)
            })),
        Reply::Late => Err(EventError::new("timeout", "no reply has come")),
        Reply::Full => Err(EventError::new("full", "too much waits for the peer")),
        Reply::Closed => Err(EventError::new("closed", "the connection is not open")),
    }
}
