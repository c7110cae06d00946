//! The end of a session whose peer is slow, and takes what it is sent: the deadlines of the end
//! count from its last byte, and only a peer that takes nothing, or adds to it, is dropped.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const PAGE: usize = 5000;

fn get(connection: &str) -> Vec<u8> {
    std::format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n").into_bytes()
}

/// A session with a wire that has no room.
fn narrow(mut rig: Rig) -> Rig {
    rig.wire(|wire| wire.room = 0);
    rig.now += SECOND;
    rig
}

/// Takes this many bytes, a second before the deadline.
fn take_in_time(rig: &mut Rig, count: usize) -> Next {
    rig.now = rig.deadline().expect("a deadline") - SECOND;
    rig.wire(|wire| wire.give_room(count));
    rig.settle()
}

/// Takes everything, `step` bytes at a time, each in time; returns it.
fn take_all(rig: &mut Rig, step: usize) -> Vec<u8> {
    while rig.session.queued_bytes() > 0 {
        assert_eq!(take_in_time(rig, step), Next::Wait, "cut off");
    }
    rig.output()
}

#[test]
fn a_last_page_that_is_taken_slowly_is_not_cut_off() {
    let mut rig = narrow(Rig::new(|_, _| {}));
    rig.receive(get("close"));
    let page = take_all(&mut rig, 500);
    assert!(page.ends_with(&[b'p'; PAGE]) && rig.wire(|wire| wire.half_closed));
    // Then the peer has close_timeout to end its stream.
    let wait = rig.shared.config.close_timeout;
    assert_eq!(rig.deadline(), Some(rig.now + wait));
    assert_eq!(rig.expire(), Next::Drop);
}

#[test]
fn a_last_page_that_is_not_taken_is_dropped_at_close_timeout() {
    let mut rig = narrow(Rig::new(|_, _| {}));
    rig.receive(get("close"));
    assert_eq!(take_in_time(&mut rig, 500), Next::Wait);
    let wait = rig.shared.config.close_timeout;
    assert_eq!(rig.deadline(), Some(rig.now + wait));
    assert_eq!(rig.expire(), Next::Drop);
}

/// E7.
#[test]
fn told_to_stop_a_session_finishes_the_page_that_is_under_way() {
    let mut rig = narrow(Rig::new(|_, _| {}));
    rig.receive(get("keep-alive"));
    assert_eq!(rig.turn(shut_down), Next::Wait);
    let page = take_all(&mut rig, 500);
    assert!(page.ends_with(&[b'p'; PAGE]) && rig.wire(|wire| wire.half_closed));
    rig.wire(Wire::end);
    assert_eq!(rig.settle(), Next::Drop);
}

#[test]
fn what_waits_before_a_close_is_taken_slowly_and_the_closing_handshake_completes() {
    let mut rig = narrow(Rig::open(|_, _| {}));
    rig.receive(Client::new().binary(PAGE).1);
    rig.turn(shut_down);
    let output = take_all(&mut rig, 500);
    assert_eq!(output.len(), 4 + PAGE + 2 + 2 + "the server stops".len());
    rig.told();
    rig.receive(Client::new().close(1001).1);
    assert_eq!(rig.told(), [Told::Close("1001".into())]);
}

#[test]
fn what_waits_before_the_answer_to_a_close_is_taken_slowly() {
    let mut rig = narrow(Rig::open(|_, _| {}));
    rig.receive(Client::new().binary(PAGE).close(1000).1);
    let output = take_all(&mut rig, 500);
    assert_eq!(output[output.len() - 4..], [0x88, 2, 3, 0xE8]);
    assert!(rig.wire(|wire| wire.half_closed));
}

/// D8.
#[test]
fn pings_behind_a_close_do_not_put_off_its_deadline() {
    let mut rig = narrow(Rig::open(|_, _| {}));
    rig.wire(|wire| wire.room = 1000);
    rig.turn(shut_down);
    let deadline = rig.deadline();
    rig.wire(|wire| wire.room = 0);
    for _ in 0..5 {
        rig.now += SECOND;
        rig.receive([0x89, 0x80, 0, 0, 0, 0]);
        rig.wire(|wire| wire.give_room(1));
        rig.settle();
        assert_eq!(rig.deadline(), deadline);
    }
}

/// F14a: no second Close is sent, and the end names no code that was not sent.
#[test]
fn a_fault_behind_our_own_close_ends_with_1006() {
    let mut rig = Rig::open(|_, _| {});
    rig.turn(shut_down);
    rig.output();
    assert_eq!(rig.receive([0xFF; 8]), Next::Drop);
    assert_eq!(
        (rig.told(), rig.output()),
        (vec![Told::Close("1006".into())], vec![])
    );
    let stats = rig.shared.stats();
    assert_eq!(
        stats
            .errors
            .count(crate::server::observe::ErrorCause::Frame),
        1
    );
}
