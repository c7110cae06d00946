//! Heads, taken apart a second time: a head that the parser accepts is split at its CR LFs and
//! colons, and nothing else may come out.

use arbitrary::Unstructured;
use sockeye::proto::http::{
    self, HeadLimits, Headers, HttpError, Target, is_header_value, is_host, is_request_target,
    is_token,
};

use crate::byte;

/// Zero is the default of each; else small enough to be reached.
pub fn limits(u: &mut Unstructured<'_>) -> HeadLimits {
    let mut limits = HeadLimits::default();
    for (limit, unit) in [
        (&mut limits.max_head, 4),
        (&mut limits.max_lines, 1),
        (&mut limits.max_target, 1),
    ] {
        match byte(u) {
            0 => {}
            some => *limit = (some - 1) as usize * unit,
        }
    }
    limits
}

/// The start line and the header lines of a complete head.
pub struct Split<'a> {
    pub start: &'a [u8],
    pub lines: Vec<(&'a [u8], &'a [u8])>,
}

pub fn split(head: &[u8], request: bool) -> Split<'_> {
    let head = match head.strip_prefix(b"\r\n") {
        Some(rest) if request => rest,
        _ => head,
    };
    let head = head.strip_suffix(b"\r\n\r\n").expect("an empty line");
    let mut lines = Vec::new();
    let mut from = 0;
    for at in 0..head.len() {
        if head[at..].starts_with(b"\r\n") {
            lines.push(&head[from..at]);
            from = at + 2;
        }
    }
    lines.push(&head[from..]);
    let start = lines.remove(0);
    let lines = lines.into_iter().map(|line: &[u8]| {
        let colon = line.iter().position(|&byte| byte == b':').expect("a colon");
        (&line[..colon], trim(&line[colon + 1..]))
    });
    Split {
        start,
        lines: lines.collect(),
    }
}

fn trim(bytes: &[u8]) -> &[u8] {
    let text = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let Some(start) = bytes.iter().position(text) else {
        return &[];
    };
    let end = bytes.iter().rposition(text).map_or(start, |last| last + 1);
    &bytes[start..end]
}

/// Holds the header lines against the same lines taken apart here, and calls every reader.
pub fn check_headers(headers: Headers<'_>, split: &Split<'_>, limits: HeadLimits) {
    let lines: Vec<_> = headers.iter().collect();
    assert_eq!(lines.len(), headers.len());
    assert_eq!(lines.is_empty(), headers.is_empty());
    assert!(lines.len() <= limits.max_lines);
    assert_eq!(lines.len(), split.lines.len());
    for ((name, value), (split_name, split_value)) in lines.iter().zip(&split.lines) {
        assert_eq!((name.as_bytes(), *value), (*split_name, *split_value));
        assert!(is_token(name.as_bytes()));
        assert!(is_header_value(value));
        let same = |(other, _): &&(&str, &[u8])| other.eq_ignore_ascii_case(name);
        assert_eq!(headers.count(name), lines.iter().filter(same).count());
        assert_eq!(headers.get(name), lines.iter().find(same).map(|it| it.1));
        for token in headers.tokens(name) {
            assert!(!token.is_empty() && !token.contains(&b','));
            if let Ok(token) = core::str::from_utf8(token) {
                assert!(headers.contains_token(name, token));
            }
        }
    }
    if let Ok(host) = http::host(headers) {
        assert!(is_host(host.as_bytes()));
        assert_eq!(headers.count("Host"), 1);
    }
    match http::content_length(headers) {
        Ok(None) => assert_eq!(headers.count("Content-Length"), 0),
        Ok(Some(length)) => {
            let text = headers.get("Content-Length").expect("a line");
            let text = core::str::from_utf8(text).expect("digits");
            assert_eq!(text.parse(), Ok(length));
        }
        Err(error) => assert_eq!(error, HttpError::ContentLength),
    }
    let _ = format!("{headers:?}");
}

pub fn check_target(target: &str) {
    assert!(is_request_target(target.as_bytes()));
    match Target::parse(target) {
        Ok(parts) => {
            let mut text = parts.path.to_string();
            if let Some(query) = parts.query {
                text = format!("{text}?{query}");
            }
            assert!(parts.path.starts_with('/'));
            match parts.authority {
                Some(authority) => {
                    assert!(is_host(authority.as_bytes()));
                    // An empty path became "/".
                    assert!(target.ends_with(&text) || target.ends_with(&text[1..]));
                }
                None => assert_eq!(target, text),
            }
        }
        Err(error) => assert_eq!(error, HttpError::TargetForm),
    }
}
