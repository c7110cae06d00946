//! Connection ids, and which of them are live.
//!
//! Any thread may ask whether a connection is live; only its worker changes that.

use std::boxed::Box;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use mio::Token;

use super::run::slab;
use super::sync::atomic::{AtomicU32, Ordering};

/// The id of a connection of this server, never used again after the connection ends.
///
/// It is not a secret: don't use it where only its owner may know it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

/// The top bits are the worker, the rest is the token.
const WORKER_SHIFT: u32 = 56;

impl ConnectionId {
    pub(super) fn new(worker: usize, token: Token) -> Self {
        Self((worker as u64) << WORKER_SHIFT | token.0 as u64)
    }

    pub(super) fn worker(self) -> usize {
        (self.0 >> WORKER_SHIFT) as usize
    }

    pub(super) fn token(self) -> Token {
        Token((self.0 & ((1 << WORKER_SHIFT) - 1)) as usize)
    }

    /// The id as a number, for logs and messages.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// Returns the id that [`to_u64`](Self::to_u64) was called on. Any other number names no
    /// connection.
    #[must_use]
    pub const fn from_u64(id: u64) -> Self {
        Self(id)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// Parses what `Display` writes, from an administrator's request, say.
///
/// ```
/// use sockeye::server::ConnectionId;
///
/// let id: ConnectionId = "100000000000007".parse()?;
/// assert_eq!(id.to_string(), "100000000000007");
/// # Ok::<(), sockeye::server::ConnectionIdError>(())
/// ```
impl FromStr for ConnectionId {
    type Err = ConnectionIdError;

    fn from_str(text: &str) -> Result<Self, ConnectionIdError> {
        // `from_str_radix` accepts a sign, which `Display` never writes.
        match u64::from_str_radix(text, 16) {
            Ok(id) if !text.starts_with('+') => Ok(Self(id)),
            _ => Err(ConnectionIdError),
        }
    }
}

/// A text that is not a [`ConnectionId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionIdError;

impl fmt::Display for ConnectionIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a connection's id is a hexadecimal number of at most 16 digits")
    }
}

impl core::error::Error for ConnectionIdError {}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({self})")
    }
}

/// The state of a connection, as other threads see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has ended, or never existed.
    Gone,
    /// Its opening handshake is under way.
    Opening,
    /// It is open, or in its closing handshake.
    Open,
}

/// Places of the first block; each further block has twice as many as the one before.
const FIRST_BLOCK: usize = 256;

/// Enough blocks for as many places as a token can name.
const BLOCKS: usize = 24;

/// The live connections of a worker: four bytes for each place of its slab, written by the worker
/// and read by any thread without a lock.
#[derive(Debug, Default)]
pub(super) struct Standings {
    blocks: [OnceLock<Box<[AtomicU32]>>; BLOCKS],
}

impl Standings {
    /// Returns the block of a place, and the index in it.
    fn find(place: usize) -> (usize, usize) {
        let scaled = place / FIRST_BLOCK + 1;
        let block = scaled.ilog2() as usize;
        (block, place - ((1 << block) - 1) * FIRST_BLOCK)
    }

    /// Only called by the worker.
    pub(super) fn set(&self, token: Token, standing: Standing) {
        let (block, at) = Self::find(slab::place(token) as usize);
        let Some(block) = self.blocks.get(block).map(|it| {
            it.get_or_init(|| {
                let places = FIRST_BLOCK << block;
                (0..places).map(|_| AtomicU32::new(0)).collect()
            })
        }) else {
            return;
        };
        let state = match standing {
            Standing::Gone => 0,
            Standing::Opening => 1,
            Standing::Open => 2,
        };
        block[at].store(slab::generation(token) << 2 | state, Ordering::Relaxed);
    }

    /// Callable from any thread; the result may be out of date at once.
    pub(super) fn of(&self, token: Token) -> Standing {
        let (block, at) = Self::find(slab::place(token) as usize);
        let found = self.blocks.get(block).and_then(OnceLock::get);
        let Some(value) = found.map(|it| it[at].load(Ordering::Relaxed)) else {
            return Standing::Gone;
        };
        match (value >> 2 == slab::generation(token), value & 3) {
            (true, 1) => Standing::Opening,
            (true, 2) => Standing::Open,
            _ => Standing::Gone,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::run::slab::Slab;

    #[test]
    fn a_connection_stands_as_it_was_told_and_the_next_in_its_place_is_another() {
        let (standings, mut slab) = (Standings::default(), Slab::new());
        let tokens: std::vec::Vec<Token> = (0..5_000).map(|it| slab.insert(it)).collect();
        for token in &tokens {
            assert_eq!(standings.of(*token), Standing::Gone);
            standings.set(*token, Standing::Opening);
        }
        let first = tokens[0];
        standings.set(first, Standing::Open);
        assert_eq!(standings.of(first), Standing::Open);
        assert!(
            tokens[1..]
                .iter()
                .all(|it| standings.of(*it) == Standing::Opening)
        );
        slab.remove(first);
        standings.set(first, Standing::Gone);
        let next = slab.insert(0);
        assert_eq!(standings.of(next), Standing::Gone);
        standings.set(next, Standing::Open);
        assert_eq!(
            (standings.of(first), standings.of(next)),
            (Standing::Gone, Standing::Open)
        );
    }

    #[test]
    fn a_number_that_was_never_an_id_names_nobody() {
        let standings = Standings::default();
        for token in [0, 1, 77, u32::MAX as usize, usize::MAX >> 8] {
            assert_eq!(standings.of(Token(token)), Standing::Gone);
        }
    }
}
