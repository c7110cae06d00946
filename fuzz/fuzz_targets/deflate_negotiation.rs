//! permessage-deflate's negotiation, held against a naive reading of RFC 7692 section 7.1.
//! Input: three bytes of settings, then a header line of offers, which is judged as a response
//! too.
#![no_main]

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use sockeye::proto::{
    Deflate, Extension, ExtensionOffer, PerMessageExtension, WindowBits, parse_extensions,
};
use sockeye_fuzz::{byte, rest};

fn settings(u: &mut Unstructured<'_>) -> Deflate {
    let (flags, server, client) = (byte(u), byte(u), byte(u));
    let mut deflate = Deflate::default();
    deflate.server_no_context_takeover = flags & 1 != 0;
    deflate.client_no_context_takeover = flags & 2 != 0;
    // Zero is the plain choice.
    let window = |it: u8| WindowBits::new(15 - it % 7).expect("9 to 15");
    deflate.server_max_window_bits = window(server);
    deflate.client_max_window_bits = window(client);
    deflate
}

/// The parameters by name, if none is unknown, repeated, or of a value it can't have.
#[derive(Debug, Default, PartialEq)]
struct Params {
    flags: [bool; 2],
    server: Option<u8>,
    client: Option<Option<u8>>,
}

fn params(offer: &ExtensionOffer<'_>) -> Option<Params> {
    let mut params = Params::default();
    let mut names = Vec::new();
    for param in offer.params() {
        if names.contains(&param.name) {
            return None;
        }
        names.push(param.name);
        let bits = |text: &str| {
            let bits: u8 = text.parse().ok()?;
            ((8..=15).contains(&bits) && text == bits.to_string()).then_some(bits)
        };
        match (param.name, param.value.as_deref()) {
            ("server_no_context_takeover", None) => params.flags[0] = true,
            ("client_no_context_takeover", None) => params.flags[1] = true,
            ("server_max_window_bits", Some(value)) => params.server = Some(bits(value)?),
            ("client_max_window_bits", Some(value)) => params.client = Some(Some(bits(value)?)),
            ("client_max_window_bits", None) => params.client = Some(None),
            _ => return None,
        }
    }
    Some(params)
}

fn read(extension: &Extension) -> Params {
    let text = extension.to_string();
    let mut read = parse_extensions([text.as_bytes()]);
    let offer = read.next().expect("one").expect("well formed");
    assert!(read.next().is_none());
    assert_eq!(offer.name(), "permessage-deflate");
    params(&offer).expect("written as it may be")
}

/// Whether a server's answer is one to this offer.
fn check_answer(offer: &Params, answer: &Params, deflate: &Deflate) {
    let ours = [
        deflate.server_no_context_takeover,
        deflate.client_no_context_takeover,
    ];
    for at in 0..2 {
        assert_eq!(answer.flags[at], offer.flags[at] || ours[at]);
    }
    let most = deflate.server_max_window_bits.bits();
    match offer.server {
        Some(bits) => assert_eq!(answer.server, Some(bits.min(most))),
        None => assert!(answer.server.unwrap_or(15) == most),
    }
    match (offer.client, answer.client) {
        (_, None) => {}
        (None, Some(_)) => panic!("answers what was not offered"),
        (Some(offered), Some(bits)) => {
            let bits = bits.expect("a value");
            assert!(bits >= 9 && bits <= offered.unwrap_or(15));
            assert!(bits <= deflate.client_max_window_bits.bits());
        }
    }
}

fn is_legal(response: &Params, deflate: &Deflate) -> bool {
    let most = deflate.server_max_window_bits.bits();
    (response.flags[0] || !deflate.server_no_context_takeover)
        && (most == 15 || response.server.is_some())
        && response.server.is_none_or(|bits| bits <= most)
        && response.client != Some(None)
        && response
            .client
            .flatten()
            .is_none_or(|bits| bits <= deflate.client_max_window_bits.bits())
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let deflate = settings(&mut u);
    let line = rest(&mut u);

    let offered = deflate.offers();
    assert_eq!(offered.len(), 1);
    let own = read(&offered[0]);

    for offer in parse_extensions([line]).map_while(Result::ok) {
        let ours = offer.name() == "permessage-deflate";
        let params = params(&offer).filter(|_| ours);
        let accepted = deflate.accept(&offer).map(|(response, _)| read(&response));
        match (&params, accepted) {
            (Some(params), Some(answer)) => check_answer(params, &answer, &deflate),
            (Some(params), None) => assert_eq!(params.server, Some(8)),
            (None, answer) => assert_eq!(answer, None),
        }
        match (deflate.confirm(&offer), &params) {
            (None, _) => assert!(!ours),
            (Some(Ok(_)), params) => {
                assert!(is_legal(params.as_ref().expect("valid"), &deflate));
            }
            (Some(Err(text)), params) => {
                assert!(!params.as_ref().is_some_and(|it| is_legal(it, &deflate)));
                assert!(text.contains("RFC 7692 section 7.1"), "{text}");
            }
        }
        // What this client offers, a server of any settings accepts, and the client agrees.
        let mut server = deflate.clone();
        if let Some(params) = params {
            server.server_no_context_takeover = params.flags[0];
            server.client_no_context_takeover = params.flags[1];
            let window =
                |bits: Option<u8>| bits.and_then(WindowBits::new).unwrap_or(WindowBits::MAX);
            server.server_max_window_bits = window(params.server);
            server.client_max_window_bits = window(params.client.flatten());
        }
        let text = offered[0].to_string();
        let offer = parse_extensions([text.as_bytes()]).next().unwrap().unwrap();
        let (response, _) = server.accept(&offer).expect("a legal offer");
        check_answer(&own, &read(&response), &server);
        let text = response.to_string();
        let response = parse_extensions([text.as_bytes()]).next().unwrap().unwrap();
        assert!(matches!(deflate.confirm(&response), Some(Ok(_))));
    }
});
