//! What a server answers and what follows a request: docs/cases.md H10 to H13, H2a's plain requests
//! and D1's deadline. Every case of bytes runs whole, byte by byte and at random splits (see
//! `handshake_util`).

use core::time::Duration;

use harness::handshake::*;
use sockeye::error::{HandshakeError, HttpError, RequestError};
use sockeye::proto::{Accept, Input, Received, Response, ServerHandshake, Teardown};

/// Refused with 400, with a whole masked frame and a smuggled request behind, which are neither.
#[track_caller]
fn body_refused(text: Text, error: impl Into<HandshakeError>) {
    let smuggled = [frame(1, b"hi", Some([1, 2, 3, 4])), upgrade().bytes()].concat();
    let refused = refused(text.behind(smuggled).bytes());
    assert_eq!(refused.error, error.into());
    assert_eq!(refused.answer.status, 400);
}

#[track_caller]
fn length(value: &str) -> Text {
    upgrade().add("Content-Length", value)
}

cases! {
    h10_a_length_of_5_is_400: body_refused(length("5"), RequestError::Body);
    h10_a_length_of_19_digits_is_400: body_refused(
        length("9999999999999999999"), RequestError::Body);
    h10_chunked_is_400: body_refused(
        upgrade().add("Transfer-Encoding", "chunked"), RequestError::Body);
    h10_identity_is_400: body_refused(
        upgrade().add("transfer-encoding", "identity"), RequestError::Body);
    h10_an_empty_transfer_encoding_is_400: body_refused(
        upgrade().add("Transfer-Encoding", ""), RequestError::Body);
    h10_length_and_chunked_are_400: body_refused(
        length("5").add("Transfer-Encoding", "chunked"), RequestError::Body);
    h10_length_0_and_chunked_are_400: body_refused(
        length("0").add("Transfer-Encoding", "chunked"), RequestError::Body);
    h10_two_lengths_are_400: body_refused(
        length("5").add("Content-Length", "6"), HttpError::ContentLength);
    h10_two_equal_lengths_are_400: body_refused(
        length("5").add("content-length", "5"), HttpError::ContentLength);
    h10_two_lengths_of_0_are_400: body_refused(
        length("0").add("Content-Length", "0"), HttpError::ContentLength);
    h10_lengths_0_and_5_are_400: body_refused(
        length("0").add("Content-Length", "5"), HttpError::ContentLength);
    h10_two_lengths_in_one_line_are_400: body_refused(length("0, 0"), HttpError::ContentLength);
    h10_a_length_with_plus_is_400: body_refused(length("+5"), HttpError::ContentLength);
    h10_a_length_of_plus_0_is_400: body_refused(length("+0"), HttpError::ContentLength);
    h10_a_negative_length_is_400: body_refused(length("-1"), HttpError::ContentLength);
    h10_a_length_of_minus_0_is_400: body_refused(length("-0"), HttpError::ContentLength);
    h10_a_length_of_20_digits_is_400: body_refused(
        length("18446744073709551616"), HttpError::ContentLength);
    h10_a_length_of_20_zeros_is_400: body_refused(
        length("00000000000000000000"), HttpError::ContentLength);
    h10_an_empty_length_is_400: body_refused(length(""), HttpError::ContentLength);
    h10_a_length_in_hex_is_400: body_refused(length("0x0"), HttpError::ContentLength);
    h10_a_length_with_a_fraction_is_400: body_refused(length("0.0"), HttpError::ContentLength);
    h10_a_length_with_an_inner_space_is_400: body_refused(
        length("0 0"), HttpError::ContentLength);
    h10_a_plain_request_with_two_lengths_is_400: body_refused(
        plain("POST / HTTP/1.1").add("Content-Length", "2").add("Content-Length", "2"),
        HttpError::ContentLength);
    h10_a_length_of_0_is_accepted: drop(accepted(&length("0")));
    h10_a_length_of_00_is_accepted: drop(accepted(&length("00")));
}

