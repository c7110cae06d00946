//! Invariants 1, 4, 5 and 7 of ARCHITECTURE.md, as properties of random streams of good, mutated
//! and bad frames. The second is in `allocations.rs`, the third and sixth in `bounds.rs` and, as
//! far as they are seen in the heap, in `allocations.rs`; round trips are in `round_trips.rs`. All
//! seeds are fixed.

extern crate alloc;

use alloc::sync::Arc;
use core::time::Duration;

use harness::sansio::expect::assert_lawful;
use harness::sansio::runs::{self, Runs};
use harness::sansio::*;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;
use sockeye::error::{Fault, LimitError, ProtocolError};
use sockeye::proto::{CloseCode, Config, Connection, Delivery, Role, Rsv};

// ---- random streams -------------------------------------------------------------------------

/// A part of a stream, made into frames for the role that receives it.
#[derive(Clone, Debug)]
enum Part {
    Message {
        opcode: u8,
        payload: Vec<u8>,
        cuts: Vec<Index>,
        ping: bool,
        /// Encoded by `Runs` and marked with RSV2.
        encoded: bool,
    },
    Control(u8, Vec<u8>),
    Bytes(Vec<u8>),
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[ -~]{0,40}".prop_map(String::into_bytes),
        4 => "\\PC{0,60}".prop_map(String::into_bytes),
        2 => (any::<char>(), 0..80_usize).prop_map(|(it, n)| it.to_string().repeat(n).into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), 100..400_usize).prop_map(|(byte, n)| vec![byte; n]),
    ]
}

fn part() -> impl Strategy<Value = Part> {
    let message = (
        prop_oneof![3 => Just(TEXT), 1 => Just(BINARY)],
        payload(),
        prop::collection::vec(any::<Index>(), 0..4),
        any::<bool>(),
        any::<bool>(),
    );
    let message = message.prop_map(|(opcode, payload, cuts, ping, encoded)| Part::Message {
        opcode,
        payload,
        cuts,
        ping,
        encoded,
    });
    let short = prop::collection::vec(any::<u8>(), 0..=125);
    let ping = prop_oneof![Just(PING), Just(PONG)];
    let control = (ping, short).prop_map(|(opcode, payload)| Part::Control(opcode, payload));
    let code = prop_oneof![4 => 1000..=1003_u16, 1 => any::<u16>()];
    let close = (code, "\\PC{0,30}")
        .prop_map(|(code, reason)| Part::Control(CLOSE, close_payload(code, reason.as_bytes())));
    let bytes = prop::collection::vec(any::<u8>(), 1..20).prop_map(Part::Bytes);
    prop_oneof![20 => message, 6 => control, 1 => close, 1 => bytes]
}

/// Parts, and where bytes are changed and how.
type Stream = (Vec<Part>, Vec<(Index, u8)>);

fn stream() -> impl Strategy<Value = Stream> {
    let mutations = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec((any::<Index>(), any::<u8>()), 1..3),
    ];
    (prop::collection::vec(part(), 1..8), mutations)
}

fn bytes_of((parts, mutations): &Stream, role: Role, extension: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        match part {
            Part::Bytes(garbage) => bytes.extend(garbage),
            Part::Control(opcode, payload) => {
                bytes.extend(frame_to(role, true, *opcode, payload));
            }
            Part::Message {
                opcode,
                payload,
                cuts,
                ping,
                encoded,
            } => {
                let encoded = *encoded && extension;
                let payload = match encoded {
                    true => &runs::encoded(payload),
                    false => payload,
                };
                let mut cuts: Vec<_> = cuts.iter().map(|it| it.index(payload.len() + 1)).collect();
                cuts.sort_unstable();
                cuts.push(payload.len());
                let mut from = 0;
                for (at, &to) in cuts.iter().enumerate() {
                    let (rsv, opcode) = match at {
                        0 => (if encoded { RSV2 } else { 0 }, *opcode),
                        _ => (0, CONTINUATION),
                    };
                    let fin = at + 1 == cuts.len();
                    bytes.extend(frame(fin, rsv, opcode, mask_to(role), &payload[from..to]));
                    if *ping {
                        bytes.extend(frame_to(role, true, PING, &[at as u8; 9]));
                    }
                    from = to;
                }
            }
        }
    }
    for (at, change) in mutations {
        let at = at.index(bytes.len());
        bytes[at] ^= change;
    }
    bytes
}

/// Limits that random streams reach now and then.
fn tight(delivery: Delivery, extension: bool) -> Arc<Config> {
    config(|it| {
        it.delivery = delivery;
        it.max_message_size = 300;
        it.max_frame_size = Some(290);
        it.max_fragments = 4;
        if extension {
            it.extensions = vec![Arc::new(Runs::new(Rsv::RSV2))];
        }
    })
}

