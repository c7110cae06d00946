//! A server by hand, for one client: the test decides what it sends, and when.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use sockeye::Error;
use sockeye::client::{Client, ConnectOptions, connect};
use sockeye::proto::{Config, Role};

use super::Peer;
use crate::handshake::accept_key;
use crate::sansio::{RawFrame, frame, frames_from};

/// A server for one connection, on its thread.
pub struct Script {
    pub url: String,
    pub thread: JoinHandle<()>,
}

impl Script {
    pub fn new(play: impl FnOnce(Peer) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/chat", listener.local_addr().unwrap());
        let play = move || play(Peer::new(listener.accept().unwrap().0));
        Self {
            url,
            thread: std::thread::spawn(play),
        }
    }

    /// Creates a server that accepts the opening handshake, and sends these bytes after its 101.
    pub fn open(behind: Vec<u8>, play: impl FnOnce(Peer) + Send + 'static) -> Self {
        Self::new(move |mut peer| {
            let response = switching(&peer.head());
            peer.write([response, behind].concat());
            play(peer);
        })
    }

    /// Creates a server that responds to the request with these bytes and then waits for the
    /// client's end.
    pub fn answers(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::new(move |mut peer| {
            peer.head();
            peer.write(bytes);
            peer.expect_end();
        })
    }

    pub fn address(&self) -> std::net::SocketAddr {
        let address = self
            .url
            .trim_start_matches("ws://")
            .trim_end_matches("/chat");
        address.parse().unwrap()
    }

    pub fn connect(&self) -> Client {
        connect(&self.url).unwrap()
    }

    pub fn connect_with(&self, config: Config) -> Result<Client, Error> {
        let mut options = ConnectOptions::default();
        options.config = config;
        options.connect(&self.url)
    }

    pub fn end(self) {
        self.thread.join().unwrap();
    }
}

/// Returns the 101 response to a request.
pub fn switching(request: &[u8]) -> Vec<u8> {
    let request = core::str::from_utf8(request).unwrap();
    let key = request.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then_some(value)
    });
    let accept = accept_key(key.expect("a key").as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into()
}

/// Returns a server's frame.
pub fn served(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(true, 0, opcode, None, payload)
}

/// Reads a client's frame of at most 125 bytes.
pub fn next_frame<S: Read + Write>(peer: &mut Peer<S>) -> RawFrame {
    let mut bytes = peer.read(2);
    bytes.extend(peer.read(4 + usize::from(bytes[1] & 0x7F)));
    frames_from(Role::Client, &bytes).remove(0)
}
