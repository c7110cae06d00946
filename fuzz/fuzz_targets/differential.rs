//! Against tungstenite, which takes more: what Sockeye's server delivers, tungstenite's delivers
//! too, in the same order and with the same bytes. Input: flags, limit, cuts, stream.
//!
//! Where Sockeye goes on to the end of the stream, or to the peer's Close, both deliver the very
//! same. Where Sockeye fails the connection, what it had delivered is the beginning of what
//! tungstenite delivers, and tungstenite delivers more for these reasons only:
//! - it takes a length that is not in its shortest form, in a control frame too, where Sockeye
//!   fails on the first byte of the length: one that needs more than 7 bits is over 125;
//! - it delivers a Close with a code that may not be sent, with code 1002 in its place. To it, so
//!   is 1014 (bad gateway, in IANA's registry), which Sockeye delivers.
//!
//! Not compared are the fault and where it is found (Sockeye finds it at the first byte that
//! proves it, tungstenite at the end of the frame), and the output (tungstenite writes only the
//! last of several pongs that wait).
#![no_main]

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use sockeye::error::{Fault, ProtocolError};
use sockeye::proto::{CloseCode, Config, Connection, Event, Input};
use sockeye_fuzz::{Cuts, byte, generate};
use tungstenite::error::ProtocolError as TheirProtocolError;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Delivered {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

fn ours(limit: usize, pieces: Vec<Vec<u8>>) -> (Vec<Delivered>, Option<Fault>) {
    let mut config = Config::default();
    config.max_message_size = limit;
    config.max_frame_size = Some(limit as u64);
    config.max_fragments = u32::MAX;
    let mut connection = Connection::server(Arc::new(config), Duration::ZERO);
    let mut delivered = Vec::new();
    let mut out = Vec::new();
    for mut piece in pieces {
        let mut input = Input::new(&mut piece);
        loop {
            let event = match connection.recv(&mut input, &mut out, Duration::ZERO) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(fault) => return (delivered, Some(fault)),
            };
            delivered.push(match event {
                Event::Message(message) => match message.as_text() {
                    Some(text) => Delivered::Text(text.to_string()),
                    None => Delivered::Binary(message.into_vec()),
                },
                Event::Ping(payload) => Delivered::Ping(payload.into_vec()),
                Event::Pong(payload) => Delivered::Pong(payload.into_vec()),
                Event::Closed(closed) => Delivered::Close(
                    (closed.code != CloseCode::NO_STATUS)
                        .then(|| (closed.code.0, closed.reason.to_string())),
                ),
                other => panic!("{other:?}"),
            });
        }
    }
    (delivered, None)
}

/// Reads the stream, takes whatever is written.
struct Transport<'a>(&'a [u8]);

impl Read for Transport<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Transport<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn theirs(limit: usize, stream: &[u8]) -> (Vec<Delivered>, Option<Error>) {
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .max_message_size(Some(limit))
        .max_frame_size(Some(limit));
    let transport = Transport(stream);
    let mut socket = WebSocket::from_raw_socket(transport, Role::Server, Some(config));
    let mut delivered = Vec::new();
    loop {
        let message = match socket.read() {
            Ok(message) => message,
            Err(error) => return (delivered, Some(error)),
        };
        delivered.push(match message {
            Message::Text(text) => Delivered::Text(text.to_string()),
            Message::Binary(bytes) => Delivered::Binary(bytes.to_vec()),
            Message::Ping(bytes) => Delivered::Ping(bytes.to_vec()),
            Message::Pong(bytes) => Delivered::Pong(bytes.to_vec()),
            Message::Frame(frame) => panic!("{frame:?}"),
            // What comes behind a Close is nobody's.
            Message::Close(frame) => {
                let frame = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                delivered.push(Delivered::Close(frame));
                return (delivered, None);
            }
        });
    }
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let flags = byte(&mut u);
    // From what a control frame may have on: tungstenite has the limit for these too.
    let limit = match byte(&mut u) {
        0 => 100_000,
        some => 125 + usize::from(some) * 4,
    };
    let cuts = Cuts::read(&mut u);
    let stream = generate::stream(&mut u, flags & 1 != 0, true);

    let (mut ours, fault) = ours(limit, cuts.pieces(&stream));
    let (theirs, error) = theirs(limit, &stream);
    if let Some(Delivered::Close(Some((code @ 1014, reason)))) = ours.last_mut() {
        *code = 1002;
        *reason = "Protocol violation".into();
    }
    let Some(fault) = fault else {
        assert_eq!(ours, theirs);
        match error {
            None => assert!(matches!(ours.last(), Some(Delivered::Close(_)))),
            Some(Error::Protocol(TheirProtocolError::ResetWithoutClosingHandshake)) => {}
            Some(error) => panic!("only tungstenite fails: {error}"),
        }
        return;
    };
    assert!(theirs.starts_with(&ours), "{ours:?} {theirs:?}");
    let more = &theirs[ours.len()..];
    match fault {
        Fault::Protocol(ProtocolError::LengthNotMinimal | ProtocolError::ControlTooLong) => {}
        Fault::Protocol(ProtocolError::CloseCode(_)) => {
            let close = Delivered::Close(Some((1002, "Protocol violation".into())));
            assert!(more.is_empty() || *more == [close]);
        }
        fault => assert!(more.is_empty(), "only Sockeye fails: {fault}"),
    }
});
