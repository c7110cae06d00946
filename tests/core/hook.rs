//! The hook against an encoder that is wrong, and what the errors of the layers become.

use harness::sansio::runs::Runs;
use harness::sansio::*;
use sockeye::Error;
use sockeye::error::{Fault, HandshakeError, HttpError, LimitError, ProtocolError};
use sockeye::proto::{
    Connection, DecodeError, Encoding, Extension, ExtensionOffer, Negotiated, PerMessage,
    PerMessageDecode, PerMessageEncode, PerMessageExtension, Role, Rsv, parse_extensions,
    validate_utf8,
};

extern crate alloc;
use alloc::sync::Arc;
use core::time::Duration;

/// Takes away what it was to append to.
#[derive(Debug)]
struct Clearing;

impl Clearing {
    fn codec() -> PerMessage {
        PerMessage::new(Rsv::RSV1, Box::new(Self), Box::new(Self))
    }
}

impl PerMessageExtension for Clearing {
    fn offers(&self) -> Vec<Extension> {
        vec![Extension::new("x-clearing")]
    }

    fn accept(&self, _: &ExtensionOffer<'_>) -> Option<(Extension, PerMessage)> {
        Some((Extension::new("x-clearing"), Self::codec()))
    }

    fn confirm(&self, _: &ExtensionOffer<'_>) -> Option<Result<PerMessage, &'static str>> {
        Some(Ok(Self::codec()))
    }
}

impl PerMessageEncode for Clearing {
    fn encode(&mut self, payload: &[u8], _: bool, _: Encoding, out: &mut Vec<u8>) -> bool {
        out.clear();
        !payload.is_empty()
    }
}

impl PerMessageDecode for Clearing {
    fn decode(&mut self, _: &[u8], _: bool, _: usize, _: &mut Vec<u8>) -> Result<(), DecodeError> {
        Ok(())
    }
}

fn send(payload: &str) {
    let config = config(|it| it.extensions = vec![Arc::new(Clearing)]);
    let mut conn = negotiated(Role::Server, &config);
    let _ = conn.send(payload, &mut b"before".to_vec());
}

#[test]
#[should_panic(expected = "the extension's encoder took away what it did not append")]
fn an_encoder_that_clears_the_output_is_told_so() {
    send("payload");
}

#[test]
#[should_panic(expected = "the extension's encoder took away what it did not append")]
fn an_encoder_that_clears_the_output_and_declines_is_told_so() {
    send("");
}

#[test]
fn what_a_handshake_elsewhere_agreed_on_is_used() {
    let config = config(|it| it.extensions = vec![Arc::new(Runs::new(Rsv::RSV2))]);
    let lines = [b"x-unknown".as_slice(), b"x-other; y=1, x-runs"];
    let (response, extension) = config.accept_extension(lines).unwrap().unwrap();
    let mut agreed = Negotiated::default();
    (agreed.subprotocol, agreed.extension) = (Some("chat".into()), Some(extension));
    let mut server = Connection::server_with(config.clone(), agreed, Duration::ZERO);
    assert_eq!(server.subprotocol(), Some("chat"));

    let response = response.to_string();
    let response = parse_extensions([response.as_bytes()]).next().unwrap();
    let confirmed = config.extensions[0].confirm(&response.unwrap());
    let mut agreed = Negotiated::default();
    agreed.extension = Some(confirmed.unwrap().unwrap());
    let random = Box::new(|key: &mut [u8]| key.fill(1));
    let mut client = Connection::client_with(config.clone(), random, agreed, Duration::ZERO);

    let mut out = Vec::new();
    server.send("aaaaaaaaaaaaaaaa", &mut out).unwrap();
    assert_eq!(out[0], 0xA1, "it is marked by the extension");
    let seen = drive(&mut client, &out, &[out.len()]);
    assert_eq!(seen.events, [text("aaaaaaaaaaaaaaaa")]);

    assert!(
        config
            .accept_extension([b"x-other".as_slice()])
            .unwrap()
            .is_none()
    );
    assert!(
        config
            .accept_extension([b"x-runs, x; =".as_slice()])
            .is_err()
    );
}

#[test]
fn the_errors_of_the_layers_are_errors_of_the_crate() {
    let limit = LimitError::MessageSize { limit: 1 };
    assert!(matches!(Error::from(limit), Error::Limit(it) if it == limit));
    let head = HandshakeError::Head(HttpError::BareCr);
    assert!(matches!(Error::from(HttpError::BareCr), Error::Handshake(it) if it == head));
    let utf8 = validate_utf8(b"\xFF").unwrap_err();
    let error = Error::from(utf8);
    assert!(matches!(error, Error::Protocol(ProtocolError::Utf8)));
    assert!(matches!(Error::from(Fault::from(limit)), Error::Limit(_)));
}
