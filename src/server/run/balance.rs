//! Which worker accepts a connection.
//!
//! A connection wakes all workers. A worker that has more connections than another leaves it to
//! that one for a moment, and accepts it after that: a handler may hold the other worker.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::vec;
use std::vec::Vec;

/// How long a connection is left to the others at most: the shortest wait of the event queues. A
/// worker that isn't busy has looked by then.
const LEFT: Duration = Duration::from_millis(1);

/// A worker that hasn't looked for this long is held by a handler, and no connection is left to it
/// any more. A shorter time is no sign of that: with more load than processors a thread can wait
/// for tens of milliseconds.
const HELD: Duration = Duration::from_millis(100);

/// When several connections wait at once, a worker accepts this many more than the others have,
/// since these do the same; and this many after each time it has left some to them. So a worker
/// that is alone for a while hasn't accepted a whole burst when the others come.
const CROWD: usize = 16;

/// What each worker shows to the others.
#[derive(Default)]
pub(in crate::server) struct Load {
    /// Its connections, open or not.
    pub(in crate::server) connections: AtomicUsize,
    /// How often it has looked for connections to accept.
    looked: AtomicUsize,
}

impl Load {
    fn looked(&self) -> usize {
        self.looked.load(Ordering::Relaxed)
    }
}

/// What a worker knows of the others.
pub(in crate::server) struct Balance {
    worker: usize,
    /// Until when it leaves connections to others.
    until: Option<Duration>,
    /// When that began, and how often each worker had looked by then.
    began: (Duration, Vec<usize>),
    /// Whether that time is over: what waits now was left to them in vain.
    over: bool,
    /// How often each had looked when a connection was left to it in vain, and since when.
    missed: Vec<Option<(usize, Duration)>>,
    /// Whether more connections wait than the others accepted in that time.
    crowd: bool,
    /// How many it accepts before it leaves some again.
    allowed: usize,
}

impl Balance {
    pub(in crate::server) fn new(worker: usize, workers: usize) -> Self {
        Self {
            worker,
            until: None,
            began: (Duration::ZERO, vec![0; workers]),
            over: false,
            missed: vec![None; workers],
            crowd: false,
            allowed: 0,
        }
    }

