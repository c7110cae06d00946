//! Named events in JSON, typed by serde.
//!
//! Owns the shape of the messages, the handlers by name, and what is awaited of the peer. Which
//! messages are events is the application's: it hands them to [`Events::dispatch`].
//!
//! A message is an object with the event's name, its data, and, if a reply is wanted, an id of the
//! sender's choice; the reply has the same id. Other members are ignored.
//!
//! ```text
//! ► {"event": "chat", "data": {"text": "Hello"}, "id": 7}
//! ◄ {"ack":7,"data":{"position":12}}                                   what the handler returned
//! ◄ {"ack":7,"error":{"code":"muted","message":"not before 12:30"}}    or its error
//! ► {"event": "tchat"}
//! ◄ {"error":{"code":"unknown_event","message":"no event \"tchat\""}}  errors also without id
//! ```
//!
//! Socket.IO has the same three (event, data, acknowledgement), as arrays with a prefix; plain
//! objects can be sent by anything that speaks WebSocket, and [`BROWSER_CLIENT`] does.
//!
//! A handler gets the socket, so that it can send, join, publish and close. What it returns is the
//! acknowledgement.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use sockeye::proto::Message;
//! use sockeye::server::json::{EventError, Events};
//! use sockeye::server::topics::Position;
//! use sockeye::server::{Handler, Socket};
//!
//! #[derive(Deserialize)]
//! struct Say {
//!     text: String,
//! }
//!
//! #[derive(Serialize)]
//! struct Said<'a> {
//!     from: &'a str,
//!     text: &'a str,
//! }
//!
//! struct Room {
//!     events: Events<String>, // a connection's state is a name
//! }
//!
//! impl Room {
//!     fn new() -> Self {
//!         Self { events: Events::new().on("say", Self::say) }
//!     }
//!
//!     fn say(
//!         socket: &mut Socket<'_, String>,
//!         Say { text }: Say,
//!     ) -> Result<Option<Position>, EventError> {
//!         if text.is_empty() {
//!             return Err(EventError::new("empty", "a message needs a text"));
//!         }
//!         let (name, sender) = socket.split();
//!         let said = sender.publish_event("room", "said", &Said { from: name, text: &text });
//!         Ok(said.position)
//!     }
//! }
//!
//! impl Handler for Room {
//!     type State = String;
//!
//!     fn on_open(&self, socket: &mut Socket<'_, String>) {
//!         _ = socket.subscribe("room");
//!     }
//!
//!     fn on_message(&self, socket: &mut Socket<'_, String>, message: Message<'_>) {
//!         self.events.dispatch(socket, &message);
//!     }
//! }
//! ```

mod ack;
mod ask;
mod browser;
mod emit;
mod message;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::fmt;
use std::collections::HashMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

pub use self::ack::Ack;
use self::ack::written;
use self::ask::take_reply;
pub use self::browser::{BROWSER_CLIENT, SubscribeTopic, TopicJoined, topic_event};
pub use self::emit::JsonMessage;
pub use self::message::{EventError, event};
use self::message::{Received, reply};
use super::socket::Socket;
use crate::proto::Message;

type EventHandler<S> = Box<dyn Fn(&mut Socket<'_, S>, Incoming<'_>) -> Outcome + Send + Sync>;
type Guard<S> = Box<dyn Fn(&mut Socket<'_, S>, &str) -> Result<(), EventError> + Send + Sync>;

/// What a handler has come to: what it returned, as JSON; None where nothing is to be sent.
type Outcome = Result<Option<Box<RawValue>>, EventError>;

/// An event as its handler gets it.
struct Incoming<'a> {
    data: &'a str,
    id: Option<u64>,
}

impl Incoming<'_> {
    fn read<T: DeserializeOwned>(&self) -> Result<T, EventError> {
        serde_json::from_str(self.data)
            .map_err(|error| EventError::new("bad_data", error.to_string()))
    }
}

/// Handlers of named events, for connections with the state `S`.
pub struct Events<S> {
    handlers: HashMap<Box<str>, EventHandler<S>>,
    guards: Vec<Guard<S>>,
}

