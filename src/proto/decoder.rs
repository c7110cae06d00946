//! From bytes to pieces of frames (RFC 6455 section 5).
//!
//! Owns the bytes of an incomplete header (at most 14) and the position within the current frame;
//! payloads stay in the caller's buffer, where they are unmasked. What the pieces mean (messages,
//! control frames, limits) is left to the [`Connection`](crate::proto::Connection).

use super::frame::{FrameHeader, HeaderRules, MAX_HEADER_LENGTH, Opcode, Role, Rsv};
use super::input::Input;
use super::mask::{mask, mask_to_ascii};
use super::message::MessageKind;
use super::protocol_error::ProtocolError;

/// Decodes a stream of frames, however its bytes are split.
///
/// An input method ([`decode`](Self::decode)) is all it has: call it until it returns None, then
/// bring more bytes.
///
/// ```
/// use sockeye::proto::{FrameDecoder, Input, Opcode, Role};
///
/// // A masked text frame, "Hello" (RFC 6455 section 5.7).
/// let mut bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
/// let mut decoder = FrameDecoder::new(Role::Server);
/// let mut input = Input::new(&mut bytes);
/// let piece = decoder.decode(&mut input)?.unwrap();
/// assert_eq!(piece.header().opcode, Opcode::Text);
/// assert!(piece.is_first() && piece.is_last());
/// assert_eq!(piece.payload(), b"Hello");
/// assert!(decoder.decode(&mut input)?.is_none());
/// # Ok::<(), sockeye::error::ProtocolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FrameDecoder {
    state: State,
    rules: HeaderRules,
}

#[derive(Clone, Debug)]
enum State {
    /// Between frames, or inside a header whose first bytes are kept here.
    Header {
        partial: [u8; MAX_HEADER_LENGTH],
        length: u8,
    },
    /// Inside a payload.
    Payload {
        header: FrameHeader,
        remaining: u64,
    },
    Failed(ProtocolError),
}

impl State {
    const START: Self = Self::Header {
        partial: [0; MAX_HEADER_LENGTH],
        length: 0,
    };
}

impl FrameDecoder {
    /// A decoder for the frames that an endpoint of this role receives, with no reserved bit
    /// allowed.
    #[must_use]
    pub const fn new(role: Role) -> Self {
        Self::with_rsv(role, Rsv::NONE)
    }

    /// As [`new`](Self::new), and the first frame of a message may have the bits of `rsv` set, all
    /// of them and no others, as a negotiated extension has it (RFC 6455 section 5.2).
    #[must_use]
    pub const fn with_rsv(role: Role, rsv: Rsv) -> Self {
        Self {
            state: State::START,
            rules: HeaderRules {
                masked: matches!(role, Role::Server),
                rsv,
                fragmented: false,
            },
        }
    }

