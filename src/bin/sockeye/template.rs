//! The messages of a run, as frames that are masked in advance.
//!
//! All messages are equal except for their tag, the first [`TAG`] bytes, which identifies a
//! message: so a frame is made by writing eight bytes into a prepared one, and an echo is checked
//! by comparing it with the one payload.

use core::fmt::Write as _;

use sockeye::proto::{EncodedHeader, FrameHeader, MessageKind, Opcode, Rsv, mask};

use crate::random::Random;

/// The longest tag in bytes; a shorter message has only the beginning of it.
const TAG: usize = 8;

/// How many bytes of frames are prepared for one write: enough that the cost of the system call is
/// small, and few enough to stay in the processor's cache.
const BATCH: usize = 64 * 1024;

/// All messages of a run.
pub(crate) struct Template {
    kind: MessageKind,
    /// The payload of a message; its tag is that of the last requested message.
    payload: Vec<u8>,
    /// Masked frames, one behind the other; their tags are those of the last requested messages.
    frames: Vec<u8>,
    header_length: usize,
    /// The header of an echo that arrives whole in one frame.
    echo_header: EncodedHeader,
    key: [u8; 4],
}

impl Template {
    /// Prepares messages of `size` bytes, in frames masked by `key`.
    pub(crate) fn new(kind: MessageKind, size: usize, key: [u8; 4]) -> Self {
        let payload = match kind {
            MessageKind::Text => text(size),
            MessageKind::Binary => binary(size),
        };
        let echo_header = FrameHeader {
            masking_key: None,
            ..header(opcode(kind), size, key)
        };
        let mut frame = Vec::new();
        append_frame(opcode(kind), &payload, key, &mut frame);
        let header_length = frame.len() - size;
        let frames = frame.repeat((BATCH / frame.len()).max(1));
        Self {
            kind,
            payload,
            frames,
            header_length,
            echo_header: echo_header.encode(),
            key,
        }
    }

    /// Text or binary.
    pub(crate) fn kind(&self) -> MessageKind {
        self.kind
    }

    /// The length of a message in bytes.
    pub(crate) fn size(&self) -> usize {
        self.payload.len()
    }

    /// The length of a message's frame in bytes.
    pub(crate) fn frame_length(&self) -> usize {
        self.header_length + self.payload.len()
    }

    /// The key that frames are masked with.
    pub(crate) fn key(&self) -> [u8; 4] {
        self.key
    }

    /// Returns the frames of `count` messages from number `first` on, or of as many as are
    /// prepared, at least one.
    pub(crate) fn frames(&mut self, first: u64, count: u64) -> &[u8] {
        let length = self.frame_length();
        let ready = self.frames.len() / length;
        let count = usize::try_from(count).map_or(ready, |count| count.clamp(1, ready));
        let key = u64::from(u32::from_le_bytes(self.key));
        let key = key << 32 | key;
        let frames = &mut self.frames[..count * length];
        for (frame, number) in frames.chunks_exact_mut(length).zip(first..) {
            let tag = (tag(number) ^ key).to_le_bytes();
            let payload = &mut frame[self.header_length..];
            match payload.first_chunk_mut() {
                Some(place) => *place = tag,
                None => payload.copy_from_slice(&tag[..payload.len()]),
            }
        }
        frames
    }

    /// The payload of message `number`.
    #[cfg(feature = "deflate")]
    pub(crate) fn payload(&mut self, number: u64) -> &[u8] {
        let tag_length = self.payload.len().min(TAG);
        self.payload[..tag_length].copy_from_slice(&tag(number).to_le_bytes()[..tag_length]);
        &self.payload
    }

    /// The byte of message `number` at `at`.
    fn byte(&self, number: u64, at: usize) -> u8 {
        match tag(number).to_le_bytes().get(at) {
            Some(byte) => *byte,
            None => self.payload[at],
        }
    }

