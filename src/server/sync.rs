//! What threads share is built from these, so that a model checker can take their place: with
//! `--cfg shuttle`, the tests of `src/server/tests/models.rs` run each under thousands of interleavings.
//!
//! (`Arc` and `OnceLock` are the standard library's there, too: shuttle has none of its own.)

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

/// A panic elsewhere is no reason to stop here: nothing in this crate panics halfway through a
/// change, and what is behind these locks must go on.
pub(super) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
