//! A connection between a fuzzer's stream and a fuzzer's application, held against a model.
//!
//! The model knows the state, what each call may answer, and which frames each call has to
//! write; `wire` reads these apart from the core. The stream is run three times: whole and in
//! pieces, where everything must be the same, and in pieces with commands in between.

use std::sync::Arc;
use std::time::Duration;

use arbitrary::Unstructured;
use sockeye::error::{Fault, Misuse, ProtocolError};
use sockeye::proto::{
    Accept, ClientHandshake, ClientRequest, CloseCode, Closed, Config, Connection, Delivery, Event,
    FrameHeader, Input, MAX_CONTROL_PAYLOAD, MAX_REASON_LENGTH, Message, MessageKind, MessagePiece,
    MessageRef, RandomSource, Role, ServerHandshake, Teardown, Url, mask,
};

use crate::rle::{self, Rle};
use crate::wire::{self, Frame, Rules};
use crate::{Cuts, byte, bytes, generate};

#[derive(Clone)]
struct Setup {
    role: Role,
    config: Arc<Config>,
    /// This endpoint's Close is sent before anything arrives.
    close_first: bool,
    /// What the application does with a message.
    reaction: u8,
}

impl Setup {
    fn read(u: &mut Unstructured<'_>, role: Role, flags: u8) -> Self {
        let mut config = Config::default();
        if flags & 2 != 0 {
            config.delivery = Delivery::Streamed;
        }
        if flags & 4 != 0 {
            config.extensions.push(Rle::shared());
        }
        if flags & 8 != 0 {
            config.fragment_size = Some(core::num::NonZeroUsize::MIN.saturating_add(20));
        }
        if flags & 16 != 0 {
            config.max_frame_size = Some(100);
        }
        if flags & 32 != 0 {
            config.idle_timeout = Some(Duration::from_secs(45));
        }
        match byte(u) {
            0 => {}
            some => config.max_message_size = usize::from(some - 1) * 4,
        }
        match byte(u) {
            0 => {}
            some => config.max_fragments = u32::from(some - 1),
        }
        Self {
            role,
            config: Arc::new(config),
            close_first: flags & 64 != 0,
            reaction: byte(u),
        }
    }

    fn extended(&self) -> bool {
        !self.config.extensions.is_empty()
    }

    fn connect(&self) -> Connection {
        let now = Duration::ZERO;
        let config = || Arc::clone(&self.config);
        if !self.extended() {
            return match self.role {
                Role::Server => Connection::server(config(), now),
                Role::Client => Connection::client(config(), random(), now),
            };
        }
        let (client, server) = connect_pair(config());
        match self.role {
            Role::Server => server,
            Role::Client => client,
        }
    }
}

/// No random at all: runs repeat.
fn random() -> Box<dyn RandomSource> {
    let mut count = 0x9e37_79b9_u32;
    Box::new(move |bytes: &mut [u8]| {
        for byte in bytes {
            count = count.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
            *byte = (count >> 24) as u8;
        }
    })
}

/// A client and a server after their handshake, which is how an extension gets in.
fn connect_pair(config: Arc<Config>) -> (Connection, Connection) {
    let now = Duration::ZERO;
    let url = Url::parse("ws://localhost/").expect("a URL");
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let mut client = ClientHandshake::new(
        &url,
        &ClientRequest::default(),
        Arc::clone(&config),
        random(),
        &mut to_server,
        now,
    )
    .expect("a request");
    let mut server = ServerHandshake::new(config, now);
    let request = server.recv(&mut Input::new(&mut to_server), &mut to_client);
    request.expect("a good request").expect("a whole one");
    let server = server
        .accept(&Accept::default(), &mut to_client, now)
        .expect("an upgrade");
    let client = client
        .recv(&mut Input::new(&mut to_client), now)
        .expect("a good response")
        .expect("a whole one");
    (client, server)
}

/// An event, without its borrow.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Logged {
    Message(MessageKind, Vec<u8>),
    /// Pieces that came one after the other, joined.
    Pieces {
        kind: MessageKind,
        bytes: Vec<u8>,
        first: bool,
        last: bool,
    },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closed(Closed),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Closing,
    Over(Teardown, Option<Fault>),
}

