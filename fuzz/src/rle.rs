//! A per-message extension for the fuzzer, small enough to be right: run lengths. It grows what
//! it decodes, fails on some bytes, keeps state between pieces and declines some messages, as
//! compression does.
//!
//! `F0 n b` is n times b; `F2 b` is b; `F1` is a fault; all other bytes stand for themselves.

use std::sync::Arc;

use sockeye::proto::{
    DecodeError, Encoding, Extension, ExtensionOffer, PerMessage, PerMessageDecode,
    PerMessageEncode, PerMessageExtension, Rsv,
};

#[derive(Debug)]
pub struct Rle;

impl Rle {
    pub fn shared() -> Arc<dyn PerMessageExtension> {
        Arc::new(Self)
    }
}

fn extension() -> Extension {
    Extension::new("rle")
}

fn codec() -> PerMessage {
    PerMessage::new(
        Rsv::RSV1,
        Box::new(Encoder { inside: false }),
        Box::new(Decoder(Decoding::Plain)),
    )
}

impl PerMessageExtension for Rle {
    fn offers(&self) -> Vec<Extension> {
        vec![extension()]
    }

    fn accept(&self, offer: &ExtensionOffer<'_>) -> Option<(Extension, PerMessage)> {
        (offer.name() == "rle").then(|| (extension(), codec()))
    }

    fn confirm(&self, response: &ExtensionOffer<'_>) -> Option<Result<PerMessage, &'static str>> {
        (response.name() == "rle").then(|| Ok(codec()))
    }
}

struct Encoder {
    inside: bool,
}

impl PerMessageEncode for Encoder {
    /// A message whose first piece is empty or begins with an even byte is left as it is.
    fn encode(&mut self, payload: &[u8], fin: bool, _: Encoding, out: &mut Vec<u8>) -> bool {
        if !self.inside && payload.first().is_none_or(|byte| byte % 2 == 0) {
            return false;
        }
        self.inside = !fin;
        for &byte in payload {
            match byte {
                0xf0.. => out.extend([0xf2, byte]),
                byte => out.push(byte),
            }
        }
        true
    }
}

#[derive(Clone, Copy)]
enum Decoding {
    Plain,
    Literal,
    Count,
    Byte(u8),
}

struct Decoder(Decoding);

impl PerMessageDecode for Decoder {
    fn decode(
        &mut self,
        piece: &[u8],
        fin: bool,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        let end = out.len() + limit;
        for &byte in piece {
            let (count, byte) = match (self.0, byte) {
                (Decoding::Plain, 0xf0) => {
                    self.0 = Decoding::Count;
                    continue;
                }
                (Decoding::Plain, 0xf1) => return Err(DecodeError::Invalid("a byte of F1")),
                (Decoding::Plain, 0xf2) => {
                    self.0 = Decoding::Literal;
                    continue;
                }
                (Decoding::Plain | Decoding::Literal, byte) => (1, byte),
                (Decoding::Count, count) => {
                    self.0 = Decoding::Byte(count);
                    continue;
                }
                (Decoding::Byte(count), byte) => (count.into(), byte),
            };
            self.0 = Decoding::Plain;
            let room = end - out.len();
            out.extend(std::iter::repeat_n(byte, room.min(count)));
            if room < count {
                return Err(DecodeError::TooLong);
            }
        }
        match (fin, self.0) {
            (true, Decoding::Plain) | (false, _) => Ok(()),
            (true, _) => Err(DecodeError::Invalid("the message ends in a run")),
        }
    }
}

/// What a message was before it was encoded.
pub fn decode(encoded: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let done = Decoder(Decoding::Plain).decode(encoded, true, usize::MAX / 2, &mut out);
    assert_eq!(done, Ok(()), "the extension's output doesn't decode");
    out
}
