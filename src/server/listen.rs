//! Where a server listens: TCP addresses, Unix sockets, and sockets that are handed in.

mod stream;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
#[cfg(unix)]
mod unix;

use std::fmt;
use std::format;
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixListener;
#[cfg(unix)]
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::string::{String, ToString as _};
use std::sync::Arc;
use std::vec::Vec;

use socket2::SockRef;

use super::build_error::BuildError;
use crate::error::Error;

use self::stream::Acceptor;
#[cfg(any(unix, feature = "tls"))]
pub(super) use self::stream::Stream;
#[cfg(any(test, feature = "testing"))]
pub(super) use self::stream::TOO_MANY_CONNECTIONS;
pub(super) use self::stream::{AcceptedStream, LOCAL, Port, Socket, Tls};
#[cfg(feature = "tls")]
pub(super) use self::tls::TlsFiles;
#[cfg(feature = "tls")]
pub use self::tls::tls_from_pem;
#[cfg(unix)]
pub(super) use self::unix::SocketFile;

/// With a shorter queue, clients of a burst wait a second or more: the kernel drops what doesn't
/// fit, and TCP retransmits then. This is Linux's default cap (net.core.somaxconn); unused entries
/// cost nothing.
pub(super) const BACKLOG: u32 = 4096;

/// A place to listen, for [`Builder::listen_on`](super::Builder::listen_on): an address, a path,
/// or a socket that is there already.
///
/// ```no_run
/// use sockeye::server::{Listener, Server};
///
/// let server = Server::builder().listen_on([
///     Listener::tcp("0.0.0.0:80"),
///     # #[cfg(unix)]
///     Listener::unix("/run/chat.sock").mode(0o660),
/// ])?;
/// # Ok::<(), sockeye::Error>(())
/// ```
///
/// Nothing is opened before the server listens, which is when errors are returned.
#[must_use]
pub struct Listener {
    place: Place,
    backlog: Option<u32>,
    reuse_port: bool,
    only_v6: Option<bool>,
    mode: Option<u32>,
    #[cfg(unix)]
    name: Option<String>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ServerConfig>>,
}

#[derive(Debug)]
enum Place {
    /// The addresses as they were resolved.
    Address(io::Result<Vec<SocketAddr>>),
    #[cfg(unix)]
    Path(PathBuf),
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    fn new(place: Place) -> Self {
        Self {
            place,
            backlog: None,
            reuse_port: false,
            only_v6: None,
            mode: None,
            #[cfg(unix)]
            name: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// A TCP address; port 0 takes a free one. If a name has several addresses, the first that can
    /// be bound is used.
    pub fn tcp(address: impl ToSocketAddrs) -> Self {
        Self::new(Place::Address(
            address.to_socket_addrs().map(Iterator::collect),
        ))
    }

    /// A Unix socket.
    ///
    /// A file that a server has left there, on which nobody listens, is replaced. The file is
    /// removed when the server stops, unless another has replaced it. On Linux a path that begins
    /// with a zero byte is an abstract socket, which has no file.
    ///
    /// Its peers have no address. They are on this machine, so `peer_addr` is 127.0.0.1:0 for them:
    /// a local proxy is one of
    /// [`TrustedProxies::new(["127.0.0.1"])`](super::proxy::TrustedProxies::new), and without one
    /// all of them share the limits of one address.
    #[cfg(unix)]
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self::new(Place::Path(path.as_ref().into()))
    }

    /// A socket that already listens. It is made non-blocking, which also affects clones that the
    /// application keeps.
    pub fn from_std(listener: TcpListener) -> Self {
        Self::new(Place::Tcp(listener))
    }

    /// A Unix socket that already listens; its file is left alone. Otherwise as
    /// [`from_std`](Self::from_std) and [`unix`](Self::unix).
    #[cfg(unix)]
    pub fn from_std_unix(listener: UnixListener) -> Self {
        Self::new(Place::Unix(listener))
    }

    /// The sockets that a service manager passes to this process, in their order; none if it passes
    /// none: `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`, as sd_listen_fds(3) says. A
    /// [`name`](Self::name) tells them apart.
    ///
    /// They are passed once: `LISTEN_PID` and `LISTEN_FDS` are removed, so that no child process
    /// takes them for its own. Call it before there are other threads, which could read the
    /// environment at that moment.
    ///
    /// ```no_run
    /// use sockeye::server::{Listener, Server};
    ///
    /// let mut listeners = Listener::from_systemd()?;
    /// if listeners.is_empty() {
    ///     listeners.push(Listener::tcp("127.0.0.1:9001"));
    /// }
    /// Server::builder().listen_on(listeners)?.run()?;
    /// # Ok::<(), sockeye::Error>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for a descriptor that is not a TCP or Unix stream socket.
    #[cfg(unix)]
    pub fn from_systemd() -> io::Result<Vec<Self>> {
        // listenfd also takes descriptors that name no process.
        if std::env::var("LISTEN_PID") != Ok(std::process::id().to_string()) {
            return Ok(Vec::new());
        }
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':').map(String::from);
        let mut handed = listenfd::ListenFd::from_env();
        (0..handed.len())
            .map(|at| {
                let place = match handed.take_tcp_listener(at) {
                    Ok(listener) => listener.map(Place::Tcp),
                    Err(_) => handed.take_unix_listener(at)?.map(Place::Unix),
                };
                let mut listener = Self::new(place.ok_or(io::ErrorKind::NotFound)?);
                listener.name = names.next().filter(|it| !it.is_empty());
                Ok(listener)
            })
            .collect()
    }

