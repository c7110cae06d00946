//! The codecs without sockets, in turns, as lines of JSON for the driver:
//! `memory [ROUNDS [MILLIS [WHAT]]]`.
//!
//! A row is called again and again for so many milliseconds; then the next row is, and so on, for
//! so many rounds.

mod deflate;
mod leaves;
mod messages;
mod pipe;

use std::time::Duration;

/// A codec at work: each call handles so many messages.
pub struct Row {
    name: &'static str,
    messages: usize,
    call: Box<dyn FnMut()>,
}

impl Row {
    pub fn new(name: &'static str, messages: usize, call: impl FnMut() + 'static) -> Self {
        let call = Box::new(call);
        Self {
            name,
            messages,
            call,
        }
    }
}

/// Rows to compare.
pub struct Group {
    what: &'static str,
    size: String,
    rows: Vec<Row>,
}

impl Group {
    pub fn new(what: &'static str, size: impl ToString, rows: Vec<Row>) -> Self {
        let size = size.to_string();
        Self { what, size, rows }
    }
}

pub const ASCII: &str = "plain ASCII, a line of it. ";
pub const MIXED: &str = "Grüße, Ελλάδα, 日本語, 🐟 ok ";

/// `size` bytes of text, or as much of that as whole characters make.
pub fn text(words: &str, size: usize) -> String {
    let mut text = words.repeat(size / words.len() + 1);
    text.truncate(text.floor_char_boundary(size));
    text
}

/// The processor time of this thread: what else the machine does isn't in it.
fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Nanoseconds for each message.
fn sample(row: &mut Row, time: Duration) -> f64 {
    let began = now();
    let (mut calls, mut burst) = (0_u32, 1_u32);
    loop {
        for _ in 0..burst {
            (row.call)();
        }
        calls += burst;
        // Twice as many: reading the clock costs as much as some calls do.
        burst = calls;
        let passed = now() - began;
        if passed >= time {
            return passed.as_nanos() as f64 / (f64::from(calls) * row.messages as f64);
        }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default| {
        arguments
            .next()
            .map_or(default, |it| it.parse().expect("a number"))
    };
    let (rounds, time) = (number(5), Duration::from_millis(number(20)));
    let only = arguments.next();
    // Some want one to be there; none waits.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let _entered = runtime.enter();
    sockudo_ws::init_clock();

    let groups = [messages::groups(), leaves::groups(), deflate::groups()];
    for mut group in groups.into_iter().flatten() {
        if only.as_deref().is_some_and(|only| only != group.what) {
            continue;
        }
        let mut samples = vec![Vec::new(); group.rows.len()];
        for row in &mut group.rows {
            sample(row, time / 4);
        }
        for _ in 0..rounds {
            for (row, samples) in group.rows.iter_mut().zip(&mut samples) {
                samples.push(sample(row, time));
            }
        }
        for (row, samples) in group.rows.iter().zip(samples) {
            let (what, size, row) = (group.what, &group.size, row.name);
            println!(
                "{}",
                serde_json::json!({ "what": what, "size": size, "row": row, "ns": samples })
            );
        }
    }
}
