//! Bytes in, events out, and what the application makes of them.

use super::*;

/// How a piece of the stream is given.
#[derive(Clone, Copy)]
pub(super) enum Way {
    Input,
    /// Up to so many bytes into the connection's space and the others as input, by one call, as
    /// after a vectored read.
    Both(usize),
    /// Into the space by up to so many bytes at a time, for as long as there is one.
    Space(usize),
}

impl Way {
    /// What an operation asks for; its zero is the plain way.
    pub(super) fn read(a: u8, b: u8) -> Self {
        let most = match a {
            0 => usize::MAX,
            some => usize::from(some) * 61,
        };
        match b % 3 {
            0 => Self::Input,
            1 => Self::Both(most),
            _ => Self::Space(most),
        }
    }
}

impl Model {
    pub(super) fn give(&mut self, mut piece: Vec<u8>, way: Way, react: bool) {
        match way {
            Way::Input => {}
            Way::Both(most) => {
                self.fill(&mut piece, most);
            }
            Way::Space(most) => {
                while self.fill(&mut piece, most) > 0 {
                    self.recv(Vec::new(), react);
                }
            }
        }
        self.recv(piece, react);
    }

    /// Puts up to `most` bytes of the front of `piece` where the connection has space for them;
    /// `recv` has to follow, at some time.
    pub(super) fn fill(&mut self, piece: &mut Vec<u8>, most: usize) -> usize {
        let Some(mut space) = self.connection.space() else {
            return 0;
        };
        assert_eq!(self.phase, Phase::Open);
        assert_eq!(self.setup.config.delivery, Delivery::Whole);
        // What is announced warrants no memory.
        assert!(!space.is_empty() && space.len() <= self.given);
        let count = space.len().min(piece.len()).min(most);
        space[..count].copy_from_slice(&piece[..count]);
        assert_eq!(space.filled(count), 0);
        self.given += count;
        piece.drain(..count);
        self.check();
        count
    }

    pub(super) fn recv(&mut self, mut piece: Vec<u8>, react: bool) {
        let all = piece.len();
        self.given += all;
        let mut input = Input::new(&mut piece);
        loop {
            let mut out = Vec::new();
            let scratch = &mut self.scratch;
            let answer = (self.connection).recv_with(&mut input, scratch, &mut out, self.now);
            let frames = self.written(&out, false);
            match (self.phase, &answer) {
                (Phase::Open, _) => {}
                // Pings that came after this endpoint's Close are still answered.
                (Phase::Closing, Ok(None | Some(Event::Closed(_))) | Err(_)) => {
                    assert!(frames.iter().all(|frame| frame.opcode == PONG));
                }
                (Phase::Over(_, fault), Ok(None) | Err(_)) => {
                    assert!(frames.is_empty() && input.is_empty());
                    assert_eq!(answer.err(), fault, "the fault must stick");
                    return;
                }
                (phase, Ok(Some(event))) => panic!("{event:?} in {phase:?}"),
            }
            let open = self.phase == Phase::Open;
            match answer {
                Ok(None) => {
                    assert!(!open || frames.is_empty());
                    assert!(input.is_empty() && input.consumed() == all);
                    self.check();
                    return;
                }
                Ok(Some(event)) => self.event(event, &frames, react),
                Err(fault) => {
                    assert!(input.is_empty() && input.consumed() == all);
                    self.failed(fault, &frames);
                    self.check();
                    return;
                }
            }
            self.check();
        }
    }

    pub(super) fn failed(&mut self, fault: Fault, frames: &[Frame]) {
        if let Fault::Protocol(ProtocolError::CloseCode(code)) = fault {
            assert!(!wire::is_close_code(code));
        }
        let teardown = if self.phase == Phase::Open {
            let [close] = frames else {
                panic!("no Close alone for {fault}: {frames:?}");
            };
            let (code, reason) = read_close(close);
            assert_eq!(code, Some(fault.close_code()));
            assert!(!reason.is_empty());
            Teardown::HalfClose
        } else {
            Teardown::Drop
        };
        self.phase = Phase::Over(teardown, Some(fault));
    }

