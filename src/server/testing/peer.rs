//! The client's end of a simulated connection: the core in the client's role.

use std::boxed::Box;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::vec::Vec;

use super::wire::{Random, Sim, Wire};
use crate::error::Misuse;
use crate::proto::{ClientHandshake, ClientRequest, Closed, Config, Connection, Event, Input, Url};

pub(in crate::server) struct Peer {
    pub(in crate::server) sim: Sim,
    handshake: ClientHandshake,
    /// Whether the response was 101.
    accepted: bool,
    /// None before it is open.
    connection: Option<Connection>,
    /// What has come in place of frames: the response as far as it has come, or a whole one that
    /// refuses.
    response: Vec<u8>,
    refused: bool,
    closed: Option<Closed>,
}

impl Peer {
    /// Begins the opening handshake; the caller decides when its bytes arrive.
    ///
    /// # Errors
    /// For a request that can't be sent.
    pub(in crate::server) fn new(
        sim: Sim,
        url: &Url,
        request: &ClientRequest,
        config: Arc<Config>,
        random: Random,
        now: Duration,
    ) -> Result<Self, Misuse> {
        let mut head = Vec::new();
        let random = Box::new(random);
        let handshake = ClientHandshake::new(url, request, config, random, &mut head, now)?;
        sim.0.borrow_mut().input.append(&mut head);
        Ok(Self {
            sim,
            handshake,
            accepted: false,
            connection: None,
            response: Vec::new(),
            refused: false,
            closed: None,
        })
    }

    /// Makes it send before it has the response.
    #[cfg(test)]
    pub(in crate::server) fn impatient(mut self, config: Arc<Config>, random: Random) -> Self {
        let connection = Connection::client(config, Box::new(random), Duration::ZERO);
        self.connection = Some(connection);
        self
    }

    pub(in crate::server) fn wire<R>(&self, use_it: impl FnOnce(&mut Wire) -> R) -> R {
        use_it(&mut self.sim.0.borrow_mut())
    }

    /// Whether the server has dropped its end.
    pub(in crate::server) fn is_dropped(&self) -> bool {
        Rc::strong_count(&self.sim.0) == 1
    }

    /// Whether the response was 101.
    pub(in crate::server) fn is_accepted(&self) -> bool {
        self.accepted
    }

    /// The connection, once there is one.
    pub(in crate::server) fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    /// How the connection ended, if it has.
    pub(in crate::server) fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }

    /// Whether the response was another than 101.
    pub(in crate::server) fn is_refused(&self) -> bool {
        self.refused
    }

    /// The response that refused, as far as it has come.
    pub(in crate::server) fn response(&self) -> &[u8] {
        &self.response
    }

    /// Calls the core, which appends to what the server will read; the caller decides when that
    /// arrives. None before it is open.
    pub(in crate::server) fn write<R>(
        &mut self,
        write: impl FnOnce(&mut Connection, &mut Vec<u8>) -> R,
    ) -> Option<R> {
        let connection = self.connection.as_mut()?;
        Some(write(connection, &mut self.sim.0.borrow_mut().input))
    }

    /// Ends its stream behind all that it has sent.
    pub(in crate::server) fn end(&self) {
        self.wire(|wire| {
            wire.arrive_all();
            wire.end();
        });
    }

    /// Reads what it was sent, and answers as the protocol demands: the caller decides when that
    /// arrives.
    ///
    /// # Panics
    /// If the server breaks the protocol.
    pub(in crate::server) fn listen(&mut self, now: Duration, mut hear: impl FnMut(Event<'_>)) {
        let mut bytes = self.wire(|wire| mem::take(&mut wire.output));
        let mut input = Input::new(&mut bytes);
        if !self.accepted {
            self.response.extend_from_slice(input.as_slice());
            if self.refused {
                return;
            }
            match self.handshake.recv(&mut input, now) {
                Ok(Some(connection)) => _ = self.connection.get_or_insert(connection),
                Ok(None) => return,
                Err(_) => {
                    self.refused = true;
                    return self.end();
                }
            }
            self.accepted = true;
            self.response = Vec::new();
        }
        let Some(connection) = &mut self.connection else {
            return;
        };
        let mut out = Vec::new();
        loop {
            let event = connection.recv(&mut input, &mut out, now);
            match event.expect("the server speaks the protocol") {
                None => break,
                Some(event) => {
                    if let Event::Closed(closed) = &event {
                        self.closed = Some(closed.clone());
                    }
                    hear(event);
                }
            }
        }
        self.wire(|wire| wire.input.append(&mut out));
        if self.closed.is_some() {
            self.end();
        }
    }

    /// Notes that the server has ended its stream, and ends its own.
    pub(in crate::server) fn ended(&mut self) {
        match &mut self.connection {
            Some(connection) if self.accepted => {
                let closed = connection.handle_eof();
                self.closed = self.closed.take().or(closed);
            }
            _ => self.refused = true,
        }
        self.end();
    }
}
