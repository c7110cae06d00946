//! Messages through the server, over real sockets: sizes, fragments, order, bursts and splits
//! (docs/cases.md F7, F9, F17, F19, and chunking through the server's own buffers).

use harness::net::{How, Probe, Running, Told, Watch, masked_frame, patient, serve};
use harness::sansio::{BINARY, CLOSE, CONTINUATION, PING, PONG, Seeded, TEXT, random_chunks};
use sockeye::proto::Message;

fn echo() -> (Running, Watch) {
    serve(patient(), Probe::echo())
}

/// Bytes of which no part looks like another.
fn noise(length: usize) -> Vec<u8> {
    let mut random = Seeded(length as u64);
    (0..length).map(|_| random.next_u64() as u8).collect()
}

#[test]
fn messages_of_all_sizes_are_echoed() {
    let (server, watch) = echo();
    let mut peer = server.open();
    for length in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let binary = noise(length);
        peer.send(BINARY, &binary);
        peer.expect(BINARY, &binary);
        let text = "ö".repeat(length / 2);
        peer.send(TEXT, &text);
        peer.expect(TEXT, &text);
    }
    peer.send(CLOSE, "");
    peer.expect(CLOSE, "");
    peer.expect_eof();
    assert_eq!(watch.close(), (1005, How::Clean));
}

/// F17, at the server's socket.
#[test]
fn a_message_over_the_limit_is_1009_with_the_close_readable() {
    let (server, watch) = echo();
    let mut peer = server.open();
    let message = masked_frame(true, BINARY, &noise((1 << 20) + 1));
    peer.write(message);
    peer.expect_close(1009);
    peer.expect_eof();
    assert_eq!(watch.close(), (1009, How::Failed));
}

/// F7.
#[test]
fn pings_between_fragments_are_answered_before_the_message() {
    let (server, watch) = echo();
    let mut peer = server.open();
    let text = "a text in fragments, ö and 𝄞, cut anywhere";
    for size in [1, 2, 3, 7] {
        let fragments: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
        let mut bytes = Vec::new();
        for (at, fragment) in fragments.iter().enumerate() {
            let opcode = if at == 0 { TEXT } else { CONTINUATION };
            bytes.extend(masked_frame(at + 1 == fragments.len(), opcode, fragment));
            if at + 1 < fragments.len() {
                bytes.extend(masked_frame(true, PING, &[at as u8]));
            }
        }
        peer.write(bytes);
        for at in 0..fragments.len() - 1 {
            peer.expect(PONG, [at as u8]);
        }
        peer.expect(TEXT, text);
    }
    assert_eq!(watch.next(), Told::Open);
    assert_eq!(watch.next(), Told::Ping(vec![0]));
}

/// Small replies are gathered, large assembled ones leave in their own buffers: the order holds.
#[test]
fn replies_keep_the_order_of_small_fragmented_and_large_messages() {
    let (server, _) = echo();
    let mut random = Seeded(7);
    for _ in 0..4 {
        let mut peer = server.open();
        let mut expected = Vec::new();
        let mut bytes = Vec::new();
        for at in 0..60 {
            let length = [10, 1000, 20_000, 70_000, 200_000][random.below(5)] + at;
            let message = noise(length);
            if random.below(2) == 0 {
                bytes.extend(masked_frame(true, BINARY, &message));
            } else {
                let (first, rest) = message.split_at(length / 3);
                bytes.extend(masked_frame(false, BINARY, first));
                bytes.extend(masked_frame(true, PING, &[at as u8]));
                expected.push((PONG, vec![at as u8]));
                bytes.extend(masked_frame(true, CONTINUATION, rest));
            }
            expected.push((BINARY, message));
        }
        let mut writer = peer.stream().try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || std::io::Write::write_all(&mut writer, &bytes).unwrap());
            for (opcode, payload) in &expected {
                peer.expect(*opcode, payload);
            }
        });
    }
}

