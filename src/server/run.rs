//! A running server: its workers, one thread each, and what they consist of.

pub(super) mod balance;
pub(super) mod chores;
pub(super) mod inbox;
pub(super) mod server;
pub(super) mod sessions;
pub(super) mod slab;
pub(super) mod timer_wheel;
pub(super) mod worker;
