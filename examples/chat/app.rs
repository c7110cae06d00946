//! Rooms, presence, typing, private messages, acknowledgements, history.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use sockeye::proto::{CloseCode, Config, Message};
use sockeye::server::json::{self, EventError, Events, SubscribeTopic, TopicJoined};
use sockeye::server::limits::{Rate, RateLimit, RateLimitAction};
use sockeye::server::topics::{
    HistoryLimits, MemoryHistory, PresenceChange, SubscribeError, TopicOptions,
};
use sockeye::server::{
    Builder, End, Handle, Handler, HttpResponse, Reject, Request, Route, Socket,
};

use super::common;

/// The messages of a room that are kept: a screen or two.
const HISTORY: usize = 50;
/// For how long: what was said yesterday is no longer the conversation.
const HISTORY_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest text of a message, in characters.
const MAX_TEXT: usize = 2_000;
/// The longest message, in bytes: [`MAX_TEXT`] characters of four bytes each, and what is around.
const MAX_MESSAGE: usize = 16 * 1024;
/// The longest name of a person or a room, in characters. Both fit into a topic's 256 bytes.
const MAX_NAME: usize = 32;
/// The longest key that a client may give to its message, in bytes: a UUID's.
const MAX_KEY: usize = 36;

/// Who a connection belongs to.
struct Person {
    room: String,
    name: String,
}

impl Person {
    fn from(request: &Request<'_>) -> Result<Self, Reject> {
        let room = request.param("room").unwrap_or_default().into_owned();
        if !is_room(&room) {
            return Err(Reject::new(404, ROOM_RULE));
        }
        let name = request.query_param("name").unwrap_or_default();
        let name = name.trim();
        if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control)
        {
            let text = format!("add ?name= with 1 to {MAX_NAME} characters to the URL");
            return Err(Reject::new(400, text));
        }
        let name = name.into();
        Ok(Self { room, name })
    }

    /// The topic of the room's messages, which is kept; and of its presence.
    fn messages(&self) -> String {
        messages(&self.room)
    }

    /// The topic of what is worth nothing later: who comes, goes and types.
    fn live(&self) -> String {
        format!("live/{}", self.room)
    }

    /// The topic of all connections of one person.
    fn private(&self, name: &str) -> String {
        format!("people/{}/{name}", self.room)
    }
}

fn messages(room: &str) -> String {
    format!("rooms/{room}")
}

/// The path, and so the namespace of the topics.
const ROOMS: &str = "/rooms/{room}";

const ROOM_RULE: &str = "a room's name has 1 to 32 letters, digits, - or _";

/// Rooms are parts of paths and topics: nothing in them has a meaning there.
fn is_room(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits)
}

// ---- what is sent -----------------------------------------------------------------------------

/// What who comes in is told, behind what was said in the room or since.
#[derive(Serialize)]
struct Welcome<'a> {
    #[serde(flatten)]
    joined: TopicJoined,
    members: Vec<&'a str>,
    count: usize,
}

/// Someone came or went; how many are there now.
#[derive(Serialize)]
struct Notice<'a> {
    name: &'a str,
    count: usize,
}

#[derive(Serialize)]
struct Said<'a> {
    id: u64,
    at: u64,
    from: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

#[derive(Serialize)]
struct Typing<'a> {
    name: &'a str,
    typing: bool,
}

/// What the sender of a message is told.
#[derive(Serialize)]
struct Receipt {
    id: u64,
    at: u64,
}

// ---- what is received -------------------------------------------------------------------------

#[derive(Deserialize)]
struct Say {
    text: String,
    /// The sender's own name for the message: after a reconnection it finds the message in the
    /// history by it, and doesn't send it twice.
    key: Option<String>,
}

#[derive(Deserialize)]
struct Whisper {
    to: String,
    text: String,
}

#[derive(Deserialize)]
struct IsTyping {
    typing: bool,
}

/// One message in the hands of its event's handler.
struct Turn {
    person: Arc<Person>,
    handle: Handle,
    ids: Arc<AtomicU64>,
    publish: Option<Publish>,
}

/// What to publish to the others.
enum Publish {
    /// To a topic whose messages have no place in time.
    Live(String, String),
    /// To the room, with its position there: the data of a `message`.
    Said(Box<RawValue>),
}

impl Turn {
    fn receipt(&self) -> Receipt {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let at = common::unix_millis();
        Receipt { id, at }
    }

    fn publish<T: Serialize>(
        &mut self,
        topic: String,
        name: &str,
        data: &T,
    ) -> Result<(), EventError> {
        self.publish = Some(Publish::Live(topic, json::event(name, data)?));
        Ok(())
    }
}

