//! How connections of the server end, over real sockets: docs/cases.md F14, F16, F18, D8, D9, E7.

use core::time::Duration;
use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;

use harness::handshake::upgrade;
use harness::net::{How, Peer, Probe, Running, Told, Watch, config, masked_frame, patient, serve};
use harness::sansio::{BINARY, CLOSE, CONTINUATION, PING, TEXT, close_payload, frame};
use sockeye::proto::{CloseCode, Config};

const SHORT: Duration = Duration::from_millis(100);

fn echo(config: Config) -> (Running, Watch) {
    serve(config, Probe::echo())
}

/// A server whose handler closes at each message.
fn closing(config: Config) -> (Running, Watch) {
    serve(
        config,
        Probe::new(|socket, _, _| assert!(socket.close(CloseCode(4000), "done"))),
    )
}

/// F16.
#[test]
fn the_end_of_the_stream_anywhere_is_one_close_with_1006() {
    let (server, watch) = echo(patient());
    let transcript = [
        masked_frame(true, TEXT, b"hello"),
        masked_frame(false, BINARY, b"ab"),
        masked_frame(true, PING, b""),
        masked_frame(true, CONTINUATION, &[9; 130]),
        masked_frame(true, CLOSE, &close_payload(1000, b"")),
    ]
    .concat();
    for length in 0..transcript.len() {
        let mut peer = server.open();
        peer.write(&transcript[..length]);
        peer.shut_write();
        assert_eq!(watch.close(), (1006, How::Unclean), "after {length} bytes");
        peer.expect_end();
    }
    // No session is left that would keep the server, and none was told twice.
    drop(server);
    assert_eq!(watch.rest(), []);
}

#[test]
fn a_reset_is_one_close_with_1006() {
    let (server, watch) = echo(patient());
    let mut peer = server.open();
    peer.send(TEXT, "never read by the peer, so closing resets");
    // The echo is there and unread: closing the socket now resets the connection.
    peer.stream().peek(&mut [0]).unwrap();
    drop(peer);
    assert_eq!(watch.close().0, 1006);
    drop(server);
    assert_eq!(watch.rest(), []);
}

/// F18.
#[test]
fn after_the_closing_handshake_the_server_ends_first() {
    let (server, watch) = echo(patient());
    let mut peer = server.open();
    peer.send(CLOSE, close_payload(1000, b"bye"));
    peer.expect_close(1000);
    peer.expect_eof();
    assert_eq!(watch.close(), (1000, How::Clean));
    // Its sending side only: what the peer still sends is drained.
    for _ in 0..100 {
        peer.write([0; 1000]);
    }
    drop(peer);
    drop(server);
    assert_eq!(watch.rest(), []);
}

/// F14, F18.
#[test]
fn what_is_sent_behind_a_close_neither_destroys_the_answer_nor_is_delivered() {
    let (server, watch) = echo(patient());
    for extra in [0, 1, 100_000, 3 << 20] {
        let mut peer = server.open();
        let mut bytes = masked_frame(true, CLOSE, &close_payload(4001, b""));
        bytes.extend(masked_frame(true, TEXT, &vec![b'x'; extra]));
        peer.write(bytes);
        peer.expect_close(4001);
        peer.expect_eof();
        assert_eq!(watch.next(), Told::Open);
        assert_eq!(
            watch.next(),
            Told::Close {
                code: 4001,
                how: How::Clean
            }
        );
    }
}

/// F18 for a failed connection.
#[test]
fn the_close_of_a_fault_is_readable_behind_megabytes() {
    let (server, watch) = echo(patient());
    for extra in [0, 100_000, 3 << 20] {
        let mut peer = server.open();
        let mut bytes = masked_frame(true, TEXT, b"hello");
        bytes.extend(frame(true, 0, TEXT, None, b"not masked"));
        bytes.extend(vec![0xAA; extra]);
        peer.write(bytes);
        peer.expect(TEXT, "hello");
        peer.expect_close(1002);
        peer.expect_eof();
        assert_eq!(watch.close(), (1002, How::Failed));
    }
}

/// F18: bounded in bytes.
#[test]
fn a_peer_that_sends_on_and_on_behind_its_close_is_dropped() {
    let (server, watch) = echo(patient());
    let mut peer = server.open();
    peer.send(CLOSE, "");
    let mut sent = 0;
    let error = loop {
        match peer.stream().write(&[0; 64 * 1024]) {
            Ok(count) => sent += count,
            Err(error) => break error,
        }
        assert!(sent < 64 << 20, "no bound");
    };
    assert!(matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    ));
    assert_eq!(watch.close(), (1005, How::Clean));
}

/// F18: bounded in time.
#[test]
fn a_peer_that_never_ends_its_stream_is_dropped_in_time() {
    let (mut server, _) = echo(config(|it| it.close_timeout = SHORT));
    let mut peer = server.open();
    peer.send(CLOSE, "");
    peer.expect(CLOSE, "");
    peer.expect_eof();
    // Only its deadline ends the session, and the server waits for it.
    server.shut_down();
    server.join();
    drop(peer);
}

#[test]
fn a_handler_closes_and_the_peers_answer_completes_it() {
    let (server, watch) = closing(patient());
    let mut peer = server.open();
    peer.send(TEXT, "close, please");
    peer.expect_close(4000);
    // F14a: data before the peer's Close are not delivered, pings are answered.
    peer.send(TEXT, "late");
    peer.send(PING, "p");
    peer.expect(harness::sansio::PONG, "p");
    peer.send(CLOSE, close_payload(4000, b""));
    peer.expect_eof();
    let told: Vec<Told> = (0..3).map(|_| watch.next()).collect();
    let close = Told::Close {
        code: 4000,
        how: How::Clean,
    };
    assert_eq!(
        told,
        [Told::Open, Told::Message(b"close, please".to_vec()), close]
    );
}

