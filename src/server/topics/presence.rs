//! Which users are in a topic, with the application's data.
//!
//! Owns the rule for when a user came, changed or left. The caller announces that: it publishes
//! what a call returns.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::HashMap;

use crate::server::shards::Shards;

/// Where the members of topics are kept.
///
/// A user may be in a topic through several connections (tabs, devices) and counts once: the first
/// connection's [`join`](Self::join) adds the user, the last one's [`leave`](Self::leave) removes
/// the user. Pusher's and Ably's presence channels do the same.
///
/// `topic` is its full name: the [namespace](crate::server::Route::namespace), a space, and the name.
///
/// [`MemoryPresence`] is for one server. The methods are called on a worker's thread and must not
/// wait for a network. An implementation over a network therefore reads from a local copy, and
/// sends its changes from another thread. It has to tell connections of several servers apart,
/// since `connection` is unique in one server only; to remove the members of a server that is gone,
/// by a lease that each server renews; and to count a user who is on two servers once, so that
/// neither server announces the user twice.
pub trait Presence: Send + Sync {
    /// Adds a connection to the topic as `user`. The user's data becomes `data`, any text of the
    /// application, often JSON; it replaces the data that other connections gave.
    ///
    /// # Errors
    /// [`PresenceError`]; nothing has changed.
    fn join(
        &self,
        topic: &str,
        connection: u64,
        user: &str,
        data: &str,
    ) -> Result<PresenceChange, PresenceError>;

    /// Replaces the data of the user as which `connection` is in the topic.
    fn update(&self, topic: &str, connection: u64, data: &str) -> PresenceChange;

    /// Removes a connection from the topic. A connection that ends leaves each topic that it is in.
    fn leave(&self, topic: &str, connection: u64) -> PresenceChange;

    /// Returns the users in the topic, in the order in which they came. Takes time linear in their
    /// number.
    fn members(&self, topic: &str) -> Vec<Member>;

    /// Returns how many users are in the topic.
    fn count(&self, topic: &str) -> usize;
}

/// A user in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The application's key for the user.
    pub user: Arc<str>,
    /// The application's data, as last given.
    pub data: Arc<str>,
}

/// What a call changed, to be announced to the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PresenceChange {
    /// Nothing that others see: one connection of a user more or less, or nothing at all.
    None,
    /// The user is new.
    Joined(Member),
    /// The user's data has changed.
    Updated(Member),
    /// The user's last connection left.
    Left(Member),
}

/// Why a connection can't join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresenceError {
    /// The connection is in the topic as another user, and has to leave it first.
    OtherUser,
    /// The number of memberships has reached its limit.
    Full,
}

impl fmt::Display for PresenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherUser => "the connection is in the topic as another user: leave it first",
            Self::Full => "too many connections are in topics with presence",
        })
    }
}

impl core::error::Error for PresenceError {}

/// Presence in memory, for one server.
///
/// A topic that nobody is in takes no memory.
pub struct MemoryPresence {
    topics: Shards<HashMap<Box<str>, Topic>>,
    memberships: AtomicUsize,
    max_memberships: usize,
}

#[derive(Default)]
struct Topic {
    users: HashMap<Arc<str>, User>,
    connections: HashMap<u64, Arc<str>>,
    /// How many users ever came.
    arrivals: u64,
}

struct User {
    data: Arc<str>,
    connections: usize,
    arrival: u64,
}

impl MemoryPresence {
    /// Creates a store for at most a million memberships (a connection in a topic): some 200 bytes
    /// each and the data, so at most a few hundred MiB, and far more than one server needs.
    #[must_use]
    pub fn new() -> Self {
        Self::with_max_memberships(1_000_000)
    }

    /// Creates a store for at most this many memberships; further joins are refused.
    #[must_use]
    pub fn with_max_memberships(max_memberships: usize) -> Self {
        Self {
            topics: Shards::new(HashMap::new),
            memberships: AtomicUsize::new(0),
            max_memberships,
        }
    }
}