/// The bytes behind an accepted head, given to the connection in the pieces that remain.
#[track_caller]
fn behind_the_101(behind: &[u8]) -> (Result<Vec<Vec<u8>>, u16>, Vec<u8>) {
    let text = upgrade().behind(behind);
    let mut whole = None;
    for pieces in cuts(&text.bytes()) {
        let mut handshake = Some(ServerHandshake::new(config(), START));
        let mut connection = None;
        let (mut answer, mut out) = (Vec::new(), Vec::new());
        let mut result = Ok(Vec::new());
        for mut piece in pieces {
            let mut input = Input::new(&mut piece);
            if let Some(reading) = handshake.take() {
                match reading.recv(&mut input, &mut answer, START).unwrap() {
                    Received::Incomplete(more) => {
                        handshake = Some(more);
                        continue;
                    }
                    Received::Upgrade(upgrade) => {
                        assert_eq!(upgrade.request().path(), "/chat");
                        let accepted = upgrade.accept(&Accept::default(), &mut answer, START);
                        connection = Some(accepted.unwrap());
                    }
                    Received::Plain(request) => panic!("{request:?}"),
                }
                assert_proper_101(&answer, KEY.as_bytes());
            }
            let connection = connection.as_mut().unwrap();
            let rest = input.as_slice().to_vec();
            match (&mut result, messages(connection, &[rest], &mut out)) {
                (Ok(all), Ok(more)) => all.extend(more),
                (Ok(_), Err(code)) => result = Err(code),
                (Err(_), again) => assert_eq!(again, result),
            }
        }
        // The handshake is over with the first request: nothing behind it is routed.
        assert!(handshake.is_none());
        match &whole {
            None => whole = Some((result, out)),
            Some(whole) => assert_eq!(whole, &(result, out)),
        }
    }
    whole.unwrap()
}

#[test]
fn h11_a_second_get_behind_an_upgrade_is_frames_and_fails_with_1002() {
    for second in [plain("GET /admin HTTP/1.1"), upgrade().target("/admin")] {
        let (result, out) = behind_the_101(&second.bytes());
        assert_eq!(result, Err(1002));
        assert_eq!(out[..4], [0x88, out.len() as u8 - 2, 0x03, 0xEA]);
        assert!(!contains(&out, b"HTTP"));
    }
}

#[test]
fn h12_whole_frames_behind_an_upgrade_are_delivered() {
    let long = vec![b'x'; 3000];
    let frames = [
        frame(1, b"first", Some([1, 2, 3, 4])),
        frame(9, b"ping", Some([0; 4])),
        frame(2, &long, Some([5, 6, 7, 8])),
    ];
    let (result, out) = behind_the_101(&frames.concat());
    assert_eq!(result, Ok(vec![b"first".to_vec(), long]));
    assert_eq!(out, frame(10, b"ping", None));
}

#[test]
fn h12_half_a_frame_behind_an_upgrade_is_completed_by_what_comes() {
    let frame = frame(2, b"payload", Some([9, 8, 7, 6]));
    for cut in 1..frame.len() {
        let head = upgrade().bytes();
        let first = [&*head, &frame[..cut]].concat();
        let served = serve(&config(), &[first]);
        assert_eq!(served.consumed, head.len());
        assert_eq!(served.rest, &frame[..cut]);
        let mut out = Vec::new();
        let pieces = [served.rest.clone(), frame[cut..].to_vec()];
        let accepted = served.upgrade().accept(&Accept::default(), &mut out, START);
        let messages = messages(&mut accepted.unwrap(), &pieces, &mut out);
        assert_eq!(messages, Ok(vec![b"payload".to_vec()]));
    }
}

#[test]
fn h12_the_frames_are_left_alone_while_somebody_decides() {
    let mut bytes = upgrade().behind(frame(1, b"x", Some([1; 4]))).bytes();
    let handshake = ServerHandshake::new(config(), START);
    let mut input = Input::new(&mut bytes);
    let mut out = Vec::new();
    let received = handshake.recv(&mut input, &mut out, START);
    assert_eq!(kind(&received), Ok(Kind::Upgrade));
    assert_eq!(input.as_slice(), frame(1, b"x", Some([1; 4])));
    assert!(out.is_empty());
}

#[test]
fn h13_a_malformed_upgrade_with_frames_behind_it_is_one_error_and_a_close() {
    let frames = [
        frame(1, b"hi", Some([1; 4])),
        frame(8, b"", Some([2; 4])),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ];
    let text = upgrade().without("Sec-WebSocket-Key");
    let refused = refused(text.behind(frames.concat()).bytes());
    let error = HandshakeError::Request(RequestError::KeyMissing);
    assert_eq!(refused.error, error);
}

