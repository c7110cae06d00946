//! What a client asks for: the request's exact bytes, what it refuses to send, and docs/cases.md
//! C8, the URL.

use std::sync::Arc;

use harness::handshake::*;
use sockeye::error::{Misuse, UrlError};
use sockeye::proto::{ClientHandshake, ClientRequest, Config, Url};

fn request(url: &str, request: &ClientRequest, config: &Arc<Config>) -> Vec<u8> {
    let url = Url::parse(url).unwrap();
    let mut out = b"before|".to_vec();
    let config = Arc::clone(config);
    let handshake =
        ClientHandshake::new(&url, request, config, Box::new(sample), &mut out, START).unwrap();
    assert!(handshake.response().is_none());
    assert!(out.starts_with(b"before|"), "appended only");
    out.split_off(7)
}

#[track_caller]
fn golden(url: &str, client_request: &ClientRequest, expected: &str) {
    let sent = String::from_utf8(request(url, client_request, &config())).unwrap();
    assert_eq!(sent, expected);
}

#[test]
fn the_request_of_a_plain_url() {
    golden(
        "ws://example.com/chat",
        &ClientRequest::default(),
        "GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n",
    );
}

#[track_caller]
fn target_and_host(url: &str, target: &str, host: &str) {
    golden(
        url,
        &ClientRequest::default(),
        &format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Version: 13\r\n\r\n"
        ),
    );
}

cases! {
    the_request_of_a_url_without_path: target_and_host("ws://example.com", "/", "example.com");
    the_request_of_a_query: target_and_host(
        "ws://example.com/chat?room=1&x=%20", "/chat?room=1&x=%20", "example.com");
    the_request_of_a_query_without_path: target_and_host(
        "ws://example.com?a=b/c", "/?a=b/c", "example.com");
    the_request_of_another_port: target_and_host(
        "ws://example.com:8080/", "/", "example.com:8080");
    the_request_of_the_default_port: target_and_host("ws://example.com:80/", "/", "example.com");
    the_request_of_the_default_port_of_wss: target_and_host(
        "wss://example.com:443/", "/", "example.com");
    the_request_of_the_port_of_the_other_scheme: target_and_host(
        "ws://example.com:443/", "/", "example.com:443");
    the_request_of_port_80_over_wss: target_and_host(
        "wss://example.com:80/", "/", "example.com:80");
    the_request_of_an_empty_port: target_and_host("ws://example.com:/", "/", "example.com");
    the_request_of_an_ipv6_address: target_and_host("ws://[::1]/chat", "/chat", "[::1]");
    the_request_of_an_ipv6_address_with_a_port: target_and_host(
        "wss://[2001:db8::1]:9443?x", "/?x", "[2001:db8::1]:9443");
    the_request_of_an_ipv4_address: target_and_host(
        "ws://127.0.0.1:9001/", "/", "127.0.0.1:9001");
    the_request_of_capitals: target_and_host(
        "WSS://Example.COM/Chat?Room", "/Chat?Room", "example.com");
}

#[test]
fn the_request_of_all_there_is_to_ask_for() {
    let asked = ClientRequest {
        subprotocols: vec!["chat".into(), "superchat".into()],
        origin: Some("https://page.example".into()),
        headers: vec![
            ("Authorization".into(), "Basic eDp5".into()),
            ("Cookie".into(), "a=1; b=\u{e9}".into()),
        ],
        ..ClientRequest::default()
    };
    let config = config_with(|it| it.extensions = vec![Arc::new(Xor)]);
    let sent = request("wss://example.com:9443/chat?x=1", &asked, &config);
    let expected = "GET /chat?x=1 HTTP/1.1\r\nHost: example.com:9443\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\nOrigin: https://page.example\r\n\
         Sec-WebSocket-Protocol: chat, superchat\r\n\
         Sec-WebSocket-Extensions: x-test-xor; level=1\r\n\
         Authorization: Basic eDp5\r\nCookie: a=1; b=\u{e9}\r\n\r\n";
    assert_eq!(String::from_utf8(sent).unwrap(), expected);
}

#[test]
fn a_request_outlives_what_it_was_made_of_and_is_used_again() {
    let kept = {
        let token = String::from("of this scope");
        ClientRequest {
            headers: vec![("Authorization".into(), token)],
            ..ClientRequest::default()
        }
    };
    let send = || request("ws://example.com/", &kept, &config());
    assert_eq!(send(), send());
    assert!(
        String::from_utf8(send())
            .unwrap()
            .contains("Authorization: of this scope\r\n")
    );
}

