//! docs/cases.md C5, RFC 6455 sections 4.1, 5.3 and 10.3: every masking key and every handshake's
//! key comes from the source, fresh, whole and once. What the source draws is logged and compared
//! with the wire.

use std::collections::HashSet;
use std::sync::Arc;

use harness::handshake::*;
use sockeye::proto::{
    ClientHandshake, ClientRequest, CloseCode, Config, Connection, Event, Input, MessageKind, Url,
};

const HANDSHAKES: usize = 10_000;
const FRAMES: usize = 100_000;

fn ask(source: &Source, config: &Arc<Config>, out: &mut Vec<u8>) -> ClientHandshake {
    let url = Url::parse("ws://example.com/").unwrap();
    let (config, source) = (Arc::clone(config), source.boxed());
    ClientHandshake::new(&url, &ClientRequest::default(), config, source, out, START).unwrap()
}

fn key_on_the_wire(request: &[u8]) -> &str {
    let request = core::str::from_utf8(request).unwrap();
    let (_, key) = request.split_once("Sec-WebSocket-Key: ").unwrap();
    key.split_once("\r\n").unwrap().0
}

fn connected(source: &Source, config: &Arc<Config>) -> Connection {
    let mut out = Vec::new();
    let mut handshake = ask(source, config, &mut out);
    let key = key_on_the_wire(&out);
    let response = format!(
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept_key(key.as_bytes())
    );
    let mut response = response.into_bytes();
    let mut input = Input::new(&mut response);
    handshake.recv(&mut input, START).unwrap().unwrap()
}

#[test]
fn c5_each_of_ten_thousand_handshakes_has_a_key_of_16_fresh_bytes() {
    let source = Source::new(5);
    let mut keys = HashSet::new();
    let mut out = Vec::new();
    for _ in 0..HANDSHAKES {
        out.clear();
        ask(&source, &config(), &mut out);
        let log = source.take_log();
        assert_eq!(log.len(), 1, "drawn once");
        assert_eq!(log[0].len(), 16);
        let key = key_on_the_wire(&out);
        assert_eq!(key, base64(&log[0]));
        assert!(keys.insert(key.to_owned()), "{key} again");
    }
}

/// The frames of a client's output, as first byte, masking key and unmasked payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, [u8; 4], Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        assert_eq!(second & 0x80, 0x80, "masked");
        let (length, rest) = match second & 0x7F {
            126 => {
                let (length, rest) = rest.split_at(2);
                (
                    usize::from(u16::from_be_bytes([length[0], length[1]])),
                    rest,
                )
            }
            127 => unreachable!("no such frame here"),
            length => (usize::from(length), rest),
        };
        let (key, rest) = rest.split_at(4);
        let (payload, rest) = rest.split_at(length);
        let masked = payload.iter().zip(key.iter().cycle());
        let payload = masked.map(|(byte, key)| byte ^ key).collect();
        frames.push((*first, key.try_into().unwrap(), payload));
        bytes = rest;
    }
    assert!(bytes.is_empty());
    frames
}

/// Every draw is of 4 bytes, and the draws are the frames' keys, one for one, in order.
#[track_caller]
fn assert_keys(source: &Source, out: &[u8]) -> Vec<(u8, [u8; 4], Vec<u8>)> {
    let frames = frames(out);
    let keys: Vec<Vec<u8>> = frames.iter().map(|(_, key, _)| key.to_vec()).collect();
    assert_eq!(source.take_log(), keys);
    frames
}

#[test]
fn c5_each_of_a_hundred_thousand_frames_of_every_kind_has_its_own_fresh_key() {
    let source = Source::new(6);
    let mut connection = connected(&source, &config());
    source.take_log();
    let mut seen: HashSet<[u8; 4]> = HashSet::new();
    let (mut count, mut repeated) = (0, 0);
    let long = vec![b'x'; 300];
    let mut out = Vec::new();
    while count < FRAMES {
        out.clear();
        connection.send("text", &mut out).unwrap();
        connection.send("", &mut out).unwrap();
        connection.send(&[0; 7], &mut out).unwrap();
        connection.send(&long, &mut out).unwrap();
        connection.send_fragment("a", &mut out).unwrap();
        connection.send_ping(b"ping", &mut out).unwrap();
        connection.send_fragment("", &mut out).unwrap();
        connection.send_pong(b"", &mut out).unwrap();
        connection.send_last_fragment("b", &mut out).unwrap();
        // Ten pongs in answer to pings.
        let pings = frame(9, b"pp", None).repeat(10);
        messages(&mut connection, &[pings], &mut out).unwrap();

        let frames = assert_keys(&source, &out);
        let kinds: Vec<u8> = frames.iter().map(|(first, _, _)| *first).collect();
        let sent = [0x81, 0x81, 0x82, 0x82, 0x01, 0x89, 0x00, 0x8A, 0x80];
        assert_eq!(kinds[..9], sent);
        assert_eq!(kinds[9..], [0x8A; 10]);
        assert_eq!(frames[0].2, b"text");
        assert_eq!(frames[3].2, long);
        assert_eq!(frames[18].2, b"pp");
        count += frames.len();
        for (_, key, _) in &frames {
            repeated += usize::from(!seen.insert(*key));
        }
    }
    // By the birthday bound about one pair of 10^5 draws from 2^32 is equal.
    assert!(repeated < 12, "{repeated} keys again");
}

