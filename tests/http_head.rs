//! The head parser: what it accepts and refuses, and that splitting the bytes changes nothing.

use proptest::prelude::*;
use sockeye::proto::http::*;

const BROWSER: &str = "GET /chat?room=general HTTP/1.1\r\n\
Host: chat.example.com\r\n\
Connection: keep-alive, Upgrade\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
Upgrade: websocket\r\n\
Origin: https://chat.example.com\r\n\
Sec-WebSocket-Version: 13\r\n\
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\n\
Upgrade: websocket\r\n\
Connection: Upgrade\r\n\
Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// All that a parser has to say, owned, to compare.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Incomplete,
    Request {
        length: usize,
        method: String,
        target: String,
        version: Version,
        headers: Vec<(String, Vec<u8>)>,
    },
    Response {
        length: usize,
        version: Version,
        status: u16,
        reason: Vec<u8>,
        headers: Vec<(String, Vec<u8>)>,
    },
    Failed(HttpError),
}

type Make = fn(HeadLimits) -> HeadParser;

/// `length` and `head` as from a finished `parse`.
fn outcome(parser: &HeadParser, result: Result<Option<usize>, HttpError>, head: &[u8]) -> Outcome {
    let owned = |headers: Headers<'_>| {
        headers
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_vec()))
            .collect()
    };
    match result {
        Err(error) => {
            assert!(parser.request_head(head).is_none() && parser.response_head(head).is_none());
            Outcome::Failed(error)
        }
        Ok(None) => {
            assert!(parser.request_head(head).is_none() && parser.response_head(head).is_none());
            Outcome::Incomplete
        }
        Ok(Some(length)) => match (parser.request_head(head), parser.response_head(head)) {
            (Some(request), None) => Outcome::Request {
                length,
                method: request.method.to_owned(),
                target: request.target.to_owned(),
                version: request.version,
                headers: owned(request.headers),
            },
            (None, Some(response)) => Outcome::Response {
                length,
                version: response.version,
                status: response.status,
                reason: response.reason.to_vec(),
                headers: owned(response.headers),
            },
            other => panic!("{other:?}"),
        },
    }
}

/// Feeds `bytes` up to each of `ends`, as long as the parser wants more.
fn fed(
    make: Make,
    limits: HeadLimits,
    bytes: &[u8],
    ends: impl IntoIterator<Item = usize>,
) -> Outcome {
    let mut parser = make(limits);
    let mut result = Ok(None);
    for end in ends {
        result = parser.parse(&bytes[..end]);
        if result != Ok(None) {
            assert_eq!(parser.parse(&bytes[..end]), result, "the result stays");
            break;
        }
    }
    outcome(&parser, result, bytes)
}

/// Whole, byte by byte, and with trailing bytes; all the same.
fn parsed_with(make: Make, limits: HeadLimits, bytes: &[u8]) -> Outcome {
    let whole = fed(make, limits, bytes, [bytes.len()]);
    let by_byte = fed(make, limits, bytes, 0..=bytes.len());
    assert_eq!(whole, by_byte, "{:?}", String::from_utf8_lossy(bytes));
    if whole != Outcome::Incomplete {
        for trailing in [&b"\x81\x85\0\0\0\0hello"[..], b"\r\n\r\n", b" x: y\r\n\r\n"] {
            let more = [bytes, trailing].concat();
            assert_eq!(whole, fed(make, limits, &more, [more.len()]));
            assert_eq!(whole, fed(make, limits, &more, 0..=more.len()));
        }
    }
    whole
}

fn request(bytes: impl AsRef<[u8]>) -> Outcome {
    parsed_with(HeadParser::request, HeadLimits::default(), bytes.as_ref())
}

fn response(bytes: impl AsRef<[u8]>) -> Outcome {
    parsed_with(HeadParser::response, HeadLimits::default(), bytes.as_ref())
}

