//! A server that shows its numbers: a page, JSON, and what Prometheus reads.
//!
//! ```text
//! cargo run --release --example monitor -- --listen 127.0.0.1:9001
//! ```
//! `--listen ADDR` (port 0 takes a free one). Open the printed address; the page is sent the numbers
//! each second by `/live`. To see them move, press its buttons, or let any WebSocket client talk to
//! `/echo`. `GET /stats` is the same once, `GET /metrics` is for Prometheus, `GET /health` for a load
//! balancer.
//!
//! The numbers tell strangers how busy a server is: a public one keeps these paths to itself.

mod app;
#[path = "../common/mod.rs"]
mod common;

use std::error::Error;
use std::process::ExitCode;

fn run() -> Result<(), Box<dyn Error>> {
    app::crowd::join_if_told();
    let options = common::Options::read(&[("--listen", "127.0.0.1:9001")])?;
    let builder = app::add(common::builder()).get("/", common::page(include_str!("index.html")));
    common::serve(builder, options.text("--listen"), app::start)
}

fn main() -> ExitCode {
    common::exit("monitor", run())
}
