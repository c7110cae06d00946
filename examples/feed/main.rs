//! A feed: topics that clients follow, live prices from another thread, news from anyone who posts
//! them.
//!
//! ```text
//! cargo run --release --example feed -- --listen 127.0.0.1:9001
//! curl --json '{"topic":"news/fish","data":"The salmon are back"}' http://127.0.0.1:9001/publish
//! ```
//! `--listen ADDR` (port 0 takes a free one), `--interval MILLISECONDS` between the prices (250).
//! Open the printed address: a table of live prices; follow and unfollow them, and publish.
//!
//! A program connects to `/feed` and exchanges JSON texts:
//!
//! ```text
//! ► {"event":"topics","id":1}
//! ◄ {"ack":1,"data":[{"topic":"prices/COD","subscribers":3}, …]}
//! ► {"event":"subscribe","data":["prices/COD","news/fish"],"id":2}
//! ◄ {"event":"update","data":{"topic":"prices/COD","data":{"price":41.27,"at":1735689600000}}}
//! ◄ {"ack":2,"data":["prices/COD","news/fish"]}            what it is subscribed to now
//! ► {"event":"unsubscribe","data":["news/fish"],"id":3}
//! ► {"event":"flood","id":4}                               4,000 prices in two seconds
//! ```
//! The last price of each topic comes at once. A client that reads slowly misses prices that are
//! out of date by then, but no news: only `prices/*` conflates.

mod app;
#[path = "../common/mod.rs"]
mod common;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

fn run() -> Result<(), Box<dyn Error>> {
    let known = [("--listen", "127.0.0.1:9001"), ("--interval", "250")];
    let options = common::Options::read(&known)?;
    let interval = Duration::from_millis(options.number("--interval")?.max(1));
    let builder = app::add(common::builder()).get("/", common::page(include_str!("index.html")));
    common::serve(builder, options.text("--listen"), |server| {
        app::start(&server.handle(), interval);
    })
}

fn main() -> ExitCode {
    common::exit("feed", run())
}
