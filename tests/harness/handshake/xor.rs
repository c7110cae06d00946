//! The simplest extension.

use sockeye::proto::{
    Encoding, Extension, ExtensionOffer, PerMessage, PerMessageDecode, PerMessageEncode,
    PerMessageExtension, Rsv,
};

/// A per-message extension that XORs every byte with a constant, marked by RSV1: the simplest one
/// that shows whether both ends agreed on it.
#[derive(Debug)]
pub struct Xor;

impl Xor {
    pub const NAME: &str = "x-test-xor";

    fn codec() -> PerMessage {
        PerMessage::new(Rsv::RSV1, Box::new(XorCodec), Box::new(XorCodec))
    }
}

impl PerMessageExtension for Xor {
    fn offers(&self) -> Vec<Extension> {
        let offer = Extension::new(Self::NAME);
        vec![offer.with_value("level", "1")]
    }

    fn accept(&self, offer: &ExtensionOffer<'_>) -> Option<(Extension, PerMessage)> {
        let level = offer.params().any(|param| param.name == "level");
        (offer.name() == Self::NAME && level).then(|| (Extension::new(Self::NAME), Self::codec()))
    }

    fn confirm(&self, response: &ExtensionOffer<'_>) -> Option<Result<PerMessage, &'static str>> {
        (response.name() == Self::NAME).then(|| match response.params().next() {
            None => Ok(Self::codec()),
            Some(_) => Err("x-test-xor has no response parameters"),
        })
    }
}

struct XorCodec;

impl PerMessageEncode for XorCodec {
    fn encode(&mut self, payload: &[u8], _: bool, _: Encoding, out: &mut Vec<u8>) -> bool {
        out.extend(payload.iter().map(|byte| byte ^ 0x5A));
        true
    }
}

impl PerMessageDecode for XorCodec {
    fn decode(
        &mut self,
        piece: &[u8],
        _: bool,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), sockeye::proto::DecodeError> {
        if piece.len() > limit {
            return Err(sockeye::proto::DecodeError::TooLong);
        }
        out.extend(piece.iter().map(|byte| byte ^ 0x5A));
        Ok(())
    }
}