fn target_of(bytes: impl AsRef<[u8]>) -> String {
    match request(bytes.as_ref()) {
        Outcome::Request { target, .. } => target,
        other => panic!("{}: {other:?}", String::from_utf8_lossy(bytes.as_ref())),
    }
}

fn version_of(bytes: impl AsRef<[u8]>) -> Version {
    match request(bytes.as_ref()) {
        Outcome::Request { version, .. } => version,
        other => panic!("{other:?}"),
    }
}

fn headers_of(bytes: impl AsRef<[u8]>) -> Vec<(String, Vec<u8>)> {
    match request(bytes.as_ref()) {
        Outcome::Request { headers, .. } => headers,
        other => panic!("{}: {other:?}", String::from_utf8_lossy(bytes.as_ref())),
    }
}

/// The outcome of a request with these header lines.
fn with_lines(lines: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\n", lines.as_ref(), b"\r\n"].concat()
}

#[track_caller]
fn refused(bytes: impl AsRef<[u8]>, error: HttpError, status: u16) {
    let outcome = request(bytes.as_ref());
    let text = String::from_utf8_lossy(bytes.as_ref());
    assert_eq!(outcome, Outcome::Failed(error), "{text:?}");
    assert_eq!(error.status(), status);
}

/// The error comes with the last of these bytes and not before.
#[track_caller]
fn refused_at_last(bytes: impl AsRef<[u8]>, error: HttpError) {
    let (_, before) = bytes.as_ref().split_last().unwrap();
    assert_eq!(request(before), Outcome::Incomplete);
    refused(bytes, error, error.status());
}

#[test]
fn a_browsers_request_is_read_as_sent() {
    let Outcome::Request {
        length,
        method,
        target,
        version,
        headers,
    } = request(BROWSER)
    else {
        panic!()
    };
    assert_eq!(length, BROWSER.len());
    assert_eq!(
        (method.as_str(), target.as_str()),
        ("GET", "/chat?room=general")
    );
    assert_eq!(version, Version::Http11);
    let expected: Vec<_> = BROWSER
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        .collect();
    assert_eq!(headers, expected);
}

#[test]
fn a_response_is_read_as_sent() {
    let Outcome::Response {
        length,
        version,
        status,
        reason,
        headers,
    } = response(SWITCHING)
    else {
        panic!()
    };
    assert_eq!(
        (length, version, status),
        (SWITCHING.len(), Version::Http11, 101)
    );
    assert_eq!(reason, b"Switching Protocols");
    assert_eq!(headers.len(), 3);
    assert_eq!(headers[0], ("Upgrade".to_owned(), b"websocket".to_vec()));
}

#[test]
fn no_prefix_of_a_valid_head_fails_or_completes() {
    let heads: [(Make, &str); 5] = [
        (HeadParser::request, BROWSER),
        (HeadParser::request, "\r\nGET / HTTP/1.0\r\n\r\n"),
        (HeadParser::request, "G * HTTP/1.9\r\na:\r\nb:\t \r\n\r\n"),
        (HeadParser::response, SWITCHING),
        (HeadParser::response, "HTTP/1.0 200\r\nx:y\r\n\r\n"),
    ];
    for (make, head) in heads {
        let bytes = head.as_bytes();
        for end in 0..bytes.len() {
            let prefix = parsed_with(make, HeadLimits::default(), &bytes[..end]);
            assert_eq!(prefix, Outcome::Incomplete, "{:?}", &head[..end]);
        }
        let whole = parsed_with(make, HeadLimits::default(), bytes);
        assert!(!matches!(whole, Outcome::Incomplete | Outcome::Failed(_)));
    }
}

// H2

#[test]
fn a_method_is_any_token_and_keeps_its_case() {
    for name in ["GET", "get", "POST", "HEAD", "M-SEARCH", "!#$%&'*+-.^_`|~"] {
        let Outcome::Request { method, .. } = request(format!("{name} / HTTP/1.1\r\n\r\n")) else {
            panic!("{name}")
        };
        assert_eq!(method, name);
    }
}

