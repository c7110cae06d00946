//! The grammar and the limits of a request's head: docs/cases.md H14 to H19. Every case of bytes
//! runs whole, byte by byte and at random splits (see `handshake_util`). Nothing here asks a clock:
//! what would be more than linear could not end within anyone's patience, or reads bytes that are
//! no longer there.

use harness::handshake::*;
use sockeye::error::{HandshakeError, HttpError, RequestError};
use sockeye::proto::http::{HeadLimits, HeadParser};
use sockeye::proto::{Input, Received, ServerHandshake};

#[track_caller]
fn bad(text: Text, error: HttpError) {
    bad_bytes(&text.bytes(), error);
}

#[track_caller]
fn bad_bytes(bytes: &[u8], error: HttpError) {
    let refused = refused(bytes);
    assert_eq!(refused.error, HandshakeError::Head(error));
    let limit = matches!(error, HttpError::HeadTooLarge | HttpError::TooManyLines);
    assert_eq!(refused.answer.status, if limit { 431 } else { 400 });
}

fn upgrade_with(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(upgrade().bytes()).unwrap();
    assert!(text.contains(from));
    text.replacen(from, to, 1).into_bytes()
}

#[track_caller]
fn header_of(line: &[u8], name: &str, value: &[u8]) {
    let text = upgrade().line(line);
    let handshake = accepted(&text);
    let request = handshake.request();
    assert_eq!(request.headers().get(name), Some(value));
    // `accepted` compares the outcome of all splits; the values of all splits:
    for pieces in cuts(&text.bytes()) {
        let served = serve(&config(), &pieces);
        let upgrade = served.upgrade();
        let request = upgrade.request();
        let got = request.headers().get(name);
        assert_eq!(got, Some(value), "in {} pieces", pieces.len());
    }
}