impl Default for MemoryPresence {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryPresence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryPresence")
            .field("memberships", &self.memberships)
            .finish_non_exhaustive()
    }
}

impl Topic {
    /// Sets a user's data; a user that is already there is returned as updated if that changed
    /// anything.
    fn set(&mut self, user: &Arc<str>, data: &str) -> PresenceChange {
        match self.users.get_mut(user) {
            Some(found) if *found.data == *data => PresenceChange::None,
            Some(found) => {
                found.data = data.into();
                PresenceChange::Updated(member(user, found))
            }
            None => PresenceChange::None,
        }
    }
}

fn member(user: &Arc<str>, found: &User) -> Member {
    Member {
        user: user.clone(),
        data: found.data.clone(),
    }
}

impl Presence for MemoryPresence {
    fn join(
        &self,
        topic: &str,
        connection: u64,
        user: &str,
        data: &str,
    ) -> Result<PresenceChange, PresenceError> {
        let mut topics = self.topics.of(topic);
        if let Some(topic) = topics.get_mut(topic)
            && let Some(present) = topic.connections.get(&connection).cloned()
        {
            return match *present == *user {
                true => Ok(topic.set(&present, data)),
                false => Err(PresenceError::OtherUser),
            };
        }
        let admit = |count| (count < self.max_memberships).then_some(count + 1);
        self.memberships
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, admit)
            .map_err(|_| PresenceError::Full)?;

