//! What the application sees of a request: path, parameters, headers, and docs/cases.md H20
//! (subprotocols) and H21 (origins). Every case of bytes runs whole, byte by byte and at random
//! splits (see `handshake_util`).

use harness::handshake::*;
use sockeye::error::{HandshakeError, RequestError};
use sockeye::proto::http::Version;
use sockeye::proto::{Accept, Origins};

#[test]
fn the_application_sees_the_request() {
    let text = upgrade()
        .target("/rooms/a%20b?x=1&y=a%20b+c&x=2&flag&=v&&z=%e2%82%ac&e=")
        .set("Host", "example.com:8080")
        .add("Origin", "https://example.com")
        .add("Cookie", "a=1")
        .add("cookie", "b=2")
        .add("X-Trimmed", " \tvalue\t ");
    let handshake = accepted(&text);
    let request = handshake.request();
    assert!(request.is_upgrade());
    assert_eq!(request.method(), "GET");
    assert_eq!(request.version(), Version::Http11);
    assert_eq!(request.path(), "/rooms/a%20b");
    assert_eq!(request.host(), Some("example.com:8080"));
    assert_eq!(request.origin(), Some("https://example.com"));
    assert_eq!(request.header("COOKIE"), Some("a=1"));
    let cookies: Vec<_> = request.headers().get_all("Cookie").collect();
    assert_eq!(cookies, [b"a=1", b"b=2"]);
    assert_eq!(request.headers().count("cookie"), 2);
    assert_eq!(request.headers().len(), text.lines.len());
    assert_eq!(request.header("x-trimmed"), Some("value"));
    assert_eq!(request.header("x-none"), None);
    assert_eq!(request.query_param("x").as_deref(), Some("1"));
    assert_eq!(request.query_param("flag").as_deref(), Some(""));
    assert_eq!(request.query_param("none"), None);
    let params: Vec<_> = request.query_params().collect();
    let expected = [
        ("x", "1"),
        ("y", "a b c"),
        ("x", "2"),
        ("flag", ""),
        ("", "v"),
        ("z", "\u{20ac}"),
        ("e", ""),
    ];
    assert_eq!(params.len(), expected.len());
    for ((name, value), expected) in params.iter().zip(expected) {
        assert_eq!((&**name, &**value), expected);
    }
}

#[track_caller]
fn decoded(query: &str, name: &str, value: &str) {
    let handshake = accepted(&upgrade().target(format!("/?{query}")));
    let request = handshake.request();
    let params: Vec<_> = request.query_params().collect();
    assert_eq!(params.len(), 1);
    assert_eq!((&*params[0].0, &*params[0].1), (name, value));
}

cases! {
    params_plus_is_a_space: decoded("a+b=c+d", "a b", "c d");
    params_escaped_plus_is_a_plus: decoded("a=%2B", "a", "+");
    params_escapes_in_either_case: decoded("a=%2f%2F", "a", "//");
    params_escaped_separators_separate_nothing: decoded("a%3Db=c%26d", "a=b", "c&d");
    params_the_first_equals_sign_separates: decoded("a=b=c", "a", "b=c");
    params_an_escape_is_decoded_once: decoded("a=%2541", "a", "%41");
    params_a_cut_escape_stays: decoded("a=%", "a", "%");
    params_half_an_escape_stays: decoded("a=%4", "a", "%4");
    params_a_bad_escape_stays: decoded("a=%zz%4g%41", "a", "%zz%4gA");
    params_a_percent_before_an_escape_stays: decoded("a=%%41", "a", "%A");
    params_a_signed_escape_stays: decoded("a=%+1", "a", "% 1");
    params_bytes_that_are_no_utf_8_are_replaced: decoded("a=x%ffy", "a", "x\u{fffd}y");
    params_nul_is_decoded: decoded("a=%00", "a", "\0");
    params_characters_over_two_bytes: decoded("%F0%9F%90%9F=1", "\u{1f41f}", "1");
}

#[test]
fn a_request_without_query_has_no_params() {
    for target in ["/", "/?", "/?&&"] {
        let handshake = accepted(&upgrade().target(target));
        let request = handshake.request();
        assert_eq!(request.query_params().count(), 0);
        assert_eq!(request.query_param(""), None);
    }
}

