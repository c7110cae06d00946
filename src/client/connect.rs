//! Connecting: from a URL to an open connection, through a proxy and after redirects.

use alloc::string::ToString as _;
use alloc::vec::Vec;
use std::io;

use super::authorization::take_user_info;
use super::blocking::Client;
use super::opening::Opening;
use super::options::ConnectOptions;
use super::proxy::{Proxy, ProxyError, ProxyKind};
use super::reach::Reach;
use super::redirect::{drop_credentials, same_origin, target};
use super::stream::{Stream, is_later};
use super::tunnel::Tunnel;
use super::wait::Interest;
use crate::error::{Error, HandshakeError};
use crate::net::Transport as _;
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
    /// take at most [`handshake_timeout`](crate::proto::Config::handshake_timeout) together, and that
    /// again after each redirect. If the host has several addresses, both families take turns, and
    /// each is given 250 ms until the next is tried as well (RFC 8305). The look-up of the host's name
    /// can't be interrupted and has the operating system's own timeout, but its time counts.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a URL that is no WebSocket URL, or a `wss://` one without the feature
    /// `tls`, or a request that can't be sent, before anything is; `Error::Tls` when the server's
    /// certificate is not to be trusted or for another host, or TLS fails otherwise;
    /// [`Error::Handshake`] when the server refused, with its status, headers and body, or what
    /// answered is no WebSocket server; [`Error::Proxy`] when the proxy didn't connect; [`Error::Io`]
    /// when it or the server can't be reached, with [`Unreachable`](super::Unreachable) for what each
    /// address said.
    pub fn connect(&self, url: &str) -> Result<Client, Error> {
        let mut options = self.clone();
        let mut url = options.authorize(url)?;
        loop {
            let error = match options.attempt(&url) {
                Err(Error::Handshake(HandshakeError::Response(error))) => error,
                result => return result,
            };
            let (Some(left), Some(next)) =
                (options.max_redirects.checked_sub(1), target(&url, &error))
            else {
                return Err(HandshakeError::Response(error).into());
            };
            options.max_redirects = left;
            if !same_origin(&url, &next) {
                drop_credentials(&mut options.request.headers);
                options.request.host = None;
                #[cfg(feature = "tls")]
                {
                    options.server_name = None;
                }
            }
            url = next;
        }
    }

    /// Like [`connect`](Self::connect), over a stream that is connected already: a Unix socket, or a
    /// way through a proxy of the application's. The URL says what is requested, and with `wss://`
    /// TLS runs over the stream. Redirects are not followed.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_over(&self, url: &str, stream: impl Into<Stream>) -> Result<Client, Error> {
        let mut options = self.clone();
        let url = options.authorize(url)?;
        Opening::new(&options, &url)?.over(stream.into())
    }

    /// Parses the URL; makes a header of its user info, if that is wanted.
    fn authorize(&mut self, url: &str) -> Result<Url, Error> {
        if !self.user_info {
            return Ok(Url::parse(url)?);
        }
        let (url, credentials) = take_user_info(url);
        let headers = &mut self.request.headers;
        let named = |name: &str| name.eq_ignore_ascii_case("authorization");
        if let Some(credentials) = credentials
            && !headers.iter().any(|(name, _)| named(name))
        {
            headers.push(("Authorization".to_string(), credentials.basic()));
        }
        Ok(Url::parse(&url)?)
    }

    /// Connects without following redirects.
    fn attempt(&self, url: &Url) -> Result<Client, Error> {
        let opening = Opening::new(self, url)?;
        let reach = Reach {
            resolver: self.resolver.as_ref(),
            source: self.source,
            clock: opening.clock(),
            deadline: self.config.handshake_timeout,
        };
        let stream = match &self.proxy {
            None => reach.connect(url.host(), url.port())?.into(),
            Some(proxy) => through(proxy, url, &reach)?,
        };
        opening.over(stream)
    }
}

/// Connects to the server through a proxy.
fn through(proxy: &Proxy, url: &Url, reach: &Reach<'_>) -> Result<Stream, Error> {
    let resolved = match proxy.kind {
        ProxyKind::Socks5 { resolves: false } => {
            let addresses = reach.resolve(url.host(), url.port())?;
            addresses.first().map(|it| (it.ip().to_string(), it.port()))
        }
        _ => None,
    };
    let (host, port) = match &resolved {
        Some((address, port)) => (&**address, *port),
        None => (url.host(), url.port()),
    };
    let mut out = Vec::new();
    let mut tunnel = Tunnel::new(proxy, host, port, &mut out)?;
    let mut stream = Stream::from(reach.connect(&proxy.host, proxy.port)?);
    stream.prepare()?;
    let mut buffer = [0; 1024];
    let mut open = false;
    while !open || !out.is_empty() {
        let interest = Interest {
            read: !open,
            write: !out.is_empty(),
        };
        let now = reach.clock.now();
        if now >= reach.deadline {
            return Err(ProxyError::Timeout.into());
        }
        stream.wait(interest, None, Some(reach.deadline.saturating_sub(now)))?;
        if let Some(count) = now_or_later(stream.write_vectored(&[io::IoSlice::new(&out)]))? {
            out.drain(..count);
        }
        match now_or_later(stream.read(&mut buffer))? {
            None => {}
            Some(0) => return Err(ProxyError::Eof.into()),
            Some(count) => open = tunnel.recv(&buffer[..count], &mut out)?,
        }
    }
    stream.begins();
    Ok(stream)
}

/// None for a call that has nothing to do now.
fn now_or_later(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if is_later(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
