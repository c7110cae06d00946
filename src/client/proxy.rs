//! Which proxy a client goes through, if any.

use alloc::string::{String, ToString as _};
use core::fmt;
use std::env;

use super::authorization::{Credentials, take_user_info};
use crate::proto::Url;

/// The port of SOCKS (RFC 1928 section 3).
const SOCKS_PORT: u16 = 1080;

/// A proxy that clients connect through: HTTP's CONNECT (RFC 9110 section 9.3.6) or SOCKS5 (RFC
/// 1928), each with a name and a password or without.
///
/// ```
/// use sockeye::client::{ConnectOptions, Proxy};
///
/// let mut options = ConnectOptions::default();
/// options.proxy = Some(Proxy::parse("http://me:secret@proxy.example:3128")?);
/// # Ok::<(), sockeye::client::ProxyError>(())
/// ```
///
/// `Debug` shows no credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    pub(super) kind: ProxyKind,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) credentials: Option<Credentials>,
}

/// How to speak to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProxyKind {
    Http,
    Socks5 {
        /// Whether the proxy looks the server's name up.
        resolves: bool,
    },
}

impl Proxy {
    /// Parses `http://[user[:password]@]host[:port]`, `socks5://` where the client looks the server's
    /// name up, or `socks5h://` where the proxy does. Without a scheme it is HTTP. The port is 80 or
    /// 1080 unless it is there. User and password are percent-encoded.
    ///
    /// # Errors
    /// [`ProxyError::Scheme`] for another scheme, TLS to the proxy itself among them;
    /// [`ProxyError::Url`] for anything else that is wrong with it.
    pub fn parse(url: &str) -> Result<Self, ProxyError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let kind = match &*scheme.to_ascii_lowercase() {
            "http" => ProxyKind::Http,
            "socks5" => ProxyKind::Socks5 { resolves: false },
            "socks5h" => ProxyKind::Socks5 { resolves: true },
            _ => return Err(ProxyError::Scheme),
        };
        let mut url = String::from("ws://");
        url.push_str(rest);
        let (url, credentials) = take_user_info(&url);
        let authority = url["ws://".len()..]
            .split(['/', '?', '#'])
            .next()
            .unwrap_or("");
        let has_port = authority
            .rsplit(']')
            .next()
            .is_some_and(|it| it.contains(':'));
        // Host and port are written as in any other URL.
        let parsed = Url::parse(&url).map_err(|_| ProxyError::Url)?;
        if parsed.target() != "/" {
            return Err(ProxyError::Url);
        }
        Ok(Self {
            host: parsed.host().to_string(),
            port: match kind {
                ProxyKind::Socks5 { .. } if !has_port => SOCKS_PORT,
                _ => parsed.port(),
            },
            kind,
            credentials,
        })
    }

    /// The proxy that the environment names for this URL, as most programs do: in `https_proxy` or
    /// `HTTPS_PROXY` for `wss://`, in `http_proxy` for `ws://`, else in `all_proxy` or `ALL_PROXY`;
    /// none for hosts that `no_proxy` or `NO_PROXY` lists. `HTTP_PROXY` isn't read: where a program
    /// runs as CGI, it is a header of the request (CVE-2016-5385).
    ///
    /// `no_proxy` is a list with commas: `*`, a host, or a domain, which stands for its subdomains,
    /// too; each with a port or without.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_env(url: &Url) -> Result<Option<Self>, ProxyError> {
        Self::from_variables(url, |name| env::var(name).ok())
    }

    fn from_variables(
        url: &Url,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, ProxyError> {
        let first = |names: &[&str]| {
            let values = names.iter().filter_map(|it| variable(it));
            values.into_iter().find(|it| !it.is_empty())
        };
        let named = match url.is_secure() {
            true => first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            false => first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
        };
        let except = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
        match named {
            Some(named) if !is_listed(&except, url) => Self::parse(&named).map(Some),
            _ => Ok(None),
        }
    }
}

/// Whether `no_proxy` lists the URL's host.
fn is_listed(list: &str, url: &Url) -> bool {
    let mut entries = list.split(',').map(str::trim).filter(|it| !it.is_empty());
    entries.any(|entry| {
        let (name, port) = match entry.rsplit_once(':') {
            // The colons of an IPv6 address without brackets are no port's.
            Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
            _ => (entry, None),
        };
        let name = name.trim_start_matches(['.', '[']).trim_end_matches(']');
        let name = name.to_ascii_lowercase();
        let host = url.host();
        let inside = host
            .strip_suffix(&*name)
            .is_some_and(|it| it.is_empty() || it.ends_with('.'));
        let fits = port.is_none_or(|it| it.parse() == Ok(url.port()));
        entry == "*" || inside && fits && !name.is_empty()
    })
}

