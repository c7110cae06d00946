//! Who accepts: all workers do, so that one that is held by its handler holds up nobody.
//! docs/cases.md O10.

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use harness::handshake::{plain, upgrade};
use harness::net::{GUARD, Peer, Probe, Running, patient};
use sockeye::server::{Builder, HttpResponse, Listener, Server};

/// The worker in a connection's id.
fn worker(id: &str) -> u64 {
    id.parse::<u64>().unwrap() >> 56
}

/// A server that answers each message with the connection's id; `hold` holds its worker until the
/// test lets it go.
struct World {
    server: Running,
    held: Receiver<()>,
    let_go: Sender<()>,
}

impl World {
    fn new(workers: usize) -> Self {
        let (tell, held) = channel();
        let (let_go, wait) = channel();
        let wait = Mutex::new(wait);
        let (probe, _) = Probe::new(move |socket, message, _| {
            if message.as_bytes() == b"hold" {
                let _ = tell.send(());
                let _ = wait.lock().unwrap().recv();
            }
            let _ = socket.send(&*socket.id().to_u64().to_string());
        });
        let server = Running::start(builder(workers).route("/chat", probe));
        Self {
            server,
            held,
            let_go,
        }
    }

    /// An open connection and its worker.
    fn open(&self) -> (Peer, u64) {
        let mut peer = self.server.open();
        let worker = worker(&peer.ask("who am I?"));
        (peer, worker)
    }
}

fn builder(workers: usize) -> Builder {
    Server::builder()
        .config(patient())
        .workers(NonZeroUsize::new(workers).unwrap())
        .get("/health", |_| HttpResponse::text("ok"))
}

/// O10, whichever worker it is.
#[test]
fn while_a_handler_holds_its_worker_the_others_accept_and_answer() {
    const WORKERS: usize = 2;
    let world = World::new(WORKERS);
    let mut peers = BTreeMap::new();
    while peers.len() < WORKERS {
        let (peer, worker) = world.open();
        peers.entry(worker).or_insert_with(Vec::new).push(peer);
    }
    for (held, peers) in &mut peers {
        peers[0].say("hold");
        world.held.recv_timeout(GUARD).unwrap();
        let mut others = Vec::new();
        for _ in 0..40 {
            let (peer, worker) = world.open();
            assert_ne!(worker, *held);
            others.push(peer);
            let mut page = world.server.connect();
            page.write(plain("GET /health HTTP/1.1").bytes());
            assert_eq!(page.response().body, b"ok");
        }
        // All at once, too.
        let mut crowd: Vec<Peer> = (0..200).map(|_| world.server.connect()).collect();
        for peer in &mut crowd {
            peer.upgrade(&upgrade());
            assert_ne!(worker(&peer.ask("and I?")), *held);
        }
        world.let_go.send(()).unwrap();
        assert_eq!(worker(&peers[0].hear()), *held);
    }
}

/// How many connections each worker has, the fewest first.
fn spread(peers: &mut [Peer], workers: usize) -> Vec<usize> {
    let mut counts = BTreeMap::new();
    for peer in peers {
        *counts.entry(worker(&peer.ask("who am I?"))).or_insert(0) += 1;
    }
    let mut counts: Vec<usize> = counts.into_values().collect();
    counts.resize(workers, 0);
    counts.sort_unstable();
    counts
}

#[test]
fn connections_that_come_one_after_the_other_are_spread_evenly() {
    const COUNT: usize = 400;
    for workers in [2, 4] {
        let world = World::new(workers);
        let mut peers: Vec<Peer> = (0..COUNT).map(|_| world.open().0).collect();
        let counts = spread(&mut peers, workers);
        assert!(counts[0] * workers > COUNT / 2, "{counts:?}");
    }
}

/// A machine that is busy may let a worker wait while the others take a whole crowd: that is seen
/// as often as not, and not each time.
#[test]
fn connections_that_come_at_once_are_spread_over_all_workers() {
    const COUNT: usize = 400;
    for workers in [2, 4] {
        let is_even = |_| {
            let world = World::new(workers);
            let mut peers: Vec<Peer> = (0..COUNT).map(|_| world.server.connect()).collect();
            for peer in &mut peers {
                peer.write(upgrade().bytes());
            }
            for peer in &mut peers {
                peer.head();
            }
            spread(&mut peers, workers)[0] * workers > COUNT / 2
        };
        assert!((0..50).any(is_even), "never");
    }
}

/// A worker that was held is given connections again.
#[test]
fn a_worker_that_was_held_accepts_again_and_makes_up_for_it() {
    let world = World::new(2);
    let (mut first, held) = world.open();
    first.say("hold");
    world.held.recv_timeout(GUARD).unwrap();
    let others: Vec<_> = (0..20).map(|_| world.open()).collect();
    assert!(others.iter().all(|(_, worker)| *worker != held));
    world.let_go.send(()).unwrap();
    assert_eq!(worker(&first.hear()), held);
    // However often the machine lets it wait.
    let mut more = Vec::new();
    while more.iter().filter(|(_, it)| *it == held).count() < 10 {
        more.push(world.open());
    }
}

/// More than std's own backlog of 128 takes; who finds no room is sent again after a second, and
/// again, and nobody ever accepts here.
#[cfg(target_os = "linux")]
#[test]
fn hundreds_connect_before_anything_is_accepted() {
    const COUNT: usize = 600;
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    if most.trim().parse::<usize>().unwrap() < COUNT {
        return;
    }
    let server = builder(1).listen("127.0.0.1:0").unwrap();
    let connect = |_| TcpStream::connect_timeout(&server.local_addr(), GUARD).unwrap();
    let mut peers: Vec<TcpStream> = (0..COUNT).map(connect).collect();
    // They were kept, and are answered once somebody does.
    let _running = Running::of(server);
    let mut last = Peer::new(peers.pop().unwrap());
    last.write(plain("GET /health HTTP/1.1").bytes());
    assert_eq!(last.response().body, b"ok");
}

#[cfg(target_os = "linux")]
#[test]
fn the_backlog_can_be_set() {
    let handed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for listener in [Listener::tcp("127.0.0.1:0"), Listener::from_std(handed)] {
        let server = builder(1).listen_on([listener.backlog(1)]).unwrap();
        let address = server.local_addr();
        let connect =
            |address: SocketAddr| TcpStream::connect_timeout(&address, Duration::from_millis(100));
        let connected: Vec<_> = (0..20).map_while(|_| connect(address).ok()).collect();
        assert!(connected.len() < 20);
    }
}
