//! Inflating what is received (RFC 7692 section 7.2.2).

use alloc::vec::Vec;

use flate2::{Decompress, FlushDecompress, Status};

use super::encode::TAIL;
use super::{append, pool};
use crate::proto::extension::{DecodeError, PerMessageDecode};

/// The most that the output is grown by at once before it doubles.
const STEP: usize = 16 * 1024;

/// The least that the output grows by, also beyond the limit.
const SPARE: usize = 256;

/// Bounds on how much of the spare room is zeroed: for each piece in proportion to it, since a
/// message in many pieces would otherwise cost their number times its length.
const LEAST_READY: usize = 4 * 1024;
const MOST_READY: usize = 64 * 1024;

/// An empty last block: after a message, it ends a stream that is at the end of a block.
const LAST_BLOCK: [u8; 5] = [0x01, 0x00, 0x00, 0xFF, 0xFF];

const EMPTY: &str = "compressed message without data (RFC 7692 section 7.2.3.6)";
const CORRUPT: &str = "message is not valid DEFLATE data (RFC 7692 section 7.2.2)";
const CUT_SHORT: &str = "compressed message is cut short (RFC 7692 section 7.2.1)";

/// The receiving half of one connection.
///
/// The window is zlib-rs's of 32 KiB whatever was agreed on: a smaller one saves it nothing, and
/// it can't tell a distance beyond the agreed window in all cases. One beyond the data is found.
pub(super) struct Decoder {
    takeover: bool,
    /// Kept from the first compressed message on with context takeover, otherwise only inside a
    /// message.
    inflate: Option<Decompress>,
    /// Whether the message had data.
    begun: bool,
    /// Whether the last block of a stream ended with the last byte seen.
    ended: bool,
}

impl Decoder {
    pub(super) fn new(takeover: bool) -> Self {
        Self {
            takeover,
            inflate: None,
            begun: false,
            ended: false,
        }
    }
}

impl PerMessageDecode for Decoder {
    fn decode(
        &mut self,
        piece: &[u8],
        fin: bool,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), DecodeError> {
        if !self.begun && piece.is_empty() {
            return match fin {
                true => Err(DecodeError::Invalid(EMPTY)),
                false => Ok(()),
            };
        }
        let end = out.len().saturating_add(limit);
        let takeover = self.takeover;
        let inflate = self.inflate.get_or_insert_with(|| match takeover {
            true => Decompress::new(false),
            false => pool::take_inflater(),
        });
        if !piece.is_empty() {
            self.begun = true;
            self.ended = inflate_piece(inflate, piece, end, out)?;
        }
        if !fin {
            return Ok(());
        }
        if !self.ended {
            finish(inflate, !takeover, out)?;
        }
        (self.begun, self.ended) = (false, false);
        if !takeover && let Some(inflate) = self.inflate.take() {
            pool::give_inflater(inflate);
        }
        Ok(())
    }
}

/// Appends what the bytes inflate to, until `out` has `end` bytes and more would follow. Returns
/// whether a stream ended with the last of them.
fn inflate_piece(
    inflate: &mut Decompress,
    mut piece: &[u8],
    end: usize,
    out: &mut Vec<u8>,
) -> Result<bool, DecodeError> {
    loop {
        let room = room(out, piece.len(), end);
        let (consumed, written) = (inflate.total_in(), out.len());
        let result = append(out, room, |out| {
            let before = inflate.total_out();
            let result = inflate.decompress(piece, out, FlushDecompress::Sync);
            ((inflate.total_out() - before) as usize, result)
        });
        let full = out.len() - written == room;
        piece = &piece[(inflate.total_in() - consumed) as usize..];
        // Checked first, since what is behind a fault in the input was not inflated.
        if out.len() > end {
            out.truncate(end);
            return Err(DecodeError::TooLong);
        }
        match result {
            // RFC 7692 section 7.2.3.4: a block with BFINAL set may end a message, and begin the
            // next stream. The window goes with the stream.
            Ok(Status::StreamEnd) => {
                inflate.reset(false);
                if piece.is_empty() {
                    return Ok(true);
                }
            }
            Ok(_) if piece.is_empty() && !full => return Ok(false),
            // More output waits for room.
            Ok(_) if out.len() > written || !piece.is_empty() && consumed < inflate.total_in() => {}
            Ok(_) | Err(_) => return Err(DecodeError::Invalid(CORRUPT)),
        }
    }
}

/// RFC 7692 section 7.2.2: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload
/// of the message." They are the length of an empty block, so they inflate to nothing. An inflater
/// that is not needed again can be asked whether that was a block's end.
fn finish(inflate: &mut Decompress, last: bool, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let end = out.len();
    let cut_short = |_| DecodeError::Invalid(CUT_SHORT);
    let ended = inflate_piece(inflate, &TAIL, end, out).map_err(cut_short)?;
    if ended || last && !inflate_piece(inflate, &LAST_BLOCK, end, out).map_err(cut_short)? {
        return Err(DecodeError::Invalid(CUT_SHORT));
    }
    Ok(())
}

/// Makes room for more, no more than `SPARE` beyond `end`; returns how much of it to zero.
fn room(out: &mut Vec<u8>, input: usize, end: usize) -> usize {
    let likely = input.saturating_mul(4);
    // One byte more than allowed shows whether there is more.
    let most = (end - out.len()).saturating_add(SPARE);
    if out.len() == out.capacity() {
        let wanted = likely.clamp(SPARE, STEP).max(out.len());
        out.reserve_exact(wanted.min(most));
    }
    let ready = likely.clamp(LEAST_READY, MOST_READY);
    ready.min(most).min(out.capacity() - out.len())
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::proto::extension::deflate::append;

    #[test]
    fn a_short_message_in_a_long_buffer_has_only_the_room_it_needs_made_ready() {
        let mut long = vec![b'x'; 1 << 20];
        long.truncate(3);
        let most = room(&mut long, 300, usize::MAX);
        assert_eq!(most, LEAST_READY);
        let given = append(&mut long, most, |room| {
            room[..2].copy_from_slice(b"yz");
            (2, room.len())
        });
        assert_eq!((given, &long[..]), (most, &b"xxxyz"[..]));
        // Without a buffer, as much as such a message is likely to take.
        assert_eq!(room(&mut Vec::new(), 300, usize::MAX), 1200);
        assert_eq!(room(&mut Vec::new(), 300, 0), SPARE);
    }

    #[test]
    fn a_piece_costs_no_more_for_what_came_before_it() {
        let mut out = vec![b'x'; 1 << 20];
        // Doubled when it is full, and not again for each piece.
        for _ in 0..3 {
            assert_eq!(room(&mut out, 1, usize::MAX), LEAST_READY);
            out.push(b'x');
            assert_eq!(out.capacity(), 2 << 20);
        }
        assert_eq!(room(&mut out, 1 << 20, usize::MAX), MOST_READY);
    }
}