#[test]
fn a_method_that_is_no_token_fails_at_its_first_bad_byte() {
    for bytes in [
        &b"\0"[..],
        b"GE\x7f",
        b"G(",
        b"G\xc3",
        b"\t",
        b"{",
        b"GET\t",
    ] {
        refused_at_last(bytes, HttpError::Method);
    }
    refused_at_last(b" ", HttpError::RequestLine);
    refused_at_last(b"\n", HttpError::BareLf);
    refused_at_last(b"GET\n", HttpError::BareLf);
}

#[test]
fn a_tls_client_hello_fails_at_its_first_byte() {
    refused_at_last(b"\x16", HttpError::Method);
    refused(
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        HttpError::Method,
        400,
    );
}

#[test]
fn a_major_version_other_than_1_is_505() {
    for version in ["2.0", "3.0", "0.9", "9.9", "0.0"] {
        let line = format!("GET / HTTP/{version}");
        refused_at_last(&line, HttpError::UnsupportedVersion);
        refused(line, HttpError::UnsupportedVersion, 505);
    }
    refused(
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        HttpError::UnsupportedVersion,
        505,
    );
    assert_eq!(
        response("HTTP/2.0 200 OK\r\n\r\n"),
        Outcome::Failed(HttpError::UnsupportedVersion)
    );
}

#[test]
fn a_malformed_version_is_400_at_the_byte_that_shows_it() {
    for line in [
        "GET / h",
        "GET / HTTP/1,",
        "GET / HTTP/11",
        "GET / HTTP/x",
        "GET / HTTP/1.x",
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.10",
        "GET / HTTP/2\r",
        "GET / HTTPS",
        "GET / x",
    ] {
        refused_at_last(line, HttpError::Version);
        refused(line, HttpError::Version, 400);
    }
}

#[test]
fn minor_versions_of_1_above_1_are_treated_as_1_1() {
    for (minor, version) in [
        ('0', Version::Http10),
        ('1', Version::Http11),
        ('2', Version::Http11),
        ('9', Version::Http11),
    ] {
        assert_eq!(version_of(format!("GET / HTTP/1.{minor}\r\n\r\n")), version);
    }
    assert!(Version::Http10 < Version::Http11);
}

#[test]
fn a_request_line_is_three_parts_with_single_spaces() {
    for line in [
        "GET\r",
        "GET  ",
        "GET \r",
        "GET /\r",
        "GET /  ",
        "GET / \r",
        "GET / \rx",
    ] {
        refused(line, HttpError::RequestLine, 400);
    }
    refused_at_last("GET / HTTP/1.1\n", HttpError::BareLf);
    refused_at_last("GET / HTTP/1.1\rx", HttpError::BareCr);
    refused_at_last("GET /\n", HttpError::BareLf);
    refused_at_last("GET / \n", HttpError::BareLf);
}

// H3, H4

#[test]
fn every_form_of_target_is_returned_as_sent() {
    for target in [
        "/",
        "/chat",
        "http://host/chat",
        "http://host?x",
        "*",
        "host:80",
        "//x",
        "?",
        "/%00%zz",
    ] {
        assert_eq!(target_of(format!("GET {target} HTTP/1.1\r\n\r\n")), target);
        assert!(is_request_target(target.as_bytes()));
    }
}

#[test]
fn what_browsers_send_raw_in_path_and_query_is_accepted() {
    for target in ["/a[1]|b", "/?q={a}[b]|c^d`e'f\\g", "/?a?b", "/{x}^`'"] {
        assert_eq!(target_of(format!("GET {target} HTTP/1.1\r\n\r\n")), target);
    }
}

#[test]
fn bytes_that_no_target_has_fail_at_once() {
    for target in [
        &b"/\0"[..],
        b"/\x01",
        b"/a\x7f",
        b"/\x80",
        b"/\xc3",
        b"/#",
        b"/chat#",
        b"/?a#",
        b"/\"",
        b"/<",
        b"/?>",
        b"/\t",
        b"/a\\",
        b"#",
    ] {
        refused_at_last([b"GET ", target].concat(), HttpError::Target);
        assert!(!is_request_target(target));
    }
    assert!(!is_request_target(b"") && !is_request_target(b"/ "));
}

