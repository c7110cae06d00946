//! The PROXY protocol, versions 1 and 2, as haproxy.org's `proxy-protocol.txt` defines it: a
//! header in front of a connection's own bytes, in which a proxy says whose connection it is.
//!
//! Only for listeners that proxies alone reach: "The receiver MUST be configured to only receive
//! the protocol described in this specification and MUST not try to guess whether the protocol
//! header is present or not" (section 2). The caller checks the peer first.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// "The maximum line lengths the receiver must support including the CRLF are: … worst case …
/// 107 chars" (section 2.1).
const MAX_V1: usize = 107;

/// Signature, version and command, family and protocol, length.
const V2_FIXED: usize = 16;

/// The smallest segment that TCP must carry whole, and the specification's recommended limit
/// (section 2). Besides the addresses it leaves 484 bytes for additions; cloud load balancers use
/// about 100.
const MAX_V2: usize = 536;

const V1: &[u8; 6] = b"PROXY ";
const V2: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum ProxyHeader {
    /// The proxy's own, such as a health check, or one whose addresses it doesn't know, or one
    /// without addresses (a Unix socket): the addresses of the TCP connection hold.
    Local,
    /// That of a client, which connected from `source` to `destination`.
    Proxied {
        source: SocketAddr,
        destination: SocketAddr,
    },
}

/// What is wrong with a PROXY header. The connection can only be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum ProxyError {
    /// The bytes begin with neither version's signature.
    Signature,
    /// Version 1: the line is not complete within 107 bytes.
    LineTooLong,
    /// Version 1: not the fields of its family with one space between them, ended by CR LF.
    Line,
    /// Version 2: another version, or a command other than LOCAL and PROXY.
    Command(u8),
    /// Version 2: an address family or a protocol that no TCP connection has.
    Family(u8),
    /// Version 2: the length has no room for the addresses, or is over 520 bytes.
    Length(u16),
}

impl ProxyHeader {
    /// Reads the header at the front of `bytes`, which are all bytes of the connection so far. None
    /// if it isn't complete; otherwise the header and its length, at most 536 bytes, after which
    /// the connection's own bytes begin.
    ///
    /// A version 2 header's additions (TLVs) are skipped, their CRC too: TCP has its own.
    ///
    /// # Errors
    /// Returned at the first byte that proves it, and for all longer `bytes`.
    pub(in crate::server) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProxyError> {
        match bytes.first() {
            None => Ok(None),
            Some(b'P') => parse_v1(bytes),
            Some(_) => parse_v2(bytes),
        }
    }
}

/// Whether `bytes` begins with all of `expected`; an error if it can no longer do so.
fn signature(bytes: &[u8], expected: &[u8]) -> Result<bool, ProxyError> {
    let length = bytes.len().min(expected.len());
    if bytes[..length] != expected[..length] {
        return Err(ProxyError::Signature);
    }
    Ok(length == expected.len())
}

fn parse_v1(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyError> {
    if !signature(bytes, V1)? {
        return Ok(None);
    }
    let line = &bytes[..bytes.len().min(MAX_V1)];
    // The first byte outside printable ASCII ends the line.
    let end = line.iter().position(|byte| !matches!(byte, b' '..=b'~'));
    let Some(end) = end else {
        return match line.len() {
            MAX_V1 => Err(ProxyError::LineTooLong),
            _ => Ok(None),
        };
    };
    match line[end..] {
        // Its LF would be the 108th byte.
        [b'\r'] if line.len() == MAX_V1 => return Err(ProxyError::LineTooLong),
        [b'\r'] => return Ok(None),
        [b'\r', b'\n', ..] => {}
        _ => return Err(ProxyError::Line),
    }
    let text = str::from_utf8(&line[V1.len()..end]).map_err(|_| ProxyError::Line)?;
    let header = fields(text).ok_or(ProxyError::Line)?;
    Ok(Some((header, end + 2)))
}

/// `TCP4 source destination port port`, or `UNKNOWN`, behind which "the receiver must ignore
/// anything presented before the CRLF".
fn fields(text: &str) -> Option<ProxyHeader> {
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Some(ProxyHeader::Local);
    }
    let mut fields = text.split(' ');
    let parse = match fields.next()? {
        // The standard library's parsers are as strict as the specification: no leading zeros.
        "TCP4" => |text: &str| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |text: &str| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return None,
    };
    let (source, destination) = (parse(fields.next()?)?, parse(fields.next()?)?);
    let (from, to) = (port(fields.next()?)?, port(fields.next()?)?);
    fields.next().is_none().then_some(ProxyHeader::Proxied {
        source: (source, from).into(),
        destination: (destination, to).into(),
    })
}

