//! Streams of frames that are good for the most part, so that a fuzzer gets behind the headers.

use arbitrary::Unstructured;

use crate::{byte, bytes, rest};

/// Makes a stream of the rest of the input: half of the time the bytes as they are, else frames
/// that the bytes describe.
pub fn stream(u: &mut Unstructured<'_>, structured: bool, masked: bool) -> Vec<u8> {
    if structured {
        frames(u, masked)
    } else {
        rest(u).to_vec()
    }
}

/// Each frame is described by a byte of what it is, one of what is odd about it, one of its
/// length, and its payload.
fn frames(u: &mut Unstructured<'_>, masked: bool) -> Vec<u8> {
    const FIRST: [u8; 16] = [
        0x81, 0x82, 0x80, 0x01, 0x02, 0x00, 0x89, 0x8a, // text, binary, …, ping, pong
        0x88, 0x81, 0x80, 0x00, 0x82, 0x89, 0x01, 0x80,
    ];
    let mut out = Vec::new();
    while !u.is_empty() && out.len() < 1 << 16 {
        let what = byte(u);
        let odd = byte(u);
        let length = byte(u);
        let mut payload = match length {
            // What a payload of that length costs nothing to write here: repeated characters, one
            // of whose bytes may be another.
            248 => {
                let mut payload = "wide: \u{10ffff}\u{20ac}\u{e9}".repeat(2500).into_bytes();
                let at = usize::from(byte(u)) << 8 | usize::from(byte(u));
                let at = at % payload.len();
                payload[at] ^= byte(u);
                payload
            }
            249 => vec![b'd'; 125],
            250 => vec![b'a'; 126],
            251 => vec![0x80; 400],
            252 => vec![b'b'; 65535],
            253 => vec![b'c'; 65536],
            254 => "\u{10ffff}\u{20ac}\u{e9}z".repeat(13).into_bytes(),
            255 => bytes(u, 1000).to_vec(),
            short => bytes(u, short.into()).to_vec(),
        };
        if odd == 7 {
            out.append(&mut payload); // no frame at all
            continue;
        }
        let mut first = FIRST[usize::from(what % 16)];
        let mut mask = masked;
        let mut claimed = payload.len() as u64;
        let mut width = match payload.len() {
            0..=125 => 0,
            126..=65535 => 2,
            _ => 8,
        };
        match odd {
            1 => first |= 0x40,
            2 => first |= what & 0x70,
            3 => mask = !mask,
            4 => width = 2,
            5 => width = 8,
            6 => claimed += u64::from(what), // the next frames are its payload
            8 => {
                claimed = u64::MAX >> (what % 64);
                width = 8;
            }
            9 => first = what,
            10.. if odd >= 240 => payload.truncate(2),
            _ => {}
        }
        out.push(first);
        let bit = if mask { 0x80 } else { 0 };
        match width {
            0 => out.push(bit | (claimed as u8 & 0x7f)),
            2 => {
                out.push(bit | 126);
                out.extend((claimed as u16).to_be_bytes());
            }
            _ => {
                out.push(bit | 127);
                out.extend(claimed.to_be_bytes());
            }
        }
        if mask {
            let key = [what, 0x5a, odd, !what];
            out.extend(key);
            let key = key.iter().cycle();
            out.extend(payload.iter().zip(key).map(|(byte, key)| byte ^ key));
        } else {
            out.append(&mut payload);
        }
    }
    out
}

/// The description that [`stream`] makes a frame of, for seeds.
pub fn describe(what: u8, odd: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 248);
    let mut description = vec![what, odd, payload.len() as u8];
    description.extend(payload);
    description
}
