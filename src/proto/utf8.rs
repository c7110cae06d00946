//! UTF-8 validation of text that arrives in pieces (RFC 3629; RFC 6455
//! sections 5.6 and 8.1).
//!
//! Owns the decision whether bytes are UTF-8, where they first are not, and the conversion of
//! validated bytes to `&str`. It keeps no byte of the text. What follows from invalid text (close
//! code 1007), and which messages are text, is left to the connection.

use core::fmt;

/// Text is checked in blocks of one cache line. Four 16-byte vectors are enough work to hide the
/// one branch that each block costs.
const BLOCK: usize = 64;

/// What is too short for a block is checked in words of this many bytes, one SSE2 or NEON vector.
const WORD: usize = 16;

/// The longest character has four bytes, so the validity of a byte depends on at most three before
/// it.
const LOOK_BACK: usize = 3;

/// Text up to this many bytes is checked for ASCII inline. This covers every payload whose length
/// fits the header's seven bits (125), in whole words.
const SHORT: usize = 128;

/// ASCII is skipped in steps of this many bytes, so that the loop's own cost
/// is small beside the loads.
const STRIDE: usize = 2 * BLOCK;

/// Text from this many bytes on is checked by simdutf8, which copies what follows its last 64
/// bytes, and is called through a pointer.
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
    /// end: for [`validate_utf8`] the offset then is the length of what was given,
    /// for [`Utf8Validator::finish`], which is given no piece, 0.
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
/// [`finish`](Self::finish). What it returns does not depend on where the text is
/// split. Bad text is reported with the first byte that proves it, without
/// waiting for the rest of the character.
///
/// For a whole text, the function [`validate_utf8`] is faster.
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

    /// A byte is missing and no value is valid: the state of a failed text.
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
        let mut start = 0;
        while self.missing != 0 {
            let Some(&byte) = text.get(start) else {
                return Ok(());
            };
            self.step(byte, start)?;
            start += 1;
        }
        let rest = &text[start..];
        let good = good_prefix(rest);
        // What is not known to be valid is checked byte by byte, from the start of the open
        // character: to the first invalid byte, if there is one, otherwise to the text's end.
        let open = open_at_end(&rest[..good]);
        for (offset, &byte) in text.iter().enumerate().skip(start + good - open) {
            self.step(byte, offset)?;
        }
        Ok(())
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
pub fn validate_utf8(text: &[u8]) -> Result<&str, Utf8Error> {
    // If it is invalid, the validator finds where.
    #[cfg(feature = "simd")]
    if text.len() >= SIMD_FROM && simdutf8::basic::from_utf8(text).is_ok() {
        return Ok(validated(text));
    }
    if !is_short_ascii(text) {
        let mut validator = Utf8Validator::new();
        validator.continue_with(text)?;
        if !validator.is_complete() {
            return Err(Utf8Error { offset: text.len() });
        }
    }
    Ok(validated(text))
}

/// Returns bytes that a validator has accepted as text.
///
/// All of `bytes` must have passed a [`Utf8Validator`], from a text's start to where the validator
/// is complete. Tests check that; a release build trusts it.
#[allow(unsafe_code)]
#[inline]
#[must_use]
pub(super) fn validated(bytes: &[u8]) -> &str {
    debug_assert!(
        core::str::from_utf8(bytes).is_ok(),
        "text was not validated"
    );
    // SAFETY: the caller has had every byte checked, so these are UTF-8.
    unsafe { core::str::from_utf8_unchecked(bytes) }
}

/// Whether `text` is ASCII of at most [`SHORT`] bytes. Inlined into the callers: most messages need
/// only this.
#[inline(always)]
fn is_short_ascii(text: &[u8]) -> bool {
    match text.len() {
        0..WORD => short_word(text) & TOP_BITS == 0,
        16..=32 => are_ends_ascii::<16>(text),
        33..=64 => are_ends_ascii::<32>(text),
        65..=SHORT => are_ends_ascii::<64>(text),
        _ => false,
    }
}

