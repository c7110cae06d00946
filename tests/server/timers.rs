//! Timers: of a connection, and of the server.

use core::time::Duration;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use harness::net::{GUARD, Running, config, patient};
use sockeye::proto::{CloseCode, Message};
use sockeye::server::observe::ErrorCause;
use sockeye::server::testing::Simulation;
use sockeye::server::{Builder, End, Handler, Server, Socket};

const SECOND: Duration = Duration::from_secs(1);

/// A message sets or cancels a timer, or does something else; timers are told.
struct App(Sender<String>);

impl Handler for App {
    type State = u64;

    fn on_open(&self, socket: &mut Socket<'_, u64>) {
        socket.set_timer(100, 100 * SECOND);
    }

    fn on_message(&self, socket: &mut Socket<'_, u64>, message: Message<'_>) {
        let words: Vec<_> = message.as_text().unwrap().split(' ').collect();
        match *words {
            ["set", key, ms] => {
                let after = Duration::from_millis(ms.parse().unwrap());
                socket.set_timer(key.parse().unwrap(), after);
            }
            ["cancel", key] => {
                let was = socket.cancel_timer(key.parse().unwrap());
                socket.send(was.to_string());
            }
            ["pause"] => socket.pause(),
            ["flood"] => while socket.send(&[0; 10_000][..]) != sockeye::server::Sent::Dropped {},
            ["close"] => _ = socket.close(CloseCode(4000), ""),
            _ => _ = socket.send(message),
        }
    }

    fn on_timer(&self, socket: &mut Socket<'_, u64>, key: u64) {
        self.0.send(key.to_string()).unwrap();
        match key {
            // As fast as it can.
            7 => socket.set_timer(7, Duration::ZERO),
            8 => resume_unwind(Box::new("on purpose")),
            9 => socket.terminate(),
            10 => _ = socket.close(CloseCode(4001), "its time is over"),
            _ => _ = socket.send(format!("timer {key}")),
        }
    }

    fn on_close(&self, socket: &mut Socket<'_, u64>, _: &End) {
        socket.set_timer(99, Duration::ZERO);
        self.0.send("closed".into()).unwrap();
    }
}

fn simulate(change: impl FnOnce(Builder) -> Builder) -> (Simulation, Receiver<String>) {
    let (tell, told) = channel();
    let builder = Server::builder().config(patient()).route("/", App(tell));
    (change(builder).simulate().unwrap(), told)
}

/// Nothing is late by more than this.
const TICK: Duration = Duration::from_millis(250);

#[test]
fn a_timer_is_due_once_never_early_and_hardly_late() {
    let (server, _told) = simulate(|it| it);
    let mut ann = server.connect("/").unwrap();
    // Sooner than what is due otherwise.
    for ms in [60_000, 10_000, 1_000, 300, 1, 0] {
        ann.send(&*format!("set 1 {ms}"));
        ann.expect_nothing();
        if let Some(early) = Duration::from_millis(ms).checked_sub(Duration::from_millis(1)) {
            server.advance(early);
        }
        ann.expect_nothing();
        server.advance(TICK + Duration::from_millis(1));
        ann.expect("timer 1");
        ann.expect_nothing();
    }
    server.advance(60 * SECOND);
    ann.expect("timer 100");
    server.advance(1000 * SECOND);
    ann.expect_nothing();
}

#[test]
fn a_timer_of_the_same_key_is_replaced_and_each_key_is_its_own() {
    let (server, _told) = simulate(|it| it);
    let mut ann = server.connect("/").unwrap();
    for set in ["set 1 2000", "set 2 4000", "set 1 6000", "set 3 3000"] {
        ann.send(set);
    }
    ann.send("cancel 3");
    ann.expect("true");
    for nothing in ["cancel 3", "cancel 4"] {
        ann.send(nothing);
        ann.expect("false");
    }
    server.advance(4 * SECOND + TICK);
    ann.expect("timer 2");
    ann.expect_nothing();
    // Later than it was, and earlier again.
    ann.send("set 1 9000");
    ann.send("set 1 1000");
    server.advance(SECOND + TICK);
    ann.expect("timer 1");
    server.advance(20 * SECOND);
    ann.expect_nothing();
}

