//! Invariants 3 and 6 of ARCHITECTURE.md, counted and not timed: work is linear in the bytes
//! received, and what a peer can ask for is bounded. Allocations are in `allocations.rs`.

extern crate alloc;

use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use core::time::Duration;

use harness::sansio::expect::assert_lawful;
use harness::sansio::runs::{self, Runs};
use harness::sansio::*;
use sockeye::error::{Fault, LimitError};
use sockeye::proto::{Delivery, Event, Input, Role, Rsv};

// ---- 3. linear ------------------------------------------------------------------------------

#[test]
fn each_byte_of_a_message_reaches_the_extension_once_however_it_is_cut() {
    for role in ROLES {
        let runs = Arc::new(Runs::new(Rsv::RSV2));
        let (given, decoded) = (runs.given.clone(), runs.decoded.clone());
        let config = config(|it| it.extensions = vec![runs]);
        let payload: Vec<u8> = (0..5000_u32).map(|n| (n / 3) as u8).collect();
        let encoded = runs::encoded(&payload);
        let mut stream = Vec::new();
        for (at, piece) in encoded.chunks(7).enumerate() {
            let (rsv, opcode) = if at == 0 {
                (RSV2, BINARY)
            } else {
                (0, CONTINUATION)
            };
            stream.extend(frame(false, rsv, opcode, mask_to(role), piece));
            stream.extend(frame_to(role, false, CONTINUATION, b""));
        }
        stream.extend(frame_to(role, true, CONTINUATION, b""));
        every_way(&stream, |chunks| {
            let before = (
                given.load(Ordering::Relaxed),
                decoded.load(Ordering::Relaxed),
            );
            let seen = drive(&mut negotiated(role, &config), &stream, chunks);
            assert_eq!(seen.events, [binary(&payload)]);
            assert_eq!(given.load(Ordering::Relaxed) - before.0, encoded.len());
            assert_eq!(decoded.load(Ordering::Relaxed) - before.1, payload.len());
        });
    }
}

#[test]
fn streaming_hands_each_byte_over_once_and_makes_no_event_of_an_empty_piece() {
    for role in ROLES {
        let config = config(|it| it.delivery = Delivery::Streamed);
        let mut conn = endpoint(role, &config);
        let (mut events, mut bytes) = (0, 0);
        let empty = frame_to(role, false, CONTINUATION, b"").repeat(1000);
        let frames = [
            frame_to(role, false, BINARY, b"abc"),
            empty,
            frame_to(role, true, CONTINUATION, b"de"),
        ];
        for byte in frames.concat() {
            let mut chunk = [byte];
            let mut input = Input::new(&mut chunk);
            while let Some(event) = conn
                .recv(&mut input, &mut Vec::new(), Duration::ZERO)
                .unwrap()
            {
                let Event::Piece(piece) = event else {
                    panic!("{event:?}")
                };
                events += 1;
                bytes += piece.as_bytes().len();
            }
        }
        assert_eq!((events, bytes), (5, 5));
    }
}

// ---- 6. bounded -----------------------------------------------------------------------------

#[test]
fn d6_each_of_many_pings_is_answered_once() {
    for role in ROLES {
        let stream: Vec<u8> = (0..10_000_u32)
            .flat_map(|n| frame_to(role, true, PING, &n.to_be_bytes()))
            .collect();
        let seen = drive(
            &mut endpoint(role, &default_config()),
            &stream,
            &[stream.len()],
        );
        assert_lawful(role, &seen);
        assert_eq!(seen.events.len(), 10_000);
    }
}

/// Runs of 255 equal bytes: `count` times, in frames of `step` bytes.
fn bomb(role: Role, count: usize, step: usize) -> Vec<u8> {
    let body = [255, b'0'].repeat(count);
    let frames = body.chunks(step).enumerate().flat_map(|(at, piece)| {
        let (rsv, opcode) = if at == 0 {
            (RSV2, TEXT)
        } else {
            (0, CONTINUATION)
        };
        frame(false, rsv, opcode, mask_to(role), piece)
    });
    frames.collect()
}

#[test]
fn p13_decoded_size_is_limited_as_it_grows_also_when_the_decoder_takes_no_notice() {
    let limit = 1000;
    let fault = Fault::Limit(LimitError::MessageSize { limit });
    for role in ROLES {
        for delivery in [Delivery::Whole, Delivery::Streamed] {
            for (disobedient, step) in [(false, 10_000), (false, 3), (true, 3), (true, 10_000)] {
                let mut runs = Runs::new(Rsv::RSV2);
                runs.disobedient = disobedient;
                let decoded = runs.decoded.clone();
                let config = config(|it| {
                    it.extensions = vec![Arc::new(runs)];
                    it.max_message_size = limit;
                    it.delivery = delivery;
                });
                let bytes = bomb(role, 1000, step);
                let mut conn = negotiated(role, &config);
                let seen = drive(&mut conn, &bytes, &[bytes.len()]);
                assert_eq!(seen.fault, Some(fault));
                assert_lawful(role, &seen);
                let delivered = seen.events.iter().map(|event| match event {
                    Seen::Piece { bytes, .. } => bytes.len(),
                    other => panic!("{other:?}"),
                });
                assert!(delivered.sum::<usize>() <= limit);
                if !disobedient {
                    assert_eq!(decoded.load(Ordering::Relaxed), limit);
                }
            }
        }
    }
}

#[test]
fn p14_exactly_the_limit_when_decoded_passes_twice_and_one_more_does_not() {
    let limit = 1000;
    for role in ROLES {
        let config = config(|it| {
            it.extensions = vec![Arc::new(Runs::new(Rsv::RSV2))];
            it.max_message_size = limit;
        });
        let coded = |n| {
            frame(
                true,
                RSV2,
                TEXT,
                mask_to(role),
                &runs::encoded(&vec![b'a'; n]),
            )
        };
        let exactly = text(&"a".repeat(limit));
        let stream = [coded(limit), coded(limit), coded(limit + 1)].concat();
        let (seen, _) = drive_every_way(|| negotiated(role, &config), &stream);
        assert_eq!(seen.events, [exactly.clone(), exactly]);
        assert_eq!(seen.fault, Some(LimitError::MessageSize { limit }.into()));
    }
}
