//! UTF-8 validation against `core` and against the grammar of RFC 3629.

use proptest::prelude::*;
use sockeye::proto::{Utf8Validator, validate_utf8};

/// The syntax of RFC 3629 section 4, one alternative a row: a character is
/// one byte from each range in turn.
const CHARACTERS: [&[(u8, u8)]; 9] = [
    &[(0x00, 0x7f)],
    &[(0xc2, 0xdf), (0x80, 0xbf)],
    &[(0xe0, 0xe0), (0xa0, 0xbf), (0x80, 0xbf)],
    &[(0xe1, 0xec), (0x80, 0xbf), (0x80, 0xbf)],
    &[(0xed, 0xed), (0x80, 0x9f), (0x80, 0xbf)],
    &[(0xee, 0xef), (0x80, 0xbf), (0x80, 0xbf)],
    &[(0xf0, 0xf0), (0x90, 0xbf), (0x80, 0xbf), (0x80, 0xbf)],
    &[(0xf1, 0xf3), (0x80, 0xbf), (0x80, 0xbf), (0x80, 0xbf)],
    &[(0xf4, 0xf4), (0x80, 0x8f), (0x80, 0xbf), (0x80, 0xbf)],
];

/// Ok, or the first byte that continues no valid text; a text cut inside a
/// character fails at its end.
fn oracle(text: &[u8]) -> Result<(), usize> {
    let mut rest: &[(u8, u8)] = &[];
    for (offset, byte) in text.iter().enumerate() {
        let fits = |range: &(u8, u8)| (range.0..=range.1).contains(byte);
        rest = match rest.split_first() {
            Some((next, rest)) if fits(next) => rest,
            Some(_) => return Err(offset),
            None => match CHARACTERS.iter().find(|character| fits(&character[0])) {
                Some(character) => &character[1..],
                None => return Err(offset),
            },
        };
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(text.len())
    }
}

/// Validates the pieces between `cuts`, and gives the offset in the whole.
fn in_pieces(text: &[u8], cuts: &[usize]) -> Result<(), usize> {
    let mut validator = Utf8Validator::new();
    let mut start = 0;
    for &end in cuts.iter().chain([&text.len()]) {
        if let Err(error) = validator.validate(&text[start..end]) {
            assert!(!validator.is_complete());
            assert!(validator.finish().is_err());
            assert_eq!(validator.validate(b"more").unwrap_err().offset(), 0);
            return Err(start + error.offset());
        }
        start = end;
        let open = matches!(oracle(&text[..end]), Err(offset) if offset == end);
        assert_eq!(validator.is_complete(), !open);
    }
    validator.finish().map_err(|error| start + error.offset())
}

/// Asserts that both ways of asking agree with both oracles.
fn check(text: &[u8]) {
    let want = oracle(text);
    assert_eq!(
        want.is_ok(),
        core::str::from_utf8(text).is_ok(),
        "the oracles differ: {text:x?}"
    );
    let got = validate_utf8(text);
    if let Ok(text_back) = got {
        assert_eq!(text_back.as_bytes(), text);
    }
    assert_eq!(
        got.map(|_| ()).map_err(|error| error.offset()),
        want,
        "whole: {text:x?}"
    );
    assert_eq!(in_pieces(text, &[]), want, "one piece: {text:x?}");
}

/// As `check`, and with every cut in two.
fn check_cut(text: &[u8]) {
    check(text);
    let want = oracle(text);
    for cut in 0..=text.len() {
        assert_eq!(in_pieces(text, &[cut]), want, "cut at {cut}: {text:x?}");
    }
    let cuts: Vec<usize> = (1..text.len()).collect();
    assert_eq!(in_pieces(text, &cuts), want, "byte by byte: {text:x?}");
}

