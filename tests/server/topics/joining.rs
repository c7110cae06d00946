//! Joining in one step, coming back to a position, and how long a message may be.

use std::time::Duration;

use harness::net::GUARD;
use sockeye::server::topics::Position;

use super::*;

fn position(peer: &mut Peer, topic: &str) -> String {
    peer.ask(&format!("position {topic}"))
}

#[test]
fn who_joins_learns_what_was_before_and_hears_what_comes_behind() {
    let server = serve_with(2, |it| it.topic("a", TopicOptions::new().history(5)));
    let topics = server.handle().topics("/chat");
    let [mut ann, mut bob] = open(&server);
    for text in ["one", "two", "three"] {
        topics.publish("a", text).unwrap();
    }
    assert_eq!(ann.ask("enter a ann"), "one two three | ann | 1 | true");
    assert_eq!(ann.hear(), "+a Ok(1)");
    assert_eq!(
        bob.ask("enter a bob"),
        "one two three ann joined | ann bob | 2 | true"
    );
    assert_eq!(bob.hear(), "+a Ok(2)");
    // Who was there is told of who comes; who comes isn't.
    assert_eq!(ann.hear(), "bob joined");
    topics.publish("a", "four").unwrap();
    assert_eq!((&*ann.hear(), &*bob.hear()), ("four", "four"));
    // Once more changes nothing and replays nothing.
    assert_eq!(bob.ask("enter a bob"), " | ann bob | 2 | true");
    assert_eq!(ann.ask("others a five"), "1/0/0");
    assert_eq!(bob.hear(), "five");
    for peer in [&mut ann, &mut bob] {
        peer.settle();
    }
}

#[test]
fn a_join_that_is_refused_changes_nothing() {
    let mut limits = TopicLimits::default();
    limits.max_subscribers = 1;
    let server = serve_with(2, |it| it.topic_limits(limits));
    let topics = server.handle().topics("/chat");
    let [mut ann, mut bob] = open(&server);
    assert_eq!(ann.ask("enter a ann"), " | ann | 1 | true");
    assert_eq!(ann.hear(), "+a Ok(1)");
    assert_eq!(bob.ask("enter a bob"), "TopicFull");
    assert_eq!(
        (
            topics.subscriber_count("a"),
            topics.presence_members("a").len()
        ),
        (1, 1)
    );
    // As another user than the one that it is.
    assert_eq!(bob.ask("join b bob"), "joined");
    assert_eq!(bob.ask("enter b cat"), "Presence(OtherUser)");
    assert_eq!(
        (
            topics.subscriber_count("b"),
            topics.presence_members("b").len()
        ),
        (0, 1)
    );
    ann.settle();
}

#[test]
fn who_comes_back_to_a_position_gets_what_was_missed_and_then_what_comes() {
    let server = serve_with(2, |it| it.topic("a", TopicOptions::new().history(2)));
    let topics = server.handle().topics("/chat");
    let [mut ann, mut bob] = open(&server);
    let seen = topics.publish("a", "one").unwrap().position.unwrap();
    for text in ["two", "three"] {
        topics.publish("a", text).unwrap();
    }
    let since = |it: Position| format!("since a {} {}", it.epoch, it.offset);
    ann.say(&since(seen));
    assert_eq!(
        [ann.hear(), ann.hear(), ann.hear(), ann.hear()],
        ["two", "three", "true", "+a Ok(1)"]
    );
    // Nothing was missed.
    bob.say(&since(topics.position("a")));
    assert_eq!([bob.hear(), bob.hear()], ["true", "+a Ok(2)"]);
    unsubscribe(&mut bob, "a", 1);
    topics.publish("a", "four").unwrap();
    assert_eq!(ann.hear(), "four");
    // More was missed than is kept.
    bob.say(&since(seen));
    assert_eq!(
        [bob.hear(), bob.hear(), bob.hear()],
        ["three", "four", "false"]
    );
    assert_eq!(bob.hear(), "+a Ok(2)");
    unsubscribe(&mut bob, "a", 1);
    // The epoch is another.
    bob.say(&since(Position {
        epoch: seen.epoch + 1,
        ..seen
    }));
    assert_eq!([bob.hear(), bob.hear()], ["false", "+a Ok(2)"]);
    topics.publish("a", "five").unwrap();
    assert_eq!((&*ann.hear(), &*bob.hear()), ("five", "five"));
}

/// Publishers on other threads never stop; each who joins has all up to its position as a replay
/// and all behind it live.
#[test]
fn between_what_is_replayed_and_what_is_live_is_no_gap_and_nothing_comes_twice() {
    const COUNT: usize = 500;
    let options = TopicOptions::new().history_for(2 * COUNT, 10 * GUARD);
    let server = serve_with(2, |it| it.topic("a", options));
    let mut peers: [Peer; 8] = open(&server);
    thread::scope(|scope| {
        let topics = server.handle().topics("/chat");
        scope.spawn(move || {
            for at in 0..COUNT {
                topics.publish("a", &*at.to_string()).unwrap();
                thread::sleep(Duration::from_micros(100));
            }
        });
        for (number, peer) in peers.iter_mut().enumerate() {
            scope.spawn(move || {
                thread::sleep(Duration::from_millis(5 * number as u64));
                peer.say(&format!("enter a user{number}"));
                // What is published meanwhile may come before the handler's reply.
                let mut live: Vec<usize> = Vec::new();
                let joined = loop {
                    match peer.hear() {
                        joined if joined.contains(" | ") => break joined,
                        other => live.extend(other.parse::<usize>().ok()),
                    }
                };
                let replayed = joined.split_once(" | ").unwrap().0.split_whitespace();
                let mut all: Vec<usize> = replayed.filter_map(|it| it.parse().ok()).collect();
                all.append(&mut live);
                while all.len() < COUNT {
                    // Its own event comes, too, and others join.
                    all.extend(peer.hear().parse::<usize>().ok());
                }
                assert!(all.into_iter().eq(0..COUNT));
            });
        }
    });
}

#[test]
fn a_message_longer_than_its_topic_takes_is_refused_and_uses_no_position() {
    let server = serve_with(2, |it| {
        it.topic("short", TopicOptions::new().max_message(5).history(5))
    });
    let topics = server.handle().topics("/chat");
    let [mut ann, mut bob] = open(&server);
    subscribe(&mut ann, "short", 1);
    let before = position(&mut bob, "short");
    assert_eq!(
        topics.publish("short", "longer").map(drop),
        Err(HandleError::TooLong)
    );
    assert_eq!(bob.ask("all short longer"), "0/0/0 TooLong");
    assert_eq!(position(&mut bob, "short"), before);
    assert_eq!(bob.ask("all short fits!"), "1/0/0");
    assert_eq!(ann.hear(), "fits!");
    assert_eq!(bob.ask("all long a longer one"), "0/0/0");
    assert_eq!(topics.history("short", 5).len(), 1);
}