fn check_text(text: &str) -> Result<(), EventError> {
    if text.trim().is_empty() {
        return Err(EventError::new("empty", "a message needs a text"));
    }
    if text.chars().count() > MAX_TEXT {
        let message = format!("a message has at most {MAX_TEXT} characters");
        return Err(EventError::new("too_long", message));
    }
    Ok(())
}

fn say(turn: &mut Turn, Say { text, key }: Say) -> Result<Receipt, EventError> {
    check_text(&text)?;
    if key.as_ref().is_some_and(|key| key.len() > MAX_KEY) {
        let message = format!("a key has at most {MAX_KEY} bytes");
        return Err(EventError::new("too_long", message));
    }
    let (receipt, person) = (turn.receipt(), Arc::clone(&turn.person));
    let said = Said {
        id: receipt.id,
        at: receipt.at,
        from: &person.name,
        text: &text,
        key: key.as_deref(),
    };
    let said = to_raw_value(&said).map_err(|it| EventError::new("internal", it.to_string()))?;
    turn.publish = Some(Publish::Said(said));
    Ok(receipt)
}

fn whisper(turn: &mut Turn, Whisper { to, text }: Whisper) -> Result<Receipt, EventError> {
    check_text(&text)?;
    let person = Arc::clone(&turn.person);
    if to == person.name {
        return Err(EventError::new("absent", "that is you"));
    }
    let topic = person.private(&to);
    if turn.handle.topics(ROOMS).subscriber_count(&topic) == 0 {
        return Err(EventError::new("absent", format!("{to} is not here")));
    }
    let receipt = turn.receipt();
    let said = Said {
        id: receipt.id,
        at: receipt.at,
        from: &person.name,
        text: &text,
        key: None,
    };
    turn.publish(topic, "private", &said)?;
    Ok(receipt)
}

fn typing(turn: &mut Turn, IsTyping { typing }: IsTyping) -> Result<(), EventError> {
    let person = Arc::clone(&turn.person);
    let name = &person.name;
    turn.publish(person.live(), "typing", &Typing { name, typing })
}

/// The message that the browser client follows a topic with.
#[derive(Deserialize)]
#[serde(tag = "event", rename = "subscribe")]
struct Subscribe {
    data: SubscribeTopic,
    id: u64,
}

// ---- the chat ---------------------------------------------------------------------------------

struct Chat {
    events: Events<Turn>,
    ids: Arc<AtomicU64>,
}

impl Chat {
    fn new() -> Self {
        let events = Events::new()
            .on("message", say)
            .on("private", whisper)
            .on("typing", typing);
        // From the time on, so that a page that outlives a server sees no id twice.
        let ids = Arc::new(AtomicU64::new(common::unix_millis()));
        Self { events, ids }
    }

    fn enter(socket: &mut Socket<'_, Arc<Person>>) -> Result<(), Box<dyn Error>> {
        let person = Arc::clone(socket.state());
        let live = person.live();
        socket.subscribe(&live)?;
        socket.subscribe(&person.private(&person.name))?;
        let notices = Self::notices(socket.handle(), &person);
        socket.join_presence(&live, &person.name, "", notices)?;
        Ok(())
    }

    /// Follows the room's messages: the last of them come first, those that the page has seen included,
    /// which it knows by their positions.
    fn subscribe(
        socket: &mut Socket<'_, Arc<Person>>,
        data: SubscribeTopic,
    ) -> Result<Box<RawValue>, EventError> {
        let person = Arc::clone(socket.state());
        if data.topic != person.room {
            return Err(EventError::new("no_topic", "there is only this room"));
        }
        let topic = person.messages();
        let topics = socket.handle().topics(ROOMS);
        let missed = data.since.map(|since| topics.history_since(&topic, since));
        let subscribed = socket.subscribe(&topic);
        let position = subscribed.map_err(|error| EventError::new("busy", error.to_string()))?;
        let members = topics.presence_members(&person.live());
        let welcome = Welcome {
            joined: TopicJoined {
                position: position.position,
                complete: missed.is_none_or(|it| it.complete),
            },
            members: members.iter().map(|it| &*it.user).collect(),
            count: members.len(),
        };
        to_raw_value(&welcome).map_err(|it| EventError::new("internal", it.to_string()))
    }

    fn publish(socket: &mut Socket<'_, Arc<Person>>, publish: Publish) {
        match publish {
            Publish::Live(topic, text) => {
                socket.publish(&topic, text.as_str());
            }
            Publish::Said(data) => {
                let person = Arc::clone(socket.state());
                socket.publish_with(&person.messages(), |position| {
                    // It is JSON already.
                    let text = json::topic_event(&person.room, position, "message", &data);
                    text.unwrap_or_default().into()
                });
            }
        }
    }