/// What is wrong with a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyError {
    /// The proxy's URL has another scheme than `http`, `socks5` and `socks5h`.
    Scheme,
    /// The proxy's URL is malformed.
    Url,
    /// The proxy refused CONNECT with this status: with 407 it wants a name and a password.
    Status(u16),
    /// The SOCKS proxy refused with this reply (RFC 1928 section 6).
    Reply(u8),
    /// The SOCKS proxy wants a name and a password, or doesn't accept those it got.
    Authentication,
    /// The server's name, or the name or password for a SOCKS proxy, is empty or longer than 255
    /// bytes.
    Length,
    /// What answered is no proxy of this kind, or it said something behind its answer, where it is
    /// the client's turn.
    Malformed,
    /// The proxy ended the connection before it had answered.
    Eof,
    /// The proxy hadn't answered within
    /// [`handshake_timeout`](crate::proto::Config::handshake_timeout).
    Timeout,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the proxy's URL has another scheme than http, socks5 and socks5h",
            Self::Url => "the proxy's URL is not scheme://[user[:password]@]host[:port]",
            Self::Status(407) => {
                "the proxy wants a name and a password, or others than those (RFC 9110 section \
                 15.5.8)"
            }
            Self::Status(status) => {
                return write!(
                    f,
                    "the proxy refused CONNECT with status {status} (RFC 9110 section 9.3.6)"
                );
            }
            Self::Reply(reply) => {
                let text = match reply {
                    1 => "general failure",
                    2 => "not allowed by its rules",
                    3 => "network unreachable",
                    4 => "host unreachable",
                    5 => "connection refused",
                    6 => "TTL expired",
                    7 => "command not supported",
                    8 => "address type not supported",
                    _ => "for an unknown reason",
                };
                return write!(
                    f,
                    "the proxy didn't connect to the server: {text} (reply {reply}, RFC 1928 \
                     section 6)"
                );
            }
            Self::Authentication => {
                "the proxy wants a name and a password, or others than those (RFC 1929)"
            }
            Self::Length => {
                "a name or password for a SOCKS proxy has no or more than 255 bytes (RFC 1928, RFC \
                 1929)"
            }
            Self::Malformed => "what answered is no proxy of this kind: check its URL",
            Self::Eof => "the proxy ended the connection before it had answered",
            Self::Timeout => "the proxy hadn't answered within handshake_timeout",
        })
    }
}

impl core::error::Error for ProxyError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn parsed(url: &str) -> (ProxyKind, String, u16, bool) {
        let proxy = Proxy::parse(url).unwrap();
        (
            proxy.kind,
            proxy.host,
            proxy.port,
            proxy.credentials.is_some(),
        )
    }

    #[test]
    fn a_proxy_is_written_as_a_url() {
        let (local, remote) = (
            ProxyKind::Socks5 { resolves: false },
            ProxyKind::Socks5 { resolves: true },
        );
        let http = ProxyKind::Http;
        for (url, kind, host, port, known) in [
            (
                "http://proxy.example:3128",
                http,
                "proxy.example",
                3128,
                false,
            ),
            (
                "HTTP://me:pw@proxy.example/",
                http,
                "proxy.example",
                80,
                true,
            ),
            ("proxy.example:8080", http, "proxy.example", 8080, false),
            ("socks5://[::1]", local, "::1", 1080, false),
            ("socks5://[::1]:80", local, "::1", 80, false),
            ("socks5h://me@10.0.0.1", remote, "10.0.0.1", 1080, true),
        ] {
            assert_eq!(parsed(url), (kind, host.into(), port, known), "{url}");
        }
        for url in [
            "http://",
            "http://a b",
            "http://a/path",
            "http://a:0",
            "",
            "http://a?b",
        ] {
            assert_eq!(Proxy::parse(url), Err(ProxyError::Url), "{url}");
        }
        for url in ["https://proxy.example", "socks4://proxy.example"] {
            assert_eq!(Proxy::parse(url), Err(ProxyError::Scheme), "{url}");
        }
        let shown = format!("{:?}", Proxy::parse("http://alice:secret@a").unwrap());
        assert!(
            !shown.contains("secret") && !shown.contains("alice"),
            "{shown}"
        );
    }

    #[test]
    fn the_environment_names_a_proxy_by_scheme_and_excepts_hosts() {
        let chosen = |url: &str, variables: &[(&str, &str)]| {
            let url = Url::parse(url).unwrap();
            let variable = |name: &str| {
                let found = variables.iter().find(|(key, _)| *key == name);
                found.map(|(_, value)| value.to_string())
            };
            Proxy::from_variables(&url, variable)
                .unwrap()
                .map(|it| it.host)
        };
        let all = [("http_proxy", "plain"), ("HTTPS_PROXY", "secure")];
        assert_eq!(chosen("ws://a/", &all).as_deref(), Some("plain"));
        assert_eq!(chosen("wss://a/", &all).as_deref(), Some("secure"));
        assert_eq!(chosen("ws://a/", &[("HTTP_PROXY", "cgi")]), None);
        assert_eq!(
            chosen("ws://a/", &[("http_proxy", ""), ("ALL_PROXY", "b")]).as_deref(),
            Some("b")
        );
        for (list, url, proxied) in [
            ("*", "ws://a.example/", false),
            ("example", "ws://a.example/", false),
            (".a.example", "ws://a.example/", false),
            ("b, a.example:80", "ws://A.example/", false),
            ("a.example:81", "ws://a.example/", true),
            ("xample", "ws://a.example/", true),
            ("::1", "ws://[::1]/", false),
            ("[::1]:80", "ws://[::1]/", false),
            ("127.0.0.1", "ws://127.0.0.2/", true),
            (",", "ws://a.example/", true),
        ] {
            let variables = [("all_proxy", "proxy"), ("no_proxy", list)];
            assert_eq!(chosen(url, &variables).is_some(), proxied, "{list} {url}");
        }
    }
}
