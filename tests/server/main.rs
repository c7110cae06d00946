//! The server, over real sockets.

mod accepting;
mod access_log;
mod allocations;
mod attack;
mod backpressure;
mod close;
#[cfg(target_os = "linux")]
mod descriptors;
mod ends;
mod errors;
#[cfg(feature = "files")]
mod files;
mod flow;
mod guards;
mod http;
mod idle_memory;
mod limits;
mod listen;
#[cfg(unix)]
mod listeners;
mod messages;
mod panics;
mod proxy;
mod refused;
mod replies;
mod responses;
mod spine;
mod stats;
mod topics;
#[cfg(feature = "tracing")]
mod tracing;
mod workers;

#[global_allocator]
static ALLOCATOR: harness::counting::Counting = harness::counting::Counting;
