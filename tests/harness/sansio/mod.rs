//! What the suites of the sans-io core share: frames built and read by hand, the ways to split
//! input, a driver that keeps an owned transcript, and beside them assertions (`expect.rs`), two
//! endpoints on a virtual clock (`pair.rs`) and an extension (`runs.rs`).

pub use crate::Seeded;

pub mod expect;
pub mod pair;
pub mod runs;

extern crate alloc;

use alloc::sync::Arc;
use core::time::Duration;

use sockeye::error::Fault;
use sockeye::proto::{
    Accept, ClientHandshake, ClientRequest, Closed, Config, Connection, Event, Input, MessageKind,
    Received, Role, ServerHandshake, Url,
};

pub const CONTINUATION: u8 = 0x0;
pub const TEXT: u8 = 0x1;
pub const BINARY: u8 = 0x2;
pub const CLOSE: u8 = 0x8;
pub const PING: u8 = 0x9;
pub const PONG: u8 = 0xA;

pub const RSV1: u8 = 0b100;
pub const RSV2: u8 = 0b010;
pub const RSV3: u8 = 0b001;

pub const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
pub const ROLES: [Role; 2] = [Role::Server, Role::Client];

// ---- frames by hand -------------------------------------------------------------------------

/// A payload length as encoded in a header, minimal or not.
#[derive(Clone, Copy, Debug)]
pub enum Length {
    Minimal(u64),
    In16(u16),
    In64(u64),
}

/// A header: `byte0` as it is, then MASK and the length, then the key.
pub fn raw_header(byte0: u8, mask: Option<[u8; 4]>, length: Length) -> Vec<u8> {
    let mut bytes = vec![byte0];
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let length = match length {
        Length::Minimal(n) if n < 126 => {
            bytes.push(bit | n as u8);
            None
        }
        Length::Minimal(n) if n < 65_536 => Some(Length::In16(n as u16)),
        Length::Minimal(n) => Some(Length::In64(n)),
        other => Some(other),
    };
    match length {
        Some(Length::In16(n)) => {
            bytes.push(bit | 126);
            bytes.extend(n.to_be_bytes());
        }
        Some(Length::In64(n)) => {
            bytes.push(bit | 127);
            bytes.extend(n.to_be_bytes());
        }
        _ => {}
    }
    bytes.extend(mask.into_iter().flatten());
    bytes
}

pub fn byte0(fin: bool, rsv: u8, opcode: u8) -> u8 {
    u8::from(fin) << 7 | rsv << 4 | opcode
}

/// The header of a frame that claims `length` bytes.
pub fn header(fin: bool, rsv: u8, opcode: u8, mask: Option<[u8; 4]>, length: u64) -> Vec<u8> {
    raw_header(byte0(fin, rsv, opcode), mask, Length::Minimal(length))
}

/// A whole frame.
pub fn frame(fin: bool, rsv: u8, opcode: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(fin, rsv, opcode, mask, payload.len() as u64);
    bytes.extend(masked(payload, mask));
    bytes
}

/// RFC 6455 section 5.3, to the letter.
pub fn masked(payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let key = mask.unwrap_or([0; 4]);
    let octets = payload.iter().enumerate();
    octets.map(|(i, octet)| octet ^ key[i % 4]).collect()
}

/// The payload of a Close frame.
pub fn close_payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

/// The masking key of the frames that `role` receives.
pub fn mask_to(role: Role) -> Option<[u8; 4]> {
    match role {
        Role::Server => Some(KEY),
        Role::Client => None,
    }
}

/// A frame with no reserved bit, as `role` must receive it.
pub fn frame_to(role: Role, fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(fin, 0, opcode, mask_to(role), payload)
}

/// A frame that is read back from output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    pub fin: bool,
    pub rsv: u8,
    pub opcode: u8,
    pub mask: Option<[u8; 4]>,
    /// Without the mask.
    pub payload: Vec<u8>,
}

impl RawFrame {
    /// The code of a Close frame; None for an empty one.
    pub fn close_code(&self) -> Option<u16> {
        assert_eq!(self.opcode, CLOSE, "{self:?}");
        assert_ne!(self.payload.len(), 1, "{self:?}");
        let code = self.payload.first_chunk()?;
        core::str::from_utf8(&self.payload[2..]).expect("a Close reason is UTF-8");
        Some(u16::from_be_bytes(*code))
    }
}

