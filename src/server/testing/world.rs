//! What a simulation drives: its workers, its clock, and the clients' ends of all connections.

use std::boxed::Box;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::mem;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use mio::Token;

use super::peer::Peer;
use super::wire::{Random, Sim, Wire};
use crate::proto::{Event, Message};
use crate::server::id::ConnectionId;
use crate::server::listen::TOO_MANY_CONNECTIONS;
use crate::server::run::server::Parts;
use crate::server::run::sessions::Sessions;
use crate::server::shared::Shared;

/// Turns of all workers in which nothing comes to rest before the simulation gives up: more than
/// any application needs that doesn't message itself for ever.
const MAX_TURNS: usize = 100_000;

pub(super) struct World {
    pub(super) shared: Arc<Shared>,
    workers: Vec<Worker>,
    ends: Vec<End>,
    pub(super) now: Duration,
    random: Random,
}

struct Worker {
    sessions: Sessions<Sim>,
    /// The live connections, in the order in which they were accepted.
    wires: Vec<(Token, Weak<RefCell<Wire>>)>,
    has_stopped: bool,
}

/// The client's end of a connection.
pub(super) enum End {
    /// A connection that speaks WebSocket, or begins to.
    WebSocket(Box<WebSocketEnd>),
    /// A plain request, with what has come of its response.
    Http(Sim, Vec<u8>),
    /// A connection that its client has dropped.
    Dropped,
}

pub(super) struct WebSocketEnd {
    pub(super) peer: Peer,
    pub(super) id: ConnectionId,
    /// Messages that have come and were not yet taken.
    pub(super) messages: VecDeque<Message<'static>>,
    /// Whether nothing passes in either direction any more, and neither end is told.
    pub(super) is_cut: bool,
}

impl World {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { shared, endpoints } = parts;
        let workers = (0..shared.inboxes.len()).map(|index| Worker {
            sessions: Sessions::new(
                Arc::clone(&shared),
                Arc::clone(&endpoints),
                index,
                Duration::ZERO,
            ),
            wires: Vec::new(),
            has_stopped: false,
        });
        Self {
            workers: workers.collect(),
            shared,
            ends: Vec::new(),
            now: Duration::ZERO,
            random: Random(0),
        }
    }

    pub(super) fn random(&mut self) -> Random {
        Random(self.random.next())
    }

    pub(super) fn end(&mut self, at: usize) -> &mut End {
        &mut self.ends[at]
    }

    /// A new wire whose client reads all the time.
    pub(super) fn wire() -> Sim {
        let sim = Sim::default();
        sim.0.borrow_mut().room = usize::MAX;
        sim
    }

    /// Connects a wire, to the worker with the fewest connections. None if the server doesn't
    /// accept it.
    pub(super) fn accept(&mut self, sim: &Sim, from: Option<SocketAddr>) -> Option<ConnectionId> {
        let accepting = self.workers.iter().enumerate();
        let accepting = accepting.filter(|(_, it)| !it.has_stopped && it.sessions.is_accepting());
        let (index, _) = accepting.min_by_key(|(_, it)| it.wires.len())?;
        // Ports as a kernel gives them out.
        let port = 49_152 + (self.ends.len() % 16_384) as u16;
        let from = from.unwrap_or_else(|| ([127, 0, 0, 1], port).into());
        let worker = &mut self.workers[index];
        let _thread = worker.sessions.on_its_thread();
        let accepted = worker.sessions.at(self.now).accept(sim.clone(), from);
        let Some(token) = accepted else {
            sim.0.borrow_mut().output = TOO_MANY_CONNECTIONS.to_vec();
            return None;
        };
        worker.wires.push((token, Rc::downgrade(&sim.0)));
        Some(ConnectionId::new(index, token))
    }

    /// Adds the client's end of a connection; returns its place.
    pub(super) fn add(&mut self, end: End) -> usize {
        self.ends.push(end);
        self.ends.len() - 1
    }

    /// Drops the client's end of a connection.
    pub(super) fn drop_end(&mut self, at: usize) {
        if let End::WebSocket(end) = mem::replace(&mut self.ends[at], End::Dropped)
            && !end.is_cut
        {
            end.peer.end();
        }
    }

    /// Whether a worker still serves.
    pub(super) fn is_running(&self) -> bool {
        self.workers.iter().any(|it| !it.has_stopped)
    }

    /// Lets everything happen that happens without time passing.
    #[track_caller]
    pub(super) fn settle(&mut self) {
        for _ in 0..MAX_TURNS {
            let mut rests = true;
            for worker in &mut self.workers {
                rests &= !worker.turn(self.now);
            }
            for end in &mut self.ends {
                rests &= !end.read(self.now);
            }
            if rests {
                return;
            }
        }
        panic!("the server doesn't come to rest: it does something in each of {MAX_TURNS} turns");
    }

    /// Lets time pass, and all happen that is due meanwhile.
    #[track_caller]
    pub(super) fn advance(&mut self, time: Duration) {
        let until = self.now.saturating_add(time);
        self.settle();
        loop {
            let serving = self.workers.iter().filter(|it| !it.has_stopped);
            let next = serving.filter_map(|it| it.sessions.patience()).min();
            let next = next.map(|it| self.now.saturating_add(it));
            let next = next.filter(|it| *it < until).unwrap_or(until);
            self.now = next;
            self.shared.clock.set(next);
            self.settle();
            if next == until {
                return;
            }
        }
    }
}

