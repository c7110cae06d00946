//! The way through a proxy: what is said to it before it passes everything on (RFC 9110 section 9.3.6,
//! RFC 1928, RFC 1929).
//!
//! Owns the bytes of its answers that are incomplete. Sockets and waiting are left to the caller.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use std::net::IpAddr;

use super::proxy::{Proxy, ProxyError, ProxyKind};
use crate::proto::http::{HeadLimits, HeadParser};

/// SOCKS's version (RFC 1928 section 3), and that of its names and passwords (RFC 1929 section 2).
const VERSION: u8 = 5;
const PASSWORD_VERSION: u8 = 1;
const NO_AUTHENTICATION: u8 = 0;
const USERNAME_PASSWORD: u8 = 2;

/// Asks a proxy for the way to a server.
///
/// An input, [`recv`](Self::recv); what is to be sent is appended to the `out` that it and
/// [`new`](Self::new) are given.
pub(super) struct Tunnel {
    state: State,
    received: Vec<u8>,
    /// What SOCKS is still to be sent: name and password, and the request.
    login: Option<Vec<u8>>,
    request: Vec<u8>,
}

enum State {
    Connect(HeadParser),
    Method,
    Login,
    Reply,
    Open,
}

impl Tunnel {
    /// Begins; `host` is a name, or an address that stands for it.
    ///
    /// # Errors
    /// [`ProxyError::Length`].
    pub(super) fn new(
        proxy: &Proxy,
        host: &str,
        port: u16,
        out: &mut Vec<u8>,
    ) -> Result<Self, ProxyError> {
        let mut tunnel = Self {
            state: State::Method,
            received: Vec::new(),
            login: None,
            request: Vec::new(),
        };
        match proxy.kind {
            ProxyKind::Http => {
                tunnel.state = State::Connect(HeadParser::response(HeadLimits::default()));
                out.extend_from_slice(connect(proxy, host, port).as_bytes());
            }
            ProxyKind::Socks5 { .. } => {
                tunnel.request = request(host, port)?;
                if let Some(credentials) = &proxy.credentials {
                    let mut login = Vec::from([PASSWORD_VERSION]);
                    push(&credentials.user, &mut login)?;
                    push(&credentials.password, &mut login)?;
                    tunnel.login = Some(login);
                    out.extend([VERSION, 2, NO_AUTHENTICATION, USERNAME_PASSWORD]);
                } else {
                    out.extend([VERSION, 1, NO_AUTHENTICATION]);
                }
            }
        }
        Ok(tunnel)
    }

