//! What the handshake's test files share: requests to modify, the three ways to split bytes, the
//! drivers that compare them, and a simple reader that is independent of the crate.

use core::time::Duration;
use std::sync::{Arc, Mutex};

use sockeye::error::HandshakeError;
use sockeye::proto::{
    Accept, ClientHandshake, Config, Connection, Event, Input, PlainRequest, Received, Refused,
    Responded, ServerHandshake, Teardown, Unanswered, Upgrade,
};

mod keys;
mod xor;

pub use self::{
    keys::{accept_key, base64, sha1},
    xor::Xor,
};
pub use crate::{Seeded, cases};

/// The key of the example in RFC 6455 section 1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

pub const START: Duration = Duration::from_secs(100);

pub fn config() -> Arc<Config> {
    Arc::new(Config::default())
}

pub fn config_with(change: impl FnOnce(&mut Config)) -> Arc<Config> {
    let mut config = Config::default();
    change(&mut config);
    Arc::new(config)
}

/// Whole, byte by byte, and at random places: as lists of pieces.
pub fn cuts(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut all = vec![
        vec![bytes.to_vec()],
        bytes.iter().map(|byte| vec![*byte]).collect(),
    ];
    for seed in 0..3 {
        all.push(random_cut(bytes, &mut Seeded(seed ^ bytes.len() as u64)));
    }
    all
}

/// Pieces of 0 to about 40 bytes, or in one of four cases up to the whole.
pub fn random_cut(mut bytes: &[u8], rng: &mut Seeded) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    while !bytes.is_empty() {
        let most = if rng.below(4) == 0 { bytes.len() } else { 40 };
        let (piece, rest) = bytes.split_at(rng.below(most + 1).min(bytes.len()));
        pieces.push(piece.to_vec());
        bytes = rest;
    }
    pieces
}

/// A request as text, whose lines can be changed one by one.
#[derive(Clone)]
pub struct Text {
    pub start: Vec<u8>,
    pub lines: Vec<Vec<u8>>,
    pub behind: Vec<u8>,
}

/// The opening handshake from which every case starts.
pub fn upgrade() -> Text {
    plain("GET /chat HTTP/1.1")
        .add("Upgrade", "websocket")
        .add("Connection", "Upgrade")
        .add("Sec-WebSocket-Key", KEY)
        .add("Sec-WebSocket-Version", "13")
}

/// A plain request with a Host.
pub fn plain(start: &str) -> Text {
    Text {
        start: start.into(),
        lines: Vec::new(),
        behind: Vec::new(),
    }
    .add("Host", "example.com")
}

impl Text {
    pub fn start(mut self, start: impl AsRef<[u8]>) -> Self {
        self.start = start.as_ref().to_vec();
        self
    }

    /// Sets another target; the method and version stay.
    pub fn target(self, target: impl AsRef<[u8]>) -> Self {
        self.start([b"GET ", target.as_ref(), b" HTTP/1.1"].concat())
    }

    pub fn add(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let line = [name.as_bytes(), b": ", value.as_ref()].concat();
        self.line(line)
    }

    /// Adds a whole line as it is, without its CR LF.
    pub fn line(mut self, line: impl AsRef<[u8]>) -> Self {
        self.lines.push(line.as_ref().to_vec());
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        let prefix = format!("{name}:").to_ascii_lowercase();
        self.lines
            .retain(|line| !line.to_ascii_lowercase().starts_with(prefix.as_bytes()));
        self
    }

    pub fn set(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).add(name, value)
    }

    /// Adds bytes behind the head.
    pub fn behind(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.behind = bytes.as_ref().to_vec();
        self
    }

    pub fn head(&self) -> Vec<u8> {
        let mut bytes = [&*self.start, b"\r\n"].concat();
        for line in &self.lines {
            bytes.extend_from_slice(line);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    pub fn bytes(&self) -> Vec<u8> {
        [self.head(), self.behind.clone()].concat()
    }
}

/// The state of a server's handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Incomplete,
    Upgrade,
    Plain,
}

/// A server's handshake after it was given pieces up to its first result.
pub struct Served {
    pub result: Result<Received, Refused>,
    pub out: Vec<u8>,
    /// Bytes consumed over all pieces.
    pub consumed: usize,
    /// What was not consumed of the piece that brought the result, and all pieces behind it.
    pub rest: Vec<u8>,
}

impl Served {
    pub fn kind(&self) -> Result<Kind, HandshakeError> {
        kind(&self.result)
    }

