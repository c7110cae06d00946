//! Sessions on a simulated transport and a virtual clock: docs/cases.md E2, F16, F18, D7, D8.
//!
//! The wire behaves like an edge-triggered socket: readiness is reported once for bytes that arrive
//! and for room that is freed, and never again. So a session that forgets what it may do is stuck.

use std::string::{String, ToString as _};
use std::sync::Mutex;
use std::vec;

use mio::Token;

use super::super::shared::Shared;
use super::super::topics::{JointMessage, SubscribeError, Topic, TopicName};
use super::*;
use crate::proto::{CloseCode, Config, Connection, Message, MessageKind, RandomSource as _};
use crate::server::builder::Builder;
use crate::server::end::{End, STOPS};
use crate::server::handler::Handler;
use crate::server::run::inbox::{Command, Inbox};
use crate::server::run::server::Parts;
use crate::server::run::sessions::RECEIVE_BUFFER;
use crate::server::socket::Socket;
use crate::server::testing::wire::{Random, Sim, Wire};
use crate::server::websocket::Published;

mod calls;
mod deadlines;
mod dropping;
mod faults;
mod leaving;
mod slow;

/// Ends a session as a server that stops does.
fn shut_down(session: &mut Session<Sim>, turn: &mut Turn<'_>) -> Next {
    session.shut_down(CloseCode::GOING_AWAY, STOPS, turn)
}

// ---- the application ------------------------------------------------------------------------

/// The calls of the handler, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Open,
    Message(MessageKind, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Sent(Sent),
    Drain,
    Close(String),
}

/// Echoes, and records its calls. A message may pause it, and a subscription resumes.
#[derive(Clone, Default)]
struct Echo {
    told: Arc<Mutex<Vec<Told>>>,
    /// Whether it pauses as it opens.
    pauses: bool,
    /// The Close that the session sent, as its end reported it.
    sent: Arc<Mutex<Option<(u16, String)>>>,
}

impl Echo {
    fn tell(&self, told: Told) {
        self.told.lock().unwrap().push(told);
    }
}

impl Handler for Echo {
    type State = ();

    fn on_open(&self, socket: &mut Socket<'_, ()>) {
        self.tell(Told::Open);
        if self.pauses {
            socket.pause();
        }
    }

    fn on_subscribe(&self, socket: &mut Socket<'_, ()>, _: &str, _: Result<usize, SubscribeError>) {
        socket.resume();
    }

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        self.tell(Told::Message(message.kind(), message.as_bytes().to_vec()));
        if message.as_text() == Some("pause") {
            socket.pause();
        }
        let sent = socket.send(message);
        self.tell(Told::Sent(sent));
    }

    fn on_ping(&self, _: &mut Socket<'_, ()>, payload: &[u8]) {
        self.tell(Told::Ping(payload.to_vec()));
    }

    fn on_pong(&self, _: &mut Socket<'_, ()>, payload: &[u8]) {
        self.tell(Told::Pong(payload.to_vec()));
    }

    fn on_drain(&self, socket: &mut Socket<'_, ()>) {
        assert_eq!(socket.buffered(), 0);
        self.tell(Told::Drain);
    }

    fn on_close(&self, socket: &mut Socket<'_, ()>, end: &End) {
        assert!(!socket.is_open());
        assert_eq!(socket.send("too late"), Sent::Dropped);
        let sent = end.sent();
        *self.sent.lock().unwrap() = sent.map(|(code, reason)| (code.0, reason.into()));
        let end = match end.kind() {
            EndKind::Stalled => "stalled".into(),
            EndKind::Broken(error) => error.kind().to_string(),
            _ => end.code().to_string(),
        };
        self.tell(Told::Close(end));
    }
}

