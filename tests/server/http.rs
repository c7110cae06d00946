//! The server as HTTP sees it, over real sockets: docs/cases.md H2a, H11, H12, H13, H16, H21, H23,
//! the deadline of the opening handshake (D1), pages and what is refused.

use core::time::Duration;

use harness::handshake::{Answer, plain, upgrade};
use harness::net::{
    How, Peer, Probe, Running, Told, Watch, config, masked_frame, patient, serve, serve_with,
};
use harness::sansio::{BINARY, CLOSE, PING, PONG, TEXT, close_payload};
use sockeye::proto::Origins;
use sockeye::server::{Reject, Server};

/// A page on `/`, a WebSocket route and a page on `/both`, a WebSocket route on `/chat`.
fn site() -> (Running, Watch) {
    serve_with(
        |it| {
            it.config(patient())
                .page("/", "text/html", "<p>hello")
                .page("/both", "text/plain", "a page")
                .route("/both", Probe::echo().0)
        },
        Probe::echo(),
    )
}

/// Sends one request; the answer must be the last thing on its connection.
fn ask_once(server: &Running, request: impl AsRef<[u8]>) -> Answer {
    let mut peer = server.connect();
    peer.write(request);
    let answer = peer.response();
    assert!(answer.has_token("Connection", "close"), "{answer:?}");
    peer.expect_eof();
    answer
}

/// Sends one request; the connection must then serve another.
fn ask(server: &Running, request: impl AsRef<[u8]>) -> Answer {
    let mut peer = server.connect();
    peer.write(request);
    let answer = peer.response();
    peer.write(plain("GET / HTTP/1.1").bytes());
    assert_eq!(peer.response().status, 200, "kept alive");
    answer
}

#[test]
fn a_page_is_served_again_and_again_on_one_connection() {
    let (server, _) = site();
    let mut peer = server.connect();
    for _ in 0..3 {
        peer.write(plain("GET /?q=1 HTTP/1.1").bytes());
        let answer = peer.response();
        assert_eq!((answer.status, &*answer.body), (200, &b"<p>hello"[..]));
        assert_eq!(answer.header("Content-Type"), Some("text/html"));
        assert!(answer.has_token("Connection", "keep-alive"));
    }
    // Two in one segment are answered in order.
    let both = [
        plain("GET /both HTTP/1.1").bytes(),
        plain("GET /none HTTP/1.1").bytes(),
    ];
    peer.write(both.concat());
    assert_eq!(peer.response().body, b"a page");
    assert_eq!(peer.response().status, 404);
}

#[test]
fn a_connection_that_served_pages_can_be_upgraded() {
    let (server, _) = site();
    let mut peer = server.connect();
    peer.write(plain("GET / HTTP/1.1").bytes());
    peer.response();
    peer.upgrade(&upgrade().target("/both"));
    peer.send(TEXT, "hello");
    peer.expect(TEXT, "hello");
}

#[test]
fn head_has_the_length_of_the_body_and_no_body() {
    let (server, _) = site();
    let mut peer = server.connect();
    peer.write(plain("HEAD / HTTP/1.1").bytes());
    let answer = Answer::read(&peer.head());
    assert_eq!(
        (answer.status, answer.header("Content-Length")),
        (200, Some("8"))
    );
    // No body is between: what comes next is the next head.
    peer.write(plain("GET / HTTP/1.1").bytes());
    assert_eq!(peer.response().body, b"<p>hello");
}

#[test]
fn what_is_not_there_is_404_also_for_an_upgrade() {
    let (server, _) = site();
    assert_eq!(
        ask(&server, plain("GET /none HTTP/1.1").bytes()).status,
        404
    );
    let request = upgrade().target("/none");
    assert_eq!(ask_once(&server, request.bytes()).status, 404);
    // A page is no WebSocket route.
    let request = upgrade().target("/");
    assert_eq!(ask_once(&server, request.bytes()).status, 404);
}

