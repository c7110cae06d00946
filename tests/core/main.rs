//! The sans-io core: frames, messages, text, time and memory of a connection.

mod allocations;
mod bounds;
mod closing;
mod exhaustive;
mod frames;
mod hook;
mod invariants;
mod mask;
mod misuse;
mod progress;
mod relay;
mod round_trips;
mod space;
mod text_and_limits;
mod timers;
mod utf8;

#[global_allocator]
static ALLOCATOR: harness::counting::Counting = harness::counting::Counting;
