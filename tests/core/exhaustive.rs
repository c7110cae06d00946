//! All 65,536 first two bytes of a frame, in every state, for both roles, with and without an
//! extension on RSV1: accepted or failed as RFC 6455 sections 5.1 to 5.5 have it, whole and split
//! behind the first byte.

extern crate alloc;

use alloc::sync::Arc;

use harness::sansio::runs::{Runs, TRUNCATED};
use harness::sansio::*;
use sockeye::error::{Fault, ProtocolError};
use sockeye::proto::{
    CloseCode, CloseFrame, Closed, Config, Connection, FrameDecoder, Input, Role, Rsv, Teardown,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    None,
    /// A text message, "begun" so far.
    Plain,
    /// The same, marked with RSV1 and encoded.
    Encoded,
}

#[derive(Clone, Copy, Debug)]
struct State {
    role: Role,
    /// An extension owns RSV1.
    extension: bool,
    /// The fragmented message that is being received.
    message: Message,
    /// This endpoint has sent its Close.
    closing: bool,
}

// ---- the oracle -----------------------------------------------------------------------------

/// The rules that a frame breaks with its first byte, or if with none, with its second.
fn violations(state: State, first: u8, second: u8) -> (Vec<ProtocolError>, usize) {
    let (fin, opcode) = (first >= 0x80, first % 16);
    let (is_masked, length) = (second >= 0x80, second % 128);
    let control = opcode >= 8;
    let mut broken = Vec::new();

    // 5.2: "MUST be 0 unless an extension is negotiated that defines meanings for non-zero
    // values"; per-message extensions mark the first frame of a message.
    let starts_message = opcode == TEXT || opcode == BINARY;
    let foreign = match state.extension && starts_message {
        true => first & 0x30,
        false => first & 0x70,
    };
    if foreign != 0 {
        broken.push(ProtocolError::ReservedBits);
    }
    // 5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail_".
    if (0x3..=0x7).contains(&opcode) || opcode >= 0xB {
        broken.push(ProtocolError::ReservedOpcode(opcode));
    }
    // 5.5: control frames "MUST NOT be fragmented".
    if control && !fin {
        broken.push(ProtocolError::FragmentedControl);
    }
    // 5.4: the fragments of one message must not be interleaved with another's.
    if opcode == CONTINUATION && state.message == Message::None {
        broken.push(ProtocolError::UnexpectedContinuation);
    }
    if starts_message && state.message != Message::None {
        broken.push(ProtocolError::MessageInsideMessage);
    }
    if !broken.is_empty() {
        return (broken, 1);
    }

    // 5.1: a client masks, a server doesn't.
    match (state.role, is_masked) {
        (Role::Server, false) => broken.push(ProtocolError::Unmasked),
        (Role::Client, true) => broken.push(ProtocolError::Masked),
        _ => {}
    }
    // 5.5: control frames "MUST have a payload length of 125 bytes or less".
    if control && length > 125 {
        broken.push(ProtocolError::ControlTooLong);
    }
    // 5.5.1: "If there is a body, the first two bytes of the body MUST be" the code.
    if opcode == CLOSE && length == 1 {
        broken.push(ProtocolError::CloseTruncated);
    }
    (broken, 2)
}

/// The events and output of two bytes that break no rule: of a whole frame without payload, which
/// only a client can receive in two bytes.
fn accepted(state: State, first: u8, second: u8) -> Transcript {
    let mut seen = Transcript::default();
    if second != 0 {
        return seen;
    }
    let empty = |opcode| frame(true, 0, opcode, None, b"");
    match first % 16 {
        PING => {
            if !state.closing {
                seen.events = vec![Seen::Ping(vec![])];
            }
            seen.output = empty(PONG);
        }
        PONG if !state.closing => seen.events = vec![Seen::Pong(vec![])],
        PONG => {}
        CLOSE => {
            seen.events = vec![Seen::Closed(Closed {
                code: CloseCode::NO_STATUS,
                reason: "".into(),
                clean: true,
                local: state.closing,
                sent: Some(CloseFrame {
                    code: CloseCode::NO_STATUS,
                    reason: "".into(),
                }),
                truncated: false,
            })];
            if !state.closing {
                seen.output = empty(CLOSE);
            }
        }
        _ if state.closing || first < 0x80 => {}
        _ if first & 0x40 != 0 || state.message == Message::Encoded => {
            // No checksum came; the oracle of the extension, not of the frame.
            seen.fault = Some(Fault::Protocol(ProtocolError::Extension(TRUNCATED)));
        }
        CONTINUATION => seen.events = vec![text("begun")],
        TEXT => seen.events = vec![text("")],
        _ => seen.events = vec![binary(b"")],
    }
    seen
}

