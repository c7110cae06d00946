//! WebSocket URLs: row C8.

use proptest::prelude::*;
use sockeye::error::UrlError;
use sockeye::proto::Url;
use sockeye::proto::http::{HeadLimits, HeadParser, Target, host, is_host, is_request_target};

#[track_caller]
fn refused(url: &str, error: UrlError) {
    assert_eq!(Url::parse(url), Err(error), "{url:?}");
}

#[test]
fn a_url_gives_where_to_connect_and_what_to_send() {
    for (url, secure, host, port, header, target) in [
        ("ws://a.b", false, "a.b", 80, "a.b", "/"),
        ("wss://a.b", true, "a.b", 443, "a.b", "/"),
        ("ws://a.b/", false, "a.b", 80, "a.b", "/"),
        ("ws://a.b:80/x", false, "a.b", 80, "a.b", "/x"),
        ("wss://a.b:443/x", true, "a.b", 443, "a.b", "/x"),
        ("wss://a.b:80", true, "a.b", 80, "a.b:80", "/"),
        ("ws://a.b:443", false, "a.b", 443, "a.b:443", "/"),
        ("ws://a.b:0081", false, "a.b", 81, "a.b:81", "/"),
        ("ws://a.b:65535", false, "a.b", 65535, "a.b:65535", "/"),
        ("ws://a?x=1", false, "a", 80, "a", "/?x=1"),
        ("ws://a:1?x/y", false, "a", 1, "a:1", "/?x/y"),
        ("ws://a/b/c?d=/?e", false, "a", 80, "a", "/b/c?d=/?e"),
        ("ws://a//b", false, "a", 80, "a", "//b"),
        ("ws://a/?", false, "a", 80, "a", "/?"),
        ("ws://a/x@y:z", false, "a", 80, "a", "/x@y:z"),
        ("ws://a?u=ws://b@c", false, "a", 80, "a", "/?u=ws://b@c"),
        (
            "ws://127.0.0.1:9001",
            false,
            "127.0.0.1",
            9001,
            "127.0.0.1:9001",
            "/",
        ),
        ("ws://[::1]", false, "::1", 80, "[::1]", "/"),
        ("wss://[::1]:9001/x", true, "::1", 9001, "[::1]:9001", "/x"),
        (
            "ws://[::ffff:1.2.3.4]/",
            false,
            "::ffff:1.2.3.4",
            80,
            "[::ffff:1.2.3.4]",
            "/",
        ),
        (
            "ws://under_score.x",
            false,
            "under_score.x",
            80,
            "under_score.x",
            "/",
        ),
        (
            "ws://xn--bcher-kva.example",
            false,
            "xn--bcher-kva.example",
            80,
            "xn--bcher-kva.example",
            "/",
        ),
        (
            "ws://a/?{}[]|^`'\\%20",
            false,
            "a",
            80,
            "a",
            "/?{}[]|^`'\\%20",
        ),
    ] {
        let parsed = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(
            (
                parsed.is_secure(),
                parsed.host(),
                parsed.port(),
                parsed.host_header(),
                parsed.target()
            ),
            (secure, host, port, header, target),
            "{url}"
        );
    }
}

#[test]
fn scheme_and_host_are_taken_in_any_case_and_the_rest_as_it_is() {
    let url = Url::parse("WsS://EXAMPLE.Com/Chat?Q").unwrap();
    assert!(url.is_secure());
    assert_eq!(url.host_header(), "example.com");
    assert_eq!(url.to_string(), "wss://example.com/Chat?Q");
    assert_eq!("wss://example.com:443/Chat?Q".parse(), Ok(url));
    assert_eq!(
        Url::parse("ws://[2001:DB8::A]").unwrap().host(),
        "2001:db8::a"
    );
}

#[test]
fn an_empty_port_stands_for_the_default() {
    assert_eq!(Url::parse("ws://a:/x").unwrap().to_string(), "ws://a/x");
    assert_eq!(Url::parse("wss://[::1]:").unwrap().port(), 443);
}

#[test]
fn another_scheme_is_refused() {
    for url in [
        "http://a",
        "https://a",
        "wsss://a",
        "w://a",
        "://a",
        "a",
        "/a",
        "",
        "ws:",
        "ws:/a",
        "ws:a",
        "//a",
        "file:///etc/passwd",
        "httpws://a",
        "www.a/?x=ws://b",
    ] {
        refused(url, UrlError::Scheme);
    }
}

#[test]
fn bytes_that_could_break_a_head_are_refused_anywhere() {
    for (url, byte, position) in [
        ("ws://a/\r\nX: y", b'\r', 7),
        ("ws://a/?\n", b'\n', 8),
        ("ws://a\r\n/", b'\r', 6),
        ("ws://a b/", b' ', 6),
        ("ws://a/b c", b' ', 8),
        (" ws://a", b' ', 0),
        ("ws://a\n", b'\n', 6),
        ("ws://a/\0", 0, 7),
        ("ws://a/\t", b'\t', 7),
        ("ws://a/\u{7f}", 0x7f, 7),
        ("ws://b\u{fc}cher/", 0xc3, 6),
        ("ws://a/\u{e9}", 0xc3, 7),
        ("ws://a#\r", b'\r', 7),
        ("w s://a", b' ', 1),
    ] {
        refused(url, UrlError::Byte { byte, position });
    }
}