/// An echo on `/chat` and a page on `/`.
fn parts(echo: &Echo, change: impl FnOnce(&mut Options, &mut Config)) -> Parts {
    let (mut options, mut config) = (Options::default(), Config::default());
    change(&mut options, &mut config);
    options.config = Arc::new(config);
    let builder = Builder::new()
        .option(|it| *it = options)
        .route("/chat", echo.clone())
        .page("/", "text/plain", vec![b'p'; 5000]);
    builder.simulated_parts().unwrap()
}

/// There are no others.
struct Alone;

impl LocalSessions for Alone {
    fn known(&self, _: TopicName<'_>) -> Option<Arc<Topic>> {
        None
    }

    fn may_deliver(&self) -> bool {
        true
    }

    fn number(&self) -> u64 {
        1
    }

    fn deliver(
        &mut self,
        _: &Arc<Topic>,
        _: u64,
        _: Option<Token>,
        _: LocalDelivery<'_>,
    ) -> Published {
        Published::default()
    }

    fn deliver_joint(
        &mut self,
        _: &Arc<JointMessage>,
        _: Option<Token>,
        _: LocalDelivery<'_>,
    ) -> Published {
        Published::default()
    }

    fn subscribe(&mut self, _: &Arc<Topic>, _: Token, _: u64) {}

    fn unsubscribe(&mut self, _: &str, _: Token) {}

    fn begun(&self, _: &str, _: Token) -> Option<u64> {
        None
    }

    fn direct_for(&self, _: Token) -> Option<(u64, Command)> {
        None
    }

    fn next_for(&mut self, _: Token, _: u64, _: u64, _: &Inbox) -> Option<(u64, Command)> {
        None
    }

    fn throttle(&mut self, _: Token) {}
}

// ---- a session and what drives it -----------------------------------------------------------

struct Rig {
    session: Session<Sim>,
    sim: Sim,
    shared: Arc<Shared>,
    endpoints: Arc<Endpoints>,
    echo: Echo,
    now: Duration,
    buffer: Vec<u8>,
    cork: Vec<u8>,
    worker: WorkerState,
    scratch: Scratch,
}

impl Rig {
    /// A session that was just accepted; its wire accepts everything and delivers nothing.
    fn new(change: impl FnOnce(&mut Options, &mut Config)) -> Self {
        Self::with(Echo::default(), change)
    }

    fn with(echo: Echo, change: impl FnOnce(&mut Options, &mut Config)) -> Self {
        let sim = Sim::default();
        let Parts { shared, endpoints } = parts(&echo, change);
        let worker = WorkerState::new(Arc::clone(&shared), 0, Duration::ZERO);
        sim.0.borrow_mut().room = usize::MAX;
        let peer = ([127, 0, 0, 1], 1).into();
        Self {
            session: Session::new(
                sim.clone(),
                peer,
                shared.connections.admit().unwrap(),
                &endpoints,
                Duration::ZERO,
            ),
            sim,
            shared,
            endpoints,
            echo,
            now: Duration::ZERO,
            buffer: vec![0; RECEIVE_BUFFER],
            cork: Vec::new(),
            worker,
            scratch: Scratch::new(),
        }
    }

    /// An open session; what it has written is dropped.
    fn open(change: impl FnOnce(&mut Options, &mut Config)) -> Self {
        let mut rig = Self::new(change);
        assert_eq!(rig.receive(upgrade()), Next::Wait);
        assert_eq!(rig.told(), [Told::Open]);
        rig.wire(|wire| wire.output.clear());
        rig
    }

    fn wire<R>(&self, use_it: impl FnOnce(&mut Wire) -> R) -> R {
        use_it(&mut self.sim.0.borrow_mut())
    }

    /// Drives the session as the worker does for an event.
    fn drive(&mut self) -> Next {
        let (readable, ended) = self.wire(|wire| {
            wire.writable = false;
            let ended = wire.fin && wire.arrived == wire.input.len() || wire.broken.is_some();
            (mem::take(&mut wire.readable), ended)
        });
        if readable {
            self.session.set_readable(ended);
        }
        self.turn(Session::drive)
    }