cases! {
    h14_folding_by_a_space_is_400: bad(
        upgrade().line("X-A: 1").line(" 2"), HttpError::ObsFold);
    h14_folding_by_a_tab_is_400: bad(
        upgrade().line("X-A: 1").line("\t2"), HttpError::ObsFold);
    h14_folding_that_hides_a_header_is_400: bad(
        upgrade().line("X-A: 1").line(" Content-Length: 5"), HttpError::ObsFold);
    h14_a_line_of_white_space_is_400: bad(upgrade().line(" "), HttpError::ObsFold);
    h14_white_space_before_the_first_header_is_400: bad_bytes(
        &upgrade_with("Host", " Host"), HttpError::ObsFold);

    h14_a_bare_lf_behind_the_request_line_is_400: bad_bytes(
        &upgrade_with("HTTP/1.1\r\n", "HTTP/1.1\n"), HttpError::BareLf);
    h14_a_bare_lf_behind_a_header_is_400: bad_bytes(
        &upgrade_with("example.com\r\n", "example.com\n"), HttpError::BareLf);
    h14_a_bare_lf_at_the_end_is_400: bad_bytes(
        &upgrade_with("\r\n\r\n", "\r\n\n"), HttpError::BareLf);
    h14_two_bare_lf_at_the_end_are_400: bad_bytes(
        &upgrade_with("\r\n\r\n", "\n\n"), HttpError::BareLf);
    h14_a_bare_lf_within_a_value_is_400: bad(
        upgrade().line("X-A: 1\n2"), HttpError::BareLf);
    h14_a_bare_lf_within_a_name_is_400: bad(
        upgrade().line("X-\nA: 1"), HttpError::BareLf);
    h14_a_bare_lf_behind_the_colon_is_400: bad(
        upgrade().line("X-A:\nX-B: 1"), HttpError::BareLf);
    h14_a_bare_lf_before_the_request_is_400: bad_bytes(
        &[b"\n", &*upgrade().bytes()].concat(), HttpError::BareLf);
    h14_bare_lf_everywhere_is_400: bad_bytes(
        &String::from_utf8(upgrade().bytes()).unwrap().replace("\r\n", "\n").into_bytes(),
        HttpError::BareLf);

    h14_a_bare_cr_behind_the_request_line_is_400: bad_bytes(
        &upgrade_with("HTTP/1.1\r\n", "HTTP/1.1\r"), HttpError::BareCr);
    h14_a_bare_cr_behind_a_header_is_400: bad_bytes(
        &upgrade_with("example.com\r\n", "example.com\r"), HttpError::BareCr);
    h14_a_bare_cr_within_a_value_is_400: bad(
        upgrade().line("X-A: 1\r2"), HttpError::BareCr);
    h14_a_bare_cr_that_hides_a_header_is_400: bad(
        upgrade().line("X-A: 1\rContent-Length: 5"), HttpError::BareCr);
    h14_two_cr_before_lf_are_400: bad(upgrade().line("X-A: 1\r"), HttpError::BareCr);
    h14_a_bare_cr_at_the_end_is_400: bad_bytes(
        &upgrade_with("\r\n\r\n", "\r\n\r\r\n"), HttpError::BareCr);
    h14_a_bare_cr_before_the_request_is_400: bad_bytes(
        &[b"\r", &*upgrade().bytes()].concat(), HttpError::BareCr);

    h14_a_space_before_the_colon_is_400: bad(
        upgrade().line("X-A : 1"), HttpError::SpaceBeforeColon);
    h14_a_tab_before_the_colon_is_400: bad(
        upgrade().line("X-A\t: 1"), HttpError::SpaceBeforeColon);
    h14_a_space_before_the_colon_of_a_length_is_400: bad(
        upgrade().line("Content-Length : 5"), HttpError::SpaceBeforeColon);
    h14_a_space_within_a_name_is_400: bad(
        upgrade().line("X A: 1"), HttpError::SpaceBeforeColon);

    h14_nul_in_a_value_is_400: bad(upgrade().line("X-A: 1\x002"), HttpError::HeaderValue);
    h14_nul_behind_a_value_is_400: bad(upgrade().line("X-A: 1\0"), HttpError::HeaderValue);
    h14_nul_for_a_value_is_400: bad(upgrade().line("X-A: \0"), HttpError::HeaderValue);
    h14_a_vertical_tab_before_a_value_is_400: bad(
        upgrade().line("Transfer-Encoding:\x0bchunked"), HttpError::HeaderValue);

    h14_an_empty_name_is_400: bad(upgrade().line(": 1"), HttpError::HeaderName);
    h14_a_colon_alone_is_400: bad(upgrade().line(":"), HttpError::HeaderName);
    h14_a_name_above_7f_is_400: bad(upgrade().line(b"X-\xc3\xa9: 1"), HttpError::HeaderName);
    h14_nul_in_a_name_is_400: bad(upgrade().line("X-\0A: 1"), HttpError::HeaderName);
    h14_no_colon_is_400: bad(upgrade().line("X-A"), HttpError::MissingColon);
    h14_no_colon_on_the_first_line_is_400: bad_bytes(
        b"GET / HTTP/1.1\r\nHost\r\n\r\n", HttpError::MissingColon);

    h14_two_empty_lines_before_the_request_are_400: drop(refused(
        [b"\r\n\r\n", &*upgrade().bytes()].concat()));

    h14_a_tab_within_a_value_is_legal: header_of(b"X-A: 1\t2", "x-a", b"1\t2");
    h14_no_space_behind_the_colon_is_legal: header_of(b"X-A:1", "X-A", b"1");
    h14_an_empty_value_is_legal: header_of(b"X-A:", "x-a", b"");
    h14_a_value_of_white_space_is_empty: header_of(b"X-A: \t  \t", "x-a", b"");
    h14_white_space_before_a_value_is_trimmed: header_of(b"X-A: \t  1", "x-a", b"1");
    h14_two_spaces_before_a_value_are_trimmed: header_of(b"X-A:  1", "x-a", b"1");
    h14_white_space_behind_a_value_is_trimmed: header_of(b"X-A: 1 \t  ", "x-a", b"1");
    h14_white_space_within_a_value_stays: header_of(b"X-A: 1  \t 2", "x-a", b"1  \t 2");
    h14_colons_in_a_value_are_its_own: header_of(b"X-A::1:2:", "x-a", b":1:2:");
    h14_every_token_character_makes_a_name: header_of(
        b"!#$%&'*+-.^_`|~09azAZ: 1", "!#$%&'*+-.^_`|~09azAZ", b"1");
}