    /// Compares `bytes` with message `number` from byte `start` on; the message is at least that
    /// long.
    ///
    /// # Errors
    /// The first byte that differs.
    #[inline]
    pub(crate) fn compare(
        &self,
        number: u64,
        start: usize,
        bytes: &[u8],
    ) -> Result<(), Difference> {
        let (tagged, rest) = bytes.split_at(bytes.len().min(TAG.saturating_sub(start)));
        let tag = tag(number).to_le_bytes();
        let rest_start = start + tagged.len();
        let same = match tagged.first_chunk::<TAG>() {
            Some(whole) => *whole == tag,
            None => tagged.is_empty() || *tagged == tag[start..rest_start],
        };
        if same && *rest == self.payload[rest_start..rest_start + rest.len()] {
            return Ok(());
        }
        Err(self.difference(number, start, bytes))
    }

    /// Returns the length of the echo of message `number` if `bytes` begin with all of it, in one
    /// frame.
    #[inline]
    pub(crate) fn echo(&self, number: u64, bytes: &[u8]) -> Option<usize> {
        let rest = bytes.strip_prefix(self.echo_header.as_bytes())?;
        let payload = rest.get(..self.payload.len())?;
        self.compare(number, 0, payload).ok()?;
        Some(bytes.len() - rest.len() + payload.len())
    }

    #[cold]
    fn difference(&self, number: u64, start: usize, bytes: &[u8]) -> Difference {
        let mut pairs = bytes.iter().zip(start..);
        let differs = |(byte, at): &(&u8, usize)| **byte != self.byte(number, *at);
        let (received, at) = pairs.find(differs).unwrap_or((&0, start));
        Difference {
            at,
            sent: self.byte(number, at),
            received: *received,
        }
    }
}

/// Where an echo differs from what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) at: usize,
    pub(crate) sent: u8,
    pub(crate) received: u8,
}

/// The opcode of a message's first frame.
pub(crate) fn opcode(kind: MessageKind) -> Opcode {
    match kind {
        MessageKind::Text => Opcode::Text,
        MessageKind::Binary => Opcode::Binary,
    }
}

/// Appends a whole, masked frame.
pub(crate) fn append_frame(opcode: Opcode, payload: &[u8], key: [u8; 4], out: &mut Vec<u8>) {
    let header = header(opcode, payload.len(), key);
    out.extend_from_slice(header.encode().as_bytes());
    let start = out.len();
    out.extend_from_slice(payload);
    mask(&mut out[start..], key, 0);
}

fn header(opcode: Opcode, length: usize, key: [u8; 4]) -> FrameHeader {
    FrameHeader {
        fin: true,
        rsv: Rsv::NONE,
        opcode,
        masking_key: Some(key),
        payload_length: length as u64,
    }
}

/// The tag of message `number`, its first byte the lowest: six bits of the number in each byte, the
/// low ones first, so that it is text and the numbers of short messages differ too.
#[inline]
fn tag(number: u64) -> u64 {
    // 48 bits: spread to two lanes of 24, four of 12, eight of 6.
    let spread = number & 0xFF_FFFF | (number >> 24 & 0xFF_FFFF) << 32;
    let spread = spread & 0x0000_0FFF_0000_0FFF | (spread & 0x00FF_F000_00FF_F000) << 4;
    let spread = spread & 0x003F_003F_003F_003F | (spread & 0x0FC0_0FC0_0FC0_0FC0) << 2;
    // From '0' to 'o'.
    spread + 0x3030_3030_3030_3030
}

/// JSON records like those of applications: text, and as compressible.
fn text(size: usize) -> Vec<u8> {
    let mut random = Random::new(1);
    let mut text = String::new();
    while text.len() < TAG + size {
        let (id, price) = (random.next() % 100_000, random.next() % 10_000);
        // A String takes all that is written.
        let _ = write!(
            text,
            r#"{{"id":{id},"symbol":"S{}","price":{}.{:02},"open":{}}},"#,
            id % 97,
            price / 100,
            price % 100,
            price % 3 == 0,
        );
    }
    text.truncate(size);
    text.into_bytes()
}

