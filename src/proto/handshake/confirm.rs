//! Whether a response completes the opening handshake (RFC 6455 section 4.1).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::proto::config::Config;
use crate::proto::extension::{GrammarError, PerMessage, parse_extensions};
use crate::proto::http::{ResponseHead, Version};
use crate::proto::negotiated::Negotiated;
use crate::proto::sync::Arc;

/// What the request offered, which the response has to match.
pub(super) struct Offer {
    /// `Sec-WebSocket-Accept` for the request's key.
    pub(super) accept: String,
    pub(super) subprotocols: Vec<String>,
    /// Whether extensions were offered.
    pub(super) config: Arc<Config>,
}

/// RFC 6455 section 4.1, the client's checks in their order.
pub(super) fn confirm(head: &ResponseHead<'_>, offer: &Offer) -> Result<Negotiated, ResponseFault> {
    let headers = head.headers;
    if head.status != 101 {
        return Err(ResponseFault::Status);
    }
    if head.version != Version::Http11 {
        return Err(ResponseFault::Version);
    }
    let mut upgrades = headers.tokens("upgrade");
    if !upgrades
        .next()
        .is_some_and(|it| it.eq_ignore_ascii_case(b"websocket"))
        || upgrades.next().is_some()
    {
        return Err(ResponseFault::Upgrade);
    }
    if !headers.contains_token("connection", "upgrade") {
        return Err(ResponseFault::Connection);
    }
    let mut accepts = headers.get_all("sec-websocket-accept");
    if accepts.next() != Some(offer.accept.as_bytes()) || accepts.next().is_some() {
        return Err(ResponseFault::Accept);
    }
    Ok(Negotiated {
        extension: extension(head, offer)?,
        subprotocol: subprotocol(head, offer)?,
    })
}

fn extension(head: &ResponseHead<'_>, offer: &Offer) -> Result<Option<PerMessage>, ResponseFault> {
    let lines = head.headers.get_all("sec-websocket-extensions");
    let mut agreed = None;
    for response in parse_extensions(lines) {
        let response = response.map_err(ResponseFault::ExtensionGrammar)?;
        let extension = offer
            .config
            .extensions
            .iter()
            .find_map(|it| it.confirm(&response))
            .ok_or(ResponseFault::Extension)?
            .map_err(ResponseFault::ExtensionResponse)?;
        if agreed.replace(extension).is_some() {
            return Err(ResponseFault::Extension);
        }
    }
    Ok(agreed)
}

fn subprotocol(head: &ResponseHead<'_>, offer: &Offer) -> Result<Option<Box<str>>, ResponseFault> {
    let mut lines = head.headers.get_all("sec-websocket-protocol");
    let Some(chosen) = lines.next() else {
        return Ok(None);
    };
    let offered = offer
        .subprotocols
        .iter()
        .find(|it| it.as_bytes() == chosen)
        .ok_or(ResponseFault::Subprotocol)?;
    match lines.next() {
        Some(_) => Err(ResponseFault::Subprotocol),
        None => Ok(Some(offered.as_str().into())),
    }
}

/// The server refused the opening handshake, or its response breaks RFC 6455 section 4.1. Holds
/// that response.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseError {
    /// What is wrong with the response.
    pub fault: ResponseFault,
    /// The response's status, such as 401.
    pub status: u16,
    /// The response's headers in order, values as sent.
    pub headers: Vec<(String, Vec<u8>)>,
    /// What came of the response's body, decoded from chunks: 64 KiB at most. The reason is usually
    /// in it. Empty in what [`ClientHandshake::recv`](super::ClientHandshake::recv) returns:
    /// [`recv_body`](super::ClientHandshake::recv_body) reads it.
    pub body: Vec<u8>,
}

impl ResponseError {
    /// The first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_slice())
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            ResponseFault::Status => write!(
                f,
                "the server refused the opening handshake with status {} (RFC 6455 section 4.1)",
                self.status
            ),
            fault => f.write_str(fault.text()),
        }
    }
}

impl fmt::Debug for ResponseError {
    /// Shows the names of the headers only: values may be credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("ResponseError")
            .field("fault", &self.fault)
            .field("status", &self.status)
            .field("headers", &names)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

impl core::error::Error for ResponseError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.fault {
            ResponseFault::ExtensionGrammar(error) => Some(error),
            _ => None,
        }
    }
}

/// What is wrong with a server's response (RFC 6455 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ResponseFault {
    /// The status is not 101: the server refused, redirects or wants authentication.
    Status,
    /// The response is HTTP/1.0, which has no upgrade.
    Version,
    /// `Upgrade` is not `websocket`.
    Upgrade,
    /// `Connection` doesn't list `Upgrade`.
    Connection,
    /// `Sec-WebSocket-Accept` is missing, repeated, or not the one for this key.
    Accept,
    /// A subprotocol that was not offered, or more than one.
    Subprotocol,
    /// An extension that was not offered, or more than one.
    Extension,
    /// `Sec-WebSocket-Extensions` is malformed.
    ExtensionGrammar(GrammarError),
    /// The response to an offered extension breaks that extension's rules; the text says which.
    ExtensionResponse(&'static str),
}

impl ResponseFault {
    const fn text(self) -> &'static str {
        match self {
            Self::Status => "the status is not 101 (RFC 6455 section 4.1)",
            Self::Version => "the server answered in HTTP/1.0 (RFC 6455 section 4.1)",
            Self::Upgrade => "the response's Upgrade is not websocket (RFC 6455 section 4.1)",
            Self::Connection => {
                "the response's Connection doesn't list Upgrade (RFC 6455 section 4.1)"
            }
            Self::Accept => {
                "the response's Sec-WebSocket-Accept is missing, repeated or wrong (RFC 6455 \
                 section 4.1); what answered may be no WebSocket server"
            }
            Self::Subprotocol => {
                "the server chose a subprotocol that was not offered, or several (RFC 6455 \
                 section 4.1)"
            }
            Self::Extension => {
                "the server chose an extension that was not offered, or several (RFC 6455 \
                 section 4.1)"
            }
            Self::ExtensionGrammar(_) => {
                "the response's Sec-WebSocket-Extensions is malformed (RFC 6455 section 9.1)"
            }
            Self::ExtensionResponse(text) => text,
        }
    }
}
