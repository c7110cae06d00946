//! A panic in the application ends what it was about and nothing else, over real sockets:
//! docs/cases.md E3.

use core::time::Duration;
use std::any::Any;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use harness::handshake::{plain, upgrade};
use harness::net::{GUARD, How, Peer, Probe, Running, config, patient, serve_with};
use harness::sansio::{CLOSE, PING, PONG, TEXT, close_payload};
use sockeye::proto::{Delivery, Message, MessagePiece};
use sockeye::server::end::EndKind;
use sockeye::server::limits::RateLimit;
use sockeye::server::observe::{ConnectionStats, ErrorCause, Observer};
use sockeye::server::route::{Accepted, Deferred};
use sockeye::server::topics::{
    Member, Presence, PresenceChange, PresenceError, SubscribeError, TopicOptions,
};
use sockeye::server::{
    Builder, End, Handler, HttpResponse, Layer, Reject, Request, Route, Server, Socket,
};

/// Unwinds as a panic does, without its message in the test's output.
fn panic() -> ! {
    resume_unwind(Box::new("on purpose"))
}

/// Panics in the method that its route is named after; other routes' methods do what brings that
/// method about. Tells how connections end.
struct Panics {
    method: &'static str,
    ends: Sender<(&'static str, By, u16)>,
}

impl Panics {
    fn here(&self, method: &str) {
        if self.method == method {
            panic();
        }
    }
}

type Sock<'a, 'b> = &'a mut Socket<'b, ()>;

impl Handler for Panics {
    type State = ();

    fn on_open(&self, _: Sock<'_, '_>) {
        self.here("on_open");
    }

    fn on_message(&self, socket: Sock<'_, '_>, message: Message<'_>) {
        match self.method {
            "on_subscribe" => drop(socket.subscribe("topic")),
            "on_unsubscribe" => {
                socket.subscribe("topic").unwrap();
                socket.unsubscribe("topic");
            }
            "on_timer" => socket.set_timer(1, Duration::ZERO),
            "on_notify" => socket.handle().notify(socket.id(), ()).unwrap(),
            // More than half of what may wait, so that the second is over the limit.
            "on_drain" => {
                let _ = (socket.send("first"), socket.send(vec![0; LIMIT]));
            }
            "on_message" => {
                // What the call did before is whole.
                socket.subscribe("topic").unwrap();
                socket.join_presence("topic", "ann", "", |_| None).unwrap();
                let _ = socket.send("before the panic");
                // So that on_drain is owed, which must not follow.
                let _ = socket.send(vec![0; LIMIT]);
                panic();
            }
            _ => drop(socket.send(message)),
        }
    }

    fn on_piece(&self, _: Sock<'_, '_>, _: MessagePiece<'_>) {
        self.here("on_piece");
    }

    fn on_ping(&self, _: Sock<'_, '_>, _: &[u8]) {
        self.here("on_ping");
    }

    fn on_pong(&self, _: Sock<'_, '_>, _: &[u8]) {
        self.here("on_pong");
    }

    fn on_drain(&self, _: Sock<'_, '_>) {
        assert_ne!(self.method, "on_message", "told after its panic");
        self.here("on_drain");
    }

    fn on_subscribe(&self, _: Sock<'_, '_>, _: &str, _: Result<usize, SubscribeError>) {
        self.here("on_subscribe");
    }

    fn on_unsubscribe(&self, _: Sock<'_, '_>, _: &str, _: usize) {
        self.here("on_unsubscribe");
    }

    fn on_timer(&self, _: Sock<'_, '_>, _: u64) {
        self.here("on_timer");
    }

    fn on_notify(&self, _: Sock<'_, '_>, _: Box<dyn Any + Send>) {
        self.here("on_notify");
    }

