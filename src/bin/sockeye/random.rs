//! Cheap random numbers.

use sockeye::client::OsRandom;
use sockeye::proto::RandomSource;

/// SplitMix64. Its numbers are predictable, which masking keys must not be (RFC 6455 section 10.3);
/// for a load generator, which sends no page's bytes through a proxy, that is fine, and saves a
/// system call per handshake.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// Seeded with the same value in each run.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Seeded differently in each run.
    pub(crate) fn from_os() -> Self {
        let mut seed = [0; 8];
        OsRandom::new().fill(&mut seed);
        Self(u64::from_le_bytes(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A masking key whose bytes are all nonzero, so that the server must unmask each byte.
    pub(crate) fn key(&mut self) -> [u8; 4] {
        (self.next() as u32 | 0x0101_0101).to_le_bytes()
    }
}

impl RandomSource for Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}
