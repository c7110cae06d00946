//! Layers around a handler.

use harness::net::{Running, masked_frame};
use harness::sansio::TEXT;
use sockeye::proto::Message;
use sockeye::server::{Handler, Layer, Server, Socket};

/// Says its name before each message, and passes it on unless it is not text.
struct Named(&'static str);

impl<H: Handler> Layer<H> for Named {
    fn on_message(&self, inner: &H, socket: &mut Socket<'_, H::State>, message: Message<'_>) {
        socket.send(self.0);
        if message.as_text() != Some(self.0) {
            inner.on_message(socket, message);
        }
    }
}

struct Counts;

impl Handler for Counts {
    type State = u32;

    // No layer has it.
    fn on_open(&self, socket: &mut Socket<'_, u32>) {
        *socket.state_mut() = 40;
    }

    fn on_message(&self, socket: &mut Socket<'_, u32>, _: Message<'_>) {
        *socket.state_mut() += 1;
        let count = socket.state().to_string();
        socket.send(&count);
    }
}

#[test]
fn layers_are_called_from_the_outside_in_and_what_they_leave_out_goes_through() {
    let layered = Named("outer").around(Named("inner").around(Counts));
    let server = Running::start(Server::builder().route("/chat", layered));
    let mut peer = server.open();
    for (text, replies) in [
        ("hello", &["outer", "inner", "41"][..]),
        ("inner", &["outer", "inner"]),
        ("outer", &["outer"]),
        ("hello", &["outer", "inner", "42"]),
    ] {
        peer.write(masked_frame(true, TEXT, text.as_bytes()));
        for reply in replies {
            peer.expect(TEXT, reply);
        }
    }
}
