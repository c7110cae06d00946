//! One connection and several threads: a half that sends, a half that receives, and closing from
//! elsewhere.

use core::time::Duration;
use std::io::Write as _;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Instant;

use harness::net::script::{Script, next_frame, served};
use harness::net::{GUARD, Probe, config, patient, serve};
use harness::sansio::{BINARY, CLOSE, PING, PONG, TEXT, close_payload};
use sockeye::Error;
use sockeye::client::{Received, connect};
use sockeye::error::Misuse;
use sockeye::proto::CloseCode;

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(5);

/// The time is the test's subject.
#[allow(clippy::disallowed_methods)]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

#[test]
fn a_send_waits_for_no_receiver() {
    let (server, _watch) = serve(patient(), Probe::echo());
    let client = connect(&format!("ws://{}/chat", server.address)).unwrap();
    let (sender, mut receiver) = client.split().unwrap();
    let (hear, heard) = channel();
    let listening = thread::spawn(move || {
        while let Some(message) = receiver.recv().unwrap() {
            hear.send(message.into_text().unwrap()).unwrap();
        }
        receiver.closed().unwrap()
    });
    // The receiver waits all the time, but for when it has something. The best of many: others use
    // the machine, too.
    let sends = (0..200).map(|number: u32| {
        let text = number.to_string();
        let (sent, time) = timed(|| sender.send(&text));
        sent.unwrap();
        assert_eq!(heard.recv_timeout(GUARD).unwrap(), text);
        time
    });
    let best = sends.min().unwrap();
    assert!(best < Duration::from_millis(2), "{best:?}");
    sender.close(CloseCode(4000), "done").unwrap();
    assert!(!sender.is_open());
    assert!(matches!(
        sender.send("late"),
        Err(Error::Misuse(Misuse::Closed))
    ));
    let closed = listening.join().unwrap();
    assert_eq!((closed.code, closed.clean), (CloseCode(4000), true));
}

#[test]
fn several_senders_send_whole_messages_while_the_server_does_too() {
    let (server, _watch) = serve(config(|it| it.max_message_size = 4 << 20), Probe::echo());
    let mut options = sockeye::client::ConnectOptions::default();
    options.config.max_message_size = 4 << 20;
    let client = options
        .connect(&format!("ws://{}/chat", server.address))
        .unwrap();
    let (sender, mut receiver) = client.split().unwrap();
    // More than the sockets' buffers hold: who sends waits, and the receiver goes on.
    const EACH: usize = 8;
    let senders: Vec<_> = (0..3_u8)
        .map(|name| {
            let sender = sender.clone();
            thread::spawn(move || {
                for _ in 0..EACH {
                    sender.send(&vec![name; 1 << 20]).unwrap();
                }
            })
        })
        .collect();
    let mut counts = [0; 3];
    while counts.iter().sum::<usize>() < 3 * EACH {
        let message = receiver.recv().unwrap().unwrap();
        let bytes = message.as_bytes();
        assert!(bytes.len() == 1 << 20 && bytes.iter().all(|it| *it == bytes[0]));
        counts[usize::from(bytes[0])] += 1;
    }
    assert_eq!(counts, [EACH; 3]);
    for sender in senders {
        sender.join().unwrap();
    }
}

#[test]
fn a_receiver_with_a_time_limit_keeps_it_and_sees_pongs() {
    let server = Script::open(Vec::new(), |mut peer| {
        let ping = next_frame(&mut peer);
        assert_eq!(ping.opcode, PING);
        peer.write(served(PONG, &ping.payload));
        peer.write(served(PING, b"you"));
        assert_eq!(next_frame(&mut peer).payload, b"you");
        peer.write(served(TEXT, b"text"));
        peer.expect_end();
    });
    let (sender, mut receiver) = server.connect().split().unwrap();
    for timeout in [Duration::ZERO, SHORT] {
        let (received, time) = timed(|| receiver.recv_timeout(timeout).unwrap());
        assert!(matches!(received, Received::TimedOut), "{received:?}");
        assert!(timeout <= time && time < LONG, "{time:?}");
    }
    sender.ping(b"me").unwrap();
    let pong = receiver.recv_event(Some(LONG)).unwrap();
    assert!(
        matches!(&pong, Received::Pong(it) if it == b"me"),
        "{pong:?}"
    );
    let message = receiver.recv_timeout(LONG).unwrap().message();
    assert_eq!(message.unwrap().as_text(), Some("text"));
    drop((sender, receiver));
    server.end();
}

