//! The negotiation of permessage-deflate: docs/cases.md P1 to P6 and C11, RFC 7692 section 7.1.

extern crate alloc;

use alloc::sync::Arc;

use harness::deflate::window;
use harness::handshake::{Answer, START, accept_key, accepted_by, cuts, judge, serve, upgrade};
use sockeye::error::{HandshakeError, ResponseFault};
use sockeye::proto::{
    Accept, ClientHandshake, ClientRequest, Config, Deflate, PerMessageExtension, Url,
    parse_extensions,
};

fn settings(change: impl FnOnce(&mut Deflate)) -> Deflate {
    let mut deflate = Deflate::default();
    change(&mut deflate);
    deflate
}

fn config(deflate: &Deflate) -> Arc<Config> {
    harness::sansio::config(|it| it.extensions.push(Arc::new(deflate.clone())))
}

/// What a server answers to offers in these header lines, by whole handshakes cut in every way.
#[track_caller]
fn answers(deflate: &Deflate, offers: &[&str]) -> Option<String> {
    let config = config(deflate);
    let mut request = upgrade();
    for offer in offers {
        request = request.add("Sec-WebSocket-Extensions", offer);
    }
    accepted_by(&config, &request);
    let mut all = Vec::new();
    for pieces in cuts(&request.bytes()) {
        let (mut out, served) = (Vec::new(), serve(&config, &pieces));
        let accepted = served.upgrade().accept(&Accept::default(), &mut out, START);
        accepted.expect("declining is no error");
        let answer = Answer::read(&out);
        all.push(answer.header("Sec-WebSocket-Extensions").map(String::from));
    }
    assert!(all.iter().all(|it| *it == all[0]), "{all:?}");
    all.swap_remove(0)
}

#[track_caller]
fn assert_answer(deflate: &Deflate, offer: &str, expected: &str) {
    let answer = answers(deflate, &[offer]);
    let expected = Some(format!("permessage-deflate{expected}"));
    assert_eq!(answer, expected, "{offer}");
}

// ---- the server -----------------------------------------------------------------------------

#[test]
fn p1_p2_offers_that_are_declined() {
    for params in [
        "bogus",
        "x=1",
        "Server_No_Context_Takeover",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits; client_max_window_bits=10",
        "server_no_context_takeover=1",
        "server_no_context_takeover=\"true\"",
        "client_no_context_takeover=x",
        "server_max_window_bits",
        "server_max_window_bits=0",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=010",
        "server_max_window_bits=+9",
        "server_max_window_bits=-1",
        "server_max_window_bits=9.0",
        "server_max_window_bits=1e1",
        "server_max_window_bits=0x9",
        "server_max_window_bits=265",
        "server_max_window_bits=99999999999999999999",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=08",
        "client_max_window_bits=+9",
        // P4: zlib can't compress at 8.
        "server_max_window_bits=8",
    ] {
        let offer = format!("permessage-deflate; {params}");
        for deflate in [Deflate::default(), Deflate::shared()] {
            assert_eq!(answers(&deflate, &[&offer]), None, "{offer}");
        }
    }
    for offer in [
        "x-webkit-deflate-frame",
        "permessage-bzip2",
        "Permessage-Deflate",
    ] {
        assert_eq!(answers(&Deflate::default(), &[offer]), None);
    }
    assert_eq!(answers(&Deflate::default(), &[]), None);
}

#[test]
fn p2_p4_the_servers_window_is_at_most_the_offered_one() {
    let offer = |bits: &str| format!("permessage-deflate; server_max_window_bits={bits}");
    let ten = settings(|it| it.server_max_window_bits = window(10));
    for bits in 9..=15 {
        let (text, least) = (bits.to_string(), bits.min(10));
        let same = format!("; server_max_window_bits={bits}");
        assert_answer(&Deflate::default(), &offer(&text), &same);
        let smaller = format!("; server_max_window_bits={least}");
        assert_answer(&ten, &offer(&text), &smaller);
    }
    let quoted = "; server_max_window_bits=10";
    assert_answer(&Deflate::default(), &offer("\"10\""), quoted);
    assert_answer(&Deflate::default(), &offer("\"1\\0\""), quoted);
    // RFC 7692 section 7.1.2.1: the server may include it unasked.
    assert_answer(&ten, "permessage-deflate", "; server_max_window_bits=10");
    assert_answer(&Deflate::default(), "permessage-deflate", "");
}

