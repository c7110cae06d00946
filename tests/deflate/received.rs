//! Compressed messages as they are received, in both roles, whole, byte by byte and at random
//! splits: docs/cases.md P7 to P16, RFC 7692 section 7.2.2.

extern crate alloc;

use alloc::sync::Arc;

use harness::deflate::zlib::Zlib;
use harness::deflate::*;
use harness::sansio::expect::{assert_delivers, assert_lawful};
use harness::sansio::*;
use libz_sys::{Z_FINISH, Z_FULL_FLUSH};
use proptest::prelude::*;
use sockeye::error::{Fault, LimitError, ProtocolError};
use sockeye::proto::{Config, Deflate, Delivery, Role};

/// What the messages in these frames are to `role`, however they are cut.
#[track_caller]
fn received(role: Role, config: &Arc<Config>, frames: &[Vec<u8>]) -> Transcript {
    let (seen, _) = drive_every_way(|| negotiated(role, config), &frames.concat());
    assert_lawful(role, &seen);
    seen
}

/// The connection fails with 1007 for the extension, after these events.
#[track_caller]
fn assert_invalid(role: Role, config: &Arc<Config>, frames: &[Vec<u8>], events: &[Seen]) {
    let seen = received(role, config, frames);
    let Some(Fault::Protocol(ProtocolError::Extension(text))) = seen.fault else {
        panic!("{seen:?}")
    };
    assert!(
        text.len() <= 123 && text.contains("RFC 7692 section 7.2"),
        "{text}"
    );
    let close = frames_from(role, &seen.output).pop().unwrap();
    assert_eq!(
        (close.close_code(), &close.payload[2..]),
        (Some(1007), text.as_bytes())
    );
    assert_eq!(seen.events, events);
}

/// The frames of one message, cut into these payloads.
fn fragments(role: Role, opcode: u8, payloads: &[&[u8]]) -> Vec<Vec<u8>> {
    let last = payloads.len() - 1;
    let frames = payloads.iter().enumerate().map(|(at, payload)| {
        let (rsv, opcode) = if at == 0 {
            (RSV1, opcode)
        } else {
            (0, CONTINUATION)
        };
        frame(at == last, rsv, opcode, mask_to(role), payload)
    });
    frames.collect()
}

#[test]
fn p7_the_examples_of_the_rfc() {
    for role in ROLES {
        let hello = compressed(role, TEXT, &HELLO);
        let again = compressed(role, TEXT, &HELLO_AGAIN);
        let both = [hello.clone(), again.clone()];
        let [takeover, shared] = both_modes();
        assert_delivers(
            role,
            &takeover,
            &both.concat(),
            &[text("Hello"), text("Hello")],
        );
        // Nothing to refer to: the second message refers to the first.
        assert_invalid(role, &shared, &both, &[text("Hello")]);
        assert_invalid(role, &takeover, &[again], &[]);
        assert_delivers(
            role,
            &shared,
            &hello.repeat(3),
            &[text("Hello"), text("Hello"), text("Hello")],
        );
    }
}

#[test]
fn p8_frames_cut_at_every_byte_with_empty_ones_and_pings_between() {
    for role in ROLES {
        for config in both_modes() {
            for at in 0..=HELLO.len() {
                let (a, b) = HELLO.split_at(at);
                let mut frames = fragments(role, TEXT, &[a, b"", b, b""]);
                frames.insert(1, frame_to(role, true, PING, b"?"));
                frames.insert(3, frame_to(role, true, PING, b"?"));
                let seen = received(role, &config, &frames);
                assert_eq!(seen.fault, None);
                let messages = seen.events.iter().filter(|it| !matches!(it, Seen::Ping(_)));
                assert!(messages.eq([&text("Hello")]), "{seen:?}");
            }
            let bytes: Vec<&[u8]> = HELLO.chunks(1).collect();
            let seen = received(role, &config, &fragments(role, TEXT, &bytes));
            assert_eq!((seen.fault, seen.events), (None, vec![text("Hello")]));
        }
    }
}

