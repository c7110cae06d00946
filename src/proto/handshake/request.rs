//! The request as the application sees it.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::head::HeadReader;
use crate::proto::extension::{ExtensionOffer, parse_extensions};
use crate::proto::http::{Headers, RequestHead, Target, Version};

/// A received request, borrowed from the handshake.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    head: RequestHead<'a>,
    target: Target<'a>,
    upgrade: bool,
}

impl<'a> Request<'a> {
    /// From a head that was received whole and is well formed.
    pub(super) fn of(head: &'a HeadReader, upgrade: bool) -> Self {
        let head = head.request().expect("a complete head");
        Self {
            head,
            target: Target::parse(head.target).expect("a target that was parsed before"),
            upgrade,
        }
    }

    /// Whether this is a valid opening handshake, and not a plain HTTP request.
    #[must_use]
    pub fn is_upgrade(&self) -> bool {
        self.upgrade
    }

    /// The method; `GET` for an opening handshake.
    #[must_use]
    pub fn method(&self) -> &'a str {
        self.head.method
    }

    /// The HTTP version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// The request target as sent, such as `/chat?room=1`.
    #[must_use]
    pub fn target(&self) -> &'a str {
        self.head.target
    }

    pub(super) fn target_parts(&self) -> Target<'a> {
        self.target
    }

    /// The path, percent-encoded as sent; it begins with `/`.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.target.path
    }

    /// The query as sent, without the `?`.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.target.query
    }

    /// The query's parameters in order, decoded as forms are: `%20` and `+` are spaces. One
    /// without `=` has an empty value; bytes that are not UTF-8 once decoded become U+FFFD.
    pub fn query_params(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
        query_params(self.query().unwrap_or(""))
    }

    /// The first query parameter of this name, decoded.
    #[must_use]
    pub fn query_param(&self, name: &str) -> Option<Cow<'a, str>> {
        self.query_params()
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        self.head.headers
    }

    /// The first header of this name, in any case, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        core::str::from_utf8(self.headers().get(name)?).ok()
    }

    /// The host the client means, with its port if it sent one. HTTP/1.0 may have none. That of
    /// an absolute request target goes before the header (RFC 9112 section 3.2.2).
    #[must_use]
    pub fn host(&self) -> Option<&'a str> {
        self.target.authority.or_else(|| self.header("host"))
    }

    /// The origin of the page that connects (RFC 6454); clients other than browsers send none.
    #[must_use]
    pub fn origin(&self) -> Option<&'a str> {
        self.header("origin")
    }

    /// The offered subprotocols, the client's preferred one first (RFC 6455 section 1.9).
    /// Several header lines are one list.
    pub fn subprotocols(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.headers()
            .tokens("sec-websocket-protocol")
            .filter_map(|token| core::str::from_utf8(token).ok())
    }

    /// The first of the offered subprotocols that is among `supported`, out of `supported`.
    #[must_use]
    pub fn choose_subprotocol<'s>(&self, supported: &[&'s str]) -> Option<&'s str> {
        let chosen = |offered| supported.iter().copied().find(|it| *it == offered);
        self.subprotocols().find_map(chosen)
    }

    /// The offered extensions in order (RFC 6455 section 9.1).
    pub fn extensions(&self) -> impl Iterator<Item = ExtensionOffer<'a>> + use<'a> {
        parse_extensions(self.headers().get_all("sec-websocket-extensions")).map_while(Result::ok)
    }
}

/// The parameters of a query in order, decoded as [`Request::query_params`] has them.
///
/// ```
/// use sockeye::proto::query_params;
///
/// let mut params = query_params("name=J+D&x");
/// assert_eq!(params.next(), Some(("name".into(), "J D".into())));
/// assert_eq!(params.next(), Some(("x".into(), "".into())));
/// ```
pub fn query_params(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query
        .split('&')
        .filter(|param| !param.is_empty())
        .map(|param| {
            let (name, value) = param.split_once('=').unwrap_or((param, ""));
            (form_decode(name), form_decode(value))
        })
}

/// Decodes `application/x-www-form-urlencoded`.
fn form_decode(text: &str) -> Cow<'_, str> {
    decode(text, true)
}

/// Undoes percent-encoding (RFC 3986 section 2.1), as paths have it; `+` stays. A `%` without two
/// hexadecimal digits stays, and bytes that are not UTF-8 once decoded become U+FFFD.
///
/// ```
/// use sockeye::proto::percent_decode;
///
/// assert_eq!(percent_decode("a%20b+c%"), "a b+c%");
/// ```
#[must_use]
pub fn percent_decode(text: &str) -> Cow<'_, str> {
    decode(text, false)
}

/// A `%` without two hexadecimal digits stays; what is not UTF-8 once decoded becomes U+FFFD.
fn decode(text: &str, plus_is_space: bool) -> Cow<'_, str> {
    let encoded = |byte| byte == b'%' || (plus_is_space && byte == b'+');
    if !text.bytes().any(encoded) {
        return Cow::Borrowed(text);
    }
    let hex = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        decoded.push(match (first, after) {
            (b'+', _) if plus_is_space => b' ',
            (b'%', [high, low, after @ ..]) => match (hex(high), hex(low)) {
                (Some(high), Some(low)) => {
                    rest = after;
                    high << 4 | low
                }
                _ => b'%',
            },
            (byte, _) => *byte,
        });
    }
    Cow::Owned(match String::from_utf8(decoded) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}
