//! A server that runs out of file descriptors, in a process of its own: docs/cases.md D10, D11.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;

use harness::handshake::upgrade;
use harness::net::{Peer, Probe, Running, patient, serve};
use sockeye::server::observe::ErrorCause;

const ROLE: &str = "SOCKEYE_TEST_CHILD";
const DESCRIPTORS: usize = 64;

/// More than the descriptors, and with those not more than a listener's backlog takes.
const CONNECTIONS: usize = 150;

/// The server's process: it tells its address, serves until its input ends, and then tells what
/// it counted. Without its role it is no test of anything.
#[test]
fn child() {
    if env::var_os(ROLE).is_none() {
        return;
    }
    let (mut server, _): (Running, _) = serve(patient(), Probe::echo());
    println!("\naddress {}", server.address);
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    let failed = server.handle().stats().errors.count(ErrorCause::Accept);
    println!("\naccept {failed}");
    server.handle().shut_down_within(core::time::Duration::ZERO);
    server.join();
}

fn spawn() -> Child {
    // The shell sets the limit for what it becomes.
    let script =
        format!("ulimit -n {DESCRIPTORS}; exec \"$0\" --exact descriptors::child --nocapture");
    Command::new("sh")
        .args(["-c", &script])
        .arg(env::current_exe().unwrap())
        .env(ROLE, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The value of the line that begins so.
fn told(lines: &mut impl Iterator<Item = String>, name: &str) -> String {
    let value = |line: String| line.strip_prefix(name).map(|it| it.trim().to_owned());
    lines.find_map(value).expect("the child tells it")
}

/// The time that the process has computed, in hundredths of a second.
fn computed(child: &Child) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    fields[11..13]
        .iter()
        .map(|it| it.parse::<u64>().unwrap())
        .sum()
}

/// D10.
#[test]
fn out_of_file_descriptors_a_server_serves_those_it_has_waits_and_accepts_again() {
    let mut child = spawn();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let address: SocketAddr = told(&mut lines, "address ").parse().unwrap();

    let mut first = Peer::connect(address);
    first.upgrade(&upgrade());
    let mut peers: Vec<Peer> = (0..CONNECTIONS).map(|_| Peer::connect(address)).collect();
    for peer in &mut peers {
        peer.write(upgrade().bytes());
    }
    // Those that it has are served; there are some, and not all.
    let mut waiting = peers.split_off(DESCRIPTORS / 2);
    for peer in &mut peers {
        peer.head();
        assert_eq!(peer.ask("served"), "served");
    }
    assert_eq!(first.ask("served"), "served");

    // It waits without spinning: what is measured here is the waiting.
    let before = computed(&child);
    thread::sleep(core::time::Duration::from_secs(2));
    let spent = computed(&child) - before;
    assert!(spent < 50, "{spent} hundredths of two seconds");

    // As some go, others are accepted, without anything else happening.
    drop(peers);
    for mut peer in waiting.drain(..) {
        peer.head();
        assert_eq!(peer.ask("at last"), "at last");
    }
    assert_eq!(first.ask("still served"), "still served");
    drop(child.stdin.take());
    let failed: u64 = told(&mut lines, "accept ").parse().unwrap();
    assert!(failed > 0, "it never ran out");
    assert!(child.wait().unwrap().success());
}
