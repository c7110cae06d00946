//! A server in its own process, so that its memory and its stalls are measured alone, and readers
//! that count what they receive: for the tests of bounds, and for `benches/spine.rs`.

use core::mem;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Lines, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

use mio::{Events, Interest, Poll, Token};
use sockeye::proto::{Config, FrameHeader, Message, Opcode, Rsv};
use sockeye::server::{Handle, HandleError, Handler, Server, Socket};

/// The environment variable that makes the process a server with this many workers.
pub const WORKERS: &str = "SOCKEYE_LOAD_WORKERS";

/// The only topic.
const ROOM: &str = "room";

// ---- the server -----------------------------------------------------------------------------

/// Publishes binary messages to the topic, obeys texts that are commands, and echoes other texts.
struct Room;

impl Handler for Room {
    type State = ();

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        match message.as_text() {
            None => _ = socket.publish(ROOM, message.as_bytes()),
            Some("worker") => {
                let thread = thread::current();
                let _ = socket.send(thread.name().unwrap_or("first"));
            }
            Some("subscribe") => {
                let answer = match socket.subscribe(ROOM) {
                    Ok(_) => "subscribed",
                    Err(_) => "refused",
                };
                let _ = socket.send(answer);
            }
            Some(_) => _ = socket.send(message),
        }
    }
}

/// Serves until standard input ends, and obeys its commands: `publish COUNT SIZE` returns, once all
/// messages are accepted, how often one was refused before; `dropped` returns how many were
/// dropped.
pub fn serve(workers: usize) {
    let mut config = Config::default();
    // Without pings, so that there is only load.
    config.ping_interval = None;
    let server = Server::builder()
        .workers(NonZeroUsize::new(workers).expect("some workers"))
        .config(config)
        .send_timeout(Duration::from_secs(600))
        .route("/", Room)
        .listen("127.0.0.1:0")
        .expect("a free port");
    println!("\n=listening {}", server.local_addr());
    let handle = server.handle();
    thread::spawn(move || {
        for line in io::stdin().lines().map_while(Result::ok) {
            println!("\n={}", obey(&line, &handle));
        }
        handle.shut_down_within(Duration::ZERO);
    });
    server.run().expect("it serves");
}

fn obey(line: &str, handle: &Handle) -> String {
    let mut words = line.split(' ');
    let command = words.next();
    let mut number = || words.next().and_then(|it| it.parse().ok()).expect("number");
    match command {
        Some("publish") => {
            let (count, size): (usize, usize) = (number(), number());
            let message = handle.prepare(&vec![0xA5; size]);
            let mut refused = 0;
            for _ in 0..count {
                while let Err(error) = handle.topics("/").publish(ROOM, &message) {
                    assert_ne!(error, HandleError::Stopped);
                    refused += 1;
                    thread::yield_now();
                }
            }
            format!("published {refused}")
        }
        Some("dropped") => format!("dropped {}", handle.stats().dropped),
        _ => panic!("{line:?}"),
    }
}

