//! Extensions (RFC 6455 section 9): their negotiation and the per-message hook.
//!
//! The grammar of `Sec-WebSocket-Extensions` is in `grammar.rs`. This file has what an extension
//! implements: [`PerMessageExtension`] to be negotiated, [`PerMessageEncode`] and
//! [`PerMessageDecode`] to transform messages. These two see payload bytes and a limit, never
//! frames: frames, fragments and limits are left to the connection. A connection has at most one
//! extension. permessage-deflate is in `deflate/`, behind the feature `deflate`.

#[cfg(feature = "deflate")]
mod deflate;
mod grammar;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::frame::Rsv;

#[cfg(feature = "deflate")]
pub use deflate::{Deflate, Level, WindowBits};
pub use grammar::{
    Extension, ExtensionOffer, ExtensionOffers, ExtensionParam, ExtensionParams, GrammarError,
    parse_extensions,
};

/// A configured extension: it makes and judges offers (RFC 6455 section 9.1).
///
/// Add it to [`Config::extensions`](super::Config::extensions) of both ends. The server accepts the
/// first of the client's offers that one of its extensions accepts; declining all is not an error.
/// What is agreed on is a pair of codecs for one connection, [`PerMessage`], and the reserved bits
/// that mark its messages.
///
/// A minimal extension, which sends each byte as its complement:
///
/// ```
/// use sockeye::proto::{
///     DecodeError, Encoding, Extension, ExtensionOffer, PerMessage, PerMessageDecode,
///     PerMessageEncode, PerMessageExtension, Rsv, parse_extensions,
/// };
///
/// #[derive(Debug)]
/// struct Complement;
///
/// struct Codec; // it keeps nothing between the pieces of a message, or between messages
///
/// impl PerMessageEncode for Codec {
///     fn encode(&mut self, payload: &[u8], _: bool, _: Encoding, out: &mut Vec<u8>) -> bool {
///         out.extend(payload.iter().map(|byte| !byte));
///         true // taken: the message is marked
///     }
/// }
///
/// impl PerMessageDecode for Codec {
///     fn decode(
///         &mut self,
///         piece: &[u8],
///         _: bool,
///         limit: usize,
///         out: &mut Vec<u8>,
///     ) -> Result<(), DecodeError> {
///         out.extend(piece.iter().take(limit).map(|byte| !byte));
///         match piece.len() <= limit {
///             true => Ok(()),
///             false => Err(DecodeError::TooLong),
///         }
///     }
/// }
///
/// impl PerMessageExtension for Complement {
///     fn offers(&self) -> Vec<Extension> {
///         vec![Extension::new("x-complement")]
///     }
///
///     fn accept(&self, offer: &ExtensionOffer<'_>) -> Option<(Extension, PerMessage)> {
///         let fits = offer.name() == "x-complement" && offer.params().next().is_none();
///         let codecs = || PerMessage::new(Rsv::RSV2, Box::new(Codec), Box::new(Codec));
///         fits.then(|| (Extension::new("x-complement"), codecs()))
///     }
///
///     fn confirm(&self, response: &ExtensionOffer<'_>) -> Option<Result<PerMessage, &'static str>> {
///         (response.name() == "x-complement").then(|| {
///             let accepted = self.accept(response).ok_or("x-complement has no parameters")?;
///             Ok(accepted.1)
///         })
///     }
/// }
///
/// let judge = |line: &'static str| {
///     let offer = parse_extensions([line.as_bytes()]).next().unwrap().unwrap();
///     Complement.accept(&offer).map(|(response, _)| response.to_string())
/// };
/// assert_eq!(judge("x-complement").as_deref(), Some("x-complement"));
/// assert_eq!(judge("x-complement; level=2"), None);
/// assert_eq!(judge("permessage-deflate"), None);
/// ```
pub trait PerMessageExtension: fmt::Debug + Send + Sync {
    /// The client's offers, the preferred one first. All have this extension's name.
    fn offers(&self) -> Vec<Extension>;

    /// Judges an offer on the server's side: None declines it; otherwise the response and the codec
    /// that was agreed on. It is called with offers of every name.
    fn accept(&self, offer: &ExtensionOffer<'_>) -> Option<(Extension, PerMessage)>;

    /// Judges the server's response on the client's side: None if the response is not for this
    /// extension.
    ///
    /// # Errors
    /// What is wrong with the response: the client fails the connection (RFC 6455 section 4.1).
    fn confirm(&self, response: &ExtensionOffer<'_>) -> Option<Result<PerMessage, &'static str>>;

    /// Encodes a message on the server's side for all connections that can take it, each of which
    /// decides by [`PerMessageEncode::use_prepared`]. By default None: there is no encoded form.
    fn prepare(&self, payload: &[u8]) -> Option<(PreparedKey, Vec<u8>)> {
        let _ = payload;
        None
    }
}

/// The encoding of a payload, for an encoder to know whether its peer can decode it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PreparedKey {
    /// The extension's name.
    pub extension: &'static str,
    /// The reserved bits that mark the message. A connection whose extension uses others ignores
    /// it.
    pub rsv: Rsv,
    /// A number that the extension chooses, such as the window that was used.
    pub key: u32,
}

/// How a connection sends a [`PreparedMessage`](super::PreparedMessage), which was encoded once for
/// many: what its encoder returns of [`PerMessageEncode::use_prepared`], and what
/// `Deflate::prepared` sets for permessage-deflate.
///
/// ```
/// use sockeye::proto::{Encoding, PerMessageEncode, PreparedKey, PreparedUse};
///
/// /// Compresses with a dictionary, which both ends know by its number.
/// struct Encoder {
///     dictionary: u32,
/// }
///
/// impl PerMessageEncode for Encoder {
/// #   fn encode(&mut self, _: &[u8], _: bool, _: Encoding, _: &mut Vec<u8>) -> bool { false }
///     fn use_prepared(&mut self, prepared: Option<PreparedKey>) -> PreparedUse {
///         match prepared {
///             // The peer has what it was compressed with.
///             Some(PreparedKey { extension: "x-dictionary", key, .. }) if key == self.dictionary => {
///                 PreparedUse::Shared
///             }
///             // It has another one: this connection compresses for itself.
///             Some(_) => PreparedUse::Each,
///             // It was too short to be compressed for anybody.
///             None => PreparedUse::Plain,
///         }
///     }
/// }
/// # let _ = Encoder { dictionary: 1 };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PreparedUse {
    /// The bytes that were encoded once for all.
    Shared,
    /// The message unencoded, which is also shared.
    Plain,
    /// Encoded by this connection's own encoder.
    Each,
}

