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
//! A [`Server`] is put together by its [`Builder`], runs on the calling thread and is reached from
//! others by its [`Handle`]. The application implements [`Handler`] and answers through
//! [`Socket`].
//!
//! # Defaults
//!
//! The reason for each stands with its setting, in [`Builder`] and [`Config`](crate::proto::Config).
//! Beside the neighbours' own defaults (a dash: not set, or there is no such setting):
//!
//! | | here | uWebSockets | Bun | `ws` | Python `websockets` | Socket.IO |
//! |---|---|---|---|---|---|---|
//! | longest message | 1 MiB | 16 KiB | 16 MiB | 100 MiB | 1 MiB | 1 MB |
//! | may wait for a slow peer | 16 MiB, then dropped | 64 KiB, then dropped | 16 MiB, then dropped | – | 32 KiB, then the sender waits | – |
//! | ping after silence of | 30 s | within the idle time | within the idle time | – | 20 s | 25 s |
//! | answer to it within | 20 s | the idle time | the idle time | – | 20 s | 20 s |
//! | idle | – | 120 s | 120 s | – | – | – |
//! | closing handshake | 10 s | – | – | 30 s | 10 s | – |
//! | opening handshake | 10 s | – | – | – | 10 s | 45 s |
//! | a slow peer's progress | 60 s | – | – | – | – | – |
//! | a frame's progress | 1 KiB per 30 s | – | – | – | – | – |
//! | compression | off | off | off | off | on | off |
//! | messages or bytes a second | – | – | – | – | – | – |
//!
//! # Budgets
//!
//! One worker serves its connections in turns. A turn reads at most a few times 64 KiB from each
//! and writes to at most some hundreds of those that a publish has reached, so that neither a busy
//! peer nor a large topic keeps the others waiting for more than some milliseconds.

mod builder;
mod deferred;
mod events;
mod handle;
mod handler;
mod history;
mod http;
mod hub;
#[cfg(feature = "json")]
pub mod json;
mod limits;
mod link;
mod metrics;
mod observer;
mod pattern;
mod presence;
mod proxy;
mod reject;
mod route;
mod router;
mod session;
mod shards;
mod shared;
mod slab;
mod socket;
mod timer_wheel;
mod topic_options;
mod topics;
#[cfg(feature = "tracing")]
mod trace;
#[cfg(test)]
mod wire;
mod worker;

pub use builder::{Builder, Server};
pub use deferred::{Deferred, Reply};
pub use handle::{ConnectionId, Handle, HandleError, MAX_COMMANDS};
pub use handler::{Cause, End, Handler};
pub use history::{History, HistoryEntry, HistoryLimits, MemoryHistory, Missed};
pub use http::{HttpHandler, HttpResponse, Methods, Request};
pub use limits::{Excess, Rate, RateLimit};
pub use metrics::{CloseLabel, Counts, ErrorCause, HandshakeFailure, Stats};
pub use observer::{ConnectionStats, Observer};
pub use pattern::{PatternError, TopicPattern};
pub use presence::{Member, MemoryPresence, Presence, PresenceChange, PresenceError};
pub use proxy::{ForwardedHeader, NetworkError, TrustedProxies};
pub use reject::Reject;
pub use route::{Accepted, Guard, Route};
pub use socket::{Outgoing, Overflow, Published, Sent, Socket, SocketState, StoredRequest};
pub use topic_options::TopicOptions;
pub use topics::{SubscribeError, TopicLimits};
