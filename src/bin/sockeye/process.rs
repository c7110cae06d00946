//! The resources that processes of this machine use, from `/proc`: processor time and resident
//! memory.

use core::ops::{Add, Sub};
use core::time::Duration;
use std::fs;
use std::io;

/// Processor time of all threads since the process began, ended ones included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    /// How long its threads were ready to run and had no core.
    pub(crate) waiting: Duration,
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            user: self.user + other.user,
            system: self.system + other.system,
            waiting: self.waiting + other.waiting,
        }
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
            // A thread that has ended has none.
            waiting: self.waiting.saturating_sub(earlier.waiting),
        }
    }
}

/// Returns the usage of this process; None if there is no `/proc`.
pub(crate) fn own_usage() -> Option<Usage> {
    usage_of("self").ok()
}

/// Returns the total usage of these processes.
pub(crate) fn usage(pids: &[u32]) -> io::Result<Usage> {
    pids.iter().try_fold(Usage::default(), |sum, pid| {
        Ok(sum + usage_of(&pid.to_string())?)
    })
}

/// Returns their total resident memory in bytes; shared pages count for each.
pub(crate) fn resident(pids: &[u32]) -> io::Result<u64> {
    pids.iter().try_fold(0, |sum, pid| {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        Ok(sum + parse_resident(&status).ok_or_else(|| malformed(&path))?)
    })
}

/// Returns `pids` and all their descendants.
pub(crate) fn with_children(pids: &[u32]) -> io::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse::<u32>().ok());
        // A process that has ended meanwhile has no parent.
        let stat = pid.map(|pid| (pid, fs::read_to_string(format!("/proc/{pid}/stat"))));
        if let Some((pid, Ok(stat))) = stat
            && let Some(parent) = parse_parent(&stat)
        {
            parents.push((pid, parent));
        }
    }
    Ok(descendants(pids, &parents))
}

fn descendants(pids: &[u32], parents: &[(u32, u32)]) -> Vec<u32> {
    let mut all = pids.to_vec();
    let mut at = 0;
    while let Some(&parent) = all.get(at) {
        let children = parents.iter().filter(|it| it.1 == parent).map(|it| it.0);
        let new: Vec<u32> = children.filter(|child| !all.contains(child)).collect();
        all.extend(new);
        at += 1;
    }
    all
}

fn usage_of(process: &str) -> io::Result<Usage> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
    let (user, system) = parse_times(&stat, ticks_per_second()).ok_or_else(|| malformed(&path))?;
    Ok(Usage {
        user,
        system,
        waiting: waiting(process),
    })
}

/// Kernels without schedstat don't report it; it then counts as zero.
fn waiting(process: &str) -> Duration {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else {
        return Duration::ZERO;
    };
    let schedstat = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("schedstat"));
    threads
        .filter_map(|thread| parse_waiting(&schedstat(thread.ok()?).ok()?))
        .sum()
}

#[cfg(unix)]
fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second()
}

#[cfg(not(unix))]
fn ticks_per_second() -> u64 {
    100
}

/// The fields of `/proc/PID/stat` behind the name, which may have spaces and parentheses; the
/// first of them is field 3 of proc(5).
fn stat_fields(stat: &str) -> impl Iterator<Item = &str> {
    let name_end = stat.rfind(')').map_or(stat.len(), |at| at + 1);
    stat[name_end..].split_ascii_whitespace()
}

/// Field 4 of proc(5).
fn parse_parent(stat: &str) -> Option<u32> {
    stat_fields(stat).nth(4 - 3)?.parse().ok()
}

/// Fields 14 and 15 of proc(5): user and system time in ticks.
fn parse_times(stat: &str, ticks_per_second: u64) -> Option<(Duration, Duration)> {
    let mut fields = stat_fields(stat).skip(14 - 3);
    let mut time = || {
        let ticks: u64 = fields.next()?.parse().ok()?;
        Some(Duration::from_nanos(
            ticks * (1_000_000_000 / ticks_per_second),
        ))
    };
    Some((time()?, time()?))
}

/// The second field of schedstat: nanoseconds of waiting for a core.
fn parse_waiting(schedstat: &str) -> Option<Duration> {
    let nanoseconds = schedstat.split_ascii_whitespace().nth(1)?;
    Some(Duration::from_nanos(nanoseconds.parse().ok()?))
}

fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn unreadable(path: &str, error: &io::Error) -> io::Error {
    let text = format!(
        "{path}: {error}; --pid needs a process that runs on this machine, which has /proc"
    );
    io::Error::new(error.kind(), text)
}

fn malformed(path: &str) -> io::Error {
    let text = format!("{path} is not as proc(5) has it: is the process a zombie?");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (a ) b) S 7 42 42 0 -1 4194304 100 0 0 0 1234 567 0 0 20 0 4 0 99 1 2";

    #[test]
    fn stat_is_read_behind_any_name() {
        assert_eq!(parse_parent(STAT), Some(7));
        let times = (Duration::from_millis(12_340), Duration::from_millis(5670));
        assert_eq!(parse_times(STAT, 100), Some(times));
        assert_eq!(parse_times("42 (name) S 7", 100), None);
        assert_eq!(parse_times("", 100), None);
    }

    #[test]
    fn status_and_schedstat_are_read() {
        let status = "Name:\tx\nVmPeak:\t  9 kB\nVmRSS:\t    2048 kB\nThreads:\t1\n";
        assert_eq!(parse_resident(status), Some(2048 * 1024));
        assert_eq!(parse_resident("Name:\tkthread\n"), None);
        assert_eq!(
            parse_waiting("100 2000 3\n"),
            Some(Duration::from_micros(2))
        );
        assert_eq!(parse_waiting(""), None);
    }

    #[test]
    fn descendants_of_all_generations_count_once() {
        let parents = [(2, 1), (3, 2), (4, 2), (5, 9), (6, 4), (1, 6)];
        assert_eq!(descendants(&[1], &parents), [1, 2, 3, 4, 6]);
        assert_eq!(descendants(&[5, 2], &parents), [5, 2, 3, 4, 6, 1]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_used_something() {
        let pid = std::process::id();
        assert!(resident(&[pid]).unwrap() > 100_000);
        assert!(usage(&[pid]).is_ok() && own_usage().is_some());
        assert!(with_children(&[pid]).unwrap().contains(&pid));
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = usage(&[u32::MAX]).unwrap_err().to_string();
        assert!(
            error.contains("4294967295") && error.contains("--pid"),
            "{error}"
        );
    }
}
