//! Commands, and inputs other than bytes.

use super::*;

impl Model {
    /// What must keep a message from being sent.
    fn misuse(&self) -> Option<Misuse> {
        if self.phase != Phase::Open {
            Some(Misuse::Closed)
        } else {
            self.sending.map(|_| Misuse::FragmentUnderWay)
        }
    }

    /// A message was sent, or refused.
    pub(super) fn sent(
        &mut self,
        answer: Result<(), Misuse>,
        kind: MessageKind,
        bytes: &[u8],
        out: &[u8],
    ) {
        let frames = self.written(out, false);
        assert_eq!(answer.err(), self.misuse());
        if self.misuse().is_some() {
            assert!(frames.is_empty());
            return;
        }
        let size = self.setup.config.fragment_size;
        let count = size.map_or(1, |size| bytes.len().div_ceil(size.get()).max(1));
        assert_eq!(frames.len(), count);
        for (at, frame) in frames.iter().enumerate() {
            assert_eq!(frame.opcode, if at == 0 { opcode(kind) } else { 0 });
            assert_eq!(frame.fin, at + 1 == count);
        }
        let mut joined: Vec<u8> = frames.iter().flat_map(|it| it.payload.clone()).collect();
        if frames[0].rsv != 0 {
            joined = rle::decode(&joined);
        }
        assert_eq!(joined, bytes);
        self.check();
    }

    fn send(&mut self, kind: MessageKind, length: usize) {
        let bytes = content(kind, length);
        let mut out = Vec::new();
        let answer = self.connection.send(message(kind, &bytes), &mut out);
        self.sent(answer, kind, &bytes, &out);
    }

    /// The header by the core, the payload by hand.
    fn send_header(&mut self, kind: MessageKind, length: usize) {
        let mut bytes = content(kind, length);
        let (plain, mut out) = (bytes.clone(), Vec::new());
        let refused = match self.connection.send_header(kind, length as u64, &mut out) {
            Ok(mut payload) => {
                let (head, tail) = bytes.split_at_mut(length / 3);
                payload.mask(head);
                match self.setup.role {
                    Role::Server => payload.pass(tail),
                    Role::Client => payload.mask(tail),
                }
                assert_eq!(payload.left(), 0);
                None
            }
            Err(misuse) => Some(misuse),
        };
        if let Some(misuse) = refused {
            return self.sent(Err(misuse), kind, &bytes, &out);
        }
        out.extend(bytes);
        let frames = self.written(&out, false);
        assert_eq!(self.misuse(), None);
        let [frame] = &*frames else {
            panic!("not one frame: {frames:?}");
        };
        assert!(frame.fin && frame.rsv == 0 && frame.opcode == opcode(kind));
        assert_eq!(frame.payload, plain);
    }

    fn send_fragment(&mut self, kind: MessageKind, length: usize, fin: bool) {
        let bytes = content(kind, length);
        let mut out = Vec::new();
        let fragment = message(kind, &bytes);
        let answer = match fin {
            false => self.connection.send_fragment(fragment, &mut out),
            true => self.connection.send_last_fragment(fragment, &mut out),
        };
        let frames = self.written(&out, self.sending.is_some());
        let misuse = if self.phase != Phase::Open {
            Some(Misuse::Closed)
        } else {
            let other = self.sending.is_some_and(|sending| sending != kind);
            other.then_some(Misuse::FragmentKind)
        };
        let refused = misuse.is_some();
        assert_eq!(answer.err(), misuse);
        if refused {
            assert!(frames.is_empty());
            return;
        }
        let [frame] = &*frames else {
            panic!("not one frame: {frames:?}");
        };
        let first = self.sending.is_none();
        assert_eq!(frame.opcode, if first { opcode(kind) } else { 0 });
        assert_eq!(frame.fin, fin);
        if first {
            self.encoded = frame.rsv != 0;
            self.sent = Default::default();
        }
        self.sent.0.extend(bytes);
        self.sent.1.extend(&frame.payload);
        match (self.encoded, fin) {
            (false, _) => assert_eq!(self.sent.0, self.sent.1),
            (true, true) => assert_eq!(self.sent.0, rle::decode(&self.sent.1)),
            (true, false) => {}
        }
        self.sending = (!fin).then_some(kind);
    }

    fn send_control(&mut self, ping: bool, length: usize) {
        let payload = vec![b'p'; length];
        let mut out = Vec::new();
        let answer = match ping {
            true => self.connection.send_ping(&payload, &mut out),
            false => self.connection.send_pong(&payload, &mut out),
        };
        let frames = self.written(&out, false);
        let misuse = if self.phase != Phase::Open {
            Some(Misuse::Closed)
        } else {
            (length > MAX_CONTROL_PAYLOAD).then_some(Misuse::ControlTooLong(length))
        };
        let refused = misuse.is_some();
        assert_eq!(answer.err(), misuse);
        assert_eq!(frames.is_empty(), refused);
        if let [frame] = &*frames {
            assert_eq!(frame.opcode, if ping { 9 } else { 10 });
            assert_eq!(frame.payload, payload);
        }
    }