#[test]
fn every_byte_is_in_or_out_of_targets_alike_in_both_checks() {
    for prefix in ["/", "/?"] {
        for byte in 0..=255u8 {
            let target = [prefix.as_bytes(), &[byte]].concat();
            let bytes = [b"GET ", &target[..], b" HTTP/1.1\r\n\r\n"].concat();
            let accepted = matches!(request(bytes), Outcome::Request { .. });
            assert_eq!(accepted, is_request_target(&target), "{prefix} {byte:#x}");
        }
    }
}

#[test]
fn a_target_over_its_limit_is_414_at_the_byte_over_it() {
    for start in ["/", "/?"] {
        let longest = format!("{start:x<8192}");
        assert_eq!(
            target_of(format!("GET {longest} HTTP/1.1\r\n\r\n")),
            longest
        );
        refused_at_last(format!("GET {longest}x"), HttpError::TargetTooLong);
        refused(
            format!("GET {longest}? HTTP/1.1\r\n\r\n"),
            HttpError::TargetTooLong,
            414,
        );
        // What stands at the limit is judged first.
        refused_at_last(format!("GET {longest}#"), HttpError::Target);
    }
    let limits = HeadLimits {
        max_target: 0,
        ..HeadLimits::default()
    };
    assert_eq!(
        parsed_with(HeadParser::request, limits, b"GET /"),
        Outcome::Failed(HttpError::TargetTooLong)
    );
}

// H14

#[test]
fn folded_lines_are_refused_at_their_first_byte() {
    refused_at_last("GET / HTTP/1.1\r\na: b\r\n ", HttpError::ObsFold);
    refused_at_last("GET / HTTP/1.1\r\na: b\r\n\t", HttpError::ObsFold);
    refused_at_last("GET / HTTP/1.1\r\n ", HttpError::ObsFold);
}

#[test]
fn lines_end_in_cr_lf_and_nothing_else() {
    for bytes in [
        "GET / HTTP/1.1\r\na: b\n",
        "GET / HTTP/1.1\r\na:\n",
        "GET / HTTP/1.1\r\na\n",
        "GET / HTTP/1.1\r\na: b\r\n\n",
        "GET / HTTP/1.1\r\n\n",
        "GET / HTTP/1.1\n",
    ] {
        refused_at_last(bytes, HttpError::BareLf);
    }
    for bytes in [
        "GET / HTTP/1.1\r\na: b\rc",
        "GET / HTTP/1.1\r\na: b\r\r",
        "GET / HTTP/1.1\r\n\rx",
        "GET / HTTP/1.1\r\n\r\r",
        "GET / HTTP/1.1\r\r",
        "GET / HTTP/1.1\r\na:\rb",
    ] {
        refused_at_last(bytes, HttpError::BareCr);
    }
}

#[test]
fn white_space_in_or_behind_a_name_is_refused() {
    for line in ["a ", "a\t", "Ho "] {
        let bytes = format!("GET / HTTP/1.1\r\n{line}");
        refused_at_last(bytes, HttpError::SpaceBeforeColon);
    }
}

#[test]
fn names_are_tokens_and_not_empty() {
    for line in [
        &b":"[..],
        b"a\0",
        b"a(",
        b"a\x7f",
        b"\xc3",
        b"a\xff",
        b"a/",
        b"\"",
        b"a@",
    ] {
        let bytes = [b"GET / HTTP/1.1\r\n", line].concat();
        refused_at_last(bytes, HttpError::HeaderName);
    }
    refused_at_last("GET / HTTP/1.1\r\nabc\r", HttpError::MissingColon);
    for byte in 0..=255u8 {
        let accepted = matches!(
            request(with_lines([byte, b':', b'\r', b'\n'])),
            Outcome::Request { .. }
        );
        assert_eq!(accepted, is_token(&[byte]), "{byte:#x}");
    }
    assert!(!is_token(b"") && is_token(b"a-b") && !is_token(b"a b"));
}