        let topic = match topics.get_mut(topic) {
            Some(topic) => topic,
            None => topics.entry(topic.into()).or_default(),
        };
        let known = topic
            .users
            .get_key_value(user)
            .map(|(user, _)| user.clone());
        if let Some(user) = known {
            let change = topic.set(&user, data);
            if let Some(found) = topic.users.get_mut(&user) {
                found.connections += 1;
            }
            topic.connections.insert(connection, user);
            return Ok(change);
        }
        let name: Arc<str> = user.into();
        let user = User {
            data: data.into(),
            connections: 1,
            arrival: topic.arrivals,
        };
        topic.arrivals += 1;
        let change = PresenceChange::Joined(member(&name, &user));
        topic.connections.insert(connection, name.clone());
        topic.users.insert(name, user);
        Ok(change)
    }

    fn update(&self, topic: &str, connection: u64, data: &str) -> PresenceChange {
        let mut topics = self.topics.of(topic);
        let Some(topic) = topics.get_mut(topic) else {
            return PresenceChange::None;
        };
        match topic.connections.get(&connection).cloned() {
            Some(user) => topic.set(&user, data),
            None => PresenceChange::None,
        }
    }

    fn leave(&self, topic: &str, connection: u64) -> PresenceChange {
        let mut topics = self.topics.of(topic);
        let Some(found) = topics.get_mut(topic) else {
            return PresenceChange::None;
        };
        let Some(user) = found.connections.remove(&connection) else {
            return PresenceChange::None;
        };
        self.memberships.fetch_sub(1, Ordering::Relaxed);
        let mut change = PresenceChange::None;
        if let Some(left) = found.users.get_mut(&user) {
            left.connections -= 1;
            if left.connections == 0 {
                change = PresenceChange::Left(member(&user, left));
                found.users.remove(&user);
            }
        }
        if found.users.is_empty() {
            topics.remove(topic);
        }
        change
    }

    fn members(&self, topic: &str) -> Vec<Member> {
        let mut members: Vec<(u64, Member)> = match self.topics.of(topic).get(topic) {
            None => Vec::new(),
            Some(topic) => {
                let users = topic.users.iter();
                users
                    .map(|(name, user)| (user.arrival, member(name, user)))
                    .collect()
            }
        };
        // The lock is released.
        members.sort_unstable_by_key(|&(arrival, _)| arrival);
        members.into_iter().map(|(_, member)| member).collect()
    }

    fn count(&self, topic: &str) -> usize {
        let topics = self.topics.of(topic);
        topics.get(topic).map_or(0, |topic| topic.users.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn ann(data: &str) -> Member {
        Member {
            user: "ann".into(),
            data: data.into(),
        }
    }

    fn is_empty(presence: &MemoryPresence) -> bool {
        presence.memberships.load(Ordering::Relaxed) == 0
            && presence.topics.iter().all(|shard| shard.is_empty())
    }

    #[test]
    fn a_user_comes_with_the_first_connection_and_goes_with_the_last() {
        let presence: &dyn Presence = &MemoryPresence::new();
        assert_eq!(
            presence.join("t", 1, "ann", "a"),
            Ok(PresenceChange::Joined(ann("a")))
        );
        assert_eq!(presence.join("t", 2, "ann", "a"), Ok(PresenceChange::None));
        assert_eq!(presence.count("t"), 1);
        assert_eq!(presence.leave("t", 1), PresenceChange::None);
        assert_eq!(presence.leave("t", 1), PresenceChange::None, "left already");
        assert_eq!(presence.leave("t", 2), PresenceChange::Left(ann("a")));
        assert_eq!(
            (presence.count("t"), presence.members("t")),
            (0, Vec::new())
        );
        assert_eq!(
            presence.join("t", 1, "ann", ""),
            Ok(PresenceChange::Joined(ann("")))
        );
    }

    #[test]
    fn data_is_announced_when_it_changed() {
        let presence = MemoryPresence::new();
        presence.join("t", 1, "ann", "a").unwrap();
        assert_eq!(presence.update("t", 1, "a"), PresenceChange::None);
        assert_eq!(
            presence.update("t", 1, "b"),
            PresenceChange::Updated(ann("b"))
        );
        assert_eq!(
            presence.join("t", 1, "ann", "c"),
            Ok(PresenceChange::Updated(ann("c")))
        );
        assert_eq!(
            presence.join("t", 2, "ann", "d"),
            Ok(PresenceChange::Updated(ann("d")))
        );
        assert_eq!(
            presence.update("t", 3, "x"),
            PresenceChange::None,
            "not in it"
        );
        assert_eq!(
            presence.update("u", 1, "x"),
            PresenceChange::None,
            "no such topic"
        );
        assert_eq!(presence.members("t"), [ann("d")]);
        presence.leave("t", 1);
        presence.leave("t", 2);
        assert!(is_empty(&presence));
    }

    #[test]
    fn members_are_in_the_order_they_came() {
        let presence = MemoryPresence::new();
        for user in 0..100 {
            presence.join("t", user, &format!("{user}"), "").unwrap();
        }
        presence.leave("t", 0);
        presence.join("t", 0, "0", "").unwrap();
        let users = presence.members("t").into_iter().map(|it| it.user);
        assert!(users.eq((1..100).chain([0]).map(|it| format!("{it}").into())));
    }

    #[test]
    fn a_connection_is_one_user_in_a_topic_and_any_in_others() {
        let presence = MemoryPresence::new();
        presence.join("t", 1, "ann", "").unwrap();
        assert_eq!(
            presence.join("t", 1, "bob", ""),
            Err(PresenceError::OtherUser)
        );
        assert_eq!(presence.members("t"), [ann("")]);
        assert!(matches!(
            presence.join("u", 1, "bob", ""),
            Ok(PresenceChange::Joined(_))
        ));
    }

    #[test]
    fn memberships_are_bounded_and_freed() {
        let presence = MemoryPresence::with_max_memberships(2);
        presence.join("t", 1, "ann", "").unwrap();
        presence.join("u", 1, "ann", "").unwrap();
        assert_eq!(presence.join("v", 1, "ann", ""), Err(PresenceError::Full));
        assert_eq!(
            presence.join("t", 1, "ann", ""),
            Ok(PresenceChange::None),
            "in already"
        );
        presence.leave("t", 1);
        assert!(presence.join("v", 1, "ann", "").is_ok());
        presence.leave("u", 1);
        presence.leave("v", 1);
        assert!(is_empty(&presence));
    }
}
