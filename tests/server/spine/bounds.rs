//! O5: who is faster than the server is slowed or refused. O6: what is published is kept once, and
//! readers that read lose nothing.

use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::env;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use sockeye::server::HandleError;
use sockeye::server::topics::{HistoryLimits, MemoryHistory, TopicOptions};

use super::clients::{Client, DEADLINE, Keeper, builder, gate, open_in_turn, publish, serve};
use harness::load::{Process, Readers, WORKERS, frame_length};
use harness::net::Running;

/// The server's process. Without its role it is no test of anything.
#[test]
fn child() {
    if let Some(workers) = env::var_os(WORKERS) {
        harness::load::serve(workers.to_str().and_then(|it| it.parse().ok()).unwrap());
    }
}

fn start(workers: usize) -> Process {
    Process::start(workers, &["--exact", "spine::bounds::child", "--nocapture"])
}

/// A gate in front of each message of this name; others are published to the room.
fn serve_gated(history: Option<TopicOptions>) -> (Running, Keeper, Arc<AtomicUsize>) {
    let (gate, keeper) = gate();
    let published = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&published);
    // What is tested is what passes between workers: what waits for a connection is large.
    let builder = builder(2).max_backpressure(1 << 30);
    let builder = match history {
        Some(history) => builder.topic("room", history),
        None => builder,
    };
    let server = serve(builder, move |socket, text| match text {
        "block" => gate.wait(),
        "done?" => _ = socket.send("done"),
        _ => {
            socket.publish("room", text);
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    (server, keeper, published)
}

/// A message of 64 KiB with its number.
fn large(number: usize) -> String {
    let mut text = format!("{number} ");
    text.extend(core::iter::repeat_n('x', (64 << 10) - text.len()));
    text
}

/// The numbers of the messages before the one that is `end`.
fn numbers_until(client: &mut Client, end: usize) -> Vec<usize> {
    let number = || {
        client
            .peer
            .hear()
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    core::iter::repeat_with(number)
        .take_while(|it| *it != end)
        .collect()
}

/// Of lists that are long.
#[track_caller]
fn assert_same(what: &str, numbers: &[usize], expected: &[usize]) {
    let same = numbers
        .iter()
        .zip(expected)
        .take_while(|(it, other)| it == other);
    let same = same.count();
    let (found, count) = (numbers.len(), expected.len());
    assert!(
        numbers == expected,
        "{what}: {found} instead of {count}, of which the first {same} are right"
    );
}

/// O5: from another worker.
#[test]
fn a_client_that_publishes_to_a_blocked_worker_is_slowed_and_all_arrives() {
    const MESSAGES: usize = 2048;
    let (server, keeper, published) = serve_gated(None);
    let mut clients = open_in_turn(&server, 2, 4);
    let [flooder, sleeper, _, listener] = &mut clients[..] else {
        unreachable!();
    };
    listener.subscribe("room");
    sleeper.peer.say("block");
    keeper.wait();
    let (while_blocked, heard) = thread::scope(|scope| {
        let flood = scope.spawn(move || {
            for number in 0..MESSAGES {
                flooder.peer.say(&large(number));
            }
            assert_eq!(flooder.peer.ask("done?"), "done");
        });
        let while_blocked = settled(&published, MESSAGES);
        keeper.open.send(()).unwrap();
        let listening = scope.spawn(|| numbers_until(listener, MESSAGES));
        flood.join().unwrap();
        publish(server.handle(), "room", &*large(MESSAGES));
        (while_blocked, listening.join().unwrap())
    });
    assert_same("heard", &heard, &(0..MESSAGES).collect::<Vec<_>>());
    assert!(
        while_blocked < MESSAGES,
        "all {MESSAGES} of 64 KiB were taken for a worker that took none"
    );
}

/// How many were published when that goes on no more, or all are. On a machine that is slow it may
/// be too few, which is taken for a flood that is slowed, and nothing else.
fn settled(published: &AtomicUsize, all: usize) -> usize {
    let mut before = usize::MAX;
    loop {
        let now = published.load(Ordering::Relaxed);
        if now == before && now > 0 || now == all {
            return now;
        }
        before = now;
        thread::sleep(Duration::from_secs(1));
    }
}

/// O5: what waits for a worker is counted, and a handler that goes on is refused as a whole.
#[test]
fn a_handler_that_publishes_without_an_end_is_refused_and_what_waits_is_counted() {
    let (gate, keeper) = gate();
    let (tell, told) = channel();
    let server = serve(
        builder(2).max_inbox(1 << 20),
        move |socket, text| match text {
            "block" => gate.wait(),
            _ => {
                let mut number = 0;
                while socket.publish("room", &*large(number)).refused.is_none() {
                    number += 1;
                }
                tell.send(number).unwrap();
            }
        },
    );
    let mut clients = open_in_turn(&server, 2, 4);
    let [here, sleeper, flooder, there] = &mut clients[..] else {
        unreachable!();
    };
    here.subscribe("room");
    there.subscribe("room");
    assert_eq!(server.handle().stats().inbox_bytes, 0);
    sleeper.peer.say("block");
    keeper.wait();
    flooder.peer.say("flood");
    let taken = told.recv_timeout(DEADLINE).unwrap();
    assert!((8..=16).contains(&taken), "{taken} of 64 KiB in 1 MiB");
    let waiting = server.handle().stats().inbox_bytes;
    assert!((taken * large(0).len()..=1 << 20).contains(&(waiting as usize)));
    keeper.open.send(()).unwrap();
    publish(server.handle(), "room", &*format!("{taken} "));
    let all: Vec<usize> = (0..taken).collect();
    for client in [here, there] {
        assert_same("heard", &numbers_until(client, taken), &all);
    }
    let drained = || server.handle().stats().inbox_bytes == 0;
    while !drained() {
        thread::yield_now();
    }
}

/// O5: all or nothing, on both workers and in the history.
#[test]
fn a_thread_that_publishes_to_a_blocked_worker_is_refused_and_nothing_of_that_happens() {
    // 128 MiB.
    const AT_MOST: usize = 2048;
    let mut limits = HistoryLimits::default();
    limits.max_messages = 2 * AT_MOST;
    limits.max_bytes = 1 << 30;
    limits.max_total_bytes = 1 << 40;
    let store = Arc::new(MemoryHistory::new(limits));
    let (server, keeper, _) = serve_gated(Some(TopicOptions::new().history_in(store, 1)));
    let handle = server.handle();
    let mut clients = open_in_turn(&server, 2, 4);
    let [first, sleeper, _, second] = &mut clients[..] else {
        unreachable!();
    };
    first.subscribe("room");
    second.subscribe("room");
    sleeper.peer.say("block");
    keeper.wait();
    let (refused, end, heard) = thread::scope(|scope| {
        let listening = [first, second].map(|it| scope.spawn(|| numbers_until(it, usize::MAX)));
        // The one that is refused is tried again, and again.
        let (mut number, mut refused) = (0, 0);
        while number < AT_MOST && refused < 20 {
            match handle.topics("/chat").publish("room", &*large(number)) {
                Ok(_) => number += 1,
                Err(error) => {
                    assert_ne!(error, HandleError::Stopped);
                    refused += 1;
                }
            }
        }
        keeper.open.send(()).unwrap();
        publish(handle, "room", &*large(number));
        publish(handle, "room", &*format!("{} ", usize::MAX));
        let heard = listening.map(|it| it.join().unwrap());
        (refused, number + 1, heard)
    });
    let accepted: Vec<usize> = (0..end).collect();
    for (heard, who) in heard
        .iter()
        .zip(["on the free worker", "on the blocked one"])
    {
        assert_same(who, heard, &accepted);
    }
    let history = handle.topics("/chat").history("room", 2 * AT_MOST);
    let number = |bytes: &[u8]| {
        let text = core::str::from_utf8(bytes).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    };
    let mut kept: Vec<usize> = history.iter().map(|it| number(&it.payload)).collect();
    assert_eq!(kept.pop(), Some(usize::MAX));
    assert_same("history", &kept, &accepted);
    assert!(
        refused > 0,
        "{AT_MOST} of 64 KiB were taken for a worker that took none"
    );
}

/// O5: a command to one connection.
#[test]
fn a_thread_that_sends_to_a_connection_of_a_blocked_worker_is_refused_and_that_is_not_sent() {
    const AT_MOST: usize = 2048;
    let (server, keeper, _) = serve_gated(None);
    let handle = server.handle();
    let mut clients = open_in_turn(&server, 2, 4);
    let [_, sleeper, _, listener] = &mut clients[..] else {
        unreachable!();
    };
    sleeper.peer.say("block");
    keeper.wait();
    let (mut number, mut refused) = (0, 0);
    while number < AT_MOST && refused < 20 {
        match handle.send(listener.id, &*large(number)) {
            Ok(()) => number += 1,
            Err(error) => {
                assert_ne!(error, HandleError::Stopped);
                refused += 1;
            }
        }
    }
    keeper.open.send(()).unwrap();
    let heard = thread::scope(|scope| {
        let id = listener.id;
        let listening = scope.spawn(|| numbers_until(listener, number));
        while handle.send(id, &*large(number)).is_err() {
            thread::yield_now();
        }
        listening.join().unwrap()
    });
    assert_same("heard", &heard, &(0..number).collect::<Vec<_>>());
    assert!(
        refused > 0,
        "{AT_MOST} of 64 KiB were taken for a worker that took none"
    );
}

/// What a connection may need of the server's memory, whatever waits for it.
#[cfg(target_os = "linux")]
const EACH: u64 = 100 << 10;

/// A client on one worker floods with 32 MiB subscribers on the other, half of which read slowly and
/// half not at all. By how many MiB the server's memory has grown, if that is too many.
#[cfg(target_os = "linux")]
fn grown_by_flood(size: usize) -> Option<u64> {
    use core::sync::atomic::AtomicBool;
    use harness::load::{ask, frame};
    use sockeye::proto::Opcode;
    use std::io::{Read as _, Write as _};

    // A copy for each of what waits would be more than ten times the bound.
    const SUBSCRIBERS: usize = 100;
    let messages = (32 << 20) / size;
    // What waits at the most for one of them, thrice, besides what each needs and a fixed amount.
    let bound = 3 * (16 << 20) + 2 * SUBSCRIBERS as u64 * EACH + (16 << 20);
    let server = start(2);
    let mut flooder = server.connect();
    let home = ask(&mut flooder, "worker");
    let (mut subscribers, mut others) = (Vec::new(), Vec::new());
    while subscribers.len() <= SUBSCRIBERS {
        let mut stream = server.connect();
        if ask(&mut stream, "worker") == home {
            others.push(stream);
        } else {
            assert_eq!(ask(&mut stream, "subscribe"), "subscribed");
            subscribers.push(stream);
        }
    }
    // One that reads: what it has, was given to the others as well.
    let mut reader = Readers::new(subscribers.split_off(SUBSCRIBERS));
    let total = messages as u64 * frame_length(size);
    let (before, _) = server.resident();
    let slow = subscribers.split_off(SUBSCRIBERS / 2);
    let done = AtomicBool::new(false);
    let grown = || server.resident().1.saturating_sub(before);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut some = [0; 1024];
            for stream in &slow {
                stream.set_nonblocking(true).unwrap();
            }
            while !done.load(Ordering::Relaxed) {
                // In turns, a little each.
                slow.iter().for_each(|mut it| _ = it.read(&mut some));
                thread::sleep(Duration::from_millis(1));
            }
        });
        let stop = flooder.try_clone().unwrap();
        scope.spawn(|| {
            let message = frame(Opcode::Binary, &vec![7; size]);
            // Until it is stopped.
            let _ = (0..messages).try_for_each(|_| flooder.write_all(&message));
        });
        reader.read_until(total, || match grown() < bound {
            true => 0,
            false => total,
        });
        done.store(true, Ordering::Relaxed);
        let _ = stop.shutdown(std::net::Shutdown::Both);
    });
    let grown = grown();
    assert!(
        grown >= bound || reader.read == [total],
        "one that reads has lost some"
    );
    (grown >= bound).then_some(grown >> 20)
}

