//! A request is answered once, and nothing of the opening handshake shows a credential.

use harness::handshake::*;
use sockeye::error::Misuse;
use sockeye::proto::{
    Accept, ClientRequest, Input, Linger, PlainRequest, ReadBody, Received, Response,
    ServerHandshake, Teardown, Unanswered,
};

/// What a server that stops says.
const STOPS: Response<'_> = Response {
    status: 503,
    headers: &[("Retry-After", "5")],
    body: b"the server stops",
};

#[track_caller]
fn assert_interrupted<R>(
    reject: impl FnOnce(&Response<'_>, &mut Vec<u8>) -> Result<Linger, Unanswered<R>>,
    body: &[u8],
) {
    let mut out = Vec::new();
    let linger = reject(&STOPS, &mut out).unwrap();
    assert_eq!(linger.teardown(), Teardown::HalfClose);
    let answer = Answer::read(&out);
    assert_eq!((answer.status, &*answer.body), (503, body));
    assert_eq!(answer.header("Connection"), Some("close"));
    assert_eq!(answer.header("Retry-After"), Some("5"));
}

/// The body of a request that is being read.
#[track_caller]
fn upload() -> PlainRequest {
    let upload = taken_as_plain(&plain("POST / HTTP/1.1").add("Content-Length", "9"));
    let (mut part, mut out) = (*b"part", Vec::new());
    match upload.read_body(9, &mut Input::new(&mut part), &mut out, START) {
        Ok(ReadBody::Incomplete(request)) => request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn whatever_request_is_under_way_is_interrupted_once() {
    // An upgrade cut anywhere, and whole.
    let bytes = upgrade().bytes();
    for end in 1..bytes.len() {
        let handshake = serve(&config(), &[bytes[..end].to_vec()]).incomplete();
        assert_interrupted(
            |it, out| {
                let linger = handshake.reject(it, out, START)?;
                Ok::<_, Unanswered<ServerHandshake>>(linger.expect("a request under way"))
            },
            STOPS.body,
        );
    }
    let upgrade = accepted(&upgrade());
    assert_interrupted(|it, out| upgrade.reject(it, out, START), STOPS.body);
    let upload = upload();
    assert_interrupted(|it, out| upload.reject(it, out, START), STOPS.body);
    let head = taken_as_plain(&plain("HEAD / HTTP/1.1"));
    assert_interrupted(|it, out| head.reject(it, out, START), b"");
}

#[test]
fn a_transport_without_a_request_has_nothing_to_be_interrupted() {
    let mut out = Vec::new();
    let idle = ServerHandshake::new(config(), START);
    assert!(idle.is_idle());
    assert!(idle.reject(&STOPS, &mut out, START).unwrap().is_none());
    let kept = taken_as_plain(&plain("GET / HTTP/1.1"));
    let kept = next(kept.respond(&Response::status(204), &mut out, START)).unwrap();
    out.clear();
    assert!(kept.is_idle());
    assert!(kept.reject(&STOPS, &mut out, START).unwrap().is_none());
    // What can't be sent changes nothing.
    let half = serve(&config(), &[b"GET".to_vec()]).incomplete();
    assert!(!half.is_idle());
    let bad = half.reject(&Response::status(101), &mut out, START);
    let unanswered = bad.unwrap_err();
    assert_eq!(unanswered.misuse(), &Misuse::Status(101));
    assert_eq!(out, b"");
    let half = unanswered.into_request();
    let linger = half.reject(&STOPS, &mut out, START).unwrap();
    assert!(linger.is_some());
    assert_eq!(Answer::read(&out).status, 503);
}

#[test]
fn an_answer_that_cant_be_sent_leaves_the_request_to_be_answered() {
    let (mut out, handshake) = (Vec::new(), accepted(&upgrade()));
    let bad = Accept {
        headers: &[("X", "a\r\nb")],
        ..Accept::default()
    };
    let unanswered = handshake.accept(&bad, &mut out, START).unwrap_err();
    let handshake = unanswered.into_request();
    let unanswered = handshake.reject(&Response::status(101), &mut out, START);
    let handshake = unanswered.unwrap_err().into_request();
    assert_eq!(out, b"");
    let accepted = handshake.accept(&Accept::default(), &mut out, START);
    assert!(accepted.is_ok());
}

#[test]
fn a_plain_request_is_answered_once_and_so_is_the_next() {
    let mut handshake = ServerHandshake::new(config(), START);
    let mut out = Vec::new();
    for last in [false, false, true] {
        let request = plain("GET / HTTP/1.1");
        let request = match last {
            true => request.add("Connection", "close"),
            false => request,
        };
        let served = serve_on(handshake, &[request.bytes()]);
        match next(
            served
                .plain()
                .respond(&Response::status(200), &mut out, START),
        ) {
            Some(kept) => handshake = kept,
            None => {
                assert!(last);
                return;
            }
        }
        assert!(!last);
    }
}

/// An upgrade that is decided elsewhere goes there with its request, and comes back.
#[test]
fn an_upgrade_can_be_decided_on_another_thread() {
    let upgrade = accepted(&upgrade());
    let (upgrade, path) = std::thread::spawn(move || {
        let path = upgrade.request().path().to_owned();
        (upgrade, path)
    })
    .join()
    .unwrap();
    assert_eq!(path, "/chat");
    let mut out = Vec::new();
    let accepted = upgrade.accept(&Accept::default(), &mut out, START * 2);
    assert!(accepted.unwrap().is_open());
}

#[test]
fn debug_shows_no_value_of_a_header_and_no_body() {
    let headers = [("Authorization", "secret"), ("Cookie", "secret")];
    let response = Response {
        status: 200,
        headers: &headers,
        body: b"secret",
    };
    let accept = Accept {
        headers: &headers,
        ..Accept::default()
    };
    let request = ClientRequest {
        headers: headers
            .map(|(name, value)| (name.into(), value.into()))
            .to_vec(),
        ..ClientRequest::default()
    };
    let mut shown = format!("{response:?} {accept:?} {request:?}");
    #[cfg(feature = "client")]
    {
        let mut options = sockeye::client::ConnectOptions::default();
        options.request = request;
        shown += &format!("{options:?}");
    }
    assert!(shown.contains("Authorization") && shown.contains("Cookie"));

    let mut handshake = ServerHandshake::new(config(), START);
    let text = plain("POST / HTTP/1.1")
        .add("Cookie", "secret")
        .add("Content-Length", "7");
    let mut bytes = text.behind("secret").bytes();
    let (start, rest) = bytes.split_at_mut(60);
    let (mut input, mut out) = (Input::new(start), Vec::new());
    handshake = match handshake.recv(&mut input, &mut out, START) {
        Ok(Received::Incomplete(more)) => more,
        other => panic!("{other:?}"),
    };
    shown += &format!("{handshake:?} {:?}", handshake.request());
    let mut input = Input::new(rest);
    let Ok(Received::Plain(request)) = handshake.recv(&mut input, &mut out, START) else {
        panic!("a whole request");
    };
    shown += &format!("{request:?} {:?}", request.request());
    let request = match request.read_body(7, &mut input, &mut out, START) {
        Ok(ReadBody::Incomplete(request)) => request,
        other => panic!("{other:?}"),
    };
    shown += &format!("{request:?}");
    let mut last = *b"!";
    let whole = request.read_body(7, &mut Input::new(&mut last), &mut out, START);
    assert!(matches!(whole, Ok(ReadBody::Complete(_))));
    shown += &format!(
        "{whole:?} {:?}",
        accepted(&upgrade().add("Cookie", "secret"))
    );
    let refused = serve(
        &config(),
        &[upgrade().add("Cookie", "secret").add("Host", "b").bytes()],
    );
    shown += &format!("{:?}", refused.result);
    let bytes = format!("{:?}", b"secret");
    let bytes = bytes.trim_matches(['[', ']']);
    assert!(
        !shown.contains("secret") && !shown.contains(bytes),
        "{shown}"
    );
}
