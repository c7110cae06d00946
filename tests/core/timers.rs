//! The deadlines of a connection on a virtual clock: keep-alive ping, pong, idle and close. When
//! exactly, what is sent, what sticks, and what postpones them. The rate of receiving and pauses
//! are in `progress.rs`, misuse is in `misuse.rs`.

use core::time::Duration;

use harness::sansio::pair::Pair;
use harness::sansio::*;
use sockeye::error::{Fault, LimitError};
use sockeye::proto::{CloseCode, CloseFrame, Closed, Config, Connection, Role, Teardown};

extern crate alloc;
use alloc::sync::Arc;

const NANOSECOND: Duration = Duration::from_nanos(1);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The defaults, and a frame may take as long as it likes.
fn patient() -> Arc<Config> {
    config(|it| it.min_receive_rate = None)
}

/// No keep-alive and no idle timeout.
fn silent() -> Arc<Config> {
    config(|it| it.ping_interval = None)
}

fn idle(timeout: u64) -> Arc<Config> {
    config(|it| {
        it.ping_interval = None;
        it.idle_timeout = Some(secs(timeout));
    })
}

/// A pair in which the end of `role` has the settings under test and its peer none.
fn pair(role: Role, tested: &Arc<Config>) -> Pair {
    match role {
        Role::Client => Pair::new(tested, &silent()),
        Role::Server => Pair::new(&silent(), tested),
    }
}

