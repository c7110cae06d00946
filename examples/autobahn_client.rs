//! The client's side of the Autobahn suite: runs every case of a `wstest -m fuzzingserver` and
//! echoes what it is sent. `autobahn/run.sh client` starts both.
//!
//! ```text
//! cargo run --release --example autobahn_client -- ws://127.0.0.1:9001
//! ```
//! `--deflate` offers permessage-deflate; build with `--features deflate` for it.

use std::process::ExitCode;
use std::sync::Arc;

use sockeye::client::{Client, ConnectOptions};
use sockeye::error::Error;
use sockeye::proto::PerMessageExtension;

const AGENT: &str = "Sockeye";

type Extensions = [Arc<dyn PerMessageExtension>];

fn connect(url: &str, extensions: &Extensions) -> Result<Client, Error> {
    let mut options = ConnectOptions::default();
    // The suite's longest message has 16 MiB.
    options.config.max_message_size = 64 * 1024 * 1024;
    options.config.extensions.extend_from_slice(extensions);
    options.connect(url)
}

/// Echoes until the server closes. A fault of the server is what many cases are about, so it is
/// no error of the run.
fn run_case(url: &str, extensions: &Extensions) -> Result<(), Error> {
    let mut client = connect(url, extensions)?;
    loop {
        // The echo needs the client again, so the message is taken out of its buffer.
        let message = match client.recv() {
            Ok(Some(message)) => message.into_owned(),
            Ok(None) | Err(Error::Protocol(_) | Error::Limit(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        client.send(&message)?;
    }
}

fn run(server: &str, extensions: &Extensions) -> Result<u32, Box<dyn std::error::Error>> {
    let mut client = connect(&format!("{server}/getCaseCount"), &[])?;
    let count = client.recv()?.ok_or("the suite told no case count")?;
    let count: u32 = count.as_text().unwrap_or_default().parse()?;
    for case in 1..=count {
        // The suite drops the connection in some cases; its report tells which should have gone
        // otherwise.
        let url = format!("{server}/runCase?case={case}&agent={AGENT}");
        if let Err(error) = run_case(&url, extensions) {
            eprintln!("case number {case}: {error}");
        }
    }
    let mut client = connect(&format!("{server}/updateReports?agent={AGENT}"), &[])?;
    while client.recv()?.is_some() {}
    Ok(count)
}

#[cfg(feature = "deflate")]
fn deflate() -> Result<Arc<dyn PerMessageExtension>, &'static str> {
    Ok(Arc::new(sockeye::proto::Deflate::default()))
}

#[cfg(not(feature = "deflate"))]
fn deflate() -> Result<Arc<dyn PerMessageExtension>, &'static str> {
    Err("--deflate: this was built without it; build with --features deflate")
}

fn main() -> ExitCode {
    const USAGE: &str = "usage: autobahn_client ws://HOST:PORT [--deflate]";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (server, extensions) = match &arguments[..] {
        [option] if option == "--help" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        [server] => (server, Ok(Vec::new())),
        [server, option] if option == "--deflate" => (server, deflate().map(|it| vec![it])),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let ran = extensions
        .map_err(Into::into)
        .and_then(|it| run(server.trim_end_matches('/'), &it));
    match ran {
        Ok(count) => {
            println!("ran {count} cases");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("autobahn_client: {error}");
            ExitCode::FAILURE
        }
    }
}
