//! Misuse apart from fault: a call that asks for what can't be done has no effect whatever, and
//! the connection goes on as if it had not been made. Every [`Misuse`] that a connection can
//! answer with; Close codes are F13 in `closing.rs`.

use core::time::Duration;

use harness::sansio::*;
use sockeye::error::Misuse;
use sockeye::proto::{CloseCode, Connection, Event, Input, MessageKind, Role};

type Call = fn(&mut Connection, &mut Vec<u8>) -> Result<(), Misuse>;

/// The same calls on two connections, one of which is misused in between: state and all later
/// output are equal. The client's keys show whether a random number was used up.
#[track_caller]
fn assert_no_effect(role: Role, before: Call, misuse: Call, expected: &Misuse, after: Call) {
    let config = default_config();
    let (mut good, mut bad) = (endpoint(role, &config), endpoint(role, &config));
    let (mut good_out, mut bad_out) = (b"kept".to_vec(), b"kept".to_vec());
    before(&mut good, &mut good_out).unwrap();
    before(&mut bad, &mut bad_out).unwrap();
    for _ in 0..3 {
        assert_eq!(misuse(&mut bad, &mut bad_out).as_ref(), Err(expected));
    }
    assert_eq!(bad_out, good_out, "something was sent");
    assert_eq!(bad.is_open(), good.is_open());
    assert_eq!(bad.poll_timeout(), good.poll_timeout());
    assert_eq!(
        (bad.teardown(), bad.fault()),
        (good.teardown(), good.fault())
    );
    after(&mut good, &mut good_out).unwrap();
    after(&mut bad, &mut bad_out).unwrap();
    let received = [
        frame_to(role, true, TEXT, b"still received"),
        frame_to(role, true, PING, b"still answered"),
    ]
    .concat();
    let length = [received.len()];
    let (good, bad) = (
        drive(&mut good, &received, &length),
        drive(&mut bad, &received, &length),
    );
    assert_eq!((bad, bad_out), (good, good_out));
}

fn nothing(_: &mut Connection, _: &mut Vec<u8>) -> Result<(), Misuse> {
    Ok(())
}

fn send(conn: &mut Connection, out: &mut Vec<u8>) -> Result<(), Misuse> {
    conn.send("text", out)
}

fn begin(conn: &mut Connection, out: &mut Vec<u8>) -> Result<(), Misuse> {
    conn.send_fragment("begun", out)
}

fn finish(conn: &mut Connection, out: &mut Vec<u8>) -> Result<(), Misuse> {
    conn.send_last_fragment("ended", out)
}

/// `send_in_place` of a message that was received in the buffer given.
fn relay(conn: &mut Connection, out: &mut Vec<u8>) -> Result<(), Misuse> {
    let mut bytes = frame(true, 0, TEXT, Some(KEY), b"relayed");
    let mut from = endpoint(Role::Server, &default_config());
    let event = from.recv(&mut Input::new(&mut bytes), &mut Vec::new(), Duration::ZERO);
    match event {
        Ok(Some(Event::Message(message))) => conn.send_in_place(message, out).map(drop),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ping_or_pong_over_125_bytes_is_misuse_without_effect() {
    let misuse = Misuse::ControlTooLong(126);
    for role in ROLES {
        let ping: Call = |conn, out| conn.send_ping(&[0; 126], out);
        assert_no_effect(role, nothing, ping, &misuse, send);
        let pong: Call = |conn, out| conn.send_pong(&[0; 126], out);
        assert_no_effect(role, nothing, pong, &misuse, |conn, out| {
            conn.send_pong(&[0; 125], out)
        });
    }
}

#[test]
fn a_message_inside_a_fragmented_one_is_misuse_without_effect() {
    let calls: [Call; 3] = [
        send,
        |conn, out| conn.send_header(MessageKind::Text, 5, out).map(drop),
        relay,
    ];
    for role in ROLES {
        for call in calls {
            assert_no_effect(role, begin, call, &Misuse::FragmentUnderWay, finish);
        }
    }
}

#[test]
fn a_fragment_of_the_other_kind_is_misuse_without_effect() {
    for role in ROLES {
        for fin in [false, true] {
            let call: Call = match fin {
                false => |conn, out| conn.send_fragment(b"binary", out),
                true => |conn, out| conn.send_last_fragment(b"binary", out),
            };
            assert_no_effect(role, begin, call, &Misuse::FragmentKind, finish);
        }
    }
}

#[test]
fn a_bad_close_inside_a_fragmented_message_is_misuse_without_effect() {
    for role in ROLES {
        let call: Call = |conn, out| conn.close(CloseCode(1005), "", out, Duration::ZERO);
        assert_no_effect(role, begin, call, &Misuse::CloseCode(1005), finish);
        let call: Call = |conn, out| conn.close(None, "why", out, Duration::ZERO);
        assert_no_effect(role, begin, call, &Misuse::CloseReasonWithoutCode, finish);
        let call: Call = |conn, out| {
            let reason = "r".repeat(124);
            conn.close(CloseCode::NORMAL, &reason, out, Duration::ZERO)
        };
        assert_no_effect(role, begin, call, &Misuse::CloseReasonTooLong(124), finish);
    }
}

#[test]
fn every_command_after_the_end_began_is_misuse_without_effect() {
    let commands: [Call; 7] = [
        send,
        relay,
        |conn, out| conn.send_last_fragment("f", out),
        |conn, out| conn.send_header(MessageKind::Binary, 5, out).map(drop),
        |conn, out| conn.send_ping(b"", out),
        |conn, out| conn.send_pong(b"", out),
        |conn, out| conn.close(CloseCode::NORMAL, "", out, Duration::from_secs(5)),
    ];
    let ends: [Call; 6] = [
        |conn, out| conn.close(CloseCode::NORMAL, "", out, Duration::ZERO),
        |conn, out| {
            begin(conn, out)?;
            conn.close(None, "", out, Duration::ZERO)
        },
        |conn, _| {
            let close = frame_to(conn.role(), true, CLOSE, b"");
            drive(conn, &close, &[close.len()]);
            Ok(())
        },
        |conn, _| {
            drive(conn, &[0xFF], &[1]);
            Ok(())
        },
        |conn, _| {
            conn.handle_eof();
            Ok(())
        },
        |conn, out| {
            let _ = conn.handle_timeout(Duration::from_secs(30), out);
            assert!(conn.handle_timeout(Duration::from_secs(90), out).is_err());
            Ok(())
        },
    ];
    for role in ROLES {
        for end in ends {
            for command in commands {
                assert_no_effect(role, end, command, &Misuse::Closed, nothing);
            }
        }
    }
}

#[test]
fn pings_pongs_and_a_close_are_no_misuse_inside_a_fragmented_message() {
    for role in ROLES {
        let (mut conn, mut out) = (endpoint(role, &default_config()), Vec::new());
        begin(&mut conn, &mut out).unwrap();
        conn.send_ping(b"1", &mut out).unwrap();
        conn.send_pong(b"2", &mut out).unwrap();
        conn.send_fragment("", &mut out).unwrap();
        conn.close(CloseCode::NORMAL, "", &mut out, Duration::ZERO)
            .unwrap();
        let opcodes: Vec<_> = frames_from(role, &out)
            .iter()
            .map(|it| (it.fin, it.opcode))
            .collect();
        let expected = [
            (false, TEXT),
            (true, PING),
            (true, PONG),
            (false, CONTINUATION),
            (true, CLOSE),
        ];
        assert_eq!(opcodes, expected);
    }
}
