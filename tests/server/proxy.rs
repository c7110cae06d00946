//! Who the client is, behind proxies, over real sockets: headers and the PROXY protocol, as
//! guards, pages, limits and statistics see it.

use core::time::Duration;
use std::net::IpAddr;
use std::sync::mpsc::channel;

use harness::handshake::{Answer, Text, plain, upgrade};
use harness::net::{GUARD, Observed, Peer, Probe, Running, config, observing, patient};
use sockeye::server::limits::{Rate, RateLimit, RateLimitAction};
use sockeye::server::observe::HandshakeFailure;
use sockeye::server::proxy::{ForwardedHeader, TrustedProxies};
use sockeye::server::{Builder, HttpResponse, Reject, Request, Server};

/// Who is not let in.
const BANNED: &str = "192.0.2.66";

const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

fn trusted(network: &str) -> TrustedProxies {
    TrustedProxies::new([network]).unwrap()
}

/// `/ip` tells the client's address, and so does each message on `/chat`.
fn serve(change: impl FnOnce(Builder) -> Builder) -> Running {
    let (probe, _) = Probe::new(|socket, _, _| {
        let ip = socket.client_ip().to_string();
        let _ = socket.send(&*ip);
    });
    let guard =
        |request: &Request<'_>| match request.client_ip() == BANNED.parse::<IpAddr>().unwrap() {
            true => Err(Reject::new(403, "not you")),
            false => Ok(()),
        };
    let builder = Server::builder().config(patient()).guard(guard);
    let builder = builder
        .methods("/ip", |it| {
            it.public()
                .get(|request| HttpResponse::text(request.client_ip().to_string()))
        })
        .route("/chat", probe);
    Running::start(change(builder))
}

fn page() -> Text {
    plain("GET /ip HTTP/1.1")
}

/// The answer to these bytes on a connection of its own.
fn answer(server: &Running, bytes: impl AsRef<[u8]>) -> Answer {
    let mut peer = server.connect();
    peer.write(bytes);
    peer.response()
}

fn ip(server: &Running, bytes: impl AsRef<[u8]>) -> String {
    String::from_utf8(answer(server, bytes).body).unwrap()
}

fn status(server: &Running, request: &Text) -> u16 {
    answer(server, request.bytes()).status
}

fn failures(server: &Running, failure: HandshakeFailure) -> u64 {
    server.handle().stats().handshake_failures.count(failure)
}

// ---- headers --------------------------------------------------------------------------------

#[test]
fn a_trusted_proxys_headers_tell_the_client_to_pages_handlers_guards_and_statistics() {
    let server = serve(|it| it.trusted_proxies(trusted("127.0.0.0/8")));
    for (name, value, expected) in [
        ("X-Forwarded-For", "192.0.2.1", "192.0.2.1"),
        ("X-Forwarded-For", "192.0.2.66, 192.0.2.2", "192.0.2.2"),
        ("X-Forwarded-For", "192.0.2.3, 127.0.0.9", "192.0.2.3"),
        ("X-Forwarded-For", "[2001:db8::5]:80", "2001:db8::5"),
        ("X-Forwarded-For", "garbage", "127.0.0.1"),
        // An ordinary proxy doesn't write it: it is the client's own.
        ("Forwarded", "for=192.0.2.4;proto=https", "127.0.0.1"),
    ] {
        assert_eq!(ip(&server, page().add(name, value).bytes()), expected);
        let mut peer = server.connect();
        peer.upgrade(&upgrade().add(name, value));
        assert_eq!(peer.ask("who am I?"), expected);
        assert_eq!(listed(&server), [expected]);
        peer.close();
        // It is listed until its transport is gone.
        while !listed(&server).is_empty() {}
    }
    let banned = upgrade().add("X-Forwarded-For", BANNED);
    assert_eq!(status(&server, &banned), 403);
    assert_eq!(failures(&server, HandshakeFailure::Rejected), 1);
}

#[test]
fn a_client_behind_an_ordinary_proxy_cannot_choose_its_address_by_the_other_header() {
    let both = page()
        .add("Forwarded", format!("for={BANNED}"))
        .add("X-Forwarded-For", "192.0.2.1")
        .bytes();
    for (header, expected) in [
        (None, "192.0.2.1"),
        (Some(ForwardedHeader::XForwardedFor), "192.0.2.1"),
        (Some(ForwardedHeader::Forwarded), BANNED),
        (Some(ForwardedHeader::Either), BANNED),
    ] {
        let proxies = trusted("127.0.0.1");
        let proxies = match header {
            Some(header) => proxies.header(header),
            None => proxies,
        };
        let server = serve(|it| it.trusted_proxies(proxies));
        assert_eq!(ip(&server, &both), expected, "{header:?}");
    }
}

/// The clients of the connections that are open, as the server lists them.
fn listed(server: &Running) -> Vec<String> {
    let (tell, told) = channel();
    let list = move |all: Vec<sockeye::server::observe::ConnectionStats>| drop(tell.send(all));
    server.handle().connections(list).unwrap();
    let lists = told.into_iter();
    lists.flatten().map(|it| it.client_ip.to_string()).collect()
}

#[test]
fn the_headers_of_a_peer_that_is_not_trusted_are_ignored() {
    for change in [
        |it: Builder| it,
        |it: Builder| it.trusted_proxies(trusted("10.0.0.0/8")),
    ] {
        let server = serve(change);
        for name in ["X-Forwarded-For", "Forwarded"] {
            let forged = match name {
                "Forwarded" => format!("for={BANNED}"),
                _ => BANNED.into(),
            };
            assert_eq!(ip(&server, page().add(name, &forged).bytes()), "127.0.0.1");
            let mut peer = server.connect();
            peer.upgrade(&upgrade().add(name, &forged));
            assert_eq!(peer.ask("who am I?"), "127.0.0.1");
        }
    }
}