/// A decimal number without a sign or leading zeros.
fn port(text: &str) -> Option<u16> {
    let canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    canonical.then(|| text.parse().ok())?
}

fn parse_v2(bytes: &[u8]) -> Result<Option<(ProxyHeader, usize)>, ProxyError> {
    if !signature(bytes, V2)? {
        return Ok(None);
    }
    // "The highest four bits contain the version … only accept the value 2" (section 2.2).
    let local = match bytes.get(12) {
        None => return Ok(None),
        Some(0x20) => true,
        Some(0x21) => false,
        Some(&other) => return Err(ProxyError::Command(other)),
    };
    // Address family and transport protocol; the length of two addresses and ports.
    let addresses = match bytes.get(13) {
        None => return Ok(None),
        // "The receiver must … discard the protocol block including the family which is ignored."
        Some(_) if local => 0,
        Some(0x00) => 0,
        Some(0x11) => 2 * (4 + 2),
        Some(0x21) => 2 * (16 + 2),
        // AF_UNIX, SOCK_STREAM.
        Some(0x31) => 2 * 108,
        Some(&other) => return Err(ProxyError::Family(other)),
    };
    let Some(&[high, low]) = bytes.get(14..V2_FIXED) else {
        return Ok(None);
    };
    let length = u16::from_be_bytes([high, low]);
    let total = V2_FIXED + usize::from(length);
    if usize::from(length) < addresses || total > MAX_V2 {
        return Err(ProxyError::Length(length));
    }
    let Some(block) = bytes.get(V2_FIXED..total) else {
        return Ok(None);
    };
    let header = match (local, bytes[13]) {
        (false, 0x11) => proxied::<4>(block),
        (false, 0x21) => proxied::<16>(block),
        _ => Some(ProxyHeader::Local),
    };
    let header = header.ok_or(ProxyError::Length(length))?;
    Ok(Some((header, total)))
}

/// Two addresses of `N` bytes and two ports.
fn proxied<const N: usize>(block: &[u8]) -> Option<ProxyHeader>
where
    IpAddr: From<[u8; N]>,
{
    let (source, block) = block.split_first_chunk::<N>()?;
    let (destination, block) = block.split_first_chunk::<N>()?;
    let (from, block) = block.split_first_chunk()?;
    let (to, _) = block.split_first_chunk()?;
    Some(ProxyHeader::Proxied {
        source: (*source, u16::from_be_bytes(*from)).into(),
        destination: (*destination, u16::from_be_bytes(*to)).into(),
    })
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signature => f.write_str(
                "the connection doesn't begin with a PROXY header: the proxy must send it, and \
                 nobody else may reach this listener",
            ),
            Self::LineTooLong => f.write_str("PROXY header: line longer than 107 bytes"),
            Self::Line => f.write_str("PROXY header: malformed line"),
            Self::Command(byte) => {
                write!(f, "PROXY header: unknown version or command {byte:#04x}")
            }
            Self::Family(byte) => write!(
                f,
                "PROXY header: address family and protocol {byte:#04x}, which is not TCP"
            ),
            Self::Length(length) => write!(
                f,
                "PROXY header: length {length}, less than the addresses take or more than 520"
            ),
        }
    }
}

