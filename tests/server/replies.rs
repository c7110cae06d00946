//! Plain requests that are answered later, from another thread, over real sockets.

use core::num::NonZeroUsize;
use core::time::Duration;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, channel};

use harness::handshake::{Answer, Text, plain, upgrade};
use harness::net::{GUARD, Peer, Probe, Running, config, patient};
use sockeye::proto::Config;
use sockeye::server::http::Reply;
use sockeye::server::observe::HandshakeFailure;
use sockeye::server::{HttpResponse, Server};

/// A request that waits for its answer.
struct Asked {
    body: Vec<u8>,
    reply: Reply,
}

/// A server that gives what comes to `/later` to the test, with a page on `/now`.
fn deferring(config: Config) -> (Running, Receiver<Asked>) {
    let (tell, asked) = channel();
    let posted = tell.clone();
    let builder = Server::builder()
        .workers(NonZeroUsize::MIN)
        .config(config)
        .get("/now", |_| HttpResponse::text("now"))
        .route("/chat", Probe::echo().0)
        .methods("/later", |methods| {
            methods
                .defer("GET", move |_, reply| {
                    let body = Vec::new();
                    let _ = tell.send(Asked { body, reply });
                })
                .defer("POST", move |request, reply| {
                    let body = request.body().to_vec();
                    let _ = posted.send(Asked { body, reply });
                })
        });
    (Running::start(builder), asked)
}

fn later() -> Text {
    plain("GET /later HTTP/1.1")
}

fn ask(server: &Running, asked: &Receiver<Asked>) -> (Peer, Reply) {
    let mut peer = server.connect();
    peer.write(later().bytes());
    (peer, asked.recv_timeout(GUARD).unwrap().reply)
}

#[test]
fn a_request_is_answered_from_another_thread_and_its_connection_goes_on() {
    let (server, asked) = deferring(patient());
    let (mut peer, reply) = ask(&server, &asked);
    reply.send(HttpResponse::text("first").with_header("X-Of", "the test"));
    let answer = peer.response();
    assert_eq!((answer.status, &*answer.body), (200, &b"first"[..]));
    assert_eq!(answer.header("X-Of"), Some("the test"));
    assert!(answer.has_token("Connection", "keep-alive"));
    // Again, with a body, and then an upgrade.
    let post = plain("POST /later HTTP/1.1").add("Content-Length", "5");
    peer.write(post.behind("hello").bytes());
    let Asked { body, reply } = asked.recv_timeout(GUARD).unwrap();
    assert_eq!(body, b"hello");
    reply.send(HttpResponse::status(201));
    assert_eq!(peer.response().status, 201);
    peer.upgrade(&upgrade());
    assert_eq!(peer.ask("a message"), "a message");
}

#[test]
fn head_is_answered_by_the_deferred_get_without_its_body() {
    let (server, asked) = deferring(patient());
    let mut peer = server.connect();
    peer.write(plain("HEAD /later HTTP/1.1").bytes());
    let reply = asked.recv_timeout(GUARD).unwrap().reply;
    reply.send(HttpResponse::text("eight by"));
    let answer = Answer::read(&peer.head());
    assert_eq!(answer.header("Content-Length"), Some("8"));
    peer.write(plain("GET /now HTTP/1.1").bytes());
    assert_eq!(peer.response().body, b"now");
}

#[test]
fn what_comes_behind_a_deferred_request_waits_for_its_answer() {
    let (server, asked) = deferring(patient());
    let mut peer = server.connect();
    let all = [
        later().bytes(),
        plain("GET /now HTTP/1.1").bytes(),
        later().bytes(),
    ];
    peer.write(all.concat());
    let first = asked.recv_timeout(GUARD).unwrap().reply;
    peer.write(plain("GET /none HTTP/1.1").bytes());
    assert!(asked.try_recv().is_err(), "one at a time");
    first.send(HttpResponse::text("first"));
    assert_eq!(peer.response().body, b"first");
    assert_eq!(peer.response().body, b"now");
    let third = asked.recv_timeout(GUARD).unwrap().reply;
    third.send(HttpResponse::text("third"));
    assert_eq!(peer.response().body, b"third");
    assert_eq!(peer.response().status, 404);
}