/// O5: the flooder and the readers are on different workers.
#[cfg(target_os = "linux")]
#[test]
fn a_flood_to_subscribers_that_read_slowly_or_not_at_all_takes_bounded_memory() {
    let too_much = [256, 1024].map(grown_by_flood);
    assert_eq!(too_much, [None; 2], "MiB, by bytes of a message");
}

/// O6.
#[cfg(target_os = "linux")]
#[test]
fn what_is_published_to_many_that_do_not_read_is_kept_once() {
    const SUBSCRIBERS: usize = 300;
    const MESSAGES: usize = 20_000;
    const SIZE: usize = 256;
    for workers in [1, 2] {
        let mut server = start(workers);
        let _silent = server.subscribers(SUBSCRIBERS);
        // One on each worker that reads: what it has, was given to the others as well.
        let mut readers = Readers::new(server.subscribers(workers));
        let (before, _) = server.resident();
        server.publish(MESSAGES, SIZE);
        let each = MESSAGES as u64 * frame_length(SIZE);
        readers.read_until(workers as u64 * each, || 0);
        let grown = server.resident().1 - before;
        assert_eq!(readers.read, vec![each; workers]);
        assert_eq!(server.ask("dropped"), 0);
        let bound = 3 * (MESSAGES * SIZE) as u64 + (SUBSCRIBERS + workers) as u64 * EACH;
        assert!(
            grown <= bound,
            "{workers} workers: grown by {} MiB of {} MiB",
            grown >> 20,
            bound >> 20
        );
    }
}

