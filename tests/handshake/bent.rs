//! Requests and responses bent at random: nothing panics, the outcome doesn't depend on how the
//! bytes are cut, and only what a simple checker finds proper becomes a connection. The seed is
//! fixed.

use core::net::Ipv6Addr;

use harness::handshake::{Seeded, *};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sockeye::proto::{Accept, ClientHandshake, ClientRequest, Url};

fn runs(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(0x50C6_E1E5),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A header line of a head that is well formed so far.
type Line<'a> = (&'a [u8], &'a [u8]);

/// The lines of a head, None where it doesn't end or holds control bytes.
fn lines(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
    let mut lines = Vec::new();
    let mut rest = &bytes[..end + 2];
    while let Some(end) = rest.windows(2).position(|it| it == b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    let text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    lines
        .iter()
        .all(|line| line.iter().all(text))
        .then_some(lines)
}

/// Whether bytes begin with a proper opening handshake: docs/cases.md H1 to H15 and RFC 6455
/// section 4.2.1, as simple as can be. Extensions are not looked at.
fn proper(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    let Some(lines) = lines(bytes) else {
        return false;
    };
    let start: Vec<&[u8]> = lines[0].split(|byte| *byte == b' ').collect();
    let [b"GET", target, version] = start[..] else {
        return false;
    };
    if !matches!(
        version,
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9']
    ) || !proper_target(target)
    {
        return false;
    }
    let headers: Option<Vec<Line<'_>>> = lines[1..].iter().map(|line| header(line)).collect();
    headers.is_some_and(|headers| proper_headers(&headers))
}

fn token(bytes: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(allowed)
}

fn trim(bytes: &[u8]) -> &[u8] {
    let blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
    let start = bytes.iter().position(|byte| !blank(byte));
    let end = bytes.iter().rposition(|byte| !blank(byte));
    start
        .zip(end)
        .map_or(&[], |(start, end)| &bytes[start..=end])
}

fn header(line: &[u8]) -> Option<Line<'_>> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = &line[..colon];
    token(name).then(|| (name, trim(&line[colon + 1..])))
}

fn proper_target(target: &[u8]) -> bool {
    let Ok(target) = core::str::from_utf8(target) else {
        return false;
    };
    let path = target.split('?').next().unwrap_or("");
    if !target.bytes().all(|byte| byte.is_ascii_graphic())
        || target.contains(['#', '"', '<', '>'])
        || path.contains('\\')
    {
        return false;
    }
    if target.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = target.split_once("://") else {
        return false;
    };
    let scheme = scheme.to_ascii_lowercase();
    let authority = rest.split(['/', '?']).next().unwrap_or("");
    ["http", "https", "ws", "wss"].contains(&&*scheme) && proper_host(authority)
}

fn proper_host(host: &str) -> bool {
    let port = match host.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else {
                return false;
            };
            if address.parse::<Ipv6Addr>().is_err() {
                return false;
            }
            port
        }
        None => {
            let end = host.find(':').unwrap_or(host.len());
            let (name, port) = host.split_at(end);
            let mut bytes = name.bytes();
            while let Some(byte) = bytes.next() {
                let hex = |byte: Option<u8>| byte.is_some_and(|it| it.is_ascii_hexdigit());
                let good = match byte {
                    b'%' => hex(bytes.next()) && hex(bytes.next()),
                    _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte),
                };
                if !good {
                    return false;
                }
            }
            if name.is_empty() {
                return false;
            }
            port
        }
    };
    match port.strip_prefix(':') {
        None => port.is_empty(),
        Some("") => true,
        Some(port) => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            digits
                && port
                    .parse::<u128>()
                    .is_ok_and(|it| (1..65536).contains(&it))
        }
    }
}

/// The values of all lines of this name.
fn all<'a>(headers: &[Line<'a>], name: &str) -> Vec<&'a [u8]> {
    let lines = headers.iter();
    lines
        .filter(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| *value)
        .collect()
}