#[test]
fn limits_by_address_count_the_client_and_not_its_proxy() {
    let one = RateLimit {
        messages: Some(Rate::per_hour(1).burst(2)),
        action: RateLimitAction::Reply("enough".into()),
        ..RateLimit::default()
    };
    let server = serve(|it| {
        it.trusted_proxies(trusted("127.0.0.1"))
            .max_connections_per_address(2)
            .rate_limit_by_address(one)
    });
    let from = |address: &str| upgrade().add("X-Forwarded-For", address);
    let open = |address: &str| {
        let mut peer = server.connect();
        peer.upgrade(&from(address));
        peer
    };
    let mut first = [open("192.0.2.1"), open("192.0.2.1")];
    let mut second = open("192.0.2.2");
    assert_eq!(status(&server, &from("192.0.2.1")), 429);
    for peer in &mut first {
        assert_eq!(peer.ask(""), "192.0.2.1");
    }
    assert_eq!(first[0].ask(""), "enough");
    assert_eq!(second.ask(""), "192.0.2.2");
}

// ---- the PROXY protocol ---------------------------------------------------------------------

fn v1(source: &str) -> Vec<u8> {
    format!("PROXY TCP4 {source} 192.0.2.250 4711 80\r\n").into()
}

fn v2(source: [u8; 4]) -> Vec<u8> {
    let head = [&V2_SIGNATURE[..], &[0x21, 0x11, 0, 12]].concat();
    [&head[..], &source, &[192, 0, 2, 250, 0x12, 0x67, 0, 80]].concat()
}

/// A connection's own, as a proxy's health check.
fn v2_local() -> Vec<u8> {
    [&V2_SIGNATURE[..], &[0x20, 0, 0, 0]].concat()
}

fn proxied() -> Running {
    serve(|it| it.proxy_protocol(trusted("127.0.0.1")))
}

#[test]
fn a_proxy_header_of_either_version_tells_the_client_to_pages_handlers_and_guards() {
    let server = proxied();
    let v6 = b"PROXY TCP6 2001:db8::5 2001:db8::6 4711 80\r\n".to_vec();
    for (header, expected) in [
        (v1("192.0.2.1"), "192.0.2.1"),
        (v2([192, 0, 2, 2]), "192.0.2.2"),
        (v6, "2001:db8::5"),
        (v2_local(), "127.0.0.1"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
    ] {
        let request = [&header[..], &page().bytes()].concat();
        assert_eq!(ip(&server, &request), expected);
        let mut peer = server.connect();
        for byte in &header {
            peer.write([*byte]);
        }
        peer.upgrade(&upgrade());
        assert_eq!(peer.ask("who am I?"), expected);
    }
    let banned = [v1(BANNED), upgrade().bytes()].concat();
    assert_eq!(answer(&server, banned).status, 403);
    // It comes before a connection's first request, not before each.
    let mut peer = server.connect();
    peer.write([v1("192.0.2.1"), page().bytes(), page().bytes()].concat());
    assert_eq!(peer.response().body, b"192.0.2.1");
    assert_eq!(peer.response().body, b"192.0.2.1");
}

#[test]
fn a_malformed_proxy_header_ends_the_connection_without_an_answer() {
    let server = proxied();
    let mut v2_command = v2([192, 0, 2, 2]);
    v2_command[12] = 0x2F;
    let bad = [
        page().bytes(),
        upgrade().bytes(),
        b"PROXY TCP4 192.0.2.1 192.0.2.250 4711\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.999 192.0.2.250 4711 80\r\n".to_vec(),
        b"PROXY ".repeat(30),
        v2_command,
    ];
    let count = bad.len() as u64;
    for bytes in bad {
        let mut peer = server.connect();
        peer.write(&bytes);
        let mut rest = Vec::new();
        // A reset destroys nothing here: there is nothing to be told.
        let _ = std::io::Read::read_to_end(peer.stream(), &mut rest);
        assert_eq!(rest, b"", "{}", bytes.escape_ascii());
    }
    assert_eq!(failures(&server, HandshakeFailure::Proxy), count);
}

#[test]
fn a_proxy_header_that_never_comes_or_never_ends_is_ended_at_the_handshakes_deadline() {
    let short = config(|it| it.handshake_timeout = Duration::from_millis(300));
    let (observer, told) = observing();
    let server = serve(|it| {
        it.config(short)
            .observer(observer)
            .proxy_protocol(trusted("127.0.0.1"))
    });
    let mut silent: Peer = server.connect();
    silent.expect_end();
    assert_eq!(server.handle().stats().connections_unused, 1);
    for bytes in [&b"PROXY TCP4 192.0.2.1"[..], &V2_SIGNATURE[..]] {
        let mut peer: Peer = server.connect();
        peer.write(bytes);
        peer.expect_end();
        let failed = told.recv_timeout(GUARD).unwrap();
        let timeout = HandshakeFailure::Timeout;
        assert!(
            matches!(failed, Observed::Failed(_, it) if it == timeout),
            "{failed:?}"
        );
    }
}

#[test]
fn a_proxy_header_of_a_peer_that_is_no_proxy_is_a_malformed_request() {
    let server = serve(|it| it.proxy_protocol(trusted("10.0.0.0/8")));
    let request = [v1("192.0.2.1"), page().bytes()].concat();
    assert_eq!(answer(&server, request).status, 400);
    assert_eq!(ip(&server, page().bytes()), "127.0.0.1");
}
