//! Echoes every message: the server that the Autobahn suite and the benchmarks talk to.
//!
//! ```text
//! cargo run --release --example echo_server -- --listen 127.0.0.1:9001
//! ```
//! `--listen ADDR` (port 0 takes a free one), `--max-message BYTES` (64 MiB), `--workers N` (1).
//! `--fanout` sends each message to all connections, the sender included, through a topic.
//! `--deflate` accepts permessage-deflate; build with `--features deflate` for it.
//! `--deflate-shared` does without context takeover, so that connections hold no compressors.
//! `--tls CERT KEY` serves wss:// with a certificate chain and its key, two PEM files; build with
//! `--features tls` for it.

use std::num::NonZeroUsize;
use std::process::ExitCode;

use sockeye::proto::{Config, Message};
use sockeye::server::{Builder, Handler, Server, Socket};

struct Echo;

impl Handler for Echo {
    type State = ();

    // Part of the loop that receives.
    #[inline(always)]
    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        socket.send(message);
    }
}

/// The topic of all connections.
const ALL: &str = "all";

struct Fanout;

impl Handler for Fanout {
    type State = ();

    fn on_open(&self, socket: &mut Socket<'_, ()>) {
        // A single topic is within all limits.
        let _ = socket.subscribe(ALL);
    }

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        socket.publish_to_all(ALL, &message);
    }
}

struct Options {
    listen: String,
    max_message: usize,
    workers: NonZeroUsize,
    fanout: bool,
    deflate: Option<Takeover>,
    tls: Option<[String; 2]>,
}

/// What becomes of the compressors between messages.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "deflate"), allow(dead_code))]
enum Takeover {
    Offered,
    Never,
}

const USAGE: &str = "--listen ADDR, --max-message BYTES, --workers N, --fanout, --deflate, \
    --deflate-shared, --tls CERT KEY";

fn options() -> Result<Options, String> {
    let mut options = Options {
        listen: "127.0.0.1:9001".into(),
        max_message: 64 * 1024 * 1024,
        workers: NonZeroUsize::MIN,
        fanout: false,
        deflate: None,
        tls: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        match name.as_str() {
            "--listen" => options.listen = value()?,
            "--max-message" => {
                let bytes = value()?;
                options.max_message = bytes
                    .parse()
                    .map_err(|_| format!("--max-message {bytes}: not a number of bytes"))?;
            }
            "--workers" => {
                let count = value()?;
                options.workers = count
                    .parse()
                    .map_err(|_| format!("--workers {count}: not a number of workers"))?;
            }
            "--fanout" => options.fanout = true,
            "--deflate" => options.deflate = Some(Takeover::Offered),
            "--deflate-shared" => options.deflate = Some(Takeover::Never),
            "--tls" => options.tls = Some([value()?, value()?]),
            "--help" => {
                println!("Options: {USAGE}");
                std::process::exit(0);
            }
            _ => {
                return Err(format!("{name}: unknown; there are {USAGE}"));
            }
        }
    }
    Ok(options)
}

#[cfg(feature = "deflate")]
fn add_deflate(config: &mut Config, takeover: Takeover) -> Result<(), String> {
    use sockeye::proto::Deflate;
    let deflate = match takeover {
        Takeover::Offered => Deflate::default(),
        Takeover::Never => Deflate::shared(),
    };
    config.extensions.push(std::sync::Arc::new(deflate));
    Ok(())
}

#[cfg(not(feature = "deflate"))]
fn add_deflate(_: &mut Config, _: Takeover) -> Result<(), String> {
    Err("--deflate: this was built without it; build with --features deflate".into())
}

#[cfg(feature = "tls")]
fn add_tls(builder: Builder, [certificates, key]: &[String; 2]) -> Result<Builder, String> {
    Ok(builder.tls_from_pem(certificates, key))
}

#[cfg(not(feature = "tls"))]
fn add_tls(_: Builder, _: &[String; 2]) -> Result<Builder, String> {
    Err("--tls: this was built without it; build with --features tls".into())
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let options = options()?;
    let mut config = Config::default();
    config.max_message_size = options.max_message;
    if let Some(takeover) = options.deflate {
        add_deflate(&mut config, takeover)?;
    }
    let page = "<!doctype html><title>Sockeye echo</title>\
        <p>This server echoes WebSocket messages. Connect to it with a WebSocket client.";
    let builder = Server::builder()
        .workers(options.workers)
        .config(config)
        // Room for the echo of the longest message behind that of another.
        .max_backpressure(
            options
                .max_message
                .saturating_mul(2)
                .saturating_add(1 << 20),
        )
        .page("/", "text/html; charset=utf-8", page);
    let builder = match options.fanout {
        true => builder.route("/", Fanout).route("/{*path}", Fanout),
        false => builder.route("/", Echo).route("/{*path}", Echo),
    };
    let builder = match &options.tls {
        Some(files) => add_tls(builder, files)?,
        None => builder,
    };
    #[cfg(unix)]
    let builder = builder.signals();
    let server = builder.listen(&options.listen)?;
    println!("listening on {}", server.local_addr());
    server.run()?;
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint!("echo_server: {error}");
            let mut source = error.source();
            while let Some(error) = source {
                eprint!(": {error}");
                source = error.source();
            }
            eprintln!();
            ExitCode::FAILURE
        }
    }
}
