//! docs/cases.md F10–F14a, F16 and F18: the closing handshake and the end of the transport, in the
//! sans-io core. Deadlines are in `timers.rs`.

use core::time::Duration;

use harness::sansio::expect::*;
use harness::sansio::*;
use sockeye::error::{Fault, Misuse, ProtocolError};
use sockeye::proto::{CloseCode, CloseFrame, Closed, Connection, Delivery, Role, Teardown};

const SECOND: Duration = Duration::from_secs(1);

/// The Close that `closing` sends.
fn own() -> CloseFrame {
    CloseFrame {
        code: CloseCode::NORMAL,
        reason: "".into(),
    }
}

fn closed(code: u16, reason: &str, local: bool) -> Seen {
    let echo = CloseFrame {
        code: CloseCode(code),
        reason: "".into(),
    };
    Seen::Closed(Closed {
        code: CloseCode(code),
        reason: reason.into(),
        clean: true,
        local,
        sent: Some(if local { own() } else { echo }),
        truncated: false,
    })
}

fn abnormal(local: bool, truncated: bool) -> Closed {
    Closed {
        code: CloseCode::ABNORMAL,
        reason: "".into(),
        clean: false,
        local,
        sent: local.then(own),
        truncated,
    }
}

/// What a connection must do next with its transport after a clean closing handshake.
fn clean_teardown(role: Role) -> Teardown {
    match role {
        Role::Server => Teardown::HalfClose,
        Role::Client => Teardown::AwaitEof,
    }
}

/// Codes that no Close may carry, but for those in 1016–2999.
const BAD_CODES: [u16; 11] = [
    0, 1, 999, 1004, 1005, 1006, 1015, 5000, 5001, 32_768, 65_535,
];

fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

// ---- F10–F12: the peer's Close --------------------------------------------------------------

#[test]
fn f10_a_close_without_code_is_1005_to_the_application_and_echoed_empty() {
    for role in ROLES {
        let bytes = frame_to(role, true, CLOSE, b"");
        let frames = assert_delivers(role, &default_config(), &bytes, &[closed(1005, "", false)]);
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].close_code(), None);
    }
}

#[test]
fn f10_a_close_of_one_byte_fails_at_the_second_byte_of_its_header() {
    for role in ROLES {
        let bytes = header(true, 0, CLOSE, mask_to(role), 1);
        assert_fails(role, &bytes[..2], ProtocolError::CloseTruncated, 1002);
    }
}

#[test]
fn f10_a_reason_of_123_bytes_is_accepted_and_of_124_is_not() {
    for role in ROLES {
        let reason = "é".repeat(61) + "!";
        let payload = close_payload(4000, reason.as_bytes());
        assert_eq!(payload.len(), 125);
        let bytes = frame_to(role, true, CLOSE, &payload);
        let events = [closed(4000, &reason, false)];
        let frames = assert_delivers(role, &default_config(), &bytes, &events);
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].close_code(), Some(4000));

        let bytes = header(true, 0, CLOSE, mask_to(role), 126);
        assert_fails(role, &bytes[..2], ProtocolError::ControlTooLong, 1002);
    }
}

#[test]
fn f10_a_reason_that_is_not_utf8_fails_with_1007_at_its_first_bad_byte() {
    for role in ROLES {
        // The reason up to the proof, and how much would follow.
        for (reason, more) in [
            (&b"\xFF"[..], 0),
            (b"bye\xC0", 4),
            (b"\xED\xA0", 1),
            (b"\xF4\x90", 10),
            (b"cut \xC3", 0),
            (b"cut \xF0\x9F\x92", 0),
        ] {
            let payload = close_payload(1000, &[reason, &vec![b'x'; more]].concat());
            let mut bytes = frame_to(role, true, CLOSE, &payload);
            bytes.truncate(bytes.len() - more);
            assert_fails(role, &bytes, ProtocolError::CloseReasonUtf8, 1007);
        }
    }
}

