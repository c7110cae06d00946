//! One case: every server is started, and they are measured in turns.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Options;
use crate::cases::{Case, Mode};
use crate::chart::{Bar, svg};
use crate::peers::{LIMIT, Peer};
use crate::probe::{check, compressed_reply};
use crate::process::{Failure, Server, Setting, generate};

/// What a run of the generator may take beyond what it was told to.
const GRACE: Duration = Duration::from_secs(20);

/// What one run found.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Sample {
    pub user_ns: f64,
    pub system_ns: f64,
    pub per_second: f64,
    pub resident: f64,
    pub resident_per_connection: f64,
    /// The share of a core that the server, and the generator, had.
    pub server_cores: f64,
    pub generator_cores: f64,
}

impl Sample {
    /// Processor time for each message.
    pub fn cpu_ns(&self) -> f64 {
        self.user_ns + self.system_ns
    }
}

#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub peer: &'static str,
    pub batches: bool,
    /// Of 1 KiB of JSON, where it compresses.
    pub reply_bytes: Option<usize>,
    /// Why there is no sample, or not all.
    pub error: Option<String>,
    pub samples: Vec<Sample>,
    /// What is compared, as a multiple of the limit's in the same round.
    pub ratios: Vec<f64>,
}

impl Row {
    pub fn median(&self, value: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(value).collect())
    }

    /// The ratios as a chart has them.
    pub fn bar(&self) -> Bar<'_> {
        Bar::of(self.peer, &self.ratios)
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count => (values[(count - 1) / 2] + values[count / 2]) / 2.0,
    }
}

/// A case with what was found.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    pub case: &'static str,
    pub title: &'static str,
    pub idle: bool,
    pub rows: Vec<Row>,
}

impl Table {
    pub fn chart(&self) -> String {
        let measured = self.rows.iter().filter(|row| !row.ratios.is_empty());
        let what = match self.idle {
            true => "resident bytes for each connection, × the limit; less is better",
            false => "the server's processor time for each message, × the limit; less is better",
        };
        svg(
            self.title,
            what,
            &measured.map(Row::bar).collect::<Vec<_>>(),
        )
    }
}

/// A server in its case.
struct Contestant {
    peer: Peer,
    /// None where there is one for each run.
    server: Option<Server>,
    row: Row,
}

pub fn case(setting: &Setting, peers: &[Peer], case: &Case, options: &Options) -> Table {
    let mut contestants: Vec<Contestant> = peers
        .iter()
        .filter(|peer| peer.arguments(setting, case).is_some())
        .map(|peer| Contestant::new(setting, peer, case))
        .collect();
    // What is resident also tells of what was before; so one server for each run.
    let rounds = match case.mode {
        Mode::Idle if options.quick => 1,
        Mode::Idle => options.rounds.min(3),
        Mode::Echo | Mode::FanOut => options.rounds,
    };
    for round in 0..rounds {
        if round > 0 && Instant::now() > options.deadline {
            eprintln!("{}: {round} rounds, for the time is over", case.name);
            break;
        }
        let samples: Vec<Option<Sample>> = contestants
            .iter_mut()
            .map(|contestant| contestant.run(setting, case, options))
            .collect();
        let is_limit = |contestant: &Contestant| contestant.peer.name == LIMIT;
        let limit = contestants.iter().position(is_limit);
        let Some(limit) = limit.and_then(|at| samples[at]) else {
            continue;
        };
        for (contestant, sample) in contestants.iter_mut().zip(samples) {
            let ratio = sample.map(|sample| compared(case, &sample) / compared(case, &limit));
            contestant.row.ratios.extend(ratio);
        }
    }
    Table {
        case: case.name,
        title: case.title,
        idle: case.mode == Mode::Idle,
        rows: contestants.into_iter().map(|it| it.row).collect(),
    }
}

