//! Where a redirect leads, and what may go there with the request (RFC 9110 section 15.4, RFC 3986
//! section 5).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::proto::{ResponseError, Url};

/// Headers that are for one origin alone.
const CREDENTIALS: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// Returns the URL that a response redirects to. None if it doesn't redirect, or to where it isn't
/// followed: from `wss` to `ws`, to another scheme, to a URL with user info or one that is
/// malformed.
pub(super) fn target(url: &Url, response: &ResponseError) -> Option<Url> {
    if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = core::str::from_utf8(response.header("location")?).ok()?;
    let next = resolve(url, location)?;
    // What was to be secret stays so.
    (next.is_secure() || !url.is_secure()).then_some(next)
}

/// Whether both are of one origin (RFC 6454 section 5).
pub(super) fn same_origin(one: &Url, other: &Url) -> bool {
    let origin = |url: &Url| (url.is_secure(), String::from(url.host()), url.port());
    origin(one) == origin(other)
}

/// Removes what no other origin may see.
pub(super) fn drop_credentials(headers: &mut Vec<(String, String)>) {
    headers.retain(|(name, _)| {
        let named = |it: &&str| name.eq_ignore_ascii_case(it);
        !CREDENTIALS.iter().any(named)
    });
}

/// RFC 3986 section 5.2, for the schemes of WebSocket and those of HTTP that stand for them.
fn resolve(base: &Url, location: &str) -> Option<Url> {
    let location = location.split('#').next().unwrap_or(location);
    let scheme = if base.is_secure() { "wss" } else { "ws" };
    let absolute = if let Some((named, rest)) = location.split_once("://")
        && named
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || b"+-.".contains(&it))
    {
        let scheme = match &*named.to_ascii_lowercase() {
            "http" | "ws" => "ws",
            "https" | "wss" => "wss",
            _ => return None,
        };
        format!("{scheme}://{rest}")
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else {
        let (path, query) = base.target().split_once('?').unwrap_or((base.target(), ""));
        let target = match location.as_bytes() {
            [] if query.is_empty() => path.into(),
            [] => format!("{path}?{query}"),
            [b'?', ..] => format!("{path}{location}"),
            [b'/', ..] => without_dots(location),
            _ => {
                let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
                without_dots(&format!("{folder}{location}"))
            }
        };
        format!("{scheme}://{}{target}", base.host_header())
    };
    Url::parse(&absolute).ok()
}

/// RFC 3986 section 5.2.4: `.` and `..` in a path that begins with `/`.
fn without_dots(target: &str) -> String {
    let (path, query) = match target.find('?') {
        Some(at) => target.split_at(at),
        None => (target, ""),
    };
    let mut kept: Vec<&str> = Vec::new();
    let segments = path.split('/').skip(1);
    for segment in segments.clone() {
        match segment {
            "." => {}
            ".." => _ = kept.pop(),
            segment => kept.push(segment),
        }
    }
    // What ends in dots names a folder.
    if matches!(segments.last(), Some("." | "..")) {
        kept.push("");
    }
    format!("/{}{query}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::ResponseFault;
    use std::string::ToString as _;
    use std::vec;

    fn resolved(base: &str, location: &str) -> Option<String> {
        let base = Url::parse(base).unwrap();
        resolve(&base, location).map(|it| it.to_string())
    }

    #[test]
    fn locations_are_resolved_against_the_url_that_was_asked() {
        let base = "ws://host:8080/a/b/c?d=e";
        for (location, expected) in [
            ("wss://other/x", "wss://other/x"),
            ("https://other/x#part", "wss://other/x"),
            ("HTTP://other", "ws://other/"),
            ("//other/x", "ws://other/x"),
            ("/x?y", "ws://host:8080/x?y"),
            ("x", "ws://host:8080/a/b/x"),
            ("./x", "ws://host:8080/a/b/x"),
            ("../x", "ws://host:8080/a/x"),
            ("../../../x", "ws://host:8080/x"),
            ("..", "ws://host:8080/a/"),
            (
                "/a/./b/../c?u=http://z/../",
                "ws://host:8080/a/c?u=http://z/../",
            ),
            ("?z=1", "ws://host:8080/a/b/c?z=1"),
            ("", "ws://host:8080/a/b/c?d=e"),
        ] {
            assert_eq!(
                resolved(base, location).as_deref(),
                Some(expected),
                "{location}"
            );
        }
        for bad in ["ftp://other/", "ws://u:p@other/", "ws://", "/ x", "//"] {
            assert_eq!(resolved(base, bad), None, "{bad}");
        }
    }

    #[test]
    fn what_was_to_be_secret_stays_so() {
        let response = |status: u16, location: &str| ResponseError {
            fault: ResponseFault::Status,
            status,
            headers: vec![("Location".into(), location.as_bytes().to_vec())],
            body: Vec::new(),
        };
        let (plain, secure) = (Url::parse("ws://a/"), Url::parse("wss://a/"));
        let (plain, secure) = (plain.unwrap(), secure.unwrap());
        for location in ["ws://a/b", "http://a/b"] {
            assert_eq!(target(&secure, &response(301, location)), None);
            assert!(target(&plain, &response(301, location)).is_some());
        }
        for location in ["wss://a/b", "https://a/b", "/b"] {
            assert!(target(&secure, &response(307, location)).is_some());
        }
        assert_eq!(target(&plain, &response(200, "/b")), None);
        assert_eq!(target(&plain, &response(304, "/b")), None);
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let same = |one: &str, other: &str| {
            same_origin(&Url::parse(one).unwrap(), &Url::parse(other).unwrap())
        };
        assert!(same("ws://host/a", "ws://HOST:80/b?c"));
        assert!(!same("ws://host/", "wss://host/"));
        assert!(!same("ws://host/", "ws://host:81/"));
        assert!(!same("ws://host/", "ws://host.example/"));
    }

    #[test]
    fn credentials_are_dropped_and_nothing_else() {
        let header = |name: &str| (String::from(name), String::from("x"));
        let mut headers = vec![header("AUTHORIZATION"), header("X"), header("cookie")];
        drop_credentials(&mut headers);
        assert_eq!(headers, [header("X")]);
    }
}