#[test]
fn control_bytes_in_values_are_refused_at_once() {
    for byte in (0..0x20).chain([0x7f]) {
        for start in ["a: ", "a:", "a: b", "a: 0123456789abcdef"] {
            let bytes = [b"GET / HTTP/1.1\r\n", start.as_bytes(), &[byte]].concat();
            match byte {
                b'\t' | b'\r' => assert_eq!(request(bytes), Outcome::Incomplete),
                b'\n' => refused_at_last(bytes, HttpError::BareLf),
                _ => refused_at_last(bytes, HttpError::HeaderValue),
            }
        }
    }
}

#[test]
fn a_tab_within_a_value_is_kept() {
    assert_eq!(headers_of(with_lines("a: b\tc\r\n"))[0].1, b"b\tc");
}

#[test]
fn values_are_trimmed_of_spaces_and_tabs_only() {
    for (line, value) in [
        ("a:b", &b"b"[..]),
        ("a: b", b"b"),
        ("a:\t b c \t", b"b c"),
        ("a:", b""),
        ("a: \t ", b""),
        ("a: :", b":"),
        ("a: 0123456 9abcdef         ", b"0123456 9abcdef"),
        ("a: \u{a0}b", b"\xc2\xa0b"),
    ] {
        let headers = headers_of(with_lines(format!("{line}\r\n")));
        assert_eq!(headers, [("a".to_owned(), value.to_vec())], "{line:?}");
    }
}

#[test]
fn one_empty_line_before_a_request_is_skipped_and_no_more() {
    let bytes = format!("\r\n{BROWSER}");
    assert!(matches!(request(&bytes), Outcome::Request { length, .. } if length == bytes.len()));
    refused_at_last("\r\n\r", HttpError::RequestLine);
    refused_at_last("\n", HttpError::BareLf);
    refused_at_last("\r\n\n", HttpError::BareLf);
    refused_at_last("\rG", HttpError::BareCr);
    refused_at_last("\r\n ", HttpError::RequestLine);
    assert_eq!(
        response(format!("\r\n{SWITCHING}")),
        Outcome::Failed(HttpError::Version)
    );
}

// H15

#[test]
fn bytes_above_0x7f_in_values_are_kept_as_bytes() {
    let bytes = with_lines(b"Cookie: a=\xff\x80\xc3\xa9\r\nX: \xc3\r\n");
    let headers = headers_of(bytes);
    assert_eq!(headers[0].1, b"a=\xff\x80\xc3\xa9");
    assert_eq!(headers[1].1, b"\xc3");
}

// H16, C3

#[test]
fn one_line_over_the_limit_is_431_at_its_first_byte() {
    let lines = "a: b\r\n".repeat(100);
    assert_eq!(headers_of(with_lines(&lines)).len(), 100);
    let bytes = format!("GET / HTTP/1.1\r\n{lines}a");
    refused_at_last(&bytes, HttpError::TooManyLines);
    refused(&bytes, HttpError::TooManyLines, 431);
    let limits = HeadLimits {
        max_lines: 0,
        ..HeadLimits::default()
    };
    let none = parsed_with(HeadParser::request, limits, b"GET / HTTP/1.1\r\n\r\n");
    assert!(matches!(none, Outcome::Request { .. }));
    let one = parsed_with(HeadParser::request, limits, b"GET / HTTP/1.1\r\na");
    assert_eq!(one, Outcome::Failed(HttpError::TooManyLines));
}

