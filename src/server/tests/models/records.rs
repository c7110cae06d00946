//! Records come and go with those who use them.

use super::*;

#[test]
fn no_message_goes_to_a_record_that_is_gone_and_offsets_never_go_back() {
    for known in [false, true] {
        check(move || {
            let server = Server::new(&[ROOM, ROOM], TopicOptions::new());
            let (mut first, mut second) = (server.worker(0), server.worker(1));
            // One whose subscriptions come and go, and one that begins to listen.
            let comes = thread::spawn(move || {
                first.inbox().own_thread();
                let mut begun = 0;
                for _ in 0..2 {
                    let next = first.subscribe(TOPIC, Token(1));
                    assert!(next >= begun, "{next} behind {begun}");
                    begun = next;
                    first.unsubscribe(TOPIC, Token(1));
                }
                first
            });
            let listens = thread::spawn(move || {
                let begun = second.subscribe(TOPIC, Token(1));
                (second, begun)
            });
            let publisher = spawn(&server, move |server| {
                let known = known.then(|| {
                    let mut worker = server.worker(0);
                    worker.subscribe(TOPIC, Token(7));
                    let known = Arc::clone(&worker.local.of(TOPIC).unwrap().topic);
                    worker.unsubscribe(TOPIC, Token(7));
                    known
                });
                let message = prepared("m");
                [0, 1].map(|_| {
                    let publisher = Publisher::default();
                    let published = server.directory.publish(
                        &server.inboxes,
                        TopicName::split(TOPIC),
                        known.as_ref(),
                        publisher,
                        NOW,
                        |_| &message,
                    );
                    published.unwrap().0.position.offset
                })
            });
            let another = spawn(&server, |server| server.publish("n").unwrap());
            let told = publisher.join().unwrap();
            assert!(told[0] < told[1], "{told:?}");
            let mut all = Vec::from(told);
            all.push(another.join().unwrap());
            all.sort();
            assert!(all.is_sorted_by(|one, next| one < next), "{all:?}");
            let first = comes.join().unwrap();
            let (mut second, begun) = listens.join().unwrap();
            all.retain(|it| *it > begun);
            second.work();
            assert_eq!(offsets(&second.heard, 1), all, "behind {begun}");
            second.unsubscribe(TOPIC, Token(1));
            let mut first = first;
            first.work();
            assert_eq!(server.directory.records(), 0);
            assert_eq!(server.directory.totals(), (0, 0));
            server.assert_at_rest();
        });
    }
}

#[test]
fn a_record_stays_while_a_subscription_is_on_its_way_and_goes_with_the_last() {
    check(|| {
        let server = Server::new(&[ROOM], TopicOptions::new());
        let worker = server.worker(0);
        let (one, two) = (worker.id(Token(1)), worker.id(Token(2)));
        let gone = worker.id(GONE);
        let worker = worker.spawn();
        let begin = [one, two].map(|id| {
            spawn(&server, move |server| {
                let inbox = &server.inboxes[0];
                let position = server.directory.begin(TOPIC, id, inbox, NOW).unwrap();
                let offset = server.publish("m").unwrap();
                assert!(offset > position.offset);
                inbox.push(Command::Unsubscribe(id.token(), TOPIC.into()));
                offset
            })
        });
        // Another topic of the same shard, and a look at all of them.
        let in_vain = spawn(&server, move |server| {
            let inbox = &server.inboxes[0];
            server.directory.begin(TOPIC, gone, inbox, NOW).unwrap();
        });
        let looks = spawn(&server, |server| {
            server.directory.position("other");
            server.directory.topics().len()
        });
        let told = begin.map(|it| it.join().unwrap());
        assert_ne!(told[0], told[1]);
        assert!(looks.join().unwrap() <= 1);
        in_vain.join().unwrap();
        server.end();
        let heard = worker.join().unwrap();
        for (token, told) in [1, 2].into_iter().zip(told) {
            assert!(offsets(&heard, token).contains(&told), "{token}: {heard:?}");
        }
        assert_eq!(server.directory.records(), 0);
        assert_eq!(server.directory.totals(), (0, 0));
        server.assert_at_rest();
    });
}

#[test]
fn messages_of_several_topics_have_their_places_and_leave_no_record() {
    check(|| {
        let server = Server::new(&[ROOM], TopicOptions::new());
        let mut worker = server.worker(0);
        let comes = thread::spawn(move || {
            worker.inbox().own_thread();
            for _ in 0..2 {
                worker.subscribe("/ b", Token(1));
                worker.unsubscribe("/ b", Token(1));
            }
            worker
        });
        // Each locks what another one waits for.
        let publishers = [["/ a", "/ b"], ["/ b", "/ c"], ["/ c", "/ a"]].map(|topics| {
            spawn(&server, move |server| {
                let (topics, message) = (topics.map(String::from).into(), prepared("m"));
                let (publisher, inboxes) = (Publisher::default(), &server.inboxes);
                let directory = &server.directory;
                let published = directory.publish_joint(inboxes, &topics, publisher, NOW, &message);
                published.unwrap().waiting
            })
        });
        for publisher in publishers {
            assert!(publisher.join().unwrap() <= 1);
        }
        comes.join().unwrap().work();
        for topic in ["/ a", "/ b", "/ c"] {
            assert!(server.directory.position(topic).offset >= 2);
        }
        assert_eq!(server.directory.records(), 0);
        server.assert_at_rest();
    });
}
