//! The end of a transport, once what ran over it is over.

/// What remains to be done with the transport once a connection is over. In every case write the
/// output first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teardown {
    /// Shut the sending side down, then read and drop what comes until the end of the stream or
    /// the deadline of [`Connection::poll_timeout`](super::Connection::poll_timeout). Dropping the socket at once could reset it
    /// and destroy the Close on its way (RFC 6455 section 7.1.1).
    HalfClose,
    /// A client after the closing handshake: read and drop until the server ends the stream
    /// (RFC 6455 section 7.1.1: the server closes first) or the deadline passes.
    AwaitEof,
    /// Drop the transport now.
    Drop,
}
