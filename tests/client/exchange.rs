//! The blocking client against servers written by hand: docs/cases.md C1, C3, C4, C8, C9, F16, F18,
//! and against this crate's own server.

use core::time::Duration;
use std::io::ErrorKind;
use std::net::TcpListener;

use harness::net::script::{Script, next_frame, served};
use harness::net::{How, Probe, config, patient, serve};
use harness::sansio::{BINARY, CLOSE, CONTINUATION, KEY, PING, PONG, TEXT, close_payload, frame};
use sockeye::Error;
use sockeye::client::{Client, ConnectOptions, connect};
use sockeye::error::{
    HandshakeError, HttpError, LimitError, Misuse, ProtocolError, ResponseFault, UrlError,
};
use sockeye::proto::{ClientRequest, CloseCode};

const SHORT: Duration = Duration::from_millis(100);

fn handshake_error(result: Result<Client, Error>) -> HandshakeError {
    match result {
        Err(Error::Handshake(error)) => error,
        other => panic!("{other:?}"),
    }
}

// ---- the opening handshake ------------------------------------------------------------------

/// C8. Nothing listens there: an attempt to connect would be another error.
#[test]
fn a_bad_url_is_refused_before_any_connection() {
    let cases: [(&str, UrlError); 5] = [
        ("http://127.0.0.1:1/", UrlError::Scheme),
        ("ws://user:password@127.0.0.1:1/", UrlError::UserInfo),
        ("ws://127.0.0.1:1/#part", UrlError::Fragment),
        ("ws://127.0.0.1:99999/", UrlError::Port),
        (
            "ws://127.0.0.1:1/a\r\nX: y",
            UrlError::Byte {
                byte: b'\r',
                position: 18,
            },
        ),
    ];
    for (url, error) in cases {
        let result = connect(url);
        assert!(
            matches!(&result, Err(Error::Misuse(Misuse::Url(it))) if *it == error),
            "{url:?}: {result:?}"
        );
    }
}

#[test]
fn a_header_that_cant_be_sent_is_refused_before_any_connection() {
    let mut options = ConnectOptions::default();
    options.request = ClientRequest {
        headers: vec![("X".into(), "a\r\nY: b".into())],
        ..ClientRequest::default()
    };
    let result = options.connect("ws://127.0.0.1:1/");
    assert!(matches!(result, Err(Error::Misuse(Misuse::Header(_)))));
}

#[cfg(not(feature = "tls"))]
#[test]
fn tls_is_refused_and_not_left_out_and_the_feature_is_named() {
    let Err(Error::Misuse(error)) = connect("wss://127.0.0.1:1/") else {
        panic!("connected without TLS");
    };
    assert_eq!(error, Misuse::TlsMissing);
    assert!(error.to_string().contains("feature `tls`"));
}

#[test]
fn a_server_that_is_not_there_is_an_io_error() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let result = connect(&format!("ws://{address}/"));
    assert!(matches!(result, Err(Error::Io(_))), "{result:?}");
}

/// C1.
#[test]
fn a_refusal_holds_status_and_headers() {
    for status in [200, 302, 401, 503] {
        let server = Script::answers(format!(
            "HTTP/1.1 {status} No\r\nWWW-Authenticate: Bearer\r\nContent-Length: 2\r\n\r\nno"
        ));
        let HandshakeError::Response(error) = handshake_error(connect(&server.url)) else {
            panic!("{status}");
        };
        assert_eq!((error.status, error.fault), (status, ResponseFault::Status));
        assert_eq!(error.header("www-authenticate"), Some(&b"Bearer"[..]));
        server.end();
    }
}

/// C3.
#[test]
fn a_refusal_with_an_endless_body_is_told_once_what_is_kept_of_it_came() {
    let server = Script::new(|mut peer| {
        use std::io::Write as _;
        peer.head();
        let head = "HTTP/1.1 500 No\r\nContent-Length: 99999999999\r\n\r\n";
        // Until the client has gone.
        if peer.stream().write_all(head.as_bytes()).is_ok() {
            while peer.stream().write_all(&[b'x'; 65_536]).is_ok() {}
        }
    });
    let error = handshake_error(connect(&server.url));
    assert!(
        matches!(error, HandshakeError::Response(it) if it.status == 500 && it.body.len() == 65_536)
    );
    server.end();
}