/// Whether `N` to `2 * N` bytes are ASCII: their first and their last `N`,
/// which may overlap.
#[inline(always)]
fn are_ends_ascii<const N: usize>(text: &[u8]) -> bool {
    let (Some(head), Some(tail)) = (text.first_chunk::<N>(), text.last_chunk::<N>()) else {
        return false;
    };
    let mut bits = 0;
    for i in 0..N {
        bits |= head[i] | tail[i];
    }
    bits < 0x80
}

/// The top bit of each byte of a word.
const TOP_BITS: u128 = u128::from_ne_bytes([0x80; WORD]);

/// Reads fewer than `WORD` bytes as one little-endian word, padded with zeros, which are ASCII.
#[inline(always)]
fn short_word(text: &[u8]) -> u128 {
    let len = text.len();
    // Two halves that overlap; the second is shifted to its place, where the
    // bits that both have are the same.
    if let (Some(head), Some(tail)) = (text.first_chunk(), text.last_chunk()) {
        let tail = u128::from(u64::from_le_bytes(*tail));
        return u128::from(u64::from_le_bytes(*head)) | tail << ((len - 8) * 8);
    }
    if let (Some(head), Some(tail)) = (text.first_chunk(), text.last_chunk()) {
        let tail = u64::from(u32::from_le_bytes(*tail));
        return u128::from(u64::from(u32::from_le_bytes(*head)) | tail << ((len - 4) * 8));
    }
    let mut word = 0;
    for &byte in text.iter().rev() {
        word = word << 8 | u32::from(byte);
    }
    u128::from(word)
}

/// Returns a length up to which `text`, which begins with a character, is known to be valid, except
/// for a character that may still be open there. It is the whole length if the text is valid.
fn good_prefix(text: &[u8]) -> usize {
    #[cfg(feature = "simd")]
    if text.len() >= SIMD_FROM {
        let whole = text.len() - open_at_end(text);
        if simdutf8::basic::from_utf8(&text[..whole]).is_ok() {
            return whole;
        }
        // It doesn't report where: check again.
    }
    let Some(first) = text.first_chunk::<WORD>() else {
        let word = short_word(text);
        return if is_good_start(word) { text.len() } else { 0 };
    };
    let mut at = skip_ascii(text, 0);
    if at == 0 {
        if !is_good_start(u128::from_le_bytes(*first)) {
            return 0;
        }
        at = WORD;
    }
    // From here on there are enough bytes to look back on.
    while let Some(block) = text[at..].first_chunk::<BLOCK>() {
        if are_ends_ascii::<{ BLOCK / 2 }>(block) {
            if open_at_end(&text[..at]) != 0 {
                return at;
            }
            at = skip_ascii(text, at + BLOCK);
        } else if is_good_block(&text[at - LOOK_BACK..]) {
            at += BLOCK;
        } else {
            return at;
        }
    }
    while let Some(word) = text[at..].first_chunk::<WORD>() {
        if !is_good(word, &text[at - LOOK_BACK..]) {
            return at;
        }
        at += WORD;
    }
    // The last word overlaps what has been checked.
    if at < text.len()
        && let Some(back) = text.len().checked_sub(WORD + LOOK_BACK)
        && let Some(word) = text.last_chunk::<WORD>()
        && is_good(word, &text[back..])
    {
        return text.len();
    }
    at
}

/// Skips ASCII from `from` on, where a character starts, to the end or in
/// whole strides.
#[inline(always)]
fn skip_ascii(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(stride) = text[at..].first_chunk::<STRIDE>() {
        if !are_ends_ascii::<BLOCK>(stride) {
            return at;
        }
        at += STRIDE;
    }
    // The last stride overlaps those before it.
    match text.last_chunk::<STRIDE>() {
        Some(last) if are_ends_ascii::<BLOCK>(last) => text.len(),
        _ => at,
    }
}