#[test]
fn h13_a_rejected_upgrade_with_frames_behind_it_is_one_answer_and_a_close() {
    let text = upgrade().behind(frame(1, b"hi", Some([1; 4])));
    for pieces in cuts(&text.bytes()) {
        let upgrade = serve(&config(), &pieces).upgrade();
        let response = Response {
            status: 403,
            headers: &[("X-Why", "because")],
            body: b"no",
        };
        let mut out = Vec::new();
        let linger = upgrade.reject(&response, &mut out, START).unwrap();
        assert_eq!(linger.teardown(), Teardown::HalfClose);
        let answer = Answer::read(&out);
        assert_eq!(answer.status, 403);
        assert_eq!(answer.header("Connection"), Some("close"));
        assert_eq!(answer.header("Content-Length"), Some("2"));
        assert_eq!(answer.header("X-Why"), Some("because"));
        assert_eq!(answer.body, b"no");
    }
}

#[test]
fn h13_responding_to_an_upgrade_refuses_and_closes_it() {
    let upgrade = accepted(&upgrade());
    let mut out = Vec::new();
    let linger = upgrade.reject(&Response::status(404), &mut out, START);
    assert_eq!(linger.unwrap().teardown(), Teardown::HalfClose);
    let answer = Answer::read(&out);
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("Connection"), Some("close"));
}

#[test]
fn a_426_of_the_application_names_the_version() {
    let mut out = Vec::new();
    let handshake = accepted(&upgrade());
    handshake
        .reject(&Response::status(426), &mut out, START)
        .unwrap();
    let answer = Answer::read(&out);
    assert_eq!(answer.header("Sec-WebSocket-Version"), Some("13"));
    assert_eq!(answer.header("Upgrade"), Some("websocket"));
    assert!(answer.has_token("Connection", "Upgrade"));
    assert!(answer.has_token("Connection", "close"));
}

/// Responds to a plain request with a body; whether the transport is kept, and the answer.
#[track_caller]
fn responded(text: &Text) -> (bool, Answer) {
    let request = taken_as_plain(text);
    let response = Response {
        status: 200,
        headers: &[],
        body: b"fine",
    };
    let mut out = Vec::new();
    let later = START + Duration::from_secs(60);
    let next = next(request.respond(&response, &mut out, later));
    let kept = next.is_some();
    let answer = Answer::read(&out);
    assert_eq!(answer.has_token("Connection", "close"), !kept);
    assert_eq!(answer.header("Content-Length"), Some("4"));
    if let Some(next) = next {
        assert_eq!(next.poll_timeout(), later + Duration::from_secs(10));
        assert!(next.is_idle());
    }
    (kept, answer)
}

#[track_caller]
fn kept(text: Text, expected: bool) {
    assert_eq!(responded(&text).0, expected);
}

cases! {
    plain_http_1_1_is_kept: kept(plain("GET / HTTP/1.1"), true);
    plain_http_1_1_that_asks_to_close_is_closed: kept(
        plain("GET / HTTP/1.1").add("Connection", "close"), false);
    plain_http_1_1_that_asks_to_close_in_a_list_is_closed: kept(
        plain("GET / HTTP/1.1").add("Connection", "keep-alive, CLOSE"), false);
    plain_http_1_1_that_asks_to_close_on_a_second_line_is_closed: kept(
        plain("GET / HTTP/1.1").add("Connection", "x").add("connection", "close"), false);
    plain_post_with_a_body_is_closed: kept(
        plain("POST / HTTP/1.1").add("Content-Length", "5").behind("hello"), false);
    plain_post_with_a_chunked_body_is_closed: kept(
        plain("POST / HTTP/1.1").add("Transfer-Encoding", "chunked").behind("0\r\n\r\n"), false);
    plain_post_with_an_empty_body_is_kept: kept(
        plain("POST / HTTP/1.1").add("Content-Length", "0"), true);
    h2a_plain_http_1_0_is_closed: kept(plain("GET / HTTP/1.0"), false);
    h2a_http_1_0_upgrade_is_closed: kept(upgrade().start("GET /chat HTTP/1.0"), false);
    h2a_http_1_0_with_keep_alive_is_kept: kept(
        plain("GET / HTTP/1.0").add("Connection", "keep-alive"), true);
    h2a_http_1_0_with_keep_alive_in_capitals_is_kept: kept(
        plain("GET / HTTP/1.0").without("Host").add("CONNECTION", "Keep-Alive"), true);
    // RFC 9112 section 9.3: "If the 'close' connection option is present [...], the connection
    // will not persist after the current response; else, [...] HTTP/1.0 [...] keep-alive".
    h2a_http_1_0_that_asks_for_both_is_closed: kept(
        plain("GET / HTTP/1.0").add("Connection", "keep-alive, close"), false);
    // RFC 9112 section 6.1: faulty framing.
    h2a_http_1_0_with_transfer_encoding_is_closed: kept(
        plain("GET / HTTP/1.0").add("Connection", "keep-alive")
            .add("Transfer-Encoding", "chunked"), false);
}

