//! UTF-8 validation against `core` and simdutf8: `cargo bench --bench utf8`,
//! and with `--features simd`, which puts simdutf8 under `validate_utf8`.
//!
//! Compare the rows of one size within one run only. `core` stands there
//! twice, to show how far the same code differs from itself; `copy` is what
//! the bytes cost when nothing is asked of them.

// What criterion_group! makes has no docs.
#![allow(missing_docs)]

use core::hint::black_box;
use core::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sockeye::proto::{Utf8Validator, validate_utf8};

/// Bytes of text: the edges of the short paths, a page, and each cache.
const SIZES: [usize; 7] = [16, 64, 125, 1 << 10, 16 << 10, 64 << 10, 1 << 20];

const ASCII: &str = "The quick brown fox jumps over the lazy dog. ";

/// Characters of one to four bytes, in words as people write them.
const MIXED: &str =
    "Grüße, naïve café; Привет, мир; Ελληνικά; 你好世界, こんにちは; 👋🏽🌍 and plain. ";

/// Almost every second byte is a lead byte.
const CYRILLIC: &str = "Съешь же ещё этих мягких французских булок, да выпей чаю. ";

const CJK: &str = "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏";

/// Whole characters of `sample`, filled up to `size` bytes with ASCII.
fn text(sample: &str, size: usize) -> Vec<u8> {
    let mut text = String::with_capacity(size);
    text.extend(sample.chars().cycle().take_while({
        let mut left = size;
        move |c| match left.checked_sub(c.len_utf8()) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        }
    }));
    let mut text = text.into_bytes();
    text.resize(size, b'.');
    text
}

fn validating(c: &mut Criterion) {
    for (name, sample) in [
        ("ascii", ASCII),
        ("mixed", MIXED),
        ("cyrillic", CYRILLIC),
        ("cjk", CJK),
    ] {
        let mut group = c.benchmark_group(format!("utf8 {name}"));
        group.warm_up_time(Duration::from_millis(200));
        group.measurement_time(Duration::from_millis(600));
        for size in SIZES {
            let text = text(sample, size);
            let mut target = vec![0; size];
            group.throughput(Throughput::Bytes(size as u64));
            for row in ["core", "core again"] {
                group.bench_function(BenchmarkId::new(row, size), |b| {
                    b.iter(|| core::str::from_utf8(black_box(&text)).is_ok());
                });
            }
            group.bench_function(BenchmarkId::new("validate_utf8", size), |b| {
                b.iter(|| validate_utf8(black_box(&text)).is_ok());
            });
            group.bench_function(BenchmarkId::new("validator", size), |b| {
                b.iter(|| {
                    let mut validator = Utf8Validator::new();
                    validator.validate(black_box(&text)).is_ok() && validator.is_complete()
                });
            });
            group.bench_function(BenchmarkId::new("simdutf8", size), |b| {
                b.iter(|| simdutf8::basic::from_utf8(black_box(&text)).is_ok());
            });
            group.bench_function(BenchmarkId::new("copy", size), |b| {
                b.iter(|| black_box(&mut target[..]).copy_from_slice(black_box(&text)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, validating);
criterion_main!(benches);