    fn on_close(&self, _: Sock<'_, '_>, end: &End) {
        let by = match end.kind() {
            EndKind::Closed(closed) if closed.clean && !closed.local => By::Peer,
            _ => end.error().map_or(By::Other, By::Error),
        };
        let _ = self.ends.send((self.method, by, end.code().0));
        self.here("on_close");
    }
}

struct Through;

impl<H: Handler> Layer<H> for Through {}

/// What ended a connection.
#[derive(Debug, PartialEq)]
enum By {
    Peer,
    Error(ErrorCause),
    Other,
}

const PANIC: By = By::Error(ErrorCause::Panic);

/// Of what waits for a connection.
const LIMIT: usize = 10;

const METHODS: [&str; 11] = [
    "on_open",
    "on_message",
    "on_piece",
    "on_ping",
    "on_pong",
    "on_drain",
    "on_subscribe",
    "on_unsubscribe",
    "on_timer",
    "on_notify",
    "on_close",
];

fn open(server: &Running, path: &str) -> Peer {
    let mut peer = server.connect();
    peer.upgrade(&upgrade().target(format!("/{path}")));
    peer
}

/// One worker, on which a panic would end all, with a route for each method.
fn serve() -> (Running, Receiver<(&'static str, By, u16)>) {
    let (tell, ends) = channel();
    let mut builder = Server::builder()
        .workers(std::num::NonZeroUsize::MIN)
        .max_backpressure(LIMIT)
        .config(patient());
    for method in METHODS.into_iter().chain(["echo"]) {
        let ends = tell.clone();
        // A layer of which every method is the default.
        let handler = Through.around(Panics { method, ends });
        let mut route = Route::new(&format!("/{method}"), handler).namespace("all");
        if method == "on_piece" {
            let mut config = patient();
            config.delivery = Delivery::Streamed;
            route = route.config(config);
        }
        builder = builder.add_route(route);
    }
    (Running::start(builder), ends)
}

#[test]
fn a_panic_in_a_method_closes_its_connection_with_1011_and_no_other() {
    let (server, ends) = serve();
    let mut other = open(&server, "echo");
    for method in METHODS {
        let mut peer = open(&server, method);
        match method {
            "on_open" => {}
            "on_ping" => {
                peer.send(PING, "p");
                peer.expect(PONG, "p");
            }
            "on_pong" => peer.send(PONG, "p"),
            "on_close" => peer.send(CLOSE, close_payload(4000, b"")),
            "on_drain" => {
                peer.say("");
                assert_eq!(peer.hear(), "first");
            }
            _ => peer.say("hello"),
        }
        if method == "on_message" {
            assert_eq!(peer.hear(), "before the panic");
        }
        if method == "on_close" {
            peer.expect_close(4000);
            peer.expect_eof();
            assert_eq!(ends.recv_timeout(GUARD), Ok((method, By::Peer, 4000)));
        } else {
            assert_eq!(
                peer.frame().payload,
                close_payload(1011, b"the server failed")
            );
            // Nothing of the peer's is told any more: each method would panic again.
            peer.send(TEXT, "late");
            peer.send(PING, "late");
            peer.expect(PONG, "late");
            peer.send(CLOSE, close_payload(1011, b""));
            peer.expect_eof();
            assert_eq!(ends.recv_timeout(GUARD), Ok((method, PANIC, 1011)));
        }
        assert_eq!(other.ask(method), method);
    }
    // Subscriptions and presence of the panicked are freed.
    assert_eq!(server.handle().topics("all").list(), []);
    assert!(
        server
            .handle()
            .topics("all")
            .presence_members("topic")
            .is_empty()
    );
    other.close();
    assert_eq!(ends.recv_timeout(GUARD), Ok(("echo", By::Peer, 1000)));
    drop(server);
    assert_eq!(ends.try_iter().count(), 0, "told once each");
}

/// The peer's end instead of its Close.
#[test]
fn a_connection_that_panicked_and_whose_peer_just_goes_ended_by_the_panic() {
    let (server, ends) = serve();
    let mut peer = open(&server, "on_message");
    peer.say("hello");
    assert_eq!(peer.hear(), "before the panic");
    peer.expect_close(1011);
    drop(peer);
    assert_eq!(ends.recv_timeout(GUARD), Ok(("on_message", PANIC, 1011)));
}

/// What the application does with a request: 500, and the next request is served.
#[test]
fn a_panic_before_a_connection_is_open_is_500() {
    let (tell, ends) = channel();
    let echo = || Panics {
        method: "echo",
        ends: tell.clone(),
    };
    let server = Server::builder()
        .workers(std::num::NonZeroUsize::MIN)
        .config(patient())
        .guard(|request: &Request<'_>| match request.query_param("guard") {
            Some(_) => panic(),
            None => Ok(()),
        })
        .get("/page", |_| -> HttpResponse { panic() })
        .route("/echo", echo())
        .route_with("/state", echo(), |_| -> Result<(), Reject> { panic() })
        .add_route(Route::accepting(
            "/accepting",
            echo(),
            |_| -> Result<Accepted<()>, Reject> { panic() },
        ))
        .add_route(Route::deferred(
            "/deferred",
            echo(),
            |_, _: Deferred<()>| panic(),
        ))
        .add_route(
            Route::new("/guard", echo()).guard(|_: &Request<'_>| -> Result<(), Reject> { panic() }),
        )
        .add_route(Route::new("/key", echo()).rate_limit_by_key(RateLimit::default(), |_| panic()));
    let server = Running::start(server);
    let mut other = open(&server, "echo");
    for path in [
        "/echo?guard",
        "/state",
        "/accepting",
        "/deferred",
        "/guard",
        "/key",
    ] {
        let mut peer = server.connect();
        peer.write(upgrade().target(path).bytes());
        assert_eq!(peer.response().status, 500, "{path}");
        peer.expect_eof();
        assert_eq!(other.ask(path), path);
    }
    let mut peer = server.connect();
    for _ in 0..2 {
        peer.write(plain("GET /page HTTP/1.1").bytes());
        assert_eq!(peer.response().status, 500);
    }
    drop((peer, other, server));
    assert_eq!(ends.try_iter().count(), 1, "only the other was open");
}

/// A store in which everyone is, and nobody can leave.
struct NoExit;

impl Presence for NoExit {
    fn join(&self, _: &str, _: u64, _: &str, _: &str) -> Result<PresenceChange, PresenceError> {
        Ok(PresenceChange::None)
    }

    fn update(&self, _: &str, _: u64, _: &str) -> PresenceChange {
        PresenceChange::None
    }

    fn leave(&self, _: &str, _: u64) -> PresenceChange {
        panic()
    }

    fn members(&self, _: &str) -> Vec<Member> {
        Vec::new()
    }

    fn count(&self, _: &str) -> usize {
        0
    }
}

#[test]
fn a_panic_of_the_presence_store_as_a_connection_ends_is_the_connections_own() {
    let probe = Probe::new(|socket, message, _| {
        let _ = socket.join_presence("one", "user", "", |_| None);
        let _ = socket.join_presence("two", "user", "", |_| None);
        let _ = socket.subscribe("topic");
        socket.send(message);
    });
    let one = std::num::NonZeroUsize::MIN;
    let store = |it: Builder| it.workers(one).config(patient()).presence(Arc::new(NoExit));
    let (server, watch) = serve_with(store, probe);
    let (mut peer, mut other) = (server.open(), server.open());
    assert_eq!(peer.ask("hello"), "hello");
    peer.close();
    assert_eq!(watch.close(), (1000, How::Clean));
    assert_eq!(other.ask("still here"), "still here");
    let stats = server.handle().stats();
    assert_eq!((stats.connections, stats.subscriptions), (1, 1));
}

/// State that can't be dropped.
#[derive(Default)]
struct Sticky;

impl Drop for Sticky {
    fn drop(&mut self) {
        panic();
    }
}

struct Sticks;

impl Handler for Sticks {
    type State = Sticky;

    fn on_message(&self, socket: &mut Socket<'_, Sticky>, message: Message<'_>) {
        socket.send(message);
    }
}

/// As it does where a lock is poisoned by the handler's own panic, say.
#[test]
fn a_panic_as_a_connections_state_is_dropped_ends_no_worker() {
    let builder = Server::builder()
        .workers(std::num::NonZeroUsize::MIN)
        .config(patient())
        .route("/chat", Sticks)
        .add_route(Route::accepting("/refused", Sticks, |_| {
            Ok(Accepted::new(Sticky).with_header("X", "no\r\nheader"))
        }));
    let server = Running::start(builder);
    let mut other = server.open();
    let mut peer = server.open();
    assert_eq!(peer.ask("hello"), "hello");
    peer.close();
    // It is dropped as well where its connection can't be accepted.
    let mut refused = server.connect();
    refused.write(upgrade().target("/refused").bytes());
    assert_eq!(refused.response().status, 500);
    assert_eq!(other.ask("still here"), "still here");
    other.close();
}

/// What a worker calls of the application's apart from handlers.
struct Panicking;

impl Observer for Panicking {
    fn connected(&self, _: &ConnectionStats) {
        panic();
    }

    fn disconnected(&self, _: &ConnectionStats, _: &End) {
        panic();
    }

    fn handshake_failed(&self, _: &sockeye::server::observe::FailedHandshake<'_>) {
        panic();
    }
}

#[test]
fn a_panic_in_a_topics_guard_an_observer_or_a_list_of_connections_ends_no_worker() {
    let (tell, _ends) = channel();
    let guarded = TopicOptions::new().guard(|_, _| panic());
    let builder = Server::builder()
        .workers(std::num::NonZeroUsize::MIN)
        .config(config(|it| it.close_timeout = 10 * GUARD))
        .observer(Panicking)
        .topic("topic", guarded)
        .route(
            "/chat",
            Panics {
                method: "echo",
                ends: tell.clone(),
            },
        )
        .route(
            "/subscribes",
            Panics {
                method: "on_subscribe",
                ends: tell,
            },
        );
    let server = Running::start(builder);
    let handle = server.handle();
    let mut other = open(&server, "chat");
    // The guard, asked by the handler and by a command.
    let mut peer = open(&server, "subscribes");
    peer.say("");
    peer.expect_close(1011);
    let _peer = open(&server, "chat");
    let (tell, told) = channel();
    let list = move |all: Vec<ConnectionStats>| {
        let _ = tell.send(all.iter().map(|it| it.id).max());
        panic();
    };
    handle.connections(list).unwrap();
    let id = told.recv_timeout(GUARD).unwrap().unwrap();
    handle.topics("/chat").subscribe(id, "topic").unwrap();
    assert_eq!(other.ask("still here"), "still here");
    let mut failed = server.connect();
    failed.write(upgrade().target("/nowhere").bytes());
    assert_eq!(failed.response().status, 404);
    assert_eq!(other.ask("still here"), "still here");
    other.close();
    assert_eq!(server.open().ask("still here"), "still here");
}