    fn event(&mut self, event: Event<'_>, frames: &[Frame], react: bool) {
        let limit = self.setup.config.max_message_size;
        let whole = self.setup.config.delivery == Delivery::Whole;
        match event {
            Event::Message(message) => {
                assert!(whole && frames.is_empty());
                assert!(message.len() <= limit, "a message over the limit");
                assert_eq!(message.len(), message.as_bytes().len());
                assert_eq!(message.is_empty(), message.as_bytes().is_empty());
                let text = core::str::from_utf8(message.as_bytes());
                assert_eq!(message.is_text(), message.as_text().is_some());
                if let Some(told) = message.as_text() {
                    assert_eq!(Ok(told), text, "text that is not UTF-8");
                }
                let bytes = message.as_bytes().to_vec();
                self.log.push(Logged::Message(message.kind(), bytes));
                if react {
                    self.react(message);
                }
            }
            Event::Piece(piece) => {
                assert!(!whole && frames.is_empty());
                self.piece(&piece, limit);
                if react && self.setup.reaction % 2 == 1 {
                    self.scratch.recycle(piece.into_payload());
                }
            }
            Event::Ping(payload) => {
                let [pong] = frames else {
                    panic!("no pong alone: {frames:?}");
                };
                assert_eq!((pong.opcode, &*pong.payload), (PONG, &*payload));
                self.log.push(Logged::Ping(payload.to_vec()));
                let copy = payload.to_vec();
                assert_eq!(copy, *payload.into_vec());
            }
            Event::Pong(payload) => {
                assert!(frames.is_empty());
                assert!(payload.len() <= MAX_CONTROL_PAYLOAD);
                self.log.push(Logged::Pong(payload.into_vec()));
            }
            Event::Closed(closed) => {
                assert!(closed.clean);
                assert_eq!(closed.local, self.phase == Phase::Closing);
                assert!(closed.reason.len() <= MAX_REASON_LENGTH);
                let code = (closed.code != CloseCode::NO_STATUS).then_some(closed.code);
                assert!(code.is_none_or(|code| wire::is_close_code(code.0)));
                assert!(code.is_some() || closed.reason.is_empty());
                if !closed.local {
                    let [close] = frames else {
                        panic!("no Close alone: {frames:?}");
                    };
                    assert_eq!(read_close(close).0, code);
                }
                let teardown = match self.setup.role {
                    Role::Server => Teardown::HalfClose,
                    Role::Client => Teardown::AwaitEof,
                };
                self.phase = Phase::Over(teardown, None);
                self.log.push(Logged::Closed(closed));
            }
            other => panic!("unknown event {other:?}"),
        }
    }

    fn piece(&mut self, piece: &MessagePiece<'_>, limit: usize) {
        assert_eq!(piece.is_first(), self.arriving.is_none());
        assert!(piece.is_last() || !piece.as_bytes().is_empty());
        let (kind, text) = self
            .arriving
            .get_or_insert_with(|| (piece.kind(), Vec::new()));
        assert_eq!(*kind, piece.kind());
        text.extend(piece.as_bytes());
        assert!(text.len() <= limit, "a message over the limit");
        if piece.kind() == MessageKind::Text {
            let told = core::str::from_utf8(piece.as_bytes());
            assert_eq!(told, Ok(piece.as_text().unwrap_or("\0")));
        }
        if piece.is_last() {
            self.arriving = None;
        }
        match self.log.last_mut() {
            Some(Logged::Pieces { bytes, last, .. }) if !piece.is_first() => {
                bytes.extend(piece.as_bytes());
                *last = piece.is_last();
            }
            _ => self.log.push(Logged::Pieces {
                kind: piece.kind(),
                bytes: piece.as_bytes().to_vec(),
                first: piece.is_first(),
                last: piece.is_last(),
            }),
        }
    }

    /// The application answers a message.
    fn react(&mut self, message: Message<'_>) {
        let mut out = Vec::new();
        let kind = message.kind();
        let bytes = message.as_bytes().to_vec();
        match self.setup.reaction % 5 {
            1 => {
                let answer = self.connection.send(&message, &mut out);
                self.sent(answer, kind, &bytes, &out);
            }
            2 => match self.connection.send_in_place(message, &mut out) {
                Ok(Some(frame)) => {
                    assert!(out.is_empty());
                    self.sent(Ok(()), kind, &bytes, frame.as_bytes());
                    self.scratch.recycle(frame.into_payload());
                }
                Ok(None) => self.sent(Ok(()), kind, &bytes, &out),
                Err(error) => self.sent(Err(error), kind, &bytes, &out),
            },
            3 => self.scratch.recycle(message.into_payload()),
            4 => match message.into_text() {
                Ok(text) => assert_eq!((kind, text.as_bytes()), (MessageKind::Text, &*bytes)),
                Err(message) => {
                    assert_eq!(kind, MessageKind::Binary);
                    assert_eq!(message.into_owned().into_vec(), bytes);
                }
            },
            _ => {}
        }
    }
}
