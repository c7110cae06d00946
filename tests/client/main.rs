//! The blocking client, over real sockets.

mod exchange;
mod time;