    /// Decodes the next piece of a frame: from the header on as much payload as is there, later
    /// the rest of it. The first piece comes as soon as the header is complete, if need be
    /// without payload; later ones are never empty. None when the input is consumed.
    ///
    /// # Errors
    /// At the first byte that proves that the peer broke RFC 6455 section 5. The error sticks.
    pub fn decode<'b>(
        &mut self,
        input: &mut Input<'b>,
    ) -> Result<Option<FramePiece<'b>>, ProtocolError> {
        match &mut self.state {
            State::Header { length: 0, .. } => {
                match FrameHeader::decode_with(input.as_slice(), Some(&self.rules)) {
                    Ok(Some((header, length))) => Ok(Some(self.first_piece(header, length, input))),
                    Ok(None) => {
                        self.keep_partial(input);
                        Ok(None)
                    }
                    Err(error) => Err(self.fail(error)),
                }
            }
            State::Header { .. } => self.resume_header(input),
            State::Payload { header, remaining } => {
                if input.is_empty() {
                    return Ok(None);
                }
                let count = clamp(*remaining, input.len());
                let payload = input.take(count);
                let at = header.payload_length - *remaining;
                let looks = header.opcode != Opcode::Binary;
                let ascii = unmask(payload, header.masking_key, (at % 4) as usize, looks);
                *remaining -= count as u64;
                let piece = FramePiece {
                    header: *header,
                    first: false,
                    last: *remaining == 0,
                    ascii,
                    start: 0,
                    bytes: payload,
                };
                if piece.last {
                    self.state = State::START;
                }
                Ok(Some(piece))
            }
            State::Failed(error) => Err(*error),
        }
    }

    /// Returns how many bytes of the payload of the data frame under way are still missing.
    #[inline]
    pub(super) fn data_left(&self) -> Option<u64> {
        match &self.state {
            State::Payload { header, remaining } if !header.opcode.is_control() => Some(*remaining),
            _ => None,
        }
    }

    /// Whether the message under way needs a further frame.
    #[inline]
    pub(super) fn is_fragmented(&self) -> bool {
        self.rules.fragmented
    }

    /// Whether no frame and no fragmented message is incomplete.
    #[inline]
    pub(super) fn is_between_messages(&self) -> bool {
        !self.rules.fragmented && matches!(self.state, State::Header { length: 0, .. })
    }

    /// Decodes a complete header, whose last `header_length` bytes are at the front of `input`.
    #[inline]
    fn first_piece<'b>(
        &mut self,
        header: FrameHeader,
        header_length: usize,
        input: &mut Input<'b>,
    ) -> FramePiece<'b> {
        if !header.opcode.is_control() {
            self.rules.fragmented = !header.fin;
        }
        let count = clamp(header.payload_length, input.len() - header_length);
        let bytes = input.take(header_length + count);
        let looks = header.opcode != Opcode::Binary;
        let ascii = unmask(&mut bytes[header_length..], header.masking_key, 0, looks);
        let remaining = header.payload_length - count as u64;
        self.state = if remaining == 0 {
            State::START
        } else {
            State::Payload { header, remaining }
        };
        FramePiece {
            header,
            first: true,
            last: remaining == 0,
            ascii,
            start: header_length,
            bytes,
        }
    }

    /// Keeps an incomplete header: consumes all input, which is shorter than a header.
    fn keep_partial(&mut self, input: &mut Input<'_>) {
        let bytes = input.take(input.len());
        let mut partial = [0; MAX_HEADER_LENGTH];
        partial[..bytes.len()].copy_from_slice(bytes);
        self.state = State::Header {
            partial,
            length: bytes.len() as u8,
        };
    }

    /// Completes a header whose first bytes came with earlier input. A header has at most 14 bytes,
    /// so trying again after each is bounded work.
    #[cold]
    fn resume_header<'b>(
        &mut self,
        input: &mut Input<'b>,
    ) -> Result<Option<FramePiece<'b>>, ProtocolError> {
        let State::Header { partial, length } = &mut self.state else {
            return Ok(None);
        };
        for (at, &byte) in input.as_slice().iter().enumerate() {
            partial[usize::from(*length)] = byte;
            *length += 1;
            match FrameHeader::decode_with(&partial[..usize::from(*length)], Some(&self.rules)) {
                Ok(Some((header, _))) => return Ok(Some(self.first_piece(header, at + 1, input))),
                Ok(None) => {}
                Err(error) => return Err(self.fail(error)),
            }
        }
        input.discard();
        Ok(None)
    }

    #[cold]
    pub(super) fn fail(&mut self, error: ProtocolError) -> ProtocolError {
        self.state = State::Failed(error);
        error
    }
}

/// Like [`FrameDecoder::decode`] between messages, for the usual case: a whole message in one
/// frame, of fewer bytes than `below`, which is at most 65,536. None means that it is another case,
/// and consumes nothing.
///
/// Inlined into each loop that calls it: the returned value is large.
#[inline(always)]
pub(super) fn take_message<'b>(
    role: Role,
    input: &mut Input<'b>,
    below: u32,
) -> Option<WholeMessage<'b>> {
    let bytes = input.as_slice();
    let (kind, second) = match bytes {
        [0x81, second, ..] => (MessageKind::Text, *second),
        [0x82, second, ..] => (MessageKind::Binary, *second),
        _ => return None,
    };
    let (mask_bit, key_length) = match role {
        Role::Server => (0x80, 4),
        Role::Client => (0, 0),
    };
    // Above 127 if the mask bit is wrong.
    let (length, length_end) = match second ^ mask_bit {
        length @ 0..=125 => (usize::from(length), 2),
        126 => {
            let long = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
            (usize::from(long), 4)
        }
        _ => return None,
    };
    let start = length_end + key_length;
    let minimal = length_end == 2 || length > 125;
    if !minimal || length >= below as usize || bytes.len() < start + length {
        return None;
    }
    let bytes = input.take(start + length);
    let (header, payload) = bytes.split_at_mut(start);
    let key = header.last_chunk().filter(|_| key_length > 0);
    let ascii = unmask(payload, key.copied(), 0, kind == MessageKind::Text);
    Some(WholeMessage {
        kind,
        ascii,
        start,
        bytes,
    })
}

/// Unmasks the payload, if it is masked; returns whether the result is ASCII, if it `looks`.
#[inline]
fn unmask(payload: &mut [u8], key: Option<[u8; 4]>, phase: usize, looks: bool) -> bool {
    match key {
        None => false,
        Some(key) if looks => mask_to_ascii(payload, key, phase),
        Some(key) => {
            mask(payload, key, phase);
            false
        }
    }
}

#[inline]
fn clamp(remaining: u64, available: usize) -> usize {
    usize::try_from(remaining).map_or(available, |remaining| remaining.min(available))
}