#[test]
fn p9_every_kind_of_block() {
    // RFC 7692 sections 7.2.3.3 and 7.2.3.5, and a message in one of section 7.2.3.6.
    let stored = b"\x00\x05\x00\xFA\xFFHello\x00";
    let two = [
        0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00,
    ];
    for role in ROLES {
        for config in both_modes() {
            let messages: [(&[u8], &str); 4] = [
                (stored, "Hello"),
                (&two, "Hello"),
                (&[0x00], ""),
                (&HELLO, "Hello"),
            ];
            let frames: Vec<_> = messages.map(|(it, _)| compressed(role, TEXT, it)).into();
            let events = messages.map(|(_, it)| text(it));
            assert_delivers(role, &config, &frames.concat(), &events);
            // With dynamic codes.
            let long = json(5000, &mut Seeded(1));
            let payload = Zlib::deflater(9, 15).message(&long);
            assert_eq!(payload[0] >> 1 & 3, 2, "a dynamic block");
            let frame = compressed(role, BINARY, &payload);
            assert_delivers(role, &config, &frame, &[binary(&long)]);
        }
    }
}

#[test]
fn p10_a_last_block_does_not_end_the_connections_stream() {
    // RFC 7692 section 7.2.3.4.
    let last = [0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
    for role in ROLES {
        for config in both_modes() {
            let with_padding = [&last[..], &[0x00]].concat();
            let and_another = [&last[..], &HELLO].concat();
            let and_last = [&last[..], &last].concat();
            let payloads: [&[u8]; 6] = [
                &with_padding,
                &HELLO,
                &and_another,
                &last,
                &and_last,
                &with_padding,
            ];
            let frames = payloads.map(|it| compressed(role, TEXT, it)).concat();
            let events = [
                "Hello",
                "Hello",
                "HelloHello",
                "Hello",
                "HelloHello",
                "Hello",
            ]
            .map(text);
            assert_delivers(role, &config, &frames, &events);
            // In fragments, cut behind the last block.
            let frames = fragments(role, TEXT, &[&last, b"", &HELLO, b""]).concat();
            assert_delivers(role, &config, &frames, &[text("HelloHello")]);
            let frames = fragments(role, TEXT, &[&last, b"", b""]).concat();
            assert_delivers(role, &config, &frames, &[text("Hello")]);
        }
        // A stream of zlib's that is finished at each message and begins anew.
        let (mut zlib, mut random) = (Zlib::deflater(6, 15), Seeded(3));
        let (mut frames, mut events) = (Vec::new(), Vec::new());
        for length in [0, 1, 100, 10_000] {
            let message = json(length, &mut random);
            let payload = zlib.compress(&message, Z_FINISH);
            zlib.reset();
            frames.extend(compressed(role, BINARY, &payload));
            events.push(binary(&message));
        }
        assert_delivers(role, &deflate(|_| {}), &frames, &events);
    }
}

#[test]
fn p11_no_data_at_all_is_invalid() {
    for role in ROLES {
        for config in both_modes() {
            let hello = compressed(role, TEXT, &HELLO);
            let empty = compressed(role, TEXT, b"");
            assert_invalid(role, &config, &[hello.clone(), empty], &[text("Hello")]);
            let empties = fragments(role, BINARY, &[b"", b"", b""]);
            assert_invalid(role, &config, &empties, &[]);
            // The thread's inflaters are as good as before.
            assert_delivers(role, &config, &hello, &[text("Hello")]);
        }
    }
}

#[test]
fn p12_what_is_no_deflate_data() {
    for role in ROLES {
        for config in both_modes() {
            let garbage: [&[u8]; 6] = [
                // A block of the reserved kind; a stored block whose lengths disagree; a distance
                // of 5 with nothing sent; a dynamic block with too many codes; of over-long codes.
                &[0x06, 0x00],
                b"\x00\x05\x00\xFA\xFEHello\x00",
                &HELLO_AGAIN,
                &[0xFC, 0xFF, 0xFF],
                &[0x04, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
                b"not compressed at all, and not even short: some words, in plain English",
            ];
            for payload in garbage {
                assert_invalid(role, &config, &[compressed(role, BINARY, payload)], &[]);
                // And behind a message.
                let frames = [
                    compressed(role, TEXT, &HELLO),
                    compressed(role, BINARY, payload),
                ];
                let seen = received(role, &config, &frames);
                assert_eq!(seen.events[0], text("Hello"));
            }
            let hello = compressed(role, TEXT, &HELLO);
            assert_delivers(role, &config, &hello, &[text("Hello")]);
        }
    }
}

#[test]
fn p12a_cut_short() {
    let long = json(700, &mut Seeded(5));
    let mut stored = Zlib::deflater(0, 15);
    let payloads = [
        HELLO.to_vec(),
        Zlib::deflater(6, 15).message(&long),
        stored.message(&long),
    ];
    let [takeover, shared] = both_modes();
    for role in ROLES {
        for payload in &payloads {
            for length in 1..payload.len() {
                let cut = [compressed(role, BINARY, &payload[..length])];
                // Without takeover it is told from a whole one, but for one that is whole.
                match payload[..length] {
                    [0x00] => assert_eq!(received(role, &shared, &cut).events, [binary(b"")]),
                    _ => assert_invalid(role, &shared, &cut, &[]),
                }
                // With takeover it fails or yields what there is, for this connection only.
                received(role, &takeover, &cut);
            }
            let hello = compressed(role, TEXT, &HELLO);
            for config in [&takeover, &shared] {
                assert_delivers(role, config, &hello, &[text("Hello")]);
            }
        }
    }
}

#[test]
fn p12_an_inflater_left_in_the_middle_of_a_message_is_no_ones() {
    let [_, shared] = both_modes();
    for role in ROLES {
        for _ in 0..20 {
            let mut left = negotiated(role, &shared);
            let begun = fragments(role, TEXT, &[&HELLO[..4], b""]);
            assert_eq!(drive(&mut left, &begun[0], &[begun[0].len()]).fault, None);
            let mut other = negotiated(role, &shared);
            let hello = compressed(role, TEXT, &HELLO);
            let seen = drive(&mut other, &hello, &[hello.len()]);
            assert_eq!(seen.events, [text("Hello")]);
            drop(left);
            let seen = drive(&mut other, &hello, &[hello.len()]);
            assert_eq!(seen.events, [text("Hello")]);
        }
    }
}

#[test]
fn two_messages_under_way_at_once_do_not_mix() {
    let [_, shared] = both_modes();
    let messages = [json(900, &mut Seeded(1)), json(900, &mut Seeded(2))];
    let frames = messages.each_ref().map(|message| {
        let payload = Zlib::deflater(6, 15).message(message);
        let cut: Vec<&[u8]> = payload.chunks(10).collect();
        fragments(Role::Server, BINARY, &cut)
    });
    let mut conns = [
        negotiated(Role::Server, &shared),
        negotiated(Role::Server, &shared),
    ];
    let mut events = [Vec::new(), Vec::new()];
    for at in 0..frames[0].len().max(frames[1].len()) {
        for which in 0..2 {
            if let Some(frame) = frames[which].get(at) {
                events[which].extend(drive(&mut conns[which], frame, &[frame.len()]).events);
            }
        }
    }
    assert_eq!(events, messages.map(|it| vec![binary(&it)]));
}

#[test]
fn p13_a_bomb_fails_as_soon_as_the_limit_is_passed() {
    // A million bytes for each of these, and as often again in many frames.
    let mut zlib = Zlib::deflater(9, 15);
    let zeros = zlib.compress(&vec![0; 1 << 20], Z_FULL_FLUSH);
    for role in ROLES {
        for mode in [Deflate::default(), Deflate::shared()] {
            let limit = 100_000;
            let config = deflate_with(|it| *it = mode, |it| it.max_message_size = limit);
            let one = [compressed(role, BINARY, &zeros.repeat(3))];
            let cut: Vec<&[u8]> = zeros.chunks(50).collect();
            for frames in [&one[..], &fragments(role, BINARY, &cut)] {
                let seen = received(role, &config, frames);
                let fault = Fault::Limit(LimitError::MessageSize { limit });
                assert_eq!((seen.fault, seen.events), (Some(fault), vec![]));
                // At the byte that proves it: 100,000 zeros take about 100 bytes.
                let bytes = frames.concat();
                let mut conn = negotiated(role, &config);
                let (_, at) = drive_from(
                    &mut conn,
                    &bytes,
                    &vec![1; bytes.len()],
                    core::time::Duration::ZERO,
                );
                assert!(at < 200, "{at}");
            }
        }
    }
}

#[test]
fn p14_exactly_the_limit_passes_and_a_byte_more_does_not() {
    let mut random = Seeded(9);
    for message in [
        vec![b'z'; 3000],
        json(3000, &mut random),
        noise(3000, &mut random),
    ] {
        let payload = Zlib::deflater(6, 15).message(&message);
        let length = message.len();
        for role in ROLES {
            for mode in [Deflate::default(), Deflate::shared()] {
                for delivery in [Delivery::Whole, Delivery::Streamed] {
                    for limit in [0, 1, length - 1, length, length + 1] {
                        let config = deflate_with(
                            |it| *it = mode.clone(),
                            |it| (it.max_message_size, it.delivery) = (limit, delivery),
                        );
                        let seen = received(role, &config, &[compressed(role, BINARY, &payload)]);
                        let fault = Fault::Limit(LimitError::MessageSize { limit });
                        assert_eq!(seen.fault, (limit < length).then_some(fault));
                        // Streamed, all bytes up to the limit were handed over.
                        let bytes = match &seen.events[..] {
                            [] => 0,
                            [Seen::Message(_, bytes)] => bytes.len(),
                            [Seen::Piece { bytes, .. }] => bytes.len(),
                            other => panic!("{other:?}"),
                        };
                        let whole = delivery == Delivery::Whole;
                        let expected = if whole && limit < length {
                            0
                        } else {
                            limit.min(length)
                        };
                        assert_eq!(bytes, expected);
                    }
                }
            }
        }
    }
}

#[test]
fn p15_uncompressed_messages_between_compressed_ones() {
    for role in ROLES {
        for config in both_modes() {
            let takeover = config.extensions[0].offers()[0].params().count() == 1;
            let second: &[u8] = if takeover { &HELLO_AGAIN } else { &HELLO };
            let frames = [
                frame_to(role, true, TEXT, b"plain"),
                compressed(role, TEXT, &HELLO),
                frame_to(role, false, BINARY, b"pla"),
                frame_to(role, true, CONTINUATION, b"in"),
                compressed(role, TEXT, second),
            ];
            let events = [
                text("plain"),
                text("Hello"),
                binary(b"plain"),
                text("Hello"),
            ];
            assert_delivers(role, &config, &frames.concat(), &events);
        }
    }
}

#[test]
fn p16_text_that_is_not_utf8_once_inflated() {
    for role in ROLES {
        for config in both_modes() {
            // Stored, so that the byte at fault can be named: it stands at 5 + 3.
            let mut stored = vec![0x00, 0x06, 0x00, 0xF9, 0xFF];
            stored.extend(b"abc\xFFde\x00");
            let bytes = compressed(role, TEXT, &stored);
            let (seen, at) = drive_every_way(|| negotiated(role, &config), &bytes);
            assert_eq!(seen.fault, Some(Fault::Protocol(ProtocolError::Utf8)));
            let header = bytes.len() - stored.len();
            assert_eq!(at, header + 9, "the byte at fault");
            let close = frames_from(role, &seen.output).pop().unwrap();
            assert_eq!(close.close_code(), Some(1007));
            // Compressed, and cut short at the end of the message.
            for bad in [
                &b"Hello \xC3"[..],
                b"\xED\xA0\x80",
                b"Hello Hello Hello \xC0\x80",
            ] {
                let payload = Zlib::deflater(6, 15).message(bad);
                let seen = received(role, &config, &[compressed(role, TEXT, &payload)]);
                assert_eq!(
                    seen.fault,
                    Some(Fault::Protocol(ProtocolError::Utf8)),
                    "{bad:?}"
                );
                let seen = received(role, &config, &[compressed(role, BINARY, &payload)]);
                assert_eq!(seen.events, [binary(bad)]);
            }
            let good = "Grüße, κόσμε, 🦜 ".repeat(20);
            let payload = Zlib::deflater(6, 15).message(good.as_bytes());
            assert_delivers(
                role,
                &config,
                &compressed(role, TEXT, &payload),
                &[text(&good)],
            );
        }
    }
}

#[test]
fn rsv1_stands_on_a_first_data_frame_and_means_this_extension() {
    for role in ROLES {
        for config in both_modes() {
            let mask = mask_to(role);
            for bad in [
                [
                    frame(false, RSV1, TEXT, mask, &HELLO),
                    frame(true, RSV1, CONTINUATION, mask, b""),
                ]
                .concat(),
                frame(true, RSV1, PING, mask, b""),
                frame(true, RSV2, TEXT, mask, &HELLO),
                frame(true, RSV1 | RSV2, TEXT, mask, &HELLO),
            ] {
                let seen = received(role, &config, &[bad]);
                assert_eq!(
                    seen.fault,
                    Some(Fault::Protocol(ProtocolError::ReservedBits))
                );
            }
        }
    }
}

// ---- properties -----------------------------------------------------------------------------

/// The frames of messages that zlib compressed, some of them then damaged, in frames of any size.
fn stream() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let message = (
        0_u64..,
        0..4_u8,
        0..3000_usize,
        prop::option::weighted(0.3, (any::<u16>(), 1..=255_u8)),
    );
    let messages = prop::collection::vec((message, 1..2000_usize), 1..5);
    (messages, any::<bool>()).prop_map(|(messages, takeover)| {
        let mut zlib = Zlib::deflater(6, 15);
        let mut payloads = Vec::new();
        for ((seed, kind, length, damage), size) in messages {
            let random = &mut Seeded(seed);
            let message = match kind {
                0 => noise(length, random),
                1 => vec![7; length * 10],
                _ => json(length, random),
            };
            if !takeover {
                zlib.reset();
            }
            let mut payload = zlib.message(&message);
            if let Some((at, bits)) = damage {
                let length = payload.len();
                payload[usize::from(at) % length] ^= bits;
            }
            payloads.extend([payload, size.to_be_bytes().to_vec()]);
        }
        payloads
    })
}

fn frames_of(role: Role, stream: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let messages = stream.chunks(2).flat_map(|pair| {
        let size = usize::from_be_bytes(pair[1][..].try_into().unwrap());
        let cut: Vec<&[u8]> = pair[0].chunks(size).collect();
        fragments(role, BINARY, &cut)
    });
    messages.collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariant 1 of ARCHITECTURE.md, whole and damaged streams alike.
    #[test]
    fn what_is_received_does_not_depend_on_the_cuts(
        stream in stream(),
        limit in prop_oneof![Just(1 << 20), 1..4000_usize],
        streamed: bool,
    ) {
        let delivery = if streamed { Delivery::Streamed } else { Delivery::Whole };
        for role in ROLES {
            for mode in [Deflate::default(), Deflate::shared()] {
                let config = deflate_with(
                    |it| *it = mode,
                    |it| (it.max_message_size, it.delivery) = (limit, delivery),
                );
                received(role, &config, &frames_of(role, &stream));
            }
        }
    }

    /// Nor on the frames, streamed or not.
    #[test]
    fn nor_on_the_frames(stream in stream(), size in 1..500_usize) {
        let config = deflate(|_| {});
        let mut other = stream.clone();
        for pair in other.chunks_mut(2) {
            pair[1] = size.to_be_bytes().to_vec();
        }
        let seen = [stream, other].map(|it| received(Role::Client, &config, &frames_of(Role::Client, &it)));
        prop_assert_eq!(&seen[0], &seen[1]);
    }

    #[test]
    fn no_bytes_make_it_panic(payload in prop::collection::vec(any::<u8>(), 1..300)) {
        for config in both_modes() {
            received(Role::Client, &config, &[compressed(Role::Client, BINARY, &payload)]);
        }
    }
}
