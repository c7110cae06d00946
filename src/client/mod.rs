//! The client: [`connect`] and a blocking [`Client`].
//!
//! ```no_run
//! let mut client = sockeye::client::connect("ws://127.0.0.1:9001/chat")?;
//! client.send("Hello")?;
//! while let Some(message) = client.recv()? {
//!     println!("{:?}", message.as_text());
//! }
//! # Ok::<(), sockeye::Error>(())
//! ```

mod addresses;
mod authorization;
mod blocking;
mod channel;
mod closer;
mod connect;
mod link;
mod opening;
mod options;
mod proxy;
mod random;
mod reach;
mod received;
mod redirect;
mod split;
mod stream;
mod tunnel;
mod wait;
mod wire;

pub use addresses::Unreachable;
pub use blocking::{Client, Messages};
pub use closer::Closer;
pub use connect::connect;
pub use options::ConnectOptions;
pub use proxy::{Proxy, ProxyError};
pub use random::OsRandom;
pub use reach::Resolver;
pub use received::Received;
pub use split::{Receiver, Sender};
pub use stream::Stream;
