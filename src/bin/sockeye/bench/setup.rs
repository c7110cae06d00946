//! What a run needs before it begins: file descriptors, an address, the settings.

use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;

use indicatif::ProgressBar;
use mio::Poll;
use sockeye::proto::{Config, Delivery, MessageKind, Url};

use super::{Bench, Phase, READ};
use crate::clock::Clock;
use crate::latency::Latencies;
use crate::options::Options;
use crate::pace::Pace;
use crate::process;
use crate::random::Random;
use crate::stream::Connector;
use crate::template::Template;

/// Descriptors besides those of the connections: the standard streams, the poll, `/proc`, and the
/// runtime's.
const OTHER_FILES: u64 = 32;

/// Raises the limit to this many sockets.
#[cfg(unix)]
pub(super) fn raise_file_limit(connections: u64) -> Result<(), String> {
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
pub(super) fn raise_file_limit(_: u64) -> Result<(), String> {
    let _ = OTHER_FILES;
    Ok(())
}

/// The address to connect to: the first of several that accepts.
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
    pub(super) fn new(
        options: &'o Options,
        url: Url,
        connector: Connector,
    ) -> Result<Self, Box<dyn core::error::Error>> {
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
            connector,
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
            tls: None,
            next_tick: now,
            shown: (now, 0),
        })
    }
}
