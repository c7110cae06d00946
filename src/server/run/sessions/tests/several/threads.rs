//! Threads outside the workers: they call a handle, and retry calls that were refused.

use super::app::Caller;
use super::*;

#[derive(Clone, Copy, Debug)]
enum Op {
    Publish(usize, bool, usize),
    Send(ConnectionId, usize),
    Subscribe(ConnectionId, usize, bool),
    Close(ConnectionId),
    Terminate(ConnectionId),
    Inspect,
    Since(usize, usize),
}

pub(super) struct Thread {
    number: usize,
    /// Calls that found no room.
    again: Option<Op>,
}

impl Thread {
    pub(super) fn new(number: usize) -> Self {
        Self {
            number,
            again: None,
        }
    }

    pub(super) fn step(&mut self, random: &mut Random, app: &Several, handle: &Handle) {
        let caller = Caller {
            ledger: &app.0,
            handle: handle.clone(),
            thread: self.number,
        };
        if random.one_in(6) {
            self.decide(random, app, &caller);
        }
        let again = self.again.take();
        let Some(op) = again.or_else(|| self.choose(random, app, &caller)) else {
            return;
        };
        let done = match op {
            Op::Publish(topic, placed, filling) => caller.publish(topic, placed, filling),
            Op::Send(to, filling) => caller.send(to, filling),
            Op::Subscribe(id, topic, begin) => caller.subscribe(id, topic, begin),
            Op::Close(id) => caller.close(id),
            Op::Terminate(id) => handle.terminate(id),
            Op::Inspect => caller.inspect(&app.0),
            Op::Since(topic, back) => {
                self.since(topic, back, app, handle);
                Ok(())
            }
        };
        if done == Err(HandleError::Busy) {
            self.again = Some(op);
            app.0.lock().unwrap().seen.refused += 1;
        }
    }

    fn choose(&self, random: &mut Random, app: &Several, caller: &Caller<'_>) -> Option<Op> {
        let filling = caller.filling(random);
        let ledger = app.0.lock().unwrap();
        let topic = random.below(ledger.topics.len());
        let id = ledger.pick(random)?;
        Some(match random.below(20) {
            0..8 => Op::Publish(topic, random.one_in(2), filling),
            8..12 => Op::Send(id, filling),
            12..16 => Op::Subscribe(id, topic, !random.one_in(3)),
            16 if random.one_in(6) => Op::Close(id),
            17 if random.one_in(20) => Op::Terminate(id),
            18 => Op::Inspect,
            19 => Op::Since(topic, random.below(30)),
            _ => return None,
        })
    }

    /// An upgrade waits for its decision; later calls come behind that.
    fn decide(&self, random: &mut Random, app: &Several, caller: &Caller<'_>) {
        let decision = app.1.lock().unwrap().pop();
        let Some(deferred) = decision else {
            return;
        };
        let id = deferred.id();
        let call = {
            let mut ledger = app.0.lock().unwrap();
            ledger.seen.deferred += 1;
            ledger.forced += 300;
            random.below(6)
        };
        match call {
            0 => return deferred.reject(Reject::new(403, "not you")),
            1 => return drop(deferred),
            _ => deferred.accept(()),
        }
        let topics = app.0.lock().unwrap().topics.len();
        if random.one_in(2) {
            let _ = caller.subscribe(id, random.below(topics), true);
        }
        if random.one_in(2) {
            let _ = caller.send(id, caller.filling(random));
        }
    }

    /// What was published behind one of the last offsets.
    fn since(&self, topic: usize, back: usize, app: &Several, handle: &Handle) {
        let mut ledger = app.0.lock().unwrap();
        let log = &ledger.topics[topic];
        let mut position = handle.topics("/now").position(&log.name);
        let offsets = log.offsets_behind(0);
        position.offset = match offsets.len().checked_sub(back + 1) {
            Some(at) => offsets[at],
            None => return,
        };
        let missed = handle.topics("/now").history_since(&log.name, position);
        let told: Vec<u64> = missed.entries.iter().map(|it| it.offset).collect();
        let behind = log.offsets_behind(position.offset);
        assert!(behind.ends_with(&told), "{told:?} of {behind:?}");
        let complete = behind.len() <= log.keeps;
        // A topic without a history that was removed continues at a later offset.
        let known = log.keeps > 0 || missed.complete;
        assert!(!known || missed.complete == complete, "{behind:?}");
        assert!(!missed.complete || told == behind, "{told:?} of {behind:?}");
        ledger.seen.since += told.len() as u64;
    }
}
