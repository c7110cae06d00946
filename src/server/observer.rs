//! Watching a whole server, beside its routes' handlers.

use std::boxed::Box;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::id::ConnectionId;
use super::handler::End;
use super::metrics::{ErrorCause, HandshakeFailure};

/// A connection in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Its id.
    pub id: ConnectionId,
    /// The other end of its transport.
    pub peer_addr: SocketAddr,
    /// The client's address: the peer's, or what a trusted proxy tells.
    pub client_ip: IpAddr,
    /// How long it has been open.
    pub age: Duration,
    /// How long ago it last received or sent a message.
    pub idle: Duration,
    /// Data messages received.
    pub messages_received: u64,
    /// Bytes of their payloads.
    pub bytes_received: u64,
    /// Data messages sent.
    pub messages_sent: u64,
    /// Bytes of their payloads.
    pub bytes_sent: u64,
    /// Bytes that wait to be written.
    pub buffered: usize,
    /// Topics it is subscribed to.
    pub subscriptions: usize,
    /// The round trip of the last keep-alive ping that was answered.
    pub round_trip: Option<Duration>,
    /// Its `User-Agent`, where the route [keeps the request](super::Route::keep_request).
    pub user_agent: Option<Box<str>>,
}

/// Is told of all connections of a server, on the workers' threads: for logs and accounts.
///
/// The methods must not wait, as a handler's must not. A panic in one of them ends there.
///
/// ```
/// use std::io;
/// use sockeye::server::{ConnectionStats, End, ErrorCause, Observer, Server};
///
/// struct Log;
///
/// impl Observer for Log {
///     fn failed(&self, connection: &ConnectionStats, cause: ErrorCause, end: &End) {
///         eprintln!("{} failed by {}: {end:?}", connection.client_ip, cause.name());
///     }
///
///     fn accept_failed(&self, error: &io::Error) {
///         eprintln!("no connection can be accepted: {error}");
///     }
/// }
///
/// let builder = Server::builder().observer(Log);
/// # let _ = builder;
/// ```
pub trait Observer: Send + Sync + 'static {
    /// A connection has opened.
    fn connected(&self, connection: &ConnectionStats) {
        let _ = connection;
    }

    /// A connection that had opened ends by an error, which `end` tells in full; its handler was
    /// told. [`disconnected`](Self::disconnected) follows.
    fn failed(&self, connection: &ConnectionStats, cause: ErrorCause, end: &End) {
        let _ = (connection, cause, end);
    }

    /// A connection that had opened is over; its handler was told.
    fn disconnected(&self, connection: &ConnectionStats, end: &End) {
        let _ = (connection, end);
    }

    /// A connection did not come to open.
    fn handshake_failed(&self, peer_addr: SocketAddr, failure: HandshakeFailure) {
        let _ = (peer_addr, failure);
    }

    /// Connections can't be accepted for now: file descriptors or memory have run out, say. It is
    /// tried again twice a second.
    fn accept_failed(&self, error: &io::Error) {
        let _ = error;
    }
}