#[test]
fn a_fragment_is_refused_also_an_empty_one() {
    for url in [
        "ws://a#f",
        "ws://a/#",
        "ws://a/b?c#d",
        "ws://a:1#",
        "ws://#",
    ] {
        refused(url, UrlError::Fragment);
    }
}

#[test]
fn user_info_is_refused_and_not_repeated_in_the_error() {
    for url in [
        "ws://user@a",
        "ws://user:secret@a/",
        "ws://@a",
        "ws://user:@a:1/",
        "ws://a@b@c",
        "ws://user:secret@",
    ] {
        refused(url, UrlError::UserInfo);
        assert!(!UrlError::UserInfo.to_string().contains("secret"));
    }
}

#[test]
fn a_bad_port_is_refused() {
    for port in [
        "0",
        "00",
        "65536",
        "99999999",
        "18446744073709551696",
        "+80",
        "-1",
        "x",
        "80x",
        "80:80",
        ":",
    ] {
        refused(&format!("ws://a:{port}/"), UrlError::Port);
        refused(&format!("ws://[::1]:{port}"), UrlError::Port);
    }
}

#[test]
fn a_missing_or_bad_host_is_refused() {
    for url in ["ws://", "ws:///a", "ws://?a", "ws://:80/"] {
        refused(url, UrlError::EmptyHost);
    }
    for url in [
        "ws://a%20b/",
        "ws://a,b",
        "ws://a\\b",
        "ws://a*",
        "ws://<a>",
        "ws://a|b",
        "ws://a]",
        "ws://a%",
        "ws://x'y",
        "ws://$(a)",
    ] {
        refused(url, UrlError::Host);
    }
}

#[test]
fn a_bad_ipv6_literal_is_refused() {
    for url in [
        "ws://[",
        "ws://[]",
        "ws://[::1",
        "ws://[::g]",
        "ws://[1.2.3.4]",
        "ws://[::1%25eth0]",
        "ws://[fe80::1%eth0]/",
        "ws://[::1]a",
        "ws://[::1]80",
        "ws://[v1.a]",
        "ws://[[::1]]",
        "ws://[:::]",
    ] {
        refused(url, UrlError::Ipv6);
    }
    refused("ws://::1/", UrlError::EmptyHost);
    refused("ws://fe80::1/", UrlError::Port);
}

#[test]
fn characters_that_servers_refuse_in_a_target_are_refused() {
    for url in ["ws://a/\"", "ws://a/<", "ws://a/?>", "ws://a/b\\c"] {
        refused(url, UrlError::Target);
    }
}

#[test]
fn every_error_says_what_to_do() {
    for (error, advice) in [
        (
            UrlError::Byte {
                byte: b' ',
                position: 3,
            },
            "percent-encode it in path and query as %20",
        ),
        (UrlError::Scheme, "ws://"),
        (UrlError::Fragment, "%23"),
        (UrlError::UserInfo, "Authorization"),
        (UrlError::EmptyHost, "ws://example.com/"),
        (UrlError::Host, "brackets"),
        (UrlError::Ipv6, "ws://[::1]:8080/"),
        (UrlError::Port, "leave it out"),
        (UrlError::Target, "%5C"),
    ] {
        let text = error.to_string();
        assert!(text.contains(advice) && text.contains("(RFC "), "{text}");
        assert!(!text.contains("  "), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_a_url_gives_is_accepted_by_a_server_and_says_the_same(
        url in prop_oneof![
            "[ -~\r\n\u{e9}]{0,30}",
            "wss?://[a-zA-Z0-9_.%~:@\\[\\]-]{0,12}(/[ -~]{0,12})?",
            "wss?://[a-z0-9.]{1,12}(:[0-9]{0,6})?[/?][!-~]{0,12}",
            "ws://\\[[0-9a-f:.]{0,12}\\](:[0-9]{0,6})?[/?]?[!-~]{0,12}",
        ],
    ) {
        if let Ok(parsed) = Url::parse(&url) {
            prop_assert!(is_host(parsed.host_header().as_bytes()));
            prop_assert!(is_request_target(parsed.target().as_bytes()));
            prop_assert!(parsed.port() != 0);
            prop_assert_eq!(&Url::parse(&parsed.to_string()).unwrap(), &parsed);

            let head = format!(
                "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n",
                parsed.target(),
                parsed.host_header()
            );
            let mut parser = HeadParser::request(HeadLimits::default());
            prop_assert_eq!(parser.parse(head.as_bytes()), Ok(Some(head.len())));
            let request = parser.request_head(head.as_bytes()).unwrap();
            prop_assert_eq!(request.target, parsed.target());
            prop_assert_eq!(host(request.headers), Ok(parsed.host_header()));
            prop_assert!(Target::parse(request.target).is_ok());

            let absolute = parsed.to_string();
            let target = Target::parse(&absolute).unwrap();
            prop_assert_eq!(target.authority, Some(parsed.host_header()));
        }
    }
}
