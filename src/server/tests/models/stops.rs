//! A worker ends while others add commands for it.

use super::*;
use crate::server::HandleError;

#[test]
fn an_inbox_that_stops_keeps_no_bytes_whoever_adds_meanwhile() {
    check(|| {
        let server = Server::new(&[2 * one()], TopicOptions::new());
        let senders = [1, 2].map(|token| {
            spawn(&server, move |server| {
                let inbox = &server.inboxes[0];
                let told = inbox.send(sends(token, "m"));
                inbox.push(sends(token, "n"));
                told
            })
        });
        let stops = spawn(&server, |server| {
            let mut worker = server.worker(0);
            worker.work();
            server.inboxes[0].take(&mut worker.taken);
            server.inboxes[0].stop(&mut worker.taken);
        });
        for told in senders.map(|it| it.join().unwrap()) {
            assert_ne!(told, Err(HandleError::Gone));
        }
        stops.join().unwrap();
        let inbox = &server.inboxes[0];
        assert_eq!(inbox.send(sends(1, "m")), Err(HandleError::Stopped));
        server.assert_at_rest();
    });
}

#[test]
fn who_publishes_to_workers_of_which_one_stops_goes_on_with_the_others() {
    check(|| {
        let server = Server::new(&[ROOM, one()], TopicOptions::new());
        let (mut first, mut second) = (server.worker(0), server.worker(1));
        first.subscribe(TOPIC, Token(1));
        second.subscribe(TOPIC, Token(1));
        let stops = thread::spawn(move || {
            second.inbox().own_thread();
            let inbox = Arc::clone(second.inbox());
            inbox.take(&mut second.taken);
            inbox.stop(&mut second.taken);
            for worker in inbox.take_waiting() {
                second.server.inboxes[worker].wake();
            }
        });
        let reserves = spawn(&server, |server| drop(server.inboxes[1].reserve(one())));
        let publisher = thread::spawn(move || {
            first.inbox().own_thread();
            for _ in 0..3 {
                while let Err(error) = first.server.publish("m") {
                    assert_eq!(error, HandleError::Busy);
                    while !Inbox::have_room_for(0, &first.server.inboxes[1..]) {
                        first.server.bells[0].sleep();
                    }
                }
                first.work();
            }
            first.heard
        });
        assert_eq!(offsets(&publisher.join().unwrap(), 1), [1, 2, 3]);
        reserves.join().unwrap();
        stops.join().unwrap();
        server.assert_at_rest();
    });
}