fn make(role: Role, config: &Arc<Config>) -> Connection {
    match config.extensions.is_empty() {
        true => endpoint(role, config),
        false => negotiated(role, config),
    }
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(0x50C4_E7E5),
        failure_persistence: None,
        max_shrink_iters: 4096,
        ..ProptestConfig::default()
    }
}

// ---- 1. chunking ----------------------------------------------------------------------------

fn assert_chunking(stream: &Stream, delivery: Delivery, extension: bool) {
    let config = tight(delivery, extension);
    for role in ROLES {
        let bytes = bytes_of(stream, role, extension);
        let (seen, _) = drive_every_way(|| make(role, &config), &bytes);
        assert_lawful(role, &seen);
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn chunking_changes_nothing_of_whole_messages(stream in stream()) {
        assert_chunking(&stream, Delivery::Whole, false);
    }

    #[test]
    fn chunking_changes_nothing_of_whole_messages_through_an_extension(stream in stream()) {
        assert_chunking(&stream, Delivery::Whole, true);
    }

    #[test]
    fn chunking_changes_nothing_of_streamed_messages(stream in stream()) {
        assert_chunking(&stream, Delivery::Streamed, false);
    }

    #[test]
    fn chunking_changes_nothing_of_streamed_messages_through_an_extension(stream in stream()) {
        assert_chunking(&stream, Delivery::Streamed, true);
    }

    /// The same without what was delivered of a message that then failed.
    #[test]
    fn chunking_changes_nothing_of_streamed_messages_before_the_one_that_fails(
        stream in stream(),
        extension: bool,
    ) {
        let config = tight(Delivery::Streamed, extension);
        for role in ROLES {
            let bytes = bytes_of(&stream, role, extension);
            let mut all = None;
            every_way(&bytes, |chunks| {
                let mut seen = drive(&mut make(role, &config), &bytes, chunks);
                assert_lawful(role, &seen);
                if let (Some(_), Some(Seen::Piece { last: false, .. })) =
                    (seen.fault, seen.events.last())
                {
                    seen.events.pop();
                }
                let expected = all.get_or_insert_with(|| seen.clone());
                assert_eq!(&seen, expected);
            });
        }
    }

    /// Whole messages and streamed ones are the same messages, and fail alike.
    #[test]
    fn streamed_pieces_join_to_the_whole_messages(stream in stream(), extension: bool) {
        for role in ROLES {
            let bytes = bytes_of(&stream, role, extension);
            let [whole, streamed] = [Delivery::Whole, Delivery::Streamed].map(|delivery| {
                let mut conn = make(role, &tight(delivery, extension));
                drive(&mut conn, &bytes, &[bytes.len()])
            });
            prop_assert_eq!(streamed.fault, whole.fault);
            prop_assert_eq!(streamed.output, whole.output);
            prop_assert_eq!(joined(&streamed.events), whole.events);
        }
    }
}

/// The messages of streamed pieces, those that were completed, among the other events.
fn joined(events: &[Seen]) -> Vec<Seen> {
    let (mut seen, mut under_way) = (Vec::new(), Vec::new());
    let mut at_start = true;
    for event in events {
        let Seen::Piece {
            kind,
            bytes,
            first,
            last,
        } = event
        else {
            seen.push(event.clone());
            continue;
        };
        assert_eq!(*first, at_start, "{events:?}");
        at_start = *last;
        under_way.extend_from_slice(bytes);
        if *last {
            seen.push(Seen::Message(*kind, core::mem::take(&mut under_way)));
        }
    }
    seen
}

/// What is good of a streamed text is delivered before the fault, however it was split.
#[test]
fn chunking_changes_nothing_of_a_streamed_text_that_fails() {
    for role in ROLES {
        let bytes = frame_to(role, true, TEXT, b"abc\xFF");
        let config = tight(Delivery::Streamed, false);
        let (seen, _) = drive_every_way(|| make(role, &config), &bytes);
        assert_eq!(seen.fault, Some(ProtocolError::Utf8.into()));
    }
}

// ---- 4. fail fast ---------------------------------------------------------------------------

/// How many bytes prove that a text is bad; one more than it has where nothing does.
fn proof(text: &[u8]) -> usize {
    let proven = |n: &usize| match core::str::from_utf8(&text[..*n]) {
        Ok(_) => false,
        Err(error) => error.error_len().is_some() || *n == text.len(),
    };
    (1..=text.len()).find(proven).unwrap_or(text.len() + 1)
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn bad_text_fails_at_the_first_byte_that_proves_it(
        payload in payload(),
        change in prop::option::of((any::<Index>(), any::<u8>())),
        encoded: bool,
    ) {
        let mut payload = payload;
        if let (Some((at, byte)), false) = (change, payload.is_empty()) {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        let config = config(|it| it.extensions = vec![Arc::new(Runs::new(Rsv::RSV2))]);
        for role in ROLES {
            // Two bytes each when encoded: no two bytes that follow each other are equal.
            let encoded = encoded && payload.windows(2).all(|two| two[0] != two[1]);
            let (rsv, body, step, tail) = match encoded {
                true => (RSV2, runs::encoded(&payload), 2, 2),
                false => (0, payload.clone(), 1, 0),
            };
            let bytes = frame(true, rsv, TEXT, mask_to(role), &body);
            let header = bytes.len() - body.len();
            let mut conn = negotiated(role, &config);
            let ones = vec![1; bytes.len()];
            let (seen, at) = drive_from(&mut conn, &bytes, &ones, Duration::ZERO);
            let (proof, complete) = (proof(&payload), payload.len() + 1);
            if proof == complete {
                prop_assert_eq!(seen.fault, None);
                continue;
            }
            prop_assert_eq!(seen.fault, Some(ProtocolError::Utf8.into()));
            // Text that only its end proves cut ends behind the checksum.
            let cut = core::str::from_utf8(&payload).unwrap_err();
            let tail = if cut.error_len().is_none() { tail } else { 0 };
            prop_assert_eq!(at, header + proof * step + tail);
        }
    }
}

// ---- 5. one mapping -------------------------------------------------------------------------

#[test]
fn every_fault_has_the_close_code_of_rfc_6455_section_7_4_1() {
    use LimitError as L;
    use ProtocolError as P;
    let timeout = Duration::from_secs(1);
    let table: [(Fault, u16); 21] = [
        (P::ReservedBits.into(), 1002),
        (P::ReservedOpcode(3).into(), 1002),
        (P::Unmasked.into(), 1002),
        (P::Masked.into(), 1002),
        (P::LengthNotMinimal.into(), 1002),
        (P::LengthTopBit.into(), 1002),
        (P::FragmentedControl.into(), 1002),
        (P::ControlTooLong.into(), 1002),
        (P::UnexpectedContinuation.into(), 1002),
        (P::MessageInsideMessage.into(), 1002),
        (P::CloseTruncated.into(), 1002),
        (P::CloseCode(1005).into(), 1002),
        (P::CloseReasonUtf8.into(), 1007),
        (P::Utf8.into(), 1007),
        (P::Extension("x").into(), 1007),
        (
            L::FrameSize {
                length: 2,
                limit: 1,
            }
            .into(),
            1009,
        ),
        (L::MessageSize { limit: 1 }.into(), 1009),
        (L::Fragments { limit: 1 }.into(), 1008),
        (L::Idle { timeout }.into(), 1001),
        (L::Pong { timeout }.into(), 1011),
        (L::Close { timeout }.into(), 1006),
    ];
    for (fault, code) in table {
        assert_eq!(fault.close_code(), CloseCode(code), "{fault:?}");
        assert!(!fault.to_string().is_empty());
    }
}

// ---- 7. strict ------------------------------------------------------------------------------

#[test]
fn no_setting_makes_a_connection_lenient() {
    let most = config(|it| {
        it.max_message_size = usize::MAX;
        it.max_frame_size = None;
        it.max_fragments = u32::MAX;
        it.delivery = Delivery::Streamed;
        it.ping_interval = None;
    });
    for role in ROLES {
        let wrong_mask = mask_to(if role == Role::Server {
            Role::Client
        } else {
            Role::Server
        });
        for bad in [
            header(true, 0, TEXT, wrong_mask, 0),
            raw_header(0x82, mask_to(role), Length::In16(125)),
            raw_header(0x82, mask_to(role), Length::In64(65_535)),
            header(true, 0, BINARY, mask_to(role), 1 << 63),
            vec![0xC1],
            vec![0x83],
            vec![0x8B],
            vec![0x09],
            vec![0x80],
            header(true, 0, PING, mask_to(role), 126),
            frame_to(role, true, CLOSE, b"\x03"),
            frame_to(role, true, CLOSE, &close_payload(1005, b"")),
            frame_to(role, true, CLOSE, &close_payload(1000, b"\xFF")),
            frame_to(role, true, TEXT, b"\xED\xA0\x80"),
        ] {
            for config in [&default_config(), &most] {
                let seen = drive(&mut endpoint(role, config), &bad, &[bad.len()]);
                assert!(matches!(seen.fault, Some(Fault::Protocol(_))), "{bad:02x?}");
                assert_lawful(role, &seen);
            }
        }
    }
}
