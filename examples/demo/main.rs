//! The four applications behind one front door: a chat, a feed, sessions with tokens, and a monitor.
//!
//! ```text
//! cargo run --release --example demo -- --listen 127.0.0.1:9001
//! ```
//! `--listen ADDR` (port 0 takes a free one). Open the printed address: the page explains what there
//! is to try. Each of them also is an example by itself.

#[path = "../auth/app.rs"]
mod auth;
#[path = "../auth/secret.rs"]
mod auth_secret;
#[path = "../chat/app.rs"]
mod chat;
#[path = "../common/mod.rs"]
mod common;
#[path = "../feed/app.rs"]
mod feed;
#[path = "../monitor/app.rs"]
mod monitor;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

/// How often there are new prices.
const INTERVAL: Duration = Duration::from_millis(250);

fn run() -> Result<(), Box<dyn Error>> {
    monitor::crowd::join_if_told();
    let options = common::Options::read(&[("--listen", "127.0.0.1:9001")])?;
    let builder = monitor::add(feed::add(chat::add(common::builder())));
    let builder = auth::add(builder, &auth_secret::read()?)
        .get("/", common::page(include_str!("index.html")))
        .get("/demo.css", common::style(include_str!("demo.css")))
        .get("/demo.js", common::script(include_str!("demo.js")));
    common::serve(builder, options.text("--listen"), |server| {
        feed::start(&server.handle(), INTERVAL);
        monitor::start(server);
    })
}

fn main() -> ExitCode {
    common::exit("demo", run())
}
