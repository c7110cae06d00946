//! The operating system's random bytes.

use crate::proto::RandomSource;

/// Bytes drawn at once: masking keys for 64 frames, so that a frame doesn't cost a system call.
const POOL: usize = 256;

/// The operating system's cryptographically strong random source, for masking keys.
///
/// # Panics
/// [`fill`](RandomSource::fill) panics when the operating system has no random bytes to give:
/// frames must not be masked with predictable keys (RFC 6455 section 10.3).
pub struct OsRandom {
    pool: [u8; POOL],
    used: usize,
}

impl OsRandom {
    /// A source that has drawn nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            pool: [0; POOL],
            used: POOL,
        }
    }
}

impl Default for OsRandom {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for OsRandom {
    /// Shows no byte of the pool.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("OsRandom")
    }
}

impl RandomSource for OsRandom {
    fn fill(&mut self, bytes: &mut [u8]) {
        if self.pool.len() - self.used < bytes.len() {
            // The rest of the pool is too short: draw a new one. No byte is used twice.
            draw(&mut self.pool);
            self.used = 0;
        }
        match self.pool.get_mut(self.used..self.used + bytes.len()) {
            Some(drawn) => {
                bytes.copy_from_slice(drawn);
                drawn.fill(0);
                self.used += bytes.len();
            }
            None => draw(bytes),
        }
    }
}

#[allow(clippy::expect_used)]
fn draw(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system has no random source");
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn no_bytes_are_drawn_twice() {
        let mut random = OsRandom::new();
        let mut seen = BTreeSet::new();
        for _ in 0..1000 {
            let mut key = [0; 16];
            random.fill(&mut key);
            assert!(seen.insert(key));
        }
    }

    #[test]
    fn more_than_the_pool_at_once_is_filled() {
        let mut bytes = [0; POOL * 3];
        OsRandom::new().fill(&mut bytes);
        assert!(bytes.chunks(16).all(|it| it != [0; 16]));
    }
}
