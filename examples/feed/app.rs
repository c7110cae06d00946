//! Topics that clients follow, live prices from another thread, news from anyone who posts them.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sockeye::proto::Message;
use sockeye::server::json::{self, EventError, Events};
use sockeye::server::topics::{TopicOptions, Topics};
use sockeye::server::{Builder, Handle, HandleError, Handler, HttpResponse, Request, Socket};

use super::common;

/// What is traded, and for how much at first.
const INSTRUMENTS: [(&str, f64); 6] = [
    ("COD", 41.0),
    ("EEL", 118.5),
    ("HERRING", 9.2),
    ("SALMON", 87.4),
    ("SOCKEYE", 132.0),
    ("TUNA", 205.0),
];

/// The path, and so the namespace of the topics.
const FEED: &str = "/feed";

/// How many prices a flood has, how many bytes each is longer, and how many floods there may be.
const FLOOD: usize = 4_000;
const FLOOD_PADDING: usize = 64 * 1024;
const MAX_FLOODS: usize = 4;

/// The most topics of one request.
const MAX_TOPICS: usize = 100;

fn is_topic(topic: &str) -> bool {
    let name = topic
        .strip_prefix("prices/")
        .or_else(|| topic.strip_prefix("news/"));
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.is_some_and(|name| (1..=32).contains(&name.len()) && name.bytes().all(fits))
}

const TOPIC_RULE: &str =
    "topics are prices/NAME and news/NAME, with 1 to 32 letters, digits, - or _";

/// The text that subscribers get.
fn update<T: Serialize + ?Sized>(topic: &str, data: &T) -> Result<String, EventError> {
    #[derive(Serialize)]
    struct Update<'a, T: ?Sized> {
        topic: &'a str,
        data: &'a T,
    }
    json::event("update", &Update { topic, data })
}

// ---- clients ----------------------------------------------------------------------------------

#[derive(Serialize)]
struct Topic {
    topic: String,
    subscribers: usize,
}

/// The prices, and whatever else has subscribers.
fn topics(socket: &mut Socket<'_, ()>, (): ()) -> Result<Vec<Topic>, EventError> {
    let prices = INSTRUMENTS.map(|(name, _)| (format!("prices/{name}"), 0));
    let mut topics = BTreeMap::from(prices);
    for (topic, subscribers) in socket.handle().topics(FEED).list() {
        if is_topic(&topic) {
            topics.insert(topic, subscribers);
        }
    }
    let topics = topics.into_iter();
    Ok(topics
        .map(|(topic, subscribers)| Topic { topic, subscribers })
        .collect())
}

fn subscribe(socket: &mut Socket<'_, ()>, topics: Vec<String>) -> Result<Vec<String>, EventError> {
    if topics.len() > MAX_TOPICS {
        let message = format!("at most {MAX_TOPICS} topics at once");
        return Err(EventError::new("too_many", message));
    }
    if let Some(wrong) = topics.iter().find(|topic| !is_topic(topic)) {
        let message = format!("{wrong:?}: {TOPIC_RULE}");
        return Err(EventError::new("no_topic", message));
    }
    let mut all: BTreeSet<&str> = socket.topics().collect();
    all.extend(topics.iter().map(String::as_str));
    if all.len() > MAX_TOPICS {
        let message = format!("a connection follows at most {MAX_TOPICS} topics");
        return Err(EventError::new("too_many", message));
    }
    for topic in &topics {
        // The topics and their number were checked: it is within all limits.
        let _ = socket.subscribe(topic);
    }
    Ok(subscribed(socket))
}

fn unsubscribe(
    socket: &mut Socket<'_, ()>,
    topics: Vec<String>,
) -> Result<Vec<String>, EventError> {
    for topic in &topics {
        socket.unsubscribe(topic);
    }
    Ok(subscribed(socket))
}

fn subscribed(socket: &Socket<'_, ()>) -> Vec<String> {
    socket.topics().map(str::to_owned).collect()
}

/// Follows a topic of this connection's own, to which more is published than a slow reader takes.
fn flood(socket: &mut Socket<'_, ()>, floods: &Arc<AtomicUsize>) -> Result<String, EventError> {
    let topic = format!("slow/{}", socket.id());
    let again = socket.topics().any(|it| it == topic);
    // Each holds the number up while it lasts.
    let place = Arc::clone(floods);
    if again || place.fetch_add(1, Ordering::Relaxed) >= MAX_FLOODS {
        if !again {
            place.fetch_sub(1, Ordering::Relaxed);
        }
        return Err(EventError::new(
            "busy",
            "others are slow already; try again in a moment",
        ));
    }
    // A single topic is within all limits.
    let _ = socket.subscribe(&topic);
    let (topics, name) = (socket.handle().topics(FEED), topic.clone());
    thread::spawn(move || {
        publish_flood(&topics, &name);
        place.fetch_sub(1, Ordering::Relaxed);
    });
    Ok(topic)
}

