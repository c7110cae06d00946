//! Workers whose publishers wait for room in the inbox of another worker. docs/cases.md O5.

use mio::{Events, Poll};

use super::single::ms;
use super::*;
use crate::server::sync::Waker;

struct Woken(Poll);

impl Woken {
    fn new() -> (Self, Option<Waker>) {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), Token(0)).unwrap();
        (Self(poll), Some(waker))
    }

    /// Returns whether it was woken since the last call.
    fn is_woken(&mut self) -> bool {
        let mut events = Events::with_capacity(1);
        self.0.poll(&mut events, Some(Duration::ZERO)).unwrap();
        !events.is_empty()
    }
}

#[test]
fn who_waits_for_room_is_woken_also_where_the_last_bytes_were_given_back_unused() {
    let ((mut first, waker), (mut second, other)) = (Woken::new(), Woken::new());
    let builder = Server::builder().max_inbox(4000);
    let Parts { shared, endpoints } = builder.parts(vec![waker, other]).unwrap();
    let mut sessions = Sessions::<Sim>::new(Arc::clone(&shared), endpoints, 1, ms(0));
    let reserved = shared.inboxes[1].reserve(3000).unwrap();
    assert!(!Inbox::have_room_for(0, &shared.inboxes));
    sessions.at(ms(0)).work();
    assert!(!first.is_woken());
    drop(reserved);
    assert!(second.is_woken(), "nobody looks who waits");
    sessions.at(ms(0)).work();
    assert!(first.is_woken(), "who waits isn't told");
}

#[test]
fn a_worker_that_stops_leaves_nothing_counted_and_nobody_waiting() {
    let (mut first, waker) = Woken::new();
    let builder = Server::builder().max_inbox(1000);
    let Parts { shared, endpoints } = builder.parts(vec![waker, None]).unwrap();
    let mut sessions = Sessions::<Sim>::new(Arc::clone(&shared), endpoints, 1, ms(0));
    let inbox = &shared.inboxes[1];
    // More than a turn carries out.
    for _ in 0..1000 {
        inbox.push(Command::Terminate(Token(1)));
    }
    sessions.at(ms(0)).work();
    assert!(!Inbox::have_room_for(0, &shared.inboxes));
    sessions.stop();
    assert_eq!(inbox.bytes(), 0);
    assert!(first.is_woken());
    assert!(Inbox::have_room_for(0, &shared.inboxes));
}
