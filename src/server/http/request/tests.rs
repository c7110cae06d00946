//! Requests, cookies, and the choice of a handler by method.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::proto::{Config, Input, Received, ServerHandshake};
use crate::server::builder::Builder;
use crate::server::http::answer::Answer;
use crate::server::http::methods::Methods;
use crate::server::http::response::HttpResponse;
use crate::server::id::ConnectionId;

const PEER: &str = "192.0.2.1:4000";
const ID: ConnectionId = ConnectionId::from_u64(1);

/// Passes a plain request with these header lines to `look`.
fn with<R>(start: &str, lines: &[u8], look: impl FnOnce(Request<'_>) -> R) -> R {
    let peer: SocketAddr = PEER.parse().unwrap();
    of(peer.ip(), start, lines, look)
}

/// The same for a client at this address.
fn of<R>(client: IpAddr, start: &str, lines: &[u8], look: impl FnOnce(Request<'_>) -> R) -> R {
    let mut bytes = [
        start.as_bytes(),
        b" HTTP/1.1\r\nHost: a\r\n",
        lines,
        b"\r\n",
    ]
    .concat();
    let config = Arc::new(Config::default());
    let handshake = ServerHandshake::new(config, Duration::ZERO);
    let mut input = Input::new(&mut bytes);
    let received = handshake.recv(&mut input, &mut Vec::new(), Duration::ZERO);
    let Ok(Received::Plain(plain)) = received else {
        panic!("{received:?}");
    };
    let mut routes = matchit::Router::new();
    routes.insert("/rooms/{room}/{*rest}", ()).unwrap();
    let request = plain.request();
    let params = match routes.at(request.path()) {
        Ok(found) => found.params,
        Err(_) => Params::new(),
    };
    let shared = Builder::new().parts(Vec::new()).unwrap().shared;
    look(Request::new(
        request,
        params,
        PEER.parse().unwrap(),
        client,
        &shared,
    ))
}

#[test]
fn parameters_are_percent_decoded_and_plus_stays() {
    with(
        "GET /rooms/a%20b+c/d%2Fe/%ff%zz%4?room=no",
        b"",
        |request| {
            assert_eq!(request.param("room").as_deref(), Some("a b+c"));
            assert_eq!(request.param("rest").as_deref(), Some("d/e/\u{fffd}%zz%4"));
            assert_eq!(request.param("other"), None);
            assert_eq!(request.query_param("room").as_deref(), Some("no"));
            assert!(matches!(request.param("room"), Some(Cow::Owned(_))));
        },
    );
    with("GET /rooms/plain/x", b"", |request| {
        assert!(matches!(
            request.param("room"),
            Some(Cow::Borrowed("plain"))
        ));
    });
}

#[test]
fn the_client_is_the_peer_unless_a_proxy_says_otherwise() {
    with("GET /", b"", |request| {
        assert_eq!(request.peer_addr(), PEER.parse().unwrap());
        assert_eq!(request.client_ip(), request.peer_addr().ip());
    });
    let ip = "2001:db8::1".parse().unwrap();
    of(ip, "GET /", b"", |request| {
        let request = request.with_body(b"secret");
        assert_eq!((request.client_ip(), request.body()), (ip, &b"secret"[..]));
        assert_eq!(request.peer_addr(), PEER.parse().unwrap());
        assert!(alloc::format!("{request:?}").contains("body: 6"));
    });
}

#[test]
fn the_first_good_cookie_of_a_name_counts_over_all_lines() {
    let lines = b"Cookie: a=1; b=\"2\"; A=3;c=\r\nX: y\r\ncookie: a=4;d=5=6; e=\"7; f=8\"; \
        g=x\"y; h=\"; i=\xff; i=z; k=j, l m;n; nn=n; a%62=o; q=\"\" \r\n";
    with("GET /", lines, |request| {
        for (name, value) in [
            ("a", Some("1")),
            ("b", Some("2")),
            ("A", Some("3")),
            ("c", Some("")),
            ("d", Some("5=6")),
            // A quote does not hide a semicolon, nor a cookie behind it.
            ("e", None),
            ("f", None),
            ("g", None),
            ("h", None),
            ("i", Some("z")),
            ("k", Some("j, l m")),
            ("n", None),
            ("nn", Some("n")),
            ("ab", None),
            ("q", Some("")),
            ("", None),
            ("missing", None),
        ] {
            assert_eq!(request.cookie(name), value, "{name}");
        }
    });
    with("GET /", b"", |request| {
        assert_eq!(request.cookie("a"), None)
    });
}

#[test]
fn a_response_becomes_the_cores() {
    let response = HttpResponse::html("<p>")
        .with_status(404)
        .with_header("Set-Cookie", "a=1")
        .with_header("Set-Cookie", "b=2");
    response.as_response(|it| {
        assert_eq!((it.status, it.body), (404, &b"<p>"[..]));
        let headers = [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
        ];
        assert_eq!(it.headers, headers);
    });
    let typed = |response: HttpResponse| response.headers[0].1.clone();
    assert_eq!(typed(HttpResponse::text("")), "text/plain; charset=utf-8");
    assert_eq!(typed(HttpResponse::json("1")), "application/json");
    assert_eq!(HttpResponse::status(204).headers, vec![]);
}

fn now(answer: Answer<HttpResponse>) -> HttpResponse {
    match answer {
        Answer::Now(response) => response,
        Answer::Later(_) => panic!("it comes later"),
    }
}

fn answered(methods: &Methods, start: &str) -> (u16, Option<String>, Vec<u8>) {
    let response = with(start, b"", |request| now(methods.answer(&request, ID)));
    let allow = response.headers.into_iter().find(|it| it.0 == "Allow");
    (response.status, allow.map(|it| it.1), response.body)
}

fn named(name: &'static str) -> impl Fn(&Request<'_>) -> HttpResponse + Send + Sync {
    move |_| HttpResponse {
        body: name.into(),
        ..HttpResponse::status(200)
    }
}

#[test]
fn methods_lead_to_their_handlers_and_others_are_told_what_is_allowed() {
    let methods = Methods::new()
        .post(named("old"))
        .get(named("get"))
        .post(named("post"))
        .on("REPORT", named("report"));
    let allow = || Some(String::from("GET, HEAD, POST, REPORT, OPTIONS"));
    for (start, body) in [
        ("GET /", "get"),
        // The core leaves the body out.
        ("HEAD /", "get"),
        ("POST /", "post"),
        ("REPORT /", "report"),
    ] {
        assert_eq!(answered(&methods, start), (200, None, body.into()));
    }
    assert_eq!(answered(&methods, "OPTIONS /"), (204, allow(), vec![]));
    for start in ["PUT /", "get /", "DELETE /", "CONNECT /"] {
        assert_eq!(answered(&methods, start), (405, allow(), vec![]));
    }
}

#[test]
fn handlers_of_their_own_go_before_the_automatic_ones() {
    let methods = Methods::new()
        .on("OPTIONS", named("options"))
        .on("HEAD", named("head"))
        .get(named("get"));
    assert_eq!(methods.allow(), "OPTIONS, HEAD, GET");
    for (start, body) in [("HEAD /", "head"), ("OPTIONS /", "options")] {
        assert_eq!(answered(&methods, start).2, body.as_bytes());
    }
    let none = Methods::new().post(named("post"));
    let allow = Some(String::from("POST, OPTIONS"));
    assert_eq!(answered(&none, "HEAD /"), (405, allow, vec![]));
}

#[test]
fn a_path_without_methods_asks_for_an_upgrade() {
    use crate::server::route::Entry;
    let mut route = Entry::default();
    let answered = |entry: &Entry| {
        with("GET /", b"", |request| {
            now(entry.answer(&request, ID)).status
        })
    };
    assert_eq!(answered(&route), 426);
    route.methods = Methods::new().post(named("post"));
    assert_eq!(answered(&route), 405);
}