#[test]
fn p3_the_clients_window_is_answered_only_where_it_was_offered() {
    let default = Deflate::default();
    let ten = settings(|it| it.client_max_window_bits = window(10));
    let twelve = settings(|it| it.client_max_window_bits = window(12));
    let with = |deflate, value: &str, answer: &str| {
        let offer = format!("permessage-deflate; client_max_window_bits{value}");
        assert_answer(deflate, &offer, answer);
    };
    with(&default, "", "");
    with(&default, "=10", "; client_max_window_bits=10");
    with(&default, "=15", "");
    with(&default, "=8", "");
    with(&ten, "", "; client_max_window_bits=10");
    with(&ten, "=15", "; client_max_window_bits=10");
    with(&ten, "=9", "; client_max_window_bits=9");
    with(&ten, "=8", "");
    with(&twelve, "=10", "; client_max_window_bits=10");
    for deflate in [&default, &ten, &twelve] {
        assert_answer(deflate, "permessage-deflate", "");
    }
}

#[test]
fn takeover_is_answered_as_offered_or_configured() {
    let (server, client) = ("server_no_context_takeover", "client_no_context_takeover");
    let both = format!("; {server}; {client}");
    let offer = |params: &[&str]| ["permessage-deflate", &params.join("; ")].join("; ");
    let default = Deflate::default();
    assert_answer(&default, &offer(&[server]), &format!("; {server}"));
    assert_answer(&default, &offer(&[client]), &format!("; {client}"));
    assert_answer(&default, &offer(&[client, server]), &both);
    assert_answer(&Deflate::shared(), "permessage-deflate", &both);
    assert_answer(&Deflate::shared(), &offer(&[server]), &both);
    let one = settings(|it| it.client_no_context_takeover = true);
    assert_answer(&one, "permessage-deflate", &format!("; {client}"));
}

#[test]
fn p5_the_first_acceptable_offer_is_accepted_once() {
    let default = Deflate::default();
    for offers in [
        "permessage-deflate; bogus, permessage-deflate",
        "permessage-deflate, permessage-deflate",
        "x, permessage-deflate; server_max_window_bits=8, permessage-deflate",
    ] {
        assert_answer(&default, offers, "");
    }
    let offers = "permessage-deflate; server_max_window_bits=12, permessage-deflate";
    assert_answer(&default, offers, "; server_max_window_bits=12");
}

#[test]
fn p6_offers_over_several_lines_are_one_list() {
    let lines = [
        "permessage-deflate; bogus",
        "permessage-deflate; server_max_window_bits=11",
    ];
    let answer = answers(&Deflate::default(), &lines);
    let expected = "permessage-deflate; server_max_window_bits=11";
    assert_eq!(answer.as_deref(), Some(expected));
}

#[test]
fn p6_10_000_offers_are_judged_one_by_one() {
    let line = "permessage-deflate; bogus, ".repeat(10_000) + "permessage-deflate";
    let deflate = Deflate::default();
    let mut offers = parse_extensions([line.as_bytes()]);
    let accepted = offers.find_map(|it| deflate.accept(&it.unwrap()));
    let (response, _) = accepted.expect("the last one");
    assert_eq!(response.to_string(), "permessage-deflate");
    assert!(offers.next().is_none());
}

// ---- the client -----------------------------------------------------------------------------

fn offer(deflate: &Deflate) -> String {
    let offers = deflate.offers();
    assert_eq!(offers.len(), 1);
    offers[0].to_string()
}

#[test]
fn what_a_client_offers() {
    let default = "permessage-deflate; client_max_window_bits";
    assert_eq!(offer(&Deflate::default()), default);
    assert_eq!(
        offer(&Deflate::shared()),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
         client_max_window_bits"
    );
    let windows = settings(|it| {
        it.server_max_window_bits = window(10);
        it.client_max_window_bits = window(9);
    });
    assert_eq!(
        offer(&windows),
        "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9"
    );
}

/// The client's judgement of a response with these header lines, cut in every way.
#[track_caller]
fn judged(deflate: &Deflate, lines: &[&str]) -> Result<(), HandshakeError> {
    let config = config(deflate);
    let handshake = || {
        let (url, mut out) = (Url::parse("ws://example.com/").unwrap(), Vec::new());
        let random = |bytes: &mut [u8]| bytes.fill(b'k');
        let request = ClientRequest::default();
        ClientHandshake::new(
            &url,
            &request,
            config.clone(),
            Box::new(random),
            &mut out,
            START,
        )
        .unwrap()
    };
    let key = harness::handshake::base64(&[b'k'; 16]);
    let mut response = String::from("HTTP/1.1 101 Switching Protocols\r\n");
    response += "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    response += &format!("Sec-WebSocket-Accept: {}\r\n", accept_key(key.as_bytes()));
    for line in lines {
        response += &format!("Sec-WebSocket-Extensions: {line}\r\n");
    }
    response += "\r\n";
    let mut all = Vec::new();
    for pieces in cuts(response.as_bytes()) {
        let judged = judge(handshake(), &pieces);
        all.push(
            judged
                .result
                .map(|it| assert!(it.is_some(), "a whole response")),
        );
    }
    assert!(all.iter().all(|it| *it == all[0]), "{all:?}");
    all.swap_remove(0)
}

