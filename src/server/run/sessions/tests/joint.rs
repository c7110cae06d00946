//! One message to several topics: each subscriber gets it once, in one order with all others.

use super::*;
use crate::server::handle::Handle;

/// Creates a crowd of three, of whom the second has `t0` and `t1`, the third `t1` alone.
fn room(builder: crate::server::Builder) -> Crowd {
    let mut room = Crowd::new(3, builder);
    room.clients[1].say("subscribe", 1, 0);
    room.clients[2].say("subscribe", 1, 0);
    room.clients[2].say("unsubscribe", 0, 0);
    room.read_all(Duration::ZERO);
    room
}

fn tell(room: &Crowd, topics: &[&str], number: u64) -> Published {
    let text = format!("told t0 handle {number} {}", "y".repeat(60));
    let topics_of = Handle::new(room.sessions.shared()).topics("/now");
    topics_of.publish_to(topics, &*text).unwrap()
}

fn heard(room: &mut Crowd, number: usize) -> Vec<String> {
    let client = &mut room.clients[number];
    client.listen();
    mem::take(&mut client.heard)
}

/// Returns what the handle told, by its numbers.
fn told(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    let numbers = numbers.into_iter();
    numbers.map(|it| format!("handle {it}")).collect()
}

#[test]
fn each_gets_it_once_between_the_messages_of_a_burst() {
    let mut room = room(Server::builder());
    for number in 0..12 {
        match number % 4 {
            2 => _ = tell(&room, &["t1", "t0"], number),
            3 => _ = tell(&room, &["t1"], number),
            _ => _ = tell(&room, &["t0"], number),
        }
    }
    room.sessions.settle();
    let only = |which: &[u64]| told((0..12).filter(|it| which.contains(&(it % 4))));
    assert_eq!(heard(&mut room, 0), only(&[0, 1, 2]));
    assert_eq!(heard(&mut room, 1), told(0..12));
    assert_eq!(heard(&mut room, 2), only(&[2, 3]));
    assert_eq!(room.sessions.shared().stats().queued_bytes, 0);
}

#[test]
fn a_handlers_goes_directly_or_behind_what_waits_in_the_inbox() {
    for waits in [false, true] {
        let mut room = room(Server::builder());
        if waits {
            tell(&room, &["t0"], 0);
            tell(&room, &["t0", "t1"], 1);
        }
        for what in ["publish", "both", "publish"] {
            room.clients[0].say(what, 0, 10);
        }
        room.read(0, Duration::ZERO);
        let life = room.app.0.lock().unwrap();
        let published = life.values().next().unwrap().published;
        drop(life);
        // The second by two subscriptions, where it is counted before it is delivered.
        let expected = if waits { (0, 1) } else { (1, 0) };
        assert_eq!((published.sent, published.waiting), expected);
        room.sessions.settle();
        let before = |count: usize| told((0..2).skip(2 - count).filter(|_| waits));
        assert_eq!(heard(&mut room, 0), before(2));
        let own = ["c0 1", "c0 2", "c0 3"].map(String::from);
        assert_eq!(heard(&mut room, 1), [before(2), own.to_vec()].concat());
        assert_eq!(
            heard(&mut room, 2),
            [before(1), own[1..2].to_vec()].concat()
        );
    }
}

#[test]
fn one_of_them_stops_on_its_way_and_goes_on_with_who_is_next() {
    // Without room for deliveries, and with a slow subscriber that is waited for.
    for slow in [false, true] {
        let mut room = room(Server::builder().max_backpressure(200));
        if slow {
            room.clients[1].wire(|wire| wire.room = 0);
        }
        let (mut now, token) = (Duration::ZERO, room.clients[1].token.unwrap());
        room.clients[0].say("both", 0, 10);
        room.sessions.at(now);
        room.sessions.exchange.deliveries = usize::from(!slow);
        room.read(0, now);
        for number in 0..20 {
            tell(&room, &["t0", "t1"], number);
        }
        while room.sessions.work_in().is_some() {
            room.sessions.at(now);
            room.sessions.exchange.deliveries = 2;
            let _thread = room.sessions.on_its_thread();
            room.sessions.work_now();
            room.sessions.end_turn();
            drop(_thread);
            room.clients[1].wire(|wire| wire.give_room(70));
            now += Duration::from_millis(100);
            room.sessions.at(now).ready(token, false, false);
            assert!(now < Duration::from_secs(60), "commands are stuck");
        }
        room.clients[1].wire(|wire| wire.give_room(1 << 20));
        room.sessions.at(now).ready(token, false, false);
        room.sessions.settle();
        let all = [vec![String::from("c0 1")], told(0..20)].concat();
        assert_eq!(heard(&mut room, 0), all[1..], "{slow}");
        for number in 1..3 {
            assert_eq!(heard(&mut room, number), all, "{slow} {number}");
        }
        assert_eq!(room.sessions.shared().stats().dropped, 0);
    }
}

#[test]
fn who_has_stalled_loses_it_and_the_others_get_it() {
    let builder = Server::builder().max_backpressure(200);
    let mut room = room(builder.overflow(Overflow::DropNewest));
    room.clients[1].wire(|wire| wire.room = 0);
    for number in 0..20 {
        tell(&room, &["t0", "t1"], number);
    }
    for seconds in 0..5 {
        room.sessions.at(Duration::from_secs(seconds));
        room.sessions.settle();
    }
    assert_eq!(heard(&mut room, 0), told(0..20));
    assert_eq!(heard(&mut room, 2), told(0..20));
    room.clients[1].wire(|wire| wire.give_room(1 << 20));
    let token = room.clients[1].token.unwrap();
    room.sessions
        .at(Duration::from_secs(5))
        .ready(token, false, false);
    let got = heard(&mut room, 1);
    assert_eq!(got, told(0..got.len() as u64));
    let dropped = room.sessions.shared().stats().dropped;
    assert!(dropped > 0);
    assert_eq!(got.len() as u64 + dropped, 20);
}

#[test]
fn it_is_replaced_only_for_those_who_get_it_by_topics_that_conflate() {
    let builder = Server::builder().topic("t1", TopicOptions::new().conflate());
    let mut room = room(builder);
    for client in &room.clients {
        client.wire(|wire| wire.room = 0);
    }
    for number in 0..10 {
        tell(&room, &["t0", "t1"], number);
        room.sessions.settle();
    }
    for number in 0..3 {
        room.clients[number].wire(|wire| wire.give_room(1 << 20));
        let token = room.clients[number].token.unwrap();
        room.sessions.ready(token, false, false);
    }
    assert_eq!(heard(&mut room, 0), told(0..10));
    assert_eq!(heard(&mut room, 1), told(0..10));
    let latest = heard(&mut room, 2);
    assert!(
        latest.len() < 10 && latest.last() == told([9]).last(),
        "{latest:?}"
    );
}
