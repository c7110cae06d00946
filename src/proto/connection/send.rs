//! Sending: messages, fragments, control frames, and the two ways to send without a copy.

use alloc::vec::Vec;

use super::{Connection, State};
use crate::proto::close::{self, CloseCode, CloseFrame};
use crate::proto::encoder;
use crate::proto::extension::Encoding;
use crate::proto::frame::{FrameHeader, MAX_CONTROL_PAYLOAD, MAX_HEADER_LENGTH, Opcode, Role, Rsv};
use crate::proto::message::{Message, MessageKind, Payload};
use crate::proto::message_ref::MessageRef;
use crate::proto::misuse::Misuse;
use crate::proto::prepared::PreparedMessage;
use crate::proto::sync::Arc;
use crate::proto::timestamp::Timestamp;

impl Connection {
    /// Sends a message: appends its frame to `out`, or its frames where
    /// [`fragment_size`](crate::proto::Config::fragment_size) asks for them.
    ///
    /// # Errors
    /// [`Misuse::Closed`] once the closing handshake began, [`Misuse::FragmentUnderWay`] inside
    /// a fragmented message. Nothing is appended then.
    #[inline]
    pub fn send<'m>(
        &mut self,
        message: impl Into<MessageRef<'m>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        self.send_with(message, Encoding::Auto, out)
    }

    /// Like [`send`](Self::send), and chooses whether the message passes the negotiated extension.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[inline]
    pub fn send_with<'m>(
        &mut self,
        message: impl Into<MessageRef<'m>>,
        encoding: Encoding,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        let message = message.into();
        let payload = message.as_bytes();
        // The usual case: a server's message.
        if self.is_plain(payload.len()) {
            encoder::append_plain(message.kind(), payload, out);
            return Ok(());
        }
        self.send_any(message, encoding, out)
    }

    /// Sends a received message on, as [`send`](Self::send) does, in the fewest instructions: with
    /// [`take_message`](Self::take_message) the fast path of an echo or a relay. Where the frame it
    /// came in has room for the new header, that is written there, and both are appended in one
    /// copy. From some KiB up [`send_in_place`](Self::send_in_place) saves that copy, too.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[inline(always)]
    pub fn send_received(&mut self, message: Message<'_>, out: &mut Vec<u8>) -> Result<(), Misuse> {
        if !self.is_plain(message.len()) || !message.payload().has_room(4) {
            return self.send_any((&message).into(), Encoding::Auto, out);
        }
        let kind = message.kind();
        out.extend_from_slice(encoder::in_front_plain(kind, &mut message.into_payload()));
        Ok(())
    }

    /// A message of fewer bytes than this, sent now, is one unmasked frame of just its bytes, at
    /// most 65,535. 0 where there is none: for a client, with an extension, inside a fragmented
    /// message, once the closing handshake began.
    ///
    /// Who sends the same message to many connections has its frame already
    /// ([`PreparedMessage::frame`]) and may write that to each of these, as
    /// [`share_prepared`](Self::share_prepared) would say, without asking each.
    #[must_use]
    #[inline]
    pub fn plain_below(&self) -> usize {
        self.plain_below as usize
    }

    #[inline]
    fn is_plain(&self, length: usize) -> bool {
        length < self.plain_below()
    }

    #[inline(never)]
    fn send_any(
        &mut self,
        message: MessageRef<'_>,
        encoding: Encoding,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        self.check_start()?;
        self.write_message(message.kind(), message.as_bytes(), encoding, out);
        Ok(())
    }

    /// Sends a message that was prepared for many connections, all of the same bytes where that
    /// can be: its frame, however long, is appended to `out`. A client masks each frame for
    /// itself, so for it this is [`send`](Self::send).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_prepared(
        &mut self,
        message: &PreparedMessage,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        if let Some(frame) = self.share_prepared(message, out)? {
            out.extend_from_slice(frame);
        }
        Ok(())
    }

    /// Like [`send_prepared`](Self::send_prepared) without the copy: returns the frame, to be
    /// written after `out`, or None where this connection needed one of its own, which was
    /// appended.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn share_prepared<'p>(
        &mut self,
        message: &'p PreparedMessage,
        out: &mut Vec<u8>,
    ) -> Result<Option<&'p Arc<[u8]>>, Misuse> {
        self.check_start()?;
        let shared = match (self.role, self.extension()) {
            (Role::Client, _) => None,
            (Role::Server, None) => Some(message.frame()),
            (Role::Server, Some(extension)) => message.choose(extension),
        };
        if shared.is_none() {
            self.write_message(message.kind(), message.payload(), Encoding::Auto, out);
        }
        Ok(shared)
    }

    #[inline]
    fn write_message(
        &mut self,
        kind: MessageKind,
        payload: &[u8],
        encoding: Encoding,
        out: &mut Vec<u8>,
    ) {
        match self.config.fragment_size {
            Some(size) if payload.len() > size.get() => {
                let count = payload.len().div_ceil(size.get());
                for (at, fragment) in payload.chunks(size.get()).enumerate() {
                    let (first, fin) = (at == 0, at + 1 == count);
                    self.write_data(kind, first, fin, fragment, encoding, out);
                }
            }
            _ => self.write_data(kind, true, true, payload, encoding, out),
        }
    }

    /// Sends a fragment of a message, which more fragments follow (RFC 6455 section 5.4). The first
    /// call begins the message, [`send_last_fragment`](Self::send_last_fragment) ends it. Pings,
    /// pongs and a Close may be sent in between.
    ///
    /// # Errors
    /// [`Misuse::Closed`] once the closing handshake began, [`Misuse::FragmentKind`] when text
    /// and binary are mixed in one message. Nothing is appended then.
    pub fn send_fragment<'m>(
        &mut self,
        fragment: impl Into<MessageRef<'m>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        self.write_fragment(fragment.into(), false, out)
    }

    /// Sends the last fragment of a message, which may be empty, or its only one.
    ///
    /// # Errors
    /// As [`send_fragment`](Self::send_fragment).
    pub fn send_last_fragment<'m>(
        &mut self,
        fragment: impl Into<MessageRef<'m>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        self.write_fragment(fragment.into(), true, out)
    }

    fn write_fragment(
        &mut self,
        fragment: MessageRef<'_>,
        fin: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        if !self.is_open() {
            return Err(Misuse::Closed);
        }
        let kind = fragment.kind();
        if self.sending.is_some_and(|sending| sending != kind) {
            return Err(Misuse::FragmentKind);
        }
        let first = self.sending.is_none();
        self.sending = (!fin).then_some(kind);
        self.find_fast_paths();
        self.write_data(kind, first, fin, fragment.as_bytes(), Encoding::Auto, out);
        Ok(())
    }

    /// Sends a received message on without a copy where that can be: the header is written in
    /// front of the payload, in the message's own buffer, and the whole frame is returned, to
    /// be written after `out`. Where it can't be, the message is appended to `out` as by
    /// [`send`](Self::send) and None is returned.
    ///
    /// There is room when the message came in a frame whose header lies before it in the same
    /// buffer and is no shorter than the new one (a server's echo: the received header had a
    /// masking key, the new one has none), or when it was assembled. An extension or
    /// [`fragment_size`](crate::proto::Config::fragment_size) may need a copy.
    ///
    /// Use it from some KiB up, with a vectored write; a small message is cheaper copied.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_in_place<'b>(
        &mut self,
        message: Message<'b>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Frame<'b>>, Misuse> {
        self.check_start()?;
        let mut header = FrameHeader {
            fin: true,
            rsv: Rsv::NONE,
            opcode: message.kind().opcode(),
            // The key is drawn when it is used: for now only its length counts.
            masking_key: (self.role == Role::Client).then_some([0; 4]),
            payload_length: message.len() as u64,
        };
        let length = header.encoded_length();
        let one_frame = self
            .config
            .fragment_size
            .is_none_or(|size| message.len() <= size.get());
        if self.extension().is_none() && one_frame && message.payload().has_room(length) {
            header.masking_key = self.masking_key();
            // From here on the bytes are a frame and no longer text.
            let mut frame = message.into_payload();
            encoder::in_front(&header, &mut frame);
            return Ok(Some(Frame(frame)));
        }
        self.send(&message, out)?;
        Ok(None)
    }

    /// Sends a ping; the peer answers with a pong of the same payload
    /// ([`Event::Pong`](crate::proto::Event::Pong)).
    ///
    /// # Errors
    /// [`Misuse::ControlTooLong`] over 125 bytes, [`Misuse::Closed`] once the closing handshake
    /// began.
    pub fn send_ping(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Misuse> {
        self.send_control(Opcode::Ping, payload, out)
    }

    /// Sends an unsolicited pong, a one-way heartbeat (RFC 6455 section 5.5.3). Pings are answered
    /// without it.
    ///
    /// # Errors
    /// As [`send_ping`](Self::send_ping).
    pub fn send_pong(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), Misuse> {
        self.send_control(Opcode::Pong, payload, out)
    }

    /// Begins the closing handshake (RFC 6455 section 7.1.2) with a code and reason, or with
    /// neither: `close(None, "", …)`. Nothing may be sent afterwards and no message is delivered
    /// any more; [`Event::Closed`](crate::proto::Event::Closed) follows, or
    /// [`LimitError::Close`](crate::proto::LimitError::Close) if the peer doesn't answer within
    /// [`close_timeout`](crate::proto::Config::close_timeout).
    ///
    /// # Errors
    /// [`Misuse`] for a code that may not be sent (RFC 6455 section 7.4), a reason of over 123
    /// bytes or without a code, and once the closing handshake began. Nothing is appended then.
    pub fn close(
        &mut self,
        code: impl Into<Option<CloseCode>>,
        reason: &str,
        out: &mut Vec<u8>,
        now: impl Into<Timestamp>,
    ) -> Result<(), Misuse> {
        if !self.is_open() {
            return Err(Misuse::Closed);
        }
        let (code, now) = (code.into(), now.into());
        close::check(code, reason)?;
        self.write_close(code, reason, out, now);
        self.ending_mut().sent = Some(CloseFrame::new(code, reason));
        self.state = State::Closing;
        if let Some(receiving) = &mut self.receiving {
            if receiving.filled > 0 {
                // No longer delivered, but the frame continues behind it.
                let _ = receiving.take_filled(&mut self.timers, &self.config, now);
            }
            receiving.assembler.clear();
            if receiving.is_idle() {
                self.receiving = None;
            }
        }
        self.drop_extension();
        self.find_fast_paths();
        Ok(())
    }

    /// What is sent from here on is encoded without reference to what was sent before. For a caller
    /// that drops messages it has not written yet: a compressed message refers to those before it,
    /// and its peer could not decode it without them. Call it before and after the message that may
    /// be dropped.
    ///
    /// Without an extension it does nothing.
    pub fn forget(&mut self) {
        if let Some(extension) = self.extension() {
            extension.encoder.forget();
        }
    }

    #[inline]
    pub(super) fn check_start(&self) -> Result<(), Misuse> {
        if !self.is_open() {
            Err(Misuse::Closed)
        } else if self.sending.is_some() {
            Err(Misuse::FragmentUnderWay)
        } else {
            Ok(())
        }
    }

    fn send_control(
        &mut self,
        opcode: Opcode,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Misuse> {
        if !self.is_open() {
            return Err(Misuse::Closed);
        }
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(Misuse::ControlTooLong(payload.len()));
        }
        self.write_frame(true, Rsv::NONE, opcode, payload, out);
        Ok(())
    }

    pub(super) fn write_close(
        &mut self,
        code: Option<CloseCode>,
        reason: &str,
        out: &mut Vec<u8>,
        now: Timestamp,
    ) {
        let mut payload = [0; MAX_CONTROL_PAYLOAD];
        let length = close::encode(code, reason, &mut payload);
        self.write_frame(true, Rsv::NONE, Opcode::Close, &payload[..length], out);
        self.timers.close_sent(now);
    }

    /// One data frame: a whole message or a fragment, through the extension if it takes it.
    #[inline]
    fn write_data(
        &mut self,
        kind: MessageKind,
        first: bool,
        fin: bool,
        payload: &[u8],
        encoding: Encoding,
        out: &mut Vec<u8>,
    ) {
        let opcode = if first {
            kind.opcode()
        } else {
            Opcode::Continuation
        };
        if let Some(cold) = &mut self.cold
            && let Some(mut extension) = cold.extension.take()
        {
            // The encoder appends behind room for the longest header.
            let start = out.len();
            out.resize(start + MAX_HEADER_LENGTH, 0);
            let asked = match first {
                true => encoding != Encoding::Plain,
                false => extension.encoding,
            };
            extension.encoding =
                asked && (extension.encoder.encode(payload, fin, encoding, out) || !first);
            let encoded = extension.encoding;
            let rsv = match encoded && first {
                true => extension.rsv,
                false => Rsv::NONE,
            };
            cold.extension = Some(extension);
            // An application's encoder may be faulty; what it removed can't be restored.
            assert!(
                out.len() >= start + MAX_HEADER_LENGTH,
                "the extension's encoder took away what it did not append"
            );
            if encoded {
                let header = FrameHeader {
                    fin,
                    rsv,
                    opcode,
                    masking_key: self.masking_key(),
                    payload_length: (out.len() - start - MAX_HEADER_LENGTH) as u64,
                };
                encoder::behind_room(&header, start, out);
                return;
            }
            out.truncate(start);
        }
        self.write_frame(fin, Rsv::NONE, opcode, payload, out);
    }

    #[inline]
    pub(super) fn write_frame(
        &mut self,
        fin: bool,
        rsv: Rsv,
        opcode: Opcode,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) {
        let header = FrameHeader {
            fin,
            rsv,
            opcode,
            masking_key: self.masking_key(),
            payload_length: payload.len() as u64,
        };
        encoder::append(&header, payload, out);
    }

    /// RFC 6455 section 5.3: "The masking key is a 32-bit value chosen at random by the client.
    /// When preparing a masked frame, the client MUST pick a fresh masking key".
    #[inline]
    pub(super) fn masking_key(&mut self) -> Option<[u8; 4]> {
        let random = self.cold.as_mut()?.random.as_mut()?;
        let mut key = [0; 4];
        random.fill(&mut key);
        Some(key)
    }
}

/// A whole frame in the buffer its payload was received in, ready to be written
/// ([`Connection::send_in_place`]).
#[derive(Debug)]
pub struct Frame<'b>(Payload<'b>);

impl<'b> Frame<'b> {
    /// The frame's bytes, header and payload.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same bytes; give them to [`Scratch::recycle`](crate::proto::Scratch::recycle) once they
    /// are written.
    #[must_use]
    pub fn into_payload(self) -> Payload<'b> {
        self.0
    }
}