/// Reads the frames that an endpoint of `role` sent. Panics when they break RFC 6455: cut short,
/// length not minimal, masking wrong for the role, a control frame too long or fragmented.
pub fn frames_from(role: Role, mut bytes: &[u8]) -> Vec<RawFrame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (first, second) = (bytes[0], bytes[1]);
        let (length, mut at) = match second & 0x7F {
            126 => {
                let length = u64::from(u16::from_be_bytes(bytes[2..4].try_into().unwrap()));
                assert!(length > 125, "length not minimal");
                (length, 4)
            }
            127 => {
                let length = u64::from_be_bytes(bytes[2..10].try_into().unwrap());
                assert!(length > 65_535 && length < 1 << 63, "length not minimal");
                (length, 10)
            }
            short => (u64::from(short), 2),
        };
        let is_masked = second & 0x80 != 0;
        assert_eq!(is_masked, role == Role::Client, "masking is the client's");
        let mask = is_masked.then(|| {
            at += 4;
            bytes[at - 4..at].try_into().unwrap()
        });
        let end = at + length as usize;
        let frame = RawFrame {
            fin: first & 0x80 != 0,
            rsv: first >> 4 & 7,
            opcode: first & 0xF,
            mask,
            payload: masked(&bytes[at..end], mask),
        };
        assert!(
            frame.opcode < 8 || frame.fin && frame.payload.len() <= 125,
            "control frame: {frame:?}"
        );
        frames.push(frame);
        bytes = &bytes[end..];
    }
    frames
}

// ---- endpoints ------------------------------------------------------------------------------

/// The defaults without keep-alive, so that only frames cause output.
pub fn config(change: impl FnOnce(&mut Config)) -> Arc<Config> {
    let mut config = Config::default();
    change(&mut config);
    Arc::new(config)
}

pub fn default_config() -> Arc<Config> {
    config(|_| {})
}

/// A connection of `role`, opened at 0, whose handshake was done elsewhere.
pub fn endpoint(role: Role, config: &Arc<Config>) -> Connection {
    match role {
        Role::Server => Connection::server(config.clone(), Duration::ZERO),
        Role::Client => Connection::client(config.clone(), Box::new(Seeded(42)), Duration::ZERO),
    }
}

/// Both ends after a real opening handshake at 0, which is how an extension is negotiated.
pub fn handshake(client: &Arc<Config>, server: &Arc<Config>) -> (Connection, Connection) {
    let now = Duration::ZERO;
    let url = Url::parse("ws://example.com/").unwrap();
    let (request, random) = (ClientRequest::default(), Box::new(Seeded(42)));
    let mut up = Vec::new();
    let mut client =
        ClientHandshake::new(&url, &request, client.clone(), random, &mut up, now).unwrap();
    let (acceptor, mut down) = (ServerHandshake::new(server.clone(), now), Vec::new());
    let received = acceptor.recv(&mut Input::new(&mut up), &mut down, now);
    let Ok(Received::Upgrade(upgrade)) = received else {
        panic!("{received:?}");
    };
    let server = upgrade.accept(&Accept::default(), &mut down, now).unwrap();
    let client = client.recv(&mut Input::new(&mut down), now).unwrap();
    (client.expect("a whole response"), server)
}

/// The end of `role` after a handshake where both have the same settings, extensions included.
pub fn negotiated(role: Role, config: &Arc<Config>) -> Connection {
    let (client, server) = handshake(config, config);
    match role {
        Role::Server => server,
        Role::Client => client,
    }
}

// ---- driving --------------------------------------------------------------------------------

/// An owned event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Message(MessageKind, Vec<u8>),
    /// Pieces of one message with nothing between them, joined.
    Piece {
        kind: MessageKind,
        bytes: Vec<u8>,
        first: bool,
        last: bool,
    },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Closed(Closed),
}

pub fn text(text: &str) -> Seen {
    Seen::Message(MessageKind::Text, text.into())
}

pub fn binary(bytes: &[u8]) -> Seen {
    Seen::Message(MessageKind::Binary, bytes.into())
}

/// Adds an event to those seen; checks what holds for any event.
pub fn push_event(events: &mut Vec<Seen>, event: Event<'_>) {
    let event = match event {
        Event::Message(message) => {
            assert_eq!(message.as_text().is_some(), message.is_text());
            assert!(
                !message.is_text() || core::str::from_utf8(message.as_bytes()).is_ok(),
                "a text message that is not UTF-8 was delivered"
            );
            Seen::Message(message.kind(), message.into_vec())
        }
        Event::Ping(payload) => Seen::Ping(payload.into_vec()),
        Event::Pong(payload) => Seen::Pong(payload.into_vec()),
        Event::Closed(closed) => Seen::Closed(closed),
        Event::Piece(piece) => {
            let utf8 = core::str::from_utf8(piece.as_bytes());
            assert_eq!(piece.as_text().is_some(), piece.kind() == MessageKind::Text);
            assert!(piece.as_text().is_none() || utf8.is_ok(), "{piece:?}");
            assert!(piece.is_last() || !piece.as_bytes().is_empty());
            if let Some(Seen::Piece {
                kind, bytes, last, ..
            }) = events.last_mut()
                && !*last
            {
                assert!(!piece.is_first() && piece.kind() == *kind, "{piece:?}");
                bytes.extend_from_slice(piece.as_bytes());
                *last = piece.is_last();
                return;
            }
            Seen::Piece {
                kind: piece.kind(),
                bytes: piece.as_bytes().to_vec(),
                first: piece.is_first(),
                last: piece.is_last(),
            }
        }
        other => panic!("unknown event {other:?}"),
    };
    events.push(event);
}

