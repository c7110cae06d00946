//! Compression by one call, for all routes or for one.

use harness::handshake::{Answer, upgrade};
use harness::net::{Probe, Running, config, patient};
use sockeye::proto::Deflate;
use sockeye::server::{Route, Server};

/// What is agreed on with a browser on this path.
fn agreed(server: &Running, path: &str) -> String {
    let offer = "permessage-deflate; client_max_window_bits";
    let request = upgrade()
        .target(path)
        .add("Sec-WebSocket-Extensions", offer);
    let mut peer = server.connect();
    peer.write(request.bytes());
    let answer = Answer::read(&peer.head());
    assert_eq!(answer.status, 101);
    let agreed = answer.header("Sec-WebSocket-Extensions");
    agreed.unwrap_or_default().to_string()
}

const SHARED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

#[test]
fn one_call_agrees_on_what_holds_no_memory_for_each_connection() {
    let short = config(|it| it.max_message_size = 1000);
    let server = Running::start(
        Server::builder()
            .compression()
            // Whichever is called first.
            .config(patient())
            .route("/chat", Probe::echo().0)
            .add_route(Route::new("/short", Probe::echo().0).config(short))
            .add_route(Route::new("/far", Probe::echo().0).compression_with(Deflate::default())),
    );
    assert_eq!(agreed(&server, "/chat"), SHARED);
    assert_eq!(agreed(&server, "/short"), SHARED);
    assert_eq!(agreed(&server, "/far"), "permessage-deflate");
}

#[test]
fn a_route_compresses_where_the_server_does_not() {
    let server = Running::start(
        Server::builder()
            .config(patient())
            .route("/chat", Probe::echo().0)
            .add_route(Route::new("/far", Probe::echo().0).compression()),
    );
    assert_eq!(agreed(&server, "/chat"), "");
    assert_eq!(agreed(&server, "/far"), SHARED);
}