/// Bytes that can't be compressed.
fn binary(size: usize) -> Vec<u8> {
    let mut random = Random::new(1);
    core::iter::repeat_with(|| random.next().to_le_bytes())
        .flatten()
        .take(size)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockeye::proto::{FrameDecoder, Input, Role, validate_utf8};

    const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];
    const SIZES: [usize; 12] = [0, 1, 7, 8, 9, 20, 125, 126, 1024, 65_535, 65_536, 200_000];

    /// The payloads of the frames of a client.
    fn payloads(frames: &[u8], kind: MessageKind) -> Vec<Vec<u8>> {
        let mut bytes = frames.to_vec();
        let mut decoder = FrameDecoder::new(Role::Server);
        let mut input = Input::new(&mut bytes);
        let mut payloads = Vec::new();
        while let Some(piece) = decoder.decode(&mut input).unwrap() {
            assert!(piece.is_first() && piece.is_last() && piece.header().fin);
            assert_eq!(piece.header().opcode, opcode(kind));
            payloads.push(piece.payload().to_vec());
        }
        payloads
    }

    #[test]
    fn frames_carry_what_compare_expects_at_any_split() {
        for kind in [MessageKind::Text, MessageKind::Binary] {
            for size in SIZES {
                let mut template = Template::new(kind, size, KEY);
                let frames = template.frames(77, 3).to_vec();
                for (payload, number) in payloads(&frames, kind).iter().zip(77..) {
                    assert_eq!(payload.len(), size);
                    assert_eq!(template.compare(number, 0, payload), Ok(()));
                    for split in (0..size.min(20)).chain([size / 2, size]) {
                        let (head, tail) = payload.split_at(split);
                        assert_eq!(template.compare(number, 0, head), Ok(()));
                        assert_eq!(template.compare(number, split, tail), Ok(()));
                    }
                }
            }
        }
    }

    #[test]
    fn as_many_frames_are_ready_as_a_batch_holds_and_one_at_least() {
        for (size, count, expected) in [(20, 16, 16), (20, 1 << 40, 2520), (1 << 20, 16, 1)] {
            let mut template = Template::new(MessageKind::Binary, size, KEY);
            let length = template.frame_length();
            assert_eq!(template.frames(0, count).len(), expected * length);
        }
    }

    #[test]
    fn every_changed_byte_is_found() {
        let mut template = Template::new(MessageKind::Binary, 40, KEY);
        let frame = template.frames(5, 1).to_vec();
        let payload = payloads(&frame, MessageKind::Binary).remove(0);
        for at in 0..payload.len() {
            let mut changed = payload.clone();
            changed[at] ^= 0x10;
            let expected = Difference {
                at,
                sent: payload[at],
                received: payload[at] ^ 0x10,
            };
            for start in 0..=at {
                let result = template.compare(5, start, &changed[start..]);
                assert_eq!(result, Err(expected), "from {start}");
            }
        }
    }

    #[test]
    fn another_message_is_told_from_the_one_that_is_due() {
        for size in [1, 2, 8, 20] {
            let mut template = Template::new(MessageKind::Text, size, KEY);
            let frame = template.frames(1000, 1).to_vec();
            let payload = payloads(&frame, MessageKind::Text).remove(0);
            for other in [999, 1001] {
                let result = template.compare(other, 0, &payload);
                assert_eq!(result.map_err(|it| it.at), Err(0), "{size}");
            }
        }
    }

    #[test]
    fn texts_are_text() {
        for size in SIZES {
            let mut template = Template::new(MessageKind::Text, size, KEY);
            let frame = template.frames((1 << 48) - 1, 1).to_vec();
            let payload = payloads(&frame, MessageKind::Text).remove(0);
            assert!(validate_utf8(&payload).is_ok());
        }
    }

    #[test]
    fn tags_hold_six_bits_of_the_number_in_each_byte() {
        assert_eq!(&tag(0).to_le_bytes(), b"00000000");
        assert_eq!(&tag(1).to_le_bytes(), b"10000000");
        assert_eq!(&tag(63 + 64 * 2).to_le_bytes(), b"o2000000");
        assert_eq!(&tag(1 << 47).to_le_bytes(), b"0000000P");
    }
}
