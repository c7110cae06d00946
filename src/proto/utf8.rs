//! UTF-8 validation of text that arrives in pieces (RFC 3629; RFC 6455
//! sections 5.6 and 8.1).
//!
//! Owns the judgement whether bytes are UTF-8, where they first are not, and
//! the hand-over of validated bytes as `&str`. It keeps no byte of the text.
//! What follows from bad text (close code 1007) is the connection's business,
//! as is knowing which messages are text.

use core::fmt;

/// Text is checked in blocks of this many bytes. One cache line; four 16-byte
/// vectors are enough work to hide the one branch that each block costs.
const BLOCK: usize = 64;

/// The longest character has four bytes, so what a byte may be depends on at
/// most three before it.
const LOOK_BACK: usize = 3;

/// The top bit of each byte: set in every byte that is not ASCII.
const TOP_BITS: u64 = 0x8080_8080_8080_8080;

/// Pieces from here on go to simdutf8. Below, setting it up costs more than
/// it saves.
#[cfg(feature = "simd")]
const SIMD_FROM: usize = 256;

/// Bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utf8Error {
    offset: usize,
}

impl Utf8Error {
    /// The index, in the piece that was given, of the first byte that proves
    /// the text invalid: the first that continues no valid text.
    ///
    /// For the bytes `ED A0` (a surrogate) that is the index of `A0`, for `C0`
    /// its own. Text that is cut inside a character is proved invalid by its
    /// end, so the offset is then the length of what was given.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }
}

impl fmt::Display for Utf8Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid UTF-8 at byte {}", self.offset)
    }
}

impl core::error::Error for Utf8Error {}

/// Validates one text that arrives in any number of pieces.
///
/// Give it the pieces in order with [`validate`](Self::validate), then ask
/// [`finish`](Self::finish). The answers do not depend on where the text is
/// split. Bad text is reported with the first byte that proves it, without
/// waiting for the rest of the character.
///
/// A whole text at hand is better served by the function [`validate`].
///
/// ```
/// # use sockeye::proto::Utf8Validator;
/// let mut text = Utf8Validator::new();
/// text.validate(b"caf\xc3")?;
/// assert!(!text.is_complete());
/// text.validate(b"\xa9")?;
/// text.finish()?;
/// assert_eq!(text.validate(b"!\xff").unwrap_err().offset(), 1);
/// # Ok::<(), sockeye::proto::Utf8Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Utf8Validator {
    /// Continuation bytes that the last character still lacks.
    missing: u8,
    /// The least and greatest value of the next byte, if one is missing; else
    /// zero.
    least: u8,
    greatest: u8,
}

