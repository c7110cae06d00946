//! The client's judgement of a response: docs/cases.md C1 to C4, RFC 6455 section 4.1. Every
//! response runs whole, byte by byte and at random splits (see `handshake_util`). The request is in
//! `handshake_client_request.rs`, the randomness of keys in `handshake_keys.rs`.

use core::time::Duration;
use std::sync::Arc;

use harness::handshake::*;
use sockeye::error::{HandshakeError, HttpError, ResponseError, ResponseFault};
use sockeye::proto::{ClientHandshake, ClientRequest, Config, Input, Role, Url};

fn asking(request: &ClientRequest, config: &Arc<Config>) -> ClientHandshake {
    let url = Url::parse("ws://example.com/").unwrap();
    let config = Arc::clone(config);
    let mut out = Vec::new();
    ClientHandshake::new(&url, request, config, Box::new(sample), &mut out, START).unwrap()
}

/// Two subprotocols and one extension.
fn asking_much() -> ClientHandshake {
    let request = ClientRequest {
        subprotocols: vec!["chat".into(), "superchat".into()],
        ..ClientRequest::default()
    };
    let config = config_with(|it| it.extensions = vec![Arc::new(Xor)]);
    asking(&request, &config)
}

fn asking_nothing() -> ClientHandshake {
    asking(&ClientRequest::default(), &config())
}

