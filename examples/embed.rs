//! An echo server on the core alone: a socket of the standard library, a thread per client, and no
//! more than [`sockeye::proto`].
//!
//! ```text
//! cargo run --release --example embed --no-default-features -- 127.0.0.1:9001
//! ```
//! What any program that embeds the core has to do is here: the opening handshake, events,
//! deadlines (by the timeouts of reads), faults, both ways to end, and the peer that just leaves.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sockeye::proto::{
    Accept, Config, Connection, Event, Input, Linger, LingerStep, Received, Response,
    ServerHandshake,
};

/// A transport, its clock, and the two buffers.
struct Wire {
    stream: TcpStream,
    start: Instant,
    buffer: Vec<u8>,
    out: Vec<u8>,
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1);
    if address.as_deref() == Some("--help") {
        println!("usage: embed [ADDRESS], 127.0.0.1:9001 by default");
        return Ok(());
    }
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:9001"))?;
    println!("listening on {}", listener.local_addr()?);
    let config = Arc::new(Config::default());
    for stream in listener.incoming() {
        let (Ok(stream), config) = (stream, Arc::clone(&config)) else {
            continue;
        };
        std::thread::spawn(move || match serve(Wire::new(stream), config) {
            Ok(how) => println!("{how}"),
            Err(error) => println!("the transport broke: {error}"),
        });
    }
    Ok(())
}

/// One client, from the first byte to the end of the transport; answers how it went.
fn serve(mut wire: Wire, config: Arc<Config>) -> io::Result<String> {
    wire.stream.set_nodelay(true)?;
    // A peer that takes nothing must not hold the thread.
    wire.stream
        .set_write_timeout(Some(Duration::from_secs(60)))?;
    let mut handshake = ServerHandshake::new(config, wire.now());
    let (mut connection, mut read) = loop {
        let read = wire.read(handshake.poll_timeout())?;
        let now = wire.now();
        let count = match read {
            Some(0) => return Ok("left before the opening handshake".into()),
            Some(count) => count,
            None => match handshake.handle_timeout(now, &mut wire.out) {
                Ok(more) => {
                    handshake = more;
                    continue;
                }
                Err(refused) => {
                    let how = refused.to_string();
                    return wire.follow(refused.into_linger(), how);
                }
            },
        };
        let mut input = Input::new(&mut wire.buffer[..count]);
        match handshake.recv(&mut input, &mut wire.out, now) {
            Ok(Received::Incomplete(more)) => handshake = more,
            Ok(Received::Upgrade(upgrade)) => {
                // Here is the place to look at `upgrade.request()`. What is left of the input are
                // frames.
                let accepted = upgrade.accept(&Accept::default(), &mut wire.out, now);
                let consumed = input.consumed();
                break (accepted.map_err(io::Error::other)?, consumed..count);
            }
            // Pages could be served; this server has none.
            Ok(Received::Plain(request)) => {
                let linger = request.reject(&Response::status(426), &mut wire.out, now);
                let linger = linger.map_err(io::Error::other)?;
                return wire.follow(linger, "a plain request".into());
            }
            Err(refused) => {
                let how = refused.to_string();
                return wire.follow(refused.into_linger(), how);
            }
        }
    };
    let mut how = "left without a closing handshake".into();
    loop {
        // Bytes in, events out; the core appends its own answers to `out`.
        let now = wire.now();
        let mut input = Input::new(&mut wire.buffer[read]);
        loop {
            match connection.recv(&mut input, &mut wire.out, now) {
                Ok(Some(Event::Message(message))) => {
                    // Can't fail: messages come only while the connection is open.
                    let _ = connection.send(&message, &mut wire.out);
                }
                Ok(Some(Event::Closed(closed))) => how = format!("closed with {}", closed.code.0),
                Ok(Some(_)) => {}
                Ok(None) => break,
                // `out` holds the Close that tells the peer, and goes out below like anything.
                Err(fault) => break how = fault.to_string(),
            }
        }
        read = loop {
            // Once more a handshake's end or a fault: written, then drained.
            if let Some(linger) = connection.linger() {
                return wire.follow(linger, how);
            }
            wire.write()?;
            let read = match connection.poll_timeout() {
                Some(deadline) => wire.read(deadline)?,
                None => wire.read(Duration::MAX)?,
            };
            match read {
                Some(0) => drop(connection.handle_eof()),
                Some(count) => break 0..count,
                None => how = expire(&mut connection, &mut wire).unwrap_or(how),
            }
        };
    }
}

/// A deadline has passed: a ping is sent, or the peer is given up.
fn expire(connection: &mut Connection, wire: &mut Wire) -> Option<String> {
    let now = wire.now();
    let result = connection.handle_timeout(now, &mut wire.out);
    result.err().map(|fault| fault.to_string())
}

impl Wire {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            start: now(),
            buffer: vec![0; 64 * 1024],
            out: Vec::new(),
        }
    }

    /// Any fixed origin will do.
    fn now(&self) -> Duration {
        now().duration_since(self.start)
    }

    fn write(&mut self) -> io::Result<()> {
        let written = self.stream.write_all(&self.out);
        self.out.clear();
        written
    }

    /// Reads what is there; 0 is the end, None that the deadline has passed.
    fn read(&mut self, deadline: Duration) -> io::Result<Option<usize>> {
        // A timeout of zero is an error; what is there is read also at the deadline.
        let least = Duration::from_millis(1);
        let timeout = deadline.saturating_sub(self.now()).max(least);
        let timeout = (deadline < Duration::MAX).then_some(timeout);
        self.stream.set_read_timeout(timeout)?;
        match self.stream.read(&mut self.buffer) {
            Ok(count) => Ok(Some(count)),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Writes what is left and follows the transport to its end.
    fn follow(mut self, mut linger: Linger, how: String) -> io::Result<String> {
        self.write()?;
        loop {
            match linger.step(true) {
                LingerStep::ShutDown => self.stream.shutdown(Shutdown::Write)?,
                LingerStep::Write | LingerStep::Read => match self.read(linger.poll_timeout())? {
                    Some(0) => linger.handle_eof(),
                    Some(count) => linger.discard(count),
                    None => {}
                },
                LingerStep::Drop => return Ok(how),
            }
            linger.handle_timeout(self.now());
        }
    }
}

/// The core's clock is the caller's.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}
