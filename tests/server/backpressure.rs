//! What becomes of messages that wait: the policies at the limit, pausing and resuming, and
//! fragments with publishes between, over real sockets: docs/cases.md D7, E3.

use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use harness::handshake::upgrade;
use harness::net::{
    GUARD, How, Peer, Probe, Running, Told, Watch, masked_frame, patient, serve_with,
};
use harness::sansio::{BINARY, CLOSE, CONTINUATION, PING, TEXT, close_payload};
use sockeye::proto::Message;
use sockeye::server::socket::Overflow;
use sockeye::server::topics::SubscribeError;
use sockeye::server::{ConnectionId, End, HandleError, Handler, Sent, Server, Socket};

/// What both kernels' socket buffers hold at most, by far.
const LARGE: usize = 32 << 20;

const LIMIT: usize = LARGE + (1 << 20);

/// A server that answers `large` with more than the kernel takes, and anything else with ten
/// messages, of which there is room for five.
fn flood(overflow: Overflow) -> (Running, Watch) {
    let probe = Probe::new(|socket, message, told| {
        let text = message.as_text();
        let answer = match text {
            Some("large") => vec![socket.send(vec![0xFF; LARGE])],
            _ => {
                let size = (LIMIT - socket.buffered()) / 5 - 20;
                (0..10).map(|at| socket.send(vec![at; size])).collect()
            }
        };
        if text == Some("terminate") {
            socket.terminate();
        }
        let _ = told.send(Told::Note(format!("{answer:?}")));
    });
    serve_with(
        |it| {
            it.config(patient())
                .overflow(overflow)
                .pause_reading_at(LIMIT)
                .max_backpressure(LIMIT)
        },
        probe,
    )
}

/// What the handler's ten sends answered.
fn answers(watch: &Watch) -> String {
    loop {
        if let Told::Note(text) = watch.next() {
            return text;
        }
    }
}

/// Behind a backlog, or all within one turn.
fn with_and_without_backlog(overflow: Overflow, check: impl Fn(&Running, Peer, &Watch, Sent)) {
    for backlog in [true, false] {
        let (server, watch) = flood(overflow);
        let mut peer = server.open();
        if backlog {
            peer.say("large");
            assert_eq!(answers(&watch), "[Sent]");
        }
        peer.say("ten");
        let sent = match backlog {
            true => Sent::Queued,
            false => Sent::Sent,
        };
        check(&server, peer, &watch, sent);
    }
}

/// Reads `large` if it is what waits, and then the ones of the ten messages that came.
fn read_ten(peer: &mut Peer, backlog: bool, expected: core::ops::Range<u8>) {
    if backlog {
        peer.expect(BINARY, vec![0xFF; LARGE]);
    }
    for at in expected {
        let frame = peer.frame();
        assert_eq!((frame.opcode, frame.payload[0]), (BINARY, at));
    }
    peer.settle();
}

/// D7.
#[test]
fn at_the_limit_the_newest_are_dropped() {
    with_and_without_backlog(Overflow::DropNewest, |server, mut peer, watch, sent| {
        let expected = [[sent; 5], [Sent::Dropped; 5]].concat();
        assert_eq!(answers(watch), format!("{expected:?}"));
        read_ten(&mut peer, sent == Sent::Queued, 0..5);
        assert_eq!(server.handle().stats().dropped, 5);
        assert_eq!(server.handle().stats().queued_bytes, 0);
    });
}

/// D7: and each that is dropped is counted.
#[test]
fn at_the_limit_the_oldest_that_wait_are_dropped() {
    let (server, watch) = flood(Overflow::DropOldest);
    let mut peer = server.open();
    peer.say("large");
    assert_eq!(answers(&watch), "[Sent]");
    peer.say("ten");
    assert_eq!(answers(&watch), format!("{:?}", [Sent::Queued; 10]));
    read_ten(&mut peer, true, 5..10);
    assert_eq!(server.handle().stats().dropped, 5);
    assert_eq!(server.handle().stats().queued_bytes, 0);
}

