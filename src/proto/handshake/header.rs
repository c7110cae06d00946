//! The headers that both sides of the opening handshake use.

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The version of the protocol (RFC 6455 section 4.1).
pub(super) const VERSION: &str = "13";

/// The bytes of a key: a nonce of 16 bytes (RFC 6455 section 4.1).
pub(super) const KEY_LENGTH: usize = 16;

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
pub(super) fn write_header(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Shows the names of headers for `Debug`: values may be credentials.
pub(super) fn header_names<N: AsRef<str>, V>(headers: &[(N, V)]) -> Vec<&str> {
    headers.iter().map(|(name, _)| name.as_ref()).collect()
}
