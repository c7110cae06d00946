//! What the suites over real sockets share: a server on its thread, a handler that reports what it
//! sees, and a peer that writes and reads its bytes by hand.
//!
//! Nothing sleeps. Each wait ends with what it waits for; [`GUARD`] only turns a wait for something
//! that never comes into a failure.

pub mod exposition;
#[cfg(feature = "client")]
pub mod script;

use core::time::Duration;
use std::io::{BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use sockeye::Error;
use sockeye::proto::{Config, Message, Role};
use sockeye::server::end::EndKind;
use sockeye::server::observe::{ConnectionStats, FailedHandshake, HandshakeFailure, Observer};
use sockeye::server::{Builder, End, Handle, Handler, Server, Socket};

use crate::handshake::{Answer, Text, assert_proper_101, upgrade};
use crate::sansio::{CLOSE, KEY, PING, PONG, RawFrame, TEXT, close_payload, frame, frames_from};

pub const GUARD: Duration = Duration::from_secs(20);

// ---- the server -----------------------------------------------------------------------------

/// A server on a thread. When it is dropped at the end of its test, it is told to stop and must do
/// so.
pub struct Running {
    pub address: SocketAddr,
    handle: Handle,
    /// The thread's result; None once a test has joined it.
    ended: Option<Receiver<Result<(), Error>>>,
}

impl Running {
    pub fn start(builder: Builder) -> Self {
        Self::of(builder.listen("127.0.0.1:0").unwrap())
    }

    pub fn of(server: Server) -> Self {
        let (address, handle) = (server.local_addr(), server.handle());
        let (tell, ended) = channel();
        thread::spawn(move || tell.send(server.run()));
        Self {
            address,
            handle,
            ended: Some(ended),
        }
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    pub fn shut_down(&self) {
        self.handle.shut_down();
    }

    /// Waits for the end of the server, which was told to stop.
    pub fn join(&mut self) {
        if let Some(ended) = self.ended.take() {
            let result = ended.recv_timeout(GUARD);
            result
                .expect("the server stops, and doesn't panic")
                .unwrap();
        }
    }

    pub fn connect(&self) -> Peer {
        Peer::connect(self.address)
    }

    /// An open connection on `/chat`.
    pub fn open(&self) -> Peer {
        let mut peer = self.connect();
        peer.upgrade(&upgrade());
        peer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shut_down();
        if !thread::panicking() {
            self.join();
        }
    }
}

/// Settings for a server whose sessions must not be held by a deadline: a session that is left over
/// keeps the server from stopping in time.
pub fn patient() -> Config {
    config(|config| config.close_timeout = 10 * GUARD)
}

pub fn config(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

/// What a handler saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Open,
    Message(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Drain {
        buffered: usize,
    },
    Close {
        code: u16,
        how: How,
    },
    /// What a test's own reply reports.
    Note(String),
}

/// The kind of an [`End`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Clean,
    Unclean,
    Failed,
    FailedClosing,
    Broken,
    Stalled,
    Backpressure,
    RateLimit,
    Lifetime,
    Terminated,
    Panicked,
}

type Answering = Box<dyn Fn(&mut Socket<'_, ()>, Message<'_>, &Sender<Told>) + Send + Sync>;

/// A handler that reports what it sees, and replies to messages as its test specifies.
pub struct Probe {
    told: Sender<Told>,
    answer: Answering,
}

impl Probe {
    pub fn new(
        answer: impl Fn(&mut Socket<'_, ()>, Message<'_>, &Sender<Told>) + Send + Sync + 'static,
    ) -> (Self, Watch) {
        let (told, watch) = channel();
        let answer = Box::new(answer);
        (Self { told, answer }, Watch(watch))
    }

    /// Echoes.
    pub fn echo() -> (Self, Watch) {
        Self::new(|socket, message, _| {
            let _ = socket.send(message);
        })
    }

    fn tell(&self, told: Told) {
        // The test may have ended already.
        let _ = self.told.send(told);
    }
}

impl Handler for Probe {
    type State = ();

    fn on_open(&self, _: &mut Socket<'_, ()>) {
        self.tell(Told::Open);
    }

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        self.tell(Told::Message(message.as_bytes().to_vec()));
        (self.answer)(socket, message, &self.told);
    }

    fn on_ping(&self, _: &mut Socket<'_, ()>, payload: &[u8]) {
        self.tell(Told::Ping(payload.to_vec()));
    }

    fn on_pong(&self, _: &mut Socket<'_, ()>, payload: &[u8]) {
        self.tell(Told::Pong(payload.to_vec()));
    }

    fn on_drain(&self, socket: &mut Socket<'_, ()>) {
        self.tell(Told::Drain {
            buffered: socket.buffered(),
        });
    }

    fn on_close(&self, _: &mut Socket<'_, ()>, end: &End) {
        let how = match end.kind() {
            EndKind::Closed(closed) if closed.clean => How::Clean,
            EndKind::Closed(_) => How::Unclean,
            EndKind::Failed(_) => How::Failed,
            EndKind::FailedClosing(_) => How::FailedClosing,
            EndKind::Broken(_) => How::Broken,
            EndKind::Stalled => How::Stalled,
            EndKind::ShutDown => How::Unclean,
            EndKind::Backpressure => How::Backpressure,
            EndKind::RateLimit(_) => How::RateLimit,
            EndKind::Lifetime(_) => How::Lifetime,
            EndKind::Terminated => How::Terminated,
            EndKind::Panicked => How::Panicked,
            other => panic!("unknown end {other:?}"),
        };
        let code = end.code().0;
        self.tell(Told::Close { code, how });
    }
}

/// What a [`Probe`] reports.
pub struct Watch(Receiver<Told>);

impl Watch {
    pub fn next(&self) -> Told {
        self.0.recv_timeout(GUARD).expect("the handler is called")
    }

    /// Returns how the connection ended, and skips what came before.
    pub fn close(&self) -> (u16, How) {
        loop {
            if let Told::Close { code, how } = self.next() {
                return (code, how);
            }
        }
    }

    /// Returns all that is left; the server has ended.
    pub fn rest(&self) -> Vec<Told> {
        self.0.try_iter().collect()
    }
}

/// A server with a probe on `/chat`.
pub fn serve(config: Config, (probe, watch): (Probe, Watch)) -> (Running, Watch) {
    serve_with(|it| it.config(config), (probe, watch))
}

pub fn serve_with(
    change: impl FnOnce(Builder) -> Builder,
    (probe, watch): (Probe, Watch),
) -> (Running, Watch) {
    let builder = change(Server::builder()).route("/chat", probe);
    (Running::start(builder), watch)
}

// ---- the observer ---------------------------------------------------------------------------

/// What an observer was given.
#[derive(Debug)]
pub enum Observed {
    Connected(ConnectionStats),
    Disconnected(ConnectionStats, u16),
    Failed(SocketAddr, HandshakeFailure),
}

/// An observer that reports what it is given.
pub struct Observing(Sender<Observed>);

pub fn observing() -> (Observing, Receiver<Observed>) {
    let (tell, told) = channel();
    (Observing(tell), told)
}

/// Waits until `count` connections have ended, and all of their effects are there.
pub fn wait_for_ends(observed: &Receiver<Observed>, count: usize) {
    let next = || observed.recv_timeout(GUARD).expect("they end");
    let ends = core::iter::repeat_with(next).filter(|it| matches!(it, Observed::Disconnected(..)));
    assert_eq!(ends.take(count).count(), count);
}

impl Observer for Observing {
    fn connected(&self, connection: &ConnectionStats) {
        let _ = self.0.send(Observed::Connected(connection.clone()));
    }

    fn disconnected(&self, connection: &ConnectionStats, end: &End) {
        let (stats, code) = (connection.clone(), end.code().0);
        let _ = self.0.send(Observed::Disconnected(stats, code));
    }

    fn handshake_failed(&self, failure: &FailedHandshake<'_>) {
        let failed = Observed::Failed(failure.peer_addr, failure.cause);
        let _ = self.0.send(failed);
    }
}

// ---- the peer -------------------------------------------------------------------------------

/// A plain socket of the test, or a stream over one.
pub struct Peer<S = TcpStream> {
    reader: BufReader<S>,
}

impl Peer {
    pub fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).unwrap())
    }

    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(GUARD)).unwrap();
        stream.set_write_timeout(Some(GUARD)).unwrap();
        Self::over(stream)
    }

    pub fn into_inner(self) -> TcpStream {
        self.reader.into_inner()
    }

    pub fn shut_write(&mut self) {
        self.stream().shutdown(Shutdown::Write).unwrap();
    }
}

