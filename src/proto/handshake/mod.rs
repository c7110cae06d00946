//! The opening handshake (RFC 6455 section 4), both roles, on byte slices.
//!
//! [`ServerHandshake`] and [`ClientHandshake`] own the bytes of a head that is not complete and end
//! in a [`Connection`](super::Connection). Here is what they share: the accept key, and writing a
//! head. HTTP's own grammar is in [`http`](super::http).

mod check;
mod client;
mod confirm;
mod error;
mod head;
mod origin;
mod partial;
mod plain;
mod refused;
mod request;
mod response;
mod server;
mod upgrade;

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use check::RequestError;
pub use client::{ClientHandshake, ClientRequest};
pub use confirm::{ResponseError, ResponseFault};
pub use error::HandshakeError;
pub use origin::Origins;
pub use partial::PartialRequest;
pub use plain::{PlainRequest, ReadBody, Responded};
pub use refused::{Refused, Unanswered};
pub use request::{Request, percent_decode};
pub use response::Response;
pub use server::{Received, ServerHandshake};
pub use upgrade::{Accept, Upgrade};

/// The version of the protocol (RFC 6455 section 4.1).
const VERSION: &str = "13";

/// The bytes of a key: a nonce of 16 bytes (RFC 6455 section 4.1).
const KEY_LENGTH: usize = 16;

/// The value of `Sec-WebSocket-Accept` for that of `Sec-WebSocket-Key`, as it was sent (RFC 6455
/// section 4.2.2): 28 characters. The key is not checked.
///
/// ```
/// let accept = sockeye::proto::accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
/// assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
#[must_use]
pub fn accept_key(key: &[u8]) -> String {
    let mut sha1 = sha1_smol::Sha1::new();
    sha1.update(key);
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(sha1.digest().bytes())
}

/// Appends a header line.
fn write_header(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// The names of headers, for `Debug`: values may be credentials.
fn header_names<'a>(headers: &[(&'a str, &str)]) -> Vec<&'a str> {
    headers.iter().map(|(name, _)| *name).collect()
}