fn other(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

/// When each frame was written, its opcode, and the code where it is a Close.
fn written(pair: &mut Pair, role: Role) -> Vec<(Duration, u8, Option<u16>)> {
    let frames = pair.end(role).frames().into_iter();
    let frames = frames.map(|(at, it)| {
        let code = (it.opcode == CLOSE).then(|| it.close_code()).flatten();
        (at, it.opcode, code)
    });
    frames.collect()
}

fn pong_fault() -> Fault {
    Fault::Limit(LimitError::Pong { timeout: secs(20) })
}

// ---- keep-alive -----------------------------------------------------------------------------

#[test]
fn d9_a_peer_that_never_answers_is_pinged_at_30_failed_at_50_and_dropped_at_60_seconds() {
    for role in ROLES {
        let mut pair = pair(role, &default_config());
        pair.end(other(role)).mute = true;
        pair.advance(secs(1000));
        let frames = [(secs(30), PING, None), (secs(50), CLOSE, Some(1011))];
        assert_eq!(written(&mut pair, role), frames);
        let end = pair.end(role);
        assert_eq!(end.fault, Some((secs(50), pong_fault())));
        assert_eq!((end.shut, end.dropped), (Some(secs(50)), Some(secs(60))));
        assert_eq!(end.events, [], "a fault is no closed event");
        // The peer was told why.
        let closed = pair.end(other(role)).events.last().cloned();
        assert!(matches!(closed, Some((at, Seen::Closed(it)))
            if at == secs(50) && it.code == CloseCode::INTERNAL_ERROR));
    }
}

#[test]
fn an_answered_ping_measures_the_round_trip_and_the_next_one_follows_after_the_interval() {
    for role in ROLES {
        let mut pair = pair(role, &default_config());
        pair.latency = secs(3);
        assert_eq!(pair.end(role).conn.round_trip(), None);
        pair.advance(secs(150));
        // Each pong arrives 6 s after its ping, and 30 s of silence follow.
        let pings = [30, 66, 102, 138].map(|at| (secs(at), PING, None));
        assert_eq!(written(&mut pair, role), pings);
        let end = pair.end(role);
        assert_eq!(end.conn.round_trip(), Some(secs(6)));
        assert!(end.fault.is_none() && end.conn.is_open());
        let payloads: Vec<_> = end.frames().into_iter().map(|(_, it)| it.payload).collect();
        assert!(
            payloads.windows(2).all(|two| two[0] != two[1]),
            "told apart"
        );
    }
}

#[test]
fn any_byte_from_the_peer_postpones_the_ping() {
    for role in ROLES {
        let mut pair = pair(role, &patient());
        pair.end(other(role)).mute = true;
        pair.advance(secs(29));
        pair.inject(role, &frame_to(role, true, TEXT, b"alive")[..1]);
        pair.drive();
        assert_eq!(pair.end(role).conn.poll_timeout(), Some(secs(59)));
        pair.advance(secs(30) - NANOSECOND);
        assert_eq!(written(&mut pair, role), []);
        pair.advance(NANOSECOND);
        assert_eq!(written(&mut pair, role), [(secs(59), PING, None)]);
    }
}

#[test]
fn any_byte_after_a_ping_counts_as_life_and_only_the_last_pings_pong_as_round_trip() {
    for role in ROLES {
        let mut pair = pair(role, &patient());
        pair.end(other(role)).mute = true;
        pair.advance(secs(49));
        pair.inject(role, &frame_to(role, true, TEXT, b"alive")[..1]);
        pair.advance(secs(2));
        assert!(pair.end(role).fault.is_none());
        pair.advance(secs(28) - NANOSECOND);
        assert_eq!(written(&mut pair, role).len(), 1, "no ping before 79 s");
        pair.advance(NANOSECOND);
        assert_eq!(written(&mut pair, role)[1], (secs(79), PING, None));

        let pings = pair.end(role).frames();
        let rest = frame_to(role, true, TEXT, b"alive")[1..].to_vec();
        let late = frame_to(role, true, PONG, &pings[0].1.payload);
        let unsolicited = frame_to(role, true, PONG, b"whatever");
        pair.inject(role, &[rest, late, unsolicited].concat());
        pair.advance(secs(1));
        assert_eq!(
            pair.end(role).conn.round_trip(),
            None,
            "a pong of an older ping"
        );
        pair.inject(role, &frame_to(role, true, PONG, &pings[1].1.payload));
        pair.advance(secs(1));
        assert_eq!(pair.end(role).conn.round_trip(), Some(secs(1)));
    }
}

#[test]
fn what_this_end_sends_postpones_nothing() {
    for role in ROLES {
        for (tested, at) in [(default_config(), 30), (idle(30), 30)] {
            let mut pair = pair(role, &tested);
            for _ in 0..20 {
                pair.advance(secs(1));
                pair.act(role, |conn, out, _| conn.send("news", out))
                    .unwrap();
                pair.act(role, |conn, out, _| conn.send_pong(b"", out))
                    .unwrap();
            }
            assert_eq!(pair.end(role).conn.poll_timeout(), Some(secs(at)));
        }
    }
}

#[test]
fn a_pong_measures_the_round_trip_once_and_none_by_accident() {
    for role in ROLES {
        let mut pair = pair(role, &default_config());
        pair.end(other(role)).mute = true;
        pair.advance(secs(30));
        // Heartbeats of the peer's own: counts, times, nothing.
        for payload in [&[][..], &[0; 8], &[0, 0, 0, 0, 0, 0, 0, 1], b"30000000"] {
            pair.inject(role, &frame_to(role, true, PONG, payload));
        }
        pair.inject(role, &frame_to(role, true, PONG, &30u64.to_be_bytes()));
        let nanos = 30_000_000_000u64.to_be_bytes();
        pair.inject(role, &frame_to(role, true, PONG, &nanos));
        pair.advance(secs(1));
        assert_eq!(pair.end(role).conn.round_trip(), None);

        let ping = pair.end(role).frames()[0].1.payload.clone();
        for _ in 0..3 {
            pair.inject(role, &frame_to(role, true, PONG, &ping));
            pair.advance(secs(1));
            let seen = pair.end(role).conn.round_trip();
            assert_eq!(seen, Some(secs(1)), "the first answer is the one");
        }
    }
}

#[test]
fn two_ends_with_keep_alive_stay_open_for_a_day_with_few_pings() {
    let mut pair = Pair::new(&default_config(), &default_config());
    pair.latency = Duration::from_millis(40);
    pair.advance(secs(86_400));
    for role in ROLES {
        let frames = written(&mut pair, role);
        assert!(frames.len() <= 2 * 86_400 / 30, "{} frames", frames.len());
        let end = pair.end(role);
        assert!(end.conn.is_open() && end.fault.is_none());
        let rtt = end.conn.round_trip();
        assert!(
            rtt.is_none_or(|it| it == Duration::from_millis(80)),
            "{rtt:?}"
        );
    }
}

#[test]
fn without_settings_there_is_no_deadline_and_none_overflows() {
    for role in ROLES {
        assert_eq!(endpoint(role, &silent()).poll_timeout(), None);
        let config = config(|it| {
            it.ping_interval = Some(Duration::MAX);
            it.idle_timeout = Some(Duration::MAX);
            it.pong_timeout = Duration::MAX;
            it.close_timeout = Duration::MAX;
        });
        let (mut conn, mut out) = (endpoint(role, &config), Vec::new());
        drive_from(
            &mut conn,
            &frame_to(role, true, PONG, b""),
            &[2, mask_len(role)],
            secs(5),
        );
        assert_eq!(conn.poll_timeout(), None);
        assert_eq!(conn.handle_timeout(secs(1 << 40), &mut out), Ok(()));
        conn.close(None, "", &mut out, secs(5)).unwrap();
        assert_eq!(conn.poll_timeout(), None);
        assert_eq!(conn.handle_timeout(secs(1 << 40), &mut out), Ok(()));
        assert_eq!(conn.teardown(), None);
    }
}

fn mask_len(role: Role) -> usize {
    mask_to(role).map_or(0, |key| key.len())
}

// ---- idle -----------------------------------------------------------------------------------

#[test]
fn an_idle_peer_is_failed_with_1001_at_the_instant_and_only_data_postpone_it() {
    for role in ROLES {
        let mut pair = pair(role, &idle(100));
        pair.end(other(role)).mute = true;
        let message = frame_to(role, true, BINARY, b"");
        let text = frame_to(role, true, TEXT, b"alive");
        for (at, bytes) in [
            (40, &message[..]),
            (99, &text[..]),
            (150, &text[..text.len() - 2]),
        ] {
            pair.advance(secs(at) - pair.now);
            pair.inject(role, bytes);
            pair.drive();
        }
        pair.advance(secs(20));
        pair.inject(role, &text[text.len() - 2..]);
        for _ in 0..9 {
            pair.advance(secs(10));
            pair.inject(role, &frame_to(role, true, PONG, b"no data"));
            pair.inject(role, &frame_to(role, true, PING, b""));
            pair.drive();
        }
        assert!(pair.end(role).fault.is_none());
        pair.end(role).written.clear();
        pair.advance(secs(1000));
        assert_eq!(written(&mut pair, role), [(secs(270), CLOSE, Some(1001))]);
        let fault = Fault::Limit(LimitError::Idle { timeout: secs(100) });
        let end = pair.end(role);
        assert_eq!(end.fault, Some((secs(270), fault)));
        assert_eq!(end.dropped, Some(secs(280)));
    }
}

#[test]
fn a_peer_that_only_answers_keep_alive_pings_is_idle_in_the_end() {
    for role in ROLES {
        let tested = config(|it| it.idle_timeout = Some(secs(300)));
        let mut pair = pair(role, &tested);
        pair.latency = Duration::from_millis(20);
        pair.advance(secs(1000));
        let fault = Fault::Limit(LimitError::Idle { timeout: secs(300) });
        assert_eq!(pair.end(role).fault, Some((secs(300), fault)));
        assert!(pair.end(role).conn.round_trip().is_some(), "it did answer");
    }
}

#[test]
fn keep_alive_and_idle_together_fire_in_the_order_of_their_instants() {
    let both = |ping: u64, idle: u64| {
        config(|it| {
            it.ping_interval = Some(secs(ping));
            it.idle_timeout = Some(secs(idle));
        })
    };
    for role in ROLES {
        for (ping, idle, expected) in [
            // The ping's answer is due at 50 s, before 60 s.
            (
                30,
                60,
                vec![(secs(30), PING, None), (secs(50), CLOSE, Some(1011))],
            ),
            (
                30,
                40,
                vec![(secs(30), PING, None), (secs(40), CLOSE, Some(1001))],
            ),
            (30, 20, vec![(secs(20), CLOSE, Some(1001))]),
        ] {
            let mut pair = pair(role, &both(ping, idle));
            pair.end(other(role)).mute = true;
            pair.advance(secs(1000));
            assert_eq!(written(&mut pair, role), expected, "{ping} {idle}");
        }
    }
}

// ---- the closing handshake ------------------------------------------------------------------

#[test]
fn d8_a_close_that_is_never_answered_ends_at_the_deadline_with_no_second_close() {
    for role in ROLES {
        let mut pair = pair(role, &default_config());
        pair.end(other(role)).mute = true;
        pair.advance(secs(5));
        pair.act(role, |conn, out, now| {
            conn.close(CloseCode::NORMAL, "", out, now)
        })
        .unwrap();
        // What the peer still sends is no answer, and moves nothing.
        for _ in 0..9 {
            pair.advance(secs(1));
            pair.inject(role, &frame_to(role, true, PING, b"?"));
            pair.inject(role, &frame_to(role, true, TEXT, b"data"));
            pair.drive();
            assert_eq!(pair.end(role).conn.poll_timeout(), Some(secs(15)));
        }
        pair.advance(secs(100));
        let frames = written(&mut pair, role);
        assert_eq!(frames[0], (secs(5), CLOSE, Some(1000)));
        assert!(frames[1..].iter().all(|(_, opcode, _)| *opcode == PONG));
        let fault = Fault::Limit(LimitError::Close { timeout: secs(10) });
        let end = pair.end(role);
        assert_eq!(end.fault, Some((secs(15), fault)));
        assert_eq!(
            (end.dropped, end.conn.teardown()),
            (Some(secs(15)), Some(Teardown::Drop))
        );
        // It sticks, and the code for it is one that is never sent.
        assert_eq!(end.conn.fault(), Some(fault));
        assert_eq!(fault.close_code(), CloseCode::ABNORMAL);
        let data = |it: &Seen| matches!(it, Seen::Message(..) | Seen::Closed(_));
        assert!(!end.seen().iter().any(data));
    }
}

fn clean(code: u16, local: bool) -> Seen {
    crossed(code, code, local)
}

/// As `clean`, where this end sent another code.
fn crossed(code: u16, sent: u16, local: bool) -> Seen {
    Seen::Closed(Closed {
        code: CloseCode(code),
        reason: "".into(),
        clean: true,
        local,
        sent: Some(CloseFrame {
            code: CloseCode(sent),
            reason: "".into(),
        }),
        truncated: false,
    })
}

#[test]
fn f18_the_server_closes_the_transport_first_whoever_began() {
    for role in ROLES {
        let mut pair = Pair::new(&default_config(), &default_config());
        pair.latency = secs(1);
        pair.act(role, |conn, out, now| {
            conn.close(CloseCode(4321), "", out, now)
        })
        .unwrap();
        pair.advance(secs(100));
        assert_eq!(pair.client.seen(), [clean(4321, role == Role::Client)]);
        assert_eq!(pair.server.seen(), [clean(4321, role == Role::Server)]);
        // The server shuts when it has both Closes; its end of stream takes a second to the
        // client, which then drops, and that a second back.
        let begun = if role == Role::Server { 2 } else { 1 };
        assert_eq!(pair.server.shut, Some(secs(begun)));
        assert_eq!(pair.client.shut, Some(secs(begun + 1)));
        assert_eq!(pair.client.dropped, Some(secs(begun + 1)));
        assert_eq!(pair.server.dropped, Some(secs(begun + 2)));
        for end in [&pair.client, &pair.server] {
            assert_eq!((end.frames().len(), end.fault), (1, None), "one Close each");
        }
    }
}

#[test]
fn closes_that_cross_each_other_are_a_clean_end_for_both() {
    let mut pair = Pair::new(&default_config(), &default_config());
    pair.latency = secs(1);
    pair.act(Role::Client, |conn, out, now| {
        conn.close(CloseCode(4001), "", out, now)
    })
    .unwrap();
    pair.act(Role::Server, |conn, out, now| {
        conn.close(CloseCode(4002), "", out, now)
    })
    .unwrap();
    pair.advance(secs(100));
    assert_eq!(pair.client.seen(), [crossed(4002, 4001, true)]);
    assert_eq!(pair.server.seen(), [crossed(4001, 4002, true)]);
    for end in [&pair.client, &pair.server] {
        assert_eq!((end.frames().len(), end.fault), (1, None), "one Close each");
        assert!(end.dropped.is_some());
    }
}

#[test]
fn f18_a_peer_that_goes_on_after_the_closing_handshake_is_dropped_at_the_deadline() {
    for role in ROLES {
        let mut pair = pair(role, &default_config());
        pair.end(other(role)).mute = true;
        pair.advance(secs(20));
        pair.inject(role, &frame_to(role, true, CLOSE, b""));
        for _ in 0..30 {
            pair.inject(role, &frame_to(role, true, PING, b"still here"));
            pair.advance(secs(1));
        }
        let end = pair.end(role);
        assert_eq!(end.dropped, Some(secs(30)));
        assert_eq!(end.fault, None, "it was closed cleanly");
        assert_eq!(end.frames().len(), 1);
        assert_eq!(end.seen(), [clean(1005, false)]);
    }
}

#[test]
fn a_transport_that_breaks_is_one_1006_at_each_end_and_leaves_no_deadline() {
    let mut pair = Pair::new(&default_config(), &default_config());
    pair.advance(secs(7));
    pair.inject_eof(Role::Client);
    pair.advance(secs(1000));
    for end in [&pair.client, &pair.server] {
        assert!(matches!(&end.events[..], [(at, Seen::Closed(it))]
            if *at == secs(7) && it.code == CloseCode::ABNORMAL && !it.clean && !it.local));
        assert_eq!((end.dropped, end.fault), (Some(secs(7)), None));
        assert_eq!((end.conn.poll_timeout(), end.written.len()), (None, 0));
    }
}

// ---- handle_timeout -------------------------------------------------------------------------

/// Connections in each state that has a deadline, and their deadlines.
fn waiting(role: Role) -> Vec<(&'static str, Connection, Duration)> {
    let new = |config: &Arc<Config>| (endpoint(role, config), Vec::new());
    let (ping, _) = new(&default_config());
    let (mut pong, mut out) = new(&default_config());
    pong.handle_timeout(secs(30), &mut out).unwrap();
    let (idle, _) = new(&idle(44));
    let (mut closing, mut out) = new(&default_config());
    closing.close(None, "", &mut out, secs(3)).unwrap();
    let (mut failed, _) = new(&default_config());
    drive_from(&mut failed, &[0xFF], &[1], secs(4));
    let (mut closed, _) = new(&default_config());
    let close = frame_to(role, true, CLOSE, b"");
    drive_from(&mut closed, &close, &[close.len()], secs(6));
    vec![
        ("ping", ping, secs(30)),
        ("pong", pong, secs(50)),
        ("idle", idle, secs(44)),
        ("closing", closing, secs(13)),
        ("failed", failed, secs(14)),
        ("closed", closed, secs(16)),
    ]
}

#[test]
fn handle_timeout_before_the_deadline_does_nothing_and_at_it_acts() {
    for role in ROLES {
        for (name, mut conn, deadline) in waiting(role) {
            assert_eq!(conn.poll_timeout(), Some(deadline), "{name}");
            let (teardown, fault, mut out) = (conn.teardown(), conn.fault(), Vec::new());
            for early in [Duration::ZERO, deadline / 2, deadline - NANOSECOND] {
                assert_eq!(conn.handle_timeout(early, &mut out), Ok(()), "{name}");
            }
            assert_eq!((conn.teardown(), conn.fault()), (teardown, fault), "{name}");
            assert_eq!(
                (conn.poll_timeout(), out.len()),
                (Some(deadline), 0),
                "{name}"
            );
            let acted = conn.handle_timeout(deadline, &mut out);
            assert!(
                acted.is_err() || !out.is_empty() || conn.teardown() != teardown,
                "{name}"
            );
            assert_ne!(conn.poll_timeout(), Some(deadline), "{name}");
        }
    }
}

#[test]
fn a_fault_of_the_clock_sticks_and_nothing_is_received_afterwards() {
    for role in ROLES {
        for (name, mut conn, deadline) in waiting(role) {
            let mut out = Vec::new();
            let Err(fault) = conn.handle_timeout(deadline, &mut out) else {
                continue;
            };
            assert_eq!(conn.fault(), Some(fault), "{name}");
            assert!(!conn.is_open());
            let late = frame_to(role, true, TEXT, b"late");
            let (seen, _) = drive_from(&mut conn, &late, &[late.len()], deadline);
            assert_eq!((seen.fault, seen.events.len()), (Some(fault), 0), "{name}");
            assert!(seen.output.is_empty(), "{name}");
            // The next deadline, if any, gives the transport up and is no new fault.
            if let Some(next) = conn.poll_timeout() {
                assert_eq!(next, deadline + secs(10), "{name}");
                out.clear();
                assert_eq!(conn.handle_timeout(next, &mut out), Ok(()));
            }
            assert_eq!(
                (conn.teardown(), conn.poll_timeout()),
                (Some(Teardown::Drop), None)
            );
            assert_eq!(conn.fault(), Some(fault), "{name}");
        }
    }
}

#[test]
fn a_caller_that_slept_pings_before_it_gives_a_silent_peer_up() {
    for role in ROLES {
        // The machine was suspended for an hour: the peer had no ping to answer.
        let (mut conn, mut out) = (endpoint(role, &default_config()), Vec::new());
        assert_eq!(conn.handle_timeout(secs(3600), &mut out), Ok(()));
        let frames = frames_from(role, &out);
        assert_eq!((frames.len(), frames[0].opcode), (1, PING));
        assert_eq!(conn.poll_timeout(), Some(secs(3620)));
        // One ping, however often it is asked.
        assert_eq!(conn.handle_timeout(secs(3600), &mut out), Ok(()));
        assert_eq!(frames_from(role, &out).len(), 1);
    }
}

#[test]
fn bytes_that_arrive_at_the_very_deadline_count() {
    for role in ROLES {
        for (name, mut conn, deadline) in waiting(role) {
            if conn.teardown().is_some() || name == "closing" {
                continue;
            }
            let data = frame_to(role, true, BINARY, b"");
            drive_from(&mut conn, &data, &[data.len()], deadline);
            let mut out = Vec::new();
            assert_eq!(conn.handle_timeout(deadline, &mut out), Ok(()), "{name}");
            assert_eq!((out.len(), conn.is_open()), (0, true), "{name}");
        }
    }
}
