//! The blocking client keeps its promises in time: a server that takes nothing, waiting for a
//! while only, and what came while nobody received.

use core::time::Duration;
use std::io::{ErrorKind, Write as _};
use std::time::Instant;

use harness::net::config;
use harness::net::script::{Script, next_frame, served};
use harness::sansio::{PING, PONG, TEXT};
use sockeye::Error;
use sockeye::client::{ConnectOptions, Received};
use sockeye::error::{LimitError, Misuse};
use sockeye::proto::CloseCode;

const SHORT: Duration = Duration::from_millis(100);
/// Far over what anything here takes on a busy machine, far under any default.
const LONG: Duration = Duration::from_secs(5);

/// The time is the test's subject.
#[allow(clippy::disallowed_methods)]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

fn timed_out(received: Received<'_>) -> bool {
    matches!(received, Received::TimedOut)
}

/// A server that pings without end and reads nothing.
fn flooding() -> Script {
    Script::open(Vec::new(), |mut peer| {
        let pings = served(PING, &[7; 125]).repeat(500);
        while peer.stream().write_all(&pings).is_ok() {}
    })
}

#[test]
fn a_server_that_takes_nothing_ends_a_send_at_send_timeout() {
    let server = Script::open(Vec::new(), |mut peer| {
        // Until the client is gone; nothing is read before.
        let pings = served(PING, b"p");
        while peer.stream().write_all(&pings).is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let mut options = ConnectOptions::default();
    options.send_timeout = SHORT;
    let mut client = options.connect(&server.url).unwrap();
    let (result, time) = timed(|| client.send(&vec![0; 100 << 20]));
    assert!(
        matches!(&result, Err(Error::Io(it)) if it.kind() == ErrorKind::TimedOut),
        "{result:?}"
    );
    assert!(SHORT <= time && time < LONG, "{time:?}");
    // A frame was cut: the connection is over.
    assert!(!client.is_open());
    let result = client.send("more");
    assert!(matches!(result, Err(Error::Misuse(Misuse::Closed))));
    assert!(client.recv().unwrap().is_none());
    assert_eq!(client.closed().unwrap().code, CloseCode::ABNORMAL);
    client.close(None, "").unwrap();
    drop(client);
    server.end();
}

#[test]
fn a_slow_server_that_goes_on_taking_is_waited_for() {
    let server = Script::open(Vec::new(), |mut peer| {
        use std::io::Read as _;
        let mut buffer = vec![0; 1 << 20];
        let mut left = 14 + (20 << 20);
        while left > 0 {
            std::thread::sleep(Duration::from_millis(20));
            left -= peer.stream().read(&mut buffer).unwrap();
        }
        peer.expect_end();
    });
    let mut options = ConnectOptions::default();
    options.send_timeout = 5 * SHORT;
    let mut client = options.connect(&server.url).unwrap();
    client.send(&vec![0; 20 << 20]).unwrap();
    drop(client);
    server.end();
}

#[test]
fn pongs_that_are_not_taken_hold_up_neither_recv_timeout_nor_close() {
    let server = flooding();
    let quick = config(|it| it.close_timeout = SHORT);
    let mut client = server.connect_with(quick).unwrap();
    let (result, time) = timed(|| client.recv_timeout(3 * SHORT).map(timed_out));
    assert!(matches!(result, Ok(true)), "{result:?}");
    assert!(3 * SHORT <= time && time < LONG, "{time:?}");
    assert!(client.is_open());
    let (result, time) = timed(|| client.close(None, ""));
    let limit = LimitError::Close { timeout: SHORT };
    assert!(
        matches!(result, Err(Error::Limit(it)) if it == limit),
        "{result:?}"
    );
    assert!(time < LONG, "{time:?}");
    drop(client);
    server.end();
}

#[test]
fn pongs_that_are_not_taken_end_recv_at_send_timeout() {
    let server = flooding();
    let mut options = ConnectOptions::default();
    options.send_timeout = SHORT;
    let mut client = options.connect(&server.url).unwrap();
    let (result, time) = timed(|| client.recv().map(|it| it.is_none()));
    assert!(
        matches!(&result, Err(Error::Io(it)) if it.kind() == ErrorKind::TimedOut),
        "{result:?}"
    );
    assert!(time < LONG, "{time:?}");
    drop(client);
    server.end();
}

#[test]
fn recv_timeout_waits_for_so_long_and_loses_nothing() {
    let frame = served(TEXT, b"Hello");
    let (first, rest) = (frame[..4].to_vec(), frame[4..].to_vec());
    let server = Script::open(first, move |mut peer| {
        assert_eq!(next_frame(&mut peer).payload, b"go on");
        peer.write(&rest);
        assert_eq!(next_frame(&mut peer).payload, b"end");
    });
    let mut client = server.connect();
    let (none, time) = timed(|| timed_out(client.recv_timeout(SHORT).unwrap()));
    assert!(none && client.is_open());
    assert!(SHORT <= time && time < LONG, "{time:?}");
    let (none, time) = timed(|| timed_out(client.recv_timeout(Duration::ZERO).unwrap()));
    assert!(none && time < LONG, "{time:?}");
    client.send("go on").unwrap();
    let message = client.recv_timeout(LONG).unwrap().message();
    let message = message.map(|it| it.into_text());
    assert_eq!(message, Some(Ok("Hello".into())));
    client.send("end").unwrap();
    // The end is told at once, and is no timeout.
    let (result, time) = timed(|| client.recv_timeout(2 * LONG).map(drop));
    let eof = |error: &std::io::Error| error.kind() == ErrorKind::UnexpectedEof;
    assert!(
        matches!(&result, Err(Error::Io(it)) if eof(it)),
        "{result:?}"
    );
    assert!(!client.is_open() && client.closed().is_some());
    assert!(time < LONG, "{time:?}");
    server.end();
}

#[test]
fn recv_timeout_of_zero_takes_what_is_there() {
    let server = Script::open(served(TEXT, b"Hello"), |mut peer| {
        peer.expect_end();
    });
    let mut client = server.connect();
    std::thread::sleep(SHORT);
    let message = client.recv_timeout(Duration::ZERO).unwrap();
    assert_eq!(message.message().unwrap().as_text(), Some("Hello"));
    drop(client);
    server.end();
}

#[test]
fn a_pong_that_came_while_nobody_received_counts_and_measures_the_round_trip() {
    let server = Script::open(Vec::new(), |mut peer| {
        let ping = next_frame(&mut peer);
        assert_eq!(ping.opcode, PING);
        peer.write(served(PONG, &ping.payload));
        peer.expect_end();
    });
    let keep_alive = config(|it| {
        it.ping_interval = Some(SHORT);
        it.pong_timeout = 2 * SHORT;
    });
    let mut client = server.connect_with(keep_alive).unwrap();
    assert_eq!(client.round_trip(), None);
    assert!(timed_out(client.recv_timeout(SHORT).unwrap()));
    for _ in 0..50 {
        // The ping is sent by the first call that finds it due; its pong is there long since.
        if client.round_trip().is_some() {
            break;
        }
        std::thread::sleep(4 * SHORT);
        assert!(timed_out(client.recv_timeout(Duration::ZERO).unwrap()));
    }
    assert!(client.round_trip().is_some());
    assert!(client.is_open());
    drop(client);
    server.end();
}