impl Utf8Validator {
    /// A validator at the start of a text.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            missing: 0,
            least: 0,
            greatest: 0,
        }
    }

    /// A byte is missing and none will do: what a failed text stays in.
    const FAILED: Self = Self {
        missing: 1,
        least: 0xff,
        greatest: 0,
    };

    /// Continues the text with `piece`, which may begin and end anywhere.
    ///
    /// # Errors
    ///
    /// [`Utf8Error`] with the offset in `piece` of the first byte that proves
    /// the text invalid. The error sticks: from then on every piece that is
    /// not empty fails at offset 0, and so does [`finish`](Self::finish).
    #[inline]
    pub fn validate(&mut self, piece: &[u8]) -> Result<(), Utf8Error> {
        if self.missing == 0 && is_short_ascii(piece) {
            return Ok(());
        }
        self.continue_with(piece)
    }

    /// Whether the text so far ends between two characters. The empty text
    /// does; a text that failed does not.
    #[inline]
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Ends the text. To start another, take a [`new`](Self::new) validator.
    ///
    /// # Errors
    ///
    /// [`Utf8Error`] if the text was cut inside a character, or failed
    /// before. The offset is 0: that of the end, counted from the last piece's
    /// end.
    #[inline]
    pub const fn finish(&self) -> Result<(), Utf8Error> {
        if self.is_complete() {
            Ok(())
        } else {
            Err(Utf8Error { offset: 0 })
        }
    }

    #[inline(never)]
    fn continue_with(&mut self, piece: &[u8]) -> Result<(), Utf8Error> {
        let result = self.check(piece);
        if result.is_err() {
            *self = Self::FAILED;
        }
        result
    }

    fn check(&mut self, text: &[u8]) -> Result<(), Utf8Error> {
        // Byte by byte to a character's start that has LOOK_BACK bytes
        // before it in this piece, at most six bytes on.
        let mut done = 0;
        while done < text.len() && (self.missing != 0 || done < LOOK_BACK) {
            self.step(text[done], done)?;
            done += 1;
        }
        if text.len() - done >= BLOCK {
            let end = blocks(text, done);
            return self.tail(text, end);
        }
        self.bytes(text, done)
    }

    /// Checks the rest of `text` from `from` byte by byte.
    fn bytes(&mut self, text: &[u8], from: usize) -> Result<(), Utf8Error> {
        for (offset, &byte) in text.iter().enumerate().skip(from) {
            self.step(byte, offset)?;
        }
        Ok(())
    }

    /// Takes up the check byte by byte at `from`, before which the text has
    /// been found good but for a character that may still be open there.
    fn tail(&mut self, text: &[u8], from: usize) -> Result<(), Utf8Error> {
        let open = open_at_end(&text[..from]);
        *self = Self::new();
        self.bytes(text, from - open)
    }

    /// Takes one byte; `offset` is its index, for the error.
    #[inline]
    fn step(&mut self, byte: u8, offset: usize) -> Result<(), Utf8Error> {
        if self.missing != 0 {
            if byte < self.least || byte > self.greatest {
                return Err(Utf8Error { offset });
            }
            *self = Self::lacking(self.missing - 1, 0x80, 0xbf);
            return Ok(());
        }
        // RFC 3629 section 4: which second bytes may follow which first.
        *self = match byte {
            0x00..=0x7f => return Ok(()),
            0xc2..=0xdf => Self::lacking(1, 0x80, 0xbf),
            0xe0 => Self::lacking(2, 0xa0, 0xbf),
            0xed => Self::lacking(2, 0x80, 0x9f),
            0xe1..=0xef => Self::lacking(2, 0x80, 0xbf),
            0xf0 => Self::lacking(3, 0x90, 0xbf),
            0xf1..=0xf3 => Self::lacking(3, 0x80, 0xbf),
            0xf4 => Self::lacking(3, 0x80, 0x8f),
            0x80..=0xc1 | 0xf5..=0xff => return Err(Utf8Error { offset }),
        };
        Ok(())
    }

    /// `least` and `greatest` are zero between characters, so that equal
    /// states compare equal.
    const fn lacking(missing: u8, least: u8, greatest: u8) -> Self {
        if missing == 0 {
            Self::new()
        } else {
            Self {
                missing,
                least,
                greatest,
            }
        }
    }
}

/// Validates a whole text, and returns it as `&str`.
///
/// # Errors
///
/// [`Utf8Error`] with the offset of the first byte that proves the text
/// invalid, or `text.len()` if it is cut inside a character.
#[inline]
pub fn validate(text: &[u8]) -> Result<&str, Utf8Error> {
    if !is_short_ascii(text) {
        let mut validator = Utf8Validator::new();
        validator.continue_with(text)?;
        if !validator.is_complete() {
            return Err(Utf8Error { offset: text.len() });
        }
    }
    Ok(validated(text))
}

/// Hands over bytes as the text that a validator has found them to be.
///
/// `bytes` must have passed a [`Utf8Validator`] whole, from a text's start
/// to where the validator is complete. Tests check that; a release trusts it.
#[allow(unsafe_code)]
#[inline]
#[must_use]
pub(crate) fn validated(bytes: &[u8]) -> &str {
    debug_assert!(
        core::str::from_utf8(bytes).is_ok(),
        "text was not validated"
    );
    // SAFETY: the caller has had every byte checked, so these are UTF-8.
    unsafe { core::str::from_utf8_unchecked(bytes) }
}

