//! Between the core and the operating system: transports and the bytes that wait to be written.

#[cfg(feature = "server")]
mod spares;
#[cfg(any(feature = "server", feature = "client"))]
mod transport;
#[cfg(feature = "server")]
mod write_queue;

#[cfg(feature = "server")]
pub(crate) use spares::Spares;
pub(crate) use transport::{Clock, Transport};
#[cfg(feature = "server")]
pub(crate) use write_queue::{Keep, WriteQueue};