/// The connection, and what has to be true of it.
struct Model {
    setup: Setup,
    connection: Connection,
    now: Duration,
    phase: Phase,
    /// The kind of the fragmented message being sent.
    sending: Option<MessageKind>,
    /// That message, as it was given and as it was written.
    sent: (Vec<u8>, Vec<u8>),
    /// It goes through the extension.
    encoded: bool,
    /// The message that arrives in pieces, if one has begun.
    arriving: Option<(MessageKind, Vec<u8>)>,
    log: Vec<Logged>,
    /// All that was written.
    wire: Vec<u8>,
}

const PONG: u8 = 10;
const CLOSE: u8 = 8;

impl Model {
    fn new(setup: &Setup) -> Self {
        let model = Self {
            setup: setup.clone(),
            connection: setup.connect(),
            now: Duration::from_secs(1),
            phase: Phase::Open,
            sending: None,
            sent: Default::default(),
            encoded: false,
            arriving: None,
            log: Vec::new(),
            wire: Vec::new(),
        };
        assert_eq!(model.connection.role(), setup.role);
        model.check();
        model
    }

    /// Takes what a call has written.
    fn written(&mut self, out: &[u8], inside: bool) -> Vec<Frame> {
        self.wire.extend(out);
        // A fragment alone is no stream: put the frame before it that it continues.
        let mut stream = Vec::new();
        let masked = self.setup.role == Role::Client;
        if inside {
            stream.extend([0x01, if masked { 0x80 } else { 0 }]);
            stream.extend(masked.then_some([0; 4]).iter().flatten());
        }
        stream.extend(out);
        let mut frames = wire::written(&stream, self.rules());
        if inside {
            frames.remove(0);
        }
        frames
    }

    fn rules(&self) -> Rules {
        Rules {
            masked: self.setup.role == Role::Client,
            rsv: if self.setup.extended() { 4 } else { 0 },
        }
    }

    fn check(&self) {
        let connection = &self.connection;
        assert_eq!(connection.is_open(), self.phase == Phase::Open);
        let (teardown, fault) = match self.phase {
            Phase::Over(teardown, fault) => (Some(teardown), fault),
            _ => (None, None),
        };
        assert_eq!(connection.teardown(), teardown);
        assert_eq!(connection.fault(), fault);
        // There is a deadline for as long as the transport is wanted.
        assert_eq!(
            connection.poll_timeout().is_none(),
            teardown == Some(Teardown::Drop)
        );
    }

    fn recv(&mut self, mut piece: Vec<u8>, react: bool) {
        let all = piece.len();
        let mut input = Input::new(&mut piece);
        loop {
            let mut out = Vec::new();
            let answer = self.connection.recv(&mut input, &mut out, self.now);
            let frames = self.written(&out, false);
            match (self.phase, &answer) {
                (Phase::Open, _) => {}
                // Pings that came after this endpoint's Close are still answered.
                (Phase::Closing, Ok(None | Some(Event::Closed(_))) | Err(_)) => {
                    assert!(frames.iter().all(|frame| frame.opcode == PONG));
                }
                (Phase::Over(_, fault), Ok(None) | Err(_)) => {
                    assert!(frames.is_empty() && input.is_empty());
                    assert_eq!(answer.err(), fault, "the fault must stick");
                    return;
                }
                (phase, Ok(Some(event))) => panic!("{event:?} in {phase:?}"),
            }
            let open = self.phase == Phase::Open;
            match answer {
                Ok(None) => {
                    assert!(!open || frames.is_empty());
                    assert!(input.is_empty() && input.consumed() == all);
                    self.check();
                    return;
                }
                Ok(Some(event)) => self.event(event, &frames, react),
                Err(fault) => {
                    assert!(input.is_empty() && input.consumed() == all);
                    self.failed(fault, &frames);
                    self.check();
                    return;
                }
            }
            self.check();
        }
    }

    fn failed(&mut self, fault: Fault, frames: &[Frame]) {
        if let Fault::Protocol(ProtocolError::CloseCode(code)) = fault {
            assert!(!wire::is_close_code(code));
        }
        let teardown = if self.phase == Phase::Open {
            let [close] = frames else {
                panic!("no Close alone for {fault}: {frames:?}");
            };
            let (code, reason) = read_close(close);
            assert_eq!(code, Some(fault.close_code()));
            assert!(!reason.is_empty());
            Teardown::HalfClose
        } else {
            Teardown::Drop
        };
        self.phase = Phase::Over(teardown, Some(fault));
    }

