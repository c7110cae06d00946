//! Sending: opens connections, begins messages, writes bytes.

use core::mem;
use core::time::Duration;
use std::sync::Arc;

use mio::{Interest, Token};
use sockeye::proto::{ClientHandshake, ClientRequest};

use super::{Bench, Broadcast, Failure, OPENING, Phase, Slot, of};
use crate::check::Fault;
use crate::client::Client;
use crate::latency::InFlight;
use crate::options::Mode;
use crate::random::Random;

impl Bench<'_> {
    /// Opens the connections that are due.
    pub(super) fn open_due(&mut self, now: Duration) -> Result<(), Failure> {
        while self.opening < OPENING && !self.vacant.is_empty() {
            let due = match self.options.mode {
                Mode::Handshakes if !self.may_issue() => None,
                Mode::Handshakes => self.pace.take(now),
                _ if self.phase == Phase::Opening => self.ramp.take(now),
                _ => None,
            };
            let (Some(since), Some(index)) = (due, due.and_then(|_| self.vacant.pop())) else {
                return Ok(());
            };
            self.issue(1);
            of(index, self.open(index, since))?;
        }
        Ok(())
    }

    fn open(&mut self, index: usize, since: Duration) -> Result<(), Fault> {
        let mut request = Vec::new();
        let handshake = ClientHandshake::new(
            &self.url,
            &ClientRequest::default(),
            Arc::clone(&self.config),
            Box::new(Random::new(self.random.next())),
            &mut request,
            self.clock.now(),
        )?;
        let first = match self.options.mode {
            // All receive what the first connection sends.
            Mode::FanOut => 0,
            // Far apart, so that one connection's echo is never another's.
            _ => (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1,
        };
        let stream = self.connector.connect(self.address)?;
        let mut client = Client::new(stream, handshake, request, first, since);
        let interests = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        registry.register(client.socket(), Token(index), interests)?;
        self.slots[index] = Some(Slot {
            client,
            in_flight: InFlight::default(),
            dirty: false,
        });
        self.opening += 1;
        Ok(())
    }

    pub(super) fn may_issue(&self) -> bool {
        self.phase.sends() && self.unissued != Some(0)
    }

    /// Returns how many of `wanted` messages may be sent, and counts them as sent.
    fn issue(&mut self, wanted: u64) -> u64 {
        if !self.phase.sends() {
            return 0;
        }
        match &mut self.unissued {
            Some(unissued) => {
                let issued = wanted.min(*unissued);
                *unissued -= issued;
                issued
            }
            None => wanted,
        }
    }

    /// Sends the messages that are due by the rate, on the connections in turn.
    pub(super) fn send_due(&mut self, now: Duration) -> Result<(), Failure> {
        if self.options.rate.is_none() || self.options.mode == Mode::Handshakes {
            return Ok(());
        }
        while self.may_issue() {
            let Some(since) = self.pace.take(now) else {
                break;
            };
            match self.options.mode {
                Mode::Echo => {
                    self.send(self.turn, 1, since)?;
                    self.turn = (self.turn + 1) % self.slots.len();
                }
                Mode::FanOut => self.broadcast(1, since)?,
                Mode::Idle | Mode::Handshakes => break,
            }
        }
        Ok(())
    }

    /// Mode echo: sends `count` messages on a connection, as far as allowed.
    pub(super) fn send(
        &mut self,
        index: usize,
        count: u64,
        since: Duration,
    ) -> Result<(), Failure> {
        let count = self.issue(count);
        if let Some(slot) = &mut self.slots[index]
            && count > 0
        {
            slot.in_flight.push(since, count);
            self.in_flight += count;
            of(index, slot.client.send(count, &mut self.template))?;
            self.mark(index);
        }
        Ok(())
    }

    /// Mode fan-out: the first connection sends `count` messages, as far as allowed.
    pub(super) fn broadcast(&mut self, count: u64, since: Duration) -> Result<(), Failure> {
        let count = self.issue(count);
        let missing = self.slots.len() as u64;
        for _ in 0..count {
            self.broadcasts.push_back(Broadcast { since, missing });
        }
        if let Some(slot) = &mut self.slots[0]
            && count > 0
        {
            of(0, slot.client.send(count, &mut self.template))?;
            self.mark(0);
        }
        Ok(())
    }

    /// Notes that the connection has something to write.
    pub(super) fn mark(&mut self, index: usize) {
        if let Some(slot) = &mut self.slots[index]
            && !mem::replace(&mut slot.dirty, true)
        {
            self.dirty.push(index);
        }
    }

    pub(super) fn write_dirty(&mut self) -> Result<(), Failure> {
        while let Some(index) = self.dirty.pop() {
            self.write(index)?;
        }
        Ok(())
    }

    fn write(&mut self, index: usize) -> Result<(), Failure> {
        let Some(slot) = &mut self.slots[index] else {
            return Ok(());
        };
        slot.dirty = false;
        match slot.client.write(&mut self.template) {
            Err(_) if slot.client.is_closing() => self.vacate(index),
            result => of(index, result)?,
        }
        Ok(())
    }
}