#[test]
fn extensions_are_seen_merged_over_lines_in_order() {
    let text = upgrade()
        .add("Sec-WebSocket-Extensions", "a; x=1; y, ,b")
        .add("X", "y")
        .add("sec-websocket-extensions", "a; z=\"q\\r\"");
    let handshake = accepted(&text);
    let request = handshake.request();
    let offers: Vec<String> = request.extensions().map(|it| it.to_string()).collect();
    assert_eq!(offers, ["a; x=1; y", "b", "a; z=qr"]);
}

fn with_subprotocols(lines: &[&str]) -> Text {
    let add = |text: Text, line: &&str| text.add("Sec-WebSocket-Protocol", line);
    lines.iter().fold(upgrade(), add)
}

/// What is offered in these lines, and what of `a`, `b` and `c` the server then speaks.
#[track_caller]
fn offered(lines: &[&str], offered: &[&str], supported: &[&str], chosen: Option<&str>) {
    let handshake = accepted(&with_subprotocols(lines));
    let request = handshake.request();
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), offered);
    let subprotocol = request.choose_subprotocol(supported);
    assert_eq!(subprotocol, chosen);
    let accept = Accept {
        subprotocol,
        ..Accept::default()
    };
    let mut out = Vec::new();
    let connection = handshake.accept(&accept, &mut out, START).unwrap();
    assert_eq!(connection.subprotocol(), chosen);
    let answer = Answer::read(&out);
    assert_eq!(answer.header("Sec-WebSocket-Protocol"), chosen);
}

cases! {
    h20_subprotocols_in_one_line: offered(
        &["a, b,c"], &["a", "b", "c"], &["c", "b"], Some("b"));
    h20_subprotocols_over_two_lines_are_merged_in_order: offered(
        &["b", "a, c"], &["b", "a", "c"], &["a", "c"], Some("a"));
    h20_the_clients_order_decides: offered(&["a, b"], &["a", "b"], &["b", "a"], Some("a"));
    h20_duplicates_in_one_line: offered(&["a, a, b"], &["a", "a", "b"], &["a"], Some("a"));
    h20_duplicates_over_two_lines: offered(&["a", "a"], &["a", "a"], &["b"], None);
    h20_empty_tokens_are_left_out: offered(
        &[", a,, ,b,"], &["a", "b"], &["", "b"], Some("b"));
    h20_an_empty_line_offers_nothing: offered(&[""], &[], &["", "a"], None);
    h20_an_empty_line_among_others: offered(&["", "a"], &["a"], &["a"], Some("a"));
    h20_none_acceptable: offered(&["a, b"], &["a", "b"], &["c"], None);
    h20_none_supported: offered(&["a"], &["a"], &[], None);
    h20_none_offered: offered(&[], &[], &["a"], None);
    h20_names_compare_with_case: offered(&["A"], &["A"], &["a"], None);
    h20_a_prefix_is_another_name: offered(&["ab"], &["ab"], &["a"], None);
}

#[track_caller]
fn subprotocols_refused(line: &str) {
    let refused = refused(with_subprotocols(&["a", line]).bytes());
    let error = HandshakeError::Request(RequestError::Subprotocol);
    assert_eq!(refused.error, error);
    assert_eq!(refused.answer.status, 400);
}

cases! {
    h20_a_subprotocol_with_a_space_is_400: subprotocols_refused("a b");
    h20_a_subprotocol_with_a_slash_is_400: subprotocols_refused("a/b");
    h20_a_quoted_subprotocol_is_400: subprotocols_refused("\"a\"");
    h20_a_subprotocol_with_a_parameter_is_400: subprotocols_refused("a;b=c");
    h20_a_subprotocol_above_7f_is_400: subprotocols_refused("\u{e9}");
}

const SITE: &str = "https://example.com";

fn only() -> Origins {
    Origins::only([SITE, "http://localhost:3000"])
}

fn allowed(origins: &Origins, origin: Option<&str>) -> bool {
    let text = match origin {
        Some(origin) => upgrade().add("Origin", origin),
        None => upgrade(),
    };
    origins.allow(&accepted(&text).request())
}