#[test]
fn h14_every_control_byte_in_a_value_is_400() {
    let controls = (0..0x20u8).chain([0x7f]);
    for byte in controls.filter(|byte| !b"\t\r\n".contains(byte)) {
        for at in 0..=9 {
            // Every lane of a parser that looks at words.
            let mut value = vec![b'x'; 10];
            value[at] = byte;
            let bytes = upgrade().add("X-A", value).bytes();
            let error = serve(&config(), &[bytes]).kind();
            let expected = HandshakeError::Head(HttpError::HeaderValue);
            assert_eq!(error, Err(expected), "{byte:#x}");
        }
        bad(upgrade().add("X-A", [byte]), HttpError::HeaderValue);
    }
}

#[test]
fn h14_every_byte_that_no_token_has_in_a_name_is_400() {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    for byte in (0..=255u8).filter(|&byte| !token(byte) && byte != b':') {
        for line in [[b'X', byte, b':', b'1'], [byte, b'X', b':', b'1']] {
            let refused = refused(upgrade().line(line).bytes());
            assert_eq!(refused.answer.status, 400, "{byte:#x}");
        }
    }
}

#[test]
fn h14_one_empty_line_before_the_request_is_skipped() {
    let bytes = [b"\r\n", &*upgrade().bytes()].concat();
    for pieces in cuts(&bytes) {
        let served = serve(&config(), &pieces);
        assert_eq!(served.kind(), Ok(Kind::Upgrade));
        assert_eq!(served.upgrade().request().path(), "/chat");
    }
}

/// ARCHITECTURE.md, invariant 4: at the first byte that proves it.
#[test]
fn h14_a_malformed_head_is_refused_at_the_byte_that_proves_it() {
    let proofs: [&[u8]; 10] = [
        b"G\0",
        b"\x16",
        b"GET  ",
        b"GET /#",
        b"GET / HTTP/2.0",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\n ",
        b"GET / HTTP/1.1\r\n:",
        b"GET / HTTP/1.1\r\nA ",
        b"GET / HTTP/1.1\r\nA: \0",
    ];
    for proof in proofs {
        let (_, before) = proof.split_last().unwrap();
        for pieces in cuts(before) {
            assert_eq!(serve(&config(), &pieces).kind(), Ok(Kind::Incomplete));
        }
        let refused = refused(proof);
        assert!(matches!(refused.error, HandshakeError::Head(_)));
    }
}

const HIGH: &[u8] = b"caf\xc3\xa9 \x80\xff";

#[track_caller]
fn refused_for_high_bytes(name: &str, error: RequestError) {
    let refused = refused(upgrade().set(name, HIGH).bytes());
    assert_eq!(refused.error, HandshakeError::Request(error));
    assert_eq!(refused.answer.status, 400);
}

cases! {
    h15_bytes_above_7f_in_cookie_are_kept: header_of(
        &[b"Cookie: ", HIGH].concat(), "cookie", HIGH);
    h15_bytes_above_7f_in_an_unknown_header_are_kept: header_of(
        &[b"X-Name: ", HIGH].concat(), "X-Name", HIGH);
    h15_bytes_above_7f_in_origin_are_400: refused_for_high_bytes(
        "Origin", RequestError::Origin);
    h15_bytes_above_7f_in_the_key_are_400: refused_for_high_bytes(
        "Sec-WebSocket-Key", RequestError::KeyLength);
    h15_bytes_above_7f_in_the_version_are_400: refused_for_high_bytes(
        "Sec-WebSocket-Version", RequestError::VersionMalformed);
    h15_bytes_above_7f_in_a_subprotocol_are_400: refused_for_high_bytes(
        "Sec-WebSocket-Protocol", RequestError::Subprotocol);
    h15_bytes_above_7f_in_upgrade_are_400: refused_for_high_bytes(
        "Upgrade", RequestError::Upgrade);
    h15_bytes_above_7f_in_connection_are_400: refused_for_high_bytes(
        "Connection", RequestError::Connection);
}