#[test]
fn ten_thousand_pipelined_messages_are_answered_in_order() {
    let (server, _) = echo();
    let mut peer = server.open();
    let mut bytes = Vec::new();
    for at in 0..10_000_u32 {
        bytes.extend(masked_frame(true, BINARY, &at.to_be_bytes()));
    }
    peer.write(&bytes);
    for at in 0..10_000_u32 {
        peer.expect(BINARY, at.to_be_bytes());
    }
}

/// F19.
#[test]
fn a_hundred_pings_in_one_write_are_answered_in_order() {
    let (server, _) = echo();
    let mut peer = server.open();
    let pings: Vec<Vec<u8>> = (0..100)
        .map(|at| masked_frame(true, PING, &[at; 125]))
        .collect();
    peer.write(pings.concat());
    for at in 0..100 {
        peer.expect(PONG, [at; 125]);
    }
}

#[test]
fn however_the_writes_are_split_the_replies_are_the_same() {
    let (server, _) = echo();
    let messages = [0, 1, 125, 126, 300, 2000].map(noise);
    let bytes: Vec<u8> = messages
        .iter()
        .flat_map(|it| {
            [
                masked_frame(false, BINARY, it),
                masked_frame(true, CONTINUATION, b"!"),
            ]
        })
        .flatten()
        .collect();
    let mut random = Seeded(3);
    for way in 0..5 {
        let chunks = match way {
            0 => vec![1; bytes.len()],
            _ => random_chunks(bytes.len(), &mut random),
        };
        let (mut peer, mut at) = (server.open(), 0);
        for length in chunks {
            peer.write(&bytes[at..at + length]);
            at += length;
        }
        for message in &messages {
            peer.expect(BINARY, [message, &b"!"[..]].concat());
        }
    }
}

#[test]
fn connections_do_not_see_each_others_messages() {
    let (server, _) = echo();
    let mut peers: Vec<_> = (0..50).map(|_| server.open()).collect();
    for round in 0..10_u8 {
        for (at, peer) in peers.iter_mut().enumerate() {
            peer.send(BINARY, [round, at as u8]);
        }
        for (at, peer) in peers.iter_mut().enumerate() {
            peer.expect(BINARY, [round, at as u8]);
        }
    }
}

/// A handler that answers with several messages, text and binary, its own and the received one.
#[test]
fn what_a_handler_sends_arrives_in_the_order_of_its_calls() {
    let (probe, watch) = Probe::new(|socket, message: Message<'_>, _| {
        let copy = message.as_bytes().to_vec();
        let _ = socket.send("before");
        socket.ping(b"between").unwrap();
        let _ = socket.send(message);
        let _ = socket.send(&copy);
        assert!(socket.close(None, ""));
        assert!(!socket.is_open());
        assert!(!socket.close(None, ""), "it has begun already");
    });
    let (server, watch) = serve(patient(), (probe, watch));
    for length in [10, 100_000] {
        let (mut peer, message) = (server.open(), noise(length));
        peer.send(BINARY, &message);
        peer.expect(TEXT, "before");
        peer.expect(PING, "between");
        peer.expect(BINARY, &message);
        peer.expect(BINARY, &message);
        peer.expect(CLOSE, "");
        peer.send(CLOSE, "");
        peer.expect_eof();
        assert_eq!(watch.close(), (1005, How::Clean));
    }
}

#[cfg(feature = "json")]
#[test]
fn a_value_is_sent_as_json_and_one_that_is_none_panics_and_sends_nothing() {
    let probe = Probe::new(|socket, _, _| {
        let none = std::collections::HashMap::from([([0u8; 2], 1)]);
        let refused =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| socket.send_json(&none)));
        let sent = socket.send_json(&("ö", refused.is_err()));
        assert_eq!(sent, sockeye::server::Sent::Sent);
    });
    let (server, _) = serve(patient(), probe);
    assert_eq!(server.open().ask(""), r#"["ö",true]"#);
}
