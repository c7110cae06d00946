//! The reference count of what connections share.

/// Counts the references to what connections share: [`alloc::sync::Arc`], on all targets but those
/// without compare-and-swap (such as thumbv6m and riscv32imc). There it is `alloc::rc::Rc`, since
/// `alloc` has no other: a connection then stays with the thread, or the core, that made it.
#[cfg(target_has_atomic = "ptr")]
pub use alloc::sync::Arc;

#[cfg(not(target_has_atomic = "ptr"))]
pub use alloc::rc::Rc as Arc;
