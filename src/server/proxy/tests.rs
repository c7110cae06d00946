use alloc::format;
use alloc::string::String;

use super::*;
use crate::proto::http::{HeadLimits, HeadParser, parse_request};
use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The client of a request from `peer` with these header lines; 10.0.0.0/8 and 2001:db8:7::/48
/// are trusted.
fn client_with(header: ForwardedHeader, peer: &str, lines: &[&str]) -> IpAddr {
    let proxies = TrustedProxies::new(["10.0.0.0/8", "2001:db8:7::/48"])
        .unwrap()
        .header(header);
    let head = format!(
        "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n\r\n",
        lines.join("\r\n")
    );
    let mut parser = HeadParser::request(HeadLimits::default());
    let (head, _) = parse_request(&mut parser, head.as_bytes())
        .unwrap()
        .unwrap();
    proxies.client_ip(ip(peer), head.headers)
}

fn client(lines: &[&str]) -> IpAddr {
    client_with(ForwardedHeader::Either, "10.0.0.1", lines)
}

#[test]
fn headers_of_a_peer_that_is_not_trusted_are_ignored() {
    let lines = ["X-Forwarded-For: 192.0.2.9", "Forwarded: for=192.0.2.8"];
    for peer in ["192.0.2.1", "11.0.0.1", "::ffff:192.0.2.1"] {
        let client = client_with(ForwardedHeader::Either, peer, &lines);
        assert_eq!(client, ip(peer).to_canonical());
    }
}

