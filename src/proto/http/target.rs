//! The request target and the authority: `Host`, absolute-form, and the URLs of a client.

use core::net::Ipv6Addr;

use super::HttpError;
use super::syntax::{REG_NAME, is_class};

/// A parsed request target (RFC 9112 section 3.2). Nothing is percent-decoded.
///
/// ```
/// use sockeye::proto::http::Target;
///
/// let target = Target::parse("/chat?room=1")?;
/// assert_eq!((target.path, target.query), ("/chat", Some("room=1")));
/// let target = Target::parse("http://example.com?x")?;
/// assert_eq!((target.authority, target.path), (Some("example.com"), "/"));
/// # Ok::<(), sockeye::proto::http::HttpError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Target<'a> {
    /// `host[:port]` of absolute-form; None for origin-form. Where it is Some, RFC 9112 section
    /// 3.2.2 has the server use it in place of `Host`.
    pub authority: Option<&'a str>,
    /// The path; begins with `/`.
    pub path: &'a str,
    /// What follows the first `?`, if there is one.
    pub query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Splits a target in origin-form (`/chat?room=1`) or absolute-form (`http://host/chat`), the
    /// latter for the schemes http, https, ws and wss in any case.
    ///
    /// # Errors
    /// [`HttpError::Target`] for bytes that [`is_request_target`](super::is_request_target)
    /// refuses; a target that [`HeadParser`](super::HeadParser) has accepted has none.
    /// [`HttpError::TargetForm`] for `*`, for authority-form, for another scheme, and for an
    /// authority that [`is_host`] refuses (user info among them: RFC 9110 section 4.2.4).
    pub fn parse(target: &'a str) -> Result<Self, HttpError> {
        if !super::is_request_target(target.as_bytes()) {
            return Err(HttpError::Target);
        }
        if target.starts_with('/') {
            return Ok(Self::origin_form(None, target));
        }
        // RFC 9112 section 3.2.2: a server accepts absolute-form in requests, also when it is no
        // proxy.
        let (scheme, rest) = target.split_once("://").ok_or(HttpError::TargetForm)?;
        let known = ["http", "https", "ws", "wss"];
        if !known.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return Err(HttpError::TargetForm);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if !is_host(authority.as_bytes()) {
            return Err(HttpError::TargetForm);
        }
        Ok(Self::origin_form(Some(authority), rest))
    }

    fn origin_form(authority: Option<&'a str>, target: &'a str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        // RFC 9110 section 4.2.3: an empty path component is the same as `/`.
        let path = if path.is_empty() { "/" } else { path };
        Self {
            authority,
            path,
            query,
        }
    }
}

/// Whether `value` is a valid `Host` of a WebSocket request: `uri-host [ ":" port ]` (RFC 9110
/// section 7.2).
///
/// The host is a registered name or IPv4 address (RFC 3986 section 3.2.2: letters, digits,
/// `-._~`, sub-delims, `%` escapes) or an IPv6 address in brackets, without a zone. The port is
/// empty or 1 to 65535.
///
/// Empty is not valid here, although RFC 9112 section 3.2 has clients send an empty `Host` for a
/// target without authority: a ws or wss URI always has a host (RFC 6455 section 3), and RFC 9110
/// section 4.2.1 has recipients reject http URIs with an empty one.
#[must_use]
pub fn is_host(value: &[u8]) -> bool {
    core::str::from_utf8(value).is_ok_and(|value| split_authority(value).is_ok())
}

/// A parsed `host[:port]`.
#[derive(Debug)]
pub(in crate::proto) struct Authority<'a> {
    /// Without brackets.
    pub(in crate::proto) host: &'a str,
    pub(in crate::proto) ipv6: bool,
    /// None if absent or empty.
    pub(in crate::proto) port: Option<u16>,
}

#[derive(Debug)]
pub(in crate::proto) enum AuthorityError {
    EmptyHost,
    Host,
    Ipv6,
    Port,
}

pub(in crate::proto) fn split_authority(authority: &str) -> Result<Authority<'_>, AuthorityError> {
    let (host, ipv6, rest) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or(AuthorityError::Ipv6)?;
            // This also refuses zones, which must not leave their host (RFC 6874 section 4), and
            // IPvFuture, of which there is none.
            host.parse::<Ipv6Addr>().map_err(|_| AuthorityError::Ipv6)?;
            (host, true, rest)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, rest) = authority.split_at(end);
            if host.is_empty() {
                return Err(AuthorityError::EmptyHost);
            }
            if !is_reg_name(host.as_bytes()) {
                return Err(AuthorityError::Host);
            }
            (host, false, rest)
        }
    };
    let port = match (rest, rest.strip_prefix(':')) {
        // RFC 3986 section 3.2.3: a port may be empty, which stands for the default.
        ("" | ":", _) => None,
        (_, Some(digits)) => Some(port(digits).ok_or(AuthorityError::Port)?),
        // Anything else behind the brackets is an error.
        (_, None) => return Err(AuthorityError::Ipv6),
    };
    Ok(Authority { host, ipv6, port })
}

fn is_reg_name(mut bytes: &[u8]) -> bool {
    loop {
        bytes = match bytes {
            [] => return true,
            [b'%', high, low, rest @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest
            }
            [byte, rest @ ..] if is_class(*byte, REG_NAME) => rest,
            _ => return false,
        }
    }
}

/// 1 to 65535, in digits only: `u16::from_str` would take a `+`.
fn port(digits: &str) -> Option<u16> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().filter(|&port| port != 0)
}
