//! Connecting to a host over TCP: its addresses, and a socket for each that is tried.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _};

use socket2::{Domain, Protocol, Socket, Type};

use super::addresses::Attempts;
use super::link::earlier;
use super::wait::wait_to_write;
use crate::net::Clock;

/// How names become addresses, in place of the operating system: a cache, DNS over HTTPS, a test.
///
/// ```
/// use std::net::SocketAddr;
/// use sockeye::client::{ConnectOptions, Resolver};
///
/// let mut options = ConnectOptions::default();
/// options.resolver = Some(Resolver::new(|_host, port| {
///     Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
/// }));
/// ```
#[derive(Clone)]
pub struct Resolver(Arc<Resolve>);

type Resolve = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

impl Resolver {
    /// A resolver that calls `resolve` with a host and a port, and returns its addresses, the
    /// preferred one first. An IPv6 address as host has no brackets.
    pub fn new(
        resolve: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(resolve))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// From where and when at the latest to connect.
pub(super) struct Reach<'a> {
    pub(super) resolver: Option<&'a Resolver>,
    pub(super) source: Option<IpAddr>,
    pub(super) clock: &'a Clock,
    pub(super) deadline: Duration,
}

impl Reach<'_> {
    /// Returns the addresses of a host.
    ///
    /// # Errors
    /// The resolver's.
    pub(super) fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match self.resolver {
            Some(Resolver(resolve)) => resolve(host, port),
            None => Ok((host, port).to_socket_addrs()?.collect()),
        }
    }

    /// Connects to the host's first address that can be reached.
    ///
    /// # Errors
    /// The resolver's; [`Unreachable`](super::Unreachable) within an I/O error.
    pub(super) fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let addresses = self.resolve(host, port)?;
        let mut attempts = Attempts::new(addresses, self.clock.now());
        let mut pending: Vec<(SocketAddr, Socket)> = Vec::new();
        loop {
            let now = self.clock.now();
            if now >= self.deadline {
                for (address, _) in pending {
                    attempts.failed(address, io::ErrorKind::TimedOut.into(), now);
                }
                return Err(attempts.into_error(host));
            }
            while let Some(address) = attempts.next(now) {
                match begin(address, self.source) {
                    Ok(socket) => pending.push((address, socket)),
                    Err(error) => attempts.failed(address, error, now),
                }
            }
            if pending.is_empty() {
                return Err(attempts.into_error(host));
            }
            let until = earlier(attempts.poll_timeout(), Some(self.deadline));
            let timeout = until.map(|it| it.saturating_sub(now));
            let sockets: Vec<_> = pending.iter().map(|(_, socket)| socket).collect();
            let ready = wait_to_write(&sockets, timeout)?;
            let now = self.clock.now();
            let mut still = Vec::with_capacity(pending.len());
            for ((address, socket), ready) in pending.into_iter().zip(ready) {
                match ready.then(|| socket.take_error()) {
                    None => still.push((address, socket)),
                    Some(Ok(None)) => return Ok(socket.into()),
                    Some(Ok(Some(error)) | Err(error)) => attempts.failed(address, error, now),
                }
            }
            pending = still;
        }
    }
}

/// Begins to connect; the socket can be written to once that is done, or has failed.
fn begin(address: SocketAddr, source: Option<IpAddr>) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if let Some(source) = source {
        // One of the other family is the operating system's error.
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if !is_under_way(&error) => Err(error),
        _ => Ok(socket),
    }
}

fn is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) {
        return true;
    }
    error.kind() == io::ErrorKind::WouldBlock
}
