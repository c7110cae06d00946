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

mod builder;
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
pub use route::{Accepted, Deferred, Guard, Route};
pub use socket::{Outgoing, Overflow, Published, Sent, Socket, SocketState, StoredRequest};
pub use topic_options::TopicOptions;
pub use topics::{SubscribeError, TopicLimits};
