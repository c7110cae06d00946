//! Frame headers (RFC 6455 section 5.2): decoding, encoding, and the rules that a header alone can
//! break.
//!
//! Owns the bits of a header. The bytes behind it are left to the
//! [decoder](crate::proto::FrameDecoder), messages to the connection.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-------+-+-------------+-------------------------------+
//! |F|R|R|R| opcode|M| Payload len |  16-bit length if len == 126, |
//! |I|S|S|S|  (4)  |A|     (7)     |  64-bit length if len == 127  |
//! |N|V|V|V|       |S|             |                               |
//! | |1|2|3|       |K|             |                               |
//! +-+-+-+-+-------+-+-------------+-------------------------------+
//! |  masking key (4 bytes), only when MASK is set; then payload   |
//! +---------------------------------------------------------------+
//! ```

use alloc::vec::Vec;
use core::fmt;
use core::ops::BitOr;

use super::protocol_error::ProtocolError;

/// The longest frame header in bytes: 2, a 64-bit length, a masking key.
pub const MAX_HEADER_LENGTH: usize = 14;

/// The longest payload of a control frame in bytes (RFC 6455 section 5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

const FIN: u8 = 0x80;
const MASK: u8 = 0x80;

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Accepts the opening handshake; receives masked frames, sends unmasked ones.
    Server,
    /// Sends the opening handshake; receives unmasked frames, sends masked ones.
    Client,
}

/// What a frame carries (RFC 6455 section 5.2). The reserved opcodes have no variant: a header
/// with one is a [`ProtocolError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    /// 0x0: continues the message that an earlier frame began.
    Continuation = 0x0,
    /// 0x1: begins a text message.
    Text = 0x1,
    /// 0x2: begins a binary message.
    Binary = 0x2,
    /// 0x8: the closing handshake.
    Close = 0x8,
    /// 0x9: requests a pong.
    Ping = 0x9,
    /// 0xA: answers a ping, or is unsolicited.
    Pong = 0xA,
}

impl Opcode {
    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            _ => return None,
        })
    }

    /// True for Close, Ping and Pong (RFC 6455 section 5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// The three reserved bits of a header, which extensions give a meaning (RFC 6455 section 5.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rsv(u8);

impl Rsv {
    /// No bit set.
    pub const NONE: Self = Self(0);
    /// The first bit; permessage-deflate sets it on compressed messages (RFC 7692 section 6).
    pub const RSV1: Self = Self(0x40);
    /// The second bit.
    pub const RSV2: Self = Self(0x20);
    /// The third bit.
    pub const RSV3: Self = Self(0x10);
    const ALL: Self = Self(0x70);

    /// Whether no bit is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every bit of `other` is set here too.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Rsv {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Rsv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rsv({:03b})", self.0 >> 4)
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameHeader {
    /// The last frame of its message.
    pub fin: bool,
    /// The reserved bits.
    pub rsv: Rsv,
    /// What the frame carries.
    pub opcode: Opcode,
    /// The key the payload is masked with, if it is (RFC 6455 section 5.3).
    pub masking_key: Option<[u8; 4]>,
    /// The payload's length in bytes, at most 2^63 − 1.
    pub payload_length: u64,
}

/// The rules for a header that depend on the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeaderRules {
    /// Whether frames must be masked, or must not be (RFC 6455 section 5.1).
    pub(super) masked: bool,
    /// The reserved bits that a message's first frame may have set: all of them or none.
    pub(super) rsv: Rsv,
    /// Whether a fragmented message is under way (RFC 6455 section 5.4).
    pub(super) fragmented: bool,
}

