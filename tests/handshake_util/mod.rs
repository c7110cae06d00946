//! What the handshake's test files share: requests to bend, the three ways to cut bytes, the
//! drivers that compare them, and a naive reader that owes nothing to the crate.

#![allow(dead_code, reason = "each test file uses its own part")]
use core::time::Duration;
use std::sync::{Arc, Mutex};

use sockeye::error::HandshakeError;
use sockeye::proto::{
    Accept, ClientHandshake, Config, Connection, Event, Input, PlainRequest, Received, Refused,
    Responded, ServerHandshake, Teardown, Unanswered, Upgrade,
};

mod keys;
mod xor;

#[allow(unused_imports, reason = "each test file uses its own part")]
pub(crate) use self::{
    keys::{accept_key, base64, sha1},
    xor::Xor,
};

/// The key of the example in RFC 6455 section 1.3.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

pub(crate) const START: Duration = Duration::from_secs(100);

pub(crate) fn config() -> Arc<Config> {
    Arc::new(Config::default())
}

pub(crate) fn config_with(change: impl FnOnce(&mut Config)) -> Arc<Config> {
    let mut config = Config::default();
    change(&mut config);
    Arc::new(config)
}

/// SplitMix64: enough to cut bytes and to draw keys, the same in every run.
#[derive(Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.next() as u8;
        }
    }
}

/// Whole, byte by byte, and at random places: as lists of pieces.
pub(crate) fn cuts(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut all = vec![
        vec![bytes.to_vec()],
        bytes.iter().map(|byte| vec![*byte]).collect(),
    ];
    for seed in 0..3 {
        all.push(random_cut(bytes, &mut Rng(seed ^ bytes.len() as u64)));
    }
    all
}

/// Pieces of 0 to about 40 bytes, or in one of four cases up to the whole.
pub(crate) fn random_cut(mut bytes: &[u8], rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let most = if rng.below(4) == 0 { bytes.len() } else { 40 };
        let (piece, rest) = bytes.split_at(rng.below(most + 1).min(bytes.len()));
        pieces.push(piece.to_vec());
        bytes = rest;
    }
    pieces
}

/// A request as text, to be bent line by line.
#[derive(Clone)]
pub(crate) struct Text {
    pub(crate) start: Vec<u8>,
    pub(crate) lines: Vec<Vec<u8>>,
    pub(crate) behind: Vec<u8>,
}

/// The opening handshake that every case starts from.
pub(crate) fn upgrade() -> Text {
    plain("GET /chat HTTP/1.1")
        .add("Upgrade", "websocket")
        .add("Connection", "Upgrade")
        .add("Sec-WebSocket-Key", KEY)
        .add("Sec-WebSocket-Version", "13")
}

/// A plain request with a Host.
pub(crate) fn plain(start: &str) -> Text {
    Text {
        start: start.into(),
        lines: Vec::new(),
        behind: Vec::new(),
    }
    .add("Host", "example.com")
}

impl Text {
    pub(crate) fn start(mut self, start: impl AsRef<[u8]>) -> Self {
        self.start = start.as_ref().to_vec();
        self
    }

    /// Another target, the method and version stay.
    pub(crate) fn target(self, target: impl AsRef<[u8]>) -> Self {
        self.start([b"GET ", target.as_ref(), b" HTTP/1.1"].concat())
    }

    pub(crate) fn add(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let line = [name.as_bytes(), b": ", value.as_ref()].concat();
        self.line(line)
    }

    /// A whole line as it is, without its CR LF.
    pub(crate) fn line(mut self, line: impl AsRef<[u8]>) -> Self {
        self.lines.push(line.as_ref().to_vec());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        let prefix = format!("{name}:").to_ascii_lowercase();
        self.lines
            .retain(|line| !line.to_ascii_lowercase().starts_with(prefix.as_bytes()));
        self
    }

    pub(crate) fn set(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).add(name, value)
    }

    /// Bytes behind the head.
    pub(crate) fn behind(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.behind = bytes.as_ref().to_vec();
        self
    }

    pub(crate) fn head(&self) -> Vec<u8> {
        let mut bytes = [&*self.start, b"\r\n"].concat();
        for line in &self.lines {
            bytes.extend_from_slice(line);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head(), self.behind.clone()].concat()
    }
}

