//! Receiving, and what each mode does then.

use core::time::Duration;

use super::{Bench, Failure, of};
use crate::check::Fault;
use crate::client::Client;
use crate::options::Mode;
use crate::stream::Read;

impl Bench<'_> {
    /// Reads what is there; with `ending` also the end of the stream, which no event reports.
    pub(super) fn read(&mut self, index: usize, ending: bool) -> Result<(), Failure> {
        while let Some(slot) = &mut self.slots[index] {
            let closing = slot.client.is_closing();
            let (count, drained) = match slot.client.read(&mut self.buffer) {
                Ok(Read::Bytes { count, drained }) => (count, drained),
                Ok(Read::Nothing) => break,
                Ok(Read::Eof) | Err(_) if closing => {
                    self.vacate(index);
                    break;
                }
                Ok(Read::Eof) => return of(index, Err(Fault::Eof)),
                Err(fault) => return of(index, Err(fault)),
            };
            let now = self.clock.now();
            let bytes = &mut self.buffer[..count];
            match slot.client.receive(bytes, &self.template, now) {
                // Probably its Close. The end of the stream follows.
                Err(_) if closing => {}
                result => {
                    let received = of(index, result)?;
                    if received.opened {
                        self.opened(index, now)?;
                    }
                    if received.messages > 0 {
                        self.completed(index, received.messages, now)?;
                    }
                }
            }
            // A pong may be owed.
            if drained && !ending {
                break;
            }
        }
        self.mark(index);
        Ok(())
    }

    /// The slot's connection has ended, as expected.
    pub(super) fn vacate(&mut self, index: usize) {
        if let Some(mut slot) = self.slots[index].take() {
            slot.client.end();
        }
        self.vacant.push(index);
    }

    fn opened(&mut self, index: usize, now: Duration) -> Result<(), Failure> {
        let Some(slot) = &self.slots[index] else {
            return Ok(());
        };
        if self.options.deflate && !slot.client.is_deflated() {
            return of(index, Err(Fault::Refused));
        }
        self.tls = self.tls.take().or_else(|| slot.client.tls());
        self.opening -= 1;
        self.open += 1;
        if self.options.mode == Mode::Handshakes {
            let latency = now.saturating_sub(slot.client.begun);
            self.count(latency, 1);
            self.close(index, now)?;
        }
        Ok(())
    }

    /// Handles `count` messages that were completed on a connection.
    fn completed(&mut self, index: usize, count: u64, now: Duration) -> Result<(), Failure> {
        let done = match self.options.mode {
            Mode::Echo => self.echoed(index, count, now)?,
            Mode::FanOut => self.received(index, count, now)?,
            // Nobody sent a message.
            Mode::Idle | Mode::Handshakes => false,
        };
        if done {
            return Ok(());
        }
        let client = self.slots[index].as_ref().map(|slot| &slot.client);
        let message = client.map_or(0, Client::completed);
        of(index, Err(Fault::Unsent { message }))
    }

    /// Returns whether as many were under way.
    fn echoed(&mut self, index: usize, count: u64, now: Duration) -> Result<bool, Failure> {
        let Some(slot) = &mut self.slots[index] else {
            return Ok(true);
        };
        let latencies = &mut self.latencies;
        let done = slot.in_flight.complete(count, |since, count| {
            latencies.record(now.saturating_sub(since), count);
        });
        if done {
            self.messages += count;
            self.in_flight -= count;
            if self.options.rate.is_none() {
                self.send(index, count, now)?;
            }
        }
        Ok(done)
    }

    /// Like [`echoed`](Self::echoed).
    fn received(&mut self, index: usize, count: u64, now: Duration) -> Result<bool, Failure> {
        let completed = self.slots[index]
            .as_ref()
            .map_or(0, |it| it.client.completed());
        // All before `broadcasts` have reached everyone, so for this one none of them is missing.
        let first = completed - count - self.broadcasts_done;
        for number in first..first + count {
            let at = usize::try_from(number).ok();
            let Some(broadcast) = at.and_then(|at| self.broadcasts.get_mut(at)) else {
                return Ok(false);
            };
            broadcast.missing -= 1;
            let latency = now.saturating_sub(broadcast.since);
            self.count(latency, 1);
        }
        let before = self.broadcasts_done;
        while self.broadcasts.front().is_some_and(|it| it.missing == 0) {
            self.broadcasts.pop_front();
            self.broadcasts_done += 1;
        }
        if self.options.rate.is_none() {
            self.broadcast(self.broadcasts_done - before, now)?;
        }
        Ok(true)
    }

    fn count(&mut self, latency: Duration, count: u64) {
        self.latencies.record(latency, count);
        self.messages += count;
    }
}