    fn turn(&mut self, how: fn(&mut Session<Sim>, &mut Turn<'_>) -> Next) -> Next {
        self.worker.at(self.now);
        let mut turn = Turn {
            id: ConnectionId::from_u64(0),
            worker: &self.worker,
            endpoints: &self.endpoints,
            buffer: &mut self.buffer,
            cork: &mut self.cork,
            scratch: &mut self.scratch,
            drained: false,
            local: &mut Alone,
        };
        let next = how(&mut self.session, &mut turn);
        assert!(self.cork.is_empty(), "the cork is for one session's turn");
        next
    }

    /// Lets bytes arrive.
    fn arrive(&mut self, bytes: &[u8]) {
        self.wire(|wire| {
            wire.input.extend_from_slice(bytes);
            wire.arrive(bytes.len());
        });
    }

    /// Lets bytes arrive, and drives until the session waits.
    fn receive(&mut self, bytes: impl AsRef<[u8]>) -> Next {
        self.arrive(bytes.as_ref());
        self.settle()
    }

    fn settle(&mut self) -> Next {
        loop {
            match self.drive() {
                Next::Again => {}
                next => return next,
            }
        }
    }

    /// Sets the clock to the session's deadline and drives it, as the timer does.
    fn expire(&mut self) -> Next {
        let deadline = self.deadline().expect("a deadline");
        assert!(deadline >= self.now, "in the past");
        self.now = deadline;
        self.settle()
    }

    fn deadline(&self) -> Option<Duration> {
        self.session.deadline(&self.endpoints.options)
    }

    /// The calls of the handler since the last one, without what [`Socket::send`] returned.
    fn told(&self) -> Vec<Told> {
        let mut told = mem::take(&mut *self.echo.told.lock().unwrap());
        told.retain(|it| !matches!(it, Told::Sent(_)));
        told
    }

    /// What [`Socket::send`] returned since the last call, and the calls of `on_drain`.
    fn answers(&self) -> Vec<Told> {
        let mut told = mem::take(&mut *self.echo.told.lock().unwrap());
        told.retain(|it| matches!(it, Told::Sent(_) | Told::Drain));
        told
    }

    fn output(&self) -> Vec<u8> {
        self.wire(|wire| mem::take(&mut wire.output))
    }
}

/// The peer's bytes of an opening handshake.
fn upgrade() -> Vec<u8> {
    b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        .to_vec()
}

/// A client that only sends; the bytes gather in its second field.
struct Client(Connection, Vec<u8>);

impl Client {
    fn new() -> Self {
        let config = Arc::new(Config::default());
        let connection = Connection::client(config, Box::new(Random(1)), Duration::ZERO);
        Self(connection, Vec::new())
    }

    fn text(mut self, text: &str) -> Self {
        self.0.send(text, &mut self.1).unwrap();
        self
    }

    fn binary(mut self, length: usize) -> Self {
        let bytes = noise(length);
        self.0.send(&bytes, &mut self.1).unwrap();
        self
    }

    /// A message in fragments of this size with pings between.
    fn fragments(mut self, length: usize, size: usize) -> Self {
        let bytes = noise(length);
        for fragment in bytes.chunks(size) {
            self.0.send_fragment(fragment, &mut self.1).unwrap();
            self.0.send_ping(&fragment[..1], &mut self.1).unwrap();
        }
        self.0.send_last_fragment(b"", &mut self.1).unwrap();
        self
    }

    fn pong(mut self) -> Self {
        self.0.send_pong(b"unsolicited", &mut self.1).unwrap();
        self
    }

    fn close(mut self, code: u16) -> Self {
        let (code, now) = (CloseCode(code), Duration::ZERO);
        self.0.close(code, "bye", &mut self.1, now).unwrap();
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.1.extend_from_slice(bytes);
        self
    }
}

fn noise(length: usize) -> Vec<u8> {
    let (mut random, mut bytes) = (Random(length as u64), vec![0; length]);
    random.fill(&mut bytes);
    bytes
}
