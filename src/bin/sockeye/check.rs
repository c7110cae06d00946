//! Checks that what comes back is what was sent: the frames of a server, and the faults they can
//! have.
//!
//! Owns the position in the stream of echoes; the bytes stay in the buffer they were read into, and
//! are compared there as they arrive.

use core::fmt;
use std::io;

use sockeye::error::{HandshakeError, Misuse, ProtocolError};
use sockeye::proto::{FrameDecoder, Input, MAX_CONTROL_PAYLOAD, Opcode, Role};

use crate::template::{Difference, Template, append_frame, opcode};

/// Why a run is not a valid measurement.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A byte of a message differs from the one sent.
    Content {
        message: u64,
        difference: Difference,
    },
    /// A message ended too early.
    Short {
        message: u64,
        length: usize,
        size: usize,
    },
    /// A message continued beyond its end.
    Long {
        message: u64,
        size: usize,
    },
    /// A message arrived that nobody sent, or arrived twice.
    Unsent {
        message: u64,
    },
    /// Text came back as binary or the other way round.
    Kind {
        message: u64,
    },
    /// A compressed frame, a reserved opcode, a masked frame and the like.
    Protocol(ProtocolError),
    /// The server closed.
    Closed {
        code: u16,
        reason: String,
    },
    /// The server ended the stream.
    Eof,
    Handshake(HandshakeError),
    /// The server didn't accept permessage-deflate.
    Refused,
    /// Nothing arrived for this long, in seconds, though something should have.
    Stalled {
        seconds: f64,
        missing: u64,
    },
    /// The server kept the connection for this long, in seconds, after it was sent a Close.
    Unclosed {
        seconds: f64,
    },
    /// The certificate was refused, or TLS failed.
    #[cfg(feature = "tls")]
    Tls(rustls::Error),
    Io(io::Error),
    /// Any other error of the library.
    Other(sockeye::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content {
                message,
                difference: Difference { at, sent, received },
            } => write!(
                f,
                "message {message} came back changed: its byte {at} is {received:#04x}, and \
                 {sent:#04x} was sent"
            ),
            Self::Short {
                message,
                length,
                size,
            } => write!(
                f,
                "message {message} came back too short: {length} bytes of {size}"
            ),
            Self::Long { message, size } => write!(
                f,
                "message {message} came back too long: more than {size} bytes"
            ),
            Self::Unsent { message } => {
                write!(f, "message {message} came, which was not sent")
            }
            Self::Kind { message } => write!(
                f,
                "message {message} came back as another kind: text as binary, or binary as text"
            ),
            Self::Protocol(error) => write!(f, "the server broke the protocol: {error}"),
            Self::Closed { code, reason } => {
                write!(f, "the server closed the connection with {code} {reason:?}")
            }
            Self::Eof => f.write_str("the server ended the connection without a Close"),
            Self::Handshake(error) => write!(f, "the opening handshake failed: {error}"),
            Self::Refused => f.write_str(
                "the server didn't take up permessage-deflate: have it do so, or leave out \
                 --deflate",
            ),
            Self::Unclosed { seconds } => write!(
                f,
                "the server didn't end the connection within {seconds} s of being sent a Close; \
                 see --timeout"
            ),
            Self::Stalled { seconds, missing } => write!(
                f,
                "nothing came for {seconds} s and {missing} messages are missing: the server \
                 lost them, or needs a longer --timeout"
            ),
            #[cfg(feature = "tls")]
            Self::Tls(rustls::Error::InvalidCertificate(error)) => write!(
                f,
                "the server's certificate is not trusted: {error}; see --ca and --insecure"
            ),
            #[cfg(feature = "tls")]
            Self::Tls(error) => write!(f, "TLS failed: {error}"),
            Self::Io(error) if error.kind() == io::ErrorKind::AddrNotAvailable => write!(
                f,
                "{error}: this machine's ports to connect from are used up; take fewer \
                 connections, or a --rate of handshakes"
            ),
            Self::Io(error) => error.fmt(f),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(feature = "tls")]
impl From<rustls::Error> for Fault {
    fn from(error: rustls::Error) -> Self {
        Self::Tls(error)
    }
}

