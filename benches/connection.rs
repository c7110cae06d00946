//! Two connections in memory, no socket between them: `cargo bench --bench connection`.
//!
//! Compare rows of one size within one run only; `again` rows show how far the same code differs
//! from itself. Nothing is left out of the measured part but what is said here:
//! - `round` is all of it: the client sends (copies and masks), the server receives and echoes,
//!   the client receives. Buffers are emptied and used again.
//! - `server` is the server's half, fed with the same buffer over and over. Unmasking in place
//!   masks it again each second time; it isn't restored, since the key has low bits alone, which
//!   turn ASCII into ASCII (see `frame.rs`).

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use sockeye::proto::{Config, Connection, Delivery, Event, Input, MessageRef, Scratch};

/// Bytes of payload: the two edges of the short header, a line of JSON, a page of it, and more
/// than the first and second level caches.
const SIZES: [usize; 6] = [16, 125, 1 << 10, 16 << 10, 64 << 10, 1 << 20];

const NOW: Duration = Duration::ZERO;

fn server(config: &Arc<Config>) -> Connection {
    Connection::server(Arc::clone(config), NOW)
}

/// Its masking key is always the same: the random source is the caller's and not measured.
fn client(config: &Arc<Config>) -> Connection {
    let random = |key: &mut [u8]| key.copy_from_slice(&[1, 2, 3, 4]);
    Connection::client(Arc::clone(config), Box::new(random), NOW)
}

/// What a client writes for `count` messages.
fn sent(config: &Arc<Config>, message: MessageRef<'_>, count: usize) -> Vec<u8> {
    let mut connection = client(config);
    let mut out = Vec::new();
    for _ in 0..count {
        connection.send(message, &mut out).unwrap();
    }
    out
}

/// Takes all messages of `bytes`; answers how many there were.
fn recv(
    connection: &mut Connection,
    scratch: &mut Scratch,
    bytes: &mut [u8],
    out: &mut Vec<u8>,
) -> usize {
    let mut input = Input::new(bytes);
    let mut count = 0;
    while let Some(event) = connection.recv_with(&mut input, scratch, out, NOW).unwrap() {
        let Event::Message(message) = event else {
            panic!("not a message");
        };
        count += 1;
        black_box(message.as_bytes());
        scratch.recycle(message.into_payload());
    }
    count
}

/// Echoes all messages of `bytes`.
fn echo(connection: &mut Connection, scratch: &mut Scratch, bytes: &mut [u8], out: &mut Vec<u8>) {
    let mut input = Input::new(bytes);
    while let Some(event) = connection.recv_with(&mut input, scratch, out, NOW).unwrap() {
        let Event::Message(message) = event else {
            panic!("not a message");
        };
        connection.send(&message, out).unwrap();
        scratch.recycle(message.into_payload());
    }
}

fn group<'c>(c: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = c.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_millis(900));
    group
}

/// The payload's bytes and the messages, each once, though they go both ways.
fn throughput(size: usize, count: usize) -> Throughput {
    Throughput::ElementsAndBytes {
        elements: count as u64,
        bytes: (size * count) as u64,
    }
}

/// Send, echo, receive; one message or sixteen in each direction at a time.
fn round(c: &mut Criterion) {
    let mut group = group(c, "connection/round");
    let config = Arc::new(Config::default());
    for size in SIZES {
        let text = "x".repeat(size);
        // Sixteen large ones are no read that happens.
        let depths: &[usize] = if size <= 1 << 10 { &[1, 16] } else { &[1] };
        for &depth in depths {
            group.throughput(throughput(size, depth));
            for row in ["text", "text again", "binary"] {
                let message = match row {
                    "binary" => MessageRef::Binary(text.as_bytes()),
                    _ => MessageRef::Text(&text),
                };
                let (mut client, mut server) = (client(&config), server(&config));
                let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
                let (mut none, mut scratch) = (Vec::new(), Scratch::new());
                let name = format!("{row}, {depth} at a time");
                group.bench_function(BenchmarkId::new(name, size), |b| {
                    b.iter(|| {
                        to_server.clear();
                        to_client.clear();
                        for _ in 0..depth {
                            client.send(black_box(message), &mut to_server).unwrap();
                        }
                        echo(
                            &mut server,
                            &mut scratch,
                            black_box(&mut to_server),
                            &mut to_client,
                        );
                        let count = recv(
                            &mut client,
                            &mut scratch,
                            black_box(&mut to_client),
                            &mut none,
                        );
                        assert_eq!(count, depth);
                    });
                });
            }
        }
    }
    group.finish();
}