/// Puts `bytes` at `offset` into filler, so that blocks see it at every place.
fn embed(bytes: &[u8], offset: usize, len: usize, filler: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(len);
    text.extend(filler.bytes().cycle().take(offset - offset % filler.len()));
    text.resize(offset, b'.');
    text.extend_from_slice(bytes);
    while text.len() + filler.len() <= len {
        text.extend_from_slice(filler.as_bytes());
    }
    text.resize(text.len().max(len), b'.');
    text
}

/// Good and bad, at the edges of every range.
const INTERESTING: &[&[u8]] = &[
    b"",
    b"a",
    b"\x7f",
    b"\x80",
    b"\xbf",
    b"\xc0",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xc2",
    b"\xc2\x80",
    b"\xc3A",
    b"\xc3\xc3\xa9",
    b"\xdf\xbf",
    b"\xdf\xbf\xbf",
    b"\xe0\x80",
    b"\xe0\x9f\xbf",
    b"\xe0\xa0\x80",
    b"\xe0\xa0",
    b"\xe1\x80\x80",
    b"\xec\xbf\xbf",
    b"\xed\x9f\xbf",
    b"\xed\xa0",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbf",
    b"\xef\xbf",
    b"\xef\xbfA",
    b"\xf0\x80",
    b"\xf0\x8f\xbf\xbf",
    b"\xf0\x90\x80\x80",
    b"\xf0\x9f\x98\x80",
    b"\xf0\x9f\x98",
    b"\xf0\x9f\x98\x80\x80",
    b"\xf0\x9f\x98A",
    b"\xf1\x80\x80\x80",
    b"\xf3\xbf\xbf\xbf",
    b"\xf4\x80\x80\x80",
    b"\xf4\x8f\xbf\xbf",
    b"\xf4\x90",
    b"\xf4\x90\x80\x80",
    b"\xf4\xbf\xbf\xbf",
    b"\xf5\x80\x80\x80",
    b"\xf7\xbf\xbf\xbf",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xfe",
    b"\xff",
    "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}".as_bytes(),
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited",
];

const MIXED: &str = "Grüße, Привет, 你好世界, こんにちは, नमस्ते, 👋🏽🌍 and plain. ";

#[test]
fn reports_the_first_byte_that_proves_it() {
    let cases: [(&[u8], usize); 8] = [
        (b"\xed\xa0\x80", 1),
        (b"\xf4\x90\x80\x80", 1),
        (b"\xc0\xaf", 0),
        (b"\xe0\x80\x80", 1),
        (b"\xc3A", 1),
        (b"\xf0\x9f\x98A", 3),
        (b"ab\xf0\x9f\x98", 5),
        (b"ab\xff", 2),
    ];
    for (text, offset) in cases {
        assert_eq!(
            validate_utf8(text).unwrap_err().offset(),
            offset,
            "{text:x?}"
        );
    }
}

#[test]
fn every_split_in_three_gives_the_same_answer() {
    for text in INTERESTING {
        for first in 0..=text.len() {
            for second in first..=text.len() {
                assert_eq!(in_pieces(text, &[first, second]), oracle(text), "{text:x?}");
            }
        }
    }
}

#[test]
fn every_length_and_place_gives_the_oracles_answer() {
    for filler in ["x", "é", "你", "🌍"] {
        for len in 0..=200 {
            check(&embed(b"", 0, len, filler));
            for bytes in INTERESTING {
                // Every place near both ends, and some between.
                let places = (0..=len).filter(|at| *at < 8 || len - at < 8 || (at + len) % 5 == 0);
                for at in places {
                    check(&embed(bytes, at, len, filler));
                }
            }
        }
    }
}

#[test]
fn a_bad_byte_is_found_at_every_place_of_a_long_text() {
    let text = MIXED.repeat(8);
    let text = text.as_bytes();
    check(text);
    for at in 0..text.len() {
        check(&text[..at]);
        check(&text[at..]);
        for bad in [0x41, 0x80, 0xc0, 0xe0, 0xed, 0xf0, 0xf4, 0xff] {
            let mut text = text.to_vec();
            text[at] = bad;
            check(&text);
        }
    }
}

