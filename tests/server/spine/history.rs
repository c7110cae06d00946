//! O3: a subscription amid publishes.

use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier};
use std::thread;

use sockeye::server::Handle;
use sockeye::server::topics::{
    History, HistoryEntry, HistoryLimits, MemoryHistory, Replay, TopicOptions,
};

use super::clients::{Client, DEADLINE, builder, gate, open_in_turn, publish, serve};

const SUBSCRIBERS: usize = 4;

/// What the publishers of a topic say: `handle 0`, `handle 1`, and so on, and the other's.
const PUBLISHERS: [&str; 2] = ["handle", "socket"];

/// What went wrong, of all that the subscribers should have heard.
#[derive(Debug, Default, PartialEq)]
struct Faults {
    missing: usize,
    repeated: usize,
    out_of_order: usize,
    /// Subscriptions that had any of it.
    subscriptions: usize,
}

impl Faults {
    /// `heard` should be each number of each publisher once, in its order.
    fn judge(&mut self, heard: &[String], each: usize) {
        let before = (self.missing, self.repeated, self.out_of_order);
        for publisher in PUBLISHERS {
            let numbers = heard.iter().filter_map(|it| it.split_once(' '));
            let numbers: Vec<usize> = numbers
                .filter(|(it, _)| *it == publisher)
                .map(|(_, number)| number.parse().unwrap())
                .collect();
            let mut seen = vec![0; each];
            numbers.iter().for_each(|it| seen[*it] += 1);
            self.missing += seen.iter().filter(|it| **it == 0).count();
            self.repeated += seen.iter().filter(|it| **it > 1).count();
            self.out_of_order += numbers.windows(2).filter(|it| it[0] > it[1]).count();
        }
        let after = (self.missing, self.repeated, self.out_of_order);
        self.subscriptions += usize::from(before != after);
    }
}

/// Clients subscribe to a topic while a thread and a connection publish to it `each` messages,
/// all of which its history holds; again for each of `topics` topics.
fn subscribe_amid_publishes(
    workers: usize,
    options: TopicOptions,
    topics: usize,
    each: usize,
) -> Faults {
    let published = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&published);
    let server = serve(
        builder(workers).topic("room/*", options),
        move |socket, text| match text.split_once(' ') {
            Some((topic, message)) => {
                socket.publish(topic, message);
                counted.fetch_add(1, Ordering::Relaxed);
            }
            None => _ = socket.send("done"),
        },
    );
    let handle = server.handle();
    let mut clients = open_in_turn(&server, workers, 1 + SUBSCRIBERS);
    let mut speaker = clients.remove(0);
    let mut faults = Faults::default();
    for round in 0..topics {
        let topic = &*format!("room/{round}");
        published.store(0, Ordering::Relaxed);
        let (together, published) = (&Barrier::new(2), &*published);
        let (tell, subscribed) = channel();
        let heard: Vec<_> = thread::scope(|scope| {
            let readers: Vec<_> = clients
                .iter_mut()
                .enumerate()
                .map(|(at, client)| {
                    // At any time of the two: from the first to the last message.
                    let at = (round * 7 + at * (2 * each / SUBSCRIBERS)) % (2 * each);
                    let tell = tell.clone();
                    scope.spawn(move || {
                        while published.load(Ordering::Relaxed) < at {
                            thread::yield_now();
                        }
                        subscribe(client, topic, handle, round % 2 == 0, &tell)
                    })
                })
                .collect();
            let by_handle = scope.spawn(move || {
                together.wait();
                for number in 0..each {
                    publish(handle, topic, &*format!("handle {number}"));
                    published.fetch_add(1, Ordering::Relaxed);
                }
            });
            let by_socket = scope.spawn(|| {
                together.wait();
                for number in 0..each {
                    speaker.peer.say(&format!("{topic} socket {number}"));
                }
                assert_eq!(speaker.peer.ask("done?"), "done");
            });
            by_handle.join().unwrap();
            by_socket.join().unwrap();
            for _ in 0..SUBSCRIBERS {
                subscribed.recv_timeout(DEADLINE).expect("all subscribe");
            }
            publish(handle, topic, "end");
            let readers = readers.into_iter();
            readers.map(|it| it.join().unwrap()).collect()
        });
        heard.iter().for_each(|it| faults.judge(it, each));
        for client in &clients {
            handle
                .topics("/chat")
                .unsubscribe(client.id, topic)
                .unwrap();
        }
    }
    faults
}

