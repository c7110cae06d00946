//! Masking: the XOR that a client's frames carry over their payload
//! (RFC 6455 section 5.3).
//!
//! Owns only the transformation. Where the masking key comes from and whether a frame must be
//! masked is left to the connection; the frame header has the key's place on the wire.

/// Long payloads are masked in blocks of two cache lines, which keep the loop busy, and the rest in
/// single ones.
const BLOCK: usize = 2 * LINE;

/// A cache line.
const LINE: usize = 64;

/// Blocks begin at a multiple of this address, the widest word that the compiler uses. A payload
/// seldom does, behind a header of 2 to 14 bytes, and each word across two cache lines would cost
/// double.
const WORD: usize = 32;

/// The top bits of a quad's bytes.
const TOP_BITS: u32 = 0x8080_8080;

/// Masks or unmasks `payload` in place; the same call does both.
///
/// `phase` is the offset in bytes of `payload[0]` from the start of the
/// frame's payload, so that a payload can be unmasked piece by piece as it
/// arrives. Only `phase % 4` matters.
///
/// > Octet i of the transformed data ("transformed-octet-i") is the XOR of
/// > octet i of the original data ("original-octet-i") with octet at index
/// > i modulo 4 of the masking key. (RFC 6455 section 5.3)
///
/// Never fails and never panics; an empty payload is left as it is.
///
/// ```
/// use sockeye::proto::mask;
///
/// let key = [0x37, 0xfa, 0x21, 0x3d];
/// let mut payload = *b"Hello";
/// mask(&mut payload, key, 0);
/// assert_eq!(payload, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
///
/// // The same in two pieces, and back.
/// mask(&mut payload[..3], key, 0);
/// mask(&mut payload[3..], key, 3);
/// assert_eq!(&payload, b"Hello");
/// ```
#[inline]
pub fn mask(payload: &mut [u8], key: [u8; 4], phase: usize) {
    mask_looking::<false>(payload, key, phase);
}

/// Like [`mask`]; returns whether the payload is ASCII now. Checking while the bytes are loaded
/// costs little, a second pass as much as masking did.
#[inline]
pub(super) fn mask_to_ascii(payload: &mut [u8], key: [u8; 4], phase: usize) -> bool {
    mask_looking::<true>(payload, key, phase)
}

/// Without `LOOK` the result has no meaning for a long payload.
#[inline(always)]
fn mask_looking<const LOOK: bool>(payload: &mut [u8], key: [u8; 4], phase: usize) -> bool {
    let key = rotated(u32::from_le_bytes(key), phase);
    let length = payload.len();
    if length < 16 {
        return match length {
            0..4 => bytes(payload, key),
            4..8 => ends::<4>(payload, key),
            _ => ends::<8>(payload, key),
        };
    }
    match length {
        ..=32 => ends::<16>(payload, key),
        33..=64 => ends::<32>(payload, key),
        65..=BLOCK => ends::<64>(payload, key),
        _ => blocks::<LOOK>(payload, key),
    }
}

/// The key rotated for four bytes that begin at offset `phase`.
///
/// In a `u32` the key is little-endian: its first byte is the lowest one.
#[inline(always)]
fn rotated(key: u32, phase: usize) -> u32 {
    key.rotate_right((phase % 4) as u32 * 8)
}

/// Masks a payload shorter than the key.
#[inline(always)]
fn bytes(payload: &mut [u8], key: u32) -> bool {
    let mut seen = 0;
    for (byte, key) in payload.iter_mut().zip(key.to_le_bytes()) {
        *byte ^= key;
        seen |= *byte;
    }
    seen < 0x80
}

/// Masks a payload of `N` to `2 * N` bytes as its first and its last `N`.
///
/// They may overlap, so both are read before either is written: a byte must
/// be masked once only.
#[inline(always)]
fn ends<const N: usize>(payload: &mut [u8], key: u32) -> bool {
    let tail_key = rotated(key, payload.len() - N);
    let (Some(head), Some(tail)) = (payload.first_chunk::<N>(), payload.last_chunk::<N>()) else {
        return false;
    };
    let (head, tail) = (masked(*head, key), masked(*tail, tail_key));
    put_ends(payload, head, tail);
    are_ascii(&head, &tail)
}

/// Masks a payload of at least one block, with the widest words that the processor has. Never
/// inlined: next to the fast paths, the compiler split the head into quads.
#[inline(never)]
fn blocks<const LOOK: bool>(payload: &mut [u8], key: u32) -> bool {
    #[cfg(all(feature = "simd", target_arch = "x86_64"))]
    if std::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2, which is all that the callee requires.
        #[allow(unsafe_code)]
        return unsafe { blocks_avx2::<LOOK>(payload, key) };
    }
    blocks_here::<LOOK>(payload, key)
}

