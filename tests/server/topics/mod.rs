//! Topics, presence and history over several workers and real sockets: docs/cases.md D7, D13, E3.

mod joining;
mod joint;
mod namespaces;
mod observed;
mod publications;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::thread;

use harness::handshake::upgrade;
use harness::net::{Peer, Running, observing, patient, wait_for_ends};
use sockeye::proto::Message;
use sockeye::server::topics::{
    Join, Position, PresenceChange, Publication, SubscribeError, Subscriber, TopicLimits,
    TopicOptions,
};
use sockeye::server::{Builder, ConnectionId, End, HandleError, Handler, Server, Socket};

/// Does what it is told by text messages, answers each with what came of it, and sends what it
/// is told of subscriptions.
struct Verbs;

impl Handler for Verbs {
    type State = ();

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        let text = message.as_text().expect("text").to_owned();
        let words: Vec<&str> = text.splitn(3, ' ').collect();
        let counts = |it: sockeye::server::topics::Published| {
            let refused = it.refused.map(|it| format!(" {it:?}")).unwrap_or_default();
            format!(
                "{}/{}/{}{refused}",
                it.sent + it.waiting,
                it.queued,
                it.dropped
            )
        };
        let answer = match *words {
            ["sub", topic] => format!("{:?}", socket.subscribe(topic).map(|it| it.count)),
            ["unsub", topic] => socket.unsubscribe(topic).to_string(),
            ["topics"] => socket.topics().collect::<Vec<_>>().join(" "),
            ["others", topic, text] => counts(socket.publish(topic, text)),
            ["all", topic, text] => counts(socket.publish_to_all(topic, text)),
            ["to", topics, text] => {
                let topics: Vec<&str> = topics.split(',').collect();
                counts(socket.publish_to(&topics, text))
            }
            ["by_handle", topics, text] => {
                let topics: Vec<&str> = topics.split(',').collect();
                let all = socket.handle().topics("/chat");
                let published = all.publish_to(&topics, text);
                format!("{:?}", published.map(|it| it.position))
            }
            ["others_but", topic, rest] => counts(socket.publish(topic, but(rest))),
            ["all_but", topic, rest] => counts(socket.publish_to_all(topic, but(rest))),
            ["enter", topic, user] => enter(socket, topic, user),
            ["since", topic, position] => since(socket, topic, position),
            ["position", topic] => format!("{:?}", socket.handle().topics("/chat").position(topic)),
            ["three", topic, text] => {
                let _ = socket.send("first");
                socket.publish_to_all(topic, text);
                "last".into()
            }
            ["join", topic, user] => match socket.join_presence(topic, user, "data", |_| None) {
                Ok(change) => name(&change).into(),
                Err(error) => format!("{error:?}"),
            },
            ["arrive", topic, user] => {
                let announce = |change: &PresenceChange| match change {
                    PresenceChange::Joined(it) => {
                        let text = format!("{} is here", it.user);
                        Some(Publication::new(text).not_kept())
                    }
                    _ => None,
                };
                let change = socket.join_presence(topic, user, "", announce);
                change.map_or_else(|it| format!("{it:?}"), |it| name(&it).into())
            }
            ["user", user] => format!("{:?}", socket.set_user(user)),
            ["leave", topic] => name(&socket.leave_presence(topic, |_| None)).into(),
            ["id"] => socket.id().to_u64().to_string(),
            _ => panic!("{text:?}"),
        };
        let _ = socket.send(&*answer);
    }

    fn on_subscribe(
        &self,
        socket: &mut Socket<'_, ()>,
        topic: &str,
        count: Result<usize, SubscribeError>,
    ) {
        let _ = socket.send(&*format!("+{topic} {count:?}"));
    }

    fn on_unsubscribe(&self, socket: &mut Socket<'_, ()>, topic: &str, count: usize) {
        let _ = socket.send(&*format!("-{topic} {count}"));
    }

    /// What the close of a presence's last member announces, as applications do.
    fn on_close(&self, socket: &mut Socket<'_, ()>, _: &End) {
        socket.leave_presence("announced", |change| match change {
            PresenceChange::Left(member) => Some(format!("{} left", member.user).into()),
            _ => None,
        });
    }
}

