//! The browser client that is published with the crate, and the events of its topics.
//!
//! Owns the text of the client and the shape of what it asks and is told of topics. Subscribing is the
//! handler's: which topics there are and who may is the application's.

use alloc::string::{String, ToString as _};

use serde::{Deserialize, Serialize};

use super::message::EventError;
use crate::server::topics::Position;

/// The client for browsers, an ES module without dependencies, to be served to pages. It connects
/// again by itself, sends then what waited, asks for acknowledgements and gives them, and goes on in
/// each topic where it was. Its types are in `browser/sockeye.d.ts` of the crate.
///
/// ```
/// use sockeye::server::{Server, json};
///
/// let builder = Server::builder()
///     .page("/sockeye.js", "text/javascript; charset=utf-8", json::BROWSER_CLIENT);
/// # let _ = builder;
/// ```
///
/// ```js
/// import { connect } from "/sockeye.js";
///
/// const chat = connect("/chat");
/// chat.on("said", ({ from, text }) => console.log(from, text));
/// chat.subscribe("blue");
/// const { id } = await chat.request("say", { text: "Hello" });
/// ```
pub const BROWSER_CLIENT: &str = include_str!("../../../browser/sockeye.js");

/// The data of the browser client's event `subscribe`. Other members that it sends are ignored here.
///
/// It is asked for a topic on each connection. What is acknowledged is a [`TopicJoined`], and is sent
/// behind the messages that are replayed: those at or before its position count as seen from then on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct SubscribeTopic {
    /// The topic.
    pub topic: String,
    /// The position of the last message of it that the page saw; None the first time.
    #[serde(default)]
    pub since: Option<Position>,
}

/// What the browser client's event `subscribe` is acknowledged with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TopicJoined {
    /// Where the subscription begins.
    pub position: Position,
    /// Whether all that was missed has been replayed. If not, the page loads its state anew.
    pub complete: bool,
}

/// Returns the text of an event of a topic at a position, by which the browser client knows what it has
/// seen: `{"event":name,"data":data,"topic":topic,"position":{"epoch":1,"offset":7}}`.
///
/// ```
/// use sockeye::server::json;
/// use sockeye::server::topics::Position;
///
/// let position = Position { epoch: 1, offset: 7 };
/// assert_eq!(
///     json::topic_event("blue", position, "said", "Hi")?,
///     r#"{"event":"said","data":"Hi","topic":"blue","position":{"epoch":1,"offset":7}}"#
/// );
/// # Ok::<(), json::EventError>(())
/// ```
///
/// # Errors
/// `internal`, if the data can't be written as JSON.
pub fn topic_event<T: Serialize + ?Sized>(
    topic: &str,
    position: Position,
    name: &str,
    data: &T,
) -> Result<String, EventError> {
    #[derive(Serialize)]
    struct TopicEvent<'a, T: ?Sized> {
        event: &'a str,
        data: &'a T,
        topic: &'a str,
        position: Position,
    }
    serde_json::to_string(&TopicEvent {
        event: name,
        data,
        topic,
        position,
    })
    .map_err(|error| EventError::new("internal", error.to_string()))
}
