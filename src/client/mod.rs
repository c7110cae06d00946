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

mod blocking;
mod connect;
mod random;
mod stream;
mod wire;

pub use blocking::Client;
pub use connect::{ConnectOptions, connect};
pub use random::OsRandom;
