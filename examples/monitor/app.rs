//! The server's numbers: a page that is sent them, JSON, and what Prometheus reads.

#[path = "crowd.rs"]
pub(crate) mod crowd;

use std::thread;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use sockeye::proto::{Config, Message};
use sockeye::server::json::{self, EventError, Events};
use sockeye::server::observe::{ConnectionStats, Stats};
use sockeye::server::topics::TopicOptions;
use sockeye::server::{Builder, Handle, Handler, HttpResponse, Request, Route, Server, Socket};

use self::crowd::{Crowd, Open};
use super::common;

/// How often the numbers are sent.
const PERIOD: Duration = Duration::from_secs(1);
/// How often a connection is pinged: the round trip that is shown is that old at most.
const PING: Duration = Duration::from_secs(2);
/// How many connections are listed.
const LISTED: usize = 20;

/// The path of who is sent the numbers, and so the namespace of their topic.
const LIVE: &str = "/live";
/// The topic of the numbers.
const STATS: &str = "stats";

struct Echo;

impl Handler for Echo {
    type State = ();

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        socket.send(message);
    }
}

/// A page that is sent the numbers.
struct Live {
    events: Events<()>,
}

impl Live {
    fn new() -> Self {
        let events = Events::new().on("crowd", |_: &mut Socket<'_, ()>, wanted: bool| {
            crowd::ask(wanted);
            Ok::<_, EventError>(())
        });
        Self { events }
    }
}

impl Handler for Live {
    type State = ();

    fn on_open(&self, socket: &mut Socket<'_, ()>) {
        // A single topic is within all limits.
        let _ = socket.subscribe(STATS);
    }

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        self.events.dispatch(socket, &message);
    }
}

// ---- what is sent ---------------------------------------------------------------------------

#[derive(Serialize)]
struct Look<'a> {
    stats: &'a RawValue,
    /// The process' memory in bytes, where the system tells.
    memory: Option<u64>,
    /// What each connection of the crowd has added to it.
    each: Option<u64>,
    crowd: Open,
    list: Vec<Listed>,
    /// How many aren't listed.
    more: usize,
}

#[derive(Serialize)]
struct Listed {
    address: String,
    agent: Option<Box<str>>,
    /// In seconds.
    age: f64,
    /// In milliseconds.
    round_trip: Option<f64>,
    received: u64,
    sent: u64,
    /// In bytes.
    waiting: usize,
}

impl From<ConnectionStats> for Listed {
    fn from(stats: ConnectionStats) -> Self {
        Self {
            address: stats.client_ip.to_string(),
            agent: stats.user_agent,
            age: stats.age.as_secs_f64(),
            round_trip: stats.round_trip.map(|it| it.as_secs_f64() * 1000.0),
            received: stats.messages_received,
            sent: stats.messages_sent,
            waiting: stats.buffered,
        }
    }
}

/// The connections that say most: with the most that waits, then with the most messages.
fn list(handle: &Handle) -> (Vec<Listed>, usize) {
    let mut all = handle.list_connections().unwrap_or_default();
    all.sort_by_key(|it| (it.buffered, it.messages_received + it.messages_sent, it.age));
    let listed = all.iter().rev().take(LISTED).cloned().map(Listed::from);
    (listed.collect(), all.len().saturating_sub(LISTED))
}

fn look(handle: &Handle, crowd: &mut Crowd) -> Option<String> {
    let stats = handle.stats();
    let open = crowd.look(&stats);
    let (list, more) = list(handle);
    let stats = RawValue::from_string(stats.to_json()).ok()?;
    let look = Look {
        stats: &stats,
        memory: crowd::memory(),
        each: crowd.memory_of_each(),
        crowd: open,
        list,
        more,
    };
    json::event("stats", &look).ok()
}

/// What is true now only.
fn fresh(response: HttpResponse) -> HttpResponse {
    response.with_header("Cache-Control", "no-store")
}

/// Adds the monitor and its page.
pub(crate) fn add(builder: Builder) -> Builder {
    let mut config = Config::default();
    config.ping_interval = Some(PING);
    builder
        .topic(STATS, TopicOptions::new().conflate().history(1))
        .add_route(
            Route::new("/echo", Echo)
                .config(config.clone())
                .keep_request(),
        )
        .add_route(Route::new(LIVE, Live::new()).config(config).keep_request())
        .add_route(crowd::route())
        .get("/monitor", common::page(include_str!("index.html")))
        .get("/monitor.css", common::style(include_str!("monitor.css")))
        .get("/monitor.js", common::script(include_str!("monitor.js")))
        .get("/stats", |request: &Request<'_>| {
            fresh(HttpResponse::json(request.handle().stats().to_json()))
        })
        .get("/metrics", |request: &Request<'_>| {
            let mut response = HttpResponse::status(200)
                .with_header("Content-Type", Stats::PROMETHEUS_CONTENT_TYPE);
            response.body = request.handle().stats().to_prometheus().into_bytes();
            fresh(response)
        })
        // A worker that answers is one that works.
        .get("/health", |_: &Request<'_>| {
            fresh(HttpResponse::json(r#"{"status":"ok"}"#))
        })
}

/// Begins to send the numbers.
pub(crate) fn start(server: &Server) {
    let handle = server.handle();
    let mut crowd = Crowd::new(server.local_addr());
    thread::spawn(move || {
        loop {
            thread::sleep(PERIOD);
            let Some(text) = look(&handle, &mut crowd) else {
                continue;
            };
            if handle.topics(LIVE).publish(STATS, text.as_str()).is_err() {
                return;
            }
        }
    });
}
