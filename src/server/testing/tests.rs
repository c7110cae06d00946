//! What a simulation promises: nothing waits, nothing is real, and all of it is the server's.

use std::format;
use std::num::NonZeroUsize;
use std::string::{String, ToString as _};

use super::*;
use crate::proto::{CloseCode, Message};
use crate::server::Server;
use crate::server::end::End;
use crate::server::handler::Handler;
use crate::server::http::{HttpResponse, Reject};
use crate::server::pool::Pool;
use crate::server::route::{Deferred, Route};
use crate::server::socket::Socket;

/// Publishes each message to its room, and says who comes and goes.
struct Room;

impl Handler for Room {
    type State = String;

    fn on_open(&self, socket: &mut Socket<'_, String>) {
        let text = format!("{} came", socket.state());
        socket.publish("room", &*text);
        let _ = socket.subscribe("room");
    }

    fn on_message(&self, socket: &mut Socket<'_, String>, message: Message<'_>) {
        match message.as_text() {
            Some("panic") => panic!("on purpose"),
            Some("slow") => {
                for _ in 0..8 {
                    socket.send(&*"x".repeat(1000));
                }
            }
            _ => _ = socket.publish("room", &message),
        }
    }

    fn on_drain(&self, socket: &mut Socket<'_, String>) {
        socket.publish("room", "drained");
    }

    fn on_close(&self, socket: &mut Socket<'_, String>, end: &End) {
        let text = format!("{} left with {}", socket.state(), end.code());
        socket.publish("room", &*text);
    }
}

fn room() -> Builder {
    Server::builder().route_with("/room", Room, |request| match request.query_param("name") {
        Some(name) => Ok(name.into_owned()),
        None => Err(Reject::new(400, "who are you?")),
    })
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// With one worker, and with two.
fn rooms() -> impl Iterator<Item = Simulation> {
    let counts = [1, 2].map(|it| NonZeroUsize::new(it).unwrap());
    counts
        .into_iter()
        .map(|it| room().workers(it).simulate().unwrap())
}

fn ann_and_bob(server: &Simulation) -> (Client, Client) {
    let mut ann = server.connect("/room?name=ann").unwrap();
    let bob = server.connect("/room?name=bob").unwrap();
    ann.expect("bob came");
    (ann, bob)
}

#[test]
fn one_leaves_and_the_other_is_told_however_it_leaves() {
    for server in rooms() {
        let (mut ann, mut bob) = ann_and_bob(&server);
        bob.send("hi");
        ann.expect("hi");
        bob.expect_nothing();
        bob.close(CloseCode(4001), "bye");
        bob.expect_close(CloseCode(4001));
        ann.expect("bob left with 4001");

        drop(server.connect("/room?name=cat").unwrap());
        ann.expect("cat came");
        ann.expect("cat left with 1006");
        server.connect("/room?name=dan").unwrap().leave();
        server.connect("/room?name=eve").unwrap().reset();
        for text in [
            "dan came",
            "dan left with 1006",
            "eve came",
            "eve left with 1006",
        ] {
            ann.expect(text);
        }
        ann.expect_nothing();
        assert_eq!(server.connections().len(), 1);
        assert_eq!(server.now(), Duration::ZERO);
    }
}

#[test]
fn one_that_vanishes_is_missed_when_its_pong_is_due_and_others_are_pinged_for_ever() {
    for server in rooms() {
        let (mut ann, mut bob) = ann_and_bob(&server);
        bob.vanish();
        bob.send("from the tunnel");
        server.advance(seconds(49));
        ann.expect_nothing();
        server.advance(seconds(3));
        ann.expect("bob left with 1011");
        assert_eq!(bob.closed(), None, "nobody told him");
        server.advance(seconds(3600));
        assert_eq!(ann.closed(), None);
        assert_eq!(server.handle().stats().uptime, seconds(3652));
    }
}

#[test]
fn a_refusal_is_a_value() {
    let server = room().max_connections(1).simulate().unwrap();
    let refused = server.connect("/room").unwrap_err();
    assert_eq!(refused.to_string(), "refused with 400: who are you?");
    assert_eq!(server.connect("/nowhere").unwrap_err().status(), Some(404));
    let ann = server.connect("/room?name=ann").unwrap();
    assert_eq!(
        server.connect("/room?name=bob").unwrap_err().status(),
        Some(503)
    );
    assert_eq!(server.get("/room").status, 503);
    drop(ann);
    server.settle();
    server.connect("/room?name=bob").unwrap();
    assert!(
        Server::builder()
            .route("no slash", Quiet)
            .simulate()
            .is_err()
    );
}

struct Quiet;

impl Handler for Quiet {
    type State = ();

    fn on_message(&self, _: &mut Socket<'_, ()>, _: Message<'_>) {}
}

#[test]
fn a_plain_request_is_answered_at_once_or_when_the_application_does() {
    let replies = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&replies);
    let server = Server::builder()
        .methods("/echo", |methods| {
            methods
                .post(|request| HttpResponse::new("x/y", request.body().to_vec()))
                .on("DELETE", |request| match request.header("X-Sure") {
                    Some("yes") => HttpResponse::status(204),
                    _ => HttpResponse::status(409),
                })
                .defer("GET", move |_, reply| keep.lock().unwrap().push(reply))
        })
        .simulate()
        .unwrap();
    let response = server.request("/echo").send("POST", "hello");
    assert_eq!((response.status, &*response.text()), (200, "hello"));
    assert_eq!(response.header("content-TYPE"), Some("x/y"));
    assert_eq!(server.request("/echo").send("DELETE", "").status, 409);
    let sure = server.request("/echo").header("X-Sure", "yes");
    assert_eq!(sure.send("DELETE", "").status, 204);
    assert_eq!(server.request("/echo").send("PUT", "").status, 405);

    let mut asked = server.request("/echo").begin("GET", "");
    assert_eq!(asked.response(), None);
    let reply = replies.lock().unwrap().pop().unwrap();
    reply.send(HttpResponse::text("later"));
    assert_eq!(asked.response().unwrap().text(), "later");
}

