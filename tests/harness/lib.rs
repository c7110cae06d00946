//! What the suites share, one module for each ring: bytes and drivers of the sans-io core, requests
//! and responses of the opening handshake, zlib, servers and peers over real sockets, TLS, and an
//! allocator that counts.
//!
//! Nothing here uses the crate's own encoder or decoder to judge it, so that a fault in it can't
//! hide itself.

pub mod counting;
#[cfg(feature = "deflate")]
pub mod deflate;
pub mod handshake;
#[cfg(feature = "server")]
pub mod load;
#[cfg(feature = "server")]
pub mod net;
pub mod program;
mod random;
pub mod sansio;
#[cfg(all(feature = "server", feature = "tls"))]
pub mod tls;

pub use random::Seeded;
