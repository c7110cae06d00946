//! The server, over real sockets.

mod accepting;
mod access_log;
mod allocations;
mod attack;
mod backpressure;
mod calls;
mod close;
#[cfg(feature = "deflate")]
mod compression;
#[cfg(target_os = "linux")]
mod descriptors;
mod draining;
mod ends;
mod errors;
#[cfg(feature = "files")]
mod files;
mod flow;
mod guards;
mod http;
mod idle_memory;
mod layers;
mod limits;
mod listen;
#[cfg(unix)]
mod listeners;
mod messages;
mod panics;
#[cfg(unix)]
mod pool;
mod proxy;
mod refused;
mod replies;
mod responses;
#[cfg(all(unix, feature = "signals"))]
mod signals;
mod spine;
mod stats;
#[cfg(feature = "testing")]
mod timers;
mod topics;
#[cfg(feature = "tracing")]
mod tracing;
mod users;
mod workers;

#[global_allocator]
static ALLOCATOR: harness::counting::Counting = harness::counting::Counting;
