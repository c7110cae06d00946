//! Carries out the commands of a worker's inbox: in order, a slice in each turn.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use mio::Token;

use super::Sessions;
use super::pending::{Begun, Stop};
use crate::net::Transport;
use crate::server::end::EndKind;
use crate::server::id::ConnectionId;
use crate::server::run::inbox::{Command, Inbox, TopicMessage};
use crate::server::session::Session;
use crate::server::websocket::LocalDelivery;
use crate::server::write_queue::Keep;

/// Deliveries of messages to subscribers in one turn, by commands and by handlers: a few
/// milliseconds' worth. Further deliveries follow in the next turns.
pub(super) const DELIVERIES: usize = 20_000;

/// Commands in one turn that drive a session: each of them may write.
const COMMANDS: usize = 256;

/// Bytes of commands in one turn. All of them may go to each subscriber of a topic, and are offered
/// to the transports before more are carried out, so that the queue of a subscriber that keeps
/// reading doesn't fill up.
const SLICE: usize = 256 * 1024;

impl<T: Transport> Sessions<T> {
    /// Returns how long until there are commands to carry out; None if there are none.
    #[inline]
    pub(super) fn work_in(&self) -> Option<Duration> {
        let throttled = !self.exchange.throttled.is_empty();
        if self.worker.inbox.is_idle() && self.stopping.is_empty() && !throttled {
            return None;
        }
        self.some_work_in(throttled)
    }

    #[inline(never)]
    fn some_work_in(&self, throttled: bool) -> Option<Duration> {
        if !self.stopping.is_empty() || throttled && self.has_room() {
            return Some(Duration::ZERO);
        }
        // Room that is only reserved (a history may take its time) has no command yet: adding the
        // command wakes the worker.
        if self.exchange.pending.is_empty() && !self.worker.inbox.has_commands() {
            return None;
        }
        let now = self.worker.now;
        let gate = self.exchange.pending.gate();
        Some(gate.map_or(Duration::ZERO, |it| it.opens_at().saturating_sub(now)))
    }

    /// Carries out commands, as many as the turn has room for.
    #[inline]
    pub(in crate::server) fn work(&mut self) {
        if !self.exchange.throttled.is_empty() {
            self.unthrottle();
        }
        if !self.stopping.is_empty() {
            self.shut_down_some();
        }
        if self.worker.inbox.is_idle() {
            // Another thread may have given the last bytes back.
            if self.worker.inbox.is_waited_for() {
                self.wake_waiting();
            }
        } else if self.exchange.fence == 0 && self.stopping.is_empty() {
            // What was delivered is offered to the transports first, and on a server that stops,
            // sessions begin to close before any later command.
            self.carry_out_slice();
        }
    }

    #[inline(never)]
    fn carry_out_slice(&mut self) {
        let inbox = Arc::clone(&self.worker.inbox);
        let (mut bytes, mut commands) = (0, 0);
        self.look_at_gate();
        while self.exchange.pending.gate().is_none()
            && self.stopping.is_empty()
            && commands < COMMANDS
            && bytes < SLICE
            && self.exchange.deliveries > 0
        {
            let Some((command, number, begun)) = self.exchange.pending.next() else {
                break;
            };
            let length = command.bytes();
            if !self.carry_out(command, number, begun, &mut commands) {
                break;
            }
            inbox.release(length);
            bytes += length;
        }
        inbox.own_done(self.exchange.pending.done());
        self.exchange.fence = self.exchange.again.len();
        self.wake_waiting();
    }

    /// Stops taking commands.
    pub(in crate::server) fn stop(&mut self) {
        self.exchange.pending.stop(&self.worker.inbox);
        self.wake_waiting();
    }

    /// Wakes the workers whose publishers wait for room in this inbox.
    fn wake_waiting(&self) {
        for worker in self.worker.inbox.take_waiting() {
            if let Some(inbox) = self.worker.shared.inboxes.get(worker) {
                inbox.wake();
            }
        }
    }

    /// Opens the gate once its subscriber has room, or the time to wait for it is over.
    #[inline]
    pub(super) fn look_at_gate(&mut self) {
        if self.exchange.pending.gate().is_some() {
            self.look_at_closed_gate();
        }
    }

    fn look_at_closed_gate(&mut self) {
        let pending = &mut self.exchange.pending;
        let Some(gate) = pending.gate_mut() else {
            return;
        };
        let session = self.slab.get_mut(gate.token);
        let full = session.and_then(|it| Some((it.full_since(gate.length)?, it)));
        let Some((progress, session)) = full else {
            return pending.open_gate(false);
        };
        gate.progress = progress;
        if self.worker.now >= gate.opens_at() {
            session.lags();
            pending.open_gate(true);
        }
    }

