//! Contexts that the connections of a thread share when there is no context takeover.
//!
//! A server's worker is one thread, so there is a pool for each worker, without a lock. A context
//! is taken at the first piece of a message and given back after the last, so a thread needs one of
//! each kind, except for messages under way in fragments.

use alloc::vec::Vec;
use core::cell::RefCell;

use flate2::{Compress, Compression, Decompress};

use super::{Level, WindowBits};

/// The most idle compressors of a thread, of about 370 KB each at most: one for each of the seven
/// windows and one to spare.
const MAX_IDLE_COMPRESSORS: usize = 8;

/// The most idle inflaters of a thread, of about 40 KB each: few messages are under way in
/// fragments at one time.
const MAX_IDLE_INFLATERS: usize = 8;

type Kind = (Level, WindowBits);

std::thread_local! {
    static COMPRESSORS: RefCell<Vec<(Kind, Compress)>> = const { RefCell::new(Vec::new()) };
    static INFLATERS: RefCell<Vec<Decompress>> = const { RefCell::new(Vec::new()) };
}

/// Returns a compressor in its initial state.
pub(super) fn take_compressor(level: Level, window: WindowBits) -> Compress {
    let idle = COMPRESSORS.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        let at = pool.iter().position(|(kind, _)| *kind == (level, window))?;
        Some(pool.swap_remove(at).1)
    });
    // The pool no longer exists while its thread ends.
    match idle.ok().flatten() {
        // Reset here, not when it is given back: this holds whatever it was used for.
        Some(mut compress) => {
            compress.reset();
            compress
        }
        None => new_compressor(level, window),
    }
}

pub(super) fn new_compressor(level: Level, window: WindowBits) -> Compress {
    let level = Compression::new(level.number().into());
    Compress::new_with_window_bits(level, false, window.bits())
}

pub(super) fn give_compressor(level: Level, window: WindowBits, compress: Compress) {
    let _ = COMPRESSORS.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < MAX_IDLE_COMPRESSORS {
            pool.push(((level, window), compress));
        }
    });
}

/// Returns an inflater in its initial state.
pub(super) fn take_inflater() -> Decompress {
    let idle = INFLATERS.try_with(|pool| pool.borrow_mut().pop());
    match idle.ok().flatten() {
        Some(mut inflate) => {
            inflate.reset(false);
            inflate
        }
        None => Decompress::new(false),
    }
}

pub(super) fn give_inflater(inflate: Decompress) {
    let _ = INFLATERS.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < MAX_IDLE_INFLATERS {
            pool.push(inflate);
        }
    });
}
