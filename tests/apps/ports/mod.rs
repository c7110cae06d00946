//! Programs as the guides of application frameworks have them, written on this crate, and driven in
//! simulation. Each is no longer than its model.

mod events;
mod members;
mod rooms;
mod sessions;
