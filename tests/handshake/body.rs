//! The body of a plain request behind the server's handshake: `100 Continue`, faults and their
//! responses, smuggling, keep-alive, deadlines.

use core::time::Duration;

use harness::handshake::{
    Answer, START, Text, cases, config, config_with, contains, cuts, next, plain, serve,
};
use sockeye::error::{HandshakeError, HttpError};
use sockeye::proto::{
    Input, PlainRequest, ReadBody, Received, Refused, Responded, Response, ServerHandshake,
    Teardown,
};

/// Bytes of a body.
const LIMIT: usize = 1000;

fn post() -> Text {
    plain("POST /form HTTP/1.1")
}

fn chunked() -> Text {
    post().add("Transfer-Encoding", "chunked")
}

/// A request of which the head was read and nothing more.
#[track_caller]
fn begun(text: &Text) -> PlainRequest {
    serve(&config(), &[text.head()]).plain()
}

#[track_caller]
fn complete(read: Result<ReadBody, Refused>) -> PlainRequest {
    match read {
        Ok(ReadBody::Complete(request)) => request,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn incomplete(read: Result<ReadBody, Refused>) -> PlainRequest {
    match read {
        Ok(ReadBody::Incomplete(request)) => request,
        other => panic!("{other:?}"),
    }
}

/// Proves that a handshake answers so, before any byte of the body.
#[track_caller]
fn answered(text: &Text, error: HttpError, status: u16) {
    assert_eq!(error.status(), status);
    let bytes = text.head();
    for pieces in cuts(&bytes) {
        let mut served = serve(&config(), &pieces);
        let mut out = core::mem::take(&mut served.out);
        let mut empty = Input::new(&mut []);
        let result = served.plain().read_body(LIMIT, &mut empty, &mut out, START);
        let refused = result.unwrap_err();
        assert_eq!(refused.error(), &HandshakeError::Body(error));
        assert_eq!(refused.teardown(), Teardown::HalfClose);
        let answer = Answer::read(&out);
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("Connection"), Some("close"));
    }
}

cases! {
    a_length_over_the_limit: answered(
        &post().add("Content-Length", "1001"), HttpError::BodyTooLarge, 413);
    te_in_http_1_0: answered(
        &chunked().start("POST / HTTP/1.0"), HttpError::BodyLength, 400);
    cl_te: answered(&chunked().add("Content-Length", "5"), HttpError::BodyLength, 400);
    another_coding: answered(
        &post().add("Transfer-Encoding", "gzip, chunked"), HttpError::TransferCoding, 501);
    another_expectation: answered(&post().add("Expect", "tea"), HttpError::Expectation, 417);
    one_more_expectation: answered(
        &post().add("Expect", "100-continue, tea"), HttpError::Expectation, 417);
    an_expectation_on_another_line: answered(
        &post().add("Expect", "100-continue").add("Expect", "x"), HttpError::Expectation, 417);
}

/// Where a transport stands between two reads.
enum Stage {
    Head(ServerHandshake),
    Body(PlainRequest),
}

/// Serves all requests in these bytes, each with its method, path and body for an answer; what
/// went out and how it ended.
fn echo(pieces: Vec<Vec<u8>>) -> (Vec<u8>, Result<bool, HandshakeError>) {
    let mut stage = Stage::Head(ServerHandshake::new(config(), START));
    let mut out = Vec::new();
    for mut piece in pieces {
        let mut input = Input::new(&mut piece);
        loop {
            let result = match stage {
                Stage::Head(handshake) => match handshake.recv(&mut input, &mut out, START) {
                    Ok(Received::Incomplete(more)) => {
                        stage = Stage::Head(more);
                        break;
                    }
                    Ok(Received::Plain(request)) => {
                        request.read_body(LIMIT, &mut input, &mut out, START)
                    }
                    Ok(Received::Upgrade(upgrade)) => panic!("{upgrade:?}"),
                    Err(refused) => Err(refused),
                },
                Stage::Body(request) => request.read_body(LIMIT, &mut input, &mut out, START),
            };
            let plain = match result {
                Ok(ReadBody::Incomplete(request)) => {
                    stage = Stage::Body(request);
                    break;
                }
                Ok(ReadBody::Complete(request)) => request,
                Err(refused) => return (out, Err(refused.into_error())),
            };
            let request = plain.request();
            let mut body = format!("{} {} ", request.method(), request.path()).into_bytes();
            body.extend_from_slice(plain.body());
            let response = Response {
                body: &body,
                ..Response::status(200)
            };
            match plain.respond(&response, &mut out, START).unwrap() {
                Responded::KeepAlive(next) => stage = Stage::Head(next),
                Responded::Close(_) => return (out, Ok(false)),
            }
        }
        assert!(input.is_empty());
    }
    (out, Ok(true))
}

#[track_caller]
fn echoed(bytes: &[u8]) -> (String, Result<bool, HandshakeError>) {
    let all = cuts(bytes).into_iter().map(echo);
    let (out, result) = all
        .reduce(|first, other| {
            assert_eq!(first, other, "the cuts matter");
            first
        })
        .unwrap();
    (String::from_utf8(out).unwrap(), result)
}

#[test]
fn requests_with_bodies_are_answered_in_order_on_one_transport() {
    let requests = [
        post().add("Content-Length", "3").behind("one").bytes(),
        chunked().behind("3\r\ntwo\r\n0\r\nX: y\r\n\r\n").bytes(),
        plain("GET /three HTTP/1.1").bytes(),
        post().add("Content-Length", "0").bytes(),
        post()
            .start("POST / HTTP/1.0")
            .add("Connection", "keep-alive")
            .add("Content-Length", "4")
            .behind("four")
            .bytes(),
    ];
    let (out, result) = echoed(&requests.concat());
    assert_eq!(result, Ok(true));
    let mut rest = &*out;
    for body in [
        "POST /form one",
        "POST /form two",
        "GET /three ",
        "POST /form ",
        "POST / four",
    ] {
        let at = rest.find(body).expect(body) + body.len();
        let answer = Answer::read(&rest.as_bytes()[..at]);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("Connection"), Some("keep-alive"));
        assert_eq!(answer.body, body.as_bytes());
        rest = &rest[at..];
    }
    assert_eq!(rest, "");
}