/// [`blocks_here`], compiled for AVX2, which plain x86-64 lacks: words of twice the length, and 1
/// KiB in three quarters of the time.
#[cfg(all(feature = "simd", target_arch = "x86_64"))]
#[target_feature(enable = "avx2")]
fn blocks_avx2<const LOOK: bool>(payload: &mut [u8], key: u32) -> bool {
    blocks_here::<LOOK>(payload, key)
}

/// Whole blocks and then lines from the first aligned word on, and the bytes
/// before and behind them as in [`ends`].
#[inline(always)]
fn blocks_here<const LOOK: bool>(payload: &mut [u8], key: u32) -> bool {
    let tail_key = rotated(key, payload.len() - LINE);
    let (Some(head), Some(tail)) = (payload.first_chunk::<WORD>(), payload.last_chunk::<LINE>())
    else {
        return false;
    };
    let (head, tail) = (masked(*head, key), masked(*tail, tail_key));
    // At most WORD - 1 bytes, which the head covers.
    let skew = payload.as_ptr().addr().wrapping_neg() % WORD;
    let key = rotated(key, skew);
    // One word of quads, so that the compiler keeps it in registers: the check costs a fifth more,
    // with SSE2 half; a second pass would cost as much again.
    let mut seen = [0; WORD / 4];
    if LOOK {
        for (quad, seen) in head.as_chunks().0.iter().zip(&mut seen) {
            *seen = u32::from_le_bytes(*quad);
        }
    }
    let (blocks, rest) = payload[skew..].as_chunks_mut::<BLOCK>();
    for block in blocks {
        chunk::<LOOK, BLOCK>(block, key, &mut seen);
    }
    for line in rest.as_chunks_mut::<LINE>().0 {
        chunk::<LOOK, LINE>(line, key, &mut seen);
    }
    put_ends(payload, head, tail);
    let bits = seen.iter().fold(0, |bits, quad| bits | quad);
    LOOK && bits & TOP_BITS == 0
        && match tail.as_chunks::<{ LINE / 2 }>().0 {
            [one, other] => are_ascii(one, other),
            _ => false,
        }
}

/// Masks `N` bytes in place, a multiple of the word's.
#[inline(always)]
fn chunk<const LOOK: bool, const N: usize>(
    bytes: &mut [u8; N],
    key: u32,
    seen: &mut [u32; WORD / 4],
) {
    for word in bytes.as_chunks_mut::<WORD>().0 {
        for (quad, seen) in word.as_chunks_mut().0.iter_mut().zip(&mut *seen) {
            let masked = u32::from_le_bytes(*quad) ^ key;
            *quad = masked.to_le_bytes();
            if LOOK {
                *seen |= masked;
            }
        }
    }
}

/// Writes a payload's first `H` and last `T` bytes.
#[inline(always)]
fn put_ends<const H: usize, const T: usize>(payload: &mut [u8], head: [u8; H], tail: [u8; T]) {
    if let Some(place) = payload.first_chunk_mut() {
        *place = head;
    }
    if let Some(place) = payload.last_chunk_mut() {
        *place = tail;
    }
}

/// Whether both are ASCII.
#[inline(always)]
fn are_ascii<const N: usize>(one: &[u8; N], other: &[u8; N]) -> bool {
    let quads = one.as_chunks().0.iter().zip(other.as_chunks().0);
    let bits = quads.fold(0, |bits, (one, other)| {
        bits | u32::from_ne_bytes(*one) | u32::from_ne_bytes(*other)
    });
    bits & TOP_BITS == 0
}

/// `N` is a multiple of four and a constant, so that this becomes a few wide words and no loop.
#[inline(always)]
fn masked<const N: usize>(mut bytes: [u8; N], key: u32) -> [u8; N] {
    if N == 8 {
        // The compiler doesn't merge two quads into one word, as it does four.
        let key = u64::from(key) << 32 | u64::from(key);
        for pair in bytes.as_chunks_mut::<8>().0 {
            *pair = (u64::from_le_bytes(*pair) ^ key).to_le_bytes();
        }
        return bytes;
    }
    for quad in bytes.as_chunks_mut::<4>().0 {
        *quad = (u32::from_le_bytes(*quad) ^ key).to_le_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    #[test]
    fn ascii_is_told_from_one_other_byte_at_every_place() {
        for len in 0..=400 {
            for phase in 0..4 {
                let mut masked = [b'~'; 400];
                mask(&mut masked[..len], KEY, phase);
                let is_ascii =
                    |mut payload: [u8; 400]| mask_to_ascii(&mut payload[..len], KEY, phase);
                assert!(is_ascii(masked), "length {len}, phase {phase}");
                for at in 0..len {
                    let mut other = masked;
                    other[at] ^= 0x80;
                    assert!(!is_ascii(other), "length {len}, phase {phase}, at {at}");
                }
            }
        }
    }
}
