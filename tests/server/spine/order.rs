//! O1: what one thread asks for by `Socket` and by `Handle` takes effect in the order of its calls.
//! O2: a topic has one order.

use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Barrier;
use std::thread;

use sockeye::proto::CloseCode;
use sockeye::server::topics::TopicOptions;
use sockeye::server::{ConnectionId, Socket};

use super::clients::{Client, builder, open_in_turn, publish, serve};
use harness::handshake::Seeded;
use harness::sansio::{CLOSE, close_payload};

const ROUNDS: usize = 200;

/// A handler's calls about another connection.
type Calls = fn(&mut Socket<'_, ()>, ConnectionId);

/// O1.
#[test]
fn a_thread_subscribes_a_connection_which_then_gets_what_it_publishes() {
    let missed = [1, 2].map(|workers| {
        let server = serve(builder(workers), |_, _| {});
        let handle = server.handle();
        let mut clients = open_in_turn(&server, workers, workers);
        let missed = (0..ROUNDS).filter(|round| {
            let bob = &mut clients[round % workers];
            let topic = format!("room {round}");
            handle.topics("/chat").subscribe(bob.id, &topic).unwrap();
            handle.topics("/chat").publish(&topic, "hello").unwrap();
            handle.topics("/chat").unsubscribe(bob.id, &topic).unwrap();
            handle.send(bob.id, "end").unwrap();
            bob.hear_until("end") != ["hello"]
        });
        missed.count()
    });
    assert_eq!(missed, [0; 2], "missed of {ROUNDS}, by workers");
}

/// Where bob is, who hears of what ann's handler does.
const PLACES: [&str; 3] = [
    "the only worker",
    "the same of two workers",
    "the other worker",
];

/// In how many rounds, by places, bob, who is subscribed to the room, doesn't hear what is
/// `expected` of ann's calls.
fn wrong(calls: Calls, expected: &[&str]) -> [usize; 3] {
    let of_place = |workers: usize, bob: usize| {
        let server = serve(builder(workers), move |socket, text| {
            calls(socket, ConnectionId::from_u64(text.parse().unwrap()));
            let _ = socket.send("done");
        });
        let mut clients = open_in_turn(&server, workers, 3);
        let mut bob = clients.remove(bob);
        let ann = &mut clients[0];
        let wrong = (0..ROUNDS).filter(|_| {
            bob.subscribe("room");
            assert_eq!(ann.peer.ask(&bob.id.to_u64().to_string()), "done");
            server
                .handle()
                .topics("/chat")
                .unsubscribe(bob.id, "room")
                .unwrap();
            server.handle().send(bob.id, "end").unwrap();
            bob.hear_until("end") != expected
        });
        wrong.count()
    };
    [of_place(1, 1), of_place(2, 2), of_place(2, 1)]
}

#[track_caller]
fn assert_right(calls: Calls, expected: &[&str]) {
    let wrong = wrong(calls, expected);
    assert_eq!(wrong, [0; 3], "wrong of {ROUNDS}, by {PLACES:?}");
}

/// O1.
#[test]
fn who_a_handler_unsubscribes_does_not_hear_what_it_publishes_then() {
    let calls: Calls = |socket, bob| {
        socket
            .handle()
            .topics("/chat")
            .unsubscribe(bob, "room")
            .unwrap();
        socket.publish("room", "too late");
    };
    assert_right(calls, &[]);
}

/// O1.
#[test]
fn who_a_handler_subscribes_hears_what_it_publishes_then() {
    let calls: Calls = |socket, bob| {
        socket
            .handle()
            .topics("/chat")
            .subscribe(bob, "other")
            .unwrap();
        socket.publish("other", "in time");
        socket
            .handle()
            .topics("/chat")
            .unsubscribe(bob, "other")
            .unwrap();
    };
    assert_right(calls, &["in time"]);
}

/// O1.
#[test]
fn what_a_handler_sends_by_the_handle_comes_before_what_it_publishes_then() {
    let calls: Calls = |socket, bob| {
        socket.handle().send(bob, "a").unwrap();
        socket.publish("room", "b");
    };
    assert_right(calls, &["a", "b"]);
}

/// O1: any mixture.
#[test]
fn a_handler_mixes_calls_and_another_connection_hears_them_in_their_order() {
    static SEED: AtomicU64 = AtomicU64::new(1);
    let calls: Calls = |socket, bob| {
        let handle = socket.handle();
        let mut subscribed = true;
        let mut heard = 0;
        let mut rng = Seeded(SEED.fetch_add(1, Ordering::Relaxed));
        for _ in 0..40 {
            let text = format!("{heard}");
            // What bob must not hear has no number of its own, and would be one too many.
            match rng.below(5) {
                0 => {
                    handle.topics("/chat").subscribe(bob, "room").unwrap();
                    subscribed = true;
                }
                1 => {
                    handle.topics("/chat").unsubscribe(bob, "room").unwrap();
                    subscribed = false;
                }
                2 => {
                    handle.send(bob, &*text).unwrap();
                    heard += 1;
                }
                3 => {
                    handle.topics("/chat").publish("room", &*text).unwrap();
                    heard += usize::from(subscribed);
                }
                _ => {
                    socket.publish("room", &*text);
                    heard += usize::from(subscribed);
                }
            }
        }
        for at in heard..40 {
            handle.send(bob, &*at.to_string()).unwrap();
        }
    };
    let numbers: Vec<String> = (0..40).map(|at| at.to_string()).collect();
    let numbers: Vec<&str> = numbers.iter().map(|it| &**it).collect();
    assert_right(calls, &numbers);
}

/// O1.
#[test]
fn who_a_handler_closes_hears_the_close_and_nothing_that_it_publishes_then() {
    let server = serve(builder(2), |socket, text| {
        let bob = ConnectionId::from_u64(text.parse().unwrap());
        let handle = socket.handle();
        handle.close(bob, CloseCode(4001), "enough").unwrap();
        socket.publish("room", "too late");
        let _ = socket.send("done");
    });
    let mut clients = open_in_turn(&server, 2, 1 + 2 * ROUNDS);
    let mut ann = clients.remove(0);
    let mut wrong = [0; 2];
    for mut bob in clients {
        bob.subscribe("room");
        assert_eq!(ann.peer.ask(&bob.id.to_u64().to_string()), "done");
        let mut frame = bob.peer.frame();
        if frame.opcode != CLOSE {
            wrong[usize::from(bob.worker != ann.worker)] += 1;
            frame = bob.peer.frame();
        }
        assert_eq!(frame.close_code(), Some(4001));
        bob.peer.send(CLOSE, close_payload(4001, b""));
        bob.peer.expect_eof();
    }
    assert_eq!(wrong, [0; 2], "wrong of {ROUNDS}: same worker, other");
}

/// O1.
#[test]
fn what_a_handler_sends_to_its_own_connection_by_the_handle_comes_before_what_it_sends_then() {
    let server = serve(builder(1), |socket, _| {
        socket.handle().send(socket.id(), "a").unwrap();
        let _ = socket.send("b");
    });
    let mut ann = Client::open(&server);
    let wrong = (0..ROUNDS).filter(|_| {
        ann.peer.say("do");
        ann.hear(2) != ["a", "b"]
    });
    assert_eq!(wrong.count(), 0, "wrong of {ROUNDS}");
}

/// O1: to itself, to a subscriber on its worker and to one on another.
#[test]
fn publishes_by_the_handle_and_by_the_socket_and_a_send_come_in_their_order() {
    let server = serve(builder(2), |socket, _| {
        socket
            .handle()
            .topics("/chat")
            .publish("room", "a")
            .unwrap();
        socket.publish_to_all("room", "b");
        let _ = socket.send("c");
    });
    let mut clients = open_in_turn(&server, 2, 3);
    for client in &mut clients {
        client.subscribe("room");
    }
    let mut wrong = [0; 3];
    for _ in 0..ROUNDS {
        clients[0].peer.say("do");
        for (at, client) in clients.iter_mut().enumerate() {
            let expected = match at {
                0 => &["a", "b", "c"][..],
                _ => &["a", "b"],
            };
            wrong[at] += usize::from(client.hear(expected.len()) != expected);
        }
    }
    let who = "the caller, one on another worker, one on the same";
    assert_eq!(wrong, [0; 3], "wrong of {ROUNDS}: {who}");
}

const EACH: usize = 300;
const TOPICS: usize = 20;

/// In how many topics, of which each has two speakers and two listeners, the listeners differ, and
/// a listener differs from the history.
fn differing(workers: usize) -> [usize; 2] {
    let options = TopicOptions::new().history(2 * EACH);
    let builder = builder(workers).topic("room/*", options);
    let server = serve(builder, |socket, text| {
        let (topic, text) = text.split_once(' ').unwrap();
        match text {
            "done?" => _ = socket.send("done"),
            _ => _ = socket.publish(topic, text),
        }
    });
    let mut clients = open_in_turn(&server, workers, 4);
    let (speakers, listeners) = clients.split_at_mut(2);
    let mut differing = [0; 2];
    for round in 0..TOPICS {
        let topic = format!("room/{round}");
        for listener in listeners.iter_mut() {
            listener.subscribe(&topic);
        }
        let together = Barrier::new(2);
        thread::scope(|scope| {
            for (at, speaker) in speakers.iter_mut().enumerate() {
                let (together, topic) = (&together, &topic);
                scope.spawn(move || {
                    together.wait();
                    for number in 0..EACH {
                        speaker.peer.say(&format!("{topic} {at} {number}"));
                    }
                    assert_eq!(speaker.peer.ask(&format!("{topic} done?")), "done");
                });
            }
        });
        let history = server.handle().topics("/chat").history(&topic, 2 * EACH);
        let history = history
            .iter()
            .map(|it| String::from_utf8(it.payload.to_vec()));
        let history: Vec<String> = history.map(Result::unwrap).collect();
        assert_eq!(history.len(), 2 * EACH);
        publish(server.handle(), &topic, "end");
        let [first, second] = [0, 1].map(|at| listeners[at].hear_until("end"));
        assert_eq!((first.len(), second.len()), (2 * EACH, 2 * EACH));
        differing[0] += usize::from(first != second);
        differing[1] += usize::from(first != history || second != history);
    }
    differing
}

/// O2: with two workers, each has a speaker and a listener.
#[test]
fn two_speakers_at_a_time_are_heard_in_one_order_which_is_the_history_s() {
    let differing = [1, 2].map(differing);
    let what = "listeners, listener and history";
    assert_eq!(differing, [[0; 2]; 2], "of {TOPICS}, by workers: {what}");
}
