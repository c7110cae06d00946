//! The server: a mio event loop around the core.
//!
//! ```text
//! Worker::run ─ Poll ─► Session::drive ─► Transport::read ─► ServerHandshake::recv ─► Router
//!      ▲                     │                           └─► Connection::recv ─► Handler
//!      │                     ▼                                                     │
//!  TimerWheel           WriteQueue::write ◄──── cork ◄── Connection::send ◄── Socket::send
//!  Handle (inbox)
//! ```
//!
//! A [`Builder`] configures a [`Server`], which runs on the calling thread; its [`Handle`] reaches
//! it from other threads. The application implements [`Handler`] and replies through [`Socket`].
//!
//! # Defaults
//!
//! Every limit has a default that holds without any setting: messages of at most 1 MiB, 16 MiB that
//! may wait for a slow peer, a ping after 30 s of silence, 10 s for either handshake. Each setting
//! in [`Builder`] and [`Config`](crate::proto::Config) gives the reason for its default;
//! `docs/performance.md` in the repository compares them with other servers'.
//!
//! # Listening
//!
//! [`Builder::listen`] takes one TCP address, [`Builder::listen_on`] any number of [`Listener`]s:
//! addresses of IPv4 and IPv6, Unix sockets, sockets that are handed in by systemd or by the
//! application, each with TLS or without. All of them lead to the same routes and topics.
//!
//! All workers accept. A handler that blocks delays only the connections of its own worker: the
//! other workers serve new ones, and plain requests on them, meanwhile. A worker that has more
//! connections than another leaves a new one to that one for a millisecond, and accepts it then if
//! it is still there, so that connections are spread evenly over workers that aren't blocked.
//!
//! # TLS
//!
//! With the feature `tls`, `Builder::tls` takes a `ServerConfig` of rustls, which the crate
//! re-exports as `sockeye::rustls`, and the server serves only `wss://`; `Listener::tls` is for one
//! listener, beside others that serve `ws://`. `tls_from_pem` makes a configuration from a
//! certificate chain and its key; a configuration made with rustls' builder can use all its
//! features: client certificates, a certificate for each name, tickets.
//!
//! - A renewed certificate needs no restart: `Handle::set_tls` is for the connections that come
//!   after it.
//! - The TLS handshake has to be over within the deadline of the opening handshake, which is
//!   absolute; one that fails is counted and observed as
//!   [`HandshakeFailure::Tls`](observe::HandshakeFailure).
//! - `Request::tls` gives guards and routes the client's certificates and what was agreed on.
//! - An end of TCP without close_notify is an error, and 1006, unless both Close frames were there:
//!   anyone on the way can cut a connection.
//! - Backpressure counts what TLS holds: at most 64 KiB are encrypted ahead of a peer, so that
//!   policies still have something to drop. The limit is checked before messages are encrypted; of
//!   what is encrypted and waits, each 16 KiB are longer by 22 bytes.
//! - Behind proxies of [`Builder::proxy_protocol`] the PROXY header comes first, in clear text.
//! - An idle connection needs 4 KiB in all, of which rustls' keys and state are nine tenths;
//!   sessions kept for resumption come on top, as the configuration says.
//!
//! # Between connections
//!
//! - **One order.** What one thread asks for, by [`Socket`] and [`Handle`] in any mixture, takes
//!   effect on each connection in the order of its calls, whichever worker that is on. A topic has
//!   one order for all its subscribers and its history; each message has a
//!   [`Position`](topics::Position) in it, and a subscription begins at one.
//! - **One bound.** What waits for a worker is bounded in bytes ([`Builder::max_inbox`]), what
//!   waits for a connection too ([`Builder::max_backpressure`]). Connections that publish faster
//!   than is taken are not read from for a while; a call that finds no room is refused as a whole.
//!   A published message is kept once, however many haven't taken it.
//! - **One budget.** One worker serves its connections in turns. A part of a turn (reading, what
//!   was asked and published, writing, deadlines) takes some two milliseconds at the most, so that
//!   neither a busy peer nor a large topic keeps the others waiting for longer. Nobody who keeps
//!   reading loses a message because others are served first: a subscriber that has no room is
//!   waited for as long as it takes what waits, for two seconds at the most.

mod build_error;
mod builder;
mod call;
pub mod end;
mod handle;
pub mod handler;
pub mod http;
mod id;
#[cfg(feature = "json")]
pub mod json;
pub mod limits;
pub mod listen;
pub mod observe;
mod options;
mod pool;
pub mod proxy;
pub mod route;
mod run;
mod sender;
mod session;
mod shards;
mod shared;
#[cfg(all(unix, feature = "signals"))]
mod signals;
pub mod socket;
mod sync;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod timers;
pub mod topics;
mod users;
mod websocket;
mod write_queue;

pub use build_error::{BuildError, CorsFault, RouteFault};
pub use builder::Builder;
#[doc(inline)]
pub use end::End;
pub use handle::Handle;
#[doc(inline)]
pub use handler::{Handler, Layer};
#[doc(inline)]
pub use http::{HttpResponse, Reject, Request};
pub use id::{ConnectionId, ConnectionIdError};
#[doc(inline)]
pub use listen::Listener;
pub use pool::Pool;
#[doc(inline)]
pub use route::Route;
pub use run::inbox::HandleError;
pub use run::server::Server;
#[doc(inline)]
pub use socket::{Sender, Sent, Socket};
pub use users::UserError;
