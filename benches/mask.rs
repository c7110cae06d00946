//! Masking against a copy of the same size: `cargo bench --bench mask`, and
//! with `--features simd`, which allows AVX2.
//!
//! Compare the rows of one size within one run only. `copy` is the reference,
//! and stands there twice, to show how far the same code differs from itself.

// What criterion_group! makes has no docs.
#![allow(missing_docs)]

use core::hint::black_box;
use core::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sockeye::proto::mask;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Bytes of payload: the edges of the short paths, a page, and each cache.
const SIZES: [usize; 7] = [16, 64, 125, 1 << 10, 16 << 10, 64 << 10, 1 << 20];

/// Bytes of a short masked frame's header, and between two payloads.
const HEADER: usize = 6;

/// Short payloads are taken from this many bytes in turn, as frames lie in a
/// receive buffer. One payload masked over and over would measure how long a
/// store takes to reach the next load.
const RING: usize = 4 << 10;

/// A buffer of frames, of which `next` gives one payload after the other.
struct Frames {
    buffer: Vec<u8>,
    size: usize,
    at: usize,
}

impl Frames {
    fn new(size: usize) -> Self {
        let count = (RING / (HEADER + size)).max(1);
        Self {
            buffer: vec![0x5a; count * (HEADER + size)],
            size,
            at: 0,
        }
    }

    #[inline(always)]
    fn next(&mut self) -> &mut [u8] {
        if self.at == self.buffer.len() {
            self.at = 0;
        }
        let start = self.at + HEADER;
        self.at = start + self.size;
        black_box(&mut self.buffer[start..self.at])
    }
}

fn masking(c: &mut Criterion) {
    let mut group = c.benchmark_group("mask");
    group.warm_up_time(Duration::from_millis(300));
    group.measurement_time(Duration::from_millis(900));
    for size in SIZES {
        let source = vec![0x5a; HEADER + size];
        let mut frames = Frames::new(size);
        group.throughput(Throughput::Bytes(size as u64));
        for row in ["copy", "copy again"] {
            group.bench_function(BenchmarkId::new(row, size), |b| {
                b.iter(|| frames.next().copy_from_slice(black_box(&source[HEADER..])));
            });
        }
        group.bench_function(BenchmarkId::new("mask", size), |b| {
            b.iter(|| mask(frames.next(), black_box(KEY), black_box(0)));
        });
        group.bench_function(BenchmarkId::new("byte loop", size), |b| {
            b.iter(|| {
                let key = black_box(KEY);
                for (i, byte) in frames.next().iter_mut().enumerate() {
                    *byte ^= key[i % 4];
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, masking);
criterion_main!(benches);
