//! From pieces of data frames to messages.
//!
//! Owns the message under way: its bytes so far, its limits, its UTF-8 and its decoding by an
//! extension. The decoder has checked the rules of frames; whether the message still counts (a
//! Close was sent) is left to the connection.

use alloc::vec::Vec;
use core::mem;

use super::config::{Config, Delivery};
use super::decoder::FramePiece;
use super::event::Event;
use super::extension::{DecodeError, PerMessage};
use super::fault::Fault;
use super::frame::{FrameHeader, MAX_HEADER_LENGTH, Opcode};
use super::limit_error::LimitError;
use super::message::{Message, MessageKind, MessagePiece, Payload};
use super::protocol_error::ProtocolError;
use super::utf8::{Utf8Validator, open_at_end};

/// An assembled payload begins at this offset in its buffer, so that the header of any frame fits
/// in front and the buffer can be sent as it is.
const HEADROOM: usize = MAX_HEADER_LENGTH;

/// A read past the caller's buffer is worth it from this length on.
const LEAST_STEP: usize = 16 * 1024;

/// The longest such read: larger ones are no faster.
const GREATEST_STEP: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Assembler {
    kind: MessageKind,
    /// Whether the message passes the extension's decoder.
    extended: bool,
    /// Whether no piece of a streamed message was handed over yet.
    at_start: bool,
    /// Frames of the message so far.
    frames: u32,
    /// Bytes of the message so far, decoded.
    length: usize,
    utf8: Utf8Validator,
    /// The fault found behind the streamed piece that was handed over last.
    fault: Option<Fault>,
    /// Empty, or `HEADROOM` bytes, the message so far, and then unused bytes. Of a streamed message
    /// it is the beginning of a character, which is handed over with its end.
    buffer: Vec<u8>,
    /// The end of the used bytes in the buffer.
    filled: usize,
    /// Memory for the next message; its content is unused.
    unused: Vec<u8>,
}

impl Assembler {
    pub(super) fn new() -> Self {
        Self {
            kind: MessageKind::Binary,
            extended: false,
            at_start: true,
            frames: 0,
            length: 0,
            utf8: Utf8Validator::new(),
            fault: None,
            buffer: Vec::new(),
            filled: 0,
            unused: Vec::new(),
        }
    }