    fn event(&mut self, event: Event<'_>, frames: &[Frame], react: bool) {
        let limit = self.setup.config.max_message_size;
        let whole = self.setup.config.delivery == Delivery::Whole;
        match event {
            Event::Message(message) => {
                assert!(whole && frames.is_empty());
                assert!(message.len() <= limit, "a message over the limit");
                assert_eq!(message.len(), message.as_bytes().len());
                assert_eq!(message.is_empty(), message.as_bytes().is_empty());
                let text = core::str::from_utf8(message.as_bytes());
                assert_eq!(message.is_text(), message.as_text().is_some());
                if let Some(told) = message.as_text() {
                    assert_eq!(Ok(told), text, "text that is not UTF-8");
                }
                let bytes = message.as_bytes().to_vec();
                self.log.push(Logged::Message(message.kind(), bytes));
                if react {
                    self.react(message);
                }
            }
            Event::Piece(piece) => {
                assert!(!whole && frames.is_empty());
                self.piece(&piece, limit);
                if react && self.setup.reaction % 2 == 1 {
                    self.connection.recycle(piece.into_payload());
                }
            }
            Event::Ping(payload) => {
                let [pong] = frames else {
                    panic!("no pong alone: {frames:?}");
                };
                assert_eq!((pong.opcode, &*pong.payload), (PONG, &*payload));
                self.log.push(Logged::Ping(payload.to_vec()));
                let copy = payload.to_vec();
                assert_eq!(copy, *payload.into_vec());
            }
            Event::Pong(payload) => {
                assert!(frames.is_empty());
                assert!(payload.len() <= MAX_CONTROL_PAYLOAD);
                self.log.push(Logged::Pong(payload.into_vec()));
            }
            Event::Closed(closed) => {
                assert!(closed.clean);
                assert_eq!(closed.local, self.phase == Phase::Closing);
                assert!(closed.reason.len() <= MAX_REASON_LENGTH);
                let code = (closed.code != CloseCode::NO_STATUS).then_some(closed.code);
                assert!(code.is_none_or(|code| wire::is_close_code(code.0)));
                assert!(code.is_some() || closed.reason.is_empty());
                if !closed.local {
                    let [close] = frames else {
                        panic!("no Close alone: {frames:?}");
                    };
                    assert_eq!(read_close(close).0, code);
                }
                let teardown = match self.setup.role {
                    Role::Server => Teardown::HalfClose,
                    Role::Client => Teardown::AwaitEof,
                };
                self.phase = Phase::Over(teardown, None);
                self.log.push(Logged::Closed(closed));
            }
            other => panic!("unknown event {other:?}"),
        }
    }

    fn piece(&mut self, piece: &MessagePiece<'_>, limit: usize) {
        assert_eq!(piece.first, self.arriving.is_none());
        assert!(piece.last || !piece.as_bytes().is_empty());
        let (kind, text) = self
            .arriving
            .get_or_insert_with(|| (piece.kind(), Vec::new()));
        assert_eq!(*kind, piece.kind());
        text.extend(piece.as_bytes());
        assert!(text.len() <= limit, "a message over the limit");
        if piece.kind() == MessageKind::Text {
            let told = core::str::from_utf8(piece.as_bytes());
            assert_eq!(told, Ok(piece.as_text().unwrap_or("\0")));
        }
        if piece.last {
            self.arriving = None;
        }
        match self.log.last_mut() {
            Some(Logged::Pieces { bytes, last, .. }) if !piece.first => {
                bytes.extend(piece.as_bytes());
                *last = piece.last;
            }
            _ => self.log.push(Logged::Pieces {
                kind: piece.kind(),
                bytes: piece.as_bytes().to_vec(),
                first: piece.first,
                last: piece.last,
            }),
        }
    }

    /// The application answers a message.
    fn react(&mut self, message: Message<'_>) {
        let mut out = Vec::new();
        let kind = message.kind();
        let bytes = message.as_bytes().to_vec();
        match self.setup.reaction % 5 {
            1 => {
                let answer = self.connection.send(&message, &mut out);
                self.sent(answer, kind, &bytes, &out);
            }
            2 => match self.connection.send_in_place(message, &mut out) {
                Ok(Some(frame)) => {
                    assert!(out.is_empty());
                    self.sent(Ok(()), kind, &bytes, frame.as_bytes());
                    self.connection.recycle(frame.into_payload());
                }
                Ok(None) => self.sent(Ok(()), kind, &bytes, &out),
                Err(error) => self.sent(Err(error), kind, &bytes, &out),
            },
            3 => self.connection.recycle(message.into_payload()),
            4 => match message.into_text() {
                Ok(text) => assert_eq!((kind, text.as_bytes()), (MessageKind::Text, &*bytes)),
                Err(message) => {
                    assert_eq!(kind, MessageKind::Binary);
                    assert_eq!(message.into_owned().into_vec(), bytes);
                }
            },
            _ => {}
        }
    }

