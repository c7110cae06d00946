//! Waiting messages that are dropped for others: which they are, and what the peer gets of the
//! rest. docs/cases.md D7.

use super::*;
use crate::proto::PreparedMessage;
use crate::server::websocket::Overflow;
use crate::server::write_queue::Keep;

/// A session that drops its oldest, behind a backlog of one echo.
fn behind_a_backlog(change: impl FnOnce(&mut Config), head: &[u8], limit: usize) -> Rig {
    let mut rig = Rig::new(|options, config| {
        options.overflow = Overflow::DropOldest;
        options.max_backpressure = limit;
        options.pause_reading_at = limit;
        change(config);
    });
    rig.receive(head);
    rig
}

/// A message that was assembled leaves in its own buffer, and is like any other.
#[test]
fn the_oldest_that_waits_is_dropped_also_where_it_has_a_buffer_of_its_own() {
    let large = |byte| {
        let mut client = Client::new();
        client.0.send(&[byte; 40_000], &mut client.1).unwrap();
        client.1
    };
    let mut rig = behind_a_backlog(|_| {}, &upgrade(), 100_000);
    rig.output();
    rig.buffer = vec![0; 1000];
    rig.wire(|wire| wire.room = 10);
    for byte in 0..4 {
        rig.receive(large(byte));
    }
    let answers = [Sent::Sent, Sent::Queued, Sent::Queued, Sent::Queued];
    assert_eq!(rig.answers(), answers.map(Told::Sent));
    rig.wire(|wire| wire.give_room(usize::MAX));
    rig.settle();
    let output = rig.output();
    let came: Vec<u8> = output.chunks(40_004).map(|it| it[4]).collect();
    assert_eq!(came, [0, 3]);
    assert_eq!(rig.shared.stats().dropped, 2);
}

#[cfg(feature = "deflate")]
mod deflated {
    use super::*;
    use crate::proto::{ClientHandshake, ClientRequest, Deflate, Event, Input, PreparedUse, Url};

    const NOW: Duration = Duration::ZERO;

    fn config() -> Config {
        let deflate = Deflate {
            prepared: PreparedUse::Each,
            ..Deflate::default()
        };
        let mut config = Config::default();
        config.extensions.push(Arc::new(deflate));
        config
    }

    /// Both ends of a connection with context takeover.
    fn open() -> (Rig, Connection) {
        let mut head = Vec::new();
        let mut client = ClientHandshake::new(
            &Url::parse("ws://a/chat").unwrap(),
            &ClientRequest::default(),
            Arc::new(config()),
            Box::new(Random(1)),
            &mut head,
            NOW,
        )
        .unwrap();
        let rig = behind_a_backlog(|it| *it = config(), &head, 1000);
        let mut answer = rig.output();
        let open = client.recv(&mut Input::new(&mut answer), NOW).unwrap();
        (rig, open.unwrap())
    }

    fn say(rig: &mut Rig, client: &mut Connection, text: &str) {
        let mut out = Vec::new();
        client.send(text, &mut out).unwrap();
        rig.receive(&out);
    }

    /// What the client is sent; each message can be decompressed.
    fn hear(rig: &Rig, client: &mut Connection) -> Vec<String> {
        let (mut output, mut heard) = (rig.output(), Vec::new());
        let mut input = Input::new(&mut output);
        while let Some(event) = client.recv(&mut input, &mut Vec::new(), NOW).unwrap() {
            if let Event::Message(message) = event {
                heard.push(message.as_text().unwrap().to_string());
            }
        }
        heard
    }

    fn texts() -> Vec<String> {
        (0..100)
            .map(|at| std::format!("{at} {}", "as has been said before ".repeat(10)))
            .collect()
    }

