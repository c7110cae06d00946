//! Sending and reading JSON, and events, where a text would be sent or read.

use alloc::string::{String, ToString as _};

use serde::{Deserialize, Serialize};

use super::message::{EventError, event};
use crate::proto::Message;
use crate::server::handle::{Handle, Topics};
use crate::server::id::ConnectionId;
use crate::server::run::inbox::HandleError;
use crate::server::sender::Sender;
use crate::server::websocket::{Published, Sent};

/// Reads messages as JSON.
pub trait JsonMessage {
    /// Reads a text message as JSON, which may borrow from it.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use sockeye::proto::Message;
    /// use sockeye::server::json::{EventError, JsonMessage as _};
    ///
    /// #[derive(Deserialize)]
    /// struct Move<'a> {
    ///     piece: &'a str,
    ///     to: (u8, u8),
    /// }
    ///
    /// # fn read(message: &Message<'_>) -> Result<(), EventError> {
    /// let Move { piece, to } = message.json()?;
    /// println!("{piece} to {to:?}");
    /// # Ok(())
    /// # }
    /// # let text = r#"{"piece":"queen","to":[4,7]}"#;
    /// # assert!(read(&Message::from(String::from(text))).is_ok());
    /// # assert_eq!(read(&Message::from(vec![1])).unwrap_err().code, "malformed");
    /// ```
    ///
    /// # Errors
    /// `malformed` for a message that isn't text or isn't JSON, `bad_data` for JSON that isn't a
    /// `T`.
    fn json<'m, T: Deserialize<'m>>(&'m self) -> Result<T, EventError>;
}

impl JsonMessage for Message<'_> {
    fn json<'m, T: Deserialize<'m>>(&'m self) -> Result<T, EventError> {
        let Some(text) = self.as_text() else {
            return Err(EventError::new("malformed", "JSON is text, not binary"));
        };
        serde_json::from_str(text).map_err(|error| {
            let code = if error.is_data() {
                "bad_data"
            } else {
                "malformed"
            };
            EventError::new(code, error.to_string())
        })
    }
}

/// Returns a value as JSON.
///
/// # Panics
/// As those who call this document.
pub(in crate::server) fn to_json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("the value can be written as JSON")
}

/// Returns the text of an event.
///
/// # Panics
/// As those who call this document.
fn to_event<T: Serialize + ?Sized>(name: &str, data: &T) -> String {
    event(name, data).expect("the data can be written as JSON")
}

impl Sender<'_> {
    /// Sends an event: `{"event":name,"data":data}`.
    ///
    /// # Panics
    /// If the data can't be written as JSON, as [`send_json`](Self::send_json).
    pub fn emit<T: Serialize + ?Sized>(&mut self, name: &str, data: &T) -> Sent {
        self.send(to_event(name, data).as_str())
    }

    /// Publishes a value as JSON, in a text message; otherwise like [`publish`](Self::publish).
    ///
    /// # Panics
    /// If it can't be written as JSON, as [`send_json`](Self::send_json).
    pub fn publish_json<T: Serialize + ?Sized>(&mut self, topic: &str, value: &T) -> Published {
        self.publish(topic, to_json(value).as_str())
    }

    /// Publishes an event: `{"event":name,"data":data}`; otherwise like [`publish`](Self::publish).
    ///
    /// # Panics
    /// If the data can't be written as JSON, as [`send_json`](Self::send_json).
    pub fn publish_event<T: Serialize + ?Sized>(
        &mut self,
        topic: &str,
        name: &str,
        data: &T,
    ) -> Published {
        self.publish(topic, to_event(name, data).as_str())
    }
}

impl Handle {
    /// Sends a value as JSON, in a text message; otherwise like [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Panics
    /// If it can't be written as JSON, as [`Sender::send_json`].
    pub fn send_json<T: Serialize + ?Sized>(
        &self,
        id: ConnectionId,
        value: &T,
    ) -> Result<(), HandleError> {
        self.send(id, to_json(value).as_str())
    }

    /// Sends an event: `{"event":name,"data":data}`; otherwise like [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Panics
    /// If the data can't be written as JSON, as [`Sender::send_json`].
    pub fn emit<T: Serialize + ?Sized>(
        &self,
        id: ConnectionId,
        name: &str,
        data: &T,
    ) -> Result<(), HandleError> {
        self.send(id, to_event(name, data).as_str())
    }
}

impl Topics {
    /// Publishes a value as JSON, in a text message; otherwise like [`publish`](Self::publish).
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    ///
    /// # Panics
    /// If it can't be written as JSON, as [`Sender::send_json`].
    pub fn publish_json<T: Serialize + ?Sized>(
        &self,
        topic: &str,
        value: &T,
    ) -> Result<Published, HandleError> {
        self.publish(topic, to_json(value).as_str())
    }

    /// Publishes an event: `{"event":name,"data":data}`; otherwise like [`publish`](Self::publish).
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    ///
    /// # Panics
    /// If the data can't be written as JSON, as [`Sender::send_json`].
    pub fn publish_event<T: Serialize + ?Sized>(
        &self,
        topic: &str,
        name: &str,
        data: &T,
    ) -> Result<Published, HandleError> {
        self.publish(topic, to_event(name, data).as_str())
    }
}
