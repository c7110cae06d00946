//! From payloads to frames (RFC 6455 section 5).
//!
//! Owns the ways to write a frame: [`append`] any frame, the header written [`in_front`] of a
//! payload that has room for it, or [`behind_room`] that was left for it; and for a server's usual
//! message, which is unmasked, whole and short, [`append_plain`] and [`in_front_plain`], which
//! write the same in fewer instructions. The connection decides which frames may be sent, and their
//! masking keys.

use alloc::vec::Vec;

use super::frame::{FrameHeader, MAX_HEADER_LENGTH};
use super::mask::mask;
use super::message::{MessageKind, Payload};

/// The longest payload whose length is in the header's second byte (RFC 6455 section 5.2).
const SHORT: usize = 125;

/// Appends a frame, masked if its header has a key.
#[inline]
pub(super) fn append(header: &FrameHeader, payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(MAX_HEADER_LENGTH + payload.len());
    header.encode().append_to(out);
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = header.masking_key {
        mask(&mut out[start..], key, 0);
    }
}

/// Like [`append`], for an unmasked whole message of up to 65,535 bytes.
#[inline]
pub(super) fn append_plain(kind: MessageKind, payload: &[u8], out: &mut Vec<u8>) {
    let length = payload.len();
    let short = length <= SHORT;
    let [first, second] = first_bytes(kind, short, length);
    let [high, low] = (length as u16).to_be_bytes();
    out.reserve(4 + length);
    // A copy of constant length is not a call.
    out.extend_from_slice(&[first, second, high, low]);
    if short {
        out.truncate(out.len() - 2);
    }
    out.extend_from_slice(payload);
}

/// Writes a frame's header in front of the payload, which has room for it, and masks the payload if
/// the header has a key. The payload is then the whole frame.
pub(super) fn in_front(header: &FrameHeader, payload: &mut Payload<'_>) {
    let length = header.encoded_length();
    let (front, payload) = payload.extend_front(length).split_at_mut(length);
    front.copy_from_slice(header.encode().as_bytes());
    if let Some(key) = header.masking_key {
        mask(payload, key, 0);
    }
}

/// Like [`in_front`], for an unmasked whole message of up to 65,535 bytes that has room for 4;
/// returns the frame.
#[inline(always)]
pub(super) fn in_front_plain<'p>(kind: MessageKind, payload: &'p mut Payload<'_>) -> &'p [u8] {
    let length = payload.len();
    let short = length <= SHORT;
    let frame = payload.extend_front(if short { 2 } else { 4 });
    frame[..2].copy_from_slice(&first_bytes(kind, short, length));
    if !short {
        frame[2..4].copy_from_slice(&(length as u16).to_be_bytes());
    }
    frame
}

/// Makes a frame of the payload that lies in `out` behind [`MAX_HEADER_LENGTH`] bytes of room, which
/// begins at `start`, and masks it if the header has a key.
pub(super) fn behind_room(header: &FrameHeader, start: usize, out: &mut Vec<u8>) {
    let payload_at = start + MAX_HEADER_LENGTH;
    if let Some(key) = header.masking_key {
        mask(&mut out[payload_at..], key, 0);
    }
    let encoded = header.encode();
    let length = encoded.as_bytes().len();
    out[start..start + length].copy_from_slice(encoded.as_bytes());
    out.copy_within(payload_at.., start + length);
    out.truncate(out.len() - (MAX_HEADER_LENGTH - length));
}

/// The first two bytes of an unmasked whole message. The length is in the second if it is `short`,
/// and otherwise in the two that follow.
#[inline]
fn first_bytes(kind: MessageKind, short: bool, length: usize) -> [u8; 2] {
    const FIN: u8 = 0x80;
    let second = if short { length as u8 } else { 126 };
    [FIN | kind.opcode() as u8, second]
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use proptest::prelude::*;

    use super::*;
    use crate::proto::frame::Rsv;

    fn header(kind: MessageKind, key: Option<[u8; 4]>, payload: &[u8]) -> FrameHeader {
        FrameHeader {
            fin: true,
            rsv: Rsv::NONE,
            opcode: kind.opcode(),
            masking_key: key,
            payload_length: payload.len() as u64,
        }
    }

    /// Builds the frame from its parts.
    fn frame(header: &FrameHeader, payload: &[u8]) -> Vec<u8> {
        let mut payload = payload.to_vec();
        for (at, byte) in payload.iter_mut().enumerate() {
            *byte ^= header.masking_key.map_or(0, |key| key[at % 4]);
        }
        [header.encode().as_bytes(), &payload].concat()
    }

    fn check(kind: MessageKind, key: Option<[u8; 4]>, payload: &[u8]) {
        let header = header(kind, key, payload);
        let expected = frame(&header, payload);
        let before = b"before".to_vec();

        let mut out = before.clone();
        append(&header, payload, &mut out);
        assert_eq!(out[6..], expected);

        let mut room = before.clone();
        room.resize(6 + MAX_HEADER_LENGTH, 0);
        room.extend_from_slice(payload);
        let mut out = room.clone();
        behind_room(&header, 6, &mut out);
        assert_eq!((&out[..6], &out[6..]), (&*before, &*expected));

        let mut in_place = Payload::owned(room.clone(), 6 + MAX_HEADER_LENGTH);
        in_front(&header, &mut in_place);
        assert_eq!(*in_place, expected);

        if key.is_none() && payload.len() <= 0xFFFF {
            let mut out = before.clone();
            append_plain(kind, payload, &mut out);
            assert_eq!((&out[..6], &out[6..]), (&*before, &*expected));

            let start = room.len() - payload.len();
            let mut in_place = Payload::borrowed(&mut room, start);
            assert_eq!(in_front_plain(kind, &mut in_place), expected);
        }
    }

    #[test]
    fn all_ways_write_the_same_frame_at_each_edge_of_the_length() {
        for kind in [MessageKind::Text, MessageKind::Binary] {
            for key in [None, Some([1, 2, 3, 4])] {
                for length in [0, 1, 124, 125, 126, 127, 0xFFFE, 0xFFFF, 0x1_0000] {
                    check(kind, key, &vec![b'x'; length]);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn all_ways_write_the_same_frame(
            text in any::<bool>(),
            key in any::<Option<[u8; 4]>>(),
            payload in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let kind = if text { MessageKind::Text } else { MessageKind::Binary };
            check(kind, key, &payload);
        }
    }
}