#[test]
fn another_method_on_a_page_is_405_with_allow() {
    let (server, _) = site();
    let answer = ask(&server, plain("DELETE / HTTP/1.1").bytes());
    assert_eq!(
        (answer.status, answer.header("Allow")),
        (405, Some("GET, HEAD, OPTIONS"))
    );
    // The body of a request that nobody handles is not read, so the connection ends.
    let post = plain("POST / HTTP/1.1")
        .add("Content-Length", "5")
        .behind("hello");
    assert_eq!(ask_once(&server, post.bytes()).status, 405);
}

#[test]
fn a_plain_request_to_a_websocket_route_is_426() {
    let (server, _) = site();
    let answer = ask(&server, plain("GET /chat HTTP/1.1").bytes());
    assert_eq!(answer.status, 426);
    assert_eq!(answer.header("Sec-WebSocket-Version"), Some("13"));
    assert!(answer.has_token("Upgrade", "websocket"));
}

/// H2a.
#[test]
fn an_upgrade_in_http_1_0_is_a_plain_request() {
    let (server, watch) = site();
    for request in [
        upgrade().start("GET / HTTP/1.0"),
        upgrade().start("GET / HTTP/1.0").without("Host"),
    ] {
        let answer = ask_once(&server, request.bytes());
        assert_eq!((answer.status, &*answer.body), (200, &b"<p>hello"[..]));
    }
    let request = upgrade().start("GET /chat HTTP/1.0");
    assert_eq!(ask_once(&server, request.bytes()).status, 426);
    drop(server);
    assert_eq!(watch.rest(), []);
}

#[test]
fn a_malformed_request_is_400_and_closes() {
    let (server, _) = site();
    for request in [
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00",
    ] {
        let answer = ask_once(&server, request);
        assert_eq!(answer.status, 400, "{request:?}");
        assert!(!answer.body.is_empty(), "it says why");
    }
    let no_key = upgrade().without("Sec-WebSocket-Key");
    assert_eq!(ask_once(&server, no_key.bytes()).status, 400);
}

/// H16.
#[test]
fn a_head_over_its_limit_is_431() {
    let (server, _) = site();
    let long = plain("GET / HTTP/1.1").add("X", "x".repeat(1024 * 1024));
    assert_eq!(ask_once(&server, long.bytes()).status, 431);
    let many = (0..101).fold(plain("GET / HTTP/1.1"), |it, _| it.add("X", "x"));
    assert_eq!(ask_once(&server, many.bytes()).status, 431);
}

/// H21.
#[test]
fn only_the_allowed_origins_connect() {
    let origins = Origins::only(["https://example.com"]);
    let (server, _) = serve_with(|it| it.config(patient()).origins(origins), Probe::echo());
    for origin in ["https://example.com.evil", "http://example.com", "null"] {
        let request = upgrade().add("Origin", origin);
        assert_eq!(ask_once(&server, request.bytes()).status, 403, "{origin}");
    }
    server
        .connect()
        .upgrade(&upgrade().add("Origin", "https://example.com"));
    server.connect().upgrade(&upgrade());
}

#[test]
fn the_application_sees_path_and_query_and_may_refuse() {
    let (probe, _watch) = Probe::echo();
    let (tell, seen) = std::sync::mpsc::channel();
    let server =
        Server::builder()
            .config(patient())
            .route_with("/rooms/{room}", probe, move |request| {
                let query = request.query_param("name").map(|it| it.into_owned());
                tell.send((request.path().to_owned(), query.clone()))
                    .unwrap();
                match query {
                    Some(_) => Ok(()),
                    None => Err(Reject::new(401, "who are you?")),
                }
            });
    let server = Running::start(server);
    let answer = ask_once(&server, upgrade().target("/rooms/7").bytes());
    assert_eq!((answer.status, &*answer.body), (401, &b"who are you?"[..]));
    server
        .connect()
        .upgrade(&upgrade().target("/rooms/a%20b?x&name=J+D"));
    let seen: Vec<_> = seen.try_iter().collect();
    let expected = [("/rooms/7", None), ("/rooms/a%20b", Some("J D"))]
        .map(|(path, name)| (path.to_owned(), name.map(str::to_owned)));
    assert_eq!(seen, expected);
}

