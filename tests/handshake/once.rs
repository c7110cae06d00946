//! A request is answered once, and nothing of the opening handshake shows a credential.

use harness::handshake::*;
use sockeye::error::Misuse;
use sockeye::proto::{Accept, ClientRequest, Input, RequestKind, Response, ServerHandshake};

/// Asks for every answer; all must be refused and append nothing.
fn assert_answered(handshake: &mut ServerHandshake) {
    let (mut out, response) = (Vec::new(), Response::status(200));
    let accepted = handshake.accept(&Accept::default(), &mut out, START);
    assert_eq!(accepted.err(), Some(Misuse::HandshakeState));
    let rejected = handshake.reject(&response, &mut out);
    assert_eq!(rejected, Err(Misuse::HandshakeState));
    let responded = handshake.respond(&response, &mut out, START);
    assert_eq!(responded, Err(Misuse::HandshakeState));
    assert_eq!(out, b"");
}

#[test]
fn an_opening_handshake_is_answered_once() {
    let mut out = Vec::new();
    let mut handshake = accepted(&upgrade());
    handshake
        .accept(&Accept::default(), &mut out, START)
        .unwrap();
    assert_answered(&mut handshake);
    assert!(handshake.request().is_some(), "it can still be read");

    let mut handshake = accepted(&upgrade());
    handshake.reject(&Response::status(403), &mut out).unwrap();
    assert_answered(&mut handshake);

    let mut handshake = accepted(&upgrade());
    let kept = handshake.respond(&Response::status(403), &mut out, START);
    assert_eq!(kept, Ok(false));
    assert_answered(&mut handshake);
}

/// What a server that stops says.
const STOPS: Response<'_> = Response {
    status: 503,
    headers: &[("Retry-After", "5")],
    body: b"the server stops",
};

#[track_caller]
fn assert_interrupted(handshake: &ServerHandshake, body: &[u8]) {
    let mut out = Vec::new();
    assert_eq!(handshake.interrupt(&STOPS, &mut out), Ok(true));
    let answer = Answer::read(&out);
    assert_eq!((answer.status, &*answer.body), (503, body));
    assert_eq!(answer.header("Connection"), Some("close"));
    assert_eq!(answer.header("Retry-After"), Some("5"));
    assert_eq!(handshake.poll_timeout(), None);
}

#[test]
fn whatever_request_is_under_way_is_interrupted_once() {
    // An upgrade cut anywhere, and whole.
    let bytes = upgrade().bytes();
    for end in 1..=bytes.len() {
        let mut served = serve(&config(), &[bytes[..end].to_vec()]);
        assert_interrupted(&served.handshake, STOPS.body);
        // What still comes is answered by nothing, well-formed or not.
        let mut out = Vec::new();
        for mut more in [bytes[end..].to_vec(), b"\0\0".to_vec()] {
            let _ = served.handshake.recv(&mut Input::new(&mut more), &mut out);
        }
        let _ = served.handshake.handle_timeout(START * 1000, &mut out);
        assert_eq!(served.handshake.interrupt(&STOPS, &mut out), Ok(false));
        assert_answered(&mut served.handshake);
        assert_eq!(out, b"");
    }
    // A body that is being read.
    let mut upload = taken_as_plain(&plain("POST / HTTP/1.1").add("Content-Length", "9"));
    let (mut part, mut out) = (*b"part", Vec::new());
    let read = upload.read_body(9, &mut Input::new(&mut part), &mut out, START);
    assert_eq!(read, Ok(false));
    assert_interrupted(&upload, STOPS.body);
    assert_interrupted(&taken_as_plain(&plain("HEAD / HTTP/1.1")), b"");
}