    /// Takes what the proxy sent; returns whether all that is sent from now on reaches the server.
    ///
    /// # Errors
    /// The proxy refused, or is none.
    pub(super) fn recv(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<bool, ProxyError> {
        self.received.extend_from_slice(bytes);
        loop {
            let received = &*self.received;
            let (length, next) = match (&mut self.state, received) {
                // Neither TLS nor WebSocket has a server that speaks first.
                (State::Open, []) => return Ok(true),
                (State::Open, _) => return Err(ProxyError::Malformed),
                (State::Connect(parser), _) => {
                    let parsed = parser.parse(received).map_err(|_| ProxyError::Malformed)?;
                    let Some(length) = parsed else {
                        return Ok(false);
                    };
                    let status = parser.response_head(received).map_or(0, |head| head.status);
                    match status {
                        200..=299 => (length, State::Open),
                        _ => return Err(ProxyError::Status(status)),
                    }
                }
                (State::Method, [VERSION, NO_AUTHENTICATION, ..]) => {
                    out.extend_from_slice(&self.request);
                    (2, State::Reply)
                }
                (State::Method, [VERSION, USERNAME_PASSWORD, ..]) => {
                    let login = self.login.take().ok_or(ProxyError::Authentication)?;
                    out.extend_from_slice(&login);
                    (2, State::Login)
                }
                // RFC 1928 section 3: "If the selected METHOD is X'FF', none of the methods listed
                // by the client are acceptable".
                (State::Method, [VERSION, 0xFF, ..]) => return Err(ProxyError::Authentication),
                (State::Login, [PASSWORD_VERSION, 0, ..]) => {
                    out.extend_from_slice(&self.request);
                    (2, State::Reply)
                }
                (State::Login, [PASSWORD_VERSION, _, ..]) => {
                    return Err(ProxyError::Authentication);
                }
                (State::Reply, [VERSION, 0, 0, rest @ ..]) => match reply_length(rest)? {
                    Some(length) if received.len() >= length => (length, State::Open),
                    _ => return Ok(false),
                },
                (State::Reply, [VERSION, reply, ..]) if *reply > 0 => {
                    return Err(ProxyError::Reply(*reply));
                }
                (State::Method | State::Reply, [] | [VERSION])
                | (State::Login, [] | [PASSWORD_VERSION])
                | (State::Reply, [VERSION, 0]) => return Ok(false),
                _ => return Err(ProxyError::Malformed),
            };
            self.received.drain(..length);
            self.state = next;
        }
    }
}

/// The request to an HTTP proxy.
fn connect(proxy: &Proxy, host: &str, port: u16) -> String {
    let authority = match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    let authorization = proxy.credentials.as_ref().map_or_else(String::new, |it| {
        format!("Proxy-Authorization: {}\r\n", it.basic())
    });
    format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{authorization}\r\n")
}

/// RFC 1928 section 4: CONNECT to an address or a name.
fn request(host: &str, port: u16) -> Result<Vec<u8>, ProxyError> {
    let mut request = Vec::from([VERSION, 1, 0]);
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            request.push(1);
            request.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(4);
            request.extend(address.octets());
        }
        Err(_) => {
            request.push(3);
            push(host, &mut request)?;
        }
    }
    request.extend(port.to_be_bytes());
    Ok(request)
}

