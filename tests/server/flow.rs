//! Backpressure and fairness of the server, over real sockets: docs/cases.md D6, D7, D9, D16.

use core::time::Duration;
use std::io::{ErrorKind, Write as _};
use std::sync::Mutex;
use std::sync::mpsc::channel;

use harness::net::{
    GUARD, How, Peer, Probe, Told, config, masked_frame, patient, serve, serve_with,
};
use harness::sansio::{BINARY, CLOSE, PING, PONG, TEXT};
use sockeye::server::Sent;

/// What both kernels' socket buffers hold at most, by far.
const KERNEL: usize = 32 << 20;

/// Writes until nothing is taken for a while. Answers how many bytes were, in whole and in part.
fn fill(peer: &mut Peer, bytes: &[u8]) -> usize {
    let stream = peer.stream();
    stream
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let mut taken = 0;
    loop {
        match stream.write(&bytes[taken..]) {
            Ok(count) => taken += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
        assert!(taken < bytes.len(), "all was taken: nothing paused");
    }
    stream.set_write_timeout(Some(GUARD)).unwrap();
    taken
}

/// D7.
#[test]
fn a_peer_that_sends_and_never_reads_is_not_read_from_until_it_reads() {
    const SIZE: usize = 10_000;
    const LIMIT: usize = 100_000;
    let (probe, watch) = Probe::new(|socket, message, told| {
        let sent = socket.send(message);
        assert_ne!(sent, Sent::Dropped);
        let _ = told.send(Told::Drain {
            buffered: socket.buffered(),
        });
    });
    let (server, watch) = serve_with(
        |it| it.config(patient()).pause_reading_at(LIMIT),
        (probe, watch),
    );
    let mut peer = server.open();
    let count = 2 * KERNEL / SIZE;
    let message = |at: usize| -> Vec<u8> {
        let number = (at as u32).to_be_bytes();
        number.repeat(SIZE / 4)
    };
    let bytes: Vec<u8> = (0..count)
        .flat_map(|at| masked_frame(true, BINARY, &message(at)))
        .collect();
    let taken = fill(&mut peer, &bytes);
    // It goes on where it stopped, and nothing is lost.
    let mut writer = peer.stream().try_clone().unwrap();
    let rest = &bytes[taken..];
    std::thread::scope(|scope| {
        scope.spawn(move || writer.write_all(rest).unwrap());
        for at in 0..count {
            peer.expect(BINARY, message(at));
        }
    });
    peer.send(CLOSE, "");
    peer.expect(CLOSE, "");
    drop(peer);
    drop(server);
    let most = watch.rest().into_iter().filter_map(|told| match told {
        Told::Drain { buffered } => Some(buffered),
        _ => None,
    });
    let most = most.max().unwrap();
    assert!(most > LIMIT, "it came to the limit");
    assert!(most < 2 * LIMIT + 64 * 1024, "{most} bytes waited");
}

/// D6: pongs count as what else waits.
#[test]
fn a_peer_that_pings_and_never_reads_is_not_read_from() {
    let (server, _) = serve_with(
        |it| it.config(patient()).pause_reading_at(100_000),
        Probe::echo(),
    );
    let mut peer = server.open();
    let pings = masked_frame(true, PING, &[7; 125]).repeat(2 * KERNEL / 131);
    let taken = fill(&mut peer, &pings);
    for _ in 0..taken / 131 {
        peer.expect(PONG, [7; 125]);
    }
}

/// One message is answered with many: [`Sent`] tells where the limit is.
#[test]
fn send_answers_dropped_at_the_limit_and_drain_follows() {
    const LIMIT: usize = 1 << 20;
    let (probe, watch) = Probe::new(|socket, _, told| {
        let answers: Vec<Sent> = (0..20).map(|_| socket.send(&[1; 100_000])).collect();
        let _ = told.send(Told::Note(format!("{answers:?}")));
        assert!(socket.buffered() <= LIMIT + 1000);
    });
    let (server, watch) = serve_with(
        |it| it.config(patient()).max_backpressure(LIMIT),
        (probe, watch),
    );
    let mut peer = server.open();
    peer.send(TEXT, "");
    for _ in 0..10 {
        peer.expect(BINARY, [1; 100_000]);
    }
    let expected = [[Sent::Sent; 10], [Sent::Dropped; 10]].concat();
    assert_eq!(watch.next(), Told::Open);
    assert_eq!(watch.next(), Told::Message(Vec::new()));
    assert_eq!(watch.next(), Told::Note(format!("{expected:?}")));
    assert_eq!(watch.next(), Told::Drain { buffered: 0 });
}

#[test]
fn behind_a_backlog_send_answers_queued_and_drain_follows() {
    let (probe, watch) = Probe::new(|socket, message, told| {
        let large = vec![2; KERNEL];
        let sent = match message.is_text() {
            true => socket.send(message),
            false => socket.send(&large),
        };
        let _ = told.send(Told::Note(format!("{sent:?}")));
    });
    let (server, watch) = serve_with(
        |it| {
            let limit = 2 * KERNEL;
            it.config(patient())
                .max_backpressure(limit)
                .pause_reading_at(limit)
        },
        (probe, watch),
    );
    let mut peer = server.open();
    peer.send(BINARY, "");
    assert_eq!(watch.next(), Told::Open);
    assert_eq!(watch.next(), Told::Message(Vec::new()));
    assert_eq!(watch.next(), Told::Note("Sent".into()));
    // More than the kernel takes: the next one waits behind it.
    peer.send(TEXT, "behind");
    assert_eq!(watch.next(), Told::Message(b"behind".to_vec()));
    assert_eq!(watch.next(), Told::Note("Queued".into()));
    peer.expect(BINARY, vec![2; KERNEL]);
    peer.expect(TEXT, "behind");
    assert_eq!(watch.next(), Told::Drain { buffered: 0 });
}

#[test]
fn a_peer_that_takes_nothing_for_send_timeout_is_dropped() {
    let (probe, watch) = Probe::new(|socket, _, _| {
        let _ = socket.send(vec![3; KERNEL]);
    });
    let (server, watch) = serve_with(
        |it| {
            it.config(patient())
                .max_backpressure(2 * KERNEL)
                .send_timeout(Duration::from_millis(100))
        },
        (probe, watch),
    );
    let mut peer = server.open();
    peer.send(BINARY, "");
    assert_eq!(watch.close(), (1006, How::Stalled));
    peer.expect_end();
    drop(server);
    assert_eq!(watch.rest(), []);
}

/// D16.
#[test]
fn a_busy_peer_does_not_keep_another_waiting() {
    let (server, _) = serve(
        patient(),
        Probe::new(|socket, message, _| {
            // The flood is binary and needs no answer, so it never pauses.
            if message.is_text() {
                let _ = socket.send(message);
            }
        }),
    );
    let mut busy = server.open();
    let mut writer = busy.stream().try_clone().unwrap();
    let flood = masked_frame(true, BINARY, b"x").repeat(100_000);
    let mut peer = server.open();
    std::thread::scope(|scope| {
        scope.spawn(move || while writer.write_all(&flood).is_ok() {});
        for _ in 0..100 {
            peer.send(TEXT, "hello");
            peer.expect(TEXT, "hello");
        }
        busy.stream().shutdown(std::net::Shutdown::Both).unwrap();
    });
}

/// D9: a worker that was kept waiting looks at what came before it gives a peer up.
#[test]
fn a_pong_that_came_in_time_counts_also_when_the_worker_is_late() {
    let short = Duration::from_millis(100);
    let (release, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let (probe, watch) = Probe::new(move |_, _, told| {
        let _ = told.send(Told::Note("the worker is kept".into()));
        let _ = wait.lock().unwrap().recv_timeout(8 * short);
    });
    let keep_alive = config(|it| {
        it.ping_interval = Some(short);
        it.pong_timeout = Duration::from_millis(400);
    });
    let (server, watch) = serve(keep_alive, (probe, watch));
    let (mut peer, mut keeper) = (server.open(), server.open());
    let ping = peer.frame();
    assert_eq!(ping.opcode, PING);
    keeper.send(TEXT, "");
    while watch.next() != Told::Note("the worker is kept".into()) {}
    peer.send(PONG, &ping.payload);
    // The next thing is another ping, not a Close.
    assert_eq!(peer.frame().opcode, PING);
    drop(release);
}
