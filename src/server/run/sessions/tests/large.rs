//! Ten thousand clients of one worker: docs/cases.md D14, E7.

use super::*;
use crate::server::handle::Handle;

const PEERS: usize = 10_000;

/// How many sessions a turn drives at most without an event, and the one that has an event.
const MOST_DRIVES: usize = (SHARE / DRIVE) as usize + 2;

/// A client's ping, masked with zeros.
const PING: [u8; 6] = [0x89, 0x80, 0, 0, 0, 0];
const PONG: [u8; 2] = [0x8A, 0];

#[test]
fn d14_a_publish_to_ten_thousand_is_encoded_once_and_keeps_no_ping_waiting() {
    let mut crowd = Crowd::new(PEERS, Server::builder());
    let text = format!("told t0 handle 0 {}", "y".repeat(4_000));
    let handle = Handle::new(crowd.sessions.shared());
    handle.topics("/now").publish("t0", &*text).unwrap();
    crowd.sessions.work_now();

    let mut written = 0;
    let mut turns = 0;
    let mut sources: Vec<*const u8> = Vec::new();
    while crowd.sessions.patience() == Some(Duration::ZERO) {
        // A client whose turn is far off sends a ping, and gets its pong.
        let (token, client) = {
            let client = &crowd.clients[PEERS - 1 - turns];
            (client.token.unwrap(), client)
        };
        client.wire(|wire| {
            wire.input.extend_from_slice(&PING);
            let left = wire.input.len();
            wire.arrive(left);
        });
        crowd.sessions.at(Duration::ZERO).ready(token, true, false);
        let pong = client.wire(|wire| wire.output.ends_with(&PONG));
        assert!(pong, "a pong in turn {turns}");
        crowd.sessions.work_now();
        crowd.sessions.drive_again();
        turns += 1;
        let before = written;
        written = 0;
        for client in &crowd.clients {
            client.wire(|wire| {
                written += usize::from(wire.output.len() > text.len());
                sources.extend(mem::take(&mut wire.written_from).first());
            });
        }
        let slice = written - before;
        assert!(slice <= MOST_DRIVES, "{slice} in one turn");
    }
    assert_eq!(written, PEERS);
    assert!(turns > PEERS / MOST_DRIVES);
    // All were written from the same bytes; for those that pinged, the pong was the last write.
    sources.sort();
    let mut counts = sources.chunk_by(|one, other| one == other).map(<[_]>::len);
    assert!(
        counts.any(|it| it >= PEERS - turns),
        "encoded more than once"
    );
    for client in &mut crowd.clients {
        client.listen();
        assert_eq!(client.messages, 1);
    }
}

#[test]
fn e7_a_stop_says_1001_to_ten_thousand_and_ends_at_the_deadline() {
    let mut crowd = Crowd::new(PEERS, Server::builder());
    let second = Duration::from_secs(1);
    let stop = Command::ShutDown(10 * second);
    crowd.sessions.tell(stop);
    crowd.sessions.settle();
    // Every other one replies.
    for client in crowd.clients.iter_mut().step_by(2) {
        client.listen();
        assert!(client.closed());
    }
    crowd.read_all(second);
    assert_eq!(crowd.sessions.slab.len(), PEERS / 2);
    let near = 10 * second - Duration::from_millis(1);
    crowd.sessions.at(near).expire();
    assert_eq!(
        crowd.sessions.slab.len(),
        PEERS / 2,
        "not before the deadline"
    );
    crowd.sessions.at(10 * second).expire();
    assert!(crowd.sessions.stops() && crowd.sessions.is_empty());

    for client in crowd.clients.iter_mut().skip(1).step_by(2) {
        client.listen();
        assert!(client.closed(), "was told as well");
    }
    let lives = crowd.app.0.lock().unwrap();
    let ends = lives.values().map(|it| it.end.as_ref().unwrap());
    let clean = ends.filter(|(_, code, clean)| *clean && *code == CloseCode::GOING_AWAY);
    assert_eq!((lives.len(), clean.count()), (PEERS, PEERS / 2));
}
