//! Which session is due when, in coarse ticks.
//!
//! Owns the schedule. A session has at most one entry that counts: the session knows its tick, and
//! an entry for another tick is stale and skipped. So a deadline that moves back costs nothing, and
//! one that moves forward costs one more entry. An entry holds its session's slot; one that a
//! former session left there is stale like any other.

use alloc::vec::Vec;
use core::mem;
use core::num::NonZeroU32;
use core::time::Duration;

/// A quarter of a second: deadlines are seconds, and one late sweep over many sessions is cheaper
/// than many early ones. Nothing is ever due early.
const TICK: Duration = Duration::from_millis(250);

/// A bit over a minute of ticks; a deadline further off is scheduled again then.
const SLOTS: u64 = 256;

/// A point in time, in ticks, which last for 34 years. Small, since each session has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::server) struct Tick(NonZeroU32);

impl From<u64> for Tick {
    fn from(ticks: u64) -> Self {
        let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
        Self(NonZeroU32::MIN.saturating_add(ticks))
    }
}

impl Tick {
    /// The first tick at or after a deadline.
    fn of(deadline: Duration) -> u64 {
        ticks(deadline.saturating_add(TICK - Duration::from_nanos(1)))
    }

    /// Whether an earlier tick is right for this deadline.
    pub(in crate::server) fn is_behind(self, deadline: Duration) -> bool {
        self > Self::of(deadline).into()
    }
}

#[derive(Debug)]
pub(in crate::server) struct TimerWheel {
    slots: Vec<Vec<u32>>,
    /// The next tick to expire.
    current: u64,
    entries: usize,
    /// Which slots have entries, one bit per slot.
    occupied: [u64; (SLOTS / 64) as usize],
}

impl TimerWheel {
    pub(in crate::server) fn new(now: Duration) -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            current: ticks(now) + 1,
            entries: 0,
            occupied: [0; (SLOTS / 64) as usize],
        }
    }

    /// Schedules the session at `place` for `deadline` unless `scheduled`, its current entry, comes
    /// first. Returns the entry that counts from now on.
    pub(in crate::server) fn schedule(
        &mut self,
        place: u32,
        deadline: Option<Duration>,
        scheduled: Option<Tick>,
    ) -> Option<Tick> {
        let Some(deadline) = deadline else {
            return scheduled;
        };
        // Within the wheel's horizon.
        let tick = Tick::of(deadline).clamp(self.current, self.current + SLOTS - 1);
        if scheduled.is_some_and(|scheduled| scheduled <= tick.into()) {
            return scheduled;
        }
        let slot = (tick % SLOTS) as usize;
        self.slots[slot].push(place);
        self.occupied[slot / 64] |= 1 << (slot % 64);
        self.entries += 1;
        Some(tick.into())
    }

    /// Returns how long until the next tick with an entry.
    pub(in crate::server) fn next(&self, now: Duration) -> Option<Duration> {
        if self.entries == 0 {
            return None;
        }
        // Word by word from the current slot on; the earlier bits of its word come last.
        let first = (self.current % SLOTS) as usize;
        let (word, bit) = (first / 64, first % 64);
        let words = self.occupied.len();
        let ahead = (0..=words).find_map(|at| {
            let bits = self.occupied[(word + at) % words];
            let bits = match at {
                0 => bits >> bit << bit,
                _ if at == words => bits & !(u64::MAX << bit),
                _ => bits,
            };
            (bits != 0).then(|| at * 64 + bits.trailing_zeros() as usize - bit)
        })?;
        let tick = self.current + ahead as u64;
        let due = TICK.saturating_mul(u32::try_from(tick).unwrap_or(u32::MAX));
        Some(due.saturating_sub(now))
    }

    /// Returns the number of entries, stale ones included.
    #[cfg(test)]
    pub(in crate::server) fn len(&self) -> usize {
        self.entries
    }

    /// Takes the entries of the next tick if it is due; to be called until it returns None.
    pub(in crate::server) fn expire(&mut self, now: Duration) -> Option<(Tick, Vec<u32>)> {
        if self.current > ticks(now) {
            return None;
        }
        if self.entries == 0 {
            self.current = ticks(now) + 1;
            return None;
        }
        let tick = self.current;
        self.current += 1;
        let slot = (tick % SLOTS) as usize;
        let due = mem::take(&mut self.slots[slot]);
        self.occupied[slot / 64] &= !(1 << (slot % 64));
        self.entries -= due.len();
        Some((tick.into(), due))
    }
}

