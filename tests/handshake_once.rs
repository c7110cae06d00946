//! A request is answered once, and nothing of the opening handshake shows a credential.

mod handshake_util;

use handshake_util::*;
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