impl<S: Read + Write> Peer<S> {
    pub fn over(stream: S) -> Self {
        Self {
            reader: BufReader::new(stream),
        }
    }

    pub fn stream(&mut self) -> &mut S {
        self.reader.get_mut()
    }

    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream().write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a whole, masked frame.
    pub fn send(&mut self, opcode: u8, payload: impl AsRef<[u8]>) {
        self.write(masked_frame(true, opcode, payload.as_ref()));
    }

    /// Sends a text message.
    pub fn say(&mut self, text: &str) {
        self.send(TEXT, text);
    }

    /// Reads a text message.
    #[track_caller]
    pub fn hear(&mut self) -> String {
        let frame = self.frame();
        assert!(frame.fin && frame.opcode == TEXT, "{frame:?}");
        String::from_utf8(frame.payload).unwrap()
    }

    /// Sends a text message and reads the reply.
    #[track_caller]
    pub fn ask(&mut self, text: &str) -> String {
        self.say(text);
        self.hear()
    }

    /// Waits until the server's worker has done all that came before: it sends the pong for a ping.
    #[track_caller]
    pub fn settle(&mut self) {
        self.send(PING, "settled");
        self.expect(PONG, "settled");
    }

    /// Does the closing handshake.
    #[track_caller]
    pub fn close(mut self) {
        self.send(CLOSE, close_payload(1000, b""));
        self.expect_close(1000);
        self.expect_eof();
    }

