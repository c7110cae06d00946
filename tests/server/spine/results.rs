//! O7: what a sender is told holds: `on_drain` follows what waits, a conflated topic loses only
//! what is out of date, and what can't arrive is an error.

use sockeye::server::ConnectionId;
use sockeye::server::topics::TopicOptions;

use super::clients::{Client, builder, gate, open_in_turn, publish, serve};
use harness::net::{How, Peer, Probe, Running, Told, Watch, observing, serve_with, wait_for_ends};
use harness::sansio::BINARY;

/// More than both kernels' socket buffers take of a peer that doesn't read.
const LARGE: usize = 8 << 20;

/// A server that does what texts say, and notes what the application sees of what waits.
fn serve_large(workers: usize) -> (Running, Watch) {
    let probe = Probe::new(|socket, message, told| {
        let large = || vec![0xFF; LARGE];
        match message.as_text() {
            Some("id") => {
                let id = socket.id().to_u64().to_string();
                let _ = socket.send(&*id);
            }
            Some("subscribe") => {
                socket.subscribe("room").unwrap();
                let _ = socket.send("subscribed");
            }
            Some("large") => _ = socket.send(large()),
            Some("publish") => {
                socket.publish("room", large());
                let _ = socket.send("published");
            }
            Some("small") => {
                let _ = socket.send("small");
                let _ = told.send(Told::Note(socket.buffered().to_string()));
            }
            _ => _ = told.send(Told::Note(socket.buffered().to_string())),
        }
    });
    serve_with(
        // Also a connection that has much to read is read from.
        |_| builder(workers).pause_reading_at(4 * LARGE),
        probe,
    )
}

/// What the application sees of what waits for its connection.
fn buffered(watch: &Watch) -> usize {
    loop {
        if let Told::Note(number) = watch.next() {
            return number.parse().unwrap();
        }
    }
}

/// Skips what comes before.
#[track_caller]
fn expect_drain(watch: &Watch) {
    while !matches!(watch.next(), Told::Drain { .. }) {}
}

/// Something waits for the peer, which the application sees; once it is read, it is told.
#[track_caller]
fn expect_drain_of_large(mut peer: Peer, watch: &Watch) {
    // Some of it was written, and so the rest waits.
    assert_eq!(peer.stream().peek(&mut [0]).unwrap(), 1);
    peer.say("buffered?");
    assert!(buffered(watch) > 0, "the kernel took all of it");
    peer.expect(BINARY, vec![0xFF; LARGE]);
    expect_drain(watch);
}

/// O7.
#[test]
fn what_a_handler_sends_and_the_kernel_takes_in_part_is_followed_by_on_drain() {
    let (server, watch) = serve_large(1);
    let mut peer = server.open();
    peer.say("large");
    expect_drain_of_large(peer, &watch);
}

/// O7.
#[test]
fn what_a_thread_publishes_and_the_kernel_takes_in_part_is_followed_by_on_drain() {
    let (server, watch) = serve_large(1);
    let mut peer = server.open();
    assert_eq!(peer.ask("subscribe"), "subscribed");
    publish(server.handle(), "room", &vec![0xFF; LARGE]);
    expect_drain_of_large(peer, &watch);
}

/// O7: to a subscriber on the same worker and on another.
#[test]
fn what_a_handler_publishes_and_the_kernel_takes_in_part_is_followed_by_on_drain() {
    for subscriber in [1, 2] {
        let (server, watch) = serve_large(2);
        let mut peers: Vec<Peer> = (0..3).map(|_| server.open()).collect();
        let mut peer = peers.remove(subscriber);
        assert_eq!(peer.ask("subscribe"), "subscribed");
        assert_eq!(peers[0].ask("publish"), "published");
        expect_drain_of_large(peer, &watch);
    }
}

fn id(peer: &mut Peer) -> ConnectionId {
    ConnectionId::from_u64(peer.ask("id").parse().unwrap())
}

/// O7: whatever the application sees waiting.
#[test]
fn whenever_the_application_sees_bytes_wait_on_drain_follows() {
    let (server, watch) = serve_large(1);
    let mut peer = server.open();
    for _ in 0..10 {
        assert_eq!(peer.ask("small"), "small");
        assert!(buffered(&watch) > 0);
        expect_drain(&watch);
    }
}

// ---- conflation -----------------------------------------------------------------------------

const CONFLATED: &str = "price";

fn serve_conflated() -> (Running, super::clients::Keeper) {
    let (gate, keeper) = gate();
    let options = TopicOptions::new().conflate();
    let server = serve(
        builder(2).topic(CONFLATED, options),
        move |socket, text| match text {
            "block" => gate.wait(),
            "large" => _ = socket.send(vec![0xFF; LARGE]),
            _ => {
                for number in 0..10 {
                    socket.publish(CONFLATED, &*format!("{text} {number}"));
                }
                let _ = socket.send("published");
            }
        },
    );
    (server, keeper)
}

/// What is heard up to the last one is in its order.
#[track_caller]
fn expect_up_to(client: &mut Client, last: usize) {
    let mut before = None;
    while before != Some(last) {
        let number = Some(client.peer.hear().parse().unwrap());
        assert!(number > before, "{number:?} after {before:?}");
        before = number;
    }
}

