//! Guards, in front of WebSocket routes and of plain requests, over real sockets.

use std::panic::resume_unwind;

use harness::handshake::{plain, upgrade};
use harness::net::{Probe, Running, patient};
use sockeye::Error;
use sockeye::proto::Origins;
use sockeye::server::observe::HandshakeFailure;
use sockeye::server::{BuildError, HttpResponse, Reject, Request, Route, RouteFault, Server};

/// Passes who brings this key.
fn key(key: &'static str) -> impl Fn(&Request<'_>) -> Result<(), Reject> + Send + Sync + 'static {
    move |request| match request.header(key) {
        Some(_) => Ok(()),
        None => Err(Reject::new(401, key).with_header("WWW-Authenticate", "Key")),
    }
}

/// The text by which a plain GET, or an upgrade, of `path` with these keys is refused; or else `ok`.
fn ask(server: &Running, upgrades: bool, path: &str, keys: &[&str]) -> String {
    let request = match upgrades {
        true => upgrade().target(path),
        false => plain(&format!("GET {path} HTTP/1.1")),
    };
    let request = keys.iter().fold(request, |it, key| it.add(key, "1"));
    let mut peer = server.connect();
    if upgrades && keys.len() == 3 {
        peer.upgrade(&request);
        return peer.ask("ok");
    }
    peer.write(request.bytes());
    let answer = peer.response();
    match answer.status {
        200 => {}
        401 => assert_eq!(answer.header("WWW-Authenticate"), Some("Key")),
        status => panic!("{status}"),
    }
    String::from_utf8(answer.body).unwrap()
}

#[test]
fn one_guard_is_for_routes_and_plain_requests_and_the_outer_ones_come_first() {
    let ok = |_: &Request<'_>| HttpResponse::text("ok");
    let builder = Server::builder()
        .config(patient())
        .guard_under("/a", key("x-part"))
        .guard(key("x-server"))
        .add_route(Route::new("/a/b", Probe::echo().0).guard(key("x-own")))
        .methods("/a/b", |it| it.get(ok).guard(key("x-own")))
        .methods("/health", |it| it.get(ok).public())
        .methods("/own", |it| it.public().guard(key("x-own")).get(ok))
        .get("/ab", ok);
    let server = Running::start(builder);
    for upgrades in [true, false] {
        let ask = |path: &str, keys: &[&str]| ask(&server, upgrades, path, keys);
        assert_eq!(ask("/a/b", &[]), "x-part");
        assert_eq!(ask("/a/b", &["x-part"]), "x-server");
        assert_eq!(ask("/a/b", &["x-part", "x-server"]), "x-own");
        assert_eq!(ask("/a/b", &["x-part", "x-server", "x-own"]), "ok");
    }
    assert_eq!(ask(&server, false, "/ab", &[]), "x-server");
    assert_eq!(ask(&server, false, "/ab", &["x-server"]), "ok");
    assert_eq!(ask(&server, false, "/health", &[]), "ok");
    assert_eq!(ask(&server, false, "/own", &[]), "x-own");
    assert_eq!(ask(&server, false, "/own", &["x-own"]), "ok");
}

#[test]
fn a_guard_is_for_all_methods_and_comes_before_the_body() {
    let builder = Server::builder()
        .config(patient())
        .guard(key("x-key"))
        .post("/post", |request| {
            HttpResponse::text(String::from_utf8_lossy(request.body()))
        });
    let server = Running::start(builder);
    for method in ["GET", "OPTIONS", "DELETE"] {
        let mut peer = server.connect();
        for _ in 0..2 {
            peer.write(plain(&format!("{method} /post HTTP/1.1")).bytes());
            assert_eq!(peer.response().status, 401, "{method}");
        }
    }
    let post = plain("POST /post HTTP/1.1")
        .add("Content-Length", "5")
        .add("Expect", "100-continue");
    let mut peer = server.connect();
    peer.write(post.bytes());
    // No 100 is before it, and the body isn't waited for.
    let answer = peer.response();
    assert_eq!(answer.status, 401);
    assert!(answer.has_token("Connection", "close"));
    peer.expect_eof();
    // What nothing is at has no guard.
    let mut peer = server.connect();
    peer.write(plain("GET /nothing HTTP/1.1").bytes());
    assert_eq!(peer.response().status, 404);
    let post = plain("POST /post HTTP/1.1")
        .add("X-Key", "1")
        .add("Content-Length", "5")
        .behind("hello");
    peer.write(post.bytes());
    assert_eq!(peer.response().body, b"hello");
}

#[test]
fn a_guard_that_panics_refuses_with_500_and_the_connection_goes_on() {
    let guard = |request: &Request<'_>| match request.query() {
        Some(_) => resume_unwind(Box::new("on purpose")),
        None => Ok(()),
    };
    let builder = Server::builder()
        .guard(guard)
        .get("/", |_| HttpResponse::text("ok"));
    let server = Running::start(builder);
    let mut peer = server.connect();
    for (path, status) in [("/?panic", 500), ("/", 200), ("/?panic", 500)] {
        peer.write(plain(&format!("GET {path} HTTP/1.1")).bytes());
        assert_eq!(peer.response().status, status);
    }
}

/// H21.
#[test]
fn origins_are_asked_of_upgrades_and_as_a_guard_of_all_requests() {
    let origins = || Origins::only(["https://a.example"]).required();
    let builder = || {
        Server::builder()
            .config(patient())
            .route("/chat", Probe::echo().0)
            .get("/", |_| HttpResponse::text("ok"))
    };
    let get = plain("GET / HTTP/1.1").add("Origin", "https://b.example");
    for (builder, plain_status) in [
        (builder().origins(origins()), 200),
        (builder().guard(origins()), 403),
    ] {
        let server = Running::start(builder);
        let mut peer = server.connect();
        peer.write(get.bytes());
        assert_eq!(peer.response().status, plain_status);
        peer.write(upgrade().bytes());
        assert_eq!(peer.response().status, 403);
        let failures = server.handle().stats().handshake_failures;
        assert_eq!(failures.count(HandshakeFailure::Origin), 1);
        let mut peer = server.connect();
        peer.upgrade(&upgrade().add("Origin", "https://a.example"));
    }
}

#[test]
fn a_guard_under_a_path_that_nothing_has_is_told() {
    let listen = |under: &str| {
        let builder = Server::builder()
            .guard_under(under, key("x"))
            .get("/admin/users/{user?}", |_| HttpResponse::text(""))
            .route("/chat", Probe::echo().0);
        builder.listen("127.0.0.1:0").map(drop)
    };
    for under in ["", "/", "/admin", "/admin/", "/admin/users", "/chat"] {
        assert!(listen(under).is_ok(), "{under}");
    }
    for under in ["/adm", "admin", "/admin/user", "/chat/", "/chat/x"] {
        match listen(under) {
            Err(Error::Build(BuildError::Route { path, fault })) => {
                assert_eq!((&*path, fault), (under, RouteFault::Unused));
            }
            other => panic!("{under}: {other:?}"),
        }
    }
}
