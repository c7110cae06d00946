//! O2, O3: each message has a place in its topic, which the application may tell its clients.

use core::num::NonZeroUsize;
use std::sync::mpsc::channel;

use sockeye::server::topics::{Position, TopicOptions};

use super::clients::{Client, DEADLINE, builder, open_in_turn, serve};

const EACH: u64 = 100;

fn offset(text: &str) -> u64 {
    text.parse().unwrap()
}

#[test]
fn messages_tell_their_offsets_which_are_the_same_for_all_and_without_a_gap() {
    let options = TopicOptions::new().history(2 * EACH as usize);
    let server = serve(builder(2).topic("room", options), |socket, text| {
        assert_eq!(text, "speak");
        for _ in 0..EACH {
            socket.publish_with("room", |at| at.offset.to_string().into());
        }
    });
    let handle = server.handle();
    let begun = handle.topics("/chat").position("room");
    let mut clients = open_in_turn(&server, 2, 4);
    for client in &mut clients[..2] {
        client.subscribe("room");
    }
    clients[2].peer.say("speak");
    let mut last = begun;
    for _ in 0..EACH {
        let made = |at: Position| at.offset.to_string().into();
        let published = handle.topics("/chat").publish_with("room", made).unwrap();
        let position = published.position.unwrap();
        assert_eq!(position.epoch, begun.epoch);
        assert!(position.offset > last.offset, "one thread's, in its order");
        last = position;
    }
    let all: Vec<u64> = (begun.offset + 1..=begun.offset + 2 * EACH).collect();
    for client in &mut clients[..2] {
        let heard = client.hear(2 * EACH as usize);
        assert!(heard.iter().map(|it| offset(it)).eq(all.iter().copied()));
    }
    assert_eq!(
        handle.topics("/chat").position("room").offset,
        *all.last().unwrap()
    );

    // Who comes back with any of them gets the rest.
    for seen in [begun.offset, begun.offset + 7, *all.last().unwrap()] {
        let position = Position {
            offset: seen,
            ..begun
        };
        let missed = handle.topics("/chat").history_since("room", position);
        let behind = all.iter().copied().filter(|it| *it > seen);
        assert!(missed.complete);
        assert!(missed.entries.iter().map(|it| it.offset).eq(behind));
    }
    let other = Position {
        epoch: begun.epoch + 1,
        ..begun
    };
    assert!(!handle.topics("/chat").history_since("room", other).complete);
}

#[test]
fn a_subscription_begins_behind_the_position_that_it_returns() {
    let (tell, begun) = channel();
    let server = serve(builder(2), move |socket, topic| {
        let subscribed = socket.subscribe(topic).unwrap();
        let again = socket.subscribe(topic).unwrap();
        assert_eq!(subscribed, again, "asking again changes nothing");
        tell.send(subscribed).unwrap();
    });
    let handle = server.handle();
    let published = |text: &str| {
        handle
            .topics("/chat")
            .publish("room", text)
            .unwrap()
            .position
            .unwrap()
    };
    let mut first = Client::open(&server);
    first.peer.say("room");
    let by_socket = begun.recv_timeout(DEADLINE).unwrap();
    assert_eq!(by_socket.count, 1);
    let one = published("one");
    assert_eq!(one.offset, by_socket.position.offset + 1);

    let mut second = Client::open(&server);
    let by_handle = handle.topics("/chat").subscribe(second.id, "room").unwrap();
    assert_eq!(by_handle, one);
    published("two");
    assert_eq!(second.hear(1), ["two"]);
    assert_eq!(first.hear(2), ["one", "two"]);
}

#[test]
fn a_topic_that_comes_back_goes_on_above_what_its_clients_saw() {
    let server = serve(builder(NonZeroUsize::MIN.get()), |socket, topic| {
        socket.unsubscribe(topic);
        let _ = socket.send("unsubscribed");
    });
    let handle = server.handle();
    let mut client = Client::open(&server);
    let mut last = 0;
    for _ in 0..3 {
        client.subscribe("room");
        for _ in 0..5 {
            let published = handle.topics("/chat").publish("room", "text").unwrap();
            let position = published.position.unwrap();
            assert!(position.offset > last);
            last = position.offset;
        }
        client.hear(5);
        assert_eq!(client.peer.ask("room"), "unsubscribed");
        assert_eq!(handle.topics("/chat").list(), []);
    }
}