#[test]
fn a_status_that_cant_be_sent_becomes_500() {
    let builder = Server::builder().route_with("/chat", Probe::echo().0, |_| {
        Err(Reject::new(101, "switching"))
    });
    let server = Running::start(builder.config(patient()));
    assert_eq!(ask_once(&server, upgrade().bytes()).status, 500);
}

#[test]
fn the_first_offered_subprotocol_that_is_spoken_is_chosen() {
    let (probe, watch) = Probe::new(|socket, _, told| {
        let name = socket.subprotocol().unwrap_or("none").to_owned();
        told.send(Told::Note(name)).unwrap();
    });
    let (server, watch) = serve_with(|it| it.subprotocols(["v1", "v2"]), (probe, watch));
    for (offer, chosen) in [("v3, v2, v1", Some("v2")), ("v3", None)] {
        let mut peer = server.connect();
        peer.write(upgrade().add("Sec-WebSocket-Protocol", offer).bytes());
        let answer = Answer::read(&peer.head());
        assert_eq!(answer.header("Sec-WebSocket-Protocol"), chosen);
        peer.send(TEXT, "");
        assert_eq!(watch.next(), Told::Open);
        assert_eq!(watch.next(), Told::Message(Vec::new()));
        assert_eq!(watch.next(), Told::Note(chosen.unwrap_or("none").into()));
        peer.send(CLOSE, "");
        watch.close();
    }
}

/// H11.
#[test]
fn a_second_request_behind_an_upgrade_is_read_as_frames() {
    let (server, watch) = site();
    let mut peer = server.connect();
    let request = upgrade().behind(plain("GET / HTTP/1.1").bytes());
    peer.upgrade(&request);
    peer.expect_close(1002);
    peer.expect_eof();
    assert_eq!(watch.next(), Told::Open);
    assert_eq!(watch.close(), (1002, How::Failed));
}

/// H12.
#[test]
fn frames_in_the_segment_of_the_upgrade_are_delivered_wherever_it_is_cut() {
    let (server, _) = site();
    let frames = [
        masked_frame(true, TEXT, b"first"),
        masked_frame(true, PING, b"p"),
        masked_frame(true, BINARY, &[7; 300]),
    ]
    .concat();
    for cut in 0..=frames.len() {
        let mut peer = server.connect();
        let (with, later) = frames.split_at(cut);
        peer.upgrade(&upgrade().behind(with));
        peer.write(later);
        peer.expect(TEXT, "first");
        peer.expect(PONG, "p");
        peer.expect(BINARY, [7; 300]);
        peer.send(CLOSE, "");
        peer.expect(CLOSE, "");
        peer.expect_eof();
    }
}

/// H12, H18.
#[test]
fn an_upgrade_and_a_frame_in_one_byte_segments_are_served() {
    let (server, _) = site();
    let mut peer = server.connect();
    for byte in upgrade().behind(masked_frame(true, TEXT, b"hello")).bytes() {
        peer.write([byte]);
    }
    peer.head();
    peer.expect(TEXT, "hello");
}

/// H13.
#[test]
fn frames_behind_a_refused_upgrade_get_no_second_answer() {
    let (server, watch) = site();
    let frames = masked_frame(true, TEXT, &[b'a'; 200_000]);
    let request = upgrade().set("Sec-WebSocket-Version", "8").behind(frames);
    assert_eq!(ask_once(&server, request.bytes()).status, 426);
    drop(server);
    assert_eq!(watch.rest(), []);
}

