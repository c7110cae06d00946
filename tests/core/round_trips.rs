//! What one end sends the other receives: headers, messages in any fragmentation with pings in
//! between, through an extension and in place; and that what is sent is what RFC 6455 asks for.
//! All seeds are fixed.

extern crate alloc;

use alloc::sync::Arc;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::collections::HashSet;

use harness::sansio::pair::Pair;
use harness::sansio::runs::{self, Runs};
use harness::sansio::*;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::RngSeed;
use sockeye::error::{Fault, Misuse, ProtocolError};
use sockeye::proto::{
    Event, FrameHeader, Input, MessageKind, MessageRef, Opcode, Role, Rsv, Scratch, Teardown,
};

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(0x50C4_E7E6),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

// ---- headers --------------------------------------------------------------------------------

fn any_header() -> impl Strategy<Value = (FrameHeader, u8, u8)> {
    let data = (
        prop_oneof![Just(CONTINUATION), Just(TEXT), Just(BINARY)],
        any::<bool>(),
        prop_oneof![
            0..130_u64,
            65_530..65_540_u64,
            any::<u64>().prop_map(|it| it >> 1),
            Just(u64::MAX >> 1),
        ],
    );
    let control = (
        prop_oneof![Just(CLOSE), Just(PING), Just(PONG)],
        Just(true),
        // A Close of one byte is none.
        prop_oneof![Just(0), 2..=125_u64],
    );
    let parts = (
        prop_oneof![data, control],
        0..8_u8,
        any::<Option<[u8; 4]>>(),
    );
    parts.prop_map(|((opcode, fin, payload_length), bits, masking_key)| {
        let mut rsv = Rsv::NONE;
        for (bit, flag) in [(RSV1, Rsv::RSV1), (RSV2, Rsv::RSV2), (RSV3, Rsv::RSV3)] {
            if bits & bit != 0 {
                rsv = rsv | flag;
            }
        }
        let header = FrameHeader {
            fin,
            rsv,
            opcode: match opcode {
                CONTINUATION => Opcode::Continuation,
                TEXT => Opcode::Text,
                BINARY => Opcode::Binary,
                CLOSE => Opcode::Close,
                PING => Opcode::Ping,
                _ => Opcode::Pong,
            },
            masking_key,
            payload_length,
        };
        (header, bits, opcode)
    })
}

proptest! {
    #![proptest_config(cases(1024))]

    #[test]
    fn a_header_encodes_to_the_bytes_of_rfc_6455_and_decodes_to_itself(
        (frame, bits, opcode) in any_header(),
        behind in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let by_hand = header(frame.fin, bits, opcode, frame.masking_key, frame.payload_length);
        let encoded = frame.encode();
        prop_assert_eq!(encoded.as_bytes(), &by_hand[..]);
        prop_assert_eq!(frame.encoded_length(), by_hand.len());
        let bytes = [&by_hand[..], &behind].concat();
        prop_assert_eq!(FrameHeader::decode(&bytes), Ok(Some((frame, by_hand.len()))));
        for cut in 0..by_hand.len() {
            prop_assert_eq!(FrameHeader::decode(&bytes[..cut]), Ok(None));
        }
    }
}

// ---- messages -------------------------------------------------------------------------------

#[derive(Clone, Debug)]
struct Sent {
    from_client: bool,
    text: Option<String>,
    bytes: Vec<u8>,
    /// Send by fragments cut here, with a ping behind each.
    fragments: Option<Vec<Index>>,
}

impl Sent {
    fn message(&self) -> MessageRef<'_> {
        match &self.text {
            Some(text) => text.into(),
            None => (&self.bytes).into(),
        }
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let text = prop_oneof!["\\PC{0,50}", "[a-z]{0,300}", "!\\PC{0,50}", "a{0,400}"];
    (
        any::<bool>(),
        prop::option::of(text),
        prop::collection::vec(any::<u8>(), 0..300),
        prop::option::of(prop::collection::vec(any::<Index>(), 0..5)),
    )
        .prop_map(|(from_client, text, bytes, fragments)| Sent {
            from_client,
            text,
            bytes,
            fragments,
        })
}

