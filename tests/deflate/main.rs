//! permessage-deflate, with zlib itself as the other end.

mod memory;
mod negotiation;
mod prepared;
mod received;
mod sent;

#[global_allocator]
static ALLOCATOR: harness::counting::Counting = harness::counting::Counting;
