//! The blocking client, over real sockets.

mod ends;
mod exchange;
mod refused;
mod time;
