//! docs/cases.md F15, F17 and D3: text that is not UTF-8, and the limits.
//!
//! Every row runs whole, byte by byte and at random splits, and names the byte that must be the
//! one that fails it.

use core::time::Duration;

use harness::sansio::expect::*;
use harness::sansio::*;
use sockeye::error::{Fault, LimitError, ProtocolError};
use sockeye::proto::{Delivery, Event, Input, MessageKind, Role};

// ---- F15: UTF-8 -----------------------------------------------------------------------------

/// Bad text, and how many of its bytes prove it; None where only its end does.
const BAD_TEXT: [(&[u8], Option<usize>); 22] = [
    (b"\x80", Some(1)),
    (b"ab\xBF", Some(3)),
    (b"\xC0\x80", Some(1)),
    (b"\xC1\xBF", Some(1)),
    (b"\xE0\x80\x80", Some(2)),
    (b"\xE0\x9F\xBF", Some(2)),
    (b"\xF0\x80\x80\x80", Some(2)),
    (b"\xF0\x8F\xBF\xBF", Some(2)),
    (b"\xED\xA0\x80", Some(2)),
    (b"\xED\xAF\xBF", Some(2)),
    (b"\xED\xBF\xBF", Some(2)),
    (b"\xF4\x90\x80\x80", Some(2)),
    (b"\xF5\x80\x80\x80", Some(1)),
    (b"\xFE", Some(1)),
    (b"\xFF", Some(1)),
    (b"\xC3\x28", Some(2)),
    (b"\xE2\x82\x28", Some(3)),
    (b"\xF0\x9F\x92\x28", Some(4)),
    (
        b"\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xF4\x90\x80\x80",
        Some(13),
    ),
    (b"\xC3", None),
    (b"\xE2\x82", None),
    (b"ab\xF0\x9F\x92", None),
];

#[test]
fn f15_bad_text_fails_with_1007_at_the_byte_that_proves_it() {
    let fault = Fault::Protocol(ProtocolError::Utf8);
    for role in ROLES {
        for padding in [0, 3, 61, 126] {
            for (bad, proof) in BAD_TEXT {
                let bad = [&vec![b'x'; padding], bad].concat();
                let upto = padding + proof.unwrap_or(bad.len() - padding);
                // In one frame, which announces more than the proof where it can.
                let whole = frame_to(role, true, TEXT, &bad);
                let cut = &whole[..whole.len() - (bad.len() - upto)];
                assert_fails_with(role, &default_config(), (&[], &[]), cut, fault, 1007);
                // In two frames, cut before each of the last bytes. The last byte is the proof,
                // or FIN is.
                for at in upto.saturating_sub(4)..upto {
                    let (first, rest) = bad.split_at(at);
                    let before = frame_to(role, false, TEXT, first);
                    let whole = frame_to(role, true, CONTINUATION, rest);
                    let cut = &whole[..whole.len() - (bad.len() - upto)];
                    let config = default_config();
                    assert_fails_with(role, &config, (&before, &[]), cut, fault, 1007);
                }
            }
        }
    }
}

#[test]
fn f15_text_cut_inside_a_character_fails_at_an_empty_last_frame() {
    for role in ROLES {
        let before = frame_to(role, false, TEXT, b"caf\xC3");
        let last = frame_to(role, true, CONTINUATION, b"");
        let fault = Fault::Protocol(ProtocolError::Utf8);
        assert_fails_with(role, &default_config(), (&before, &[]), &last, fault, 1007);
    }
}

#[test]
fn f15_good_text_passes_split_into_frames_at_every_byte() {
    let good = "a\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{fffd}\u{ffff}\u{10000}\u{10ffff}z\0";
    for role in ROLES {
        for at in 0..=good.len() {
            let (first, rest) = good.as_bytes().split_at(at);
            let stream = [
                frame_to(role, false, TEXT, first),
                frame_to(role, true, CONTINUATION, rest),
                frame_to(role, true, TEXT, good.as_bytes()),
            ];
            let events = [text(good), text(good)];
            assert_delivers(role, &default_config(), &stream.concat(), &events);
        }
    }
}

#[test]
fn f15_binary_messages_and_pings_may_hold_any_bytes() {
    for role in ROLES {
        let bytes: Vec<u8> = (0..=255).collect();
        let stream = [
            frame_to(role, true, BINARY, &bytes),
            frame_to(role, true, PING, &bytes[200..]),
        ];
        let events = [binary(&bytes), Seen::Ping(bytes[200..].into())];
        assert_delivers(role, &default_config(), &stream.concat(), &events);
    }
}

// ---- F17: limits ----------------------------------------------------------------------------

#[test]
fn f17_exactly_the_message_limit_passes_and_one_byte_more_fails_at_the_header() {
    let limit = 1000;
    let fault = Fault::Limit(LimitError::MessageSize { limit });
    let config = config(|it| it.max_message_size = limit);
    for role in ROLES {
        let payload = vec![b'm'; limit];
        let whole = frame_to(role, true, TEXT, &payload);
        let ping = frame_to(role, true, PING, &[b'p'; 125]);
        let fragments = [
            frame_to(role, false, TEXT, &payload[..600]),
            ping.clone(),
            frame_to(role, false, CONTINUATION, &payload[..399]),
            ping.clone(),
            frame_to(role, true, CONTINUATION, &payload[..1]),
        ];
        // Twice in each form: the counters start over.
        let message = Seen::Message(MessageKind::Text, payload.clone());
        let pinged = Seen::Ping(vec![b'p'; 125]);
        let events = [message.clone(), pinged.clone(), pinged.clone(), message];
        let passes = [whole, fragments.concat()].concat();
        let (twice, events) = (passes.repeat(2), [&events[..], &events[..]].concat());
        assert_delivers(role, &config, &twice, &events);

        let over = header(true, 0, TEXT, mask_to(role), limit as u64 + 1);
        assert_fails_with(role, &config, (&twice, &events), &over, fault, 1009);
        let over = header(false, 0, CONTINUATION, mask_to(role), 401);
        let before = (&fragments[..2].concat()[..], &[pinged][..]);
        assert_fails_with(role, &config, before, &over, fault, 1009);
    }
}

