//! Receiving: from input bytes to events, with the answers that the protocol itself demands.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use super::{Connection, Receiving, Spare, State};
use crate::proto::close::{self, CloseCode, CloseFrame, Closed};
use crate::proto::config::Config;
use crate::proto::decoder::{FramePiece, Input, WholeMessage, take_message};
use crate::proto::event::Event;
use crate::proto::fault::Fault;
use crate::proto::frame::{Opcode, Role, Rsv};
use crate::proto::message::{Message, MessageKind, Payload};
use crate::proto::protocol_error::ProtocolError;
use crate::proto::teardown::Teardown;
use crate::proto::timer::{Instant, Timers};
use crate::proto::utf8::validate;

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
    // Else a program that calls it at two places has its answer through memory, which costs 2 to
    // 4 ns for each message.
    #[inline(always)]
    pub fn recv<'b>(
        &mut self,
        input: &mut Input<'b>,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<Option<Event<'b>>, Fault> {
        match self.whole_message(self.role, input, now.into()) {
            Some(message) => Ok(Some(Event::Message(message))),
            None => self.recv_any(input, None, out, now),
        }
    }

    /// A message that is there in one frame, on the short way past decoder and assembler: the same
    /// as [`recv`](Self::recv) in fewer instructions. None where it is not this case: then
    /// [`recv_any`](Self::recv_any) goes on. `role` is the connection's own; who knows it says so,
    /// and the other's code is left out.
    ///
    /// Part of each loop that asks for it, also of a server with several handlers: as functions of
    /// their own this and [`take_message`] cost a third of a message more.
    #[inline(always)]
    pub(crate) fn whole_message<'b>(
        &mut self,
        role: Role,
        input: &mut Input<'b>,
        now: Instant,
    ) -> Option<Message<'b>> {
        debug_assert_eq!(role, self.role);
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
        if kind == MessageKind::Text && !ascii && validate(&bytes[start..]).is_err() {
            self.fails_next(ProtocolError::Utf8);
            return None;
        }
        Some(Message::new(kind, Payload::borrowed(bytes, start)))
    }

    /// Has [`recv_any`](Self::recv_any) fail the connection.
    #[cold]
    fn fails_next(&mut self, error: ProtocolError) {
        let mut receiving = Receiving::new(self.role, self.rsv);
        receiving.decoder.fail(error);
        self.receiving = Some(Box::new(receiving));
    }

    /// Whether it is open, between two messages.
    #[cfg(feature = "server")]
    #[inline]
    pub(crate) fn awaits_message(&self) -> bool {
        self.state == State::Open && self.awaits_input()
    }

    /// Whether nothing is to be done before more bytes arrive, when all input is consumed.
    #[cfg(feature = "server")]
    #[inline]
    pub(crate) fn awaits_input(&self) -> bool {
        self.receiving.is_none()
    }

    #[cold]
    fn refuse(
        &mut self,
        fault: Fault,
        input: &mut Input<'_>,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Fault {
        input.discard();
        self.fail(fault, out, now)
    }

    /// As [`recv`](Self::recv), of anything, perhaps with memory of the caller's for a message
    /// under way. What is in `spare` afterwards may be another, or nothing.
    #[inline(never)]
    pub(crate) fn recv_any<'b>(
        &mut self,
        input: &mut Input<'b>,
        mut spare: Option<&mut Spare>,
        out: &mut Vec<u8>,
        now: Duration,
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
        // On the stack for what begins and ends with this input.
        let mut fresh = None;
        let receiving = match &mut kept {
            Some(kept) => &mut **kept,
            None => fresh.insert(Receiving::new(self.role, self.rsv)),
        };
        if let Some(spare) = &mut spare {
            receiving.assembler.swap_spare(&mut spare.buffer);
        }
        let received = self.pieces(receiving, input, out, now);
        if let Some(spare) = &mut spare {
            receiving.assembler.swap_spare(&mut spare.buffer);
        }
        match received {
            Ok(event) => {
                let idle = receiving.is_idle();
                // After an event its buffer may come back to what was kept.
                let done = idle && (event.is_none() || fresh.is_some());
                if !done && self.teardown().is_none() {
                    self.receiving = kept.or_else(|| fresh.map(|it| boxed(it, spare)));
                } else if let (Some(spare), true) = (spare, idle) {
                    spare.receiving = kept.or(spare.receiving.take());
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
        now: Duration,
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
        now: Duration,
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
            let extension = self.rare.as_mut().and_then(|it| it.extension.as_mut());
            let event = receiving.assembler.push(piece, extension, &self.config)?;
            if receiving.assembler.has_fault() {
                self.state = State::Failing;
                self.find_short_ways();
            }
            Ok(event)
        } else {
            // After this endpoint's Close, data are parsed but not delivered.
            Ok(None)
        }
    }

    /// A piece of a control frame. Its payload is borrowed when it arrived whole.
    fn control<'b>(
        &mut self,
        receiving: &mut Receiving,
        piece: FramePiece<'b>,
        out: &mut Vec<u8>,
        now: Duration,
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

/// Puts it into the caller's box, or one of its own.
fn boxed(receiving: Receiving, spare: Option<&mut Spare>) -> Box<Receiving> {
    match spare.and_then(|it| it.receiving.take()) {
        Some(mut place) => {
            *place = receiving;
            place
        }
        None => Box::new(receiving),
    }
}

impl Receiving {
    /// The next bytes of a message are in the assembler's space.
    pub(super) fn take_filled(
        &mut self,
        timers: &mut Timers,
        config: &Config,
        now: Duration,
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
