//! What threads share is built from these, so that a model checker can take their place: built with
//! `--cfg shuttle`, the tests of `models.rs` run each under thousands of interleavings.

#[cfg(shuttle)]
pub(super) use shuttle::sync::{Mutex, MutexGuard, PoisonError, atomic};
#[cfg(not(shuttle))]
pub(super) use std::sync::{Mutex, MutexGuard, PoisonError, atomic};

/// A panic elsewhere is no reason to stop here: nothing in this crate panics halfway through a
/// change, and what is behind these locks must go on.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
