//! Joining a topic in one step.

use std::boxed::Box;
use std::fmt;
use std::vec::Vec;

use super::history::Replay;
use super::presence::{Member, PresenceChange};
use super::publication::Publication;
use super::subscription::Position;

/// How to join a topic, for [`Socket::join`](crate::server::Socket::join).
#[derive(Default)]
#[must_use]
pub struct Join<'j> {
    pub(in crate::server) since: Option<Position>,
    pub(in crate::server) user: Option<(&'j str, &'j str)>,
    pub(in crate::server) announce: Option<Box<Announce<'j>>>,
}

/// Returns what the others are told of a change.
pub(in crate::server) type Announce<'j> =
    dyn FnOnce(&PresenceChange) -> Option<Publication<'static>> + 'j;

impl<'j> Join<'j> {
    /// Joins as a new subscriber, for whom the messages that the topic's history keeps for new
    /// subscribers are returned.
    pub fn new() -> Self {
        Self::default()
    }

    /// Comes back with the position of the last message that was seen: what was published behind it
    /// is returned, as far as it is kept.
    pub fn since(mut self, position: Position) -> Self {
        self.since = Some(position);
        self
    }

    /// Also enters the topic's presence, as
    /// [`join_presence`](crate::server::Socket::join_presence) does: as `user`, with the
    /// application's data.
    pub fn user(mut self, user: &'j str, data: &'j str) -> Self {
        self.user = Some((user, data));
        self
    }

    /// Announces what that changed to the other subscribers, with what `announce` returns: text and
    /// other messages become a publication with `into()`, and
    /// [`not_kept`](Publication::not_kept) leaves it out of the history.
    pub fn announce(
        mut self,
        announce: impl FnOnce(&PresenceChange) -> Option<Publication<'static>> + 'j,
    ) -> Self {
        self.announce = Some(Box::new(announce));
        self
    }
}

impl fmt::Debug for Join<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join")
            .field("since", &self.since)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// A topic at the moment in which a connection joined it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Joined {
    /// Where live messages begin: each behind this position arrives, and none before it.
    pub position: Position,
    /// The messages up to there.
    pub replay: Replay,
    /// Who is present, this connection's user included. What changes later is announced behind the
    /// position.
    pub members: Vec<Member>,
    /// How many subscribers the topic has, on all workers.
    pub count: usize,
}