#[test]
fn timers_run_while_reading_is_paused_while_something_waits_and_while_it_closes() {
    let config = config(|it| {
        it.ping_interval = None;
        it.close_timeout = 10 * SECOND;
    });
    let (server, told) = simulate(|it| it.config(config).max_backpressure(100_000));
    let mut ann = server.connect("/").unwrap();
    ann.send("set 1 1000");
    ann.send("pause");
    server.advance(SECOND + TICK);
    ann.expect("timer 1");
    let mut bob = server.connect("/").unwrap();
    bob.stop_reading();
    bob.send("set 2 1000");
    bob.send("flood");
    server.advance(SECOND + TICK);
    // It answers no Close.
    let mut cat = server.connect("/").unwrap();
    cat.send("set 3 1000");
    cat.send("set 4 30000");
    server.settle();
    cat.vanish();
    let close = |socket: &mut Socket<'_, u64>| _ = socket.close(CloseCode(4000), "");
    server.handle().run_on(cat.id(), close).unwrap();
    server.advance(40 * SECOND);
    let told: Vec<_> = told.try_iter().collect();
    assert_eq!(told, ["1", "2", "3", "closed"]);
}

#[test]
fn a_timer_may_do_all_that_a_handler_may() {
    let (server, told) = simulate(|it| it);
    for (key, code) in [(8, 1011), (9, 1006), (10, 4001)] {
        let mut ann = server.connect("/").unwrap();
        ann.send(&*format!("set {key} 100"));
        ann.send("set 5 200");
        server.advance(SECOND);
        ann.expect_close(CloseCode(code));
        let told: Vec<_> = told.try_iter().filter(|it| it != "5").collect();
        assert_eq!(told, [key.to_string().as_str(), "closed"]);
    }
    assert_eq!(server.handle().stats().errors.count(ErrorCause::Panic), 1);
}

#[test]
fn a_timer_that_is_set_again_without_delay_leaves_room_for_others() {
    let (server, told) = simulate(|it| it);
    let mut ann = server.connect("/").unwrap();
    ann.send("set 7 0");
    server.advance(10 * SECOND);
    ann.send("hello");
    ann.expect("hello");
    let runs = told.try_iter().count();
    assert!(
        (38..=42).contains(&runs),
        "{runs}: each quarter of a second"
    );
}

#[test]
fn a_server_does_something_every_so_often_and_nothing_twice() {
    let (tell, told) = channel();
    let (server, _ends) = simulate(|it| {
        let workers = NonZeroUsize::new(2).unwrap();
        let often = tell.clone();
        it.workers(workers)
            .every(SECOND, move |handle| {
                handle.topics("/").publish("t", "each second").unwrap();
                tell.send("second").unwrap();
            })
            .every(100 * SECOND, move |_| {
                often.send("long").unwrap();
                resume_unwind(Box::new("on purpose"));
            })
    });
    server.advance(SECOND - Duration::from_millis(1));
    assert_eq!(told.try_iter().count(), 0);
    server.advance(Duration::from_millis(1) + TICK);
    assert_eq!(told.try_iter().count(), 1);
    server.advance(98 * SECOND);
    assert_eq!(told.try_iter().collect::<Vec<_>>(), ["second"; 98]);
    server.advance(101 * SECOND);
    // Its panic ends nothing, and it is called again.
    let long = told.try_iter().filter(|it| *it == "long").count();
    let panics = server.handle().stats().errors.count(ErrorCause::Panic);
    assert_eq!((long, panics), (2, 2));
    server.handle().shut_down();
    assert!(!server.is_running());
    server.advance(10 * SECOND);
    assert_eq!(told.try_iter().count(), 0);
}

#[test]
fn what_a_busy_worker_has_missed_is_left_out() {
    let (tell, told) = channel();
    let server = Server::builder()
        .workers(NonZeroUsize::new(2).unwrap())
        .every(Duration::from_millis(250), move |_| {
            let _ = tell.send(thread::current().id());
            thread::sleep(Duration::from_millis(900));
        });
    let server = Running::start(server);
    let first = told.recv_timeout(GUARD).unwrap();
    thread::sleep(Duration::from_millis(2_000));
    let rest: Vec<_> = told.try_iter().collect();
    assert!(rest.len() <= 3, "{}", rest.len());
    assert!(rest.iter().all(|it| *it == first), "on one thread");
    drop(server);
}

/// With the kernel's clock.
#[test]
fn a_client_that_doesnt_say_who_it_is_is_closed_in_time() {
    let (tell, told) = channel();
    let config = config(|it| it.ping_interval = None);
    let server = Running::start(Server::builder().config(config).route("/chat", App(tell)));
    let mut peer = server.open();
    peer.say("set 10 300");
    peer.expect_close(4001);
    assert_eq!(told.recv_timeout(GUARD).as_deref(), Ok("10"));
}