/// What a connection did with some bytes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Transcript {
    pub events: Vec<Seen>,
    pub output: Vec<u8>,
    pub fault: Option<Fault>,
}

/// Gives `bytes` to the connection in chunks of these lengths, to the end whatever happens, and
/// checks what always holds: all input is consumed, an error sticks, and nothing is delivered or
/// sent once the connection is over. Also returns after how many bytes the fault came.
pub fn drive_from(
    conn: &mut Connection,
    bytes: &[u8],
    chunks: &[usize],
    now: Duration,
) -> (Transcript, usize) {
    let (mut seen, mut given, mut fault_at) = (Transcript::default(), 0, 0);
    let stuck = conn.fault();
    for &length in chunks {
        let mut chunk = bytes[given..given + length].to_vec();
        given += length;
        let mut input = Input::new(&mut chunk);
        loop {
            let over = conn.teardown().is_some();
            let written = seen.output.len();
            match conn.recv(&mut input, &mut seen.output, now) {
                Ok(Some(event)) => {
                    assert!(!over, "delivered after the end: {event:?}");
                    push_event(&mut seen.events, event);
                }
                Ok(None) => break,
                Err(fault) if seen.fault.is_none() => {
                    assert!(!over || stuck == Some(fault), "failed after the end");
                    assert_eq!(conn.fault(), Some(fault));
                    (seen.fault, fault_at) = (Some(fault), given);
                    break;
                }
                Err(fault) => {
                    assert_eq!(Some(fault), seen.fault, "the fault sticks");
                    break;
                }
            }
            assert!(!over || written == seen.output.len(), "sent after the end");
        }
        assert!(
            input.is_empty() && input.consumed() == length,
            "all is consumed"
        );
    }
    assert_eq!(given, bytes.len());
    assert_eq!(conn.fault(), seen.fault.or(stuck));
    (seen, fault_at)
}

/// Like [`drive_from`], at time 0.
pub fn drive(conn: &mut Connection, bytes: &[u8], chunks: &[usize]) -> Transcript {
    drive_from(conn, bytes, chunks, Duration::ZERO).0
}

// ---- splitting ------------------------------------------------------------------------------

/// Lengths that split `length` bytes at random; short pieces are as likely as long ones.
pub fn random_chunks(length: usize, random: &mut Seeded) -> Vec<usize> {
    let (mut chunks, mut rest) = (Vec::new(), length);
    while rest > 0 {
        let most = 1 << random.below(12);
        let chunk = (1 + random.below(most)).min(rest);
        chunks.push(chunk);
        rest -= chunk;
    }
    chunks
}

/// Runs a check with the chunk lengths of the three ways: whole, byte by byte, random splits.
pub fn every_way(bytes: &[u8], mut check: impl FnMut(&[usize])) {
    check(&[bytes.len()]);
    check(&vec![1; bytes.len()]);
    let mut random = Seeded(bytes.len() as u64);
    for _ in 0..6 {
        check(&random_chunks(bytes.len(), &mut random));
    }
}

/// Gives `bytes` in every way to connections made by `make`; the transcripts must all be equal.
/// Returns one of them, and after how many bytes the fault came when given byte by byte.
pub fn drive_every_way(mut make: impl FnMut() -> Connection, bytes: &[u8]) -> (Transcript, usize) {
    let mut all: Option<Transcript> = None;
    every_way(bytes, |chunks| {
        let seen = drive(&mut make(), bytes, chunks);
        let expected = all.get_or_insert_with(|| seen.clone());
        assert_eq!(
            &seen,
            expected,
            "split as {:?}",
            &chunks[..chunks.len().min(40)]
        );
    });
    let (_, fault_at) = drive_from(&mut make(), bytes, &vec![1; bytes.len()], Duration::ZERO);
    (all.unwrap_or_default(), fault_at)
}
