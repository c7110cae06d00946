//! A session as time passes, and while its peer doesn't take what it is sent.

use super::*;
use crate::server::websocket::CORK_LIMIT;

const SECOND: Duration = Duration::from_secs(1);

fn closed(how: &str) -> Told {
    Told::Close(how.into())
}

/// D1.
#[test]
fn the_opening_handshake_has_one_deadline_however_the_bytes_drip() {
    let mut rig = Rig::new(|_, config| config.handshake_timeout = 10 * SECOND);
    for byte in &upgrade()[..9] {
        rig.now += SECOND;
        assert_eq!(rig.receive([*byte]), Next::Wait);
        assert_eq!(rig.deadline(), Some(10 * SECOND));
    }
    assert_eq!(rig.expire(), Next::Wait);
    assert!(rig.output().starts_with(b"HTTP/1.1 408 "));
    assert!(rig.wire(|wire| wire.half_closed));
    assert_eq!(rig.expire(), Next::Drop);
    assert_eq!(rig.told(), []);
}

#[test]
fn a_silent_transport_is_ended_without_an_answer() {
    let mut rig = Rig::new(|_, _| {});
    assert_eq!(rig.expire(), Next::Wait);
    assert!(rig.output().is_empty());
    rig.wire(Wire::end);
    assert_eq!(rig.settle(), Next::Drop);
}

#[test]
fn a_backlog_that_is_not_taken_for_send_timeout_ends_the_session() {
    let mut rig = Rig::open(|_, config| config.ping_interval = None);
    rig.now = 100 * SECOND;
    rig.wire(|wire| wire.room = 3);
    rig.receive(Client::new().text("hello").1);
    assert_eq!(rig.deadline(), Some(160 * SECOND));
    // Each byte that is taken is progress.
    rig.now = 150 * SECOND;
    rig.wire(|wire| wire.give_room(1));
    rig.settle();
    assert_eq!(rig.deadline(), Some(210 * SECOND));
    // What arrives meanwhile is not progress.
    rig.now = 200 * SECOND;
    rig.receive(Client::new().text("more").1);
    assert_eq!(rig.deadline(), Some(210 * SECOND));
    rig.told();
    assert_eq!(rig.expire(), Next::Drop);
    assert_eq!(rig.told(), [closed("stalled")]);
}

#[test]
fn a_large_reply_that_is_not_taken_at_once_has_the_whole_send_timeout() {
    let mut rig = Rig::open(|_, config| config.ping_interval = None);
    rig.now = 100 * SECOND;
    rig.wire(|wire| wire.room = 0);
    // Assembled, so it leaves in its own buffer; no ping is before it in the queue.
    let bytes = Client::new().binary(100_000).1;
    assert_eq!(rig.receive(bytes), Next::Wait);
    assert_eq!(rig.deadline(), Some(160 * SECOND));
}

/// D8: a deadline holds for a peer that is faster than its session's reads, too.
#[test]
fn a_close_buried_in_endless_data_ends_at_close_timeout() {
    let mut rig = Rig::open(|_, _| {});
    rig.turn(shut_down);
    rig.buffer = vec![0; 100];
    let data = (0..200).fold(Client::new(), |it, _| it.binary(1000)).1;
    rig.arrive(&data);
    assert_eq!(rig.drive(), Next::Again);
    rig.now = rig.deadline().unwrap();
    // One turn to act on it, one to drop the transport.
    let turns = (1..).find(|_| rig.drive() == Next::Drop);
    assert!(turns <= Some(2), "after {turns:?} turns");
    assert_eq!(rig.told(), [closed("1006")]);
}

/// F18: the sending side ends as soon as all is written, whatever still comes.
#[test]
fn the_half_close_does_not_wait_for_a_busy_peer() {
    let mut rig = Rig::open(|_, _| {});
    rig.buffer = vec![0; 100];
    rig.arrive(&Client::new().close(1000).raw(&[0; 10_000]).1);
    assert_eq!(rig.drive(), Next::Again);
    assert!(rig.wire(|wire| wire.half_closed));
}

#[test]
fn a_lingering_session_is_bounded_in_bytes() {
    let mut rig = Rig::open(|_, _| {});
    let mut next = rig.receive(Client::new().close(1000).1);
    let mut given = 0;
    while next == Next::Wait {
        given += 1 << 16;
        next = rig.receive([0; 1 << 16]);
        assert!(given < 2 * Linger::MAX_DISCARDED, "no bound");
    }
    assert!(given > Linger::MAX_DISCARDED);
    assert_eq!(next, Next::Drop);
}

#[test]
fn keep_alive_pings_then_gives_up_with_1011() {
    let mut rig = Rig::open(|_, _| {});
    assert_eq!(rig.expire(), Next::Wait);
    assert_eq!((rig.now, rig.output()[0]), (30 * SECOND, 0x89));
    assert_eq!(rig.expire(), Next::Wait);
    assert_eq!(rig.now, 50 * SECOND);
    assert_eq!(rig.told(), [closed("1011")]);
    assert_eq!(rig.output()[2..4], 1011_u16.to_be_bytes());
    assert_eq!(rig.expire(), Next::Drop);
    assert_eq!(rig.now, 60 * SECOND);
}