/// Whether a message that is sent passes the negotiated extension, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Encoding {
    /// As the extension thinks best: compression leaves out what is short or doesn't shrink.
    #[default]
    Auto,
    /// Never: for what is compressed or encrypted already, or mixes secrets with what an attacker
    /// may choose (RFC 7692 section 9).
    Plain,
    /// Always, where the extension can.
    Always,
}

/// The two halves of a negotiated extension, for one connection.
pub struct PerMessage {
    pub(super) rsv: Rsv,
    pub(super) encoder: Box<dyn PerMessageEncode>,
    pub(super) decoder: Box<dyn PerMessageDecode>,
    /// The message being sent passes the encoder.
    pub(super) encoding: bool,
}

impl PerMessage {
    /// An extension whose messages are marked by `rsv` on their first frame.
    ///
    /// # Panics
    /// When `rsv` has no bit set: the receiver could not tell which messages to decode.
    #[must_use]
    pub fn new(
        rsv: Rsv,
        encoder: Box<dyn PerMessageEncode>,
        decoder: Box<dyn PerMessageDecode>,
    ) -> Self {
        assert!(
            !rsv.is_empty(),
            "an extension marks its messages by a reserved bit"
        );
        Self {
            rsv,
            encoder,
            decoder,
            encoding: false,
        }
    }
}

impl fmt::Debug for PerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerMessage")
            .field("rsv", &self.rsv)
            .finish_non_exhaustive()
    }
}

/// Encodes the messages that are sent.
pub trait PerMessageEncode: Send {
    /// Appends the encoded form of the next piece of a message to `out`; `fin` marks the last
    /// piece. Each piece becomes one frame.
    ///
    /// Returning false on a message's first piece, with nothing appended, sends the whole message
    /// unencoded and unmarked: the encoder is not called again before the next message. On a later
    /// piece the returned value is ignored.
    ///
    /// `encoding` is what the sender chose, the same on each piece of a message, and never
    /// [`Encoding::Plain`].
    ///
    /// The previous content of `out` must not be changed: an encoder that shortens it makes the
    /// connection panic.
    fn encode(&mut self, payload: &[u8], fin: bool, encoding: Encoding, out: &mut Vec<u8>) -> bool;

    /// Nothing has arrived for a [`ping_interval`](super::Config::ping_interval): free what can be
    /// recreated. May be called repeatedly. Does nothing by default.
    fn idle(&mut self) {}

    /// What was encoded so far may not reach the peer, or not all of it: what is encoded from now
    /// on must not refer to it. Does nothing by default, which is right for an encoder that keeps
    /// no state between messages.
    fn forget(&mut self) {}

    /// Returns how to send a message that was encoded as `prepared` says; None if this extension
    /// did not encode it. [`PreparedUse::Shared`] promises that the peer can decode it, and that
    /// what is encoded after it takes it into account; for None it must not be returned. By default
    /// [`PreparedUse::Each`].
    fn use_prepared(&mut self, prepared: Option<PreparedKey>) -> PreparedUse {
        let _ = prepared;
        PreparedUse::Each
    }
}

/// Decodes the received messages that are marked with the extension's reserved bits.
pub trait PerMessageDecode: Send {
    /// Appends to `out` what the next bytes of a message decode to, at most `limit` bytes, and
    /// changes nothing of its previous content. `fin` marks the message's last bytes. Pieces are
    /// cut anywhere, and what has been appended after the same bytes must not depend on the cuts.
    ///
    /// # Errors
    /// [`DecodeError`]. What was decoded before the fault is appended. The connection is failed,
    /// so the decoder is not used again.
    fn decode(
        &mut self,
        piece: &[u8],
        fin: bool,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError>;
}

/// Why a message can't be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeError {
    /// It decodes to more than the limit: the connection is failed with 1009.
    TooLong,
    /// It is not valid; the text names what is wrong and the rule, in at most 123 bytes, and
    /// becomes the reason of the Close with 1007.
    Invalid(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the message decodes to more than its limit",
            Self::Invalid(text) => text,
        })
    }
}

impl core::error::Error for DecodeError {}