/// A process that runs [`serve`].
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Process {
    /// Starts this executable again, with these arguments.
    pub fn start(workers: usize, arguments: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("its path"))
            .args(arguments)
            .env(WORKERS, workers.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs again");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut process = Self {
            child,
            input,
            output,
            address: String::new(),
        };
        process.address = process.answer("listening");
        process
    }

    /// Returns its reply to a command.
    pub fn ask(&mut self, command: &str) -> u64 {
        let input = self.input.as_mut().expect("it is piped");
        writeln!(input, "{command}").expect("it reads");
        let name = match command.split_once(' ') {
            Some(_) => "published",
            None => command,
        };
        self.answer(name).parse().expect("a number")
    }

    /// Publishes from a thread of the server.
    pub fn publish(&mut self, count: usize, size: usize) -> u64 {
        self.ask(&format!("publish {count} {size}"))
    }

    fn answer(&mut self, name: &str) -> String {
        let mut lines = self.output.by_ref().map_while(Result::ok);
        // Other lines come from the test harness.
        let answer = lines.find_map(|line| line.strip_prefix('=').map(str::to_owned));
        let answer = answer.expect("the server answers");
        let (said, value) = answer.split_once(' ').expect("a name and a value");
        assert_eq!(said, name);
        value.to_owned()
    }

    /// Opens a connection.
    pub fn connect(&self) -> std::net::TcpStream {
        let mut stream = std::net::TcpStream::connect(&*self.address).expect("it listens");
        stream.set_nodelay(true).expect("it is set");
        let request = format!(
            "GET / HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("it answers");
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        stream
    }

    /// Opens connections that are subscribed.
    pub fn subscribers(&self, count: usize) -> Vec<std::net::TcpStream> {
        let subscriber = |_| {
            let mut stream = self.connect();
            assert_eq!(ask(&mut stream, "subscribe"), "subscribed");
            stream
        };
        (0..count).map(subscriber).collect()
    }

    /// Returns the resident memory in bytes: now, and at most. On Linux.
    pub fn resident(&self) -> (u64, u64) {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("it runs");
        let field = |name| {
            let line = status.lines().find_map(|it| it.strip_prefix(name));
            let kibibytes = line.and_then(|it| it.trim().strip_suffix(" kB"));
            kibibytes.expect(name).parse::<u64>().expect(name) * 1024
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// Returns the processor time of its threads. On Linux.
    pub fn computed(&self) -> Duration {
        let path = format!("/proc/{}/task", self.child.id());
        let threads = std::fs::read_dir(path).expect("it runs");
        let nanoseconds = threads.map(|thread| {
            let path = thread.expect("a thread").path().join("schedstat");
            let text = std::fs::read_to_string(path).expect("the kernel tells");
            let first = text.split(' ').next().and_then(|it| it.parse().ok());
            Duration::from_nanos(first.expect("a number"))
        });
        nanoseconds.sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// ---- clients --------------------------------------------------------------------------------

/// Returns a client's frame.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xFA, 0x21, 0x3D];
    let mut frame = header(opcode, payload.len(), Some(key));
    let start = frame.len();
    frame.extend_from_slice(payload);
    sockeye::proto::mask(&mut frame[start..], key, 0);
    frame
}

fn header(opcode: Opcode, length: usize, masking_key: Option<[u8; 4]>) -> Vec<u8> {
    let header = FrameHeader {
        fin: true,
        rsv: Rsv::NONE,
        opcode,
        masking_key,
        payload_length: length as u64,
    };
    header.encode().as_bytes().to_vec()
}

/// Returns the length of the server's frame for a payload.
pub fn frame_length(payload: usize) -> u64 {
    (header(Opcode::Binary, payload, None).len() + payload) as u64
}

/// Sends a text and reads its reply, of at most 125 bytes; nothing else comes.
pub fn ask(stream: &mut std::net::TcpStream, text: &str) -> String {
    let frame = frame(Opcode::Text, text.as_bytes());
    stream.write_all(&frame).expect("it reads");
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("it answers");
    let mut answer = vec![0; usize::from(head[1])];
    stream.read_exact(&mut answer).expect("it answers");
    String::from_utf8(answer).expect("text")
}

/// Subscribers that read all the time and count.
pub struct Readers {
    poll: Poll,
    streams: Vec<mio::net::TcpStream>,
    /// Those that may have more to read, and for each stream whether it is one of them.
    ready: Vec<usize>,
    is_ready: Vec<bool>,
    /// Bytes read by each.
    pub read: Vec<u64>,
}

/// How long nothing may come before the readers check whether anything will.
const QUIET: Duration = Duration::from_millis(100);

/// After this many times [`QUIET`] without data, nothing more will come.
const PATIENCE: usize = 600;

impl Readers {
    pub fn new(streams: Vec<std::net::TcpStream>) -> Self {
        let poll = Poll::new().expect("a poll");
        let registered = streams.into_iter().enumerate().map(|(at, stream)| {
            stream.set_nonblocking(true).expect("it is set");
            let mut stream = mio::net::TcpStream::from_std(stream);
            poll.registry()
                .register(&mut stream, Token(at), Interest::READABLE)
                .expect("it is registered");
            stream
        });
        let streams: Vec<_> = registered.collect();
        Self {
            poll,
            ready: Vec::new(),
            is_ready: vec![false; streams.len()],
            read: vec![0; streams.len()],
            streams,
        }
    }

    /// Reads until all of them together have read `total` bytes except what was `lost`, or nothing
    /// has come for a minute.
    pub fn read_until(&mut self, total: u64, mut lost: impl FnMut() -> u64) {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; 256 * 1024];
        let mut quiet = 0;
        while quiet < PATIENCE {
            let read: u64 = self.read.iter().sum();
            if read >= total || self.ready.is_empty() && quiet > 0 && read + lost() >= total {
                return;
            }
            let wait = match self.ready.is_empty() {
                true => QUIET,
                false => Duration::ZERO,
            };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => panic!("{error}"),
                _ => {}
            }
            for event in &events {
                let at = event.token().0;
                if !mem::replace(&mut self.is_ready[at], true) {
                    self.ready.push(at);
                }
            }
            match self.ready.is_empty() {
                true => quiet += 1,
                false => quiet = 0,
            }
            let Self {
                streams,
                ready,
                is_ready,
                read,
                ..
            } = self;
            // One read each, so that all make progress.
            ready.retain(|&at| {
                let count = match streams[at].read(&mut buffer) {
                    Ok(count) => count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                    Err(error) => panic!("reader {at}: {error}"),
                };
                read[at] += count as u64;
                is_ready[at] = count > 0;
                is_ready[at]
            });
        }
    }
}
