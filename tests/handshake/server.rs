//! The server's judgement of an opening handshake: docs/cases.md H1 to H9, RFC 6455 section 4.2.1.
//! Every case runs whole, byte by byte and at random splits (see `handshake_util`). The grammar and
//! the limits of heads are in `handshake_head.rs`, the answers in `handshake_answer.rs`.

use harness::handshake::*;
use sockeye::error::{HandshakeError, HttpError, RequestError};
use sockeye::proto::http::Version;
use sockeye::proto::{Accept, Response};

#[track_caller]
fn refused_as(text: Text, error: RequestError) -> Refusal {
    let refused = refused(text.bytes());
    assert_eq!(refused.error, HandshakeError::Request(error));
    refused
}

#[track_caller]
fn refused_head(text: Text, error: HttpError, status: u16) {
    let refused = refused(text.bytes());
    assert_eq!(refused.error, HandshakeError::Head(error));
    assert_eq!(refused.answer.status, status);
}

/// The oracle of this suite, against RFC 3174 section 7.3, RFC 4648 section 10 and RFC 6455
/// section 1.3.
#[test]
fn the_oracle_of_the_accept_key_is_right() {
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|it| format!("{it:02x}")).collect() };
    assert_eq!(
        hex(&sha1(b"abc")),
        "a9993e364706816aba3e25717850c26c9cd0d89d"
    );
    let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    assert_eq!(
        hex(&sha1(two_blocks)),
        "84983e441c3bd26ebaae4aa1f95129e5e54670f1"
    );
    assert_eq!(base64(b"foobar"), "Zm9vYmFy");
    assert_eq!(base64(b"fooba"), "Zm9vYmE=");
    assert_eq!(base64(b"foob"), "Zm9vYg==");
    assert_eq!(accept_key(KEY.as_bytes()), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn the_example_of_rfc_6455_section_1_3_is_answered_as_there() {
    let text = plain("GET /chat HTTP/1.1")
        .set("Host", "server.example.com")
        .add("Upgrade", "websocket")
        .add("Connection", "Upgrade")
        .add("Sec-WebSocket-Key", KEY)
        .add("Origin", "http://example.com")
        .add("Sec-WebSocket-Protocol", "chat, superchat")
        .add("Sec-WebSocket-Version", "13");
    let handshake = accepted(&text);
    let accept = Accept {
        subprotocol: Some("chat"),
        ..Accept::default()
    };
    let mut out = Vec::new();
    let connection = handshake.accept(&accept, &mut out, START).unwrap();
    assert_eq!(connection.subprotocol(), Some("chat"));
    let answer = Answer::read(&out);
    assert_eq!(answer.status, 101);
    assert_eq!(
        answer.header("Sec-WebSocket-Accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(answer.header("Sec-WebSocket-Protocol"), Some("chat"));
    assert_eq!(answer.header("Sec-WebSocket-Extensions"), None);
}

#[test]
fn the_accept_key_of_random_keys_equals_an_independent_computation() {
    let mut rng = Seeded(1);
    for _ in 0..500 {
        let mut nonce = [0; 16];
        rng.fill(&mut nonce);
        let text = upgrade().set("Sec-WebSocket-Key", base64(&nonce));
        let served = serve(&config(), &[text.bytes()]);
        let mut out = Vec::new();
        let accepted = served.upgrade().accept(&Accept::default(), &mut out, START);
        assert!(accepted.is_ok());
        assert_proper_101(&out, base64(&nonce).as_bytes());
    }
}

#[test]
fn only_101_itself_is_written_for_an_accepted_handshake() {
    let mut out = b"before".to_vec();
    accepted(&upgrade())
        .accept(&Accept::default(), &mut out, START)
        .unwrap();
    assert!(out.starts_with(b"beforeHTTP/1.1 101 "));
}

#[track_caller]
fn version_is_426(version: Option<&str>) {
    let text = match version {
        Some(version) => upgrade().set("Sec-WebSocket-Version", version),
        None => upgrade().without("Sec-WebSocket-Version"),
    };
    let answer = refused_as(text, RequestError::VersionUnsupported).answer;
    assert_eq!(answer.status, 426);
    assert_eq!(answer.header("Sec-WebSocket-Version"), Some("13"));
    assert_eq!(answer.header("Upgrade"), Some("websocket"));
    assert!(answer.has_token("Connection", "Upgrade"), "{answer:?}");
    assert!(answer.has_token("Connection", "close"), "{answer:?}");
}

#[track_caller]
fn version_is_malformed(version: &str) {
    let text = upgrade().set("Sec-WebSocket-Version", version);
    let answer = refused_as(text, RequestError::VersionMalformed).answer;
    assert_eq!(answer.status, 400);
}

cases! {
    h1_version_25_is_426: version_is_426(Some("25"));
    h1_version_8_is_426: version_is_426(Some("8"));
    h1_version_0_is_426: version_is_426(Some("0"));
    h1_version_7_is_426: version_is_426(Some("7"));
    h1_version_14_is_426: version_is_426(Some("14"));
    h1_version_255_is_426: version_is_426(Some("255"));
    h1_versions_13_and_8_in_one_line_are_426: version_is_426(Some("13, 8"));
    h1_versions_8_and_13_in_one_line_are_426: version_is_426(Some("8,13"));
    h1_no_version_is_426: version_is_426(None);
    h1_version_in_words_is_400: version_is_malformed("thirteen");
    h1_version_negative_is_400: version_is_malformed("-13");
    h1_version_with_plus_is_400: version_is_malformed("+13");
    h1_version_with_leading_zero_is_400: version_is_malformed("013");
    h1_version_of_three_hundred_is_400: version_is_malformed("300");
    h1_version_with_a_fraction_is_400: version_is_malformed("13.0");
    h1_version_in_hex_is_400: version_is_malformed("0xd");
    h1_version_in_quotes_is_400: version_is_malformed("\"13\"");
    h1_version_with_inner_space_is_400: version_is_malformed("1 3");
    h1_version_empty_is_400: version_is_malformed("");
    h1_version_with_a_parameter_is_400: version_is_malformed("13;q=1");
    h1_version_of_many_digits_is_400: version_is_malformed("13131313131313131313131313");
    h1_version_with_white_space_around_is_accepted: drop(accepted(
        &upgrade().set("Sec-WebSocket-Version", " \t13 \t")));
}

#[track_caller]
fn method_is_405(method: &str) -> Refusal {
    let text = upgrade().start(format!("{method} /chat HTTP/1.1"));
    let refused = refused_as(text, RequestError::Method);
    assert_eq!(refused.answer.status, 405);
    // RFC 9110 section 15.5.6.
    assert_eq!(refused.answer.header("Allow"), Some("GET"));
    refused
}

cases! {
    h2_an_upgrade_by_post_is_405: drop(method_is_405("POST"));
    h2_an_upgrade_by_lower_case_get_is_405: drop(method_is_405("get"));
    h2_an_upgrade_by_mixed_case_get_is_405: drop(method_is_405("Get"));
    h2_an_upgrade_by_put_is_405: drop(method_is_405("PUT"));
    h2_an_upgrade_by_options_is_405: drop(method_is_405("OPTIONS"));
    h2_an_upgrade_by_an_unknown_method_is_405: drop(method_is_405("GETS"));
    h2_http_2_0_is_505: refused_head(
        upgrade().start("GET /chat HTTP/2.0"), HttpError::UnsupportedVersion, 505);
    h2_http_0_9_is_505: refused_head(
        upgrade().start("GET /chat HTTP/0.9"), HttpError::UnsupportedVersion, 505);
    h2_http_3_1_is_505: refused_head(
        upgrade().start("GET /chat HTTP/3.1"), HttpError::UnsupportedVersion, 505);
    h2_no_version_is_400: refused_head(
        upgrade().start("GET /chat"), HttpError::RequestLine, 400);
    h2_no_version_but_its_space_is_400: refused_head(
        upgrade().start("GET /chat "), HttpError::RequestLine, 400);
    h2_two_spaces_behind_the_method_are_400: refused_head(
        upgrade().start("GET  /chat HTTP/1.1"), HttpError::RequestLine, 400);
    h2_two_spaces_behind_the_target_are_400: refused_head(
        upgrade().start("GET /chat  HTTP/1.1"), HttpError::RequestLine, 400);
    h2_a_space_behind_the_version_is_400: refused_head(
        upgrade().start("GET /chat HTTP/1.1 "), HttpError::Version, 400);
    h2_a_tab_for_a_space_is_400: refused_head(
        upgrade().start("GET\t/chat HTTP/1.1"), HttpError::Method, 400);
    h2_lower_case_http_is_400: refused_head(
        upgrade().start("GET /chat http/1.1"), HttpError::Version, 400);
    h2_two_digits_of_minor_version_are_400: refused_head(
        upgrade().start("GET /chat HTTP/1.10"), HttpError::Version, 400);
    h2_one_digit_of_version_is_400: refused_head(
        upgrade().start("GET /chat HTTP/1"), HttpError::Version, 400);
    h2_another_protocol_is_400: refused_head(
        upgrade().start("GET /chat ICY/1.1"), HttpError::Version, 400);
    h2_a_tls_client_hello_is_400: refused_head(
        upgrade().start("\x16\x03\x01\x02"), HttpError::Method, 400);
    h2_no_method_is_400: refused_head(
        upgrade().start(" /chat HTTP/1.1"), HttpError::RequestLine, 400);
}

/// RFC 9110 section 2.5: a higher minor version is taken as the highest known one.
#[test]
fn h2_http_1_2_is_taken_as_1_1() {
    let handshake = accepted(&upgrade().start("GET /chat HTTP/1.2"));
    assert_eq!(handshake.request().version(), Version::Http11);
}

/// RFC 9110 section 9.3.2: "the server MUST NOT send content in the response" to HEAD.
#[test]
fn h2_an_upgrade_by_head_is_405_without_content() {
    assert_eq!(
        method_is_405("HEAD").answer.body.escape_ascii().to_string(),
        ""
    );
}

/// As above, for the other refusal of a head that was read whole.
#[test]
fn h5_a_plain_head_request_without_host_is_400_without_content() {
    let refused = refused(plain("HEAD / HTTP/1.1").without("Host").bytes());
    assert_eq!(refused.answer.status, 400);
    assert_eq!(refused.answer.body.escape_ascii().to_string(), "");
}

cases! {
    h2a_http_1_0_with_a_whole_upgrade_is_plain: drop(taken_as_plain(
        &upgrade().start("GET /chat HTTP/1.0")));
    h2a_http_1_0_without_host_is_plain: drop(taken_as_plain(
        &plain("GET /health HTTP/1.0").without("Host")));
    h2a_http_1_0_without_any_header_is_plain: drop(taken_as_plain(
        &plain("GET / HTTP/1.0").without("Host")));
    h2a_http_1_0_upgrade_without_host_is_plain: drop(taken_as_plain(
        &upgrade().start("GET /chat HTTP/1.0").without("Host")));
    h2a_http_1_0_upgrade_that_would_be_malformed_is_plain: drop(taken_as_plain(
        &upgrade().start("POST /chat HTTP/1.0").set("Sec-WebSocket-Key", "x")));
    h2a_http_1_0_with_a_malformed_host_is_400: refused_head(
        plain("GET / HTTP/1.0").set("Host", "a b"), HttpError::HostInvalid, 400);
    h2a_http_1_0_with_two_hosts_is_400: refused_head(
        plain("GET / HTTP/1.0").add("Host", "b.example"), HttpError::HostRepeated, 400);
}

#[test]
fn h2a_http_1_0_is_served_and_closed() {
    let handshake = taken_as_plain(&upgrade().start("GET /chat HTTP/1.0"));
    assert_eq!(handshake.request().version(), Version::Http10);
    let mut out = Vec::new();
    let response = Response {
        status: 200,
        headers: &[],
        body: b"well",
    };
    assert!(next(handshake.respond(&response, &mut out, START)).is_none());
    let answer = Answer::read(&out);
    assert_eq!((answer.status, &*answer.body), (200, &b"well"[..]));
    assert!(answer.has_token("Connection", "close"));
    assert!(!contains(&out, b" 101 "));
}

#[track_caller]
fn path_of(target: &str, path: &str, query: Option<&str>) {
    let handshake = accepted(&upgrade().target(target));
    let request = handshake.request();
    assert_eq!(request.target(), target);
    assert_eq!((request.path(), request.query()), (path, query));
}

cases! {
    h3_absolute_form_is_accepted: path_of("http://example.com/chat", "/chat", None);
    h3_absolute_form_of_https_is_accepted: path_of("https://example.com/chat", "/chat", None);
    h3_absolute_form_of_ws_is_accepted: path_of("ws://example.com/chat?a", "/chat", Some("a"));
    h3_absolute_form_of_wss_is_accepted: path_of("wss://example.com:443/", "/", None);
    h3_absolute_form_in_capitals_is_accepted: path_of("HTTP://EXAMPLE.COM/Chat", "/Chat", None);
    h3_absolute_form_without_path_is_the_root: path_of("http://example.com", "/", None);
    h3_absolute_form_with_a_query_alone: path_of("http://example.com?x=1", "/", Some("x=1"));
    h3_absolute_form_of_an_ipv6_address: path_of("http://[::1]:80/chat", "/chat", None);
    h3_a_path_of_two_slashes_is_no_authority: path_of("//chat/x", "//chat/x", None);
    h3_a_url_in_the_query_is_no_absolute_form: path_of(
        "/chat?to=http://a.example/b", "/chat", Some("to=http://a.example/b"));
    h3_absolute_form_with_user_info_is_400: refused_head(
        upgrade().target("http://me:pass@example.com/chat"), HttpError::TargetForm, 400);
    h3_absolute_form_of_another_scheme_is_400: refused_head(
        upgrade().target("ftp://example.com/chat"), HttpError::TargetForm, 400);
    h3_absolute_form_without_host_is_400: refused_head(
        upgrade().target("http:///chat"), HttpError::TargetForm, 400);
    h3_absolute_form_with_a_bad_port_is_400: refused_head(
        upgrade().target("http://example.com:99999/chat"), HttpError::TargetForm, 400);
    h3_absolute_form_still_needs_host: refused_head(
        upgrade().target("http://example.com/chat").without("Host"), HttpError::HostMissing, 400);
}

/// RFC 9112 section 3.2.2: "the origin server MUST ignore the received Host header field (if
/// any) and instead use the host information of the request-target".
#[test]
fn h3_the_host_of_absolute_form_goes_before_the_header() {
    let text = upgrade()
        .target("http://target.example:8080/chat")
        .set("Host", "header.example");
    let handshake = accepted(&text);
    let request = handshake.request();
    assert_eq!(request.host(), Some("target.example:8080"));
    assert_eq!(request.header("host"), Some("header.example"));
}

cases! {
    h4_a_target_of_an_asterisk_is_400: refused_head(
        upgrade().target("*"), HttpError::TargetForm, 400);
    h4_an_asterisk_of_options_is_400: refused_head(
        plain("OPTIONS * HTTP/1.1"), HttpError::TargetForm, 400);
    h4_an_empty_target_is_400: refused_head(
        upgrade().target(""), HttpError::RequestLine, 400);
    h4_a_fragment_is_400: refused_head(upgrade().target("/chat#x"), HttpError::Target, 400);
    h4_a_fragment_behind_a_query_is_400: refused_head(
        upgrade().target("/chat?a=1#x"), HttpError::Target, 400);
    h4_a_space_in_the_target_is_400: drop(refused(upgrade().target("/a b").bytes()));
    h4_a_tab_in_the_target_is_400: refused_head(
        upgrade().target("/a\tb"), HttpError::Target, 400);
    h4_nul_in_the_target_is_400: refused_head(upgrade().target("/a\0b"), HttpError::Target, 400);
    h4_del_in_the_target_is_400: refused_head(
        upgrade().target("/a\x7fb"), HttpError::Target, 400);
    h4_nul_in_the_query_is_400: refused_head(
        upgrade().target("/?a\0b"), HttpError::Target, 400);
    h4_a_bare_cr_in_the_target_is_400: drop(refused(upgrade().target("/a\rb").bytes()));
    h4_a_bare_lf_in_the_target_is_400: refused_head(
        upgrade().target("/a\nb"), HttpError::BareLf, 400);
    h4_a_byte_above_7f_in_the_target_is_400: refused_head(
        upgrade().target(b"/\xc3\xa9"), HttpError::Target, 400);
    h4_a_target_without_slash_is_400: refused_head(
        upgrade().target("chat"), HttpError::TargetForm, 400);
    h4_authority_form_is_400: refused_head(
        upgrade().target("example.com:80"), HttpError::TargetForm, 400);
    h4_authority_form_of_connect_is_400: refused_head(
        plain("CONNECT example.com:80 HTTP/1.1"), HttpError::TargetForm, 400);
    h4_a_target_of_a_query_alone_is_400: refused_head(
        upgrade().target("?a=1"), HttpError::TargetForm, 400);
    h4_a_target_of_8193_bytes_is_414: refused_head(
        upgrade().target(format!("/{}", "a".repeat(8192))), HttpError::TargetTooLong, 414);
    h4_a_query_of_a_mebibyte_is_414: refused_head(
        upgrade().target(format!("/?{}", "a".repeat(100_000))), HttpError::TargetTooLong, 414);
    h4_an_absolute_form_of_8193_bytes_is_414: refused_head(
        upgrade().target(format!("http://example.com/{}", "a".repeat(8192 - 18))),
        HttpError::TargetTooLong, 414);
    h4_browsers_raw_braces_pass: path_of("/?{}", "/", Some("{}"));
    h4_browsers_raw_brackets_pass: path_of("/?a[]=1", "/", Some("a[]=1"));
    h4_browsers_raw_bar_passes: path_of("/?a|b", "/", Some("a|b"));
    h4_browsers_raw_caret_passes: path_of("/?a^b", "/", Some("a^b"));
    h4_browsers_raw_backtick_passes: path_of("/?`", "/", Some("`"));
    h4_an_empty_query_is_a_query: path_of("/?", "/", Some(""));
    h4_a_second_question_mark_is_of_the_query: path_of("/?a?b", "/", Some("a?b"));
    h4_percent_escapes_stay_as_sent: path_of("/a%2Fb?%00", "/a%2Fb", Some("%00"));
}

#[test]
fn h4_a_target_of_8192_bytes_is_accepted() {
    let target = format!("/{}", "a".repeat(8191));
    path_of(&target, &target, None);
    let target = format!("/?{}", "a".repeat(8190));
    path_of(&target, "/", Some(&target[2..]));
}

#[test]
fn h4_every_control_byte_in_path_or_query_is_refused() {
    for byte in (0..=b' ').chain([0x7f]) {
        for before in [&b"/a"[..], b"/?a"] {
            let text = upgrade().target([before, &[byte], b"b"].concat());
            assert_eq!(refused(text.bytes()).answer.status, 400, "{byte:#x}");
        }
    }
}

#[track_caller]
fn bad_host(host: &str) {
    refused_head(upgrade().set("Host", host), HttpError::HostInvalid, 400);
    refused_head(
        plain("GET / HTTP/1.1").set("Host", host),
        HttpError::HostInvalid,
        400,
    );
}

#[track_caller]
fn good_host(host: &str) {
    let handshake = accepted(&upgrade().set("Host", host));
    assert_eq!(handshake.request().host(), Some(host));
}

cases! {
    h5_no_host_is_400: refused_head(upgrade().without("Host"), HttpError::HostMissing, 400);
    h5_a_plain_request_without_host_is_400: refused_head(
        plain("GET / HTTP/1.1").without("Host"), HttpError::HostMissing, 400);
    h5_two_hosts_are_400: refused_head(
        upgrade().add("Host", "b.example"), HttpError::HostRepeated, 400);
    h5_two_equal_hosts_are_400: refused_head(
        upgrade().add("hOST", "example.com"), HttpError::HostRepeated, 400);
    h5_host_of_a_colon_is_400: bad_host(":");
    h5_host_of_a_bracket_is_400: bad_host("[");
    h5_host_of_brackets_is_400: bad_host("[]");
    h5_host_with_port_99999999_is_400: bad_host("example.com:99999999");
    h5_host_with_port_65536_is_400: bad_host("example.com:65536");
    h5_host_with_port_in_words_is_400: bad_host("example.com:http");
    h5_host_with_negative_port_is_400: bad_host("example.com:-1");
    h5_host_with_plus_port_is_400: bad_host("example.com:+80");
    h5_host_of_a_port_alone_is_400: bad_host(":80");
    h5_host_empty_is_400: bad_host("");
    h5_host_with_two_ports_is_400: bad_host("example.com:80:80");
    h5_host_with_user_info_is_400: bad_host("me@example.com");
    h5_host_with_a_path_is_400: bad_host("example.com/chat");
    h5_host_with_a_space_is_400: bad_host("example.com evil.example");
    h5_host_list_is_400: bad_host("example.com, evil.example");
    h5_host_of_a_url_is_400: bad_host("http://example.com");
    h5_host_of_raw_ipv6_is_400: bad_host("::1");
    h5_host_of_unclosed_ipv6_is_400: bad_host("[::1");
    h5_host_of_bad_ipv6_is_400: bad_host("[::g]");
    h5_host_with_something_behind_ipv6_is_400: bad_host("[::1]80");
    h5_host_with_a_zone_is_400: bad_host("[fe80::1%25eth0]");
    h5_host_with_a_cut_escape_is_400: bad_host("example%2");
    h5_host_with_a_backslash_is_400: bad_host("example.com\\evil");
    h5_host_with_an_underscore_is_accepted: good_host("my_service.local");
    h5_host_with_a_port_is_accepted: good_host("example.com:8080");
    h5_host_with_an_empty_port_is_accepted: good_host("example.com:");
    h5_host_of_ipv4_is_accepted: good_host("127.0.0.1:65535");
    h5_host_of_ipv6_is_accepted: good_host("[2001:db8::1]:9001");
    h5_host_in_capitals_is_accepted: good_host("EXAMPLE.com");
    h5_host_with_a_trailing_dot_is_accepted: good_host("example.com.");
}

#[track_caller]
fn upgrade_value(value: &str) -> Text {
    upgrade().set("Upgrade", value)
}

cases! {
    h6_upgrade_missing_is_400: drop(refused_as(
        upgrade().without("Upgrade"), RequestError::Upgrade));
    h6_upgrade_empty_is_400: drop(refused_as(upgrade_value(""), RequestError::Upgrade));
    h6_upgrade_websocketx_is_400: drop(refused_as(
        upgrade_value("websocketx"), RequestError::Upgrade));
    h6_upgrade_xwebsocket_is_400: drop(refused_as(
        upgrade_value("xwebsocket"), RequestError::Upgrade));
    h6_upgrade_with_an_inner_space_is_400: drop(refused_as(
        upgrade_value("web socket"), RequestError::Upgrade));
    h6_upgrade_split_by_a_comma_is_400: drop(refused_as(
        upgrade_value("web,socket"), RequestError::Upgrade));
    h6_upgrade_split_by_semicolons_is_400: drop(refused_as(
        upgrade_value("h2c; websocket"), RequestError::Upgrade));
    h6_upgrade_with_a_dotless_k_is_400: drop(refused_as(
        upgrade_value("webSoc\u{212a}et"), RequestError::Upgrade));
    h6_upgrade_in_capitals_is_accepted: drop(accepted(&upgrade_value("WEBSOCKET")));
    h6_upgrade_in_mixed_case_is_accepted: drop(accepted(&upgrade_value("WebSocket")));
    h6_upgrade_second_in_a_list_is_accepted: drop(accepted(&upgrade_value("h2c, websocket")));
    h6_upgrade_first_in_a_list_is_accepted: drop(accepted(&upgrade_value("websocket,h2c")));
    h6_upgrade_among_empty_elements_is_accepted: drop(accepted(
        &upgrade_value(",\t, websocket ,,")));
    h6_upgrade_on_a_second_line_is_accepted: drop(accepted(
        &upgrade_value("h2c").add("UPGRADE", "websocket")));
    h6_a_plain_upgrade_to_h2c_is_plain: drop(taken_as_plain(&plain("GET / HTTP/1.1")
        .add("Upgrade", "h2c").add("Connection", "Upgrade, HTTP2-Settings")
        .add("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA")));
    h6_websocket_without_key_and_version_is_refused: drop(refused(plain("GET / HTTP/1.1")
        .add("Upgrade", "websocket").add("Connection", "Upgrade").bytes()));

    h7_connection_missing_is_400: drop(refused_as(
        upgrade().without("Connection"), RequestError::Connection));
    h7_connection_empty_is_400: drop(refused_as(
        upgrade().set("Connection", ""), RequestError::Connection));
    h7_connection_close_is_400: drop(refused_as(
        upgrade().set("Connection", "close"), RequestError::Connection));
    h7_connection_keep_alive_is_400: drop(refused_as(
        upgrade().set("Connection", "keep-alive"), RequestError::Connection));
    h7_connection_xupgrade_is_400: drop(refused_as(
        upgrade().set("Connection", "xUpgrade"), RequestError::Connection));
    h7_connection_upgradex_is_400: drop(refused_as(
        upgrade().set("Connection", "Upgradex, keep-alive"), RequestError::Connection));
    h7_connection_keep_alive_and_upgrade_is_accepted: drop(accepted(
        &upgrade().set("Connection", "keep-alive, Upgrade")));
    h7_connection_without_spaces_is_accepted: drop(accepted(
        &upgrade().set("Connection", "keep-alive,upgrade")));
    h7_connection_over_two_lines_is_accepted: drop(accepted(
        &upgrade().set("Connection", "keep-alive").add("connection", "Upgrade")));
    h7_connection_in_capitals_is_accepted: drop(accepted(
        &upgrade().set("Connection", "UPGRADE")));
}

/// 400, and both the error and the response say which.
#[track_caller]
fn bad_key(key: &[u8], error: RequestError, says: &str) {
    bad_keys(upgrade().set("Sec-WebSocket-Key", key), error, says);
}

#[track_caller]
fn bad_keys(text: Text, error: RequestError, says: &str) {
    let refused = refused_as(text, error);
    assert_eq!(refused.answer.status, 400);
    let message = refused.error.to_string();
    assert!(message.contains("Sec-WebSocket-Key"), "{message}");
    assert!(message.contains(says), "{message}");
    assert!(contains(&refused.answer.body, says.as_bytes()));
}

cases! {
    h8_key_missing_is_400: bad_keys(
        upgrade().without("Sec-WebSocket-Key"), RequestError::KeyMissing, "missing");
    h8_key_twice_is_400: bad_keys(
        upgrade().add("sec-websocket-key", "AQIDBAUGBwgJCgsMDQ4PEC=="),
        RequestError::KeyRepeated, "more than once");
    h8_the_same_key_twice_is_400: bad_keys(
        upgrade().add("Sec-WebSocket-Key", KEY), RequestError::KeyRepeated, "more than once");
    h8_key_empty_is_400: bad_key(b"", RequestError::KeyLength, "length");
    h8_key_of_15_bytes_is_400: bad_key(
        base64(&[7; 15]).as_bytes(), RequestError::KeyLength, "length");
    h8_key_of_17_bytes_is_400: bad_key(
        base64(&[7; 17]).as_bytes(), RequestError::KeyLength, "length");
    h8_key_of_18_bytes_is_400: bad_key(
        base64(&[7; 18]).as_bytes(), RequestError::KeyLength, "length");
    h8_key_of_one_byte_is_400: bad_key(
        base64(&[7; 1]).as_bytes(), RequestError::KeyLength, "length");
    h8_key_without_padding_is_400: bad_key(
        b"dGhlIHNhbXBsZSBub25jZQ", RequestError::KeyLength, "length");
    h8_key_with_half_its_padding_is_400: bad_key(
        b"dGhlIHNhbXBsZSBub25jZQ=", RequestError::KeyLength, "length");
    h8_key_with_three_pads_is_400: bad_key(
        b"dGhlIHNhbXBsZSBub25jZQ===", RequestError::KeyLength, "length");
    h8_key_of_21_characters_and_three_pads_is_400: bad_key(
        b"dGhlIHNhbXBsZSBub25jZ===", RequestError::KeyEncoding, "base64");
    h8_key_of_pads_is_400: bad_key(&[b'='; 24], RequestError::KeyEncoding, "base64");
    h8_key_padded_in_the_middle_is_400: bad_key(
        b"dGhlIHNhbX==ZSBub25jZQ==", RequestError::KeyEncoding, "base64");
    h8_key_padded_in_front_is_400: bad_key(
        b"==dGhlIHNhbXBsZSBub25jZQ", RequestError::KeyEncoding, "base64");
    h8_key_in_the_urls_alphabet_is_400: bad_key(
        b"-_hlIHNhbXBsZSBub25jZQ==", RequestError::KeyEncoding, "base64");
    h8_key_with_a_bad_character_is_400: bad_key(
        b"dGhlIHNhbXB!ZSBub25jZQ==", RequestError::KeyEncoding, "base64");
    h8_key_with_a_byte_above_7f_is_400: bad_key(
        b"dGhlIHNhbXB\xffZSBub25jZQ==", RequestError::KeyEncoding, "base64");
    h8_key_with_an_inner_space_in_24_is_400: bad_key(
        b"dGhlIHNhbXB ZSBub25jZQ==", RequestError::KeyEncoding, "base64");
    h8_key_with_an_inner_space_besides_is_400: bad_key(
        b"dGhlIHNhbXBs ZSBub25jZQ==", RequestError::KeyLength, "length");
    h8_key_with_an_inner_tab_is_400: bad_key(
        b"dGhlIHNhbXB\tZSBub25jZQ==", RequestError::KeyEncoding, "base64");
    h8_two_keys_in_one_line_are_400: bad_key(
        format!("{KEY}, {KEY}").as_bytes(), RequestError::KeyLength, "length");
    h8_key_in_quotes_is_400: bad_key(
        b"\"dGhlIHNhbXBsZSBub25jZQ==\"", RequestError::KeyLength, "length");
    h8_key_of_64_kib_is_431_by_the_head_limit: refused_head(
        upgrade().set("Sec-WebSocket-Key", "A".repeat(65536)), HttpError::HeadTooLarge, 431);
    h8_key_with_white_space_around_is_accepted: drop(accepted(
        &upgrade().set("Sec-WebSocket-Key", format!("\t {KEY} \t"))));
}

#[test]
fn h8_key_of_64_kib_is_400_where_the_head_limit_allows_it() {
    let config = config_with(|it| it.head.max_head = 128 * 1024);
    for key in ["A".repeat(65536), format!("{}==", "A".repeat(65534))] {
        let text = upgrade().set("Sec-WebSocket-Key", key);
        let refused = refused_by(&config, &text.bytes());
        let error = HandshakeError::Request(RequestError::KeyLength);
        assert_eq!(refused.error, error);
    }
}

#[test]
fn h8_spare_bits_of_the_last_character_may_be_set() {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for last in ALPHABET {
        let key = format!("dGhlIHNhbXBsZSBub25jZ{}==", char::from(*last));
        // The accept key is of the characters as sent, not of the 16 bytes.
        accepted(&upgrade().set("Sec-WebSocket-Key", key));
    }
}

cases! {
    h9_the_version_twice_is_400: drop(refused_as(
        upgrade().add("Sec-WebSocket-Version", "13"), RequestError::VersionRepeated));
    h9_two_versions_are_400: drop(refused_as(
        upgrade().add("sec-websocket-version", "8"), RequestError::VersionRepeated));
    h9_two_unknown_versions_are_400: drop(refused_as(
        upgrade().set("Sec-WebSocket-Version", "7").add("Sec-WebSocket-Version", "8"),
        RequestError::VersionRepeated));
}
