//! Under attack, over real sockets: docs/cases.md D1, D3, D5, D6, D12, D14, D16, P13. What is
//! asserted is what the worker's own thread allocates, and that another peer is served meanwhile.

use core::sync::atomic::{AtomicBool, Ordering};
use std::io::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use harness::counting::{Counts, count};
use harness::handshake::upgrade;
use harness::net::{GUARD, Observed, Peer, Probe, masked_frame, observing, patient, wait_for_ends};
use harness::sansio::{BINARY, CONTINUATION, PING, TEXT};
use sockeye::server::{Builder, Handle, HandleError, Server};

/// Both ends are in this process, of which each may have 1,024 file descriptors.
const MANY: usize = 400;

/// The worker's receive buffer and its timers, with room to spare.
const WORKER: usize = 512 * 1024;

/// A server whose one worker's allocations are counted.
struct Counted {
    address: SocketAddr,
    handle: Handle,
    observed: Receiver<Observed>,
    ended: Receiver<Counts>,
    _turn: MutexGuard<'static, ()>,
}

/// One at a time: each would have all the descriptors of the process.
static TURN: Mutex<()> = Mutex::new(());

impl Counted {
    /// Text is echoed, other messages are not.
    fn start(change: impl FnOnce(Builder) -> Builder) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (probe, _) = Probe::new(|socket, message, _| {
            if message.as_text() == Some("subscribe") {
                socket.subscribe("all").unwrap();
            }
            if message.is_text() {
                let _ = socket.send(message);
            }
        });
        let (observer, observed) = observing();
        let builder = Server::builder()
            .workers(NonZeroUsize::MIN)
            .config(patient())
            .observer(observer)
            .route("/chat", probe);
        let server = change(builder).listen("127.0.0.1:0").unwrap();
        let (address, handle) = (server.local_addr(), server.handle());
        let (tell, ended) = channel();
        thread::spawn(move || {
            let (result, counts) = count(|| server.run());
            result.unwrap();
            tell.send(counts)
        });
        Self {
            address,
            handle,
            observed,
            ended,
            _turn: turn,
        }
    }

    fn connect(&self) -> Peer {
        Peer::connect(self.address)
    }

    fn open(&self) -> Peer {
        open(self.address)
    }

    /// Stops it; the most that its worker held at once.
    fn peak(self) -> usize {
        self.handle.shut_down_within(core::time::Duration::ZERO);
        let counts = self.ended.recv_timeout(GUARD).expect("it stops");
        assert!(counts.live < WORKER as isize, "held at the end: {counts:?}");
        counts.peak as usize
    }

    /// Others attack, each on a thread of its own, as long as a peer asks a hundred times.
    fn serves_during(&self, attacks: &[&(dyn Fn(&mut Peer) -> bool + Sync)]) {
        let over = AtomicBool::new(false);
        let mut peer = self.open();
        thread::scope(|scope| {
            for attack in attacks {
                let (over, address) = (&over, self.address);
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let mut attacker = open(address);
                        while !over.load(Ordering::Relaxed) && attack(&mut attacker) {}
                    }
                });
            }
            for at in 0..100 {
                let text = at.to_string();
                assert_eq!(peer.ask(&text), text);
            }
            over.store(true, Ordering::Relaxed);
        });
        peer.close();
    }
}

fn open(address: SocketAddr) -> Peer {
    let mut peer = Peer::connect(address);
    peer.upgrade(&upgrade());
    peer
}

/// D1, D12: each costs about what it has sent.
#[test]
fn thousands_of_half_open_handshakes_cost_what_they_sent_and_others_are_served() {
    let server = Counted::start(|it| it);
    let mut honest = server.open();
    let head = upgrade().bytes();
    for _ in 0..5 {
        let half: Vec<Peer> = (0..MANY)
            .map(|at| {
                let mut peer = server.connect();
                // One that sends nothing has not failed.
                peer.write(&head[..1 + at % (head.len() - 1)]);
                peer
            })
            .collect();
        assert_eq!(honest.ask("still here"), "still here");
        drop(half);
        let gone = server.observed.iter();
        let gone = gone.filter(|it| matches!(it, Observed::Failed(..)));
        assert_eq!(gone.take(MANY).count(), MANY);
    }
    assert_eq!(server.handle.connection_count(), 1);
    let peak = server.peak();
    assert!(peak < WORKER + MANY * 2048, "{peak} bytes");
}

/// D2, D5: a length that is announced costs nothing.
#[test]
fn hundreds_of_slow_senders_cost_what_they_sent_and_others_are_served() {
    let server = Counted::start(|it| it);
    let mut honest = server.open();
    let frame = masked_frame(true, BINARY, &vec![0; 1 << 20]);
    let slow: Vec<Peer> = (0..MANY)
        .map(|_| {
            let mut peer = server.open();
            peer.write(&frame[..100]);
            peer
        })
        .collect();
    assert_eq!(honest.ask("still here"), "still here");
    drop(slow);
    wait_for_ends(&server.observed, MANY);
    let peak = server.peak();
    assert!(peak < WORKER + MANY * 4096, "{peak} bytes");
}

