//! Cookies that a response sets (RFC 6265 section 4.1).

use core::fmt;
use std::string::String;
use std::time::Duration;

use crate::proto::http::is_token;

/// A cookie that a response sets, with what a browser should do with it (RFC 6265 section 4.1).
///
/// Without further calls a browser sends it back with requests below the path that set it, until it
/// is closed.
///
/// ```
/// use std::time::Duration;
/// use sockeye::server::http::{Cookie, SameSite};
/// use sockeye::server::{HttpResponse, Server};
///
/// let server = Server::builder().post("/sign-in", |_| {
///     let cookie = Cookie::new("session", "s3cret")?
///         .path("/")?
///         .http_only()
///         .secure()
///         .same_site(SameSite::Lax)
///         .max_age(Duration::from_secs(3600));
///     Ok(HttpResponse::status(204).with_cookie(&cookie))
/// });
/// # let _ = server;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Cookie {
    /// Name and value.
    pair: String,
    path: Option<String>,
    domain: Option<String>,
    max_age: Option<Duration>,
    secure: bool,
    http_only: bool,
    same_site: Option<SameSite>,
}

impl Cookie {
    /// Creates a cookie with this name and value, neither of which is encoded: what a value can't
    /// have, encode as Base64 or percent-encoded.
    ///
    /// # Errors
    /// [`CookieError`] if the name is not a token, or the value has a byte that is not a
    /// cookie-octet: a control character, a space, `"`, `,`, `;`, `\` or a character that is not
    /// ASCII.
    pub fn new(name: &str, value: &str) -> Result<Self, CookieError> {
        if !is_token(name.as_bytes()) {
            return Err(CookieError::Name);
        }
        if !value.bytes().all(is_cookie_octet) {
            return Err(CookieError::Value);
        }
        Ok(Self {
            pair: std::format!("{name}={value}"),
            path: None,
            domain: None,
            max_age: None,
            secure: false,
            http_only: false,
            same_site: None,
        })
    }

    /// Creates one that makes a browser forget the cookie of this name. Path and domain must be
    /// those that the cookie was set with.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn removal(name: &str) -> Result<Self, CookieError> {
        Ok(Self::new(name, "")?.max_age(Duration::ZERO))
    }

    /// Sets the path: the cookie is sent with requests of it and below it.
    ///
    /// # Errors
    /// [`CookieError`] if it doesn't begin with `/`, which browsers pass over, or has a control
    /// character, `;` or a character that is not ASCII.
    pub fn path(self, path: &str) -> Result<Self, CookieError> {
        if !path.starts_with('/') || !path.bytes().all(is_attribute_byte) {
            return Err(CookieError::Path);
        }
        Ok(Self {
            path: Some(path.into()),
            ..self
        })
    }

    /// Sets the domain: the cookie is sent to it and its subdomains, and not only to the host that
    /// set it.
    ///
    /// # Errors
    /// [`CookieError`] if it is empty, or has a byte other than a letter, a digit, `-` or `.`.
    pub fn domain(self, domain: &str) -> Result<Self, CookieError> {
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
        if domain.is_empty() || !domain.bytes().all(is_host) {
            return Err(CookieError::Domain);
        }
        Ok(Self {
            domain: Some(domain.into()),
            ..self
        })
    }

    /// Sets for how long it is kept, in whole seconds; zero removes it. Default until the browser is
    /// closed.
    pub fn max_age(self, age: Duration) -> Self {
        Self {
            max_age: Some(age),
            ..self
        }
    }

    /// Sends it over TLS only.
    pub fn secure(self) -> Self {
        Self {
            secure: true,
            ..self
        }
    }

    /// Hides it from scripts.
    pub fn http_only(self) -> Self {
        Self {
            http_only: true,
            ..self
        }
    }

    /// Sets when it is sent with requests that other sites cause. [`SameSite::None`] also makes it
    /// [`secure`](Self::secure), without which browsers refuse it.
    pub fn same_site(self, same_site: SameSite) -> Self {
        Self {
            same_site: Some(same_site),
            secure: self.secure || same_site == SameSite::None,
            ..self
        }
    }
}

