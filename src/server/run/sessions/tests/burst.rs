//! What is published in one burst, together with other events of its subscribers.

use super::*;
use crate::server::handle::Handle;

impl Crowd {
    fn arrives(&mut self, number: usize) {
        self.read(number, Duration::ZERO);
    }

    fn publish(&mut self, number: u64) {
        self.publish_to("t0", number);
    }

    fn publish_to(&mut self, topic: &str, number: u64) {
        let text = format!("told t0 handle {number} ");
        self.handle().topics("/now").publish(topic, &*text).unwrap();
    }

    fn handle(&self) -> Handle {
        Handle::new(self.sessions.shared())
    }

    fn id(&self, number: usize) -> ConnectionId {
        ConnectionId::new(0, self.clients[number].token.unwrap())
    }

    /// Settles the sessions; returns what each client has heard since, as "sender number".
    fn heard(&mut self) -> Vec<Vec<String>> {
        self.sessions.settle();
        let heard = self.clients.iter_mut().map(|it| {
            it.listen();
            mem::take(&mut it.heard)
        });
        heard.collect()
    }
}

/// Returns how many messages were sent and how many were dropped, by the server's counters.
fn counts(room: &Crowd) -> (u64, u64) {
    let stats = room.sessions.shared().stats();
    (stats.messages_sent, stats.dropped)
}

fn room(count: usize) -> Crowd {
    Crowd::new(count, Server::builder())
}

#[test]
fn a_burst_comes_to_each_before_what_the_next_events_lead_to() {
    let mut room = room(3);
    for _ in 0..4 {
        room.clients[0].say("publish", 0, 10);
    }
    room.clients[1].say("echo", 0, 10);
    room.arrives(0);
    // Its event came in the same poll as the publisher's.
    room.arrives(1);
    let burst = ["c0 1", "c0 2", "c0 3", "c0 4"];
    let heard = room.heard();
    assert_eq!(heard[0], [""; 0]);
    assert_eq!(heard[1], [&burst[..], &["c1 1"]].concat());
    assert_eq!(heard[2], burst);
    let stats = room.sessions.shared().stats();
    assert_eq!((stats.messages_sent, stats.queued_bytes), (9, 0));
}

#[test]
fn a_message_for_one_and_a_burst_of_another_topic_keep_their_places_in_a_burst() {
    let mut room = room(3);
    for number in 1..3 {
        room.clients[number].say("subscribe", 1, 0);
        room.arrives(number);
    }
    for number in 0..3 {
        room.publish(number);
    }
    let id = room.id(1);
    room.handle().send(id, "told t0 handle 3 ").unwrap();
    for number in 4..7 {
        room.publish(number);
    }
    room.publish_to("t1", 7);
    room.publish(8);
    let told = |numbers: &[u64]| -> Vec<String> {
        let numbers = numbers.iter();
        numbers.map(|it| format!("handle {it}")).collect()
    };
    let heard = room.heard();
    assert_eq!(heard[0], told(&[0, 1, 2, 4, 5, 6, 8]));
    assert_eq!(heard[1], told(&[0, 1, 2, 3, 4, 5, 6, 7, 8]));
    assert_eq!(heard[2], told(&[0, 1, 2, 4, 5, 6, 7, 8]));
}

#[test]
fn a_burst_goes_to_those_who_were_subscribed_when_it_was_published() {
    let mut room = room(2);
    let first = room.id(0);
    for number in 0..3 {
        room.publish(number);
    }
    room.handle()
        .topics("/now")
        .unsubscribe(first, "t0")
        .unwrap();
    for number in 3..6 {
        room.publish(number);
    }
    room.handle().topics("/now").subscribe(first, "t0").unwrap();
    for number in 6..8 {
        room.publish(number);
    }
    let heard = room.heard();
    assert_eq!(
        heard[0],
        ["handle 0", "handle 1", "handle 2", "handle 6", "handle 7"]
    );
    assert_eq!(heard[1].len(), 8);
}

#[test]
fn who_takes_nothing_is_waited_for_and_then_loses_what_has_no_room() {
    let builder = Server::builder().max_backpressure(200);
    let mut room = Crowd::new(2, builder.overflow(Overflow::DropNewest));
    for client in &room.clients {
        client.wire(|wire| wire.room = 0);
    }
    for number in 0..100 {
        room.publish(number);
    }
    let mut waiting = 0;
    let fits = |number: &u64| {
        let payload = format!("told t0 handle {number} ").len();
        let fits = waiting + payload <= 200;
        waiting += 2 + payload;
        fits
    };
    let count = (0..100).take_while(fits).count() as u64;
    room.sessions.settle();
    assert_eq!(counts(&room), (2 * count, 0));
    let patience = room.sessions.patience().unwrap();
    assert_eq!(patience, Duration::from_millis(500));
    room.sessions.at(patience - Duration::from_millis(1)).work();
    assert_eq!(counts(&room), (2 * count, 0), "waited for");
    room.sessions.at(patience);
    room.sessions.settle();
    assert_eq!(counts(&room), (2 * count, 2 * (100 - count)));
    for client in &room.clients {
        client.wire(|wire| wire.give_room(1 << 20));
    }
    for number in 0..2 {
        let token = room.clients[number].token.unwrap();
        room.sessions.at(patience).ready(token, false, false);
    }
    for heard in room.heard() {
        assert_eq!(heard.len() as u64, count);
    }
}

