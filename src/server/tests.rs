//! What holds between threads.

#[cfg(shuttle)]
pub(super) mod models;
