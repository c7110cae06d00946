//! WebSocket URLs (RFC 6455 section 3), checked before anything is connected.
//!
//! Owns: parsing `ws://` and `wss://` URLs, and the three things a client takes from one: where to
//! connect, what to send as `Host`, and what to send as request target. Leaves to the client: name
//! resolution, TLS, proxies. Leaves to the user: encoding. Nothing is normalized but the case of
//! scheme and host, and nothing is percent-encoded or turned into punycode: a URL that would need
//! it is an error that says so.

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

use super::http::{AuthorityError, is_request_target, split_authority};

/// A valid WebSocket URL.
///
/// ```
/// use sockeye::proto::Url;
///
/// let url = Url::parse("wss://[::1]:9443?room=1")?;
/// assert!(url.is_secure());
/// assert_eq!((url.host(), url.port()), ("::1", 9443)); // to connect to
/// assert_eq!(url.host_header(), "[::1]:9443");
/// assert_eq!(url.target(), "/?room=1");
/// # Ok::<(), sockeye::error::UrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    secure: bool,
    ipv6: bool,
    port: u16,
    /// Bytes of the host in `host_header`, brackets included.
    host_length: usize,
    host_header: String,
    target: String,
}

impl Url {
    /// Parses `ws://host[:port][/path][?query]`, or `wss://`.
    ///
    /// The scheme may be in any case. The host is a name of ASCII letters, digits and `-._~`, an
    /// IPv4 address, or an IPv6 address in brackets. An empty port (`ws://host:/`) stands for the
    /// default, as in RFC 3986 section 3.2.3. Path and query take all visible ASCII bytes but
    /// `#`, `"`, `<`, `>`, and in the path `\`: exactly what
    /// [`is_request_target`] accepts.
    ///
    /// # Errors
    /// See [`UrlError`]. No error carries any of the URL but one byte, so that none leaks a
    /// credential into a log.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        // Checked first, so that no byte that could break a head gets any further.
        if let Some(position) = url.bytes().position(|byte| !byte.is_ascii_graphic()) {
            let byte = url.as_bytes()[position];
            return Err(UrlError::Byte { byte, position });
        }
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
        let secure = scheme.eq_ignore_ascii_case("wss");
        if !secure && !scheme.eq_ignore_ascii_case("ws") {
            return Err(UrlError::Scheme);
        }
        // RFC 6455 section 3: fragment identifiers must not be used on these URIs.
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        // RFC 6455 section 3 has no user info in its grammar.
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        let authority = split_authority(authority)?;
        // RFC 3986 would allow more, which neither DNS nor a certificate can hold.
        let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if !authority.ipv6 && !authority.host.bytes().all(name) {
            return Err(UrlError::Host);
        }

        let mut host_header = String::with_capacity(authority.host.len() + "[]:65535".len());
        if authority.ipv6 {
            host_header.extend(["[", authority.host, "]"]);
        } else {
            host_header.push_str(authority.host);
        }
        // RFC 3986 section 6.2.2.1: hosts are case-insensitive, lower case is the normal form.
        host_header.make_ascii_lowercase();
        let host_length = host_header.len();
        let port = authority.port.unwrap_or(default_port(secure));
        // RFC 6455 section 4.1: the port is sent if it is not the default one.
        if port != default_port(secure) {
            // Writing to a String can't fail.
            let _ = fmt::Write::write_fmt(&mut host_header, format_args!(":{port}"));
        }