#[test]
fn h15_bytes_above_7f_in_extensions_are_400() {
    for value in [
        &b"\xff"[..],
        b"x; \xff",
        b"x; a=\xff",
        b"x; a=\"\xff\"",
        HIGH,
    ] {
        let refused = refused(upgrade().add("Sec-WebSocket-Extensions", value).bytes());
        let extensions = matches!(
            refused.error,
            HandshakeError::Request(RequestError::Extensions(_))
        );
        assert!(extensions, "{:?}", refused.error);
        assert_eq!(refused.answer.status, 400);
    }
}

#[test]
fn h15_a_header_that_is_not_utf_8_is_no_text() {
    let handshake = accepted(&upgrade().add("Cookie", b"a=\xff"));
    let request = handshake.request();
    assert_eq!(request.header("Cookie"), None);
    let headers: Vec<_> = request.headers().iter().collect();
    assert_eq!(headers.last(), Some(&("Cookie", &b"a=\xff"[..])));
}

fn with_lines(total: usize, name: impl Fn(usize) -> String) -> Text {
    let mut text = upgrade();
    for at in text.lines.len()..total {
        text = text.add(&name(at), "v");
    }
    text
}

cases! {
    h16_100_lines_are_accepted: drop(accepted(&with_lines(100, |at| format!("X-{at}"))));
    h16_101_lines_are_431: bad(
        with_lines(101, |at| format!("X-{at}")), HttpError::TooManyLines);
    h16_101_lines_of_one_name_are_431: bad(
        with_lines(101, |_| "Cookie".into()), HttpError::TooManyLines);
    h16_a_head_of_16385_bytes_is_431: bad(with_length(16385), HttpError::HeadTooLarge);
    h16_a_head_that_never_ends_a_line_is_431: bad(
        upgrade().add("X", "a".repeat(100_000)), HttpError::HeadTooLarge);
    h16_a_name_that_never_ends_is_431: bad(
        upgrade().line("a".repeat(100_000)), HttpError::HeadTooLarge);
    h16_a_method_that_never_ends_is_431: bad_bytes(
        "a".repeat(20_000).as_bytes(), HttpError::HeadTooLarge);
}

fn with_length(total: usize) -> Text {
    let length = upgrade().add("X", "").head().len();
    let text = upgrade().add("X", "v".repeat(total - length));
    assert_eq!(text.head().len(), total);
    text
}

#[test]
fn h16_a_head_of_exactly_16_kib_is_accepted() {
    accepted(&with_length(16384));
    // Frames behind it do not count.
    accepted(&with_length(16384).behind([0x82; 5000]));
}

#[test]
fn h16_the_limits_are_configurable() {
    let bytes = with_lines(8, |at| format!("X-{at}")).head();
    let fits = config_with(|it| {
        it.head.max_lines = 8;
        it.head.max_head = bytes.len();
        it.head.max_target = 5;
    });
    accepted_by(&fits, &with_lines(8, |at| format!("X-{at}")));
    type Change = fn(&mut HeadLimits);
    let one_less: [(Change, HttpError); 3] = [
        (|it| it.max_lines -= 1, HttpError::TooManyLines),
        (|it| it.max_head -= 1, HttpError::HeadTooLarge),
        (|it| it.max_target -= 1, HttpError::TargetTooLong),
    ];
    for (change, error) in one_less {
        let config = config_with(|it| {
            it.head = fits.head;
            change(&mut it.head);
        });
        let refused = refused_by(&config, &bytes);
        assert_eq!(refused.error, HandshakeError::Head(error));
    }
}