/// O6: messages that subscribers lose which read all the time, by workers.
fn lost(subscribers: usize, messages: usize, size: usize) -> [u64; 2] {
    [1, 2].map(|workers| {
        let mut server = start(workers);
        let mut readers = Readers::new(server.subscribers(subscribers));
        let each = messages as u64 * frame_length(size);
        let total = subscribers as u64 * each;
        thread::scope(|scope| {
            let (tell, told) = channel();
            let server = &mut server;
            scope.spawn(move || {
                server.publish(messages, size);
                let _ = tell.send(server);
            });
            let mut publisher = None;
            readers.read_until(total, || {
                publisher = publisher.take().or_else(|| told.try_recv().ok());
                match &mut publisher {
                    Some(server) => server.ask("dropped") * frame_length(size),
                    None => 0,
                }
            });
        });
        let lost: u64 = readers.read.iter().map(|it| each - it).sum();
        assert_eq!(lost / frame_length(size), server.ask("dropped"));
        lost / frame_length(size)
    })
}

/// O6.
#[test]
fn many_readers_that_read_all_the_time_lose_nothing_of_many_short_messages() {
    assert_eq!(lost(300, 20_000, 256), [0; 2], "by workers");
}

/// O6.
#[test]
fn readers_that_read_all_the_time_lose_nothing_of_sixty_megabytes() {
    assert_eq!(lost(20, 60_000, 1024), [0; 2], "by workers");
}

/// O6.
#[test]
fn readers_that_read_all_the_time_lose_nothing_of_large_messages() {
    assert_eq!(lost(5, 3_000, 16 << 10), [0; 2], "by workers");
}
