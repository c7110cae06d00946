//! An extension for tests, "x-runs": run lengths and a checksum.
//!
//! A message becomes pairs of bytes (count, byte) and a last pair (0, sum of all bytes). It grows
//! when decoded, keeps state from piece to piece, can be split anywhere, and can be malformed: what
//! a compression does, in a few lines. A message that begins with `!` is sent as it is.

extern crate alloc;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use sockeye::proto::{
    DecodeError, Encoding, Extension, ExtensionOffer, PerMessage, PerMessageDecode,
    PerMessageEncode, PerMessageExtension, Rsv,
};

pub const TRUNCATED: &str = "x-runs: cut short";
pub const CHECKSUM: &str = "x-runs: wrong checksum";
pub const BEHIND: &str = "x-runs: bytes behind the checksum";

/// The extension, to be put into `Config::extensions`.
#[derive(Debug)]
pub struct Runs {
    pub rsv: Rsv,
    /// Whether the decoder ignores its limit.
    pub disobedient: bool,
    /// How many encoded bytes decoders were given.
    pub given: Arc<AtomicUsize>,
    /// How many bytes decoders appended.
    pub decoded: Arc<AtomicUsize>,
}

impl Runs {
    pub fn new(rsv: Rsv) -> Self {
        Self {
            rsv,
            disobedient: false,
            given: Arc::default(),
            decoded: Arc::default(),
        }
    }

    fn codec(&self) -> PerMessage {
        let decoder = Decoder {
            disobedient: self.disobedient,
            given: self.given.clone(),
            decoded: self.decoded.clone(),
            count: None,
            sum: 0,
            done: false,
        };
        PerMessage::new(self.rsv, Box::new(Encoder::default()), Box::new(decoder))
    }
}

impl PerMessageExtension for Runs {
    fn offers(&self) -> Vec<Extension> {
        vec![Extension::new("x-runs")]
    }

    fn accept(&self, offer: &ExtensionOffer<'_>) -> Option<(Extension, PerMessage)> {
        (offer.name() == "x-runs").then(|| (Extension::new("x-runs"), self.codec()))
    }

    fn confirm(&self, response: &ExtensionOffer<'_>) -> Option<Result<PerMessage, &'static str>> {
        (response.name() == "x-runs").then(|| Ok(self.codec()))
    }
}

#[derive(Default)]
struct Encoder {
    sum: u8,
    under_way: bool,
}

impl PerMessageEncode for Encoder {
    fn encode(&mut self, payload: &[u8], fin: bool, _: Encoding, out: &mut Vec<u8>) -> bool {
        if !self.under_way && payload.first() == Some(&b'!') {
            return false;
        }
        self.under_way = !fin;
        out.extend(pairs(payload));
        self.sum = sum(self.sum, payload);
        if fin {
            out.extend([0, self.sum]);
            self.sum = 0;
        }
        true
    }
}

fn sum(start: u8, bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(start, |sum, byte| sum.wrapping_add(*byte))
}

fn pairs(payload: &[u8]) -> Vec<u8> {
    let runs = payload
        .chunk_by(|a, b| a == b)
        .flat_map(|run| run.chunks(255));
    runs.flat_map(|run| [run.len() as u8, run[0]]).collect()
}

/// Returns a whole message, encoded.
pub fn encoded(payload: &[u8]) -> Vec<u8> {
    let mut bytes = pairs(payload);
    bytes.extend([0, sum(0, payload)]);
    bytes
}

struct Decoder {
    disobedient: bool,
    given: Arc<AtomicUsize>,
    decoded: Arc<AtomicUsize>,
    count: Option<u8>,
    sum: u8,
    done: bool,
}

impl PerMessageDecode for Decoder {
    fn decode(
        &mut self,
        piece: &[u8],
        fin: bool,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        self.given.fetch_add(piece.len(), Ordering::Relaxed);
        let mut room = limit;
        for &byte in piece {
            if self.done {
                return Err(DecodeError::Invalid(BEHIND));
            }
            match self.count.take() {
                None => self.count = Some(byte),
                Some(0) if byte != self.sum => return Err(DecodeError::Invalid(CHECKSUM)),
                Some(0) => self.done = true,
                Some(count) => {
                    let count = usize::from(count);
                    let taken = match self.disobedient {
                        true => count,
                        false => count.min(room),
                    };
                    out.resize(out.len() + taken, byte);
                    self.decoded.fetch_add(taken, Ordering::Relaxed);
                    self.sum = self.sum.wrapping_add(byte.wrapping_mul(count as u8));
                    if taken < count {
                        return Err(DecodeError::TooLong);
                    }
                    room = room.saturating_sub(count);
                }
            }
        }
        if fin {
            if !self.done {
                return Err(DecodeError::Invalid(TRUNCATED));
            }
            (self.count, self.sum, self.done) = (None, 0, false);
        }
        Ok(())
    }
}