/// Whether a word is valid at the start of a text.
#[inline(always)]
fn is_good_start(word: u128) -> bool {
    let here = word.to_le_bytes();
    let [one, two, three] = [8, 16, 24].map(|bits| (word << bits).to_le_bytes());
    judge(&here, &one, &two, &three)
}

/// Whether `here` is valid behind the three bytes before it. `window` begins with these.
#[inline(always)]
fn is_good<const N: usize>(here: &[u8; N], window: &[u8]) -> bool {
    match (
        window[2..].first_chunk(),
        window[1..].first_chunk(),
        window.first_chunk(),
    ) {
        (Some(one), Some(two), Some(three)) => judge(here, one, two, three),
        _ => false,
    }
}

/// Like [`is_good`], for one block. Never inlined: if the compiler sees that the block was checked
/// for ASCII, it shifts the preceding bytes together from that instead of loading them again, and
/// takes half as long again.
#[inline(never)]
fn is_good_block(window: &[u8]) -> bool {
    window[LOOK_BACK..]
        .first_chunk::<BLOCK>()
        .is_some_and(|block| is_good(block, window))
}

/// Whether all of `here` is valid: checked byte by byte without branches, which the compiler turns
/// into vectors.
///
/// `one[i]` is the byte before `here[i]`, `two[i]` the one before that.
#[inline(always)]
fn judge<const N: usize>(here: &[u8; N], one: &[u8; N], two: &[u8; N], three: &[u8; N]) -> bool {
    let mut bad = 0;
    for i in 0..N {
        bad |= fault(here[i], one[i], two[i], three[i]);
    }
    bad & 0x80 == 0
}

/// The top bit is set if `here` may not follow the bytes before it, or if the byte before is C0 or
/// C1, which lead nothing. The other bits are undefined.
///
/// Written for the fewest vector operations, SSE2 having only some: unsigned
/// `>=` is a saturating subtraction that leaves the top bit, `<` is signed.
#[inline(always)]
fn fault(here: u8, one: u8, two: u8, three: u8) -> u8 {
    let below = |limit: u8| mask(here.cast_signed() < limit.cast_signed());

    // A continuation byte (80..BF) must follow where a lead byte requires it, and nowhere else.
    let lead = one.saturating_sub(0xc2 - 0x80);
    let must = lead | two.saturating_sub(0xe0 - 0x80) | three.saturating_sub(0xf0 - 0x80);
    let is = below(0xc0);

    // For the second byte, E0 with 80..9F (overlong) and ED with the others
    // (surrogates) meet in one value, and so do F0 with 80..8F (overlong) and
    // F4 with the others (beyond U+10FFFF).
    let of_three = mask(one.wrapping_add(below(0xa0) & (0xed - 0xe0)) == 0xed);
    let of_four = mask(one.wrapping_add(below(0x90) & (0xf4 - 0xf0)) == 0xf4);

    // C0 and C1 came out next below the leads, as 7E and 7F.
    let overlong = mask(lead.cast_signed() > 0x7d);
    let beyond = here.saturating_sub(0xf5 - 0x80);

    (must ^ is) | of_three | of_four | overlong | beyond
}

/// All bits or none, like the result of a vector compare.
#[inline(always)]
fn mask(condition: bool) -> u8 {
    if condition { 0xff } else { 0 }
}

/// Returns how many bytes at the end of `text`, which is valid so far, belong to an incomplete
/// character.
#[inline(always)]
pub(super) fn open_at_end(text: &[u8]) -> usize {
    match *text {
        [.., lead] if lead >= 0xc0 => 1,
        [.., lead, _] if lead >= 0xe0 => 2,
        [.., lead, _, _] if lead >= 0xf0 => 3,
        _ => 0,
    }
}

/// Like [`validated`], for an owned buffer.
#[must_use]
#[allow(unsafe_code)]
pub(super) fn validated_string(bytes: alloc::vec::Vec<u8>) -> alloc::string::String {
    debug_assert!(core::str::from_utf8(&bytes).is_ok());
    // SAFETY: as in `validated`.
    unsafe { alloc::string::String::from_utf8_unchecked(bytes) }
}