/// The end reaches both halves, and the sender isn't told of it by waiting.
#[test]
fn the_servers_end_ends_both_halves() {
    let server = Script::open(served(CLOSE, &close_payload(4001, b"why")), |mut peer| {
        assert_eq!(next_frame(&mut peer).close_code(), Some(4001));
    });
    let (sender, mut receiver) = server.connect().split().unwrap();
    for _ in 0..2 {
        assert!(receiver.recv().unwrap().is_none());
    }
    assert!(!sender.is_open());
    assert_eq!(&*receiver.closed().unwrap().reason, "why");
    assert!(matches!(
        sender.send("late"),
        Err(Error::Misuse(Misuse::Closed))
    ));
    sender.close(None, "").unwrap();
    server.end();
}

#[test]
fn a_sender_that_the_server_takes_nothing_from_ends_at_send_timeout() {
    let (done, wait) = channel::<()>();
    let server = Script::open(Vec::new(), move |_peer| _ = wait.recv_timeout(GUARD));
    let mut options = sockeye::client::ConnectOptions::default();
    options.send_timeout = SHORT;
    let (sender, mut receiver) = options.connect(&server.url).unwrap().split().unwrap();
    let waiting = thread::spawn(move || receiver.recv().map(|it| it.is_none()));
    let (result, time) = timed(|| sender.send(&vec![0; 100 << 20]));
    assert!(matches!(result, Err(Error::Io(_))), "{result:?}");
    assert!(SHORT <= time && time < LONG, "{time:?}");
    // The other half isn't left waiting.
    let received = waiting.join().unwrap();
    assert!(
        matches!(received, Ok(true) | Err(Error::Io(_))),
        "{received:?}"
    );
    assert!(!sender.is_open());
    drop(done);
    server.end();
}

#[test]
fn a_closer_ends_a_client_that_waits() {
    for split in [false, true] {
        let server = Script::open(Vec::new(), |mut peer| {
            assert_eq!(next_frame(&mut peer).opcode, TEXT);
            assert_eq!(next_frame(&mut peer).close_code(), Some(1001));
            peer.write(served(CLOSE, &close_payload(1001, b"")));
        });
        let mut client = server.connect();
        let closer = client.closer().unwrap();
        client.send("here").unwrap();
        let closing = thread::spawn(move || closer.close());
        if split {
            let (_sender, mut receiver) = client.split().unwrap();
            assert!(receiver.recv().unwrap().is_none());
            assert!(receiver.closed().unwrap().local);
        } else {
            assert!(client.recv().unwrap().is_none());
            assert!(client.closed().unwrap().clean);
        }
        closing.join().unwrap();
        server.end();
    }
}

/// Also where the server keeps it busy.
#[test]
fn a_closer_ends_a_client_that_is_flooded() {
    let server = Script::open(Vec::new(), |mut peer| {
        let data = served(BINARY, &[0; 1000]).repeat(50);
        while peer.stream().write_all(&data).is_ok() {}
    });
    let quick = config(|it| it.close_timeout = SHORT);
    let mut client = server.connect_with(quick).unwrap();
    client.closer().unwrap().close();
    let (result, time) = timed(|| {
        loop {
            match client.recv() {
                Ok(Some(_)) => {}
                end => return end.map(drop),
            }
        }
    });
    assert!(matches!(result, Err(Error::Limit(_))), "{result:?}");
    assert!(time < LONG, "{time:?}");
    drop(client);
    server.end();
}
