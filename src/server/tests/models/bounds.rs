//! What waits is bounded and counted, and what is refused has not happened.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::server::HandleError;

#[test]
fn what_is_refused_reaches_no_worker_has_no_place_and_is_not_kept() {
    static REFUSED: AtomicUsize = AtomicUsize::new(0);
    check(|| {
        let options = TopicOptions::new().history(10);
        let server = Server::new(&[ROOM, 2 * one()], options);
        let workers = [0, 1].map(|it| {
            let mut worker = server.worker(it);
            worker.subscribe(TOPIC, Token(1));
            worker.spawn()
        });
        let publishers = ["a", "b"].map(|name| {
            spawn(&server, move |server| {
                let tries = [0, 1].map(|_| server.publish(name));
                tries
                    .into_iter()
                    .filter_map(|it| match it {
                        Ok(offset) => Some(offset),
                        Err(error) => {
                            assert_eq!(error, HandleError::Busy);
                            REFUSED.fetch_add(1, Ordering::Relaxed);
                            None
                        }
                    })
                    .collect::<Vec<u64>>()
            })
        });
        let sender = spawn(&server, |server| server.inboxes[1].send(sends(2, "s")));
        let mut all = publishers.map(|it| it.join().unwrap()).concat();
        all.sort();
        let sent = sender.join().unwrap().is_ok();
        server.end();
        let heard = workers.map(|it| it.join().unwrap());
        // A place is one of a message.
        assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>());
        assert_eq!(offsets(&heard[0], 1), all);
        assert_eq!(offsets(&heard[1], 1), all);
        assert_eq!(offsets(&heard[1], 2).len(), usize::from(sent));
        let kept = server.directory.history(TOPIC, 10, NOW);
        assert!(kept.iter().map(|it| it.offset).eq(all.iter().copied()));
        assert_eq!(server.directory.position(TOPIC).offset, all.len() as u64);
        server.assert_at_rest();
    });
    assert!(REFUSED.load(Ordering::Relaxed) > 0, "none was refused");
}

#[test]
fn what_waits_is_above_the_bound_only_by_what_insists_and_nothing_in_the_end() {
    static REFUSED: AtomicUsize = AtomicUsize::new(0);
    check(|| {
        let server = Server::new(&[2 * one()], TopicOptions::new());
        let worker = server.worker(0).spawn();
        let senders = [0, 1].map(|_| {
            spawn(&server, |server| {
                let inbox = &server.inboxes[0];
                let send = |_| match inbox.send(sends(1, "m")) {
                    Ok(()) => 1,
                    Err(_) => 0,
                };
                let sent: usize = [0, 1].map(send).iter().sum();
                REFUSED.fetch_add(2 - sent, Ordering::Relaxed);
                // Kept for what isn't said then.
                drop(inbox.reserve(one()));
                sent
            })
        });
        let insists = spawn(&server, |server| server.inboxes[0].push(sends(1, "m")));
        let looks = spawn(&server, |server| {
            for _ in 0..6 {
                let bytes = server.inboxes[0].bytes();
                assert!(bytes <= 3 * one(), "{bytes} bytes wait");
            }
        });
        let sent: usize = senders.map(|it| it.join().unwrap()).iter().sum();
        insists.join().unwrap();
        looks.join().unwrap();
        server.end();
        assert_eq!(offsets(&worker.join().unwrap(), 1).len(), sent + 1);
        server.assert_at_rest();
    });
    assert!(REFUSED.load(Ordering::Relaxed) > 0, "none was refused");
}