#[test]
fn an_upgrade_is_accepted_when_the_application_has_decided() {
    let waiting = Arc::new(Mutex::new(Vec::<Deferred<()>>::new()));
    let keep = Arc::clone(&waiting);
    let route = Route::deferred("/later", Quiet, move |_, it| keep.lock().unwrap().push(it));
    let server = Server::builder().add_route(route).simulate().unwrap();
    let ann = server.request("/later").begin_connect().poll().unwrap_err();
    let bob = server.request("/later").begin_connect().poll().unwrap_err();
    let [first, second] = std::mem::take(&mut *waiting.lock().unwrap())
        .try_into()
        .unwrap();
    second.reject(Reject::new(403, "not you"));
    let ann = ann.poll().unwrap_err();
    first.accept(());
    assert_eq!(bob.poll().unwrap().unwrap_err().status(), Some(403));
    assert!(ann.poll().unwrap().is_ok());
}

#[test]
fn who_stops_reading_makes_the_server_wait_to_the_byte() {
    for server in rooms() {
        let (mut ann, mut bob) = ann_and_bob(&server);
        bob.stop_reading();
        bob.send("slow");
        let frame = 4 + 1000;
        assert_eq!(server.handle().stats().queued_bytes, 8 * frame);
        bob.expect_nothing();
        bob.read(frame as usize - 1);
        bob.expect_nothing();
        bob.read(1);
        assert_eq!(bob.text().len(), 1000);
        assert_eq!(server.handle().stats().queued_bytes, 7 * frame);
        ann.expect_nothing();
        bob.read_on();
        for _ in 0..7 {
            assert_eq!(bob.text().len(), 1000);
        }
        ann.expect("drained");
    }
}

#[test]
fn a_handle_works_from_this_thread_and_from_others() {
    for server in rooms() {
        let (mut ann, mut bob) = ann_and_bob(&server);
        let (handle, id) = (server.handle(), bob.id());
        handle.topics("/room").publish("room", "from here").unwrap();
        let thread = std::thread::spawn(move || handle.send(id, "from there").unwrap());
        thread.join().unwrap();
        ann.expect("from here");
        bob.expect("from here");
        bob.expect("from there");
        server
            .handle()
            .close(id, CloseCode(4002), "enough")
            .unwrap();
        bob.expect_close(CloseCode(4002));
        ann.expect("bob left with 4002");
    }
}

#[test]
fn a_stop_is_followed_to_its_end() {
    for server in rooms() {
        let (mut ann, mut bob) = ann_and_bob(&server);
        bob.vanish();
        server.handle().shut_down_within(seconds(5));
        ann.expect_close(CloseCode::GOING_AWAY);
        assert!(server.is_running());
        let refused = server.connect("/room?name=cat").unwrap_err();
        assert!(matches!(refused, ConnectError::NoResponse));
        server.advance(Duration::from_millis(4_999));
        assert!(server.is_running());
        server.advance(Duration::from_millis(1));
        assert!(!server.is_running() && server.connections().is_empty());
    }
}

