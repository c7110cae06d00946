//! A peer that has ended its stream while its session has paused: docs/cases.md O8.

use super::*;
use crate::server::limits::{Rate, RateLimitAction};

const SECOND: Duration = Duration::from_secs(1);

fn text(text: &str) -> Told {
    Told::Message(MessageKind::Text, text.into())
}

fn closed(how: &str) -> Told {
    Told::Close(how.into())
}

/// A session whose application has paused, at 5 s.
fn paused() -> Rig {
    let mut rig = Rig::open(|_, config| config.close_timeout = 10 * SECOND);
    rig.now = 5 * SECOND;
    rig.receive(Client::new().text("pause").1);
    assert_eq!(rig.told(), [text("pause")]);
    assert_eq!(rig.deadline(), None, "nobody has ended");
    rig.output();
    rig
}

fn end(rig: &mut Rig, bytes: &[u8]) -> Next {
    rig.arrive(bytes);
    rig.wire(Wire::end);
    rig.settle()
}

#[test]
fn it_ends_at_close_timeout_as_the_peer_has_ended_it_and_nothing_is_delivered() {
    for (bytes, how) in [
        (Vec::new(), "1006"),
        (Client::new().close(4001).1, "4001"),
        (Client::new().text("unread").1, "1006"),
        (
            Client::new()
                .text("unread")
                .pong()
                .binary(9_000)
                .close(4002)
                .1,
            "4002",
        ),
        // Cut, and no WebSocket at all.
        (Client::new().close(4001).1[..4].to_vec(), "1006"),
        (Client::new().raw(&[0xFF; 3]).1, "1006"),
    ] {
        let mut rig = paused();
        rig.now = 7 * SECOND;
        assert_eq!(end(&mut rig, &bytes), Next::Wait);
        assert_eq!((rig.told(), rig.output()), (vec![], vec![]), "{how}");
        // Driving it for other reasons postpones nothing.
        rig.now = 16 * SECOND;
        assert_eq!(rig.settle(), Next::Wait);
        assert_eq!(rig.deadline(), Some(17 * SECOND));
        assert_eq!(rig.expire(), Next::Drop);
        assert_eq!(rig.told(), [closed(how)], "{how}");
        assert_eq!(rig.output()[2..4], 1001_u16.to_be_bytes());
        let sent = rig.echo.sent.lock().unwrap().take().unwrap();
        let reason = "the stream ended while reading was paused";
        assert_eq!(sent, (1001, reason.into()));
    }
}

#[test]
fn what_has_been_left_unread_before_the_end_is_not_delivered_either() {
    let mut rig = Rig::open(|_, _| {});
    rig.receive(Client::new().text("pause").text("unread").close(4003).1);
    rig.wire(Wire::end);
    assert_eq!(rig.settle(), Next::Wait);
    assert_eq!(rig.told(), [text("pause")]);
    assert_eq!(rig.expire(), Next::Drop);
    assert_eq!(rig.told(), [closed("4003")]);
}

#[test]
fn a_pause_of_the_applications_as_the_connection_opens_ends_as_well() {
    let echo = Echo {
        pauses: true,
        ..Echo::default()
    };
    let mut rig = Rig::with(echo, |_, _| {});
    rig.receive([upgrade(), Client::new().text("early").1].concat());
    end(&mut rig, &Client::new().close(4001).1);
    assert_eq!(rig.told(), [Told::Open]);
    assert_eq!(rig.expire(), Next::Drop);
    assert_eq!(rig.told(), [closed("4001")]);
}

/// The full name of a topic.
const RESUME: &str = "/chat resume";

/// A subscription that another thread asked for.
fn resume(session: &mut Session<Sim>, turn: &mut Turn<'_>) -> Next {
    let (directory, other) = (&turn.worker.shared.directory, ConnectionId::from_u64(99));
    let (_, subscribing) = directory
        .subscribe(RESUME, other, None, turn.worker.now)
        .unwrap();
    directory.unsubscribe(RESUME, other);
    session.subscribe(&subscribing, turn)
}

#[test]
fn read_again_before_the_deadline_all_is_delivered() {
    let mut rig = paused();
    end(
        &mut rig,
        &Client::new().text("one").text("two").close(4001).1,
    );
    rig.now = 14 * SECOND;
    // Another thread subscribes it, and the handler resumes.
    assert_eq!(rig.turn(resume), Next::Drop);
    assert_eq!(rig.told(), [text("one"), text("two"), closed("4001")]);
}

#[test]
fn one_that_is_read_message_by_message_has_its_time_for_each() {
    let mut rig = paused();
    let messages = (0..5).fold(Client::new(), |it, _| it.text("pause"));
    end(&mut rig, &messages.close(4001).1);
    for at in 0..5 {
        rig.now += 9 * SECOND;
        rig.turn(resume);
        rig.settle();
        assert_eq!(rig.told(), [text("pause")], "{at}");
        assert_eq!(rig.deadline(), Some(rig.now + 10 * SECOND));
        rig.turn(|session, turn| session.unsubscribe(RESUME, turn));
    }
    assert_eq!(rig.expire(), Next::Drop);
    assert_eq!(rig.told(), [closed("4001")]);
}

#[test]
fn a_reset_ends_it_at_once() {
    let mut rig = paused();
    rig.wire(Wire::reset);
    rig.session.set_broken();
    assert_eq!(rig.settle(), Next::Drop);
    assert_eq!(rig.told(), [closed("connection reset")]);
}

/// It would continue by itself, but later than anybody waits.
#[test]
fn a_pause_for_a_rate_limit_that_is_longer_ends_as_well() {
    let limit = |options: &mut Options, _: &mut Config| {
        options.rate_limit.messages = Some(Rate::per_hour(1));
        options.rate_limit.action = RateLimitAction::Pause;
    };
    let mut rig = Rig::open(limit);
    rig.receive(Client::new().text("1").text("2").text("3").close(4001).1);
    assert!(rig.deadline() > Some(600 * SECOND));
    rig.told();
    rig.wire(Wire::end);
    rig.settle();
    assert_eq!(rig.deadline(), Some(10 * SECOND));
    assert_eq!(rig.expire(), Next::Drop);
    assert_eq!(rig.told(), [closed("4001")]);
}

/// The peer may still take what waits; if it takes nothing it has stalled.
#[test]
fn a_pause_for_a_backlog_ends_with_it_or_with_send_timeout() {
    for takes in [true, false] {
        let mut rig = Rig::open(|options, _| options.pause_reading_at = 1000);
        rig.wire(|wire| wire.room = 0);
        rig.receive(Client::new().binary(2000).1);
        end(&mut rig, &Client::new().text("unread").close(4001).1);
        assert_eq!(rig.deadline(), Some(60 * SECOND));
        rig.told();
        if takes {
            rig.wire(|wire| wire.give_room(usize::MAX));
            assert_eq!(rig.settle(), Next::Drop);
            assert_eq!(rig.told(), [Told::Drain, text("unread"), closed("4001")]);
        } else {
            assert_eq!(rig.expire(), Next::Drop);
            assert_eq!(rig.told(), [closed("stalled")]);
        }
    }
}