    /// What must keep a message from being sent.
    fn misuse(&self) -> Option<Misuse> {
        if self.phase != Phase::Open {
            Some(Misuse::Closed)
        } else {
            self.sending.map(|_| Misuse::FragmentUnderWay)
        }
    }

    /// A message was sent, or refused.
    fn sent(&mut self, answer: Result<(), Misuse>, kind: MessageKind, bytes: &[u8], out: &[u8]) {
        let frames = self.written(out, false);
        assert_eq!(answer.err(), self.misuse());
        if self.misuse().is_some() {
            assert!(frames.is_empty());
            return;
        }
        let size = self.setup.config.fragment_size;
        let count = size.map_or(1, |size| bytes.len().div_ceil(size.get()).max(1));
        assert_eq!(frames.len(), count);
        for (at, frame) in frames.iter().enumerate() {
            assert_eq!(frame.opcode, if at == 0 { opcode(kind) } else { 0 });
            assert_eq!(frame.fin, at + 1 == count);
        }
        let mut joined: Vec<u8> = frames.iter().flat_map(|it| it.payload.clone()).collect();
        if frames[0].rsv != 0 {
            joined = rle::decode(&joined);
        }
        assert_eq!(joined, bytes);
        self.check();
    }

    fn send(&mut self, kind: MessageKind, length: usize) {
        let bytes = content(kind, length);
        let mut out = Vec::new();
        let answer = self.connection.send(message(kind, &bytes), &mut out);
        self.sent(answer, kind, &bytes, &out);
    }

    /// The header by the core, the payload by hand.
    fn send_header(&mut self, kind: MessageKind, length: usize) {
        let mut bytes = content(kind, length);
        let header = match self.connection.send_header(kind, length as u64) {
            Ok(header) => header,
            Err(error) => return self.sent(Err(error), kind, &bytes, &[]),
        };
        let mut out = header.encode().as_bytes().to_vec();
        let FrameHeader { masking_key, .. } = header;
        assert_eq!(masking_key.is_some(), self.setup.role == Role::Client);
        let plain = bytes.clone();
        if let Some(key) = masking_key {
            mask(&mut bytes, key, 0);
        }
        out.extend(bytes);
        let frames = self.written(&out, false);
        assert_eq!(self.misuse(), None);
        let [frame] = &*frames else {
            panic!("not one frame: {frames:?}");
        };
        assert!(frame.fin && frame.rsv == 0 && frame.opcode == opcode(kind));
        assert_eq!(frame.payload, plain);
    }

    fn send_fragment(&mut self, kind: MessageKind, length: usize, fin: bool) {
        let bytes = content(kind, length);
        let mut out = Vec::new();
        let answer = self
            .connection
            .send_fragment(message(kind, &bytes), fin, &mut out);
        let frames = self.written(&out, self.sending.is_some());
        let misuse = if self.phase != Phase::Open {
            Some(Misuse::Closed)
        } else {
            let other = self.sending.is_some_and(|sending| sending != kind);
            other.then_some(Misuse::FragmentKind)
        };
        let refused = misuse.is_some();
        assert_eq!(answer.err(), misuse);
        if refused {
            assert!(frames.is_empty());
            return;
        }
        let [frame] = &*frames else {
            panic!("not one frame: {frames:?}");
        };
        let first = self.sending.is_none();
        assert_eq!(frame.opcode, if first { opcode(kind) } else { 0 });
        assert_eq!(frame.fin, fin);
        if first {
            self.encoded = frame.rsv != 0;
            self.sent = Default::default();
        }
        self.sent.0.extend(bytes);
        self.sent.1.extend(&frame.payload);
        match (self.encoded, fin) {
            (false, _) => assert_eq!(self.sent.0, self.sent.1),
            (true, true) => assert_eq!(self.sent.0, rle::decode(&self.sent.1)),
            (true, false) => {}
        }
        self.sending = (!fin).then_some(kind);
    }

