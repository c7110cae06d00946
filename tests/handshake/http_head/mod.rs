//! The head parser: what it accepts and refuses, and that splitting the bytes changes nothing.

use sockeye::proto::http::*;

mod fields;
mod limits;
mod oracles;
mod request_line;
mod responses;

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
