//! Observing a whole server, beside its routes' handlers.

use std::boxed::Box;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

#[cfg(feature = "tls")]
use crate::server::build_error::BuildError;
use crate::server::end::{End, ErrorCause, HandshakeFailure};
use crate::server::id::ConnectionId;

/// The statistics of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Its id.
    pub id: ConnectionId,
    /// The other end of its transport.
    pub peer_addr: SocketAddr,
    /// The client's address: the peer's, or the one that a trusted proxy names.
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
    /// Bytes waiting to be written.
    pub buffered: usize,
    /// Topics it is subscribed to.
    pub subscriptions: usize,
    /// The round trip of the last keep-alive ping that was answered.
    pub round_trip: Option<Duration>,
    /// Its `User-Agent`, where the route [keeps the request](crate::server::Route::keep_request).
    pub user_agent: Option<Box<str>>,
}

/// A connection that failed to open: whose it was, what it requested, and why it failed.
///
/// The path and the origin are as the peer sent them, of any length within the limits of a head and
/// with any bytes that the grammar allows: quote them in logs, as `{:?}` does.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct FailedHandshake<'a> {
    /// The other end of its transport, or the address in its PROXY header.
    pub peer_addr: SocketAddr,
    /// The client's address: the peer's, or the one that a trusted proxy names, once the head has
    /// arrived.
    pub client_ip: IpAddr,
    /// The path of the request, percent-encoded as sent, if that much of the head arrived.
    pub path: Option<&'a str>,
    /// The origin of the page that connects, if that much of the head arrived and it has one.
    pub origin: Option<&'a str>,
    /// The label that it is counted under.
    pub cause: HandshakeFailure,
    /// Why, in full: the error, or the status and text of the response.
    pub reason: &'a dyn fmt::Display,
}

impl fmt::Debug for FailedHandshake<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailedHandshake")
            .field("peer_addr", &self.peer_addr)
            .field("client_ip", &self.client_ip)
            .field("path", &self.path)
            .field("origin", &self.origin)
            .field("cause", &self.cause)
            .field("reason", &format_args!("{}", self.reason))
            .finish()
    }
}

/// A request that was answered: a plain one, or an opening handshake, accepted or refused.
///
/// Texts are as the peer sent them, of any length within the limits of a head and with any bytes that
/// the grammar allows: quote them in logs, as `{:?}` does. A target may have credentials in its query.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RequestLog<'a> {
    /// The other end of its transport, or the address in its PROXY header.
    pub peer_addr: SocketAddr,
    /// The client's address: the peer's, or the one that a trusted proxy names, once the head has
    /// arrived.
    pub client_ip: IpAddr,
    /// The method, if the head arrived and is HTTP.
    pub method: Option<&'a str>,
    /// The request target, such as `/chat?room=1`, if that much of the head arrived.
    pub target: Option<&'a str>,
    /// Its `User-Agent`, if it has one and that much of the head arrived.
    pub user_agent: Option<&'a str>,
    /// The status of the response; 101 for an upgrade that was accepted.
    pub status: u16,
    /// The length of the response in bytes, its head included, before TLS.
    pub bytes: usize,
    /// The time from the end of the request's head to the response; zero for a head that never
    /// ended.
    pub took: Duration,
}

/// A topic that got its first subscriber, or lost its last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicEvent<'a> {
    /// Its [namespace](crate::server::Route::namespace).
    pub namespace: &'a str,
    /// Its name in the namespace.
    pub name: &'a str,
    /// Which of the two.
    pub change: TopicChange,
}

/// Whether a topic has subscribers from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicChange {
    /// It got its first subscriber.
    Appeared,
    /// It lost its last subscriber.
    Emptied,
}