#[test]
fn h16_no_more_of_an_endless_head_is_taken_than_the_limit() {
    let mut handshake = ServerHandshake::new(config(), START);
    let mut out = Vec::new();
    let mut consumed = 0;
    let start = upgrade().head();
    let mut bytes = start[..start.len() - 2].to_vec();
    bytes.extend_from_slice(b"X: ");
    bytes.resize(1 << 20, b'x');
    let error = loop {
        let end = (consumed + 1000).min(bytes.len());
        let mut input = Input::new(&mut bytes[consumed..end]);
        match handshake.recv(&mut input, &mut out, START) {
            Ok(Received::Incomplete(more)) => handshake = more,
            Ok(other) => panic!("{other:?}"),
            Err(refused) => break refused.into_error(),
        }
        consumed = end;
        assert!(consumed <= 16384);
    };
    assert_eq!(error, HandshakeError::Head(HttpError::HeadTooLarge));
}

/// A head of `length` bytes that has the usual parts, long ones and many short ones.
fn long_head(length: usize) -> Vec<u8> {
    let mut text = upgrade().target(format!("/{}?{}", "p".repeat(1000), "q".repeat(3000)));
    text = text.add("X-Spaces", format!("a{}b", " ".repeat(2000)));
    for at in 0..80 {
        text = text.add(&format!("X-{at}"), "some value");
    }
    let short = text.clone().add("X-Fill", "").head().len();
    let text = text.add("X-Fill", "f".repeat(length - short));
    assert_eq!(text.head().len(), length);
    text.head()
}

/// RUSTSEC-2023-0065. Bytes that the parser was given once are taken away before the next call:
/// a parser that looked at any of them again would see a NUL and fail.
#[test]
fn h17_no_byte_is_looked_at_in_a_second_call() {
    let head = long_head(16384);
    for pieces in cuts(&head) {
        let mut parser = HeadParser::request(HeadLimits::default());
        let mut seen = 0;
        let mut result = Ok(None);
        for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
            assert_eq!(result, Ok(None));
            let mut bytes = vec![0; seen];
            bytes.extend_from_slice(piece);
            result = parser.parse(&bytes);
            seen += piece.len();
        }
        assert_eq!(result, Ok(Some(head.len())));
        // And the positions it noted are right.
        let request = parser.request_head(&head).unwrap();
        assert_eq!(request.headers.get("x-79"), Some(&b"some value"[..]));
    }
}

#[test]
fn h17_a_16_kib_head_is_accepted_byte_by_byte() {
    let head = long_head(16384);
    let bytes: Vec<Vec<u8>> = head.iter().map(|byte| vec![*byte]).collect();
    let served = serve(&config(), &bytes);
    assert_eq!(served.kind(), Ok(Kind::Upgrade));
    assert_eq!(served.consumed, head.len());
}

/// Were each byte's cost in proportion to the head before it, this would take 5 * 10^11 steps.
#[test]
fn h17_a_mebibyte_of_head_byte_by_byte_comes_to_an_end() {
    let config = config_with(|it| it.head.max_head = 2 << 20);
    let mut handshake = ServerHandshake::new(config, START);
    let mut out = Vec::new();
    let mut head = long_head(1 << 20);
    let last = head.len() - 1;
    for at in 0..=last {
        let mut input = Input::new(&mut head[at..=at]);
        match handshake.recv(&mut input, &mut out, START).unwrap() {
            Received::Incomplete(more) => handshake = more,
            other => {
                assert_eq!(at, last, "{other:?}");
                return;
            }
        }
    }
}

#[test]
fn h18_one_byte_segments_within_the_deadline_are_accepted() {
    let mut handshake = ServerHandshake::new(config(), START);
    let deadline = handshake.poll_timeout();
    let mut bytes = upgrade().bytes();
    let mut out = Vec::new();
    let step = (deadline - START) / (bytes.len() as u32 + 1);
    let mut now = START;
    let (last, before) = bytes.split_last_mut().unwrap();
    for byte in before {
        now += step;
        handshake = handshake.handle_timeout(now, &mut out).unwrap();
        let mut input = Input::new(core::slice::from_mut(byte));
        match handshake.recv(&mut input, &mut out, now) {
            Ok(Received::Incomplete(more)) => handshake = more,
            other => panic!("{other:?}"),
        }
    }
    let mut input = Input::new(core::slice::from_mut(last));
    let Ok(Received::Upgrade(upgrade)) = handshake.recv(&mut input, &mut out, now) else {
        panic!("a whole request");
    };
    assert!(out.is_empty());
    // From here on the time is the application's.
    let accepted = upgrade.accept(&Default::default(), &mut out, deadline * 2);
    assert!(accepted.is_ok());
}

