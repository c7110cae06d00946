//! Between the core and the operating system: transports and the bytes that wait to be written.

#[cfg(feature = "server")]
mod spares;
#[cfg(all(feature = "tls", any(feature = "server", feature = "client")))]
mod tls;
#[cfg(any(feature = "server", feature = "client"))]
mod transport;
#[cfg(feature = "server")]
mod write_queue;

#[cfg(feature = "server")]
pub(crate) use spares::{KeptPlace, Place, Spares};
#[cfg(all(feature = "tls", feature = "client"))]
pub(crate) use tls::ClientTls;
#[cfg(all(feature = "tls", feature = "server"))]
pub(crate) use tls::ServerTls;
#[cfg(all(test, feature = "tls", feature = "server", feature = "client"))]
pub(crate) use tls::tests::configs as tls_configs;
#[cfg(feature = "server")]
pub(crate) use transport::Agreed;
pub(crate) use transport::{Clock, Transport};
#[cfg(feature = "server")]
pub(crate) use write_queue::{Keep, WriteQueue};
