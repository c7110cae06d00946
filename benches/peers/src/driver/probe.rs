//! Before anything is measured: that each server echoes what it is sent, and what it leaves out,
//! asked of the server itself by hand-made frames.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::cases::ECHO;
use crate::peers::Peer;
use crate::process::{Failure, Server, Setting, generate};

/// A server that says nothing for so long says nothing.
const SILENCE: Duration = Duration::from_millis(500);
/// A check of the echo takes at most so long.
const CHECK: Duration = Duration::from_secs(20);
/// The sizes that are echoed: around each length of the header, and more than a read.
const CHECKED: [&str; 6] = ["1", "125", "126", "65535", "65536", "300000"];

/// What it was found to do. None where it couldn't be asked.
#[derive(Clone, Debug, Serialize)]
pub struct Probes {
    pub peer: &'static str,
    pub version: String,
    /// Its echo was not what it was sent; it is not measured.
    pub error: Option<String>,
    /// Text that is not UTF-8 fails the connection (RFC 6455 section 8.1).
    pub refuses_bad_text: Option<bool>,
    /// Also where the second of two fragments proves it.
    pub refuses_bad_fragments: Option<bool>,
    /// Two fragments come back as one message, or as two fragments of one.
    pub joins_fragments: Option<bool>,
    /// A ping is answered, also between fragments (section 5.4).
    pub answers_ping: Option<bool>,
    /// Reserved bits fail the connection (section 5.2).
    pub refuses_reserved_bits: Option<bool>,
    /// A frame without a masking key does (section 5.1).
    pub refuses_unmasked: Option<bool>,
}

/// Probes all, at once: nothing is timed.
pub fn all(setting: &Setting, peers: &[Peer]) -> Vec<Probes> {
    thread::scope(|scope| {
        let probing: Vec<_> = peers
            .iter()
            .map(|peer| scope.spawn(|| probe(setting, peer)))
            .collect();
        let probed = probing.into_iter().map(|it| it.join());
        probed
            .map(|it| it.expect("a probe doesn't panic"))
            .collect()
    })
}

/// Has the generator compare echoes of several sizes with what it sent.
pub fn check(setting: &Setting, server: &Server, deflate: bool) -> Result<(), Failure> {
    for (at, size) in CHECKED.iter().enumerate() {
        let mut arguments = server.target();
        arguments.extend(["-c", "3", "-d", "4", "--messages", "60", "-s", size].map(Into::into));
        if at % 2 == 0 || deflate {
            arguments.push("--text".into());
        }
        if deflate {
            arguments.push("--deflate".into());
        }
        generate(setting, &arguments, CHECK).map_err(|error| format!("{size} B: {error}"))?;
    }
    Ok(())
}

fn probe(setting: &Setting, peer: &Peer) -> Probes {
    let mut probes = Probes {
        peer: peer.name,
        version: peer.version(setting),
        error: None,
        refuses_bad_text: None,
        refuses_bad_fragments: None,
        joins_fragments: None,
        answers_ping: None,
        refuses_reserved_bits: None,
        refuses_unmasked: None,
    };
    let server = match Server::start(setting, peer, &ECHO) {
        Ok(server) => server,
        Err(error) => {
            probes.error = Some(error.to_string());
            return probes;
        }
    };
    if let Err(error) = check(setting, &server, false) {
        probes.error = Some(error.to_string());
    }
    let ask = |frames: &[&[u8]]| exchange(&server.address, "", &frames.concat()).ok();
    let refuses = |frames: &[&[u8]]| ask(frames).map(|answer| answer.refused);
    probes.refuses_bad_text = refuses(&[&frame(0x81, b"\xFFabc")]);
    probes.refuses_bad_fragments = refuses(&[&frame(0x01, b"\xE2\x82"), &frame(0x80, b"a")]);
    let joined = ask(&[&frame(0x02, b"ab"), &frame(0x80, b"cd")]);
    probes.joins_fragments = joined.map(|it| !it.refused && it.data == b"abcd" && it.is_one);
    let pinged = ask(&[&frame(0x02, b"ab"), &frame(0x89, b"p"), &frame(0x80, b"cd")]);
    probes.answers_ping = pinged.map(|it| it.pong);
    probes.refuses_reserved_bits = refuses(&[&frame(0xF2, b"abcd")]);
    probes.refuses_unmasked = refuses(&[&[0x82, 4], b"abcd"]);
    probes
}

/// A client frame of less than 64 KiB. Its masking key is zero.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a short payload");
    let mut frame = vec![first];
    match length {
        0..126 => frame.push(0x80 | length as u8),
        _ => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// How many bytes its echo of 1 KiB of JSON has, compressed: what its level makes of it.
pub fn compressed_reply(server: &Server) -> Result<usize, Failure> {
    let record = |id| {
        format!(
            r#"{{"id":{id},"name":"user{}","score":{}}},"#,
            id * 7919 % 997,
            id * 31
        )
    };
    let mut text: String = (1_u32..).map(record).take(40).collect();
    text.truncate(1024);
    let answer = exchange(&server.address, DEFLATE, &frame(0x81, text.as_bytes()))?;
    match answer.is_one && answer.is_compressed {
        true => Ok(answer.data.len()),
        false => Err("its echo is not compressed".into()),
    }
}

/// An offer that any server can take.
const DEFLATE: &str =
    "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n";

#[derive(Default)]
struct Answer {
    /// The connection ended, or is about to.
    refused: bool,
    pong: bool,
    /// The payloads of its data frames.
    data: Vec<u8>,
    /// They made one message.
    is_one: bool,
    is_compressed: bool,
}

/// Sends the bytes over a connection of their own, and returns what comes until it ends or is
/// silent.
fn exchange(address: &str, fields: &str, bytes: &[u8]) -> Result<Answer, Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{fields}\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err("no upgrade".into());
    }
    stream.write_all(bytes)?;
    let mut answer = Answer::default();
    let mut messages = 0;
    loop {
        let mut header = [0; 2];
        if let Err(error) = stream.read_exact(&mut header) {
            let silent = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
            answer.refused = !silent.contains(&error.kind());
            break;
        }
        let mut length = usize::from(header[1] & 0x7F);
        if length == 126 {
            let mut longer = [0; 2];
            stream.read_exact(&mut longer)?;
            length = usize::from(u16::from_be_bytes(longer));
        }
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload)?;
        match header[0] & 0x0F {
            0..=2 => {
                answer.is_compressed |= header[0] & 0x40 != 0;
                answer.data.extend_from_slice(&payload);
                messages += u8::from(header[0] & 0x80 != 0);
            }
            8 => {
                answer.refused = true;
                break;
            }
            10 => answer.pong = true,
            _ => {}
        }
    }
    answer.is_one = messages == 1;
    Ok(answer)
}
