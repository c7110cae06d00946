//! Close codes and the payload of a Close frame (RFC 6455 sections 5.5.1 and 7.4).
//!
//! Owns which codes may be sent and how a Close payload is read and written. When a Close is sent,
//! and what follows it, is left to the connection.

use alloc::boxed::Box;
use core::fmt;

use super::frame::MAX_CONTROL_PAYLOAD;
use super::misuse::Misuse;
use super::protocol_error::ProtocolError;

/// The most bytes a Close reason may have: a control frame carries at most 125 bytes
/// (RFC 6455 section 5.5), and two of them are the code.
pub const MAX_REASON_LENGTH: usize = MAX_CONTROL_PAYLOAD - 2;

/// A close code: why a connection ended (RFC 6455 section 7.4).
///
/// Any number can be held; [`is_sendable`](CloseCode::is_sendable) tells whether a Close frame may
/// carry it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: an endpoint is going away: a server stops, a browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: the endpoint got a kind of data that it can't accept.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005: never sent; reported when the peer's Close had no code.
    pub const NO_STATUS: Self = Self(1005);
    /// 1006: never sent; reported when the transport ended without a Close.
    pub const ABNORMAL: Self = Self(1006);
    /// 1007: the data doesn't fit the message's type, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: the peer violated a policy of the endpoint.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message is too big to be processed.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: the server did not negotiate an extension that the client needs.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: the server met a condition that kept it from fulfilling the request.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the server restarts (IANA registry).
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the server is overloaded; try again later (IANA registry).
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got an invalid response from its upstream server (IANA registry).
    pub const BAD_GATEWAY: Self = Self(1014);

    /// Whether a Close frame may carry this code.
    ///
    /// True for 1000–1003, 1007–1014 and 3000–4999: what RFC 6455 section 7.4 and the IANA
    /// registry define for the wire, and the ranges for libraries and for private use.
    #[must_use]
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl From<u16> for CloseCode {
    fn from(code: u16) -> Self {
        Self(code)
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({})", self.0)
    }
}

/// The content of a Close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    /// The code; [`CloseCode::NO_STATUS`] (1005) if the frame had none.
    pub code: CloseCode,
    /// The reason, at most 123 bytes; empty if there was none.
    pub reason: Box<str>,
}

impl CloseFrame {
    pub(super) fn new(code: Option<CloseCode>, reason: &str) -> Self {
        Self {
            code: code.unwrap_or(CloseCode::NO_STATUS),
            reason: reason.into(),
        }
    }
}

/// How a connection ended, as this endpoint saw it.
///
/// Reported once for a connection: by [`Event::Closed`](crate::proto::Event::Closed) after both
/// Close frames, or by [`Connection::handle_eof`](crate::proto::Connection::handle_eof) when the
/// transport ended before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The peer's code; [`CloseCode::NO_STATUS`] (1005) when its Close had none,
    /// [`CloseCode::ABNORMAL`] (1006) when no Close came.
    pub code: CloseCode,
    /// The peer's reason, at most 123 bytes; empty when there was none.
    pub reason: Box<str>,
    /// True when both endpoints sent a Close (RFC 6455 section 7.1.4: closed *cleanly*).
    pub clean: bool,
    /// True when this endpoint sent its Close first.
    pub local: bool,
    /// This endpoint's own Close, if it sent one: the one that it closed with, or its reply to the
    /// peer's. The peer may have replied with another code, or, if the transport ended before, not
    /// at all.
    pub sent: Option<CloseFrame>,
    /// True when the transport ended inside a frame or a fragmented message: something that the peer
    /// had begun to send is lost. False when it ended between two messages, and when a Close came.
    pub truncated: bool,
}

impl Closed {
    /// For a transport that ended without the peer's Close.
    pub(super) fn abnormal(sent: Option<CloseFrame>, truncated: bool) -> Self {
        Self {
            code: CloseCode::ABNORMAL,
            reason: Box::default(),
            clean: false,
            local: sent.is_some(),
            sent,
            truncated,
        }
    }
}

/// Reads as much of a Close payload as has arrived; fails at the first byte that proves it bad.
///
/// `length` is the payload's length from the frame header, which is never 1. The result is final
/// once `received.len() == length`: the code, None if the payload is empty, and the reason.
pub(super) fn parse(
    received: &[u8],
    length: u64,
) -> Result<(Option<CloseCode>, &str), ProtocolError> {
    let Some((code, reason)) = received.split_first_chunk() else {
        return Ok((None, ""));
    };
    let code = CloseCode(u16::from_be_bytes(*code));
    if !code.is_sendable() {
        return Err(ProtocolError::CloseCode(code.0));
    }
    match core::str::from_utf8(reason) {
        Ok(reason) => Ok((Some(code), reason)),
        // Cut inside a character: invalid only if no more bytes come.
        Err(error) if error.error_len().is_none() && (received.len() as u64) < length => {
            Ok((Some(code), ""))
        }
        Err(_) => Err(ProtocolError::CloseReasonUtf8),
    }
}

/// Whether a Close may be sent with this code and reason.
pub(super) fn check(code: Option<CloseCode>, reason: &str) -> Result<(), Misuse> {
    match code {
        Some(code) if !code.is_sendable() => Err(Misuse::CloseCode(code.0)),
        None if !reason.is_empty() => Err(Misuse::CloseReasonWithoutCode),
        _ if reason.len() > MAX_REASON_LENGTH => Err(Misuse::CloseReasonTooLong(reason.len())),
        _ => Ok(()),
    }
}

/// Writes the payload of a Close frame that passed [`check`]; returns its length. Without a code it
/// is empty.
pub(super) fn encode(
    code: Option<CloseCode>,
    reason: &str,
    payload: &mut [u8; MAX_CONTROL_PAYLOAD],
) -> usize {
    let Some(code) = code else {
        return 0;
    };
    payload[..2].copy_from_slice(&code.0.to_be_bytes());
    payload[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
    2 + reason.len()
}