impl FrameHeader {
    /// Decodes the header at the start of `bytes`; returns it and its length in bytes, or None
    /// while it is incomplete.
    ///
    /// Checks what a header alone can break. Masking, reserved bits and the order of fragments
    /// depend on the connection; [`FrameDecoder`](crate::proto::FrameDecoder) checks them.
    ///
    /// # Errors
    /// At the first byte that proves it: a reserved opcode, a length that is not minimal or has
    /// its top bit set, a control frame that is fragmented or longer than 125 bytes, a Close of
    /// one byte.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        Self::decode_with(bytes, None)
    }

    /// As [`decode`](Self::decode), with the connection's rules if there are any. Faults are found in the order
    /// of the bytes that prove them, so the error is the same however the bytes are split.
    #[inline]
    pub(super) fn decode_with(
        bytes: &[u8],
        rules: Option<&HeaderRules>,
    ) -> Result<Option<(Self, usize)>, ProtocolError> {
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let fin = first & FIN != 0;
        let rsv = Rsv(first & Rsv::ALL.0);
        let opcode = match Opcode::from_bits(first & 0x0F) {
            Some(opcode) => opcode,
            None => return Err(ProtocolError::ReservedOpcode(first & 0x0F)),
        };
        // RFC 6455 section 5.5: "All control frames MUST have a payload length of 125 bytes or
        // less and MUST NOT be fragmented."
        if opcode.is_control() && !fin {
            return Err(ProtocolError::FragmentedControl);
        }
        if let Some(rules) = rules {
            check_first_byte(rsv, opcode, rules)?;
        }

        let Some(&second) = rest.first() else {
            return Ok(None);
        };
        let masked = second & MASK != 0;
        match rules.map(|rules| rules.masked) {
            Some(true) if !masked => return Err(ProtocolError::Unmasked),
            Some(false) if masked => return Err(ProtocolError::Masked),
            _ => {}
        }
        let length = second & !MASK;
        if opcode.is_control() {
            if usize::from(length) > MAX_CONTROL_PAYLOAD {
                return Err(ProtocolError::ControlTooLong);
            }
            // RFC 6455 section 5.5.1: "If there is a body, the first two bytes of the body MUST
            // be a 2-byte unsigned integer".
            if opcode == Opcode::Close && length == 1 {
                return Err(ProtocolError::CloseTruncated);
            }
        }
        let Some((payload_length, key_at)) = decode_length(length, bytes)? else {
            return Ok(None);
        };
        let (masking_key, header_length) = if masked {
            let Some(key) = bytes[key_at..].first_chunk() else {
                return Ok(None);
            };
            (Some(*key), key_at + 4)
        } else {
            (None, key_at)
        };
        let header = Self {
            fin,
            rsv,
            opcode,
            masking_key,
            payload_length,
        };
        Ok(Some((header, header_length)))
    }

    /// Encodes the header: 2 to 14 bytes, the length in its shortest form.
    ///
    /// # Panics
    /// When `payload_length` has its top bit set, which the wire can't carry.
    #[must_use]
    #[inline]
    pub fn encode(&self) -> EncodedHeader {
        assert!(
            self.payload_length <= i64::MAX as u64,
            "a frame's length has 63 bits"
        );
        let mut bytes = [0; MAX_HEADER_LENGTH];
        bytes[0] = if self.fin { FIN } else { 0 } | self.rsv.0 | self.opcode as u8;
        let mask = if self.masking_key.is_some() { MASK } else { 0 };
        let key_at = match self.payload_length {
            length @ 0..=125 => {
                bytes[1] = mask | length as u8;
                2
            }
            length @ 126..=0xFFFF => {
                bytes[1] = mask | 126;
                bytes[2..4].copy_from_slice(&(length as u16).to_be_bytes());
                4
            }
            length => {
                bytes[1] = mask | 127;
                bytes[2..10].copy_from_slice(&length.to_be_bytes());
                10
            }
        };
        let mut length = key_at;
        if let Some(key) = self.masking_key {
            bytes[key_at..key_at + 4].copy_from_slice(&key);
            length += 4;
        }
        EncodedHeader {
            bytes,
            length: length as u8,
        }
    }

    /// The length of the encoded header in bytes.
    #[must_use]
    pub const fn encoded_length(&self) -> usize {
        let key = if self.masking_key.is_some() { 4 } else { 0 };
        key + match self.payload_length {
            0..=125 => 2,
            126..=0xFFFF => 4,
            _ => 10,
        }
    }
}

#[inline]
fn check_first_byte(rsv: Rsv, opcode: Opcode, rules: &HeaderRules) -> Result<(), ProtocolError> {
    if !opcode.is_control() {
        match (rules.fragmented, opcode == Opcode::Continuation) {
            (true, false) => return Err(ProtocolError::MessageInsideMessage),
            (false, true) => return Err(ProtocolError::UnexpectedContinuation),
            _ => {}
        }
    }
    // RFC 6455 section 5.2: "MUST be 0 unless an extension is negotiated that defines meanings
    // for non-zero values." A per-message extension marks a message on its first frame only
    // (RFC 7692 section 6.1).
    let marked = rsv == rules.rsv && matches!(opcode, Opcode::Text | Opcode::Binary);
    if rsv.is_empty() || marked {
        Ok(())
    } else {
        Err(ProtocolError::ReservedBits)
    }
}

/// Returns the payload length and the offset of the bytes behind it.
#[inline]
fn decode_length(length: u8, bytes: &[u8]) -> Result<Option<(u64, usize)>, ProtocolError> {
    // RFC 6455 section 5.2: "the minimal number of bytes MUST be used to encode the length".
    match length {
        126 => {
            let Some(long) = bytes[2..].first_chunk::<2>() else {
                return Ok(None);
            };
            match u16::from_be_bytes(*long) {
                0..=125 => Err(ProtocolError::LengthNotMinimal),
                long => Ok(Some((long.into(), 4))),
            }
        }
        127 => {
            let rest = &bytes[2..];
            // "the most significant bit MUST be 0"
            if rest.first().is_some_and(|&byte| byte & 0x80 != 0) {
                return Err(ProtocolError::LengthTopBit);
            }
            if rest.len() >= 6 && rest[..6] == [0; 6] {
                return Err(ProtocolError::LengthNotMinimal);
            }
            Ok(rest
                .first_chunk()
                .map(|long| (u64::from_be_bytes(*long), 10)))
        }
        length => Ok(Some((length.into(), 2))),
    }
}

/// The bytes of an encoded header, held in place.
#[derive(Clone, Copy, Debug)]
pub struct EncodedHeader {
    bytes: [u8; MAX_HEADER_LENGTH],
    length: u8,
}

impl EncodedHeader {
    /// The header's 2 to 14 bytes.
    #[must_use]
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Copying a constant length takes a few instructions and no call.
    #[inline]
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        let end = out.len() + usize::from(self.length);
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }
}

impl AsRef<[u8]> for EncodedHeader {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}