/// D7, RUSTSEC-2020-0043: behind the Close comes nothing, also not what the same turn sent before.
#[test]
fn at_the_limit_the_connection_is_closed_with_1013_and_nothing_follows() {
    with_and_without_backlog(Overflow::Close, |server, mut peer, watch, sent| {
        let expected = [[sent; 5], [Sent::Dropped; 5]].concat();
        assert_eq!(answers(watch), format!("{expected:?}"));
        if sent == Sent::Queued {
            peer.expect(BINARY, vec![0xFF; LARGE]);
        }
        peer.expect_close(1013);
        peer.send(CLOSE, close_payload(1013, b""));
        peer.expect_eof();
        let how = How::Backpressure;
        assert_eq!(watch.next(), Told::Close { code: 1013, how });
        assert_eq!(server.handle().stats().queued_bytes, 0);
    });
}

#[test]
fn a_handler_terminates_also_a_connection_that_is_being_closed() {
    let (server, watch) = flood(Overflow::Close);
    let mut peer = server.open();
    peer.say("terminate");
    assert_eq!(watch.close(), (1006, How::Terminated));
    peer.expect_end();
}

/// D7: the same for what others publish.
#[test]
fn a_slow_subscriber_is_closed_with_1013_and_the_others_get_everything() {
    let probe = Probe::new(|socket, _, _| {
        socket.subscribe("all").unwrap();
        let _ = socket.send("subscribed");
    });
    let (server, watch) = serve_with(
        |it| {
            it.config(patient())
                .overflow(Overflow::Close)
                .max_backpressure(LIMIT)
        },
        probe,
    );
    let (mut slow, mut fast) = (server.open(), server.open());
    for peer in [&mut slow, &mut fast] {
        assert_eq!(peer.ask(""), "subscribed");
    }
    // Read as fast as it is published, so that only one is behind.
    let part = vec![7; 1 << 20];
    for _ in 0..(LARGE >> 20) * 3 {
        // Its worker may have no room for more while the slow one is waited for.
        while let Err(error) = server.handle().topics("/chat").publish("all", &part) {
            assert_eq!(error, HandleError::Busy);
            thread::yield_now();
        }
        fast.expect(BINARY, &part);
    }
    // It is waited for, as long as it might still read.
    while server.handle().stats().dropped == 0 {
        thread::yield_now();
    }
    let last = loop {
        let frame = slow.frame();
        if frame.opcode != BINARY {
            break frame;
        }
        assert!(frame.payload == part);
    };
    assert_eq!(last.close_code(), Some(1013));
    slow.send(CLOSE, close_payload(1013, b""));
    slow.expect_eof();
    assert_eq!(watch.close(), (1013, How::Backpressure));
    assert_eq!(fast.ask(""), "subscribed");
}

// ---- pausing, terminating -------------------------------------------------------------------

/// Tells its messages; pauses, resumes and terminates where and when it is told.
struct Pausing {
    told: Sender<String>,
    id: Mutex<Sender<ConnectionId>>,
}

impl Handler for Pausing {
    type State = ();

    fn on_open(&self, socket: &mut Socket<'_, ()>) {
        let _ = self.id.lock().unwrap().send(socket.id());
        let request = socket.request().expect("it is kept");
        if request.target.ends_with("?pause") {
            socket.pause();
        }
    }

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        let text = message.as_text().expect("text").to_owned();
        match &*text {
            "pause" => socket.pause(),
            "terminate" => {
                let _ = socket.send("never written");
                socket.terminate();
                assert_eq!(socket.send("too late"), Sent::Dropped);
            }
            _ => {}
        }
        let _ = self.told.send(text);
    }

    fn on_subscribe(
        &self,
        socket: &mut Socket<'_, ()>,
        topic: &str,
        _: Result<usize, SubscribeError>,
    ) {
        match topic {
            "resume" => socket.resume(),
            "terminate" => socket.terminate(),
            _ => {}
        }
    }

    fn on_close(&self, socket: &mut Socket<'_, ()>, end: &End) {
        let request = socket.request().expect("it is kept");
        if !request.target.ends_with("?other") {
            let _ = self.told.send(format!("closed {}", end.code().0));
        }
    }
}

struct Paused {
    server: Running,
    told: Receiver<String>,
    ids: Receiver<ConnectionId>,
}

impl Paused {
    fn start() -> Self {
        let ((tell, told), (give, ids)) = (channel(), channel());
        let handler = Pausing {
            told: tell,
            id: Mutex::new(give),
        };
        let builder = Server::builder()
            .workers(std::num::NonZeroUsize::MIN)
            .config(patient())
            .keep_request()
            .route("/chat", handler);
        let server = Running::start(builder);
        Self { server, told, ids }
    }

