//! The client's transport: TCP, or TLS on it.
//!
//! Owns which of the two it is, and the configuration of TLS where the user has none.

use std::io;
use std::net::TcpStream;

use crate::net::Transport;

#[cfg(feature = "tls")]
pub(super) use tls::connector;

/// Boxed by TLS itself.
pub(super) enum Stream {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(crate::net::ClientTls<TcpStream>),
}

impl Stream {
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.socket(),
        }
    }

    /// Whether nothing can be written yet but what it holds.
    pub(super) fn is_handshaking(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.state().is_handshaking(),
        }
    }

    /// Bytes that it has taken, or has of its own, and that are to be flushed.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.held(),
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.flush(),
        }
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => Transport::read(tcp, buffer),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.read_both(&mut [], buffer),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => io::Write::write(tcp, bytes),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.write_vectored(&[io::IoSlice::new(bytes)]),
        }
    }

    pub(super) fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.shutdown_write(),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.shutdown_write(),
        }
    }

    /// Says what is to be said before the transport is dropped.
    pub(super) fn farewell(&mut self) {
        match self {
            Self::Plain(_) => {}
            // RFC 8446 section 6.1: each party says close_notify before it closes.
            #[cfg(feature = "tls")]
            Self::Tls(tls) => _ = tls.shutdown_write(),
        }
    }
}

#[cfg(feature = "tls")]
mod tls {
    use std::format;
    use std::io;
    use std::net::TcpStream;
    use std::string::ToString;
    use std::sync::{Arc, OnceLock};
    use std::vec;

    use rustls::ClientConfig;
    use rustls::client::UnbufferedClientConnection;
    use rustls::pki_types::ServerName;
    use rustls_platform_verifier::BuilderVerifierExt as _;

    use super::Stream;
    use crate::error::Error;
    use crate::net::ClientTls;

    /// What makes TLS with `host` of a TCP connection to it. It fails before there is one.
    pub(in crate::client) fn connector(
        config: Option<&Arc<ClientConfig>>,
        host: &str,
    ) -> Result<impl FnOnce(TcpStream) -> io::Result<Stream> + use<>, Error> {
        let config = match config {
            Some(config) => Arc::clone(config),
            None => default()?,
        };
        let name = ServerName::try_from(host.to_string()).map_err(|_| {
            let text = format!("{host:?} is no name that a certificate can have");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        let connection = UnbufferedClientConnection::new(config, name)?;
        Ok(|socket| ClientTls::new(socket, connection, false).map(Stream::Tls))
    }

    /// Judges certificates as the operating system does. Made once: reading the system's roots
    /// takes its time, and what is kept for resumption is shared.
    fn default() -> Result<Arc<ClientConfig>, Error> {
        static DEFAULT: OnceLock<Arc<ClientConfig>> = OnceLock::new();
        if let Some(config) = DEFAULT.get() {
            return Ok(Arc::clone(config));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_platform_verifier()?
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::clone(DEFAULT.get_or_init(|| Arc::new(config))))
    }
}
