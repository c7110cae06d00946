//! Ends that come, over real sockets: of connections that have paused, of a server that stops, and
//! what is told of this server's own Close. docs/cases.md O8, O9.

use core::time::Duration;
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use harness::handshake::{plain, upgrade};
use harness::net::{GUARD, Peer, Probe, Running, config, masked_frame, patient};
use harness::sansio::{CLOSE, PING, TEXT, close_payload, frame};
use sockeye::proto::{CloseCode, Config, Message};
use sockeye::server::route::Deferred;
use sockeye::server::{Builder, End, Handler, HttpResponse, Route, Server, Socket};

const SHORT: Duration = Duration::from_millis(100);

/// The code, and the code and reason of the server's own Close.
type Ended = (u16, Option<(u16, String)>);

/// Does what a message says, and tells messages and ends.
struct Acts {
    messages: Sender<String>,
    ends: Sender<Ended>,
    /// As it opens.
    pauses: bool,
    /// It blocks the worker until something comes.
    wait: Mutex<Receiver<()>>,
}

struct World {
    server: Running,
    messages: Receiver<String>,
    ends: Receiver<Ended>,
    release: Sender<()>,
}

impl Handler for Acts {
    type State = ();

    fn on_open(&self, socket: &mut Socket<'_, ()>) {
        if self.pauses {
            socket.pause();
        }
    }

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        let text = message.as_text().unwrap();
        self.messages.send(text.into()).unwrap();
        match text {
            "pause" => socket.pause(),
            "close" => assert!(socket.close(CloseCode(4001), "für heute genug")),
            "terminate" => socket.terminate(),
            "panic" => panic!("on purpose"),
            "block" => self.wait.lock().unwrap().recv_timeout(GUARD).unwrap(),
            _ => {}
        }
    }

    fn on_close(&self, _: &mut Socket<'_, ()>, end: &End) {
        let sent = end.sent().map(|(code, reason)| (code.0, reason.into()));
        self.ends.send((end.code().0, sent)).unwrap();
    }
}

fn world(config: Config, change: impl FnOnce(Builder) -> Builder) -> World {
    let (say, messages) = channel();
    let (tell, ends) = channel();
    let (release, wait) = channel();
    let acts = |pauses, wait| Acts {
        messages: say.clone(),
        ends: tell.clone(),
        pauses,
        wait: Mutex::new(wait),
    };
    let builder = Server::builder()
        .config(config)
        .workers(NonZeroUsize::MIN)
        .route("/pausing", acts(true, channel().1))
        .post("/upload", |_| HttpResponse::text("got it"))
        .route("/chat", acts(false, wait));
    World {
        server: Running::start(change(builder)),
        messages,
        ends,
        release,
    }
}

impl World {
    fn ended(&self) -> Ended {
        self.ends.recv_timeout(GUARD).expect("on_close is called")
    }

    /// Until the handler was given this message.
    fn heard(&self, text: &str) {
        let heard = self.messages.recv_timeout(GUARD).unwrap();
        assert_eq!(heard, text);
    }
}

fn sent(code: u16, reason: &str) -> Option<(u16, String)> {
    Some((code, reason.into()))
}

// ---- O8: paused, and the peer has ended -----------------------------------------------------

const LEFT: &str = "the stream ended while reading was paused";

/// What a peer says last, and the code of that end.
fn last_words() -> [(Vec<u8>, u16); 4] {
    let close = masked_frame(true, CLOSE, &close_payload(4004, b"gone"));
    let messages = masked_frame(true, TEXT, b"unread").repeat(3);
    [
        (Vec::new(), 1006),
        (close.clone(), 4004),
        (messages.clone(), 1006),
        ([messages, close].concat(), 4004),
    ]
}

#[test]
fn a_paused_connection_ends_in_time_once_its_peer_has_ended_the_stream() {
    let world = world(config(|it| it.close_timeout = SHORT), |it| it);
    for (path, half) in [("/chat", true), ("/pausing", true), ("/chat", false)] {
        for (bytes, code) in last_words() {
            let mut peer = world.server.connect();
            peer.upgrade(&upgrade().target(path));
            if path == "/chat" {
                peer.say("pause");
                world.heard("pause");
            }
            peer.write(bytes);
            if half {
                peer.shut_write();
                assert_eq!(world.ended(), (code, sent(1001, LEFT)));
                peer.expect_close(1001);
                peer.expect_eof();
            } else {
                // Gone: it answers the server's Close by a reset, behind what it has sent.
                drop(peer);
                assert_eq!(world.ended(), (code, sent(1001, LEFT)));
            }
        }
    }
    // Nothing was delivered, and no connection is left.
    drop(world.server);
    assert_eq!(world.messages.try_iter().count(), 0);
}

