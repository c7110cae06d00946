//! O4: what is announced of presence agrees with it.

use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::mpsc::channel;
use std::thread;

use sockeye::proto::Message;
use sockeye::server::topics::{PresenceChange, Publication};
use sockeye::server::{End, Handler, Route, Socket};

use super::clients::{DEADLINE, builder, publish};
use harness::handshake::upgrade;
use harness::net::{Peer, Running, observing, wait_for_ends};
use harness::sansio::{CLOSE, close_payload};

const ROOM: &str = "room";

/// The application: who comes is announced, who goes is announced. An announcement takes a moment
/// to be made, as one that is written in JSON or logged does, so that there is time for the other
/// side's.
struct Present;

fn announcement(change: &PresenceChange) -> Option<Publication<'static>> {
    thread::sleep(Duration::from_micros(200));
    match change {
        PresenceChange::Joined(member) => Some(format!("{} joined", member.user).into()),
        PresenceChange::Left(member) => Some(format!("{} left", member.user).into()),
        PresenceChange::Updated(_) | PresenceChange::None => None,
    }
}

impl Present {
    fn enter(socket: &mut Socket<'_, ()>, user: &str) {
        socket.join_presence(ROOM, user, "", announcement).unwrap();
    }

    fn go(socket: &mut Socket<'_, ()>) {
        socket.leave_presence(ROOM, announcement);
    }
}

impl Handler for Present {
    type State = ();

    fn on_open(&self, socket: &mut Socket<'_, ()>) {
        let request = socket.request().expect("it is kept");
        if request.target.ends_with("?observe") {
            socket.subscribe(ROOM).unwrap();
        } else {
            Self::enter(socket, "bob");
        }
    }

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        let _ = socket.send(message);
    }

    fn on_close(&self, socket: &mut Socket<'_, ()>, _: &End) {
        Self::go(socket);
    }
}

/// Opens a connection and waits until its handler has seen that.
fn open(server: SocketAddr, target: &str) -> Peer {
    let mut peer = Peer::connect(server);
    peer.stream().set_read_timeout(Some(DEADLINE)).unwrap();
    peer.upgrade(&upgrade().target(target));
    assert_eq!(peer.ask("open?"), "open?");
    peer
}

const RELOADS: usize = 300;

/// A page is loaded again and again: the old one's connection closes while the new one's opens,
/// either first. How often the last that one of two observers has heard of the user doesn't agree
/// with who is there.
fn wrong(workers: usize) -> [usize; 2] {
    let (observer, observed) = observing();
    let route = Route::new("/chat", Present).keep_request();
    let builder = builder(workers).observer(observer).add_route(route);
    let server = Running::start(builder);
    let (handle, address) = (server.handle(), server.address);
    let mut observers = [0, 1].map(|_| open(address, "/chat?observe"));
    let mut old = open(address, "/chat");
    let mut last = [(); 2].map(|()| String::new());
    let mut wrong = [0; 2];
    for reload in 0..RELOADS {
        let together = Barrier::new(2);
        let (tell, first) = channel();
        let new = thread::scope(|scope| {
            let together = &together;
            let new = scope.spawn(move || {
                together.wait();
                if reload % 2 == 0 {
                    let _ = first.recv_timeout(DEADLINE);
                }
                open(address, "/chat")
            });
            together.wait();
            old.send(CLOSE, close_payload(1001, b""));
            let _ = tell.send(());
            new.join().unwrap()
        });
        old.expect_close(1001);
        old.expect_eof();
        wait_for_ends(&observed, 1);
        old = new;
        publish(handle, ROOM, "end");
        let is_there = handle
            .topics("/chat")
            .presence_members(ROOM)
            .iter()
            .any(|it| &*it.user == "bob");
        for ((observer, last), wrong) in observers.iter_mut().zip(&mut last).zip(&mut wrong) {
            loop {
                match observer.hear() {
                    text if text == "end" => break,
                    text => *last = text,
                }
            }
            *wrong += usize::from((last == "bob joined") != is_there);
        }
    }
    wrong
}

/// O4.
#[test]
fn after_a_reload_the_last_that_is_heard_of_a_user_agrees_with_who_is_there() {
    let wrong = [1, 2].map(wrong);
    let what = "by workers and observers";
    assert_eq!(wrong, [[0; 2]; 2], "wrong of {RELOADS}, {what}");
}
