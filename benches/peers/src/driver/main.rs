//! Sockeye beside what a user would pick instead, and beside the limit. See the README.

mod cases;
mod chart;
mod measure;
mod memory;
mod peers;
mod probe;
mod process;
mod report;
mod scale;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::process::{Failure, Setting};

const USAGE: &str = "\
cargo run --release --manifest-path benches/peers/Cargo.toml -- [OPTIONS]

  --quick            a glance of some minutes: short and few runs
  --rounds N         how often each server is measured in each case [5; 2]
  --seconds S        how long [2; 0.4]
  --minutes N        begins nothing new after so many [60; 6]
  --cases A,B        only cases whose name contains one of these; `memory` is one
  --peers A,B        only the limit and peers whose name contains one of these
  --scale            how Sockeye's costs grow, instead of the comparison
  --generator PATH   a built `sockeye` [built from the crate]";

/// What the command line asks for.
pub struct Options {
    quick: bool,
    scale: bool,
    rounds: usize,
    seconds: f64,
    deadline: Instant,
    cases: Vec<String>,
    peers: Vec<String>,
    generator: Option<PathBuf>,
}

fn options() -> Result<Options, Failure> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (rounds, seconds, mut minutes) = if quick { (2, 0.4, 6) } else { (5, 2.0, 60) };
    let mut options = Options {
        quick,
        scale: false,
        rounds,
        seconds,
        deadline: Instant::now(),
        cases: Vec::new(),
        peers: Vec::new(),
        generator: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{name} needs a value"));
        let list = |value: String| value.split(',').map(str::to_owned).collect();
        match name.as_str() {
            "--quick" => {}
            "--scale" => options.scale = true,
            "--rounds" => options.rounds = value()?.parse()?,
            "--seconds" => options.seconds = value()?.parse()?,
            "--minutes" => minutes = value()?.parse()?,
            "--cases" => options.cases = list(value()?),
            "--peers" => options.peers = list(value()?),
            "--generator" => options.generator = Some(value()?.into()),
            _ => return Err(format!("{name}: unknown\n\n{USAGE}").into()),
        }
    }
    options.deadline = Instant::now() + Duration::from_secs(60 * minutes);
    Ok(options)
}

fn run() -> Result<(), Failure> {
    if std::env::args().any(|argument| argument == "--help" || argument == "-h") {
        println!("{USAGE}");
        return Ok(());
    }
    let options = options()?;
    let setting = Setting::prepare(options.generator.as_deref())?;
    let only = match options.scale {
        true => vec!["sockeye".to_owned()],
        false => options.peers.clone(),
    };
    let peers = peers::chosen(&setting, &only)?;
    let mut report = report::Report::new(&setting, &peers, &options);
    print!("{}", report.preface());
    if options.scale {
        return scale::run(&setting, &peers, &options, &mut report);
    }

    report.probes = probe::all(&setting, &peers);
    print!("{}", report.probe_table());
    let is_sound = |peer: &peers::Peer| {
        let mut probes = report.probes.iter();
        probes.any(|probes| probes.peer == peer.name && probes.error.is_none())
    };
    let peers: Vec<_> = peers.into_iter().filter(is_sound).collect();
    for case in cases::chosen(&options.cases) {
        if Instant::now() > options.deadline {
            println!("\n{}: left out, for the time is over", case.name);
            continue;
        }
        eprintln!("{} …", case.name);
        let table = measure::case(&setting, &peers, &case, &options);
        print!("{}", table.markdown());
        report.tables.push(table);
        // Also what there is so far.
        fs::write(setting.output.join("results.json"), report.json()?)?;
    }
    let is_memory_chosen = |name: &String| "memory".contains(name.as_str());
    if options.cases.is_empty() || options.cases.iter().any(is_memory_chosen) {
        report.memory = memory::all(&setting, &options)?;
    }
    for table in &report.memory {
        print!("{}", table.markdown());
    }
    fs::write(setting.output.join("results.json"), report.json()?)?;
    let sockets = report
        .tables
        .iter()
        .map(|table| (table.case.to_owned(), table.chart()));
    let memory = report.memory.iter().flat_map(memory::Table::charts);
    for (name, chart) in sockets.chain(memory) {
        fs::write(setting.output.join(format!("{name}.svg")), chart)?;
    }
    println!("\nresults.json and a chart for each table are in target/peers/");
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}
