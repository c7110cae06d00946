//! Streamed text comes in pieces that are text: a character that arrives in parts is handed over
//! whole, the rest is not copied, and so a message can be passed on as it arrives.

use core::time::Duration;

use harness::sansio::runs::Runs;
use harness::sansio::*;
use sockeye::error::ProtocolError;
use sockeye::proto::{Config, Connection, Delivery, Event, Input, MessageKind, Role};

extern crate alloc;
use alloc::sync::Arc;

const TEXTS: [&str; 5] = [
    "é",
    "a€b",
    "\u{10348}",
    "naïve — \u{1F980}\u{1F980}",
    "plain",
];

fn streamed() -> Arc<Config> {
    config(|it| it.delivery = Delivery::Streamed)
}

/// The pieces that a connection hands over, as text.
fn pieces(conn: &mut Connection, bytes: &mut [u8]) -> Vec<String> {
    let (mut input, mut out, mut seen) = (Input::new(bytes), Vec::new(), Vec::new());
    while let Some(event) = conn.recv(&mut input, &mut out, Duration::ZERO).unwrap() {
        if let Event::Piece(piece) = event {
            seen.push(piece.as_text().expect("text").to_owned());
        }
    }
    seen
}

#[test]
fn each_piece_is_text_wherever_frames_and_reads_cut_it() {
    let config = streamed();
    for role in ROLES {
        for text in TEXTS {
            let whole = Seen::Piece {
                kind: MessageKind::Text,
                bytes: text.into(),
                first: true,
                last: true,
            };
            for cut in 0..=text.len() {
                // `drive` asserts that each piece is valid by itself.
                let (first, last) = text.as_bytes().split_at(cut);
                let first = frame_to(role, false, TEXT, first);
                let empty = frame_to(role, false, CONTINUATION, b"");
                let last = frame_to(role, true, CONTINUATION, last);
                let bytes = [first, empty, last].concat();
                let (seen, _) = drive_every_way(|| endpoint(role, &config), &bytes);
                assert_eq!((seen.fault, &seen.events[..]), (None, &[whole.clone()][..]));
            }
        }
    }
}

#[test]
fn control_frames_inside_a_character_come_in_their_order() {
    let config = streamed();
    for role in ROLES {
        let first = frame_to(role, false, TEXT, b"a\xE2\x82");
        let ping = frame_to(role, true, PING, b"between");
        let last = frame_to(role, true, CONTINUATION, b"\xACb");
        let bytes = [&first[..], &ping, &ping, &last].concat();
        let (seen, _) = drive_every_way(|| endpoint(role, &config), &bytes);
        let piece = |bytes: &str, first| Seen::Piece {
            kind: MessageKind::Text,
            bytes: bytes.into(),
            first,
            last: !first,
        };
        let ping = Seen::Ping(b"between".into());
        let events = [piece("a", true), ping.clone(), ping, piece("€b", false)];
        assert_eq!(seen.events, events);
    }
}

#[test]
fn of_a_text_that_fails_no_half_character_is_handed_over() {
    let config = streamed();
    for role in ROLES {
        for (bad, good) in [
            (&b"ab\xC3\xFF"[..], "ab"),
            (b"ab\xF0\x9F\xA6", "ab"),
            (b"\xE2\x82\x41", ""),
            (b"\xC3\xA9\xC3", "é"),
        ] {
            let (seen, _) =
                drive_every_way(|| endpoint(role, &config), &frame_to(role, true, TEXT, bad));
            assert_eq!(seen.fault, Some(ProtocolError::Utf8.into()));
            let bytes = match &seen.events[..] {
                [] => &[][..],
                [Seen::Piece { bytes, .. }] => bytes,
                other => panic!("{other:?}"),
            };
            assert_eq!(bytes, good.as_bytes());
        }
    }
}

#[test]
fn through_an_extension_each_piece_is_text_too() {
    let config = config(|it| {
        it.delivery = Delivery::Streamed;
        it.extensions = vec![Arc::new(Runs::new(sockeye::proto::Rsv::RSV1))];
    });
    for role in ROLES {
        for text in TEXTS {
            let (mut client, mut server) = handshake(&config, &config);
            let mut bytes = Vec::new();
            let sender = match role {
                Role::Server => &mut client,
                Role::Client => &mut server,
            };
            sender.send(text, &mut bytes).unwrap();
            let (seen, _) = drive_every_way(|| negotiated(role, &config), &bytes);
            assert!(
                matches!(&seen.events[..], [Seen::Piece { bytes, last: true, .. }]
                if bytes == text.as_bytes())
            );
        }
    }
}

#[test]
fn only_the_character_that_was_cut_is_copied() {
    let config = streamed();
    for role in ROLES {
        let text = "é".repeat(5000);
        let mut bytes = frame_to(role, true, TEXT, text.as_bytes());
        let header = bytes.len() - text.len();
        let mut conn = endpoint(role, &config);
        let (first, second) = bytes.split_at_mut(header + 5001);
        assert_eq!(pieces(&mut conn, first), ["é".repeat(2500)]);
        let (mut input, mut out) = (Input::new(second), Vec::new());
        for (length, borrowed) in [(2, false), (4998, true)] {
            let event = conn.recv(&mut input, &mut out, Duration::ZERO).unwrap();
            let Some(Event::Piece(piece)) = event else {
                panic!("{event:?}");
            };
            assert!(piece.as_text().unwrap().chars().all(|it| it == 'é'));
            let payload = piece.into_payload();
            assert_eq!((payload.len(), payload.is_borrowed()), (length, borrowed));
        }
    }
}

#[test]
fn a_text_is_passed_on_as_it_arrives() {
    let config = streamed();
    let text = "naïve — \u{1F980}\u{1F980} ".repeat(50);
    for read in 1..40 {
        let mut bytes = frame_to(Role::Server, true, TEXT, text.as_bytes());
        let mut from = endpoint(Role::Server, &config);
        let (mut to, mut sent) = (endpoint(Role::Server, &config), Vec::new());
        for chunk in bytes.chunks_mut(read) {
            let (mut input, mut out) = (Input::new(chunk), Vec::new());
            while let Some(event) = from.recv(&mut input, &mut out, Duration::ZERO).unwrap() {
                let Event::Piece(piece) = event else {
                    panic!("{event:?}");
                };
                match piece.is_last() {
                    false => to.send_fragment(&piece, &mut sent).unwrap(),
                    true => to.send_last_fragment(&piece, &mut sent).unwrap(),
                }
            }
        }
        let mut end = endpoint(Role::Client, &default_config());
        let seen = drive(&mut end, &sent, &[sent.len()]);
        assert_eq!(seen.events, [harness::sansio::text(&text)]);
    }
}
