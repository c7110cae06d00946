//! The client's transport: a stream, with or without TLS.
//!
//! Owns which of the two it is, and the default TLS configuration.

use std::io::{self, IoSlice};

use super::stream::Stream;
use crate::net::Transport;

#[cfg(feature = "tls")]
pub(super) use tls::{Connector, connector, default_config};

/// Boxed by TLS itself.
pub(super) enum Channel {
    Plain(Stream),
    #[cfg(feature = "tls")]
    Tls(crate::net::ClientTls<Stream>),
}

impl Channel {
    pub(super) fn stream(&self) -> &Stream {
        match self {
            Self::Plain(stream) => stream,
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
            Self::Plain(stream) => stream.read(buffer),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.read_both(&mut [], buffer),
        }
    }

    /// Whether a read that returned so many of the bytes asked for has emptied the socket.
    pub(super) fn is_drained(&self, count: usize, asked: usize) -> bool {
        match self {
            Self::Plain(_) => count < asked,
            // Plaintext says nothing about the ciphertext behind it.
            #[cfg(feature = "tls")]
            Self::Tls(_) => false,
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let slices = [IoSlice::new(bytes)];
        match self {
            Self::Plain(stream) => stream.write_vectored(&slices),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.write_vectored(&slices),
        }
    }

    /// Ends the sending side, over TLS behind close_notify (RFC 8446 section 6.1).
    pub(super) fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown_write(),
            #[cfg(feature = "tls")]
            Self::Tls(tls) => tls.shutdown_write(),
        }
    }
}

#[cfg(feature = "tls")]
mod tls {
    use std::format;
    use std::io;
    use std::string::ToString;
    use std::sync::{Arc, OnceLock};
    use std::vec;

    use rustls::ClientConfig;
    use rustls::client::UnbufferedClientConnection;
    use rustls::pki_types::ServerName;
    use rustls_platform_verifier::BuilderVerifierExt as _;

    use super::Channel;
    use crate::client::stream::Stream;
    use crate::error::Error;
    use crate::net::ClientTls;

    /// Runs TLS over a stream.
    pub(in crate::client) struct Connector(UnbufferedClientConnection);

    /// Prepares TLS with `host`, whose certificate is expected. Fails before there is a stream.
    pub(in crate::client) fn connector(
        config: Arc<ClientConfig>,
        host: &str,
    ) -> Result<Connector, Error> {
        let name = ServerName::try_from(host.to_string()).map_err(|_| {
            let text = format!("{host:?} is not a valid server name for TLS");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        Ok(Connector(UnbufferedClientConnection::new(config, name)?))
    }

    impl Connector {
        pub(in crate::client) fn over(self, stream: Stream) -> io::Result<Channel> {
            ClientTls::new(stream, self.0, false).map(Channel::Tls)
        }
    }

    /// Verifies certificates as the operating system does. Created once: reading the system's roots
    /// takes time, and resumption needs a shared store.
    pub(in crate::client) fn default_config() -> Result<Arc<ClientConfig>, Error> {
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
