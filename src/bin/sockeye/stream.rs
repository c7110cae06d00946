//! What bytes go through: a socket, as it is or with TLS.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use mio::net::TcpStream;
use sockeye::proto::Url;

use crate::check::Fault;
use crate::options::Options;
use crate::report;
#[cfg(feature = "tls")]
use crate::tls::{Tls, TlsStream};

/// What a read brought.
#[derive(Debug)]
pub(crate) enum Read {
    Bytes {
        count: usize,
        /// The socket is empty: what comes later is told by an event of its own.
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
    /// What the options lack, or a file of roots that can't be taken.
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

/// A connection's bytes.
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

    /// One read of the socket; what it brought is at the beginning of `buffer`.
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

    /// Takes as much as it can; what it took may still wait, see [`flush`](Self::flush).
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    /// Writes what was taken and waits, and what TLS has to say by itself.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.flush(),
        }
    }

    /// The peer's end was read: says goodbye where TLS demands it.
    pub(crate) fn end(&mut self) {
        match self {
            Self::Plain(_) => {}
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.end(),
        }
    }

    /// What TLS agreed on, once it has.
    pub(crate) fn agreed(&self) -> Option<report::Tls> {
        match self {
            Self::Plain(_) => None,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.agreed(),
        }
    }
}

/// Reads from a socket; None where there is nothing.
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