/// D7.
#[test]
fn a_paused_session_reads_nothing_and_goes_on_where_it_stopped() {
    let mut rig = Rig::open(|options, _| options.pause_reading_at = 1000);
    rig.wire(|wire| wire.room = 0);
    rig.buffer = vec![0; 512];
    let bytes = (0..100).fold(Client::new(), |it, at| it.binary(at)).1;
    assert_eq!(rig.receive(&bytes), Next::Wait);
    let read = rig.wire(|wire| wire.read) - upgrade().len();
    assert!(read < 2000, "{read} bytes were read");
    assert!(rig.session.queue.len() < 1000 + 512);
    // Silence is no fault of the peer's while it is not read from: only the stall counts.
    assert_eq!(rig.deadline(), Some(60 * SECOND));
    rig.wire(|wire| wire.give_room(usize::MAX));
    assert_eq!(rig.settle(), Next::Wait);
    assert_eq!(rig.wire(|wire| wire.read), upgrade().len() + bytes.len());
    let mut told = rig.told();
    told.retain(|it| *it != Told::Drain);
    let expected = (0..100).map(|at| Told::Message(MessageKind::Binary, noise(at)));
    assert!(told.into_iter().eq(expected));
}

/// D2, and the session's own pause: what it did not read can't have been too slow.
#[test]
fn a_message_that_a_pause_has_cut_has_its_time_anew() {
    let mut rig = Rig::open(|options, config| {
        options.pause_reading_at = 1000;
        options.send_timeout = 1000 * SECOND;
        config.ping_interval = None;
        config.idle_timeout = Some(40 * SECOND);
    });
    rig.wire(|wire| wire.room = 0);
    let (whole, half) = (Client::new().binary(2000).1, Client::new().binary(50).1);
    rig.receive([&whole[..], &half[..20]].concat());
    rig.now = 500 * SECOND;
    rig.wire(|wire| wire.give_room(usize::MAX));
    assert_eq!(rig.settle(), Next::Wait);
    assert_eq!(rig.deadline(), Some(530 * SECOND));
    rig.now = 529 * SECOND;
    assert_eq!(rig.receive(&half[20..]), Next::Wait);
    assert_eq!(rig.deadline(), Some(569 * SECOND), "the idle one");
}

/// A page for each of a read's worth of requests would be a thousand times what was received.
#[test]
fn pipelined_requests_wait_when_their_answers_do() {
    let mut rig = Rig::new(|options, _| options.pause_reading_at = 50_000);
    rig.wire(|wire| wire.room = 0);
    let requests = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2000);
    assert_eq!(rig.receive(&requests), Next::Wait);
    let waiting = rig.session.queue.len();
    assert!(waiting < 50_000 + 2 * CORK_LIMIT, "{waiting} bytes wait");
    rig.wire(|wire| wire.give_room(usize::MAX));
    assert_eq!(rig.settle(), Next::Wait);
    let output = rig.output();
    let answers = output.windows(12).filter(|it| *it == b"HTTP/1.1 200");
    assert_eq!(answers.count(), 2000);
}

/// A backlog is what the transport didn't take, not the replies of the same turn.
#[test]
fn send_says_queued_only_behind_a_backlog_and_drain_follows() {
    let mut rig = Rig::open(|_, _| {});
    rig.receive(Client::new().binary(100_000).text("small").1);
    assert_eq!(rig.answers(), [Sent::Sent; 2].map(Told::Sent));
    rig.wire(|wire| wire.room = 10);
    rig.receive(Client::new().text("longer than that").1);
    assert_eq!(rig.answers(), [Told::Sent(Sent::Sent)]);
    rig.receive(Client::new().text("behind").1);
    assert_eq!(rig.answers(), [Told::Sent(Sent::Queued)]);
    rig.wire(|wire| wire.give_room(usize::MAX));
    rig.settle();
    assert_eq!(rig.answers(), [Told::Drain]);
    rig.receive(Client::new().text("again").1);
    assert_eq!(rig.answers(), [Told::Sent(Sent::Sent)]);
}

#[test]
fn a_message_over_the_backpressure_limit_is_dropped_and_drain_follows() {
    let mut rig = Rig::open(|options, _| options.max_backpressure = 100);
    rig.wire(|wire| wire.room = 0);
    rig.receive(Client::new().binary(80).binary(80).binary(10).1);
    let expected = [Sent::Sent, Sent::Dropped, Sent::Sent].map(Told::Sent);
    assert_eq!(rig.answers(), expected);
    rig.wire(|wire| wire.give_room(usize::MAX));
    rig.settle();
    assert_eq!(rig.answers(), [Told::Drain]);
    assert_eq!(rig.output().len(), 82 + 12);
}

/// E7.
#[test]
fn told_to_stop_an_open_session_closes_and_another_refuses_its_request_or_is_dropped() {
    let mut rig = Rig::new(|_, _| {});
    assert_eq!(rig.turn(shut_down), Next::Drop);

    let mut rig = Rig::new(|_, _| {});
    rig.receive(&upgrade()[..20]);
    assert_eq!(rig.turn(shut_down), Next::Wait);
    assert!(rig.output().starts_with(b"HTTP/1.1 503 "));
    assert!(rig.wire(|wire| wire.half_closed));

    let mut rig = Rig::open(|_, _| {});
    assert_eq!(rig.turn(shut_down), Next::Wait);
    assert_eq!(rig.output()[2..4], 1001_u16.to_be_bytes());
    assert_eq!(rig.receive(Client::new().close(1001).1), Next::Wait);
    assert_eq!(rig.told(), [closed("1001")]);
    rig.wire(Wire::end);
    assert_eq!(rig.settle(), Next::Drop);
}