/// C3.
#[test]
fn endless_headers_are_over_the_limit() {
    for line in ["X: y\r\n", "X-very-long: "] {
        let server = Script::new(move |mut peer| {
            use std::io::Write as _;
            peer.head();
            let lines = format!("HTTP/1.1 101 S\r\n{line}") + &line.repeat(10_000);
            while peer.stream().write_all(lines.as_bytes()).is_ok() {}
        });
        let HandshakeError::ResponseHead(error) = handshake_error(connect(&server.url)) else {
            panic!("{line:?}");
        };
        let limits = [HttpError::TooManyLines, HttpError::HeadTooLarge];
        assert!(limits.contains(&error), "{error:?}");
        server.end();
    }
}

/// C3: the deadline is for the whole response, whatever arrives meanwhile.
#[test]
fn a_response_that_is_never_complete_ends_at_the_deadline() {
    let quick = config(|it| it.handshake_timeout = SHORT);
    for head in ["", "HTTP/1.1 101 Switching Protocols\r\nUpgrade:"] {
        let server = Script::answers(head);
        let error = handshake_error(server.connect_with(quick.clone()));
        assert_eq!(error, HandshakeError::Timeout { timeout: SHORT });
        server.end();
    }
    let drip = Script::new(|mut peer| {
        use std::io::{Read as _, Write as _};
        peer.head();
        let stream = peer.stream();
        // A read that finds nothing is the pause between two bytes.
        stream.set_read_timeout(Some(SHORT / 10)).unwrap();
        let _ = stream.write_all(b"HTTP/1.1 101 ");
        while stream.write_all(b"x").is_ok() {
            if let Ok(0) = stream.read(&mut [0]) {
                break;
            }
        }
    });
    let error = handshake_error(drip.connect_with(quick));
    assert_eq!(error, HandshakeError::Timeout { timeout: SHORT });
    drip.end();
}

#[test]
fn a_server_that_ends_within_its_response_is_told_apart() {
    let server = Script::new(|mut peer| {
        peer.head();
        peer.write("HTTP/1.1 101 Switch");
    });
    assert_eq!(handshake_error(connect(&server.url)), HandshakeError::Eof);
    server.end();
}

/// C4, with every cut of the response and its frames.
#[test]
fn frames_in_the_segment_of_the_101_are_delivered() {
    let behind = [served(TEXT, b"first"), served(BINARY, &[2; 200])].concat();
    for cut in 0..=behind.len() {
        let (with, later) = behind.split_at(cut);
        let later = later.to_vec();
        let server = Script::open(with.to_vec(), |mut peer| {
            peer.write(later);
            assert_eq!(next_frame(&mut peer).payload, b"thanks");
        });
        let mut client = server.connect();
        assert_eq!(client.recv().unwrap().unwrap().as_text(), Some("first"));
        assert_eq!(client.recv().unwrap().unwrap().as_bytes(), [2; 200]);
        client.send("thanks").unwrap();
        server.end();
    }
}

// ---- messages -------------------------------------------------------------------------------

#[test]
fn messages_of_all_sizes_go_to_this_crates_server_and_back() {
    let (server, watch) = serve(patient(), Probe::echo());
    let mut client = connect(&format!("ws://{}/chat", server.address)).unwrap();
    assert_eq!(client.peer_addr().unwrap(), server.address);
    for length in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let binary: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        client.send(&binary).unwrap();
        assert!(client.recv().unwrap().unwrap().as_bytes() == binary);
        let text = "ß".repeat(length / 2);
        client.send(&text).unwrap();
        assert!(client.recv().unwrap().unwrap().as_text() == Some(&*text));
    }
    client.send_fragment("in ").unwrap();
    client.ping(b"between").unwrap();
    client.send_last_fragment("two").unwrap();
    assert_eq!(client.recv().unwrap().unwrap().as_text(), Some("in two"));
    client.close(CloseCode::NORMAL, "bye").unwrap();
    assert!(client.closed().unwrap().clean);
    assert_eq!(watch.close(), (1000, How::Clean));
}

