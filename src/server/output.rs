//! What is to be written: the bytes that wait for a connection's transport, and the memory that a
//! worker's connections share for it.

mod spares;
mod write_queue;

pub(super) use self::spares::{KeptPlace, Place, Spares};
pub(super) use self::write_queue::{Keep, WriteQueue};
