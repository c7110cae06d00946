//! What an opening handshake outside this crate has agreed on.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::config::Config;
use super::extension::{Extension, ExtensionOffer, GrammarError, PerMessage, parse_extensions};

/// What both endpoints agreed on, if something else has done the opening handshake: an HTTP server
/// or client, a proxy. For [`Connection::server_with`](super::Connection::server_with) and
/// [`client_with`](super::Connection::client_with).
///
/// A server below another HTTP library:
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// use sockeye::proto::{Config, Connection, Negotiated};
///
/// # let now = Duration::ZERO;
/// let config = Arc::new(Config::default()); // with its `extensions`
///
/// // The request's values of `Sec-WebSocket-Extensions`, and one of its subprotocols, …
/// # let extensions = [b"permessage-deflate".as_slice()];
/// let mut agreed = Negotiated::default();
/// agreed.subprotocol = Some("chat".into());
/// if let Some((response, extension)) = config.accept_extension(extensions)? {
///     // … of which the response has to say `Sec-WebSocket-Extensions: {response}` …
/// #   let _ = response;
///     agreed.extension = Some(extension);
/// }
/// // … and, once it is sent, the connection is this:
/// let connection = Connection::server_with(config, agreed, now);
/// assert_eq!(connection.subprotocol(), Some("chat"));
/// # Ok::<(), sockeye::error::GrammarError>(())
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Negotiated {
    /// The subprotocol (RFC 6455 section 1.9), for
    /// [`Connection::subprotocol`](super::Connection::subprotocol) to say.
    pub subprotocol: Option<Box<str>>,
    /// The extension (RFC 6455 section 9), as a server's
    /// [`accept`](super::PerMessageExtension::accept) or a client's
    /// [`confirm`](super::PerMessageExtension::confirm) made it.
    pub extension: Option<PerMessage>,
}

impl Config {
    /// Chooses, on the server's side, among the extensions that a client offers: the first offer
    /// that one of its [`extensions`](Self::extensions) accepts; returns the element for the
    /// response and the connection's half. None declines them all, which is not an error. `lines`
    /// are the values of `Sec-WebSocket-Extensions` in the request.
    ///
    /// [`ServerHandshake`](super::ServerHandshake) does this automatically.
    ///
    /// # Errors
    /// [`GrammarError`] when the request is malformed: it is refused then (RFC 6455 section 9.1).
    pub fn accept_extension<'a>(
        &self,
        lines: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<(Extension, PerMessage)>, GrammarError> {
        let offers = parse_extensions(lines).collect::<Result<Vec<_>, _>>()?;
        Ok(self.choose_extension(offers))
    }

    pub(super) fn choose_extension<'a>(
        &self,
        offers: impl IntoIterator<Item = ExtensionOffer<'a>>,
    ) -> Option<(Extension, PerMessage)> {
        let mut offers = offers.into_iter();
        offers.find_map(|offer| self.extensions.iter().find_map(|it| it.accept(&offer)))
    }
}