impl<S: 'static> Events<S> {
    /// Returns a set without handlers.
    #[must_use]
    pub fn new() -> Self {
        Self {
            handlers: HashMap::new(),
            guards: Vec::new(),
        }
    }

    /// Handles the event `name` with `handler`, which replaces an earlier one.
    ///
    /// Its data is read as a `T`; a message without `data` is read as one with `null`, which `()`
    /// and `Option` accept. What it returns is sent if the message had an id; an error is sent in
    /// any case. Both are sent behind what the handler itself has sent and published.
    #[must_use]
    pub fn on<T, R, F>(self, name: &str, handler: F) -> Self
    where
        T: DeserializeOwned,
        R: Serialize,
        F: Fn(&mut Socket<'_, S>, T) -> Result<R, EventError> + Send + Sync + 'static,
    {
        self.add(name, move |socket, event| {
            let returned = handler(socket, event.read()?)?;
            match event.id {
                Some(_) => written(&returned).map(Some),
                None => Ok(None),
            }
        })
    }

    /// Like [`on`](Self::on), for an event that is acknowledged later, from whatever thread knows
    /// what with.
    ///
    /// ```
    /// use std::thread;
    /// use sockeye::server::json::{Ack, Events};
    /// use sockeye::server::Socket;
    ///
    /// let events = Events::new().on_deferred("sum", |_: &mut Socket<'_, ()>, numbers: Vec<u64>, ack: Ack| {
    ///     thread::spawn(move || ack.reply(Ok(numbers.iter().sum::<u64>())));
    /// });
    /// # let _: Events<()> = events;
    /// ```
    #[must_use]
    pub fn on_deferred<T, F>(self, name: &str, handler: F) -> Self
    where
        T: DeserializeOwned,
        F: Fn(&mut Socket<'_, S>, T, Ack) + Send + Sync + 'static,
    {
        self.add(name, move |socket, event| {
            let data = event.read()?;
            let ack = Ack::new(socket.handle(), socket.id(), event.id);
            handler(socket, data, ack);
            Ok(None)
        })
    }

    fn add(
        mut self,
        name: &str,
        handler: impl Fn(&mut Socket<'_, S>, Incoming<'_>) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        self.handlers.insert(name.into(), Box::new(handler));
        self
    }

    /// Adds a guard in front of all handlers: it gets the name of each event that has one, and what
    /// it refuses gets its error. Guards run in the order in which they were added. For limits by
    /// event, and for what only those who are signed in may do:
    ///
    /// ```
    /// use sockeye::server::Socket;
    /// use sockeye::server::json::{EventError, Events};
    ///
    /// let events = Events::new().guard(|socket: &mut Socket<'_, Option<String>>, event| {
    ///     match socket.state() {
    ///         None if event != "sign_in" => Err(EventError::new("unauthorized", "sign in first")),
    ///         _ => Ok(()),
    ///     }
    /// });
    /// # let _: Events<Option<String>> = events;
    /// ```
    #[must_use]
    pub fn guard<F>(mut self, guard: F) -> Self
    where
        F: Fn(&mut Socket<'_, S>, &str) -> Result<(), EventError> + Send + Sync + 'static,
    {
        self.guards.push(Box::new(guard));
        self
    }

    /// Handles one message, and sends the reply if there is one.
    ///
    /// Errors that are sent besides the handlers' own:
    ///
    /// | code | |
    /// |---|---|
    /// | `malformed` | the message is not text, not JSON, or not an object of the right shape |
    /// | `unknown_event` | no handler has this name |
    /// | `bad_data` | the data is not what the handler takes |
    /// | `internal` | what the handler returned can't be written as JSON |
    /// | `dropped` | an [`Ack`] was dropped without a reply |
    ///
    /// A received acknowledgement goes to whom it is for
    /// ([`emit_with_ack`](Socket::emit_with_ack)). Neither it nor a received error gets a reply: two
    /// endpoints that both dispatch would otherwise reply to each other forever. serde_json limits
    /// nesting to 128; [`max_message_size`](crate::proto::Config::max_message_size) limits the
    /// length.
    pub fn dispatch(&self, socket: &mut Socket<'_, S>, message: &Message<'_>) {
        let read = match message.as_text() {
            Some(text) => serde_json::from_str(text).map_err(|error| error.to_string()),
            None => Err("events are text, not binary".into()),
        };
        let received: Received<'_> = match read {
            Ok(received) => received,
            Err(wrong) => return answer(socket, None, Err(EventError::new("malformed", wrong))),
        };
        let (result, id) = match &received.event {
            Some(name) => (self.handle(socket, name, &received), received.id),
            None if received.ack.is_some() || received.error.is_some() => {
                return take_reply(socket, &received);
            }
            None => {
                let error = EventError::new("malformed", "an event's name is missing");
                (Err(error), received.id)
            }
        };
        answer(socket, id, result);
    }

    fn handle(&self, socket: &mut Socket<'_, S>, name: &str, received: &Received<'_>) -> Outcome {
        let Some(handler) = self.handlers.get(name) else {
            let message = format!("no event {name:?}");
            return Err(EventError::new("unknown_event", message));
        };
        for guard in &self.guards {
            guard(socket, name)?;
        }
        let event = Incoming {
            data: received.data.map_or("null", RawValue::get),
            id: received.id,
        };
        handler(socket, event)
    }
}

fn answer<S>(socket: &mut Socket<'_, S>, id: Option<u64>, result: Outcome) {
    let text = match &result {
        Ok(None) => return,
        Ok(Some(data)) => reply(id, Ok(data)),
        Err(error) => reply(id, Err(error)),
    };
    socket.send(text.as_str());
}

impl<S: 'static> Default for Events<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows the names.
impl<S> fmt::Debug for Events<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.handlers.keys()).finish()
    }
}

#[cfg(test)]
mod tests;
