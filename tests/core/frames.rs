//! docs/cases.md F1–F9 and F19, and C9: what a connection does with each kind of frame. F15 and F17
//! are in `text_and_limits.rs`, F10–F14a, F16 and F18 in `closing.rs`.
//!
//! Every row runs whole, byte by byte and at random splits; a failing row names the byte that
//! must be the one that fails it.

extern crate alloc;

use alloc::sync::Arc;

use harness::sansio::expect::*;
use harness::sansio::runs::{Runs, encoded};
use harness::sansio::*;
use sockeye::error::{Fault, LimitError, ProtocolError};
use sockeye::proto::{Config, Role, Rsv};

// ---- F1, C9: masking ------------------------------------------------------------------------

#[test]
fn f1_an_unmasked_frame_fails_a_server_at_its_second_byte() {
    for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
        for length in [0, 1, 125] {
            let bytes = header(true, 0, opcode, None, length);
            assert_fails(Role::Server, &bytes[..2], ProtocolError::Unmasked, 1002);
        }
    }
    for length in [126, 65_536, 1 << 62] {
        let bytes = header(true, 0, BINARY, None, length);
        assert_fails(Role::Server, &bytes[..2], ProtocolError::Unmasked, 1002);
    }
    let bytes = header(true, 0, CONTINUATION, None, 0);
    assert_fails_inside_message(Role::Server, &bytes, ProtocolError::Unmasked, 1002);
}

#[test]
fn c9_a_masked_frame_fails_a_client_at_its_second_byte() {
    for key in [KEY, [0; 4]] {
        for opcode in [TEXT, BINARY, CLOSE, PING, PONG] {
            for length in [0, 1, 125] {
                let bytes = header(true, 0, opcode, Some(key), length);
                assert_fails(Role::Client, &bytes[..2], ProtocolError::Masked, 1002);
            }
        }
    }
    let bytes = header(true, 0, CONTINUATION, Some(KEY), 0);
    assert_fails_inside_message(Role::Client, &bytes[..2], ProtocolError::Masked, 1002);
}

#[test]
fn a_masking_key_of_zeros_is_a_key() {
    let bytes = frame(true, 0, TEXT, Some([0; 4]), b"plain");
    assert_delivers(Role::Server, &default_config(), &bytes, &[text("plain")]);
}

// ---- F2, F3: lengths ------------------------------------------------------------------------

#[test]
fn f2_a_length_that_is_not_minimal_fails_at_the_byte_that_proves_it() {
    for role in ROLES {
        for opcode in [TEXT, BINARY] {
            let first = byte0(true, 0, opcode);
            for length in [0, 1, 124, 125] {
                let bytes = raw_header(first, mask_to(role), Length::In16(length));
                assert_fails(role, &bytes[..4], ProtocolError::LengthNotMinimal, 1002);
            }
            // Six zeros: whatever the last two bytes are, two would have done.
            for length in [0, 125, 126, 65_535] {
                let bytes = raw_header(first, mask_to(role), Length::In64(length));
                assert_fails(role, &bytes[..8], ProtocolError::LengthNotMinimal, 1002);
            }
        }
    }
}

#[test]
fn f2_the_shortest_length_of_each_form_is_accepted() {
    for role in ROLES {
        for length in [0, 125, 126, 65_535, 65_536] {
            let payload = vec![b'a'; length];
            let bytes = frame_to(role, true, BINARY, &payload);
            assert_delivers(role, &default_config(), &bytes, &[binary(&payload)]);
        }
    }
}

#[test]
fn f3_a_length_with_the_top_bit_fails_at_its_first_byte() {
    for role in ROLES {
        for length in [1 << 63, u64::MAX, 1 << 63 | 5] {
            let first = byte0(true, 0, BINARY);
            let bytes = raw_header(first, mask_to(role), Length::In64(length));
            assert_fails(role, &bytes[..3], ProtocolError::LengthTopBit, 1002);
        }
    }
}

#[test]
fn f3_a_length_over_the_limit_fails_from_the_header_alone() {
    let limit = 1024 * 1024;
    let fault = Fault::Limit(LimitError::MessageSize { limit });
    for role in ROLES {
        for length in [
            (1 << 63) - 1,
            1 << 62,
            u64::from(u32::MAX) + 1,
            limit as u64 + 1,
        ] {
            for (fin, opcode) in [(true, TEXT), (false, BINARY)] {
                let bytes = header(fin, 0, opcode, mask_to(role), length);
                assert_fails_with(role, &default_config(), (&[], &[]), &bytes, fault, 1009);
            }
        }
    }
}

#[test]
fn f3_the_lengths_of_fragments_are_added_without_overflow() {
    for role in ROLES {
        let config = config(|it| it.max_message_size = usize::MAX);
        let before = frame_to(role, false, BINARY, b"12345678");
        // With 64-bit sizes the sum just fits; then there is nothing to fail.
        let claim = header(true, 0, CONTINUATION, mask_to(role), (1 << 63) - 1);
        let mut conn = negotiated(role, &config);
        let bytes = [before, claim].concat();
        let seen = drive(&mut conn, &bytes, &vec![1; bytes.len()]);
        if usize::BITS == 64 {
            assert_eq!(seen, Transcript::default(), "no overflow and no fault");
        } else {
            assert!(seen.fault.is_some());
        }
    }
}

