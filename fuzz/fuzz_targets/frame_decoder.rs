//! Frames: the decoder answers the same for the stream whole and in pieces, and the same as a
//! plain second reader; each header is encoded back to its own bytes. Input: role and reserved
//! bits, cuts, stream.
#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use sockeye::error::ProtocolError;
use sockeye::proto::{FrameDecoder, FrameHeader, Input, Opcode, Role, Rsv};
use sockeye_fuzz::wire::{self, End, Frame, Rules};
use sockeye_fuzz::{Cuts, byte, generate};

/// All frames, with as much of the last one's payload as there is.
fn decode(
    mut decoder: FrameDecoder,
    pieces: Vec<Vec<u8>>,
) -> (Vec<(FrameHeader, Vec<u8>)>, Option<ProtocolError>) {
    let mut frames: Vec<(FrameHeader, Vec<u8>)> = Vec::new();
    let mut complete = true;
    for mut bytes in pieces {
        let all = bytes.len();
        let mut input = Input::new(&mut bytes);
        loop {
            let before = input.len();
            let piece = match decoder.decode(&mut input) {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.decode(&mut input).unwrap_err(), error);
                    return (frames, Some(error));
                }
            };
            assert_eq!(piece.is_first(), complete);
            assert!(piece.is_first() || !piece.payload().is_empty());
            assert!(piece.payload().len() + input.len() <= before);
            if piece.is_first() {
                frames.push((*piece.header(), Vec::new()));
            }
            let (header, payload) = frames.last_mut().expect("a first piece");
            assert_eq!(header, piece.header());
            payload.extend(piece.payload());
            complete = piece.is_last();
            assert_eq!(complete, payload.len() as u64 == header.payload_length);
        }
        assert!(input.is_empty() && input.consumed() == all);
    }
    (frames, None)
}

fn plain((header, payload): &(FrameHeader, Vec<u8>)) -> Frame {
    let bits = [(Rsv::RSV1, 4), (Rsv::RSV2, 2), (Rsv::RSV3, 1)];
    let set = bits.iter().filter(|(bit, _)| header.rsv.contains(*bit));
    Frame {
        fin: header.fin,
        rsv: set.map(|(_, bit)| bit).sum(),
        opcode: header.opcode as u8,
        masked: header.masking_key.is_some(),
        length: header.payload_length,
        payload: payload.clone(),
    }
}

/// A header made of any bytes comes back from its own encoding.
fn round_trip(header: FrameHeader) {
    let encoded = header.encode();
    assert_eq!(encoded.as_bytes().len(), header.encoded_length());
    let decoded = FrameHeader::decode(encoded.as_bytes());
    assert_eq!(decoded, Ok(Some((header, header.encoded_length()))));
    for end in 0..header.encoded_length() {
        assert_eq!(FrameHeader::decode(&encoded.as_bytes()[..end]), Ok(None));
    }
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let flags = byte(&mut u);
    let masked = flags & 1 == 0;
    let role = if masked { Role::Server } else { Role::Client };
    let mut rsv = Rsv::NONE;
    for (at, bit) in [(0x40, Rsv::RSV1), (0x20, Rsv::RSV2), (0x10, Rsv::RSV3)] {
        if flags & at != 0 {
            rsv = rsv | bit;
        }
    }
    let cuts = Cuts::read(&mut u);
    let stream = generate::stream(&mut u, flags & 2 != 0, masked);

    let decoder = FrameDecoder::with_rsv(role, rsv);
    let (frames, error) = decode(decoder.clone(), vec![stream.clone()]);
    let in_pieces = decode(decoder, cuts.pieces(&stream));
    assert_eq!((&frames, &error), (&in_pieces.0, &in_pieces.1));

    let rules = Rules {
        masked,
        rsv: flags >> 4 & 7,
    };
    let (expected, end) = wire::frames(&stream, rules);
    assert_eq!(frames.iter().map(plain).collect::<Vec<_>>(), expected);
    assert_eq!(error.is_some(), matches!(end, End::Bad(_)), "{end:?}");

    let mut at = 0;
    for (header, payload) in &frames {
        round_trip(*header);
        // The shortest form is the only one, so the bytes are the ones that came in.
        let encoded = header.encode();
        assert!(stream[at..].starts_with(encoded.as_bytes()));
        at += encoded.as_bytes().len() + payload.len();
    }
    // And a header of the input's first bytes, in any form.
    if let Some(bytes) = data.first_chunk::<14>() {
        let opcode = [Opcode::Continuation, Opcode::Text, Opcode::Binary];
        let long = u64::from_be_bytes(*bytes[2..].first_chunk().expect("12 bytes"));
        round_trip(FrameHeader {
            fin: bytes[0] & 1 != 0,
            rsv,
            opcode: opcode[usize::from(bytes[1] % 3)],
            masking_key: (bytes[0] & 2 != 0).then(|| *bytes.last_chunk().expect("14 bytes")),
            payload_length: long >> 1 >> (bytes[1] % 63),
        });
    }
});
