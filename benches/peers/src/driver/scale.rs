//! How the costs of Sockeye grow with connections, sizes, subscribers and workers, beside the
//! limit's.

use std::fmt::Write;
use std::fs;

use serde::Serialize;

use crate::Options;
use crate::cases::{Case, ECHO, Mode};
use crate::chart::{Line, lines};
use crate::measure::{self, Sample};
use crate::peers::{LIMIT_AGAIN, Peer};
use crate::process::{Failure, Setting};
use crate::report::Report;

/// A chart: one thing grows, the rest stays.
#[derive(Serialize)]
pub struct Series {
    name: &'static str,
    title: &'static str,
    what: &'static str,
    points: Vec<String>,
    /// A line for each server: medians, None where it could not be measured.
    lines: Vec<(&'static str, Vec<Option<f64>>)>,
}

/// What is measured at one point.
type Value = fn(&Sample) -> f64;

/// Within a message's processor time.
const MICROSECONDS: Value = |sample| sample.cpu_ns() / 1000.0;

const CPU: &str = "processor time of the server for each message, µs";

/// Two workers could serve more only where the generator has a core besides theirs.
const CPU_NOT_RATE: &str = "processor time of the server for each message, µs; not its rate: the \
                            generator needs one of the two cores";

/// Name, title, what its figure is, and its points.
type Plan = (
    &'static str,
    &'static str,
    &'static str,
    Value,
    Vec<(String, Case)>,
);

fn plans() -> Vec<Plan> {
    let connections = |count: u32| Case {
        connections: count,
        ..ECHO
    };
    let idle = |count: u32| Case {
        mode: Mode::Idle,
        connections: count,
        ..ECHO
    };
    let size = |size: u32| Case {
        // What is on its way fits into the sockets' buffers several times.
        connections: (8 << 20)
            .min(100 * size.max(1))
            .div_ceil(size.max(1))
            .clamp(2, 100),
        size,
        ..ECHO
    };
    let subscribers = |count: u32| Case {
        mode: Mode::FanOut,
        connections: count,
        size: 64,
        ..ECHO
    };
    let workers = |count: u32| Case {
        depth: 16,
        workers: count,
        ..ECHO
    };
    let points = |values: &[u32], case: &dyn Fn(u32) -> Case| {
        let point = |value: &u32| (human(*value), case(*value));
        values.iter().map(point).collect()
    };
    vec![
        (
            "scale-connections",
            "Echo of 20 B, by connections",
            CPU,
            MICROSECONDS,
            points(&[10, 100, 1_000, 5_000, 15_000], &connections),
        ),
        (
            "scale-memory",
            "Silent connections, by their number",
            "resident bytes of the server for each connection",
            |sample| sample.resident_per_connection,
            points(&[1_000, 5_000, 15_000], &idle),
        ),
        (
            "scale-size",
            "Echo, by bytes of a message",
            CPU,
            MICROSECONDS,
            points(
                &[0, 20, 125, 1 << 10, 16 << 10, 256 << 10, 1 << 20, 16 << 20],
                &size,
            ),
        ),
        (
            "scale-subscribers",
            "Fan-out of 64 B, by subscribers",
            "processor time of the server for each delivery, µs",
            MICROSECONDS,
            points(&[1, 10, 100, 1_000, 5_000, 15_000], &subscribers),
        ),
        (
            "scale-workers",
            "Echo of 20 B, 16 on their way, by workers",
            CPU_NOT_RATE,
            MICROSECONDS,
            points(&[1, 2], &workers),
        ),
    ]
}

/// 15,000 or 16 Ki.
fn human(value: u32) -> String {
    match value {
        _ if value >= 1 << 20 && value.is_multiple_of(1 << 20) => format!("{} Mi", value >> 20),
        _ if value >= 1 << 10 && value.is_multiple_of(1 << 10) => format!("{} Ki", value >> 10),
        _ if value >= 1000 => format!("{},{:03}", value / 1000, value % 1000),
        _ => value.to_string(),
    }
}

pub fn run(
    setting: &Setting,
    peers: &[Peer],
    options: &Options,
    report: &mut Report,
) -> Result<(), Failure> {
    let peers: Vec<Peer> = peers
        .iter()
        .filter(|peer| peer.name != LIMIT_AGAIN)
        .copied()
        .collect();
    for (name, title, what, value, points) in plans() {
        if !options.cases.is_empty() && !options.cases.iter().any(|it| name.contains(it.as_str())) {
            continue;
        }
        let mut series = Series {
            name,
            title,
            what,
            points: Vec::new(),
            lines: peers.iter().map(|peer| (peer.name, Vec::new())).collect(),
        };
        for (label, case) in points {
            eprintln!("{title}: {label}");
            let table = measure::case(setting, &peers, &case, options);
            for (peer, line) in &mut series.lines {
                let row = table.rows.iter().find(|row| row.peer == *peer);
                if let Some(error) = row.and_then(|row| row.error.as_ref()) {
                    eprintln!("{peer}: {error}");
                }
                let row = row.filter(|row| !row.samples.is_empty());
                line.push(row.map(|row| row.median(value)));
            }
            series.points.push(label);
        }
        series
            .lines
            .retain(|(_, values)| values.iter().any(Option::is_some));
        print!("{}", series.markdown());
        fs::write(setting.output.join(format!("{name}.svg")), series.chart())?;
        report.scale.push(series);
        fs::write(setting.output.join("scale.json"), report.json()?)?;
    }
    println!("\nscale.json and a chart for each table are in target/peers/");
    Ok(())
}

impl Series {
    fn chart(&self) -> String {
        let line = |(name, values): &(&'static str, Vec<Option<f64>>)| Line {
            name,
            values: values.clone(),
        };
        let all: Vec<_> = self.lines.iter().map(line).collect();
        lines(self.title, self.what, &self.points, &all)
    }

    fn markdown(&self) -> String {
        let mut text = format!("\n### {}\n\n{}\n\n| |", self.title, self.what);
        for point in &self.points {
            let _ = write!(text, " {point} |");
        }
        let _ = writeln!(text, "\n|---|{}", "---|".repeat(self.points.len()));
        for (name, values) in &self.lines {
            let _ = write!(text, "| {name} |");
            for value in values {
                let value = value.map_or("–".into(), figure);
                let _ = write!(text, " {value} |");
            }
            text.push('\n');
        }
        text
    }
}

/// Three digits that say something.
pub fn figure(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
