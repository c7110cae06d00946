//! What observers are told of connections that did not come to open, and which are none of these:
//! health checks.

use core::time::Duration;
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, channel};

use harness::handshake::upgrade;
use harness::net::{GUARD, Peer, Probe, Running, config, patient};
use sockeye::server::observe::{FailedHandshake, HandshakeFailure, Observer};
use sockeye::server::proxy::TrustedProxies;
use sockeye::server::{Builder, HttpResponse, Reject, Request, Server};

/// A failure as it was told.
#[derive(Debug, PartialEq)]
struct Failed {
    cause: HandshakeFailure,
    path: Option<String>,
    origin: Option<String>,
    client_ip: String,
    reason: String,
}

struct Tells(Sender<Failed>);

impl Observer for Tells {
    fn handshake_failed(&self, failure: &FailedHandshake<'_>) {
        let _ = self.0.send(Failed {
            cause: failure.cause,
            path: failure.path.map(Into::into),
            origin: failure.origin.map(Into::into),
            client_ip: failure.client_ip.to_string(),
            reason: failure.reason.to_string(),
        });
    }
}

fn serve(change: impl FnOnce(Builder) -> Builder) -> (Running, Receiver<Failed>) {
    let (tell, told) = channel();
    let guard = |request: &Request<'_>| match request.header("x-banned") {
        Some("json") => Err(HttpResponse::json("{\"no\":1}").with_status(403).into()),
        Some(_) => Err(Reject::new(403, "not you")),
        None => Ok(()),
    };
    let builder = Server::builder()
        .workers(NonZeroUsize::MIN)
        .config(patient())
        .observer(Tells(tell))
        .guard(guard)
        .route("/chat", Probe::echo().0);
    (Running::start(change(builder)), told)
}

fn proxy() -> TrustedProxies {
    TrustedProxies::new(["127.0.0.1"]).unwrap()
}

fn next(told: &Receiver<Failed>) -> Failed {
    told.recv_timeout(GUARD).expect("it is told")
}

#[test]
fn a_failure_is_told_with_path_origin_client_and_the_whole_reason() {
    let (server, told) = serve(|it| it.trusted_proxies(proxy()));
    let request = upgrade()
        .target("/nowhere?token=secret")
        .add("Origin", "https://example.com")
        .add("X-Forwarded-For", "192.0.2.7");
    let banned = request.clone().target("/chat").add("X-Banned", "1");
    let json = request.clone().target("/chat").add("X-Banned", "json");
    let no_key = request.clone().without("Sec-WebSocket-Key");
    use HandshakeFailure::{Key, NotFound, Rejected};
    for (request, cause, path, reason) in [
        (
            request,
            NotFound,
            "/nowhere",
            "404: no WebSocket endpoint has this path",
        ),
        (banned, Rejected, "/chat", "403: not you"),
        (json, Rejected, "/chat", "403"),
        (
            no_key,
            Key,
            "/nowhere",
            "Sec-WebSocket-Key is missing (RFC 6455 section 4.2.1)",
        ),
    ] {
        let mut peer = server.connect();
        peer.write(request.bytes());
        peer.response();
        let expected = Failed {
            cause,
            path: Some(path.into()),
            origin: Some("https://example.com".into()),
            client_ip: "192.0.2.7".into(),
            reason: reason.into(),
        };
        assert_eq!(next(&told), expected);
    }
}

#[test]
fn of_a_head_that_is_none_what_came_before_is_told() {
    let short = config(|it| it.handshake_timeout = Duration::from_millis(200));
    let (server, told) = serve(|it| it.config(short).trusted_proxies(proxy()));
    let start = "GET /chat?x HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\n";
    let forged = format!("{start}X-Forwarded-For: 192.0.2.7\r\n");
    let long = format!("{start}X: {}", "x".repeat(20_000));
    use HandshakeFailure::{Eof, Malformed, Timeout, TooLarge};
    for (bytes, ends, cause, known) in [
        (format!("{forged}no colon\r\n\r\n"), false, Malformed, 2),
        (long, false, TooLarge, 2),
        (forged, true, Eof, 2),
        (start.into(), false, Timeout, 2),
        ("GET /chat HTTP/1.1\r\nHost".into(), true, Eof, 1),
        ("GET /ch".into(), true, Eof, 0),
        ("\u{1}".into(), false, Malformed, 0),
    ] {
        for pieces in [1, 2] {
            let mut peer = server.connect();
            let (one, two) = bytes.split_at(bytes.len() * (pieces - 1) / 2);
            peer.write(one);
            peer.write(two);
            if ends {
                peer.shut_write();
            }
            peer.expect_end();
            let failed = next(&told);
            assert_eq!(failed.cause, cause, "{failed:?}");
            let path = (known > 0).then(|| "/chat".to_string());
            let origin = (known > 1).then(|| "https://a.example".to_string());
            assert_eq!(
                (&failed.path, &failed.origin),
                (&path, &origin),
                "{failed:?}"
            );
            // A header of a part may not be the one that counts.
            assert_eq!(failed.client_ip, "127.0.0.1");
            assert!(failed.reason.len() > 10, "{failed:?}");
        }
    }
}

