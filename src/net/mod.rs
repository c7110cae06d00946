//! The transports of client and server, between the core and the operating system.

#[cfg(all(feature = "tls", any(feature = "server", feature = "client")))]
mod tls;
#[cfg(any(feature = "server", feature = "client"))]
mod transport;

#[cfg(all(feature = "tls", feature = "client"))]
pub(crate) use tls::ClientTls;
#[cfg(all(feature = "tls", feature = "server"))]
pub(crate) use tls::ServerTls;
#[cfg(all(test, feature = "tls", feature = "server", feature = "client"))]
pub(crate) use tls::tests as tls_tests;
#[cfg(feature = "server")]
pub(crate) use transport::Agreed;
pub(crate) use transport::{Clock, Transport};