#[test]
fn f11_a_code_that_may_not_be_sent_fails_with_1002_at_the_end_of_the_code() {
    for role in ROLES {
        for code in BAD_CODES.into_iter().chain([1016, 1100, 2000, 2999]) {
            for reason in [&b""[..], b"why", b"\xFF"] {
                let payload = close_payload(code, reason);
                let mut bytes = frame_to(role, true, CLOSE, &payload);
                bytes.truncate(bytes.len() - reason.len());
                assert_fails(role, &bytes, ProtocolError::CloseCode(code), 1002);
            }
        }
    }
}

#[test]
fn f11_f12_every_code_is_judged_as_the_registry_has_it() {
    let config = default_config();
    for role in ROLES {
        for code in 0..=u16::MAX {
            let bytes = frame_to(role, true, CLOSE, &close_payload(code, b""));
            let seen = drive(&mut endpoint(role, &config), &bytes, &[bytes.len()]);
            let frames = frames_from(role, &seen.output);
            assert_eq!(frames.len(), 1);
            if may_be_sent(code) {
                assert_eq!(
                    (seen.fault, seen.events),
                    (None, vec![closed(code, "", false)])
                );
                assert_eq!(frames[0].close_code(), Some(code));
            } else {
                let error = ProtocolError::CloseCode(code);
                assert_eq!((seen.fault, seen.events), (Some(error.into()), vec![]));
                assert_eq!(frames[0].close_code(), Some(1002));
            }
        }
    }
}

#[test]
fn f12_the_peers_code_and_reason_are_delivered_and_the_code_echoed_once() {
    for role in ROLES {
        for code in [
            1000, 1001, 1002, 1003, 1007, 1010, 1011, 1014, 3000, 3999, 4000, 4999,
        ] {
            let bytes = frame_to(role, true, CLOSE, &close_payload(code, "für".as_bytes()));
            let events = [closed(code, "für", false)];
            let frames = assert_delivers(role, &default_config(), &bytes, &events);
            assert_eq!(frames.len(), 1);
            assert_eq!(frames[0].close_code(), Some(code));
        }
    }
}

// ---- F13: this endpoint's Close -------------------------------------------------------------

#[test]
fn f13_close_with_what_may_not_be_sent_is_misuse_and_sends_nothing() {
    for role in ROLES {
        let mut conn = endpoint(role, &default_config());
        let mut out = Vec::new();
        for code in (0..=u16::MAX).filter(|code| !may_be_sent(*code)) {
            let misuse = conn
                .close(CloseCode(code), "", &mut out, SECOND)
                .unwrap_err();
            assert_eq!(misuse, Misuse::CloseCode(code));
        }
        let reason = "r".repeat(124);
        assert_eq!(
            conn.close(CloseCode::NORMAL, &reason, &mut out, SECOND),
            Err(Misuse::CloseReasonTooLong(124))
        );
        assert_eq!(
            conn.close(None, "reason", &mut out, SECOND),
            Err(Misuse::CloseReasonWithoutCode)
        );
        assert!(out.is_empty() && conn.is_open() && conn.teardown().is_none());
        // Still usable: what is right goes out, once.
        let before = conn.poll_timeout();
        conn.close(CloseCode::NORMAL, &reason[..123], &mut out, SECOND)
            .unwrap();
        assert_ne!(conn.poll_timeout(), before);
        let frames = frames_from(role, &out);
        assert_eq!(frames.len(), 1);
        assert_eq!(
            frames[0].payload,
            close_payload(1000, &reason.as_bytes()[..123])
        );
    }
}

#[test]
fn f13_every_code_that_may_be_sent_is_sent() {
    for role in ROLES {
        for code in (0..=u16::MAX).filter(|code| may_be_sent(*code)) {
            let (mut conn, mut out) = (endpoint(role, &default_config()), Vec::new());
            conn.close(CloseCode(code), "", &mut out, SECOND).unwrap();
            assert_eq!(frames_from(role, &out)[0].close_code(), Some(code));
        }
    }
}

