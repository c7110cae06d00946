//! What observers are told of each request, and the date of each response, over real sockets and in
//! simulation.

use core::time::Duration;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::SystemTime;

use harness::handshake::{Answer, plain, upgrade};
use harness::net::{GUARD, Probe, Running, config, patient};
use sockeye::server::observe::{Observer, RequestLog};
use sockeye::server::{Builder, HttpResponse, Reject, Route, Server};

/// Tells `method target status`, with the user agent in front if there is one, and `bytes`.
struct Log(Sender<(String, usize)>);

impl Observer for Log {
    fn on_request(&self, request: &RequestLog<'_>) {
        assert_eq!(request.client_ip, request.peer_addr.ip());
        let agent = request.user_agent.map(|it| format!("{it}: "));
        let line = format!(
            "{}{} {} {}",
            agent.unwrap_or_default(),
            request.method.unwrap_or("-"),
            request.target.unwrap_or("-"),
            request.status,
        );
        let _ = self.0.send((line, request.bytes));
    }
}

fn logging(builder: Builder) -> (Running, Receiver<(String, usize)>) {
    let (tell, told) = channel();
    (Running::start(builder.observer(Log(tell))), told)
}

fn site() -> Builder {
    let refusing = Route::with("/refusing", Probe::echo().0, |_| {
        Err::<(), _>(Reject::new(403, "no"))
    });
    Server::builder()
        .config(patient())
        .route("/chat", Probe::echo().0)
        .add_route(refusing)
        .get("/", |_| "a page")
        .post("/", |_| 201)
        .methods("/later", |it| {
            it.defer("GET", |_, reply| {
                drop(std::thread::spawn(|| reply.send("later")))
            })
        })
        .get("/cannot", |_| HttpResponse::text("").with_header("a b", ""))
        .get("/dated", |_| {
            HttpResponse::text("").with_header("Date", "mine")
        })
}

#[test]
fn each_request_is_told_once_with_its_response() {
    let (server, told) = logging(site());
    let next = |told: &Receiver<_>| -> (String, usize) { told.recv_timeout(GUARD).unwrap() };
    let mut peer = server.connect();
    for (request, line) in [
        (
            plain("GET /?q=1 HTTP/1.1").add("User-Agent", "me"),
            "me: GET /?q=1 200",
        ),
        (plain("GET /none HTTP/1.1"), "GET /none 404"),
        (plain("DELETE / HTTP/1.1"), "DELETE / 405"),
        (plain("GET /later HTTP/1.1"), "GET /later 200"),
        (plain("GET /cannot HTTP/1.1"), "GET /cannot 500"),
        (
            plain("POST / HTTP/1.1")
                .add("Content-Length", "5")
                .behind("hello"),
            "POST / 201",
        ),
    ] {
        peer.write(request.bytes());
        let head = peer.head();
        let length: usize = Answer::read(&head)
            .header("Content-Length")
            .unwrap()
            .parse()
            .unwrap();
        peer.read(length);
        assert_eq!(next(&told), (line.into(), head.len() + length));
    }
    peer.write(plain("HEAD / HTTP/1.1").bytes());
    let head = peer.head();
    assert_eq!(next(&told), ("HEAD / 200".into(), head.len()));
    peer.write(upgrade().target("/chat?x").bytes());
    let head = peer.head();
    assert_eq!(next(&told), ("GET /chat?x 101".into(), head.len()));
    for (request, line) in [
        (upgrade().target("/refusing").bytes(), "GET /refusing 403"),
        (upgrade().target("/none").bytes(), "GET /none 404"),
        (
            upgrade().set("Sec-WebSocket-Version", "8").bytes(),
            "GET /chat 426",
        ),
        (b"GET /a HTTP/1.1\nHost: a\n\n".to_vec(), "- /a 400"),
        (b"\x16\x03\x01\r\n\r\n".to_vec(), "- - 400"),
        (
            plain("POST / HTTP/1.1").add("Content-Length", "x").bytes(),
            "POST / 400",
        ),
    ] {
        let mut peer = server.connect();
        peer.write(request);
        peer.response();
        assert_eq!(next(&told).0, line);
    }
    drop(peer);
    drop(server);
    assert_eq!(told.try_iter().count(), 0);
}

