//! The server's opening handshake, over several plain requests up to an upgrade: whole and in
//! pieces, the answers and the output are the same, and the output is responses. Input: limits,
//! flags, cuts, bytes.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use sockeye::proto::http::{HeadLimits, HeadParser, content_length};
use sockeye::proto::{
    Accept, Config, Input, Origins, Received, Request, Responded, Response, ServerHandshake,
};
use sockeye_fuzz::rle::Rle;
use sockeye_fuzz::{Cuts, byte, head, rest};

#[derive(Debug, PartialEq)]
struct Run {
    /// Method and target of each request, and its answer's status.
    requests: Vec<(String, u16)>,
    out: Vec<u8>,
    /// The bytes behind an accepted request; None if it never came to that.
    behind: Option<Vec<u8>>,
}

fn run(config: &Arc<Config>, flags: u8, pieces: Vec<Vec<u8>>) -> Run {
    let now = Duration::ZERO;
    let mut handshake = Some(ServerHandshake::new(Arc::clone(config), now));
    let mut run = Run {
        requests: Vec::new(),
        out: Vec::new(),
        behind: None,
    };
    for mut piece in pieces {
        let mut input = Input::new(&mut piece);
        if let Some(behind) = &mut run.behind {
            behind.extend(input.as_slice());
        }
        while let Some(reading) = handshake.take() {
            assert!(run.behind.is_none());
            let plain = match reading.recv(&mut input, &mut run.out, now) {
                Ok(Received::Incomplete(more)) => {
                    assert!(input.is_empty());
                    let _ = format!("{:?}", more.request());
                    handshake = Some(more);
                    break;
                }
                Ok(Received::Upgrade(upgrade)) => {
                    let request = upgrade.request();
                    assert!(request.is_upgrade());
                    look_at(&request);
                    let name = format!("{} {}", request.method(), request.target());
                    if flags & 1 == 0 {
                        let wanted = request.choose_subprotocol(&["chat", "soap"]);
                        let accept = Accept {
                            subprotocol: wanted,
                            ..Accept::default()
                        };
                        let connection = upgrade.accept(&accept, &mut run.out, now);
                        let connection = connection.expect("an upgrade");
                        assert_eq!(connection.subprotocol(), wanted);
                        run.requests.push((name, 101));
                        run.behind = Some(input.as_slice().to_vec());
                    } else {
                        let (status, response) = response(flags);
                        let rejected = upgrade.reject(&response, &mut run.out, now);
                        rejected.expect("a good response");
                        run.requests.push((name, status));
                    }
                    break;
                }
                Ok(Received::Plain(plain)) => plain,
                Err(refused) => {
                    let error = refused.error();
                    let _ = format!("{error} {error:?} {:?}", refused.request());
                    let status = error.status().expect("a status");
                    run.requests.push((String::new(), status));
                    break;
                }
            };
            let request = plain.request();
            assert!(!request.is_upgrade() && plain.poll_timeout().is_none());
            look_at(&request);
            let name = format!("{} {}", request.method(), request.target());
            let (status, response) = response(flags);
            let before = input.len();
            let responded = plain.respond(&response, &mut run.out, now);
            assert_eq!(before, input.len());
            if let Responded::KeepAlive(next) = responded.expect("a good response") {
                handshake = Some(next);
            }
            run.requests.push((name, status));
        }
    }
    if let Some(handshake) = handshake {
        let deadline = handshake.poll_timeout();
        let early = deadline - Duration::from_nanos(1);
        let handshake = handshake.handle_timeout(early, &mut run.out);
        let handshake = handshake.expect("nothing is due");
        let before = run.out.len();
        let late = handshake.handle_timeout(deadline, &mut run.out);
        assert!(late.is_err());
        if run.out.len() > before {
            run.requests.push((String::new(), 408));
        }
    }
    run
}

fn response(flags: u8) -> (u16, Response<'static>) {
    let status = [200, 204, 404, 426][usize::from(flags >> 1 & 3)];
    let response = Response {
        status,
        headers: &[("X-Test", "1")],
        body: b"body",
    };
    (status, response)
}

/// Calls every reader.
fn look_at(request: &Request<'_>) {
    assert!(request.path().starts_with('/'));
    for (name, value) in request.query_params() {
        assert!(request.query_param(&name).is_some() && value.len() <= request.target().len() * 3);
    }
    for extension in request.extensions() {
        let _ = extension.to_string();
    }
    let _ = Origins::only(["https://example.com"]).allow(request);
    let _ = (request.version(), request.host(), request.origin());
    let _ = request.subprotocols().count();
    let _ = format!("{request:?}");
}

/// The output is one response for each request, and nothing else.
fn check_output(run: &Run) {
    let mut out = &*run.out;
    for (request, status) in &run.requests {
        let mut parser = HeadParser::response(HeadLimits::default());
        let length = parser.parse(out).expect("a head").expect("a whole one");
        let response = parser.response_head(out).expect("a response");
        assert_eq!(response.status, *status);
        let headers = response.headers;
        let body = content_length(headers).expect("a good length").unwrap_or(0);
        // A refused HEAD has no name here; its answer is the last and ends with the head.
        let head_only = request.is_empty() && out.len() == length;
        let bodyless = head_only || request.starts_with("HEAD ") || matches!(status, 101 | 204);
        let body = if bodyless { 0 } else { body as usize };
        assert_eq!(
            headers.contains_token("upgrade", "websocket"),
            matches!(status, 101 | 426)
        );
        out = &out[length + body..];
    }
    assert!(out.is_empty(), "more than the responses");
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let mut config = Config::default();
    config.head = head::limits(&mut u);
    let flags = byte(&mut u);
    if flags & 0x80 != 0 {
        config.extensions.push(Rle::shared());
    }
    let config = Arc::new(config);
    let cuts = Cuts::read(&mut u);
    let bytes = rest(&mut u);

    let whole = run(&config, flags, vec![bytes.to_vec()]);
    let pieces = run(&config, flags, cuts.pieces(bytes));
    assert_eq!(whole, pieces, "the cuts matter");
    check_output(&whole);
});