#[test]
fn pings_are_answered_while_recv_waits() {
    let server = Script::open(Vec::new(), |mut peer| {
        for payload in [&b"one"[..], b"", &[7; 125]] {
            peer.write(served(PING, payload));
            let pong = next_frame(&mut peer);
            assert_eq!((pong.opcode, &*pong.payload), (PONG, payload));
        }
        // In the middle of a message as well.
        peer.write(frame(false, 0, TEXT, None, b"in "));
        peer.write(served(PING, b"two"));
        assert_eq!(next_frame(&mut peer).payload, b"two");
        peer.write(served(CONTINUATION, b"parts"));
        assert_eq!(next_frame(&mut peer).payload, b"got it");
    });
    let mut client = server.connect();
    assert_eq!(client.recv().unwrap().unwrap().as_text(), Some("in parts"));
    client.send("got it").unwrap();
    server.end();
}

#[test]
fn a_message_is_received_as_a_slice_and_the_next_one_behind_it() {
    let behind = [served(TEXT, b"one"), served(TEXT, b"two")].concat();
    let server = Script::open(behind, |mut peer| {
        assert_eq!(next_frame(&mut peer).payload, b"two");
    });
    let mut client = server.connect();
    assert!(client.recv().unwrap().unwrap().is_borrowed());
    let two = client.recv().unwrap().unwrap().into_owned();
    client.send(&two).unwrap();
    server.end();
}

/// C9.
#[test]
fn a_masked_frame_is_answered_with_1002() {
    let masked = frame(true, 0, TEXT, Some(KEY), b"hello");
    let server = Script::open(masked, |mut peer| {
        assert_eq!(next_frame(&mut peer).close_code(), Some(1002));
        peer.expect_eof();
    });
    let mut client = server.connect();
    let result = client.recv();
    assert!(
        matches!(result, Err(Error::Protocol(ProtocolError::Masked))),
        "{result:?}"
    );
    // The error sticks.
    assert!(matches!(client.recv(), Err(Error::Protocol(_))));
    assert!(matches!(
        client.send(""),
        Err(Error::Misuse(Misuse::Closed))
    ));
    server.end();
}

#[test]
fn a_message_over_the_limit_is_answered_with_1009() {
    let server = Script::open(served(TEXT, &[b'x'; 101]), |mut peer| {
        assert_eq!(next_frame(&mut peer).close_code(), Some(1009));
        peer.expect_eof();
    });
    let mut client = server
        .connect_with(config(|it| it.max_message_size = 100))
        .unwrap();
    let limit = LimitError::MessageSize { limit: 100 };
    assert!(matches!(client.recv(), Err(Error::Limit(it)) if it == limit));
    server.end();
}

// ---- the end --------------------------------------------------------------------------------

/// F18: the server ends the transport first, and the client waits for it.
#[test]
fn the_client_closes_and_waits_for_the_servers_end() {
    let server = Script::open(Vec::new(), |mut peer| {
        let close = next_frame(&mut peer);
        assert_eq!(close.close_code(), Some(4000));
        assert_eq!(close.payload[2..], *b"done");
        // Late messages are dropped, late pings answered.
        peer.write([served(TEXT, b"late"), served(PING, b"p")].concat());
        assert_eq!(next_frame(&mut peer).payload, b"p");
        peer.write(served(CLOSE, &close_payload(4000, b"too")));
        peer.write([0; 100]);
        // It has not ended its side before.
        peer.stream().set_read_timeout(Some(SHORT)).unwrap();
        let early = peer.stream().peek(&mut [0]);
        assert!(early.is_err(), "the client ended first: {early:?}");
    });
    let mut client = server.connect();
    client.close(CloseCode(4000), "done").unwrap();
    server.thread.join().unwrap();
    let closed = client.closed().unwrap();
    assert_eq!((closed.code.0, &*closed.reason), (4000, "too"));
    assert!(closed.clean && closed.local);
    let sent = closed.sent.as_ref().unwrap();
    assert_eq!((sent.code.0, &*sent.reason), (4000, "done"));
    assert!(client.recv().unwrap().is_none());
    client.close(None, "").unwrap();
}