/// The value of `Set-Cookie`.
impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pair)?;
        if let Some(path) = &self.path {
            write!(f, "; Path={path}")?;
        }
        if let Some(domain) = &self.domain {
            write!(f, "; Domain={domain}")?;
        }
        if let Some(age) = self.max_age {
            write!(f, "; Max-Age={}", age.as_secs())?;
        }
        if self.secure {
            f.write_str("; Secure")?;
        }
        if self.http_only {
            f.write_str("; HttpOnly")?;
        }
        match self.same_site {
            Some(SameSite::Strict) => f.write_str("; SameSite=Strict"),
            Some(SameSite::Lax) => f.write_str("; SameSite=Lax"),
            Some(SameSite::None) => f.write_str("; SameSite=None"),
            None => Ok(()),
        }
    }
}

/// When a [`Cookie`] is sent with requests that other sites cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// When a link is followed: the default of most browsers.
    Lax,
    /// Always, WebSockets of other sites' pages included.
    None,
}

/// Why a [`Cookie`] can't be set. As a refusal it is a 500: the server is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CookieError {
    /// The name is not a token.
    Name,
    /// The value has a byte that a cookie can't have.
    Value,
    /// The path doesn't begin with `/`, or has a byte that it can't have.
    Path,
    /// The domain is not the name of a host.
    Domain,
}

impl fmt::Display for CookieError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "the name of a cookie must be a token",
            Self::Value => "the value of a cookie has a byte that it can't have: encode it",
            Self::Path => "the path of a cookie must begin with / and have no control byte or ;",
            Self::Domain => "the domain of a cookie is not the name of a host",
        })
    }
}

impl core::error::Error for CookieError {}

/// RFC 6265 section 4.1.1: cookie-octet = %x21 / %x23-2B / %x2D-3A / %x3C-5B / %x5D-7E.
fn is_cookie_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

/// RFC 6265 section 4.1.1: path-value = any CHAR except CTLs or ";".
fn is_attribute_byte(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b';'
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;

    #[test]
    fn all_attributes_are_written_in_one_order() {
        let cookie = Cookie::new("id", "a=b").unwrap();
        assert_eq!(cookie.to_string(), "id=a=b");
        let cookie = cookie
            .same_site(SameSite::None)
            .http_only()
            .max_age(Duration::from_millis(1999))
            .domain("a.example")
            .and_then(|it| it.path("/a b"))
            .unwrap();
        let text =
            "id=a=b; Path=/a b; Domain=a.example; Max-Age=1; Secure; HttpOnly; SameSite=None";
        assert_eq!(cookie.to_string(), text);
        let removal = Cookie::removal("id").unwrap();
        assert_eq!(removal.to_string(), "id=; Max-Age=0");
        for (same_site, name) in [(SameSite::Strict, "Strict"), (SameSite::Lax, "Lax")] {
            let cookie = Cookie::new("a", "").unwrap().same_site(same_site);
            assert_eq!(cookie.to_string(), std::format!("a=; SameSite={name}"));
        }
    }

    #[test]
    fn what_would_add_an_attribute_or_a_header_is_refused() {
        for byte in 0..=255 {
            let text = std::format!("a{}b", char::from(byte));
            let octet =
                matches!(byte, 0x21 | 0x23..=0x2B | 0x2D..=0x3A | 0x3C..=0x5B | 0x5D..=0x7E);
            assert_eq!(Cookie::new("a", &text).is_ok(), octet, "{text:?}");
            let token = is_token(text.as_bytes());
            assert_eq!(Cookie::new(&text, "").is_ok(), token, "{text:?}");
            let attribute = matches!(byte, 0x20..=0x7E if byte != b';');
            let path = std::format!("/{text}");
            let cookie = || Cookie::new("a", "").unwrap();
            assert_eq!(cookie().path(&path).is_ok(), attribute, "{text:?}");
            let host = byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
            assert_eq!(cookie().domain(&text).is_ok(), host, "{text:?}");
        }
        assert_eq!(Cookie::new("", "a"), Err(CookieError::Name));
        let cookie = Cookie::new("a", "").unwrap();
        assert_eq!(cookie.clone().path("a"), Err(CookieError::Path));
        assert_eq!(cookie.domain(""), Err(CookieError::Domain));
    }
}
