//! A transport in memory that behaves like a socket, at its worst moments.
//!
//! It behaves like an edge-triggered socket: readiness is reported once for bytes that arrive and
//! for room that is freed, and never again.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::mem;
use std::rc::Rc;
use std::vec::Vec;

use crate::net::Transport;
use crate::proto::RandomSource;

/// SplitMix64.
#[derive(Clone)]
pub(in crate::server) struct Random(pub(in crate::server) u64);

impl Random {
    pub(in crate::server) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    pub(in crate::server) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(in crate::server) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A number of bytes, as often small as large.
    pub(in crate::server) fn bytes(&mut self) -> usize {
        let most = 1 << self.below(15);
        1 + self.below(most)
    }
}

impl RandomSource for Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.next() as u8);
    }
}

#[derive(Default)]
pub(in crate::server) struct Wire {
    /// All that the peer will send; `arrived` of it has, and `read` of that was read.
    pub(in crate::server) input: Vec<u8>,
    pub(in crate::server) arrived: usize,
    pub(in crate::server) read: usize,
    /// Whether the peer's end of the stream follows the input, and has arrived.
    pub(in crate::server) fin: bool,
    /// The error of both directions.
    pub(in crate::server) broken: Option<io::ErrorKind>,
    pub(in crate::server) output: Vec<u8>,
    /// Where the bytes of the last write were, so that it shows who shares them.
    #[cfg(test)]
    pub(in crate::server) written_from: Vec<*const u8>,
    /// Bytes that are taken before writes block.
    pub(in crate::server) room: usize,
    /// The server has ended its sending side.
    pub(in crate::server) half_closed: bool,
    /// A write blocked and no room has come since.
    pub(in crate::server) blocked: bool,
    /// Readiness that has yet to be reported.
    pub(in crate::server) readable: bool,
    pub(in crate::server) writable: bool,
    /// The seed of faults; None for ideal input and output.
    pub(in crate::server) faults: Option<Random>,
    /// Reads and writes so far.
    #[cfg(test)]
    pub(in crate::server) calls: usize,
    /// The number of calls after which the peer resets.
    #[cfg(test)]
    pub(in crate::server) reset_after: Option<usize>,
}

impl Wire {
    pub(in crate::server) fn arrive(&mut self, count: usize) {
        self.arrived = (self.arrived + count).min(self.input.len());
        self.readable = true;
    }

    pub(in crate::server) fn end(&mut self) {
        self.fin = true;
        self.readable = true;
    }

    pub(in crate::server) fn reset(&mut self) {
        self.broken = Some(io::ErrorKind::ConnectionReset);
        self.readable = true;
    }

    pub(in crate::server) fn give_room(&mut self, count: usize) {
        self.room = self.room.saturating_add(count);
        self.writable |= mem::take(&mut self.blocked);
    }

    /// Takes what a poll would report now, if anything: whether the transport can be read, and
    /// whether up to its end.
    pub(in crate::server) fn take_event(&mut self) -> Option<(bool, bool)> {
        let readable = mem::take(&mut self.readable);
        let writable = mem::take(&mut self.writable);
        let ended = self.fin && self.arrived == self.input.len() || self.broken.is_some();
        (readable || writable).then_some((readable, readable && ended))
    }

    /// Delivers all that the peer has sent.
    pub(in crate::server) fn arrive_all(&mut self) {
        self.arrive(self.input.len() - self.arrived);
    }

    /// What may happen before any call.
    fn fault(&mut self) -> io::Result<()> {
        #[cfg(test)]
        {
            self.calls += 1;
            if self.reset_after.is_some_and(|it| self.calls > it) {
                self.reset();
            }
        }
        if let Some(kind) = self.broken {
            return Err(kind.into());
        }
        let interrupted = self.faults.as_mut().is_some_and(|it| it.one_in(8));
        match interrupted {
            true => Err(io::ErrorKind::Interrupted.into()),
            false => Ok(()),
        }
    }
}

#[derive(Clone, Default)]
pub(in crate::server) struct Sim(pub(in crate::server) Rc<RefCell<Wire>>);

impl Transport for Sim {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_both(&mut [], buffer)
    }

    fn read_both(&mut self, space: &mut [u8], buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        let wire = &mut *wire;
        wire.fault()?;
        if let Some(random) = &mut wire.faults {
            // Bytes arrive at any moment.
            if random.one_in(4) && wire.arrived < wire.input.len() {
                let count = random.bytes();
                wire.arrive(count);
            }
        }
        let waiting = &wire.input[wire.read..wire.arrived];
        if waiting.is_empty() {
            return match wire.fin && wire.read == wire.input.len() {
                true => Ok(0),
                false => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        let mut count = 0;
        for place in [space, buffer] {
            let taken = place.len().min(waiting.len() - count);
            place[..taken].copy_from_slice(&waiting[count..count + taken]);
            count += taken;
        }
        wire.read += count;
        Ok(count)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        let wire = &mut *wire;
        wire.fault()?;
        assert!(!wire.half_closed, "written after the end");
        let mut most = usize::MAX;
        if let Some(random) = &mut wire.faults {
            most = random.bytes();
            // The peer reads at any moment.
            if random.one_in(4) {
                let count = random.bytes();
                wire.give_room(count);
            }
        }
        if wire.room == 0 {
            wire.blocked = true;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        #[cfg(test)]
        {
            wire.written_from = slices.iter().map(|it| it.as_ptr()).collect();
        }
        let mut count = 0;
        for slice in slices {
            let taken = slice.len().min(wire.room.min(most) - count);
            wire.output.extend_from_slice(&slice[..taken]);
            count += taken;
        }
        assert_ne!(count, 0, "a write of nothing");
        wire.room -= count;
        Ok(count)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        let mut wire = self.0.borrow_mut();
        assert!(!mem::replace(&mut wire.half_closed, true), "twice");
        Ok(())
    }
}
