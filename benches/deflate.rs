//! permessage-deflate, two connections in memory: `cargo bench --features deflate --bench deflate`.
//!
//! Elements are messages, bytes are of payload before it is compressed. Each message is another
//! one of a set larger than the window, so takeover refers to its like and not to itself.
//! - `send` and `recv` are each end's part, in each mode and, for comparison, without compression;
//!   `again` rows are the same once more, to show how far the same code differs from itself.
//! - `level` is `send` at each level; what is left of a message is printed first.
//! - `publish` sends one message to a hundred connections, prepared and not.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};
use sockeye::proto::{
    Accept, ClientHandshake, ClientRequest, Config, Connection, Deflate, Event, Input, Level,
    PreparedMessage, Received, Scratch, ServerHandshake, Url, WindowBits,
};

/// Bytes of JSON: a line, a page, a document.
const SIZES: [usize; 3] = [200, 1 << 10, 16 << 10];

const NOW: Duration = Duration::ZERO;

fn modes_of_15_bits() -> [(&'static str, Deflate); 2] {
    [
        ("takeover", Deflate::default()),
        ("shared", Deflate::shared()),
    ]
}

/// All that differ for the server's messages: a client's parameters are the same to its own.
fn all_modes() -> Vec<(&'static str, Option<Deflate>)> {
    let window = |bits| {
        let mut deflate = Deflate::default();
        deflate.server_max_window_bits = WindowBits::new(bits).expect("8 to 15");
        deflate
    };
    let mut modes = vec![
        ("none", None),
        ("takeover, 9 bits", Some(window(9))),
        ("takeover, 12 bits", Some(window(12))),
    ];
    modes.extend(modes_of_15_bits().map(|(mode, deflate)| (mode, Some(deflate))));
    modes
}

/// Both ends after an opening handshake.
fn pair(deflate: Option<&Deflate>) -> (Connection, Connection) {
    let mut config = Config::default();
    if let Some(deflate) = deflate {
        config.extensions.push(Arc::new(deflate.clone()));
    }
    let config = Arc::new(config);
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let url = Url::parse("ws://example.com/").unwrap();
    let random = |bytes: &mut [u8]| bytes.fill(7);
    let request = ClientRequest::default();
    let mut client = ClientHandshake::new(
        &url,
        &request,
        config.clone(),
        Box::new(random),
        &mut up,
        NOW,
    )
    .unwrap();
    let server = ServerHandshake::new(config, NOW);
    let received = server.recv(&mut Input::new(&mut up), &mut down, NOW);
    let Ok(Received::Upgrade(upgrade)) = received else {
        panic!("{received:?}");
    };
    let server = upgrade.accept(&Accept::default(), &mut down, NOW).unwrap();
    let client = client.recv(&mut Input::new(&mut down), NOW).unwrap();
    (client.unwrap(), server)
}

/// JSON with numbers and names that differ from message to message.
fn messages(size: usize) -> Vec<String> {
    let mut state = 1_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 20
    };
    let count = (256 * 1024 / size).max(8);
    let message = |_| {
        let mut text = String::from("[");
        while text.len() < size {
            let n = next();
            text += &format!(
                r#"{{"id":{},"user":"user{}","price":{}.{:02},"side":"{}","time":"2024-05-{:02}T{:02}:{:02}:00Z","active":{}}},"#,
                n % 1_000_000,
                n % 977,
                n % 5000,
                n % 100,
                if n & 1 == 0 { "buy" } else { "sell" },
                1 + n % 28,
                n % 24,
                n % 60,
                n & 2 == 0
            );
        }
        text.truncate(size);
        text
    };
    (0..count).map(message).collect()
}

fn group<'c>(c: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = c.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_millis(900));
    group
}

fn throughput(messages: &[String]) -> Throughput {
    Throughput::ElementsAndBytes {
        elements: messages.len() as u64,
        bytes: messages.iter().map(|it| it.len() as u64).sum(),
    }
}

