//! Connecting, and what is set for it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};

use super::blocking::Client;
use super::random::OsRandom;
use super::stream::Stream;
#[cfg(feature = "tls")]
use super::stream::connector;
use super::wire::{Read, Received, Wire};
#[cfg(not(feature = "tls"))]
use crate::error::Misuse;
use crate::error::{Error, HandshakeError};
use crate::net::Clock;
use crate::proto::{ClientHandshake, ClientRequest, Config, Delivery, RandomSource, Url};

/// Connects to a `ws://` URL, or with the feature `tls` to a `wss://` one, with the default options.
///
/// # Errors
/// As [`ConnectOptions::connect`].
pub fn connect(url: &str) -> Result<Client, Error> {
    ConnectOptions::default().connect(url)
}

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
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl ConnectOptions {
    /// Connects, and waits until the connection is open. Connecting, TLS and the opening handshake
    /// take at most [`handshake_timeout`](Config::handshake_timeout) together. The look-up of the
    /// host's name can't be interrupted and has the operating system's own timeout, but its time
    /// counts. Redirects are not followed.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a URL that is no WebSocket URL, or a `wss://` one without the feature
    /// `tls`, or a request that can't be sent, before anything is; `Error::Tls` when the server's
    /// certificate is not to be trusted or for another host, or TLS fails otherwise;
    /// [`Error::Handshake`] when the server refused, with its status and headers; [`Error::Io`] when
    /// it can't be reached.
    pub fn connect(&self, url: &str) -> Result<Client, Error> {
        let url = Url::parse(url)?;
        let mut config = self.config.clone();
        config.delivery = Delivery::Whole;
        let clock = Clock::start();
        let mut out = Vec::new();
        let random: Box<dyn RandomSource> = Box::new(OsRandom::new());
        let config = Arc::new(config);
        let timeout = config.handshake_timeout;
        let mut handshake =
            ClientHandshake::new(&url, &self.request, config, random, &mut out, clock.now())?;
        #[cfg(feature = "tls")]
        let secure = match url.is_secure() {
            true => Some(connector(self.tls.as_ref(), url.host())?),
            false => None,
        };
        #[cfg(not(feature = "tls"))]
        if url.is_secure() {
            return Err(Misuse::TlsMissing.into());
        }
        let tcp = reach((url.host(), url.port()), &clock, timeout)?;
        tcp.set_nodelay(true)?;
        #[cfg(feature = "tls")]
        let stream = match secure {
            Some(secure) => secure(tcp)?,
            None => Stream::Plain(tcp),
        };
        #[cfg(not(feature = "tls"))]
        let stream = Stream::Plain(tcp);
        let mut wire = Wire::new(stream, clock, out, self.send_timeout);
        let mut received = Received::new();
        let connection = loop {
            handshake.handle_timeout(wire.clock.now())?;
            if !wire.write(handshake.poll_timeout())? {
                continue;
            }
            let deadline = handshake.poll_timeout();
            match wire.read(&mut received.buffer, deadline, Duration::ZERO)? {
                Read::Bytes(count) => (received.start, received.end) = (0, count),
                Read::Timeout => continue,
                Read::Eof => return Err(HandshakeError::Eof.into()),
            }
            let mut input = received.input();
            let opened = handshake.recv(&mut input, wire.clock.now())?;
            received.start += input.consumed();
            if let Some(connection) = opened {
                break connection;
            }
        };
        Ok(Client::new(wire, received, connection))
    }
}

/// Tries the host's addresses in turn; `timeout` is for all of them together.
fn reach(host: (&str, u16), clock: &Clock, timeout: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in host.to_socket_addrs()? {
        let left = timeout.saturating_sub(clock.now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