// ---- F4, F5: reserved bits and opcodes, control frames --------------------------------------

#[test]
fn f4_a_reserved_bit_that_was_not_negotiated_fails_at_the_first_byte() {
    for role in ROLES {
        for rsv in 1..=7 {
            for (fin, opcode) in [
                (true, TEXT),
                (false, TEXT),
                (true, BINARY),
                (false, BINARY),
                (true, PING),
                (true, PONG),
                (true, CLOSE),
            ] {
                let bytes = [byte0(fin, rsv, opcode)];
                assert_fails(role, &bytes, ProtocolError::ReservedBits, 1002);
            }
        }
    }
}

#[test]
fn f4_a_reserved_opcode_fails_at_the_first_byte() {
    for role in ROLES {
        for opcode in (0x3..=0x7).chain(0xB..=0xF) {
            let error = ProtocolError::ReservedOpcode(opcode);
            assert_fails(role, &[byte0(true, 0, opcode)], error, 1002);
            assert_fails_inside_message(role, &[byte0(true, 0, opcode)], error, 1002);
            if opcode < 8 {
                assert_fails(role, &[byte0(false, 0, opcode)], error, 1002);
            }
        }
    }
}

/// An endpoint with an extension that owns these bits.
fn extended(rsv: Rsv) -> Arc<Config> {
    config(|it| it.extensions = vec![Arc::new(Runs::new(rsv))])
}

#[test]
fn f4_a_negotiated_bit_is_accepted_where_it_belongs_and_nowhere_else() {
    for role in ROLES {
        for (own, bit) in [(Rsv::RSV1, RSV1), (Rsv::RSV2, RSV2), (Rsv::RSV3, RSV3)] {
            let config = extended(own);
            let good = frame(true, bit, TEXT, mask_to(role), &encoded(b"aaab"));
            assert_delivers(role, &config, &good, &[text("aaab")]);
            let fault = Fault::Protocol(ProtocolError::ReservedBits);
            for rsv in (1..=7).filter(|rsv| *rsv != bit) {
                let bytes = [byte0(true, rsv, TEXT)];
                assert_fails_with(role, &config, (&good, &[text("aaab")]), &bytes, fault, 1002);
            }
            // F5, F6: not on control frames, not on a continuation.
            for opcode in [PING, PONG, CLOSE] {
                let bytes = [byte0(true, bit, opcode)];
                assert_fails_with(role, &config, (&[], &[]), &bytes, fault, 1002);
            }
            for first in [0, bit] {
                let before = frame(false, first, TEXT, mask_to(role), &encoded(b"x")[..2]);
                for fin in [false, true] {
                    let bytes = [byte0(fin, bit, CONTINUATION)];
                    assert_fails_with(role, &config, (&before, &[]), &bytes, fault, 1002);
                }
            }
        }
    }
}

#[test]
fn f4_of_an_extension_with_two_bits_one_bit_alone_means_nothing() {
    for role in ROLES {
        let config = extended(Rsv::RSV1 | Rsv::RSV3);
        let good = frame(true, RSV1 | RSV3, TEXT, mask_to(role), &encoded(b"b"));
        assert_delivers(role, &config, &good, &[text("b")]);
        for rsv in [RSV1, RSV3, RSV2, RSV1 | RSV2] {
            let bytes = [byte0(true, rsv, TEXT)];
            let fault = Fault::Protocol(ProtocolError::ReservedBits);
            assert_fails_with(role, &config, (&[], &[]), &bytes, fault, 1002);
        }
    }
}

#[test]
fn f5_a_control_frame_without_fin_fails_at_the_first_byte() {
    for role in ROLES {
        for opcode in [CLOSE, PING, PONG] {
            let bytes = [byte0(false, 0, opcode)];
            assert_fails(role, &bytes, ProtocolError::FragmentedControl, 1002);
            assert_fails_inside_message(role, &bytes, ProtocolError::FragmentedControl, 1002);
        }
    }
}

#[test]
fn f5_a_control_frame_over_125_bytes_fails_at_the_second_byte() {
    for role in ROLES {
        for opcode in [CLOSE, PING, PONG] {
            for length in [126, 65_536] {
                let bytes = header(true, 0, opcode, mask_to(role), length);
                assert_fails(role, &bytes[..2], ProtocolError::ControlTooLong, 1002);
            }
        }
    }
}

// ---- F6, F7: fragments ----------------------------------------------------------------------

