//! A server that runs: its workers, a thread each, and what each of them has.

pub(super) mod balance;
pub(super) mod inbox;
pub(super) mod server;
pub(super) mod sessions;
pub(super) mod slab;
pub(super) mod timer_wheel;
pub(super) mod worker;
