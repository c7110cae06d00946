//! The ends of connections by close code.
//!
//! Registered codes have a label each, and those of libraries and all others one together. The codes
//! of applications (4000–4999) are told apart as they occur, up to a bound: each is a time series
//! that is stored forever, and peers choose what they send.

use alloc::borrow::Cow;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU16, Ordering};

use super::{Counts, SharedCounter, SharedCounters};
use crate::proto::CloseCode;

/// The codes of applications that are told apart: more than one application has.
const OWN: usize = 32;

/// A code that this server didn't send is told apart only among the first ones, so that peers can't
/// take all the places.
const FROM_PEERS: usize = OWN / 2;

/// The counters of a server's workers: connections end seldom enough to share them.
#[derive(Debug, Default)]
pub(in crate::server) struct CloseCounters {
    /// The codes of applications in the order of their first ends; 0 from the first free place on.
    codes: [AtomicU16; OWN],
    counts: [SharedCounter; OWN],
    others: SharedCounters<CloseCode>,
}

impl CloseCounters {
    /// Counts an end; `sent` says whether this server's own Close has the code.
    pub(in crate::server) fn add(&self, code: CloseCode, sent: bool) {
        match self.place(code, sent) {
            Some(at) => self.counts[at].add(1),
            None => self.others.add(code, 1),
        }
    }

    /// Returns the place of an application's code, which it gets if there is one.
    fn place(&self, CloseCode(code): CloseCode, sent: bool) -> Option<usize> {
        if !(4000..=4999).contains(&code) {
            return None;
        }
        let free = if sent { OWN } else { FROM_PEERS };
        for (at, place) in self.codes.iter().enumerate() {
            let mut known = place.load(Ordering::Relaxed);
            if known == 0 && at < free {
                let taken = place.compare_exchange(0, code, Ordering::Relaxed, Ordering::Relaxed);
                known = taken.map_or_else(|other| other, |_| code);
            }
            match known {
                0 => return None,
                it if it == code => return Some(at),
                _ => {}
            }
        }
        None
    }

    pub(in crate::server) fn counts(&self) -> CloseCounts {
        let mut others = Counts::default();
        others.add(&self.others);
        let codes = self.codes.iter().map(|it| it.load(Ordering::Relaxed));
        let own = codes.zip(&self.counts).take_while(|&(code, _)| code != 0);
        let mut own: Vec<_> = own
            .map(|(code, it)| (CloseCode(code), it.value()))
            .collect();
        own.sort_unstable_by_key(|(code, _)| code.0);
        CloseCounts { own, others }
    }
}

/// How often connections ended with each close code.
///
/// Each registered code is counted by itself. So are the first 32 of the codes 4000–4999, which are
/// the application's; no more than half of them can be codes that only peers have sent. Other codes
/// are counted together: 3000–3999, 4000–4999, and what is neither registered nor in these ranges.
///
/// ```
/// use sockeye::proto::CloseCode;
/// use sockeye::server::Handle;
///
/// fn report(handle: &Handle) {
///     let closes = handle.stats().closes;
///     println!("{} were told to sign in again", closes.count(CloseCode(4001)));
///     for (code, count) in closes.iter() {
///         println!("{code}: {count}"); // "1000: 12", "4001: 3", "4xxx: 0"
///     }
/// }
/// # let _ = report;
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CloseCounts {
    /// By code.
    own: Vec<(CloseCode, u64)>,
    others: Counts<CloseCode>,
}

impl CloseCounts {
    /// The count of this code; of one that isn't counted by itself, that of all which are counted
    /// with it.
    #[must_use]
    pub fn count(&self, code: CloseCode) -> u64 {
        match self.own.iter().find(|(it, _)| *it == code) {
            Some(&(_, count)) => count,
            None => self.others.count(code),
        }
    }

    /// The names of all labels, as in JSON and Prometheus, with their counts, those of 0 too.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'static, str>, u64)> {
        let own = self.own.iter();
        let own = own.map(|(code, count)| (code.0.to_string().into(), *count));
        self.others
            .iter()
            .map(|(name, count)| (name.into(), count))
            .chain(own)
    }

    /// The sum over all codes.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.iter().map(|(_, count)| count).sum()
    }
}

/// Shows only counts above 0.
impl fmt::Debug for CloseCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = self.iter().filter(|&(_, count)| count > 0);
        f.debug_map().entries(counted).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_of_an_application_are_told_apart_up_to_the_bound() {
        let counters = CloseCounters::default();
        for code in 4000..4100 {
            counters.add(CloseCode(code), true);
            counters.add(CloseCode(code), false);
        }
        counters.add(CloseCode::NORMAL, false);
        counters.add(CloseCode(3000), true);
        let counts = counters.counts();
        let own = OWN as u16;
        for code in 4000..4000 + own {
            assert_eq!(counts.count(CloseCode(code)), 2);
        }
        assert_eq!(counts.count(CloseCode(4000 + own)), 2 * (100 - OWN as u64));
        assert_eq!(counts.count(CloseCode::NORMAL), 1);
        assert_eq!(counts.count(CloseCode(3999)), 1);
        assert_eq!(counts.sum(), 202);
        let names: Vec<_> = counts.iter().map(|(name, _)| name).collect();
        assert_eq!(
            names.iter().filter(|it| it.starts_with('4')).count(),
            OWN + 1
        );
        assert!(names.contains(&"4xxx".into()) && names.contains(&"4031".into()));
    }

    #[test]
    fn peers_leave_places_for_the_codes_of_the_server() {
        let counters = CloseCounters::default();
        for code in 4000..5000 {
            counters.add(CloseCode(code), false);
        }
        for code in 4500..4500 + (OWN - FROM_PEERS) as u16 {
            counters.add(CloseCode(code), true);
            // From now on it is known, whoever sends it.
            counters.add(CloseCode(code), false);
            assert_eq!(counters.counts().count(CloseCode(code)), 2);
        }
        assert_eq!(counters.counts().own.len(), OWN);
    }

    #[test]
    fn threads_that_meet_a_code_at_once_count_it_in_one_place() {
        let counters = CloseCounters::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for code in (4000..4020).cycle().take(2_000) {
                        counters.add(CloseCode(code), true);
                    }
                });
            }
        });
        let counts = counters.counts();
        assert_eq!(counts.own.len(), 20);
        assert!(counts.own.iter().all(|&(_, count)| count == 400));
    }
}
