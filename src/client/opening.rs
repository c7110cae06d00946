//! The opening handshake of a client, over a stream that is connected.

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::blocking::Client;
use super::channel::Channel;
#[cfg(feature = "tls")]
use super::channel::{Connector, connector, default_config};
use super::link::{Link, earlier};
use super::options::ConnectOptions;
use super::random::OsRandom;
use super::stream::Stream;
use super::wire::{Buffer, Read, Wire};
#[cfg(not(feature = "tls"))]
use crate::error::Misuse;
use crate::error::{Error, Foreign, HandshakeError};
use crate::net::Clock;
use crate::proto::{ClientHandshake, Connection, Delivery, Url};

/// How long the body of a refusal is waited for: it usually comes with the head, and not all servers
/// say where it ends.
const REFUSAL: Duration = Duration::from_secs(1);

/// All that is known before there is a stream. Making it finds what can't be requested.
pub(super) struct Opening {
    clock: Clock,
    handshake: ClientHandshake,
    request: Vec<u8>,
    send_timeout: Duration,
    #[cfg(feature = "tls")]
    secure: Option<Connector>,
}

impl Opening {
    pub(super) fn new(options: &ConnectOptions, url: &Url) -> Result<Self, Error> {
        let mut config = options.config.clone();
        config.delivery = Delivery::Whole;
        let clock = Clock::start();
        let mut request = Vec::new();
        let handshake = ClientHandshake::new(
            url,
            &options.request,
            Arc::new(config),
            Box::new(OsRandom::new()),
            &mut request,
            clock.now(),
        )?;
        #[cfg(not(feature = "tls"))]
        if url.is_secure() {
            return Err(Misuse::TlsMissing.into());
        }
        #[cfg(feature = "tls")]
        let name = options.server_name.as_deref().unwrap_or(url.host());
        Ok(Self {
            clock,
            handshake,
            request,
            send_timeout: options.send_timeout,
            #[cfg(feature = "tls")]
            secure: match (url.is_secure(), &options.tls) {
                (false, _) => None,
                (true, Some(config)) => Some(connector(Arc::clone(config), name)?),
                (true, None) => Some(connector(default_config()?, name)?),
            },
        })
    }

    /// The clock of the connection, which runs since before there is a stream.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Opens the connection.
    pub(super) fn over(mut self, stream: Stream) -> Result<Client, Error> {
        stream.prepare()?;
        #[cfg(feature = "tls")]
        let channel = match self.secure.take() {
            Some(secure) => secure.over(stream)?,
            None => Channel::Plain(stream),
        };
        #[cfg(not(feature = "tls"))]
        let channel = Channel::Plain(stream);
        let mut wire = Wire::new(channel, self.clock, self.request, self.send_timeout);
        let mut buffer = Buffer::new();
        let opened = open(&mut self.handshake, &mut wire, &mut buffer);
        let connection = match opened {
            Ok(connection) => connection,
            Err(Error::Handshake(HandshakeError::Response(_))) => {
                return Err(refused(self.handshake, &mut wire, &mut buffer));
            }
            Err(error) => return Err(named(error, &wire)),
        };
        let head = self.handshake.response();
        let headers = head.iter().flat_map(|it| it.headers.iter());
        let headers: Box<[(String, Vec<u8>)]> = headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Ok(Client::new(Link::new(wire, buffer, connection, headers)))
    }
}

fn open(
    handshake: &mut ClientHandshake,
    wire: &mut Wire,
    buffer: &mut Buffer,
) -> Result<Connection, Error> {
    let mut broken = None;
    loop {
        handshake.handle_timeout(wire.clock.now())?;
        if let Err(error) = wire.write() {
            // What the server has said before says more: an alert, a refusal.
            wire.broke();
            broken = Some(error);
        }
        match (wire.read(buffer)?, broken.take()) {
            (Read::Bytes(_), error) => broken = error,
            (_, Some(error)) => return Err(error.into()),
            (Read::Nothing, None) => {
                let deadline = earlier(handshake.poll_timeout(), wire.poll_timeout());
                wire.wait(true, None, deadline)?;
            }
            (Read::Eof, None) => return Err(HandshakeError::Eof.into()),
        }
        let (mut input, start) = buffer.input();
        let opened = handshake.recv(&mut input, wire.clock.now());
        *start += input.consumed();
        if let Some(connection) = opened? {
            return Ok(connection);
        }
    }
}

/// Reads what comes of a refusal's body; returns the error with it.
fn refused(mut handshake: ClientHandshake, wire: &mut Wire, buffer: &mut Buffer) -> Error {
    let until = wire.clock.now().saturating_add(REFUSAL);
    loop {
        let (mut input, start) = buffer.input();
        let complete = handshake.recv_body(&mut input);
        *start += input.consumed();
        if complete {
            break;
        }
        buffer.clear();
        match wire.read(buffer) {
            Ok(Read::Bytes(_)) => {}
            Ok(Read::Nothing) if wire.clock.now() < until => {
                if wire.wait(true, None, Some(until)).is_err() {
                    break;
                }
            }
            _ => break,
        }
    }
    let error = handshake.into_error().unwrap_or(HandshakeError::Eof);
    error.into()
}

/// Names what answered, where it speaks another protocol.
fn named(error: Error, wire: &Wire) -> Error {
    let begin = wire.channel.stream().begin();
    match (error, Foreign::of(begin)) {
        (Error::Handshake(HandshakeError::ResponseHead(error)), Foreign::Http1) => {
            HandshakeError::ResponseHead(error).into()
        }
        (Error::Handshake(HandshakeError::ResponseHead(_)), foreign) => {
            HandshakeError::Foreign(foreign).into()
        }
        #[cfg(feature = "tls")]
        (Error::Tls(error), foreign) if wire.channel.is_handshaking() => match foreign {
            Foreign::Tls | Foreign::Other(_) => Error::Tls(error),
            foreign => Error::Tls(rustls::Error::General(std::format!(
                "what answered doesn't speak TLS: {foreign}"
            ))),
        },
        (error, _) => error,
    }
}