    /// Whether it holds nothing beyond the message under way: no buffer, no fault to come.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.fault.is_none()
    }

    /// Exchanges the memory for the next message.
    pub(super) fn swap_unused(&mut self, buffer: &mut Vec<u8>) {
        mem::swap(&mut self.unused, buffer);
    }

    /// Frees what is held: nothing more will be delivered.
    pub(super) fn clear(&mut self) {
        self.fault = None;
        self.buffer = Vec::new();
        self.unused = Vec::new();
    }

    /// Whether a streamed text waits for the rest of a character. The next bytes are then given one
    /// by one, so that only those of the character are copied.
    #[inline]
    pub(super) fn holds_back(&self, config: &Config) -> bool {
        !self.buffer.is_empty() && !self.extended && config.delivery == Delivery::Streamed
    }

    /// Takes the next piece of a data frame; returns the message or streamed piece that it
    /// completes.
    #[inline]
    pub(super) fn push<'b>(
        &mut self,
        piece: FramePiece<'b>,
        extension: Option<&mut PerMessage>,
        config: &Config,
    ) -> Result<Option<Event<'b>>, Fault> {
        if piece.is_first() {
            self.begin_frame(piece.header(), config)?;
        }
        let end = piece.is_last() && piece.header().fin;
        match extension {
            Some(extension) if self.extended => self.decode(&piece, end, extension, config),
            _ => {
                let length = piece.payload().len();
                if self.kind == MessageKind::Text
                    && let Err(valid) =
                        validate(&mut self.utf8, piece.payload(), piece.is_ascii(), end)
                {
                    let (bytes, start) = piece.into_parts();
                    let valid = Payload::borrowed(&mut bytes[..start + valid], start);
                    return self.fault_behind(valid, ProtocolError::Utf8.into(), config);
                }
                let before = self.length;
                self.length += length;
                match config.delivery {
                    // The whole message is in the caller's buffer.
                    Delivery::Whole if end && before == 0 => {
                        let (bytes, start) = piece.into_parts();
                        Ok(Some(self.message(Payload::borrowed(bytes, start))))
                    }
                    Delivery::Whole if length == 0 && !end => Ok(None),
                    Delivery::Whole => {
                        self.append(piece.payload());
                        Ok(end.then(|| self.assembled()))
                    }
                    Delivery::Streamed if self.buffer.is_empty() => {
                        let (bytes, start) = piece.into_parts();
                        Ok(self.streamed(Payload::borrowed(bytes, start), end))
                    }
                    Delivery::Streamed => {
                        self.append(piece.payload());
                        if !self.utf8.is_complete() {
                            return Ok(None);
                        }
                        Ok(self.streamed_buffer(end))
                    }
                }
            }
        }
    }

    /// Checks the length in the header of a data frame against the limits, before any payload.
    #[inline]
    fn begin_frame(&mut self, header: &FrameHeader, config: &Config) -> Result<(), Fault> {
        if header.opcode != Opcode::Continuation {
            self.kind = match header.opcode {
                Opcode::Text => MessageKind::Text,
                _ => MessageKind::Binary,
            };
            self.extended = !header.rsv.is_empty();
            self.at_start = true;
            self.frames = 0;
            self.length = 0;
            self.utf8 = Utf8Validator::new();
        }
        // It can't exceed the greatest possible limit.
        self.frames = self.frames.saturating_add(1);
        if self.frames > config.max_fragments {
            let limit = config.max_fragments;
            return Err(LimitError::Fragments { limit }.into());
        }
        let length = header.payload_length;
        if let Some(limit) = config.max_frame_size
            && length > limit
        {
            return Err(LimitError::FrameSize { length, limit }.into());
        }
        let limit = config.max_message_size;
        // The length of an encoded payload doesn't bound the message's.
        if !self.extended && length > limit.saturating_sub(self.length) as u64 {
            return Err(LimitError::MessageSize { limit }.into());
        }
        Ok(())
    }

    /// Decodes a piece of a message that an extension has encoded. The decoder appends to the
    /// message's buffer, or for a streamed message to a new buffer.
    fn decode(
        &mut self,
        piece: &FramePiece<'_>,
        end: bool,
        extension: &mut PerMessage,
        config: &Config,
    ) -> Result<Option<Event<'static>>, Fault> {
        if piece.payload().is_empty() && !end {
            return Ok(None);
        }
        self.open_buffer();
        // The decoder appends.
        self.buffer.truncate(self.filled);
        let start = self.filled;
        let limit = config.max_message_size;
        let room = limit - self.length;
        let mut decoded = extension
            .decoder
            .decode(piece.payload(), end, room, &mut self.buffer);
        // Also with a decoder that ignores its limit.
        if self.buffer.len() - start > room {
            self.buffer.truncate(start + room);
            decoded = Err(DecodeError::TooLong);
        }
        let mut fault = match decoded {
            Ok(()) => None,
            Err(DecodeError::TooLong) => Some(LimitError::MessageSize { limit }.into()),
            Err(DecodeError::Invalid(text)) => Some(ProtocolError::Extension(text).into()),
        };
        // What was decoded before a fault is checked first: the reported fault must not depend on
        // how the bytes were split.
        if self.kind == MessageKind::Text {
            let end = end && fault.is_none();
            if let Err(valid) = validate(&mut self.utf8, &self.buffer[start..], false, end) {
                self.buffer.truncate(start + valid);
                fault = Some(ProtocolError::Utf8.into());
            }
        }
        self.filled = self.buffer.len();
        self.length += self.filled - start;
        if let Some(fault) = fault {
            let decoded = self.take_buffer();
            return self.fault_behind(decoded, fault, config);
        }
        Ok(match config.delivery {
            Delivery::Whole => end.then(|| self.assembled()),
            Delivery::Streamed if self.is_open_character() => None,
            Delivery::Streamed => self.streamed_buffer(end),
        })
    }

    /// Reports a fault found behind `valid`: a streamed message hands these bytes over first, so
    /// that what is delivered doesn't depend on how the bytes were split. For text it hands over
    /// whole characters only.
    #[cold]
    fn fault_behind<'b>(
        &mut self,
        valid: Payload<'b>,
        fault: Fault,
        config: &Config,
    ) -> Result<Option<Event<'b>>, Fault> {
        // What is held back is an incomplete character.
        if config.delivery == Delivery::Whole || !self.buffer.is_empty() {
            return Err(fault);
        }
        let event = self.streamed(valid, false).ok_or(fault)?;
        self.fault = Some(fault);
        Ok(Some(event))
    }

    /// Whether a fault follows the last streamed piece.
    #[inline]
    pub(super) fn has_fault(&self) -> bool {
        self.fault.is_some()
    }

    /// Takes that fault.
    pub(super) fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    fn open_buffer(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = mem::take(&mut self.unused);
            if self.buffer.len() < HEADROOM {
                self.buffer.resize(HEADROOM, 0);
            }
            self.filled = HEADROOM;
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.open_buffer();
        match self.buffer[self.filled..].get_mut(..bytes.len()) {
            Some(place) => place.copy_from_slice(bytes),
            None => {
                self.buffer.truncate(self.filled);
                self.buffer.extend_from_slice(bytes);
            }
        }
        self.filled += bytes.len();
    }

    /// Returns where to put the next of the `left` bytes of the frame under way: no more than have
    /// already arrived, so that an announced length doesn't cause an allocation. None if they are
    /// not gathered here.
    pub(super) fn space(&mut self, left: u64, config: &Config) -> Option<&mut [u8]> {
        if self.extended || config.delivery == Delivery::Streamed || self.length < LEAST_STEP {
            return None;
        }
        let step = self.length.min(GREATEST_STEP);
        let step = usize::try_from(left).map_or(step, |left| left.min(step));
        self.open_buffer();
        let end = self.filled + step;
        if self.buffer.len() < end {
            // Zeroes only what was never written.
            self.buffer.resize(end, 0);
        }
        Some(&mut self.buffer[self.filled..end])
    }

    /// Takes `count` bytes that were put into the space: the next ones of the frame under way,
    /// which `decode` unmasks; it returns whether they are known to be ASCII, and end the message.
    pub(super) fn fill(
        &mut self,
        count: usize,
        decode: impl FnOnce(&mut [u8]) -> Result<(bool, bool), ProtocolError>,
    ) -> Result<Option<Event<'static>>, Fault> {
        let bytes = &mut self.buffer[self.filled..self.filled + count];
        let (ascii, end) = decode(bytes)?;
        if self.kind == MessageKind::Text && validate(&mut self.utf8, bytes, ascii, end).is_err() {
            return Err(ProtocolError::Utf8.into());
        }
        self.filled += count;
        self.length += count;
        Ok(end.then(|| self.assembled()))
    }

    fn take_buffer(&mut self) -> Payload<'static> {
        let mut buffer = mem::take(&mut self.buffer);
        buffer.truncate(self.filled);
        Payload::owned(buffer, HEADROOM)
    }

    fn assembled(&mut self) -> Event<'static> {
        let payload = self.take_buffer();
        self.message(payload)
    }

    #[inline]
    fn message<'b>(&self, payload: Payload<'b>) -> Event<'b> {
        Event::Message(Message::new(self.kind, payload))
    }

    /// Whether the buffer holds only the beginning of a character.
    fn is_open_character(&self) -> bool {
        let bytes = &self.buffer[HEADROOM..self.filled];
        !self.utf8.is_complete() && open_at_end(bytes) == bytes.len()
    }

    fn streamed_buffer(&mut self, end: bool) -> Option<Event<'static>> {
        let payload = self.take_buffer();
        self.streamed(payload, end)
    }

    fn streamed<'b>(&mut self, mut payload: Payload<'b>, end: bool) -> Option<Event<'b>> {
        if !self.utf8.is_complete() {
            let whole = payload.len() - open_at_end(&payload);
            if whole < payload.len() {
                self.append(&payload[whole..]);
                payload.truncate(whole);
            }
        }
        if payload.is_empty() && !end {
            if let Some(buffer) = payload.into_buffer() {
                self.unused = buffer;
            }
            return None;
        }
        let first = mem::replace(&mut self.at_start, false);
        Some(Event::Piece(MessagePiece::new(
            self.kind, payload, first, end,
        )))
    }
}

/// RFC 6455 section 8.1: "When an endpoint is to interpret a byte stream as UTF-8 but finds that
/// the byte stream is not, in fact, a valid UTF-8 stream, that endpoint MUST _Fail the WebSocket
/// Connection_." The error is how many bytes of the piece were good. One that is known to be
/// `ascii` is, where a character may begin.
#[inline]
fn validate(utf8: &mut Utf8Validator, piece: &[u8], ascii: bool, end: bool) -> Result<(), usize> {
    if ascii && utf8.is_complete() {
        return Ok(());
    }
    match utf8.validate(piece) {
        Ok(()) if end && !utf8.is_complete() => Err(piece.len()),
        Ok(()) => Ok(()),
        Err(error) => Err(error.offset()),
    }
}
