//! What is published in one go, beside all else that happens to its subscribers.

use super::*;
use crate::proto::PreparedMessage;

impl Crowd {
    fn arrives(&mut self, number: usize) {
        self.read(number, Duration::ZERO);
    }

    fn told(&mut self, number: u64, command: impl FnOnce(PreparedMessage) -> Command) {
        let config = Arc::clone(&self.hub.shared().settings.options.config);
        let text = format!("told t0 handle {number} ");
        self.hub
            .obey(command(PreparedMessage::new(&*text, &config)));
    }

    fn publish(&mut self, number: u64) {
        self.told(number, |it| Command::Publish("t0".into(), it));
    }

    /// What each has heard since, as "sender number", and that nothing waits.
    fn heard(&mut self) -> Vec<Vec<String>> {
        while self.hub.patience() == Some(Duration::ZERO) {
            self.hub.drive_again();
        }
        let heard = self.clients.iter_mut().map(|it| {
            it.listen();
            mem::take(&mut it.heard)
        });
        heard.collect()
    }
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
    let stats = room.hub.shared().stats();
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
    let token = room.clients[1].token.unwrap();
    room.told(3, |it| Command::Send(token, it));
    for number in 4..7 {
        room.publish(number);
    }
    room.told(7, |it| Command::Publish("t1".into(), it));
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
    let (first, topic) = (room.clients[0].token.unwrap(), Arc::<str>::from("t0"));
    for number in 0..3 {
        room.publish(number);
    }
    room.hub
        .obey(Command::Unsubscribe(first, Arc::clone(&topic)));
    for number in 3..6 {
        room.publish(number);
    }
    room.hub.obey(Command::Subscribe(first, topic));
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
fn a_burst_ends_at_each_where_a_message_by_itself_would() {
    let builder = Server::builder().max_backpressure(200);
    let mut room = Crowd::new(2, builder.overflow(Overflow::DropNewest));
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
    let count = (0..100).take_while(fits).count();
    let stats = room.hub.shared().stats();
    assert!(stats.queued_bytes > 2 * 180, "{}", stats.queued_bytes);
    assert_eq!(stats.messages_sent, 2 * count as u64);
    assert_eq!(stats.dropped, 2 * (100 - count as u64));
    for heard in room.heard() {
        assert_eq!(heard.len(), count);
    }
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
    // All of it by one write.
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
    room.hub.obey(Command::Inspect(Arc::new(look)));
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
    let stats = room.hub.shared().stats();
    assert_eq!((stats.messages_sent, stats.dropped), (30, 0));
    for heard in room.heard() {
        assert_eq!(heard.len(), 10);
    }
}