#[test]
fn f17_exactly_the_frame_limit_passes_and_one_byte_more_fails_at_the_header() {
    let fault = Fault::Limit(LimitError::FrameSize {
        length: 301,
        limit: 300,
    });
    let config = config(|it| it.max_frame_size = Some(300));
    for role in ROLES {
        let before = [
            frame_to(role, true, BINARY, &[1; 300]),
            frame_to(role, false, BINARY, &[2; 300]),
            frame_to(role, true, CONTINUATION, &[2; 300]),
        ]
        .concat();
        let events = [binary(&[1; 300]), binary(&[2; 600])];
        for opcode in [TEXT, BINARY] {
            let over = header(true, 0, opcode, mask_to(role), 301);
            assert_fails_with(role, &config, (&before, &events), &over, fault, 1009);
        }
        let before = frame_to(role, false, BINARY, &[2; 300]);
        let over = header(true, 0, CONTINUATION, mask_to(role), 301);
        assert_fails_with(role, &config, (&before, &[]), &over, fault, 1009);
    }
}

#[test]
fn f17_a_limit_of_zero_lets_only_empty_messages_and_control_frames_pass() {
    let config = config(|it| it.max_message_size = 0);
    for role in ROLES {
        let before = [
            frame_to(role, true, TEXT, b""),
            frame_to(role, true, PING, b"ping"),
        ];
        let events = [text(""), Seen::Ping(b"ping".into())];
        let over = header(true, 0, TEXT, mask_to(role), 1);
        let fault = Fault::Limit(LimitError::MessageSize { limit: 0 });
        assert_fails_with(
            role,
            &config,
            (&before.concat(), &events),
            &over,
            fault,
            1009,
        );
    }
}

#[test]
fn f17_exactly_the_fragment_limit_passes_and_one_more_fails_with_1008() {
    let config = config(|it| it.max_fragments = 5);
    for role in ROLES {
        let fragments = |count| -> Vec<u8> {
            let rest = (1..count).flat_map(|_| {
                let ping = frame_to(role, true, PING, b"");
                // Empty ones count too.
                [ping, frame_to(role, false, CONTINUATION, b"")].concat()
            });
            frame_to(role, false, BINARY, b"b")
                .into_iter()
                .chain(rest)
                .collect()
        };
        let last = frame_to(role, true, CONTINUATION, b"e");
        let passes = [fragments(4), last.clone()].concat().repeat(2);
        let pings = |count| vec![Seen::Ping(vec![]); count];
        let events = [pings(3), vec![binary(b"be")], pings(3), vec![binary(b"be")]].concat();
        assert_delivers(role, &config, &passes, &events);

        let fault = Fault::Limit(LimitError::Fragments { limit: 5 });
        let over = header(true, 0, CONTINUATION, mask_to(role), 1);
        let (before, events) = (fragments(5), pings(4));
        assert_fails_with(role, &config, (&before, &events), &over, fault, 1008);
    }
}

#[test]
fn d3_one_byte_and_empty_fragments_end_at_the_default_limit_of_100_000() {
    for payload in [&b"x"[..], b""] {
        let mut stream = frame_to(Role::Server, false, BINARY, b"");
        for _ in 1..100_000 {
            stream.extend(frame_to(Role::Server, false, CONTINUATION, payload));
        }
        let mut conn = endpoint(Role::Server, &default_config());
        let seen = drive(&mut conn, &stream, &[stream.len()]);
        assert_eq!(seen, Transcript::default());
        let over = header(false, 0, CONTINUATION, mask_to(Role::Server), 0);
        let (seen, _) = drive_from(&mut conn, &over, &[over.len()], Duration::ZERO);
        let limit = 100_000;
        assert_eq!(
            seen.fault,
            Some(Fault::Limit(LimitError::Fragments { limit }))
        );
        let frames = frames_from(Role::Server, &seen.output);
        assert_eq!(frames[0].close_code(), Some(1008));
    }
}

/// What an application may do with a streamed piece doesn't depend on whether the bad byte behind
/// it arrived with it.
#[test]
fn f15_a_streamed_piece_before_a_bad_byte_can_be_answered() {
    let config = config(|it| it.delivery = Delivery::Streamed);
    let now = Duration::ZERO;
    for role in ROLES {
        for close in [false, true] {
            let mut connection = endpoint(role, &config);
            let mut bytes = frame_to(role, true, TEXT, b"good\xFF");
            let mut input = Input::new(&mut bytes);
            let mut out = Vec::new();
            let event = connection.recv(&mut input, &mut out, now).unwrap();
            assert!(matches!(event, Some(Event::Piece(piece)) if piece.as_text() == Some("good")));
            assert!(connection.is_open());
            connection.send("answer", &mut out).unwrap();
            if close {
                connection.close(None, "", &mut out, now).unwrap();
                // A fault in data that nobody will see is none.
                assert_eq!(connection.recv(&mut input, &mut out, now), Ok(None));
                assert_eq!(connection.teardown(), None);
            } else {
                let fault = connection.recv(&mut input, &mut out, now).unwrap_err();
                assert_eq!(fault, Fault::Protocol(ProtocolError::Utf8));
            }
        }
    }
}
