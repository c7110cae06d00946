//! What the server asks its allocator for, for each message: counted on the worker's thread.

use core::num::NonZeroUsize;
use std::thread;

use harness::net::{Peer, Running};
use harness::sansio::{BINARY, TEXT};
use sockeye::proto::Message;
use sockeye::server::{Handler, Server, Socket};

/// Echoes, and tells when it is asked how often its thread has asked for memory.
struct Echo;

impl Handler for Echo {
    type State = ();

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        if message.as_text() == Some("calls") {
            let calls = harness::counting::calls();
            socket.send(calls.to_string());
        } else {
            socket.send(message);
        }
    }
}

/// Sends and reads at the same time: a large echo begins before its message was written.
fn echo(peer: &mut Peer, opcode: u8, payload: &[u8]) {
    let mut sending = Peer::new(peer.stream().try_clone().unwrap());
    thread::scope(|scope| {
        scope.spawn(move || sending.send(opcode, payload));
        peer.expect(opcode, payload);
    });
}

#[test]
fn an_echoed_message_of_any_length_allocates_nothing() {
    let builder = Server::builder()
        .workers(NonZeroUsize::MIN)
        .route("/chat", Echo);
    let server = Running::start(builder);
    let mut peer = server.open();
    let calls = |peer: &mut Peer| -> usize { peer.ask("calls").parse().unwrap() };
    for length in [0, 20, 125, 126, 1000, 10_000, 40_000, 100_000, 1_000_000] {
        let text = vec![b'x'; length];
        for opcode in [TEXT, BINARY] {
            // How many bytes each read brings is the system's affair, and so it is how soon the
            // buffers that are kept have grown; then it stays at nothing.
            let rounds = (0..10).map(|_| {
                // The answer itself asks for memory.
                let first = calls(&mut peer);
                let second = calls(&mut peer);
                for _ in 0..20 {
                    echo(&mut peer, opcode, &text);
                }
                let third = calls(&mut peer);
                (third - second) - (second - first)
            });
            let asked: Vec<usize> = rounds.take_while(|it| *it > 0).collect();
            assert!(asked.len() < 10, "{asked:?} for 20 of {length} bytes");
        }
    }
}
