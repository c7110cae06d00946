//! The errors of a server's configuration, as opposed to the operating system's.

use std::boxed::Box;
use std::fmt;
#[cfg(any(feature = "files", feature = "tls"))]
use std::path::Path;

#[cfg(feature = "tls")]
use rustls::pki_types::pem;

use super::proxy::NetworkError;
use super::topics::PatternError;

/// The server can't be built as configured: a call, or a file, has to be changed.
///
/// ```
/// use sockeye::Error;
/// use sockeye::server::{BuildError, HttpResponse, RouteFault, Server};
///
/// let server = Server::builder()
///     .get("health", |_| HttpResponse::text("ok"))
///     .listen("127.0.0.1:0");
/// let Err(Error::Build(BuildError::Route { path, fault })) = server else {
///     panic!("no request has such a path");
/// };
/// assert_eq!((&*path, fault), ("health", RouteFault::NoSlash));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// A path of [`Builder`](super::Builder) or [`Route`](super::Route) can't be routed.
    Route {
        /// The path as it was given.
        path: Box<str>,
        /// What is wrong with it.
        fault: RouteFault,
    },
    /// The argument of [`Builder::topic`](super::Builder::topic) or
    /// [`Route::topic`](super::Route::topic) is not a topic pattern.
    Topic(PatternError),
    /// A [`Cors`](super::http::Cors) can't be used.
    Cors(CorsFault),
    /// The [namespace](super::Route::namespace) of a route is empty or has a space; without one of
    /// its own, it is the path.
    Namespace(Box<str>),
    /// The folder of [`Files`](super::http::Files) can't be used.
    #[cfg(feature = "files")]
    Folder {
        /// The folder as it was given.
        path: Box<Path>,
        /// What is wrong with it.
        error: std::io::Error,
    },
    /// The argument of [`TrustedProxies`](super::proxy::TrustedProxies) is not a network.
    Network(NetworkError),
    /// There is no listener, so that nobody could connect.
    NoListener,
    /// The setting of this name is for another kind of [`Listener`](super::Listener).
    ListenerSetting(&'static str),
    /// rustls can't make a connection from this configuration.
    #[cfg(feature = "tls")]
    Tls(rustls::Error),
    /// [`Handle::set_tls`](super::Handle::set_tls) on a server that has no TLS configuration, or
    /// several and none of [`Builder::tls`](super::Builder::tls).
    #[cfg(feature = "tls")]
    NoTls,
    /// [`Handle::reload_tls`](super::Handle::reload_tls) on a server without
    /// [`Builder::tls_from_pem`](super::Builder::tls_from_pem).
    #[cfg(feature = "tls")]
    NoTlsFiles,
    /// The file of a certificate chain can't be read, is not PEM or contains no certificate.
    #[cfg(feature = "tls")]
    CertificateFile {
        /// The file.
        path: Box<Path>,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// The file of a private key can't be read, is not PEM or contains no unencrypted key.
    #[cfg(feature = "tls")]
    KeyFile {
        /// The file.
        path: Box<Path>,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// Both files can be read, but rustls refuses their content: the key belongs to another
    /// certificate, say.
    #[cfg(feature = "tls")]
    KeyPair {
        /// The file of the certificate chain.
        certificates: Box<Path>,
        /// The file of the private key.
        private_key: Box<Path>,
        /// The error of rustls.
        error: rustls::Error,
    },
}

/// Why a path can't be routed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteFault {
    /// It doesn't begin with `/`, as the path of each request does (RFC 9112 section 3.2.1).
    NoSlash,
    /// The optional part isn't a whole last segment.
    Optional,
    /// A parameter has no name, or a brace is unmatched.
    Parameter,
    /// Two parameters are in one segment.
    Segment,
    /// A catch-all isn't the last segment.
    CatchAll,
    /// This other path matches the same requests.
    Conflict(Box<str>),
    /// A guard is for this path and those below it, and there is none.
    Unused,
    /// The route reads a parameter of this name, which the path doesn't have.
    Unknown(Box<str>),
    /// The route reads a parameter of this name as if it were always there, and it may be absent.
    Absent(Box<str>),
    /// A method of this name, which is not a token (RFC 9110 section 9.1), has a handler for it.
    Method(Box<str>),
}

/// Why a [`Cors`](super::http::Cors) can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CorsFault {
    /// It allows credentials of any origin.
    CredentialsOfAny,
    /// This name of a header is not a token, or `*`.
    Header(Box<str>),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route { path, fault } => write!(f, "route {path:?}: {fault}"),
            Self::Topic(error) => error.fmt(f),
            Self::Cors(fault) => fault.fmt(f),
            #[cfg(feature = "files")]
            Self::Folder { path, .. } => {
                write!(f, "the folder {} can't be used", path.display())
            }
            Self::Namespace(name) => {
                write!(
                    f,
                    "the namespace {name:?} must not be empty or have a space"
                )
            }
            Self::Network(error) => error.fmt(f),
            Self::NoListener => f.write_str("the server has no listener"),
            Self::ListenerSetting(name) => write!(
                f,
                "{name} doesn't apply to this listener: reuse_port and only_v6 are for an address to \
                 bind, mode is for a path to bind"
            ),
            #[cfg(feature = "tls")]
            Self::Tls(_) => f.write_str("the TLS configuration can't be used"),
            #[cfg(feature = "tls")]
            Self::NoTls => {
                f.write_str("the server has no TLS configuration of Builder::tls to replace")
            }
            #[cfg(feature = "tls")]
            Self::NoTlsFiles => {
                f.write_str("the server has no files of Builder::tls_from_pem to read again")
            }
            #[cfg(feature = "tls")]
            Self::CertificateFile { path, error } => bad_file(f, path, error, "certificate"),
            #[cfg(feature = "tls")]
            Self::KeyFile { path, error } => bad_file(f, path, error, "unencrypted private key"),
            #[cfg(feature = "tls")]
            Self::KeyPair {
                certificates,
                private_key,
                ..
            } => write!(
                f,
                "the certificate of {} and the key of {} can't be used together",
                certificates.display(),
                private_key.display()
            ),
        }
    }
}