/// D6, D7: what waits for slow readers is bounded by their limits.
#[test]
fn slow_readers_hold_what_their_limit_allows_and_others_are_served() {
    const LIMIT: usize = 100_000;
    const READERS: usize = 20;
    let server = Counted::start(|it| {
        let it = it.max_backpressure(LIMIT).pause_reading_at(LIMIT);
        it.max_inbox(LIMIT)
    });
    let mut honest = server.open();
    let mut readers: Vec<Peer> = (0..READERS).map(|_| server.open()).collect();
    for reader in &mut readers {
        assert_eq!(reader.ask("subscribe"), "subscribe");
    }
    let message = vec![b'x'; 10_000];
    let full = |count: u64| server.handle.stats().dropped >= count;
    // Until each of them is over its limit, whatever the kernel holds.
    while !full(READERS as u64 * 10) {
        // Refused as long as they are waited for: they might still read.
        let published = server.handle.topics("/chat").publish("all", &message[..]);
        assert!(matches!(published, Ok(_) | Err(HandleError::Busy)));
        assert_eq!(honest.ask("still here"), "still here");
    }
    let queued = server.handle.stats().queued_bytes;
    assert!(queued <= (READERS * LIMIT) as u64, "{queued} bytes");
    drop(readers);
    wait_for_ends(&server.observed, READERS);
    let peak = server.peak();
    assert!(
        peak < WORKER + LIMIT + READERS * (LIMIT + 80_000),
        "{peak} bytes"
    );
}

/// D3, D6, D16.
#[test]
fn floods_of_pings_tiny_frames_and_empty_fragments_are_bounded_and_others_are_served() {
    let server = Counted::start(|it| it);
    let flood = |frame: Vec<u8>, begin: Vec<u8>| {
        let bytes = [begin, frame.repeat(5_000)].concat();
        // A peer that the server has closed begins anew.
        move |peer: &mut Peer| peer.stream().write_all(&bytes).is_ok()
    };
    let pings = masked_frame(true, PING, b"flood");
    let read = move |peer: &mut Peer| {
        peer.stream().write_all(&pings.repeat(1_000)).is_ok() && peer.read(7_000).len() == 7_000
    };
    server.serves_during(&[
        &read,
        &flood(masked_frame(true, BINARY, b"x"), Vec::new()),
        &flood(
            masked_frame(false, CONTINUATION, b""),
            masked_frame(false, TEXT, b""),
        ),
    ]);
    let peak = server.peak();
    assert!(peak < 4 * WORKER, "{peak} bytes");
}

/// D12: connections that come and go leave nothing.
#[test]
fn connections_that_flap_leave_nothing_and_others_are_served() {
    let server = Counted::start(|it| it);
    let mut honest = server.open();
    for at in 0..1_000 {
        let mut peer = server.open();
        match at % 3 {
            // With unread bytes it is a reset.
            0 => peer.say("echo"),
            1 => peer.shut_write(),
            _ => {}
        }
        drop(peer);
        if at % 100 == 0 {
            assert_eq!(honest.ask("still here"), "still here");
        }
    }
    wait_for_ends(&server.observed, 1_000);
    let stats = server.handle.stats();
    assert_eq!((stats.connections, stats.connections_opened), (1, 1_001));
    let peak = server.peak();
    assert!(peak < 2 * WORKER, "{peak} bytes");
}

/// D14: pings are answered while a message goes out to many, which share its bytes.
#[test]
fn a_message_to_many_is_one_allocation_and_pings_are_answered_meanwhile() {
    const SIZE: usize = 200_000;
    let server = Counted::start(|it| it);
    let mut honest = server.open();
    let mut peers: Vec<Peer> = (0..MANY).map(|_| server.open()).collect();
    for peer in &mut peers {
        assert_eq!(peer.ask("subscribe"), "subscribe");
    }
    let message = vec![b'x'; SIZE];
    for _ in 0..5 {
        let published = server
            .handle
            .topics("/chat")
            .publish("all", &message[..])
            .unwrap();
        assert_eq!(published.waiting, MANY);
        honest.settle();
    }
    for peer in &mut peers {
        for _ in 0..5 {
            peer.expect(BINARY, &message);
        }
    }
    drop(peers);
    wait_for_ends(&server.observed, MANY);
    let peak = server.peak();
    assert!(peak < WORKER + MANY * 4096 + 10 * SIZE, "{peak} bytes");
}

/// P13: a megabyte is the limit, and a message of sixty-four is not inflated beyond it.
#[cfg(feature = "deflate")]
#[test]
fn a_compression_bomb_is_1009_within_the_limit_and_others_are_served() {
    const LIMIT: usize = 1 << 20;
    let server_config = harness::deflate::deflate_with(|_| {}, |it| it.max_message_size = LIMIT);
    let client_config = harness::deflate::deflate(|_| {});
    let (mut client, _) = harness::sansio::handshake(&client_config, &server_config);
    let mut bomb = Vec::new();
    client.send(&vec![0; 64 << 20][..], &mut bomb).unwrap();
    assert!(bomb.len() < LIMIT, "{}", bomb.len());

    let server = Counted::start(|it| it.config((*server_config).clone()));
    let mut honest = server.open();
    for _ in 0..3 {
        let mut peer = server.connect();
        let offer = upgrade().add("Sec-WebSocket-Extensions", "permessage-deflate");
        peer.write(offer.bytes());
        let head = String::from_utf8(peer.head()).unwrap();
        assert!(head.contains("permessage-deflate"), "{head}");
        peer.write(&bomb);
        peer.expect_close(1009);
        assert_eq!(honest.ask("still here"), "still here");
    }
    wait_for_ends(&server.observed, 3);
    let peak = server.peak();
    assert!(peak < WORKER + 4 * LIMIT, "{peak} bytes");
}
