//! Which worker accepts a connection.
//!
//! All workers are woken by it. One that has more connections than another leaves it to that one
//! for a moment, and takes it then: the other may be held by its handler.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::vec;
use std::vec::Vec;

/// How long a connection is left to the others at most: the least that the event queues can wait.
/// A worker that isn't held has looked by then.
const LEFT: Duration = Duration::from_millis(1);

/// Of a crowd, of which others had a first look already, a worker takes so many more than they
/// have: they do the same meanwhile, and none waits for the others with each.
const CROWD: usize = 16;

/// What each worker tells the others.
#[derive(Default)]
pub(super) struct Load {
    /// Its connections, open or not.
    pub(super) connections: AtomicUsize,
    /// How often it has looked for connections to accept.
    looked: AtomicUsize,
}

/// What a worker knows of the others.
pub(super) struct Balance {
    worker: usize,
    /// It leaves what there is to others, until then.
    until: Option<Duration>,
    /// How often they had looked when that began.
    looked: Vec<usize>,
    /// How often each had looked when it was found to be held: until it looks again, nothing is
    /// left to it.
    held: Vec<Option<usize>>,
    /// More is there than the others took in their time.
    crowd: bool,
}

impl Balance {
    pub(super) fn new(worker: usize, workers: usize) -> Self {
        Self {
            worker,
            until: None,
            looked: vec![0; workers],
            held: vec![None; workers],
            crowd: false,
        }
    }

    /// This worker looks for connections.
    pub(super) fn look(&self, loads: &[Load]) {
        loads[self.worker].looked.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether this worker accepts one more now.
    pub(super) fn takes(&mut self, loads: &[Load], now: Duration) -> bool {
        let own = loads[self.worker].connections.load(Ordering::Relaxed);
        let more = own / 8 + if self.crowd { CROWD } else { 0 };
        let looked = |at: usize| loads[at].looked.load(Ordering::Relaxed);
        let is_due = |at: usize| {
            let connections = loads[at].connections.load(Ordering::Relaxed);
            connections.saturating_add(more) < own && self.held[at] != Some(looked(at))
        };
        if !(0..loads.len()).any(is_due) {
            self.until = None;
            return true;
        }
        match self.until {
            Some(until) if now < until => false,
            Some(_) => {
                for at in 0..loads.len() {
                    if looked(at) == self.looked[at] {
                        self.held[at] = Some(looked(at));
                    }
                }
                self.until = None;
                self.crowd = true;
                true
            }
            None => {
                self.until = Some(now.saturating_add(LEFT));
                self.looked = (0..loads.len()).map(looked).collect();
                false
            }
        }
    }

    /// Nothing is left to accept.
    pub(super) fn done(&mut self) {
        self.until = None;
        self.crowd = false;
    }

    /// Until when it leaves what there is to others.
    pub(super) fn until(&self) -> Option<Duration> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn loads(connections: &[usize]) -> Vec<Load> {
        let load = |count: &usize| Load {
            connections: AtomicUsize::new(*count),
            looked: AtomicUsize::new(0),
        };
        connections.iter().map(load).collect()
    }

    fn take(loads: &[Load], worker: usize) {
        loads[worker].connections.fetch_add(1, Ordering::Relaxed);
    }

    #[test]
    fn who_has_the_fewest_takes_at_once_and_the_others_leave_it_for_a_millisecond() {
        let loads = loads(&[3, 2, 2]);
        let mut all: Vec<_> = (0..3).map(|at| Balance::new(at, 3)).collect();
        assert!(!all[0].takes(&loads, MS));
        assert!(all[1].takes(&loads, MS) && all[2].takes(&loads, MS));
        assert_eq!(all[0].until(), Some(2 * MS));
        assert!(!all[0].takes(&loads, 2 * MS - Duration::from_nanos(1)));
        assert!(all[0].takes(&loads, 2 * MS), "it is still there");
    }

    #[test]
    fn nothing_is_left_any_more_once_the_others_have_as_many() {
        let loads = loads(&[1, 0]);
        let mut first = Balance::new(0, 2);
        assert!(!first.takes(&loads, MS));
        take(&loads, 1);
        assert!(first.takes(&loads, MS));
        assert_eq!(first.until(), None);
    }

    #[test]
    fn an_eighth_more_is_as_many() {
        let loads = loads(&[800, 700]);
        assert!(Balance::new(0, 2).takes(&loads, MS));
        take(&loads, 0);
        assert!(!Balance::new(0, 2).takes(&loads, MS));
    }

    #[test]
    fn nothing_is_left_to_who_is_held_until_it_looks_again() {
        let loads = loads(&[5, 0]);
        let (mut first, second) = (Balance::new(0, 2), Balance::new(1, 2));
        assert!(!first.takes(&loads, MS));
        for _ in 0..100 {
            assert!(first.takes(&loads, 2 * MS));
            take(&loads, 0);
        }
        first.done();
        assert!(first.takes(&loads, 3 * MS), "it is still held");
        second.look(&loads);
        assert!(!first.takes(&loads, 4 * MS));
    }

    #[test]
    fn of_a_crowd_each_takes_some_more_than_the_others() {
        let loads = loads(&[1, 0]);
        let (mut first, second) = (Balance::new(0, 2), Balance::new(1, 2));
        assert!(!first.takes(&loads, MS));
        second.look(&loads);
        let mut taken = 0;
        while first.takes(&loads, 2 * MS) {
            take(&loads, 0);
            taken += 1;
        }
        assert!((CROWD..2 * CROWD).contains(&taken), "{taken}");
        // What is next is no crowd.
        first.done();
        assert!(!first.takes(&loads, 3 * MS));
        assert_eq!(first.until(), Some(4 * MS));
    }

    /// Neither a worker that has everything nor one that is alone asks for the clock in vain.
    #[test]
    fn after_a_millisecond_it_is_looked_once_and_not_waited_again() {
        let loads = loads(&[1_000, 0]);
        let (mut first, second) = (Balance::new(0, 2), Balance::new(1, 2));
        assert!(!first.takes(&loads, MS));
        second.look(&loads);
        assert!(first.takes(&loads, 2 * MS));
        first.done();
        assert_eq!(first.until(), None);
        assert!(Balance::new(0, 1).takes(&loads[..1], MS));
    }
}
