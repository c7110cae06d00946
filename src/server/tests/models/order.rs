//! Each topic has one order, and a subscription its place in it.

use std::collections::BTreeMap;
use std::format;

use super::*;
use crate::server::Server as Real;
use crate::server::topics::PresenceChange;

#[test]
fn subscribers_hear_each_message_once_in_the_order_of_the_offsets_that_publishers_were_told() {
    check(|| {
        let server = Server::new(&[ROOM, ROOM], TopicOptions::new());
        let (mut first, mut second) = (server.worker(0), server.worker(1));
        first.subscribe(TOPIC, Token(1));
        second.subscribe(TOPIC, Token(1));
        let publishers = ["a", "b"].map(|name| {
            spawn(&server, move |server| {
                let publish = |at| {
                    let text = format!("{name}{at}");
                    (server.publish(&text).unwrap(), text)
                };
                [0, 1].map(publish)
            })
        });
        // The first one's handlers publish, too.
        let first = thread::spawn(move || {
            first.inbox().own_thread();
            let mut told = Vec::new();
            for text in ["w0", "w1"] {
                told.push((first.publish(text), text.into()));
                first.work();
            }
            (first.run_until(6), told)
        });
        let second = thread::spawn(|| second.run_until(6));
        let told = publishers.map(|it| it.join().unwrap());
        let (first, own) = first.join().unwrap();
        for told in told.iter().map(|it| &it[..]).chain([&own[..]]) {
            assert!(told.is_sorted(), "{told:?}");
        }
        let all: BTreeMap<u64, String> = told.into_iter().flatten().chain(own).collect();
        let all: Vec<(u64, String)> = all.into_iter().collect();
        assert_eq!(first[&Token(1)], all);
        assert_eq!(second.join().unwrap()[&Token(1)], all);
        server.assert_at_rest();
    });
}

/// Two publishers, and a third thread that subscribes a connection of the one worker. Another
/// subscriber may be there before.
fn subscribes_amid_publishes(options: TopicOptions, others: bool) -> (u64, Vec<u64>, Vec<u64>) {
    let server = Server::new(&[ROOM], options);
    let mut worker = server.worker(0);
    if others {
        worker.subscribe(TOPIC, Token(2));
    }
    let id = worker.id(Token(1));
    let worker = worker.spawn();
    let publishers = ["a", "b"].map(|name| {
        spawn(&server, move |server| {
            [0, 1].map(|_| server.publish(name).unwrap())
        })
    });
    let inbox = Arc::clone(&server.inboxes[0]);
    let begin = spawn(&server, move |server| {
        server.directory.begin(TOPIC, id, &inbox, NOW).unwrap()
    });
    let mut all = publishers.map(|it| it.join().unwrap()).concat();
    all.sort();
    let position = begin.join().unwrap();
    server.end();
    let heard = worker.join().unwrap();
    if others {
        assert_eq!(offsets(&heard, 2), all);
    }
    server.assert_at_rest();
    (position.offset, all, offsets(&heard, 1))
}

#[test]
fn a_subscription_of_another_thread_hears_all_behind_its_position_once_and_nothing_before() {
    for others in [false, true] {
        check(move || {
            let (position, mut all, heard) = subscribes_amid_publishes(TopicOptions::new(), others);
            all.retain(|it| *it > position);
            assert_eq!(heard, all, "behind {position}");
        });
    }
}

#[test]
fn what_was_kept_and_what_follows_are_all_messages_without_gap_or_repeat() {
    for others in [false, true] {
        check(move || {
            let options = TopicOptions::new().history(10);
            let (_, all, heard) = subscribes_amid_publishes(options, others);
            assert_eq!(heard, all);
        });
    }
}

#[test]
fn who_comes_and_goes_is_announced_in_the_order_in_which_it_was_decided() {
    check(|| {
        let shared = Real::builder().parts(Vec::from([None])).unwrap().shared;
        let said = Arc::new(Mutex::new(Vec::new()));
        // One user, with three connections.
        let threads = [1, 2, 3].map(|token| {
            let (shared, said) = (Arc::clone(&shared), Arc::clone(&said));
            thread::spawn(move || {
                let id = ConnectionId::new(0, Token(token));
                let tell = |change: &PresenceChange| lock(&said).push(change.clone());
                let data = format!("{token}");
                shared.join(TOPIC, id, "user", &data, tell).unwrap();
                match token {
                    3 => shared.update(TOPIC, id, "new", tell),
                    _ => shared.leave(TOPIC, id, tell),
                };
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        let mut there = None;
        for change in lock(&said).drain(..) {
            there = match (there, change) {
                (None, PresenceChange::Joined(it)) => Some(it),
                (Some(_), PresenceChange::Updated(it)) => Some(it),
                (Some(_), PresenceChange::Left(_)) => None,
                (there, change) => panic!("{change:?} of {there:?}"),
            };
        }
        assert_eq!(Vec::from_iter(there), shared.presence.members(TOPIC));
    });
}