#[test]
fn what_the_server_ends_is_told_and_silence_is_not() {
    let short = config(|it| it.handshake_timeout = Duration::from_millis(100));
    let (server, told) = logging(site().config(short).methods("/never", |it| {
        it.defer("GET", |_, reply| std::mem::forget(reply))
    }));
    server.connect().expect_eof();
    for (request, line) in [
        ("GET /chat HTTP/1.1\r\nHost:", "- /chat 408"),
        ("GET /never HTTP/1.1\r\nHost: a\r\n\r\n", "GET /never 503"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
            "POST / 408",
        ),
    ] {
        let mut peer = server.connect();
        peer.write(request);
        let answer = peer.response();
        assert!(answer.header("Date").is_some());
        assert_eq!(told.recv_timeout(GUARD).unwrap().0, line);
    }
    drop(server);
    assert_eq!(told.try_iter().count(), 0);
}

#[test]
fn every_response_has_the_date_and_only_one() {
    let server = Running::start(site());
    for (request, status) in [
        (plain("GET / HTTP/1.1").bytes(), 200),
        (plain("GET /later HTTP/1.1").bytes(), 200),
        (plain("GET /none HTTP/1.1").bytes(), 404),
        (plain("GET /cannot HTTP/1.1").bytes(), 500),
        (b"GET  / HTTP/1.1\r\n\r\n".to_vec(), 400),
        (upgrade().target("/refusing").bytes(), 403),
    ] {
        let mut peer = server.connect();
        peer.write(request);
        let head = peer.head();
        let answer = Answer::read(&head);
        assert_eq!(answer.status, status);
        let date = answer.header("Date").expect("Date");
        assert_eq!(String::from_utf8_lossy(&head).matches("Date:").count(), 1);
        // "Mon, 30 Nov 2026 12:00:00 GMT", and now.
        let seconds = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() % 86_400;
        assert_eq!(date.len(), 29);
        let time: Vec<u64> = date[17..25]
            .split(':')
            .map(|it| it.parse().unwrap())
            .collect();
        let of_day = time[0] * 3600 + time[1] * 60 + time[2];
        let late = (seconds + 86_400 - of_day) % 86_400;
        assert!(late <= GUARD.as_secs(), "{date}");
    }
    let mut peer = server.connect();
    peer.write(plain("GET /dated HTTP/1.1").bytes());
    assert_eq!(peer.response().header("Date"), Some("mine"));
    // RFC 9110 section 6.6.1 leaves it free for 1xx.
    peer.write(upgrade().bytes());
    assert_eq!(Answer::read(&peer.head()).header("Date"), None);
}

#[cfg(feature = "testing")]
#[test]
fn a_request_takes_from_its_head_to_its_response() {
    struct Took(Sender<Duration>);

    impl Observer for Took {
        fn on_request(&self, request: &RequestLog<'_>) {
            let _ = self.0.send(request.took);
        }
    }

    let ((tell, took), (ask, asked)) = (channel(), channel());
    let server = Server::builder()
        .observer(Took(tell))
        .get("/", |_| "now")
        .methods("/later", |it| {
            it.defer("GET", move |_, reply| drop(ask.send(reply)))
        })
        .simulate()
        .unwrap();
    let first = server.get("/");
    assert_eq!(took.try_recv(), Ok(Duration::ZERO));
    assert_eq!(first.header("Date"), Some("Thu, 01 Jan 2026 00:00:00 GMT"));
    server.advance(Duration::from_secs(100));
    let second = server.get("/");
    assert_eq!(second.header("Date"), Some("Thu, 01 Jan 2026 00:01:40 GMT"));
    assert_eq!(took.try_recv(), Ok(Duration::ZERO));
    let mut later = server.request("/later").begin("GET", "");
    server.settle();
    let reply: sockeye::server::http::Reply = asked.try_recv().unwrap();
    server.advance(Duration::from_secs(3));
    reply.send("later");
    assert_eq!(later.response().unwrap().status, 200);
    assert_eq!(took.try_recv(), Ok(Duration::from_secs(3)));
}