/// RFC 9110 section 9.3.2.
#[test]
fn head_is_answered_with_the_length_and_without_the_body() {
    let (kept, answer) = responded(&plain("HEAD /health HTTP/1.1"));
    assert!(kept);
    assert_eq!((answer.status, &*answer.body), (200, &b""[..]));
    let (kept, answer) = responded(&plain("GET /health HTTP/1.1"));
    assert!(kept);
    assert_eq!(answer.body, b"fine");

    let handshake = taken_as_plain(&plain("HEAD / HTTP/1.1"));
    let response = Response {
        status: 404,
        headers: &[],
        body: b"nothing here",
    };
    let mut out = Vec::new();
    handshake.reject(&response, &mut out, START).unwrap();
    let answer = Answer::read(&out);
    assert_eq!(answer.header("Content-Length"), Some("12"));
    assert_eq!(answer.header("Connection"), Some("close"));
    assert_eq!(answer.body, b"");
}

/// RFC 9110 sections 8.6, 15.3.5 and 15.4.5.
#[test]
fn responses_without_content_have_none() {
    for (status, length) in [(204, None), (304, Some("4"))] {
        let request = taken_as_plain(&plain("GET / HTTP/1.1"));
        let response = Response {
            status,
            headers: &[],
            body: b"fine",
        };
        let mut out = Vec::new();
        assert!(next(request.respond(&response, &mut out, START)).is_some());
        let answer = Answer::read(&out);
        assert_eq!(answer.header("Content-Length"), length);
        assert_eq!(answer.body, b"");
    }
}

/// Four requests on one transport, the last an upgrade with a frame behind: the same answers in
/// the same order however the bytes are cut.
#[test]
fn pipelined_requests_are_answered_in_order_up_to_the_upgrade() {
    let requests = [
        plain("GET /one HTTP/1.1").bytes(),
        plain("HEAD /two HTTP/1.1").bytes(),
        b"\r\n".to_vec(),
        plain("GET /three?x HTTP/1.0")
            .without("Host")
            .add("Connection", "keep-alive")
            .bytes(),
        upgrade().bytes(),
        frame(1, b"hello", Some([3, 1, 4, 1])),
    ];
    let mut whole = None;
    for pieces in cuts(&requests.concat()) {
        let mut handshake = Some(ServerHandshake::new(config(), START));
        let mut connection = None;
        let (mut out, mut paths, mut delivered) = (Vec::new(), Vec::new(), Vec::new());
        for mut piece in pieces {
            let mut input = Input::new(&mut piece);
            while let Some(reading) = handshake.take() {
                match reading.recv(&mut input, &mut out, START).unwrap() {
                    Received::Incomplete(more) => {
                        handshake = Some(more);
                        break;
                    }
                    Received::Upgrade(upgrade) => {
                        let accept = Accept::default();
                        connection = upgrade.accept(&accept, &mut out, START).ok();
                        assert!(connection.is_some());
                    }
                    Received::Plain(request) => {
                        let path = request.request().path().to_owned();
                        let response = Response {
                            status: 200,
                            headers: &[("X-Path", &path)],
                            body: path.as_bytes(),
                        };
                        handshake = next(request.respond(&response, &mut out, START));
                        assert!(handshake.is_some());
                        paths.push(path);
                    }
                }
            }
            if let Some(connection) = &mut connection {
                let rest = input.as_slice().to_vec();
                delivered.extend(messages(connection, &[rest], &mut out).unwrap());
            }
        }
        assert_eq!(paths, ["/one", "/two", "/three"]);
        assert_eq!(delivered, [b"hello"]);
        assert!(contains(&out, b"HTTP/1.1 101 "));
        match &whole {
            None => whole = Some(out),
            Some(whole) => assert_eq!(whole, &out),
        }
    }
}