/// What a front end that reads lengths differently would take for a request is not answered.
#[test]
fn a_smuggled_request_is_never_served() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (text, status) in [
        (
            chunked().add("Content-Length", "5").behind("0\r\n\r\n"),
            400,
        ),
        (
            post()
                .add("Content-Length", "5")
                .add("Content-Length", "6")
                .behind("hello"),
            400,
        ),
        (chunked().behind("0x10\r\n"), 400),
        (chunked().behind("+5\r\nhello\r\n0\r\n\r\n"), 400),
        (chunked().behind("0\n\n"), 400),
        (chunked().behind("2;\nxx\r\n4c\r\n"), 400),
        (chunked().behind("10000000000000000\r\n"), 413),
        (
            post()
                .add("Transfer-Encoding", "\x0bchunked")
                .behind("0\r\n\r\n"),
            400,
        ),
        (
            post()
                .add("Transfer-Encoding", "x")
                .add("Transfer-Encoding", "chunked")
                .behind("0\r\n\r\n"),
            501,
        ),
        (
            post()
                .line("Transfer-Encoding : chunked")
                .behind("0\r\n\r\n"),
            400,
        ),
        (chunked().start("POST / HTTP/1.0").behind("0\r\n\r\n"), 400),
    ] {
        let mut bytes = text.bytes();
        bytes.extend_from_slice(smuggled.as_bytes());
        let (out, result) = echoed(&bytes);
        assert_eq!(result.unwrap_err().status(), Some(status), "{out}");
        assert!(!out.contains("smuggled"), "{out}");
        assert_eq!(out.matches("HTTP/1.1 ").count(), 1, "{out}");
    }
}

