//! One connection of the generator: its socket, its output, its input.
//!
//! Keeps no buffer while everything is written: frames come from the [`Template`], and the position
//! in them is a number and an offset.

use core::mem;
use core::time::Duration;
use std::io::ErrorKind;

use mio::net::TcpStream;
use sockeye::proto::{ClientHandshake, CloseCode, Input, Opcode};
#[cfg(feature = "deflate")]
use sockeye::proto::{Connection, Event, MessageKind};

#[cfg(feature = "deflate")]
use crate::check::Due;
use crate::check::{Checker, Fault};
use crate::report;
use crate::stream::{Read, Stream};
use crate::template::{Template, append_frame};

/// A connection to the server.
pub(crate) struct Client {
    stream: Stream,
    stage: Stage,
    /// When it began to connect.
    pub(crate) begun: Duration,
    /// What is written before the next frame of the template: the request, pongs, the Close, and
    /// with compression the messages.
    out: Vec<u8>,
    /// The number of the next message to write.
    number: u64,
    /// How much of its frame is written.
    offset: usize,
    /// How many messages are to be written, that one included.
    unwritten: u64,
    /// The socket is full until an event says otherwise.
    blocked: bool,
    /// When closing began.
    closing: Option<Duration>,
}

enum Stage {
    Opening(Box<ClientHandshake>),
    Plain(Checker),
    #[cfg(feature = "deflate")]
    Deflate(Box<Deflated>),
}

/// What a server sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Received {
    /// The opening handshake is done.
    pub(crate) opened: bool,
    /// This many messages were completed.
    pub(crate) messages: u64,
}

impl Client {
    /// Creates a connection on a stream that connects; `request` is that of the handshake, and
    /// messages are numbered from `first` on.
    pub(crate) fn new(
        stream: Stream,
        handshake: ClientHandshake,
        request: Vec<u8>,
        first: u64,
        now: Duration,
    ) -> Self {
        Self {
            stream,
            stage: Stage::Opening(Box::new(handshake)),
            begun: now,
            out: request,
            number: first,
            offset: 0,
            unwritten: 0,
            // An event follows once it is connected.
            blocked: true,
            closing: None,
        }
    }

    pub(crate) fn socket(&mut self) -> &mut TcpStream {
        self.stream.socket()
    }

    /// Returns what TLS agreed on.
    pub(crate) fn tls(&self) -> Option<report::Tls> {
        self.stream.agreed()
    }