/// H23.
#[test]
fn a_peer_that_goes_before_its_101_was_never_open() {
    let (server, watch) = site();
    let request = upgrade().bytes();
    // Half a head and the end; a whole request would race with its end.
    for length in [0, 1, request.len() / 2, request.len() - 1] {
        let mut peer = server.connect();
        peer.write(&request[..length]);
        peer.shut_write();
        peer.expect_eof();
    }
    // The others are served.
    let mut peer = server.open();
    peer.send(TEXT, "hello");
    peer.expect(TEXT, "hello");
    drop(peer);
    drop(server);
    let told = watch.rest();
    assert_eq!(told.iter().filter(|it| **it == Told::Open).count(), 1);
}

/// D1: the deadline is for the head as a whole.
#[test]
fn a_slow_head_is_answered_with_408() {
    let timeout = config(|it| it.handshake_timeout = Duration::from_millis(100));
    let (server, watch) = serve(timeout, Probe::echo());
    let mut peer = server.connect();
    peer.write("GET /chat HTTP/1.1\r\nHost:");
    assert_eq!(peer.response().status, 408);
    peer.expect_eof();
    // A silent one gets no answer.
    server.connect().expect_eof();
    // So does one that was served a page before; others go on.
    let mut peer = server.connect();
    peer.write(plain("GET / HTTP/1.1").bytes());
    assert_eq!(peer.response().status, 404);
    peer.expect_eof();
    server.open();
    assert_eq!(watch.next(), Told::Open);
}

#[test]
fn a_byte_now_and_then_does_not_move_the_deadline() {
    let timeout = config(|it| it.handshake_timeout = Duration::from_millis(100));
    let (server, _) = serve(timeout, Probe::echo());
    let mut peer = server.connect();
    peer.stream()
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let mut writer = peer.stream().try_clone().unwrap();
    let mut answered = [0; 12];
    // Each try waits 20 ms for the answer and else sends another byte: far fewer than a head's.
    for tries in 0.. {
        use std::io::{Read as _, Write as _};
        writer.write_all(b"G").unwrap();
        match peer.stream().read_exact(&mut answered) {
            Ok(()) => break,
            Err(_) => assert!(tries < 500, "no deadline"),
        }
    }
    assert_eq!(&answered, b"HTTP/1.1 408");
}

#[test]
fn a_request_with_close_or_from_http_1_0_ends_its_connection() {
    let (server, _) = site();
    let request = plain("GET / HTTP/1.1").add("Connection", "close");
    assert_eq!(ask_once(&server, request.bytes()).status, 200);
    assert_eq!(
        ask_once(&server, plain("GET / HTTP/1.0").bytes()).status,
        200
    );
    let mut peer: Peer = server.connect();
    let request = plain("GET / HTTP/1.0").add("Connection", "keep-alive");
    for _ in 0..2 {
        peer.write(request.bytes());
        assert!(peer.response().has_token("Connection", "keep-alive"));
    }
}

#[test]
fn many_pipelined_requests_for_a_large_page_are_answered_in_order() {
    let page: Vec<u8> = (0..300_000_u32).map(|it| it as u8).collect();
    let builder = Server::builder()
        .page("/large", "image/png", page.clone())
        .page("/small", "text/plain", "small");
    let server = Running::start(builder);
    let mut peer = server.connect();
    let pair = [
        plain("GET /large HTTP/1.1").bytes(),
        plain("GET /small HTTP/1.1").bytes(),
    ]
    .concat();
    peer.write(pair.repeat(100));
    for _ in 0..100 {
        assert!(peer.response().body == page);
        assert_eq!(peer.response().body, b"small");
    }
}
#[test]
fn close_codes_of_the_peer_are_echoed() {
    let (server, watch) = site();
    for code in [1000, 1001, 3000, 4999] {
        let mut peer = server.open();
        peer.send(CLOSE, close_payload(code, b"bye"));
        peer.expect_close(code);
        peer.expect_eof();
        assert_eq!(watch.close(), (code, How::Clean));
    }
}
