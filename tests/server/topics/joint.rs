//! One message to several topics, over two workers.

use super::*;

/// Opens four, two on each worker: with `a`, with `a` and `b`, with `b`, with neither.
fn four(server: &Running) -> [Peer; 4] {
    let mut peers = open(server);
    subscribe(&mut peers[0], "a", 1);
    subscribe(&mut peers[1], "a", 2);
    subscribe(&mut peers[1], "b", 1);
    subscribe(&mut peers[2], "b", 2);
    peers
}

#[test]
fn a_message_to_several_topics_comes_to_each_connection_once() {
    let server = serve(2);
    let topics = server.handle().topics("/chat");
    let mut peers = four(&server);
    assert_eq!(
        topics
            .publish_to(&["a", "b", "none", "a"], "one")
            .unwrap()
            .waiting,
        4
    );
    assert_eq!(topics.publish_to(&[], "nobody").unwrap().waiting, 0);
    let stats = server.handle().stats();
    assert_eq!((stats.messages_published, stats.bytes_published), (1, 3));
    for peer in &mut peers[..3] {
        assert_eq!(peer.hear(), "one");
    }
    // By each of them, which leaves out itself.
    for by in 0..4 {
        peers[by].say("to a,b two");
        let answer = peers[by].hear();
        assert!(answer.ends_with("/0/0"), "{answer}");
        for (at, peer) in peers.iter_mut().enumerate().take(3) {
            if at != by {
                assert_eq!(peer.hear(), "two");
            }
        }
        for peer in &mut peers {
            peer.settle();
        }
    }
    assert_eq!(server.handle().stats().messages_published, 5);
    // Another one is left out in place of it.
    let left_out = id(&mut peers[1]);
    let message = Publication::new("three").except(left_out);
    topics.publish_to(&["a", "b"], message).unwrap();
    assert_eq!((&*peers[0].hear(), &*peers[2].hear()), ("three", "three"));
    for peer in &mut peers {
        peer.settle();
    }
    // By a handle in its handler: in the order of its calls, also where it is paused.
    server.handle().pause(left_out).unwrap();
    for by in [0, 2] {
        assert_eq!(peers[by].ask("by_handle a,b four"), "four");
        assert_eq!(peers[by].hear(), "Ok(None)");
        for (at, peer) in peers.iter_mut().enumerate().take(3) {
            if at != by {
                assert_eq!(peer.hear(), "four");
            }
        }
    }
    server.handle().resume(left_out).unwrap();
    assert_eq!(peers[1].ask("by_handle a,b five"), "five");
    assert_eq!(peers[1].hear(), "Ok(None)");
    assert_eq!((&*peers[0].hear(), &*peers[2].hear()), ("five", "five"));
    for peer in &mut peers {
        peer.settle();
    }
    assert_eq!(topics.list().len(), 2, "no record is left");
}

#[test]
fn all_that_hear_two_publishers_to_several_topics_hear_them_in_one_order() {
    const COUNT: usize = 300;
    let server = serve(2);
    let mut subscribers: [Peer; 4] = open(&server);
    for (peer, count) in subscribers.iter_mut().zip(1..) {
        subscribe(peer, "a", count);
        subscribe(peer, "b", count);
    }
    let publishers: [Peer; 2] = open(&server);
    thread::scope(|scope| {
        for (number, mut publisher) in publishers.into_iter().enumerate() {
            scope.spawn(move || {
                for at in 0..COUNT {
                    let topics = ["a,b", "b,a", "b"][at % 3];
                    publisher.say(&format!("to {topics} {number} {at}"));
                }
                for _ in 0..COUNT {
                    publisher.hear();
                }
            });
        }
        let topics = server.handle().topics("/chat");
        scope.spawn(move || {
            for at in 0..COUNT {
                topics.publish_to(&["b", "a"], &*format!("2 {at}")).unwrap();
            }
        });
        for peer in &mut subscribers {
            let mut next = [0; 3];
            for _ in 0..3 * COUNT {
                let text = peer.hear();
                let (number, at) = text.split_once(' ').unwrap();
                let next = &mut next[number.parse::<usize>().unwrap()];
                assert_eq!(at.parse(), Ok(*next));
                *next += 1;
            }
        }
    });
    for peer in &mut subscribers {
        peer.settle();
    }
}

#[test]
fn what_one_topic_refuses_goes_to_none_and_the_histories_tell_the_same() {
    let short = TopicOptions::new().history(10).max_message(5);
    let server = serve_with(2, |it| {
        it.topic("b", short)
            .topic("a", TopicOptions::new().history(10))
    });
    let topics = server.handle().topics("/chat");
    let mut peers = four(&server);
    let before = [topics.position("a"), topics.position("b")];
    assert_eq!(
        topics.publish_to(&["a", "b"], "longer"),
        Err(HandleError::TooLong)
    );
    assert_eq!(peers[3].ask("to a,b longer"), "0/0/0 TooLong");
    assert_eq!([topics.position("a"), topics.position("b")], before);
    topics.publish_to(&["a", "b"], "short").unwrap();
    let typing = Publication::new("brief").not_kept();
    topics.publish_to(&["a", "b"], typing).unwrap();
    for peer in &mut peers[..3] {
        assert_eq!((&*peer.hear(), &*peer.hear()), ("short", "brief"));
    }
    for (topic, before) in ["a", "b"].into_iter().zip(before) {
        assert_eq!(topics.position(topic).offset, before.offset + 2);
        let kept = topics.history_since(topic, before).entries;
        assert_eq!(kept.len(), 1);
        assert_eq!(
            (&*kept[0].payload, kept[0].offset),
            (&b"short"[..], before.offset + 1)
        );
    }
}
