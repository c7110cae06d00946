//! A client of the simulation: it encodes with the core, and checks all that it is sent.

use super::*;

pub(super) struct Client {
    number: usize,
    pub(super) peer: Peer,
    pub(super) token: Option<Token>,
    /// The number of its next message.
    next: u64,
    /// The last number that it heard from each sender.
    last: HashMap<String, u64>,
    pub(super) messages: u64,
    /// The sender and the number of each message.
    pub(super) heard: Vec<String>,
    closing: bool,
    /// Whether the connection broke off, by either side: its end may be anything.
    pub(super) broken: bool,
    /// Whether it doesn't read.
    pub(super) deaf: bool,
}

impl Client {
    pub(super) fn new(number: usize, sim: Sim, seed: u64) -> Self {
        let url = Url::parse("ws://a/now").unwrap();
        let (request, config) = (ClientRequest::default(), Arc::new(Config::default()));
        let random = Random(seed);
        let peer = Peer::new(
            sim,
            &url,
            &request,
            Arc::clone(&config),
            random.clone(),
            Duration::ZERO,
        );
        Self {
            number,
            peer: peer.unwrap().impatient(config, random),
            token: None,
            next: 0,
            last: HashMap::new(),
            messages: 0,
            heard: Vec::new(),
            closing: false,
            broken: false,
            deaf: false,
        }
    }

    pub(super) fn wire<R>(&self, use_it: impl FnOnce(&mut Wire) -> R) -> R {
        self.peer.wire(use_it)
    }

    /// Whether the response was 101.
    pub(super) fn accepted(&self) -> bool {
        self.peer.is_accepted()
    }

    /// Whether the server's Close came, after everything else.
    pub(super) fn closed(&self) -> bool {
        self.peer.closed().is_some()
    }

    /// Queues a message; the schedule decides when its bytes arrive.
    pub(super) fn say(&mut self, what: &str, topic: usize, filling: usize) {
        let filling = "x".repeat(filling);
        let text = format!("{what} t{topic} c{} {} {filling}", self.number, self.next);
        self.next += 1;
        if !self.closing {
            // Fails once the connection is over.
            let _ = self.peer.write(|it, out| it.send(&*text, out));
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

    /// Ends its stream, or resets it: it is due nothing after that.
    pub(super) fn break_off(&mut self, reset: bool) {
        self.broken = true;
        match reset {
            true => self.wire(Wire::reset),
            false => self.peer.end(),
        }
    }

    /// Reads what it was sent.
    pub(super) fn listen(&mut self) {
        let mut heard = Vec::new();
        self.peer.listen(Duration::ZERO, |event| {
            if let Event::Message(message) = event {
                heard.push(String::from(message.as_text().unwrap()));
            }
        });
        for text in heard {
            self.hear(&text);
        }
        if self.peer.is_refused() {
            self.broken = true;
            // Refused: too late, or because the server stops.
            let head = self.peer.response().escape_ascii().to_string();
            let refused = ["408", "503"].map(|it| format!("HTTP/1.1 {it} "));
            assert!(refused.iter().any(|it| head.starts_with(it)), "{head}");
        }
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