/// The proper response.
fn switching() -> Text {
    plain("HTTP/1.1 101 Switching Protocols")
        .without("Host")
        .add("Upgrade", "websocket")
        .add("Connection", "Upgrade")
        .add("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
}

/// Proves that a client that asked so fails on this response, the same however it is cut, with
/// an error that sticks, asks for no more time, and reads nothing behind the head.
#[track_caller]
fn failed(ask: fn() -> ClientHandshake, bytes: &[u8]) -> HandshakeError {
    let mut first = None;
    for pieces in cuts(bytes) {
        let mut judged = judge(ask(), &pieces);
        let error = match &judged.result {
            Err(error) => error.clone(),
            other => panic!("{other:?} for {}", bytes.escape_ascii()),
        };
        let mut more = switching().bytes();
        let again = judged.handshake.recv(&mut Input::new(&mut more), START);
        assert_eq!(again.err(), Some(error.clone()));
        assert_eq!(judged.handshake.poll_timeout(), None);
        let late = START * 100;
        assert_eq!(judged.handshake.handle_timeout(late), Ok(()));
        assert!(judged.handshake.response().is_none());
        match &first {
            None => first = Some(error),
            Some(first) => assert_eq!(first, &error, "cut into {}", pieces.len()),
        }
    }
    first.unwrap()
}

/// The typed error holds what the server sent.
#[track_caller]
fn faulty_by(ask: fn() -> ClientHandshake, text: &Text, fault: ResponseFault) -> ResponseError {
    let text = text.clone().add("X-Mark", "\u{e9}").behind([0x81; 100]);
    let HandshakeError::Response(error) = failed(ask, &text.bytes()) else {
        panic!("a response error");
    };
    assert_eq!(error.fault, fault);
    assert_eq!(error.headers.len(), text.lines.len());
    for ((name, value), line) in error.headers.iter().zip(&text.lines) {
        assert_eq!([name.as_bytes(), b": ", value].concat(), *line);
    }
    assert_eq!(error.header("x-mark"), Some("\u{e9}".as_bytes()));
    let status = String::from_utf8_lossy(&text.start[9..12]).into_owned();
    assert_eq!(error.status.to_string(), status);
    *error
}

#[track_caller]
fn faulty(text: Text, fault: ResponseFault) {
    faulty_by(asking_nothing, &text, fault);
}

#[track_caller]
fn status(line: &str) {
    // The rest of it is as of a proper 101.
    let error = faulty_by(
        asking_nothing,
        &switching().start(line).add("Location", "wss://b.example/"),
        ResponseFault::Status,
    );
    assert!(error.to_string().contains(&error.status.to_string()));
    assert_eq!(error.header("location"), Some(&b"wss://b.example/"[..]));
}

#[track_caller]
fn accept(value: &str) {
    faulty(
        switching().set("Sec-WebSocket-Accept", value),
        ResponseFault::Accept,
    );
}

cases! {
    c1_200: status("HTTP/1.1 200 OK");
    c1_204: status("HTTP/1.1 204 No Content");
    c1_301: status("HTTP/1.1 301 Moved Permanently");
    c1_302: status("HTTP/1.1 302 Found");
    c1_303: status("HTTP/1.1 303 See Other");
    c1_307: status("HTTP/1.1 307 Temporary Redirect");
    c1_308: status("HTTP/1.1 308 Permanent Redirect");
    c1_400: status("HTTP/1.1 400 Bad Request");
    c1_401: status("HTTP/1.1 401 Unauthorized");
    c1_403: status("HTTP/1.1 403 Forbidden");
    c1_426: status("HTTP/1.1 426 Upgrade Required");
    c1_503: status("HTTP/1.1 503 ");
    c1_999: status("HTTP/1.1 999 \u{fc}berraschend");
    c1_200_of_http_1_0: status("HTTP/1.0 200 OK");
    c1_101_of_http_1_0: faulty(
        switching().start("HTTP/1.0 101 Switching Protocols"), ResponseFault::Version);

    c1_accept_wrong: accept("AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    c1_accept_in_lower_case: accept("s3pplmbitxaq9kygzzhzrbk+xoo=");
    c1_accept_in_upper_case: accept("S3PPLMBITXAQ9KYGZZHZRBK+XOO=");
    c1_accept_with_one_letter_in_another_case: accept("S3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    c1_accept_empty: accept("");
    c1_accept_cut_short: accept("s3pPLMBiTxaQ9kYGzzhZRbK+xOo");
    c1_accept_with_more_behind: accept("s3pPLMBiTxaQ9kYGzzhZRbK+xOo==");
    c1_accept_in_quotes: accept("\"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\"");
    c1_accept_of_the_key_itself: accept(KEY);
    c1_accept_of_the_key_alone: accept(&base64(&sha1(KEY.as_bytes())));
    c1_accept_of_the_decoded_key: accept(&accept_key(b"the sample nonce"));
    c1_accept_missing: faulty(
        switching().without("Sec-WebSocket-Accept"), ResponseFault::Accept);
    c1_accept_twice: faulty(
        switching().add("sec-websocket-accept", accept_key(KEY.as_bytes())),
        ResponseFault::Accept);
    c1_accept_right_then_wrong: faulty(
        switching().add("Sec-WebSocket-Accept", "x"), ResponseFault::Accept);
    c1_accept_wrong_then_right: faulty(
        switching().set("Sec-WebSocket-Accept", "x")
            .add("Sec-WebSocket-Accept", accept_key(KEY.as_bytes())),
        ResponseFault::Accept);

    c1_upgrade_missing: faulty(switching().without("Upgrade"), ResponseFault::Upgrade);
    c1_upgrade_empty: faulty(switching().set("Upgrade", ""), ResponseFault::Upgrade);
    c1_upgrade_to_another: faulty(switching().set("Upgrade", "h2c"), ResponseFault::Upgrade);
    c1_upgrade_to_websocketx: faulty(
        switching().set("Upgrade", "websocketx"), ResponseFault::Upgrade);
    c1_upgrade_to_two: faulty(
        switching().set("Upgrade", "websocket, h2c"), ResponseFault::Upgrade);
    c1_upgrade_to_two_on_two_lines: faulty(
        switching().add("Upgrade", "h2c"), ResponseFault::Upgrade);
    c1_connection_missing: faulty(switching().without("Connection"), ResponseFault::Connection);
    c1_connection_empty: faulty(
        switching().set("Connection", ""), ResponseFault::Connection);
    c1_connection_close: faulty(
        switching().set("Connection", "close"), ResponseFault::Connection);
    c1_connection_xupgrade: faulty(
        switching().set("Connection", "xUpgrade"), ResponseFault::Connection);
}

/// Proves that the response is taken and what subprotocol is agreed on, the same however it is
/// cut, with nothing behind the head consumed.
#[track_caller]
fn taken(ask: fn() -> ClientHandshake, text: &Text, subprotocol: Option<&str>) {
    let (head, bytes) = (text.head(), text.bytes());
    for pieces in cuts(&bytes) {
        let mut judged = judge(ask(), &pieces);
        let connection = judged.result.unwrap().expect("a connection");
        assert_eq!(connection.role(), Role::Client);
        assert_eq!(connection.subprotocol(), subprotocol);
        assert_eq!(judged.consumed, head.len());
        assert_eq!(judged.rest, text.behind);
        let response = judged.handshake.response().unwrap();
        assert_eq!(response.status, 101);
        assert_eq!(response.headers.len(), text.lines.len());
        assert_eq!(judged.handshake.poll_timeout(), None);
        assert_eq!(judged.handshake.handle_timeout(START * 100), Ok(()));
        // Frames are the connection's.
        let mut rest = frame(1, b"x", None);
        let mut input = Input::new(&mut rest);
        assert!(matches!(judged.handshake.recv(&mut input, START), Ok(None)));
        assert_eq!(input.consumed(), 0);
    }
}

cases! {
    c1_a_proper_response_is_taken: taken(asking_nothing, &switching(), None);
    c1_a_response_with_other_words_is_taken: taken(
        asking_nothing, &switching().start("HTTP/1.1 101 \u{dc}bernommen"), None);
    c1_a_response_without_reason_is_taken: taken(
        asking_nothing, &switching().start("HTTP/1.1 101 "), None);
    c1_names_and_tokens_in_other_cases_are_taken: taken(asking_nothing, &switching()
        .without("Upgrade").without("Connection")
        .add("UPGRADE", "WebSocket").add("connection", "keep-alive, UPGRADE"), None);
    c1_connection_over_two_lines_is_taken: taken(
        asking_nothing,
        &switching().set("Connection", "keep-alive").add("Connection", "upgrade"), None);
    c1_more_headers_are_taken: taken(
        asking_nothing, &switching().add("Set-Cookie", "a=\u{e9}").add("Server", "x"), None);
    c1_white_space_around_values_is_taken: taken(
        asking_nothing,
        &switching().set("Sec-WebSocket-Accept", "  s3pPLMBiTxaQ9kYGzzhZRbK+xOo= \t"), None);

    c2_no_subprotocol_chosen_is_taken: taken(asking_much, &switching(), None);
    c2_the_second_subprotocol_is_taken: taken(
        asking_much, &switching().add("Sec-WebSocket-Protocol", "superchat"), Some("superchat"));
    c2_the_offered_extension_is_taken: taken(
        asking_much, &switching().add("Sec-WebSocket-Extensions", "x-test-xor"), None);
}

#[track_caller]
fn subprotocol(lines: &[&str]) {
    let add = |text: Text, line: &&str| text.add("Sec-WebSocket-Protocol", line);
    let text = lines.iter().fold(switching(), add);
    faulty_by(asking_much, &text, ResponseFault::Subprotocol);
    faulty_by(asking_nothing, &text, ResponseFault::Subprotocol);
}

#[track_caller]
fn extension(ask: fn() -> ClientHandshake, lines: &[&str], fault: Option<ResponseFault>) {
    let add = |text: Text, line: &&str| text.add("Sec-WebSocket-Extensions", line);
    let text = lines.iter().fold(switching(), add);
    match fault {
        Some(fault) => drop(faulty_by(ask, &text, fault)),
        None => {
            let HandshakeError::Response(error) = failed(ask, &text.bytes()) else {
                panic!("a response error");
            };
            let grammar = matches!(error.fault, ResponseFault::ExtensionGrammar(_));
            assert!(grammar, "{:?}", error.fault);
        }
    }
}

const EXTENSION: Option<ResponseFault> = Some(ResponseFault::Extension);

cases! {
    c2_a_subprotocol_that_was_not_offered: subprotocol(&["other"]);
    c2_a_subprotocol_in_another_case: subprotocol(&["Chat"]);
    c2_an_empty_subprotocol: subprotocol(&[""]);
    c2_two_subprotocols_in_one_line: subprotocol(&["chat, superchat"]);
    c2_two_subprotocols_on_two_lines: subprotocol(&["chat", "superchat"]);
    c2_one_subprotocol_twice: subprotocol(&["chat", "chat"]);
    c2_an_offered_and_an_empty_subprotocol: subprotocol(&["chat", ""]);
    c2_a_subprotocol_and_a_comma: subprotocol(&["chat,"]);
    c2_a_subprotocol_above_7f: subprotocol(&["\u{e9}"]);

    c2_an_extension_though_none_was_offered: extension(
        asking_nothing, &["permessage-deflate"], EXTENSION);
    c2_the_extension_that_another_offers: extension(
        asking_nothing, &["x-test-xor"], EXTENSION);
    c2_an_extension_that_was_not_offered: extension(
        asking_much, &["permessage-deflate"], EXTENSION);
    c2_an_offered_extension_and_another: extension(
        asking_much, &["x-test-xor, permessage-deflate"], EXTENSION);
    c2_another_extension_and_the_offered: extension(
        asking_much, &["permessage-deflate", "x-test-xor"], EXTENSION);
    c2_the_offered_extension_twice: extension(
        asking_much, &["x-test-xor, x-test-xor"], EXTENSION);
    c2_the_offered_extension_on_two_lines: extension(
        asking_much, &["x-test-xor", "x-test-xor"], EXTENSION);
    c2_an_extension_that_its_own_rules_refuse: extension(
        asking_much, &["x-test-xor; level=1"],
        Some(ResponseFault::ExtensionResponse("x-test-xor has no response parameters")));
    c2_a_malformed_extension: extension(asking_much, &["x-test-xor; ="], None);
    c2_an_unclosed_string_in_an_extension: extension(asking_much, &["x-test-xor; a=\"b"], None);
    c2_a_malformed_extension_behind_a_good_one: extension(
        asking_much, &["x-test-xor", "\u{e9}"], None);
}

#[track_caller]
fn head(bytes: impl AsRef<[u8]>, error: HttpError) {
    let failed = failed(asking_nothing, bytes.as_ref());
    assert_eq!(failed, HandshakeError::ResponseHead(error));
}

fn endless() -> Vec<u8> {
    let head = switching().head();
    let mut bytes = head[..head.len() - 2].to_vec();
    bytes.extend_from_slice(b"X: ");
    bytes.resize(200_000, b'x');
    bytes
}

cases! {
    c3_an_endless_header: head(endless(), HttpError::HeadTooLarge);
    c3_an_endless_reason: head(
        format!("HTTP/1.1 101 {}", "x".repeat(100_000)), HttpError::HeadTooLarge);
    c3_headers_without_end: head(
        format!("HTTP/1.1 101 x\r\n{}", "A: b\r\n".repeat(10_000)), HttpError::TooManyLines);
    c3_no_http: head("SSH-2.0-OpenSSH_9.6\r\n", HttpError::Version);
    c3_frames_at_once: head([0x81, 0x00], HttpError::Version);
    c3_a_status_of_two_digits: head("HTTP/1.1 10 x\r\n\r\n", HttpError::StatusLine);
    c3_a_status_of_four_digits: head("HTTP/1.1 1010 x\r\n\r\n", HttpError::StatusLine);
    c3_a_folded_header: head(
        switching().line("X: 1").line(" 2").bytes(), HttpError::ObsFold);
    c3_a_bare_lf: head("HTTP/1.1 101 x\n", HttpError::BareLf);
    c3_a_space_before_the_colon: head(
        switching().line("X : 1").bytes(), HttpError::SpaceBeforeColon);
    c3_http_2: head("HTTP/2.0 101 x\r\n\r\n", HttpError::UnsupportedVersion);
}

#[test]
fn c3_the_head_limit_is_16_kib_and_100_lines() {
    let length = switching().add("X", "").head().len();
    let with = |total: usize| switching().add("X", "v".repeat(total - length));
    taken(asking_nothing, &with(16384), None);
    head(with(16385).bytes(), HttpError::HeadTooLarge);
    let lines = |total: usize| (3..total).fold(switching(), |it, _| it.add("X", "v"));
    taken(asking_nothing, &lines(100), None);
    head(lines(101).bytes(), HttpError::TooManyLines);
}

#[test]
fn c3_the_body_of_a_refusal_is_not_read() {
    let head = switching().start("HTTP/1.1 500 No").head();
    let mut bytes = head.clone();
    bytes.resize(10 << 20, b'x');
    let mut handshake = asking_nothing();
    let mut input = Input::new(&mut bytes);
    for _ in 0..3 {
        let error = handshake.recv(&mut input, START).unwrap_err();
        assert!(matches!(error, HandshakeError::Response(_)));
        assert!(input.consumed() <= head.len());
    }
}

#[test]
fn c3_a_101_that_never_completes_ends_at_the_absolute_deadline() {
    let ten = Duration::from_secs(10);
    let mut handshake = asking_nothing();
    let mut bytes = switching().bytes();
    for (at, seconds) in [(0, 0), (1, 9)] {
        let now = START + Duration::from_secs(seconds);
        assert_eq!(handshake.handle_timeout(now), Ok(()));
        let mut input = Input::new(&mut bytes[at..=at]);
        assert!(matches!(handshake.recv(&mut input, now), Ok(None)));
        assert_eq!(handshake.poll_timeout(), Some(START + ten));
    }
    let just_before = START + ten - Duration::from_nanos(1);
    assert_eq!(handshake.handle_timeout(just_before), Ok(()));
    let error = HandshakeError::Timeout { timeout: ten };
    assert_eq!(handshake.handle_timeout(START + ten), Err(error.clone()));
    assert_eq!(handshake.poll_timeout(), None);
    let mut input = Input::new(&mut bytes[2..]);
    assert_eq!(handshake.recv(&mut input, START).err(), Some(error));
    assert_eq!(handshake.handle_timeout(START * 2), Ok(()));
}

#[test]
fn c3_a_silent_server_ends_at_the_configured_deadline() {
    let timeout = Duration::from_millis(1500);
    let config = config_with(|it| it.handshake_timeout = timeout);
    let mut handshake = asking(&ClientRequest::default(), &config);
    assert_eq!(handshake.poll_timeout(), Some(START + timeout));
    let error = HandshakeError::Timeout { timeout };
    assert_eq!(handshake.handle_timeout(START + timeout), Err(error));
}

#[test]
fn c4_frames_behind_the_101_are_delivered() {
    let frames = [
        frame(1, b"hello", None),
        frame(9, b"p", None),
        frame(2, &[7; 500], None),
    ];
    let text = switching().behind(frames.concat());
    for pieces in cuts(&text.bytes()) {
        let judged = judge(asking_nothing(), &pieces);
        let mut connection = judged.result.unwrap().expect("a connection");
        assert_eq!(judged.rest, frames.concat());
        let mut out = Vec::new();
        for rest in cuts(&judged.rest) {
            let mut again = judge(asking_nothing(), &[switching().bytes()]);
            let mut connection = again.result.as_mut().unwrap().take().unwrap();
            out.clear();
            let messages = messages(&mut connection, &rest, &mut out);
            assert_eq!(messages, Ok(vec![b"hello".to_vec(), vec![7; 500]]));
            // The pong, masked: 2 + 4 + 1 bytes.
            assert_eq!((out.len(), &out[..2]), (7, &[0x8A, 0x81][..]));
        }
        let messages = messages(&mut connection, &[judged.rest], &mut out);
        assert_eq!(messages.map(|it| it.len()), Ok(2));
    }
}

#[test]
fn c4_half_a_frame_behind_the_101_is_completed_by_what_comes() {
    let frame = frame(1, b"hello", None);
    for cut in 1..frame.len() {
        let mut first = switching().behind(&frame[..cut]).bytes();
        let mut input = Input::new(&mut first);
        let mut handshake = asking_nothing();
        let mut connection = handshake.recv(&mut input, START).unwrap().unwrap();
        let pieces = [input.as_slice().to_vec(), frame[cut..].to_vec()];
        let messages = messages(&mut connection, &pieces, &mut Vec::new());
        assert_eq!(messages, Ok(vec![b"hello".to_vec()]));
    }
}

/// C9, here for the connection that a handshake made.
#[test]
fn c9_a_masked_frame_behind_the_101_fails_with_1002() {
    let text = switching().behind(frame(1, b"hello", Some([1, 2, 3, 4])));
    let judged = judge(asking_nothing(), &[text.bytes()]);
    let mut connection = judged.result.unwrap().unwrap();
    let messages = messages(&mut connection, &[judged.rest], &mut Vec::new());
    assert_eq!(messages, Err(1002));
}

#[test]
fn c1_no_error_shows_a_credential() {
    let refusal = switching()
        .start("HTTP/1.1 401 x")
        .add("Set-Cookie", "secret");
    let error = failed(asking_nothing, &refusal.bytes());
    assert!(
        !format!("{error} {error:?}").contains("secret"),
        "{error:?}"
    );
}

// ---- interim responses ----------------------------------------------------------------------

#[test]
fn interim_responses_are_read_over() {
    let interim: [&[u8]; 4] = [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
        b"HTTP/1.1 199 \r\nUpgrade: other\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
    ];
    for heads in [&interim[..1], &interim[2..], &interim[..]] {
        let bytes = [&heads.concat()[..], &switching().bytes(), b"\x89\x00"].concat();
        for pieces in cuts(&bytes) {
            let judged = judge(asking_nothing(), &pieces);
            assert!(matches!(judged.result, Ok(Some(_))), "{:?}", judged.result);
            assert_eq!(judged.rest, b"\x89\x00");
            assert_eq!(judged.handshake.response().unwrap().status, 101);
        }
    }
    // The final one is judged as ever.
    let bytes = [interim[0], b"HTTP/1.1 403 No\r\n\r\n"].concat();
    let error = failed(asking_nothing, &bytes);
    assert!(matches!(error, HandshakeError::Response(it) if it.status == 403));
}

#[test]
fn interim_responses_without_end_are_over_the_limit_of_the_head_and_the_deadline() {
    let bytes = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000);
    let error = failed(asking_nothing, &bytes);
    assert_eq!(error, HandshakeError::ResponseHead(HttpError::HeadTooLarge));
    let mut judged = judge(asking_nothing(), &[bytes[..1000].to_vec()]);
    let deadline = judged.handshake.poll_timeout().unwrap();
    let late = judged.handshake.handle_timeout(deadline);
    assert!(matches!(late, Err(HandshakeError::Timeout { .. })));
}

#[test]
fn a_handshake_that_is_over_consumes_nothing_more() {
    let mut judged = judge(asking_nothing(), &[switching().bytes()]);
    assert!(matches!(judged.result, Ok(Some(_))));
    let mut bytes = switching().bytes();
    let mut input = Input::new(&mut bytes);
    assert!(matches!(judged.handshake.recv(&mut input, START), Ok(None)));
    assert_eq!(
        (input.consumed(), judged.handshake.poll_timeout()),
        (0, None)
    );
}
