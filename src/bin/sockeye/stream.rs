//! The stream of a connection: a socket, with or without TLS.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use mio::net::TcpStream;
use sockeye::proto::Url;

use crate::check::Fault;
use crate::options::Options;
use crate::report;
#[cfg(feature = "tls")]
use crate::tls::{Tls, TlsStream};

/// The result of a read.
#[derive(Debug)]
pub(crate) enum Read {
    Bytes {
        count: usize,
        /// The socket is empty: an event announces what comes later.
        drained: bool,
    },
    Nothing,
    Eof,
}

/// How connections are made.
pub(crate) enum Connector {
    Plain,
    #[cfg(feature = "tls")]
    Tls(Tls),
}

impl Connector {
    /// With TLS where the URL or the options ask for it.
    ///
    /// # Errors
    /// Missing options, or a file of roots that can't be used.
    pub(crate) fn new(url: &Url, options: &Options) -> Result<Self, String> {
        if url.is_secure() || options.tls {
            return Self::tls(url, options);
        }
        if options.ca.is_some() || options.insecure || options.cipher.is_some() {
            return Err("--ca, --insecure and --cipher are of TLS: use wss://, or --tls".into());
        }
        Ok(Self::Plain)
    }

    #[cfg(feature = "tls")]
    fn tls(url: &Url, options: &Options) -> Result<Self, String> {
        Tls::new(url, options).map(Self::Tls)
    }

    #[cfg(not(feature = "tls"))]
    fn tls(_: &Url, _: &Options) -> Result<Self, String> {
        Err(
            "wss:// needs TLS, which this was built without; build with --features cli,tls, or \
             use ws://"
                .into(),
        )
    }

    /// Begins to connect.
    pub(crate) fn connect(&self, address: SocketAddr) -> Result<Stream, Fault> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        match self {
            Self::Plain => Ok(Stream::Plain(socket)),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => Ok(Stream::Tls(Box::new(tls.stream(socket)?))),
        }
    }
}

/// The stream of a connection.
pub(crate) enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
}

impl Stream {
    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(socket) => socket,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.socket(),
        }
    }

    /// Reads once from the socket; the result is at the beginning of `buffer`.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<Read, Fault> {
        match self {
            Self::Plain(socket) => Ok(match read(socket, buffer)? {
                None => Read::Nothing,
                Some(0) => Read::Eof,
                Some(count) => Read::Bytes {
                    count,
                    drained: count < buffer.len(),
                },
            }),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.read(buffer),
        }
    }

    /// Accepts as much as it can; what it accepted may still wait, see [`flush`](Self::flush).
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    /// Writes what was accepted and waits, and TLS's own records.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.flush(),
        }
    }

    /// Handles the peer's end: sends close_notify with TLS.
    pub(crate) fn end(&mut self) {
        match self {
            Self::Plain(_) => {}
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.end(),
        }
    }

    /// Returns what TLS agreed on, once the handshake is over.
    pub(crate) fn agreed(&self) -> Option<report::Tls> {
        match self {
            Self::Plain(_) => None,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.agreed(),
        }
    }
}

/// Reads from a socket; None if it is empty.
pub(crate) fn read(socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        match socket.read(buffer) {
            Ok(count) => return Ok(Some(count)),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::NotConnected => return Ok(None),
                ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
}
