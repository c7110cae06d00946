//! A client of the simulation of several workers: it sends its handler's actions, and records in
//! the ledger all that it hears.

use super::*;

pub(super) struct Ear {
    pub(super) peer: Peer,
    pub(super) id: Option<ConnectionId>,
    /// How many messages it has sent.
    pub(super) said: usize,
    pub(super) closing: bool,
    /// Whether it broke off, and is due nothing any more.
    pub(super) broken: bool,
    /// Whether it doesn't read.
    pub(super) deaf: bool,
    pub(super) keen: bool,
}

impl Ear {
    pub(super) fn new(sim: Sim, path: &str, config: &Arc<Config>, seed: u64) -> Self {
        let url = Url::parse(&format!("ws://a{path}")).unwrap();
        let (request, config) = (ClientRequest::default(), Arc::clone(config));
        let peer = Peer::new(sim, &url, &request, config, Random(seed), Duration::ZERO);
        Self {
            peer: peer.unwrap(),
            id: None,
            said: 0,
            closing: false,
            broken: false,
            deaf: false,
            keen: false,
        }
    }

    pub(super) fn token(&self) -> Token {
        self.id.unwrap().token()
    }

    pub(super) fn wire<R>(&self, use_it: impl FnOnce(&mut Wire) -> R) -> R {
        self.peer.wire(use_it)
    }

    /// Whether the server's Close, or a response other than 101, has come.
    pub(super) fn is_over(&self) -> bool {
        self.peer.closed().is_some() || self.peer.is_refused()
    }

    /// Returns whether, as far as it knows, its connection is open.
    pub(super) fn is_well(&self) -> bool {
        let open = self.peer.is_accepted();
        open && !self.closing && !self.is_over() && !self.broken && !self.deaf
    }

    /// Makes its handler do something.
    pub(super) fn say(&mut self, seed: u64, filling: usize) {
        let text = format!("{seed} {}", "x".repeat(filling));
        if !self.closing {
            let sent = self.peer.write(|it, out| it.send(&*text, out));
            self.said += usize::from(sent == Some(Ok(())));
        }
    }

    /// Begins the closing handshake without the core, which would receive nothing more.
    pub(super) fn close(&mut self) {
        let open = self.peer.connection().is_some_and(Connection::is_open);
        if open && !mem::replace(&mut self.closing, true) {
            let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8];
            self.wire(|wire| wire.input.extend_from_slice(&close));
        }
    }

    pub(super) fn break_off(&mut self, reset: bool) {
        self.broken = true;
        match reset {
            true => self.wire(Wire::reset),
            false => self.peer.end(),
        }
    }

    /// Reads what it was sent.
    pub(super) fn listen(&mut self, ledger: &Mutex<Ledger>) {
        let (id, closing) = (self.id.unwrap(), self.closing);
        self.peer.listen(Duration::ZERO, |event| match event {
            Event::Message(message) => {
                let mut words = message.as_text().unwrap().split(' ');
                let mut number = || words.next().unwrap().parse::<u64>().unwrap();
                let (message, offset) = (number(), number());
                ledger.lock().unwrap().hear(id, message as usize, offset);
            }
            Event::Closed(closed) => {
                let mut words = closed.reason.split(' ').map(str::parse::<u64>);
                if let (Some(Ok(thread)), Some(Ok(call)), false) =
                    (words.next(), words.next(), closing)
                {
                    let mut ledger = ledger.lock().unwrap();
                    ledger.hear_close(id, thread as usize, call);
                }
            }
            _ => {}
        });
        // Refused: too late, or because the server stops.
        self.broken |= self.peer.is_refused();
    }
}