impl From<ProtocolError> for Fault {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<HandshakeError> for Fault {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl From<Misuse> for Fault {
    fn from(error: Misuse) -> Self {
        Self::Other(error.into())
    }
}

/// The expected messages of a connection, in order.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    /// The number of the first on this connection.
    first: u64,
    /// The number of the next.
    number: u64,
    /// How much of it has arrived.
    offset: usize,
}

impl Due {
    pub(crate) fn new(first: u64) -> Self {
        Self {
            first,
            number: first,
            offset: 0,
        }
    }

    /// How many arrived whole.
    pub(crate) fn completed(&self) -> u64 {
        self.number - self.first
    }

    /// The same for display: counted from one on each connection.
    fn message(&self) -> u64 {
        self.completed() + 1
    }

    #[cfg(feature = "deflate")]
    pub(crate) fn check_kind(
        &self,
        kind: sockeye::proto::MessageKind,
        template: &Template,
    ) -> Result<(), Fault> {
        if kind == template.kind() {
            return Ok(());
        }
        Err(Fault::Kind {
            message: self.message(),
        })
    }

    /// Checks the next bytes of a message, the last ones if `last`.
    #[inline]
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        last: bool,
        template: &Template,
    ) -> Result<(), Fault> {
        let (message, size) = (self.message(), template.size());
        if bytes.len() > size - self.offset {
            return Err(Fault::Long { message, size });
        }
        template
            .compare(self.number, self.offset, bytes)
            .map_err(|difference| Fault::Content {
                message,
                difference,
            })?;
        self.offset += bytes.len();
        if last {
            let length = self.offset;
            if length < size {
                return Err(Fault::Short {
                    message,
                    length,
                    size,
                });
            }
            self.number += 1;
            self.offset = 0;
        }
        Ok(())
    }
}

/// Checks the frames that a server sends, without an extension.
///
/// Nearly always a message comes whole, in one frame and one read. It is then compared with the
/// expected bytes, header included, which costs less than half of decoding it. Anything else is
/// decoded.
pub(crate) struct Checker {
    decoder: FrameDecoder,
    /// Whether the decoder is inside a frame or its header.
    in_frame: bool,
    /// Whether more frames of the message follow.
    fragmented: bool,
    due: Due,
    /// The part of a control frame's payload that has arrived.
    control: Vec<u8>,
}

impl Checker {
    /// Expects messages from number `first` on.
    pub(crate) fn new(first: u64) -> Self {
        Self {
            decoder: FrameDecoder::new(Role::Client),
            in_frame: false,
            fragmented: false,
            due: Due::new(first),
            control: Vec::new(),
        }
    }

    /// How many messages arrived whole.
    pub(crate) fn completed(&self) -> u64 {
        self.due.completed()
    }