/// The elements of a list over all lines of this name, but the empty ones.
fn list(headers: &[Line<'_>], name: &str) -> Vec<Vec<u8>> {
    let joined = all(headers, name).join(&b","[..]);
    let parts = joined.split(|byte| *byte == b',').map(trim);
    parts
        .filter(|it| !it.is_empty())
        .map(<[u8]>::to_vec)
        .collect()
}

fn lists(headers: &[Line<'_>], name: &str, token: &[u8]) -> bool {
    let list = list(headers, name);
    list.iter().any(|it| it.eq_ignore_ascii_case(token))
}

fn proper_headers(headers: &[Line<'_>]) -> bool {
    let all = |name: &str| all(headers, name);
    let key = |key: &[u8]| {
        let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
        key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(base64)
    };
    let zero =
        |length: &[u8]| (1..=19).contains(&length.len()) && length.iter().all(|byte| *byte == b'0');
    let host = |host: &[u8]| core::str::from_utf8(host).is_ok_and(proper_host);
    headers.len() <= 100
        && matches!(all("host")[..], [it] if host(it))
        && lists(headers, "upgrade", b"websocket")
        && lists(headers, "connection", b"upgrade")
        && matches!(all("sec-websocket-version")[..], [b"13"])
        && matches!(all("sec-websocket-key")[..], [it] if key(it))
        && all("transfer-encoding").is_empty()
        && match all("content-length")[..] {
            [] => true,
            [it] => zero(it),
            _ => false,
        }
        && match all("origin")[..] {
            [] => true,
            [it] => it.is_ascii(),
            _ => false,
        }
        && list(headers, "sec-websocket-protocol")
            .iter()
            .all(|it| token(it))
}

/// One change of a request; positions are taken modulo what there is.
#[derive(Clone, Debug)]
enum Change {
    Byte(usize, u8),
    Insert(usize, u8),
    Delete(usize, usize),
    SwapLines(usize, usize),
    DeleteLine(usize),
    RepeatLine(usize),
    AddLine(usize, &'static str),
    Replace(usize, &'static str, &'static str),
}

const LINES: [&str; 22] = [
    "Content-Length: 0",
    "Content-Length: 5",
    "Transfer-Encoding: chunked",
    "Upgrade: h2c",
    "Upgrade:",
    "Connection: close",
    "Connection: keep-alive, upgrade",
    "Sec-WebSocket-Version: 8",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    "Host: [::1]:80",
    "Origin: https://example.com",
    "Origin: \u{e9}",
    "Sec-WebSocket-Protocol: a,, b",
    "Sec-WebSocket-Protocol: a b",
    "Sec-WebSocket-Extensions: x; a=1, y",
    "Sec-WebSocket-Extensions: x; a=\"",
    "Cookie: \u{e9}",
    " folded",
    "NoColon",
    "X-Cr: a\rb",
    "X :",
    ":",
];

const REPLACEMENTS: [(&str, &str); 19] = [
    ("GET", "POST"),
    ("GET", "get"),
    ("HTTP/1.1", "HTTP/1.0"),
    ("HTTP/1.1", "HTTP/1.2"),
    ("HTTP/1.1", "HTTP/2.0"),
    ("/chat", "http://example.com/chat"),
    ("/chat", "*"),
    ("/chat", "/chat?a=\\[1]{}|^`"),
    ("/chat", "/ch\\at"),
    ("\r\n", "\n"),
    ("\r\n", "\r\r\n"),
    ("\r\n", "\r\n\r\n"),
    (": ", ":"),
    (": ", ":  \t "),
    (": ", " : "),
    ("==", "="),
    ("websocket", "h2c , WebSocket"),
    ("example.com", "my_host:65535"),
    ("example.com", "example.com:99999999"),
];

fn change() -> impl Strategy<Value = Change> {
    let at = any::<usize>;
    let byte = prop_oneof![
        4 => prop::sample::select(&b" \t\r\n:,;=\"/?#[]\\\0\x7f\x80\xffAaZz013"[..]),
        1 => any::<u8>(),
    ];
    let replacement = prop::sample::select(&REPLACEMENTS[..]);
    prop_oneof![
        (at(), byte.clone()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (at(), byte).prop_map(|(at, byte)| Change::Insert(at, byte)),
        (at(), 1..4usize).prop_map(|(at, count)| Change::Delete(at, count)),
        (at(), at()).prop_map(|(one, other)| Change::SwapLines(one, other)),
        at().prop_map(Change::DeleteLine),
        at().prop_map(Change::RepeatLine),
        (at(), prop::sample::select(&LINES[..])).prop_map(|(at, line)| Change::AddLine(at, line)),
        (at(), replacement).prop_map(|(at, (from, to))| Change::Replace(at, from, to)),
    ]
}

fn changed(mut bytes: Vec<u8>, change: &Change) -> Vec<u8> {
    if bytes.is_empty() {
        return bytes;
    }
    let mut lines: Vec<Vec<u8>> = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let count = lines.len();
    match change {
        Change::Byte(at, byte) => {
            let at = at % bytes.len();
            bytes[at] = *byte;
            return bytes;
        }
        Change::Insert(at, byte) => {
            bytes.insert(at % (bytes.len() + 1), *byte);
            return bytes;
        }
        Change::Delete(at, length) => {
            let at = at % bytes.len();
            let end = (at + length).min(bytes.len());
            bytes.drain(at..end);
            return bytes;
        }
        Change::Replace(at, from, to) => {
            let from = from.as_bytes();
            let places: Vec<usize> = (0..bytes.len())
                .filter(|&at| bytes[at..].starts_with(from))
                .collect();
            if let Some(&at) = places.get(at % places.len().max(1)) {
                bytes.splice(at..at + from.len(), to.bytes());
            }
            return bytes;
        }
        Change::SwapLines(one, other) => lines.swap(one % count, other % count),
        Change::DeleteLine(at) => drop(lines.remove(at % count)),
        Change::RepeatLine(at) => lines.insert(at % count, lines[at % count].clone()),
        Change::AddLine(at, line) => {
            // Behind the request line, before the end.
            let at = 1 + at % count.saturating_sub(1).max(1);
            lines.insert(at.min(count), format!("{line}\r\n").into_bytes());
        }
    }
    lines.concat()
}

fn seed_request(which: usize) -> Vec<u8> {
    match which % 4 {
        0 => upgrade().bytes(),
        1 => upgrade()
            .add("Origin", "https://example.com")
            .add("Sec-WebSocket-Protocol", "chat, superchat")
            .add("Cookie", "a=1")
            .behind(frame(1, b"hi", Some([1, 2, 3, 4])))
            .bytes(),
        2 => upgrade()
            .add("Sec-WebSocket-Extensions", "x-test-xor; level=1")
            .bytes(),
        _ => plain("GET /chat HTTP/1.1").bytes(),
    }
}

/// What became of a request: all that an observer can see.
type Outcome = (Result<Kind, String>, Vec<u8>, Option<usize>);

fn outcome(pieces: &[Vec<u8>]) -> Outcome {
    let mut served = serve(&config(), pieces);
    let kind = served.kind();
    let read = matches!(kind, Ok(Kind::Upgrade | Kind::Plain));
    let consumed = read.then_some(served.consumed);
    let mut out = core::mem::take(&mut served.out);
    if kind == Ok(Kind::Upgrade) {
        let upgrade = served.upgrade();
        let request = upgrade.request();
        assert!(request.is_upgrade() && request.path().starts_with('/'));
        let accept = Accept::default();
        assert!(upgrade.accept(&accept, &mut out, START).is_ok());
        assert!(out.starts_with(b"HTTP/1.1 101 "));
    } else {
        assert!(!contains(&out, b"HTTP/1.1 101"));
    }
    (kind.map_err(|error| error.to_string()), out, consumed)
}

fn bent(bytes: &[u8], seed: u64) {
    let whole = outcome(&[bytes.to_vec()]);
    let single: Vec<Vec<u8>> = bytes.iter().map(|byte| vec![*byte]).collect();
    assert_eq!(
        outcome(&single),
        whole,
        "byte by byte: {}",
        bytes.escape_ascii()
    );
    let mut rng = Seeded(seed);
    for _ in 0..2 {
        let cut = random_cut(bytes, &mut rng);
        assert_eq!(outcome(&cut), whole, "{}", bytes.escape_ascii());
    }
    let upgraded = whole.0 == Ok(Kind::Upgrade);
    let proper = proper(bytes);
    if upgraded {
        assert!(proper, "accepted: {}", bytes.escape_ascii());
    }
    // A server may refuse malformed extensions, and the checker doesn't look at them.
    let extensions = contains(&bytes.to_ascii_lowercase(), b"sec-websocket-extensions");
    if proper && !extensions {
        assert!(upgraded, "{:?}: {}", whole.0, bytes.escape_ascii());
    }
}

proptest! {
    #![proptest_config(runs(6000))]

    #[test]
    fn only_a_proper_request_of_those_bent_at_random_gets_a_101(
        which in 0..4usize,
        changes in prop::collection::vec(change(), 0..4),
        seed in any::<u64>(),
    ) {
        let bytes = changes.iter().fold(seed_request(which), changed);
        bent(&bytes, seed);
    }
}

/// The checker agrees with the rows of docs/cases.md, so that the property above means something.
#[test]
fn the_checker_knows_a_proper_request() {
    let good = [
        upgrade(),
        upgrade().target("http://example.com:80/chat"),
        upgrade().set("Connection", "keep-alive, Upgrade"),
        upgrade().add("Content-Length", "0"),
    ];
    for text in good {
        assert!(proper(&text.bytes()), "{}", text.bytes().escape_ascii());
    }
    let bad = [
        plain("GET / HTTP/1.1"),
        upgrade().start("POST / HTTP/1.1"),
        upgrade().start("GET / HTTP/1.0"),
        upgrade().target("*"),
        upgrade().without("Host"),
        upgrade().set("Upgrade", "websocketx"),
        upgrade().set("Connection", "close"),
        upgrade().set("Sec-WebSocket-Version", "8"),
        upgrade().set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ="),
        upgrade().add("Sec-WebSocket-Key", KEY),
        upgrade().add("Content-Length", "5"),
        upgrade().add("Transfer-Encoding", "chunked"),
        upgrade().line(" folded"),
        upgrade().line("X : y"),
        upgrade().line("X: \0"),
    ];
    for text in bad {
        assert!(!proper(&text.bytes()), "{}", text.bytes().escape_ascii());
    }
}

fn asking() -> ClientHandshake {
    let url = Url::parse("ws://example.com/").unwrap();
    let request = ClientRequest {
        subprotocols: vec!["chat".into(), "superchat".into()],
        ..ClientRequest::default()
    };
    let mut out = Vec::new();
    ClientHandshake::new(&url, &request, config(), Box::new(sample), &mut out, START).unwrap()
}

fn switching() -> Vec<u8> {
    plain("HTTP/1.1 101 Switching Protocols")
        .without("Host")
        .add("Upgrade", "websocket")
        .add("Connection", "Upgrade")
        .add("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        .add("Sec-WebSocket-Protocol", "chat")
        .behind(frame(1, b"hi", None))
        .bytes()
}

/// What became of a response: whether there is a connection, with what subprotocol, and what was
/// consumed; or the error.
fn judgement(pieces: &[Vec<u8>]) -> Option<Result<(Option<String>, usize), String>> {
    let judged = judge(asking(), pieces);
    match judged.result {
        Ok(connection) => {
            let connection = connection?;
            let subprotocol = connection.subprotocol().map(str::to_owned);
            Some(Ok((subprotocol, judged.consumed)))
        }
        Err(error) => Some(Err(format!("{error} {error:?}"))),
    }
}

/// RFC 6455 section 4.1, as simple as can be, for a client that offered two subprotocols and no
/// extension.
fn proper_response(bytes: &[u8]) -> bool {
    let Some(lines) = lines(bytes) else {
        return false;
    };
    let start = lines[0];
    let version = matches!(
        start,
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9', ..]
    );
    let status = matches!(
        start.get(8..).unwrap_or_default(),
        b" 101" | [b' ', b'1', b'0', b'1', b' ', ..]
    );
    let headers: Option<Vec<Line<'_>>> = lines[1..].iter().map(|line| header(line)).collect();
    let Some(headers) = headers.filter(|_| version && status) else {
        return false;
    };
    let upgrades = list(&headers, "upgrade");
    let subprotocols = all(&headers, "sec-websocket-protocol");
    upgrades.len() == 1
        && upgrades[0].eq_ignore_ascii_case(b"websocket")
        && lists(&headers, "connection", b"upgrade")
        && all(&headers, "sec-websocket-accept") == [b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]
        && list(&headers, "sec-websocket-extensions").is_empty()
        && matches!(subprotocols[..], [] | [b"chat" | b"superchat"])
}

proptest! {
    #![proptest_config(runs(4000))]

    #[test]
    fn only_a_proper_response_of_those_bent_at_random_becomes_a_connection(
        changes in prop::collection::vec(change(), 0..4),
        seed in any::<u64>(),
    ) {
        let bytes = changes.iter().fold(switching(), changed);
        let whole = judgement(core::slice::from_ref(&bytes));
        let single: Vec<Vec<u8>> = bytes.iter().map(|byte| vec![*byte]).collect();
        prop_assert_eq!(&judgement(&single), &whole, "{}", bytes.escape_ascii());
        let cut = random_cut(&bytes, &mut Seeded(seed));
        prop_assert_eq!(&judgement(&cut), &whole, "{}", bytes.escape_ascii());
        let connected = matches!(whole, Some(Ok(_)));
        let proper = proper_response(&bytes);
        prop_assert_eq!(connected, proper, "{:?}: {}", whole, bytes.escape_ascii());
    }
}
