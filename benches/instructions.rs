//! Instructions that the server executes for each message that it echoes, or delivers to a
//! subscriber, counted by valgrind's callgrind.
//!
//! ```text
//! cargo bench --features simd --bench instructions
//! ```
//! Unlike times, these counts are repeatable on any machine of one architecture. They are compared
//! with the numbers below, which were counted with one version of the compiler on x86-64: a
//! difference of more than 3 % fails. If a change means to make it, the new number goes here in the
//! same commit. The kernel's instructions are not counted.
//!
//! Each case is counted with two numbers of messages, and the difference divided, so that starting
//! and connecting are left out. One client on one thread sends each connection's burst and reads
//! the replies before the next, so that nothing depends on timing. Where all connections are ready
//! at once, as those of a busy server are, the server is stopped while they send.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::process::{Child, Command, ExitCode, Stdio};

use sockeye::proto::{Config, FrameHeader, Message, Opcode, Role, Rsv};
use sockeye::server::{Handler, Server, Socket};

struct Case {
    name: &'static str,
    text: bool,
    size: usize,
    /// Messages that are sent at once.
    depth: usize,
    connections: usize,
    load: Load,
    /// The expected number of instructions per message.
    instructions: u64,
}

enum Load {
    /// Each connection sends after the one before it has its echoes.
    InTurn,
    /// All connections send before the server sees any of it.
    AtOnce,
    /// The first connection sends, and all receive.
    FanOut,
}

const CASES: [Case; 8] = [
    Case {
        name: "20 B, depth 1",
        text: false,
        size: 20,
        depth: 1,
        connections: 100,
        load: Load::AtOnce,
        instructions: 459,
    },
    Case {
        name: "20 B, a wake for each",
        text: false,
        size: 20,
        depth: 1,
        connections: 20,
        load: Load::InTurn,
        instructions: 867,
    },
    Case {
        name: "20 B, depth 16",
        text: false,
        size: 20,
        depth: 16,
        connections: 20,
        load: Load::InTurn,
        instructions: 204,
    },
    Case {
        name: "1 KiB, depth 16",
        text: false,
        size: 1024,
        depth: 16,
        connections: 20,
        load: Load::InTurn,
        instructions: 468,
    },
    Case {
        name: "1 KiB text, depth 16",
        text: true,
        size: 1024,
        depth: 16,
        connections: 20,
        load: Load::InTurn,
        instructions: 1_404,
    },
    Case {
        name: "1 MiB text, depth 1",
        text: true,
        size: 1 << 20,
        depth: 1,
        connections: 2,
        load: Load::InTurn,
        instructions: 1_295_000,
    },
    Case {
        name: "fan-out 64 B, depth 1",
        text: false,
        size: 64,
        depth: 1,
        connections: 50,
        load: Load::FanOut,
        instructions: 622,
    },
    Case {
        name: "fan-out 64 B, depth 16",
        text: false,
        size: 64,
        depth: 16,
        connections: 50,
        load: Load::FanOut,
        instructions: 77,
    },
];

/// The allowed fraction of difference from an expected number.
const TOLERANCE: f64 = 0.03;

struct Echo;

impl Handler for Echo {
    type State = ();

    #[inline(always)]
    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        socket.send(message);
    }
}

/// Publishes to all connections of its route.
struct FanOut;

impl Handler for FanOut {
    type State = ();

    fn on_open(&self, socket: &mut Socket<'_, ()>) {
        socket.subscribe("all").expect("it is one topic");
    }

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        socket.publish_to_all("all", &message);
    }
}

/// Runs the server that is counted, until its standard input ends.
fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let mut config = Config::default();
    config.max_message_size = 64 << 20;
    let server = Server::builder()
        .workers(NonZeroUsize::MIN)
        .config(config)
        .max_backpressure(64 << 20)
        .route("/", Echo)
        .route("/fan-out", FanOut)
        .listen("127.0.0.1:0")?;
    println!("{}", server.local_addr());
    let handle = server.handle();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        handle.shut_down();
    });
    Ok(server.run()?)
}

/// Opens a connection to `path` at `address`.
fn connect(address: &str, path: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    Ok(stream)
}