impl core::error::Error for ProxyError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::{String, ToString as _};
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn proxied(source: &str, destination: &str) -> ProxyHeader {
        ProxyHeader::Proxied {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        }
    }

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = (block.len() as u16).to_be_bytes();
        [&V2[..], &[command, family], &length, block].concat()
    }

    fn ipv4(additions: usize) -> Vec<u8> {
        let mut block = Vec::from([192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x67, 0x01, 0xbb]);
        block.resize(block.len() + additions, 0xee);
        block
    }

    /// Whole, with bytes behind it, and on every prefix: nothing but None before the end.
    fn accepts(bytes: &[u8], header: ProxyHeader) {
        let expected = Ok(Some((header, bytes.len())));
        assert_eq!(ProxyHeader::parse(bytes), expected, "{bytes:?}");
        for end in 0..bytes.len() {
            assert_eq!(
                ProxyHeader::parse(&bytes[..end]),
                Ok(None),
                "{end} of {bytes:?}"
            );
        }
        for behind in ["\r\n", "GET / HTTP/1.1\r\n", "PROXY TCP4"] {
            let more = [bytes, behind.as_bytes()].concat();
            assert_eq!(ProxyHeader::parse(&more), expected, "{more:?}");
        }
    }

    /// The same error whole, on each prefix from some byte on, and with bytes behind it.
    fn refuses(bytes: &[u8], error: ProxyError) {
        let mut result = Ok(None);
        for end in 0..=bytes.len() {
            let now = ProxyHeader::parse(&bytes[..end]);
            assert!(result == Ok(None) || result == now, "{end} of {bytes:?}");
            result = now;
        }
        assert_eq!(result, Err(error), "{:?}", bytes.escape_ascii().to_string());
        let more = [bytes, b"\r\nmore and more"].concat();
        assert_eq!(ProxyHeader::parse(&more), Err(error));
    }

    #[test]
    fn version_1_is_read_byte_by_byte() {
        accepts(
            b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n",
            proxied("192.0.2.1:4711", "198.51.100.2:443"),
        );
        accepts(
            b"PROXY TCP6 2001:db8::1 ::1 65535 0\r\n",
            proxied("[2001:db8::1]:65535", "[::1]:0"),
        );
        accepts(b"PROXY UNKNOWN\r\n", ProxyHeader::Local);
        accepts(b"PROXY UNKNOWN whatever 1 2 3\r\n", ProxyHeader::Local);
        let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(91));
        assert_eq!(longest.len(), MAX_V1);
        accepts(longest.as_bytes(), ProxyHeader::Local);
    }

    #[test]
    fn version_1_is_strict() {
        for line in [
            "PROXY \r\n",
            "PROXY TCP4\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4711\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4711 443 \r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 4711 443 1\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.2 4711 443\r\n",
            "PROXY TCP4 192.0.2.01 198.51.100.2 4711 443\r\n",
            "PROXY TCP4 192.0.2 198.51.100.2 4711 443\r\n",
            "PROXY TCP4 ::1 ::1 4711 443\r\n",
            "PROXY TCP6 192.0.2.1 ::1 4711 443\r\n",
            "PROXY TCP6 fe80::1%eth0 ::1 4711 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 01 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n",
            "PROXY tcp4 192.0.2.1 198.51.100.2 1 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.2 1 443\r\n",
            "PROXY UNKNOWNS\r\n",
            "PROXY UNKNOWN\n",
            "PROXY UNKNOWN\rX",
            "PROXY UNKNOWN \t\r\n",
            "PROXY UNKNOWN \u{e9}\r\n",
            "PROXY UNKNOWN \0\r\n",
        ] {
            refuses(line.as_bytes(), ProxyError::Line);
        }
        for start in [
            "GET / HTTP/1.1\r\n",
            "PROXX",
            "proxy ",
            "PROXY\r\n",
            "P ",
            "\x16\x03",
        ] {
            refuses(start.as_bytes(), ProxyError::Signature);
        }
    }

    #[test]
    fn version_1_ends_within_107_bytes() {
        for ending in ["", "\r\n", "\n"] {
            let line = format!("PROXY UNKNOWN {}{ending}", "f".repeat(93));
            refuses(line.as_bytes(), ProxyError::LineTooLong);
        }
        let line = format!("PROXY UNKNOWN {}\r\n", "f".repeat(92));
        refuses(line.as_bytes(), ProxyError::LineTooLong);
    }

    #[test]
    fn version_2_is_read_byte_by_byte() {
        let header = proxied("192.0.2.1:4711", "198.51.100.2:443");
        accepts(&v2(0x21, 0x11, &ipv4(0)), header);
        accepts(&v2(0x21, 0x11, &ipv4(100)), header);
        let mut block = Vec::from([0; 36]);
        (block[15], block[31], block[33], block[35]) = (1, 2, 3, 4);
        accepts(&v2(0x21, 0x21, &block), proxied("[::1]:3", "[::2]:4"));
        accepts(&v2(0x21, 0x31, &[b'/'; 216]), ProxyHeader::Local);
        accepts(&v2(0x21, 0x00, b""), ProxyHeader::Local);
        accepts(&v2(0x21, 0x00, b"anything"), ProxyHeader::Local);
        accepts(&v2(0x20, 0x00, b""), ProxyHeader::Local);
        accepts(&v2(0x20, 0x11, &ipv4(7)), ProxyHeader::Local);
        accepts(&v2(0x20, 0xff, b"ignored"), ProxyHeader::Local);
    }

    #[test]
    fn version_2_is_strict() {
        for command in [0x00, 0x10, 0x11, 0x22, 0x2f, 0x31] {
            refuses(&v2(command, 0x11, &ipv4(0)), ProxyError::Command(command));
        }
        for family in [0x01, 0x10, 0x12, 0x13, 0x20, 0x22, 0x32, 0x41, 0xff] {
            refuses(&v2(0x21, family, &[0; 216]), ProxyError::Family(family));
        }
        refuses(&v2(0x21, 0x11, &ipv4(0)[..11]), ProxyError::Length(11));
        refuses(&v2(0x21, 0x21, &ipv4(0)), ProxyError::Length(12));
        refuses(&v2(0x21, 0x31, &[0; 215]), ProxyError::Length(215));
        refuses(b"\r\n\r\n\0\r\nQUIZ\n", ProxyError::Signature);
    }

    #[test]
    fn version_2_is_at_most_536_bytes() {
        let header = proxied("192.0.2.1:4711", "198.51.100.2:443");
        accepts(&v2(0x21, 0x11, &ipv4(508)), header);
        refuses(&v2(0x21, 0x11, &ipv4(509)), ProxyError::Length(521));
        // From the length alone, before any of it arrives.
        let claimed = [&V2[..], &[0x20, 0x00, 0xff, 0xff]].concat();
        refuses(&claimed, ProxyError::Length(65535));
    }

    proptest! {
        /// Any bytes behind any beginning: no panic, an answer that stays once it is given, and
        /// never one that claims more than there is.
        #[test]
        fn an_answer_stays_and_never_claims_more_than_there_is(
            start in proptest::sample::select(Vec::from([
                &b""[..], &V1[..], b"PROXY TCP4 1.2.3.4 ", &V2[..],
                b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0",
            ])),
            rest in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                "[ 0-9.:a-fPROXYTCUNKW\r\n]{0,120}".prop_map(String::into_bytes),
            ],
        ) {
            let bytes = [start, &rest].concat();
            let mut result = Ok(None);
            for end in 0..=bytes.len() {
                let now = ProxyHeader::parse(&bytes[..end]);
                prop_assert!(result == Ok(None) || result == now);
                if let Ok(Some((_, length))) = now {
                    prop_assert!(length <= end && length <= MAX_V2);
                }
                result = now;
            }
        }

        #[test]
        fn what_is_written_is_read(
            source in any::<(IpAddr, u16)>(), destination in any::<(IpAddr, u16)>(),
        ) {
            let (source, destination) = (SocketAddr::from(source), SocketAddr::from(destination));
            prop_assume!(source.is_ipv4() == destination.is_ipv4());
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.port(), destination.port());
            let line = format!(
                "PROXY {family} {} {} {from} {to}\r\n", source.ip(), destination.ip()
            );
            let header = ProxyHeader::Proxied { source, destination };
            prop_assert_eq!(
                ProxyHeader::parse(line.as_bytes()),
                Ok(Some((header, line.len())))
            );
        }
    }
}