    fn send_control(&mut self, ping: bool, length: usize) {
        let payload = vec![b'p'; length];
        let mut out = Vec::new();
        let answer = match ping {
            true => self.connection.send_ping(&payload, &mut out),
            false => self.connection.send_pong(&payload, &mut out),
        };
        let frames = self.written(&out, false);
        let misuse = if self.phase != Phase::Open {
            Some(Misuse::Closed)
        } else {
            (length > MAX_CONTROL_PAYLOAD).then_some(Misuse::ControlTooLong(length))
        };
        let refused = misuse.is_some();
        assert_eq!(answer.err(), misuse);
        assert_eq!(frames.is_empty(), refused);
        if let [frame] = &*frames {
            assert_eq!(frame.opcode, if ping { 9 } else { 10 });
            assert_eq!(frame.payload, payload);
        }
    }

    fn close(&mut self, code: Option<CloseCode>, reason: &str) {
        let mut out = Vec::new();
        let answer = self.connection.close(code, reason, &mut out, self.now);
        let frames = self.written(&out, false);
        let good = code.is_none_or(|code| wire::is_close_code(code.0))
            && reason.len() <= MAX_REASON_LENGTH
            && (code.is_some() || reason.is_empty());
        if self.phase != Phase::Open {
            assert_eq!(answer, Err(Misuse::Closed));
        } else {
            assert_eq!(answer.is_ok(), good);
        }
        assert_eq!(frames.is_empty(), answer.is_err());
        if let [close] = &*frames {
            assert_eq!(read_close(close), (code, reason.to_string()));
            self.phase = Phase::Closing;
        }
        self.check();
    }

    fn handle_timeout(&mut self) {
        let deadline = self.connection.poll_timeout();
        let mut out = Vec::new();
        let answer = self.connection.handle_timeout(self.now, &mut out);
        let frames = self.written(&out, false);
        let due = deadline.is_some_and(|deadline| deadline <= self.now);
        match (self.phase, answer) {
            (_, answer) if !due => {
                assert_eq!(answer, Ok(()));
                assert!(frames.is_empty());
            }
            (Phase::Open, Ok(())) => {
                let [ping] = &*frames else {
                    panic!("no ping alone: {frames:?}");
                };
                assert_eq!(ping.opcode, 9);
            }
            (Phase::Closing, Ok(())) => panic!("a peer that doesn't close is waited for"),
            (Phase::Over(_, fault), answer) => {
                assert_eq!(answer, Ok(()));
                assert!(frames.is_empty());
                self.phase = Phase::Over(Teardown::Drop, fault);
            }
            (_, Err(fault)) => self.failed(fault, &frames),
        }
        self.check();
    }

    /// Until nothing is due. A ping may be due and the peer be idle for too long at once, which
    /// takes two calls; more would be a caller's loop that spins.
    fn handle_timeouts(&mut self) {
        for _ in 0..2 {
            self.handle_timeout();
        }
        let next = self.connection.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now));
    }

    fn handle_eof(&mut self) {
        let closed = self.connection.handle_eof();
        let (local, fault) = match self.phase {
            Phase::Open => (Some(false), None),
            Phase::Closing => (Some(true), None),
            Phase::Over(_, fault) => (None, fault),
        };
        assert_eq!(closed.as_ref().map(|closed| closed.local), local);
        if let Some(closed) = closed {
            assert!(!closed.clean && closed.code == CloseCode::ABNORMAL);
        }
        self.phase = Phase::Over(Teardown::Drop, fault);
        self.check();
    }

    /// A command or input other than bytes.
    fn operate(&mut self, what: u8, a: u8, b: u8) {
        let kind = match b & 1 {
            0 => MessageKind::Binary,
            _ => MessageKind::Text,
        };
        let length = match a {
            255 if b == 255 => 70_000, // once in a while: it is slow
            255 => 5000,
            254 => 1000,
            short => short.into(),
        };
        match what {
            1 => self.send(kind, length),
            2 => self.send_fragment(kind, length, b & 2 != 0),
            3 => self.send_control(true, length.min(255)),
            4 => self.send_control(false, length.min(255)),
            5 => match a {
                0 => self.close(None, ""),
                1 => self.close(None, "a reason"),
                2 => self.close(Some(CloseCode(1000)), &"r".repeat(b.into())),
                _ => self.close(Some(CloseCode(u16::from(a - 3) * 64 + u16::from(b))), ""),
            },
            6 => {
                self.now += Duration::from_secs(a.into());
                self.handle_timeouts();
            }
            7 => {
                if let Some(deadline) = self.connection.poll_timeout() {
                    self.now = self.now.max(deadline);
                }
                self.handle_timeouts();
            }
            8 => self.handle_eof(),
            9 => {
                self.connection.lend(Vec::with_capacity(length));
                if b & 1 == 1 {
                    let buffer = self.connection.reclaim();
                    assert!(buffer.is_empty());
                }
            }
            10 => self.send_header(kind, length),
            _ => self.now += Duration::from_secs(a.into()),
        }
    }

    /// The rules that all output together has to keep.
    fn finish(&self) {
        let mut text: Option<Vec<u8>> = None;
        let mut closed = false;
        for frame in wire::written(&self.wire, self.rules()) {
            assert!(!closed || frame.opcode == PONG, "{frame:?} after Close");
            match frame.opcode {
                CLOSE => closed = true,
                1 if frame.rsv == 0 => text = Some(Vec::new()),
                1 | 2 => text = None,
                _ => {}
            }
            if frame.opcode < 2
                && let Some(text) = &mut text
            {
                text.extend(&frame.payload);
                assert!(!frame.fin || core::str::from_utf8(text).is_ok());
            }
        }
        assert!(self.phase != Phase::Open || !closed);
    }
}

