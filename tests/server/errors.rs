//! The error event of connections, for their handler and for the server's observers, over real
//! sockets.

use core::time::Duration;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, channel};

use harness::handshake::upgrade;
use harness::net::{GUARD, Peer, Running, config};
use harness::sansio::{BINARY, CLOSE, TEXT, close_payload};
use sockeye::proto::{CloseCode, Message};
use sockeye::server::observe::{ConnectionStats, ErrorCause, Observer};
use sockeye::server::{End, Handler, Server, Socket};

/// Who was told what.
type Told = (&'static str, Option<ErrorCause>, CloseCode);

struct App {
    panics_on_error: bool,
    told: Sender<Told>,
}

impl Handler for App {
    type State = ();

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        match message.as_text() {
            Some("panic") => resume_unwind(Box::new("on purpose")),
            Some("close") => drop(socket.close(CloseCode(4000), "")),
            Some("terminate") => socket.terminate(),
            _ => {}
        }
    }

    fn on_error(&self, socket: &mut Socket<'_, ()>, cause: ErrorCause, end: &End) {
        assert_eq!(end.error(), Some(cause));
        assert!(!socket.is_open(), "nothing can be sent any more");
        let _ = self.told.send(("on_error", Some(cause), end.code()));
        if self.panics_on_error {
            resume_unwind(Box::new("on purpose"));
        }
    }

    fn on_close(&self, _: &mut Socket<'_, ()>, end: &End) {
        let _ = self.told.send(("on_close", end.error(), end.code()));
    }
}

struct Watches(Sender<Told>);

impl Observer for Watches {
    fn failed(&self, _: &ConnectionStats, cause: ErrorCause, end: &End) {
        let _ = self.0.send(("failed", Some(cause), end.code()));
    }

    fn disconnected(&self, _: &ConnectionStats, end: &End) {
        let _ = self.0.send(("disconnected", end.error(), end.code()));
    }
}

fn serve(panics_on_error: bool) -> (Running, Receiver<Told>) {
    let (told, watch) = channel();
    let settings = config(|it| {
        it.max_message_size = 1000;
        it.close_timeout = Duration::from_millis(100);
    });
    let app = App {
        panics_on_error,
        told: told.clone(),
    };
    let builder = Server::builder()
        .config(settings)
        .observer(Watches(told))
        .route("/chat", app);
    (Running::start(builder), watch)
}

fn told(watch: &Receiver<Told>, count: usize) -> Vec<Told> {
    let next = |_| watch.recv_timeout(GUARD).expect("it ends");
    (0..count).map(next).collect()
}

/// Breaks a connection, with what its error is then.
type Break = (fn(&mut Peer), ErrorCause, CloseCode);

const ERRORS: [Break; 6] = [
    (
        |peer| peer.write([0xF1, 0x80, 0, 0, 0, 0]),
        ErrorCause::Frame,
        CloseCode::PROTOCOL_ERROR,
    ),
    (
        |peer| peer.send(TEXT, b"\xFF"),
        ErrorCause::Utf8,
        CloseCode::INVALID_PAYLOAD,
    ),
    (
        |peer| peer.send(BINARY, [0; 1001]),
        ErrorCause::TooBig,
        CloseCode::MESSAGE_TOO_BIG,
    ),
    (
        |peer| peer.say("panic"),
        ErrorCause::Panic,
        CloseCode::INTERNAL_ERROR,
    ),
    // It answers no Close.
    (
        |peer| peer.say("close"),
        ErrorCause::CloseTimeout,
        CloseCode::ABNORMAL,
    ),
    (
        |peer| peer.send(CLOSE, close_payload(1005, b"")),
        ErrorCause::CloseFrame,
        CloseCode::PROTOCOL_ERROR,
    ),
];

#[test]
fn an_error_is_told_once_and_right_before_the_end_also_when_that_panics() {
    for panics in [false, true] {
        let (server, watch) = serve(panics);
        for (breaks, cause, code) in ERRORS {
            let mut peer = server.connect();
            peer.upgrade(&upgrade());
            breaks(&mut peer);
            let who = ["on_error", "on_close", "failed", "disconnected"];
            let expected = who.map(|it| (it, Some(cause), code));
            assert_eq!(told(&watch, 4), expected);
        }
        drop(server);
        assert_eq!(watch.try_iter().count(), 0);
    }
}

#[test]
fn an_end_that_somebody_wanted_is_no_error() {
    let (server, watch) = serve(false);
    type Ends = (fn(&mut Peer), CloseCode);
    let ends: [Ends; 4] = [
        (
            |peer| peer.send(CLOSE, close_payload(1001, b"")),
            CloseCode::GOING_AWAY,
        ),
        (
            |peer| {
                peer.say("close");
                peer.expect_close(4000);
                peer.send(CLOSE, close_payload(4000, b""));
            },
            CloseCode(4000),
        ),
        (|peer| peer.say("terminate"), CloseCode::ABNORMAL),
        (Peer::shut_write, CloseCode::ABNORMAL),
    ];
    for (end, code) in ends {
        let mut peer = server.open();
        end(&mut peer);
        let expected = ["on_close", "disconnected"].map(|it| (it, None, code));
        assert_eq!(told(&watch, 2), expected);
    }
    drop(server);
    assert_eq!(watch.try_iter().count(), 0);
}