#[test]
fn a_body_that_nobody_read_whole_costs_the_transport() {
    let text = post().add("Content-Length", "5");
    let mut out = Vec::new();
    let request = begun(&text);
    assert_eq!(request.body(), b"");
    assert!(next(request.respond(&Response::status(200), &mut out, START)).is_none());

    let mut part = b"hell".to_vec();
    let read = begun(&text).read_body(9, &mut Input::new(&mut part), &mut out, START);
    let request = incomplete(read);
    assert_eq!(request.body(), b"hell");
    assert!(request.poll_timeout().is_some());
    assert!(next(request.respond(&Response::status(200), &mut out, START)).is_none());
}

#[test]
fn a_body_is_at_hand_with_its_request_until_the_response() {
    let request = begun(&post().add("Content-Length", "5"));
    let mut out = Vec::new();
    let mut bytes = *b"helloGET";
    let mut input = Input::new(&mut bytes);
    let request = complete(request.read_body(5, &mut input, &mut out, START));
    assert_eq!(input.as_slice(), b"GET");
    // Again, and whatever the limit is then.
    let request = complete(request.read_body(0, &mut input, &mut out, START));
    assert_eq!(input.as_slice(), b"GET");
    assert_eq!(request.body(), b"hello");
    assert_eq!(request.request().path(), "/form");
    assert!(out.is_empty());
    assert_eq!(request.poll_timeout(), None);
    let kept = next(request.respond(&Response::status(200), &mut out, START));
    assert!(kept.unwrap().is_idle());
}

