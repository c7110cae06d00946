//! The end of a connection, whatever its kind: told once and at once, with what the server had said
//! before. docs/cases.md C13, C14, C15, C16.

use core::ops::ControlFlow;
use core::time::Duration;
use std::io::{ErrorKind, Write as _};
use std::sync::mpsc::channel;
use std::time::Instant;

use harness::net::script::{Script, next_frame, served, switching};
use harness::net::{GUARD, Peer, config};
use harness::sansio::{BINARY, CLOSE, KEY, PING, PONG, TEXT, close_payload, frame};
use sockeye::Error;
use sockeye::client::{Client, ConnectOptions, Received};
use sockeye::error::{LimitError, Misuse, ProtocolError};
use sockeye::proto::CloseCode;

const SHORT: Duration = Duration::from_millis(100);
/// Far over what anything here takes on a busy machine, and under any default.
const LONG: Duration = Duration::from_secs(5);

/// The time is the test's subject.
#[allow(clippy::disallowed_methods)]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// A connection that is over, and knows it.
#[track_caller]
fn over(client: &mut Client, code: CloseCode) {
    assert!(!client.is_open());
    assert_eq!(client.closed().unwrap().code, code);
    for _ in 0..3 {
        assert!(client.recv().unwrap().is_none());
    }
    assert!(matches!(
        client.recv_timeout(LONG).unwrap(),
        Received::Closed
    ));
    assert!(matches!(
        client.send("late"),
        Err(Error::Misuse(Misuse::Closed))
    ));
    client.close(None, "").unwrap();
    assert_eq!(client.closed().unwrap().code, code);
}

