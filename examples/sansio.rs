//! Two endpoints talk through byte buffers: the core embedded, with no socket.
//!
//! ```text
//! cargo run --release --example sansio
//! ```
//! A [`Vec`] stands for each direction of the network. A real program puts what it reads from its
//! transport where `Input` is made, and writes `out` where this one hands it over.

use std::sync::Arc;
use std::time::Duration;

use sockeye::Error;
use sockeye::client::OsRandom;
use sockeye::proto::{
    Accept, ClientHandshake, ClientRequest, CloseCode, Config, Connection, Event, Input, Received,
    ServerHandshake, Teardown, Url,
};

/// The core has no clock: time is what the caller says, since any fixed origin of its own.
const NOW: Duration = Duration::ZERO;

fn main() -> Result<(), Error> {
    let config = Arc::new(Config::default());
    // Without an operating system: any `FnMut(&mut [u8])` over the hardware's random source.
    let random = Box::new(OsRandom::new());

    // The opening handshake. The client writes a request …
    let mut to_server = Vec::new();
    let url = Url::parse("ws://example.com/chat")?;
    let request = ClientRequest {
        subprotocols: vec!["greeting".into()],
        ..ClientRequest::default()
    };
    let mut client =
        ClientHandshake::new(&url, &request, config.clone(), random, &mut to_server, NOW)?;

    // … the server reads it, looks at it and accepts …
    let mut to_client = Vec::new();
    let server = ServerHandshake::new(config, NOW);
    let mut input = Input::new(&mut to_server);
    let Received::Upgrade(upgrade) = server.recv(&mut input, &mut to_client, NOW)? else {
        panic!("the request came whole");
    };
    let request = upgrade.request();
    println!("server: a client asks for {}", request.path());
    let accept = Accept {
        subprotocol: request.choose_subprotocol(&["greeting"]),
        ..Accept::default()
    };
    let mut server = upgrade.accept(&accept, &mut to_client, NOW)?;
    to_server.clear();

    // … and the client checks the response.
    let mut input = Input::new(&mut to_client);
    let client = client.recv(&mut input, NOW)?;
    let mut client = client.expect("the response came whole");
    println!("client: connected, speaking {:?}", client.subprotocol());
    to_client.clear();

    // Messages and their echoes …
    client.send("Hello", &mut to_server)?;
    client.send(b"\x00\x01\x02", &mut to_server)?;
    receive("server", &mut server, &mut to_server, &mut to_client)?;
    receive("client", &mut client, &mut to_client, &mut to_server)?;

    // … and the closing handshake.
    client.close(CloseCode::NORMAL, "that was all", &mut to_server, NOW)?;
    receive("server", &mut server, &mut to_server, &mut to_client)?;
    receive("client", &mut client, &mut to_client, &mut to_server)?;

    // Each side knows what is left to do with its transport: the server ends the stream first.
    assert_eq!(server.teardown(), Some(Teardown::HalfClose));
    assert_eq!(client.teardown(), Some(Teardown::AwaitEof));
    Ok(())
}

/// One turn of an endpoint: all that arrived becomes events, and the answers go to `out`. The
/// server echoes.
fn receive(
    name: &str,
    connection: &mut Connection,
    arrived: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let mut input = Input::new(arrived);
    // When the peer broke the protocol, `recv` fails and `out` holds the Close that tells it.
    while let Some(event) = connection.recv(&mut input, out, NOW)? {
        match event {
            Event::Message(message) => {
                println!("{name}: received {message:?}");
                if name == "server" {
                    connection.send(&message, out)?;
                }
            }
            Event::Closed(closed) => println!("{name}: closed with {}", closed.code),
            _ => {}
        }
    }
    arrived.clear();
    Ok(())
}