/// Observes all connections of a server, on the workers' threads: for logs and accounting.
///
/// The methods must not block, like a handler's. A panic in one of them is caught.
///
/// ```
/// use std::io;
/// use sockeye::server::{End, Server};
/// use sockeye::server::observe::{ConnectionStats, ErrorCause, FailedHandshake, Observer};
///
/// struct Log;
///
/// impl Observer for Log {
///     fn failed(&self, connection: &ConnectionStats, cause: ErrorCause, end: &End) {
///         eprintln!("{} failed by {}: {end:?}", connection.client_ip, cause.name());
///     }
///
///     fn handshake_failed(&self, failure: &FailedHandshake<'_>) {
///         let FailedHandshake { client_ip, path, reason, .. } = failure;
///         eprintln!("{client_ip} can't open {path:?}: {reason}");
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

    /// A connection that had opened ends with an error, which `end` holds in full; its handler has
    /// been notified. [`disconnected`](Self::disconnected) follows.
    fn failed(&self, connection: &ConnectionStats, cause: ErrorCause, end: &End) {
        let _ = (connection, cause, end);
    }

    /// A connection that had opened has ended; its handler has been notified.
    fn disconnected(&self, connection: &ConnectionStats, end: &End) {
        let _ = (connection, end);
    }

    /// A connection failed to open. One that ends without having sent a byte, such as a load
    /// balancer's health check or one that a browser opened in advance, is not reported: see
    /// [`Stats::connections_unused`](super::Stats).
    fn handshake_failed(&self, failure: &FailedHandshake<'_>) {
        let _ = failure;
    }

    /// A request was answered, whatever the response: for an access log.
    ///
    /// ```
    /// use sockeye::server::Server;
    /// use sockeye::server::observe::{Observer, RequestLog};
    ///
    /// struct AccessLog;
    ///
    /// impl Observer for AccessLog {
    ///     fn on_request(&self, request: &RequestLog<'_>) {
    ///         let RequestLog { client_ip, method, target, status, bytes, took, .. } = request;
    ///         println!("{client_ip} {method:?} {target:?} {status} {bytes} {took:?}");
    ///     }
    /// }
    ///
    /// let builder = Server::builder().observer(AccessLog);
    /// # let _ = builder;
    /// ```
    fn on_request(&self, request: &RequestLog<'_>) {
        let _ = request;
    }

    /// A topic got its first subscriber or lost its last one: for what costs something while
    /// somebody listens, such as a subscription to another system.
    ///
    /// The changes of a topic alternate, and are told in the order in which they happened. The
    /// topic's next one waits until this returns, so it must not lock what is held while a
    /// connection subscribes or unsubscribes. It may ask the [`Handle`](crate::server::Handle),
    /// and publish.
    ///
    /// ```
    /// use std::sync::mpsc::Sender;
    /// use sockeye::server::Server;
    /// use sockeye::server::observe::{Observer, TopicChange, TopicEvent};
    ///
    /// /// Tells the thread of a feed which prices are wanted.
    /// struct Wanted(Sender<(String, bool)>);
    ///
    /// impl Observer for Wanted {
    ///     fn on_topic(&self, topic: &TopicEvent<'_>) {
    ///         let wanted = topic.change == TopicChange::Appeared;
    ///         let _ = self.0.send((topic.name.into(), wanted)); // unless the feed has ended
    ///     }
    /// }
    ///
    /// let (tell, _told) = std::sync::mpsc::channel();
    /// let builder = Server::builder().observer(Wanted(tell));
    /// # let _ = builder;
    /// ```
    fn on_topic(&self, topic: &TopicEvent<'_>) {
        let _ = topic;
    }

    /// Connections can't be accepted for now, because file descriptors or memory have run out, say.
    /// The server retries twice a second.
    fn accept_failed(&self, error: &io::Error) {
        let _ = error;
    }

    /// The files of the TLS configuration were read again, by
    /// [`Handle::reload_tls`](crate::server::Handle::reload_tls) or on SIGHUP; after an error the
    /// configuration in use stays. Called on the thread that has read them.
    #[cfg(feature = "tls")]
    fn tls_reloaded(&self, result: Result<(), &BuildError>) {
        let _ = result;
    }
}
