//! Rates by key, for the application's own code.

use core::fmt;
use core::hash::Hash;
use core::time::Duration;

use super::bucket::{Rate, TokenBucket};
use super::table::Table;

/// A [`Rate`] for each key: users, addresses, pairs of a user and a kind of event.
///
/// The memory is fixed, 24 bytes for each of `max_keys`, whatever keys come: it holds hashes of
/// them, which nobody outside can choose. A key that has its whole burst is forgotten first; where
/// more than `max_keys` are short of it, some get more than their rate.
///
/// It is shared by all threads; `now` is any clock that doesn't go back, such as
/// [`Sender::now`](crate::server::Sender::now). A limit for each connection needs no keys: keep a
/// [`TokenBucket`] in its state.
///
/// ```
/// use sockeye::proto::Message;
/// use sockeye::server::limits::{KeyedLimiter, Rate};
/// use sockeye::server::{Handler, Socket};
///
/// struct Chat {
///     posts: KeyedLimiter,
///     calls: KeyedLimiter,
/// }
///
/// impl Handler for Chat {
///     type State = String; // the user, who may have several connections
///
///     fn on_message(&self, socket: &mut Socket<'_, String>, message: Message<'_>) {
///         let (user, sender) = socket.split();
///         let limiter = match message.as_text() {
///             Some(text) if text.starts_with("call ") => &self.calls,
///             _ => &self.posts,
///         };
///         match limiter.take(user, 1, sender.now()) {
///             Ok(()) => _ = sender.send(message),
///             Err(wait) => _ = sender.send(&format!("wait {} s", wait.as_secs() + 1)),
///         }
///     }
/// }
///
/// let chat = Chat {
///     posts: KeyedLimiter::new(Rate::per_second(5).burst(20), 100_000),
///     calls: KeyedLimiter::new(Rate::per_hour(10), 100_000),
/// };
/// # let _ = chat;
/// ```
pub struct KeyedLimiter {
    rate: Rate,
    table: Table<TokenBucket>,
}

impl KeyedLimiter {
    /// Creates one that tells `max_keys` keys apart: twice as many as are active in the time that a
    /// burst takes to come back. The memory is taken as it is used, a 32nd at a time.
    #[must_use]
    pub fn new(rate: Rate, max_keys: usize) -> Self {
        Self {
            rate,
            table: Table::new(max_keys),
        }
    }

    /// Takes `count` of what this key has left.
    ///
    /// # Errors
    /// How long until there is as much; [`Duration::MAX`] for more than the burst. Nothing is taken
    /// then.
    pub fn take<K>(&self, key: &K, count: u64, now: Duration) -> Result<(), Duration>
    where
        K: Hash + ?Sized,
    {
        let (hash, rate) = (self.table.hash(key), self.rate);
        let unused_in = |it: &TokenBucket| it.full_in(rate, now);
        self.table
            .with(hash, unused_in, |it| it.take(rate, count, now))
    }
}

impl fmt::Debug for KeyedLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedLimiter")
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Message;
    use crate::server::{Handler, Server, Socket};
    use std::string::ToString as _;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn each_key_has_its_own_rate_and_learns_how_long_to_wait() {
        let limiter = KeyedLimiter::new(Rate::per_second(2), 1_000);
        for key in [("ann", 1), ("ann", 2), ("bob", 1)] {
            assert_eq!(limiter.take(&key, 2, ms(0)), Ok(()));
            assert_eq!(limiter.take(&key, 1, ms(0)), Err(ms(500)));
            assert_eq!(limiter.take(&key, 3, ms(0)), Err(Duration::MAX));
            assert_eq!(limiter.take(&key, 1, ms(500)), Ok(()));
        }
        assert_eq!(limiter.take("a text", 1, ms(0)), Ok(()));
    }

    #[test]
    fn its_memory_is_fixed_and_who_sends_most_is_remembered() {
        let limiter = KeyedLimiter::new(Rate::per_second(100), 1_000);
        assert_eq!(limiter.take("greedy", 100, ms(0)), Ok(()));
        for key in 0..100_000_u32 {
            assert_eq!(limiter.take(&key, 1, ms(0)), Ok(()));
        }
        assert!(limiter.take("greedy", 1, ms(0)).is_err());
        let groups = limiter
            .table
            .shards
            .iter()
            .map(|it| it.len())
            .sum::<usize>();
        assert_eq!(groups * super::super::table::WAYS, 1_024);
        assert_eq!(size_of::<super::super::table::Entry<TokenBucket>>(), 24);
    }

    /// One kind by connection, the others by name over all connections.
    struct Chat(KeyedLimiter);

    impl Handler for Chat {
        type State = TokenBucket;

        fn on_message(&self, socket: &mut Socket<'_, TokenBucket>, message: Message<'_>) {
            let (typing, sender) = socket.split();
            let taken = match message.as_text() {
                Some("typing") => typing.take(Rate::per_second(1), 1, sender.now()),
                kind => self.0.take(&kind, 1, sender.now()),
            };
            match taken {
                Ok(()) => sender.send("done"),
                Err(wait) => sender.send(&*wait.as_millis().to_string()),
            };
        }
    }

    #[test]
    fn a_handler_limits_each_kind_of_message_by_a_rate_of_its_own() {
        let chat = Chat(KeyedLimiter::new(Rate::per_minute(1), 1_000));
        let server = Server::builder().route("/", chat).simulate().unwrap();
        let mut clients = [server.connect("/").unwrap(), server.connect("/").unwrap()];
        for client in &mut clients {
            for answer in ["done", "1000"] {
                client.send("typing");
                client.expect(answer);
            }
        }
        let [ann, bob] = &mut clients;
        ann.send("invite");
        ann.expect("done");
        bob.send("invite");
        bob.expect("60000");
        bob.send("leave");
        bob.expect("done");
        server.advance(Duration::from_secs(1));
        bob.send("typing");
        bob.expect("done");
        bob.send("invite");
        bob.expect("59000");
    }

    #[test]
    fn threads_take_no_more_than_there_is() {
        let limiter = KeyedLimiter::new(Rate::per_hour(1_000), 100);
        let taken = core::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        let took = limiter.take("key", 1, ms(0)).is_ok();
                        taken.fetch_add(took.into(), core::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(taken.into_inner(), 1_000);
    }
}
