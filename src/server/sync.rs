//! The primitives behind everything that threads share, so that a model checker can replace them:
//! with `--cfg shuttle`, the tests of `src/server/tests/models.rs` run each under thousands of
//! interleavings.
//!
//! (`Arc` and `OnceLock` stay the standard library's: shuttle has none.)

#[cfg(not(all(test, shuttle)))]
pub(super) use mio::Waker;
#[cfg(all(test, shuttle))]
pub(super) use shuttle::{
    sync::{Mutex, MutexGuard, PoisonError, atomic},
    thread_local,
};
#[cfg(not(all(test, shuttle)))]
pub(super) use std::{
    sync::{Mutex, MutexGuard, PoisonError, atomic},
    thread_local,
};

#[cfg(all(test, shuttle))]
pub(super) use super::tests::models::Waker;

/// A poisoned lock is still usable: nothing in this crate panics halfway through a change, and what
/// the lock guards must go on.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
