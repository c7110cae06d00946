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
#[allow(dead_code, unused_imports)]
mod limits;
mod router;
mod session;
#[allow(dead_code)]
mod shards;
mod slab;
mod timer_wheel;
mod worker;

use builder::Settings;

pub use builder::{Builder, Server};
pub use handle::Handle;
pub use handler::{End, Handler, Outgoing, Reject, Sent, Socket};
pub use limits::{Excess, Rate, RateLimit};