#[test]
fn what_this_endpoint_closed_with_is_told_whatever_the_peer_answers() {
    for role in ROLES {
        let own = CloseFrame {
            code: CloseCode(4001),
            reason: "für immer".into(),
        };
        let make = || {
            let (mut conn, mut out) = (endpoint(role, &default_config()), Vec::new());
            assert_eq!(conn.sent_close(), None);
            conn.close(own.code, &own.reason, &mut out, SECOND).unwrap();
            assert_eq!(conn.sent_close(), Some((own.code, &*own.reason)));
            conn
        };
        // With others, with none, with a fault.
        let answer = frame_to(role, true, CLOSE, &close_payload(4002, b"no"));
        let (seen, _) = drive_every_way(make, &answer);
        let Some(Seen::Closed(closed)) = seen.events.first() else {
            panic!("{seen:?}");
        };
        assert_eq!((closed.code, &*closed.reason), (CloseCode(4002), "no"));
        assert_eq!(closed.sent.as_ref(), Some(&own));

        let mut conn = make();
        let eof = conn.handle_eof().unwrap();
        assert_eq!((eof.code, eof.local), (CloseCode::ABNORMAL, true));
        assert_eq!(eof.sent.as_ref(), Some(&own));

        for bytes in [&[0xFF][..], b""] {
            let mut conn = make();
            drive(&mut conn, bytes, &[bytes.len()]);
            let late = conn.handle_timeout(1000 * SECOND, &mut Vec::new());
            assert!(late.is_err() || conn.fault().is_some());
            assert_eq!(conn.sent_close(), Some((own.code, &*own.reason)));
        }
    }
}

#[test]
fn what_tells_the_peer_of_its_fault_is_told_as_this_endpoints_close() {
    for role in ROLES {
        let mut conn = endpoint(role, &default_config());
        let seen = drive(&mut conn, &[0xFF], &[1]);
        let (code, reason) = conn.sent_close().unwrap();
        let frame = &frames_from(role, &seen.output)[0];
        let payload = close_payload(code.0, reason.as_bytes());
        assert_eq!(frame.payload, payload);
        assert_eq!(code, CloseCode::PROTOCOL_ERROR);
    }
}

// ---- F14, F14a: what still comes ------------------------------------------------------------

#[test]
fn f14_all_that_comes_after_the_peers_close_is_dropped_unseen() {
    for role in ROLES {
        let close = frame_to(role, true, CLOSE, &close_payload(1000, b"bye"));
        let behind = [
            frame_to(role, true, TEXT, b"late"),
            frame_to(role, true, PING, b"late"),
            close.clone(),
            frame_to(role, true, CLOSE, &close_payload(1005, b"")),
            vec![0xFF; 32],
            header(true, 0, BINARY, mask_to(role), u64::MAX >> 1),
        ];
        for behind in &behind {
            let bytes = [&close[..], behind].concat();
            let events = [closed(1000, "bye", false)];
            let frames = assert_delivers(role, &default_config(), &bytes, &events);
            assert_eq!(frames.len(), 1, "no second Close, no pong");
        }
    }
}

/// A connection that has sent its Close; when, the caller says by what came before.
fn closing(role: Role, delivery: Delivery, before: &[u8]) -> Connection {
    let config = config(|it| it.delivery = delivery);
    let (mut conn, mut out) = (negotiated(role, &config), Vec::new());
    drive(&mut conn, before, &[before.len()]);
    conn.close(CloseCode::NORMAL, "", &mut out, Duration::ZERO)
        .unwrap();
    assert!(!conn.is_open());
    conn
}

#[test]
fn f14a_after_its_own_close_data_are_not_delivered_pings_are_answered_and_the_close_ends_it() {
    for role in ROLES {
        // The Close may have been sent while a message or a frame was being received.
        let half = frame_to(role, true, BINARY, b"half here, half there");
        for (before, rest) in [
            (vec![], vec![]),
            (
                frame_to(role, false, TEXT, b"one "),
                frame_to(role, true, CONTINUATION, b"message"),
            ),
            (half[..12].to_vec(), half[12..].to_vec()),
            (half[..1].to_vec(), half[1..].to_vec()),
        ] {
            let stream = [
                rest,
                frame_to(role, true, TEXT, b"data"),
                frame_to(role, true, PING, b"asked"),
                frame_to(role, false, BINARY, b"more "),
                frame_to(role, true, PING, b"again"),
                frame_to(role, true, PONG, b""),
                frame_to(role, true, CONTINUATION, b"data"),
                frame_to(role, true, CLOSE, &close_payload(1001, b"too")),
                frame_to(role, true, PING, b"late"),
            ]
            .concat();
            for delivery in [Delivery::Whole, Delivery::Streamed] {
                let (seen, _) = drive_every_way(|| closing(role, delivery, &before), &stream);
                assert_eq!(seen.fault, None);
                let data = |it: &&Seen| !matches!(it, Seen::Ping(_) | Seen::Pong(_));
                let events: Vec<_> = seen.events.iter().filter(data).collect();
                assert_eq!(events, [&closed(1001, "too", true)]);
                let frames = frames_from(role, &seen.output);
                let frames: Vec<_> = frames
                    .iter()
                    .map(|it| (it.opcode, &it.payload[..]))
                    .collect();
                assert_eq!(frames, [(PONG, &b"asked"[..]), (PONG, b"again")]);
            }
            let mut conn = closing(role, Delivery::Whole, &before);
            drive(&mut conn, &stream, &[stream.len()]);
            assert_eq!(conn.teardown(), Some(clean_teardown(role)));
        }
    }
}