    #[track_caller]
    pub fn incomplete(self) -> ServerHandshake {
        match self.result {
            Ok(Received::Incomplete(handshake)) => handshake,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn upgrade(self) -> Upgrade {
        match self.result {
            Ok(Received::Upgrade(upgrade)) => upgrade,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub fn plain(self) -> PlainRequest {
        match self.result {
            Ok(Received::Plain(request)) => request,
            other => panic!("{other:?}"),
        }
    }
}

pub fn kind(result: &Result<Received, Refused>) -> Result<Kind, HandshakeError> {
    match result {
        Ok(Received::Incomplete(_)) => Ok(Kind::Incomplete),
        Ok(Received::Upgrade(_)) => Ok(Kind::Upgrade),
        Ok(Received::Plain(_)) => Ok(Kind::Plain),
        Err(refused) => Err(refused.error().clone()),
    }
}

/// Returns the handshake of the next request on a transport that is kept; None if it is closed.
#[track_caller]
pub fn next(responded: Result<Responded, Unanswered<PlainRequest>>) -> Option<ServerHandshake> {
    match responded {
        Ok(Responded::KeepAlive(handshake)) => Some(handshake),
        Ok(Responded::Close(linger)) => {
            assert_eq!(linger.teardown(), Teardown::HalfClose);
            None
        }
        Err(unanswered) => panic!("{unanswered}"),
    }
}

/// Gives the pieces to a new handshake, up to its result.
pub fn serve(config: &Arc<Config>, pieces: &[Vec<u8>]) -> Served {
    let handshake = ServerHandshake::new(Arc::clone(config), START);
    serve_on(handshake, pieces)
}

pub fn serve_on(mut handshake: ServerHandshake, pieces: &[Vec<u8>]) -> Served {
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

/// An HTTP response, read by a simple reader.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn read(bytes: &[u8]) -> Self {
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

    /// Returns the value of the only header of this name; None if there is none.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} twice: {self:?}");
        Some(&value.1)
    }

    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.header(name).is_some_and(|value| {
            value
                .split(',')
                .any(|it| it.trim().eq_ignore_ascii_case(token))
        })
    }
}

/// A refusal, and what the client gets.
pub struct Refusal {
    pub error: HandshakeError,
    pub answer: Answer,
}

/// Asserts that a server refuses these bytes, the same however they are split: one response, which
/// announces the close and has its whole body, and an error that consumes the handshake, and with
/// it every way to a 101.
#[track_caller]
pub fn refused(bytes: impl AsRef<[u8]>) -> Refusal {
    refused_by(&config(), bytes.as_ref())
}

#[track_caller]
pub fn refused_by(config: &Arc<Config>, bytes: &[u8]) -> Refusal {
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

pub fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|it| it == part)
}

/// Asserts that a server takes these bytes for an opening handshake and responds with 101 and the
/// right accept key, the same however they are split, consuming the head and no more. Returns an
/// upgrade that was given the bytes whole and has no response yet.
#[track_caller]
pub fn accepted(text: &Text) -> Upgrade {
    accepted_by(&config(), text)
}

#[track_caller]
pub fn accepted_by(config: &Arc<Config>, text: &Text) -> Upgrade {
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

/// Finds the key's line.
pub fn key_of(text: &Text) -> Vec<u8> {
    let name = b"sec-websocket-key:";
    let line = text
        .lines
        .iter()
        .find(|line| line.to_ascii_lowercase().starts_with(name))
        .expect("a key");
    line[name.len()..].trim_ascii().to_vec()
}

pub fn assert_proper_101(out: &[u8], key: &[u8]) {
    assert!(out.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
    let answer = Answer::read(out);
    assert_eq!(answer.header("Upgrade"), Some("websocket"));
    assert_eq!(answer.header("Connection"), Some("Upgrade"));
    assert_eq!(
        answer.header("Sec-WebSocket-Accept"),
        Some(&*accept_key(key))
    );
    // RFC 9110 section 8.6: no Content-Length in a 1xx; RFC 9112 section 6.1: no Transfer-Encoding.
    assert_eq!(answer.header("Content-Length"), None);
    assert_eq!(answer.header("Transfer-Encoding"), None);
    assert!(answer.body.is_empty());
}

/// Asserts that a server takes these bytes for a plain request, however they are split, so that it
/// can't be accepted. Returns a request that was given the bytes whole.
#[track_caller]
pub fn taken_as_plain(text: &Text) -> PlainRequest {
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

/// Defines one test for each line, of the form `name: expression;`.
#[macro_export]
macro_rules! cases {
    ($($name:ident: $body:expr;)*) => { $(#[test] fn $name() { $body })* };
}

/// Drives a connection over all of `bytes`; returns the messages' bytes, or the close code with
/// which it failed.
pub fn messages(
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

/// A frame with FIN, masked like a client's if there is a key; up to 65535 bytes.
pub fn frame(opcode: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
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
pub fn sample(bytes: &mut [u8]) {
    let nonce = b"the sample nonce";
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = nonce[at % nonce.len()];
    }
}

/// A source that logs what is drawn, one entry per draw.
#[derive(Clone)]
pub struct Source {
    state: Arc<Mutex<(Seeded, Vec<Vec<u8>>)>>,
}

impl Source {
    pub fn new(seed: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new((Seeded(seed), Vec::new()))),
        }
    }

    pub fn boxed(&self) -> Box<dyn sockeye::proto::RandomSource> {
        let state = Arc::clone(&self.state);
        Box::new(move |bytes: &mut [u8]| {
            let (rng, log) = &mut *state.lock().unwrap();
            rng.fill(bytes);
            log.push(bytes.to_vec());
        })
    }

    pub fn take_log(&self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.state.lock().unwrap().1)
    }
}

/// A client's handshake after it was given pieces up to its first result.
pub struct Judged {
    pub handshake: ClientHandshake,
    pub result: Result<Option<Connection>, HandshakeError>,
    pub consumed: usize,
    pub rest: Vec<u8>,
}

/// Gives the pieces to a client's handshake, up to its result.
pub fn judge(mut handshake: ClientHandshake, pieces: &[Vec<u8>]) -> Judged {
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