#[test]
fn every_cut_of_a_long_text_gives_the_same_answer() {
    let text = MIXED.repeat(4);
    check_cut(text.as_bytes());
    for bytes in INTERESTING {
        check_cut(&embed(bytes, 70, 150, "é"));
    }
}

/// Every one, both short and inside blocks.
fn check_sequence(bytes: &[u8]) {
    check(bytes);
    // At the last bytes of a block, so that it spans two.
    check(&embed(bytes, 129, 200, "é"));
}

#[test]
fn every_sequence_of_two_bytes() {
    for pair in 0..=u16::MAX {
        let pair = pair.to_be_bytes();
        check_cut(&pair);
        check_sequence(&pair);
    }
}

/// The edges of every range in the grammar.
const EDGES: [u8; 22] = [
    0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed,
    0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff,
];

/// As `check`, but only the answer, of the bytes alone and inside blocks,
/// where a '.' behind them makes being cut the same as being wrong.
fn check_quickly(bytes: &[u8], block: &mut [u8]) {
    let want = oracle(bytes);
    let got = validate_utf8(bytes)
        .map(|_| ())
        .map_err(|error| error.offset());
    assert_eq!(got, want, "{bytes:x?}");
    block[129..][..bytes.len()].copy_from_slice(bytes);
    let got = validate_utf8(block)
        .map(|_| ())
        .map_err(|error| error.offset());
    assert_eq!(
        got,
        want.map_err(|offset| 129 + offset),
        "{bytes:x?} in blocks"
    );
}

#[test]
fn every_sequence_of_three_bytes() {
    // Without optimisation this takes minutes: then the third bytes are those
    // at the edges. An ASCII first byte leaves what the pairs have had.
    let every: Vec<u8> = (0..=0xff).collect();
    let thirds = if cfg!(debug_assertions) {
        &EDGES[..]
    } else {
        &every[..]
    };
    let mut block = embed(b"...", 129, 200, "é");
    for first in 0x80..=0xff {
        for second in 0..=0xff {
            for &third in thirds {
                check_quickly(&[first, second, third], &mut block);
            }
        }
    }
}

#[test]
fn every_interesting_sequence_of_four_bytes() {
    let mut block = embed(b"....", 129, 200, "é");
    for first in 0xe0..=0xff {
        for second in 0x7f..=0xc2 {
            for third in EDGES {
                for fourth in EDGES {
                    check_quickly(&[first, second, third, fourth], &mut block);
                }
            }
        }
    }
}

#[test]
fn equal_states_compare_equal() {
    let mut validator = Utf8Validator::default();
    validator.validate(MIXED.as_bytes()).unwrap();
    assert_eq!(validator, Utf8Validator::new());
    assert!(size_of::<Utf8Validator>() <= 8);
}

/// Characters of all lengths, and bytes that break them.
fn almost_text() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop_oneof![
        8 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
        8 => "[a-zéя你🌍]{1,20}".prop_map(String::into_bytes),
        1 => "[ -~]{50,150}".prop_map(String::into_bytes),
        1 => prop::sample::select(INTERESTING).prop_map(<[u8]>::to_vec),
    ];
    prop::collection::vec(bytes, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_text_in_any_pieces(
        text in almost_text(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        check(&text);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(in_pieces(&text, &cuts), oracle(&text));
    }

    #[test]
    fn any_good_text_passes(text in "\\PC{0,300}") {
        check(text.as_bytes());
    }

    #[test]
    fn any_bytes(text in prop::collection::vec(any::<u8>(), 0..=200)) {
        check(&text);
    }

    #[test]
    fn any_text_with_any_byte_changed(
        text in "[a-zéя你🌍]{0,150}",
        at: prop::sample::Index,
        byte: u8,
    ) {
        let mut text = text.into_bytes();
        if !text.is_empty() {
            let at = at.index(text.len());
            text[at] = byte;
        }
        check(&text);
    }
}
