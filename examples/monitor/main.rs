//! A server that shows its numbers: a page, JSON, and what Prometheus reads.
//!
//! ```text
//! cargo run --release --example monitor -- --listen 127.0.0.1:9001
//! ```
//! `--listen ADDR` (port 0 takes a free one). Open the printed address; the page asks for
//! `GET /stats` each second. To see the numbers move, press its button, or let any WebSocket
//! client talk to `/echo`. `GET /metrics` is for Prometheus, `GET /health` for a load balancer.
//!
//! The numbers tell strangers how busy a server is: a public one keeps these paths to itself.

#[path = "../common/mod.rs"]
mod common;

use std::error::Error;
use std::process::ExitCode;

use sockeye::proto::Message;
use sockeye::server::observe::Stats;
use sockeye::server::{Handler, HttpResponse, Server, Socket};

struct Echo;

impl Handler for Echo {
    type State = ();

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        socket.send(message);
    }
}

/// What is true now only.
fn fresh(response: HttpResponse) -> HttpResponse {
    response.with_header("Cache-Control", "no-store")
}

fn run() -> Result<(), Box<dyn Error>> {
    let options = common::Options::read(&[("--listen", "127.0.0.1:9001")])?;
    let builder = Server::builder()
        .route("/echo", Echo)
        .get("/", common::page(include_str!("index.html")))
        .get("/stats", |request| {
            fresh(HttpResponse::json(request.handle().stats().to_json()))
        })
        .get("/metrics", |request| {
            let mut response = HttpResponse::status(200)
                .with_header("Content-Type", Stats::PROMETHEUS_CONTENT_TYPE);
            response.body = request.handle().stats().to_prometheus().into_bytes();
            fresh(response)
        })
        // A worker that answers is one that works.
        .get("/health", |_| {
            fresh(HttpResponse::json(r#"{"status":"ok"}"#))
        });
    common::serve(builder, options.text("--listen"), |_| {})
}

fn main() -> ExitCode {
    common::exit("monitor", run())
}
