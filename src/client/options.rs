//! What is set for connecting.

#[cfg(feature = "tls")]
use alloc::sync::Arc;
use core::time::Duration;
use std::net::IpAddr;

use super::reach::Resolver;
use crate::proto::{ClientRequest, Config};

/// How to connect.
///
/// ```no_run
/// use sockeye::client::ConnectOptions;
/// use sockeye::proto::ClientRequest;
///
/// let mut options = ConnectOptions::default();
/// options.config.max_message_size = 16 * 1024 * 1024;
/// options.request = ClientRequest {
///     subprotocols: vec!["chat".into()],
///     headers: vec![("Authorization".into(), "Bearer abc".into())],
///     ..ClientRequest::default()
/// };
/// let client = options.connect("ws://127.0.0.1:9001/chat")?;
/// assert_eq!(client.subprotocol(), Some("chat"));
/// # Ok::<(), sockeye::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Limits and timeouts. Messages are delivered whole whatever [`delivery`](Config::delivery)
    /// says.
    pub config: Config,
    /// What to request besides the URL.
    pub request: ClientRequest,
    /// How long the server may take nothing of what is sent before the connection is given up. Each
    /// byte that it takes restarts the time.
    ///
    /// Default 60 s, as the server's: far over a network's gaps and a busy peer's pauses.
    pub send_timeout: Duration,
    /// How the host's name becomes addresses.
    ///
    /// Default none: as the operating system does.
    pub resolver: Option<Resolver>,
    /// The local address to connect from, of the same family as the server's.
    ///
    /// Default none: the operating system chooses.
    pub source: Option<IpAddr>,
    /// The TLS configuration for `wss://`: custom roots, a client's certificate.
    ///
    /// Default none: the server's certificate is verified as the operating system does, with its
    /// roots, TLS 1.2 or 1.3.
    ///
    /// A server whose certificate is signed by a CA of your own, and no other:
    ///
    /// ```no_run
    /// use std::sync::Arc;
    /// use sockeye::client::ConnectOptions;
    /// use sockeye::rustls::pki_types::{CertificateDer, pem::PemObject};
    /// use sockeye::rustls::{ClientConfig, RootCertStore};
    ///
    /// let mut roots = RootCertStore::empty();
    /// for certificate in CertificateDer::pem_file_iter("ca.pem")? {
    ///     roots.add(certificate?)?;
    /// }
    /// let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    /// let mut options = ConnectOptions::default();
    /// options.tls = Some(Arc::new(config));
    /// let client = options.connect("wss://chat.example/")?;
    /// # drop(client);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "tls")]
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            config: Config::default(),
            request: ClientRequest::default(),
            send_timeout: Duration::from_secs(60),
            resolver: None,
            source: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}
