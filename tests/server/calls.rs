//! What another thread has a connection's handler called with: notices and functions, in the order
//! of what it asks, and reading that is paused from elsewhere.

use std::any::Any;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use harness::net::{GUARD, Peer, Running, patient};
use harness::sansio::{CLOSE, close_payload};
use sockeye::proto::{CloseCode, Message};
use sockeye::server::observe::ErrorCause;
use sockeye::server::{Builder, ConnectionId, End, HandleError, Handler, Server, Socket};

/// Sends what it is notified of. A message is what to do.
struct App(Sender<&'static str>);

impl Handler for App {
    type State = u64;

    fn on_message(&self, socket: &mut Socket<'_, u64>, message: Message<'_>) {
        let (id, handle) = (socket.id(), socket.handle());
        match message.as_text() {
            Some("id") => _ = socket.send(id.to_string()),
            Some("own") => {
                handle.notify(id, String::from("noticed")).unwrap();
                handle.send(id, "told").unwrap();
                socket.send("sent");
                self.0.send("the handler returns").unwrap();
            }
            Some("own function") => {
                let run = |socket: &mut Socket<'_, u64>| _ = socket.send("run");
                handle.run_on(id, run).unwrap();
                socket.send("sent");
            }
            Some("close") => {
                handle.notify(id, String::from("too late")).unwrap();
                socket.close(CloseCode(4000), "");
            }
            Some("end") => socket.terminate(),
            _ => _ = socket.send(message),
        }
    }

    fn on_notify(&self, socket: &mut Socket<'_, u64>, notice: Box<dyn Any + Send>) {
        self.0.send("on_notify").unwrap();
        *socket.state_mut() += 1;
        match notice.downcast::<String>() {
            Ok(text) => _ = socket.send(text.as_str()),
            Err(_) => _ = socket.send("something else"),
        }
    }

    fn on_close(&self, socket: &mut Socket<'_, u64>, _: &End) {
        let notified = socket.handle().notify(socket.id(), ());
        assert_eq!(notified, Ok(()), "it is dropped");
        self.0.send("on_close").unwrap();
    }
}

struct World {
    server: Running,
    told: Receiver<&'static str>,
}

impl World {
    fn new(workers: usize) -> Self {
        Self::with(workers, |it| it)
    }

    fn with(workers: usize, change: impl FnOnce(Builder) -> Builder) -> Self {
        let (tell, told) = channel();
        let builder = Server::builder()
            .workers(NonZeroUsize::new(workers).unwrap())
            .config(patient())
            .route("/chat", App(tell));
        let server = Running::start(change(builder));
        Self { server, told }
    }

    fn open(&self) -> (Peer, ConnectionId) {
        let mut peer = self.server.open();
        let id = peer.ask("id").parse().unwrap();
        (peer, id)
    }
}

#[test]
fn what_a_thread_sends_notifies_and_runs_reaches_each_connection_in_its_order() {
    let world = World::new(2);
    let mut peers: Vec<_> = (0..6).map(|_| world.open()).collect();
    let handle = world.server.handle().clone();
    let ids: Vec<_> = peers.iter().map(|it| it.1).collect();
    let thread = thread::spawn(move || {
        for number in 0..300_u64 {
            for id in &ids {
                let text = number.to_string();
                match number % 3 {
                    0 => handle.send(*id, &*text).unwrap(),
                    1 => handle.notify(*id, text).unwrap(),
                    _ => handle
                        .run_on(*id, move |socket: &mut Socket<'_, u64>| {
                            assert_eq!(*socket.state(), number.div_ceil(3));
                            socket.send(text);
                        })
                        .unwrap(),
                }
            }
        }
    });
    for (peer, _) in &mut peers {
        for number in 0..300 {
            assert_eq!(peer.hear(), number.to_string());
        }
    }
    thread.join().unwrap();
}

#[test]
fn a_handler_that_notifies_its_own_connection_is_called_when_it_has_returned() {
    let world = World::new(1);
    let (mut peer, _) = world.open();
    // What it asks for otherwise keeps its order.
    assert_eq!(peer.ask("own"), "told");
    assert_eq!([peer.hear(), peer.hear()], ["sent", "noticed"]);
    assert_eq!(world.told.recv(), Ok("the handler returns"));
    assert_eq!(world.told.recv(), Ok("on_notify"));
    assert_eq!(peer.ask("own function"), "sent");
    assert_eq!(peer.hear(), "run");
}

#[test]
fn a_notice_is_told_before_the_end_and_never_after_it() {
    let world = World::new(1);
    let (mut peer, id) = world.open();
    peer.say("close");
    peer.expect_close(4000);
    peer.send(CLOSE, close_payload(4000, b""));
    peer.expect_eof();
    assert_eq!(world.told.recv_timeout(GUARD), Ok("on_notify"));
    assert_eq!(world.told.recv_timeout(GUARD), Ok("on_close"));
    let handle = world.server.handle();
    assert_eq!(handle.notify(id, ()), Err(HandleError::Gone));
    assert_eq!(handle.pause(id), Err(HandleError::Gone));
    let run = |_: &mut Socket<'_, u64>| panic!("it is gone");
    assert_eq!(handle.run_on(id, run), Err(HandleError::Gone));
    drop((peer, world.server));
    assert_eq!(world.told.try_iter().count(), 0);
}