/// Joins a topic as a user: what was said, who is there, how many subscribe, and whether that is
/// complete.
fn enter(socket: &mut Socket<'_, ()>, topic: &str, user: &str) -> String {
    let join = Join::new()
        .user(user, "data")
        .announce(|change| match change {
            PresenceChange::Joined(member) => Some(format!("{} joined", member.user).into()),
            _ => None,
        });
    let joined = match socket.join(topic, join) {
        Ok(joined) => joined,
        Err(error) => return format!("{error:?}"),
    };
    let entries = joined.replay.entries.iter();
    let texts: Vec<_> = entries
        .map(|it| String::from_utf8_lossy(&it.payload))
        .collect();
    let members: Vec<_> = joined.members.iter().map(|it| &*it.user).collect();
    let (texts, members) = (texts.join(" "), members.join(" "));
    format!(
        "{texts} | {members} | {} | {}",
        joined.count, joined.replay.complete
    )
}

/// Subscribes since a position; says whether that is complete.
fn since(socket: &mut Socket<'_, ()>, topic: &str, position: &str) -> String {
    let (epoch, offset) = position.split_once(' ').expect("an epoch and an offset");
    let number = |it: &str| it.parse().expect("a number");
    let (epoch, offset) = (number(epoch), number(offset));
    let subscribed = socket.subscribe_since(topic, Position { epoch, offset });
    subscribed.map_or_else(|it| format!("{it:?}"), |it| it.complete.to_string())
}

/// A text for all but a connection, from its id and the text.
fn but(words: &str) -> Publication<'_> {
    let (id, text) = words.split_once(' ').expect("an id and a text");
    Publication::new(text).except(ConnectionId::from_u64(id.parse().expect("an id")))
}

/// How many a message of the handle's is on its way to.
fn published(server: &Running, topic: &str, text: &str) -> Result<usize, HandleError> {
    let published = server.handle().topics("/chat").publish(topic, text);
    published.map(|it| it.waiting)
}

fn name(change: &PresenceChange) -> &'static str {
    match change {
        PresenceChange::None => "none",
        PresenceChange::Joined(_) => "joined",
        PresenceChange::Updated(_) => "updated",
        PresenceChange::Left(_) => "left",
    }
}

fn serve_with(workers: usize, change: impl FnOnce(Builder) -> Builder) -> Running {
    let builder = Server::builder()
        .workers(NonZeroUsize::new(workers).unwrap())
        .config(patient())
        .route("/chat", Verbs);
    Running::start(change(builder))
}

fn serve(workers: usize) -> Running {
    serve_with(workers, |it| it)
}

fn open<const N: usize>(server: &Running) -> [Peer; N] {
    core::array::from_fn(|_| server.open())
}

fn open_at(server: &Running, path: &str) -> Peer {
    let mut peer = server.connect();
    peer.upgrade(&upgrade().target(path));
    peer
}

/// Subscribes; checks that this is its answer and that the event says the same.
#[track_caller]
fn subscribe(peer: &mut Peer, topic: &str, count: usize) {
    assert_eq!(peer.ask(&format!("sub {topic}")), format!("Ok({count})"));
    assert_eq!(peer.hear(), format!("+{topic} Ok({count})"));
}

#[track_caller]
fn unsubscribe(peer: &mut Peer, topic: &str, left: usize) {
    assert_eq!(peer.ask(&format!("unsub {topic}")), "true");
    assert_eq!(peer.hear(), format!("-{topic} {left}"));
}

fn id(peer: &mut Peer) -> ConnectionId {
    ConnectionId::from_u64(peer.ask("id").parse().unwrap())
}

