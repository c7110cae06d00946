//! The client's side of the Autobahn suite: runs every case of a `wstest -m fuzzingserver` and
//! echoes what it is sent. `autobahn/run.sh client` starts both.
//!
//! ```text
//! cargo run --release --example autobahn_client -- ws://127.0.0.1:9001
//! ```

use std::process::ExitCode;

use sockeye::client::{Client, ConnectOptions};
use sockeye::error::Error;

const AGENT: &str = "Sockeye";

fn connect(url: &str) -> Result<Client, Error> {
    let mut options = ConnectOptions::default();
    // The suite's longest message has 16 MiB.
    options.config.max_message_size = 64 * 1024 * 1024;
    options.connect(url)
}

/// Echoes until the server closes. A fault of the server is what many cases are about, so it is
/// no error of the run.
fn run_case(url: &str) -> Result<(), Error> {
    let mut client = connect(url)?;
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

fn run(server: &str) -> Result<u32, Box<dyn std::error::Error>> {
    let mut client = connect(&format!("{server}/getCaseCount"))?;
    let count = client.recv()?.ok_or("the suite told no case count")?;
    let count: u32 = count.as_text().unwrap_or_default().parse()?;
    for case in 1..=count {
        // The suite drops the connection in some cases; its report tells which should have gone
        // otherwise.
        if let Err(error) = run_case(&format!("{server}/runCase?case={case}&agent={AGENT}")) {
            eprintln!("case number {case}: {error}");
        }
    }
    let mut client = connect(&format!("{server}/updateReports?agent={AGENT}"))?;
    while client.recv()?.is_some() {}
    Ok(count)
}

fn main() -> ExitCode {
    let Some(server) = std::env::args().nth(1) else {
        eprintln!("usage: autobahn_client ws://HOST:PORT");
        return ExitCode::FAILURE;
    };
    match run(server.trim_end_matches('/')) {
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
