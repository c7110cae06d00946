//! Sockeye.
#![no_std]

extern crate alloc;
#[cfg(any(feature = "server", feature = "client", test))]
extern crate std;

#[cfg(feature = "client")]
pub mod client;
pub mod error;
#[cfg(any(feature = "server", feature = "client"))]
mod net;
pub mod proto;
#[cfg(feature = "server")]
pub mod server;

pub use error::Error;
