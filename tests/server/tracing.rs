//! What the server tells through `tracing`.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread;

use harness::handshake::{plain, upgrade};
use harness::net::{Peer, patient};
use sockeye::proto::Message;
use sockeye::server::{Handler, Server, Socket};
use tracing::{Level, info, subscriber};

/// Echoes, logs and panics as it is told.
struct Logs;

impl Handler for Logs {
    type State = ();

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        info!("the application's own");
        assert_ne!(message.as_text(), Some("panic"));
        let _ = socket.send(message);
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What was told at `level` and above while `clients` had its way with a server.
fn told(level: Level, clients: impl FnOnce(&dyn Fn() -> Peer)) -> Vec<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    let server = Server::builder()
        .workers(std::num::NonZeroUsize::MIN)
        .config(patient())
        .route("/chat", Logs)
        .listen("127.0.0.1:0")
        .unwrap();
    let (address, handle) = (server.local_addr(), server.handle());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    // One worker runs on the calling thread, which is where the subscriber is.
    let running = thread::spawn(|| subscriber::with_default(subscriber, || server.run()));
    clients(&|| Peer::connect(address));
    handle.shut_down();
    running.join().unwrap().unwrap();
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn chat(connect: &dyn Fn() -> Peer) -> Peer {
    let mut peer = connect();
    peer.upgrade(&upgrade().target("/chat"));
    peer
}

fn count(lines: &[String], what: &str) -> usize {
    lines.iter().filter(|line| line.contains(what)).count()
}

#[test]
fn a_healthy_server_tells_of_its_start_and_no_more() {
    let lines = told(Level::WARN, |connect| chat(connect).close());
    assert!(lines.is_empty(), "{lines:?}");
    let lines = told(Level::INFO, |connect| chat(connect).close());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("serving"), "{lines:?}");
}

#[test]
fn each_connection_is_told_of_and_what_its_handler_logs_is_in_its_span() {
    let lines = told(Level::DEBUG, |connect| {
        let mut peer = chat(connect);
        assert_eq!(peer.ask("hello"), "hello");
        peer.close();
        let mut refused = connect();
        refused.write(upgrade().target("/nowhere").bytes());
        assert_eq!(refused.response().status, 404);
    });
    for what in ["connection opened", "connection closed", "handshake failed"] {
        assert_eq!(count(&lines, what), 1, "{lines:?}");
    }
    assert_eq!(count(&lines, "code=1000"), 1, "{lines:?}");
    let end = "end=the peer closed with 1000 \"\"; sent 1000 \"\"";
    assert_eq!(count(&lines, end), 1, "{lines:?}");
    let refused = lines.iter().find(|it| it.contains("handshake failed"));
    for what in [
        "client_ip=127.0.0.1",
        "path=\"/nowhere\"",
        "cause=\"not_found\"",
        "reason=\"404: no WebSocket endpoint has this path\"",
    ] {
        assert!(refused.unwrap().contains(what), "{refused:?}");
    }
    let own = lines.iter().find(|it| it.contains("the application's own"));
    assert!(own.unwrap().contains("connection{id="), "{own:?}");
}

#[test]
fn a_panic_is_an_error_also_where_connections_are_not_told_of() {
    let lines = told(Level::ERROR, |connect| {
        let mut peer = chat(connect);
        peer.say("panic");
        peer.expect_close(1011);
    });
    assert_eq!(count(&lines, "handler panicked"), 1, "{lines:?}");
}

/// D17: what a peer chooses makes no line long, and no line of its own.
#[test]
fn d17_a_line_of_a_failure_is_short_and_one() {
    let lines = told(Level::DEBUG, |connect| {
        let mut peer = connect();
        let path = format!("/{}", "x".repeat(4000));
        let origin = format!("https://{}", "y\t".repeat(4000));
        let request = upgrade().target(path).add("Origin", origin);
        peer.write(request.bytes());
        assert_eq!(peer.response().status, 404);
    });
    let failed = lines.iter().find(|it| it.contains("handshake failed"));
    let failed = failed.expect("it is told");
    assert!(failed.contains("xxx") && failed.contains("y\\ty\\t"));
    assert!(failed.len() < 1200, "{} bytes", failed.len());
}

/// D17.
#[test]
fn d17_a_flood_of_failures_fills_no_log_and_is_counted() {
    const FLOOD: usize = 300;
    let lines = told(Level::DEBUG, |connect| {
        for _ in 0..FLOOD {
            let mut peer = connect();
            peer.write(upgrade().target("/nowhere").bytes());
            assert_eq!(peer.response().status, 404);
        }
        // Served all the same.
        let mut page = connect();
        page.write(plain("GET / HTTP/1.1").bytes());
        assert_eq!(page.response().status, 404);
    });
    let failed = count(&lines, "handshake failed");
    // The burst, and ten a second while it took; a machine would have to be very slow to be
    // let tell half of them.
    assert!((100..FLOOD / 2).contains(&failed), "{failed}");
}