const BURST: usize = 10_000;

/// O7.
#[test]
fn the_last_of_a_burst_to_a_conflated_topic_comes_to_one_that_does_not_read() {
    let (server, _keeper) = serve_conflated();
    let mut client = Client::open(&server);
    client.subscribe(CONFLATED);
    client.peer.say("large");
    for number in 0..BURST {
        publish(server.handle(), CONFLATED, &*number.to_string());
    }
    client.peer.expect(BINARY, vec![0xFF; LARGE]);
    expect_up_to(&mut client, BURST - 1);
}

/// O7.
#[test]
fn messages_that_gave_way_to_later_ones_are_counted() {
    let (server, _keeper) = serve_conflated();
    let mut client = Client::open(&server);
    client.subscribe(CONFLATED);
    client.peer.say("large");
    for number in 0..BURST {
        publish(server.handle(), CONFLATED, &*number.to_string());
    }
    client.peer.expect(BINARY, vec![0xFF; LARGE]);
    let mut heard = 1;
    while client.peer.hear() != (BURST - 1).to_string() {
        heard += 1;
    }
    let stats = server.handle().stats();
    assert_eq!(stats.conflated, (BURST - heard) as u64);
    assert_eq!(stats.dropped, 0);
}

#[test]
fn the_last_of_a_burst_to_a_conflated_topic_comes_to_one_whose_worker_was_blocked() {
    let (server, keeper) = serve_conflated();
    let mut clients = open_in_turn(&server, 2, 2);
    for client in &mut clients {
        client.subscribe(CONFLATED);
    }
    clients[0].peer.say("block");
    keeper.wait();
    for number in 0..BURST {
        publish(server.handle(), CONFLATED, &*number.to_string());
    }
    keeper.open.send(()).unwrap();
    for client in &mut clients {
        expect_up_to(client, BURST - 1);
    }
}

/// O7: a subscriber that keeps up is not behind.
#[test]
fn who_reads_each_message_of_a_conflated_topic_before_the_next_gets_all() {
    let (server, _keeper) = serve_conflated();
    let mut clients = open_in_turn(&server, 2, 2);
    for client in &mut clients {
        client.subscribe(CONFLATED);
    }
    for number in 0..200 {
        let text = number.to_string();
        publish(server.handle(), CONFLATED, &*text);
        for client in &mut clients {
            assert_eq!(client.peer.hear(), text);
        }
    }
}

/// O7: ten at once are not too many for one that has read all before.
#[test]
fn who_keeps_up_with_a_conflated_topic_loses_nothing_of_what_a_handler_publishes_at_once() {
    const BURSTS: usize = 100;
    let (server, _keeper) = serve_conflated();
    let mut clients = open_in_turn(&server, 2, 3);
    let mut publisher = clients.remove(0);
    for client in &mut clients {
        client.subscribe(CONFLATED);
    }
    let mut lost = [0; 2];
    for burst in 0..BURSTS {
        assert_eq!(publisher.peer.ask(&burst.to_string()), "published");
        for (client, lost) in clients.iter_mut().zip(&mut lost) {
            server.handle().send(client.id, "end").unwrap();
            *lost += 10 - client.hear_until("end").len();
        }
    }
    let where_ = "on another worker, on the publisher's";
    assert_eq!(lost, [0; 2], "lost of {}: {where_}", 10 * BURSTS);
}

// ---- gone -----------------------------------------------------------------------------------

/// O7: also when another has its place.
#[test]
fn a_message_to_a_connection_that_is_gone_is_refused() {
    let taken = [1, 2].map(|workers| {
        let (probe, watch) = Probe::new(|socket, _, _| {
            let id = socket.id().to_u64().to_string();
            let _ = socket.send(&*id);
        });
        let (observer, observed) = observing();
        let (server, watch) = serve_with(|_| builder(workers).observer(observer), (probe, watch));
        let handle = server.handle();
        let mut taken = 0;
        for round in 0..20 {
            let mut peer = server.open();
            let gone = id(&mut peer);
            match round % 2 {
                0 => peer.close(),
                _ => handle.terminate(gone).unwrap(),
            }
            let how = match round % 2 {
                0 => (1000, How::Clean),
                _ => (1006, How::Terminated),
            };
            assert_eq!(watch.close(), how);
            wait_for_ends(&observed, 1);
            taken += usize::from(handle.send(gone, "late").is_ok());
            let mut next = server.open();
            next.ask("id");
            taken += usize::from(handle.send(gone, "late").is_ok());
            next.close();
            watch.close();
            wait_for_ends(&observed, 1);
        }
        taken
    });
    assert_eq!(taken, [0; 2], "taken of 40, by workers");
}

#[test]
fn a_handle_tells_which_connections_are_open() {
    let (observer, ends) = observing();
    let server = serve(builder(2).observer(observer), |_, _| ());
    let (client, other) = (Client::open(&server), Client::open(&server));
    let (handle, id) = (server.handle().clone(), client.id);
    assert!(handle.is_open(id) && handle.is_open(other.id));
    drop(client);
    wait_for_ends(&ends, 1);
    assert!(!handle.is_open(id) && handle.is_open(other.id));
    assert!(!handle.is_open(ConnectionId::from_u64(u64::MAX)));
}