        let mut path_and_query = String::with_capacity(target.len() + 1);
        // RFC 6455 section 3: the resource name has `/` where the path is empty.
        if !target.starts_with('/') {
            path_and_query.push('/');
        }
        path_and_query.push_str(target);
        if !is_request_target(path_and_query.as_bytes()) {
            return Err(UrlError::Target);
        }
        Ok(Self {
            secure,
            ipv6: authority.ipv6,
            port,
            host_length,
            host_header,
            target: path_and_query,
        })
    }

    /// Whether the scheme is wss: the connection is to be made over TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host to connect to and to check the certificate against, in lower case; an IPv6
    /// address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = &self.host_header[..self.host_length];
        if self.ipv6 {
            &host[1..host.len() - 1]
        } else {
            host
        }
    }

    /// The port to connect to: the URL's, or 80 for ws and 443 for wss. Never 0.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of `Host` (RFC 6455 section 4.1): the host, an IPv6 address in brackets, with
    /// the port if it is not the default of the scheme.
    #[must_use]
    pub fn host_header(&self) -> &str {
        &self.host_header
    }

    /// The request target: path and query. Begins with `/`. RFC 6455 section 3 calls it resource
    /// name.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// RFC 6455 section 3.
fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        Self::parse(url)
    }
}

/// The normal form: scheme and host in lower case, no default port, `/` for an empty path.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{}", self.host_header, self.target)
    }
}

/// Why a URL is not a WebSocket URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UrlError {
    /// A space, a control byte (CR and LF among them) or a byte above 0x7e, anywhere.
    Byte {
        /// The byte.
        byte: u8,
        /// Its offset in the URL, in bytes.
        position: usize,
    },
    /// The URL does not begin with `ws://` or `wss://`.
    Scheme,
    /// The URL has a fragment (`#…`).
    Fragment,
    /// The URL has user info (`user:password@`).
    UserInfo,
    /// There is no host.
    EmptyHost,
    /// The host has a character that is not a letter, a digit or one of `-._~`.
    Host,
    /// What stands in brackets is not an IPv6 address, there is no closing bracket, or there is
    /// something other than a port behind it.
    Ipv6,
    /// The port is not a number from 1 to 65535.
    Port,
    /// The path or query has a character that must be percent-encoded.
    Target,
}

impl From<AuthorityError> for UrlError {
    fn from(error: AuthorityError) -> Self {
        match error {
            AuthorityError::EmptyHost => Self::EmptyHost,
            AuthorityError::Host => Self::Host,
            AuthorityError::Ipv6 => Self::Ipv6,
            AuthorityError::Port => Self::Port,
        }
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Byte { byte, position } => {
                return write!(
                    f,
                    "the URL has the byte {byte:#04x} at offset {position} (RFC 3986 section 2): \
                     percent-encode it in path and query as %{byte:02X}, \
                     write an international host name in punycode (xn--), \
                     and remove spaces and line ends around the URL"
                );
            }
            Self::Scheme => {
                "the URL's scheme is not ws or wss (RFC 6455 section 3): \
                 write ws:// in place of http://, wss:// in place of https://"
            }
            Self::Fragment => {
                "the URL has a fragment (RFC 6455 section 3): remove it, \
                 or write %23 where # is part of path or query"
            }
            Self::UserInfo => {
                "the URL has user info (RFC 6455 section 3): \
                 remove it, and send an Authorization header if the server asks for one"
            }
            Self::EmptyHost => {
                "the URL has no host (RFC 6455 section 3): write it behind the scheme, \
                 as in ws://example.com/"
            }
            Self::Host => {
                "the URL's host has a character that no host name has (RFC 3986 section 3.2.2): \
                 write the name as DNS knows it, and an IPv6 address in brackets"
            }
            Self::Ipv6 => {
                "the URL's host begins with a bracket and is not an IPv6 address in brackets, \
                 without zone (RFC 3986 section 3.2.2): write it as in ws://[::1]:8080/"
            }
            Self::Port => {
                "the URL's port is not a number from 1 to 65535 (RFC 3986 section 3.2.3): \
                 correct it, or leave it out for the default (80, for wss 443); \
                 an IPv6 address goes in brackets"
            }
            Self::Target => {
                "the URL's path or query has a character that must be percent-encoded \
                 (RFC 3986 section 2.1): write %22 for \", %3C for <, %3E for >, \
                 and in the path %5C for \\"
            }
        })
    }
}

impl core::error::Error for UrlError {}
