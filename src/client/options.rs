//! What is set for connecting.

#[cfg(feature = "tls")]
use alloc::string::String;
#[cfg(feature = "tls")]
use alloc::sync::Arc;
use core::time::Duration;
use std::net::IpAddr;

use super::proxy::Proxy;
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
    /// The proxy to connect through. [`Proxy::from_env`] reads the environment's.
    ///
    /// Default none.
    pub proxy: Option<Proxy>,
    /// How many redirects are followed in a row (RFC 9110 section 15.4). None leads from `wss` to
    /// `ws`; at another origin the headers `Authorization` and `Cookie`, a
    /// [`host`](ClientRequest::host) and a `server_name` are left out. One that isn't followed is a
    /// refusal, whose headers have its `Location`.
    ///
    /// Default 0: a client that asks for one server shouldn't find itself at another.
    pub max_redirects: u32,
    /// Whether user info in a URL (`wss://user:password@host/`) is sent as `Authorization: Basic` (RFC
    /// 7617), unless the request has such a header. RFC 6455 section 3 has none in its URLs.
    ///
    /// Default no: such a URL is an error.
    pub user_info: bool,
    /// How the host's name becomes addresses.
    ///
    /// Default none: as the operating system does.
    pub resolver: Option<Resolver>,
    /// The local address to connect from, of the same family as the server's.
    ///
    /// Default none: the operating system chooses.
    pub source: Option<IpAddr>,
    /// The name of the server whose certificate is expected, and which it is told (SNI), in place of
    /// the URL's host; [`ClientRequest::host`] is the name in the request.
    ///
    /// Default none.
    #[cfg(feature = "tls")]
    pub server_name: Option<String>,
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
            proxy: None,
            max_redirects: 0,
            user_info: false,
            resolver: None,
            source: None,
            #[cfg(feature = "tls")]
            server_name: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}
