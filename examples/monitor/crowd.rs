//! Thousands of connections at the press of a button, from another process, so that the memory of this
//! one is that of the server.

use std::env;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;
use sockeye::client;
use sockeye::proto::{Config, Message};
use sockeye::server::observe::Stats;
use sockeye::server::{End, Handler, Route, Socket};

/// How many connections a crowd has.
const CROWD: usize = 5_000;
/// How long they stay: whoever presses the button has to look at them, not to press it again.
const STAY: Duration = Duration::from_secs(60);
/// The option of the process that opens them, which is this program.
const OPTION: &str = "--crowd";

/// Whether somebody wants a crowd; and how many of it are connected.
static WANTED: AtomicBool = AtomicBool::new(false);
static CONNECTED: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn ask(wanted: bool) {
    WANTED.store(wanted, Ordering::Relaxed);
}

// ---- the server's side ------------------------------------------------------------------------

/// A connection of the crowd, which is there and does nothing.
pub(crate) struct Member;

impl Handler for Member {
    type State = ();

    fn on_open(&self, _: &mut Socket<'_, ()>) {
        CONNECTED.fetch_add(1, Ordering::Relaxed);
    }

    fn on_message(&self, _: &mut Socket<'_, ()>, _: Message<'_>) {}

    fn on_close(&self, _: &mut Socket<'_, ()>, _: &End) {
        CONNECTED.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) fn route() -> Route {
    let mut config = Config::default();
    // Nobody at the other end reads.
    config.ping_interval = None;
    config.idle_timeout = None;
    Route::new("/crowd", Member).config(config)
}

/// What a page is told of it.
#[derive(Serialize)]
pub(crate) struct Open {
    /// How many there are to be; 0 for none.
    wanted: usize,
    open: usize,
    /// Whether no more can be opened.
    full: bool,
}

struct Running {
    process: Child,
    /// The server's uptime when it began, its memory, and how many were connected at the last look.
    began: Duration,
    memory: Option<u64>,
    last: usize,
}

/// The crowd, and the process that opens it.
pub(crate) struct Crowd {
    url: String,
    running: Option<Running>,
    each: Option<u64>,
}

impl Crowd {
    pub(crate) fn new(mut address: SocketAddr) -> Self {
        allow_many();
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            });
        }
        let url = format!("ws://{address}/crowd");
        Self {
            url,
            running: None,
            each: None,
        }
    }

    /// Begins it if it is wanted, ends it if it isn't or has been there for long enough, and returns
    /// how it stands.
    pub(crate) fn look(&mut self, stats: &Stats) -> Open {
        let old = |it: &Running| stats.uptime.saturating_sub(it.began) > STAY;
        if self.running.as_ref().is_some_and(old) {
            ask(false);
        }
        match (WANTED.load(Ordering::Relaxed), &self.running) {
            (true, None) => self.begin(stats),
            (false, Some(_)) => self.running = None,
            _ => {}
        }
        let open = CONNECTED.load(Ordering::Relaxed);
        let Some(running) = &mut self.running else {
            let wanted = 0;
            return Open {
                wanted,
                open,
                full: false,
            };
        };
        let full = open > 0 && open == running.last;
        running.last = open;
        let wanted = CROWD;
        self.each = self.each.or_else(|| self.measure(open));
        Open { wanted, open, full }
    }

    fn begin(&mut self, stats: &Stats) {
        let program = env::current_exe().unwrap_or_default();
        let process = Command::new(program)
            .args([OPTION, &self.url])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        match process {
            Ok(process) => {
                self.running = Some(Running {
                    process,
                    began: stats.uptime,
                    memory: memory(),
                    last: 0,
                });
            }
            Err(_) => ask(false),
        }
    }

    /// What each connection of the first crowd has added to the memory of this process, in bytes: a
    /// later one is given what the first has left.
    pub(crate) fn memory_of_each(&self) -> Option<u64> {
        self.each
    }

    fn measure(&self, open: usize) -> Option<u64> {
        let added = memory()?.saturating_sub(self.running.as_ref()?.memory?);
        (open >= CROWD).then(|| added / open as u64)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The memory of this process in bytes, as Linux tells it: the second number of pages.
pub(crate) fn memory() -> Option<u64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    let resident: u64 = pages.split(' ').nth(1)?.parse().ok()?;
    Some(resident * page_size())
}

#[cfg(unix)]
fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

#[cfg(not(unix))]
fn page_size() -> u64 {
    0
}

/// Allows this process as many open files as it may have.
#[cfg(unix)]
fn allow_many() {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

#[cfg(not(unix))]
fn allow_many() {}

// ---- the other process ------------------------------------------------------------------------

/// Opens the crowd and stays, if that is what this process is started for.
pub(crate) fn join_if_told() {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() != Some(OPTION) {
        return;
    }
    let url = arguments.next().unwrap_or_default();
    allow_many();
    let connected = (0..CROWD).map_while(|_| client::connect(&url).ok());
    let _all: Vec<_> = connected.collect();
    // Its other end is the server's, and ends with it.
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
    process::exit(0);
}
