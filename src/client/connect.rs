//! Connecting.

use super::blocking::Client;
use super::opening::Opening;
use super::options::ConnectOptions;
use super::reach::Reach;
use super::stream::Stream;
use crate::error::Error;
use crate::proto::Url;

/// Connects to a `ws://` URL, or with the feature `tls` to a `wss://` one, with the default options.
///
/// # Errors
/// As [`ConnectOptions::connect`].
pub fn connect(url: &str) -> Result<Client, Error> {
    ConnectOptions::default().connect(url)
}

impl ConnectOptions {
    /// Connects, and waits until the connection is open. Connecting, TLS and the opening handshake
    /// take at most [`handshake_timeout`](crate::proto::Config::handshake_timeout) together. If the host
    /// has several addresses, both families take turns, and each is given 250 ms until the next is
    /// tried as well (RFC 8305). The look-up of the
    /// host's name can't be interrupted and has the operating system's own timeout, but its time
    /// counts. Redirects are not followed.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a URL that is no WebSocket URL, or a `wss://` one without the feature
    /// `tls`, or a request that can't be sent, before anything is; `Error::Tls` when the server's
    /// certificate is not to be trusted or for another host, or TLS fails otherwise;
    /// [`Error::Handshake`] when the server refused, with its status, headers and body, or what
    /// answered is no WebSocket server; [`Error::Io`] when it can't be reached, with
    /// [`Unreachable`](super::Unreachable) for what each address said.
    pub fn connect(&self, url: &str) -> Result<Client, Error> {
        let url = Url::parse(url)?;
        let opening = Opening::new(self, &url)?;
        let reach = Reach {
            resolver: self.resolver.as_ref(),
            source: self.source,
            clock: opening.clock(),
            deadline: self.config.handshake_timeout,
        };
        let tcp = reach.connect(url.host(), url.port())?;
        opening.over(tcp.into())
    }

    /// Like [`connect`](Self::connect), over a stream that is connected already: a Unix socket, or a
    /// way through a proxy of the application's. The URL says what is requested, and with `wss://`
    /// TLS runs over the stream.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_over(&self, url: &str, stream: impl Into<Stream>) -> Result<Client, Error> {
        Opening::new(self, &Url::parse(url)?)?.over(stream.into())
    }
}
