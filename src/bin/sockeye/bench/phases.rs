//! When a run opens, warms up, measures, drains and closes.

use core::mem;
use core::time::Duration;

use super::{Baseline, Bench, CLOSING, Failure, Phase, of};
use crate::latency::Latencies;
use crate::options::Mode;
use crate::pace::Pace;
use crate::process;
use crate::report::{Measured, Server};

impl Bench<'_> {
    /// Enters the phase that is due.
    pub(super) fn advance(&mut self, now: Duration) -> Result<(), Failure> {
        let mut before = None;
        while before != Some(self.phase) {
            before = Some(self.phase);
            match self.phase {
                Phase::Opening if self.is_ready() => self.begin(now)?,
                Phase::Warmup { until } if now >= until => self.measure(now)?,
                Phase::Measuring { until } if now >= until || self.is_complete() => {
                    self.finish(now)?;
                    self.phase = Phase::Draining;
                }
                Phase::Draining if self.on_their_way() == 0 => self.close_all(now)?,
                Phase::Closing { until }
                    if now >= until || self.slots.iter().all(Option::is_none) =>
                {
                    self.phase = Phase::Over;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.options.mode == Mode::Handshakes || self.open == self.slots.len()
    }

    /// Whether the given number of messages was sent and has arrived.
    fn is_complete(&self) -> bool {
        self.unissued == Some(0) && self.on_their_way() == 0
    }

    fn on_their_way(&self) -> u64 {
        match self.options.mode {
            Mode::Echo => self.in_flight,
            Mode::FanOut => self.broadcasts.len() as u64,
            Mode::Idle => 0,
            Mode::Handshakes => self.opening as u64,
        }
    }

    /// All connections are open: begins to send.
    fn begin(&mut self, now: Duration) -> Result<(), Failure> {
        let warmup = self.options.warmup();
        self.phase = Phase::Warmup {
            until: now.saturating_add(warmup),
        };
        if warmup.is_zero() {
            // Before the first message.
            self.measure(now)?;
        }
        self.pace = Pace::new(self.options.rate, now);
        if self.options.rate.is_some() {
            return Ok(());
        }
        match self.options.mode {
            Mode::Echo => {
                for index in 0..self.slots.len() {
                    self.send(index, self.options.depth, now)?;
                }
            }
            Mode::FanOut => self.broadcast(self.options.depth, now)?,
            Mode::Idle | Mode::Handshakes => {}
        }
        Ok(())
    }

    fn measure(&mut self, now: Duration) -> Result<(), Failure> {
        let until = match self.options.messages {
            Some(_) => Duration::MAX,
            None => now.saturating_add(self.options.duration),
        };
        self.phase = Phase::Measuring { until };
        self.messages = 0;
        self.shown = (now, 0);
        self.latencies.clear();
        self.baseline = Some(Baseline {
            at: now,
            own: process::own_usage(),
            server: process::usage(&self.pids)?,
        });
        Ok(())
    }

    /// Ends the measurement.
    pub(super) fn finish(&mut self, now: Duration) -> Result<(), Failure> {
        let Some(baseline) = self.baseline.take() else {
            return Ok(());
        };
        let own = process::own_usage();
        let mut measured = Measured {
            time: now - baseline.at,
            messages: self.messages,
            latencies: mem::replace(&mut self.latencies, Latencies::new()),
            generator: own.zip(baseline.own).map(|(now, then)| now - then),
            server: None,
        };
        if let Some(resident_before) = self.resident_before {
            measured.server = Some(Server {
                pids: self.pids.clone(),
                usage: process::usage(&self.pids)? - baseline.server,
                resident_before,
                resident: process::resident(&self.pids)?,
            });
        }
        self.measured = Some(measured);
        Ok(())
    }

    fn close_all(&mut self, now: Duration) -> Result<(), Failure> {
        self.phase = Phase::Closing {
            until: now + CLOSING,
        };
        for index in 0..self.slots.len() {
            self.close(index, now)?;
        }
        Ok(())
    }

    pub(super) fn close(&mut self, index: usize, now: Duration) -> Result<(), Failure> {
        if let Some(slot) = &mut self.slots[index]
            && !slot.client.is_closing()
        {
            of(index, slot.client.close(&self.template, now))?;
            self.mark(index);
        }
        Ok(())
    }
}