#[track_caller]
fn io_error<T: core::fmt::Debug>(result: Result<T, Error>) -> std::io::Error {
    match result {
        Err(Error::Io(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// A server that keeps TCP open until the returned sender is dropped.
fn held(behind: Vec<u8>) -> (Script, std::sync::mpsc::Sender<()>) {
    let (done, wait) = channel::<()>();
    let script = Script::open(behind, move |_peer| _ = wait.recv_timeout(GUARD));
    (script, done)
}

/// C13.
#[test]
fn a_close_with_tcp_left_open_is_told_at_once() {
    let (server, done) = held(served(CLOSE, &close_payload(4000, b"bye")));
    let mut client = server.connect();
    let (result, time) = timed(|| client.recv().map(|it| it.is_none()));
    assert!(matches!(result, Ok(true)), "{result:?}");
    assert!(time < LONG, "{time:?}");
    assert_eq!(client.closed().unwrap().code, CloseCode(4000));
    // Also with a time limit, however often it is asked.
    let (result, time) = timed(|| {
        let again = client.recv_timeout(SHORT);
        again.map(|it| matches!(it, Received::Closed))
    });
    assert!(matches!(result, Ok(true)), "{result:?}");
    assert!(time < LONG, "{time:?}");
    // And leaving it isn't held up.
    let ((), time) = timed(|| drop(client));
    assert!(time < LONG, "{time:?}");
    drop(done);
    server.end();
}

/// C13.
#[test]
fn a_fault_is_told_at_once_and_a_flood_behind_it_is_bounded() {
    let (tell, sent) = channel();
    let server = Script::open(
        frame(true, 0, TEXT, Some(KEY), b"masked"),
        move |mut peer| {
            let data = served(BINARY, &[0; 60_000]);
            let mut bytes = 0_u64;
            while peer.stream().write_all(&data).is_ok() {
                bytes += data.len() as u64;
            }
            tell.send(bytes).unwrap();
        },
    );
    let mut client = server.connect();
    for _ in 0..2 {
        let (result, time) = timed(|| client.recv_timeout(SHORT).map(drop));
        assert!(
            matches!(result, Err(Error::Protocol(ProtocolError::Masked))),
            "{result:?}"
        );
        assert!(time < LONG, "{time:?}");
        assert!(!client.is_open());
        let closed = client.closed().unwrap();
        assert_eq!((closed.code, closed.clean), (CloseCode::ABNORMAL, false));
        assert_eq!(
            closed.sent.as_ref().unwrap().code,
            CloseCode::PROTOCOL_ERROR
        );
    }
    drop(client);
    // What was dropped, and what the sockets' buffers hold.
    let bytes = sent.recv_timeout(GUARD).unwrap();
    assert!(bytes < 64 << 20, "{bytes} B");
    server.end();
}

/// C13.
#[test]
fn a_dead_server_is_told_at_once() {
    let (server, done) = held(Vec::new());
    let keep_alive = config(|it| {
        it.ping_interval = Some(SHORT);
        it.pong_timeout = SHORT;
    });
    let mut client = server.connect_with(keep_alive).unwrap();
    let (result, time) = timed(|| client.recv_timeout(LONG).map(drop));
    let limit = LimitError::Pong { timeout: SHORT };
    assert!(
        matches!(result, Err(Error::Limit(it)) if it == limit),
        "{result:?}"
    );
    assert!(2 * SHORT <= time && time < LONG, "{time:?}");
    assert_eq!(client.closed().unwrap().code, CloseCode::ABNORMAL);
    let ((), time) = timed(|| drop(client));
    assert!(time < LONG, "{time:?}");
    drop(done);
    server.end();
}

/// C14: a reset while it reads.
#[test]
fn a_reset_ends_it_once_with_1006() {
    let server = Script::open(Vec::new(), |mut peer| {
        // Ending with bytes unread resets the connection.
        peer.stream().peek(&mut [0]).unwrap();
    });
    let mut client = server.connect();
    client.send("never read").unwrap();
    let error = io_error(client.recv().map(drop));
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    over(&mut client, CloseCode::ABNORMAL);
    server.end();
}

/// C14.
#[test]
fn an_end_inside_a_message_is_no_orderly_one() {
    let half = frame(false, 0, TEXT, None, b"the first half");
    let server = Script::open(half, |_| {});
    let mut client = server.connect();
    let error = io_error(client.recv().map(drop));
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert!(error.to_string().contains("inside a message"), "{error}");
    assert!(client.closed().unwrap().truncated);
    over(&mut client, CloseCode::ABNORMAL);
    server.end();
}

/// C14: also where it is this side that had closed.
#[test]
fn a_server_that_answers_a_close_by_ending_the_stream_is_no_error_unless_it_cuts_a_message() {
    for cut in [false, true] {
        let server = Script::open(Vec::new(), move |mut peer| {
            assert_eq!(next_frame(&mut peer).close_code(), Some(1000));
            if cut {
                peer.write(frame(false, 0, TEXT, None, b"the first half"));
            }
        });
        let mut client = server.connect();
        let result = client.close(CloseCode::NORMAL, "");
        assert_eq!(result.is_err(), cut, "{result:?}");
        let closed = client.closed().unwrap();
        assert!(!closed.clean && closed.local);
        over(&mut client, CloseCode::ABNORMAL);
        server.end();
    }
}

/// C15: a server that says why, and hangs up while the client sends.
#[test]
fn what_the_server_has_said_comes_first_although_a_send_failed() {
    let behind = [
        served(TEXT, b"your order is void"),
        served(CLOSE, &close_payload(4001, b"market closed")),
    ]
    .concat();
    let (tell, gone) = channel();
    let server = Script::open(behind, move |peer| {
        drop(peer);
        tell.send(()).unwrap();
    });
    let mut client = server.connect();
    gone.recv_timeout(GUARD).unwrap();
    // The first is answered by a reset, behind which none succeeds.
    let failed = (0..1000).find_map(|_| client.send(&[0; 1000]).err());
    assert!(matches!(failed, Some(Error::Io(_))), "{failed:?}");
    assert!(!client.is_open());
    assert!(matches!(
        client.send("more"),
        Err(Error::Misuse(Misuse::Closed))
    ));
    let message = client.recv().unwrap().unwrap();
    assert_eq!(message.as_text(), Some("your order is void"));
    assert!(client.recv().unwrap().is_none());
    let closed = client.closed().unwrap();
    assert_eq!(
        (closed.code.0, &*closed.reason, closed.clean),
        (4001, "market closed", false)
    );
    over(&mut client, CloseCode(4001));
    server.end();
}

/// C15: nothing was said. The failed send has told the end, and it isn't told again.
#[test]
fn a_send_that_failed_is_the_end_at_once() {
    let (tell, gone) = channel();
    let server = Script::open(Vec::new(), move |mut peer| {
        peer.stream().peek(&mut [0]).unwrap();
        drop(peer);
        tell.send(()).unwrap();
    });
    let mut client = server.connect();
    client.send("unread").unwrap();
    gone.recv_timeout(GUARD).unwrap();
    let failed = (0..1000).find_map(|_| client.send(&[0; 1000]).err());
    assert!(matches!(failed, Some(Error::Io(_))), "{failed:?}");
    over(&mut client, CloseCode::ABNORMAL);
    server.end();
}

/// C16.
#[test]
fn looking_without_waiting_takes_no_time() {
    let (server, done) = held(Vec::new());
    let mut client = server.connect();
    // The best of many: others use the machine, too.
    let looks = (0..1000).map(|_| {
        let (received, time) = timed(|| client.recv_timeout(Duration::ZERO).unwrap().message());
        assert!(received.is_none());
        time
    });
    let best = looks.min().unwrap();
    assert!(best < Duration::from_micros(500), "{best:?}");
    assert!(client.is_open());
    drop(done);
    server.end();
}

/// C16. A Unix socket's bytes are there as soon as they are written.
#[cfg(unix)]
#[test]
fn all_that_has_come_is_found_by_one_look() {
    // More than one read takes, behind many small frames.
    let payload = [b'x'; 150_000];
    let frames = [served(PING, b"").repeat(1000), served(TEXT, &payload)].concat();
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    let (tell, there) = channel();
    let server = std::thread::spawn(move || {
        let mut peer = Peer::over(far);
        let response = switching(&peer.head());
        peer.write(response);
        peer.write(frames);
        tell.send(()).unwrap();
        peer.expect_end();
    });
    let options = ConnectOptions::default();
    let mut client = options.connect_over("ws://localhost/chat", near).unwrap();
    there.recv_timeout(GUARD).unwrap();
    let message = client.recv_timeout(Duration::ZERO).unwrap().message();
    assert_eq!(message.unwrap().as_bytes(), payload);
    drop(client);
    server.join().unwrap();
}

#[test]
fn what_comes_before_it_is_quiet_is_seen_and_then_it_closes() {
    let server = Script::open(Vec::new(), |mut peer| {
        let mut asked = Vec::new();
        for _ in 0..3 {
            asked.push(next_frame(&mut peer).payload);
        }
        for question in asked {
            peer.write(served(TEXT, &question));
        }
        assert_eq!(next_frame(&mut peer).close_code(), Some(1000));
        peer.write(served(CLOSE, &close_payload(1000, b"")));
    });
    let mut client = server.connect();
    for question in ["one", "two", "three"] {
        client.send(question).unwrap();
    }
    let mut answers = Vec::new();
    let closed = client.close_after_draining(CloseCode::NORMAL, "", 5 * SHORT, |message| {
        answers.push(message.as_text().map(str::to_owned).unwrap());
        ControlFlow::Continue(())
    });
    closed.unwrap();
    assert_eq!(answers, ["one", "two", "three"]);
    assert!(client.closed().unwrap().clean);
    server.end();
}

#[test]
fn pings_and_pongs_are_events_where_they_are_asked_for() {
    let server = Script::open(served(PING, b"are you there"), |mut peer| {
        assert_eq!(next_frame(&mut peer).opcode, PONG);
        let ping = next_frame(&mut peer);
        assert_eq!(ping.opcode, PING);
        peer.write(served(PONG, &ping.payload));
        peer.write(served(TEXT, b"text"));
        peer.write(served(PONG, b"unasked"));
        peer.write(served(TEXT, b"last"));
        peer.write(served(CLOSE, &close_payload(1000, b"")));
        peer.expect_end();
    });
    let mut client = server.connect();
    let Received::Ping(payload) = client.recv_event(None).unwrap() else {
        panic!("no ping");
    };
    assert_eq!(payload, b"are you there");
    client.ping(b"and you").unwrap();
    let Received::Pong(payload) = client.recv_event(Some(LONG)).unwrap() else {
        panic!("no pong");
    };
    assert_eq!(payload, b"and you");
    let rest: Vec<_> = client
        .messages()
        .map(|it| it.unwrap().into_text().unwrap())
        .collect();
    assert_eq!(rest, ["text", "last"]);
    drop(client);
    server.end();
}
