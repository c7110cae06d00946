//! What another thread has an application called with, on its way to the connection.
//!
//! Owns what is moved and its bytes. The application of a connection knows the types
//! (`handler/dispatch.rs`).

use std::any::Any;
use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::sync::{Mutex, lock};

/// A call of a connection's application.
pub(super) enum Call {
    /// Of [`Handler::on_notify`](super::Handler::on_notify), with this value.
    Notice(Guarded<Box<dyn Any + Send>>),
    /// Of this function, which has its type in `socket/function.rs`.
    Function(Guarded<Box<dyn Any + Send>>),
}

/// A [`Call`] in a command. A command that is carried out ahead of its turn is there twice; the call
/// is taken once.
#[derive(Clone)]
pub(super) struct Parcel {
    call: Arc<Mutex<Option<Call>>>,
    bytes: usize,
}

impl Parcel {
    pub(super) fn notice(value: Box<dyn Any + Send>) -> Self {
        let bytes = size_of_val(&*value);
        Self::new(Call::Notice(Guarded::new(value)), bytes)
    }

    pub(super) fn function(function: Box<dyn Any + Send>) -> Self {
        let bytes = size_of_val(&*function);
        Self::new(Call::Function(Guarded::new(function)), bytes)
    }

    fn new(call: Call, bytes: usize) -> Self {
        Self {
            call: Arc::new(Mutex::new(Some(call))),
            bytes,
        }
    }

    /// Returns the bytes of the value itself, without what it refers to.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the call, unless it was taken already.
    pub(super) fn open(&self) -> Option<Call> {
        lock(&self.call).take()
    }
}

/// A value of the application that may be dropped on a thread of the server: a panic of its `drop`
/// ends nothing.
pub(super) struct Guarded<T>(Option<T>);

impl<T> Guarded<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Some(value))
    }

    pub(super) fn into_inner(mut self) -> Option<T> {
        self.0.take()
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
        }
    }
}
