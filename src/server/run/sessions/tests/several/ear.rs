//! A client of the simulation of several workers: it sends its handler's actions, and records in
//! the ledger all that it hears.

use super::*;

pub(super) struct Peer {
    pub(super) sim: Sim,
    pub(super) id: Option<ConnectionId>,
    handshake: ClientHandshake,
    /// None before it is open.
    connection: Option<Connection>,
    /// How many messages it has sent.
    pub(super) said: usize,
    pub(super) closing: bool,
    /// Whether the server's Close, or a response other than 101, has come.
    pub(super) over: bool,
    /// Whether it broke off, and is due nothing any more.
    pub(super) broken: bool,
    /// Whether it doesn't read.
    pub(super) deaf: bool,
    pub(super) keen: bool,
}

impl Peer {
    pub(super) fn new(sim: Sim, path: &str, config: &Arc<Config>, seed: u64) -> Self {
        let mut head = Vec::new();
        let handshake = ClientHandshake::new(
            &Url::parse(&format!("ws://a{path}")).unwrap(),
            &ClientRequest::default(),
            Arc::clone(config),
            Box::new(Random(seed)),
            &mut head,
            Duration::ZERO,
        );
        sim.0.borrow_mut().input = head;
        Self {
            sim,
            id: None,
            handshake: handshake.unwrap(),
            connection: None,
            said: 0,
            closing: false,
            over: false,
            broken: false,
            deaf: false,
            keen: false,
        }
    }

    pub(super) fn token(&self) -> Token {
        self.id.unwrap().token()
    }

    pub(super) fn wire<R>(&self, use_it: impl FnOnce(&mut Wire) -> R) -> R {
        use_it(&mut self.sim.0.borrow_mut())
    }

    /// The server has dropped its end.
    pub(super) fn is_dropped(&self) -> bool {
        Rc::strong_count(&self.sim.0) == 1
    }

    /// Returns whether, as far as it knows, its connection is open.
    pub(super) fn is_well(&self) -> bool {
        let open = self.connection.is_some();
        open && !self.closing && !self.over && !self.broken && !self.deaf
    }

    /// Makes its handler do something.
    pub(super) fn say(&mut self, seed: u64, filling: usize) {
        let text = format!("{seed} {}", "x".repeat(filling));
        let mut out = Vec::new();
        if let Some(connection) = &mut self.connection
            && !self.closing
            && connection.send(&*text, &mut out).is_ok()
        {
            self.said += 1;
            self.wire(|wire| wire.input.extend_from_slice(&out));
        }
    }

    /// Begins the closing handshake without the core, which would receive nothing more.
    pub(super) fn close(&mut self) {
        let open = self.connection.as_ref().is_some_and(Connection::is_open);
        if open && !mem::replace(&mut self.closing, true) {
            let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8];
            self.wire(|wire| wire.input.extend_from_slice(&close));
        }
    }

    pub(super) fn break_off(&mut self, reset: bool) {
        self.broken = true;
        self.wire(|wire| match reset {
            true => wire.reset(),
            false => end(wire),
        });
    }

    /// Reads what it was sent.
    pub(super) fn listen(&mut self, ledger: &Mutex<Ledger>) {
        let mut bytes = self.wire(|wire| mem::take(&mut wire.output));
        let mut input = Input::new(&mut bytes);
        if self.connection.is_none() && !self.over {
            match self.handshake.recv(&mut input, Duration::ZERO) {
                Ok(Some(connection)) => self.connection = Some(connection),
                Ok(None) => return,
                // Refused: too late, or because the server stops.
                Err(_) => {
                    self.over = true;
                    return self.break_off(false);
                }
            }
        }
        let Some(connection) = &mut self.connection else {
            return;
        };
        let (id, mut out) = (self.id.unwrap(), Vec::new());
        loop {
            let event = connection.recv(&mut input, &mut out, Duration::ZERO);
            match event.expect("the server speaks the protocol") {
                None => break,
                Some(Event::Message(message)) => {
                    let mut words = message.as_text().unwrap().split(' ');
                    let mut number = || words.next().unwrap().parse::<u64>().unwrap();
                    let (message, offset) = (number(), number());
                    ledger.lock().unwrap().hear(id, message as usize, offset);
                }
                Some(Event::Closed(closed)) => {
                    self.over = true;
                    let mut words = closed.reason.split(' ').map(str::parse::<u64>);
                    if let (Some(Ok(thread)), Some(Ok(call)), false) =
                        (words.next(), words.next(), self.closing)
                    {
                        let mut ledger = ledger.lock().unwrap();
                        ledger.hear_close(id, thread as usize, call);
                    }
                }
                Some(_) => {}
            }
        }
        self.wire(|wire| {
            wire.input.extend_from_slice(&out);
            if self.over {
                end(wire);
            }
        });
    }
}

fn end(wire: &mut Wire) {
    let left = wire.input.len();
    wire.arrive(left);
    wire.end();
}