// ---- the states -----------------------------------------------------------------------------

fn make(state: State, config: &Arc<Config>) -> Connection {
    let mut conn = match state.extension {
        true => negotiated(state.role, config),
        false => endpoint(state.role, config),
    };
    let begun = begun(state);
    assert_eq!(
        drive(&mut conn, &begun, &[begun.len()]),
        Transcript::default()
    );
    if state.closing {
        let mut out = Vec::new();
        conn.close(None, "", &mut out, core::time::Duration::ZERO)
            .unwrap();
    }
    conn
}

fn begun(state: State) -> Vec<u8> {
    let mask = mask_to(state.role);
    match state.message {
        Message::None => Vec::new(),
        Message::Plain => frame(false, 0, TEXT, mask, b"begun"),
        Message::Encoded => frame(false, RSV1, TEXT, mask, b"\x01b\x01e"),
    }
}

fn check(state: State, config: &Arc<Config>, first: u8, second: u8) {
    let context = || format!("{first:02x} {second:02x} in {state:?}");
    let mut conn = make(state, config);
    let whole = drive(&mut conn, &[first, second], &[2]);
    let mut split_conn = make(state, config);
    let begin = drive(&mut split_conn, &[first], &[1]);
    let end = drive(&mut split_conn, &[second], &[1]);
    let split = Transcript {
        events: [&begin.events[..], &end.events].concat(),
        output: [&begin.output[..], &end.output].concat(),
        fault: end.fault,
    };
    // A client's frames are masked with keys that depend on nothing but their number.
    assert_eq!(whole, split, "{}", context());
    assert_eq!(conn.teardown(), split_conn.teardown(), "{}", context());

    let frames = frames_from(state.role, &whole.output);
    let (broken, at) = violations(state, first, second);
    if broken.is_empty() {
        let expected = accepted(state, first, second);
        assert_eq!(whole.events, expected.events, "{}", context());
        assert_eq!(whole.fault, expected.fault, "{}", context());
        if let Some(Fault::Protocol(_)) = expected.fault {
            assert_eq!(frames.len(), 1, "{}", context());
            assert_eq!(frames[0].close_code(), Some(1007), "{}", context());
        } else {
            let expected = frames_from(Role::Server, &expected.output);
            let opcodes = |frames: &[RawFrame]| -> Vec<_> {
                let frames = frames.iter();
                frames.map(|it| (it.opcode, it.payload.clone())).collect()
            };
            assert_eq!(opcodes(&frames), opcodes(&expected), "{}", context());
        }
        return;
    }
    let Some(Fault::Protocol(error)) = whole.fault else {
        panic!("accepted {}, which breaks {broken:?}", context());
    };
    assert!(broken.contains(&error), "{error:?} for {}", context());
    assert_eq!(
        begin.fault.is_some(),
        at == 1,
        "late or early: {}",
        context()
    );
    assert!(whole.events.is_empty(), "{}", context());
    if state.closing {
        assert!(frames.is_empty(), "a second Close: {}", context());
        assert_eq!(conn.teardown(), Some(Teardown::Drop), "{}", context());
    } else {
        assert_eq!(frames.len(), 1, "{}", context());
        assert_eq!(frames[0].close_code(), Some(1002), "{}", context());
        assert_eq!(conn.teardown(), Some(Teardown::HalfClose), "{}", context());
    }
}