#[test]
fn who_takes_what_is_written_loses_nothing_of_a_burst_that_is_longer_than_may_wait() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest, Overflow::Close] {
        let mut room = Crowd::new(
            3,
            Server::builder().max_backpressure(200).overflow(overflow),
        );
        // One of them takes some at a time.
        room.clients[1].wire(|wire| wire.room = 100);
        for number in 0..100 {
            room.publish(number);
        }
        let token = room.clients[1].token.unwrap();
        let mut now = Duration::ZERO;
        while room.sessions.work_in().is_some() {
            room.sessions.at(now);
            room.sessions.settle();
            room.clients[1].wire(|wire| wire.give_room(70));
            now += Duration::from_millis(400);
            room.sessions.at(now).ready(token, false, false);
            assert!(now < Duration::from_secs(60), "commands are stuck");
        }
        room.clients[1].wire(|wire| wire.give_room(1 << 20));
        room.sessions.at(now).ready(token, false, false);
        assert_eq!(counts(&room), (300, 0), "{overflow:?}");
        for heard in room.heard() {
            assert_eq!(heard.len(), 100);
        }
    }
}

#[test]
fn one_that_has_half_its_room_and_none_for_a_long_message_is_waited_for_without_spinning() {
    let mut room = Crowd::new(2, Server::builder().max_backpressure(1_000));
    room.clients[1].wire(|wire| wire.room = 0);
    for number in 0..4 {
        let text = format!("told t0 handle {number} {}", "y".repeat(380 + 200 * number));
        room.handle().topics("/now").publish("t0", &*text).unwrap();
    }
    room.sessions.settle();
    assert_eq!(counts(&room), (5, 0), "only one has room for the third");
    let token = room.clients[1].token.unwrap();
    let (mut now, step) = (Duration::ZERO, Duration::from_millis(100));
    for _ in 0..20 {
        now += step;
        room.clients[1].wire(|wire| wire.give_room(200));
        room.sessions.at(now).ready(token, false, false);
        room.sessions.settle();
    }
    assert_eq!(counts(&room), (8, 0));
    for heard in room.heard() {
        assert_eq!(heard.len(), 4);
    }
}

#[test]
fn one_that_is_slower_than_it_is_waited_for_holds_the_others_up_once() {
    let mut room = Crowd::new(2, Server::builder().max_backpressure(200));
    room.clients[1].wire(|wire| wire.room = 0);
    let token = room.clients[1].token.unwrap();
    for number in 0..200 {
        room.publish(number);
    }
    let mut now = Duration::ZERO;
    // It takes a byte before it would count as stalled, and never half of what waits.
    while room.sessions.work_in().is_some() {
        room.sessions.at(now);
        room.sessions.settle();
        room.clients[1].wire(|wire| wire.give_room(1));
        now += Duration::from_millis(400);
        room.sessions.at(now).ready(token, false, false);
        assert!(now < Duration::from_secs(60), "commands are stuck");
    }
    assert!(now <= Duration::from_millis(2_800), "{now:?}");
    room.clients[0].listen();
    assert_eq!(room.clients[0].heard.len(), 200);
    assert!(counts(&room).1 > 180);
}

#[test]
fn a_burst_of_a_session_and_one_of_a_handle_go_each_to_their_own() {
    let mut room = room(2);
    for _ in 0..3 {
        room.clients[0].say("publish", 0, 10);
    }
    room.arrives(0);
    for number in 0..3 {
        room.publish(number);
    }
    let calls: Vec<_> = (room.clients.iter().map(|it| it.wire(|wire| wire.calls))).collect();
    let told = ["handle 0", "handle 1", "handle 2"];
    let heard = room.heard();
    assert_eq!(heard[0], told);
    assert_eq!(heard[1], [&["c0 1", "c0 2", "c0 3"][..], &told].concat());
    // All of it in one write.
    for (client, before) in room.clients.iter().zip(calls) {
        assert_eq!(client.wire(|wire| wire.calls), before + 1);
    }
}

#[test]
fn who_looks_at_the_connections_sees_what_has_gathered_for_them() {
    let mut room = room(2);
    for number in 0..3 {
        room.publish(number);
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&seen);
    let look = move |stats| *all.lock().unwrap() = stats;
    room.handle().connections(look).unwrap();
    room.sessions.work_now();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    for stats in &*seen {
        assert_eq!((stats.messages_sent, stats.buffered), (3, 3 * 19));
    }
}

#[test]
fn where_nothing_may_gather_each_message_comes_by_itself() {
    let mut room = Crowd::new(3, Server::builder().overflow(Overflow::DropOldest));
    for number in 0..10 {
        room.publish(number);
    }
    room.sessions.work_now();
    assert_eq!(counts(&room), (30, 0));
    for heard in room.heard() {
        assert_eq!(heard.len(), 10);
    }
}
