//! Named events in JSON, typed by serde.
//!
//! Owns the shape of the messages and the handlers by name. It takes a message's text and returns
//! the text to send; receiving and sending are the handler's.
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
//! objects can be sent by anything that speaks WebSocket.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use sockeye::proto::Message;
//! use sockeye::server::json::{EventError, Events};
//! use sockeye::server::{Handler, Socket};
//!
//! #[derive(Deserialize)]
//! struct Chat {
//!     text: String,
//! }
//!
//! #[derive(Serialize)]
//! struct Position {
//!     position: usize,
//! }
//!
//! struct Room {
//!     events: Events<Vec<String>>,
//! }
//!
//! impl Room {
//!     fn new() -> Self {
//!         let events = Events::new().on("chat", |texts: &mut Vec<String>, chat: Chat| {
//!             if chat.text.is_empty() {
//!                 return Err(EventError::new("empty", "a message needs a text"));
//!             }
//!             texts.push(chat.text);
//!             Ok(Position { position: texts.len() })
//!         });
//!         Self { events }
//!     }
//! }
//!
//! impl Handler for Room {
//!     type State = Vec<String>;
//!
//!     fn on_message(&self, socket: &mut Socket<'_, Self::State>, message: Message<'_>) {
//!         let Some(text) = message.as_text() else { return };
//!         if let Some(reply) = self.events.dispatch(socket.state_mut(), text) {
//!             socket.send(reply.as_str());
//!         }
//!     }
//! }
//!
//! let room = Room::new();
//! let mut texts = Vec::new();
//! let reply = room.events.dispatch(&mut texts, r#"{"event":"chat","data":{"text":"Hi"},"id":7}"#);
//! assert_eq!(reply.unwrap(), r#"{"ack":7,"data":{"position":1}}"#);
//! assert_eq!(texts, ["Hi"]);
//! ```

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use core::fmt;
use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

mod browser;

pub use browser::{BROWSER_CLIENT, SubscribeTopic, TopicJoined, topic_event};

/// The longest error message in bytes: it may quote what was received, and must not grow with it.
const MAX_ERROR_MESSAGE: usize = 256;

type EventHandler<C> = Box<dyn Fn(&mut C, &str, bool) -> Result<Data, EventError> + Send + Sync>;

/// What a handler returned, as JSON; None where the message had no id.
type Data = Option<Box<RawValue>>;

/// Handlers of named events, with a context `C` that is passed to each: a connection's state, or
/// whatever else they need.
pub struct Events<C> {
    handlers: HashMap<Box<str>, EventHandler<C>>,
}

impl<C> Events<C> {
    /// Returns a set without handlers.
    #[must_use]
    pub fn new() -> Self {
        Self {
            handlers: HashMap::new(),
        }
    }

    /// Handles the event `name` with `handler`, which replaces an earlier one.
    ///
    /// Its data is read as a `T`; a message without `data` is read as one with `null`, which `()`
    /// and `Option` accept. What it returns is sent if the message had an id; an error is sent in
    /// any case.
    #[must_use]
    pub fn on<T, R, F>(mut self, name: &str, handler: F) -> Self
    where
        T: DeserializeOwned,
        R: Serialize,
        F: Fn(&mut C, T) -> Result<R, EventError> + Send + Sync + 'static,
    {
        let handler = move |worker: &mut C, data: &str, wanted: bool| {
            let data = serde_json::from_str(data)
                .map_err(|error| EventError::new("bad_data", error.to_string()))?;
            let returned = handler(worker, data)?;
            if !wanted {
                return Ok(None);
            }
            serde_json::value::to_raw_value(&returned)
                .map(Some)
                .map_err(|error| EventError::new("internal", error.to_string()))
        };
        self.handlers.insert(name.into(), Box::new(handler));
        self
    }

