//! The command line.

use core::num::NonZeroU64;
use core::time::Duration;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

/// The longest message, in bytes: the generator holds a few copies of it, and of what servers
/// take at all few take more.
const MAX_SIZE: usize = 256 * 1024 * 1024;

/// Sockeye's tools for WebSocket.
#[derive(Debug, Parser)]
#[command(name = "sockeye", version, about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Loads a WebSocket server from one core, checks every byte that comes back, and reports.
    ///
    /// The server echoes each message, but for `--mode fan-out`, where it sends each to all
    /// connections, the sender included. The exit status is 0 only if every message came back as
    /// it was sent and no connection was lost.
    Bench(Options),
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// Each connection sends, and waits for its echoes.
    Echo,
    /// The first connection sends, and all receive.
    FanOut,
    /// Connections that are open and silent: memory for each, with --pid.
    Idle,
    /// Connections are opened and closed, so many at a time: opening handshakes per second, with
    /// TLS its full handshakes, for no session is resumed.
    Handshakes,
}

/// Options of `bench`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The server: ws://host:port/path, or wss:// for TLS.
    pub(crate) url: String,

    /// What is measured.
    #[arg(long, value_enum, default_value_t = Mode::Echo)]
    pub(crate) mode: Mode,

    /// How many connections are open; with `--mode handshakes`, how many at a time.
    #[arg(short, long, value_name = "N", default_value = "100", value_parser = at_least_one())]
    pub(crate) connections: u64,

    /// Connections opened per second [default: as fast as the server takes them].
    #[arg(long, value_name = "PER_SECOND")]
    pub(crate) ramp: Option<NonZeroU64>,

    /// Messages on their way at once: on each connection, or of the sender with `--mode fan-out`.
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = at_least_one())]
    pub(crate) depth: u64,

    /// Bytes of a message, from 0 on; K and M stand for KiB and MiB.
    #[arg(short, long, value_name = "BYTES", default_value = "20", value_parser = parse_size)]
    pub(crate) size: usize,

    /// Sends text, records in ASCII JSON [default: binary, which can't be compressed].
    #[arg(long)]
    pub(crate) text: bool,

    /// Messages per second in all, evenly spaced, whatever the server does: what is late counts
    /// from when it was due. With `--mode handshakes`, handshakes per second [default: each echo
    /// is followed by the next message].
    ///
    /// The generator then doesn't sleep between messages less than a millisecond apart.
    #[arg(long, value_name = "PER_SECOND", conflicts_with = "depth")]
    pub(crate) rate: Option<NonZeroU64>,

    /// Seconds to run before anything counts [default: 1; 0 with --messages].
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    #[arg(conflicts_with = "messages")]
    warmup: Option<Duration>,

    /// Seconds to measure.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    pub(crate) duration: Duration,

    /// Sends so many messages instead (or does so many handshakes), and ends with the last.
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = at_least_one())]
    pub(crate) messages: Option<u64>,

    /// Seconds after which a message, or a handshake, that didn't come counts as lost.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds)]
    pub(crate) timeout: Duration,

    /// Compresses by permessage-deflate, with context takeover where the server has it. The
    /// generator then compresses each message for itself, and is soon the bottleneck.
    #[arg(long)]
    pub(crate) deflate: bool,

    /// Speaks TLS to a ws:// URL as well, to the port that it has.
    #[arg(long)]
    pub(crate) tls: bool,

    /// Trusts servers whose certificates go back to those of this file, in PEM [default: whom
    /// this system trusts].
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub(crate) ca: Option<PathBuf>,

    /// Takes any certificate, without a look at it. The report says so.
    #[arg(long)]
    pub(crate) insecure: bool,

    /// Offers only this cipher suite of TLS, such as TLS13_AES_128_GCM_SHA256, so that different
    /// servers are compared with the same one [default: all, and the server chooses].
    #[arg(long, value_name = "SUITE")]
    pub(crate) cipher: Option<String>,

    /// The server's process on this machine: reports its processor time for each message and its
    /// memory. These compare also when the generator is the bottleneck. May be given several
    /// times. The system counts in hundredths of a second, and samples what is user and what
    /// system: measure for some seconds.
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pub(crate) pid: Vec<u32>,

    /// Counts the processes that descend from those of --pid as well.
    #[arg(long, requires = "pid")]
    pub(crate) children: bool,

    /// Writes the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Options {
    /// How long the run goes before it is measured.
    pub(crate) fn warmup(&self) -> Duration {
        match (self.warmup, self.messages) {
            (Some(warmup), _) => warmup,
            (None, None) => Duration::from_secs(1),
            (None, Some(_)) => Duration::ZERO,
        }
    }

    /// Checks what the types of the options can't express.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.mode == Mode::Idle && self.messages.is_some() {
            return Err("--mode idle sends no messages: give it a --duration".into());
        }
        if self.deflate && !cfg!(feature = "deflate") {
            return Err(
                "--deflate: this was built without it; build with --features cli,deflate".into(),
            );
        }
        Ok(())
    }
}

fn at_least_one() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..)
}

fn parse_size(text: &str) -> Result<usize, String> {
    let (number, unit) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1024),
        None => match text.strip_suffix(['m', 'M']) {
            Some(number) => (number, 1024 * 1024),
            None => (text, 1),
        },
    };
    let number: usize = number
        .parse()
        .map_err(|_| "not a number of bytes, such as 20, 4K or 16M")?;
    match number.checked_mul(unit) {
        Some(size) if size <= MAX_SIZE => Ok(size),
        _ => Err(format!("longer than {}M", MAX_SIZE >> 20)),
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        let all = ["sockeye", "bench", "ws://localhost/"];
        let cli = Cli::try_parse_from(all.iter().chain(arguments));
        let Command::Bench(options) = cli.map_err(|error| error.to_string())?.command;
        options.check().map(|()| options)
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_have_units_and_a_limit() {
        for (text, size) in [("0", 0), ("20", 20), ("4k", 4096), ("16M", 16 << 20)] {
            assert_eq!(parse_size(text), Ok(size));
        }
        for text in [
            "",
            "K",
            "-1",
            "1.5",
            "257M",
            "99999999999999999999",
            "20000000000000000M",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_of_messages_has_no_warmup_and_no_duration() {
        assert_eq!(parse(&[]).unwrap().warmup(), Duration::from_secs(1));
        assert_eq!(
            parse(&["--warmup", "2.5"]).unwrap().warmup(),
            Duration::from_millis(2500)
        );
        let counted = parse(&["--messages", "5"]).unwrap();
        assert_eq!(counted.warmup(), Duration::ZERO);
        for wrong in [
            &["--messages", "5", "--duration", "1"][..],
            &["--messages", "5", "--warmup", "1"],
            &["--messages", "0"],
            &["--mode", "idle", "--messages", "5"],
            &["--rate", "10", "--depth", "2"],
            &["--rate", "0"],
            &["--duration", "-1"],
            &["--children"],
            &["--ca", "roots.pem", "--insecure"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