    fn open(&self, target: &str, behind: &[u8]) -> (Peer, ConnectionId) {
        let mut peer = self.server.connect();
        peer.upgrade(&upgrade().target(target).behind(behind));
        (peer, self.ids.recv_timeout(GUARD).unwrap())
    }

    /// What the handler was told so far, once the worker has looked at all that was sent.
    fn told(&self) -> Vec<String> {
        let (mut other, _) = self.open("/chat?other", b"");
        other.settle();
        self.told.try_iter().collect()
    }

    fn next(&self) -> String {
        self.told.recv_timeout(GUARD).expect("the handler is told")
    }
}

#[test]
fn a_paused_connection_is_told_nothing_until_it_resumes_and_then_all_in_order() {
    let rig = Paused::start();
    let (mut peer, id) = rig.open("/chat", b"");
    // The first two behind the pause in its own segment, the other on their own.
    let texts = ["pause", "one", "two"];
    peer.write(
        texts
            .map(|it| masked_frame(true, TEXT, it.as_bytes()))
            .concat(),
    );
    assert_eq!(rig.next(), "pause");
    peer.say("three");
    assert_eq!(rig.told(), [""; 0]);
    // It can still be sent to.
    rig.server.handle().send(id, "hello").unwrap();
    assert_eq!(peer.hear(), "hello");
    rig.server
        .handle()
        .topics("/chat")
        .subscribe(id, "resume")
        .unwrap();
    for text in ["one", "two", "three"] {
        assert_eq!(rig.next(), text);
    }
    peer.settle();
}

/// H12: what came behind the upgrade waits, too.
#[test]
fn a_connection_that_pauses_as_it_opens_is_told_nothing_until_it_resumes() {
    let rig = Paused::start();
    let behind = masked_frame(true, TEXT, b"behind the upgrade");
    let (_peer, id) = rig.open("/chat?pause", &behind);
    assert_eq!(rig.told(), [""; 0]);
    rig.server
        .handle()
        .topics("/chat")
        .subscribe(id, "resume")
        .unwrap();
    assert_eq!(rig.next(), "behind the upgrade");
}

#[test]
fn a_paused_connection_is_closed_by_a_stop() {
    let mut rig = Paused::start();
    let (mut peer, _) = rig.open("/chat", &masked_frame(true, TEXT, b"pause"));
    assert_eq!(rig.next(), "pause");
    rig.server.shut_down();
    peer.expect_close(1001);
    peer.send(CLOSE, close_payload(1001, b""));
    peer.expect_eof();
    assert_eq!(rig.next(), "closed 1001");
    drop(peer);
    rig.server.join();
}

#[test]
fn a_handler_terminates_and_neither_sends_nor_is_told_anything_more() {
    let rig = Paused::start();
    let (mut peer, _) = rig.open("/chat", b"");
    peer.write(
        ["terminate", "behind"]
            .map(|it| masked_frame(true, TEXT, it.as_bytes()))
            .concat(),
    );
    assert_eq!(rig.next(), "terminate");
    assert_eq!(rig.next(), "closed 1006");
    peer.expect_end();
    assert_eq!(rig.told(), [""; 0]);
}

/// Also where it is told of what another thread asked for.
#[test]
fn a_handler_terminates_at_a_subscription_that_a_handle_asked_for() {
    let rig = Paused::start();
    let (mut peer, id) = rig.open("/chat", b"");
    rig.server
        .handle()
        .topics("/chat")
        .subscribe(id, "terminate")
        .unwrap();
    assert_eq!(rig.next(), "closed 1006");
    peer.expect_end();
    assert_eq!(rig.server.handle().topics("/chat").list(), []);
}

// ---- fragments ------------------------------------------------------------------------------

