//! What a server's application may not answer: docs/cases.md H22.

use harness::handshake::*;
use sockeye::error::Misuse;
use sockeye::proto::{Accept, Response};

/// Proves that the misuse is told, appends nothing, and leaves the handshake usable.
#[track_caller]
fn misused(accept: &Accept<'_>, misuse: Misuse) {
    let handshake = accepted(&upgrade().add("Sec-WebSocket-Protocol", "chat"));
    let mut out = b"before".to_vec();
    let unanswered = handshake.accept(accept, &mut out, START).unwrap_err();
    assert_eq!(unanswered.misuse(), &misuse);
    assert_eq!(out, b"before");
    assert!(
        unanswered
            .into_request()
            .accept(&Accept::default(), &mut out, START)
            .is_ok()
    );
}

#[track_caller]
fn bad_subprotocol(name: &str) {
    let accept = Accept {
        subprotocol: Some(name),
        headers: &[],
        config: None,
    };
    misused(&accept, Misuse::Subprotocol(name.into()));
}

#[track_caller]
fn bad_header(name: &str, value: &str) {
    let headers = [("X-Good", "1"), (name, value)];
    let misuse = Misuse::Header(name.into());
    let accept = Accept {
        subprotocol: Some("chat"),
        headers: &headers,
        config: None,
    };
    misused(&accept, misuse.clone());

    let response = Response {
        status: 403,
        headers: &headers,
        body: b"no",
    };
    let mut out = b"before".to_vec();
    let handshake = accepted(&upgrade());
    let rejected = handshake.reject(&response, &mut out, START);
    assert_eq!(rejected.unwrap_err().misuse(), &misuse);
    let request = taken_as_plain(&plain("GET / HTTP/1.1"));
    let unanswered = request.respond(&response, &mut out, START).unwrap_err();
    assert_eq!(unanswered.misuse(), &misuse);
    assert_eq!(out, b"before");
    let request = unanswered.into_request();
    let responded = request.respond(&Response::status(200), &mut out, START);
    assert!(next(responded).is_some());
}

cases! {
    h22_a_subprotocol_with_cr_lf: bad_subprotocol("chat\r\nX: y");
    h22_a_subprotocol_with_lf: bad_subprotocol("chat\n");
    h22_a_subprotocol_that_was_not_offered: bad_subprotocol("superchat");
    h22_a_subprotocol_in_another_case: bad_subprotocol("Chat");
    h22_an_empty_subprotocol: bad_subprotocol("");
    h22_a_header_value_with_cr_lf: bad_header("X-A", "1\r\nX-B: 2");
    h22_a_header_value_with_cr: bad_header("X-A", "1\r");
    h22_a_header_value_with_lf: bad_header("X-A", "\n1");
    h22_a_header_value_with_nul: bad_header("X-A", "1\x002");
    h22_a_header_value_with_del: bad_header("X-A", "1\x7f");
    h22_a_header_name_with_cr_lf: bad_header("X-A: 1\r\nX-B", "2");
    h22_a_header_name_with_lf: bad_header("X-A\n", "1");
    h22_a_header_name_with_a_colon: bad_header("X-A:", "1");
    h22_a_header_name_with_a_space: bad_header("X A", "1");
    h22_an_empty_header_name: bad_header("", "1");
    h22_a_header_name_above_7f: bad_header("X-\u{e9}", "1");
    h22_the_handshakes_own_accept: bad_header("Sec-WebSocket-Accept", "x");
    h22_the_handshakes_own_subprotocol: bad_header("sec-websocket-protocol", "chat");
    h22_the_handshakes_own_extensions: bad_header("SEC-WEBSOCKET-EXTENSIONS", "x");
    h22_the_handshakes_own_upgrade: bad_header("upgrade", "h2c");
    h22_the_handshakes_own_connection: bad_header("Connection", "close");
    h22_a_content_length: bad_header("Content-Length", "5");
    h22_a_transfer_encoding: bad_header("transfer-encoding", "chunked");
}

#[test]
fn h22_good_headers_are_sent_as_they_are() {
    let headers = [
        ("Set-Cookie", "a=1; HttpOnly"),
        ("Set-Cookie", "b=2"),
        ("X-Tab", "a\tb"),
    ];
    let accept = Accept {
        subprotocol: None,
        headers: &headers,
        config: None,
    };
    let mut out = Vec::new();
    let handshake = accepted(&upgrade());
    handshake.accept(&accept, &mut out, START).unwrap();
    let answer = Answer::read(&out);
    let sent: Vec<_> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(&sent[sent.len() - 3..], headers);
}

#[test]
fn h22_statuses_that_are_no_final_response_are_misuse() {
    for status in [0, 99, 100, 101, 199, 600, 999, u16::MAX] {
        let mut out = Vec::new();
        let response = Response::status(status);
        let rejected = accepted(&upgrade()).reject(&response, &mut out, START);
        assert_eq!(rejected.unwrap_err().misuse(), &Misuse::Status(status));
        let request = taken_as_plain(&plain("GET / HTTP/1.1"));
        let responded = request.respond(&response, &mut out, START);
        assert_eq!(responded.unwrap_err().misuse(), &Misuse::Status(status));
        assert!(out.is_empty());
    }
}

/// Until then it is a handshake and no request: there is nothing to accept or respond to.
#[test]
fn nothing_can_be_answered_before_a_whole_request() {
    let bytes = upgrade().bytes();
    for end in [0, 1, bytes.len() - 1] {
        let served = serve(&config(), &[bytes[..end].to_vec()]);
        assert_eq!(served.kind(), Ok(Kind::Incomplete));
        assert!(served.out.is_empty());
        let handshake = served.incomplete();
        assert!(!handshake.request().is_complete());
        assert_eq!(handshake.is_idle(), end == 0);
    }
}
