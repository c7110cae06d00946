//! Writes the seeds: `cargo run --example seeds` in this directory. Each is a meaningful input,
//! in the layout that its target's first lines give; run it again when one of these changes.

use std::fs;
use std::path::Path;

use sockeye_fuzz::generate::describe;

/// Frames' first bytes.
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const NO_FIN: u8 = 0x7f;
const RSV1: u8 = 0x40;

/// A frame of up to 65535 bytes, masked or not.
fn frame(masked: bool, first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    let bit = if masked { 0x80 } else { 0 };
    match payload.len() {
        length @ 0..=125 => frame.push(bit | length as u8),
        length => {
            frame.push(bit | 126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    let key = if masked {
        [0x37, 0xfa, 0x21, 0x3d]
    } else {
        [0; 4]
    };
    if masked {
        frame.extend(key);
    }
    let key = key.iter().cycle();
    frame.extend(payload.iter().zip(key).map(|(byte, key)| byte ^ key));
    frame
}

/// Streams that a connection meets.
fn streams(masked: bool) -> Vec<(&'static str, Vec<u8>)> {
    let frame = |first, payload: &[u8]| frame(masked, first, payload);
    let text = "h\u{e9}llo \u{20ac} \u{1f41f}".as_bytes();
    vec![
        ("text", frame(TEXT, text)),
        (
            "three-messages",
            [
                frame(TEXT, b"one"),
                frame(BINARY, &[0; 200]),
                frame(TEXT, b""),
            ]
            .concat(),
        ),
        (
            "fragments-around-a-ping",
            [
                frame(TEXT & NO_FIN, &text[..2]),
                frame(PING, b"still there?"),
                frame(0, &text[2..9]),
                frame(PONG, b""),
                frame(0x80, &text[9..]),
            ]
            .concat(),
        ),
        (
            "empty-fragments",
            [
                frame(BINARY & NO_FIN, b""),
                frame(0, b""),
                frame(0, b"x"),
                frame(0x80, b""),
            ]
            .concat(),
        ),
        (
            "close",
            [frame(CLOSE, b"\x03\xe8goodbye"), frame(TEXT, b"too late")].concat(),
        ),
        ("close-without-code", frame(CLOSE, b"")),
        ("close-bad-code", frame(CLOSE, &1005_u16.to_be_bytes())),
        ("close-bad-reason", frame(CLOSE, b"\x03\xe8\xff")),
        ("close-1014", frame(CLOSE, &1014_u16.to_be_bytes())),
        ("bad-text", frame(TEXT, b"cut here: \xed\xa0")),
        (
            "text-cut-by-its-end",
            [frame(TEXT & NO_FIN, b"\xe2"), frame(0x80, b"\x82")].concat(),
        ),
        (
            "extension",
            [
                frame(TEXT | RSV1, b"a\xf0\x09b\xf2c"),
                frame(BINARY, b"plain"),
            ]
            .concat(),
        ),
        (
            "extension-fragments",
            [
                frame((TEXT | RSV1) & NO_FIN, b"a\xf0"),
                frame(PING, b""),
                frame(0, b"\x80"),
                frame(0x80, b"b"),
            ]
            .concat(),
        ),
        ("wrong-mask", self::frame(!masked, TEXT, b"x")),
        ("reserved-opcode", frame(0x83, b"")),
        (
            "length-not-minimal",
            [
                [TEXT, if masked { 0xfe } else { 0x7e }].as_slice(),
                &[0, 5, 1, 2, 3, 4],
            ]
            .concat(),
        ),
        (
            "huge-length",
            [
                [BINARY, if masked { 0xff } else { 0x7f }].as_slice(),
                &[0x7f, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4, 5],
            ]
            .concat(),
        ),
    ]
}

/// Streams as `generate` describes them.
fn described() -> Vec<(&'static str, Vec<u8>)> {
    let large = |length| vec![1, 0, length];
    vec![
        // One less than what needs 16 bits, and 64.
        ("described-125-in-16-bits", vec![1, 4, 249]),
        ("described-65535-in-64-bits", vec![1, 5, 252]),
        (
            "described",
            [
                describe(3, 0, "\u{e9}".as_bytes()),
                describe(6, 0, b"ping"),
                describe(5, 0, b"abc"),
                describe(2, 0, b""),
                describe(8, 0, b"\x03\xe9bye"),
            ]
            .concat(),
        ),
        (
            "described-large",
            [large(250), large(252), large(253), vec![0, 0, 254]].concat(),
        ),
        (
            "described-wide",
            [
                vec![0, 0, 248, 0, 0, 0],
                describe(6, 0, b"between"),
                vec![3, 0, 248, 0, 0, 0],
                describe(6, 0, b"between"),
                vec![10, 0, 248, 120, 0, 0x80],
            ]
            .concat(),
        ),
        (
            "described-odd",
            [
                describe(0, 0, b"good"),
                describe(1, 4, b"short in 16 bits"),
                describe(0, 5, b"short in 64 bits"),
                describe(7, 7, b"\x81\x00"),
            ]
            .concat(),
        ),
    ]
}

fn connection(masked: bool) -> Vec<(String, Vec<u8>)> {
    // Flags, message limit, fragment limit, reaction; cuts; operations.
    let settings: [(&str, Vec<u8>); 6] = [
        ("whole", vec![0, 0, 0, 1, 1, 1, 0]),
        ("streamed", vec![2 | 8, 0, 0, 1, 2, 3, 0, 0]),
        ("extended", vec![4, 9, 0, 2, 3, 1, 7, 2, 0]),
        ("limits", vec![16 | 32, 3, 4, 3, 1, 5, 0]),
        ("closing", vec![64 | 2, 0, 0, 0, 1, 2, 0]),
        (
            "commands",
            vec![
                4, 0, 0, 2, 1, 4, 12, // then twelve operations
                1, 20, 1, // send
                0, 2, 0, // two pieces
                2, 5, 0, 2, 5, 2, // a message in two fragments
                3, 4, 0, 4, 4, 0, // ping, pong
                10, 30, 1, // a header alone
                6, 31, 0, // a ping is due
                9, 100, 0, // a buffer is lent
                0, 1, 0, //
                5, 2, 9, // close
                7, 0, 0, // out of patience
            ],
        ),
    ];
    let space = vec![
        0, 0, 0, 2, 3, 90, 7, 0, 5, // then five operations
        0, 5, 0, // five pieces as input
        12, 9, 9, // the front of one into the space
        1, 20, 1, // send
        0, 19, 1, // three beside the space
        0, 47, 2, // and many into it alone
    ];
    let space = ("space", space);
    let mut seeds = Vec::new();
    for (at, (name, stream)) in streams(masked).into_iter().enumerate() {
        let (setting, prefix) = match name {
            "extension" | "extension-fragments" => &settings[2],
            _ => &settings[at % settings.len()],
        };
        let seed = [prefix.as_slice(), &stream].concat();
        seeds.push((format!("{name}-{setting}"), seed));
    }
    for (at, (name, stream)) in described().into_iter().enumerate() {
        let (setting, prefix) = match name {
            "described-wide" => &space,
            _ => &settings[[0, 0, 0, 5, 0, 1][at]],
        };
        let mut seed = [prefix.as_slice(), &stream].concat();
        seed[0] |= 1;
        seeds.push((format!("{name}-{setting}"), seed));
    }
    seeds
}

const REQUESTS: [(&str, &str); 12] = [
    (
        "browser",
        "GET /chat?room=general&x=%20+ HTTP/1.1\r\nHost: chat.example.com\r\nConnection: Upgrade\r\n\
         Pragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0\r\n\
         Upgrade: websocket\r\nOrigin: https://chat.example.com\r\nSec-WebSocket-Version: 13\r\n\
         Accept-Encoding: gzip, deflate\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n\x01\x02",
    ),
    (
        "minimal",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    ),
    (
        "subprotocols",
        "GET /s HTTP/1.1\r\nHost: [::1]:80\r\nUpgrade: h2c, WebSocket\r\nConnection: keep-alive, \
         Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: soap , ,wamp\r\nSec-WebSocket-Protocol: chat\r\n\
         Sec-WebSocket-Extensions: rle; a=\"b\\c\", x\r\n\r\n",
    ),
    (
        "plain",
        "GET /health HTTP/1.1\r\nHost: a:1\r\nAccept: */*\r\n\r\n",
    ),
    (
        "two-plain",
        "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ),
    ("http10", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
    (
        "old-version",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 8\r\n\r\n",
    ),
    (
        "absolute-form",
        "\r\nGET http://example.com?q HTTP/1.1\r\nHost: example.com\r\n\r\n",
    ),
    (
        "post",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    ),
    ("fold", "GET / HTTP/1.1\r\nHost: a\r\n b: c\r\n\r\n"),
    ("bare-lf", "GET / HTTP/1.1\nHost: a\n\n"),
    ("tls", "\x16\x03\x01\x02"),
];

const BODIES: [(&str, &str); 14] = [
    (
        "length",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (
        "chunked",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (
        "extensions",
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         1;a\r\nx\r\n01;b=\"c;d\"\r\ny\r\n0;e\r\n\r\n",
    ),
    (
        "trailers",
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\nDELETE / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    (
        "continue",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    ),
    (
        "expectation",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nContent-Length: 2\r\n\r\nhi",
    ),
    (
        "http10",
        "POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
    ),
    (
        "http10-chunked",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "both",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "gzip",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "prefix",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x10\r\n",
    ),
    (
        "overflow",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nffffffffffffffff\r\n",
    ),
    (
        "zeros",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000001\r\n",
    ),
    (
        "lf",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\n0\n\n",
    ),
];

const RESPONSES: [(&str, &str); 11] = [
    (
        "accepted",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n\u{1}\u{2}hi",
    ),
    (
        "subprotocol",
        "HTTP/1.1 101 \r\nupgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\n\
         sec-websocket-accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
    ),
    (
        "extension",
        "HTTP/1.1 101 ok\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\nSec-WebSocket-Extensions: rle\r\n\r\n",
    ),
    (
        "wrong-accept",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    ),
    (
        "unauthorized",
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 2\r\n\r\nno",
    ),
    (
        "redirect",
        "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n",
    ),
    ("no-reason", "HTTP/1.1 200\r\n\r\n"),
    ("empty-reason", "HTTP/1.0 404 \r\nA:\r\nB: \t \r\n\r\n"),
    (
        "reason",
        "HTTP/1.9 999 \u{e9}t\u{e9}\ttab\r\nServer: \u{e9}\r\n\r\n",
    ),
    ("http2", "HTTP/2.0 200 OK\r\n\r\n"),
    ("bare-cr", "HTTP/1.1 200 OK\rX\r\n\r\n"),
];

const EXTENSIONS: [(&str, &str); 12] = [
    ("deflate", "permessage-deflate; client_max_window_bits"),
    (
        "parameters",
        "permessage-deflate; server_max_window_bits=10; client_no_context_takeover",
    ),
    ("quoted", "a; b=\"10\"; c = \"x\\y\""),
    ("list", "a, b; c, d; e=f"),
    ("lines", "a; b\nc\n\nd; e=\"f\""),
    ("empty-elements", " , ,a,,b ,"),
    ("unclosed", "a; b=\"c"),
    ("comma-in-quotes", "a; b=\"c,d\""),
    ("no-name", "; a"),
    ("no-parameter", "a;"),
    ("separator", "a b"),
    (
        "fallback",
        "permessage-deflate; client_max_window_bits=15, permessage-deflate",
    ),
];

fn main() {
    let write = |target: &str, seeds: Vec<(String, Vec<u8>)>| {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("seeds")
            .join(target);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).expect("a directory");
        for (name, seed) in seeds {
            fs::write(directory.join(name), seed).expect("a file");
        }
    };
    // Cuts: the stream whole, byte by byte, or in pieces of a few bytes.
    let cuts: [&[u8]; 3] = [&[0], &[1, 1], &[3, 5, 0, 17]];
    let cut = |prefix: &[u8], seeds: Vec<(&str, Vec<u8>)>| {
        let seed = |(at, (name, bytes)): (usize, (&str, Vec<u8>))| {
            (name.to_string(), [prefix, cuts[at % 3], &bytes].concat())
        };
        seeds.into_iter().enumerate().map(seed).collect::<Vec<_>>()
    };
    let texts = |seeds: &[(&'static str, &str)]| -> Vec<(&'static str, Vec<u8>)> {
        // The heads' bytes are Latin-1, so that some are above 0x7f and no UTF-8.
        let latin = |text: &str| text.chars().map(|char| char as u8).collect();
        seeds
            .iter()
            .map(|(name, text)| (*name, latin(text)))
            .collect()
    };

    let mut heads = cut(&[0; 3], texts(&REQUESTS));
    heads.extend([
        (
            "limit-head".into(),
            b"\x08\0\0\0GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        ),
        (
            "limit-lines".into(),
            b"\0\x02\0\0GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n".to_vec(),
        ),
        (
            "limit-target".into(),
            b"\0\0\x04\0GET /abcdef HTTP/1.1\r\n\r\n".to_vec(),
        ),
    ]);
    write("request_head", heads);
    let mut bodies = cut(&[0], texts(&BODIES));
    let limited = cut(&[4], texts(&BODIES[..2]));
    bodies.extend(limited.into_iter().map(|(name, it)| (name + "-limit", it)));
    write("request_body", bodies);
    write("response_head", cut(&[0; 3], texts(&RESPONSES)));
    write(
        "extensions",
        EXTENSIONS
            .map(|(name, text)| (name.into(), text.into()))
            .to_vec(),
    );
    let mut frames = cut(&[0x40], streams(true));
    frames.extend(
        cut(&[1], streams(false))
            .into_iter()
            .map(|(name, it)| (name + "-client", it)),
    );
    frames.extend(cut(&[2], described()));
    write("frame_decoder", frames);
    write("connection_server", connection(true));
    write("connection_client", connection(false));
    let mut handshakes = cut(&[0, 0, 0, 0], texts(&REQUESTS));
    handshakes.extend(
        cut(&[0, 0, 0, 0x81 | 4], texts(&REQUESTS[..5]))
            .into_iter()
            .map(|(name, it)| (name + "-refused", it)),
    );
    write("handshake_server", handshakes);
    write("handshake_client", cut(&[0, 0, 0, 3], texts(&RESPONSES)));
    let mut both = cut(&[0, 0], streams(true));
    both.extend(cut(&[1, 0], described()));
    both.push((
        "described-limit".into(),
        [
            vec![1, 1, 0],
            describe(1, 0, &[b'x'; 129]),
            describe(1, 0, &[b'x'; 130]),
        ]
        .concat(),
    ));
    write("differential", both);

    let settings = [&[0, 0, 0], &[1, 0, 0], &[2, 9, 6], &[3, 0, 0]];
    let seeds = DEFLATE.iter().enumerate();
    let seeds = seeds.map(|(at, (name, text))| {
        let bytes = [settings[at % 4], text.as_bytes()].concat();
        (name.to_string(), bytes)
    });
    write("deflate_negotiation", seeds.collect());

    let inflate = |settings: [u8; 3], payloads: &[&[u8]]| {
        let mut seed = [&settings[..], &[3, 2, 0, 5]].concat();
        for payload in payloads {
            seed.extend((payload.len() as u16).to_le_bytes());
            seed.extend_from_slice(payload);
        }
        seed
    };
    let seeds = INFLATE.iter().enumerate().map(|(at, (name, payloads))| {
        let settings = [[0, 0, 0], [1, 0, 3], [2, 3, 0], [3, 2, 1]][at % 4];
        (name.to_string(), inflate(settings, payloads))
    });
    write("inflate", seeds.collect());
}

/// Offers and responses of permessage-deflate.
const DEFLATE: [(&str, &str); 8] = [
    ("plain", "permessage-deflate"),
    ("browser", "permessage-deflate; client_max_window_bits"),
    (
        "everything",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
         server_max_window_bits=10; client_max_window_bits=12",
    ),
    ("quoted", "permessage-deflate; server_max_window_bits=\"9\""),
    (
        "fallback",
        "permessage-deflate; server_max_window_bits=8, permessage-deflate; bogus, permessage-deflate",
    ),
    (
        "twice",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=9",
    ),
    ("zeroes", "permessage-deflate; server_max_window_bits=08"),
    (
        "flag-with-value",
        "permessage-deflate; server_no_context_takeover=1",
    ),
];

/// Compressed messages, from RFC 7692 section 7.2.3 and faulty.
const INFLATE: [(&str, &[&[u8]]); 8] = [
    (
        "takeover",
        &[b"\xF2\x48\xCD\xC9\xC9\x07\x00", b"\xF2\x00\x11\x00\x00"],
    ),
    ("stored", &[b"\x00\x05\x00\xFA\xFFHello\x00", b"\x00"]),
    (
        "two-blocks",
        &[b"\xF2\x48\x05\x00\x00\x00\xFF\xFF\xCA\xC9\xC9\x07\x00"],
    ),
    (
        "last-block",
        &[
            b"\xF3\x48\xCD\xC9\xC9\x07\x00\x00",
            b"\xF3\x48\xCD\xC9\xC9\x07\x00\xF2\x48\xCD\xC9\xC9\x07\x00",
        ],
    ),
    ("cut-short", &[b"\xF2\x48\xCD"]),
    ("too-far", &[b"\xF2\x00\x11\x00\x00"]),
    ("bad-block", &[b"\x06\x00"]),
    // A hundred zeros, then as many again and again.
    (
        "zeros",
        &[b"\x62\x60\xA0\x3D\x00", b"\x02\x61\x00", b"\x00"],
    ),
];