    pub(super) fn close(&mut self, code: Option<CloseCode>, reason: &str) {
        let mut out = Vec::new();
        let answer = self.connection.close(code, reason, &mut out, self.now);
        let frames = self.written(&out, false);
        let good = code.is_none_or(|code| wire::is_close_code(code.0))
            && reason.len() <= MAX_REASON_LENGTH
            && (code.is_some() || reason.is_empty());
        if self.phase != Phase::Open {
            assert_eq!(answer, Err(Misuse::Closed));
        } else {
            assert_eq!(answer.is_ok(), good);
        }
        assert_eq!(frames.is_empty(), answer.is_err());
        if let [close] = &*frames {
            assert_eq!(read_close(close), (code, reason.to_string()));
            self.phase = Phase::Closing;
        }
        self.check();
    }

    fn handle_timeout(&mut self) {
        let deadline = self.connection.poll_timeout();
        let mut out = Vec::new();
        let answer = self.connection.handle_timeout(self.now, &mut out);
        let frames = self.written(&out, false);
        let due = deadline.is_some_and(|deadline| deadline <= self.now);
        match (self.phase, answer) {
            (_, answer) if !due => {
                assert_eq!(answer, Ok(()));
                assert!(frames.is_empty());
            }
            (Phase::Open, Ok(())) => {
                let [ping] = &*frames else {
                    panic!("no ping alone: {frames:?}");
                };
                assert_eq!(ping.opcode, 9);
            }
            (Phase::Closing, Ok(())) => panic!("a peer that doesn't close is waited for"),
            (Phase::Over(_, fault), answer) => {
                assert_eq!(answer, Ok(()));
                assert!(frames.is_empty());
                self.phase = Phase::Over(Teardown::Drop, fault);
            }
            (_, Err(fault)) => self.failed(fault, &frames),
        }
        self.check();
    }

    /// Until nothing is due. A ping may be due and the peer be idle for too long at once, which
    /// takes two calls; more would be a caller's loop that spins.
    fn handle_timeouts(&mut self) {
        for _ in 0..2 {
            self.handle_timeout();
        }
        let next = self.connection.poll_timeout();
        assert!(next.is_none_or(|next| next > self.now));
    }

    pub(super) fn handle_eof(&mut self) {
        let closed = self.connection.handle_eof();
        let (local, fault) = match self.phase {
            Phase::Open => (Some(false), None),
            Phase::Closing => (Some(true), None),
            Phase::Over(_, fault) => (None, fault),
        };
        assert_eq!(closed.as_ref().map(|closed| closed.local), local);
        if let Some(closed) = closed {
            assert!(!closed.clean && closed.code == CloseCode::ABNORMAL);
        }
        self.phase = Phase::Over(Teardown::Drop, fault);
        self.check();
    }

    /// A command or input other than bytes.
    pub(super) fn operate(&mut self, what: u8, a: u8, b: u8) {
        let kind = match b & 1 {
            0 => MessageKind::Binary,
            _ => MessageKind::Text,
        };
        let length = match a {
            255 if b == 255 => 70_000, // once in a while: it is slow
            255 => 5000,
            254 => 1000,
            short => short.into(),
        };
        match what {
            1 => self.send(kind, length),
            2 => self.send_fragment(kind, length, b & 2 != 0),
            3 => self.send_control(true, length.min(255)),
            4 => self.send_control(false, length.min(255)),
            5 => match a {
                0 => self.close(None, ""),
                1 => self.close(None, "a reason"),
                2 => self.close(Some(CloseCode(1000)), &"r".repeat(b.into())),
                _ => self.close(Some(CloseCode(u16::from(a - 3) * 64 + u16::from(b))), ""),
            },
            6 => {
                self.now += Duration::from_secs(a.into());
                self.handle_timeouts();
            }
            7 => {
                if let Some(deadline) = self.connection.poll_timeout() {
                    self.now = self.now.max(deadline);
                }
                self.handle_timeouts();
            }
            8 => self.handle_eof(),
            9 => {
                self.scratch.put(Vec::with_capacity(length));
                if b & 1 == 1 {
                    assert!(self.scratch.take().capacity() >= length);
                }
            }
            10 => self.send_header(kind, length),
            _ => self.now += Duration::from_secs(a.into()),
        }
    }
}

fn opcode(kind: MessageKind) -> u8 {
    match kind {
        MessageKind::Text => 1,
        MessageKind::Binary => 2,
    }
}

fn content(kind: MessageKind, length: usize) -> Vec<u8> {
    match kind {
        MessageKind::Text => vec![b't'; length],
        MessageKind::Binary => (0..length).map(|at| (at * 7 + length) as u8).collect(),
    }
}

fn message(kind: MessageKind, bytes: &[u8]) -> MessageRef<'_> {
    match kind {
        MessageKind::Text => MessageRef::Text(core::str::from_utf8(bytes).expect("ASCII")),
        MessageKind::Binary => MessageRef::Binary(bytes),
    }
}
