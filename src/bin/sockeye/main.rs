//! `sockeye bench`: loads a WebSocket server, checks what comes back, and reports.
//!
//! ```text
//! main ─ options      the command line
//!   └─ bench/         the event loop, its phases and modes
//!        ├─ client    one connection: opening handshake, reads and writes
//!        │    ├─ stream     its socket, as it is or with TLS (tls)
//!        │    ├─ template   the frames that are sent, masked beforehand
//!        │    └─ check      whether what comes back is what was sent
//!        ├─ pace      when connections and messages are due
//!        ├─ latency   messages on their way, and the histogram
//!        ├─ process   processor time and memory, from /proc
//!        └─ report    for people and as JSON
//! ```

mod bench;
mod check;
mod client;
mod clock;
mod latency;
mod options;
mod pace;
mod process;
mod random;
mod report;
mod stream;
mod template;
#[cfg(feature = "tls")]
mod tls;

use std::process::ExitCode;

use clap::Parser as _;

use options::{Cli, Command};

fn main() -> ExitCode {
    let Command::Bench(options) = Cli::parse().command;
    let report = match bench::run(&options) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("sockeye: {error}");
            return ExitCode::FAILURE;
        }
    };
    if options.json {
        match serde_json::to_string_pretty(&report) {
            Ok(json) => println!("{json}"),
            Err(error) => eprintln!("sockeye: {error}"),
        }
    } else {
        print!("{report}");
    }
    match &report.error {
        Some(error) => {
            eprintln!("sockeye: {error}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}