    /// What the others are told of a change: a second window of one person is no news.
    fn notices(
        handle: Handle,
        person: &Person,
    ) -> impl FnOnce(&PresenceChange) -> Option<Message<'static>> {
        let live = person.live();
        move |change| {
            let (name, member) = match change {
                PresenceChange::Joined(member) => ("joined", member),
                PresenceChange::Left(member) => ("left", member),
                PresenceChange::Updated(_) | PresenceChange::None => return None,
            };
            let notice = Notice {
                name: &member.user,
                count: handle.topics(ROOMS).presence_members(&live).len(),
            };
            json::event(name, &notice).ok().map(Into::into)
        }
    }
}

impl Handler for Chat {
    type State = Arc<Person>;

    fn on_open(&self, socket: &mut Socket<'_, Arc<Person>>) {
        if let Err(error) = Self::enter(socket) {
            let reason = match error.downcast_ref::<SubscribeError>() {
                Some(_) => "too many topics",
                None => "too many people",
            };
            // Open, and with a short reason: it can be closed.
            let _ = socket.close(CloseCode::TRY_AGAIN_LATER, reason);
        }
    }

    fn on_message(&self, socket: &mut Socket<'_, Arc<Person>>, message: Message<'_>) {
        let Some(text) = message.as_text() else {
            socket.send(r#"{"error":{"code":"malformed","message":"send text, not binary"}}"#);
            return;
        };
        if let Ok(Subscribe { data, id, .. }) = serde_json::from_str(text) {
            let reply = match Self::subscribe(socket, data) {
                Ok(data) => serde_json::json!({ "ack": id, "data": data }),
                Err(EventError { code, message }) => {
                    let error = serde_json::json!({ "code": code, "message": message });
                    serde_json::json!({ "ack": id, "error": error })
                }
            };
            socket.send(reply.to_string().as_str());
            return;
        }
        let mut turn = Turn {
            person: Arc::clone(socket.state()),
            handle: socket.handle(),
            ids: Arc::clone(&self.ids),
            publish: None,
        };
        let reply = self.events.dispatch(&mut turn, text);
        if let Some(publish) = turn.publish {
            Self::publish(socket, publish);
        }
        // Behind the publication: what is acknowledged is in the history.
        if let Some(reply) = reply {
            socket.send(reply.as_str());
        }
    }

    fn on_close(&self, socket: &mut Socket<'_, Arc<Person>>, _: &End) {
        let person = Arc::clone(socket.state());
        let notices = Self::notices(socket.handle(), &person);
        socket.leave_presence(&person.live(), notices);
    }
}

/// `GET /api/messages/{room}`
fn list(request: &Request<'_>) -> HttpResponse {
    #[derive(Deserialize)]
    struct Event<'a> {
        #[serde(borrow)]
        data: &'a RawValue,
    }

    #[derive(Serialize)]
    struct List<'a> {
        room: &'a str,
        messages: Vec<&'a RawValue>,
    }

    let room = request.param("room").unwrap_or_default();
    if !is_room(&room) {
        let error = serde_json::json!({ "error": ROOM_RULE }).to_string();
        return HttpResponse::json(error).with_status(404);
    }
    let entries = request
        .handle()
        .topics(ROOMS)
        .history(&messages(&room), HISTORY);
    // All of them are this program's own events.
    let events = entries
        .iter()
        .filter_map(|it| serde_json::from_slice(&it.payload).ok());
    let list = List {
        room: &room,
        messages: events.map(|Event { data }| data).collect(),
    };
    match serde_json::to_string(&list) {
        Ok(body) => HttpResponse::json(body).with_header("Cache-Control", "no-store"),
        Err(_) => HttpResponse::status(500),
    }
}

/// Adds the rooms and their page.
pub(crate) fn add(builder: Builder) -> Builder {
    let mut limits = HistoryLimits::default();
    limits.max_messages = HISTORY;
    limits.max_age = HISTORY_AGE;
    let history = MemoryHistory::new(limits);
    let mut config = Config::default();
    config.max_message_size = MAX_MESSAGE;
    let rooms = Route::with(ROOMS, Chat::new(), |request| {
        Person::from(request).map(Arc::new)
    })
    .config(config)
    // Faster than anyone types. Who is faster waits, and loses nothing.
    .rate_limit(RateLimit {
        messages: Some(Rate::per_second(20).burst(100)),
        bytes: None,
        action: RateLimitAction::Pause,
    });
    let kept = TopicOptions::new().history_in(Arc::new(history), HISTORY);
    builder
        .topic("rooms/*", kept)
        .add_route(rooms)
        .get("/api/messages/{room}", list)
        .get("/chat", common::page(include_str!("index.html")))
        .get("/chat/{room}", common::page(include_str!("index.html")))
        .get("/chat.css", common::style(include_str!("chat.css")))
        .get("/chat.js", common::script(include_str!("chat.js")))
}
