//! A run: the event loop, and periodic work.
//!
//! `setup.rs` has its preparation, `phases.rs` its phases, `send.rs` sending, and `receive.rs`
//! receiving with what each mode does then.
//!
//! One thread, one poll, one buffer that all connections are read into. What one read causes is
//! written after all of it is handled, so that it leaves in one system call.

mod phases;
mod receive;
mod send;
mod setup;

use core::fmt;
use core::mem;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use indicatif::ProgressBar;
use mio::{Events, Poll};
use sockeye::proto::{Config, Url};

use crate::check::Fault;
use crate::client::Client;
use crate::clock::Clock;
use crate::latency::{InFlight, Latencies};
use crate::options::Options;
use crate::pace::Pace;
use crate::process::Usage;
use crate::random::Random;
use crate::report::{self, Measured, Report};
use crate::stream::Connector;
use crate::template::Template;

/// The most bytes of one read. Large messages come in reads of this size; two of them still fit in
/// a core's second-level cache, together with as much of the payload that they are compared with.
const READ: usize = 256 * 1024;

/// How many connections may be opening at once. A listening socket's backlog has 128 places on
/// systems with small defaults; one that overflows costs the handshake a second.
const OPENING: usize = 100;

/// How often the live line is drawn and timeouts are checked.
const TICK: Duration = Duration::from_millis(250);

/// How long the poll may oversleep: its timeout is in whole milliseconds.
const COARSE: Duration = Duration::from_millis(1);

/// How long the server has for its closing handshakes at the end, which aren't measured.
const CLOSING: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// Until all connections are open.
    Opening,
    Warmup {
        until: Duration,
    },
    Measuring {
        until: Duration,
    },
    /// Until the messages under way have arrived.
    Draining,
    /// Until the closing handshakes are done.
    Closing {
        until: Duration,
    },
    Over,
}

impl Phase {
    fn sends(self) -> bool {
        matches!(self, Self::Warmup { .. } | Self::Measuring { .. })
    }
}

/// The usage when the measurement began.
struct Baseline {
    at: Duration,
    own: Option<Usage>,
    server: Usage,
}

struct Slot {
    client: Client,
    /// Its messages under way; only in mode echo.
    in_flight: InFlight,
    /// Whether it is in `dirty`.
    dirty: bool,
}

/// A message that not all have received yet; in mode fan-out.
struct Broadcast {
    since: Duration,
    missing: u64,
}

pub(crate) struct Bench<'o> {
    options: &'o Options,
    url: Url,
    address: SocketAddr,
    connector: Connector,
    config: Arc<Config>,
    clock: Clock,
    random: Random,
    poll: Poll,
    buffer: Vec<u8>,
    template: Template,
    line: ProgressBar,

    phase: Phase,
    slots: Vec<Option<Slot>>,
    /// The slots without a connection, the next one to use last.
    vacant: Vec<usize>,
    opening: usize,
    open: usize,
    /// The connections that have something to write.
    dirty: Vec<usize>,
    /// When connections are due to open.
    ramp: Pace,
    /// When messages are due to be sent.
    pace: Pace,
    /// The next connection to send on, with a rate.
    turn: usize,
    /// How many messages may still be sent, if a number was given.
    unissued: Option<u64>,
    /// Messages under way, in mode echo.
    in_flight: u64,
    /// Messages under way, oldest first, in mode fan-out.
    broadcasts: VecDeque<Broadcast>,
    /// How many messages were completed before those.
    broadcasts_done: u64,

    pids: Vec<u32>,
    resident_before: Option<u64>,
    baseline: Option<Baseline>,
    /// What arrived since the measurement began.
    messages: u64,
    latencies: Latencies,
    measured: Option<Measured>,
    /// What TLS agreed on, for the first connection that opened.
    tls: Option<report::Tls>,
    next_tick: Duration,
    shown: (Duration, u64),
}

/// A fault, and the connection that had it.
struct Failure {
    connection: Option<usize>,
    fault: Fault,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.connection {
            // Counted from one, like messages.
            Some(index) => write!(f, "connection {}: {}", index + 1, self.fault),
            None => self.fault.fmt(f),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self {
            connection: None,
            fault: error.into(),
        }
    }
}

/// Records the fault of a connection.
fn of<T>(index: usize, result: Result<T, Fault>) -> Result<T, Failure> {
    result.map_err(|fault| Failure {
        connection: Some(index),
        fault,
    })
}

