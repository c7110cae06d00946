//! What is asked of a head once it is parsed: headers, Host, Content-Length, the target.

use sockeye::proto::http::*;

fn with_lines(lines: &str) -> Vec<u8> {
    format!("GET / HTTP/1.1\r\n{lines}\r\n").into_bytes()
}

// H3, H4

#[test]
fn a_target_is_split_into_authority_path_and_query() {
    for (target, authority, path, query) in [
        ("/", None, "/", None),
        ("/chat", None, "/chat", None),
        ("/chat?", None, "/chat", Some("")),
        ("/chat?a=1?b", None, "/chat", Some("a=1?b")),
        ("//chat", None, "//chat", None),
        ("/?http://x/y", None, "/", Some("http://x/y")),
        ("http://host/chat", Some("host"), "/chat", None),
        ("HTTP://host", Some("host"), "/", None),
        ("https://host?x", Some("host"), "/", Some("x")),
        (
            "ws://host:8080/a/b?c/d",
            Some("host:8080"),
            "/a/b",
            Some("c/d"),
        ),
        ("wss://[::1]:1/", Some("[::1]:1"), "/", None),
    ] {
        let split = Target::parse(target).unwrap();
        assert_eq!(
            (split.authority, split.path, split.query),
            (authority, path, query),
            "{target}"
        );
    }
}

#[test]
fn a_target_without_a_path_is_refused() {
    for target in [
        "*",
        "host",
        "host:80",
        "chat",
        "?x",
        "ftp://host/",
        "://host/",
        "http:///chat",
        "http://",
        "http://:80/",
        "http://user@host/",
        "http://user:pass@host/",
        "http://[::1/",
        "http://host:99999/",
        "http:/host/",
        "javascript:alert(1)",
    ] {
        assert_eq!(
            Target::parse(target),
            Err(HttpError::TargetForm),
            "{target}"
        );
    }
    for target in ["", "/a b", "/#", "/\r\n", "/é"] {
        assert_eq!(Target::parse(target), Err(HttpError::Target), "{target}");
    }
}

// H5

fn head_with(lines: &str) -> (HeadParser, Vec<u8>) {
    let bytes = with_lines(lines);
    let mut parser = HeadParser::request(HeadLimits::default());
    assert_eq!(parser.parse(&bytes), Ok(Some(bytes.len())), "{lines:?}");
    (parser, bytes)
}

fn host_of(lines: &str) -> Result<String, HttpError> {
    let (parser, bytes) = head_with(lines);
    host(parser.request_head(&bytes).unwrap().headers).map(str::to_owned)
}

#[test]
fn host_is_there_once_and_valid() {
    assert_eq!(host_of("host: a.b:80\r\n"), Ok("a.b:80".to_owned()));
    assert_eq!(
        host_of("Hos: a\r\nHostt: a\r\n"),
        Err(HttpError::HostMissing)
    );
    assert_eq!(
        host_of("Host: a\r\nHOST: a\r\n"),
        Err(HttpError::HostRepeated)
    );
    assert_eq!(host_of("Host: :\r\n"), Err(HttpError::HostInvalid));
    assert_eq!(host_of("Host:\r\n"), Err(HttpError::HostInvalid));
    assert_eq!(host_of("Host: a\u{e9}\r\n"), Err(HttpError::HostInvalid));
}

#[test]
fn valid_hosts_are_accepted() {
    for value in [
        "example.com",
        "example.com:80",
        "example.com:",
        "example.com:65535",
        "example.com:0080",
        "under_score.example",
        "EXAMPLE.com.",
        "127.0.0.1:9001",
        "[::1]",
        "[::1]:8080",
        "[2001:db8::1.2.3.4]",
        "a%20b",
        "a,b;c",
        "~",
    ] {
        assert!(is_host(value.as_bytes()), "{value}");
    }
}

#[test]
fn invalid_hosts_are_refused() {
    for value in [
        "",
        ":",
        ":80",
        "[",
        "[]",
        "[::1",
        "::1",
        "[::1]x",
        "[::1]80",
        "[::g]",
        "[::1%25eth0]",
        "[v1.x]",
        "[127.0.0.1]",
        "a:99999999",
        "a:65536",
        "a:0",
        "a:+80",
        "a:-1",
        "a:8 0",
        "a:80:80",
        "a:x",
        "a b",
        "a/b",
        "a?b",
        "a#b",
        "a@b",
        "a\\b",
        "a\"b",
        "<a>",
        "a%",
        "a%2",
        "a%zz",
        "a^b",
        "http://a",
        "é",
        "a\0",
        "a\r\n",
        "a,b:1,c",
    ] {
        assert!(!is_host(value.as_bytes()), "{value:?}");
    }
    assert!(!is_host(b"\xff"));
}

// H10

fn length_of(lines: &str) -> Result<Option<u64>, HttpError> {
    let (parser, bytes) = head_with(lines);
    content_length(parser.request_head(&bytes).unwrap().headers)
}