    /// Handles one message; returns the reply, if there is one.
    ///
    /// Errors that are sent besides the handlers' own:
    ///
    /// | code | |
    /// |---|---|
    /// | `malformed` | the text is not JSON, or not an object of the right shape |
    /// | `unknown_event` | no handler has this name |
    /// | `bad_data` | the data is not what the handler takes |
    /// | `internal` | what the handler returned can't be written as JSON |
    ///
    /// A received acknowledgement or error gets no reply: two endpoints that both dispatch would
    /// otherwise reply to each other forever. serde_json limits nesting to 128;
    /// [`max_message_size`](crate::proto::Config::max_message_size) limits the length.
    pub fn dispatch(&self, worker: &mut C, text: &str) -> Option<String> {
        let message: Received<'_> = match serde_json::from_str(text) {
            Ok(message) => message,
            Err(error) => {
                let error = EventError::new("malformed", error.to_string());
                return Some(reply(None, Err(&error)));
            }
        };
        let Some(name) = message.event else {
            if message.ack.is_some() || message.error.is_some() {
                return None;
            }
            let error = EventError::new("malformed", "an event's name is missing");
            return Some(reply(message.id, Err(&error)));
        };
        let data = message.data.map_or("null", RawValue::get);
        let result = match self.handlers.get(&*name) {
            Some(handler) => handler(worker, data, message.id.is_some()),
            None => Err(EventError::new(
                "unknown_event",
                format!("no event {name:?}"),
            )),
        };
        match (&result, message.id) {
            (Ok(_), None) => None,
            (Ok(data), id) => Some(reply(id, Ok(data.as_deref()))),
            (Err(error), id) => Some(reply(id, Err(error))),
        }
    }
}

impl<C> Default for Events<C> {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows the names.
impl<C> fmt::Debug for Events<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.handlers.keys()).finish()
    }
}

/// Returns the text of an event: `{"event":name,"data":data}`.
///
/// ```
/// use sockeye::server::json;
///
/// assert_eq!(json::event("joined", &["ann", "bob"])?, r#"{"event":"joined","data":["ann","bob"]}"#);
/// # Ok::<(), json::EventError>(())
/// ```
///
/// # Errors
/// `internal`, if the data can't be written as JSON: a map whose keys aren't strings, or a type
/// that refuses.
pub fn event<T: Serialize + ?Sized>(name: &str, data: &T) -> Result<String, EventError> {
    #[derive(Serialize)]
    struct Event<'a, T: ?Sized> {
        event: &'a str,
        data: &'a T,
    }
    serde_json::to_string(&Event { event: name, data })
        .map_err(|error| EventError::new("internal", error.to_string()))
}

/// Why an event was not handled; it is sent to the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventError {
    /// For programs: a short word that doesn't change.
    pub code: Cow<'static, str>,
    /// For people. It is cut to 256 bytes when it is sent.
    pub message: Cow<'static, str>,
}

impl EventError {
    /// An error with a code for programs and a message for people.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl core::error::Error for EventError {}

/// An event, or a reply to one that this endpoint sent.
#[derive(Deserialize)]
struct Received<'a> {
    #[serde(borrow, default)]
    event: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    id: Option<u64>,
    #[serde(borrow, default)]
    ack: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// An acknowledgement, or an error.
#[derive(Serialize)]
struct Reply<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ack: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ReplyError<'a>>,
}

#[derive(Serialize)]
struct ReplyError<'a> {
    code: &'a str,
    message: &'a str,
}

fn reply(ack: Option<u64>, result: Result<Option<&RawValue>, &EventError>) -> String {
    let error = result.err().map(|error| ReplyError {
        code: &error.code,
        message: cut(&error.message),
    });
    let reply = Reply {
        ack,
        data: result.ok().flatten(),
        error,
    };
    // Numbers, strings and what already is JSON can be written.
    serde_json::to_string(&reply).unwrap_or_default()
}

/// Cuts to at most [`MAX_ERROR_MESSAGE`] bytes, at a character boundary.
fn cut(message: &str) -> &str {
    let mut end = message.len().min(MAX_ERROR_MESSAGE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}

#[cfg(test)]
mod tests;
