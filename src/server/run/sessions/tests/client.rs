//! A client of the simulation: it encodes with the core, and checks all that it is sent.

use super::*;

/// One end of a simulated wire.
pub(super) struct Client {
    number: usize,
    pub(super) sim: Sim,
    pub(super) token: Option<Token>,
    connection: Connection,
    /// The head of the server's response, as far as it has arrived.
    head: Vec<u8>,
    /// The number of its next message.
    next: u64,
    /// The last number that it heard from each sender.
    last: HashMap<String, u64>,
    pub(super) messages: u64,
    /// The sender and the number of each message.
    pub(super) heard: Vec<String>,
    closing: bool,
    /// Whether the response was 101.
    pub(super) accepted: bool,
    /// Whether the server's Close came, after everything else.
    pub(super) closed: bool,
    /// Whether the connection broke off, by either side: its end may be anything.
    pub(super) broken: bool,
    /// Whether it doesn't read.
    pub(super) deaf: bool,
}

const UPGRADE: &[u8] = b"GET /now HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

impl Client {
    pub(super) fn new(number: usize, sim: Sim, seed: u64) -> Self {
        let random = Box::new(Random(seed));
        let config = Arc::new(Config::default());
        sim.0.borrow_mut().input.extend_from_slice(UPGRADE);
        Self {
            number,
            sim,
            token: None,
            connection: Connection::client(config, random, Duration::ZERO),
            head: Vec::new(),
            next: 0,
            last: HashMap::new(),
            messages: 0,
            heard: Vec::new(),
            closing: false,
            accepted: false,
            closed: false,
            broken: false,
            deaf: false,
        }
    }

    pub(super) fn wire<R>(&self, use_it: impl FnOnce(&mut Wire) -> R) -> R {
        use_it(&mut self.sim.0.borrow_mut())
    }

    /// The server has dropped its end.
    pub(super) fn is_dropped(&self) -> bool {
        Rc::strong_count(&self.sim.0) == 1
    }

    /// Queues a message; the schedule decides when its bytes arrive.
    pub(super) fn say(&mut self, what: &str, topic: usize, filling: usize) {
        let filling = "x".repeat(filling);
        let text = format!("{what} t{topic} c{} {} {filling}", self.number, self.next);
        self.next += 1;
        let mut out = Vec::new();
        // Fails once the connection is over.
        if !self.closing && self.connection.send(&*text, &mut out).is_ok() {
            self.wire(|wire| wire.input.extend_from_slice(&out));
        }
    }

    /// Begins the closing handshake without the core, which would receive nothing more.
    pub(super) fn close(&mut self) {
        if !mem::replace(&mut self.closing, true) && self.connection.is_open() {
            let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8];
            self.wire(|wire| wire.input.extend_from_slice(&close));
        }
    }

    /// Ends its stream, or resets it: it is due nothing after that.
    pub(super) fn break_off(&mut self, reset: bool) {
        self.broken = true;
        self.wire(|wire| match reset {
            true => wire.reset(),
            false => end(wire),
        });
    }

    /// Reads what it was sent.
    pub(super) fn listen(&mut self) {
        let mut bytes = self.wire(|wire| mem::take(&mut wire.output));
        if !self.accepted {
            self.head.append(&mut bytes);
            let Some(at) = self.head.windows(4).position(|it| it == b"\r\n\r\n") else {
                return;
            };
            bytes = self.head.split_off(at + 4);
            self.accepted = self.head.starts_with(b"HTTP/1.1 101 ");
            if !self.accepted {
                let head = self.head.escape_ascii();
                // Refused: too late, or because the server stops.
                let refused = ["408", "503"].map(|it| format!("HTTP/1.1 {it} "));
                let refused = refused
                    .iter()
                    .any(|it| self.head.starts_with(it.as_bytes()));
                assert!(refused, "{head}");
                return self.break_off(false);
            }
        }
        let mut input = Input::new(&mut bytes);
        let mut out = Vec::new();
        loop {
            let event = self.connection.recv(&mut input, &mut out, Duration::ZERO);
            match event.expect("the server speaks the protocol") {
                None => break,
                Some(Event::Message(message)) => {
                    let text = String::from(message.as_text().unwrap());
                    self.hear(&text);
                }
                Some(Event::Closed(_)) => self.closed = true,
                Some(_) => {}
            }
        }
        self.wire(|wire| {
            wire.input.extend_from_slice(&out);
            if self.closed {
                end(wire);
            }
        });
    }

    /// Asserts that no sender's messages come twice or out of order.
    fn hear(&mut self, text: &str) {
        self.messages += 1;
        // It finished without having begun.
        if text.is_empty() {
            return;
        }
        let mut words = text.split(' ').skip(2);
        let (who, number) = (words.next().unwrap(), words.next().unwrap());
        self.heard.push(format!("{who} {number}"));
        let number = number.parse().unwrap();
        let before = self.last.insert(who.to_string(), number);
        assert!(
            before.is_none_or(|it| it < number),
            "{text} after {before:?}"
        );
    }
}

fn end(wire: &mut Wire) {
    let left = wire.input.len();
    wire.arrive(left);
    wire.end();
}