#[test]
fn a_content_length_is_one_decimal_number() {
    assert_eq!(length_of(""), Ok(None));
    assert_eq!(length_of("Content-Length: 0\r\n"), Ok(Some(0)));
    assert_eq!(length_of("content-length:\t42 \r\n"), Ok(Some(42)));
    assert_eq!(length_of("Content-Length: 007\r\n"), Ok(Some(7)));
    assert_eq!(
        length_of("Content-Length: 9999999999999999999\r\n"),
        Ok(Some(9_999_999_999_999_999_999))
    );
}

#[test]
fn any_other_content_length_is_refused() {
    for lines in [
        "Content-Length:\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5.0\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 00000000000000000005\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\ncontent-length: 5\r\n",
        "Content-Length: \u{0665}\r\n",
    ] {
        assert_eq!(length_of(lines), Err(HttpError::ContentLength), "{lines:?}");
    }
    assert_eq!(HttpError::ContentLength.status(), 400);
}

#[test]
fn only_values_that_leave_the_head_intact_can_be_sent() {
    for value in [&b""[..], b"x", b"a\tb c", b"\xc3\xa9", b" x "] {
        assert!(is_header_value(value));
    }
    for value in [
        &b"a\r\nb: c"[..],
        b"\r",
        b"\n",
        b"\0",
        b"\x01",
        b"\x7f",
        b"01234567\x1b",
    ] {
        assert!(!is_header_value(value));
    }
}

// Headers, H19

#[test]
fn headers_are_found_by_name_in_any_case() {
    let (parser, bytes) = head_with("A: 1\r\nb: 2\r\na: 3\r\n");
    let headers = parser.request_head(&bytes).unwrap().headers;
    assert_eq!((headers.len(), headers.is_empty()), (3, false));
    assert_eq!(headers.get("a"), Some(&b"1"[..]));
    assert_eq!(headers.get("B"), Some(&b"2"[..]));
    assert_eq!(headers.get("c"), None);
    assert_eq!(headers.get(""), None);
    assert_eq!(headers.get_all("A").collect::<Vec<_>>(), [b"1", b"3"]);
    assert_eq!((headers.count("a"), headers.count("c")), (2, 0));
    assert_eq!(
        headers.into_iter().map(|line| line.0).collect::<String>(),
        "Aba"
    );
    let (parser, bytes) = head_with("");
    assert!(parser.request_head(&bytes).unwrap().headers.is_empty());
}

#[test]
fn a_list_is_read_over_all_lines_without_empty_elements() {
    let (parser, bytes) = head_with(
        "Connection: keep-alive ,, \tUPGRADE,\r\nX: z\r\nconnection:\r\nConnection: ,x y\r\n",
    );
    let headers = parser.request_head(&bytes).unwrap().headers;
    let tokens: Vec<_> = headers.tokens("connection").collect();
    assert_eq!(tokens, [&b"keep-alive"[..], b"UPGRADE", b"x y"]);
    assert!(headers.contains_token("Connection", "upgrade"));
    assert!(!headers.contains_token("connection", "keep"));
    assert!(!headers.contains_token("connection", "x"));
    assert!(!headers.contains_token("x", "upgrade"));
    assert_eq!(headers.tokens("y").count(), 0);
}

#[test]
fn an_element_with_32k_spaces_in_it_is_one_element() {
    let lines = format!("Sec-WebSocket-Protocol: b{}x\r\n", " ".repeat(32 * 1024));
    let bytes = with_lines(&lines);
    let limits = HeadLimits {
        max_head: 64 * 1024,
        ..HeadLimits::default()
    };
    let mut parser = HeadParser::request(limits);
    parser.parse(&bytes).unwrap().unwrap();
    let headers = parser.request_head(&bytes).unwrap().headers;
    let tokens: Vec<_> = headers.tokens("sec-websocket-protocol").collect();
    assert_eq!(tokens.len(), 1);
    assert!(!is_token(tokens[0]));
}

#[test]
fn debug_output_shows_names_and_hides_values() {
    let (parser, bytes) = head_with("Authorization: Bearer secret\r\n");
    let head = parser.request_head(&bytes).unwrap();
    let text = format!("{head:?} {:?}", head.headers);
    assert!(text.contains("Authorization") && !text.contains("secret"));
    assert!(!format!("{parser:?}").contains("secret"));
}

#[test]
fn every_error_cites_its_rfc() {
    for error in [
        HttpError::Method,
        HttpError::RequestLine,
        HttpError::Target,
        HttpError::TargetTooLong,
        HttpError::TargetForm,
        HttpError::Version,
        HttpError::UnsupportedVersion,
        HttpError::StatusLine,
        HttpError::BareLf,
        HttpError::BareCr,
        HttpError::ObsFold,
        HttpError::MissingColon,
        HttpError::HeaderName,
        HttpError::SpaceBeforeColon,
        HttpError::HeaderValue,
        HttpError::HeadTooLarge,
        HttpError::TooManyLines,
        HttpError::ContentLength,
        HttpError::HostMissing,
        HttpError::HostRepeated,
        HttpError::HostInvalid,
    ] {
        let text = error.to_string();
        assert!(text.contains("(RFC ") && text.contains("section"), "{text}");
        assert!(!text.contains("  "), "{text}");
        assert!([400, 414, 431, 505].contains(&error.status()));
    }
}