#[test]
fn subscriptions_are_counted_over_all_workers_and_empty_topics_vanish() {
    let server = serve(2);
    let handle = server.handle();
    let mut peers: [Peer; 4] = open(&server);
    for (peer, count) in peers.iter_mut().zip(1..) {
        subscribe(peer, "a", count);
    }
    subscribe(&mut peers[0], "b", 1);
    assert_eq!(peers[0].ask("topics"), "a b");
    // Asking again changes nothing, and is no event.
    assert_eq!(peers[0].ask("sub a"), "Ok(4)");
    assert_eq!(peers[0].ask("unsub none"), "false");
    let ids: BTreeSet<_> = peers.iter_mut().map(id).collect();
    assert_eq!(
        handle
            .topics("/chat")
            .subscribers("a")
            .into_iter()
            .collect::<BTreeSet<_>>(),
        ids
    );
    let mut topics = handle.topics("/chat").list();
    topics.sort();
    assert_eq!(topics, [("a".into(), 4), ("b".into(), 1)]);
    let stats = handle.stats();
    assert_eq!((stats.topics, stats.subscriptions), (2, 5));
    unsubscribe(&mut peers[0], "b", 0);
    for (peer, left) in peers.iter_mut().zip((0..4).rev()) {
        unsubscribe(peer, "a", left);
    }
    assert_eq!(
        (
            handle.topics("/chat").list(),
            handle.topics("/chat").subscriber_count("a")
        ),
        (Vec::new(), 0)
    );
    assert_eq!(peers[0].ask("all a nobody"), "0/0/0");
}

#[test]
fn a_publish_reaches_the_others_or_all_and_says_how_many() {
    let server = serve(2);
    // Two on each worker, the first and the third on the same.
    let mut peers: [Peer; 4] = open(&server);
    for (peer, count) in peers.iter_mut().zip(1..) {
        subscribe(peer, "a", count);
    }
    let mut outsider = server.open();
    assert_eq!(peers[0].ask("others a one"), "3/0/0");
    for peer in &mut peers[1..] {
        assert_eq!(peer.hear(), "one");
    }
    // The own copy comes in the order of the calls: before the answer.
    assert_eq!(peers[0].ask("all a two"), "two");
    assert_eq!(peers[0].hear(), "4/0/0");
    for peer in &mut peers[1..] {
        assert_eq!(peer.hear(), "two");
    }
    // Who isn't subscribed may publish, and has no copy.
    assert_eq!(outsider.ask("all a three"), "4/0/0");
    assert_eq!(outsider.ask("others a four"), "4/0/0");
    for peer in &mut peers {
        assert_eq!((&*peer.hear(), &*peer.hear()), ("three", "four"));
    }
    assert_eq!(published(&server, "a", "five"), Ok(4));
    assert_eq!(published(&server, "b", "nobody"), Ok(0));
    for peer in &mut peers {
        assert_eq!(peer.hear(), "five");
        peer.settle();
    }
}

#[test]
fn what_is_sent_and_published_to_oneself_arrives_in_the_order_of_the_calls() {
    let server = serve(1);
    let [mut peer] = open(&server);
    subscribe(&mut peer, "a", 1);
    for at in 0..100 {
        peer.say(&format!("three a {at}"));
    }
    for at in 0..100 {
        assert_eq!(peer.hear(), "first");
        assert_eq!(peer.hear(), at.to_string());
        assert_eq!(peer.hear(), "last");
    }
}

