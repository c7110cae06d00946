//! A client and a server joined in memory, on a virtual clock.
//!
//! Takes the place of an event loop and two sockets: it writes what is in `out`, follows
//! `teardown`, calls `handle_timeout` when `poll_timeout` says so and never sooner, and carries
//! bytes with a latency. Nothing sleeps.

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::time::Duration;

use sockeye::error::Fault;
use sockeye::proto::{Config, Connection, Input, Role, Teardown};

use super::{RawFrame, Seen, endpoint, frames_from, handshake, push_event};

/// One end, its transport, and all that was seen there, with the instant.
pub struct End {
    pub conn: Connection,
    pub events: Vec<(Duration, Seen)>,
    pub fault: Option<(Duration, Fault)>,
    /// What was written, including what the network lost.
    pub written: Vec<(Duration, Vec<u8>)>,
    /// When the transport was dropped.
    pub dropped: Option<Duration>,
    /// When the sending side was shut down, alone or with the whole transport.
    pub shut: Option<Duration>,
    /// Whether what this end writes is lost on its way, including the end of the stream.
    pub mute: bool,
    /// What is on its way here; None is the end of the stream.
    inbox: VecDeque<(Duration, Option<Vec<u8>>)>,
}

impl End {
    fn new(conn: Connection) -> Self {
        Self {
            conn,
            events: Vec::new(),
            fault: None,
            written: Vec::new(),
            dropped: None,
            shut: None,
            mute: false,
            inbox: VecDeque::new(),
        }
    }

    /// Returns the frames written, each with its instant.
    pub fn frames(&self) -> Vec<(Duration, RawFrame)> {
        let role = self.conn.role();
        let writes = self.written.iter();
        let frames = writes.flat_map(|(at, bytes)| {
            let frames = frames_from(role, bytes).into_iter();
            frames.map(|frame| (*at, frame))
        });
        frames.collect()
    }

    /// Returns the events, without their instants.
    pub fn seen(&self) -> Vec<Seen> {
        self.events.iter().map(|(_, event)| event.clone()).collect()
    }
}

pub struct Pair {
    pub client: End,
    pub server: End,
    pub now: Duration,
    /// How long bytes travel.
    pub latency: Duration,
    /// The most bytes that one read returns.
    pub read_size: usize,
}

impl Pair {
    /// Creates two ends that are open at 0, each with its own settings.
    pub fn new(client: &Arc<Config>, server: &Arc<Config>) -> Self {
        let client = endpoint(Role::Client, client);
        Self::of(client, endpoint(Role::Server, server))
    }

    /// Like `new`, with an opening handshake, which negotiates extensions.
    pub fn negotiated(client: &Arc<Config>, server: &Arc<Config>) -> Self {
        let (client, server) = handshake(client, server);
        Self::of(client, server)
    }

    fn of(client: Connection, server: Connection) -> Self {
        Self {
            client: End::new(client),
            server: End::new(server),
            now: Duration::ZERO,
            latency: Duration::ZERO,
            read_size: usize::MAX,
        }
    }

    pub fn end(&mut self, role: Role) -> &mut End {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }

    /// Lets one end act, and writes what it appends.
    pub fn act<R>(
        &mut self,
        role: Role,
        act: impl FnOnce(&mut Connection, &mut Vec<u8>, Duration) -> R,
    ) -> R {
        let (now, mut out) = (self.now, Vec::new());
        let answer = act(&mut self.end(role).conn, &mut out, now);
        self.flush(role, out);
        answer
    }

    /// Sends bytes to an end, as if its peer had written them.
    pub fn inject(&mut self, to: Role, bytes: &[u8]) {
        let due = self.now + self.latency;
        self.end(to).inbox.push_back((due, Some(bytes.to_vec())));
    }

    /// Breaks off the stream to an end.
    pub fn inject_eof(&mut self, to: Role) {
        let due = self.now + self.latency;
        self.end(to).inbox.push_back((due, None));
    }

    /// Delivers and handles all that is due now, until nothing is.
    pub fn drive(&mut self) {
        // Ends that reply to each other without end would be a fault.
        for _ in 0..100_000 {
            if !self.step(Role::Client) && !self.step(Role::Server) {
                return;
            }
        }
        panic!("the ends never come to rest at {:?}", self.now);
    }

    /// Lets time pass, stopping at each instant at which something is due.
    pub fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        self.drive();
        while let Some(next) = self.next_instant().filter(|next| *next <= end) {
            assert!(next > self.now, "overdue after driving");
            self.now = next;
            self.drive();
        }
        self.now = end;
    }

    /// Returns when something is due next.
    pub fn next_instant(&self) -> Option<Duration> {
        let ends = [&self.client, &self.server].into_iter();
        let living = ends.filter(|end| end.dropped.is_none());
        let instants = living.flat_map(|end| {
            let bytes = end.inbox.front().map(|(due, _)| *due);
            [bytes, end.conn.poll_timeout()]
        });
        instants.flatten().min()
    }

    /// Makes one delivery or timeout of an end; returns whether there was one.
    fn step(&mut self, role: Role) -> bool {
        let (now, read_size) = (self.now, self.read_size);
        let end = self.end(role);
        if end.dropped.is_some() {
            return false;
        }
        let mut out = Vec::new();
        if end.inbox.front().is_some_and(|(due, _)| *due <= now) {
            match end.inbox.pop_front() {
                Some((_, Some(bytes))) => {
                    for read in bytes.chunks(read_size) {
                        end.read(read, &mut out, now);
                    }
                }
                _ => {
                    let closed = end.conn.handle_eof();
                    end.events.extend(closed.map(|it| (now, Seen::Closed(it))));
                }
            }
        } else if end.conn.poll_timeout().is_some_and(|due| due <= now) {
            let before = end.conn.poll_timeout();
            if let Err(fault) = end.conn.handle_timeout(now, &mut out) {
                assert!(end.fault.is_none(), "a second fault");
                end.fault = Some((now, fault));
            }
            assert_ne!(before, end.conn.poll_timeout(), "a deadline that stays");
        } else {
            return false;
        }
        self.flush(role, out);
        true
    }

    fn flush(&mut self, role: Role, out: Vec<u8>) {
        let (now, due) = (self.now, self.now + self.latency);
        let end = self.end(role);
        let mut sent = Vec::new();
        if !out.is_empty() {
            assert!(
                end.shut.is_none(),
                "writes after it has shut its sending side"
            );
            end.written.push((now, out.clone()));
            sent.push((due, Some(out)));
        }
        let teardown = end.conn.teardown();
        if matches!(teardown, Some(Teardown::HalfClose | Teardown::Drop)) && end.shut.is_none() {
            end.shut = Some(now);
            sent.push((due, None));
        }
        if teardown == Some(Teardown::Drop) {
            end.dropped.get_or_insert(now);
        }
        if !end.mute {
            let peer = match role {
                Role::Client => &mut self.server,
                Role::Server => &mut self.client,
            };
            peer.inbox.extend(sent);
        }
    }
}

impl End {
    fn read(&mut self, bytes: &[u8], out: &mut Vec<u8>, now: Duration) {
        let mut bytes = bytes.to_vec();
        let mut input = Input::new(&mut bytes);
        loop {
            match self.conn.recv(&mut input, out, now) {
                Ok(Some(event)) => {
                    let mut seen = Vec::new();
                    push_event(&mut seen, event);
                    self.events.extend(seen.into_iter().map(|it| (now, it)));
                }
                Ok(None) => break,
                Err(fault) => {
                    self.fault.get_or_insert((now, fault));
                    break;
                }
            }
        }
    }
}