fn check_all(role: Role, extension: bool, seconds: &[u8]) {
    let config = config(|it| {
        if extension {
            it.extensions = vec![Arc::new(Runs::new(Rsv::RSV1))];
        }
    });
    let messages = match extension {
        true => &[Message::None, Message::Plain, Message::Encoded][..],
        false => &[Message::None, Message::Plain],
    };
    for &message in messages {
        for closing in [false, true] {
            let state = State {
                role,
                extension,
                message,
                closing,
            };
            for first in 0..=255 {
                for &second in seconds {
                    check(state, &config, first, second);
                }
            }
        }
    }
}

fn all() -> Vec<u8> {
    (0..=255).collect()
}

#[test]
fn a_server_judges_every_first_two_bytes_as_rfc_6455_does() {
    check_all(Role::Server, false, &all());
}

#[test]
fn a_client_judges_every_first_two_bytes_as_rfc_6455_does() {
    check_all(Role::Client, false, &all());
}

/// A handshake for each connection is slow, so here only the second bytes at which something
/// changes; the decoder test below has all of them.
const EDGES: [u8; 16] = [
    0, 1, 2, 3, 64, 125, 126, 127, 128, 129, 130, 131, 192, 253, 254, 255,
];

#[test]
fn a_server_with_an_extension_judges_first_two_bytes_as_rfc_6455_does() {
    check_all(Role::Server, true, &EDGES);
}

#[test]
fn a_client_with_an_extension_judges_first_two_bytes_as_rfc_6455_does() {
    check_all(Role::Client, true, &EDGES);
}

#[test]
fn a_frame_decoder_judges_every_first_two_bytes_as_rfc_6455_does() {
    for role in ROLES {
        for (extension, message) in [
            (false, Message::None),
            (false, Message::Plain),
            (true, Message::None),
            (true, Message::Plain),
            (true, Message::Encoded),
        ] {
            let state = State {
                role,
                extension,
                message,
                closing: false,
            };
            let rsv = if extension { Rsv::RSV1 } else { Rsv::NONE };
            let mut decoder = FrameDecoder::with_rsv(role, rsv);
            let mut begun = begun(state);
            let mut input = Input::new(&mut begun);
            while decoder.decode(&mut input).unwrap().is_some() {}
            for first in 0..=255 {
                for second in 0..=255 {
                    check_decoder(state, &decoder, first, second);
                }
            }
        }
    }
}

fn check_decoder(state: State, decoder: &FrameDecoder, first: u8, second: u8) {
    let decode = |decoder: &mut FrameDecoder, bytes: &mut [u8]| {
        let mut input = Input::new(bytes);
        let piece = decoder.decode(&mut input);
        piece.map(|piece| piece.map(|it| (*it.header(), it.is_first() && it.is_last())))
    };
    let context = || format!("{first:02x} {second:02x} in {state:?}");
    let mut whole_decoder = decoder.clone();
    let whole = decode(&mut whole_decoder, &mut [first, second]);
    let mut split_decoder = decoder.clone();
    let begin = decode(&mut split_decoder, &mut [first]);
    let split = begin.and_then(|_| decode(&mut split_decoder, &mut [second]));
    assert_eq!(whole, split, "{}", context());

    let (mut broken, at) = violations(state, first, second);
    // What a Close holds is the connection's to judge.
    broken.retain(|error| *error != ProtocolError::CloseTruncated);
    match whole {
        Ok(piece) => {
            assert!(broken.is_empty(), "accepted {}: {broken:?}", context());
            let complete = state.role == Role::Client && second < 126;
            assert_eq!(piece.is_some(), complete, "{}", context());
            if let Some((header, is_whole)) = piece {
                let bytes = [first, second];
                assert_eq!(header.encode().as_bytes(), bytes, "{}", context());
                assert_eq!(header.payload_length, u64::from(second));
                assert_eq!(is_whole, second == 0);
            }
        }
        Err(ProtocolError::CloseTruncated) if first % 16 == CLOSE && second % 128 == 1 => {}
        Err(error) => {
            assert!(broken.contains(&error), "{error:?} for {}", context());
            assert_eq!(begin.is_err(), at == 1, "late or early: {}", context());
            // It sticks.
            assert_eq!(decode(&mut whole_decoder, &mut [0x81]), Err(error));
        }
    }
}
