//! From bytes to pieces of frames (RFC 6455 section 5).
//!
//! Owns the bytes of an incomplete header (at most 14) and the place within the current frame;
//! payloads stay in the caller's buffer, where they are unmasked. What the pieces mean (messages,
//! control frames, limits) is left to the [`Connection`](crate::proto::Connection).

use core::mem;

use super::frame::{FrameHeader, HeaderRules, MAX_HEADER_LENGTH, Opcode, Role, Rsv};
use super::mask::{mask, mask_to_ascii};
use super::message::MessageKind;
use crate::error::ProtocolError;

/// Received bytes on their way in: a view of the caller's buffer that shrinks from the front.
///
/// The core unmasks payloads in place and hands slices of the same buffer out, so it takes the
/// bytes as `&mut`.
#[derive(Debug)]
pub struct Input<'b> {
    rest: &'b mut [u8],
    consumed: usize,
}

impl<'b> Input<'b> {
    /// All of `bytes`, none of it consumed.
    #[inline]
    pub fn new(bytes: &'b mut [u8]) -> Self {
        Self {
            rest: bytes,
            consumed: 0,
        }
    }

    /// How many bytes were consumed since [`new`](Self::new). A caller that stops before the
    /// core has answered None keeps the bytes behind this point and gives them again.
    #[must_use]
    #[inline]
    pub fn consumed(&self) -> usize {
        self.consumed
    }

    /// The bytes that are not consumed yet.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        self.rest
    }

    /// How many bytes are not consumed yet.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether all bytes are consumed.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Consumes the next `count` bytes.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> &'b mut [u8] {
        let (taken, rest) = mem::take(&mut self.rest).split_at_mut(count);
        self.rest = rest;
        self.consumed += count;
        taken
    }

    /// Consumes all bytes.
    pub(super) fn discard(&mut self) {
        self.take(self.len());
    }
}

/// Decodes a stream of frames, whatever the pieces its bytes arrive in.
///
/// An input method ([`decode`](Self::decode)) is all it has: call it until it answers None, then
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

    /// How many bytes the payload of the data frame under way still has.
    #[inline]
    pub(super) fn data_left(&self) -> Option<u64> {
        match &self.state {
            State::Payload { header, remaining } if !header.opcode.is_control() => Some(*remaining),
            _ => None,
        }
    }

    /// Whether a message has a frame to come that is not begun yet.
    #[inline]
    pub(super) fn is_fragmented(&self) -> bool {
        self.rules.fragmented
    }

    /// Whether no frame and no fragmented message is incomplete.
    #[inline]
    pub(super) fn is_between_messages(&self) -> bool {
        !self.rules.fragmented && matches!(self.state, State::Header { length: 0, .. })
    }

    /// The header is complete and its last `header_length` bytes stand at the front of `input`.
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

    /// Completes a header of which earlier input held the first bytes. A header has at most 14
    /// bytes, so looking again after each is bounded work.
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

/// The usual case of [`decode`](FrameDecoder::decode) between messages, and of what follows from
/// it: a message in one frame, all of it there, of fewer bytes than `below`. None says nothing, and
/// consumes nothing.
///
/// Part of each loop that asks for it: what it gives back is long.
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
    // Above 127 where the mask bit is not as it must be.
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

/// Takes the mask off, if there is one; answers whether that made ASCII, if it `looks`.
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
    /// As [`FramePiece::is_ascii`].
    pub(super) ascii: bool,
    /// The payload begins here.
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
    /// nobody looked.
    #[inline]
    pub(super) fn is_ascii(&self) -> bool {
        self.ascii
    }

    /// The buffer and where in it the payload begins.
    pub(super) fn into_parts(self) -> (&'b mut [u8], usize) {
        (self.bytes, self.start)
    }
}