/// Its `drop` panics.
struct Sticky(#[expect(dead_code, reason = "it counts")] Arc<()>);

impl Drop for Sticky {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("on purpose"));
    }
}

#[test]
fn what_is_sent_to_a_connection_that_ends_is_dropped_and_ends_nothing() {
    let world = World::new(1);
    let (mut peer, id) = world.open();
    let (mut other, other_id) = world.open();
    let handle = world.server.handle();
    let held = Arc::new(());
    let (inside, begun) = channel();
    let (release, wait) = channel::<()>();
    // The worker is held, so that what follows is still in its inbox as the connection ends.
    let hold = move |socket: &mut Socket<'_, u64>| {
        inside.send(()).unwrap();
        wait.recv_timeout(GUARD).unwrap();
        socket.send("held");
    };
    handle.run_on(other_id, hold).unwrap();
    begun.recv_timeout(GUARD).unwrap();
    handle.terminate(id).unwrap();
    handle.notify(id, Sticky(Arc::clone(&held))).unwrap();
    let sticky = Sticky(Arc::clone(&held));
    let run = move |_: &mut Socket<'_, u64>| drop(sticky);
    handle.run_on(id, run).unwrap();
    release.send(()).unwrap();
    peer.expect_eof();
    assert_eq!(other.hear(), "held");
    assert_eq!(other.ask("hello"), "hello");
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_function_for_another_state_closes_the_connection_with_1011() {
    let world = World::new(1);
    let (mut peer, id) = world.open();
    let (mut other, _) = world.open();
    let handle = world.server.handle();
    let run = |_: &mut Socket<'_, String>| unreachable!("its state is a u64");
    handle.run_on(id, run).unwrap();
    peer.expect_close(1011);
    assert_eq!(other.ask("hello"), "hello");
    peer.send(CLOSE, close_payload(1011, b""));
    peer.expect_eof();
    assert_eq!(world.told.recv_timeout(GUARD), Ok("on_close"));
    assert_eq!(handle.stats().errors.count(ErrorCause::Panic), 1);
}

#[test]
fn a_connection_that_another_thread_has_paused_is_notified_and_not_read() {
    let world = World::new(2);
    let (mut peer, id) = world.open();
    let handle = world.server.handle();
    handle.pause(id).unwrap();
    handle.notify(id, String::from("paused")).unwrap();
    assert_eq!(peer.hear(), "paused");
    peer.say("waits");
    peer.say("waits, too");
    handle.notify(id, String::from("still paused")).unwrap();
    assert_eq!(peer.hear(), "still paused");
    handle.resume(id).unwrap();
    assert_eq!([peer.hear(), peer.hear()], ["waits", "waits, too"]);
    assert_eq!(peer.ask("again"), "again");
}

#[test]
fn notices_count_against_the_bound_of_an_inbox() {
    let world = World::with(1, |it| it.max_inbox(100_000));
    let (mut peer, id) = world.open();
    let handle = world.server.handle();
    let (inside, begun) = channel();
    let (release, wait) = channel::<()>();
    let hold = move |_: &mut Socket<'_, u64>| {
        inside.send(()).unwrap();
        wait.recv_timeout(GUARD).unwrap();
    };
    handle.run_on(id, hold).unwrap();
    begun.recv_timeout(GUARD).unwrap();
    let mut taken = 0;
    while handle.notify(id, [0_u8; 9_000]).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, 10);
    assert_eq!(handle.notify(id, [0_u8; 9_000]), Err(HandleError::Busy));
    release.send(()).unwrap();
    for _ in 0..taken {
        assert_eq!(peer.hear(), "something else");
    }
    // What is asked now is answered behind the commands, the last one's bytes included.
    assert_eq!(peer.ask("again"), "again");
    assert_eq!(handle.stats().inbox_bytes, 0);
    assert_eq!(handle.notify(id, [0_u8; 9_000]), Ok(()));
    assert_eq!(peer.hear(), "something else");
}

#[test]
fn a_server_that_stops_still_tells_what_was_sent_before_the_stop() {
    let mut world = World::new(2);
    let (mut peer, id) = world.open();
    let handle = world.server.handle().clone();
    handle.notify(id, String::from("before")).unwrap();
    handle.shut_down();
    let _ = handle.notify(id, String::from("after"));
    assert_eq!(peer.hear(), "before");
    peer.expect_close(1001);
    peer.send(CLOSE, close_payload(1001, b""));
    peer.expect_eof();
    drop(peer);
    world.server.join();
    let last = handle.notify(id, ());
    assert!(matches!(
        last,
        Err(HandleError::Stopped | HandleError::Gone)
    ));
}
