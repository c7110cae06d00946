//! The blocking client, over real sockets.

#[cfg(unix)]
mod addresses;
mod ends;
mod exchange;
mod refused;
mod threads;
mod time;
mod ways;