/// Each publisher's messages arrive in its order, on its own worker and on others, published by
/// handlers and by threads.
#[test]
fn across_workers_each_publishers_messages_arrive_in_its_order() {
    const COUNT: usize = 300;
    let server = serve(3);
    let mut subscribers: [Peer; 3] = open(&server);
    for (peer, count) in subscribers.iter_mut().zip(1..) {
        subscribe(peer, "a", count);
    }
    let publishers: [Peer; 3] = open(&server);
    thread::scope(|scope| {
        for (number, mut publisher) in publishers.into_iter().enumerate() {
            scope.spawn(move || {
                for at in 0..COUNT {
                    publisher.say(&format!("others a {number} {at}"));
                }
                for _ in 0..COUNT {
                    assert_eq!(publisher.hear(), "3/0/0");
                }
            });
        }
        let handle = server.handle();
        scope.spawn(move || {
            for at in 0..COUNT {
                assert_eq!(
                    handle
                        .topics("/chat")
                        .publish("a", &*format!("3 {at}"))
                        .unwrap()
                        .waiting,
                    3
                );
            }
        });
        for peer in &mut subscribers {
            let mut next = [0; 4];
            for _ in 0..4 * COUNT {
                let text = peer.hear();
                let (number, at) = text.split_once(' ').unwrap();
                let next = &mut next[number.parse::<usize>().unwrap()];
                assert_eq!(at.parse(), Ok(*next));
                *next += 1;
            }
        }
    });
}

#[test]
fn a_handle_subscribes_and_unsubscribes_and_the_handler_is_told() {
    let server = serve_with(2, |it| {
        let closed = |_: &Subscriber<'_>, _: &str| Err("not for you".into());
        it.topic("closed", TopicOptions::new().guard(closed))
    });
    let handle = server.handle();
    let mut peers: [Peer; 2] = open(&server);
    for (peer, count) in peers.iter_mut().zip(1..) {
        let id = id(peer);
        handle.topics("/chat").subscribe(id, "a").unwrap();
        assert_eq!(peer.hear(), format!("+a Ok({count})"));
        handle.topics("/chat").subscribe(id, "closed").unwrap();
        assert_eq!(peer.hear(), "+closed Err(Refused(\"not for you\"))");
    }
    assert_eq!(published(&server, "a", "hello"), Ok(2));
    for (peer, left) in peers.iter_mut().zip([1, 0]) {
        assert_eq!(peer.hear(), "hello");
        handle.topics("/chat").unsubscribe(id(peer), "a").unwrap();
        assert_eq!(peer.hear(), format!("-a {left}"));
    }
    assert_eq!(handle.topics("/chat").list(), []);
}

/// D13.
#[test]
fn each_limit_of_topics_refuses_and_the_connection_goes_on() {
    let mut limits = TopicLimits::default();
    limits.max_name = 5;
    limits.max_per_connection = 3;
    limits.max_topics = 4;
    limits.max_subscribers = 2;
    let server = serve_with(2, |it| it.topic_limits(limits));
    let mut peers: [Peer; 3] = open(&server);
    let [first, second, third] = &mut peers;
    for name in [String::new(), "x".repeat(6), "x".repeat(1 << 19)] {
        assert_eq!(first.ask(&format!("sub {name}")), "Err(Name)");
    }
    for topic in ["a", "b", "\0\u{1F980}"] {
        subscribe(first, topic, 1);
    }
    assert_eq!(first.ask("sub c"), "Err(ConnectionFull)");
    subscribe(second, "a", 2);
    subscribe(second, "d", 1);
    assert_eq!(second.ask("sub e"), "Err(TooManyTopics)");
    assert_eq!(third.ask("sub a"), "Err(TopicFull)");
    assert_eq!(third.ask("topics"), "");
    // A place that is given up is free, over the workers.
    unsubscribe(first, "a", 1);
    subscribe(third, "a", 2);
    unsubscribe(second, "d", 0);
    subscribe(third, "e", 1);
    let stats = server.handle().stats();
    assert_eq!((stats.topics, stats.subscriptions), (4, 5));
}

/// D13: a guard sees who asks for what, of its pattern only.
#[test]
fn a_guard_refuses_what_its_pattern_names() {
    let server = serve_with(1, |it| {
        let guard = |_: &Subscriber<'_>, topic: &str| match topic.ends_with("/open") {
            true => Ok(()),
            false => Err(format!("no {topic}").into()),
        };
        it.topic("rooms/*", TopicOptions::new().guard(guard))
    });
    let [mut peer] = open(&server);
    subscribe(&mut peer, "rooms/open", 1);
    subscribe(&mut peer, "elsewhere", 1);
    assert_eq!(peer.ask("sub rooms/x"), "Err(Refused(\"no rooms/x\"))");
    assert_eq!(
        server.handle().topics("/chat").subscriber_count("rooms/x"),
        0
    );
}