#[test]
fn a_malformed_request_after_a_kept_one_is_refused() {
    let request = taken_as_plain(&plain("GET / HTTP/1.1"));
    let mut out = Vec::new();
    let handshake = next(request.respond(&Response::status(200), &mut out, START)).unwrap();
    let bytes = upgrade().without("Host").bytes();
    let served = serve_on(handshake, &[bytes]);
    let error = HandshakeError::Head(HttpError::HostMissing);
    assert_eq!(served.kind(), Err(error));
    assert_eq!(Answer::read(&served.out).status, 400);
}

#[test]
fn each_kept_request_has_the_whole_head_limit() {
    let mut handshake = ServerHandshake::new(config(), START);
    let mut out = Vec::new();
    for _ in 0..5 {
        let mut bytes = plain("GET / HTTP/1.1").add("X", "x".repeat(15_000)).bytes();
        let received = handshake.recv(&mut Input::new(&mut bytes), &mut out, START);
        let Ok(Received::Plain(request)) = received else {
            panic!("{received:?}");
        };
        handshake = next(request.respond(&Response::status(200), &mut out, START)).unwrap();
    }
}

const TEN: Duration = Duration::from_secs(10);

/// What a peer gets whose time is over; the error consumes the handshake.
#[track_caller]
fn timed_out(handshake: ServerHandshake, now: Duration) -> Vec<u8> {
    let mut out = Vec::new();
    let refused = handshake.handle_timeout(now, &mut out).unwrap_err();
    assert_eq!(refused.error(), &HandshakeError::Timeout { timeout: TEN });
    assert_eq!(refused.teardown(), Teardown::HalfClose);
    out
}

#[test]
fn d1_a_byte_every_9_seconds_ends_at_the_absolute_deadline_with_408() {
    let mut handshake = ServerHandshake::new(config(), START);
    let mut out = Vec::new();
    let mut bytes = upgrade().bytes();
    for (at, seconds) in [(0, 0), (1, 9)] {
        let now = START + Duration::from_secs(seconds);
        handshake = handshake.handle_timeout(now, &mut out).unwrap();
        let received = handshake.recv(&mut Input::new(&mut bytes[at..=at]), &mut out, now);
        handshake = match received {
            Ok(Received::Incomplete(more)) => more,
            other => panic!("{other:?}"),
        };
        // Not moved by what arrives.
        assert_eq!(handshake.poll_timeout(), START + TEN);
    }
    let just_before = START + TEN - Duration::from_nanos(1);
    handshake = handshake.handle_timeout(just_before, &mut out).unwrap();
    assert!(out.is_empty());
    let answer = Answer::read(&timed_out(handshake, START + TEN));
    assert_eq!(answer.status, 408);
    assert_eq!(answer.header("Connection"), Some("close"));
}

#[test]
fn d1_a_silent_peer_is_dropped_without_an_answer() {
    let handshake = ServerHandshake::new(config(), START);
    assert_eq!(handshake.poll_timeout(), START + TEN);
    let served = serve_on(handshake, &[vec![]]);
    assert_eq!(served.kind(), Ok(Kind::Incomplete));
    assert!(timed_out(served.incomplete(), START + TEN).is_empty());
}

#[test]
fn d1_each_kept_request_has_its_own_deadline() {
    let mut out = Vec::new();
    let request = taken_as_plain(&plain("GET / HTTP/1.1"));
    // While the application thinks, no request is late.
    assert_eq!(request.poll_timeout(), None);
    let later = START + Duration::from_secs(1000);
    let request = request.handle_timeout(later, &mut out).unwrap();
    let handshake = next(request.respond(&Response::status(200), &mut out, later)).unwrap();
    assert_eq!(handshake.poll_timeout(), later + TEN);
    // A kept connection that stays silent gets no 408: nobody asked.
    assert!(timed_out(handshake, later + TEN).is_empty());
}

#[test]
fn d1_the_deadline_is_configurable_and_does_not_overflow() {
    let config = config_with(|it| it.handshake_timeout = Duration::from_millis(1500));
    let handshake = ServerHandshake::new(config.clone(), START);
    let deadline = START + Duration::from_millis(1500);
    assert_eq!(handshake.poll_timeout(), deadline);
    let endless = config_with(|it| it.handshake_timeout = Duration::MAX);
    let handshake = ServerHandshake::new(endless, START);
    assert_eq!(handshake.poll_timeout(), Duration::MAX);
}