/// Writes the error for a file that should contain `what`; the source has the rest.
#[cfg(feature = "tls")]
fn bad_file(
    f: &mut fmt::Formatter<'_>,
    path: &Path,
    error: &pem::Error,
    what: &str,
) -> fmt::Result {
    let path = path.display();
    match error {
        pem::Error::Io(_) => write!(f, "{path}: can't be read"),
        pem::Error::NoItemsFound => write!(f, "{path}: no {what} in PEM format"),
        _ => write!(f, "{path}: not a PEM file"),
    }
}

impl core::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            #[cfg(feature = "tls")]
            Self::Tls(error) | Self::KeyPair { error, .. } => Some(error),
            #[cfg(feature = "tls")]
            Self::CertificateFile { error, .. } | Self::KeyFile { error, .. } => match error {
                pem::Error::Io(error) => Some(error),
                pem::Error::NoItemsFound => None,
                error => Some(error),
            },
            #[cfg(feature = "files")]
            Self::Folder { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl From<PatternError> for BuildError {
    fn from(error: PatternError) -> Self {
        Self::Topic(error)
    }
}

impl From<NetworkError> for BuildError {
    fn from(error: NetworkError) -> Self {
        Self::Network(error)
    }
}

#[cfg(feature = "tls")]
impl From<rustls::Error> for BuildError {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error)
    }
}

impl fmt::Display for RouteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSlash => "the path must begin with `/`, or no request would match",
            Self::Optional => "only a whole last segment can be optional, as in /rooms/{room?}",
            Self::Parameter => "a parameter needs a name between braces, as in /rooms/{room}",
            Self::Segment => "a segment can have one parameter only, as in /rooms/{room}/{user}",
            Self::CatchAll => "only the last segment can be a catch-all, as in /files/{*rest}",
            Self::Unused => "a guard is for this path, and nothing has it or one below it",
            Self::Unknown(name) => {
                return write!(
                    f,
                    "the route reads {name:?}, which is no parameter of the path"
                );
            }
            Self::Absent(name) => {
                return write!(
                    f,
                    "the parameter {name:?} may be absent: read it as an OptionalParam"
                );
            }
            Self::Conflict(other) => {
                return write!(f, "it matches what {other:?} does; leave one of them out");
            }
            Self::Method(name) => {
                return write!(
                    f,
                    "{name:?} is not a method, which is a token (RFC 9110 section 9.1)"
                );
            }
        })
    }
}

impl fmt::Display for CorsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CredentialsOfAny => {
                f.write_str("CORS: credentials can't be allowed to any origin; list the origins")
            }
            Self::Header(name) => write!(f, "CORS: {name:?} is not the name of a header"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::server::Server;
    use crate::server::topics::TopicOptions;

    #[test]
    fn a_topic_that_is_no_pattern_is_told_by_its_type() {
        let builder = Server::builder().topic("rooms/a*", TopicOptions::new());
        let error = builder.listen("127.0.0.1:0").unwrap_err();
        let Error::Build(BuildError::Topic(PatternError(pattern))) = error else {
            panic!("{error:?}");
        };
        assert_eq!(&*pattern, "rooms/a*");
    }
}