#[test]
fn continue_is_sent_once_and_before_the_response() {
    for value in ["100-continue", "100-CONTINUE"] {
        let text = chunked().add("Expect", value);
        let mut request = begun(&text);
        let mut out = Vec::new();
        for _ in 0..2 {
            let read = request.read_body(9, &mut Input::new(&mut []), &mut out, START);
            request = incomplete(read);
            assert_eq!(out, b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        for byte in *b"2\r\nhi\r\n0\r\n\r\n" {
            let read = request.read_body(9, &mut Input::new(&mut [byte]), &mut out, START);
            request = match read {
                Ok(ReadBody::Incomplete(request) | ReadBody::Complete(request)) => request,
                Err(refused) => panic!("{refused}"),
            };
        }
        assert_eq!(request.body(), b"hi");
        assert_eq!(out, b"HTTP/1.1 100 Continue\r\n\r\n");
        let kept = next(request.respond(&Response::status(204), &mut out, START));
        assert!(kept.is_some());
        assert_eq!(Answer::read(&out[25..]).status, 204);
    }
}

#[test]
fn continue_is_not_sent_where_nobody_waits_for_it() {
    let expecting = |text: Text| text.add("Expect", "100-continue");
    for (text, body, limit) in [
        // A byte of the body came already.
        (expecting(post().add("Content-Length", "2")), &b"h"[..], 9),
        // There is no body.
        (expecting(plain("GET / HTTP/1.1")), b"", 9),
        (expecting(post().add("Content-Length", "0")), b"", 9),
        // HTTP/1.0 has none.
        (
            expecting(post().start("POST / HTTP/1.0").add("Content-Length", "2")),
            b"",
            9,
        ),
        // The body is refused.
        (expecting(post().add("Content-Length", "10")), b"", 9),
    ] {
        let request = begun(&text);
        let mut out = Vec::new();
        let mut body = body.to_vec();
        let _ = request.read_body(limit, &mut Input::new(&mut body), &mut out, START);
        assert!(!contains(&out, b" 100 "), "{}", out.escape_ascii());
    }
    // Nor when the application answers without the body.
    let request = begun(&expecting(chunked()));
    let mut out = Vec::new();
    assert!(next(request.respond(&Response::status(403), &mut out, START)).is_none());
    assert_eq!(Answer::read(&out).status, 403);
}

/// It consumes the request: there is nothing left to answer.
#[test]
fn an_error_of_the_body_is_answered_once_and_sticks() {
    let mut out = Vec::new();
    let mut bytes = *b"5\nhello";
    let mut input = Input::new(&mut bytes);
    let read = begun(&chunked()).read_body(9, &mut input, &mut out, START);
    let refused = read.unwrap_err();
    assert_eq!(refused.error(), &HandshakeError::Body(HttpError::BareLf));
    assert_eq!(refused.request().path(), Some("/form"));
    assert_eq!(refused.teardown(), Teardown::HalfClose);
    assert_eq!(Answer::read(&out).status, 400);
}

#[test]
fn a_refused_head_request_gets_no_content() {
    let text = chunked()
        .start("HEAD / HTTP/1.1")
        .add("Content-Length", "1");
    let mut out = Vec::new();
    let read = begun(&text).read_body(9, &mut Input::new(&mut []), &mut out, START);
    assert!(read.is_err());
    let answer = Answer::read(&out);
    assert_eq!((answer.status, &*answer.body), (400, &b""[..]));
}

const TEN: Duration = Duration::from_secs(10);

/// `handshake_timeout` from the first call on, and a second for each 512 bytes of the body.
#[test]
fn d2_the_deadline_of_a_body_moves_with_its_bytes() {
    let config = config_with(|it| it.handshake_timeout = TEN);
    let text = chunked();
    let request = serve(&config, &[text.head()]).plain();
    let mut out = Vec::new();
    // While nobody reads, nothing is late.
    assert_eq!(request.poll_timeout(), None);
    let later = START + Duration::from_secs(9);
    let mut give = |request: PlainRequest, bytes: &str, now| {
        let mut bytes = bytes.as_bytes().to_vec();
        incomplete(request.read_body(4096, &mut Input::new(&mut bytes), &mut out, now))
    };
    let request = give(request, "", later);
    assert_eq!(request.poll_timeout(), Some(later + TEN));
    // Neither what comes late nor framing counts.
    let request = give(request, "1;ext=ension\r\nx\r\n", later + TEN);
    assert_eq!(request.poll_timeout(), Some(later + TEN));
    let chunk = format!("5ff\r\n{}\r\n", "x".repeat(0x5ff));
    let request = give(request, &chunk, later);
    let moved = later + TEN + Duration::from_secs(3);
    assert_eq!(request.poll_timeout(), Some(moved));
    let early = moved - Duration::from_nanos(1);
    let request = request.handle_timeout(early, &mut out).unwrap();
    assert!(out.is_empty());
    let refused = request.handle_timeout(moved, &mut out).unwrap_err();
    assert_eq!(refused.error(), &HandshakeError::Timeout { timeout: TEN });
    assert_eq!(Answer::read(&out).status, 408);
}

// RFC 9110 sections 8.6, 15.3.6 and 15.4.5.
#[test]
fn content_length_is_left_out_where_it_must_be() {
    for (status, body, length, sent) in [
        (204, "fine", None, ""),
        (204, "", None, ""),
        (205, "fine", Some("0"), ""),
        (304, "fine", Some("4"), ""),
        (304, "", None, ""),
        (200, "", Some("0"), ""),
        (200, "fine", Some("4"), "fine"),
    ] {
        let request = begun(&plain("GET / HTTP/1.1"));
        let response = Response {
            status,
            headers: &[],
            body: body.as_bytes(),
        };
        let mut out = Vec::new();
        assert!(next(request.respond(&response, &mut out, START)).is_some());
        let answer = Answer::read(&out);
        assert_eq!(answer.header("Content-Length"), length, "{status} {body}");
        assert_eq!(answer.body, sent.as_bytes());
        let typed = answer.header("Content-Type").is_some();
        assert_eq!(typed, !sent.is_empty(), "{status} {body}");
    }
}