#[test]
fn a_transport_without_a_request_has_nothing_to_be_interrupted() {
    let mut out = Vec::new();
    let idle = ServerHandshake::new(config(), START);
    assert_eq!(idle.interrupt(&STOPS, &mut out), Ok(false));
    assert!(idle.poll_timeout().is_some());
    let mut kept = taken_as_plain(&plain("GET / HTTP/1.1"));
    let answered = kept.respond(&Response::status(204), &mut out, START);
    assert_eq!(answered, Ok(true));
    out.clear();
    assert_eq!(kept.interrupt(&STOPS, &mut out), Ok(false));
    let mut failed = serve(&config(), &[b"\0".to_vec()]).handshake;
    assert_eq!(failed.interrupt(&STOPS, &mut out), Ok(false));
    assert!(failed.recv(&mut Input::new(&mut []), &mut out).is_err());
    // What can't be sent changes nothing.
    let half = serve(&config(), &[b"GET".to_vec()]).handshake;
    let bad = half.interrupt(&Response::status(101), &mut out);
    assert_eq!(bad, Err(Misuse::Status(101)));
    assert_eq!(out, b"");
    assert_interrupted(&half, STOPS.body);
}

#[test]
fn an_answer_that_cant_be_sent_leaves_the_request_to_be_answered() {
    let (mut out, handshake) = (Vec::new(), accepted(&upgrade()));
    let bad = Accept {
        headers: &[("X", "a\r\nb")],
        ..Accept::default()
    };
    assert!(handshake.accept(&bad, &mut out, START).is_err());
    assert!(handshake.reject(&Response::status(101), &mut out).is_err());
    assert_eq!(out, b"");
    let accepted = handshake.accept(&Accept::default(), &mut out, START);
    assert!(accepted.is_ok());
}

#[test]
fn a_plain_request_is_answered_once_and_so_is_the_next() {
    let mut handshake = ServerHandshake::new(config(), START);
    let mut out = Vec::new();
    for last in [false, false, true] {
        let request = plain("GET / HTTP/1.1");
        let request = match last {
            true => request.add("Connection", "close"),
            false => request,
        };
        let mut bytes = request.bytes();
        let kind = handshake.recv(&mut Input::new(&mut bytes), &mut out);
        assert_eq!(kind, Ok(Some(RequestKind::Plain)));
        let kept = handshake.respond(&Response::status(200), &mut out, START);
        assert_eq!(kept, Ok(!last));
        assert_answered(&mut handshake);
    }
}

#[test]
fn debug_shows_no_value_of_a_header_and_no_body() {
    let headers = [("Authorization", "secret"), ("Cookie", "secret")];
    let response = Response {
        status: 200,
        headers: &headers,
        body: b"secret",
    };
    let accept = Accept {
        headers: &headers,
        ..Accept::default()
    };
    let request = ClientRequest {
        headers: &headers,
        ..ClientRequest::default()
    };
    let mut shown = format!("{response:?} {accept:?} {request:?}");
    #[cfg(feature = "client")]
    {
        let mut options = sockeye::client::ConnectOptions::default();
        options.request = request;
        shown += &format!("{options:?}");
    }
    assert!(shown.contains("Authorization") && shown.contains("Cookie"));

    let mut handshake = ServerHandshake::new(config(), START);
    let text = plain("POST / HTTP/1.1")
        .add("Cookie", "secret")
        .add("Content-Length", "7");
    let mut bytes = text.behind("secret").bytes();
    let (mut input, mut out) = (Input::new(&mut bytes), Vec::new());
    handshake.recv(&mut input, &mut out).unwrap();
    shown += &format!("{handshake:?} {:?}", handshake.request());
    let whole = handshake.read_body(7, &mut input, &mut out, START);
    assert_eq!(whole, Ok(false));
    shown += &format!("{handshake:?}");
    let mut last = *b"!";
    let whole = handshake.read_body(7, &mut Input::new(&mut last), &mut out, START);
    assert_eq!(whole, Ok(true));
    shown += &format!("{handshake:?}");
    let bytes = format!("{:?}", b"secret");
    let bytes = bytes.trim_matches(['[', ']']);
    assert!(
        !shown.contains("secret") && !shown.contains(bytes),
        "{shown}"
    );
}