    /// The name that the service manager gave to this socket (`FileDescriptorName=`).
    #[cfg(unix)]
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// How many connections may wait to be accepted. The operating system has its own limit, to
    /// which it cuts this down (Linux: `net.core.somaxconn`, 4,096 by default).
    ///
    /// Default 4,096: in a longer burst, clients wait a second or more, until TCP tries again. A
    /// socket that is handed in keeps its own backlog unless this is called.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = Some(connections);
        self
    }

    /// Lets several servers, of this or other processes of this user, listen on one address at the
    /// same time, to replace one by the next without a gap (`SO_REUSEPORT`). Each must ask for it.
    /// The operating system spreads connections over them; those that wait for a server are lost
    /// when it stops.
    ///
    /// The workers of one server don't need it: they share one socket, so that no connection waits
    /// for a worker that its handler blocks.
    pub fn reuse_port(mut self) -> Self {
        self.reuse_port = true;
        self
    }

    /// Sets whether an IPv6 address is for IPv6 alone; `[::]` also takes IPv4 clients otherwise.
    /// Default as the operating system is set (Linux: `net.ipv6.bindv6only`, usually false).
    pub fn only_v6(mut self, only: bool) -> Self {
        self.only_v6 = Some(only);
        self
    }

    /// The permissions of a Unix socket's file, such as 0o660; who may write to it may connect.
    /// They are set before anyone can connect. Default what the process's umask leaves of 0o777.
    #[cfg(unix)]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Serves `wss://` on this listener, with its own configuration, whatever the others do: on a
    /// server without [`Builder::tls`](super::Builder::tls) the listeners without this one serve
    /// `ws://`.
    ///
    /// ```no_run
    /// use sockeye::server::{Listener, Server};
    /// use sockeye::server::listen::tls_from_pem;
    ///
    /// let server = Server::builder().listen_on([
    ///     Listener::tcp("127.0.0.1:80"),
    ///     Listener::tcp("0.0.0.0:443").tls(tls_from_pem("fullchain.pem", "privkey.pem")?),
    /// ])?;
    /// # Ok::<(), sockeye::Error>(())
    /// ```
    #[cfg(feature = "tls")]
    pub fn tls(mut self, config: Arc<rustls::ServerConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Refuses settings that this kind of listener can't have.
    fn check(&self) -> Result<(), BuildError> {
        let (address, path) = match self.place {
            Place::Address(_) => (true, false),
            #[cfg(unix)]
            Place::Path(_) => (false, true),
            _ => (false, false),
        };
        let name = match self {
            _ if self.reuse_port && !address => "reuse_port",
            _ if self.only_v6.is_some() && !address => "only_v6",
            _ if self.mode.is_some() && !path => "mode",
            _ => return Ok(()),
        };
        Err(BuildError::ListenerSetting(name))
    }

    fn bind(self, tls: Option<Arc<Tls>>) -> Result<Bound, Error> {
        self.check()?;
        let backlog = |count: u32| count.try_into().unwrap_or(i32::MAX);
        let set = self.backlog.map(backlog);
        let given = set.unwrap_or(backlog(BACKLOG));
        #[cfg(unix)]
        let mut file = None;
        let socket = match self.place {
            Place::Address(addresses) => {
                let settings = (self.reuse_port, self.only_v6);
                BoundSocket::Tcp(tcp::bind(&addresses?, settings, given)?)
            }
            Place::Tcp(listener) => {
                hand_in(SockRef::from(&listener), set)?;
                BoundSocket::Tcp(listener)
            }
            #[cfg(unix)]
            Place::Path(path) => {
                let (listener, made) = unix::bind(&path, self.mode, given)
                    .map_err(|error| about(path.display(), &error))?;
                file = made;
                BoundSocket::Unix(listener)
            }
            #[cfg(unix)]
            Place::Unix(listener) => {
                hand_in(SockRef::from(&listener), set)?;
                BoundSocket::Unix(listener)
            }
        };
        Ok(Bound {
            address: socket.address()?,
            socket,
            tls,
            #[cfg(unix)]
            file,
        })
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// Binds all of them. Those with the server's own TLS configuration share it with the server, which
/// may replace it.
pub(super) fn bind_all(
    listeners: Vec<Listener>,
    #[cfg(feature = "tls")] servers: Option<(&Arc<rustls::ServerConfig>, &Arc<Tls>)>,
) -> Result<Vec<Bound>, Error> {
    if listeners.is_empty() {
        return Err(BuildError::NoListener.into());
    }
    let mut bound = Vec::with_capacity(listeners.len());
    for listener in listeners {
        #[cfg(feature = "tls")]
        let tls = match (&listener.tls, servers) {
            (Some(own), Some((config, tls))) if Arc::ptr_eq(config, own) => Some(Arc::clone(tls)),
            (Some(own), _) => Some(Arc::new(Tls::new(Arc::clone(own))?)),
            (None, _) => None,
        };
        #[cfg(not(feature = "tls"))]
        let tls = None;
        bound.push(listener.bind(tls)?);
    }
    Ok(bound)
}

/// Gives the builder's TLS configuration to the listeners that have none. If the builder has none,
/// the listeners' becomes the server's if they all share one.
#[cfg(feature = "tls")]
pub(super) fn share_tls(
    listeners: &mut [Listener],
    builders: Option<Arc<rustls::ServerConfig>>,
) -> Option<Arc<rustls::ServerConfig>> {
    if let Some(config) = builders {
        for listener in listeners {
            listener.tls.get_or_insert_with(|| Arc::clone(&config));
        }
        return Some(config);
    }
    let mut all = listeners.iter().filter_map(|it| it.tls.as_ref());
    let first = all.next()?;
    all.all(|it| Arc::ptr_eq(it, first))
        .then(|| Arc::clone(first))
}

/// A listener that is bound.
pub(super) struct Bound {
    socket: BoundSocket,
    address: LocalAddr,
    tls: Option<Arc<Tls>>,
    #[cfg(unix)]
    file: Option<SocketFile>,
}

enum BoundSocket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl BoundSocket {
    fn address(&self) -> io::Result<LocalAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(LocalAddr::Tcp),
            #[cfg(unix)]
            Self::Unix(listener) => {
                let address = SockRef::from(listener).local_addr()?;
                Ok(LocalAddr::Unix(unix::path(&address)))
            }
        }
    }
}

