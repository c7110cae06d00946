//! The client's transport: TCP, with or without TLS.
//!
//! Owns which of the two it is, and the default TLS configuration.

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

    /// Whether only what it holds can be written yet.
    pub(super) fn is_handshaking(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.state().is_handshaking(),
        }
    }

    /// Bytes that it has accepted, or that are its own, and that are to be flushed.
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

    /// Sends close_notify before the transport is dropped.
    pub(super) fn farewell(&mut self) {
        match self {
            Self::Plain(_) => {}
            // RFC 8446 section 6.1: each party sends close_notify before it closes.
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

    /// Returns a function that runs TLS with `host` over a TCP connection. Fails before there is
    /// one.
    pub(in crate::client) fn connector(
        config: Option<&Arc<ClientConfig>>,
        host: &str,
    ) -> Result<impl FnOnce(TcpStream) -> io::Result<Stream> + use<>, Error> {
        let config = match config {
            Some(config) => Arc::clone(config),
            None => default()?,
        };
        let name = ServerName::try_from(host.to_string()).map_err(|_| {
            let text = format!("{host:?} is not a valid server name for TLS");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        let connection = UnbufferedClientConnection::new(config, name)?;
        Ok(|socket| ClientTls::new(socket, connection, false).map(Stream::Tls))
    }

    /// Verifies certificates as the operating system does. Created once: reading the system's roots
    /// takes time, and resumption needs a shared store.
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
