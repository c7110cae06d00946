//! Compressed messages: what is received does not depend on the cuts, keeps to the limit, and is
//! what another inflater makes of it. Input: flags, limit, frame size, cuts, then messages, each
//! behind its length in two bytes.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};
use sockeye::error::Fault;
use sockeye::proto::{
    Accept, ClientHandshake, ClientRequest, Config, Connection, Deflate, Delivery, Event,
    FrameHeader, Input, Opcode, Received, Rsv, ServerHandshake, Url,
};
use sockeye_fuzz::{Cuts, byte, bytes};

/// A client's end, after a handshake with a server of the same settings.
fn connection(config: &Arc<Config>) -> Connection {
    let (now, url) = (Duration::ZERO, Url::parse("ws://a/").expect("a URL"));
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let (request, random) = (ClientRequest::default(), |bytes: &mut [u8]| bytes.fill(1));
    let mut client = ClientHandshake::new(
        &url,
        &request,
        config.clone(),
        Box::new(random),
        &mut up,
        now,
    )
    .expect("a request");
    let server = ServerHandshake::new(config.clone(), now);
    let received = server.recv(&mut Input::new(&mut up), &mut down, now);
    let Ok(Received::Upgrade(upgrade)) = received else {
        panic!("{received:?}");
    };
    upgrade
        .accept(&Accept::default(), &mut down, now)
        .expect("a 101");
    let connection = client.recv(&mut Input::new(&mut down), now);
    connection.expect("fine").expect("whole")
}

/// A message in frames of `size` bytes, or in one.
fn frames(payload: &[u8], size: usize, out: &mut Vec<u8>) {
    let count = payload.len().div_ceil(size).max(1);
    for at in 0..count {
        let part = &payload[at * size..payload.len().min((at + 1) * size)];
        let header = FrameHeader {
            fin: at + 1 == count,
            rsv: if at == 0 { Rsv::RSV1 } else { Rsv::NONE },
            opcode: if at == 0 {
                Opcode::Binary
            } else {
                Opcode::Continuation
            },
            masking_key: None,
            payload_length: part.len() as u64,
        };
        out.extend_from_slice(header.encode().as_bytes());
        out.extend_from_slice(part);
    }
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// Whole messages, and at the end what was streamed of one that is not whole.
    messages: Vec<Vec<u8>>,
    whole: usize,
    fault: Option<Fault>,
    output: Vec<u8>,
}

fn receive(config: &Arc<Config>, pieces: Vec<Vec<u8>>) -> Seen {
    let mut connection = connection(config);
    let mut seen = Seen::default();
    for mut piece in pieces {
        let mut input = Input::new(&mut piece);
        loop {
            match connection.recv(&mut input, &mut seen.output, Duration::ZERO) {
                Ok(Some(Event::Message(message))) => {
                    seen.messages.push(message.into_vec());
                    seen.whole += 1;
                }
                Ok(Some(Event::Piece(piece))) => {
                    if piece.is_first() {
                        seen.messages.push(Vec::new());
                    }
                    seen.messages
                        .last_mut()
                        .expect("begun")
                        .extend(piece.as_bytes());
                    seen.whole += usize::from(piece.is_last());
                }
                Ok(Some(other)) => panic!("{other:?}"),
                Ok(None) => break,
                Err(fault) => {
                    seen.fault = Some(fault);
                    return seen;
                }
            }
        }
    }
    seen
}

/// What another inflater makes of a message's payload; None if it finds a fault.
fn oracle(state: &mut Box<InflateState>, payload: &[u8]) -> Option<Vec<u8>> {
    let (mut message, mut ended) = (Vec::new(), false);
    for mut rest in [payload, &[0x00, 0x00, 0xFF, 0xFF]] {
        if rest.len() == 4 && ended {
            break;
        }
        loop {
            let mut room = [0; 4096];
            let result = inflate(state, rest, &mut room, MZFlush::None);
            rest = &rest[result.bytes_consumed..];
            message.extend(&room[..result.bytes_written]);
            ended = result.status == Ok(MZStatus::StreamEnd);
            match result.status {
                Ok(MZStatus::StreamEnd) => {
                    *state = InflateState::new_boxed(DataFormat::Raw);
                    if rest.is_empty() {
                        break;
                    }
                }
                Ok(_) | Err(MZError::Buf)
                    if rest.is_empty() && result.bytes_written < room.len() =>
                {
                    break;
                }
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
    Some(message)
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let (flags, limit, size) = (byte(&mut u), byte(&mut u), byte(&mut u));
    let cuts = Cuts::read(&mut u);
    let mut payloads = Vec::new();
    while !u.is_empty() {
        let length = u16::from_le_bytes([byte(&mut u), byte(&mut u)]);
        payloads.push(bytes(&mut u, length.into()).to_vec());
    }

    let mut config = Config::default();
    let takeover = flags & 1 == 0;
    config.extensions.push(Arc::new(match takeover {
        true => Deflate::default(),
        false => Deflate::shared(),
    }));
    if flags & 2 != 0 {
        config.delivery = Delivery::Streamed;
    }
    config.max_message_size = match limit {
        0 => 64 * 1024,
        some => usize::from(some - 1) * 16,
    };
    let config = Arc::new(config);

    let mut stream = Vec::new();
    for payload in &payloads {
        let size = if size == 0 { usize::MAX } else { size.into() };
        frames(payload, size.min(payload.len().max(1)), &mut stream);
    }
    let seen = receive(&config, vec![stream.clone()]);
    assert_eq!(receive(&config, cuts.pieces(&stream)), seen);

    assert!(
        seen.messages
            .iter()
            .all(|it| it.len() <= config.max_message_size)
    );
    assert!(seen.fault.is_some() || seen.whole == payloads.len());
    let mut state = InflateState::new_boxed(DataFormat::Raw);
    for (message, payload) in seen.messages[..seen.whole].iter().zip(&payloads) {
        if !takeover {
            state = InflateState::new_boxed(DataFormat::Raw);
        }
        match oracle(&mut state, payload) {
            Some(expected) => assert_eq!(*message, expected),
            // Cut short, inside a block's header: the tail has made it a faulty one, which zlib
            // finds later. Only without takeover are messages known to be complete.
            None => {
                assert!(takeover);
                break;
            }
        }
    }
});
