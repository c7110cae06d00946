//! The source of a client's random bytes, which the caller provides.

/// A source of random bytes: for the key of the opening handshake and for masking keys.
///
/// It must be cryptographically strong and unpredictable to the peer: RFC 6455 section 10.3
/// relies on it to keep intermediaries from being fed chosen bytes. The feature `client` has
/// one, `sockeye::client::OsRandom`; embedded users bring their hardware's. Closures
/// `FnMut(&mut [u8])` are sources.
pub trait RandomSource: Send {
    /// Fills all of `bytes`.
    fn fill(&mut self, bytes: &mut [u8]);
}

impl<F: FnMut(&mut [u8]) + Send> RandomSource for F {
    fn fill(&mut self, bytes: &mut [u8]) {
        self(bytes);
    }
}