    /// With context takeover a message may refer to those before it, which the peer has to have.
    #[test]
    fn what_is_left_refers_to_nothing_that_was_dropped() {
        let (texts, (mut rig, mut client)) = (texts(), open());
        say(&mut rig, &mut client, &texts[0]);
        rig.wire(|wire| wire.room = 10);
        for text in &texts[1..99] {
            say(&mut rig, &mut client, text);
        }
        rig.wire(|wire| wire.give_room(usize::MAX));
        rig.settle();
        say(&mut rig, &mut client, &texts[99]);
        let dropped = rig.shared.stats().dropped as usize;
        assert!((10..98).contains(&dropped), "{dropped}");
        // Of the second the first bytes were written.
        let left = [&texts[..2], &texts[2 + dropped..]].concat();
        assert_eq!(hear(&rig, &mut client), left);
    }

    #[test]
    fn what_replaces_a_message_that_waits_does_not_refer_to_it() {
        let (texts, (mut rig, mut client)) = (texts(), open());
        rig.wire(|wire| wire.room = 10);
        say(&mut rig, &mut client, &texts[0]);
        for text in &texts[1..99] {
            let message = PreparedMessage::new(&**text, &config());
            let keep = Keep::UntilNext("price".into());
            let worker = WorkerState::new(Arc::clone(&rig.shared), 0, NOW);
            let mut delivery = LocalDelivery::new(&message, keep, 1, &worker);
            let given = rig.session.deliver(&mut delivery, &rig.worker.pool);
            assert_eq!(given, Given::Sent(Sent::Queued));
        }
        rig.wire(|wire| wire.give_room(usize::MAX));
        rig.settle();
        say(&mut rig, &mut client, &texts[99]);
        let left = [&texts[..1], &texts[98..]].concat();
        assert_eq!(hear(&rig, &mut client), left);
    }
}

/// A limit below the longest message is no limit on messages.
#[test]
fn a_message_over_the_limit_is_accepted_where_nothing_waits_and_only_there() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest, Overflow::Close] {
        let mut rig = Rig::open(|options, _| {
            options.max_backpressure = 4_000;
            options.overflow = overflow;
        });
        // All in one read: what the transport takes doesn't wait.
        rig.receive(Client::new().binary(20_000).binary(10).binary(20_000).1);
        assert_eq!(rig.answers(), [Sent::Sent; 3].map(Told::Sent));
        rig.output();
        rig.wire(|wire| wire.room = 0);
        rig.receive(Client::new().binary(20_000).1);
        assert_eq!(rig.answers(), [Told::Sent(Sent::Sent)]);
        assert_eq!(rig.session.queue.len(), 20_004);
        rig.receive(Client::new().binary(1).1);
        if overflow == Overflow::Close {
            continue;
        }
        assert_eq!(rig.answers(), [Told::Sent(Sent::Dropped)]);
        rig.wire(|wire| wire.give_room(usize::MAX));
        rig.settle();
        assert_eq!(rig.answers(), [Told::Drain]);
        assert_eq!(rig.output().len(), 20_004);
        rig.receive(Client::new().binary(20_000).1);
        assert_eq!(rig.answers(), [Told::Sent(Sent::Sent)]);
    }
}

/// It is waited for, as for any message that there is no room for.
#[test]
fn a_published_message_over_the_limit_waits_for_what_is_before_it() {
    let mut rig = Rig::open(|options, _| options.max_backpressure = 100);
    let worker = WorkerState::new(Arc::clone(&rig.shared), 0, Duration::ZERO);
    let message = PreparedMessage::new(&[7; 500][..], &rig.shared.config);
    let give = |rig: &mut Rig| {
        let keep = Keep::Always;
        let mut delivery = LocalDelivery::new(&message, keep, 1, &worker);
        rig.session.deliver(&mut delivery, &rig.worker.pool)
    };
    rig.wire(|wire| wire.room = 0);
    rig.receive(Client::new().binary(10).1);
    assert_eq!(give(&mut rig), Given::Later);
    rig.wire(|wire| wire.give_room(usize::MAX));
    rig.settle();
    assert_eq!(give(&mut rig), Given::Sent(Sent::Sent));
    assert_eq!(give(&mut rig), Given::Later);
}
