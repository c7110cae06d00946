//! A global allocator that counts, by thread, for the suites that assert what is allocated.
#![allow(
    unsafe_code,
    reason = "counting allocations needs a global allocator, whose trait is unsafe"
)]

extern crate alloc;

use alloc::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use std::alloc::System;

#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Calls for memory.
    pub calls: usize,
    /// Bytes requested; a buffer that grows counts with its new size.
    pub total: usize,
    /// Bytes held.
    pub live: isize,
    /// The most bytes held at once, including both the old and the new buffer while one grows.
    pub peak: isize,
}

std::thread_local! {
    /// Per thread, since other tests run at the same time. Const and without a destructor, so that
    /// using it never allocates.
    static COUNTS: Cell<Counts> = const { Cell::new(Counts { calls: 0, total: 0, live: 0, peak: 0 }) };
}

/// The allocator, for the `#[global_allocator]` of a suite that counts.
#[derive(Debug)]
pub struct Counting;

fn took(size: usize) {
    let mut counts = COUNTS.get();
    counts.calls += 1;
    counts.total += size;
    counts.live += size as isize;
    counts.peak = counts.peak.max(counts.live);
    COUNTS.set(counts);
}

fn gave(size: usize) {
    let mut counts = COUNTS.get();
    counts.live -= size as isize;
    COUNTS.set(counts);
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller's guarantees are those that `System` requires.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        took(size);
        gave(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Returns what `work` allocated. What `work` returns counts as held.
pub fn count<R>(work: impl FnOnce() -> R) -> (R, Counts) {
    let before = COUNTS.replace(Counts::default());
    let answer = work();
    let counts = COUNTS.get();
    COUNTS.set(Counts {
        live: before.live + counts.live,
        ..before
    });
    (answer, counts)
}

/// Returns the bytes that this thread has requested and not freed.
pub fn held() -> isize {
    COUNTS.get().live
}

/// Returns how often this thread has requested memory so far.
pub fn calls() -> usize {
    COUNTS.get().calls
}
