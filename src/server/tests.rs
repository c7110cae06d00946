//! What tests of several modules share, and what holds between threads.

#[cfg(shuttle)]
pub(super) mod models;
pub(super) mod wire;