#[test]
fn f14a_a_violation_after_its_own_close_drops_the_transport_without_a_second_close() {
    for role in ROLES {
        let wrong_mask = match role {
            Role::Server => header(true, 0, TEXT, None, 0),
            Role::Client => header(true, 0, TEXT, Some(KEY), 0),
        };
        for (bytes, error) in [
            (vec![0xC1], ProtocolError::ReservedBits),
            (vec![0x83], ProtocolError::ReservedOpcode(3)),
            (vec![0x80], ProtocolError::UnexpectedContinuation),
            (vec![0x09], ProtocolError::FragmentedControl),
            (
                frame_to(role, true, CLOSE, &close_payload(1005, b"")),
                ProtocolError::CloseCode(1005),
            ),
            (
                frame_to(role, true, CLOSE, &close_payload(1000, b"\xFF")),
                ProtocolError::CloseReasonUtf8,
            ),
            (
                header(true, 0, BINARY, mask_to(role), 1 << 63),
                ProtocolError::LengthTopBit,
            ),
            (
                wrong_mask,
                match role {
                    Role::Server => ProtocolError::Unmasked,
                    Role::Client => ProtocolError::Masked,
                },
            ),
            (
                [
                    frame_to(role, false, TEXT, b"a"),
                    frame_to(role, true, TEXT, b"b"),
                ]
                .concat(),
                ProtocolError::MessageInsideMessage,
            ),
        ] {
            let make = || closing(role, Delivery::Whole, b"");
            let (seen, _) = drive_every_way(make, &bytes);
            assert_eq!(seen.fault, Some(Fault::Protocol(error)), "{bytes:02x?}");
            assert_eq!((seen.events, seen.output), (vec![], vec![]), "{bytes:02x?}");
            let mut conn = make();
            drive(&mut conn, &bytes, &[bytes.len()]);
            assert_eq!(conn.teardown(), Some(Teardown::Drop));
            assert_eq!(conn.poll_timeout(), None);
            // Failed already: the end of the transport is no second ending.
            assert_eq!(conn.handle_eof(), None);
        }
    }
}

// ---- F16: the end of the transport ----------------------------------------------------------

#[test]
fn f16_eof_at_every_offset_of_a_transcript_is_one_closed_event() {
    for role in ROLES {
        let stream = [
            frame_to(role, true, TEXT, b"whole"),
            frame_to(role, false, BINARY, &[1; 130]),
            frame_to(role, true, PING, b"ping"),
            frame_to(role, true, CONTINUATION, &[2; 3]),
            frame_to(role, true, CLOSE, &close_payload(1000, b"bye")),
        ];
        // Behind the first message, and behind the fragmented one with a ping in it.
        let first = stream[0].len();
        let second = stream[..4].iter().map(Vec::len).sum();
        let stream = stream.concat();
        for local in [false, true] {
            for delivery in [Delivery::Whole, Delivery::Streamed] {
                for offset in 0..=stream.len() {
                    let make = || match local {
                        true => closing(role, delivery, b""),
                        false => negotiated(role, &config(|it| it.delivery = delivery)),
                    };
                    let prefix = &stream[..offset];
                    let end = match offset {
                        _ if offset == stream.len() => None,
                        _ => Some(abnormal(local, ![0, first, second].contains(&offset))),
                    };
                    for chunks in [vec![offset], vec![1; offset]] {
                        eof_after(make(), prefix, &chunks, end.clone());
                    }
                }
            }
        }
    }
}