#[track_caller]
fn let_in(origin: &str) {
    assert!(allowed(&only(), Some(origin)), "{origin}");
    assert!(allowed(&only().required(), Some(origin)), "{origin}");
}

#[track_caller]
fn kept_out(origin: &str) {
    assert!(!allowed(&only(), Some(origin)), "{origin}");
    assert!(!allowed(&only().required(), Some(origin)), "{origin}");
    assert!(allowed(&Origins::any(), Some(origin)), "{origin}");
}

cases! {
    h21_the_exact_origin: let_in("https://example.com");
    h21_another_of_the_origins_with_its_port: let_in("http://localhost:3000");
    h21_the_schemes_own_port_may_be_named: let_in("https://example.com:443");
    h21_scheme_and_host_compare_without_case: let_in("HTTPS://Example.COM");
    h21_null: kept_out("null");
    h21_an_empty_origin_is_not_absent: kept_out("");
    h21_the_wrong_scheme: kept_out("http://example.com");
    h21_the_wrong_scheme_with_the_right_port: kept_out("http://example.com:443");
    h21_the_scheme_of_websocket: kept_out("wss://example.com");
    h21_the_wrong_port: kept_out("https://example.com:8443");
    h21_the_other_schemes_port: kept_out("https://example.com:80");
    h21_a_port_that_begins_alike: kept_out("https://example.com:4430");
    h21_no_port_where_one_is_needed: kept_out("http://localhost");
    h21_a_longer_port: kept_out("http://localhost:30000");
    h21_evil_dash_example_com: kept_out("https://evil-example.com");
    h21_evilexample_com: kept_out("https://evilexample.com");
    h21_example_com_dot_evil: kept_out("https://example.com.evil");
    h21_a_subdomain: kept_out("https://www.example.com");
    h21_a_shorter_host: kept_out("https://xample.com");
    h21_any_character_for_the_dot: kept_out("https://exampleXcom");
    h21_user_info: kept_out("https://example.com@evil.example");
    h21_user_info_before: kept_out("https://evil@example.com");
    h21_a_path: kept_out("https://example.com/evil");
    h21_a_trailing_slash_is_no_origin: kept_out("https://example.com/");
    h21_a_host_without_scheme: kept_out("example.com");
    h21_a_list: kept_out("https://example.com https://evil.example");
    h21_a_list_with_commas: kept_out("https://evil.example, https://example.com");
    h21_two_ports: kept_out("https://example.com:443:443");
    h21_an_extension_page: kept_out("chrome-extension://example.com");
}

#[test]
fn h21_an_absent_origin_is_let_in_unless_required() {
    assert!(allowed(&only(), None));
    assert!(!allowed(&only().required(), None));
    assert!(allowed(&Origins::any(), None));
    assert!(!allowed(&Origins::any().required(), None));
    assert!(allowed(&Origins::any().required(), Some("null")));
}

#[test]
fn h21_null_is_let_in_where_it_is_listed() {
    let origins = Origins::only(["null"]);
    assert!(allowed(&origins, Some("null")));
    assert!(!allowed(&origins, Some(SITE)));
}

#[test]
fn h21_no_origin_is_let_in_by_an_empty_list() {
    let origins = Origins::only::<&str>([]);
    assert!(!allowed(&origins, Some(SITE)));
    assert!(!allowed(&origins, Some("")));
    assert!(allowed(&origins, None));
}

#[test]
fn h21_a_listed_default_port_equals_none() {
    let origins = Origins::only(["http://example.com:80", "https://example.com:443"]);
    assert!(allowed(&origins, Some("http://example.com")));
    assert!(allowed(&origins, Some("https://example.com")));
    assert!(!allowed(&origins, Some("https://example.com:80")));
}

#[test]
fn h21_two_origins_are_refused_before_the_101() {
    for second in [SITE, "https://evil.example"] {
        let text = upgrade().add("Origin", SITE).add("origin", second);
        let refused = refused(text.bytes());
        let error = HandshakeError::Request(RequestError::Origin);
        assert_eq!(refused.error, error);
    }
}