/// Fragments of a message; text is cut between characters, as `send_fragment` takes `&str`.
fn fragments<'a>(message: MessageRef<'a>, cuts: &[Index]) -> Vec<MessageRef<'a>> {
    let length = message.as_bytes().len();
    let mut cuts: Vec<_> = cuts.iter().map(|it| it.index(length + 1)).collect();
    if let MessageRef::Text(text) = message {
        cuts.retain(|at| text.is_char_boundary(*at));
    }
    cuts.sort_unstable();
    cuts.push(length);
    let mut from = 0;
    let pieces = cuts.into_iter().map(|to| {
        let range = core::mem::replace(&mut from, to)..to;
        match message {
            MessageRef::Text(text) => MessageRef::Text(&text[range]),
            MessageRef::Binary(bytes) => MessageRef::Binary(&bytes[range]),
        }
    });
    pieces.collect()
}

fn round_trip(messages: &[Sent], fragment_size: Option<usize>, read: usize, extension: bool) {
    let config = config(|it| {
        it.fragment_size = fragment_size.and_then(NonZeroUsize::new);
        if extension {
            it.extensions = vec![Arc::new(Runs::new(Rsv::RSV2))];
        }
    });
    let mut pair = Pair::negotiated(&config, &config);
    pair.read_size = read;
    let (mut to_client, mut to_server) = (Vec::new(), Vec::new());
    for sent in messages {
        let (role, expected) = match sent.from_client {
            true => (Role::Client, &mut to_server),
            false => (Role::Server, &mut to_client),
        };
        let message = sent.message();
        if let Some(cuts) = &sent.fragments {
            let pieces = fragments(message, cuts);
            for (at, piece) in pieces.iter().enumerate() {
                let fin = at + 1 == pieces.len();
                pair.act(role, |conn, out, _| {
                    if fin {
                        conn.send_last_fragment(*piece, out).unwrap();
                    } else {
                        conn.send_fragment(*piece, out).unwrap();
                        conn.send_ping(&[at as u8], out).unwrap();
                    }
                });
                if !fin {
                    expected.push(Seen::Ping(vec![at as u8]));
                }
            }
        } else {
            pair.act(role, |conn, out, _| conn.send(message, out))
                .unwrap();
        }
        expected.push(Seen::Message(message.kind(), message.as_bytes().to_vec()));
        pair.drive();
    }
    for (end, expected) in [(&pair.client, to_client), (&pair.server, to_server)] {
        assert_eq!(end.fault, None);
        let data = |it: &Seen| !matches!(it, Seen::Pong(_));
        let seen: Vec<_> = end.seen().into_iter().filter(data).collect();
        assert_eq!(seen, expected);
        for (_, frame) in end.frames() {
            // The mark is on first frames of data messages alone.
            let marked = frame.rsv != 0;
            assert!(!marked || frame.rsv == RSV2 && extension && frame.opcode != CONTINUATION);
            assert!(!marked || frame.opcode < CLOSE);
            if let (Some(size), false) = (fragment_size, extension) {
                let by_hand = messages.iter().any(|it| it.fragments.is_some());
                assert!(by_hand || frame.payload.len() <= size || frame.opcode > CLOSE);
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn messages_arrive_as_they_were_sent_in_any_fragmentation_with_pings_between(
        messages in prop::collection::vec(sent(), 1..6),
        fragment_size in prop::option::of(1..50_usize),
        read in 1..100_usize,
        extension: bool,
    ) {
        round_trip(&messages, fragment_size, read, extension);
    }

    /// An echo in place is the echo that a copy makes, but for the masking keys.
    #[test]
    fn sending_in_place_is_sending(
        sent in sent(),
        read in prop_oneof![Just(usize::MAX), 1..60_usize],
        role in prop_oneof![Just(Role::Server), Just(Role::Client)],
        cut in any::<Index>(),
        fragment_size in prop::option::of(1..400_usize),
        extension: bool,
    ) {
        let config = config(|it| {
            it.fragment_size = fragment_size.and_then(NonZeroUsize::new);
            if extension {
                it.extensions = vec![Arc::new(Runs::new(Rsv::RSV2))];
            }
        });
        let opcode = if sent.text.is_some() { TEXT } else { BINARY };
        let payload = sent.message().as_bytes();
        let bytes = match &sent.fragments {
            Some(_) => {
                let (first, rest) = payload.split_at(cut.index(payload.len() + 1));
                let first = frame_to(role, false, opcode, first);
                [first, frame_to(role, true, CONTINUATION, rest)].concat()
            }
            None => frame_to(role, true, opcode, payload),
        };
        let echo = |in_place: bool| {
            let mut scratch = Scratch::new();
            let (mut conn, mut bytes) = (negotiated(role, &config), bytes.clone());
            let (mut out, mut echoes) = (Vec::new(), 0);
            for chunk in bytes.chunks_mut(read) {
                let mut input = Input::new(chunk);
                while let Some(event) = conn.recv_with(&mut input, &mut scratch, &mut out, Duration::ZERO).unwrap() {
                    let Event::Message(message) = event else { panic!("{event:?}") };
                    echoes += 1;
                    if !in_place {
                        conn.send(&message, &mut out).unwrap();
                    } else if let Some(frame) = conn.send_in_place(message, &mut out).unwrap() {
                        out.extend_from_slice(frame.as_bytes());
                        scratch.recycle(frame.into_payload());
                    }
                }
            }
            assert_eq!(echoes, 1);
            out
        };
        let (copied, in_place) = (echo(false), echo(true));
        let unkeyed = |bytes: &[u8]| -> Vec<_> {
            let frames = frames_from(role, bytes).into_iter();
            frames.map(|it| RawFrame { mask: None, ..it }).collect()
        };
        prop_assert_eq!(unkeyed(&copied), unkeyed(&in_place));
        prop_assert_eq!(copied.len(), in_place.len());
    }
}

#[test]
fn a_servers_echo_of_a_whole_message_is_made_in_place() {
    let mut bytes = frame(true, 0, BINARY, Some(KEY), &[7; 70_000]);
    let range = bytes.as_ptr_range();
    let (mut conn, mut out) = (endpoint(Role::Server, &default_config()), Vec::new());
    let mut input = Input::new(&mut bytes);
    let event = conn.recv(&mut input, &mut out, Duration::ZERO).unwrap();
    let Some(Event::Message(message)) = event else {
        panic!("no message")
    };
    let frame = conn
        .send_in_place(message, &mut out)
        .unwrap()
        .expect("room for the header");
    assert!(range.contains(&frame.as_bytes().as_ptr()) && out.is_empty());
    assert_eq!(
        frames_from(Role::Server, frame.as_bytes())[0].payload,
        [7; 70_000]
    );
}

#[test]
fn a_payload_that_is_not_written_to_its_end_is_the_end_of_the_connection() {
    for role in ROLES {
        let (mut conn, mut out) = (endpoint(role, &default_config()), Vec::new());
        let mut payload = conn.send_header(MessageKind::Binary, 3, &mut out).unwrap();
        payload.mask(&mut [0; 2]);
        drop(payload);
        assert_eq!(conn.teardown(), Some(Teardown::Drop));
        assert_eq!(conn.send("x", &mut out), Err(Misuse::Closed));
        assert_eq!(conn.poll_timeout(), None);
    }
}

#[test]
fn a_header_and_a_payload_that_the_caller_writes_are_a_message() {
    for role in ROLES {
        let mut pair = Pair::new(&default_config(), &default_config());
        for length in [0, 125, 126, 70_000] {
            let mut payload = vec![b'p'; length];
            pair.act(role, |conn, out, _| {
                let mut outgoing = conn
                    .send_header(MessageKind::Text, length as u64, out)
                    .unwrap();
                let (head, tail) = payload.split_at_mut(length / 3);
                outgoing.mask(head);
                assert_eq!(outgoing.left(), tail.len() as u64);
                outgoing.mask(tail);
                out.extend_from_slice(&payload);
            });
            pair.drive();
        }
        let receiver = if role == Role::Server {
            &pair.client
        } else {
            &pair.server
        };
        let lengths: Vec<_> = receiver
            .seen()
            .into_iter()
            .map(|event| match event {
                Seen::Message(MessageKind::Text, bytes) => bytes.len(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(lengths, [0, 125, 126, 70_000]);
    }
}

// ---- what is sent ---------------------------------------------------------------------------

#[test]
fn c5_every_client_frame_has_a_fresh_masking_key_from_the_source() {
    let (mut conn, mut out) = (endpoint(Role::Client, &default_config()), Vec::new());
    for n in 0..25_000_u32 {
        conn.send(&n.to_be_bytes(), &mut out).unwrap();
        match n % 2 {
            0 => conn.send_fragment(b"f", &mut out).unwrap(),
            _ => conn.send_last_fragment(b"f", &mut out).unwrap(),
        }
        conn.send_last_fragment(b"g", &mut out).unwrap();
        let ping = frame(true, 0, PING, None, &n.to_be_bytes());
        out.extend(drive(&mut conn, &ping, &[ping.len()]).output);
    }
    let keys: Vec<_> = frames_from(Role::Client, &out)
        .iter()
        .map(|it| it.mask.unwrap())
        .collect();
    assert_eq!(keys.len(), 100_000);
    // Of 100,000 random keys of 32 bits about one pair is equal.
    let distinct: HashSet<_> = keys.iter().collect();
    assert!(distinct.len() > 99_980, "{}", distinct.len());
    // And they are what the source gave, in order: nothing is derived from anything else.
    let mut source = Seeded(42);
    for key in keys {
        let mut expected = [0; 4];
        sockeye::proto::RandomSource::fill(&mut source, &mut expected);
        assert_eq!(key, expected);
    }
}

#[test]
fn a_message_is_appended_as_one_frame_with_its_length_in_the_shortest_form() {
    let config = config(|_| ());
    for (length, header) in [
        (0, &[0x82, 0][..]),
        (125, &[0x82, 125]),
        (126, &[0x82, 126, 0, 126]),
        (65_535, &[0x82, 126, 0xff, 0xff]),
        (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let payload = vec![7; length];
        let (mut conn, mut out) = (endpoint(Role::Server, &config), b"before".to_vec());
        conn.send(&payload, &mut out).unwrap();
        assert!(
            out == [b"before", header, &payload].concat(),
            "of {length} bytes: {:x?}",
            &out[..20.min(out.len())]
        );
    }
}

#[test]
fn fragment_size_cuts_longer_messages_alone_and_exactly() {
    for role in ROLES {
        let config = config(|it| it.fragment_size = NonZeroUsize::new(10));
        for (length, expected) in [
            (0, vec![0]),
            (9, vec![9]),
            (10, vec![10]),
            (11, vec![10, 1]),
            (20, vec![10, 10]),
            (35, vec![10, 10, 10, 5]),
        ] {
            let (mut conn, mut out) = (endpoint(role, &config), Vec::new());
            conn.send(&vec![1; length], &mut out).unwrap();
            let frames = frames_from(role, &out);
            let lengths: Vec<_> = frames.iter().map(|it| it.payload.len()).collect();
            assert_eq!(lengths, expected);
            for (at, frame) in frames.iter().enumerate() {
                assert_eq!(frame.opcode, if at == 0 { BINARY } else { CONTINUATION });
                assert_eq!(frame.fin, at + 1 == frames.len());
            }
        }
    }
}

#[test]
fn a_message_that_the_extension_declines_is_sent_unmarked_and_as_it_is_in_all_its_frames() {
    for role in ROLES {
        let config = config(|it| {
            it.fragment_size = NonZeroUsize::new(4);
            it.extensions = vec![Arc::new(Runs::new(Rsv::RSV2))];
        });
        let (mut conn, mut out) = (negotiated(role, &config), Vec::new());
        conn.send("!not taken", &mut out).unwrap();
        conn.send("aaaa!bbb", &mut out).unwrap();
        let frames: Vec<_> = frames_from(role, &out)
            .into_iter()
            .map(|it| (it.rsv, it.opcode, it.payload))
            .collect();
        let coded = runs::encoded(b"aaaa!bbb");
        let expected = [
            (0, TEXT, b"!not".to_vec()),
            (0, CONTINUATION, b" tak".to_vec()),
            (0, CONTINUATION, b"en".to_vec()),
            (RSV2, TEXT, coded[..2].to_vec()),
            (0, CONTINUATION, coded[2..].to_vec()),
        ];
        assert_eq!(frames, expected);
    }
}

#[test]
fn data_that_do_not_fit_the_extension_fail_with_1007_and_its_reason() {
    for role in ROLES {
        let config = config(|it| it.extensions = vec![Arc::new(Runs::new(Rsv::RSV2))]);
        let mut wrong = runs::encoded(b"abc");
        *wrong.last_mut().unwrap() ^= 1;
        for (payload, reason) in [
            (&wrong[..], runs::CHECKSUM),
            (b"", runs::TRUNCATED),
            (b"\x01a\x00", runs::TRUNCATED),
            (b"\x01a\x00a?", runs::BEHIND),
        ] {
            let bytes = frame(true, RSV2, BINARY, mask_to(role), payload);
            let (seen, _) = drive_every_way(|| negotiated(role, &config), &bytes);
            let error = ProtocolError::Extension(reason);
            assert_eq!(
                (seen.fault, &seen.events[..]),
                (Some(Fault::Protocol(error)), &[][..])
            );
            let close = &frames_from(role, &seen.output)[0];
            assert_eq!(close.payload, close_payload(1007, reason.as_bytes()));
        }
    }
}