/// All that the server waits for is the end: no deadline would come in this test.
#[test]
fn a_reset_ends_a_paused_connection_at_once() {
    let world = world(patient(), |it| it);
    for path in ["/chat", "/pausing"] {
        let mut peer = world.server.connect();
        peer.upgrade(&upgrade().target(path));
        // Its answer is there and unread when the socket is closed, which resets.
        peer.send(PING, "answered");
        if path == "/chat" {
            peer.stream().peek(&mut [0]).unwrap();
            peer.say("pause");
            world.heard("pause");
        } else {
            // It is not read: the reset is asked for.
            let linger = Some(Duration::ZERO);
            rustix::net::sockopt::set_socket_linger(peer.stream(), linger).unwrap();
        }
        drop(peer);
        assert_eq!(world.ended(), (1006, None));
    }
}

#[cfg(feature = "tls")]
#[test]
fn a_paused_connection_over_tls_ends_in_time_after_close_notify_and_after_none() {
    for notify in [true, false] {
        let authority = harness::tls::Authority::default();
        let tls = harness::tls::server(&authority.issue("localhost"));
        let world = world(config(|it| it.close_timeout = SHORT), |it| it.tls(tls));
        for (bytes, code) in last_words() {
            let mut peer = harness::tls::connect(&world.server, authority.client());
            peer.upgrade(&upgrade());
            peer.say("pause");
            world.heard("pause");
            peer.write(bytes);
            let stream = peer.stream();
            if notify {
                stream.conn.send_close_notify();
            }
            stream.flush().unwrap();
            stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(world.ended(), (code, sent(1001, LEFT)), "{notify}");
            peer.expect_end();
        }
        drop(world.server);
        assert_eq!(world.messages.try_iter().count(), 0);
    }
}

// ---- the server's own Close -----------------------------------------------------------------

#[test]
fn an_end_tells_this_servers_own_close_whatever_the_peer_makes_of_it() {
    let world = world(config(|it| it.close_timeout = SHORT), |it| it);
    let own = sent(4001, "für heute genug");
    let open = |say: &str| {
        let mut peer = world.server.open();
        peer.say(say);
        peer
    };
    // Answered with others.
    let mut peer = open("close");
    peer.expect_close(4001);
    peer.send(CLOSE, close_payload(4002, b"mine"));
    assert_eq!(world.ended(), (4002, own.clone()));
    // With none: the end of the stream, silence, a fault.
    let mut peer = open("close");
    peer.expect_close(4001);
    peer.shut_write();
    assert_eq!(world.ended(), (1006, own.clone()));
    let mut peer = open("close");
    peer.expect_close(4001);
    assert_eq!(world.ended(), (1006, own.clone()));
    let mut peer = open("close");
    peer.expect_close(4001);
    peer.write(frame(true, 0, TEXT, None, b"not masked"));
    assert_eq!(world.ended(), (1006, own));
    // The peer's own is answered.
    let mut peer = open("");
    peer.send(CLOSE, close_payload(4003, b"mine"));
    assert_eq!(world.ended(), (4003, sent(4003, "")));
    let mut peer = open("");
    peer.send(CLOSE, "");
    assert_eq!(world.ended(), (1005, sent(1005, "")));
    // What this server made of it.
    let _panics = open("panic");
    assert_eq!(world.ended(), (1011, sent(1011, "the server failed")));
    let mut faulty = open("");
    faulty.write(frame(true, 0, TEXT, None, b"not masked"));
    let reason = "a client must mask its frames (RFC 6455 section 5.1)";
    assert_eq!(world.ended(), (1002, sent(1002, reason)));
    // None.
    let _dropped = open("terminate");
    assert_eq!(world.ended(), (1006, None));
    drop(open(""));
    assert_eq!(world.ended(), (1006, None));
    // By another thread, and by a stop.
    let mut peer = open("");
    peer.settle();
    let (tell, told) = channel();
    let handle = world.server.handle();
    handle.connections(move |all| drop(tell.send(all))).unwrap();
    let id = told.recv_timeout(GUARD).unwrap()[0].id;
    handle.close(id, CloseCode(4005), "asked to").unwrap();
    assert_eq!(world.ended(), (1006, sent(4005, "asked to")));
    let mut peer = open("");
    peer.settle();
    world.server.shut_down();
    peer.expect_close(1001);
    peer.send(CLOSE, close_payload(4006, b""));
    assert_eq!(world.ended(), (4006, sent(1001, "the server stops")));
}

