//! What passes between workers and threads: memory of the server, stalls of a connection that has
//! nothing to do with it, and what is lost.
//!
//! ```text
//! cargo bench --bench spine
//! ```
//! The server is a process of its own; its publisher is a thread of it, or a client. The echo is
//! sent each millisecond by one connection, on a worker that has readers. It needs Linux, which tells
//! what a process holds and computes. Compare figures of one machine only.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use harness::load::{Process, Readers, WORKERS, ask, frame, frame_length};
use sockeye::proto::Opcode;

/// A load, and by it a row of the first table.
#[derive(Clone, Copy)]
struct Case {
    who: Who,
    subscribers: usize,
    messages: usize,
    size: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Who {
    /// A client on one worker publishes to subscribers on the other, of which one reads.
    Flood,
    /// A thread publishes to subscribers of which one on each worker reads.
    Silent,
    /// A thread publishes to subscribers that read all the time.
    Reading,
}

const fn reading(subscribers: usize, messages: usize, size: usize) -> Case {
    Case {
        who: Who::Reading,
        subscribers,
        messages,
        size,
    }
}

const CASES: [Case; 8] = [
    Case {
        who: Who::Flood,
        subscribers: 300,
        messages: 8 * 1024,
        size: 1024,
    },
    Case {
        who: Who::Flood,
        subscribers: 300,
        messages: 16 * 1024,
        size: 512,
    },
    Case {
        who: Who::Silent,
        subscribers: 300,
        messages: 20_000,
        size: 256,
    },
    reading(300, 1_000, 256),
    reading(300, 2_000, 256),
    reading(300, 20_000, 256),
    reading(20, 60_000, 1024),
    reading(5, 3_000, 16 * 1024),
];

/// The fan-out of the second table.
const FAN_OUT: Case = Case {
    who: Who::Reading,
    subscribers: 500,
    messages: 32_000,
    size: 64,
};

/// Messages that are sent at once in the fan-out.
const BURST: usize = 16;

impl Case {
    /// The same with next to no load.
    fn tiny(self) -> Self {
        Self {
            subscribers: self.subscribers.min(4),
            messages: 2 * BURST,
            ..self
        }
    }

    fn name(&self) -> String {
        let Self {
            who,
            subscribers,
            messages,
            size,
        } = self;
        let who = match who {
            Who::Flood => "a client floods, on the other worker don't read",
            Who::Silent => "a thread publishes, don't read",
            Who::Reading => "a thread publishes, read",
        };
        format!("{messages} × {size} B: {who} {subscribers}")
    }
}

#[expect(clippy::disallowed_methods, reason = "the clock of a benchmark")]
fn now() -> Instant {
    Instant::now()
}

/// What one run found.
struct Found {
    before: u64,
    after: u64,
    peak: u64,
    /// Sorted.
    echoes: Vec<Duration>,
    lost: u64,
    refused: u64,
    /// Until all was accepted, and until those that read had it.
    accepted: Duration,
    read: Duration,
}

fn start(workers: usize) -> Process {
    Process::start(workers, &["--bench"])
}

/// An echo is sent so often, unless the one before is still to come.
const INTERVAL: Duration = Duration::from_millis(1);

/// Echoes until it is to stop. Those that would have been sent while one was waited for count as
/// if they had been.
fn echo(stream: &mut TcpStream, stop: &AtomicBool) -> Vec<Duration> {
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) || times.is_empty() {
        let sent = now();
        assert_eq!(ask(stream, "echo"), "echo");
        let mut time = now() - sent;
        times.push(time);
        while time > INTERVAL {
            time -= INTERVAL;
            times.push(time);
        }
        thread::sleep(INTERVAL - time);
    }
    times.sort_unstable();
    times
}

/// Connections until there are `count` that are on the worker of this name, or not on it.
fn on_worker(server: &Process, count: usize, worker: &str, is: bool) -> Vec<TcpStream> {
    let (mut found, mut others) = (Vec::new(), Vec::new());
    while found.len() < count {
        let mut stream = server.connect();
        match (ask(&mut stream, "worker") == worker) == is {
            true => found.push(stream),
            false => others.push(stream),
        }
    }
    found
}

