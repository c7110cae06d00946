//! Between connections, workers and threads, over real sockets: one order, one bound, one budget.
//! docs/cases.md O1 to O7.
#![cfg(feature = "server")]

#[path = "../handshake_util/mod.rs"]
mod handshake_util;
#[path = "../net/mod.rs"]
mod net;
#[path = "../util/mod.rs"]
mod util;

mod bounds;
mod harness;
mod history;
mod load;
mod order;
mod positions;
mod presence;
mod results;