/// A message in one frame, unmasked.
#[derive(Debug)]
pub(super) struct WholeMessage<'b> {
    pub(super) kind: MessageKind,
    /// Like [`FramePiece::is_ascii`].
    pub(super) ascii: bool,
    /// The offset at which the payload begins.
    pub(super) start: usize,
    /// Header and payload.
    pub(super) bytes: &'b mut [u8],
}

/// A piece of a frame: its header, and the payload bytes that arrived in one buffer, unmasked.
#[derive(Debug)]
pub struct FramePiece<'b> {
    header: FrameHeader,
    first: bool,
    last: bool,
    ascii: bool,
    start: usize,
    /// The payload from `start` on; before it what arrived of the header in the same buffer.
    bytes: &'b mut [u8],
}

impl<'b> FramePiece<'b> {
    /// The header of the frame.
    #[must_use]
    #[inline]
    pub fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// Whether the frame begins with this piece.
    #[must_use]
    #[inline]
    pub fn is_first(&self) -> bool {
        self.first
    }

    /// Whether the frame ends with this piece.
    #[must_use]
    #[inline]
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// The payload bytes of this piece, unmasked.
    #[must_use]
    #[inline]
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Whether the payload was seen to be ASCII when it was unmasked; where it was not masked,
    /// it is false.
    #[inline]
    pub(super) fn is_ascii(&self) -> bool {
        self.ascii
    }

    /// Returns the buffer and the offset of the payload in it.
    pub(super) fn into_parts(self) -> (&'b mut [u8], usize) {
        (self.bytes, self.start)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// Gives the same bytes to [`take_message`] and the decoder. Returns whether the former
    /// accepted them.
    fn compare(role: Role, bytes: &[u8], below: u32) -> bool {
        let (mut fast, mut general) = (bytes.to_vec(), bytes.to_vec());
        let mut input = Input::new(&mut general);
        let decoded = FrameDecoder::new(role).decode(&mut input);
        let consumed = input.consumed();
        let mut input = Input::new(&mut fast);
        let Some(whole) = take_message(role, &mut input, below) else {
            assert_eq!((input.consumed(), input.as_slice()), (0, bytes));
            // It accepts all messages of its kind.
            if let Ok(Some(piece)) = decoded {
                let header = piece.header();
                let data = matches!(header.opcode, Opcode::Text | Opcode::Binary);
                let whole = data && header.fin && piece.is_last();
                assert!(!whole || header.payload_length >= below.into());
            }
            return false;
        };
        let piece = decoded.expect("a sound frame").expect("all of it");
        let header = piece.header();
        assert_eq!(header.opcode, whole.kind.opcode());
        assert!(header.fin && header.rsv.is_empty() && piece.is_first() && piece.is_last());
        assert_eq!(
            (whole.ascii, input.consumed()),
            (piece.is_ascii(), consumed)
        );
        assert!(header.payload_length < below.into());
        assert_eq!((whole.bytes, whole.start), piece.into_parts());
        true
    }

    fn frame(first: u8, mask: bool, form: u8, payload: &[u8]) -> Vec<u8> {
        let length = payload.len();
        let mask = if mask { 0x80 } else { 0 };
        let mut bytes = Vec::from([first]);
        match form {
            0 => bytes.push(mask | length.min(125) as u8),
            1 => bytes.extend([mask | 126, (length >> 8) as u8, length as u8]),
            _ => {
                bytes.push(mask | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if mask != 0 {
            bytes.extend([1, 2, 3, 4]);
        }
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn the_short_way_takes_what_the_decoder_does_at_each_edge_of_the_length() {
        for role in [Role::Server, Role::Client] {
            for first in [0x81, 0x82] {
                for length in [0, 1, 124, 125, 126, 127, 0xFFFE, 0xFFFF] {
                    let form = u8::from(length > 125);
                    let payload = alloc::vec![b'x'; length];
                    let bytes = frame(first, role == Role::Server, form, &payload);
                    assert!(compare(role, &bytes, 0x1_0000));
                    assert!(!compare(role, &bytes, length as u32));
                    assert!(!compare(role, &bytes[..bytes.len() - 1], 0x1_0000));
                }
            }
        }
    }

    proptest! {
        /// Valid frames and others, whole, cut, and with bytes behind them.
        #[test]
        fn the_short_way_takes_what_the_decoder_does(
            server in any::<bool>(),
            first in prop_oneof![4 => Just(0x81_u8), 4 => Just(0x82), 1 => any::<u8>()],
            masked in prop::bool::weighted(0.9),
            form in 0..3_u8,
            payload in prop::collection::vec(any::<u8>(), 0..300),
            behind in prop::collection::vec(any::<u8>(), 0..4),
            cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
            below in prop_oneof![Just(0x1_0000_u32), 0..400_u32],
        ) {
            let role = if server { Role::Server } else { Role::Client };
            let mut bytes = frame(first, masked == server, form, &payload);
            bytes.extend(behind);
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            compare(role, &bytes, below);
        }
    }
}