    /// Does the opening handshake.
    #[track_caller]
    pub fn upgrade(&mut self, request: &Text) {
        self.write(request.bytes());
        assert_proper_101(&self.head(), &crate::handshake::key_of(request));
    }

    /// Reads up to the end of an HTTP head.
    #[track_caller]
    pub fn head(&mut self) -> Vec<u8> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let count = self.reader.read_until(b'\n', &mut head).unwrap();
            assert_ne!(count, 0, "ended in a head: {:?}", head.escape_ascii());
        }
        head
    }

    /// Reads a response with its body.
    #[track_caller]
    pub fn response(&mut self) -> Answer {
        let mut answer = Answer::read(&self.head());
        // RFC 9112 section 6.3: these have no content, whatever their headers say.
        if !matches!(answer.status, 204 | 304) {
            let length = answer.header("Content-Length").expect("Content-Length");
            answer.body = self.read(length.parse().unwrap());
        }
        answer
    }

    /// Reads exactly this many bytes.
    #[track_caller]
    pub fn read(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Reads a server's frame.
    #[track_caller]
    pub fn frame(&mut self) -> RawFrame {
        let mut bytes = self.read(2);
        let more = match bytes[1] & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        bytes.extend(self.read(more));
        let length = match more {
            0 => u64::from(bytes[1] & 0x7F),
            _ => bytes[2..].iter().fold(0, |n, it| n << 8 | u64::from(*it)),
        };
        bytes.extend(self.read(length as usize));
        frames_from(Role::Server, &bytes).remove(0)
    }

    /// Reads a whole message in one frame.
    #[track_caller]
    pub fn expect(&mut self, opcode: u8, payload: impl AsRef<[u8]>) {
        let (frame, payload) = (self.frame(), payload.as_ref());
        assert!(frame.fin && frame.opcode == opcode, "{frame:?}");
        // Not assert_eq: the payloads may be large.
        assert!(frame.payload == payload, "another payload");
    }

    /// Reads a Close with this code.
    #[track_caller]
    pub fn expect_close(&mut self, code: u16) {
        let frame = self.frame();
        assert_eq!(frame.close_code(), Some(code), "{frame:?}");
    }

    /// Reads the end of the stream: no byte and no reset before it.
    #[track_caller]
    pub fn expect_eof(&mut self) {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "{:?}", rest.escape_ascii());
    }

    /// Reads until the stream ends or breaks, since the server has dropped it.
    #[track_caller]
    pub fn expect_end(&mut self) {
        if let Err(error) = self.reader.read_to_end(&mut Vec::new()) {
            // Over TLS, a dropped transport gives the second.
            let expected = [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof];
            assert!(expected.contains(&error.kind()), "{error}");
        }
    }
}

pub fn masked_frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(fin, 0, opcode, Some(KEY), payload)
}
