//! The shape of messages: events, acknowledgements and errors.

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use core::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The longest error message in bytes: it may quote what was received, and must not grow with it.
const MAX_ERROR_MESSAGE: usize = 256;

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
    event_with_id(name, data, None)
}

/// Like [`event`], with the id of the acknowledgement that is asked for.
pub(super) fn event_with_id<T: Serialize + ?Sized>(
    name: &str,
    data: &T,
    id: Option<u64>,
) -> Result<String, EventError> {
    #[derive(Serialize)]
    struct Event<'a, T: ?Sized> {
        event: &'a str,
        data: &'a T,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<u64>,
    }
    let event = Event {
        event: name,
        data,
        id,
    };
    serde_json::to_string(&event).map_err(|error| EventError::new("internal", error.to_string()))
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
pub(super) struct Received<'a> {
    #[serde(borrow, default)]
    pub(super) event: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) id: Option<u64>,
    #[serde(borrow, default)]
    pub(super) ack: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
}

/// The error of a reply.
#[derive(Deserialize)]
pub(super) struct ReceivedError {
    pub(super) code: String,
    #[serde(default)]
    pub(super) message: String,
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

/// Returns the text of an acknowledgement, or of an error.
pub(super) fn reply(ack: Option<u64>, result: Result<&RawValue, &EventError>) -> String {
    let error = result.err().map(|error| ReplyError {
        code: &error.code,
        message: cut(&error.message),
    });
    let reply = Reply {
        ack,
        data: result.ok(),
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
