//! Work that a connection defers to a pool of threads.

use core::time::Duration;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use harness::net::{GUARD, Peer, Running, masked_frame, patient};
use harness::sansio::{CLOSE, TEXT, close_payload};
use sockeye::proto::{CloseCode, Message};
use sockeye::server::observe::ErrorCause;
use sockeye::server::{End, Handler, Pool, Server, Socket};

/// What work waits for, by name.
#[derive(Clone, Default)]
struct Gates(Arc<Mutex<BTreeMap<String, Sender<()>>>>);

impl Gates {
    fn gate(&self, name: &str) -> Receiver<()> {
        let (open, gate) = channel();
        self.0.lock().unwrap().insert(name.into(), open);
        gate
    }

    /// Opens the gate of work that was deferred.
    fn open(&self, name: &str) {
        let gate = self.0.lock().unwrap().remove(name);
        gate.expect("it was deferred").send(()).unwrap();
    }
}

/// A message is a word for what to do with the rest of it.
struct App {
    pool: Pool,
    gates: Gates,
    told: Sender<String>,
}

impl App {
    fn defer(&self, socket: &mut Socket<'_, u64>, name: &str) {
        let gate = self.gates.gate(name);
        let (begun, name) = (self.told.clone(), String::from(name));
        let work = move || {
            let _ = begun.send(format!("begins {name}"));
            gate.recv_timeout(GUARD).map(|()| name)
        };
        let told = self.told.clone();
        socket.defer(&self.pool, work, move |socket, done| {
            let name = done.expect("the gate opens");
            *socket.state_mut() += 1;
            let _ = told.send(format!("then {name}"));
            socket.send(format!("{name} {}", socket.state()));
        });
    }
}

impl Handler for App {
    type State = u64;

    fn on_message(&self, socket: &mut Socket<'_, u64>, message: Message<'_>) {
        let text = message.as_text().unwrap();
        match text.split_once(' ').unwrap_or((text, "")) {
            ("defer", names) => names.split(' ').for_each(|it| self.defer(socket, it)),
            ("panic", _) => {
                let panic = || -> u8 { std::panic::resume_unwind(Box::new("on purpose")) };
                socket.defer(&self.pool, panic, |_, _| unreachable!("it panicked"));
            }
            ("panic-then", _) => socket.defer(
                &self.pool,
                || (),
                |_, ()| std::panic::resume_unwind(Box::new("on purpose")),
            ),
            ("pause", _) => {
                socket.pause();
                socket.defer(&self.pool, || (), |socket, ()| _ = socket.send("paused"));
            }
            _ => _ = socket.send(message),
        }
    }

    fn on_close(&self, socket: &mut Socket<'_, u64>, _: &End) {
        socket.defer(&self.pool, || (), |_, ()| unreachable!("it is closed"));
        let _ = self.told.send(format!("closed with {}", socket.state()));
    }
}

struct World {
    server: Running,
    gates: Gates,
    told: Receiver<String>,
}

impl World {
    fn new(threads: usize) -> Self {
        let ((tell, told), gates) = (channel(), Gates::default());
        let app = App {
            pool: Pool::new(threads),
            gates: gates.clone(),
            told: tell,
        };
        let builder = Server::builder()
            .workers(NonZeroUsize::new(2).unwrap())
            .config(patient())
            .route("/chat", app);
        let server = Running::start(builder);
        Self {
            server,
            gates,
            told,
        }
    }

    #[track_caller]
    fn expect(&self, told: &str) {
        assert_eq!(self.told.recv_timeout(GUARD).as_deref(), Ok(told));
    }
}

