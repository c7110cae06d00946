//! `Forwarded` (RFC 7239) and `X-Forwarded-For`: the addresses of one line, from the right.
//!
//! The left part may be written by the client: whatever it is, it must not change how the elements
//! that proxies appended are read. So a line is split from its end. `None` is an element that names
//! no address; the caller ignores the elements to its left.

use alloc::borrow::Cow;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::proto::http::is_token;

/// The addresses of one line of `X-Forwarded-For`, the last one first. It is a list of addresses,
/// to which some proxies add the port.
pub(super) fn x_forwarded_for(line: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    line.rsplit(|&byte| byte == b',')
        .map(trim)
        // Empty elements of a list don't count (RFC 9110 section 5.6.1).
        .filter(|element| !element.is_empty())
        .map(|element| {
            let text = str::from_utf8(element).ok()?;
            text.parse::<Ipv6Addr>()
                .map_or_else(|_| node(text), |address| Some(address.into()))
        })
}

/// The addresses of one line of `Forwarded`, the last one first.
pub(super) fn forwarded(line: &[u8]) -> impl Iterator<Item = Option<IpAddr>> {
    let mut rest = Some(line);
    core::iter::from_fn(move || {
        loop {
            let line = rest?;
            let comma = last_unquoted(line, b',');
            rest = comma.map(|at| &line[..at]);
            let element = trim(&line[comma.map_or(0, |at| at + 1)..]);
            if !element.is_empty() {
                return Some(forwarded_element(element));
            }
        }
    })
}

/// `forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] )` (RFC 7239 section 4).
fn forwarded_element(element: &[u8]) -> Option<IpAddr> {
    let mut address = None;
    let mut rest = Some(element);
    while let Some(element) = rest {
        let at = last_unquoted(element, b';');
        rest = at.map(|at| &element[..at]);
        // White space around a pair is not in the grammar, but some proxies write it.
        let pair = trim(&element[at.map_or(0, |at| at + 1)..]);
        if pair.is_empty() {
            continue;
        }
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (&pair[..equals], value(&pair[equals + 1..])?);
        if !is_token(name) {
            return None;
        }
        if name.eq_ignore_ascii_case(b"for") {
            // "Each parameter MUST NOT occur more than once per field-value" (section 4).
            if address.is_some() {
                return None;
            }
            address = Some(node(str::from_utf8(&value).ok()?)?);
        }
    }
    address
}

/// `value = token / quoted-string`, without its quotes.
fn value(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    if is_token(bytes) {
        return Some(bytes.into());
    }
    let [b'"', quoted @ .., b'"'] = bytes else {
        return None;
    };
    if !quoted.iter().any(|byte| matches!(byte, b'\\' | b'"')) {
        return Some(quoted.into());
    }
    let mut value = alloc::vec::Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        value.push(match byte {
            b'\\' => *bytes.next()?,
            b'"' => return None,
            byte => byte,
        });
    }
    Some(value.into())
}

/// `node = nodename [ ":" node-port ]` (RFC 7239 section 6). None also for `unknown` and obfuscated
/// names: they say that there is a hop, not which.
fn node(text: &str) -> Option<IpAddr> {
    let (address, port): (IpAddr, _) = if let Some(text) = text.strip_prefix('[') {
        let (address, port) = text.split_once(']')?;
        let port = match port {
            "" => None,
            port => Some(port.strip_prefix(':')?),
        };
        (address.parse::<Ipv6Addr>().ok()?.into(), port)
    } else {
        let (address, port) = match text.split_once(':') {
            Some((address, port)) => (address, Some(port)),
            None => (text, None),
        };
        (address.parse::<Ipv4Addr>().ok()?.into(), port)
    };
    port.is_none_or(is_port).then_some(address)
}

/// `node-port = port / obfport`, `port = 1*5DIGIT`, `obfport = "_" 1*(ALPHA / DIGIT / "." / "_" /
/// "-")`.
fn is_port(port: &str) -> bool {
    match port.strip_prefix('_') {
        Some(name) => {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        None => {
            port.bytes().all(|byte| byte.is_ascii_digit())
                && port.len() <= 5
                && port.parse::<u16>().is_ok()
        }
    }
}

/// The last `separator` outside quoted strings, as read from the right end.
///
/// A quote opens or closes a string unless an odd number of `\` precedes it. Each run of them is
/// counted once, so this is linear.
fn last_unquoted(bytes: &[u8], separator: u8) -> Option<usize> {
    let mut quoted = false;
    let mut at = bytes.len();
    while at > 0 {
        at -= 1;
        match bytes[at] {
            b'"' => {
                let before = bytes[..at].iter().rev();
                let escapes = before.take_while(|&&byte| byte == b'\\').count();
                // A backslash escapes only within a quoted string.
                quoted ^= !quoted || escapes % 2 == 0;
                at -= escapes;
            }
            byte if byte == separator && !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// SP and HTAB only.
fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