fn ticks(time: Duration) -> u64 {
    const PER_SECOND: u64 = 1_000 / TICK.as_millis() as u64;
    time.as_secs()
        .saturating_mul(PER_SECOND)
        .saturating_add(u64::from(time.subsec_nanos() / TICK.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Expires everything that is due; returns the entries with their ticks.
    fn due(wheel: &mut TimerWheel, now: Duration) -> Vec<(Tick, u32)> {
        let mut all = Vec::new();
        while let Some((tick, tokens)) = wheel.expire(now) {
            all.extend(tokens.into_iter().map(|token| (tick, token)));
        }
        all
    }

    #[test]
    fn nothing_is_due_early_nor_more_than_a_tick_late() {
        for deadline in [1, 249, 250, 251, 9_999, 10_000, 63_000] {
            let mut wheel = TimerWheel::new(ms(0));
            wheel.schedule(1, Some(ms(deadline)), None);
            for now in 0..deadline {
                assert!(due(&mut wheel, ms(now)).is_empty(), "{deadline} at {now}");
            }
            assert_eq!(due(&mut wheel, ms(deadline + 250)).len(), 1);
        }
    }

    #[test]
    fn the_next_wait_ends_when_an_entry_is_due() {
        let mut wheel = TimerWheel::new(ms(0));
        assert_eq!(wheel.next(ms(0)), None);
        wheel.schedule(1, Some(ms(700)), None);
        let wait = wheel.next(ms(100)).unwrap();
        assert_eq!(wait, ms(650));
        assert_eq!(due(&mut wheel, ms(100) + wait).len(), 1);
        assert_eq!(wheel.next(ms(750)), None);
    }

    #[test]
    fn the_next_entry_is_found_from_every_slot_however_far_it_is() {
        for current in 0..SLOTS {
            for ahead in [1, 2, 63, 64, 65, 128, 191, 255] {
                let now = TICK.saturating_mul(current as u32);
                let mut wheel = TimerWheel::new(now);
                let far = TICK.saturating_mul(ahead);
                wheel.schedule(1, Some(now + far), None);
                assert_eq!(wheel.next(now), Some(far), "{current} {ahead}");
            }
        }
    }

    #[test]
    fn a_later_deadline_keeps_its_entry_and_an_earlier_one_adds_one() {
        let mut wheel = TimerWheel::new(ms(0));
        let first = wheel.schedule(1, Some(ms(1000)), None);
        assert_eq!(wheel.schedule(1, Some(ms(5000)), first), first);
        let earlier = wheel.schedule(1, Some(ms(500)), first);
        assert!(earlier < first);
        assert_eq!(wheel.entries, 2);
    }

    #[test]
    fn a_deadline_beyond_the_horizon_is_looked_at_again_within_it() {
        let mut wheel = TimerWheel::new(ms(0));
        let far = Duration::from_secs(3600);
        let tick = wheel.schedule(1, Some(far), None).unwrap();
        assert!(tick < Tick::from(SLOTS + 1));
        assert_eq!(due(&mut wheel, ms(250) * 300).len(), 1);
    }

    #[test]
    fn a_long_sleep_expires_each_entry_once() {
        let mut wheel = TimerWheel::new(ms(0));
        for token in 0..1000 {
            wheel.schedule(token, Some(ms(token as u64 * 50)), None);
        }
        let all = due(&mut wheel, Duration::from_secs(600));
        assert_eq!(all.len(), 1000);
        assert!(due(&mut wheel, Duration::from_secs(601)).is_empty());
    }
}