#[test]
fn c5_frames_that_a_message_is_cut_into_have_a_key_each() {
    let source = Source::new(7);
    let config = config_with(|it| it.fragment_size = core::num::NonZeroUsize::new(3));
    let mut connection = connected(&source, &config);
    source.take_log();
    let mut out = Vec::new();
    connection.send("0123456789", &mut out).unwrap();
    let frames = assert_keys(&source, &out);
    let joined: Vec<u8> = frames.iter().flat_map(|it| it.2.clone()).collect();
    assert_eq!((frames.len(), &*joined), (4, &b"0123456789"[..]));
}

#[test]
fn c5_encoded_frames_have_a_key_each() {
    let source = Source::new(8);
    let config = config_with(|it| it.extensions = vec![Arc::new(Xor)]);
    let mut out = Vec::new();
    let mut handshake = ask(&source, &config, &mut out);
    let mut response = format!(
        "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Extensions: x-test-xor\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        accept_key(key_on_the_wire(&out).as_bytes())
    )
    .into_bytes();
    let mut input = Input::new(&mut response);
    let mut connection = handshake.recv(&mut input, START).unwrap().unwrap();
    source.take_log();
    out.clear();
    connection.send("aa", &mut out).unwrap();
    connection.send(&[1, 2], &mut out).unwrap();
    let frames = assert_keys(&source, &out);
    assert_eq!(frames[0].0, 0xC1);
    assert_eq!(frames[0].2, [b'a' ^ 0x5A; 2]);
}

#[test]
fn c5_close_frames_have_a_fresh_key() {
    for close in 0..3 {
        let source = Source::new(9);
        let mut connection = connected(&source, &config());
        source.take_log();
        let mut out = Vec::new();
        match close {
            // This endpoint's own, an answer, and the one of a fault.
            0 => connection
                .close(CloseCode::NORMAL, "bye", &mut out, START)
                .unwrap(),
            1 => {
                let close = frame(8, &1000u16.to_be_bytes(), None);
                messages(&mut connection, &[close], &mut out).unwrap();
            }
            _ => {
                let masked = frame(1, b"x", Some([1; 4]));
                assert_eq!(messages(&mut connection, &[masked], &mut out), Err(1002));
            }
        }
        let frames = assert_keys(&source, &out);
        assert_eq!((frames.len(), frames[0].0), (1, 0x88));
    }
}

#[test]
fn c5_a_header_to_be_sent_alone_has_a_fresh_key() {
    let source = Source::new(10);
    let mut connection = connected(&source, &config());
    source.take_log();
    for _ in 0..100 {
        let mut out = Vec::new();
        let mut payload = connection
            .send_header(MessageKind::Binary, 5, &mut out)
            .unwrap();
        payload.mask(&mut [0; 5]);
        drop(payload);
        let log = source.take_log();
        assert_eq!(log, [out[2..].to_vec()]);
    }
}

/// "Drawn exactly once" per frame, also where a message can't be sent in place: a server's
/// header is shorter than the client's reply's, so this is the usual case of a client's echo.
#[test]
fn c5_a_message_sent_in_place_or_copied_has_one_fresh_key() {
    let source = Source::new(11);
    let mut connection = connected(&source, &config());
    source.take_log();
    let mut received = frame(1, b"echo", None);
    let mut input = Input::new(&mut received);
    let mut out = Vec::new();
    let event = connection.recv(&mut input, &mut out, START);
    let Ok(Some(Event::Message(message))) = event else {
        panic!("{event:?}");
    };
    let frame = connection.send_in_place(message, &mut out).unwrap();
    if let Some(frame) = frame {
        out.extend_from_slice(frame.as_bytes());
    }
    let frames = assert_keys(&source, &out);
    assert_eq!(frames[0].2, b"echo");
}

/// A misuse sends nothing, so it uses no key up.
#[test]
fn c5_nothing_is_drawn_for_what_is_not_sent() {
    let source = Source::new(12);
    let mut connection = connected(&source, &config());
    source.take_log();
    let mut out = Vec::new();
    assert!(connection.send_ping(&[0; 126], &mut out).is_err());
    connection.send_fragment("a", &mut out).unwrap();
    assert_eq!(source.take_log().len(), 1);
    assert!(connection.send("b", &mut out).is_err());
    assert!(
        connection
            .close(CloseCode(1005), "", &mut out, START)
            .is_err()
    );
    assert_eq!(source.take_log().len(), 0);
}