/// Whether `text` is ASCII of at most 128 bytes. Inlined into the callers:
/// this answers for most messages there are.
#[inline(always)]
fn is_short_ascii(text: &[u8]) -> bool {
    let len = text.len();
    let bits = if len > 128 {
        return false;
    } else if len >= 16 {
        // The last 16 bytes overlap what the loop has seen.
        let mut bits = match text.last_chunk::<16>() {
            Some(last) => non_ascii(last),
            None => 0,
        };
        for chunk in text.as_chunks::<16>().0 {
            bits |= non_ascii(chunk);
        }
        bits
    } else if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        (u64::from_ne_bytes(*first) | u64::from_ne_bytes(*last)) & TOP_BITS
    } else {
        let mut bits = 0;
        for &byte in text {
            bits |= byte;
        }
        u64::from(bits & 0x80)
    };
    bits == 0
}

/// The top bits of sixteen bytes, folded; zero if all are ASCII.
#[inline(always)]
fn non_ascii(chunk: &[u8; 16]) -> u64 {
    let bits = u128::from_ne_bytes(*chunk);
    (bits as u64 | (bits >> 64) as u64) & TOP_BITS
}

/// Checks blocks of `text` from `from`, a character's start with at least
/// `LOOK_BACK` bytes before it, and returns where it stopped: at the end, or
/// before a bad block. Before there, the text is good, but for a character
/// that may still be open.
fn blocks(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while text.len() - at >= BLOCK {
        if !is_good(text, at) {
            return at;
        }
        at += BLOCK;
    }
    if at < text.len() && is_good(text, text.len() - BLOCK) {
        at = text.len();
    }
    at
}

/// Whether the block at `at` continues the text before it.
#[inline(always)]
fn is_good(text: &[u8], at: usize) -> bool {
    let window = &text[at - LOOK_BACK..at + BLOCK];
    let here = &window[LOOK_BACK..][..BLOCK];
    let one = &window[2..][..BLOCK];
    let two = &window[1..][..BLOCK];
    let three = &window[..BLOCK];
    let mut bits = 0;
    for byte in here {
        bits |= byte;
    }
    if bits < 0x80 {
        return open_at_end(&text[..at]) == 0;
    }
    let mut bad = 0;
    for i in 0..BLOCK {
        bad |= judge(here[i], one[i], two[i], three[i]);
    }
    bad & 0x80 == 0
}

/// Has the top bit set if `here` may not follow the bytes before it. `one` is the byte
/// before, `two` the one before that, and so on.
#[inline(always)]
fn judge(here: u8, one: u8, two: u8, three: u8) -> u8 {
    // Each line's result is in the top bit alone; the other bits are noise.
    let after_lead = one.saturating_sub(0xc0 - 0x80);
    let must = after_lead | two.saturating_sub(0xe0 - 0x80) | three.saturating_sub(0xf0 - 0x80);
    let is = here & !(here.wrapping_add(here));
    // The lead byte's low six bits and the next one's two below its top bits.
    let pair = (one << 2) | ((here >> 4) & 3);
    let wrong = (0x87_u8.saturating_sub(pair)) // C0, C1: overlong
        | eq(pair & 0xfe, 0x80) // E0 80..9F: overlong
        | eq(pair & 0xfe, 0xb6) // ED A0..BF: surrogates
        | eq(pair, 0xc0) // F0 80..8F: overlong
        | pair.saturating_sub(0xd1 - 0x80); // F4 90.. and above: beyond U+10FFFF
    (must ^ is) | (after_lead & wrong)
}

#[inline(always)]
fn eq(a: u8, b: u8) -> u8 {
    if a == b { 0x80 } else { 0 }
}

/// How many bytes at the end of `text`, which is good so far, belong to a
/// character that needs more.
#[inline(always)]
fn open_at_end(text: &[u8]) -> usize {
    match text {
        [.., lead] if *lead >= 0xc0 => 1,
        [.., lead, _] if *lead >= 0xe0 => 2,
        [.., lead, _, _] if *lead >= 0xf0 => 3,
        _ => 0,
    }
}

/// As [`validated`], for a buffer of its own.
#[must_use]
#[allow(unsafe_code)]
pub(crate) fn validated_string(bytes: alloc::vec::Vec<u8>) -> alloc::string::String {
    debug_assert!(core::str::from_utf8(&bytes).is_ok());
    // SAFETY: as in `validated`.
    unsafe { alloc::string::String::from_utf8_unchecked(bytes) }
}