/// What a server's handshake has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Incomplete,
    Upgrade,
    Plain,
}

/// A server's handshake after it was given pieces up to its first answer.
pub(crate) struct Served {
    pub(crate) result: Result<Received, Refused>,
    pub(crate) out: Vec<u8>,
    /// Bytes consumed over all pieces.
    pub(crate) consumed: usize,
    /// What was not consumed of the piece that brought the answer, and all pieces behind it.
    pub(crate) rest: Vec<u8>,
}

impl Served {
    pub(crate) fn kind(&self) -> Result<Kind, HandshakeError> {
        kind(&self.result)
    }

    #[track_caller]
    pub(crate) fn incomplete(self) -> ServerHandshake {
        match self.result {
            Ok(Received::Incomplete(handshake)) => handshake,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn upgrade(self) -> Upgrade {
        match self.result {
            Ok(Received::Upgrade(upgrade)) => upgrade,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn plain(self) -> PlainRequest {
        match self.result {
            Ok(Received::Plain(request)) => request,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn kind(result: &Result<Received, Refused>) -> Result<Kind, HandshakeError> {
    match result {
        Ok(Received::Incomplete(_)) => Ok(Kind::Incomplete),
        Ok(Received::Upgrade(_)) => Ok(Kind::Upgrade),
        Ok(Received::Plain(_)) => Ok(Kind::Plain),
        Err(refused) => Err(refused.error().clone()),
    }
}

/// The handshake of the next request on a transport that is kept; None where it is closed.
#[track_caller]
pub(crate) fn next(
    responded: Result<Responded, Unanswered<PlainRequest>>,
) -> Option<ServerHandshake> {
    match responded {
        Ok(Responded::KeepAlive(handshake)) => Some(handshake),
        Ok(Responded::Close(linger)) => {
            assert_eq!(linger.teardown(), Teardown::HalfClose);
            None
        }
        Err(unanswered) => panic!("{unanswered}"),
    }
}

/// Gives a new handshake the pieces, up to its answer.
pub(crate) fn serve(config: &Arc<Config>, pieces: &[Vec<u8>]) -> Served {
    let handshake = ServerHandshake::new(Arc::clone(config), START);
    serve_on(handshake, pieces)
}

pub(crate) fn serve_on(mut handshake: ServerHandshake, pieces: &[Vec<u8>]) -> Served {
    let mut out = Vec::new();
    let mut consumed = 0;
    for (at, piece) in pieces.iter().enumerate() {
        let mut buffer = piece.clone();
        let mut input = Input::new(&mut buffer);
        let result = handshake.recv(&mut input, &mut out, START);
        consumed += input.consumed();
        if let Ok(Received::Incomplete(more)) = result {
            assert!(
                input.is_empty(),
                "incomplete means that all input was consumed"
            );
            assert!(out.is_empty(), "nothing is answered before the head is");
            handshake = more;
            continue;
        }
        let mut rest = input.as_slice().to_vec();
        rest.extend(pieces[at + 1..].concat());
        return Served {
            result,
            out,
            consumed,
            rest,
        };
    }
    Served {
        result: Ok(Received::Incomplete(handshake)),
        out,
        consumed,
        rest: Vec::new(),
    }
}

/// An HTTP response, read naively.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|it| it == b"\r\n\r\n")
            .expect("a whole response head");
        let head = core::str::from_utf8(&bytes[..end]).expect("an ASCII head");
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap();
        let status = start.strip_prefix("HTTP/1.1 ").expect("HTTP/1.1");
        assert_eq!(status.as_bytes()[3], b' ', "{start:?}");
        Self {
            status: status[..3].parse().unwrap(),
            headers: lines
                .map(|line| {
                    assert!(!line.contains(['\r', '\n']), "{line:?}");
                    let (name, value) = line.split_once(": ").expect("name: value");
                    (name.into(), value.into())
                })
                .collect(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    /// The value of the only header of this name; None where there is none.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} twice: {self:?}");
        Some(&value.1)
    }

    pub(crate) fn has_token(&self, name: &str, token: &str) -> bool {
        self.header(name).is_some_and(|value| {
            value
                .split(',')
                .any(|it| it.trim().eq_ignore_ascii_case(token))
        })
    }
}

/// A refusal, and what the client gets.
pub(crate) struct Refusal {
    pub(crate) error: HandshakeError,
    pub(crate) answer: Answer,
}

/// Proves that a server refuses these bytes, the same however they are cut: one response, which
/// announces the close and has its whole body, an error that consumes the handshake, and with it
/// every way to a 101.
#[track_caller]
pub(crate) fn refused(bytes: impl AsRef<[u8]>) -> Refusal {
    refused_by(&config(), bytes.as_ref())
}

#[track_caller]
pub(crate) fn refused_by(config: &Arc<Config>, bytes: &[u8]) -> Refusal {
    let mut first: Option<(HandshakeError, Vec<u8>)> = None;
    for pieces in cuts(bytes) {
        let served = serve(config, &pieces);
        let refused = match served.result {
            Err(refused) => refused,
            other => panic!("{other:?} for {}", bytes.escape_ascii()),
        };
        assert_eq!(refused.teardown(), Teardown::HalfClose);
        let outcome = (refused.into_error(), served.out);
        match &first {
            None => first = Some(outcome),
            Some(first) => assert_eq!(first, &outcome, "cut into {}", pieces.len()),
        }
    }
    let (error, out) = first.unwrap();
    let answer = Answer::read(&out);
    assert_eq!(error.status(), Some(answer.status), "{error}");
    assert!((400..600).contains(&answer.status));
    assert!(answer.has_token("Connection", "close"), "{answer:?}");
    if !bytes.starts_with(b"HEAD ") {
        let length = answer.body.len().to_string();
        assert_eq!(answer.header("Content-Length"), Some(&*length));
    }
    assert!(
        !contains(&out, b" 101 "),
        "no 101 anywhere in {}",
        out.escape_ascii()
    );
    Refusal { error, answer }
}

pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|it| it == part)
}

/// Proves that a server takes these bytes for an opening handshake and answers 101 with the
/// right accept key, the same however they are cut, consuming the head and no more. Returns an
/// upgrade that was given the bytes whole and is not answered yet.
#[track_caller]
pub(crate) fn accepted(text: &Text) -> Upgrade {
    accepted_by(&config(), text)
}

#[track_caller]
pub(crate) fn accepted_by(config: &Arc<Config>, text: &Text) -> Upgrade {
    let (head, bytes) = (text.head(), text.bytes());
    for pieces in cuts(&bytes) {
        let served = serve(config, &pieces);
        assert_eq!(served.kind(), Ok(Kind::Upgrade), "{}", bytes.escape_ascii());
        assert!(served.out.is_empty());
        assert_eq!(served.consumed, head.len());
        assert_eq!(served.rest, text.behind);
        let upgrade = served.upgrade();
        assert!(upgrade.request().is_upgrade());
        let mut out = Vec::new();
        let connection = upgrade
            .accept(&Accept::default(), &mut out, START)
            .expect("a 101");
        assert!(connection.is_open());
        assert_proper_101(&out, &key_of(text));
    }
    serve(config, &[bytes]).upgrade()
}

/// The key's line, read naively.
pub(crate) fn key_of(text: &Text) -> Vec<u8> {
    let name = b"sec-websocket-key:";
    let line = text
        .lines
        .iter()
        .find(|line| line.to_ascii_lowercase().starts_with(name))
        .expect("a key");
    line[name.len()..].trim_ascii().to_vec()
}

pub(crate) fn assert_proper_101(out: &[u8], key: &[u8]) {
    assert!(out.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
    let answer = Answer::read(out);
    assert_eq!(answer.header("Upgrade"), Some("websocket"));
    assert_eq!(answer.header("Connection"), Some("Upgrade"));
    assert_eq!(
        answer.header("Sec-WebSocket-Accept"),
        Some(&*accept_key(key))
    );
    // RFC 9110 section 8.6: no Content-Length in a 1xx; section 6.1 of RFC 9112 for the other.
    assert_eq!(answer.header("Content-Length"), None);
    assert_eq!(answer.header("Transfer-Encoding"), None);
    assert!(answer.body.is_empty());
}

/// Proves that a server takes these bytes for a plain request, however they are cut: so it can't be
/// accepted. Returns a request that was given the bytes whole.
#[track_caller]
pub(crate) fn taken_as_plain(text: &Text) -> PlainRequest {
    let (head, bytes) = (text.head(), text.bytes());
    let mut whole = None;
    for pieces in cuts(&bytes) {
        let served = serve(&config(), &pieces);
        assert_eq!(served.kind(), Ok(Kind::Plain), "{}", bytes.escape_ascii());
        assert!(served.out.is_empty());
        assert_eq!(served.consumed, head.len());
        assert_eq!(served.rest, text.behind);
        let request = served.plain();
        assert!(!request.request().is_upgrade());
        whole.get_or_insert(request);
    }
    whole.unwrap()
}

/// One test for each line, of the form `name: expression;`.
#[macro_export]
macro_rules! cases {
    ($($name:ident: $body:expr;)*) => { $(#[test] fn $name() { $body })* };
}

/// Drives a connection over all of `bytes`; the messages' bytes, or the close code it failed
/// with.
pub(crate) fn messages(
    connection: &mut Connection,
    pieces: &[Vec<u8>],
    out: &mut Vec<u8>,
) -> Result<Vec<Vec<u8>>, u16> {
    let mut messages = Vec::new();
    for piece in pieces {
        let mut buffer = piece.clone();
        let mut input = Input::new(&mut buffer);
        loop {
            match connection.recv(&mut input, out, START) {
                Ok(Some(Event::Message(message))) => messages.push(message.as_bytes().to_vec()),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(fault) => return Err(fault.close_code().0),
            }
        }
    }
    Ok(messages)
}

/// A frame with FIN, masked as a client's where there is a key; up to 65535 bytes.
pub(crate) fn frame(opcode: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mask = if key.is_some() { 0x80 } else { 0 };
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => bytes.push(mask | length as u8),
        length => {
            bytes.push(mask | 126);
            bytes.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    bytes.extend_from_slice(key.as_ref().map_or(&[][..], |key| &key[..]));
    let key = key.unwrap_or_default();
    let masked = payload.iter().enumerate();
    bytes.extend(masked.map(|(at, byte)| byte ^ key[at % 4]));
    bytes
}

/// A source whose first 16 bytes make the key of RFC 6455 section 1.3.
pub(crate) fn sample(bytes: &mut [u8]) {
    let nonce = b"the sample nonce";
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = nonce[at % nonce.len()];
    }
}

/// A source that keeps a log of what was drawn, a draw an entry.
#[derive(Clone)]
pub(crate) struct Source {
    state: Arc<Mutex<(Rng, Vec<Vec<u8>>)>>,
}

impl Source {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new((Rng(seed), Vec::new()))),
        }
    }

    pub(crate) fn boxed(&self) -> Box<dyn sockeye::proto::RandomSource> {
        let state = Arc::clone(&self.state);
        Box::new(move |bytes: &mut [u8]| {
            let (rng, log) = &mut *state.lock().unwrap();
            rng.fill(bytes);
            log.push(bytes.to_vec());
        })
    }

    pub(crate) fn take_log(&self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.state.lock().unwrap().1)
    }
}

/// A client's handshake after it was given pieces up to its first answer.
pub(crate) struct Judged {
    pub(crate) handshake: ClientHandshake,
    pub(crate) result: Result<Option<Connection>, HandshakeError>,
    pub(crate) consumed: usize,
    pub(crate) rest: Vec<u8>,
}

/// Gives a client's handshake the pieces, up to its answer.
pub(crate) fn judge(mut handshake: ClientHandshake, pieces: &[Vec<u8>]) -> Judged {
    let mut consumed = 0;
    for (at, piece) in pieces.iter().enumerate() {
        let mut buffer = piece.clone();
        let mut input = Input::new(&mut buffer);
        let result = handshake.recv(&mut input, START);
        consumed += input.consumed();
        if let Ok(None) = result {
            assert!(input.is_empty(), "None means that all input was consumed");
            continue;
        }
        let mut rest = input.as_slice().to_vec();
        rest.extend(pieces[at + 1..].concat());
        return Judged {
            handshake,
            result,
            consumed,
            rest,
        };
    }
    Judged {
        handshake,
        result: Ok(None),
        consumed,
        rest: Vec::new(),
    }
}
