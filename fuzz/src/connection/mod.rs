//! A connection between a fuzzer's stream and a fuzzer's application, held against a model.
//!
//! The model knows the state, what each call may answer, and which frames each call has to
//! write; `wire` reads these apart from the core. The stream is run several times: whole, in
//! pieces, and in pieces that go into the connection's space where it has some, where everything
//! must be the same; and in pieces with commands in between.

mod commands;
mod receive;
mod setup;

use std::collections::VecDeque;
use std::time::Duration;

use arbitrary::Unstructured;
use sockeye::error::{Fault, Misuse, ProtocolError};
use sockeye::proto::{
    CloseCode, Closed, Connection, Delivery, Event, Input, MAX_CONTROL_PAYLOAD, MAX_REASON_LENGTH,
    Message, MessageKind, MessagePiece, MessageRef, Role, Scratch, Teardown,
};

use crate::wire::{self, Frame, Rules};
use crate::{Cuts, byte, bytes, generate, rle};
use receive::Way;
use setup::Setup;

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
    scratch: Scratch,
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
    /// Bytes that were given.
    given: usize,
    /// All that was written.
    wire: Vec<u8>,
}

/// From here on a message has a space.
const LARGE: usize = 16 * 1024;

const PONG: u8 = 10;
const CLOSE: u8 = 8;

impl Model {
    fn new(setup: &Setup) -> Self {
        let model = Self {
            setup: setup.clone(),
            connection: setup.connect(),
            scratch: Scratch::new(),
            now: Duration::from_secs(1),
            phase: Phase::Open,
            sending: None,
            sent: Default::default(),
            encoded: false,
            arriving: None,
            log: Vec::new(),
            given: 0,
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
fn feed(setup: &Setup, pieces: Vec<Vec<u8>>, way: Way) -> Model {
    let mut model = Model::new(setup);
    if setup.close_first {
        model.close(Some(CloseCode::NORMAL), "");
    }
    for piece in pieces {
        model.give(piece, way, false);
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

    let whole = feed(&setup, vec![stream.clone()], Way::Input);
    // Below that, no message has a space.
    let ways: &[Way] = match stream.len() > LARGE {
        true => &[Way::Input, Way::Both(usize::MAX), Way::Space(usize::MAX)],
        false => &[Way::Input],
    };
    for way in ways {
        let pieces = feed(&setup, cuts.pieces(&stream), *way);
        assert_eq!(whole.phase, pieces.phase, "the cuts matter");
        assert_eq!(whole.wire, pieces.wire, "the cuts matter");
        assert_eq!(whole.log, pieces.log, "the cuts matter");
    }

    let mut model = Model::new(&setup);
    let mut rest = VecDeque::from(cuts.pieces(&stream));
    for operation in operations.as_chunks::<3>().0 {
        let [what, a, b] = *operation;
        match what % 13 {
            0 => (0..a % 16).for_each(|_| {
                if let Some(piece) = rest.pop_front() {
                    model.give(piece, Way::read(a / 16, b), true);
                }
            }),
            // What was read is not looked at yet.
            12 => {
                if let Some(piece) = rest.front_mut() {
                    model.fill(piece, usize::from(a) * 61 + usize::from(b));
                }
            }
            what => model.operate(what, a, b),
        }
    }
    for piece in rest {
        model.recv(piece, true);
    }
    model.handle_eof();
    model.finish();
}
