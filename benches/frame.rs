//! Frames in memory: `cargo bench --bench frame`.
//!
//! Compare rows of one size within one run only; each `again` row repeats the one before it and
//! shows how far the same code differs from itself.
//!
//! Receiving unmasks in place, so a buffer that is received over and over is unmasked and masked
//! in turn. It isn't restored in between, which would cost as much as what is measured: the key
//! has low bits alone, which turn ASCII into ASCII and Cyrillic into text of two-byte characters,
//! so that the work is the same each time and text stays text.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use sockeye::proto::{
    Config, Connection, Event, FrameDecoder, FrameHeader, Input, MessageKind, MessageRef, Opcode,
    Role, Rsv, mask,
};

/// Bytes of payload: the two edges of the short header, a line of JSON, a page of it, and more
/// than the first and second level caches.
const SIZES: [usize; 6] = [16, 125, 1 << 10, 16 << 10, 64 << 10, 1 << 20];

const KEY: [u8; 4] = [1, 2, 3, 4];

fn frame(opcode: Opcode, masking_key: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        fin: true,
        rsv: Rsv::NONE,
        opcode,
        masking_key,
        payload_length: payload.len() as u64,
    };
    let mut frame = header.encode().as_bytes().to_vec();
    let start = frame.len();
    frame.extend_from_slice(payload);
    if let Some(key) = masking_key {
        mask(&mut frame[start..], key, 0);
    }
    frame
}

/// Text of exactly `size` bytes.
fn text(unit: &str, size: usize) -> String {
    let mut text = unit.repeat(size / unit.len() + 1);
    while text.len() > size || !text.is_char_boundary(text.len().min(size)) {
        text.pop();
    }
    while text.len() < size {
        text.push('a');
    }
    text
}

fn group<'c>(c: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = c.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_millis(900));
    group
}

/// The decoder alone: header, place in the stream, unmasking.
fn decode(c: &mut Criterion) {
    let mut group = group(c, "frame/decode");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let rows = [
            ("masked", Role::Server, Some(KEY)),
            ("masked again", Role::Server, Some(KEY)),
            ("unmasked", Role::Client, None),
        ];
        for (row, role, key) in rows {
            let mut bytes = frame(Opcode::Binary, key, &vec![0x5a; size]);
            let mut decoder = FrameDecoder::new(role);
            group.bench_function(BenchmarkId::new(row, size), |b| {
                b.iter(|| {
                    let mut input = Input::new(black_box(&mut bytes));
                    let piece = decoder.decode(&mut input).unwrap().unwrap();
                    black_box(piece.payload().len())
                });
            });
        }
    }
    group.finish();
}

/// `Connection::recv`: the decoder, the message's limits and its UTF-8.
fn recv(c: &mut Criterion) {
    let mut group = group(c, "frame/recv");
    let now = Duration::ZERO;
    let config = Arc::new(Config::default());
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let ascii = text("hello ", size);
        let cyrillic = text("привет", size);
        let rows = [
            ("binary", Opcode::Binary, ascii.as_bytes()),
            ("ASCII", Opcode::Text, ascii.as_bytes()),
            ("ASCII again", Opcode::Text, ascii.as_bytes()),
            ("Cyrillic", Opcode::Text, cyrillic.as_bytes()),
        ];
        for (row, opcode, payload) in rows {
            let mut bytes = frame(opcode, Some(KEY), payload);
            let mut connection = Connection::server(Arc::clone(&config), now);
            let mut out = Vec::new();
            group.bench_function(BenchmarkId::new(row, size), |b| {
                b.iter(|| {
                    let mut input = Input::new(black_box(&mut bytes));
                    let event = connection.recv(&mut input, &mut out, now).unwrap();
                    let Some(Event::Message(message)) = event else {
                        panic!("not a message");
                    };
                    black_box(message.len())
                });
            });
        }
    }
    group.finish();
}

/// `Connection::send`, which copies the payload behind its header: into a buffer that is emptied
/// and has the room. A client's also masks it; its random source costs nothing here.
fn send(c: &mut Criterion) {
    let mut group = group(c, "frame/send");
    let now = Duration::ZERO;
    let config = Arc::new(Config::default());
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let payload = vec![0x5a; size];
        let mut out = Vec::with_capacity(size + 14);
        group.bench_function(BenchmarkId::new("copy", size), |b| {
            b.iter(|| {
                out.clear();
                out.extend_from_slice(black_box(&payload));
                black_box(&out);
            });
        });
        let server = || Connection::server(Arc::clone(&config), now);
        let client = || {
            let random = |key: &mut [u8]| key.copy_from_slice(&KEY);
            Connection::client(Arc::clone(&config), Box::new(random), now)
        };
        let rows = [
            ("server", server()),
            ("server again", server()),
            ("client", client()),
        ];
        for (row, mut connection) in rows {
            group.bench_function(BenchmarkId::new(row, size), |b| {
                b.iter(|| {
                    out.clear();
                    let message = MessageRef::Binary(black_box(&payload));
                    connection.send(message, &mut out).unwrap();
                    black_box(&out);
                });
            });
        }
    }
    group.finish();
}

/// Headers alone, of each of the three forms of length.
fn header(c: &mut Criterion) {
    let mut group = group(c, "frame/header");
    group.throughput(Throughput::Elements(1));
    for payload_length in [20, 1 << 10, 1 << 20] {
        let header = FrameHeader {
            fin: true,
            rsv: Rsv::NONE,
            opcode: Opcode::Binary,
            masking_key: Some(KEY),
            payload_length,
        };
        let encoded = header.encode();
        group.bench_function(BenchmarkId::new("encode", payload_length), |b| {
            b.iter(|| black_box(header).encode());
        });
        group.bench_function(BenchmarkId::new("decode", payload_length), |b| {
            b.iter(|| {
                FrameHeader::decode(black_box(encoded.as_bytes()))
                    .unwrap()
                    .unwrap()
            });
        });
        let mut connection = Connection::server(Arc::default(), Duration::ZERO);
        group.bench_function(BenchmarkId::new("send_header", payload_length), |b| {
            let payload = vec![0; payload_length as usize];
            let mut out = Vec::new();
            b.iter(|| {
                out.clear();
                connection
                    .send_header(MessageKind::Binary, black_box(payload_length), &mut out)
                    .unwrap()
                    .pass(&payload);
                black_box(&out);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decode, recv, send, header);
criterion_main!(benches);