/// Whole and byte by byte with a head limit of 16 MiB; what is quadratic in 1 MiB takes 10^12
/// steps.
#[track_caller]
fn answered_in_linear_time(name: &str, value: &[u8]) -> Result<(), RequestError> {
    let config = config_with(|it| it.head.max_head = 16 << 20);
    let bytes = upgrade().add(name, value).bytes();
    let served = serve(&config, core::slice::from_ref(&bytes));
    let pieces: Vec<Vec<u8>> = bytes.chunks(61).map(<[u8]>::to_vec).collect();
    let in_pieces = serve(&config, &pieces);
    assert_eq!(served.kind(), in_pieces.kind());
    match served.kind() {
        Ok(kind) => {
            assert_eq!(kind, Kind::Upgrade);
            // What the application may ask, and negotiation.
            let upgrade = served.upgrade();
            let request = upgrade.request();
            assert_eq!(request.choose_subprotocol(&["no such"]), None);
            assert!(request.extensions().all(|it| it.name() != "no such"));
            let mut out = Vec::new();
            let accepted = upgrade.accept(&Default::default(), &mut out, START);
            assert!(accepted.is_ok());
            Ok(())
        }
        Err(HandshakeError::Request(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

const LONG: usize = 1 << 20;

#[test]
fn h19_a_subprotocol_with_32k_spaces_is_refused() {
    let value = format!("b{}x", " ".repeat(32 * 1024));
    let refused = refused(upgrade().add("Sec-WebSocket-Protocol", value).bytes());
    assert_eq!(refused.answer.status, 431);
    let value = format!("b{}x", " ".repeat(12 * 1024));
    let refused = self::refused(upgrade().add("Sec-WebSocket-Protocol", value).bytes());
    let error = HandshakeError::Request(RequestError::Subprotocol);
    assert_eq!(refused.error, error);
}

#[test]
fn h19_a_subprotocol_with_a_mebibyte_of_spaces_takes_linear_time() {
    let value = format!("b{}x", " ".repeat(LONG));
    let result = answered_in_linear_time("Sec-WebSocket-Protocol", value.as_bytes());
    assert_eq!(result, Err(RequestError::Subprotocol));
}

#[test]
fn h19_empty_subprotocols_without_end_take_linear_time() {
    for value in [
        ",".repeat(LONG),
        " ,\t".repeat(LONG / 3),
        "a,".repeat(LONG / 2),
    ] {
        let result = answered_in_linear_time("Sec-WebSocket-Protocol", value.as_bytes());
        assert_eq!(result, Ok(()));
    }
}

#[test]
fn h19_unclosed_quoted_strings_take_linear_time() {
    let values = [
        format!("x; a=\"{}", "b".repeat(LONG)),
        format!("x; a=\"{}", "\\\"".repeat(LONG / 2)),
        format!("x; a=\"{}", "\\".repeat(LONG)),
        "x; a=\"b".repeat(LONG / 7),
        "x; a=\"".repeat(LONG / 6),
        "\"".repeat(LONG),
        format!("x; a={}", "\"".repeat(LONG)),
    ];
    for value in values {
        let result = answered_in_linear_time("Sec-WebSocket-Extensions", value.as_bytes());
        assert!(
            matches!(result, Err(RequestError::Extensions(_))),
            "{result:?}"
        );
    }
}

#[test]
fn h19_long_lists_of_extensions_take_linear_time() {
    let values = [
        "x,".repeat(LONG / 2),
        "x; a=\"b\",".repeat(LONG / 9),
        format!("x{}", "; a".repeat(LONG / 3)),
        format!("x{}", " ".repeat(LONG)),
        " , ".repeat(LONG / 3),
    ];
    for value in values {
        let result = answered_in_linear_time("Sec-WebSocket-Extensions", value.as_bytes());
        assert_eq!(result, Ok(()));
    }
}
