//! Which connections belong to which user of the application.
//!
//! Owns the table. What is done with a user's connections is left to [`Sender`](super::Sender) and
//! [`Handle`](super::Handle).

use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::vec::Vec;

use super::id::ConnectionId;
use super::shards::Shards;

/// Bytes of a user's name: more than an e-mail address or an identity provider's subject has.
const MAX_NAME: usize = 256;

/// Why a connection can't belong to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserError {
    /// The name is empty, or longer than 256 bytes.
    Length,
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a user's name has 1 to 256 bytes",
        })
    }
}

impl std::error::Error for UserError {}

/// The connections of each user, in the order in which they were set. There is an entry for each
/// connection that belongs to a user, and no other memory.
pub(super) struct Users(Shards<HashMap<Arc<str>, Vec<ConnectionId>>>);

impl Users {
    pub(super) fn new() -> Self {
        Self(Shards::new(HashMap::new))
    }

    /// Adds a connection to a user, of whose connections it isn't one; returns the user's name as it
    /// is stored.
    pub(super) fn add(&self, user: &str, id: ConnectionId) -> Result<Arc<str>, UserError> {
        let (user, _) = self.change(user, |ids| ids.push(id))?;
        Ok(user)
    }

    /// Makes a connection the only one of a user; returns the others. Of several connections that do
    /// so at once, each but the last one is returned to another.
    pub(super) fn replace(
        &self,
        user: &str,
        id: ConnectionId,
    ) -> Result<(Arc<str>, Vec<ConnectionId>), UserError> {
        self.change(user, |ids| {
            let mut others = mem::replace(ids, Vec::from([id]));
            others.retain(|it| *it != id);
            others
        })
    }

    fn change<R>(
        &self,
        user: &str,
        change: impl FnOnce(&mut Vec<ConnectionId>) -> R,
    ) -> Result<(Arc<str>, R), UserError> {
        if user.is_empty() || user.len() > MAX_NAME {
            return Err(UserError::Length);
        }
        let mut users = self.0.of(user);
        let name = users.get_key_value(user).map(|(name, _)| Arc::clone(name));
        let name = name.unwrap_or_else(|| user.into());
        let changed = change(users.entry(Arc::clone(&name)).or_default());
        Ok((name, changed))
    }

    /// Removes a connection from a user, if it is one of the user's.
    pub(super) fn remove(&self, user: &str, id: ConnectionId) {
        let mut users = self.0.of(user);
        let Some(ids) = users.get_mut(user) else {
            return;
        };
        ids.retain(|it| *it != id);
        if ids.is_empty() {
            users.remove(user);
            // Gives back what a crowd made it grow to; by halves, so that the cost is amortized.
            if users.capacity() > 64 && users.len() < users.capacity() / 4 {
                let keep = users.len() * 2;
                users.shrink_to(keep);
            }
        }
    }

    /// Returns a user's connections.
    pub(super) fn connections(&self, user: &str) -> Vec<ConnectionId> {
        self.0.of(user).get(user).cloned().unwrap_or_default()
    }

    /// Returns the number of users that have a connection.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|it| it.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> ConnectionId {
        ConnectionId::from_u64(number)
    }

    #[test]
    fn a_user_has_its_connections_in_order_and_no_entry_without_one() {
        let users = Users::new();
        for number in [3, 1, 2] {
            assert_eq!(&*users.add("ann", id(number)).unwrap(), "ann");
        }
        users.add("bob", id(4)).unwrap();
        assert_eq!(users.connections("ann"), [id(3), id(1), id(2)]);
        users.remove("ann", id(1));
        users.remove("ann", id(4));
        users.remove("eve", id(4));
        assert_eq!(users.connections("ann"), [id(3), id(2)]);
        users.remove("ann", id(2));
        users.remove("ann", id(3));
        assert_eq!(users.len(), 1);
        for name in ["", &"x".repeat(257)] {
            assert_eq!(users.add(name, id(1)), Err(UserError::Length));
        }
        assert!(users.add(&"x".repeat(256), id(1)).is_ok());
    }

    #[test]
    fn of_connections_that_replace_each_other_at_once_exactly_one_is_left() {
        for _ in 0..100 {
            let users = Users::new();
            let replaced = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|at| {
                        let users = &users;
                        scope.spawn(move || users.replace("ann", id(at)).unwrap().1)
                    })
                    .collect();
                let replaced = threads.into_iter().map(|it| it.join().unwrap());
                replaced.collect::<Vec<_>>().concat()
            });
            let left = users.connections("ann");
            assert_eq!(left.len(), 1);
            let mut all = [replaced, left].concat();
            all.sort_unstable_by_key(|it| it.to_u64());
            assert_eq!(all, (0..4).map(id).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_memory_of_a_crowd_is_given_back() {
        let users = Users::new();
        for number in 0..100_000 {
            users.add(&std::format!("{number}"), id(number)).unwrap();
        }
        for number in 0..100_000 {
            users.remove(&std::format!("{number}"), id(number));
        }
        let capacity: usize = users.0.iter().map(|it| it.capacity()).sum();
        assert!(capacity < 5_000, "{capacity}");
    }
}
