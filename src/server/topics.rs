//! Topics: who is subscribed to what, and in which order messages are told.
//!
//! Each topic has one record ([`Topic`]), which gives each message its place: whoever publishes does
//! so behind its lock, and so does who subscribes. [`Directory`] is where all workers find the
//! records; [`Local`] is a worker's own table of its subscribers.

mod directory;
mod local;
mod subscribing;
mod subscription;
mod topic;

pub(super) use self::directory::{Directory, Publisher};
pub(super) use self::local::Local;
pub(super) use self::subscribing::Subscribing;
pub use self::subscription::{Position, SubscribeError, Subscribed, TopicLimits};
pub(super) use self::topic::{Topic, outside};
