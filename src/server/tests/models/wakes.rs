//! Who sleeps is woken by what it waits for.

use std::format;

use super::*;
use crate::server::Server as Real;
use crate::server::handle::Handle;
use crate::server::http::HttpResponse;
use crate::server::http::Reply;
use crate::server::sync::atomic::{AtomicBool, Ordering};

#[test]
fn the_first_command_of_an_empty_inbox_wakes_its_worker_also_amid_commands_of_its_own() {
    check(|| {
        let server = Server::new(&[ROOM], TopicOptions::new());
        let senders = [1, 2].map(|token| {
            spawn(&server, move |server| {
                server.inboxes[0].push(sends(token, "m"));
                server.inboxes[0].push(sends(token, "m"));
            })
        });
        let worker = server.worker(0);
        let worker = thread::spawn(move || {
            worker.inbox().own_thread();
            worker.inbox().push(sends(3, "own"));
            worker.run_until(5)
        });
        for sender in senders {
            sender.join().unwrap();
        }
        assert_eq!(offsets(&worker.join().unwrap(), 3).len(), 1);
        server.assert_at_rest();
    });
}

#[test]
fn a_worker_that_waits_for_room_sees_it_or_is_woken() {
    check(|| {
        let server = Server::new(&[ROOM, 4 * one()], TopicOptions::new());
        let mut second = server.worker(1);
        second.subscribe(TOPIC, Token(1));
        let second = thread::spawn(|| second.run_until(6));
        let first = server.worker(0);
        let first = thread::spawn(move || {
            first.inbox().own_thread();
            for text in 0..6 {
                let text = format!("{text}");
                while first.server.publish(&text).is_err() {
                    while !Inbox::have_room_for(0, &first.server.inboxes) {
                        first.server.bells[0].sleep();
                    }
                }
            }
        });
        first.join().unwrap();
        assert_eq!(offsets(&second.join().unwrap(), 1), [1, 2, 3, 4, 5, 6]);
        server.assert_at_rest();
    });
}

#[test]
fn a_worker_that_waits_for_room_is_woken_also_where_that_is_given_back_unused() {
    check(|| {
        let server = Server::new(&[ROOM, 4 * one()], TopicOptions::new());
        let second = server.worker(1).spawn();
        let reserves = spawn(&server, |server| {
            drop(server.inboxes[1].reserve(3 * one()));
            // There is none for the second.
            let inboxes = [1, 1].map(|_| server.inboxes[1].reserve(3 * one()));
            drop(inboxes);
        });
        let waits = spawn(&server, |server| {
            while !Inbox::have_room_for(0, &server.inboxes) {
                server.bells[0].sleep();
            }
        });
        reserves.join().unwrap();
        waits.join().unwrap();
        server.inboxes[1].push(Command::ShutDown(NOW));
        second.join().unwrap();
        server.assert_at_rest();
    });
}

/// The session takes what it is woken for as [`Session::decided`] does, and may give up in any
/// turn.
///
/// [`Session::decided`]: crate::server::session::Session::decided
#[test]
fn a_session_that_is_woken_finds_its_answer_and_never_that_of_a_request_it_gave_up() {
    check(|| {
        let bell: Arc<Bell> = Arc::default();
        let waker = Some(Waker(Arc::clone(&bell)));
        let shared = Real::builder().parts(Vec::from([waker])).unwrap().shared;
        let id = ConnectionId::new(0, Token(1));
        let answer = |text: &'static str| {
            let (reply, slot) = Reply::new(Handle::new(&shared), id);
            let giver = thread::spawn(move || reply.send(HttpResponse::text(text)));
            (slot, giver)
        };
        let clock = Arc::new(AtomicBool::new(false));
        let timer = thread::spawn({
            let (clock, bell) = (Arc::clone(&clock), Arc::clone(&bell));
            move || {
                clock.store(true, Ordering::SeqCst);
                bell.ring();
            }
        });
        let inbox = &shared.inboxes[0];
        let mut taken = VecDeque::new();
        let mut givers = Vec::new();
        for text in ["first", "second"] {
            let (slot, giver) = answer(text);
            givers.push(giver);
            let found = 'waits: loop {
                bell.sleep();
                inbox.take(&mut taken);
                while let Some(command) = taken.pop_front() {
                    inbox.release(command.bytes());
                    if let Some(found) = slot.take() {
                        break 'waits Some(found);
                    }
                }
                // The first may be given up, the second is waited for.
                if text == "first" && clock.load(Ordering::SeqCst) {
                    break None;
                }
            };
            match found {
                Some(found) => assert_eq!(found.body, text.as_bytes()),
                None => assert_eq!(text, "first"),
            }
        }
        for thread in givers.into_iter().chain([timer]) {
            thread.join().unwrap();
        }
        inbox.take(&mut taken);
        for command in taken.drain(..) {
            inbox.release(command.bytes());
        }
        assert_eq!(inbox.bytes(), 0);
    });
}