#[test]
fn the_client_is_the_first_address_from_the_right_that_is_not_trusted() {
    for (lines, expected) in [
        (&["X-Forwarded-For: 192.0.2.9"][..], "192.0.2.9"),
        (&["X-Forwarded-For: 1.1.1.1, 192.0.2.9"], "192.0.2.9"),
        (
            &["X-Forwarded-For: 1.1.1.1,192.0.2.9 ,\t10.0.0.2"],
            "192.0.2.9",
        ),
        (&["X-Forwarded-For: 10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (
            &["X-Forwarded-For: 1.1.1.1", "x-forwarded-for: 10.0.0.2"],
            "1.1.1.1",
        ),
        (
            &["X-Forwarded-For: 1.1.1.1", "x-forwarded-for: 2.2.2.2"],
            "2.2.2.2",
        ),
        (&["X-Forwarded-For: , 1.1.1.1,,"], "1.1.1.1"),
        (&["X-Forwarded-For: 192.0.2.9:4711"], "192.0.2.9"),
        (&["X-Forwarded-For: 2001:db8::9"], "2001:db8::9"),
        (&["X-Forwarded-For: [2001:db8::9]:4711"], "2001:db8::9"),
        (&["X-Forwarded-For: 1.1.1.1, 2001:db8:7::1"], "1.1.1.1"),
        (&["X-Forwarded-For: ::ffff:192.0.2.9"], "192.0.2.9"),
        (&["X-Forwarded-For: 1.1.1.1, ::ffff:10.0.0.2"], "1.1.1.1"),
        (&["Forwarded: for=192.0.2.9"], "192.0.2.9"),
        (&["Forwarded: for=1.1.1.1, for=192.0.2.9"], "192.0.2.9"),
        (
            &["Forwarded: For=\"192.0.2.9:80\";proto=http;by=10.0.0.1"],
            "192.0.2.9",
        ),
        (
            &["Forwarded: by=\"a,b;for=1.1.1.1\"; FOR=192.0.2.9"],
            "192.0.2.9",
        ),
        (&["Forwarded: for=\"[2001:db8::1]:4711\""], "2001:db8::1"),
        (&["Forwarded: for=\"[2001:db8::1]:_port\""], "2001:db8::1"),
        (
            &["Forwarded: for=\"[2001:db8::1]\", for=10.0.0.2,"],
            "2001:db8::1",
        ),
        (&["Forwarded: for=\"192.\\0.2.9\""], "192.0.2.9"),
        (
            &["Forwarded: for=1.1.1.1", "Forwarded: for=10.0.0.2"],
            "1.1.1.1",
        ),
        (&["Forwarded: for=1.1.1.1;host=\"a\\\",b\""], "1.1.1.1"),
        (&[""], "10.0.0.1"),
    ] {
        let lines: Vec<_> = lines.iter().copied().filter(|it| !it.is_empty()).collect();
        assert_eq!(client_or_none(&lines), ip(expected), "{lines:?}");
    }
}

fn client_or_none(lines: &[&str]) -> IpAddr {
    match lines {
        [] => client(&["Accept: x"]),
        lines => client(lines),
    }
}

#[test]
fn where_the_walk_ends_early_the_last_trusted_proxy_answers_for_it() {
    for (line, expected) in [
        ("X-Forwarded-For: unknown", "10.0.0.1"),
        ("X-Forwarded-For: 1.1.1.1, garbage, 10.0.0.2", "10.0.0.2"),
        ("X-Forwarded-For: 192.0.2.09", "10.0.0.1"),
        ("X-Forwarded-For: 192.0.2.9:", "10.0.0.1"),
        ("X-Forwarded-For: 192.0.2.9:65536", "10.0.0.1"),
        ("X-Forwarded-For: 192.0.2.9:+1", "10.0.0.1"),
        ("X-Forwarded-For: [2001:db8::9", "10.0.0.1"),
        ("X-Forwarded-For: [2001:db8::9]4711", "10.0.0.1"),
        ("X-Forwarded-For: \u{e9}", "10.0.0.1"),
        ("X-Forwarded-For:", "10.0.0.1"),
        ("Forwarded: for=unknown", "10.0.0.1"),
        (
            "Forwarded: for=1.1.1.1, for=_hidden, for=10.0.0.2",
            "10.0.0.2",
        ),
        ("Forwarded: for=1.1.1.1, proto=https", "10.0.0.1"),
        ("Forwarded: for=192.0.2.9:80", "10.0.0.1"),
        ("Forwarded: for=2001:db8::1", "10.0.0.1"),
        ("Forwarded: for=\"2001:db8::1\"", "10.0.0.1"),
        ("Forwarded: for=192.0.2.9;for=192.0.2.9", "10.0.0.1"),
        ("Forwarded: for=\"192.0.2.9", "10.0.0.1"),
        ("Forwarded: for=192.0.2.9\"", "10.0.0.1"),
        ("Forwarded: for=\"192.0.2.9\"x", "10.0.0.1"),
        ("Forwarded: for = 192.0.2.9", "10.0.0.1"),
        ("Forwarded: for=", "10.0.0.1"),
        ("Forwarded: garbage", "10.0.0.1"),
        ("Forwarded: ;", "10.0.0.1"),
    ] {
        assert_eq!(client(&[line]), ip(expected), "{line}");
    }
}

#[test]
fn what_a_client_sends_changes_nothing_of_what_proxies_append() {
    for start in [
        "for=\"",
        "for=\"\\",
        "\\",
        "\"\"\"",
        "for=\"1.1.1.1",
        ",,;;",
        "=",
        "\\\"",
    ] {
        let line = format!("Forwarded: {start}, for=\"[2001:db8::1]:80\", for=10.0.0.2");
        assert_eq!(client(&[&line]), ip("2001:db8::1"), "{line}");
        let line = format!("X-Forwarded-For: {start}, 2001:db8::1, 10.0.0.2");
        assert_eq!(client(&[&line]), ip("2001:db8::1"), "{line}");
    }
}

#[test]
fn one_header_is_believed_and_forwarded_only_where_it_is_opted_into() {
    // As from a proxy that sets one header and passes on the client's own other.
    let lines = ["X-Forwarded-For: 1.1.1.1", "Forwarded: for=2.2.2.2"];
    for (header, expected) in [
        (ForwardedHeader::default(), "1.1.1.1"),
        (ForwardedHeader::XForwardedFor, "1.1.1.1"),
        (ForwardedHeader::Forwarded, "2.2.2.2"),
        (ForwardedHeader::Either, "2.2.2.2"),
    ] {
        assert_eq!(client_with(header, "10.0.0.1", &lines), ip(expected));
    }
    let forged = client_with(ForwardedHeader::default(), "10.0.0.1", &lines[1..]);
    assert_eq!(forged, ip("10.0.0.1"));
    let only = &lines[..1];
    assert_eq!(
        client_with(ForwardedHeader::Forwarded, "10.0.0.1", only),
        ip("10.0.0.1")
    );
}

#[test]
fn networks_hold_what_they_say() {
    let proxies = TrustedProxies::new([
        "192.0.2.1",
        "10.0.0.0/8",
        "198.51.100.128/25",
        "2001:db8::/33",
        "::1",
        "::ffff:203.0.113.0/120",
    ])
    .unwrap();
    for (address, trusted) in [
        ("192.0.2.1", true),
        ("192.0.2.2", false),
        ("10.255.255.255", true),
        ("11.0.0.0", false),
        ("198.51.100.127", false),
        ("198.51.100.128", true),
        ("2001:db8:7fff::1", true),
        ("2001:db8:8000::1", false),
        ("::1", true),
        ("::a00:1", false),
        ("::ffff:10.0.0.1", true),
        ("203.0.113.200", true),
    ] {
        assert_eq!(proxies.contains(ip(address)), trusted, "{address}");
    }
    assert!(!TrustedProxies::default().contains(ip("127.0.0.1")));
    let all = TrustedProxies::new(["0.0.0.0/0", "::/0"]).unwrap();
    assert!(all.contains(ip("255.1.2.3")) && all.contains(ip("ffff::")));
}

#[test]
fn what_is_no_network_is_refused_by_name() {
    for text in [
        "",
        "/",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "10.0.0.0/+8",
        "10.0.0.0/08",
        "10/8",
        "::/129",
        "::1/64",
        "::ffff:10.0.0.0/95",
        "example.com",
        "10.0.0.0/8 ",
        "10.0.0.0/8/8",
    ] {
        let error = TrustedProxies::new([text]).unwrap_err();
        assert_eq!(&*error.0, text);
    }
}

proptest! {
    /// The appended element is read, whatever precedes it.
    #[test]
    fn an_appended_element_is_read_behind_anything(
        start in "[ -~]{0,40}", quoted in any::<bool>(), x in any::<bool>(),
    ) {
        let line = match (x, quoted) {
            (true, _) => format!("X-Forwarded-For: {start}, 192.0.2.9"),
            (false, false) => format!("Forwarded: {start}, for=192.0.2.9"),
            (false, true) => format!("Forwarded: {start}, for=\"192.0.2.9:80\""),
        };
        prop_assert_eq!(client(&[&line]), ip("192.0.2.9"));
    }

    #[test]
    fn no_value_panics_or_takes_long(value in "[for=\",;\\\\0-9.:\\[\\] _]{0,200}") {
        let line: String = format!("Forwarded: {value}");
        client(&[&line]);
        client(&[&line.replace("Forwarded", "X-Forwarded-For")]);
    }
}
