//! What holds for one message alone: whom it leaves out, whether it is kept.

use std::time::SystemTime;

use super::*;

#[test]
fn a_publication_leaves_out_the_connection_that_it_names() {
    let server = serve(2);
    // The first and the third on one worker, the second and the fourth on the other.
    let mut peers: [Peer; 4] = open(&server);
    let ids: Vec<u64> = peers.iter_mut().map(|it| id(it).to_u64()).collect();
    for (peer, count) in peers.iter_mut().zip(1..) {
        subscribe(peer, "a", count);
    }
    let topics = server.handle().topics("/chat");
    for (left_out, out) in ids.iter().enumerate() {
        let except = Publication::new("by a handle").except(ConnectionId::from_u64(*out));
        assert_eq!(topics.publish("a", except).unwrap().waiting, 3);
        for (at, peer) in peers.iter_mut().enumerate() {
            if at != left_out {
                assert_eq!(peer.hear(), "by a handle");
            }
            peer.settle();
        }
        // By a subscriber: in place of itself, both for `publish` and for `publish_to_all`.
        for verb in ["others_but", "all_but"] {
            peers[0].say(&format!("{verb} a {out} {verb}"));
            if left_out != 0 {
                // The own copy comes in the order of the calls: before the answer.
                assert_eq!(peers[0].hear(), verb);
            }
            assert_eq!(peers[0].hear(), "3/0/0");
            for (at, peer) in peers.iter_mut().enumerate().skip(1) {
                if at != left_out {
                    assert_eq!(peer.hear(), verb);
                }
                peer.settle();
            }
        }
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "what is kept has a date")]
fn an_announcement_that_is_not_kept_reaches_the_others_and_not_the_history() {
    let server = serve_with(2, |it| it.topic("a", TopicOptions::new().history(10)));
    let topics = server.handle().topics("/chat");
    let [mut ann, mut bob] = open(&server);
    subscribe(&mut ann, "a", 1);
    subscribe(&mut bob, "a", 2);
    let before = SystemTime::now();
    assert_eq!(ann.ask("arrive a ann"), "joined");
    assert_eq!(bob.hear(), "ann is here");
    assert_eq!(topics.history("a", 10), []);
    assert_eq!(bob.ask("enter a bob"), " | ann bob | 2 | true");
    assert_eq!(ann.hear(), "bob joined");
    // The other announcement is kept, with the time of day.
    let kept = topics.history("a", 10);
    assert_eq!(&*kept[0].payload, b"bob joined");
    assert!((before..=SystemTime::now()).contains(&kept[0].time));
    ann.settle();
}

#[test]
fn what_is_not_kept_has_a_position_and_is_not_in_the_history() {
    let server = serve_with(2, |it| it.topic("a", TopicOptions::new().history(10)));
    let topics = server.handle().topics("/chat");
    let [mut ann] = open(&server);
    subscribe(&mut ann, "a", 1);
    topics.publish("a", "one").unwrap();
    let seen = topics.position("a");
    let typing = topics
        .publish("a", Publication::new("typing").not_kept())
        .unwrap();
    assert_eq!(typing.position.unwrap().offset, seen.offset + 1);
    assert_eq!((&*ann.hear(), &*ann.hear()), ("one", "typing"));
    // The client that saw it last has missed nothing, nor has the one that didn't.
    for position in [seen, topics.position("a")] {
        let missed = topics.history_since("a", position);
        assert_eq!((missed.entries.len(), missed.complete), (0, true));
    }
    // No offset is given twice, also when the topic was forgotten meanwhile.
    unsubscribe(&mut ann, "a", 0);
    let next = topics.publish("a", "two").unwrap().position.unwrap();
    assert_eq!(next.offset, seen.offset + 2);
    let kept = topics.history("a", 10).into_iter();
    assert!(kept.map(|it| it.payload.to_vec()).eq([b"one", b"two"]));
    assert_eq!(topics.history_since("a", seen).entries.len(), 1);
}