fn send(connection: &mut Connection, messages: &[String], out: &mut Vec<u8>) {
    out.clear();
    for message in messages {
        connection.send(black_box(message), out).unwrap();
    }
}

/// Both directions of work, for each mode.
fn directions(c: &mut Criterion) {
    for size in SIZES {
        let messages = messages(size);
        let mut group = group(c, &format!("deflate/{size}"));
        group.throughput(throughput(&messages));
        for (mode, deflate) in all_modes() {
            let (mut client, mut server) = pair(deflate.as_ref());
            let mut out = Vec::new();
            for row in ["send", "send again"] {
                group.bench_function(BenchmarkId::new(row, mode), |b| {
                    b.iter(|| send(&mut server, &messages, &mut out));
                });
            }
            // Every round is new data to an inflater that takes context over, so it is sent anew,
            // outside the measured part.
            let (mut sender, mut unread) = (pair(deflate.as_ref()), Vec::new());
            std::mem::swap(&mut client, &mut sender.0);
            group.bench_function(BenchmarkId::new("recv", mode), |b| {
                b.iter_custom(|rounds| {
                    let (mut time, mut scratch) = (Duration::ZERO, Scratch::new());
                    for _ in 0..rounds {
                        send(&mut sender.1, &messages, &mut out);
                        #[expect(clippy::disallowed_methods, reason = "the clock of a benchmark")]
                        let start = std::time::Instant::now();
                        let mut input = Input::new(&mut out);
                        while let Some(event) = client
                            .recv_with(&mut input, &mut scratch, &mut unread, NOW)
                            .unwrap()
                        {
                            let Event::Message(message) = event else {
                                panic!("not a message");
                            };
                            black_box(message.as_bytes());
                            scratch.recycle(message.into_payload());
                        }
                        #[expect(clippy::disallowed_methods, reason = "the clock of a benchmark")]
                        let elapsed = start.elapsed();
                        time += elapsed;
                    }
                    time
                });
            });
        }
        group.finish();
    }
}

fn levels(c: &mut Criterion) {
    for size in SIZES {
        let messages = messages(size);
        let mut group = group(c, &format!("deflate/level/{size}"));
        group.throughput(throughput(&messages));
        for (mode, mut deflate) in modes_of_15_bits() {
            for level in 1..=9 {
                deflate.level = Level::new(level).expect("1 to 9");
                let (_, mut server) = pair(Some(&deflate));
                let mut out = Vec::new();
                send(&mut server, &messages, &mut out);
                let left = 100 * out.len() / (messages.len() * size);
                println!("{size} bytes, {mode}, level {level}: {left} % are left");
                group.bench_function(BenchmarkId::new(mode, level), |b| {
                    b.iter(|| send(&mut server, &messages, &mut out));
                });
            }
        }
        group.finish();
    }
}

fn publish(c: &mut Criterion) {
    for size in SIZES {
        let message = &messages(size)[0];
        let mut group = group(c, &format!("deflate/publish to 100/{size}"));
        group.throughput(Throughput::Elements(100));
        for (mode, deflate) in modes_of_15_bits() {
            let mut config = Config::default();
            config.extensions.push(Arc::new(deflate.clone()));
            let mut servers: Vec<_> = (0..100).map(|_| pair(Some(&deflate)).1).collect();
            let mut out = Vec::new();
            group.bench_function(BenchmarkId::new("prepared", mode), |b| {
                b.iter(|| {
                    out.clear();
                    let prepared = PreparedMessage::new(black_box(message), &config);
                    for server in &mut servers {
                        server.send_prepared(&prepared, &mut out).unwrap();
                    }
                });
            });
            group.bench_function(BenchmarkId::new("each for itself", mode), |b| {
                b.iter(|| {
                    out.clear();
                    for server in &mut servers {
                        server.send(black_box(message), &mut out).unwrap();
                    }
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, directions, levels, publish);
criterion_main!(benches);