#[track_caller]
fn misused(request: &ClientRequest, misuse: Misuse) {
    let url = Url::parse("ws://example.com/").unwrap();
    let mut out = b"before".to_vec();
    let source = Source::new(1);
    let result = ClientHandshake::new(&url, request, config(), source.boxed(), &mut out, START);
    assert_eq!(result.err(), Some(misuse));
    assert_eq!(out, b"before");
}

#[track_caller]
fn bad_subprotocols(subprotocols: &[&str], name: &str) {
    let request = ClientRequest {
        subprotocols: subprotocols.iter().map(ToString::to_string).collect(),
        ..ClientRequest::default()
    };
    misused(&request, Misuse::Subprotocol(name.into()));
}

#[track_caller]
fn bad_header(name: &str, value: &str) {
    let request = ClientRequest {
        headers: vec![("X-Good".into(), "1".into()), (name.into(), value.into())],
        ..ClientRequest::default()
    };
    misused(&request, Misuse::Header(name.into()));
}

#[track_caller]
fn bad_origin(origin: &str) {
    let request = ClientRequest {
        origin: Some(origin.into()),
        ..ClientRequest::default()
    };
    misused(&request, Misuse::Header("Origin".into()));
}

cases! {
    misuse_an_empty_subprotocol: bad_subprotocols(&[""], "");
    misuse_an_empty_subprotocol_among_others: bad_subprotocols(&["a", ""], "");
    misuse_a_subprotocol_with_a_space: bad_subprotocols(&["a b"], "a b");
    misuse_a_subprotocol_with_a_comma: bad_subprotocols(&["a,b"], "a,b");
    misuse_a_subprotocol_with_cr_lf: bad_subprotocols(&["a\r\nX: y"], "a\r\nX: y");
    misuse_a_subprotocol_with_a_slash: bad_subprotocols(&["a", "b/c"], "b/c");
    misuse_a_subprotocol_above_7f: bad_subprotocols(&["\u{e9}"], "\u{e9}");
    misuse_a_subprotocol_twice: bad_subprotocols(&["a", "b", "a"], "a");
    misuse_an_origin_with_cr_lf: bad_origin("https://a.example\r\nX: y");
    misuse_an_origin_with_lf: bad_origin("\n");
    misuse_an_origin_with_nul: bad_origin("https://a.example\0");
    misuse_an_origin_above_7f: bad_origin("https://\u{e9}.example");
    misuse_a_header_value_with_cr_lf: bad_header("X-A", "1\r\nX-B: 2");
    misuse_a_header_value_with_cr: bad_header("X-A", "\r");
    misuse_a_header_value_with_lf: bad_header("X-A", "1\n");
    misuse_a_header_value_with_nul: bad_header("X-A", "\0");
    misuse_a_header_name_with_cr_lf: bad_header("X-A: 1\r\nX-B", "2");
    misuse_a_header_name_with_a_colon: bad_header("X-A:", "1");
    misuse_a_header_name_with_a_space: bad_header("X-A ", "1");
    misuse_an_empty_header_name: bad_header("", "1");
    misuse_the_handshakes_own_host: bad_header("host", "evil.example");
    misuse_the_handshakes_own_upgrade: bad_header("Upgrade", "h2c");
    misuse_the_handshakes_own_connection: bad_header("CONNECTION", "close");
    misuse_the_handshakes_own_key: bad_header("sec-websocket-key", KEY);
    misuse_the_handshakes_own_version: bad_header("Sec-WebSocket-Version", "8");
    misuse_the_handshakes_own_subprotocol: bad_header("Sec-WebSocket-Protocol", "a");
    misuse_the_handshakes_own_extensions: bad_header("Sec-WebSocket-Extensions", "a");
    misuse_a_content_length: bad_header("Content-Length", "0");
    misuse_a_transfer_encoding: bad_header("Transfer-Encoding", "chunked");
}

/// `Misuse::Header`: "or one that the opening handshake writes itself". Servers refuse two.
#[test]
fn misuse_an_origin_header_beside_the_origin() {
    let request = ClientRequest {
        origin: Some("https://a.example".into()),
        headers: vec![("origin".into(), "https://b.example".into())],
        ..ClientRequest::default()
    };
    misused(&request, Misuse::Header("origin".into()));
}

#[track_caller]
fn bad_url(url: &str, error: UrlError) {
    assert_eq!(Url::parse(url), Err(error), "{url:?}");
    assert_eq!(url.parse::<Url>(), Err(error), "{url:?}");
}