    /// Notes that this worker looks for connections.
    pub(in crate::server) fn look(&self, loads: &[Load]) {
        loads[self.worker].looked.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns whether this worker may accept another connection now.
    pub(in crate::server) fn takes(&mut self, loads: &[Load], now: Duration) -> bool {
        if self.allowed > 0 {
            return true;
        }
        let own = loads[self.worker].connections.load(Ordering::Relaxed);
        let more = own / 8 + if self.crowd { CROWD } else { 0 };
        let is_due = |at: usize| {
            let connections = loads[at].connections.load(Ordering::Relaxed);
            connections.saturating_add(more) < own && !self.is_held(at, loads, now)
        };
        if !(0..loads.len()).any(is_due) {
            self.until = None;
            return true;
        }
        match self.until {
            Some(until) if now < until => false,
            Some(_) => {
                self.until = None;
                self.over = true;
                self.crowd = true;
                self.allowed = CROWD;
                true
            }
            None => {
                let looked = (0..loads.len()).map(|at| loads[at].looked());
                self.until = Some(now.saturating_add(LEFT));
                self.began = (now, looked.collect());
                false
            }
        }
    }

    /// Notes that this worker has accepted a connection.
    pub(in crate::server) fn took(&mut self, loads: &[Load]) {
        self.allowed = self.allowed.saturating_sub(1);
        if !mem::take(&mut self.over) {
            return;
        }
        let (began, looked) = &self.began;
        for (at, missed) in self.missed.iter_mut().enumerate() {
            let looked = looked[at];
            if loads[at].looked() == looked && missed.is_none_or(|(before, _)| before != looked) {
                *missed = Some((looked, *began));
            }
        }
    }

    /// Notes that no connection is left to accept.
    pub(in crate::server) fn done(&mut self) {
        self.until = None;
        self.over = false;
        self.crowd = false;
        self.allowed = 0;
    }

    /// Returns until when it leaves connections to others.
    pub(in crate::server) fn until(&self) -> Option<Duration> {
        self.until
    }

    /// Returns whether a handler holds this worker, until it looks again.
    fn is_held(&self, at: usize, loads: &[Load], now: Duration) -> bool {
        self.missed[at].is_some_and(|(looked, since)| {
            loads[at].looked() == looked && now.saturating_sub(since) >= HELD
        })
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

    /// Accepts all that this worker may now; returns how many.
    fn take(balance: &mut Balance, loads: &[Load], now: Duration) -> usize {
        let mut taken = 0;
        while taken < 1_000 && balance.takes(loads, now) {
            loads[balance.worker]
                .connections
                .fetch_add(1, Ordering::Relaxed);
            balance.took(loads);
            taken += 1;
        }
        taken
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
        let (mut first, mut second) = (Balance::new(0, 2), Balance::new(1, 2));
        assert!(!first.takes(&loads, MS));
        assert!(take(&mut second, &loads, MS) >= 1);
        assert!(first.takes(&loads, MS));
        assert_eq!(first.until(), None);
    }

    #[test]
    fn an_eighth_more_is_as_many() {
        let loads = loads(&[800, 700]);
        assert_eq!(take(&mut Balance::new(0, 2), &loads, MS), 1);
    }

    #[test]
    fn nothing_is_left_to_who_is_held_until_it_looks_again() {
        let loads = loads(&[5, 0]);
        let (mut first, second) = (Balance::new(0, 2), Balance::new(1, 2));
        // Connections come one by one: each of the first hundred is left for a millisecond.
        let mut now = MS;
        for _ in 0..100 {
            assert!(!first.takes(&loads, now));
            now += MS;
            assert!(first.takes(&loads, now));
            first.took(&loads);
            first.done();
        }
        assert_eq!(take(&mut first, &loads, now), 1_000);
        first.done();
        assert!(first.takes(&loads, 2 * now), "it is still held");
        second.look(&loads);
        assert!(!first.takes(&loads, 2 * now));
    }

    /// The worker that accepted what was left doesn't look again, since nothing comes.
    #[test]
    fn who_has_nothing_to_look_for_is_not_held() {
        let loads = loads(&[5, 0]);
        let (mut first, second) = (Balance::new(0, 2), Balance::new(1, 2));
        second.look(&loads);
        for second in [1, 100] {
            let now = Duration::from_secs(second);
            assert!(!first.takes(&loads, now));
            assert!(first.takes(&loads, now + MS));
            // Nothing was left.
            first.done();
            assert_eq!(first.until(), None);
        }
    }

    #[test]
    fn of_a_crowd_a_worker_takes_a_few_each_time_while_the_others_do_not_come() {
        let loads = loads(&[0, 0]);
        let (mut first, mut second) = (Balance::new(0, 2), Balance::new(1, 2));
        assert_eq!(take(&mut first, &loads, MS), 1);
        let mut taken = 0;
        for at in 2..10 {
            taken += take(&mut first, &loads, at * MS);
        }
        assert!((8 * CROWD..12 * CROWD).contains(&taken), "{taken}");
        // The other worker comes, and makes up for it at once.
        let made_up = take(&mut second, &loads, 10 * MS);
        assert!(made_up.abs_diff(taken) < taken / 4, "{made_up} {taken}");
    }

    #[test]
    fn of_a_crowd_all_take_at_the_same_time() {
        let loads = loads(&[20, 20, 20]);
        let mut all: Vec<_> = (0..3).map(|at| Balance::new(at, 3)).collect();
        for one in &mut all {
            take(one, &loads, MS);
        }
        // They take one each in turn, as they run side by side: none waits for the others any more.
        let now = 3 * MS;
        for _ in 0..1_000 {
            for one in &mut all {
                assert!(one.takes(&loads, now));
                loads[one.worker]
                    .connections
                    .fetch_add(1, Ordering::Relaxed);
                one.took(&loads);
            }
        }
    }

    #[test]
    fn who_is_alone_leaves_nothing() {
        let loads = loads(&[1_000]);
        assert_eq!(take(&mut Balance::new(0, 1), &loads, MS), 1_000);
    }
}