/// Appends a text behind its length, which is one byte.
fn push(text: &str, out: &mut Vec<u8>) -> Result<(), ProxyError> {
    match u8::try_from(text.len()) {
        Ok(length @ 1..) => out.push(length),
        _ => return Err(ProxyError::Length),
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// How long a reply is, by its bytes from the address's type on (RFC 1928 section 6).
fn reply_length(rest: &[u8]) -> Result<Option<usize>, ProxyError> {
    let address = match rest {
        [1, ..] => 4,
        [4, ..] => 16,
        [3, length, ..] => 1 + usize::from(*length),
        [] | [3] => return Ok(None),
        _ => return Err(ProxyError::Malformed),
    };
    Ok(Some(4 + address + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Talks to a proxy that sends `answers` in turn, whole or a byte at a time; returns what it was
    /// sent, and the result.
    fn talk(proxy: &str, host: &str, answers: &[&[u8]]) -> (Vec<u8>, Result<bool, ProxyError>) {
        let run = |step: usize| {
            let mut out = Vec::new();
            let proxy = Proxy::parse(proxy).unwrap();
            let mut tunnel = Tunnel::new(&proxy, host, 443, &mut out).unwrap();
            let mut result = Ok(false);
            for bytes in answers.iter().flat_map(|it| it.chunks(step)) {
                result = result.and_then(|_| tunnel.recv(bytes, &mut out));
            }
            (out, result)
        };
        let whole = run(usize::MAX);
        assert_eq!(run(1), whole, "a byte at a time");
        whole
    }

    #[test]
    fn connect_asks_with_host_and_credentials() {
        let ok = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n";
        let (sent, result) = talk("http://me:secret@proxy", "chat.example", &[ok]);
        assert_eq!(result, Ok(true));
        assert_eq!(
            sent,
            b"CONNECT chat.example:443 HTTP/1.1\r\nHost: chat.example:443\r\n\
              Proxy-Authorization: Basic bWU6c2VjcmV0\r\n\r\n"
        );
        let (sent, _) = talk("http://proxy", "::1", &[ok]);
        assert_eq!(
            sent,
            b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n"
        );
    }

    #[test]
    fn connect_that_is_refused_has_the_status() {
        for (answer, error) in [
            (&b"HTTP/1.1 407 Auth\r\n\r\n"[..], ProxyError::Status(407)),
            (b"HTTP/1.1 503 No\r\n\r\n", ProxyError::Status(503)),
            (b"HTTP/1.1 101 Yes\r\n\r\n", ProxyError::Status(101)),
            (b"SSH-2.0-x\r\n", ProxyError::Malformed),
        ] {
            assert_eq!(talk("http://proxy", "a", &[answer]).1, Err(error));
        }
        let mut out = Vec::new();
        let proxy = Proxy::parse("http://proxy").unwrap();
        let mut tunnel = Tunnel::new(&proxy, "a", 80, &mut out).unwrap();
        let early = tunnel.recv(b"HTTP/1.1 200 Yes\r\n\r\nHTTP/1.1 101 ", &mut out);
        assert_eq!(
            early,
            Err(ProxyError::Malformed),
            "the server wasn't asked yet"
        );
    }

    #[test]
    fn socks_asks_by_name_or_address() {
        let four = [5, 0, 0, 1, 127, 0, 0, 1, 0, 80];
        let (sent, result) = talk("socks5h://proxy", "chat.example", &[&[5, 0], &four]);
        assert_eq!(result, Ok(true));
        let name = b"\x05\x01\x00\x05\x01\x00\x03\x0cchat.example\x01\xbb";
        assert_eq!(sent, name);
        let six = [[5, 0, 0, 4].as_slice(), &[0; 18]].concat();
        let (sent, result) = talk("socks5://proxy", "192.0.2.1", &[&[5, 0], &six]);
        assert_eq!(result, Ok(true));
        assert_eq!(sent[3..], [5, 1, 0, 1, 192, 0, 2, 1, 1, 187]);
        let named = b"\x05\x00\x00\x03\x04host\x00\x50";
        let (sent, result) = talk("socks5://proxy", "::1", &[&[5, 0], named]);
        assert_eq!(result, Ok(true));
        assert_eq!(sent[3..7], [5, 1, 0, 4]);
    }

    #[test]
    fn socks_is_told_name_and_password_if_it_asks() {
        let reply = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let (sent, result) = talk(
            "socks5://me:pw@proxy",
            "1.2.3.4",
            &[&[5, 2], &[1, 0], &reply],
        );
        assert_eq!(result, Ok(true));
        assert_eq!(sent[..4], [5, 2, 0, 2]);
        assert_eq!(sent[4..11], *b"\x01\x02me\x02pw");
        let refused = talk("socks5://me:pw@proxy", "a", &[&[5, 2], &[1, 1]]).1;
        assert_eq!(refused, Err(ProxyError::Authentication));
        // One that wants none isn't told.
        let (sent, _) = talk("socks5://me:pw@proxy", "1.2.3.4", &[&[5, 0], &reply]);
        assert_eq!(sent.len(), 4 + 10);
        for answer in [[5, 0xFF], [5, 2]] {
            let refused = talk("socks5://proxy", "a", &[&answer]).1;
            assert_eq!(refused, Err(ProxyError::Authentication));
        }
    }

    #[test]
    fn socks_that_fails_has_the_reply() {
        let refused = [5, 5, 0, 1];
        let result = talk("socks5://proxy", "a", &[&[5, 0], &refused]).1;
        assert_eq!(result, Err(ProxyError::Reply(5)));
        for answers in [
            &[&[4, 0][..]][..],
            &[&[5, 0], &[5, 0, 0, 9]],
            &[&[5, 3]],
            &[b"HTTP"],
        ] {
            assert_eq!(
                talk("socks5://proxy", "a", answers).1,
                Err(ProxyError::Malformed)
            );
        }
        let proxy = Proxy::parse("socks5h://proxy").unwrap();
        let long = "a".repeat(256);
        let result = Tunnel::new(&proxy, &long, 80, &mut Vec::new());
        assert_eq!(result.err(), Some(ProxyError::Length));
    }
}
