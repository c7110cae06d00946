//! Which topics there are, as observers are told; and topics in numbers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use sockeye::server::observe::{Observer, TopicChange, TopicEvent};
use sockeye::server::topics::TopicStats;
use sockeye::server::{Handle, Route};

use super::*;

/// Notes what it is told, and asks the handle about it.
#[derive(Clone, Default)]
struct Watch {
    handle: Arc<OnceLock<Handle>>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Observer for Watch {
    fn on_topic(&self, topic: &TopicEvent<'_>) {
        let TopicEvent {
            namespace,
            name,
            change,
            ..
        } = *topic;
        let handle = self.handle.get().expect("the server runs");
        let topics = handle.topics(namespace);
        let count = topics.subscriber_count(name);
        let listed = topics.stats(10).iter().any(|it| it.name == name);
        topics.publish("events", name).expect("there is room");
        // Of a topic that is out of use it may be a greater one: its offsets go on above others'.
        _ = topics.position(name);
        let mut told = self.told.lock().unwrap();
        told.push(format!("{namespace} {name} {change:?} {count} {listed}"));
    }
}

/// Panics whenever it is told.
struct Panics(Arc<AtomicUsize>);

impl Observer for Panics {
    fn on_topic(&self, _: &TopicEvent<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("on purpose");
    }
}

fn watched(change: impl FnOnce(Builder) -> Builder) -> (Running, Watch) {
    let watch = Watch::default();
    let server = serve_with(2, |it| change(it.observer(watch.clone())));
    watch.handle.set(server.handle().clone()).ok().unwrap();
    (server, watch)
}

#[test]
fn observers_are_told_of_first_and_last_subscribers_and_may_ask_and_panic() {
    let panics = Arc::new(AtomicUsize::new(0));
    let (server, watch) = watched(|it| {
        it.observer(Panics(Arc::clone(&panics)))
            .add_route(Route::new("/desk", Verbs))
    });
    let told = |expected: &[&str]| {
        assert_eq!(*watch.told.lock().unwrap(), expected);
        watch.told.lock().unwrap().clear();
    };
    // On two workers.
    let [mut ann, mut bob] = open(&server);
    subscribe(&mut ann, "a", 1);
    told(&["/chat a Appeared 1 true"]);
    subscribe(&mut bob, "a", 2);
    assert_eq!(ann.ask("sub a"), "Ok(2)");
    unsubscribe(&mut ann, "a", 1);
    told(&[]);
    unsubscribe(&mut bob, "a", 0);
    assert_eq!(bob.ask("unsub a"), "false");
    told(&["/chat a Emptied 0 false"]);
    // By joining, by a handle, and by the end of the connection.
    assert_eq!(ann.ask("enter a ann"), " | ann | 1 | true");
    assert_eq!(ann.hear(), "+a Ok(1)");
    let ann_id = id(&mut ann);
    server
        .handle()
        .topics("/chat")
        .subscribe(ann_id, "b c")
        .unwrap();
    assert_eq!(ann.hear(), "+b c Ok(1)");
    told(&["/chat a Appeared 1 true", "/chat b c Appeared 1 true"]);
    drop(ann);
    patient_until(|| watch.told.lock().unwrap().len() == 2);
    watch.told.lock().unwrap().sort();
    told(&["/chat a Emptied 0 false", "/chat b c Emptied 0 false"]);
    // A publication without subscribers is no event; a topic of another namespace is another.
    assert_eq!(published(&server, "a", "nobody"), Ok(0));
    let mut desk = open_at(&server, "/desk");
    subscribe(&mut desk, "a", 1);
    told(&["/desk a Appeared 1 true"]);
    // The worker of the panics still serves.
    subscribe(&mut bob, "a", 1);
    told(&["/chat a Appeared 1 true"]);
    assert_eq!(panics.load(Ordering::Relaxed), 8);
}

fn patient_until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

/// Notes the changes of each topic.
#[derive(Clone, Default)]
struct Changes(Arc<Mutex<BTreeMap<String, Vec<TopicChange>>>>);

impl Observer for Changes {
    fn on_topic(&self, topic: &TopicEvent<'_>) {
        // What is decided next may overtake the one that isn't held back.
        thread::yield_now();
        let mut changes = self.0.lock().unwrap();
        let all = changes.entry(topic.name.into()).or_default();
        all.push(topic.change);
    }
}

#[test]
fn what_appears_and_what_is_emptied_alternates_while_workers_come_and_go() {
    const ROUNDS: usize = 500;
    let changes = Changes::default();
    let server = serve_with(2, |it| it.observer(changes.clone()));
    let peers: [Peer; 4] = open(&server);
    thread::scope(|scope| {
        for (at, mut peer) in peers.into_iter().enumerate() {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let topic = ["a", "b"][(round + at) % 2];
                    assert!(peer.ask(&format!("sub {topic}")).starts_with("Ok("));
                    assert!(peer.hear().starts_with('+'));
                    assert_eq!(peer.ask(&format!("unsub {topic}")), "true");
                    assert!(peer.hear().starts_with('-'));
                }
            });
        }
    });
    assert_eq!(server.handle().stats().topics, 0);
    let changes = changes.0.lock().unwrap();
    assert!(changes.keys().eq(["a", "b"]));
    for (topic, changes) in &*changes {
        let both = [TopicChange::Appeared, TopicChange::Emptied];
        let (pairs, rest) = changes.as_chunks::<2>();
        assert!(pairs.iter().all(|it| *it == both), "{topic}: {changes:?}");
        assert_eq!(rest, []);
    }
}