// ---- O9: stopping ---------------------------------------------------------------------------

#[test]
fn a_stops_deadline_runs_from_the_call_also_while_a_handler_blocks() {
    let mut world = world(patient(), |it| it);
    let (mut peer, mut blocking) = (world.server.open(), world.server.open());
    blocking.say("block");
    world.heard("block");
    world.server.handle().shut_down_within(SHORT);
    // Whoever is served after that is late: the wait only has to be no shorter.
    assert!(world.ends.recv_timeout(3 * SHORT).is_err());
    world.release.send(()).unwrap();
    // It would answer in time, if there were any.
    peer.expect_close(1001);
    let answer = masked_frame(true, CLOSE, &close_payload(1001, b""));
    let _ = peer.stream().write_all(&answer);
    world.server.join();
    let stops = sent(1001, "the server stops");
    assert_eq!(world.ended(), (1006, stops.clone()));
    assert_eq!(world.ended(), (1006, stops));
}

/// The first one's deadline would not come in this test.
#[test]
fn a_second_stop_with_a_shorter_deadline_shortens_it() {
    let mut world = world(patient(), |it| it);
    let mut silent = world.server.open();
    let handle = world.server.handle();
    handle.shut_down_within(10 * GUARD);
    silent.expect_close(1001);
    handle.shut_down_within(20 * GUARD);
    handle.shut_down_within(Duration::ZERO);
    world.server.join();
    assert_eq!(world.ended(), (1006, sent(1001, "the server stops")));
}

#[track_caller]
fn expect_refused<S: Read + Write>(peer: &mut Peer<S>) {
    let answer = peer.response();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("Connection"), Some("close"));
    assert_eq!(answer.header("Retry-After"), Some("5"));
    assert_eq!(answer.body, b"the server stops");
}

#[test]
fn uploads_and_handshakes_under_way_are_answered_503_and_not_cut() {
    let (tell, asked) = channel();
    let deferred = Route::deferred("/later", Probe::echo().0, move |_, it: Deferred<()>| {
        tell.send(it).unwrap();
    });
    let mut world = world(patient(), |it| it.add_route(deferred));
    const LENGTH: usize = 1 << 20;
    let mut upload = world.server.connect();
    let head = plain("POST /upload HTTP/1.1").add("Content-Length", LENGTH.to_string());
    upload.write(head.bytes());
    upload.write(vec![b'x'; LENGTH / 2]);
    let mut half = world.server.connect();
    half.write(&upgrade().bytes()[..40]);
    let mut later = world.server.connect();
    later.write(upgrade().target("/later").bytes());
    let kept = asked.recv_timeout(GUARD).unwrap();
    let mut idle = world.server.connect();
    // All of it has come to the worker, or at least to its sockets.
    world.server.open().settle();
    world.server.shut_down();
    for peer in [&mut upload, &mut half, &mut later] {
        expect_refused(peer);
    }
    idle.expect_end();
    // No reset, whatever is still sent; with its end the server's comes.
    upload.write(vec![b'x'; LENGTH / 2]);
    for mut peer in [upload, half, later] {
        peer.expect_eof();
    }
    world.server.join();
    kept.accept(());
}

#[cfg(feature = "tls")]
#[test]
fn an_upload_over_tls_is_answered_503_and_not_cut() {
    let authority = harness::tls::Authority::default();
    let tls = harness::tls::server(&authority.issue("localhost"));
    let mut world = world(patient(), |it| it.tls(tls));
    let mut upload = harness::tls::connect(&world.server, authority.client());
    let head = plain("POST /upload HTTP/1.1").add("Content-Length", "2000");
    upload.write([&head.bytes()[..], &[b'x'; 1000]].concat());
    // Its TLS handshake is done when one that came later has been answered.
    let mut other = harness::tls::connect(&world.server, authority.client());
    other.upgrade(&upgrade());
    other.settle();
    world.server.shut_down();
    expect_refused(&mut upload);
    upload.write([b'x'; 1000]);
    upload.expect_eof();
    drop((upload, other));
    world.server.join();
}
