//! A run: the event loop, its phases, and what each mode does when messages come.
//!
//! One thread, one poll, one buffer that all connections are read into. What one read made due is
//! written when all of it is taken, so that it leaves in one system call.

use core::fmt;
use core::mem;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;

use indicatif::ProgressBar;
use mio::{Events, Interest, Poll, Token};
use sockeye::proto::{ClientHandshake, ClientRequest, Config, Delivery, MessageKind, Url};

use crate::check::Fault;
use crate::client::{Client, Read};
use crate::clock::Clock;
use crate::latency::{InFlight, Latencies};
use crate::options::{Mode, Options};
use crate::pace::Pace;
use crate::process::{self, Usage};
use crate::random::Random;
use crate::report::{Measured, Report, Server};
use crate::template::Template;

/// What is read at once. Large messages come in reads of this size; two of it still fit in a
/// core's second-level cache, together with as much of the payload they are compared with.
const READ: usize = 256 * 1024;

/// How many connections may be opening at once. A listening socket's backlog has 128 places on
/// systems with small defaults; one that overflows costs the handshake a second.
const OPENING: usize = 100;

/// How often the live line and the timeouts are looked after.
const TICK: Duration = Duration::from_millis(250);

/// What the poll may oversleep: its timeout has whole milliseconds.
const COARSE: Duration = Duration::from_millis(1);

/// How long the server has for its closing handshakes at the end, which count for nothing.
const CLOSING: Duration = Duration::from_secs(2);

/// Descriptors besides those of the connections: the standard streams, the poll, `/proc`, and the
/// runtime's.
const OTHER_FILES: u64 = 32;

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
    /// Until what is on its way has come.
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

/// What was used when the measurement began.
struct Baseline {
    at: Duration,
    own: Option<Usage>,
    server: Usage,
}

struct Slot {
    client: Client,
    /// Its messages on their way; only in mode echo.
    in_flight: InFlight,
    /// It is in `dirty`.
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
    config: Arc<Config>,
    clock: Clock,
    random: Random,
    poll: Poll,
    buffer: Vec<u8>,
    template: Template,
    line: ProgressBar,

    phase: Phase,
    slots: Vec<Option<Slot>>,
    /// The slots without a connection, the last one next.
    vacant: Vec<usize>,
    opening: usize,
    open: usize,
    /// The connections that have something to write.
    dirty: Vec<usize>,
    /// When connections are to be opened.
    ramp: Pace,
    /// When messages are to be sent.
    pace: Pace,
    /// The connection whose turn it is, with a rate.
    turn: usize,
    /// How many messages may still be sent, of a number that was asked for.
    unissued: Option<u64>,
    /// Messages on their way, in mode echo.
    in_flight: u64,
    /// Messages on their way, oldest first, in mode fan-out.
    broadcasts: VecDeque<Broadcast>,
    /// How many messages before those are done.
    broadcasts_done: u64,

    pids: Vec<u32>,
    resident_before: Option<u64>,
    baseline: Option<Baseline>,
    /// What came since the measurement began.
    messages: u64,
    latencies: Latencies,
    measured: Option<Measured>,
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
            // Counted from one, as messages are.
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

/// The fault of a connection.
fn of<T>(index: usize, result: Result<T, Fault>) -> Result<T, Failure> {
    result.map_err(|fault| Failure {
        connection: Some(index),
        fault,
    })
}

/// Runs a benchmark; what goes wrong once it runs is in the report.
///
/// # Errors
/// What keeps it from beginning.
pub(crate) fn run(options: &Options) -> Result<Report, Box<dyn core::error::Error>> {
    options.check()?;
    let url = Url::parse(&options.url).map_err(|error| format!("{}: {error}", options.url))?;
    if url.is_secure() {
        return Err("wss:// needs TLS, which this build doesn't have; use ws://".into());
    }
    raise_file_limit(options.connections)?;
    let mut bench = Bench::new(options, url)?;
    let failure = bench.run().err();
    if failure.is_some() && matches!(bench.phase, Phase::Measuring { .. }) {
        // What was measured up to the fault; a server that is gone can't be asked any more.
        let _ = bench.finish(bench.clock.now());
    }
    bench.line.finish_and_clear();
    let error = failure.map(|failure| failure.to_string());
    Ok(Report::new(options, bench.measured, error))
}

/// Makes room for so many sockets.
#[cfg(unix)]
fn raise_file_limit(connections: u64) -> Result<(), String> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let needed = connections + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(maximum) = limit.maximum.filter(|maximum| *maximum < needed) {
        return Err(format!(
            "{connections} connections need {needed} file descriptors, and this process may have \
             {maximum}: take fewer, or raise the hard limit (ulimit -Hn)"
        ));
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised)
        .map_err(|error| format!("the limit of file descriptors can't be raised: {error}"))
}

