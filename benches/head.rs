//! Reading heads: what a server does once per connection.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sockeye::proto::Url;
use sockeye::proto::http::{HeadLimits, HeadParser, Target, content_length, host, parse_request};
use sockeye::proto::parse_extensions;

/// An opening handshake as a browser sends it, 503 bytes.
const BROWSER: &[u8] = b"GET /chat?room=general HTTP/1.1\r\n\
Host: chat.example.com\r\n\
Connection: Upgrade\r\n\
Pragma: no-cache\r\n\
Cache-Control: no-cache\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
Upgrade: websocket\r\n\
Origin: https://chat.example.com\r\n\
Sec-WebSocket-Version: 13\r\n\
Accept-Encoding: gzip, deflate, br\r\n\
Accept-Language: en-US,en;q=0.9\r\n\
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

fn head(c: &mut Criterion) {
    let mut group = c.benchmark_group("head");
    group.throughput(Throughput::Bytes(BROWSER.len() as u64));
    let limits = HeadLimits::default();

    group.bench_function("whole, new parser", |b| {
        b.iter(|| {
            let mut parser = HeadParser::request(limits);
            parser.parse(black_box(BROWSER)).unwrap().unwrap();
            parser
        });
    });
    let mut parser = HeadParser::request(limits);
    group.bench_function("whole, parser reused", |b| {
        b.iter(|| {
            parse_request(&mut parser, black_box(BROWSER))
                .unwrap()
                .unwrap()
                .0
                .headers
                .len()
        });
    });
    group.bench_function("byte by byte", |b| {
        b.iter(|| {
            let mut parser = HeadParser::request(limits);
            for end in 1..=BROWSER.len() {
                black_box(parser.parse(black_box(&BROWSER[..end])).unwrap());
            }
            parser
        });
    });

    let mut parser = HeadParser::request(limits);
    parser.parse(BROWSER).unwrap().unwrap();
    let request = parser.request_head(BROWSER).unwrap();
    group.bench_function("what a handshake asks of it", |b| {
        b.iter(|| {
            let request = black_box(request);
            let headers = request.headers;
            (
                Target::parse(request.target).unwrap(),
                host(headers).unwrap(),
                content_length(headers).unwrap(),
                headers.count("transfer-encoding"),
                headers.contains_token("connection", "upgrade"),
                headers.contains_token("upgrade", "websocket"),
                headers.get("sec-websocket-key"),
                headers.get("sec-websocket-version"),
                headers.get("origin"),
                parse_extensions(headers.get_all("sec-websocket-extensions")).count(),
            )
        });
    });
    group.finish();

    c.bench_function("url", |b| {
        b.iter(|| Url::parse(black_box("wss://chat.example.com:8443/chat?room=general")));
    });
    let offers = "permessage-deflate; client_max_window_bits=\"10\", ".repeat(100);
    c.bench_function("extensions, 100 offers", |b| {
        b.iter(|| {
            parse_extensions([black_box(offers.as_bytes())])
                .map(|offer| offer.unwrap().params().count())
                .sum::<usize>()
        });
    });
}

criterion_group!(benches, head);
criterion_main!(benches);
