//! Whether a response completes the opening handshake (RFC 6455 section 4.1).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::proto::extension::GrammarError;

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
    /// `Sec-WebSocket-Accept` is missing, there more than once, or not the one for this key.
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