#[test]
fn a_request_that_asks_for_the_end_of_its_connection_gets_it_behind_the_answer() {
    let (server, asked) = deferring(patient());
    let mut peer = server.connect();
    peer.write(later().add("Connection", "close").bytes());
    let reply = asked.recv_timeout(GUARD).unwrap().reply;
    reply.send(HttpResponse::text("last"));
    assert!(peer.response().has_token("Connection", "close"));
    peer.expect_eof();
}

#[test]
fn a_reply_that_is_dropped_or_cannot_be_sent_is_500() {
    let (server, asked) = deferring(patient());
    let (mut peer, reply) = ask(&server, &asked);
    drop(reply);
    assert_eq!(peer.response().status, 500);
    peer.write(later().bytes());
    let reply = asked.recv_timeout(GUARD).unwrap().reply;
    reply.send(HttpResponse::text("x").with_header("X", "a\r\nb"));
    assert_eq!(peer.response().status, 500);
}

#[test]
fn a_panic_is_500_once_and_the_next_request_has_its_own_answer() {
    let builder = Server::builder().config(patient()).methods("/later", |it| {
        it.defer("GET", |request, reply| {
            if request.query_param("panic").is_some() {
                resume_unwind(Box::new("on purpose"));
            }
            reply.send(HttpResponse::text("well"));
        })
    });
    let server = Running::start(builder);
    let mut peer = server.connect();
    let panics = plain("GET /later?panic HTTP/1.1").bytes();
    peer.write([panics.clone(), later().bytes(), panics].concat());
    assert_eq!(peer.response().status, 500);
    assert_eq!(peer.response().body, b"well");
    assert_eq!(peer.response().status, 500);
}

#[test]
fn an_answer_in_time_or_503_and_the_late_one_reaches_nobody() {
    let short = config(|it| it.handshake_timeout = Duration::from_millis(100));
    let (server, asked) = deferring(short);
    let (mut peer, reply) = ask(&server, &asked);
    let answer = peer.response();
    assert_eq!(answer.status, 503);
    assert!(answer.has_token("Connection", "close"));
    peer.expect_eof();
    // The next connection takes the slot.
    let (mut next, its) = ask(&server, &asked);
    reply.send(HttpResponse::text("too late"));
    its.send(HttpResponse::text("in time"));
    assert_eq!(next.response().body, b"in time");
    let failures = server.handle().stats().handshake_failures;
    assert_eq!(failures.count(HandshakeFailure::Timeout), 0, "no handshake");
}

#[test]
fn an_answer_for_a_client_that_has_gone_reaches_no_other() {
    let (server, asked) = deferring(patient());
    for _ in 0..10 {
        let (gone, reply) = ask(&server, &asked);
        drop(gone);
        let (mut other, its) = ask(&server, &asked);
        reply.send(HttpResponse::text("of the other"));
        its.send(HttpResponse::text("its own"));
        assert_eq!(other.response().body, b"its own");
    }
}

#[test]
fn a_client_that_has_ended_its_side_still_gets_its_answer() {
    let (server, asked) = deferring(patient());
    let (mut peer, reply) = ask(&server, &asked);
    peer.shut_write();
    let (mut other, its) = ask(&server, &asked);
    its.send(HttpResponse::text("behind"));
    other.response();
    reply.send(HttpResponse::text("all the same"));
    assert_eq!(peer.response().body, b"all the same");
    peer.expect_eof();
}

#[test]
fn a_server_that_stops_waits_for_the_answer_and_serves_no_further_request() {
    let (mut server, asked) = deferring(patient());
    let (mut peer, reply) = ask(&server, &asked);
    peer.write(plain("GET /now HTTP/1.1").bytes());
    server.shut_down();
    reply.send(HttpResponse::text("the last"));
    assert_eq!(peer.response().body, b"the last");
    peer.expect_eof();
    drop(peer);
    server.join();
}
