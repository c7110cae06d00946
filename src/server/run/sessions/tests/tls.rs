//! A connection over TLS on a faulty transport: short reads and writes, interruptions, readiness
//! that is reported once. docs/cases.md E2, E4.

use std::io::{self, IoSlice};

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;

use super::*;
use crate::net::{ClientTls, ServerTls, tls_tests};

struct Echo;

impl Handler for Echo {
    type State = ();

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        socket.send(message);
    }
}

/// The client's end of the wire, with how much of the server's output it has read.
struct Near(Sim, usize);

impl Transport for Near {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wire = self.0.0.borrow();
        let waiting = &wire.output[self.1..];
        let count = buffer.len().min(waiting.len());
        if count == 0 && !wire.half_closed {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer[..count].copy_from_slice(&waiting[..count]);
        self.1 += count;
        Ok(count)
    }

    fn read_both(&mut self, _: &mut [u8], buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut wire = self.0.0.borrow_mut();
        let before = wire.input.len();
        wire.input.extend(slices.iter().flat_map(|it| it.iter()));
        Ok(wire.input.len() - before)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const LENGTHS: [usize; 9] = [0, 1, 20, 125, 126, 1000, 20_000, 65_536, 200_000];

/// A binary frame; a client's has a masking key of zeros.
fn frame(payload: &[u8], mask: bool) -> Vec<u8> {
    let key = if mask { &[0; 4][..] } else { &[] };
    let bit = u8::from(mask) << 7;
    let length = payload.len();
    let header = match length {
        0..126 => vec![0x82, bit | length as u8],
        126..65_536 => [&[0x82, bit | 126][..], &(length as u16).to_be_bytes()].concat(),
        _ => [&[0x82, bit | 127][..], &(length as u64).to_be_bytes()].concat(),
    };
    [&header, key, payload].concat()
}

#[test]
fn an_echo_over_tls_is_whole_and_ends_cleanly_whatever_the_transport_does() {
    for seed in 0..60 {
        let _naming = Naming(seed);
        run(seed);
    }
}

fn run(seed: u64) {
    let mut random = Random(seed);
    let version = match seed % 2 {
        0 => &rustls::version::TLS12,
        _ => &rustls::version::TLS13,
    };
    let (server, client) = tls_tests::configs(version);
    let builder = Server::builder().route("/q", Echo);
    let Parts { shared, endpoints } = builder.parts(vec![None]).unwrap();
    let mut sessions = Sessions::new(Arc::clone(&shared), endpoints, 0, Duration::ZERO);
    let sim = Sim::default();
    sim.0.borrow_mut().faults = Some(Random(seed + 1));
    shared.take_in(0);
    let permit = shared.connections.admit().unwrap();
    let server = UnbufferedServerConnection::new(server).unwrap();
    let server = ServerTls::new(sim.clone(), server, false).unwrap();
    let peer = ([127, 0, 0, 1], 1).into();
    let mut token = Token(0);
    sessions.insert(server, peer, permit, |_, it| {
        token = it;
        true
    });
    let client = UnbufferedClientConnection::new(client, "localhost".try_into().unwrap()).unwrap();
    let mut client = ClientTls::new(Near(sim.clone(), 0), client, false).unwrap();

    let payloads = LENGTHS.map(|length| (0..length).map(|at| at as u8).collect::<Vec<_>>());
    let mut sent = single::UPGRADE.to_vec();
    let mut expected = Vec::new();
    for payload in &payloads {
        sent.extend(frame(payload, true));
        expected.extend(frame(payload, false));
    }
    sent.extend([0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8]);
    expected.extend([0x88, 0x02, 0x03, 0xE8]);

    let (mut at, mut got, mut buffer) = (0, Vec::new(), vec![0; 64 * 1024]);
    let mut ended = false;
    'turns: for now in (0..9_000).map(Duration::from_millis) {
        while client.held() > 0 {
            client.flush().unwrap();
        }
        if !client.state().is_handshaking() && at < sent.len() {
            let end = sent.len().min(at + 8 * random.bytes());
            at += client.write(&sent[at..end]).unwrap();
        }
        let (readable, writable) = {
            let mut wire = sim.0.borrow_mut();
            if wire.arrived < wire.input.len() {
                wire.arrive(8 * random.bytes());
            }
            // Little room, so that the end has to wait for it, too.
            wire.give_room(match seed % 4 {
                0 | 1 => random.below(200),
                _ => 8 * random.bytes(),
            });
            (mem::take(&mut wire.readable), mem::take(&mut wire.writable))
        };
        if readable || writable {
            sessions.at(now).ready(token, readable, false);
        }
        sessions.at(now).drive_again();
        sessions.expire();
        loop {
            match client.read(&mut buffer) {
                Ok(0) => {
                    ended = true;
                    break 'turns;
                }
                Ok(count) => got.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    let head = got
        .windows(4)
        .position(|it| it == b"\r\n\r\n")
        .expect("101")
        + 4;
    assert!(got[head..] == expected, "{} bytes", got.len() - head);
    assert!(ended, "no close_notify");
    let stats = shared.stats();
    assert_eq!((stats.queued_bytes, stats.handshake_failures.sum()), (0, 0));
    let bytes = (sent.len() as u64, got.len() as u64);
    assert_eq!((stats.bytes_received, stats.bytes_sent), bytes);
}
