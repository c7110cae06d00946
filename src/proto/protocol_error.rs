//! The rules of RFC 6455 that a peer can break once the connection is open.
//!
//! Owns the errors and their texts. They are checked elsewhere: a header's in `frame.rs`, the order
//! of frames in `decoder.rs`, a Close payload's in `close.rs`, a message's in `assembler.rs`.

use core::fmt;

/// The peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set and no negotiated extension uses it there.
    ReservedBits,
    /// The opcode is one of the reserved 3–7 and 0xB–0xF.
    ReservedOpcode(u8),
    /// A client's frame is not masked.
    Unmasked,
    /// A server's frame is masked.
    Masked,
    /// The payload length uses more bytes than it needs.
    LengthNotMinimal,
    /// The top bit of the 64-bit payload length is set.
    LengthTopBit,
    /// A control frame without FIN.
    FragmentedControl,
    /// A control frame of more than 125 bytes.
    ControlTooLong,
    /// A continuation frame without a message to continue.
    UnexpectedContinuation,
    /// A text or binary frame inside a fragmented message.
    MessageInsideMessage,
    /// A Close payload of one byte.
    CloseTruncated,
    /// A Close with a code that must not be sent.
    CloseCode(u16),
    /// A Close reason that is not UTF-8.
    CloseReasonUtf8,
    /// A text message that is not UTF-8.
    Utf8,
    /// The data of a message is invalid for the negotiated extension; the text says why.
    Extension(&'static str),
}

impl ProtocolError {
    /// What happened and the section of the rule, short enough for a Close reason.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::ReservedBits => {
                "reserved bit set without an extension that uses it (RFC 6455 section 5.2)"
            }
            Self::ReservedOpcode(_) => "reserved opcode (RFC 6455 section 5.2)",
            Self::Unmasked => "a client must mask its frames (RFC 6455 section 5.1)",
            Self::Masked => "a server must not mask its frames (RFC 6455 section 5.1)",
            Self::LengthNotMinimal => {
                "payload length not in its shortest form (RFC 6455 section 5.2)"
            }
            Self::LengthTopBit => "payload length over 63 bits (RFC 6455 section 5.2)",
            Self::FragmentedControl => "fragmented control frame (RFC 6455 section 5.5)",
            Self::ControlTooLong => "control frame over 125 bytes (RFC 6455 section 5.5)",
            Self::UnexpectedContinuation => {
                "continuation frame without a message to continue (RFC 6455 section 5.4)"
            }
            Self::MessageInsideMessage => {
                "new message before the last one was complete (RFC 6455 section 5.4)"
            }
            Self::CloseTruncated => "close payload of one byte (RFC 6455 section 5.5.1)",
            Self::CloseCode(_) => "close code that may not be sent (RFC 6455 section 7.4)",
            Self::CloseReasonUtf8 => "close reason is not UTF-8 (RFC 6455 section 5.5.1)",
            Self::Utf8 => "text message is not UTF-8 (RFC 6455 section 8.1)",
            Self::Extension(text) => text,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the peer broke the protocol: ")?;
        match self {
            Self::ReservedOpcode(opcode) => {
                write!(f, "reserved opcode {opcode:#x} (RFC 6455 section 5.2)")
            }
            Self::CloseCode(code) => write!(
                f,
                "close code {code}, which may not be sent (RFC 6455 section 7.4)"
            ),
            other => f.write_str(other.text()),
        }
    }
}

impl core::error::Error for ProtocolError {}