#[test]
fn a_connection_too_many_is_told_with_what_is_known() {
    let (server, told) = serve(|it| it.max_connections(1));
    let peer = server.open();
    server.connect().expect_end();
    let expected = Failed {
        cause: HandshakeFailure::TooManyConnections,
        path: None,
        origin: None,
        client_ip: "127.0.0.1".into(),
        reason: "max_connections is reached".into(),
    };
    assert_eq!(next(&told), expected);
    drop(peer);
}

// ---- health checks --------------------------------------------------------------------------

/// Connects, sends these bytes and ends, in order or by a reset.
fn look(server: &Running, bytes: &[u8], reset: bool) {
    let mut peer = Peer::new(TcpStream::connect(server.address).unwrap());
    peer.write(bytes);
    if reset {
        let linger = Some(Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(peer.stream(), linger).unwrap();
    }
    drop(peer);
}

#[test]
fn a_bare_health_check_is_no_failed_handshake() {
    let (server, told) = serve(|it| it);
    for reset in [false, true] {
        for _ in 0..20 {
            look(&server, b"", reset);
        }
    }
    settled(&server);
    assert_eq!(server.handle().stats().handshake_failures.sum(), 0);
    assert_eq!(server.handle().stats().connections_unused, 40);
    assert_eq!(told.try_iter().count(), 0);
    // With a byte it is one.
    for reset in [false, true] {
        look(&server, b"G", reset);
        next(&told);
    }
    assert_eq!(server.handle().stats().handshake_failures.sum(), 2);
}

/// The one worker has looked at all that came before: it has answered, and once more.
fn settled(server: &Running) {
    server.open().close();
}

#[test]
fn a_health_check_with_a_proxy_header_is_no_failed_handshake() {
    let (server, told) = serve(|it| it.proxy_protocol(proxy()));
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let unknown = b"PROXY UNKNOWN\r\n";
    let tcp4 = b"PROXY TCP4 192.0.2.1 192.0.2.250 4711 80\r\n";
    for header in [&b""[..], local, unknown, tcp4] {
        for reset in [false, true] {
            look(&server, header, reset);
        }
    }
    let mut peer = server.connect();
    peer.write(tcp4);
    peer.upgrade(&upgrade());
    peer.close();
    assert_eq!(server.handle().stats().handshake_failures.sum(), 0);
    assert_eq!(told.try_iter().count(), 0);
    // A header that is cut, and a byte behind one, are.
    for bytes in [&tcp4[..20], &[&tcp4[..], b"G"].concat()] {
        look(&server, bytes, false);
        assert_eq!(next(&told).cause, HandshakeFailure::Eof);
    }
}

#[cfg(feature = "tls")]
#[test]
fn a_bare_health_check_of_a_tls_port_is_no_failed_handshake() {
    let authority = harness::tls::Authority::default();
    for proxied in [false, true] {
        let tls = harness::tls::server(&authority.issue("localhost"));
        let (server, told) = serve(|it| match proxied {
            true => it.tls(tls).proxy_protocol(proxy()),
            false => it.tls(tls),
        });
        let header: &[u8] = match proxied {
            true => b"PROXY UNKNOWN\r\n",
            false => b"",
        };
        for reset in [false, true] {
            look(&server, header, reset);
        }
        // The next that is told is this one, of whose ClientHello there is a byte.
        look(&server, &[header, b"\x16"].concat(), false);
        assert_eq!(next(&told).cause, HandshakeFailure::Eof);
        look(&server, &[header, b"GET /"].concat(), false);
        assert_eq!(next(&told).cause, HandshakeFailure::Tls);
        assert_eq!(server.handle().stats().handshake_failures.sum(), 2);
    }
}

#[test]
fn a_peer_that_sends_part_of_a_head_until_the_deadline_has_failed() {
    let short = config(|it| it.handshake_timeout = Duration::from_millis(100));
    let (server, told) = serve(|it| it.config(short));
    // One that sends nothing is told apart.
    let mut silent = server.connect();
    silent.expect_end();
    assert_eq!(server.handle().stats().connections_unused, 1);
    let mut slow = server.connect();
    slow.write("GET /chat");
    slow.expect_end();
    assert_eq!(next(&told).cause, HandshakeFailure::Timeout);
    assert_eq!(server.handle().stats().handshake_failures.sum(), 1);
}