    /// Carries out a command; returns false if it isn't finished.
    fn carry_out(
        &mut self,
        command: Command,
        number: u64,
        mut begun: Begun,
        commands: &mut usize,
    ) -> bool {
        let now = self.worker.now;
        let stop = match &command {
            Command::Publish(publication) => {
                self.publish(publication, number, begun.hurries, &mut begun.cursor)
            }
            Command::PublishJoint(joint, except) => {
                let (worker, mut fan_out) = self.split();
                let mut delivery = LocalDelivery::new(&joint.message, Keep::Always, number, worker);
                if begun.hurries {
                    delivery = delivery.hurry();
                }
                let cursor = &mut begun.cursor;
                fan_out.fan_out_joint(joint, *except, delivery, cursor).1
            }
            Command::Send(token, message) if !self.is_ahead(*token, number) => {
                *commands += 1;
                let (worker, mut fan_out) = self.split();
                let mut delivery = LocalDelivery::new(message, Keep::Always, number, worker);
                if begun.hurries {
                    delivery = delivery.hurry();
                }
                let taken = fan_out.send(*token, &mut delivery);
                (!taken).then_some(Stop::Full(*token, delivery.len()))
            }
            _ => {
                *commands += 1;
                self.obey(command, number);
                return true;
            }
        };
        let Some(stop) = stop else {
            return true;
        };
        self.exchange.pending.put_back(command, begun);
        self.exchange.pending.wait_for(stop, now);
        false
    }

    fn publish(
        &mut self,
        publication: &TopicMessage,
        number: u64,
        hurries: bool,
        cursor: &mut Option<Token>,
    ) -> Option<Stop> {
        let TopicMessage {
            topic,
            message,
            offset,
            except,
        } = publication;
        let (worker, mut fan_out) = self.split();
        let mut delivery = LocalDelivery::new(message, LocalDelivery::keep(topic), number, worker);
        if hurries {
            delivery = delivery.hurry();
        }
        fan_out.fan_out(topic, *offset, *except, delivery, cursor).1
    }

    fn is_ahead(&mut self, token: Token, number: u64) -> bool {
        let session = self.slab.get_mut(token);
        session.is_some_and(|it| it.is_ahead_of(number))
    }

    /// Carries out a command that doesn't carry a message.
    fn obey(&mut self, command: Command, number: u64) {
        let now = self.worker.now;
        let passed = command.token().is_some_and(|it| self.is_ahead(it, number));
        match command {
            Command::Subscribe(token, subscribing) => {
                if !passed {
                    self.drive_by(token, |session, turn| session.subscribe(&subscribing, turn));
                }
                let directory = &self.worker.shared.directory;
                directory.arrived(&subscribing.topic, self.index);
            }
            _ if passed => {}
            Command::Send(..) | Command::Publish(_) | Command::PublishJoint(..) => {}
            Command::Close(token, code, reason) => self.drive_by(token, |session, turn| {
                session.close(code, &reason, turn);
                session.advance(false, turn)
            }),
            Command::Terminate(token) => self.drive_by(token, |session, turn| {
                session.terminate(EndKind::Terminated, turn)
            }),
            Command::Unsubscribe(token, topic) => {
                self.drive_by(token, |session, turn| session.unsubscribe(&topic, turn))
            }
            Command::Refuse(token, topic, error) => {
                self.drive_by(token, |session, turn| session.refuse(&topic, error, turn))
            }
            Command::Call(token, parcel) => {
                if let Some(call) = parcel.open() {
                    self.drive_by(token, |session, turn| session.told(call, turn));
                }
            }
            Command::Pause(token, paused) => {
                self.drive_by(token, |session, turn| session.set_paused(paused, turn))
            }
            Command::Worked(token) => self.drive_by(token, Session::worked),
            Command::Decided(token) => self.drive_by(token, Session::decided),
            Command::Inspect(receive) => {
                self.end_burst();
                let mut all = Vec::new();
                for token in self.slab.tokens() {
                    let session = self.slab.get_mut(token);
                    let id = ConnectionId::new(self.index, token);
                    all.extend(session.and_then(|it| it.stats(id, now)));
                }
                // A panic of the caller's function must not end the worker.
                let _ = catch_unwind(AssertUnwindSafe(|| receive(all)));
            }
            Command::StopAccepting => self.stop_accepting(),
            Command::Drain(plan) => self.drain(plan),
            Command::ShutDown(at) => self.shut_down(at),
        }
    }

    /// Returns whether publishers may continue.
    fn has_room(&self) -> bool {
        self.worker.shared.inboxes.iter().all(|it| it.has_room())
    }

    /// Resumes reading from the sessions that published too fast, if there is room.
    #[cold]
    fn unthrottle(&mut self) {
        if !Inbox::have_room_for(self.index, &self.worker.shared.inboxes) {
            return;
        }
        for token in std::mem::take(&mut self.exchange.throttled) {
            if let Some(session) = self.slab.get_mut(token) {
                session.unthrottle();
                self.drive_later(token);
            }
        }
    }
}
