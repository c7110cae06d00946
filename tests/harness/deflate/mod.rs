//! What the suites of permessage-deflate share: settings, frames of compressed messages, sample
//! messages, and zlib (`zlib.rs`).

pub mod zlib;

extern crate alloc;

use alloc::sync::Arc;

use sockeye::proto::{Config, Connection, Deflate, Encoding, Role, WindowBits};

use crate::sansio::*;
use zlib::Zlib;

/// "Hello", and the same again as a reference to the first (RFC 7692 section 7.2.3.2).
pub const HELLO: [u8; 7] = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
pub const HELLO_AGAIN: [u8; 5] = [0xF2, 0x00, 0x11, 0x00, 0x00];

/// The default configuration with permessage-deflate.
pub fn deflate(change: impl FnOnce(&mut Deflate)) -> Arc<Config> {
    deflate_with(change, |_| {})
}

pub fn deflate_with(
    change: impl FnOnce(&mut Deflate),
    also: impl FnOnce(&mut Config),
) -> Arc<Config> {
    let mut deflate = Deflate::default();
    change(&mut deflate);
    config(|it| {
        it.extensions.push(Arc::new(deflate));
        also(it);
    })
}

/// With context takeover both ways, and without.
pub fn both_modes() -> [Arc<Config>; 2] {
    [deflate(|_| {}), deflate(|it| *it = Deflate::shared())]
}

pub fn window(bits: u8) -> WindowBits {
    WindowBits::new(bits).expect("9 to 15")
}

/// Returns a compressed message in one frame, as `role` receives it.
pub fn compressed(role: Role, opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(true, RSV1, opcode, mask_to(role), payload)
}

/// Returns the bytes that are sent for one message.
pub fn sent(conn: &mut Connection, message: &[u8], encoding: Encoding) -> Vec<RawFrame> {
    let mut out = Vec::new();
    conn.send_with(message, encoding, &mut out).unwrap();
    frames_from(conn.role(), &out)
}

/// Returns the payload that is sent for one message, which must be one frame of a compressed
/// message.
#[track_caller]
pub fn sent_compressed(conn: &mut Connection, message: &[u8]) -> Vec<u8> {
    let mut frames = sent(conn, message, Encoding::Always);
    let frame = frames.pop().expect("a frame");
    assert!(frames.is_empty() && frame.fin && frame.rsv == RSV1);
    frame.payload
}

/// zlib's inflater for the peer of an endpoint.
pub struct Peer {
    role: Role,
    takeover: bool,
    zlib: Zlib,
}

impl Peer {
    pub fn new(role: Role, takeover: bool, bits: u8) -> Self {
        let zlib = Zlib::inflater(bits);
        Self {
            role,
            takeover,
            zlib,
        }
    }

    /// Reads the frames of whole messages as the endpoint of this role sent them. Checks what
    /// RFC 7692 section 6.1 asks of frames, and section 7.2.1 of payloads.
    pub fn read(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let (mut messages, mut open) = (Vec::new(), None);
        for frame in frames_from(self.role, bytes) {
            let first = open.is_none();
            assert!(first || frame.rsv == 0, "RSV1 on a continuation");
            let (compressed, mut payload) = open.take().unwrap_or((frame.rsv == RSV1, Vec::new()));
            payload.extend(frame.payload);
            if !frame.fin {
                open = Some((compressed, payload));
                continue;
            }
            messages.push(match compressed {
                true => {
                    assert!(!payload.is_empty(), "RFC 7692 section 7.2.3.6");
                    assert!(!payload.ends_with(&[0, 0, 0xFF, 0xFF]), "the tail is sent");
                    if !self.takeover {
                        self.zlib.reset();
                    }
                    self.zlib
                        .inflate_message(&payload)
                        .expect("valid, and within the window")
                }
                false => payload,
            });
        }
        assert!(open.is_none());
        messages
    }
}

/// Returns text like that of an application, with ids and numbers that differ from seed to seed.
pub fn json(length: usize, random: &mut Seeded) -> Vec<u8> {
    let mut text = String::from("[");
    while text.len() < length {
        let n = random.next_u64();
        text += &format!(
            r#"{{"id":{},"user":"user{}","price":{}.{:02},"side":"{}","active":{}}},"#,
            n % 1_000_000,
            n % 97,
            n % 5000,
            n % 100,
            if n & 1 == 0 { "buy" } else { "sell" },
            n & 2 == 0
        );
    }
    text.truncate(length);
    text.into_bytes()
}

pub fn noise(length: usize, random: &mut Seeded) -> Vec<u8> {
    (0..length).map(|_| random.next_u64() as u8).collect()
}

/// Messages of every kind that a compressor treats differently, in a random order: empty, tiny,
/// compressible, incompressible, repeated, mixed and large.
pub fn mixture(count: usize, random: &mut Seeded) -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for _ in 0..count {
        let length = random.below(600);
        messages.push(match random.below(40) {
            0..=3 => Vec::new(),
            4..=7 => noise(1 + random.below(4), random),
            8..=15 => json(length, random),
            16..=23 => noise(length, random),
            24..=27 => vec![random.next_u64() as u8; length],
            28..=33 if !messages.is_empty() => messages[random.below(messages.len())].clone(),
            34..=38 => [json(length, random), noise(length, random)].concat(),
            39 if random.below(4) == 0 => {
                [json(30_000, random), noise(9_000, random), vec![7; 40_000]].concat()
            }
            _ => json(random.below(4000), random),
        });
    }
    messages
}
