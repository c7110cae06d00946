//! The client's opening handshake: whole and in pieces, a response is judged the same. The key
//! is always that of 16 zero bytes, so that a good answer to it can be in the seeds. Input:
//! limits, flags, cuts, bytes.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use sockeye::error::HandshakeError;
use sockeye::proto::{ClientHandshake, ClientRequest, Config, Input, RandomSource, Url};
use sockeye_fuzz::rle::Rle;
use sockeye_fuzz::{Cuts, byte, head, rest};

/// The agreed subprotocol and the bytes behind the response; None if it is incomplete.
type Answer = Result<Option<(Option<String>, Vec<u8>)>, HandshakeError>;

fn run(config: &Arc<Config>, subprotocols: &[&str], pieces: Vec<Vec<u8>>) -> Answer {
    let now = Duration::ZERO;
    let random: Box<dyn RandomSource> = Box::new(|bytes: &mut [u8]| bytes.fill(0));
    let url = Url::parse("ws://localhost/").expect("a URL");
    let request = ClientRequest {
        subprotocols: subprotocols.iter().map(ToString::to_string).collect(),
        ..ClientRequest::default()
    };
    let mut out = Vec::new();
    let mut handshake =
        ClientHandshake::new(&url, &request, Arc::clone(config), random, &mut out, now)
            .expect("a request");
    let mut agreed: Option<(Option<String>, Vec<u8>)> = None;
    for mut piece in pieces {
        let mut input = Input::new(&mut piece);
        if let Some((_, behind)) = &mut agreed {
            behind.extend(input.as_slice());
            continue;
        }
        match handshake.recv(&mut input, now) {
            Ok(None) => assert!(input.is_empty() && handshake.response().is_none()),
            Ok(Some(connection)) => {
                let response = handshake.response().expect("a response");
                assert_eq!(response.status, 101);
                assert!(connection.is_open() && handshake.poll_timeout().is_none());
                let subprotocol = connection.subprotocol().map(ToString::to_string);
                assert!(subprotocol.iter().all(|it| subprotocols.contains(&&**it)));
                agreed = Some((subprotocol, input.as_slice().to_vec()));
                let mut none = Input::new(&mut []);
                assert!(matches!(handshake.recv(&mut none, now), Ok(None)));
            }
            Err(error) => {
                let _ = format!("{error} {error:?}");
                assert_eq!(handshake.recv(&mut input, now).err(), Some(error.clone()));
                assert!(handshake.poll_timeout().is_none());
                return Err(error);
            }
        }
    }
    if let Some(deadline) = handshake.poll_timeout() {
        assert!(agreed.is_none() && handshake.handle_timeout(deadline).is_err());
    }
    Ok(agreed)
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let mut config = Config::default();
    config.head = head::limits(&mut u);
    let flags = byte(&mut u);
    if flags & 1 != 0 {
        config.extensions.push(Rle::shared());
    }
    let subprotocols: &[&str] = if flags & 2 != 0 {
        &["chat", "soap"]
    } else {
        &[]
    };
    let config = Arc::new(config);
    let cuts = Cuts::read(&mut u);
    let bytes = rest(&mut u);

    let whole = run(&config, subprotocols, vec![bytes.to_vec()]);
    let pieces = run(&config, subprotocols, cuts.pieces(bytes));
    assert_eq!(whole, pieces, "the cuts matter");
});
