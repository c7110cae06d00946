//! The order of what one thread requests by a socket and by a handle: docs/cases.md O1.

use super::*;

/// How many connections are subscribed to `t0`.
fn crowd(count: usize) -> Crowd {
    let topics = TopicOptions::new().history(2);
    Crowd::new(count, Server::builder().topic("kept", topics))
}

/// What the clients have sent arrives in one turn, in which only this many deliveries are left.
fn turn(crowd: &mut Crowd, deliveries: usize, numbers: &[usize]) {
    let _thread = crowd.sessions.on_its_thread();
    crowd.sessions.at(Duration::ZERO);
    crowd.sessions.exchange.deliveries = deliveries;
    for number in numbers {
        let client = &crowd.clients[*number];
        client.wire(|wire| {
            let left = wire.input.len();
            wire.arrive(left);
        });
        let token = client.token.unwrap();
        crowd.sessions.ready(token, true, false);
    }
}

fn heard(crowd: &mut Crowd, number: usize) -> Vec<String> {
    crowd.sessions.settle();
    crowd.clients[number].listen();
    mem::take(&mut crowd.clients[number].heard)
}

#[test]
fn what_a_handler_publishes_comes_before_what_is_sent_next_also_where_it_has_to_stop_on_its_way() {
    for rounds in 1..4 {
        let mut crowd = crowd(3);
        for round in 0..rounds {
            crowd.clients[0].say("publish", 0, 0);
            crowd.clients[2].say("echo", 0, 0);
            // The last one's turn comes before the message does.
            turn(&mut crowd, 1, &[0, 2]);
            let numbers = [format!("c0 {}", round + 1), format!("c2 {}", round + 1)];
            assert_eq!(heard(&mut crowd, 1), numbers[..1]);
            assert_eq!(heard(&mut crowd, 2), numbers);
        }
    }
}

#[test]
fn a_message_that_stops_on_its_way_waits_for_all_but_who_published_it() {
    let mut crowd = crowd(4);
    crowd.clients[3].say("publish", 0, 0);
    turn(&mut crowd, 1, &[3]);
    let id = ConnectionId::new(0, crowd.clients[3].token.unwrap());
    let published = crowd.app.0.lock().unwrap()[&id].published;
    assert_eq!((published.sent, published.waiting), (1, 2));
}

#[test]
fn what_a_handler_asks_for_within_a_fragmented_message_waits_for_its_end() {
    let mut crowd = crowd(2);
    for what in ["begin", "tell", "all", "finish"] {
        crowd.clients[0].say(what, 0, 0);
    }
    turn(&mut crowd, usize::MAX, &[0]);
    assert_eq!(heard(&mut crowd, 0), ["c0 1", "c0 2", "c0 3"]);
    assert_eq!(heard(&mut crowd, 1), ["c0 3"]);
    let stats = crowd.sessions.shared().stats();
    assert_eq!((stats.messages_sent, stats.dropped), (4, 0));
}

#[test]
fn what_was_kept_waits_for_the_end_of_a_fragmented_message() {
    let mut crowd = crowd(1);
    let handle = Handle::new(crowd.sessions.shared());
    for number in 0..3 {
        let text = format!("told kept handle {number} ");
        handle.topics("/now").publish("kept", &*text).unwrap();
    }
    crowd.clients[0].say("begin", 0, 0);
    turn(&mut crowd, usize::MAX, &[0]);
    let id = ConnectionId::new(0, crowd.clients[0].token.unwrap());
    handle.topics("/now").subscribe(id, "kept").unwrap();
    assert_eq!(heard(&mut crowd, 0), [""; 0]);
    crowd.clients[0].say("finish", 0, 0);
    turn(&mut crowd, usize::MAX, &[0]);
    assert_eq!(heard(&mut crowd, 0), ["c0 1", "handle 1", "handle 2"]);
}