/// D8.
#[test]
fn a_close_that_is_never_answered_ends_in_time() {
    let (server, watch) = closing(config(|it| it.close_timeout = SHORT));
    let mut peer = server.open();
    peer.send(TEXT, "");
    peer.expect_close(4000);
    peer.expect_end();
    assert_eq!(watch.close(), (1006, How::Failed));
    drop(server);
    assert_eq!(watch.rest(), []);
}

/// D8: also when the peer goes on sending as fast as it can.
#[test]
fn a_close_that_is_buried_in_data_ends_in_time() {
    let (server, watch) = closing(config(|it| it.close_timeout = SHORT));
    let mut peer = server.open();
    let mut writer = peer.stream().try_clone().unwrap();
    let data = masked_frame(true, BINARY, &[0; 100_000]).repeat(10);
    std::thread::scope(|scope| {
        scope.spawn(move || while writer.write_all(&data).is_ok() {});
        assert_eq!(watch.close(), (1006, How::Failed));
    });
}

/// D9.
#[test]
fn a_peer_that_answers_no_ping_is_closed_with_1011() {
    let (server, watch) = echo(config(|it| {
        it.ping_interval = Some(SHORT);
        it.pong_timeout = SHORT;
    }));
    let mut peer = server.open();
    let ping = peer.frame();
    assert_eq!(ping.opcode, PING);
    // An answer keeps it alive.
    peer.send(harness::sansio::PONG, &ping.payload);
    assert_eq!(watch.next(), Told::Open);
    assert_eq!(watch.next(), Told::Pong(ping.payload));
    assert_eq!(peer.frame().opcode, PING);
    peer.expect_close(1011);
    peer.expect_eof();
    assert_eq!(watch.close(), (1011, How::Failed));
}

#[test]
fn a_silent_peer_is_closed_with_1001_after_idle_timeout() {
    let (server, watch) = echo(config(|it| it.idle_timeout = Some(SHORT)));
    let mut peer = server.open();
    peer.expect_close(1001);
    peer.expect_eof();
    assert_eq!(watch.close(), (1001, How::Failed));
}

/// E7.
#[test]
fn a_server_that_stops_says_so_to_all_and_ends() {
    let (mut server, watch) = echo(patient());
    let mut peers: Vec<Peer> = (0..20).map(|_| server.open()).collect();
    // Not yet open: answered as far as it was heard, and ended.
    let mut half = server.connect();
    half.write(&upgrade().bytes()[..30]);
    server.shut_down();
    server.shut_down();
    for peer in &mut peers {
        peer.expect_close(1001);
    }
    half.expect_end();
    drop(half);
    for peer in &mut peers {
        peer.send(CLOSE, close_payload(1001, b""));
        peer.expect_eof();
    }
    drop(peers);
    server.join();
    let refused = TcpStream::connect(server.address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let closed = Told::Close {
        code: 1001,
        how: How::Clean,
    };
    assert_eq!(watch.rest().iter().filter(|it| **it == closed).count(), 20);
}

/// E7.
#[test]
fn a_server_stops_in_time_whatever_its_peers_do() {
    let (mut server, watch) = echo(config(|it| it.close_timeout = SHORT));
    let mut silent = server.open();
    let mut busy = server.open();
    let mut writer = busy.stream().try_clone().unwrap();
    let flood = masked_frame(true, BINARY, &[0; 100_000]);
    std::thread::scope(|scope| {
        // It never reads, and it never stops sending.
        scope.spawn(move || while writer.write_all(&flood).is_ok() {});
        server.shut_down();
        server.join();
    });
    silent.expect_close(1001);
    silent.expect_end();
    let ends = watch.rest().into_iter();
    let ends = ends.filter(|it| matches!(it, Told::Close { code: 1006, .. }));
    assert_eq!(ends.count(), 2);
}

#[test]
fn told_before_it_runs_a_server_ends_at_once() {
    let server = sockeye::server::Server::builder()
        .listen("127.0.0.1:0")
        .unwrap();
    server.handle().shut_down();
    server.run().unwrap();
}

/// One rule for a handler and for other threads.
#[test]
fn a_reason_is_cut_at_a_character_and_a_code_that_cant_be_sent_becomes_1000() {
    let long = "é".repeat(70);
    let cases = [
        (
            CloseCode(4000),
            &*long,
            close_payload(4000, &long.as_bytes()[..122]),
        ),
        (
            CloseCode(4000),
            &long[..122],
            close_payload(4000, &long.as_bytes()[..122]),
        ),
        (CloseCode::ABNORMAL, "why", close_payload(1000, b"")),
        (CloseCode(999), "why", close_payload(1000, b"")),
    ];
    for (code, reason, payload) in cases {
        let text = String::from(reason);
        let probe = Probe::new(move |socket, message, _| match message.is_empty() {
            true => assert!(socket.close(code, &text)),
            false => _ = socket.send(socket.id().to_string()),
        });
        let (server, _watch) = serve(patient(), probe);
        let mut peer = server.open();
        peer.say("");
        peer.expect(CLOSE, &payload);
        let mut peer = server.open();
        let id = peer.ask("id").parse().unwrap();
        server.handle().close(id, code, reason).unwrap();
        peer.expect(CLOSE, &payload);
    }
}
