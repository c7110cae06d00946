//! Properties of any head, beside a reader written to be obvious.

use proptest::prelude::*;

use super::*;

/// A reader of whole requests that is written for nothing but to be obvious. None where it is
/// refused; the input ends with the head.
fn naive(bytes: &[u8]) -> Option<Outcome> {
    let tchar = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    let text = |b: &u8| *b == b'\t' || (*b >= 0x20 && *b != 0x7f);
    let length = bytes.len();
    let head = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let head = head.strip_suffix(b"\r\n\r\n")?;
    // Latin-1, so that every byte is one char.
    let head: String = head.iter().copied().map(char::from).collect();
    let latin = |s: &str| s.chars().map(|c| c as u8).collect::<Vec<u8>>();
    let mut lines = head.split("\r\n");
    let parts: Vec<&str> = lines.next()?.split(' ').collect();
    let [method, target, version] = parts[..] else {
        return None;
    };
    if method.is_empty() || !latin(method).iter().all(tchar) {
        return None;
    }
    let path = target.split('?').next()?;
    let graphic = |c: char| ('!'..='~').contains(&c) && !"#\"<>".contains(c);
    if target.is_empty() || !target.chars().all(graphic) || path.contains('\\') {
        return None;
    }
    let minor = version.strip_prefix("HTTP/1.")?;
    if minor.len() != 1 || !minor.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let value = latin(value.trim_matches([' ', '\t']));
        if name.is_empty() || !latin(name).iter().all(tchar) || !value.iter().all(text) {
            return None;
        }
        headers.push((name.to_owned(), value));
    }
    Some(Outcome::Request {
        length,
        method: method.to_owned(),
        target: target.to_owned(),
        version: if minor == "0" {
            Version::Http10
        } else {
            Version::Http11
        },
        headers,
    })
}

/// A valid head with some bytes replaced, inserted and removed.
fn mutated(head: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        Just(b'\r'),
        Just(b'\n'),
        Just(b' '),
        Just(b'\t'),
        Just(b':'),
        Just(b'?'),
        Just(0),
        any::<u8>()
    ];
    let edit = (0..head.len(), 0..4u8, byte);
    proptest::collection::vec(edit, 0..4).prop_map(move |edits| {
        let mut bytes = head.as_bytes().to_vec();
        for (at, kind, byte) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.min(bytes.len() - 1);
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        bytes
    })
}

const SMALL: &str = "GET /a?b HTTP/1.1\r\nHost: c\r\nX-Y:\t d e \r\n\r\n";

fn limits() -> impl Strategy<Value = HeadLimits> {
    prop_oneof![
        Just(HeadLimits::default()),
        (0usize..600, 0usize..10, 0usize..30).prop_map(|(max_head, max_lines, max_target)| {
            HeadLimits {
                max_head,
                max_lines,
                max_target,
            }
        })
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn splitting_a_head_changes_neither_result_nor_error(
        (make, bytes) in prop_oneof![
            mutated(BROWSER).prop_map(|bytes| (HeadParser::request as Make, bytes)),
            mutated(SMALL).prop_map(|bytes| (HeadParser::request as Make, bytes)),
            mutated(SWITCHING).prop_map(|bytes| (HeadParser::response as Make, bytes)),
        ],
        limits in limits(),
        mut ends in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut ends: Vec<_> = ends.drain(..).map(|end| end.index(bytes.len() + 1)).collect();
        ends.push(bytes.len());
        ends.sort_unstable();
        let whole = parsed_with(make, limits, &bytes);
        prop_assert_eq!(&whole, &fed(make, limits, &bytes, ends));
    }

    #[test]
    fn a_naive_reader_accepts_and_reads_the_same(
        bytes in prop_oneof![mutated(SMALL), mutated(BROWSER)],
    ) {
        let parsed = request(&bytes);
        match naive(&bytes) {
            Some(expected) => match parsed {
                // A head that ended earlier; the reader can't know.
                Outcome::Request { length, .. } if length < bytes.len() => {}
                parsed => prop_assert_eq!(parsed, expected),
            },
            None => match parsed {
                Outcome::Request { length, .. } => prop_assert_eq!(
                    Some(request(&bytes[..length])),
                    naive(&bytes[..length])
                ),
                Outcome::Incomplete => {}
                Outcome::Failed(_) => {}
                Outcome::Response { .. } => prop_assert!(false),
            },
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        request(&bytes);
        response(&bytes);
        let _ = is_host(&bytes);
        if let Ok(text) = core::str::from_utf8(&bytes) {
            let _ = Target::parse(text);
        }
    }

    #[test]
    fn what_is_valid_to_send_is_received_as_sent(
        name in "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}",
        value in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let bytes = with_lines([name.as_bytes(), b": ", &value, b"\r\n"].concat());
        let parsed = request(&bytes);
        if is_header_value(&value) {
            let trimmed: &[u8] = {
                let is_text = |b: &u8| !matches!(b, b' ' | b'\t');
                let start = value.iter().position(is_text).unwrap_or(0);
                let end = value.iter().rposition(is_text).map_or(start, |last| last + 1);
                &value[start..end]
            };
            let Outcome::Request { headers, .. } = parsed else { panic!("{parsed:?}") };
            prop_assert_eq!(headers, [(name, trimmed.to_vec())]);
        } else {
            // What is refused here either fails there or is read as something else.
            let alike = matches!(parsed, Outcome::Request { headers, .. }
                if headers == [(name, value)]);
            prop_assert!(!alike);
        }
    }
}