#[cfg(not(unix))]
fn raise_file_limit(_: u64) -> Result<(), String> {
    let _ = OTHER_FILES;
    Ok(())
}

/// The address to connect to: of several, the first that accepts.
fn resolve(url: &Url, timeout: Duration) -> io::Result<SocketAddr> {
    let addresses: Vec<_> = (url.host(), url.port()).to_socket_addrs()?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    if let [address] = addresses[..] {
        return Ok(address);
    }
    for address in addresses {
        match TcpStream::connect_timeout(&address, timeout) {
            Ok(_) => return Ok(address),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(feature = "deflate")]
fn add_deflate(config: &mut Config) {
    let deflate = sockeye::proto::Deflate::default();
    config.extensions.push(Arc::new(deflate));
}

/// [`Options::check`] refuses `--deflate` then.
#[cfg(not(feature = "deflate"))]
fn add_deflate(_: &mut Config) {}

impl<'o> Bench<'o> {
    fn new(options: &'o Options, url: Url) -> Result<Self, Box<dyn core::error::Error>> {
        let address = resolve(&url, options.timeout)
            .map_err(|error| format!("{} can't be reached: {error}", options.url))?;
        let mut config = Config::default();
        config.max_message_size = options.size;
        config.delivery = Delivery::Streamed;
        config.handshake_timeout = options.timeout;
        if options.deflate {
            add_deflate(&mut config);
        }
        let mut random = Random::from_os();
        let kind = match options.text {
            true => MessageKind::Text,
            false => MessageKind::Binary,
        };
        let template = Template::new(kind, options.size, random.key());
        let mut pids = options.pid.clone();
        if options.children {
            pids = process::with_children(&pids)?;
        }
        let resident_before = match pids.is_empty() {
            true => None,
            false => Some(process::resident(&pids)?),
        };
        let connections = usize::try_from(options.connections)?;
        let clock = Clock::start();
        let now = clock.now();
        Ok(Self {
            options,
            url,
            address,
            config: Arc::new(config),
            clock,
            random,
            poll: Poll::new()?,
            buffer: vec![0; READ],
            template,
            line: ProgressBar::new_spinner(),
            phase: Phase::Opening,
            slots: core::iter::repeat_with(|| None).take(connections).collect(),
            vacant: (0..connections).rev().collect(),
            opening: 0,
            open: 0,
            dirty: Vec::new(),
            ramp: Pace::new(options.ramp, now),
            pace: Pace::new(options.rate, now),
            turn: 0,
            unissued: options.messages,
            in_flight: 0,
            broadcasts: VecDeque::new(),
            broadcasts_done: 0,
            pids,
            resident_before,
            baseline: None,
            messages: 0,
            latencies: Latencies::new(),
            measured: None,
            next_tick: now,
            shown: (now, 0),
        })
    }

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
                // At once: what waited for the other connections would count as latency.
                self.write_dirty()?;
            }
        }
    }

    /// How long the poll may take.
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

    // ---- the phases ---------------------------------------------------------------------------

    /// Goes on to the phase whose time has come.
    fn advance(&mut self, now: Duration) -> Result<(), Failure> {
        let mut before = None;
        while before != Some(self.phase) {
            before = Some(self.phase);
            match self.phase {
                Phase::Opening if self.is_ready() => self.begin(now)?,
                Phase::Warmup { until } if now >= until => self.measure(now)?,
                Phase::Measuring { until } if now >= until || self.is_complete() => {
                    self.finish(now)?;
                    self.phase = Phase::Draining;
                }
                Phase::Draining if self.on_their_way() == 0 => self.close_all(now)?,
                Phase::Closing { until }
                    if now >= until || self.slots.iter().all(Option::is_none) =>
                {
                    self.phase = Phase::Over;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.options.mode == Mode::Handshakes || self.open == self.slots.len()
    }

    /// Whether as many messages as were asked for are sent, and came.
    fn is_complete(&self) -> bool {
        self.unissued == Some(0) && self.on_their_way() == 0
    }

    fn on_their_way(&self) -> u64 {
        match self.options.mode {
            Mode::Echo => self.in_flight,
            Mode::FanOut => self.broadcasts.len() as u64,
            Mode::Idle => 0,
            Mode::Handshakes => self.opening as u64,
        }
    }

    /// Everything is open: the messages begin.
    fn begin(&mut self, now: Duration) -> Result<(), Failure> {
        let warmup = self.options.warmup();
        self.phase = Phase::Warmup {
            until: now.saturating_add(warmup),
        };
        if warmup.is_zero() {
            // Before the first message.
            self.measure(now)?;
        }
        self.pace = Pace::new(self.options.rate, now);
        if self.options.rate.is_some() {
            return Ok(());
        }
        match self.options.mode {
            Mode::Echo => {
                for index in 0..self.slots.len() {
                    self.send(index, self.options.depth, now)?;
                }
            }
            Mode::FanOut => self.broadcast(self.options.depth, now)?,
            Mode::Idle | Mode::Handshakes => {}
        }
        Ok(())
    }

    fn measure(&mut self, now: Duration) -> Result<(), Failure> {
        let until = match self.options.messages {
            Some(_) => Duration::MAX,
            None => now.saturating_add(self.options.duration),
        };
        self.phase = Phase::Measuring { until };
        self.messages = 0;
        self.shown = (now, 0);
        self.latencies.clear();
        self.baseline = Some(Baseline {
            at: now,
            own: process::own_usage(),
            server: process::usage(&self.pids)?,
        });
        Ok(())
    }

    /// The measurement is over.
    fn finish(&mut self, now: Duration) -> Result<(), Failure> {
        let Some(baseline) = self.baseline.take() else {
            return Ok(());
        };
        let own = process::own_usage();
        let mut measured = Measured {
            time: now - baseline.at,
            messages: self.messages,
            latencies: mem::replace(&mut self.latencies, Latencies::new()),
            generator: own.zip(baseline.own).map(|(now, then)| now - then),
            server: None,
        };
        if let Some(resident_before) = self.resident_before {
            measured.server = Some(Server {
                pids: self.pids.clone(),
                usage: process::usage(&self.pids)? - baseline.server,
                resident_before,
                resident: process::resident(&self.pids)?,
            });
        }
        self.measured = Some(measured);
        Ok(())
    }

    fn close_all(&mut self, now: Duration) -> Result<(), Failure> {
        self.phase = Phase::Closing {
            until: now + CLOSING,
        };
        for index in 0..self.slots.len() {
            self.close(index, now)?;
        }
        Ok(())
    }

    fn close(&mut self, index: usize, now: Duration) -> Result<(), Failure> {
        if let Some(slot) = &mut self.slots[index]
            && !slot.client.is_closing()
        {
            of(index, slot.client.close(&self.template, now))?;
            self.mark(index);
        }
        Ok(())
    }

    // ---- what is sent -------------------------------------------------------------------------

    /// Opens the connections that are due.
    fn open_due(&mut self, now: Duration) -> Result<(), Failure> {
        while self.opening < OPENING && !self.vacant.is_empty() {
            let due = match self.options.mode {
                Mode::Handshakes if !self.may_issue() => None,
                Mode::Handshakes => self.pace.take(now),
                _ if self.phase == Phase::Opening => self.ramp.take(now),
                _ => None,
            };
            let (Some(since), Some(index)) = (due, due.and_then(|_| self.vacant.pop())) else {
                return Ok(());
            };
            self.issue(1);
            of(index, self.open(index, since))?;
        }
        Ok(())
    }

    fn open(&mut self, index: usize, since: Duration) -> Result<(), Fault> {
        let mut request = Vec::new();
        let handshake = ClientHandshake::new(
            &self.url,
            &ClientRequest::default(),
            Arc::clone(&self.config),
            Box::new(Random::new(self.random.next())),
            &mut request,
            self.clock.now(),
        )?;
        let first = match self.options.mode {
            // All receive what the first sends.
            Mode::FanOut => 0,
            // Far from each other, so that one connection's echo is another's in none.
            _ => (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1,
        };
        let mut client = Client::connect(self.address, handshake, request, first, since)?;
        let interests = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        registry.register(client.stream(), Token(index), interests)?;
        self.slots[index] = Some(Slot {
            client,
            in_flight: InFlight::default(),
            dirty: false,
        });
        self.opening += 1;
        Ok(())
    }

    fn may_issue(&self) -> bool {
        self.phase.sends() && self.unissued != Some(0)
    }

    /// Of `wanted` messages, how many may be sent: they count as sent.
    fn issue(&mut self, wanted: u64) -> u64 {
        if !self.phase.sends() {
            return 0;
        }
        match &mut self.unissued {
            Some(unissued) => {
                let issued = wanted.min(*unissued);
                *unissued -= issued;
                issued
            }
            None => wanted,
        }
    }

    /// Sends the messages that are due by the rate, on one connection after the other.
    fn send_due(&mut self, now: Duration) -> Result<(), Failure> {
        if self.options.rate.is_none() || self.options.mode == Mode::Handshakes {
            return Ok(());
        }
        while self.may_issue() {
            let Some(since) = self.pace.take(now) else {
                break;
            };
            match self.options.mode {
                Mode::Echo => {
                    self.send(self.turn, 1, since)?;
                    self.turn = (self.turn + 1) % self.slots.len();
                }
                Mode::FanOut => self.broadcast(1, since)?,
                Mode::Idle | Mode::Handshakes => break,
            }
        }
        Ok(())
    }

    /// Mode echo: sends `count` messages on a connection, as far as they may be.
    fn send(&mut self, index: usize, count: u64, since: Duration) -> Result<(), Failure> {
        let count = self.issue(count);
        if let Some(slot) = &mut self.slots[index]
            && count > 0
        {
            slot.in_flight.push(since, count);
            self.in_flight += count;
            of(index, slot.client.send(count, &mut self.template))?;
            self.mark(index);
        }
        Ok(())
    }

    /// Mode fan-out: the first connection sends `count` messages, as far as they may be.
    fn broadcast(&mut self, count: u64, since: Duration) -> Result<(), Failure> {
        let count = self.issue(count);
        let missing = self.slots.len() as u64;
        for _ in 0..count {
            self.broadcasts.push_back(Broadcast { since, missing });
        }
        if let Some(slot) = &mut self.slots[0]
            && count > 0
        {
            of(0, slot.client.send(count, &mut self.template))?;
            self.mark(0);
        }
        Ok(())
    }

    /// The connection has something to write.
    fn mark(&mut self, index: usize) {
        if let Some(slot) = &mut self.slots[index]
            && !mem::replace(&mut slot.dirty, true)
        {
            self.dirty.push(index);
        }
    }

    fn write_dirty(&mut self) -> Result<(), Failure> {
        while let Some(index) = self.dirty.pop() {
            self.write(index)?;
        }
        Ok(())
    }

    fn write(&mut self, index: usize) -> Result<(), Failure> {
        let Some(slot) = &mut self.slots[index] else {
            return Ok(());
        };
        slot.dirty = false;
        match slot.client.write(&mut self.template) {
            Err(_) if slot.client.is_closing() => self.vacate(index),
            result => of(index, result)?,
        }
        Ok(())
    }

    // ---- what comes ---------------------------------------------------------------------------

    /// Reads what is there; with `ending` also the end of the stream, of which no event tells.
    fn read(&mut self, index: usize, ending: bool) -> Result<(), Failure> {
        while let Some(slot) = &mut self.slots[index] {
            let closing = slot.client.is_closing();
            let count = match slot.client.read(&mut self.buffer) {
                Ok(Read::Bytes(count)) => count,
                Ok(Read::Nothing) => break,
                Ok(Read::Eof) | Err(_) if closing => {
                    self.vacate(index);
                    break;
                }
                Ok(Read::Eof) => return of(index, Err(Fault::Eof)),
                Err(fault) => return of(index, Err(fault)),
            };
            let now = self.clock.now();
            let bytes = &mut self.buffer[..count];
            match slot.client.receive(bytes, &self.template, now) {
                // Its Close, most likely. The end of the stream follows.
                Err(_) if closing => {}
                result => {
                    let received = of(index, result)?;
                    if received.opened {
                        self.opened(index, now)?;
                    }
                    if received.messages > 0 {
                        self.completed(index, received.messages, now)?;
                    }
                }
            }
            // The socket is empty: what comes later is told by an event of its own. A pong may be
            // owed.
            if count < READ && !ending {
                break;
            }
        }
        self.mark(index);
        Ok(())
    }

    /// The slot's connection is gone, as it should.
    fn vacate(&mut self, index: usize) {
        self.slots[index] = None;
        self.vacant.push(index);
    }

    fn opened(&mut self, index: usize, now: Duration) -> Result<(), Failure> {
        let Some(slot) = &self.slots[index] else {
            return Ok(());
        };
        if self.options.deflate && !slot.client.is_deflated() {
            return of(index, Err(Fault::Refused));
        }
        self.opening -= 1;
        self.open += 1;
        if self.options.mode == Mode::Handshakes {
            let latency = now.saturating_sub(slot.client.begun);
            self.count(latency, 1);
            self.close(index, now)?;
        }
        Ok(())
    }

    /// `count` messages came whole on a connection.
    fn completed(&mut self, index: usize, count: u64, now: Duration) -> Result<(), Failure> {
        let done = match self.options.mode {
            Mode::Echo => self.echoed(index, count, now)?,
            Mode::FanOut => self.received(index, count, now)?,
            // Nobody sent anything.
            Mode::Idle | Mode::Handshakes => false,
        };
        if done {
            return Ok(());
        }
        let client = self.slots[index].as_ref().map(|slot| &slot.client);
        let message = client.map_or(0, Client::completed);
        of(index, Err(Fault::Unsent { message }))
    }

    /// Answers whether as many were on their way.
    fn echoed(&mut self, index: usize, count: u64, now: Duration) -> Result<bool, Failure> {
        let Some(slot) = &mut self.slots[index] else {
            return Ok(true);
        };
        let latencies = &mut self.latencies;
        let done = slot.in_flight.complete(count, |since, count| {
            latencies.record(now.saturating_sub(since), count);
        });
        if done {
            self.messages += count;
            self.in_flight -= count;
            if self.options.rate.is_none() {
                self.send(index, count, now)?;
            }
        }
        Ok(done)
    }

    /// As [`echoed`](Self::echoed).
    fn received(&mut self, index: usize, count: u64, now: Duration) -> Result<bool, Failure> {
        let completed = self.slots[index]
            .as_ref()
            .map_or(0, |it| it.client.completed());
        // All before `broadcasts` have come to all, so this one has none of them to come.
        let first = completed - count - self.broadcasts_done;
        for number in first..first + count {
            let at = usize::try_from(number).ok();
            let Some(broadcast) = at.and_then(|at| self.broadcasts.get_mut(at)) else {
                return Ok(false);
            };
            broadcast.missing -= 1;
            let latency = now.saturating_sub(broadcast.since);
            self.count(latency, 1);
        }
        let before = self.broadcasts_done;
        while self.broadcasts.front().is_some_and(|it| it.missing == 0) {
            self.broadcasts.pop_front();
            self.broadcasts_done += 1;
        }
        if self.options.rate.is_none() {
            self.broadcast(self.broadcasts_done - before, now)?;
        }
        Ok(true)
    }

    fn count(&mut self, latency: Duration, count: u64) {
        self.latencies.record(latency, count);
        self.messages += count;
    }

    // ---- what is looked after now and then ----------------------------------------------------

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

    /// The live line.
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
