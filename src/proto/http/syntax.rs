//! Byte classes of the head's grammar, and the loops that skip over them.

/// `tchar` of RFC 9110 section 5.6.2.
pub(in crate::proto) const TOKEN: u8 = 1;
/// Bytes of a request target before a `?`.
pub(super) const PATH: u8 = 1 << 1;
/// Bytes of a request target from the first `?` on.
pub(super) const QUERY: u8 = 1 << 2;
/// Bytes of a header value or reason phrase: HTAB, SP, visible ASCII, and 0x80 and above
/// (`obs-text`). RFC 9110 section 5.5.
pub(super) const TEXT: u8 = 1 << 3;
/// SP and HTAB.
pub(super) const OWS: u8 = 1 << 4;
/// `unreserved` and `sub-delims` of RFC 3986 section 2: a registered name except for its escapes.
pub(super) const REG_NAME: u8 = 1 << 5;

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        table[index] = class(index as u8);
        index += 1;
    }
    table
}

const fn class(byte: u8) -> u8 {
    let mut class = 0;
    if byte.is_ascii_alphanumeric() {
        class |= TOKEN | REG_NAME;
    }
    if matches!(
        byte,
        b'!' | b'#'
            | b'$'
            | b'%'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~'
    ) {
        class |= TOKEN;
    }
    if matches!(
        byte,
        b'-' | b'.'
            | b'_'
            | b'~'
            | b'!'
            | b'$'
            | b'&'
            | b'\''
            | b'('
            | b')'
            | b'*'
            | b'+'
            | b','
            | b';'
            | b'='
    ) {
        class |= REG_NAME;
    }
    // Wider than RFC 3986: browsers send [ ] | in paths and also { } ^ ` \ in queries as they are.
    // They never send a raw backslash in a path, and peers that read it as a slash would see
    // another path than this one; so there it is refused.
    if byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>') {
        class |= QUERY;
        if !matches!(byte, b'?' | b'\\') {
            class |= PATH;
        }
    }
    if byte == b'\t' || (byte >= b' ' && byte != 0x7f) {
        class |= TEXT;
    }
    if matches!(byte, b' ' | b'\t') {
        class |= OWS;
    }
    class
}

#[inline]
pub(in crate::proto) fn is_class(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// The first position from `at` on whose byte is not of `class`, or the end.
#[inline]
pub(in crate::proto) fn skip(bytes: &[u8], mut at: usize, class: u8) -> usize {
    while at < bytes.len() && is_class(bytes[at], class) {
        at += 1;
    }
    at
}

/// `skip(bytes, at, TEXT)`, eight bytes at a time: values are most of a head.
#[inline]
pub(super) fn skip_text(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*chunk);
        let below_space = word.wrapping_sub(ONES * 0x20) & !word;
        let not_del = word ^ (ONES * 0x7f);
        let del = not_del.wrapping_sub(ONES) & !not_del;
        // A borrow can mark bytes above a true hit by mistake; the lowest mark is always right.
        let marks = (below_space | del) & HIGHS;
        if marks == 0 {
            at += 8;
            continue;
        }
        at += marks.trailing_zeros() as usize / 8;
        if bytes[at] != b'\t' {
            return at;
        }
        at += 1;
    }
    skip(bytes, at, TEXT)
}

/// Whether `bytes` is a token: one or more `tchar` (RFC 9110 section 5.6.2).
///
/// Methods, header names, subprotocols and extension names are tokens.
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && skip(bytes, 0, TOKEN) == bytes.len()
}

/// Whether `bytes` can be sent as a header value without changing the head around it.
///
/// No CR, LF, NUL or other control byte but HTAB (RFC 9110 section 5.5). Empty is allowed, and so
/// are bytes from 0x80 on, which a recipient treats as opaque. White space at the ends is allowed;
/// a recipient trims it.
#[must_use]
pub fn is_header_value(bytes: &[u8]) -> bool {
    skip_text(bytes, 0) == bytes.len()
}

/// Whether `bytes` is accepted as a request target by [`HeadParser`](super::HeadParser), its
/// length aside: not empty, visible ASCII, none of `#`, `"`, `<`, `>`, and no `\` before a `?`.
#[must_use]
pub fn is_request_target(bytes: &[u8]) -> bool {
    let path = skip(bytes, 0, PATH);
    let query = bytes.get(path) == Some(&b'?');
    let end = if query {
        skip(bytes, path, QUERY)
    } else {
        path
    };
    !bytes.is_empty() && end == bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn skipping_text_by_words_equals_skipping_it_by_bytes(
            bytes in proptest::collection::vec(
                prop_oneof![6 => 0x20u8..0x7f, 1 => 0x80u8.., 1 => Just(b'\t'), 1 => any::<u8>()],
                0..64,
            ),
            at in 0usize..64,
        ) {
            let at = at.min(bytes.len());
            prop_assert_eq!(skip_text(&bytes, at), skip(&bytes, at, TEXT));
        }
    }

    #[test]
    fn every_byte_in_every_lane_is_classed_alike_by_words_and_bytes() {
        for lane in 0..8 {
            for byte in 0..=255 {
                for filler in [b' ', b'~', 0x80, 0xff] {
                    let mut bytes = [filler; 16];
                    bytes[lane] = byte;
                    assert_eq!(skip_text(&bytes, 0), skip(&bytes, 0, TEXT), "{bytes:?}");
                }
            }
        }
    }
}
