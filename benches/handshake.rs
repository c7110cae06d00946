//! Opening handshakes in memory: `cargo bench --bench handshake`.
//!
//! Each starts with nothing and ends with a connection, which is dropped in the measured part as
//! a server's is. `again` rows show how far the same code differs from itself.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sockeye::proto::{
    Accept, ClientHandshake, ClientRequest, Config, Connection, Input, Received, ServerHandshake,
    Url,
};

const NOW: Duration = Duration::ZERO;

/// As a browser sends it.
const REQUEST: &[u8] = b"GET /chat?room=general HTTP/1.1\r\n\
Host: chat.example.com\r\n\
Connection: Upgrade\r\n\
Pragma: no-cache\r\n\
Cache-Control: no-cache\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
Chrome/126.0.0.0 Safari/537.36\r\n\
Upgrade: websocket\r\n\
Origin: https://chat.example.com\r\n\
Sec-WebSocket-Version: 13\r\n\
Accept-Encoding: gzip, deflate, br\r\n\
Accept-Language: en-US,en;q=0.9\r\n\
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

/// The server's half. The handshake reads the bytes and doesn't change them.
fn accept(config: &Arc<Config>, pieces: &mut [&mut [u8]], out: &mut Vec<u8>) -> Connection {
    let mut handshake = ServerHandshake::new(Arc::clone(config), NOW);
    for piece in pieces {
        match handshake.recv(&mut Input::new(piece), out, NOW).unwrap() {
            Received::Incomplete(more) => handshake = more,
            Received::Upgrade(upgrade) => {
                return upgrade.accept(&Accept::default(), out, NOW).unwrap();
            }
            Received::Plain(_) => break,
        }
    }
    panic!("a whole opening handshake");
}

/// The client's request. The nonce is always the same: the random source is the caller's and not
/// measured.
fn request(config: &Arc<Config>, url: &Url, out: &mut Vec<u8>) -> ClientHandshake {
    let random = Box::new(|nonce: &mut [u8]| nonce.fill(7));
    let request = ClientRequest::default();
    ClientHandshake::new(url, &request, Arc::clone(config), random, out, NOW).unwrap()
}

fn handshake(c: &mut Criterion) {
    let mut group = c.benchmark_group("handshake");
    group.throughput(Throughput::Elements(1));
    let config = Arc::new(Config::default());
    let mut out = Vec::new();

    let mut bytes = REQUEST.to_vec();
    for row in ["server", "server again"] {
        group.bench_function(row, |b| {
            b.iter(|| {
                out.clear();
                accept(&config, &mut [black_box(&mut bytes)], &mut out)
            });
        });
    }
    group.bench_function("server, request in two reads", |b| {
        b.iter(|| {
            out.clear();
            let (first, second) = black_box(&mut bytes).split_at_mut(REQUEST.len() / 2);
            accept(&config, &mut [first, second], &mut out)
        });
    });

    let url = Url::parse("wss://chat.example.com/chat?room=general").unwrap();
    let mut asked = Vec::new();
    request(&config, &url, &mut asked);
    let mut answered = Vec::new();
    accept(&config, &mut [&mut asked], &mut answered);
    let mut sent = Vec::new();
    group.bench_function("client", |b| {
        b.iter(|| {
            sent.clear();
            let mut handshake = request(&config, black_box(&url), &mut sent);
            let connection = handshake.recv(&mut Input::new(black_box(&mut answered)), NOW);
            connection.unwrap().expect("a whole response")
        });
    });

    // Both ends, with what each writes read by the other.
    group.bench_function("round", |b| {
        b.iter(|| {
            sent.clear();
            out.clear();
            let mut handshake = request(&config, black_box(&url), &mut sent);
            let server = accept(&config, &mut [&mut sent], &mut out);
            let client = handshake.recv(&mut Input::new(&mut out), NOW).unwrap();
            (server, client.expect("a whole response"))
        });
    });
    group.finish();
}

criterion_group!(benches, handshake);
criterion_main!(benches);
