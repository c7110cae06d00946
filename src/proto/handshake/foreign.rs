//! What answered a client in place of a WebSocket server, as its first bytes show.

use alloc::boxed::Box;
use core::fmt;

/// The bytes that are kept of an unknown protocol: a line that says what it is.
const KEPT: usize = 32;

/// Another protocol than the expected one, recognized by the first bytes of what answered.
///
/// ```
/// use sockeye::error::Foreign;
///
/// assert_eq!(Foreign::of(b"SSH-2.0-OpenSSH_9.6\r\n"), Foreign::Ssh);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    /// HTTP/1.0 or 1.1, without TLS.
    Http1,
    /// HTTP/2, without TLS.
    Http2,
    /// TLS.
    Tls,
    /// SSH.
    Ssh,
    /// Something else, which begins with these bytes, 32 at most.
    Other(Box<[u8]>),
}

impl Foreign {
    /// Recognizes a protocol by what its server sends first.
    #[must_use]
    pub fn of(begin: &[u8]) -> Self {
        match begin {
            [b'H', b'T', b'T', b'P', b'/', b'1', ..] => Self::Http1,
            [b'S', b'S', b'H', b'-', ..] => Self::Ssh,
            // RFC 8446 section 5.1: an alert or a handshake record, and the version.
            [21 | 22, 3, ..] => Self::Tls,
            // RFC 9113 sections 3.4 and 4.1: a server's first frame is SETTINGS, on stream 0.
            [0, 0, _, 4, 0, 0, 0, 0, 0, ..] => Self::Http2,
            _ => Self::Other(begin[..begin.len().min(KEPT)].into()),
        }
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => {
                "it speaks HTTP/1.1 without TLS: connect with ws://, or to the port that has TLS"
            }
            Self::Http2 => {
                "it speaks HTTP/2 without TLS: connect to a port that speaks HTTP/1.1, or have the \
                 server accept both"
            }
            Self::Tls => "it speaks TLS: connect with wss://, or to the port that has none",
            Self::Ssh => "it is an SSH server: check the port",
            Self::Other(begin) if begin.is_empty() => "it sent nothing",
            Self::Other(begin) => {
                return write!(
                    f,
                    "it begins with \"{}\": check host and port",
                    begin.escape_ascii()
                );
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn protocols_are_recognized_by_their_first_bytes() {
        for (begin, foreign) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], Foreign::Http1),
            (b"SSH-2.0-OpenSSH_9.6\r\n", Foreign::Ssh),
            (&[21, 3, 1, 0, 2, 2, 70], Foreign::Tls),
            (&[22, 3, 3, 0, 80], Foreign::Tls),
            (&[0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 3], Foreign::Http2),
            (b"", Foreign::Other(Box::default())),
            (b"220 mail", Foreign::Other(b"220 mail"[..].into())),
        ] {
            assert_eq!(Foreign::of(begin), foreign);
        }
        let other = Foreign::of(&[b'\n'; 100]);
        assert_eq!(other.to_string().matches("\\n").count(), KEPT);
    }
}