#[test]
fn a_head_of_16_kib_is_read_and_one_byte_more_is_431() {
    let around = "GET / HTTP/1.1\r\na: \r\n\r\n".len();
    for (length, fits) in [(16 * 1024, true), (16 * 1024 + 1, false)] {
        let bytes = with_lines(format!("a: {}\r\n", "x".repeat(length - around)));
        assert_eq!(bytes.len(), length);
        match request(&bytes) {
            Outcome::Request { length: parsed, .. } => assert!(fits && parsed == length),
            Outcome::Failed(error) => {
                assert!(!fits);
                assert_eq!((error, error.status()), (HttpError::HeadTooLarge, 431));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_head_limit_is_exact_wherever_it_falls() {
    for (make, head) in [
        (HeadParser::request as Make, format!("\r\n{BROWSER}")),
        (HeadParser::response, SWITCHING.to_owned()),
    ] {
        let bytes = head.as_bytes();
        for max_head in 0..bytes.len() {
            let limits = HeadLimits {
                max_head,
                ..HeadLimits::default()
            };
            assert_eq!(
                parsed_with(make, limits, &bytes[..max_head]),
                Outcome::Incomplete
            );
            assert_eq!(
                parsed_with(make, limits, &bytes[..=max_head]),
                Outcome::Failed(HttpError::HeadTooLarge)
            );
        }
        let limits = HeadLimits {
            max_head: bytes.len(),
            ..HeadLimits::default()
        };
        assert!(!matches!(
            parsed_with(make, limits, bytes),
            Outcome::Incomplete | Outcome::Failed(_)
        ));
    }
}

#[test]
fn an_endless_response_head_is_cut_off() {
    let bytes = [b"HTTP/1.1 101 ", "x".repeat(20_000).as_bytes()].concat();
    assert_eq!(response(bytes), Outcome::Failed(HttpError::HeadTooLarge));
    let bytes = ["HTTP/1.1 101 \r\n", &"a: b\r\n".repeat(101)].concat();
    assert_eq!(response(bytes), Outcome::Failed(HttpError::TooManyLines));
}

// H17, H18

#[test]
fn bytes_of_earlier_calls_are_never_looked_at_again() {
    // Every byte handed over before is overwritten with NUL, which no part of a head may have: a
    // parser that went back to one would fail, or find another value to trim.
    let mut long = String::from("GET /a?b HTTP/1.1\r\n");
    for index in 0..90 {
        long.push_str(&format!("Name-{index}: \t{}  \t  \r\n", "v w".repeat(50)));
    }
    long.push_str("\r\n");
    assert!(long.len() > 14_000 && long.len() <= 16 * 1024);
    let heads: [(Make, &str); 4] = [
        (HeadParser::request, BROWSER),
        (HeadParser::request, &long),
        (HeadParser::response, SWITCHING),
        (HeadParser::response, "HTTP/1.0 200\r\nx: y  \r\n\r\n"),
    ];
    for (make, head) in heads {
        let bytes = head.as_bytes();
        for step in [1, 2, 3, 7, 64, 1000] {
            let mut seen = vec![0; bytes.len()];
            let mut parser = make(HeadLimits::default());
            let mut start = 0;
            let mut result = Ok(None);
            while start < bytes.len() {
                let end = (start + step).min(bytes.len());
                seen[..start].fill(0);
                seen[start..end].copy_from_slice(&bytes[start..end]);
                result = parser.parse(&seen[..end]);
                start = end;
            }
            assert_eq!(
                outcome(&parser, result, bytes),
                fed(make, HeadLimits::default(), bytes, [bytes.len()])
            );
        }
    }
}

#[test]
fn a_head_of_one_other_length_than_parsed_does_no_harm() {
    let mut parser = HeadParser::request(HeadLimits::default());
    assert_eq!(parser.parse(&BROWSER.as_bytes()[..40]), Ok(None));
    assert_eq!(parser.parse(b"GET"), Ok(None));
    assert_eq!(parser.parse(BROWSER.as_bytes()), Ok(Some(BROWSER.len())));
    assert!(parser.request_head(b"GET").is_none());
    let garbage = vec![0xff; BROWSER.len()];
    let request = parser.request_head(&garbage).unwrap();
    assert_eq!((request.method, request.headers.get("host")), ("", None));
    assert_eq!(request.headers.iter().count(), request.headers.len());
}

#[test]
fn a_parser_can_be_used_again_after_anything() {
    let mut parser = HeadParser::request(HeadLimits::default());
    for bytes in [BROWSER, "GET / HTTP/1.1\r\na: b", "\0", BROWSER] {
        let fresh = fed(
            HeadParser::request,
            HeadLimits::default(),
            bytes.as_bytes(),
            [bytes.len()],
        );
        parser.reset();
        let result = parser.parse(bytes.as_bytes());
        assert_eq!(outcome(&parser, result, bytes.as_bytes()), fresh);
    }
    let bytes = format!("{BROWSER}rest");
    let (head, rest) = parse_request(&mut parser, bytes.as_bytes())
        .unwrap()
        .unwrap();
    assert_eq!((head.method, rest), ("GET", &b"rest"[..]));
    assert!(parse_request(&mut parser, b"GET").unwrap().is_none());
    assert!(parse_request(&mut parser, b"\0").is_err());
    let mut parser = HeadParser::response(HeadLimits::default());
    let bytes = format!("{SWITCHING}\u{1}");
    let (head, rest) = parse_response(&mut parser, bytes.as_bytes())
        .unwrap()
        .unwrap();
    assert_eq!((head.status, rest), (101, &b"\x01"[..]));
    assert!(
        parse_request(&mut parser, SWITCHING.as_bytes())
            .unwrap()
            .is_none()
    );
}

// Responses

#[test]
fn a_reason_may_be_empty_and_its_space_missing() {
    for (line, expected) in [
        ("HTTP/1.1 101 Switching", &b"Switching"[..]),
        ("HTTP/1.1 101 ", b""),
        ("HTTP/1.1 101", b""),
        ("HTTP/1.1 101  two\tspaces ", b" two\tspaces "),
        ("HTTP/1.1 101 \u{e9}", b"\xc3\xa9"),
    ] {
        let Outcome::Response { status, reason, .. } = response(format!("{line}\r\n\r\n")) else {
            panic!("{line}")
        };
        assert_eq!((status, &reason[..]), (101, expected), "{line:?}");
    }
}

#[test]
fn a_status_is_three_digits_from_100_on() {
    for status in [100u16, 101, 200, 404, 599, 999] {
        let parsed = response(format!("HTTP/1.1 {status} x\r\n\r\n"));
        assert!(matches!(parsed, Outcome::Response { status: s, .. } if s == status));
    }
    for line in [
        "HTTP/1.1 1010",
        "HTTP/1.1 10 ",
        "HTTP/1.1 10\r",
        "HTTP/1.1 0",
        "HTTP/1.1  ",
        "HTTP/1.1 1x",
        "HTTP/1.1 +",
        "HTTP/1.1 -",
        "HTTP/1.1 101x",
        "HTTP/1.1 101\t",
        "HTTP/1.1\r",
        "HTTP/1.10",
        "HTTP/1.1 200 a\0",
        "HTTP/1.1 200 \x7f",
    ] {
        let (before, _) = line.split_at(line.len() - 1);
        assert_eq!(response(before), Outcome::Incomplete, "{line:?}");
        assert_eq!(
            response(line),
            Outcome::Failed(HttpError::StatusLine),
            "{line:?}"
        );
    }
}

#[test]
fn what_is_no_http_response_fails_at_its_first_byte() {
    for line in ["\x16", "<", "h", " ", "\r"] {
        assert_eq!(response(line), Outcome::Failed(HttpError::Version));
    }
    for (line, error) in [
        ("\n", HttpError::BareLf),
        ("HTTP/1.1\n", HttpError::BareLf),
        ("HTTP/1.1 200\n", HttpError::BareLf),
        ("HTTP/1.1 200 \n", HttpError::BareLf),
        ("HTTP/1.1 200\rx", HttpError::BareCr),
        ("HTTP/1.1 200 OK\rx", HttpError::BareCr),
    ] {
        assert_eq!(response(line), Outcome::Failed(error), "{line:?}");
    }
}

// Oracles

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