/// By the connection's own handler or by a handle; tells when that is done. What is heard.
fn subscribe(
    client: &mut Client,
    topic: &str,
    handle: &Handle,
    by_handle: bool,
    tell: &Sender<()>,
) -> Vec<String> {
    match by_handle {
        true => {
            handle.topics("/chat").subscribe(client.id, topic).unwrap();
            handle.send(client.id, "subscribed").unwrap();
        }
        false => client.peer.say(&format!("subscribe {topic}")),
    }
    let mut heard = client.hear_until("subscribed");
    tell.send(()).unwrap();
    heard.extend(client.hear_until("end"));
    heard
}

/// O3.
#[test]
fn who_subscribes_amid_publishes_gets_the_history_and_then_each_message_once() {
    let faults = [1, 2].map(|workers| {
        let options = TopicOptions::new().history(1_000);
        subscribe_amid_publishes(workers, options, 200, 50)
    });
    assert_eq!(faults, [Faults::default(), Faults::default()], "by workers");
}

/// In how many rounds of [`BLOCKED`] a client hears something else than each message once, of those
/// that are published around its subscription while its worker is blocked, and behind it; by who
/// subscribes it.
fn wrong_while_blocked(workers: usize) -> [usize; 2] {
    const EACH: usize = 10;
    let (gate, keeper) = gate();
    let options = TopicOptions::new().history(1_000);
    let builder = builder(workers).topic("room/*", options);
    let server = serve(builder, move |_, _| gate.wait());
    let handle = server.handle();
    let mut clients = open_in_turn(&server, workers, 3 * workers);
    // All on the last one's worker, but for one who is subscribed anyway.
    let mut bob = clients.pop().unwrap();
    let at = clients.iter().position(|it| it.worker == bob.worker);
    let mut sleeper = clients.remove(at.unwrap());
    let ann = &mut clients[0];
    let mut wrong = [0; 2];
    for round in 0..BLOCKED {
        let by_handle = round % 2 == 1;
        let topic = &*format!("room/{round}");
        let say = |numbers: Range<usize>| {
            for number in numbers {
                publish(handle, topic, &*number.to_string());
            }
        };
        ann.subscribe(topic);
        sleeper.peer.say("block");
        keeper.wait();
        if !by_handle {
            bob.peer.say(&format!("subscribe {topic}"));
        }
        say(0..EACH);
        if by_handle {
            handle.topics("/chat").subscribe(bob.id, topic).unwrap();
        }
        say(EACH..2 * EACH);
        keeper.open.send(()).unwrap();
        if by_handle {
            handle.send(bob.id, "subscribed").unwrap();
        }
        let mut heard = bob.hear_until("subscribed");
        say(2 * EACH..3 * EACH);
        publish(handle, topic, "end");
        heard.extend(bob.hear_until("end"));
        ann.hear_until("end");
        let expected = (0..3 * EACH).map(|it| it.to_string());
        wrong[usize::from(by_handle)] += usize::from(!heard.into_iter().eq(expected));
        for id in [ann.id, bob.id] {
            handle.topics("/chat").unsubscribe(id, topic).unwrap();
        }
    }
    wrong
}

const BLOCKED: usize = 200;

/// O3: what waits for the worker was published before the subscription, or behind it.
#[test]
fn who_subscribes_while_publishes_wait_for_its_worker_gets_each_of_them_once() {
    let wrong = [1, 2].map(wrong_while_blocked);
    let what = "by its handler, by a handle";
    assert_eq!(
        wrong,
        [[0; 2]; 2],
        "wrong of {}, by workers: {what}",
        BLOCKED / 2
    );
}

/// A store that takes its time.
struct Slow(MemoryHistory);

impl History for Slow {
    fn push(&self, topic: &str, entry: HistoryEntry) {
        let half = Duration::from_micros(500);
        thread::sleep(half);
        self.0.push(topic, entry);
        thread::sleep(half);
    }

    fn skip(&self, topic: &str, offset: u64) {
        self.0.skip(topic, offset);
    }

    fn recent(&self, topic: &str, limit: usize, now: Duration) -> Vec<HistoryEntry> {
        self.0.recent(topic, limit, now)
    }

    fn since(&self, topic: &str, offset: u64, now: Duration) -> Replay {
        self.0.since(topic, offset, now)
    }

    fn last(&self, topic: &str) -> u64 {
        self.0.last(topic)
    }

    fn epoch(&self) -> u64 {
        self.0.epoch()
    }
}

/// O3: also where the history takes a millisecond for each message.
#[test]
fn who_subscribes_while_a_slow_store_takes_messages_gets_each_of_them_once() {
    let faults = [1, 2].map(|workers| {
        let mut limits = HistoryLimits::default();
        limits.max_messages = 1_000;
        let store = Slow(MemoryHistory::new(limits));
        let options = TopicOptions::new().history_in(Arc::new(store), 1_000);
        subscribe_amid_publishes(workers, options, 40, 25)
    });
    assert_eq!(faults, [Faults::default(), Faults::default()], "by workers");
}