#[test]
fn the_server_closes_and_the_client_answers() {
    let behind = [
        served(TEXT, b"last"),
        served(CLOSE, &close_payload(1001, b"bye")),
    ]
    .concat();
    let server = Script::open(behind, |mut peer| {
        assert_eq!(next_frame(&mut peer).close_code(), Some(1001));
        peer.shut_write();
        peer.expect_eof();
    });
    let mut client = server.connect();
    assert_eq!(client.recv().unwrap().unwrap().as_text(), Some("last"));
    for _ in 0..2 {
        assert!(client.recv().unwrap().is_none());
    }
    let closed = client.closed().unwrap();
    assert_eq!((closed.code.0, &*closed.reason), (1001, "bye"));
    assert!(closed.clean && !closed.local);
    assert!(matches!(
        client.send("late"),
        Err(Error::Misuse(Misuse::Closed))
    ));
    drop(client);
    server.end();
}

/// F18: the wait for the server's end has a deadline.
#[test]
fn a_server_that_never_ends_the_transport_is_left_at_close_timeout() {
    let server = Script::open(served(CLOSE, b""), |mut peer| {
        assert_eq!(next_frame(&mut peer).close_code(), None);
        // Only the client's patience ends this.
        peer.expect_end();
    });
    let quick = config(|it| it.close_timeout = SHORT);
    let mut client = server.connect_with(quick).unwrap();
    assert!(client.recv().unwrap().is_none());
    assert!(client.closed().unwrap().clean);
    drop(client);
    server.end();
}

#[test]
fn a_close_that_is_never_answered_is_an_error_at_close_timeout() {
    use std::io::Write as _;
    // Silent, or sending on and on.
    for flood in [false, true] {
        let server = Script::open(Vec::new(), move |mut peer| {
            let data = served(BINARY, &[0; 60_000]);
            while flood && peer.stream().write_all(&data).is_ok() {}
            peer.expect_end();
        });
        let quick = config(|it| it.close_timeout = SHORT);
        let mut client = server.connect_with(quick).unwrap();
        let result = client.close(CloseCode(4001), "enough");
        let limit = LimitError::Close { timeout: SHORT };
        assert_eq!(client.sent_close(), Some((CloseCode(4001), "enough")));
        assert!(
            matches!(result, Err(Error::Limit(it)) if it == limit),
            "{result:?}"
        );
        drop(client);
        server.end();
    }
}

/// F16.
#[test]
fn a_server_that_ends_without_a_close_is_1006() {
    let frame = served(TEXT, b"hello");
    for length in 0..=frame.len() {
        let server = Script::open(frame[..length].to_vec(), |_| {});
        let mut client = server.connect();
        if length == frame.len() {
            assert!(client.recv().unwrap().is_some());
        }
        // It isn't taken for an orderly end, and told once.
        let Err(Error::Io(error)) = client.recv() else {
            panic!("{length}");
        };
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        let cut = 0 < length && length < frame.len();
        assert_eq!(error.to_string().contains("inside a message"), cut);
        let closed = client.closed().unwrap();
        assert_eq!((closed.code, closed.clean), (CloseCode::ABNORMAL, false));
        assert_eq!(closed.truncated, cut);
        assert!(!client.is_open());
        assert!(client.recv().unwrap().is_none());
        server.end();
    }
}

#[test]
fn a_reset_is_an_io_error() {
    let server = Script::open(Vec::new(), |mut peer| {
        // Ending with bytes unread resets the connection.
        peer.stream().peek(&mut [0]).unwrap();
    });
    let mut client = server.connect();
    client.send("never read").unwrap();
    let Err(Error::Io(error)) = client.recv() else {
        panic!("no error");
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    server.end();
}

#[test]
fn a_dead_server_is_found_by_a_ping() {
    let server = Script::open(Vec::new(), |mut peer| {
        assert_eq!(next_frame(&mut peer).opcode, PING);
        assert_eq!(next_frame(&mut peer).close_code(), Some(1011));
        peer.shut_write();
        peer.expect_eof();
    });
    let keep_alive = config(|it| {
        it.ping_interval = Some(SHORT);
        it.pong_timeout = SHORT;
    });
    let mut client = server.connect_with(keep_alive).unwrap();
    let limit = LimitError::Pong { timeout: SHORT };
    assert!(matches!(client.recv(), Err(Error::Limit(it)) if it == limit));
    server.end();
}
