//! The examples that are applications: as processes, over real sockets, and in simulation where
//! neither a socket nor the program around counts.
#![cfg(unix)]

mod auth;
mod chat;
mod demo;
mod echo_server;
mod feed;
mod monitor;
#[cfg(feature = "testing")]
mod ports;
#[cfg(all(feature = "testing", feature = "signals"))]
mod simulated;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::program::example;
use serde_json::Value;
use sockeye::client::{Client, ConnectOptions};
use sockeye::proto::{ClientRequest, Closed, Message};

/// Turns a wait for what never comes into a failure.
const GUARD: Duration = Duration::from_secs(20);

/// What the example `auth` checks tokens with; the others don't look at it.
const SECRET: &str = "for these tests only";

/// A running example, killed if its test fails.
struct Example {
    child: Child,
    address: SocketAddr,
}

impl Example {
    fn start(name: &str, options: &[&str]) -> Self {
        let mut child = Command::new(example(name))
            .args(["--listen", "127.0.0.1:0"])
            .args(options)
            .env("JWT_SECRET", SECRET)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").expect(&line);
        let address: SocketAddr = address.parse().unwrap();
        assert_ne!(address.port(), 0);
        Self { child, address }
    }

    fn connect(&self, target: &str) -> Peer {
        self.connect_with(target, &[])
    }

    fn connect_with(&self, target: &str, headers: &[(&str, &str)]) -> Peer {
        let connected = self.try_connect(target, headers);
        connected.unwrap_or_else(|error| panic!("{target}: {error}"))
    }

    fn try_connect(&self, target: &str, headers: &[(&str, &str)]) -> Result<Peer, sockeye::Error> {
        let mut options = ConnectOptions::default();
        // Nothing but the application's messages keeps the connection from being idle.
        options.config.ping_interval = None;
        options.config.idle_timeout = Some(GUARD);
        options.request = ClientRequest {
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            ..ClientRequest::default()
        };
        let client = options.connect(&format!("ws://{}{target}", self.address))?;
        Ok(Peer { client })
    }

    fn get(&self, target: &str) -> Answer {
        self.http("GET", target, &[], "")
    }

    /// One plain request on a connection of its own.
    fn http(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(GUARD)).unwrap();
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: example\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let length = body.len();
        head += &format!("Content-Length: {length}\r\nConnection: close\r\n\r\n");
        stream.write_all((head + body).as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and its end");
        Answer {
            head: head.into(),
            body: body.into(),
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(status.success());
    }

    /// Its exit code. It has been told to stop.
    fn code(&mut self) -> Option<i32> {
        // Standard output ends with the process.
        let mut rest = String::new();
        let stdout = self.child.stdout.as_mut().unwrap();
        stdout.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> u16 {
        let status = self.head.split(' ').nth(1).unwrap();
        status.parse().unwrap()
    }

    fn header(&self, name: &str) -> &str {
        let mut fields = self.head.lines().filter_map(|it| it.split_once(": "));
        let found = fields.find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.unwrap_or_else(|| panic!("{name} in {}", self.head)).1
    }

    fn json(&self) -> Value {
        assert_eq!(self.header("Content-Type"), "application/json");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// It is one of the examples' pages.
    fn assert_page(&self, text: &str) {
        assert_eq!(self.status(), 200);
        assert_eq!(self.header("Content-Type"), "text/html; charset=utf-8");
        let policy = self.header("Content-Security-Policy");
        assert!(policy.starts_with("default-src 'none'"));
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(self.body.contains(text), "{text}");
        self.assert_no_markup();
    }

    /// No text becomes markup.
    #[track_caller]
    fn assert_no_markup(&self) {
        assert_eq!(self.status(), 200);
        for forbidden in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
        ] {
            assert!(!self.body.contains(forbidden), "{forbidden}");
        }
    }
}

/// A client, over a socket or in simulation.
trait Talk {
    fn say(&mut self, text: &str);
    /// The next message; None behind the last one.
    fn hear(&mut self) -> Option<Message<'static>>;
    /// How the connection ended; None while it hasn't.
    fn end(&mut self) -> Option<Closed>;
}

impl Talk for Client {
    #[track_caller]
    fn say(&mut self, text: &str) {
        self.send(text).unwrap();
    }

    #[track_caller]
    fn hear(&mut self) -> Option<Message<'static>> {
        self.recv().unwrap().map(Message::into_owned)
    }

    fn end(&mut self) -> Option<Closed> {
        self.closed().cloned()
    }
}

#[cfg(feature = "testing")]
impl Talk for sockeye::server::testing::Client {
    #[track_caller]
    fn say(&mut self, text: &str) {
        self.send(text);
    }

