//! The tables, and all of it as JSON.

use std::fmt::Write;
use std::fs;

use serde::Serialize;

use crate::Options;
use crate::measure::{Row, Table};
use crate::memory;
use crate::peers::Peer;
use crate::probe::Probes;
use crate::process::{Failure, Setting, output_of};
use crate::scale;

#[derive(Serialize)]
pub struct Report {
    machine: String,
    system: String,
    compiler: String,
    generator: String,
    quick: bool,
    rounds: usize,
    seconds: f64,
    versions: Vec<(&'static str, String)>,
    pub probes: Vec<Probes>,
    pub tables: Vec<Table>,
    pub memory: Vec<memory::Table>,
    pub scale: Vec<scale::Series>,
}

impl Report {
    pub fn new(setting: &Setting, peers: &[Peer], options: &Options) -> Self {
        let version = |program: &str, argument| output_of(program, &[argument]).unwrap_or_default();
        let generator = output_of(&setting.generator, &["--version"]).unwrap_or_default();
        Self {
            machine: machine(),
            system: version("uname", "-sr"),
            compiler: version("rustc", "--version"),
            generator,
            quick: options.quick,
            rounds: options.rounds,
            seconds: options.seconds,
            versions: peers
                .iter()
                .map(|peer| (peer.name, peer.version(setting)))
                .collect(),
            probes: Vec::new(),
            tables: Vec::new(),
            memory: Vec::new(),
            scale: Vec::new(),
        }
    }

    /// What it was measured on, and how.
    pub fn preface(&self) -> String {
        format!(
            "{}; {}; {}\n{} rounds of {} s in turns; server on one core, generator ({}) on \
             another\n",
            self.machine, self.system, self.compiler, self.rounds, self.seconds, self.generator
        )
    }

    pub fn json(&self) -> Result<String, Failure> {
        Ok(serde_json::to_string_pretty(self)?)
    }

    /// What each was found to leave out.
    pub fn probe_table(&self) -> String {
        let mut text = String::from(
            "\n### What each does, asked by hand\n\n\
             | server | version | refuses text that isn't UTF-8 | also in fragments | joins \
             fragments | answers pings | refuses reserved bits | refuses unmasked frames |\n\
             |---|---|---|---|---|---|---|---|\n",
        );
        for probes in &self.probes {
            let _ = write!(text, "| {} | {} |", probes.peer, probes.version);
            for answer in [
                probes.refuses_bad_text,
                probes.refuses_bad_fragments,
                probes.joins_fragments,
                probes.answers_ping,
                probes.refuses_reserved_bits,
                probes.refuses_unmasked,
            ] {
                let answer = match answer {
                    Some(true) => "yes",
                    Some(false) => "**no**",
                    None => "?",
                };
                let _ = write!(text, " {answer} |");
            }
            if let Some(error) = &probes.error {
                let _ = write!(text, " not measured: {error}");
            }
            text.push('\n');
        }
        text
    }
}

fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models = || {
        let lines = text.lines().filter(|line| line.starts_with("model name"));
        lines.filter_map(|line| line.split_once(": ").map(|it| it.1))
    };
    format!(
        "{}, {} cores",
        models().next().unwrap_or("?"),
        models().count()
    )
}

impl Table {
    pub fn markdown(&self) -> String {
        let head = match self.idle {
            true => "| server | × limit | B for each | MiB in all |\n|---|---|---|---|\n",
            false => {
                "| server | processor time × limit | (least–most) | user ns | system ns | \
                 messages/s | MiB | server's, generator's core |\n|---|---|---|---|---|---|---|---|\n"
            }
        };
        let mut text = format!("\n### {}\n\n{head}", self.title);
        for row in &self.rows {
            let line = match (&row.error, self.idle) {
                (Some(error), _) => error.clone() + " |",
                (None, true) => idle_line(row),
                (None, false) => line(row),
            };
            let batched = if row.batches { "" } else { " †" };
            let _ = writeln!(text, "| {}{batched} | {line}", row.peer);
        }
        if !self.idle {
            text.push_str("\n† writes each reply by itself\n");
        }
        let made = |row: &Row| row.reply_bytes.map(|bytes| format!("{} {bytes}", row.peer));
        let made: Vec<_> = self.rows.iter().filter_map(made).collect();
        if !made.is_empty() {
            let _ = writeln!(
                text,
                "\nBytes that 1 KiB of JSON becomes: {}",
                made.join(", ")
            );
        }
        text
    }
}

fn idle_line(row: &Row) -> String {
    let ratio = row.bar().median;
    let each = row.median(|it| it.resident_per_connection);
    let all = row.median(|it| it.resident) / f64::from(1 << 20);
    format!("{ratio:.2} | {each:.0} | {all:.1} |")
}

fn line(row: &Row) -> String {
    let bar = row.bar();
    let (ratio, least, most) = (bar.median, bar.least, bar.most);
    let user = row.median(|it| it.user_ns);
    let system = row.median(|it| it.system_ns);
    let rate = row.median(|it| it.per_second);
    let all = row.median(|it| it.resident) / f64::from(1 << 20);
    let server = row.median(|it| it.server_cores) * 100.0;
    let generator = row.median(|it| it.generator_cores) * 100.0;
    format!(
        "**{ratio:.2}** | {least:.2}–{most:.2} | {user:.0} | {system:.0} | {rate:.0} | {all:.1} | \
         {server:.0} %, {generator:.0} % |"
    )
}
