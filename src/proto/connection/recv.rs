//! Receiving: from input bytes to events, with the answers that the protocol itself demands.

use alloc::vec::Vec;
use core::mem;
use core::time::Duration;

use super::{Connection, Event, State, Teardown};
use crate::error::{Fault, ProtocolError};
use crate::proto::close::{self, CloseCode, Closed};
use crate::proto::decoder::{FramePiece, Input};
use crate::proto::frame::{Opcode, Role, Rsv};
use crate::proto::message::{Message, MessageKind, Payload};
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
    #[inline]
    pub fn recv<'b>(
        &mut self,
        input: &mut Input<'b>,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<Option<Event<'b>>, Fault> {
        match self.whole_message(input, now) {
            Some(message) => Ok(Some(Event::Message(message))),
            None => self.recv_any(input, out, now),
        }
    }

    /// A message that is there in one frame, on the short way past the assembler: the same in
    /// fewer instructions. None where it is not this case.
    #[inline]
    fn whole_message<'b>(&mut self, input: &mut Input<'b>, now: Duration) -> Option<Message<'b>> {
        let limit = self.whole_up_to?;
        let (kind, bytes, start) = self.decoder.take_message(input, limit.into())?;
        self.timers.received_message(now);
        if kind == MessageKind::Text && validate(&bytes[start..]).is_err() {
            self.fail_next(ProtocolError::Utf8.into());
            return None;
        }
        Some(Message::new(kind, Payload::borrowed(bytes, start)))
    }

    /// As [`recv`](Self::recv), of anything.
    #[inline(never)]
    fn recv_any<'b>(
        &mut self,
        input: &mut Input<'b>,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<Option<Event<'b>>, Fault> {
        match self.state {
            State::Open | State::Closing => {}
            State::Failing(fault) => {
                input.discard();
                return Err(self.fail(fault, out, now));
            }
            State::Over(_, fault) => {
                input.discard();
                return fault.map_or(Ok(None), Err);
            }
        }
        if self.filled > 0 {
            match self.take_filled(now) {
                Ok(None) => {}
                Ok(event) => return Ok(event),
                Err(fault) => {
                    input.discard();
                    return Err(self.fail(fault, out, now));
                }
            }
        } else if input.is_empty() && self.decoder.is_between_messages() {
            return Ok(None);
        }
        if !input.is_empty() {
            self.timers.received(now);
        }
        loop {
            let decoded = if self.assembler.holds_back(&self.config) && !input.is_empty() {
                self.decoder.decode(&mut Input::new(input.take(1)))
            } else {
                self.decoder.decode(input)
            };
            let received = match decoded {
                Ok(Some(piece)) => self.piece(piece, out, now),
                Ok(None) if !input.is_empty() => continue,
                Ok(None) => {
                    if !self.decoder.is_between_messages() {
                        self.timers.incomplete(now);
                    }
                    return Ok(None);
                }
                Err(error) => Err(error.into()),
            };
            match received {
                Ok(None) => {}
                Ok(event) => return Ok(event),
                Err(fault) => {
                    input.discard();
                    return Err(self.fail(fault, out, now));
                }
            }
        }
    }

    /// The next bytes of a message are in the assembler's space.
    pub(super) fn take_filled(&mut self, now: Duration) -> Result<Option<Event<'static>>, Fault> {
        let count = mem::take(&mut self.filled);
        let decoder = &mut self.decoder;
        let mut ended = false;
        self.timers.received(now);
        self.timers.received_data(now);
        let event = self.assembler.fill(count, |bytes| {
            let piece = decoder.decode(&mut Input::new(bytes))?;
            let end = piece.is_some_and(|it| it.is_last() && it.header().fin);
            ended = end;
            Ok(end)
        });
        self.timers.progress(count, ended, &self.config, now);
        event
    }

    #[inline]
    fn piece<'b>(
        &mut self,
        piece: FramePiece<'b>,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<Option<Event<'b>>, Fault> {
        let ended = piece.is_last() && !self.decoder.is_fragmented();
        if piece.header().opcode.is_control() {
            self.timers.progress(0, ended, &self.config, now);
            return self.control(piece, out, now);
        }
        let bytes = piece.payload().len();
        self.timers.received_data(now);
        self.timers.progress(bytes, ended, &self.config, now);
        if self.state == State::Open {
            let event = self
                .assembler
                .push(piece, self.extension.as_deref_mut(), &self.config)?;
            if let Some(Event::Piece(_)) = event
                && let Some(fault) = self.assembler.take_fault()
            {
                self.fail_next(fault);
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
            self.control.extend_from_slice(piece.payload());
            if header.opcode == Opcode::Close {
                close::parse(&self.control, header.payload_length)?;
            }
            if !last {
                return Ok(None);
            }
            Payload::owned(mem::take(&mut self.control), 0)
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
                self.timers.pong(&payload, now);
                Ok(open.then_some(Event::Pong(payload)))
            }
            _ => {
                let (code, reason) = close::parse(&payload, header.payload_length)?;
                let closed = Closed {
                    code: code.unwrap_or(CloseCode::NO_STATUS),
                    reason: reason.into(),
                    clean: true,
                    local: !open,
                };
                // RFC 6455 section 5.5.1: "If an endpoint receives a Close frame and did not
                // previously send a Close frame, the endpoint MUST send a Close frame in
                // response", with the code it received.
                if open {
                    self.write_close(code, "", out, now);
                }
                let teardown = match self.role() {
                    Role::Server => Teardown::HalfClose,
                    Role::Client => Teardown::AwaitEof,
                };
                self.over(teardown, None);
                Ok(Some(Event::Closed(closed)))
            }
        }
    }
}