#[track_caller]
fn bad_byte(url: &str, byte: u8, position: usize) {
    bad_url(url, UrlError::Byte { byte, position });
}

cases! {
    c8_cr_lf_in_the_path: bad_byte("ws://example.com/a\r\nX: y", b'\r', 18);
    c8_cr_lf_in_the_host: bad_byte("ws://example.com\r\nX: y/", b'\r', 16);
    c8_lf_in_the_query: bad_byte("ws://example.com/?a\nb", b'\n', 19);
    c8_lf_behind_the_url: bad_byte("ws://example.com/\n", b'\n', 17);
    c8_a_space_before_the_url: bad_byte(" ws://example.com/", b' ', 0);
    c8_a_space_in_the_path: bad_byte("ws://example.com/a b", b' ', 18);
    c8_a_tab_in_the_host: bad_byte("ws://exa\tmple.com/", b'\t', 8);
    c8_nul: bad_byte("ws://example.com/\0", 0, 17);
    c8_a_letter_above_7f: bad_byte("ws://ex\u{e4}mple.com/", 0xC3, 7);
    c8_user_info: bad_url("ws://me:secret@example.com/", UrlError::UserInfo);
    c8_a_user: bad_url("wss://me@example.com", UrlError::UserInfo);
    c8_empty_user_info: bad_url("ws://@example.com/", UrlError::UserInfo);
    c8_user_info_that_looks_like_a_host: bad_url(
        "ws://example.com:80@evil.example/", UrlError::UserInfo);
    c8_a_fragment: bad_url("ws://example.com/#x", UrlError::Fragment);
    c8_an_empty_fragment: bad_url("ws://example.com/#", UrlError::Fragment);
    c8_a_fragment_behind_the_host: bad_url("ws://example.com#x", UrlError::Fragment);
    c8_a_fragment_behind_the_query: bad_url("ws://example.com/?a#b", UrlError::Fragment);
    c8_port_0: bad_url("ws://example.com:0/", UrlError::Port);
    c8_port_65536: bad_url("ws://example.com:65536/", UrlError::Port);
    c8_port_99999999: bad_url("ws://example.com:99999999/", UrlError::Port);
    c8_port_in_words: bad_url("ws://example.com:http/", UrlError::Port);
    c8_port_negative: bad_url("ws://example.com:-1/", UrlError::Port);
    c8_port_with_plus: bad_url("ws://example.com:+80/", UrlError::Port);
    c8_port_twice: bad_url("ws://example.com:80:80/", UrlError::Port);
    c8_http: bad_url("http://example.com/", UrlError::Scheme);
    c8_https: bad_url("https://example.com/", UrlError::Scheme);
    c8_wsx: bad_url("wsx://example.com/", UrlError::Scheme);
    c8_no_scheme: bad_url("example.com/chat", UrlError::Scheme);
    c8_no_slashes: bad_url("ws:example.com", UrlError::Scheme);
    c8_one_slash: bad_url("ws:/example.com", UrlError::Scheme);
    c8_an_empty_scheme: bad_url("://example.com", UrlError::Scheme);
    c8_an_empty_url: bad_url("", UrlError::Scheme);
    c8_no_host: bad_url("ws:///chat", UrlError::EmptyHost);
    c8_nothing_behind_the_scheme: bad_url("ws://", UrlError::EmptyHost);
    c8_a_port_alone: bad_url("ws://:80/", UrlError::EmptyHost);
    c8_an_unclosed_ipv6_address: bad_url("ws://[::1/", UrlError::Ipv6);
    c8_a_bad_ipv6_address: bad_url("ws://[::g]/", UrlError::Ipv6);
    c8_an_ipv6_address_with_a_zone: bad_url("ws://[fe80::1%25eth0]/", UrlError::Ipv6);
    c8_something_behind_an_ipv6_address: bad_url("ws://[::1]x/", UrlError::Ipv6);
    c8_a_host_with_an_escape: bad_url("ws://ex%61mple.com/", UrlError::Host);
    c8_a_host_with_a_backslash: bad_url("ws://example.com\\evil/", UrlError::Host);
    c8_a_quote_in_the_path: bad_url("ws://example.com/\"", UrlError::Target);
}

#[test]
fn c8_no_error_shows_a_credential() {
    for url in [
        "ws://me:secret@example.com/",
        "ws://secret:secret@h:secret/#secret",
        "secret://x",
        "ws://h/secret\r\nsecret",
        "ws://h:secret/",
    ] {
        let error = Url::parse(url).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }
}
