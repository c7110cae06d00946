//! Errors, sorted by who is at fault.
//!
//! | type | who | what follows |
//! |---|---|---|
//! | [`ProtocolError`] | the peer broke a rule | the connection is failed with a Close of [`close_code`](Fault::close_code) |
//! | [`LimitError`] | the peer went over a limit of this endpoint | the same |
//! | [`HandshakeError`] | the opening handshake was malformed or refused | no connection |
//! | [`Misuse`] | the caller | nothing: the call had no effect and the connection is usable |
//! | `client::ProxyError` | a client's proxy | no connection |
//! | `server::BuildError` | who puts a server together | no server |
//!
//! [`Fault`] joins the first two, [`Error`] all. The mapping from fault to close code is
//! [`Fault::close_code`] and nothing else.

use core::fmt;

#[cfg(feature = "client")]
use crate::client::ProxyError;
pub use crate::proto::http::HttpError;
pub use crate::proto::{
    DecodeError, Fault, Foreign, GrammarError, HandshakeError, LimitError, Misuse, ProtocolError,
    Refused, RequestError, ResponseError, ResponseFault, Unanswered, UrlError, Utf8Error,
};
#[cfg(feature = "server")]
use crate::server::{BuildError, proxy::NetworkError, topics::PatternError};

/// Any error of this crate.
///
/// `Display` says what the variant knows and [`source`](core::error::Error::source) what it does not
/// repeat: print both, as most reporters of errors do. A variant that only says who is at fault has
/// the text and the source of its error.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The peer broke the protocol.
    Protocol(ProtocolError),
    /// The peer went over a limit.
    Limit(LimitError),
    /// The opening handshake failed.
    Handshake(HandshakeError),
    /// The caller asked for what can't be done.
    Misuse(Misuse),
    /// The application asked for a server that can't be.
    #[cfg(feature = "server")]
    Build(BuildError),
    /// The proxy that a client was to go through didn't let it.
    #[cfg(feature = "client")]
    Proxy(ProxyError),
    /// The operating system reported an error.
    #[cfg(any(feature = "server", feature = "client"))]
    Io(std::io::Error),
    /// TLS failed: the peer's certificate is not to be trusted, say, or a configuration can't be
    /// used.
    #[cfg(feature = "tls")]
    Tls(rustls::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(error) => error.fmt(f),
            Self::Limit(error) => error.fmt(f),
            Self::Handshake(error) => error.fmt(f),
            Self::Misuse(error) => error.fmt(f),
            #[cfg(feature = "server")]
            Self::Build(error) => error.fmt(f),
            #[cfg(feature = "client")]
            Self::Proxy(error) => error.fmt(f),
            #[cfg(any(feature = "server", feature = "client"))]
            Self::Io(error) => error.fmt(f),
            #[cfg(feature = "tls")]
            Self::Tls(_) => f.write_str("TLS failed"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Protocol(error) => error.source(),
            Self::Limit(error) => error.source(),
            Self::Handshake(error) => error.source(),
            Self::Misuse(error) => error.source(),
            #[cfg(feature = "server")]
            Self::Build(error) => error.source(),
            #[cfg(feature = "client")]
            Self::Proxy(error) => error.source(),
            #[cfg(any(feature = "server", feature = "client"))]
            Self::Io(error) => error.source(),
            #[cfg(feature = "tls")]
            Self::Tls(error) => Some(error),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Protocol(error) => Self::Protocol(error),
            Fault::Limit(error) => Self::Limit(error),
        }
    }
}

impl From<HandshakeError> for Error {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Handshake(refused.into_error())
    }
}

impl<R> From<Unanswered<R>> for Error {
    fn from(unanswered: Unanswered<R>) -> Self {
        Self::Misuse(unanswered.into_misuse())
    }
}

impl From<Misuse> for Error {
    fn from(error: Misuse) -> Self {
        Self::Misuse(error)
    }
}

impl From<ProtocolError> for Error {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<LimitError> for Error {
    fn from(error: LimitError) -> Self {
        Self::Limit(error)
    }
}

/// For those who parse heads on their own: [`HandshakeError::Head`].
impl From<HttpError> for Error {
    fn from(error: HttpError) -> Self {
        Self::Handshake(error.into())
    }
}

/// For those who validate text on their own: [`ProtocolError::Utf8`].
impl From<Utf8Error> for Error {
    fn from(_: Utf8Error) -> Self {
        Self::Protocol(ProtocolError::Utf8)
    }
}

/// For those who negotiate extensions on their own: [`RequestError::Extensions`].
impl From<GrammarError> for Error {
    fn from(error: GrammarError) -> Self {
        Self::Handshake(HandshakeError::Request(RequestError::Extensions(error)))
    }
}

impl From<UrlError> for Error {
    fn from(error: UrlError) -> Self {
        Self::Misuse(error.into())
    }
}

#[cfg(feature = "server")]
impl From<BuildError> for Error {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}

/// For those who make a list of proxies: [`BuildError::Network`].
#[cfg(feature = "server")]
impl From<NetworkError> for Error {
    fn from(error: NetworkError) -> Self {
        Self::Build(error.into())
    }
}

/// For those who compile patterns on their own: [`BuildError::Topic`].
#[cfg(feature = "server")]
impl From<PatternError> for Error {
    fn from(error: PatternError) -> Self {
        Self::Build(error.into())
    }
}

#[cfg(feature = "client")]
impl From<ProxyError> for Error {
    fn from(error: ProxyError) -> Self {
        Self::Proxy(error)
    }
}

#[cfg(any(feature = "server", feature = "client"))]
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        // What a TLS transport answers as an error of reading or writing.
        #[cfg(feature = "tls")]
        if let Some(error) = error.get_ref().and_then(|it| it.downcast_ref()) {
            return Self::Tls(rustls::Error::clone(error));
        }
        Self::Io(error)
    }
}

#[cfg(feature = "tls")]
impl From<rustls::Error> for Error {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{PlainRequest, Upgrade};

    #[test]
    fn every_error_can_be_boxed_and_sent_to_another_thread() {
        fn is_error<E: core::error::Error + Send + Sync + 'static>() {}

        is_error::<Error>();
        is_error::<DecodeError>();
        is_error::<Fault>();
        is_error::<GrammarError>();
        is_error::<HandshakeError>();
        is_error::<HttpError>();
        is_error::<LimitError>();
        is_error::<Misuse>();
        is_error::<ProtocolError>();
        is_error::<Refused>();
        is_error::<RequestError>();
        is_error::<ResponseError>();
        is_error::<Unanswered<Upgrade>>();
        is_error::<Unanswered<PlainRequest>>();
        is_error::<UrlError>();
        is_error::<Utf8Error>();
        #[cfg(feature = "client")]
        {
            is_error::<ProxyError>();
            is_error::<crate::client::Unreachable>();
        }
        #[cfg(feature = "server")]
        {
            use crate::server::{ConnectionIdError, HandleError, topics};

            is_error::<BuildError>();
            is_error::<ConnectionIdError>();
            is_error::<HandleError>();
            is_error::<NetworkError>();
            is_error::<PatternError>();
            is_error::<topics::PresenceError>();
            is_error::<topics::SubscribeError>();
            #[cfg(feature = "json")]
            is_error::<crate::server::json::EventError>();
        }
    }
}
