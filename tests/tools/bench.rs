//! The program `sockeye` as a process: each mode of `bench` against a server, what it reports, and
//! that it fails where a server does wrong.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::process::{Command, Output};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use serde_json::Value;
use sockeye::proto::{CloseCode, Config, Message, MessageRef};
use sockeye::server::{Builder, Handler, Server, Socket};

use harness::net::{Probe, Running, config};

/// Room for the longest message of the tests.
fn roomy() -> Config {
    config(|it| it.max_message_size = 16 << 20)
}

fn builder() -> Builder {
    Server::builder().config(roomy()).max_backpressure(64 << 20)
}

fn serve(handler: impl Handler<State = ()>) -> Running {
    Running::start(builder().route("/", handler))
}

/// A server that answers each message as `answer` says.
fn answering(answer: impl Fn(&mut Socket<'_, ()>, Message<'_>) + Send + Sync + 'static) -> Running {
    serve(Probe::new(move |socket, message, _| answer(socket, message)).0)
}

fn echo() -> Running {
    answering(|socket, message| {
        socket.send(message);
    })
}

/// Echoes, and tells whose pongs come.
struct Ponged(Sender<u64>);

impl Handler for Ponged {
    type State = ();

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        socket.send(message);
    }

    fn on_pong(&self, socket: &mut Socket<'_, ()>, _: &[u8]) {
        // The test may have seen enough.
        let _ = self.0.send(socket.id().to_u64());
    }
}

/// Sends each message to all.
struct Fanout;

impl Handler for Fanout {
    type State = ();

    fn on_open(&self, socket: &mut Socket<'_, ()>) {
        socket.subscribe("all").unwrap();
    }

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        socket.publish_to_all("all", &message);
    }
}

fn bench(url: &str, options: &str) -> Output {
    Command::new(harness::program::sockeye())
        .args(["bench", url])
        .args(options.split_ascii_whitespace())
        .output()
        .unwrap()
}

fn url(server: &Running) -> String {
    format!("ws://{}/", server.address)
}

/// The report of a run that must succeed.
#[track_caller]
fn report(server: &Running, options: &str) -> Value {
    report_of(&url(server), options)
}

#[track_caller]
fn report_of(url: &str, options: &str) -> Value {
    let output = bench(url, &format!("{options} --json"));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["error"], Value::Null);
    report
}