/// What the ratios are of.
fn compared(case: &Case, sample: &Sample) -> f64 {
    match case.mode {
        Mode::Idle => sample.resident_per_connection,
        Mode::Echo | Mode::FanOut => sample.cpu_ns(),
    }
}

impl Contestant {
    fn new(setting: &Setting, peer: &Peer, case: &Case) -> Self {
        let mut contestant = Self {
            peer: *peer,
            server: None,
            row: Row {
                peer: peer.name,
                batches: peer.batches,
                reply_bytes: None,
                error: None,
                samples: Vec::new(),
                ratios: Vec::new(),
            },
        };
        if case.mode != Mode::Idle {
            match contestant.start(setting, case) {
                Ok(server) => {
                    if peer.compresses(case) {
                        contestant.row.reply_bytes = compressed_reply(&server).ok();
                    }
                    contestant.server = Some(server);
                }
                Err(error) => contestant.row.error = Some(error.to_string()),
            }
        }
        contestant
    }

    /// That it echoes what it is sent was checked before, but for compression and TLS; and each
    /// message is as it is measured.
    fn start(&self, setting: &Setting, case: &Case) -> Result<Server, Failure> {
        let server = Server::start(setting, &self.peer, case)?;
        let compresses = self.peer.compresses(case);
        if compresses || case.tls {
            check(setting, &server, compresses)?;
        }
        Ok(server)
    }

    fn run(&mut self, setting: &Setting, case: &Case, options: &Options) -> Option<Sample> {
        if self.row.error.is_some() {
            return None;
        }
        match self.try_run(setting, case, options) {
            Ok(sample) => {
                self.row.samples.push(sample);
                Some(sample)
            }
            Err(error) => {
                self.row.error = Some(error.to_string());
                None
            }
        }
    }

    fn try_run(
        &mut self,
        setting: &Setting,
        case: &Case,
        options: &Options,
    ) -> Result<Sample, Failure> {
        let fresh = match &self.server {
            Some(_) => None,
            None => Some(self.start(setting, case)?),
        };
        let server = fresh.as_ref().or(self.server.as_ref()).ok_or("no server")?;
        if case.mode == Mode::Idle {
            // The first connections bring the server's code into memory, and that is not theirs.
            let mut first = server.target();
            let few = "--mode idle --connections 20 --warmup 0 --duration 0.1";
            first.extend(few.split(' ').map(String::from));
            generate(setting, &first, GRACE)?;
        }
        let mut arguments = server.target();
        let mut option = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        let mode = match case.mode {
            Mode::Echo => "echo",
            Mode::FanOut => "fan-out",
            Mode::Idle => "idle",
        };
        let (warmup, seconds) = match case.mode {
            Mode::Idle => (0.0, 0.5),
            Mode::Echo | Mode::FanOut => (options.seconds / 4.0, options.seconds),
        };
        option("--mode", mode.into());
        option("--pid", server.pid().to_string());
        option("--connections", case.connections.to_string());
        option("--depth", case.depth.to_string());
        option("--size", case.size.to_string());
        option("--warmup", warmup.to_string());
        option("--duration", seconds.to_string());
        if case.text {
            arguments.push("--text".into());
        }
        if self.peer.compresses(case) {
            arguments.push("--deflate".into());
        }
        let timeout = Duration::from_secs_f64(warmup + seconds) + GRACE;
        let report = generate(setting, &arguments, timeout)?;
        let number = |value: &serde_json::Value| value.as_f64().unwrap_or(f64::NAN);
        let server = &report["server"];
        Ok(Sample {
            user_ns: number(&server["user_ns_per_message"]),
            system_ns: number(&server["system_ns_per_message"]),
            per_second: number(&report["messages_per_second"]),
            resident: number(&server["resident_bytes"]),
            resident_per_connection: number(&server["resident_bytes_per_connection"]),
            server_cores: number(&server["cores"]),
            generator_cores: number(&report["generator"]["cores"]),
        })
    }
}