fn opcode(kind: MessageKind) -> u8 {
    match kind {
        MessageKind::Text => 1,
        MessageKind::Binary => 2,
    }
}

fn content(kind: MessageKind, length: usize) -> Vec<u8> {
    match kind {
        MessageKind::Text => vec![b't'; length],
        MessageKind::Binary => (0..length).map(|at| (at * 7 + length) as u8).collect(),
    }
}

fn message(kind: MessageKind, bytes: &[u8]) -> MessageRef<'_> {
    match kind {
        MessageKind::Text => MessageRef::Text(core::str::from_utf8(bytes).expect("ASCII")),
        MessageKind::Binary => MessageRef::Binary(bytes),
    }
}

fn read_close(frame: &Frame) -> (Option<CloseCode>, String) {
    assert_eq!(frame.opcode, CLOSE);
    match &*frame.payload {
        [] => (None, String::new()),
        [high, low, reason @ ..] => {
            let code = CloseCode(u16::from_be_bytes([*high, *low]));
            assert!(wire::is_close_code(code.0));
            let reason = String::from_utf8(reason.to_vec());
            (Some(code), reason.expect("a reason in UTF-8"))
        }
        [_] => panic!("a Close payload of one byte"),
    }
}

/// The same connection, fed with the stream as `pieces`, no commands in between.
fn feed(setup: &Setup, pieces: Vec<Vec<u8>>) -> Model {
    let mut model = Model::new(setup);
    if setup.close_first {
        model.close(Some(CloseCode::NORMAL), "");
    }
    for piece in pieces {
        model.recv(piece, false);
    }
    model.finish();
    model
}

/// The body of the targets. Input: flags and settings, cuts, operations, stream.
pub fn run(data: &[u8], role: Role) {
    let mut u = Unstructured::new(data);
    let flags = byte(&mut u);
    let setup = Setup::read(&mut u, role, flags);
    let cuts = Cuts::read(&mut u);
    let count = usize::from(byte(&mut u) % 32);
    let operations = bytes(&mut u, count * 3).to_vec();
    let stream = generate::stream(&mut u, flags & 1 != 0, role == Role::Server);

    let whole = feed(&setup, vec![stream.clone()]);
    let pieces = feed(&setup, cuts.pieces(&stream));
    assert_eq!(whole.phase, pieces.phase, "the cuts matter");
    assert_eq!(whole.wire, pieces.wire, "the cuts matter");
    assert_eq!(whole.log, pieces.log, "the cuts matter");

    let mut model = Model::new(&setup);
    let mut rest = cuts.pieces(&stream).into_iter();
    for operation in operations.as_chunks::<3>().0 {
        let [what, a, b] = *operation;
        match what % 12 {
            0 => (0..a % 16).for_each(|_| {
                if let Some(piece) = rest.next() {
                    model.recv(piece, true);
                }
            }),
            what => model.operate(what, a, b),
        }
    }
    rest.for_each(|piece| model.recv(piece, true));
    model.handle_eof();
    model.finish();
}
