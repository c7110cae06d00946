//! A chat: rooms, presence, typing, private messages, acknowledgements, history.
//!
//! ```text
//! cargo run --release --example chat -- --listen 127.0.0.1:9001
//! ```
//! `--listen ADDR` (port 0 takes a free one). Then open the printed address in two windows, choose
//! two names and one room, and talk. Stop the server and start it again: the pages come back by
//! themselves and send what was not acknowledged.
//!
//! A program connects to `/rooms/{room}?name=ann` and exchanges JSON texts:
//!
//! ```text
//! ► {"event":"subscribe","data":{"topic":"blue","since":null},"id":1}
//! ◄ {"event":"message","data":{"id":7,"at":1735689600000,"from":"bob","text":"Hi"},
//!    "topic":"blue","position":{"epoch":1,"offset":7}}                                the last 50
//! ◄ {"ack":1,"data":{"position":{"epoch":1,"offset":7},"complete":true,"members":["bob","ann"],"count":2}}
//! ► {"event":"message","data":{"text":"Hello"},"id":2}
//! ◄ {"ack":2,"data":{"id":8,"at":1735689601000}}          the others get it as a message
//! ► {"event":"private","data":{"to":"bob","text":"Psst"},"id":3}
//! ► {"event":"typing","data":{"typing":true}}             only the others are told
//! ◄ {"event":"left","data":{"name":"bob","count":1}}      or "joined"
//! ► Hello
//! ◄ {"error":{"code":"malformed","message":"expected value at line 1 column 1"}}
//! ```
//! `GET /api/messages/{room}` lists the last 50 messages.
//!
//! Names are not checked: who says to be Ann is Ann, and two connections of one name are one
//! person with two windows. The example `auth` has tokens.

mod app;
#[path = "../common/mod.rs"]
mod common;

use std::error::Error;
use std::process::ExitCode;

fn run() -> Result<(), Box<dyn Error>> {
    let options = common::Options::read(&[("--listen", "127.0.0.1:9001")])?;
    let builder = app::add(common::builder()).get("/", common::page(include_str!("index.html")));
    common::serve(builder, options.text("--listen"), |_| {})
}

fn main() -> ExitCode {
    common::exit("chat", run())
}
