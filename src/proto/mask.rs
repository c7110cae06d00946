//! Masking: the XOR that a client's frames carry over their payload
//! (RFC 6455 section 5.3).
//!
//! Owns the transformation and nothing else. Where the masking key comes from
//! and whether a frame must be masked is the connection's business; the key's
//! place on the wire is the frame header's.

/// Long payloads are taken in blocks of one cache line. Four 16-byte words
/// also fill the loop well where the compiler has SSE2 or NEON alone.
const BLOCK: usize = 64;

/// Masks or unmasks `payload` in place; the same call does both.
///
/// `phase` is the offset in bytes of `payload[0]` from the start of the
/// frame's payload, so that a payload can be unmasked piece by piece as it
/// arrives. Only `phase % 4` matters.
///
/// > Octet i of the transformed data ("transformed-octet-i") is the XOR of
/// > octet i of the original data ("original-octet-i") with octet at index i
/// > modulo 4 of the masking key. (RFC 6455 section 5.3)
///
/// Never panics and never fails; an empty payload is left as it is.
#[inline]
pub fn mask(payload: &mut [u8], key: [u8; 4], phase: usize) {
    let len = payload.len();
    // Each arm but the first reads both its words before it writes either:
    // they may overlap, and a byte must be masked once only.
    if len > BLOCK {
        blocks(payload, key, phase);
    } else if len > 32 {
        ends::<32>(payload, key, phase);
    } else if len >= 16 {
        ends::<16>(payload, key, phase);
    } else if len >= 8 {
        ends::<8>(payload, key, phase);
    } else if len >= 4 {
        ends::<4>(payload, key, phase);
    } else {
        for (i, byte) in payload.iter_mut().enumerate() {
            *byte ^= key[phase.wrapping_add(i) % 4];
        }
    }
}

/// Masks a payload of `N` to `2 * N` bytes as its first and its last `N`.
#[inline(always)]
fn ends<const N: usize>(payload: &mut [u8], key: [u8; 4], phase: usize) {
    let tail_phase = phase.wrapping_add(payload.len()).wrapping_sub(N);
    let (Some(&head), Some(&tail)) = (payload.first_chunk::<N>(), payload.last_chunk::<N>()) else {
        return;
    };
    let head = xor(head, rotated(key, phase));
    let tail = xor(tail, rotated(key, tail_phase));
    if let Some(place) = payload.first_chunk_mut() {
        *place = head;
    }
    if let Some(place) = payload.last_chunk_mut() {
        *place = tail;
    }
}

/// Masks a payload of at least one block: whole blocks from its start, then
/// the last `BLOCK` bytes, which were read before the blocks were written.
fn blocks(payload: &mut [u8], key: [u8; 4], phase: usize) {
    let tail_phase = phase.wrapping_add(payload.len()).wrapping_sub(BLOCK);
    let Some(&tail) = payload.last_chunk::<BLOCK>() else {
        return;
    };
    let tail = xor(tail, rotated(key, tail_phase));
    let word = rotated(key, phase);
    for block in payload.as_chunks_mut::<BLOCK>().0 {
        *block = xor(*block, word);
    }
    if let Some(place) = payload.last_chunk_mut() {
        *place = tail;
    }
}

/// The key as it falls on four bytes that begin at `phase`.
#[inline(always)]
fn rotated(key: [u8; 4], phase: usize) -> [u8; 4] {
    // A shift by 8 * phase bits, as u32 so that it stays in one register.
    let shift = (phase % 4) as u32 * 8;
    u32::from_le_bytes(key).rotate_right(shift).to_le_bytes()
}

/// `N` is a multiple of 4, and known: the compiler makes wide words of this.
#[inline(always)]
fn xor<const N: usize>(mut bytes: [u8; N], word: [u8; 4]) -> [u8; N] {
    let word = u32::from_ne_bytes(word);
    for quad in bytes.as_chunks_mut::<4>().0 {
        *quad = (u32::from_ne_bytes(*quad) ^ word).to_ne_bytes();
    }
    bytes
}
