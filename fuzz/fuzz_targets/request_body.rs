//! Requests with bodies, one after the other: whole and in pieces, the bodies, the faults and the
//! responses are the same, no body is over its limit, and what is accepted comes apart the same
//! way by a plain split. Input: limit, cuts, bytes.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use sockeye::error::HandshakeError;
use sockeye::proto::http::{
    BodyReader, HeadLimits, HeadParser, RequestHead, content_length, expects_continue,
    parse_request,
};
use sockeye::proto::{
    Config, Input, PlainRequest, ReadBody, Received, Responded, Response, ServerHandshake,
};
use sockeye_fuzz::{Cuts, byte, rest};

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

#[derive(Debug, PartialEq)]
struct Run {
    bodies: Vec<Vec<u8>>,
    /// Without `100 Continue`, which depends on when the body comes.
    out: String,
    error: Option<HandshakeError>,
}

/// Where a transport stands between two pieces.
enum Stage {
    Head(ServerHandshake),
    Body(PlainRequest),
    Over,
}

/// Answers each plain request, with its body read, up to an upgrade or the end.
fn run(limit: usize, pieces: Vec<Vec<u8>>) -> Run {
    let now = Duration::ZERO;
    let mut stage = Stage::Head(ServerHandshake::new(Arc::new(Config::default()), now));
    let (mut bodies, mut out, mut error) = (Vec::new(), Vec::new(), None);
    for mut piece in pieces {
        let mut input = Input::new(&mut piece);
        loop {
            let read = match core::mem::replace(&mut stage, Stage::Over) {
                Stage::Head(handshake) => match handshake.recv(&mut input, &mut out, now) {
                    Ok(Received::Incomplete(more)) => {
                        assert!(input.is_empty());
                        stage = Stage::Head(more);
                        break;
                    }
                    Ok(Received::Plain(request)) => {
                        assert_eq!(request.poll_timeout(), None);
                        request.read_body(limit, &mut input, &mut out, now)
                    }
                    Ok(Received::Upgrade(_)) => break,
                    Err(refused) => Err(refused),
                },
                Stage::Body(request) => request.read_body(limit, &mut input, &mut out, now),
                Stage::Over => break,
            };
            match read {
                Ok(ReadBody::Incomplete(request)) => {
                    assert!(request.body().len() <= limit);
                    assert!(input.is_empty() && request.poll_timeout().is_some());
                    stage = Stage::Body(request);
                    break;
                }
                Ok(ReadBody::Complete(request)) => {
                    assert!(request.body().len() <= limit);
                    assert_eq!(request.poll_timeout(), None);
                    bodies.push(request.body().to_vec());
                    let left = input.len();
                    let responded = request.respond(&Response::status(200), &mut out, now);
                    assert_eq!(input.len(), left);
                    match responded.expect("a good response") {
                        Responded::KeepAlive(next) => stage = Stage::Head(next),
                        Responded::Close(_) => break,
                    }
                }
                Err(refused) => {
                    error = Some(refused.into_error());
                    break;
                }
            }
        }
    }
    let out = String::from_utf8(out).expect("responses in UTF-8");
    let out = out.replace(CONTINUE, "");
    let answers = bodies.len() + usize::from(error.is_some());
    assert_eq!(out.matches("HTTP/1.1 ").count(), answers);
    Run { bodies, out, error }
}

/// The body and what is behind it, by the head's own words; None if it isn't whole and right.
fn split<'a>(head: &RequestHead<'_>, mut bytes: &'a [u8]) -> Option<(Vec<u8>, &'a [u8])> {
    if head.headers.get("transfer-encoding").is_none() {
        let length = content_length(head.headers).ok()?.unwrap_or(0);
        let (body, behind) = bytes.split_at_checked(length.try_into().ok()?)?;
        return Some((body.to_vec(), behind));
    }
    let mut body = Vec::new();
    loop {
        let digits = line(&mut bytes)?.split(|&byte| byte == b';').next()?;
        assert!(digits.iter().all(u8::is_ascii_hexdigit));
        let size = core::str::from_utf8(digits).expect("digits");
        let size = usize::from_str_radix(size, 16).expect("a number");
        if size == 0 {
            break;
        }
        let (chunk, behind) = bytes.split_at_checked(size)?;
        body.extend(chunk);
        bytes = behind.strip_prefix(b"\r\n")?;
    }
    while !line(&mut bytes)?.is_empty() {}
    Some((body, bytes))
}

/// The bytes up to the next CR LF.
fn line<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = bytes.windows(2).position(|it| it == b"\r\n")?;
    let line = &bytes[..end];
    assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
    *bytes = &bytes[end + 2..];
    Some(line)
}

/// Reads the body behind the first head alone, and holds it against a plain split.
fn check_reader(limit: usize, cuts: &Cuts, bytes: &[u8]) {
    let mut parser = HeadParser::request(HeadLimits::default());
    let Ok(Some((head, behind))) = parse_request(&mut parser, bytes) else {
        return;
    };
    let _ = expects_continue(head.headers, head.version);
    let reader = match BodyReader::new(head.headers, head.version, limit) {
        Ok(Some(reader)) => reader,
        Ok(None) => return,
        Err(error) => {
            assert!(matches!(error.status(), 400 | 413 | 501));
            return;
        }
    };
    let read = |pieces: Vec<Vec<u8>>| {
        let mut reader = reader.clone();
        let mut consumed = 0;
        let mut result = Ok(false);
        for mut piece in pieces {
            assert_eq!(result, Ok(false));
            let mut input = Input::new(&mut piece);
            result = reader.recv(&mut input);
            assert!(result != Ok(false) || input.is_empty());
            assert!(reader.body().len() <= limit && reader.body().len() <= bytes.len());
            assert!(reader.clone().into_body().capacity() <= 2 * bytes.len() + 8);
            consumed += input.consumed();
            if result != Ok(false) {
                let mut nothing = Input::new(&mut []);
                assert_eq!(reader.recv(&mut nothing), result, "it stays");
                break;
            }
        }
        (result, consumed, reader.into_body())
    };
    let (result, consumed, body) = read(vec![behind.to_vec()]);
    assert_eq!(
        (result, consumed, body.clone()),
        read(cuts.pieces(behind)),
        "the cuts matter"
    );
    if result == Ok(true) {
        let (split_body, left) = split(&head, behind).expect("a good body");
        assert_eq!((body, &behind[consumed..]), (split_body, left));
    }
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    // Zero is far over the longest input.
    let limit = match byte(&mut u) {
        0 => 1024 * 1024,
        some => usize::from(some) - 1,
    };
    let cuts = Cuts::read(&mut u);
    let bytes = rest(&mut u);

    check_reader(limit, &cuts, bytes);
    let whole = run(limit, vec![bytes.to_vec()]);
    let pieces = run(limit, cuts.pieces(bytes));
    assert_eq!(whole, pieces, "the cuts matter");
});