#[test]
fn topics_are_told_in_numbers_the_largest_first_and_all_publications_counted() {
    let server = serve_with(2, |it| it.add_route(Route::new("/desk", Verbs)));
    let handle = server.handle();
    let topics = handle.topics("/chat");
    let mut peers: [Peer; 3] = open(&server);
    let mut desk = open_at(&server, "/desk");
    for (peer, count) in peers.iter_mut().zip(1..) {
        subscribe(peer, "large", count);
    }
    subscribe(&mut peers[0], "small", 1);
    subscribe(&mut desk, "other", 1);
    // By a subscriber, by somebody else, by a handle; with and without subscribers.
    assert_eq!(peers[0].ask("others large four"), "2/0/0");
    let [mut outsider] = open(&server);
    assert_eq!(outsider.ask("all large four"), "3/0/0");
    assert_eq!(published(&server, "large", "seventy"), Ok(3));
    assert_eq!(desk.ask("others other é"), "0/0/0");
    assert_eq!(published(&server, "nobody", "123"), Ok(0));
    let numbers = |all: Vec<TopicStats>| -> Vec<_> {
        let numbers = all.into_iter().map(|it| {
            let name = format!("{} {}", it.namespace, it.name);
            (name, it.subscribers, it.messages, it.bytes)
        });
        numbers.collect()
    };
    let large = ("/chat large".into(), 3, 3, 15);
    let small = ("/chat small".into(), 1, 0, 0);
    let other = ("/desk other".into(), 1, 1, 2);
    let all = [large, other, small].to_vec();
    for limit in 0..5 {
        let most = &all[..limit.min(3)];
        assert_eq!(numbers(handle.topic_stats(limit)), most);
    }
    let own = [all[0].clone(), all[2].clone()];
    assert_eq!(numbers(topics.stats(10)), own);
    assert_eq!(numbers(topics.stats(1)), own[..1]);
    let stats = handle.stats();
    let published = (stats.messages_published, stats.bytes_published);
    assert_eq!(published, (5, 20));
    assert_eq!(stats.largest_topics, []);
    for heard in ["four", "seventy"] {
        assert_eq!(peers[0].hear(), heard);
    }
    // They begin anew with the topic.
    unsubscribe(&mut peers[0], "small", 0);
    assert_eq!(numbers(topics.stats(10)), own[..1]);
}