fn run(case: Case, workers: usize) -> Found {
    let mut server = start(workers);
    let mut flooder = server.connect();
    let home = ask(&mut flooder, "worker");
    let (silent, readers, mut echoing);
    match case.who {
        Who::Flood => {
            let mut others = on_worker(&server, case.subscribers + 2, &home, false);
            echoing = others.pop().expect("the last");
            for stream in &mut others {
                assert_eq!(ask(stream, "subscribe"), "subscribed");
            }
            readers = others.split_off(case.subscribers);
            silent = others;
        }
        Who::Silent => {
            silent = server.subscribers(case.subscribers);
            readers = server.subscribers(workers);
            echoing = server.connect();
        }
        Who::Reading => {
            silent = Vec::new();
            readers = server.subscribers(case.subscribers);
            echoing = server.connect();
        }
    }
    let each = case.messages as u64 * frame_length(case.size);
    let total = readers.len() as u64 * each;
    let mut readers = Readers::new(readers);
    let (before, _) = server.resident();
    let stop = AtomicBool::new(false);
    let began = now();
    let (echoes, refused, accepted, read) = thread::scope(|scope| {
        let echoes = scope.spawn(|| echo(&mut echoing, &stop));
        let (tell, told) = channel();
        let server = &mut server;
        scope.spawn(move || {
            let refused = match case.who {
                Who::Flood => flood(&mut flooder, case),
                Who::Silent | Who::Reading => server.publish(case.messages, case.size),
            };
            let _ = tell.send((refused, now() - began, server));
        });
        let mut published = None;
        readers.read_until(total, || {
            published = published.take().or_else(|| told.try_recv().ok());
            // All that was dropped may be theirs.
            match &mut published {
                Some((_, _, server)) => server.ask("dropped") * frame_length(case.size),
                None => 0,
            }
        });
        let read = now() - began;
        let (refused, accepted, _) = published
            .or_else(|| told.recv().ok())
            .expect("it is published");
        stop.store(true, Ordering::Relaxed);
        let echoes = echoes.join().expect("it echoes");
        (echoes, refused, accepted, read)
    });
    let (after, peak) = server.resident();
    drop(silent);
    Found {
        before,
        after,
        peak,
        echoes,
        lost: server.ask("dropped"),
        refused,
        accepted,
        read,
    }
}

/// Sends all, and waits until the server has read it.
fn flood(flooder: &mut TcpStream, case: Case) -> u64 {
    let message = frame(Opcode::Binary, &vec![0xA5; case.size]);
    for _ in 0..case.messages {
        flooder.write_all(&message).expect("it reads");
    }
    assert_eq!(ask(flooder, "all?"), "all?");
    0
}

/// The server's processor time for each delivery of what one client sends in bursts, to
/// subscribers on all workers.
fn fan_out(case: Case, workers: usize) -> Duration {
    let server = start(workers);
    let mut publisher = server.connect();
    let mut readers = Readers::new(server.subscribers(case.subscribers));
    let burst = frame(Opcode::Binary, &vec![0xA5; case.size]).repeat(BURST);
    let each = (BURST * case.subscribers) as u64 * frame_length(case.size);
    let mut total = 0;
    let mut bursts = |count: usize| {
        for _ in 0..count {
            publisher.write_all(&burst).expect("it reads");
            total += each;
            readers.read_until(total, || 0);
        }
    };
    let count = case.messages / BURST;
    bursts(count.div_ceil(10));
    let before = server.computed();
    bursts(count);
    (server.computed() - before).div_f64((count * BURST * case.subscribers) as f64)
}

fn main() {
    if let Ok(workers) = std::env::var(WORKERS) {
        return harness::load::serve(workers.parse().expect("a number of workers"));
    }
    if !Path::new("/proc/self/schedstat").exists() {
        return println!("spine: it needs Linux's /proc");
    }
    let is_test = std::env::args().any(|it| it == "--test");
    let sized = |case: Case| match is_test {
        true => case.tiny(),
        false => case,
    };
    println!(
        "| | workers | resident before, MiB | after | at most | echo p99, ms | worst | lost | refused | accepted after, ms | read after |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for case in CASES {
        for workers in [1, 2] {
            // There is another worker only with two.
            if case.who != Who::Flood || workers == 2 {
                row(sized(case), workers);
            }
        }
    }
    let case = sized(FAN_OUT);
    let Case {
        subscribers, size, ..
    } = case;
    println!("\nFan-out of {size} B in bursts of {BURST} to {subscribers} subscribers:");
    for workers in [1, 2] {
        let each = fan_out(case, workers).as_nanos();
        println!("{each} ns of the server's processor time for each delivery, {workers} workers");
    }
}

fn row(case: Case, workers: usize) {
    let found = run(case, workers);
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let percentile = found.echoes[(found.echoes.len() - 1) * 99 / 100];
    let worst = found.echoes.last().copied().unwrap_or_default();
    println!(
        "| {} | {workers} | {:.1} | {:.1} | {:.1} | {:.2} | {:.2} | {} | {} | {:.0} | {:.0} |",
        case.name(),
        mebibytes(found.before),
        mebibytes(found.after),
        mebibytes(found.peak),
        milliseconds(percentile),
        milliseconds(worst),
        found.lost,
        found.refused,
        milliseconds(found.accepted),
        milliseconds(found.read),
    );
}