/// What a run says that must fail.
#[track_caller]
fn failure(url: &str, options: &str) -> String {
    let output = bench(url, options);
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[track_caller]
fn assert_latencies(report: &Value) {
    let latency = &report["latency_ns"];
    let quantiles = ["p50", "p90", "p99", "p999", "max"].map(|it| latency[it].as_u64().unwrap());
    assert!(quantiles[0] > 0 && quantiles.is_sorted(), "{latency}");
}

#[test]
fn echoes_of_all_sizes_and_kinds_come_back() {
    let server = echo();
    for (options, messages) in [
        ("-s 0 -c 3 -d 16 --messages 5000", 5000),
        ("-s 1 -c 3 -d 16 --messages 5000", 5000),
        ("-s 20 -c 20 -d 16 --messages 50000", 50_000),
        ("-s 20 -c 20 -d 1 --messages 1000 --text", 1000),
        ("-s 125 -d 4 --messages 1000", 1000),
        ("-s 126 -d 4 --messages 1000 --text", 1000),
        ("-s 64K -c 4 -d 4 --messages 200", 200),
        ("-s 1M -c 4 -d 4 --messages 50 --text", 50),
        ("-s 16M -c 2 -d 2 --messages 4", 4),
        ("-c 50 --ramp 1000 --messages 1", 1),
    ] {
        let report = report(&server, options);
        assert_eq!(report["messages"], messages, "{options}");
        assert_latencies(&report);
    }
}

#[test]
fn a_fan_out_reaches_all() {
    let server = serve(Fanout);
    let report = report(&server, "--mode fan-out -c 30 -d 4 --messages 500");
    assert_eq!(report["messages"], 30 * 500);
    assert_latencies(&report);
}

#[test]
fn handshakes_are_counted_one_by_one() {
    let server = echo();
    let report = report(&server, "--mode handshakes -c 8 --messages 300");
    assert_eq!(report["messages"], 300);
    assert_latencies(&report);
}

#[test]
fn idle_connections_cost_memory_of_the_process_that_is_named() {
    let server = echo();
    let pid = std::process::id();
    let options = format!("--mode idle -c 200 --warmup 0 --duration 0.2 --pid {pid}");
    let report = report(&server, &options);
    assert_eq!(report["messages"], 0);
    assert_eq!(report["latency_ns"], Value::Null);
    let server = &report["server"];
    assert_eq!(server["pids"][0], pid);
    assert!(server["resident_bytes"].as_u64().unwrap() > 100_000);
    assert!(server["resident_bytes_per_connection"].is_f64());
}

#[test]
fn pings_are_answered_and_fragments_joined() {
    let config = config(|it| {
        it.ping_interval = Some(Duration::from_millis(50));
        it.fragment_size = NonZeroUsize::new(7);
    });
    let (tell, answered) = channel();
    let server = Running::start(Server::builder().config(config).route("/", Ponged(tell)));
    report(&server, "--mode idle -c 10 --warmup 0 --duration 1");
    let answered: BTreeSet<u64> = answered.try_iter().collect();
    assert_eq!(answered.len(), 10, "connections that answered a ping");
    report(&server, "-c 5 -d 16 -s 20 --text --messages 5000");
    report(&server, "-c 5 -d 16 -s 1000 --messages 500");
}

#[test]
fn a_time_is_measured_with_processor_times_and_the_bottleneck() {
    let server = echo();
    let pid = std::process::id();
    let options = format!("-d 16 --warmup 0.1 --duration 0.5 --pid {pid}");
    let report = report(&server, &options);
    let seconds = report["seconds"].as_f64().unwrap();
    assert!((0.5..5.0).contains(&seconds), "{seconds}");
    for process in ["generator", "server"] {
        let process = &report[process];
        assert!(process["cores"].as_f64().unwrap() > 0.0, "{process}");
        assert!(process["user_ns_per_message"].is_f64(), "{process}");
        assert!(process["system_ns_per_message"].is_f64(), "{process}");
    }
    assert!(report["bottleneck"].is_string());
}

#[test]
fn a_rate_is_kept() {
    let server = echo();
    let report = report(&server, "-c 5 --rate 500 --messages 1000");
    assert_eq!(report["messages"], 1000);
    // The last is due 999 intervals after the first; a busy machine may be late with it.
    let seconds = report["seconds"].as_f64().unwrap();
    assert!((1.998..4.0).contains(&seconds), "{seconds}");
    assert_eq!(report["bottleneck"], Value::Null);
}

#[test]
#[cfg(feature = "deflate")]
fn compressed_echoes_are_checked_too() {
    use sockeye::proto::Deflate;

    let mut config = roomy();
    config
        .extensions
        .push(std::sync::Arc::new(Deflate::default()));
    let (probe, _watch) = Probe::echo();
    let builder = Server::builder().config(config).max_backpressure(64 << 20);
    let server = Running::start(builder.route("/", probe));
    for options in [
        "-s 200 --text -c 5 -d 4 --messages 500",
        "-s 1M --text -c 2 -d 2 --messages 6",
        "-s 100K -c 2 --messages 6",
        "-s 0 -c 2 --messages 6",
    ] {
        report(&server, &format!("--deflate {options}"));
    }
    let plain = echo();
    let error = failure(&url(&plain), "--deflate --messages 5");
    assert!(
        error.contains("didn't take up permessage-deflate"),
        "{error}"
    );
}

#[test]
fn the_report_for_people_has_what_json_has() {
    let server = echo();
    let output = bench(&url(&server), "-c 5 -d 16 -s 1K --messages 1000");
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "echo, 5 connections, 1024 B binary, depth 16",
        "messages    ",
        "(1000 in ",
        "MB/s received",
        "latency     p50 ",
        "p99.9 ",
        "generator   ",
        " ns user and ",
        "bottleneck  ",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
}

/// Answers `change`d bytes from the 100th message of each connection's on.
fn corrupting(change: fn(&mut Vec<u8>)) -> Running {
    answering(move |socket, message| {
        let mut bytes = message.as_bytes().to_vec();
        // The lowest six bits of a message's number are in its first byte.
        if bytes[0] == b'o' {
            change(&mut bytes);
        }
        socket.send(&bytes[..]);
    })
}

#[test]
fn a_corrupted_echo_fails_the_run_and_is_named() {
    for (change, text) in [
        (
            (|bytes| bytes[19] ^= 1) as fn(&mut Vec<u8>),
            "came back changed: its byte 19 is 0x",
        ),
        (
            |bytes| bytes[0] = b'0',
            "came back changed: its byte 0 is 0x30, and 0x6f was sent",
        ),
        (
            |bytes| bytes.truncate(19),
            "came back too short: 19 bytes of 20",
        ),
        (
            |bytes| bytes.push(0),
            "came back too long: more than 20 bytes",
        ),
    ] {
        let server = corrupting(change);
        let error = failure(&url(&server), "-c 3 -d 8 --messages 10000");
        assert!(error.starts_with("sockeye: connection "), "{error}");
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn a_report_with_a_fault_says_so_in_json() {
    let server = corrupting(|bytes| bytes[19] ^= 1);
    let output = bench(&url(&server), "-c 1 --messages 10000 --json");
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let error = report["error"].as_str().unwrap();
    assert!(error.contains("came back changed"), "{error}");
}

#[test]
fn text_for_binary_echoes_that_nobody_sent_and_lost_ones_fail_the_run() {
    let as_text = answering(|socket, message| {
        let text = core::str::from_utf8(message.as_bytes()).unwrap();
        socket.send(MessageRef::Text(text));
    });
    // Up to eight bytes a binary message is its tag, which is ASCII.
    let error = failure(&url(&as_text), "-c 1 -s 8 --messages 100");
    assert!(error.contains("another kind"), "{error}");

    let doubling = answering(|socket, message| {
        for _ in 0..2 {
            socket.send(MessageRef::from(&message));
        }
    });
    // Without content only the count can tell.
    let error = failure(&url(&doubling), "-c 1 -s 0 --messages 100");
    assert!(error.contains("was not sent"), "{error}");

    let silent = answering(|_, _| {});
    let error = failure(&url(&silent), "-c 2 -d 3 --messages 100 --timeout 0.3");
    assert!(error.contains("3 messages are missing"), "{error}");
}

#[test]
fn a_lost_connection_fails_the_run() {
    let closing = answering(|socket, _| {
        let _ = socket.close(CloseCode(4000), "enough");
    });
    let error = failure(&url(&closing), "-c 2 --messages 100");
    assert!(
        error.contains("closed the connection with 4000 \"enough\""),
        "{error}"
    );

    let terminating = answering(|socket, _| socket.terminate());
    let error = failure(&url(&terminating), "-c 2 --messages 100");
    assert!(error.starts_with("sockeye: connection "), "{error}");
}

#[test]
fn what_keeps_a_run_from_beginning_is_said() {
    let server = echo();
    let missing = format!("ws://{}/nowhere", server.address);
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for (url, options, text) in [
        #[cfg(not(feature = "tls"))]
        ("wss://127.0.0.1/", "", "build with --features cli,tls"),
        ("ws://127.0.0.1/", "--insecure", "use wss://, or --tls"),
        ("http://127.0.0.1/", "", "http://127.0.0.1/: "),
        (&missing, "", "404"),
        (&format!("ws://{nobody}/"), "", "refused"),
        (&url(&server), "-c 100000000", "file descriptors"),
        (&url(&server), "--pid 4294967295", "--pid needs a process"),
        (
            &url(&server),
            "--mode idle --messages 5",
            "give it a --duration",
        ),
    ] {
        let error = failure(url, options);
        assert!(error.starts_with("sockeye: "), "{error}");
        assert!(error.contains(text), "{url} {options}: {error}");
    }
}

#[cfg(feature = "tls")]
mod tls {
    use std::path::PathBuf;

    use super::*;
    use harness::tls::{Authority, server};

    /// A server with a certificate of an authority of its own.
    struct Secure {
        running: Running,
        /// The authority's certificate, in PEM.
        ca: PathBuf,
    }

    impl Secure {
        fn serve(handler: impl Handler<State = ()>) -> Self {
            Self::named("127.0.0.1", builder().route("/", handler))
        }

        fn echo() -> Self {
            Self::serve(Probe::echo().0)
        }

        fn named(name: &str, builder: Builder) -> Self {
            let authority = Authority::default();
            let running = Running::start(builder.tls(server(&authority.issue(name))));
            let file = format!("cli-{}.pem", running.address.port());
            let ca = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(file);
            std::fs::write(&ca, authority.pem).unwrap();
            Self { running, ca }
        }

        fn url(&self) -> String {
            format!("wss://{}/", self.running.address)
        }

        fn trusting(&self, options: &str) -> String {
            format!("--ca {} {options}", self.ca.display())
        }

        #[track_caller]
        fn report(&self, options: &str) -> Value {
            report_of(&self.url(), &self.trusting(options))
        }
    }

    impl Drop for Secure {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.ca);
        }
    }

    #[test]
    fn echoes_come_back_over_tls() {
        let server = Secure::echo();
        for (options, messages) in [
            ("-s 0 -c 3 -d 16 --messages 5000", 5000),
            ("-s 20 -c 20 -d 16 --messages 50000", 50_000),
            ("-s 1K -c 20 -d 16 --messages 5000 --text", 5000),
            ("-s 64K -c 4 -d 4 --messages 200", 200),
            ("-s 1M -c 4 -d 4 --messages 50 --text", 50),
            ("-s 16M -c 2 -d 2 --messages 4", 4),
            ("-c 50 --ramp 1000 --messages 1", 1),
        ] {
            let report = server.report(options);
            assert_eq!(report["messages"], messages, "{options}");
            assert_latencies(&report);
        }
    }

    #[test]
    fn all_other_modes_run_over_tls() {
        let server = Secure::serve(Fanout);
        let fan_out = server.report("--mode fan-out -c 20 -d 4 --messages 200");
        assert_eq!(fan_out["messages"], 20 * 200);
        let handshakes = server.report("--mode handshakes -c 8 --messages 100");
        assert_eq!(handshakes["messages"], 100);
        assert_latencies(&handshakes);
        let idle = server.report("--mode idle -c 20 --warmup 0 --duration 0.2");
        assert_eq!(idle["messages"], 0);
    }

    #[test]
    #[cfg(feature = "deflate")]
    fn compressed_echoes_are_checked_over_tls() {
        let mut config = roomy();
        let deflate = sockeye::proto::Deflate::default();
        config.extensions.push(std::sync::Arc::new(deflate));
        let builder = Server::builder().config(config);
        let server = Secure::named("127.0.0.1", builder.route("/", Probe::echo().0));
        server.report("--deflate --text -s 1K -c 5 -d 4 --messages 500");
    }

    #[test]
    fn the_report_says_what_tls_agreed_on_and_whom_it_trusted() {
        let plain = echo();
        assert_eq!(report(&plain, "--messages 5")["tls"], Value::Null);
        let server = Secure::echo();
        let (new, old) = (
            "TLS13_AES_128_GCM_SHA256",
            "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        );
        for (trust, version, suite, verified) in [
            (&server.trusting("")[..], "1.3", new, true),
            ("--insecure", "1.2", old, false),
        ] {
            let options = format!("{trust} --cipher {suite} -c 5 --messages 100");
            let tls = &report_of(&server.url(), &options)["tls"];
            assert_eq!(tls["version"], version);
            assert_eq!(tls["cipher_suite"], suite);
            assert_eq!(tls["verified"], verified);
            let text = String::from_utf8(bench(&server.url(), &options).stdout).unwrap();
            assert!(text.contains(&format!(", TLS {version} with {suite}")));
            assert_eq!(text.contains("the certificate not verified"), !verified);
        }
        let by_option = server.url().replace("wss", "ws");
        let report = report_of(&by_option, "--tls --insecure --messages 5");
        assert_eq!(report["tls"]["version"], "1.3");
    }

    #[test]
    fn whom_nobody_vouches_for_is_not_trusted() {
        let server = Secure::echo();
        let other = Secure::echo();
        let named = Secure::named("example.org", builder().route("/", Probe::echo().0));
        for (url, options) in [
            // The system knows neither.
            (server.url(), String::new()),
            (server.url(), other.trusting("")),
            (named.url(), named.trusting("")),
        ] {
            let error = failure(&url, &options);
            assert!(error.contains("see --ca and --insecure"), "{error}");
        }
    }

    #[test]
    fn a_corrupted_echo_is_found_behind_tls() {
        let (probe, _watch) = Probe::new(|socket, message, _| {
            let mut bytes = message.as_bytes().to_vec();
            bytes[19] ^= 1;
            socket.send(&bytes[..]);
        });
        let server = Secure::serve(probe);
        let error = failure(&server.url(), "--insecure -c 3 -d 8 --messages 100");
        assert!(error.contains("its byte 19 is 0x"), "{error}");
    }

    #[test]
    fn a_lost_connection_fails_the_run_over_tls() {
        let (probe, _watch) = Probe::new(|socket, _, _| socket.terminate());
        let server = Secure::serve(probe);
        let error = failure(&server.url(), "--insecure -c 2 --messages 100");
        assert!(error.starts_with("sockeye: connection "), "{error}");
    }

    #[test]
    fn what_tls_lacks_is_said() {
        let (plain, server) = (echo(), Secure::echo());
        let empty = server.ca.with_extension("empty");
        std::fs::write(&empty, "no certificate").unwrap();
        let to_plain = format!("wss://{}/", plain.address);
        for (url, options, text) in [
            (
                server.url(),
                "--ca /nowhere.pem".into(),
                "--ca /nowhere.pem",
            ),
            (
                server.url(),
                format!("--ca {}", empty.display()),
                "no certificate in PEM",
            ),
            (
                server.url(),
                "--insecure --cipher ROT13".into(),
                "TLS13_AES_128_GCM_SHA256",
            ),
            (to_plain, "--insecure".into(), "TLS failed"),
        ] {
            let error = failure(&url, &options);
            assert!(error.contains(text), "{options}: {error}");
        }
        std::fs::remove_file(empty).unwrap();
    }
}