impl Bound {
    pub(super) fn address(&self) -> &LocalAddr {
        &self.address
    }

    #[cfg(any(unix, feature = "tls"))]
    pub(super) fn is_plain_tcp(&self) -> bool {
        matches!(self.socket, BoundSocket::Tcp(_)) && self.tls.is_none()
    }

    /// Returns this listener for one more worker.
    pub(super) fn port(&self) -> io::Result<Port> {
        let acceptor = match &self.socket {
            BoundSocket::Tcp(listener) => {
                Acceptor::Tcp(mio::net::TcpListener::from_std(listener.try_clone()?))
            }
            #[cfg(unix)]
            BoundSocket::Unix(listener) => {
                Acceptor::Unix(mio::net::UnixListener::from_std(listener.try_clone()?))
            }
        };
        Ok(Port::new(acceptor, self.tls.clone()))
    }

    /// Returns the socket's file once the workers have their descriptors.
    #[cfg(unix)]
    pub(super) fn into_file(self) -> Option<SocketFile> {
        self.file
    }
}

/// Where a server listens, as [`Server::local_addrs`](super::Server::local_addrs) returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalAddr {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a Unix socket. Linux's abstract ones begin with a zero byte.
    #[cfg(unix)]
    Unix(PathBuf),
}

impl LocalAddr {
    /// The address, if it is a TCP address.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            #[cfg(unix)]
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for LocalAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            #[cfg(unix)]
            Self::Unix(path) => {
                let path = path.to_string_lossy();
                match path.strip_prefix('\0') {
                    Some(name) => write!(f, "unix:@{name}"),
                    None => write!(f, "unix:{path}"),
                }
            }
        }
    }
}

/// Prepares a socket that is handed in.
fn hand_in(socket: SockRef<'_>, backlog: Option<i32>) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if let Some(backlog) = backlog {
        // Also where it listens already: the last call counts.
        return socket.listen(backlog);
    }
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    if !socket.is_listener()? {
        let text = "the given socket doesn't listen";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(())
}

/// An error that names the listener it is about.
fn about(what: impl fmt::Display, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
