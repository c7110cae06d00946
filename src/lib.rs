//! Sockeye.
#![no_std]

extern crate alloc;
#[cfg(any(feature = "server", feature = "client"))]
extern crate std;

pub mod error;
pub mod proto;

pub use error::Error;