/// `end` is how the transport ended, where the closing handshake was not complete.
fn eof_after(mut conn: Connection, bytes: &[u8], chunks: &[usize], end: Option<Closed>) {
    let seen = drive(&mut conn, bytes, chunks);
    let count = |events: &[Seen]| {
        let ends = events.iter().filter(|it| matches!(it, Seen::Closed(_)));
        ends.count()
    };
    assert_eq!(count(&seen.events), usize::from(end.is_none()));
    assert_eq!(conn.handle_eof(), end);
    assert_eq!(
        (conn.teardown(), conn.poll_timeout()),
        (Some(Teardown::Drop), None)
    );
    assert!(!conn.is_open());
    // Once, and no error: an end is an event.
    assert_eq!((conn.handle_eof(), conn.fault()), (None, None));
    let late = drive(&mut conn, &[0x81, 0x00, 0xFF], &[3]);
    assert_eq!(late, Transcript::default());
}

#[test]
fn f16_eof_after_a_fault_is_no_second_ending() {
    for role in ROLES {
        let mut conn = endpoint(role, &default_config());
        let seen = drive(&mut conn, &[0xFF], &[1]);
        assert!(seen.fault.is_some());
        assert_eq!(conn.handle_eof(), None);
        assert_eq!(conn.teardown(), Some(Teardown::Drop));
        assert_eq!(conn.fault(), seen.fault, "the fault sticks");
        let late = drive(&mut conn, &[0x81], &[1]);
        assert_eq!(
            (late.events, late.output, late.fault),
            (vec![], vec![], seen.fault)
        );
    }
}

// ---- F18: after the closing handshake -------------------------------------------------------

#[test]
fn f18_a_server_half_closes_and_a_client_waits_until_the_deadline_then_both_drop() {
    for role in ROLES {
        for local in [false, true] {
            let timeout = 7 * SECOND;
            let config = config(|it| it.close_timeout = timeout);
            let (mut conn, mut out) = (endpoint(role, &config), Vec::new());
            let start = 100 * SECOND;
            if local {
                conn.close(CloseCode::NORMAL, "", &mut out, start).unwrap();
            }
            let close = frame_to(role, true, CLOSE, &close_payload(1000, b""));
            let (seen, _) = drive_from(&mut conn, &close, &[close.len()], start);
            assert_eq!(seen.events, [closed(1000, "", local)]);
            assert_eq!(seen.output.is_empty(), local, "one Close in all");
            assert_eq!(conn.teardown(), Some(clean_teardown(role)));
            assert_eq!(conn.poll_timeout(), Some(start + timeout));

            // What is drained changes nothing: not what is sent, not the deadline.
            let late = frame_to(role, true, PING, &[0; 125]).repeat(100);
            let (drained, _) = drive_from(&mut conn, &late, &[late.len()], start + timeout / 2);
            assert_eq!(drained, Transcript::default());
            assert_eq!(conn.poll_timeout(), Some(start + timeout));

            out.clear();
            let early = start + timeout - Duration::from_nanos(1);
            assert_eq!(conn.handle_timeout(early, &mut out), Ok(()));
            assert_eq!(conn.teardown(), Some(clean_teardown(role)));
            assert_eq!(conn.handle_timeout(start + timeout, &mut out), Ok(()));
            assert_eq!(
                (conn.teardown(), conn.poll_timeout()),
                (Some(Teardown::Drop), None)
            );
            assert!(
                out.is_empty() && conn.fault().is_none(),
                "closed cleanly it stays"
            );
        }
    }
}

#[test]
fn f18_the_end_of_the_stream_after_the_closing_handshake_drops_at_once_and_reports_nothing() {
    for role in ROLES {
        let mut conn = endpoint(role, &default_config());
        let close = frame_to(role, true, CLOSE, b"");
        drive(&mut conn, &close, &[close.len()]);
        assert_eq!(conn.handle_eof(), None);
        assert_eq!(
            (conn.teardown(), conn.poll_timeout()),
            (Some(Teardown::Drop), None)
        );
    }
}
