//! The assertions of the rows of docs/cases.md that are about bytes.

extern crate alloc;

use alloc::sync::Arc;

use sockeye::error::{Fault, ProtocolError};
use sockeye::proto::{Config, Role, Teardown};

use super::*;

/// Asserts that `bytes` fail a connection exactly with their last byte: not earlier, and not only
/// after what follows. `before` are valid frames, which deliver `events`.
#[track_caller]
pub fn assert_fails_with(
    role: Role,
    config: &Arc<Config>,
    (before, events): (&[u8], &[Seen]),
    bytes: &[u8],
    fault: Fault,
    code: u16,
) {
    // After the fault come frames that must be neither delivered nor replied to.
    let mut stream = [before, bytes].concat();
    let proof = stream.len();
    stream.extend([0; 64]);
    stream.extend(frame_to(role, true, TEXT, b"never delivered"));
    stream.extend(frame_to(role, true, PING, b"never answered"));
    stream.extend(frame_to(role, true, CLOSE, &close_payload(1000, b"")));

    let (seen, at) = drive_every_way(|| negotiated(role, config), &stream);
    let context = format!("{role:?} {bytes:02x?}");
    assert_eq!(seen.fault, Some(fault), "{context}");
    assert_eq!(at, proof, "{context}: failed at another byte");
    assert_eq!(seen.events, events, "{context}");
    let frames = frames_from(role, &seen.output);
    let (close, others) = frames.split_last().expect("a Close is sent");
    assert_eq!(close.close_code(), Some(code), "{context}");
    assert!(
        others.iter().all(|frame| frame.opcode == PONG),
        "{others:?}"
    );

    // The same if nothing follows; without the last byte there is no fault.
    let mut conn = negotiated(role, config);
    let alone = drive(&mut conn, &stream[..proof], &[proof]);
    assert_eq!(alone, seen, "{context}");
    assert_eq!(conn.teardown(), Some(Teardown::HalfClose));
    let mut conn = negotiated(role, config);
    let good = drive(&mut conn, &stream[..proof - 1], &[proof - 1]);
    assert_eq!((good.fault, conn.teardown()), (None, None), "{context}");
}

#[track_caller]
pub fn assert_fails(role: Role, bytes: &[u8], error: ProtocolError, code: u16) {
    let fault = Fault::Protocol(error);
    assert_fails_with(role, &default_config(), (&[], &[]), bytes, fault, code);
}

/// Like `assert_fails`, inside a fragmented message.
#[track_caller]
pub fn assert_fails_inside_message(role: Role, bytes: &[u8], error: ProtocolError, code: u16) {
    let before = frame_to(role, false, TEXT, b"begun");
    let fault = Fault::Protocol(error);
    assert_fails_with(role, &default_config(), (&before, &[]), bytes, fault, code);
}

/// Asserts that `bytes` are valid and deliver `events`; returns the frames sent.
#[track_caller]
pub fn assert_delivers(
    role: Role,
    config: &Arc<Config>,
    bytes: &[u8],
    events: &[Seen],
) -> Vec<RawFrame> {
    let (seen, _) = drive_every_way(|| negotiated(role, config), bytes);
    assert_eq!(seen.fault, None);
    assert_eq!(seen.events, events);
    frames_from(role, &seen.output)
}

/// Asserts what holds for the output after any bytes: ARCHITECTURE.md, invariants 5 and 6.
#[track_caller]
pub fn assert_lawful(role: Role, seen: &Transcript) {
    let mut frames = frames_from(role, &seen.output);
    let ended = matches!(seen.events.last(), Some(Seen::Closed(_)));
    assert!(!(ended && seen.fault.is_some()), "two endings: {seen:?}");
    let closed = |it: &&Seen| matches!(it, Seen::Closed(_));
    assert_eq!(
        seen.events.iter().filter(closed).count(),
        usize::from(ended)
    );
    if ended || seen.fault.is_some() {
        let close = frames.pop().expect("a Close");
        if let Some(fault) = seen.fault {
            assert_eq!(close.close_code(), Some(fault.close_code().0), "{fault:?}");
        }
        assert_eq!(close.opcode, CLOSE);
    }
    // The rest are pongs, one for each ping, in order.
    let pings = seen.events.iter().filter_map(|event| match event {
        Seen::Ping(payload) => Some((PONG, payload)),
        _ => None,
    });
    let pongs = frames.iter().map(|it| (it.opcode, &it.payload));
    assert!(pings.eq(pongs), "{seen:?}");
}
