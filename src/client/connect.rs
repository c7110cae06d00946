//! Connecting.

use core::time::Duration;
use std::io;
use std::net::{TcpStream, ToSocketAddrs};

use super::blocking::Client;
use super::opening::Opening;
use super::options::ConnectOptions;
use super::stream::Stream;
use crate::error::Error;
use crate::net::Clock;
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
    /// take at most [`handshake_timeout`](crate::proto::Config::handshake_timeout) together. The look-up of the
    /// host's name can't be interrupted and has the operating system's own timeout, but its time
    /// counts. Redirects are not followed.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a URL that is no WebSocket URL, or a `wss://` one without the feature
    /// `tls`, or a request that can't be sent, before anything is; `Error::Tls` when the server's
    /// certificate is not to be trusted or for another host, or TLS fails otherwise;
    /// [`Error::Handshake`] when the server refused, with its status, headers and body, or what
    /// answered is no WebSocket server; [`Error::Io`] when it can't be reached.
    pub fn connect(&self, url: &str) -> Result<Client, Error> {
        let url = Url::parse(url)?;
        let opening = Opening::new(self, &url)?;
        let timeout = self.config.handshake_timeout;
        let tcp = reach((url.host(), url.port()), opening.clock(), timeout)?;
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