#[test]
fn what_others_send_waits_for_the_end_of_a_fragmented_message() {
    let probe = Probe::new(|socket, message, told| match message.as_text() {
        Some("subscribe") => {
            socket.subscribe("all").unwrap();
            let _ = socket.send(&*socket.id().to_u64().to_string());
        }
        Some("publish") => {
            let published = socket.publish("all", "published");
            let (sent, queued) = (published.sent, published.queued);
            let _ = told.send(Told::Note(format!("{sent} sent, {queued} queued")));
            let _ = socket.send("done");
        }
        Some("last") => {
            assert_eq!(socket.send("between"), Sent::Dropped);
            assert_eq!(socket.send_last_fragment("last"), Ok(Sent::Sent));
            let _ = socket.send("behind");
        }
        Some(text) => {
            assert_eq!(socket.send_fragment(text), Ok(Sent::Sent));
        }
        None => {}
    });
    let one = std::num::NonZeroUsize::MIN;
    let (server, watch) = serve_with(|it| it.config(patient()).workers(one), probe);
    let (mut peer, mut other) = (server.open(), server.open());
    let id = ConnectionId::from_u64(peer.ask("subscribe").parse().unwrap());
    let fragment = |peer: &mut Peer, fin, opcode, payload: &str| {
        let frame = peer.frame();
        assert_eq!((frame.fin, frame.opcode), (fin, opcode));
        assert_eq!(frame.payload, payload.as_bytes());
    };
    peer.say("first");
    fragment(&mut peer, false, TEXT, "first");
    assert_eq!(other.ask("publish"), "done");
    server.handle().send(id, "sent").unwrap();
    server
        .handle()
        .topics("/chat")
        .publish("all", "published by a handle")
        .unwrap();
    // A ping is answered between the fragments.
    peer.settle();
    peer.say("second");
    fragment(&mut peer, false, CONTINUATION, "second");
    peer.send(PING, "");
    peer.expect(harness::sansio::PONG, "");
    peer.say("last");
    fragment(&mut peer, true, CONTINUATION, "last");
    for text in ["published", "sent", "published by a handle", "behind"] {
        assert_eq!(peer.hear(), text);
    }
    drop((peer, other, server));
    let queued = "0 sent, 1 queued";
    let notes = watch
        .rest()
        .into_iter()
        .filter(|it| matches!(it, Told::Note(_)));
    assert!(notes.eq([Told::Note(queued.into())]));
}

#[test]
fn what_waits_for_a_fragmented_message_that_never_ends_is_counted_as_dropped() {
    let probe = Probe::new(|socket, _, _| {
        let _ = socket.send_fragment("first");
        let _ = socket.send_fragment(&*socket.id().to_u64().to_string());
    });
    let (server, watch) = serve_with(|it| it.config(patient()), probe);
    let mut peer = server.open();
    peer.say("begin");
    peer.frame();
    let id: u64 = String::from_utf8(peer.frame().payload)
        .unwrap()
        .parse()
        .unwrap();
    for _ in 0..3 {
        let id = ConnectionId::from_u64(id);
        server.handle().send(id, "never sent").unwrap();
    }
    peer.settle();
    peer.close();
    assert_eq!(watch.close(), (1000, How::Clean));
    assert_eq!(server.handle().stats().dropped, 3);
}

/// Sends until there is no more room, and again as soon as there is some. Anything but `fill` is
/// echoed.
struct Fill;

impl Handler for Fill {
    type State = bool;

    fn on_message(&self, socket: &mut Socket<'_, bool>, message: Message<'_>) {
        if message.as_text() == Some("fill") {
            *socket.state_mut() = true;
            self.on_drain(socket);
        } else {
            socket.send(message);
        }
    }

    fn on_drain(&self, socket: &mut Socket<'_, bool>) {
        while *socket.state() && socket.send("more") != Sent::Dropped {}
    }
}

/// D16: what the peer takes as fast as it comes is work without end, too.
#[test]
fn a_handler_that_sends_on_in_on_drain_leaves_the_others_their_turn() {
    let builder = Server::builder()
        .workers(std::num::NonZeroUsize::MIN)
        .config(patient())
        .max_backpressure(100)
        .route("/chat", Fill);
    let server = Running::start(builder);
    let (mut peer, mut other) = (server.open(), server.open());
    peer.say("fill");
    let mut stream = peer.stream().try_clone().unwrap();
    let reader = thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
    for at in 0..10 {
        let text = at.to_string();
        assert_eq!(other.ask(&text), text);
    }
    peer.stream().shutdown(Shutdown::Both).unwrap();
    let _ = reader.join().unwrap();
}

/// It would wait for ever: it is not read from, and has no deadline.
#[test]
fn a_paused_connection_whose_peer_has_reset_it_ends() {
    let probe = Probe::new(|socket, _, _| {
        let _ = socket.send("never read");
        socket.pause();
    });
    let (server, watch) = serve_with(|it| it.config(patient()), probe);
    let mut peer = server.open();
    peer.say("");
    // What it has received and not read makes a reset of its end.
    assert_eq!(peer.stream().peek(&mut [0]).unwrap(), 1);
    drop(peer);
    assert_eq!(watch.close(), (1006, How::Broken));
}