#[test]
fn a_panic_of_a_handler_ends_its_connection_alone() {
    for server in rooms() {
        let (mut ann, mut bob) = ann_and_bob(&server);
        bob.send("panic");
        bob.expect_close(CloseCode::INTERNAL_ERROR);
        ann.expect("bob left with 1011");
    }
}

#[test]
fn what_breaks_the_protocol_is_told_so() {
    let server = room().simulate().unwrap();
    let mut ann = server.connect("/room?name=ann").unwrap();
    // A frame without a mask (RFC 6455 section 5.1).
    ann.send_raw(&[0x81, 0]);
    ann.expect_close(CloseCode::PROTOCOL_ERROR);
}

#[test]
fn deadlines_are_kept_in_their_order() {
    let server = room().max_lifetime(seconds(10)).simulate().unwrap();
    let mut ann = server.connect("/room?name=ann").unwrap();
    server.advance(seconds(4));
    let mut bob = server.connect("/room?name=bob").unwrap();
    server.advance(Duration::from_millis(5_999));
    assert!(ann.closed().is_none());
    // Both are due within this time: bob is still there to be told of ann.
    server.advance(seconds(20));
    assert!(ann.closed().is_some() && bob.closed().is_some());
    assert!(bob.text().starts_with("ann left"));
}

#[test]
fn what_is_deferred_to_a_pool_is_done_on_this_thread_and_in_its_order() {
    struct Counts(Pool);
    impl Handler for Counts {
        type State = ();
        fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
            let text = String::from(message.as_text().unwrap());
            let test = std::thread::current().id();
            let work = move || (text, std::thread::current().id() == test);
            socket.defer(&self.0, work, |socket, (text, here)| {
                socket.send(&*format!("{text} {here}"));
            });
            socket.send("first");
        }
    }
    let server = Server::builder().route("/", Counts(Pool::new(2)));
    let server = server.simulate().unwrap();
    let mut ann = server.connect("/").unwrap();
    for text in ["a", "b"] {
        ann.send(text);
        ann.expect("first");
        ann.expect(&format!("{text} true"));
        ann.expect_nothing();
    }
}

#[test]
fn timers_and_chores_run_by_the_simulations_clock() {
    struct Sleepy;
    impl Handler for Sleepy {
        type State = ();
        fn on_open(&self, socket: &mut Socket<'_, ()>) {
            socket.set_timer(1, seconds(3));
        }
        fn on_message(&self, _: &mut Socket<'_, ()>, _: Message<'_>) {}
        fn on_timer(&self, socket: &mut Socket<'_, ()>, _: u64) {
            socket.send("woke");
        }
    }
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counts = Arc::clone(&count);
    let builder = Server::builder().route("/", Sleepy);
    let builder = builder.every(seconds(10), move |_| {
        counts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    let server = builder.simulate().unwrap();
    let mut ann = server.connect("/").unwrap();
    server.advance(Duration::from_millis(2_999));
    ann.expect_nothing();
    server.advance(Duration::from_millis(251));
    ann.expect("woke");
    server.advance(seconds(60));
    let count = count.load(std::sync::atomic::Ordering::Relaxed);
    assert!((5..=6).contains(&count), "{count}");
}

#[test]
fn a_failed_assertion_names_the_client_and_its_end() {
    let panics = |script: &mut dyn FnMut()| {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(script));
        *caught.unwrap_err().downcast::<String>().unwrap()
    };
    let server = room().simulate().unwrap();
    let mut ann = server.connect("/room?name=ann").unwrap();
    let told = panics(&mut || ann.expect("hi"));
    assert_eq!(
        told,
        r#"client 0 of /room?name=ann didn't get "hi": the connection is open"#
    );
    ann.close(CloseCode(4000), "bye");
    let told = panics(&mut || ann.send("hi"));
    let end = r#"it was closed with 4000 """#;
    assert_eq!(
        told,
        format!("client 0 of /room?name=ann can't send: {end}")
    );
}

#[test]
fn what_a_history_keeps_has_the_simulations_time_of_day() {
    use crate::server::topics::TopicOptions;
    let builder = room().topic("room", TopicOptions::new().history(10));
    let server = builder.simulate().unwrap();
    let topics = server.handle().topics("/room");
    topics.publish("room", "early").unwrap();
    server.advance(seconds(90));
    topics.publish("room", "late").unwrap();
    let kept = topics.history("room", 10);
    assert_eq!(
        kept[1].time.duration_since(kept[0].time).unwrap(),
        seconds(90)
    );
    assert_eq!(kept[1].at - kept[0].at, seconds(90));
    // 2026-01-01.
    let began = std::time::UNIX_EPOCH + seconds(1_767_225_600);
    assert_eq!(kept[0].time.duration_since(began).unwrap(), kept[0].at);
}