/// An answer may follow, but none has come yet.
fn has_nothing(peer: &mut Peer) {
    peer.stream().set_nonblocking(true).unwrap();
    let peeked = peer.stream().peek(&mut [0]);
    assert_eq!(peeked.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    peer.stream().set_nonblocking(false).unwrap();
}

#[test]
fn the_next_message_comes_after_the_work_and_others_are_served_meanwhile() {
    let world = World::new(1);
    let mut peer = world.server.open();
    let mut others: Vec<_> = (0..4).map(|_| world.server.open()).collect();
    peer.say("defer a");
    peer.say("behind it");
    world.expect("begins a");
    for other in &mut others {
        assert_eq!(other.ask("hello"), "hello");
    }
    has_nothing(&mut peer);
    world.gates.open("a");
    assert_eq!([peer.hear(), peer.hear()], ["a 1", "behind it"]);
    assert_eq!(peer.ask("again"), "again");
}

#[test]
fn the_work_of_one_connection_is_done_beside_and_continued_in_order() {
    let world = World::new(3);
    let mut peer = world.server.open();
    peer.say("defer a b c");
    peer.say("behind it");
    let mut begun: Vec<_> = (0..3)
        .map(|_| world.told.recv_timeout(GUARD).unwrap())
        .collect();
    begun.sort();
    assert_eq!(begun, ["begins a", "begins b", "begins c"], "at once");
    world.gates.open("c");
    world.gates.open("b");
    has_nothing(&mut peer);
    world.gates.open("a");
    let heard = [peer.hear(), peer.hear(), peer.hear(), peer.hear()];
    assert_eq!(heard, ["a 1", "b 2", "c 3", "behind it"]);
}

#[test]
fn a_panic_of_the_work_or_of_what_follows_closes_with_1011() {
    let world = World::new(1);
    let mut other = world.server.open();
    for what in ["panic", "panic-then"] {
        let mut peer = world.server.open();
        peer.say(what);
        peer.say("never read");
        peer.expect_close(1011);
        peer.send(CLOSE, close_payload(1011, b""));
        peer.expect_eof();
        world.expect("closed with 0");
        assert_eq!(other.ask("hello"), "hello");
    }
    assert_eq!(
        world
            .server
            .handle()
            .stats()
            .errors
            .count(ErrorCause::Panic),
        2
    );
    // The thread has survived.
    other.say("defer a");
    world.expect("begins a");
    world.gates.open("a");
    assert_eq!(other.hear(), "a 1");
}

#[test]
fn the_end_of_a_connection_drops_its_work() {
    let world = World::new(1);
    let (mut peer, mut other) = (world.server.open(), world.server.open());
    peer.say("defer a b");
    world.expect("begins a");
    other.say("defer c");
    // A reset, which a connection notices that isn't read from.
    reset(peer);
    world.expect("closed with 0");
    // The worker has dropped the connection, and with it the work, before it opens another one.
    let _next = world.server.open();
    world.gates.open("a");
    // Not b, and nothing follows a.
    world.expect("begins c");
    world.gates.open("c");
    assert_eq!(other.hear(), "c 1");
    world.expect("then c");
}

/// Drops a connection with a reset, as one does that leaves bytes unread.
fn reset(peer: Peer) {
    let stream = peer.into_inner();
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
}

#[test]
fn the_applications_own_pause_stays_in_force() {
    let world = World::new(1);
    let mut peer = world.server.open();
    assert_eq!(peer.ask("pause"), "paused");
    peer.say("waits");
    has_nothing(&mut peer);
    let ids: Arc<Mutex<Vec<_>>> = Arc::default();
    let (tell, listed) = channel();
    let all = Arc::clone(&ids);
    let receive = move |some: Vec<sockeye::server::observe::ConnectionStats>| {
        all.lock().unwrap().extend(some.iter().map(|it| it.id));
        let _ = tell.send(());
    };
    world.server.handle().connections(receive).unwrap();
    for _ in 0..2 {
        listed.recv_timeout(GUARD).unwrap();
    }
    let id = ids.lock().unwrap()[0];
    world.server.handle().resume(id).unwrap();
    assert_eq!(peer.hear(), "waits");
}

#[test]
fn a_server_that_stops_doesnt_wait_for_work() {
    let mut world = World::new(1);
    let mut peer = world.server.open();
    peer.say("defer a");
    world.expect("begins a");
    // The work takes until the test lets it end.
    world
        .server
        .handle()
        .shut_down_within(Duration::from_millis(300));
    peer.expect_close(1001);
    world.server.join();
    world.expect("closed with 0");
    world.gates.open("a");
}

#[test]
fn threads_end_with_the_last_pool_once_no_work_is_left() {
    struct Ends(Sender<&'static str>);
    impl Drop for Ends {
        fn drop(&mut self) {
            let _ = self.0.send("the thread ends");
        }
    }
    thread_local!(static ENDS: RefCell<Option<Ends>> = const { RefCell::new(None) });

    /// Its pool lasts for one call.
    struct Brief(Mutex<Sender<&'static str>>);
    impl Handler for Brief {
        type State = ();
        fn on_message(&self, socket: &mut Socket<'_, ()>, _: Message<'_>) {
            let (pool, tell) = (Pool::new(1), self.0.lock().unwrap().clone());
            let work = move || {
                let _ = tell.send("the work is done");
                ENDS.set(Some(Ends(tell)));
            };
            let clone = pool.clone();
            socket.defer(&clone, work, |socket, ()| _ = socket.send("done"));
        }
    }
    let (tell, told) = channel();
    let builder = Server::builder().route("/chat", Brief(Mutex::new(tell)));
    let server = Running::start(builder);
    let mut peer = server.open();
    assert_eq!(peer.ask(""), "done");
    assert_eq!(told.recv_timeout(GUARD), Ok("the work is done"));
    assert_eq!(told.recv_timeout(GUARD), Ok("the thread ends"));
}

/// A client proves who it is with its first message: the whole of it.
#[test]
fn a_token_is_verified_in_a_message_handler() {
    struct Members(Pool);

    fn verify(token: &str) -> Option<String> {
        token.strip_prefix("token of ").map(String::from)
    }

    impl Handler for Members {
        type State = Option<String>;

        fn on_message(&self, socket: &mut Socket<'_, Self::State>, message: Message<'_>) {
            if let Some(user) = socket.state() {
                let said = format!("{user}: {}", message.as_text().unwrap_or_default());
                socket.send(said);
                return;
            }
            let token = message.as_text().unwrap_or_default().to_owned();
            socket.defer(
                &self.0,
                move || verify(&token),
                |socket, user| {
                    if user.is_none() {
                        socket.close(CloseCode(4001), "the token is not valid");
                    }
                    *socket.state_mut() = user;
                },
            );
        }
    }
    let server = Running::start(Server::builder().route("/chat", Members(Pool::new(2))));
    let mut peer = server.open();
    // Both at once: the second is read when it is known who it is from.
    let both = ["token of ann", "hello"].map(|it| masked_frame(true, TEXT, it.as_bytes()));
    peer.write(both.concat());
    assert_eq!(peer.hear(), "ann: hello");
    let mut peer = server.open();
    peer.say("nothing of value");
    peer.expect_close(4001);
}

#[cfg(feature = "testing")]
#[test]
fn work_is_done_at_once_in_a_simulation() {
    let (tell, told) = channel();
    let gates = Gates::default();
    let app = App {
        pool: Pool::new(1),
        gates: gates.clone(),
        told: tell,
    };
    let server = Server::builder().route("/", app).simulate().unwrap();
    let mut ann = server.connect("/").unwrap();
    ann.send("pause");
    ann.expect("paused");
    ann.send("waits");
    ann.expect_nothing();
    server.handle().resume(ann.id()).unwrap();
    ann.expect("waits");
    ann.send("panic");
    ann.expect_close(CloseCode::INTERNAL_ERROR);
    drop((ann, server));
    assert_eq!(told.try_iter().count(), 1);
}
