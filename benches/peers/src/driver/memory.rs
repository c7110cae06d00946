//! The codecs in memory: runs `memory`, and makes tables of what it prints.

use std::fmt::Write;
use std::process::Stdio;

use serde::{Deserialize, Serialize};

use crate::Options;
use crate::chart::{Bar, svg};
use crate::measure::median;
use crate::process::{Failure, Setting, pin_to_server_core};

/// A row at one size.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Cell {
    what: String,
    size: String,
    row: String,
    /// Of each round, for each message.
    ns: Vec<f64>,
}

/// One thing that codecs do, at several sizes.
#[derive(Clone, Debug, Serialize)]
pub struct Table {
    pub what: String,
    cells: Vec<Cell>,
}

/// Measures all.
pub fn all(setting: &Setting, options: &Options) -> Result<Vec<Table>, Failure> {
    let (rounds, milliseconds) = if options.quick { (3, 5) } else { (9, 20) };
    let mut command = pin_to_server_core(&setting.binaries.join("memory"));
    command.args([rounds.to_string(), milliseconds.to_string()]);
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("memory: {}", output.status).into());
    }
    let mut tables: Vec<Table> = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        let cell: Cell = serde_json::from_str(line)?;
        match tables.iter_mut().find(|table| table.what == cell.what) {
            Some(table) => table.cells.push(cell),
            None => tables.push(Table {
                what: cell.what.clone(),
                cells: vec![cell],
            }),
        }
    }
    Ok(tables)
}

/// What a row leaves out that others of its table do, or does besides.
fn note(what: &str, row: &str) -> &'static str {
    match (what, row) {
        (_, "copy" | "copy again") => "everything",
        ("decode" | "encode", "sockeye") => "the reads and writes are the caller's",
        ("decode", "sockeye, 16 KiB") => "as above, with a buffer that the first level cache holds",
        ("encode", "sockeye, 8 KiB") => "as above, written whenever so much is there",
        ("encode", "sockeye, vectored") => "as above; it copies no payload",
        ("decode" | "encode", "sockudo-ws") => "its stream, which has the timers",
        ("decode", "soketto") => "checking text, which the row does with `std`",
        ("decode", "fastwebsockets") => "checking fragmented text as it comes",
        ("encode", "fastwebsockets") => "collecting: each frame is a write",
        ("deflate" | "inflate", "sockeye") => {
            "nothing: all of a connection, with frames and checks"
        }
        ("deflate" | "inflate", "sockudo-ws") => "all but the codec",
        _ => "",
    }
}

/// What a table compares with.
const COPY: &str = "copy";
/// The size that is drawn, where there is one of it.
const DRAWN: &str = "1024";

impl Table {
    fn rows(&self) -> Vec<&str> {
        distinct(self.cells.iter().map(|cell| cell.row.as_str()))
    }

    fn sizes(&self) -> Vec<&str> {
        distinct(self.cells.iter().map(|cell| cell.size.as_str()))
    }

    fn cell(&self, row: &str, size: &str) -> Option<&Cell> {
        let mut cells = self.cells.iter();
        cells.find(|cell| cell.row == row && cell.size == size)
    }

    /// As multiples of what copying took in the same round.
    fn ratios(&self, row: &str, size: &str) -> Vec<f64> {
        let (Some(cell), Some(copy)) = (self.cell(row, size), self.cell(COPY, size)) else {
            return Vec::new();
        };
        cell.ns
            .iter()
            .zip(&copy.ns)
            .map(|(ns, copy)| ns / copy)
            .collect()
    }

    pub fn markdown(&self) -> String {
        let sizes = self.sizes();
        let (head, line) = (sizes.join(" | "), "---|".repeat(sizes.len()));
        let mut text = format!(
            "\n### In memory: {}\n\nns for each message, and × copy\n\n| codec | {head} | leaves \
             out |\n|---|{line}---|\n",
            self.what
        );
        for row in self.rows() {
            let _ = write!(text, "| {row} |");
            for size in &sizes {
                let ns = self
                    .cell(row, size)
                    .map_or(f64::NAN, |cell| median(cell.ns.clone()));
                let ratio = median(self.ratios(row, size));
                let digits = if ns < 100.0 { 1 } else { 0 };
                let _ = write!(text, " {ns:.digits$} (**{ratio:.2}**) |");
            }
            let _ = writeln!(text, " {} |", note(&self.what, row));
        }
        text
    }

    /// Names of files and charts.
    pub fn charts(&self) -> Vec<(String, String)> {
        let sizes = self.sizes();
        let drawn = sizes
            .iter()
            .filter(|size| **size == DRAWN || !sizes.contains(&DRAWN));
        let chart = |size: &&str| {
            let rows = self.rows();
            let bars = rows.iter().map(|row| Bar::of(row, &self.ratios(row, size)));
            let title = format!("In memory: {}, {size}", self.what);
            let what = "time for each message, × copying its bytes; less is better";
            let name = format!("memory-{}-{}", self.what, size.replace(' ', "-"));
            (name, svg(&title, what, &bars.collect::<Vec<_>>()))
        };
        drawn.map(chart).collect()
    }
}

/// Each once, in their order.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.fold(Vec::new(), |mut distinct, name| {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
        distinct
    })
}