#[track_caller]
fn assert_confirms(deflate: &Deflate, params: &str) {
    let line = format!("permessage-deflate{params}");
    assert_eq!(judged(deflate, &[&line]), Ok(()), "{line}");
}

/// The response fails the handshake with a text that names the parameter and a section.
#[track_caller]
fn assert_refuses(deflate: &Deflate, params: &str, name: &str, section: &str) {
    let line = format!("permessage-deflate{params}");
    let error = judged(deflate, &[&line]).expect_err(&line);
    let HandshakeError::Response(error) = error else {
        panic!("{line}: {error:?}")
    };
    let ResponseFault::ExtensionResponse(text) = error.fault else {
        panic!("{line}: {error:?}")
    };
    let section = format!("RFC 7692 section {section})");
    assert!(
        text.contains(name) && text.ends_with(&section),
        "{line}: {text}"
    );
    assert_eq!(error.to_string(), text);
}

#[test]
fn c11_responses_that_fail_the_handshake() {
    let default = Deflate::default();
    let flags = [
        ("server_no_context_takeover", "7.1.1.1"),
        ("client_no_context_takeover", "7.1.1.2"),
    ];
    for (name, section) in flags {
        assert_refuses(&default, &format!("; {name}=1"), name, section);
        assert_refuses(&default, &format!("; {name}; {name}"), name, "7.1");
    }
    let windows = [
        ("server_max_window_bits", "7.1.2.1"),
        ("client_max_window_bits", "7.1.2.2"),
    ];
    for (name, section) in windows {
        for value in ["", "=7", "=16", "=08", "=+9", "=-1", "=9.0", "=\"x\""] {
            assert_refuses(&default, &format!("; {name}{value}"), name, section);
        }
        assert_refuses(&default, &format!("; {name}=10; {name}=10"), name, "7.1");
    }
    assert_refuses(&default, "; bogus", "parameter", "7.1");
    assert_refuses(&default, "; bogus=1", "parameter", "7.1");

    let asks = settings(|it| it.server_no_context_takeover = true);
    assert_refuses(&asks, "", "server_no_context_takeover", "7.1.1.1");
    let asks = settings(|it| it.server_max_window_bits = window(10));
    for params in [
        "",
        "; server_max_window_bits=11",
        "; server_max_window_bits=15",
    ] {
        assert_refuses(&asks, params, "server_max_window_bits", "7.1.2.1");
    }
    let asks = settings(|it| it.client_max_window_bits = window(10));
    let above = "; client_max_window_bits=11";
    assert_refuses(&asks, above, "client_max_window_bits", "7.1.2.2");
}

#[test]
fn c11_two_entries_and_what_was_not_offered() {
    let two = "permessage-deflate, permessage-deflate";
    for (deflate, lines) in [
        (Deflate::default(), &[two][..]),
        (
            Deflate::default(),
            &["permessage-deflate", "permessage-deflate"],
        ),
        (Deflate::default(), &["permessage-deflate, x"]),
        (Deflate::default(), &["x-webkit-deflate-frame"]),
        (Deflate::default(), &["PERMESSAGE-DEFLATE"]),
    ] {
        let error = judged(&deflate, lines).expect_err("a fault");
        let HandshakeError::Response(error) = error else {
            panic!("{error:?}")
        };
        assert_eq!(error.fault, ResponseFault::Extension, "{lines:?}");
    }
}

#[test]
fn responses_that_are_legal() {
    let default = Deflate::default();
    assert_eq!(judged(&default, &[]), Ok(()), "declined");
    for params in [
        "",
        "; server_no_context_takeover",
        "; client_no_context_takeover",
        "; client_no_context_takeover; server_no_context_takeover",
    ] {
        assert_confirms(&default, params);
    }
    for bits in 8..=15 {
        assert_confirms(&default, &format!("; server_max_window_bits={bits}"));
        assert_confirms(&default, &format!("; client_max_window_bits=\"{bits}\""));
    }
    let ten = settings(|it| {
        it.server_max_window_bits = window(10);
        it.client_max_window_bits = window(10);
    });
    for bits in 8..=10 {
        let params = format!("; server_max_window_bits={bits}; client_max_window_bits={bits}");
        assert_confirms(&ten, &params);
    }
    assert_confirms(&Deflate::shared(), "; server_no_context_takeover");
}