/// The server's half: receive and send back, by a copy or in place.
fn serve(c: &mut Criterion) {
    let mut group = group(c, "connection/server");
    let config = Arc::new(Config::default());
    for size in SIZES {
        let text = "x".repeat(size);
        let depths: &[usize] = if size <= 1 << 10 { &[1, 16] } else { &[1] };
        for &depth in depths {
            group.throughput(throughput(size, depth));
            for row in ["send", "send again"] {
                let mut bytes = sent(&config, MessageRef::Text(&text), depth);
                let mut server = server(&config);
                let (mut out, mut scratch) = (Vec::new(), Scratch::new());
                let name = format!("{row}, {depth} at a time");
                group.bench_function(BenchmarkId::new(name, size), |b| {
                    b.iter(|| {
                        out.clear();
                        echo(&mut server, &mut scratch, black_box(&mut bytes), &mut out);
                        black_box(&out);
                    });
                });
            }
        }
        // In place, the reply's header is written over the end of the request's, so the request
        // is put back: that part is measured, and is a row of its own too.
        group.throughput(throughput(size, 1));
        let whole = sent(&config, MessageRef::Text(&text), 1);
        let mut bytes = whole.clone();
        let header = whole.len() - size;
        let mut server = server(&config);
        let mut out = Vec::new();
        group.bench_function(
            BenchmarkId::new("send_in_place, header put back", size),
            |b| {
                b.iter(|| {
                    bytes[..header].copy_from_slice(&whole[..header]);
                    let mut input = Input::new(black_box(&mut bytes));
                    let event = server.recv(&mut input, &mut out, NOW).unwrap();
                    let Some(Event::Message(message)) = event else {
                        panic!("not a message");
                    };
                    let frame = server.send_in_place(message, &mut out).unwrap();
                    black_box(frame.expect("room for the header").as_bytes().len())
                });
            },
        );
        group.bench_function(BenchmarkId::new("the header put back alone", size), |b| {
            b.iter(|| {
                black_box(&mut bytes)[..header].copy_from_slice(&black_box(&whole)[..header]);
            });
        });
    }
    group.finish();
}

/// Messages in sixteen fragments, which have to be assembled, and the same streamed.
fn fragments(c: &mut Criterion) {
    let mut group = group(c, "connection/fragments");
    for size in [1 << 10, 64 << 10, 1 << 20] {
        let text = "x".repeat(size);
        group.throughput(throughput(size, 1));
        let mut config = Config::default();
        config.fragment_size = NonZeroUsize::new(size / 16);
        let sender = Arc::new(config.clone());
        let mut bytes = sent(&sender, MessageRef::Text(&text), 1);
        config.delivery = Delivery::Streamed;
        let streamed = Arc::new(config);

        let mut connection = server(&sender);
        let (mut out, mut scratch) = (Vec::new(), Scratch::new());
        group.bench_function(BenchmarkId::new("assembled, buffer recycled", size), |b| {
            b.iter(|| {
                recv(
                    &mut connection,
                    &mut scratch,
                    black_box(&mut bytes),
                    &mut out,
                )
            });
        });
        group.bench_function(BenchmarkId::new("assembled, buffer dropped", size), |b| {
            b.iter(|| {
                let mut input = Input::new(black_box(&mut bytes));
                let event = connection.recv(&mut input, &mut out, NOW).unwrap();
                drop(black_box(event.expect("a message")));
            });
        });
        let mut connection = server(&streamed);
        group.bench_function(BenchmarkId::new("streamed", size), |b| {
            b.iter(|| {
                let mut input = Input::new(black_box(&mut bytes));
                while let Some(event) = connection.recv(&mut input, &mut out, NOW).unwrap() {
                    black_box(event);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, round, serve, fragments);
criterion_main!(benches);
