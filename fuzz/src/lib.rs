//! What the fuzz targets share.
//!
//! An input is read from its front: first the bytes that choose settings, cuts and operations,
//! each with zero as the plain choice, then everything else as the stream under test. So seeds
//! can be written by hand, and a mutation of the stream leaves the choices alone.

pub mod connection;
pub mod generate;
pub mod head;
pub mod rle;
pub mod wire;

use arbitrary::Unstructured;

/// The next byte; zero once there are none.
pub fn byte(u: &mut Unstructured<'_>) -> u8 {
    u.arbitrary().unwrap_or(0)
}

/// The next bytes, fewer than `count` if there are no more.
pub fn bytes<'a>(u: &mut Unstructured<'a>, count: usize) -> &'a [u8] {
    u.bytes(count.min(u.len())).unwrap_or(&[])
}

/// All bytes that are left.
pub fn rest<'a>(u: &mut Unstructured<'a>) -> &'a [u8] {
    bytes(u, u.len())
}

/// Where a stream is cut: the sizes of its pieces, taken in turn and over again. None at all is
/// the stream whole; a size of 0 is an empty piece.
#[derive(Debug)]
pub struct Cuts(Vec<u8>);

impl Cuts {
    pub fn read(u: &mut Unstructured<'_>) -> Self {
        let count = byte(u) % 16;
        let mut sizes = bytes(u, count.into()).to_vec();
        if !sizes.is_empty() && sizes.iter().all(|&size| size == 0) {
            sizes[0] = 1; // else it would never end
        }
        Self(sizes)
    }

    /// The end of each piece of a stream of `length` bytes.
    pub fn ends(&self, length: usize) -> Vec<usize> {
        // A long stream byte by byte takes long and finds nothing that a short one doesn't.
        let scale = if length > 4096 { 61 } else { 1 };
        let mut ends = Vec::new();
        let mut at = 0;
        for &size in self.0.iter().cycle() {
            if at >= length {
                break;
            }
            at = length.min(at + usize::from(size) * scale);
            ends.push(at);
        }
        if at < length {
            ends.push(length);
        }
        ends
    }

    /// A copy of `stream` in pieces.
    pub fn pieces(&self, stream: &[u8]) -> Vec<Vec<u8>> {
        let mut start = 0;
        let piece = |end| {
            let piece = stream[start..end].to_vec();
            start = end;
            piece
        };
        self.ends(stream.len()).into_iter().map(piece).collect()
    }
}
