//! Masking against the definition in RFC 6455 section 5.3.

use proptest::prelude::*;
use sockeye::proto::mask;

/// The RFC's own words, byte by byte.
fn oracle(payload: &mut [u8], key: [u8; 4], phase: usize) {
    for (i, byte) in payload.iter_mut().enumerate() {
        *byte ^= key[(phase % 4 + i) % 4];
    }
}

/// Bytes in which neighbours and words all differ.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(next).collect()
}

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[test]
fn masks_the_hello_of_section_5_7() {
    let mut payload = *b"Hello";
    mask(&mut payload, KEY, 0);
    assert_eq!(payload, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    mask(&mut payload, KEY, 0);
    assert_eq!(&payload, b"Hello");
}

#[test]
fn equals_the_oracle_at_every_length_phase_and_alignment() {
    let buffer = sample(400);
    // The longer payloads below start at every place of a cache line.
    for len in 0..=300 {
        for phase in 0..8 {
            for start in 0..8 {
                let (mut got, mut want) = (buffer.clone(), buffer.clone());
                mask(&mut got[start..start + len], KEY, phase);
                oracle(&mut want[start..start + len], KEY, phase);
                assert_eq!(got, want, "length {len}, phase {phase}, start {start}");
            }
        }
    }
}

#[test]
fn equals_the_oracle_at_every_start_within_a_cache_line() {
    let buffer = sample(6000);
    for len in [1024, 1500, 4095, 4096, 4097, 5000] {
        for start in 0..64 {
            let (mut got, mut want) = (buffer.clone(), buffer.clone());
            mask(&mut got[start..start + len], KEY, start * 3);
            oracle(&mut want[start..start + len], KEY, start * 3);
            assert_eq!(got, want, "length {len}, start {start}");
        }
    }
}

#[test]
fn the_greatest_phase_does_not_overflow() {
    for len in 0..200 {
        let (mut got, mut want) = (sample(len), sample(len));
        mask(&mut got, KEY, usize::MAX);
        oracle(&mut want, KEY, usize::MAX);
        assert_eq!(got, want, "length {len}");
    }
}

proptest! {
    #[test]
    fn is_its_own_inverse(
        payload in proptest::collection::vec(any::<u8>(), 0..2000),
        key: [u8; 4],
        phase: usize,
    ) {
        let mut masked = payload.clone();
        mask(&mut masked, key, phase);
        mask(&mut masked, key, phase);
        prop_assert_eq!(masked, payload);
    }

    #[test]
    fn pieces_at_their_offsets_equal_the_whole(
        payload in proptest::collection::vec(any::<u8>(), 0..2000),
        key: [u8; 4],
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut whole = payload.clone();
        oracle(&mut whole, key, 0);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect();
        cuts.extend([0, payload.len()]);
        cuts.sort_unstable();
        let mut pieces = payload;
        for pair in cuts.windows(2) {
            mask(&mut pieces[pair[0]..pair[1]], key, pair[0]);
        }
        prop_assert_eq!(pieces, whole);
    }
}
