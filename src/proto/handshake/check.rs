//! Whether a request is a proper opening handshake (RFC 6455 section 4.2.1).

use core::fmt;

use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{DecodeSliceError, Engine as _};

use super::header::{KEY_LENGTH, VERSION};
use crate::proto::extension::{GrammarError, parse_extensions};
use crate::proto::http::{Headers, RequestHead, is_token};

/// Why a request is not a valid opening handshake (RFC 6455 section 4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestError {
    /// The method is not GET.
    Method,
    /// `Upgrade` doesn't list `websocket`.
    Upgrade,
    /// `Connection` doesn't list `Upgrade`.
    Connection,
    /// `Sec-WebSocket-Version` is missing, or another version than 13.
    VersionUnsupported,
    /// `Sec-WebSocket-Version` is not a version number.
    VersionMalformed,
    /// More than one `Sec-WebSocket-Version`.
    VersionRepeated,
    /// No `Sec-WebSocket-Key`.
    KeyMissing,
    /// More than one `Sec-WebSocket-Key`.
    KeyRepeated,
    /// `Sec-WebSocket-Key` does not have the length of 16 bytes in base64: 22 characters and two
    /// of padding.
    KeyLength,
    /// `Sec-WebSocket-Key` has 24 characters but is not the base64 of 16 bytes.
    KeyEncoding,
    /// The request has a body: a `Content-Length` above 0, or `Transfer-Encoding`.
    Body,
    /// More than one `Origin`, or one with bytes that an origin can't have.
    Origin,
    /// `Sec-WebSocket-Protocol` contains something that is not a token.
    Subprotocol,
    /// `Sec-WebSocket-Extensions` is malformed.
    Extensions(GrammarError),
}

impl RequestError {
    /// The status of the response: 405 for the method, 426 for the version, otherwise 400.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::VersionUnsupported => 426,
            _ => 400,
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "the opening handshake must be a GET (RFC 6455 section 4.1)",
            Self::Upgrade => {
                "Upgrade must list websocket (RFC 6455 section 4.2.1); a proxy in between has to \
                 pass the header on"
            }
            Self::Connection => {
                "Connection must list Upgrade (RFC 6455 section 4.2.1); a proxy in between has to \
                 pass the header on"
            }
            Self::VersionUnsupported => "Sec-WebSocket-Version must be 13 (RFC 6455 section 4.2.1)",
            Self::VersionMalformed => {
                "Sec-WebSocket-Version is not a number from 0 to 255 (RFC 6455 section 4.3)"
            }
            Self::VersionRepeated => {
                "Sec-WebSocket-Version is there more than once (RFC 6455 section 11.3.5)"
            }
            Self::KeyMissing => "Sec-WebSocket-Key is missing (RFC 6455 section 4.2.1)",
            Self::KeyRepeated => {
                "Sec-WebSocket-Key is there more than once (RFC 6455 section 11.3.1)"
            }
            Self::KeyLength => {
                "Sec-WebSocket-Key must be 16 bytes in base64, 22 characters and two of padding (RFC \
                 6455 section 4.2.1); its length is another"
            }
            Self::KeyEncoding => {
                "Sec-WebSocket-Key must be 16 bytes in base64, 24 characters (RFC 6455 section \
                 4.2.1); its characters or its padding are not base64"
            }
            Self::Body => {
                "the opening handshake must have no body: leave Content-Length and \
                 Transfer-Encoding out (RFC 6455 section 4.1)"
            }
            Self::Origin => "Origin must be there once at most, in ASCII (RFC 6454 section 7)",
            Self::Subprotocol => "Sec-WebSocket-Protocol must list tokens (RFC 6455 section 4.1)",
            Self::Extensions(error) => return error.fmt(f),
        })
    }
}

impl core::error::Error for RequestError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Extensions(error) => error.source(),
            _ => None,
        }
    }
}

/// RFC 6455 section 4.2.1, in its order.
pub(super) fn check_upgrade(
    head: &RequestHead<'_>,
    length: Option<u64>,
) -> Result<(), RequestError> {
    let headers = head.headers;
    if head.method != "GET" {
        return Err(RequestError::Method);
    }
    // What a body holds must never be read as frames (request smuggling).
    if headers.get("transfer-encoding").is_some() || length.is_some_and(|length| length > 0) {
        return Err(RequestError::Body);
    }
    if !headers.contains_token("upgrade", "websocket") {
        return Err(RequestError::Upgrade);
    }
    if !headers.contains_token("connection", "upgrade") {
        return Err(RequestError::Connection);
    }
    check_version(headers)?;
    check_key(headers)?;
    let mut origins = headers.get_all("origin");
    if origins.next().is_some_and(|it| !it.is_ascii()) || origins.next().is_some() {
        return Err(RequestError::Origin);
    }
    if !headers.tokens("sec-websocket-protocol").all(is_token) {
        return Err(RequestError::Subprotocol);
    }
    for offer in parse_extensions(headers.get_all("sec-websocket-extensions")) {
        offer.map_err(RequestError::Extensions)?;
    }
    Ok(())
}

fn check_version(headers: Headers<'_>) -> Result<(), RequestError> {
    let mut versions = headers.get_all("sec-websocket-version");
    let version = versions.next().ok_or(RequestError::VersionUnsupported)?;
    if versions.next().is_some() {
        return Err(RequestError::VersionRepeated);
    }
    if version == VERSION.as_bytes() {
        return Ok(());
    }
    // A list of valid versions is refused like a single one.
    let proper = |it: &[u8]| {
        matches!(it.trim_ascii(), [b'0'] | [b'1'..=b'9', ..])
            && core::str::from_utf8(it.trim_ascii()).is_ok_and(|it| it.parse::<u8>().is_ok())
    };
    Err(match version.split(|&byte| byte == b',').all(proper) {
        true => RequestError::VersionUnsupported,
        false => RequestError::VersionMalformed,
    })
}

/// Many clients send 22 random characters: the last one's spare bits may be set.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

fn check_key(headers: Headers<'_>) -> Result<(), RequestError> {
    let mut keys = headers.get_all("sec-websocket-key");
    let key = keys.next().ok_or(RequestError::KeyMissing)?;
    if keys.next().is_some() {
        return Err(RequestError::KeyRepeated);
    }
    if key.len() != 24 {
        return Err(RequestError::KeyLength);
    }
    // Room for what 24 characters decode to with any padding.
    let mut nonce = [0; 18];
    match KEY_BASE64.decode_slice(key, &mut nonce) {
        Ok(KEY_LENGTH) => Ok(()),
        // 24 characters with less padding: 17 or 18 bytes.
        Ok(_) | Err(DecodeSliceError::OutputSliceTooSmall) => Err(RequestError::KeyLength),
        Err(DecodeSliceError::DecodeError(_)) => Err(RequestError::KeyEncoding),
    }
}
