//! Rooms, presence, typing, private messages, acknowledgements, history.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sockeye::proto::{CloseCode, Config, Message};
use sockeye::server::json::{self, EventError, Events, SubscribeTopic, TopicJoined};
use sockeye::server::limits::{Rate, RateLimit, RateLimitAction};
use sockeye::server::topics::{
    HistoryLimits, MemoryHistory, PresenceChange, Publication, SubscribeError, TopicOptions,
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
struct Welcome {
    #[serde(flatten)]
    joined: TopicJoined,
    members: Vec<String>,
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

/// Numbers messages, from the time on, so that a page that outlives a server sees no id twice.
struct Receipts(AtomicU64);

impl Receipts {
    fn new() -> Self {
        Self(AtomicU64::new(common::unix_millis()))
    }

    fn next(&self) -> Receipt {
        let id = self.0.fetch_add(1, Ordering::Relaxed);
        let at = common::unix_millis();
        Receipt { id, at }
    }
}

fn say(
    socket: &mut Socket<'_, Person>,
    receipts: &Receipts,
    Say { text, key }: Say,
) -> Result<Receipt, EventError> {
    check_text(&text)?;
    if key.as_ref().is_some_and(|key| key.len() > MAX_KEY) {
        let message = format!("a key has at most {MAX_KEY} bytes");
        return Err(EventError::new("too_long", message));
    }
    let (person, sender) = socket.split();
    let receipt = receipts.next();
    let said = Said {
        id: receipt.id,
        at: receipt.at,
        from: &person.name,
        text: &text,
        key: key.as_deref(),
    };
    sender.publish_with(&person.messages(), |position| {
        // Strings and numbers can be written.
        let text = json::topic_event(&person.room, position, "message", &said);
        text.unwrap_or_default().into()
    });
    Ok(receipt)
}

fn whisper(
    socket: &mut Socket<'_, Person>,
    receipts: &Receipts,
    Whisper { to, text }: Whisper,
) -> Result<Receipt, EventError> {
    check_text(&text)?;
    let (person, sender) = socket.split();
    if to == person.name {
        return Err(EventError::new("absent", "that is you"));
    }
    let topic = person.private(&to);
    if sender.handle().topics(ROOMS).subscriber_count(&topic) == 0 {
        return Err(EventError::new("absent", format!("{to} is not here")));
    }
    let receipt = receipts.next();
    let said = Said {
        id: receipt.id,
        at: receipt.at,
        from: &person.name,
        text: &text,
        key: None,
    };
    sender.publish_event(&topic, "private", &said);
    Ok(receipt)
}

fn typing(
    socket: &mut Socket<'_, Person>,
    IsTyping { typing }: IsTyping,
) -> Result<(), EventError> {
    let (person, sender) = socket.split();
    let name = &person.name;
    sender.publish_event(&person.live(), "typing", &Typing { name, typing });
    Ok(())
}

// ---- the chat ---------------------------------------------------------------------------------

struct Chat {
    events: Events<Person>,
}

impl Chat {
    fn new() -> Self {
        let receipts = Arc::new(Receipts::new());
        let whispers = Arc::clone(&receipts);
        let events = Events::new()
            .on("message", move |socket, it| say(socket, &receipts, it))
            .on("private", move |socket, it| whisper(socket, &whispers, it))
            .on("typing", typing)
            .on("subscribe", Self::subscribe);
        Self { events }
    }

    fn enter(socket: &mut Socket<'_, Person>) -> Result<(), Box<dyn Error>> {
        let (person, sender) = socket.split();
        let live = person.live();
        sender.subscribe(&live)?;
        sender.subscribe(&person.private(&person.name))?;
        let notices = Self::notices(sender.handle(), person);
        sender.join_presence(&live, &person.name, "", notices)?;
        Ok(())
    }

    /// Follows the room's messages: the last of them come first. Those that the page has seen already
    /// it knows by their positions.
    fn subscribe(
        socket: &mut Socket<'_, Person>,
        SubscribeTopic { topic, since, .. }: SubscribeTopic,
    ) -> Result<Welcome, EventError> {
        let (person, sender) = socket.split();
        if topic != person.room {
            return Err(EventError::new("no_topic", "there is only this room"));
        }
        let (topics, messages) = (sender.handle().topics(ROOMS), person.messages());
        let missed = since.map(|since| topics.history_since(&messages, since));
        let subscribed = sender.subscribe(&messages);
        let subscribed = subscribed.map_err(|it| EventError::new("busy", it.to_string()))?;
        let members = topics.presence_members(&person.live());
        Ok(Welcome {
            joined: TopicJoined {
                position: subscribed.position,
                complete: missed.is_none_or(|it| it.complete),
            },
            count: members.len(),
            members: members.into_iter().map(|it| it.user.to_string()).collect(),
        })
    }

    /// What the others are told of a change: a second window of one person is no news.
    fn notices(
        handle: Handle,
        person: &Person,
    ) -> impl FnOnce(&PresenceChange) -> Option<Publication<'static>> {
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
    type State = Person;

    fn on_open(&self, socket: &mut Socket<'_, Person>) {
        if let Err(error) = Self::enter(socket) {
            let reason = match error.downcast_ref::<SubscribeError>() {
                Some(_) => "too many topics",
                None => "too many people",
            };
            socket.close(CloseCode::TRY_AGAIN_LATER, reason);
        }
    }

    fn on_message(&self, socket: &mut Socket<'_, Person>, message: Message<'_>) {
        self.events.dispatch(socket, &message);
    }

    fn on_close(&self, socket: &mut Socket<'_, Person>, _: &End) {
        let (person, sender) = socket.split();
        let notices = Self::notices(sender.handle(), person);
        sender.leave_presence(&person.live(), notices);
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
    let rooms = Route::with(ROOMS, Chat::new(), Person::from)
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