    /// Checks received bytes; appends pongs to `out`.
    ///
    /// # Errors
    /// The first fault; also the server's Close.
    pub(crate) fn check(
        &mut self,
        mut bytes: &mut [u8],
        template: &Template,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let whole = match self.in_frame || self.fragmented {
                true => None,
                false => template.echo(self.due.number, bytes),
            };
            let consumed = match whole {
                Some(length) => {
                    self.due.number += 1;
                    length
                }
                None => self.decode(bytes, template, out)?,
            };
            bytes = &mut bytes[consumed..];
        }
        Ok(())
    }

    /// Decodes a piece of a frame; returns its length with the header.
    fn decode(
        &mut self,
        bytes: &mut [u8],
        template: &Template,
        out: &mut Vec<u8>,
    ) -> Result<usize, Fault> {
        let mut input = Input::new(bytes);
        let Some(piece) = self.decoder.decode(&mut input)? else {
            self.in_frame = true;
            return Ok(input.consumed());
        };
        let (header, last) = (*piece.header(), piece.is_last());
        self.in_frame = !last;
        if header.opcode.is_control() {
            self.control.extend_from_slice(piece.payload());
            if last {
                self.answer(header.opcode, template.key(), out)?;
            }
            return Ok(input.consumed());
        }
        self.fragmented = !header.fin;
        // RFC 6455 section 5.4: frames after a message's first are continuations.
        if header.opcode != Opcode::Continuation && header.opcode != opcode(template.kind()) {
            return Err(Fault::Kind {
                message: self.due.message(),
            });
        }
        self.due
            .take(piece.payload(), last && header.fin, template)?;
        Ok(input.consumed())
    }

    #[cold]
    fn answer(&mut self, opcode: Opcode, key: [u8; 4], out: &mut Vec<u8>) -> Result<(), Fault> {
        debug_assert!(self.control.len() <= MAX_CONTROL_PAYLOAD);
        let payload = core::mem::take(&mut self.control);
        match opcode {
            Opcode::Ping => append_frame(Opcode::Pong, &payload, key, out),
            Opcode::Close => {
                let (code, reason) = match payload.split_first_chunk() {
                    Some((code, reason)) => (u16::from_be_bytes(*code), reason),
                    // RFC 6455 section 7.1.5: "If this Close control frame contains no status
                    // code, The WebSocket Connection Close Code is considered to be 1005."
                    None => (1005, &[][..]),
                };
                return Err(Fault::Closed {
                    code,
                    reason: String::from_utf8_lossy(reason).into_owned(),
                });
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sockeye::proto::MessageKind;

    use super::*;

    const KEY: [u8; 4] = [1, 2, 3, 4];

    fn template(size: usize) -> Template {
        Template::new(MessageKind::Binary, size, KEY)
    }

    /// A server's frame.
    fn served(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..=125 => frame.push(short as u8),
            long => {
                frame.push(126);
                frame.extend((long as u16).to_be_bytes());
            }
        }
        frame.extend(payload);
        frame
    }

    /// The payload of message `number`, by way of its masked frame.
    fn payload(template: &mut Template, number: u64) -> Vec<u8> {
        let size = template.size();
        let frame = template.frames(number, 1);
        let mut payload = frame[frame.len() - size..].to_vec();
        sockeye::proto::mask(&mut payload, KEY, 0);
        payload
    }

    fn check(bytes: &[u8], template: &Template) -> Result<(u64, Vec<u8>), String> {
        let mut out = Vec::new();
        let mut checker = Checker::new(9);
        let mut bytes = bytes.to_vec();
        checker
            .check(&mut bytes, template, &mut out)
            .map_err(|fault| fault.to_string())?;
        Ok((checker.completed(), out))
    }

    #[test]
    fn echoes_are_taken_however_they_are_split_and_fragmented() {
        for size in [0, 1, 8, 20, 300] {
            let mut template = template(size);
            let (nine, ten) = (payload(&mut template, 9), payload(&mut template, 10));
            let whole = [served(0x82, &nine), served(0x82, &ten)].concat();
            assert_eq!(check(&whole, &template).unwrap().0, 2);
            let cut = size / 3;
            let fragmented = [
                served(0x02, &nine[..cut]),
                served(0x8A, b"a pong is no answer to this"),
                served(0x80, &nine[cut..]),
                served(0x82, &ten),
            ]
            .concat();
            assert_eq!(check(&fragmented, &template).unwrap().0, 2);
            for bytes in [&whole, &fragmented] {
                let mut checker = Checker::new(9);
                for byte in bytes {
                    checker
                        .check(&mut [*byte], &template, &mut Vec::new())
                        .unwrap();
                }
                assert_eq!(checker.completed(), 2);
            }
        }
    }

    #[test]
    fn every_corruption_is_found() {
        let mut template = template(20);
        let nine = payload(&mut template, 9);
        for at in 0..20 {
            let mut changed = nine.clone();
            changed[at] ^= 1;
            let error = check(&served(0x82, &changed), &template).unwrap_err();
            assert!(
                error.starts_with(&format!("message 1 came back changed: its byte {at} is")),
                "{error}"
            );
        }
        let ten = payload(&mut template, 10);
        for (bytes, text) in [
            (served(0x82, &ten), "message 1 came back changed"),
            (served(0x82, &nine[..19]), "too short: 19 bytes of 20"),
            (served(0x82, &[&nine[..], b"x"].concat()), "too long"),
            (served(0x81, &nine), "another kind"),
            (served(0xC2, &nine), "broke the protocol"),
            (
                served(0x88, b"\x03\xF1oh no"),
                "closed the connection with 1009 \"oh no\"",
            ),
            (served(0x88, b""), "closed the connection with 1005"),
            (
                [served(0x82, &nine), served(0x82, &nine)].concat(),
                "message 2 came back changed",
            ),
        ] {
            let error = check(&bytes, &template).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn pings_are_answered() {
        let template = template(20);
        let (_, out) = check(&served(0x89, b"beat"), &template).unwrap();
        let mut expected = Vec::new();
        append_frame(Opcode::Pong, b"beat", KEY, &mut expected);
        assert_eq!(out, expected);
    }
}