    /// How many messages arrived whole.
    pub(crate) fn completed(&self) -> u64 {
        match &self.stage {
            Stage::Opening(_) => 0,
            Stage::Plain(checker) => checker.completed(),
            #[cfg(feature = "deflate")]
            Stage::Deflate(deflated) => deflated.due.completed(),
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Gives up a handshake, opening or closing, that takes longer than `timeout`.
    pub(crate) fn handle_timeout(&mut self, now: Duration, timeout: Duration) -> Result<(), Fault> {
        match &mut self.stage {
            Stage::Opening(handshake) => Ok(handshake.handle_timeout(now)?),
            _ if self
                .closing
                .is_some_and(|it| now.saturating_sub(it) > timeout) =>
            {
                Err(Fault::Unclosed {
                    seconds: timeout.as_secs_f64(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Notes that the socket can be written again, or is connected.
    pub(crate) fn unblock(&mut self) {
        self.blocked = false;
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<Read, Fault> {
        self.stream.read(buffer)
    }

    /// Handles the end of the server's stream.
    pub(crate) fn end(&mut self) {
        self.stream.end();
    }

    /// Handles received bytes.
    pub(crate) fn receive(
        &mut self,
        bytes: &mut [u8],
        template: &Template,
        now: Duration,
    ) -> Result<Received, Fault> {
        let mut input = Input::new(bytes);
        let opened = match &mut self.stage {
            Stage::Opening(handshake) => match handshake.recv(&mut input, now)? {
                Some(_connection) => {
                    #[cfg(feature = "deflate")]
                    let accepted = handshake
                        .response()
                        .is_some_and(|it| it.headers.count("Sec-WebSocket-Extensions") > 0);
                    self.stage = Stage::Plain(Checker::new(self.number));
                    #[cfg(feature = "deflate")]
                    if accepted {
                        self.stage = Stage::Deflate(Box::new(Deflated {
                            connection: _connection,
                            due: Due::new(self.number),
                        }));
                    }
                    true
                }
                None => return Ok(Received::default()),
            },
            _ => false,
        };
        let head = input.consumed();
        let frames = &mut bytes[head..];
        let before = self.completed();
        match &mut self.stage {
            Stage::Opening(_) => {}
            Stage::Plain(checker) => checker.check(frames, template, &mut self.out)?,
            #[cfg(feature = "deflate")]
            Stage::Deflate(it) => {
                it.check(&mut Input::new(frames), template, &mut self.out, now)?
            }
        }
        Ok(Received {
            opened,
            messages: self.completed() - before,
        })
    }

    /// Whether permessage-deflate was agreed on.
    pub(crate) fn is_deflated(&self) -> bool {
        match self.stage {
            #[cfg(feature = "deflate")]
            Stage::Deflate(_) => true,
            _ => false,
        }
    }

    /// Adds `count` messages to send; [`write`](Self::write) writes them.
    pub(crate) fn send(&mut self, count: u64, template: &mut Template) -> Result<(), Fault> {
        #[cfg(feature = "deflate")]
        if let Stage::Deflate(deflated) = &mut self.stage {
            for number in self.number..self.number + count {
                deflated.send(number, template, &mut self.out)?;
            }
            self.number += count;
            return Ok(());
        }
        let _ = template;
        self.unwritten += count;
        Ok(())
    }

    /// Begins the closing handshake. All messages are written.
    pub(crate) fn close(&mut self, template: &Template, now: Duration) -> Result<(), Fault> {
        self.closing = Some(now);
        match &mut self.stage {
            #[cfg(feature = "deflate")]
            Stage::Deflate(it) => it
                .connection
                .close(CloseCode::NORMAL, "", &mut self.out, now)?,
            _ => {
                let payload = CloseCode::NORMAL.0.to_be_bytes();
                append_frame(Opcode::Close, &payload, template.key(), &mut self.out);
            }
        }
        Ok(())
    }

    /// Writes as much as the socket takes.
    pub(crate) fn write(&mut self, template: &mut Template) -> Result<(), Fault> {
        while !self.blocked {
            // `out` goes before the next frame, not into one.
            let owed = self.offset == 0 && !self.out.is_empty();
            let done = !owed && self.unwritten == 0;
            let result = if owed {
                self.stream.write(&self.out)
            } else if done {
                self.stream.flush().map(|()| 0)
            } else {
                let count = if self.out.is_empty() {
                    self.unwritten
                } else {
                    1
                };
                self.stream
                    .write(&template.frames(self.number, count)[self.offset..])
            };
            match result {
                Ok(_) if done => break,
                Ok(0) => return Err(Fault::Io(ErrorKind::WriteZero.into())),
                Ok(count) if owed && count == self.out.len() => drop(mem::take(&mut self.out)),
                Ok(count) if owed => drop(self.out.drain(..count)),
                Ok(count) => self.advance(count, template.frame_length()),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::NotConnected => self.blocked = true,
                    ErrorKind::Interrupted => {}
                    _ => return Err(error.into()),
                },
            }
        }
        Ok(())
    }

    /// Notes that this many bytes of frames are written.
    fn advance(&mut self, count: usize, frame_length: usize) {
        let written = self.offset + count;
        let whole = (written / frame_length) as u64;
        self.offset = written % frame_length;
        self.number += whole;
        self.unwritten -= whole;
    }
}

/// A connection with permessage-deflate: its frames depend on the ones before, so none are
/// prepared.
#[cfg(feature = "deflate")]
struct Deflated {
    connection: Connection,
    due: Due,
}

#[cfg(feature = "deflate")]
impl Deflated {
    fn send(
        &mut self,
        number: u64,
        template: &mut Template,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        let kind = template.kind();
        let payload = template.payload(number);
        match kind {
            MessageKind::Binary => self.connection.send(payload, out)?,
            MessageKind::Text => {
                #[allow(clippy::expect_used)]
                let text = core::str::from_utf8(payload).expect("the template's text is ASCII");
                self.connection.send(text, out)?;
            }
        }
        Ok(())
    }

    fn check(
        &mut self,
        input: &mut Input<'_>,
        template: &Template,
        out: &mut Vec<u8>,
        now: Duration,
    ) -> Result<(), Fault> {
        loop {
            match self.connection.recv(input, out, now) {
                Ok(Some(Event::Piece(piece))) => {
                    self.due.check_kind(piece.kind(), template)?;
                    self.due.take(piece.as_bytes(), piece.is_last(), template)?;
                }
                Ok(Some(Event::Closed(closed))) => {
                    return Err(Fault::Closed {
                        code: closed.code.0,
                        reason: closed.reason.into(),
                    });
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(fault) => return Err(Fault::Other(fault.into())),
            }
        }
    }
}