impl Worker {
    /// Gives the worker a turn; returns whether there was, or is, anything to do.
    fn turn(&mut self, now: Duration) -> bool {
        if self.has_stopped {
            return false;
        }
        let _thread = self.sessions.on_its_thread();
        self.sessions.at(now);
        let mut busy = false;
        for (token, wire) in &self.wires {
            let event = wire.upgrade().and_then(|wire| {
                let mut wire = wire.borrow_mut();
                Some((wire.take_event()?, wire.broken.is_some()))
            });
            if let Some(((readable, ended), is_broken)) = event {
                busy = true;
                if is_broken {
                    self.sessions.broken(*token);
                }
                self.sessions.ready(*token, readable, ended);
            }
        }
        self.sessions.end_turn();
        self.wires.retain(|(token, _)| self.sessions.has(*token));
        if self.sessions.stops() && self.sessions.is_empty() {
            self.sessions.stop();
            self.has_stopped = true;
            return true;
        }
        busy || self.sessions.patience() == Some(Duration::ZERO)
    }
}

impl End {
    /// Reads what has come; returns whether there was anything.
    fn read(&mut self, now: Duration) -> bool {
        match self {
            Self::WebSocket(end) => end.read(now),
            Self::Http(sim, response) => {
                let mut wire = sim.0.borrow_mut();
                let read = !wire.output.is_empty();
                response.append(&mut wire.output);
                let ends = wire.half_closed && !wire.fin;
                if ends {
                    wire.end();
                }
                read || ends
            }
            Self::Dropped => false,
        }
    }
}

impl WebSocketEnd {
    fn read(&mut self, now: Duration) -> bool {
        if self.is_cut {
            self.peer.wire(|wire| wire.output.clear());
            return false;
        }
        let ended = self.peer.is_dropped() || self.peer.wire(|wire| wire.half_closed);
        let read = self.peer.wire(|wire| !wire.output.is_empty());
        if read {
            let messages = &mut self.messages;
            self.peer.listen(now, |event| {
                if let Event::Message(message) = event {
                    messages.push_back(message.into_owned());
                }
            });
        } else if ended && !self.is_over() {
            self.peer.ended();
        }
        let sends = self.peer.wire(|wire| wire.arrived < wire.input.len());
        if sends {
            self.peer.wire(Wire::arrive_all);
        }
        read || sends
    }

    /// Whether nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.peer.closed().is_some() || self.peer.is_refused()
    }
}