#[test]
fn a_guard_sees_the_connection_that_asks_and_the_one_that_a_handle_asks_for() {
    let seen = |who: &Subscriber<'_>, topic: &str| {
        let target = who.request().map(|it| &*it.target);
        let (id, user, ip) = (who.id().to_u64(), who.user(), who.client_ip());
        let text = format!(
            "{topic} {id} {user:?} {ip} {target:?} {:?}",
            who.subprotocol()
        );
        Err(text.into())
    };
    for keeps in [false, true] {
        let server = serve_with(2, |it| {
            let it = it.topic("a", TopicOptions::new().guard(seen));
            let it = it.subprotocols(["one"]);
            if keeps { it.keep_request() } else { it }
        });
        for user in [None, Some("ann")] {
            let mut peer = server.connect();
            peer.upgrade(&upgrade().add("Sec-WebSocket-Protocol", "one"));
            let id = id(&mut peer);
            if let Some(user) = user {
                assert_eq!(peer.ask(&format!("user {user}")), "Ok(())");
            }
            let target = keeps.then_some("/chat");
            let number = id.to_u64();
            let text = format!("a {number} {user:?} 127.0.0.1 {target:?} {:?}", Some("one"));
            let refused = format!("Err({:?})", SubscribeError::Refused(text.into()));
            assert_eq!(peer.ask("sub a"), refused);
            server.handle().topics("/chat").subscribe(id, "a").unwrap();
            assert_eq!(peer.hear(), format!("+a {refused}"));
        }
    }
}

#[test]
fn a_new_subscriber_is_sent_the_topics_history_oldest_first() {
    let server = serve_with(2, |it| it.topic("log/*", TopicOptions::new().history(3)));
    let handle = server.handle();
    let [mut writer, mut reader] = open(&server);
    for text in ["one", "two", "three"] {
        assert_eq!(writer.ask(&format!("others log/a {text}")), "0/0/0");
    }
    // Nobody is there, and it is kept.
    assert_eq!(published(&server, "log/a", "four"), Ok(0));
    assert_eq!(published(&server, "log/b", "other"), Ok(0));
    let kept = handle.topics("/chat").history("log/a", 2);
    assert!(
        kept.iter()
            .map(|it| &*it.payload)
            .eq([b"three".as_slice(), b"four"])
    );
    reader.say("sub log/a");
    for text in ["two", "three", "four", "Ok(1)", "+log/a Ok(1)"] {
        assert_eq!(reader.hear(), text);
    }
    handle
        .topics("/chat")
        .subscribe(id(&mut writer), "log/b")
        .unwrap();
    assert_eq!(writer.hear(), "other");
    assert_eq!(writer.hear(), "+log/b Ok(1)");
    assert_eq!(writer.ask("others log/a five"), "1/0/0");
    assert_eq!(reader.hear(), "five");
}

/// D7.
#[test]
fn a_reader_that_is_behind_gets_the_latest_of_each_conflated_topic_only() {
    const COUNT: usize = 200;
    let server = serve_with(1, |it| it.topic("price/*", TopicOptions::new().conflate()));
    let handle = server.handle();
    let [mut slow, mut other] = open(&server);
    for (topic, count) in [("price/a", 1), ("price/b", 1), ("chat", 1)] {
        subscribe(&mut slow, topic, count);
    }
    subscribe(&mut other, "chat", 2);
    // More than the sockets take: what comes now waits.
    let large = vec![0; 15 << 20];
    handle.topics("/chat").publish("chat", &large).unwrap();
    other.expect(harness::sansio::BINARY, &large);
    for at in 0..COUNT {
        for topic in ["price/a", "price/b", "chat"] {
            handle
                .topics("/chat")
                .publish(topic, &*format!("{topic} {at}"))
                .unwrap();
        }
        assert_eq!(other.hear(), format!("chat {at}"));
    }
    slow.expect(harness::sansio::BINARY, &large);
    let mut last = Vec::new();
    let mut prices = 0;
    while last.len() < COUNT {
        let text = slow.hear();
        match text.starts_with("chat") {
            true => last.push(text),
            false => prices += 1,
        }
    }
    assert!(
        last.iter()
            .zip(0..)
            .all(|(text, at)| *text == format!("chat {at}"))
    );
    // Of each topic only the newest waited; it comes before what followed it.
    assert_eq!(prices, 2);
    slow.settle();
}