#[test]
fn f6_a_continuation_with_nothing_to_continue_fails_at_the_first_byte() {
    for role in ROLES {
        for fin in [true, false] {
            let bytes = [byte0(fin, 0, CONTINUATION)];
            assert_fails(role, &bytes, ProtocolError::UnexpectedContinuation, 1002);
        }
        // Also after a whole message, of one frame or of two, and after a ping.
        let one = frame_to(role, true, TEXT, b"one");
        let two = [
            frame_to(role, false, TEXT, b"o"),
            frame_to(role, true, CONTINUATION, b"ne"),
        ];
        for before in [one, two.concat()] {
            let fault = Fault::Protocol(ProtocolError::UnexpectedContinuation);
            let before = (&before[..], &[text("one")][..]);
            let bytes = [byte0(true, 0, CONTINUATION)];
            assert_fails_with(role, &default_config(), before, &bytes, fault, 1002);
        }
    }
}

#[test]
fn f6_a_new_message_inside_a_fragmented_one_fails_at_the_first_byte() {
    for role in ROLES {
        for opcode in [TEXT, BINARY] {
            for fin in [true, false] {
                let bytes = [byte0(fin, 0, opcode)];
                let error = ProtocolError::MessageInsideMessage;
                assert_fails_inside_message(role, &bytes, error, 1002);
            }
        }
    }
}

#[test]
fn f7_control_frames_between_fragments_are_answered_at_once_and_the_message_is_intact() {
    for role in ROLES {
        let stream = [
            frame_to(role, false, TEXT, "mé".as_bytes()),
            frame_to(role, true, PING, b"1"),
            frame_to(role, false, CONTINUATION, b""),
            frame_to(role, true, PONG, b"2"),
            frame_to(role, true, PING, b""),
            frame_to(role, true, CONTINUATION, b"ssage"),
        ];
        let events = [
            Seen::Ping(b"1".into()),
            Seen::Pong(b"2".into()),
            Seen::Ping(b"".into()),
            text("méssage"),
        ];
        let frames = assert_delivers(role, &default_config(), &stream.concat(), &events);
        let pongs: Vec<_> = frames
            .iter()
            .map(|it| (it.opcode, &it.payload[..]))
            .collect();
        assert_eq!(pongs, [(PONG, &b"1"[..]), (PONG, b"")]);
        // At once: the pong is there when the ping's last byte is.
        let upto = stream[..2].concat();
        let seen = drive(&mut endpoint(role, &default_config()), &upto, &[upto.len()]);
        assert_eq!(frames_from(role, &seen.output).len(), 1);
    }
}

#[test]
fn f7_a_close_between_fragments_is_honoured_and_the_message_never_delivered() {
    for role in ROLES {
        let stream = [
            frame_to(role, false, TEXT, b"half"),
            frame_to(role, true, CLOSE, &close_payload(1001, b"gone")),
            frame_to(role, true, CONTINUATION, b"other half"),
        ];
        let (seen, _) = drive_every_way(|| endpoint(role, &default_config()), &stream.concat());
        assert_eq!(seen.fault, None);
        assert!(matches!(&seen.events[..], [Seen::Closed(it)]
            if it.code.0 == 1001 && &*it.reason == "gone" && it.clean && !it.local));
        let frames = frames_from(role, &seen.output);
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].close_code(), Some(1001));
    }
}

// ---- F8, F9, F19: pings and pongs -----------------------------------------------------------

#[test]
fn f8_unsolicited_pongs_are_not_answered() {
    for role in ROLES {
        let pongs = [0, 8, 125].map(|length| vec![0xFF; length]);
        let stream = pongs
            .clone()
            .map(|it| frame_to(role, true, PONG, &it))
            .concat();
        let frames = assert_delivers(role, &default_config(), &stream, &pongs.map(Seen::Pong));
        assert_eq!(frames, []);
    }
}

#[test]
fn f9_ping_payloads_of_0_to_125_bytes_are_echoed_exactly() {
    for role in ROLES {
        let payloads = (0..=125).map(|n| (0..n).map(|at| (at * 7 + n) as u8).collect());
        let payloads: Vec<Vec<u8>> = payloads.collect();
        let stream: Vec<u8> = payloads
            .iter()
            .flat_map(|payload| frame_to(role, true, PING, payload))
            .collect();
        let events: Vec<_> = payloads.iter().cloned().map(Seen::Ping).collect();
        let frames = assert_delivers(role, &default_config(), &stream, &events);
        // F19: in order, one each.
        assert_eq!(frames.len(), payloads.len());
        for (frame, payload) in frames.iter().zip(&payloads) {
            assert_eq!((frame.opcode, &frame.payload), (PONG, payload));
            assert!(frame.fin && frame.rsv == 0);
        }
    }
}

#[test]
fn f19_ten_pings_at_once_are_ten_pongs_in_order() {
    for role in ROLES {
        let stream: Vec<u8> = (0..10)
            .flat_map(|n| frame_to(role, true, PING, &[n]))
            .collect();
        let events: Vec<_> = (0..10).map(|n| Seen::Ping(vec![n])).collect();
        let frames = assert_delivers(role, &default_config(), &stream, &events);
        let pongs: Vec<_> = frames.iter().map(|it| (it.opcode, it.payload[0])).collect();
        assert_eq!(pongs, (0..10).map(|n| (PONG, n)).collect::<Vec<_>>());
    }
}