/// Returns a frame with the payload of the case, masked if a client sends it.
fn frame(case: &Case, role: Role) -> Vec<u8> {
    let key = [0x37, 0xFA, 0x21, 0x3D];
    let header = FrameHeader {
        fin: true,
        rsv: Rsv::NONE,
        opcode: match case.text {
            true => Opcode::Text,
            false => Opcode::Binary,
        },
        masking_key: (role == Role::Client).then_some(key),
        payload_length: case.size as u64,
    };
    let mut frame = header.encode().as_bytes().to_vec();
    let start = frame.len();
    let characters =
        "Zwölf Boxkämpfer jagen Виктора quer über den großen Sylter Deich; 素早い茶色の狐。 ";
    match case.text {
        true => {
            while frame.len() - start + characters.len() <= case.size {
                frame.extend_from_slice(characters.as_bytes());
            }
            frame.resize(start + case.size, b'.');
        }
        false => frame.resize(start + case.size, 0xA5),
    }
    if role == Role::Client {
        sockeye::proto::mask(&mut frame[start..], key, 0);
    }
    frame
}

/// Echoes `bursts` bursts on each connection and returns the instructions of all of them.
fn count(case: &Case, bursts: usize) -> Result<u64, Box<dyn std::error::Error>> {
    let mut server = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .arg("--serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("valgrind can't be run ({error}): install it"))?;
    let result = drive(case, bursts, &mut server);
    drop(server.stdin.take());
    let output = server.wait_with_output()?;
    result?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let (_, count) = collected.ok_or_else(|| format!("valgrind counted nothing:\n{text}"))?;
    Ok(count.trim().parse()?)
}

fn drive(case: &Case, bursts: usize, server: &mut Child) -> std::io::Result<()> {
    let mut address = String::new();
    let stdout = server.stdout.as_mut().expect("it is piped");
    BufReader::new(stdout).read_line(&mut address)?;
    let path = match case.load {
        Load::FanOut => "/fan-out",
        Load::InTurn | Load::AtOnce => "/",
    };
    let mut streams = (0..case.connections)
        .map(|_| connect(address.trim(), path))
        .collect::<Result<Vec<_>, _>>()?;
    let burst = frame(case, Role::Client).repeat(case.depth);
    let expected = frame(case, Role::Server).repeat(case.depth);
    let mut received = vec![0; expected.len()];
    let mut receive = |stream: &mut TcpStream| {
        stream.read_exact(&mut received)?;
        assert!(received == expected, "it is another message");
        Ok(())
    };
    for _ in 0..bursts {
        match case.load {
            Load::InTurn => streams
                .iter_mut()
                .try_for_each(|it| send(it, &burst, &mut receive))?,
            Load::AtOnce => {
                signal(server, "STOP")?;
                for stream in &mut streams {
                    stream.write_all(&burst)?;
                }
                signal(server, "CONT")?;
                streams.iter_mut().try_for_each(&mut receive)?;
            }
            Load::FanOut => {
                streams[0].write_all(&burst)?;
                streams.iter_mut().try_for_each(&mut receive)?;
            }
        }
    }
    Ok(())
}

/// Sends a burst and receives its echo.
fn send(
    stream: &mut TcpStream,
    burst: &[u8],
    receive: &mut impl FnMut(&mut TcpStream) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut sender = stream.try_clone()?;
    if burst.len() <= 64 << 10 {
        sender.write_all(burst)?;
        return receive(stream);
    }
    // What exceeds the sockets' buffers can't be written before some of it is read.
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| sender.write_all(burst));
        receive(stream)?;
        sent.join().expect("it only writes")
    })
}

/// Sends a signal, by its name.
fn signal(server: &Child, name: &str) -> std::io::Result<()> {
    let status = Command::new("kill")
        .args(["-s", name, &server.id().to_string()])
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err(std::io::Error::other(format!("kill -s {name} failed"))),
    }
}

fn run() -> Result<bool, Box<dyn std::error::Error>> {
    let mut good = true;
    println!("instructions per message");
    for case in &CASES {
        let bursts = 80_000 / case.connections / case.depth / case.size.div_ceil(4096);
        let bursts = bursts.clamp(8, 400);
        let less = count(case, bursts)?;
        let more = count(case, 2 * bursts)?;
        let messages = (bursts * case.depth * case.connections) as u64;
        let each = more.abs_diff(less) / messages;
        let ratio = each as f64 / case.instructions as f64;
        let verdict = match ratio - 1.0 {
            off if off > TOLERANCE => "MORE",
            off if off < -TOLERANCE => "LESS: write it down",
            _ => "as expected",
        };
        good &= verdict == "as expected";
        println!(
            "{:>22}: {each:>8}, expected {:>8}, {verdict}",
            case.name, case.instructions
        );
    }
    Ok(good)
}

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        Some("--serve") => serve().map(|()| true),
        // With `cargo bench -- --test`, valgrind need not be installed.
        _ if std::env::args().any(|it| it == "--test") => return ExitCode::SUCCESS,
        _ => run(),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}
