//! Limits of lines and heads, and a parser that is used again.

use super::*;

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
