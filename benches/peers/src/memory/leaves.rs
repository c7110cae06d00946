//! Masking and UTF-8: for those that let them be called.

use std::hint::black_box;

use crate::{ASCII, Group, MIXED, Row, text};

pub fn groups() -> Vec<Group> {
    let masked = [16, 64, 1 << 10, 64 << 10, 1 << 20].map(|size| {
        let calls = calls(size);
        Group::new("mask", size, mask(size, calls))
    });
    let texts = [("ASCII", ASCII), ("mixed", MIXED)];
    let checked = texts.map(|(name, words)| Group::new("utf8", name, utf8(&text(words, 1024))));
    masked.into_iter().chain(checked).collect()
}

/// So many that a call is worth timing.
fn calls(size: usize) -> usize {
    ((16 << 10) / size).max(1)
}

const KEY: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// In place, but for the copy that it is compared with.
fn mask(size: usize, calls: usize) -> Vec<Row> {
    let copy = || {
        let (from, mut to) = (vec![1_u8; size], Vec::new());
        move || {
            for _ in 0..calls {
                to.clear();
                to.extend_from_slice(black_box(&from));
                black_box(&mut to);
            }
        }
    };
    let with = |name, mask: fn(&mut [u8])| {
        let mut payload = vec![1; size];
        Row::new(name, calls, move || {
            for _ in 0..calls {
                mask(black_box(&mut payload));
            }
        })
    };
    vec![
        Row::new("copy", calls, copy()),
        with("sockeye", |payload| sockeye::proto::mask(payload, KEY, 0)),
        with("fastwebsockets", |payload| {
            fastwebsockets::unmask(payload, KEY)
        }),
        with("sockudo-ws", |payload| {
            sockudo_ws::simd::apply_mask(payload, KEY)
        }),
        with("yawc", |payload| yawc::mask::apply_mask(payload, KEY)),
        with("soketto", |payload| {
            let mut header = soketto::base::Header::new(soketto::base::OpCode::Binary);
            header.set_masked(true).set_mask(u32::from_be_bytes(KEY));
            soketto::base::Codec::apply_mask(&header, payload);
        }),
        Row::new("copy again", calls, copy()),
    ]
}

fn utf8(text: &str) -> Vec<Row> {
    let copy = || {
        let (from, mut to) = (text.as_bytes().to_vec(), Vec::new());
        move || {
            for _ in 0..16 {
                to.clear();
                to.extend_from_slice(black_box(&from));
                black_box(&mut to);
            }
        }
    };
    let with = |name, is_valid: fn(&[u8]) -> bool| {
        let text = text.as_bytes().to_vec();
        Row::new(name, 16, move || {
            for _ in 0..16 {
                assert!(is_valid(black_box(&text)));
            }
        })
    };
    vec![
        Row::new("copy", 16, copy()),
        with("sockeye", |text| {
            sockeye::proto::validate_utf8(text).is_ok()
        }),
        with("sockudo-ws", sockudo_ws::utf8::validate_utf8),
        with("simdutf8", |text| simdutf8::basic::from_utf8(text).is_ok()),
        with("std", |text| std::str::from_utf8(text).is_ok()),
        Row::new("copy again", 16, copy()),
    ]
}