    #[track_caller]
    fn hear(&mut self) -> Option<Message<'static>> {
        self.recv()
    }

    #[track_caller]
    fn end(&mut self) -> Option<Closed> {
        self.closed()
    }
}

/// A connection that talks JSON.
struct Peer<C = Client> {
    client: C,
}

impl<C: Talk> Peer<C> {
    #[track_caller]
    fn send(&mut self, message: Value) {
        self.client.say(&message.to_string());
    }

    #[track_caller]
    fn next(&mut self) -> Value {
        let message = self.client.hear().expect("a message, and no Close");
        serde_json::from_str(message.as_text().expect("text")).unwrap()
    }

    /// The data of the next message, which is this event.
    #[track_caller]
    fn expect(&mut self, event: &str) -> Value {
        let mut message = self.next();
        assert_eq!(message["event"], event, "{message}");
        message["data"].take()
    }

    /// The code of the next message, which is an error; of this id, if one is given.
    #[track_caller]
    fn expect_error(&mut self, id: Option<u64>) -> String {
        let message = self.next();
        assert_eq!(message.get("ack").and_then(Value::as_u64), id, "{message}");
        let text = message["error"]["message"].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "{message}");
        message["error"]["code"].as_str().expect("a code").into()
    }

    /// Reads up to the Close; its code and reason.
    #[track_caller]
    fn closed(&mut self) -> (u16, String) {
        while self.client.hear().is_some() {}
        let closed = self.client.end().expect("a Close");
        (closed.code.0, closed.reason.to_string())
    }
}

impl Peer {
    /// A round trip.
    fn expect_open(&mut self) {
        self.client.ping(b"").unwrap();
        assert!(self.client.closed().is_none());
    }
}

/// Each application stops cleanly when told, with a Close for who is connected, and says what is
/// wrong with an option.
#[track_caller]
fn assert_starts_and_stops(name: &str, target: &str) {
    for signal in ["-TERM", "-INT"] {
        let mut example = Example::start(name, &[]);
        let mut peer = example.connect(target);
        // It may be still to be told of; a round trip says that it is open.
        peer.client.ping(b"").unwrap();
        example.signal(signal);
        assert_eq!(peer.closed().0, 1001, "{name}");
        drop(peer);
        assert_eq!(example.code(), Some(0), "{name} {signal}");
    }
    for (options, wrong) in [
        (&["--listen"][..], "--listen needs a value"),
        (&["--port", "1"], "--port: unknown; there are --listen"),
        (&["--listen", "nowhere"], name),
    ] {
        let output = Command::new(example(name)).args(options).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && output.status.code().is_some());
        assert!(text.contains(wrong) && !text.contains("panicked"), "{text}");
    }
}

#[test]
fn each_example_says_how_it_is_used() {
    for (name, option) in [
        ("auth", "--listen"),
        ("autobahn_client", "--deflate"),
        ("chat", "--listen"),
        ("demo", "--listen"),
        ("echo_server", "--max-message"),
        ("embed", "ADDRESS"),
        ("feed", "--interval"),
        ("monitor", "--listen"),
    ] {
        let output = Command::new(example(name)).arg("--help").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{name}"
        );
        assert!(text.contains(option), "{name}: {text}");
    }
}