#[test]
fn a_user_is_present_from_the_first_join_to_the_last_leave() {
    let (observing, observed) = observing();
    let server = serve_with(2, |it| it.observer(observing));
    let handle = server.handle();
    let [mut tab, mut phone, mut bob] = open(&server);
    assert_eq!(tab.ask("join room ann"), "joined");
    assert_eq!(phone.ask("join room ann"), "none");
    assert_eq!(bob.ask("join room bob"), "joined");
    assert_eq!(bob.ask("join room eve"), "OtherUser");
    let users = || -> Vec<String> {
        let members = handle.topics("/chat").presence_members("room").into_iter();
        members.map(|it| it.user.to_string()).collect()
    };
    assert_eq!(users(), ["ann", "bob"]);
    assert_eq!(tab.ask("leave room"), "none");
    assert_eq!(tab.ask("leave room"), "none");
    assert_eq!(users(), ["ann", "bob"]);
    assert_eq!(bob.ask("leave room"), "left");
    assert_eq!(users(), ["ann"]);
    // The last connection leaves by its end.
    phone.close();
    wait_for_ends(&observed, 1);
    assert_eq!(users(), [""; 0]);
}

#[test]
fn a_handler_announces_in_on_close_that_a_user_left() {
    let server = serve(2);
    let [mut tab, mut phone, mut bob] = open(&server);
    subscribe(&mut bob, "announced", 1);
    assert_eq!(tab.ask("join announced ann"), "joined");
    assert_eq!(phone.ask("join announced ann"), "none");
    tab.close();
    phone.close();
    assert_eq!(bob.hear(), "ann left");
    bob.settle();
    assert!(
        server
            .handle()
            .topics("/chat")
            .presence_members("announced")
            .is_empty()
    );
}

/// D13: what a disconnect leaves behind is nothing.
#[test]
fn the_subscriptions_of_a_thousand_connections_are_freed_when_they_end() {
    const ROUNDS: usize = 10;
    let (observing, observed) = observing();
    let server = serve_with(2, |it| it.observer(observing));
    for round in 0..ROUNDS {
        let mut peers: [Peer; 100] = open(&server);
        for (at, peer) in peers.iter_mut().enumerate() {
            for topic in [format!("own/{at}"), "shared".into()] {
                peer.say(&format!("sub {topic}"));
            }
            peer.say("join room ann");
        }
        for peer in &mut peers {
            // Two answers, two events and the last answer.
            let last = core::iter::repeat_with(|| peer.hear()).take(5).last();
            assert!(matches!(last.as_deref(), Some("joined" | "none")));
        }
        assert_eq!(server.handle().topics("/chat").list().len(), 101);
        assert_eq!(
            server.handle().topics("/chat").subscriber_count("shared"),
            100
        );
        // Some close, the others' transports end.
        for (at, peer) in peers.into_iter().enumerate() {
            if at % 4 == round % 4 {
                peer.close();
            }
        }
        wait_for_ends(&observed, 100);
        assert_eq!(server.handle().topics("/chat").list(), []);
        let stats = server.handle().stats();
        assert_eq!(
            (stats.topics, stats.subscriptions, stats.connections),
            (0, 0, 0)
        );
        assert!(
            server
                .handle()
                .topics("/chat")
                .presence_members("room")
                .is_empty()
        );
    }
    assert_eq!(
        server.handle().stats().connections_opened,
        100 * ROUNDS as u64
    );
}
