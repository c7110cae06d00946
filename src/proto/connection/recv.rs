//! Receiving: from input bytes to events, with the responses that the protocol itself demands.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;

use super::{Connection, Receiving, Scratch, State};
use crate::proto::close::{self, CloseCode, CloseFrame, Closed};
use crate::proto::config::{Config, Delivery};
use crate::proto::decoder::{FramePiece, WholeMessage, take_message};
use crate::proto::event::Event;
use crate::proto::fault::Fault;
use crate::proto::frame::{FrameHeader, Opcode, Role, Rsv};
use crate::proto::input::Input;
use crate::proto::message::{Message, MessageKind, Payload};
use crate::proto::protocol_error::ProtocolError;
use crate::proto::teardown::Teardown;
use crate::proto::timer::Timers;
use crate::proto::timestamp::Timestamp;
use crate::proto::utf8::validate_utf8;

impl Connection {
    /// Reads frames from `input` up to the next event, appending what the protocol demands to
    /// `out`: a pong for each ping, the peer's Close echoed, a Close for a fault. None when all
    /// input is consumed; call it until then.
    ///
    /// Once the connection is over, input is consumed and dropped.
    ///
    /// # Errors
    /// A [`Fault`] when the peer broke the protocol or a limit. `out` then holds the Close frame
    /// that tells it: write it, then follow [`teardown`](Self::teardown). The error sticks.
    // Else a program that calls it at two places has the event through memory, which costs 2 to
    // 4 ns for each message.
    #[inline(always)]
    pub fn recv<'b>(
        &mut self,
        input: &mut Input<'b>,
        out: &mut Vec<u8>,
        now: impl Into<Timestamp>,
    ) -> Result<Option<Event<'b>>, Fault> {
        let now = now.into();
        match self.take_any_message(input, now) {
            Some(message) => Ok(Some(Event::Message(message))),
            None => self.recv_any(input, None, out, now),
        }
    }

    /// Like [`recv`](Self::recv), with the caller's memory for messages that arrive in several
    /// parts; see [`Scratch`].
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    #[inline(always)]
    pub fn recv_with<'b>(
        &mut self,
        input: &mut Input<'b>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        now: impl Into<Timestamp>,
    ) -> Result<Option<Event<'b>>, Fault> {
        let now = now.into();
        match self.take_any_message(input, now) {
            Some(message) => Ok(Some(Event::Message(message))),
            None => self.recv_any(input, Some(scratch), out, now),
        }
    }

    /// Returns the next message of a server's connection if all of it is in `input`, in one frame
    /// of at most 65,535 bytes: what [`recv`](Self::recv) would return. None means any other case,
    /// and consumes nothing: call `recv` then.
    ///
    /// For a loop that does the same for each message. There the compiler knows that it has a
    /// borrowed message behind a masked header and no fault, and needn't check again.
    // Inlined into each loop that calls it, also of a server with several handlers: outlined, this
    // and the functions below cost a third of a message more.
    #[inline(always)]
    pub fn take_message<'b>(
        &mut self,
        input: &mut Input<'b>,
        now: impl Into<Timestamp>,
    ) -> Option<Message<'b>> {
        match self.role {
            Role::Server => self.take_message_as(Role::Server, input, now.into()),
            Role::Client => None,
        }
    }

    /// Like [`take_message`](Self::take_message), for both roles.
    #[inline(always)]
    fn take_any_message<'b>(
        &mut self,
        input: &mut Input<'b>,
        now: Timestamp,
    ) -> Option<Message<'b>> {
        // The role is a constant in each branch, which removes the other one's code.
        match self.role {
            Role::Server => self.take_message_as(Role::Server, input, now),
            Role::Client => self.take_message_as(Role::Client, input, now),
        }
    }

    #[inline(always)]
    fn take_message_as<'b>(
        &mut self,
        role: Role,
        input: &mut Input<'b>,
        now: Timestamp,
    ) -> Option<Message<'b>> {
        if let Some(receiving) = &self.receiving
            && !receiving.decoder.is_between_messages()
        {
            return None;
        }
        let whole = take_message(role, input, self.whole_below)?;
        self.timers.received_message(now);
        let WholeMessage {
            kind,
            ascii,
            start,
            bytes,
        } = whole;
        if kind == MessageKind::Text && !ascii && validate_utf8(&bytes[start..]).is_err() {
            self.fails_next(ProtocolError::Utf8);
            return None;
        }
        Some(Message::new(kind, Payload::borrowed(bytes, start)))
    }

    /// Whether the next call of [`recv`](Self::recv) with these bytes returns a message without a
    /// copy, or the fault in it: all of it is there, in one frame that no extension has encoded.
    /// False has no meaning.
    ///
    /// For a reader that owns its buffer and returns messages from it (`fn recv(&mut self) ->
    /// Message<'_>`): it receives and reads in a loop until this is true, and then receives once
    /// more for what it returns. Within the loop the borrow checker would consider its buffer
    /// borrowed.
    #[must_use]
    pub fn is_message_next(&self, received: &[u8]) -> bool {
        if self.state != State::Open
            || !self.is_between_messages()
            || self.config.delivery != Delivery::Whole
        {
            return false;
        }
        matches!(
            FrameHeader::decode(received),
            Ok(Some((header, length)))
                if header.fin
                    && header.rsv.is_empty()
                    && matches!(header.opcode, Opcode::Text | Opcode::Binary)
                    && header.payload_length <= (received.len() - length) as u64
        )
    }

    /// Fails the connection through [`recv_any`](Self::recv_any).
    #[cold]
    fn fails_next(&mut self, error: ProtocolError) {
        let mut receiving = Receiving::new(self.role, self.rsv);
        receiving.decoder.fail(error);
        self.receiving = Some(Box::new(receiving));
    }

    #[cold]
    fn refuse(
        &mut self,
        fault: Fault,
        input: &mut Input<'_>,
        out: &mut Vec<u8>,
        now: Timestamp,
    ) -> Fault {
        input.discard();
        self.fail(fault, out, now)
    }

    /// Like [`recv`](Self::recv), for any input.
    #[inline(never)]
    fn recv_any<'b>(
        &mut self,
        input: &mut Input<'b>,
        mut scratch: Option<&mut Scratch>,
        out: &mut Vec<u8>,
        now: Timestamp,
    ) -> Result<Option<Event<'b>>, Fault> {
        if let State::Over(_) = self.state {
            input.discard();
            return self.fault().map_or(Ok(None), Err);
        }
        if !input.is_empty() {
            self.timers.received(now);
        } else if self.receiving.is_none() {
            return Ok(None);
        }
        let mut kept = self.receiving.take();
        // On the stack for what begins and ends within this input.
        let mut fresh = None;
        let receiving = match &mut kept {
            Some(kept) => &mut **kept,
            None => fresh.insert(Receiving::new(self.role, self.rsv)),
        };
        if let Some(scratch) = &mut scratch {
            receiving.assembler.swap_unused(&mut scratch.buffer);
        }
        let received = self.pieces(receiving, input, out, now);
        if let Some(scratch) = &mut scratch {
            receiving.assembler.swap_unused(&mut scratch.buffer);
        }
        match received {
            Ok(event) => {
                let idle = receiving.is_idle();
                if !idle && self.teardown().is_none() {
                    self.receiving = kept.or_else(|| fresh.map(|it| boxed(it, scratch)));
                } else if let (Some(scratch), true) = (scratch, idle) {
                    scratch.receiving = kept.or(scratch.receiving.take());
                }
                Ok(event)
            }
            Err(fault) => Err(self.refuse(fault, input, out, now)),
        }
    }

    fn pieces<'b>(
        &mut self,
        receiving: &mut Receiving,
        input: &mut Input<'b>,
        out: &mut Vec<u8>,
        now: Timestamp,
    ) -> Result<Option<Event<'b>>, Fault> {
        if let Some(fault) = receiving.assembler.take_fault() {
            return Err(fault);
        }
        if receiving.filled > 0
            && let Some(event) = receiving.take_filled(&mut self.timers, &self.config, now)?
        {
            return Ok(Some(event));
        }
        loop {
            let decoded = if receiving.assembler.holds_back(&self.config) && !input.is_empty() {
                receiving.decoder.decode(&mut Input::new(input.take(1)))
            } else {
                receiving.decoder.decode(input)
            };
            match decoded? {
                Some(piece) => {
                    if let Some(event) = self.piece(receiving, piece, out, now)? {
                        return Ok(Some(event));
                    }
                }
                None if !input.is_empty() => {}
                None => {
                    if !receiving.decoder.is_between_messages() {
                        receiving.incomplete.get_or_insert(now.into());
                    }
                    return Ok(None);
                }
            }
        }
    }

    #[inline]
    fn piece<'b>(
        &mut self,
        receiving: &mut Receiving,
        piece: FramePiece<'b>,
        out: &mut Vec<u8>,
        now: Timestamp,
    ) -> Result<Option<Event<'b>>, Fault> {
        let ended = piece.is_last() && !receiving.decoder.is_fragmented();
        if piece.header().opcode.is_control() {
            receiving.progress(0, ended, &self.config, now);
            return self.control(receiving, piece, out, now);
        }
        let bytes = piece.payload().len();
        self.timers.received_data(now);
        receiving.progress(bytes, ended, &self.config, now);
        if self.state == State::Open {
            let extension = self.cold.as_mut().and_then(|it| it.extension.as_mut());
            let event = receiving.assembler.push(piece, extension, &self.config)?;
            if receiving.assembler.has_fault() {
                self.state = State::Failing;
                self.find_fast_paths();
            }
            Ok(event)
        } else {
            // After this endpoint's Close, data are parsed but not delivered.
            Ok(None)
        }
    }

    /// Handles a piece of a control frame. Its payload is borrowed when it arrived whole.
    fn control<'b>(
        &mut self,
        receiving: &mut Receiving,
        piece: FramePiece<'b>,
        out: &mut Vec<u8>,
        now: Timestamp,
    ) -> Result<Option<Event<'b>>, Fault> {
        let header = *piece.header();
        let whole = piece.is_first() && piece.is_last();
        let last = piece.is_last();
        let payload = if whole {
            let (bytes, start) = piece.into_parts();
            Payload::borrowed(bytes, start)
        } else {
            receiving.control.extend_from_slice(piece.payload());
            if header.opcode == Opcode::Close {
                close::parse(&receiving.control, header.payload_length)?;
            }
            if !last {
                return Ok(None);
            }
            Payload::owned(mem::take(&mut receiving.control), 0)
        };
        let open = self.state == State::Open;
        match header.opcode {
            Opcode::Ping => {
                // RFC 6455 section 5.5.3: "A Pong frame sent in response to a Ping frame must
                // have identical 'Application data'".
                self.write_frame(true, Rsv::NONE, Opcode::Pong, &payload, out);
                Ok(open.then_some(Event::Ping(payload)))
            }
            Opcode::Pong => {
                if open {
                    self.timers.pong(&payload, now);
                }
                Ok(open.then_some(Event::Pong(payload)))
            }
            _ => {
                let (code, reason) = close::parse(&payload, header.payload_length)?;
                // RFC 6455 section 5.5.1: "If an endpoint receives a Close frame and did not
                // previously send a Close frame, the endpoint MUST send a Close frame in
                // response", with the code it received.
                let sent = if open {
                    self.write_close(code, "", out, now);
                    Some(CloseFrame::new(code, ""))
                } else {
                    self.own_close()
                };
                let closed = Closed {
                    code: code.unwrap_or(CloseCode::NO_STATUS),
                    reason: reason.into(),
                    clean: true,
                    local: !open,
                    sent,
                    truncated: false,
                };
                let teardown = match self.role() {
                    Role::Server => Teardown::HalfClose,
                    Role::Client => Teardown::AwaitEof,
                };
                self.over(teardown);
                Ok(Some(Event::Closed(closed)))
            }
        }
    }
}

/// Moves it into the caller's box, or a new one.
fn boxed(receiving: Receiving, scratch: Option<&mut Scratch>) -> Box<Receiving> {
    match scratch.and_then(|it| it.receiving.take()) {
        Some(mut place) => {
            *place = receiving;
            place
        }
        None => Box::new(receiving),
    }
}

impl Receiving {
    /// Takes the next bytes of a message, which are in the assembler's space.
    pub(super) fn take_filled(
        &mut self,
        timers: &mut Timers,
        config: &Config,
        now: Timestamp,
    ) -> Result<Option<Event<'static>>, Fault> {
        let count = mem::take(&mut self.filled);
        let decoder = &mut self.decoder;
        let mut ended = false;
        timers.received(now);
        timers.received_data(now);
        let event = self.assembler.fill(count, |bytes| {
            let piece = decoder.decode(&mut Input::new(bytes))?;
            let ascii = piece.as_ref().is_some_and(FramePiece::is_ascii);
            ended = piece.is_some_and(|it| it.is_last() && it.header().fin);
            Ok((ascii, ended))
        });
        self.progress(count, ended, config, now);
        event
    }
}