/// Runs a benchmark; errors after its start are in the report.
///
/// # Errors
/// Errors that keep it from starting.
pub(crate) fn run(options: &Options) -> Result<Report, Box<dyn core::error::Error>> {
    options.check()?;
    let url = Url::parse(&options.url).map_err(|error| format!("{}: {error}", options.url))?;
    let connector = Connector::new(&url, options)?;
    setup::raise_file_limit(options.connections)?;
    let mut bench = Bench::new(options, url, connector)?;
    let failure = bench.run().err();
    if failure.is_some() && matches!(bench.phase, Phase::Measuring { .. }) {
        // What was measured up to the fault; a server that has exited can't be queried any more.
        let _ = bench.finish(bench.clock.now());
    }
    bench.line.finish_and_clear();
    let error = failure.map(|failure| failure.to_string());
    Ok(Report::new(options, bench.tls, bench.measured, error))
}

impl Bench<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        let mut events = Events::with_capacity(1024);
        loop {
            let now = self.clock.now();
            self.advance(now)?;
            if self.phase == Phase::Over {
                return Ok(());
            }
            if now >= self.next_tick {
                self.next_tick = now + TICK;
                self.check_timeouts(now)?;
                self.show(now);
            }
            self.open_due(now)?;
            self.send_due(now)?;
            self.write_dirty()?;
            match self.poll.poll(&mut events, Some(self.patience(now))) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(error.into());
                }
                _ => {}
            }
            for event in &events {
                let index = event.token().0;
                if event.is_writable()
                    && let Some(slot) = &mut self.slots[index]
                {
                    slot.client.unblock();
                    self.mark(index);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.read(index, event.is_read_closed())?;
                }
                // At once: otherwise waiting for the other connections would count as latency.
                self.write_dirty()?;
            }
        }
    }

    /// How long the poll may wait.
    fn patience(&self, now: Duration) -> Duration {
        let mut until = self.next_tick;
        match self.phase {
            Phase::Warmup { until: end } | Phase::Measuring { until: end } => {
                until = until.min(end)
            }
            _ => {}
        }
        if self.options.ramp.is_some() && !self.vacant.is_empty() {
            until = until.min(self.ramp.next());
        }
        let mut patience = until.saturating_sub(now);
        if self.options.rate.is_some() && self.may_issue() {
            let next = self.pace.next().saturating_sub(now);
            patience = patience.min(next.saturating_sub(COARSE));
        }
        patience
    }

    fn check_timeouts(&mut self, now: Duration) -> Result<(), Failure> {
        if matches!(self.phase, Phase::Closing { .. }) {
            return Ok(());
        }
        let timeout = self.options.timeout;
        let is_late = |since: Duration| now.saturating_sub(since) > timeout;
        let stalled = |missing| Fault::Stalled {
            seconds: timeout.as_secs_f64(),
            missing,
        };
        if let Some(broadcast) = self.broadcasts.front()
            && is_late(broadcast.since)
        {
            return Err(Failure {
                connection: None,
                fault: stalled(self.broadcasts.iter().map(|it| it.missing).sum()),
            });
        }
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(slot) = slot else { continue };
            of(index, slot.client.handle_timeout(now, timeout))?;
            if slot.in_flight.oldest().is_some_and(is_late) {
                return of(index, Err(stalled(slot.in_flight.count())));
            }
        }
        Ok(())
    }

    /// Draws the live line.
    fn show(&mut self, now: Duration) {
        let (then, count) = mem::replace(&mut self.shown, (now, self.messages));
        let rate = || {
            let messages = self.messages.saturating_sub(count) as f64;
            messages / now.saturating_sub(then).as_secs_f64().max(1e-9)
        };
        let text = match self.phase {
            Phase::Opening => format!("{} of {} connections open", self.open, self.slots.len()),
            Phase::Draining | Phase::Closing { .. } | Phase::Over => "ending".into(),
            Phase::Warmup { .. } => format!("warming up: {:.0}/s", rate()),
            Phase::Measuring { .. } if self.latencies.is_empty() => "measuring".into(),
            Phase::Measuring { .. } => format!(
                "{:.0}/s, p50 {:.1?}, p99 {:.1?}, {} in all",
                rate(),
                self.latencies.quantile(0.5),
                self.latencies.quantile(0.99),
                self.messages,
            ),
        };
        self.line.set_message(text);
        self.line.tick();
    }
}
