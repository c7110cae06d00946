//! Accepted connections and the streams that sessions run on: sockets of each kind, with or without
//! TLS.
//!
//! A server that listens only by TCP without TLS has its workers compiled for that; all other
//! servers use [`Stream`], which dispatches with each call.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use mio::net::{UnixListener, UnixStream};

#[cfg(feature = "tls")]
pub(in crate::server) use super::tls::Tls;
#[cfg(any(unix, feature = "tls"))]
use crate::net::Agreed;
#[cfg(feature = "tls")]
use crate::net::ServerTls;
use crate::net::Transport;

/// Has no value without the feature.
#[cfg(not(feature = "tls"))]
pub(in crate::server) enum Tls {}

/// The peer address of a Unix socket: this machine's.
pub(in crate::server) const LOCAL: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What a connection over the limit is sent.
pub(in crate::server) const TOO_MANY_CONNECTIONS: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\
      Retry-After: 5\r\nContent-Length: 0\r\n\r\n";

/// A listener, as one worker has it: each worker has its own descriptor of the one socket.
pub(in crate::server) struct Port {
    pub(in crate::server) acceptor: Acceptor,
    /// The TLS configuration of its connections.
    pub(in crate::server) tls: Option<Arc<Tls>>,
    /// Whether it may have connections to accept.
    pub(in crate::server) acceptable: bool,
    /// After a failure, accepting waits until this time.
    pub(in crate::server) accept_at: Option<Duration>,
}

impl Port {
    pub(in crate::server) fn new(acceptor: Acceptor, tls: Option<Arc<Tls>>) -> Self {
        Self {
            acceptor,
            tls,
            acceptable: true,
            accept_at: None,
        }
    }

    /// Whether accepting is worth a try.
    pub(in crate::server) fn is_ready(&self, now: Duration) -> bool {
        self.acceptable && self.accept_at.is_none_or(|at| now >= at)
    }
}

pub(in crate::server) enum Acceptor {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Acceptor {
    pub(in crate::server) fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(listener) => listener,
            #[cfg(unix)]
            Self::Unix(listener) => listener,
        }
    }

    pub(in crate::server) fn accept(&self) -> io::Result<(Socket, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (socket, peer) = listener.accept()?;
                // Nagle's algorithm would hold replies until the peer has acknowledged the last
                // ones. If it can't be turned off, they are only slower.
                let _ = socket.set_nodelay(true);
                Ok((Socket::Tcp(socket), peer))
            }
            #[cfg(unix)]
            Self::Unix(listener) => Ok((Socket::Unix(listener.accept()?.0), LOCAL)),
        }
    }
}

/// A connection as it was accepted.
pub(in crate::server) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Socket {
    /// Sends a 503 to a connection over the limit, as far as its socket takes it at once.
    pub(in crate::server) fn refuse(self) {
        let _ = match self {
            Self::Tcp(mut socket) => Transport::write(&mut socket, TOO_MANY_CONNECTIONS),
            #[cfg(unix)]
            Self::Unix(mut socket) => Transport::write(&mut socket, TOO_MANY_CONNECTIONS),
        };
    }
}

/// What sessions run on, made from an accepted connection.
pub(in crate::server) trait AcceptedStream: Transport + Sized {
    /// Creates the stream: with TLS if there is some, behind a PROXY header if it is `proxied`.
    fn new(socket: Socket, tls: Option<&Tls>, proxied: bool) -> io::Result<Self>;

    /// What the poll watches.
    fn source(&mut self) -> &mut dyn Source;
}

impl AcceptedStream for TcpStream {
    fn new(socket: Socket, _: Option<&Tls>, _: bool) -> io::Result<Self> {
        match socket {
            Socket::Tcp(socket) => Ok(socket),
            #[cfg(unix)]
            Socket::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        self
    }
}

/// A connection of any kind.
#[cfg(any(unix, feature = "tls"))]
pub(in crate::server) enum Stream {
    Plain(Socket),
    #[cfg(feature = "tls")]
    Tls(ServerTls<Socket>),
}

#[cfg(any(unix, feature = "tls"))]
impl AcceptedStream for Stream {
    #[cfg_attr(not(feature = "tls"), expect(unused_variables))]
    fn new(socket: Socket, tls: Option<&Tls>, proxied: bool) -> io::Result<Self> {
        #[cfg(feature = "tls")]
        if let Some(tls) = tls {
            let connection = tls.connection().map_err(io::Error::other)?;
            // The PROXY header comes before the TLS handshake.
            return ServerTls::new(socket, connection, proxied).map(Self::Tls);
        }
        Ok(Self::Plain(socket))
    }

    fn source(&mut self) -> &mut dyn Source {
        let socket = match self {
            Self::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.socket_mut(),
        };
        match socket {
            Socket::Tcp(socket) => socket,
            #[cfg(unix)]
            Socket::Unix(socket) => socket,
        }
    }
}

/// Implements `Transport` for an enum each of whose variants is a transport.
#[cfg(any(unix, feature = "tls"))]
macro_rules! transport_of {
    ($name:ident: $($(#[$only:meta])? $variant:ident),+) => {
        impl Transport for $name {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                match self {
                    $($(#[$only])? Self::$variant(it) => Transport::read(it, buffer),)+
                }
            }

            fn read_both(&mut self, space: &mut [u8], buffer: &mut [u8]) -> io::Result<usize> {
                match self {
                    $($(#[$only])? Self::$variant(it) => Transport::read_both(it, space, buffer),)+
                }
            }

            fn has_more(&self, count: usize, asked: usize) -> bool {
                match self {
                    $($(#[$only])? Self::$variant(it) => it.has_more(count, asked),)+
                }
            }

            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                match self {
                    $($(#[$only])? Self::$variant(it) => Transport::write(it, bytes),)+
                }
            }

            fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
                match self {
                    $($(#[$only])? Self::$variant(it) => Transport::write_vectored(it, slices),)+
                }
            }

            fn held(&self) -> usize {
                match self {
                    $($(#[$only])? Self::$variant(it) => Transport::held(it),)+
                }
            }

            fn has_heard(&self) -> bool {
                match self {
                    $($(#[$only])? Self::$variant(it) => Transport::has_heard(it),)+
                }
            }

            fn flush(&mut self) -> io::Result<()> {
                match self {
                    $($(#[$only])? Self::$variant(it) => Transport::flush(it),)+
                }
            }

            fn begin(&mut self, behind: std::vec::Vec<u8>) -> Option<std::vec::Vec<u8>> {
                match self {
                    $($(#[$only])? Self::$variant(it) => it.begin(behind),)+
                }
            }

            fn agreed(&self) -> Agreed<'_> {
                match self {
                    $($(#[$only])? Self::$variant(it) => it.agreed(),)+
                }
            }

            fn shutdown_write(&mut self) -> io::Result<()> {
                match self {
                    $($(#[$only])? Self::$variant(it) => Transport::shutdown_write(it),)+
                }
            }
        }
    };
}

#[cfg(any(unix, feature = "tls"))]
transport_of!(Socket: Tcp, #[cfg(unix)] Unix);
#[cfg(any(unix, feature = "tls"))]
transport_of!(Stream: Plain, #[cfg(feature = "tls")] Tls);