struct Feed {
    events: Events<()>,
}

impl Feed {
    fn new() -> Self {
        let floods = Arc::default();
        let events = Events::new()
            .on("topics", topics)
            .on("subscribe", subscribe)
            .on("unsubscribe", unsubscribe)
            .on("flood", move |socket, (): ()| flood(socket, &floods));
        Self { events }
    }
}

impl Handler for Feed {
    type State = ();

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        self.events.dispatch(socket, &message);
    }
}

// ---- producers --------------------------------------------------------------------------------

/// Publishes prices until the server stops.
fn trade(topics: &Topics, interval: Duration) {
    #[derive(Serialize)]
    struct Price {
        price: f64,
        at: u64,
    }

    let chance = RandomState::new();
    let mut prices = INSTRUMENTS;
    for round in 0_u64.. {
        for (name, price) in &mut prices {
            let dice = chance.hash_one((round, &*name));
            // Not each of them each time: an even hash is a trade, by up to half a per cent.
            if round > 0 && dice % 2 == 1 {
                continue;
            }
            let change = (dice >> 1) as f64 / (u64::MAX >> 1) as f64 - 0.5;
            *price = (*price * (1.0 + change / 100.0) * 100.0).round() / 100.0;
            let topic = format!("prices/{name}");
            let data = Price {
                price: *price,
                at: common::unix_millis(),
            };
            let Ok(text) = update(&topic, &data) else {
                continue;
            };
            match topics.publish(&topic, text.as_str()) {
                // A worker that is that busy gets the next one.
                Ok(_) | Err(HandleError::Busy) => {}
                Err(_) => return,
            }
        }
        thread::sleep(interval);
    }
}

/// Publishes [`FLOOD`] numbered prices in two seconds.
fn publish_flood(topics: &Topics, topic: &str) {
    #[derive(Serialize)]
    struct Price<'a> {
        number: usize,
        of: usize,
        /// As long as it takes for few of them to fill the buffers of the systems in between.
        padding: &'a str,
    }

    let padding = "x".repeat(FLOOD_PADDING);
    for number in 1..=FLOOD {
        let price = Price {
            number,
            of: FLOOD,
            padding: &padding,
        };
        let Ok(text) = update(topic, &price) else {
            return;
        };
        while topics.publish(topic, text.as_str()) == Err(HandleError::Busy) {
            thread::sleep(Duration::from_millis(1));
        }
        if number % 20 == 0 {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// `POST /publish`: `{"topic":"news/fish","data":…}`
fn publish(request: &Request<'_>) -> HttpResponse {
    #[derive(Deserialize)]
    struct Post<'a> {
        topic: String,
        #[serde(borrow)]
        data: &'a RawValue,
    }

    let error = |status, text: &str| {
        let body = serde_json::json!({ "error": text }).to_string();
        HttpResponse::json(body).with_status(status)
    };
    // A browser asks before it posts this type for another site's page, and is told nothing.
    let content_type = request.header("content-type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return error(415, "post application/json");
    }
    let post: Post<'_> = match serde_json::from_slice(request.body()) {
        Ok(post) => post,
        Err(wrong) => return error(400, &wrong.to_string()),
    };
    if !is_topic(&post.topic) {
        return error(400, TOPIC_RULE);
    }
    let Ok(text) = update(&post.topic, post.data) else {
        return error(500, "this can't be sent");
    };
    match request
        .handle()
        .topics(FEED)
        .publish(&post.topic, text.as_str())
    {
        Ok(published) => {
            let subscribers = serde_json::json!({ "subscribers": published.waiting });
            HttpResponse::json(subscribers.to_string())
        }
        Err(busy) => error(503, &busy.to_string()),
    }
}

/// Adds the feed and its page.
pub(crate) fn add(builder: Builder) -> Builder {
    builder
        .topic("prices/*", TopicOptions::new().conflate().history(1))
        .topic("slow/*", TopicOptions::new().conflate())
        .route(FEED, Feed::new())
        .get("/feed", common::page(include_str!("index.html")))
        .get("/feed.css", common::style(include_str!("feed.css")))
        .get("/feed.js", common::script(include_str!("feed.js")))
        .get("/slow.js", common::script(include_str!("slow.js")))
        .post("/publish", publish)
}

/// Begins to trade.
pub(crate) fn start(handle: &Handle, interval: Duration) {
    let topics = handle.topics(FEED);
    thread::spawn(move || trade(&topics, interval));
}
