use alloc::format;
use alloc::vec;
use std::time::UNIX_EPOCH;

use super::*;
use crate::proto::MessageKind;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A history in one part, so that the limits of all topics are exact.
fn history(limits: HistoryLimits) -> MemoryHistory {
    MemoryHistory {
        shards: Shards::with_shards(1, Shard::default),
        ..MemoryHistory::new(limits)
    }
}

/// Pushes as the topic does; returns the message's offset.
fn push(history: &MemoryHistory, topic: &str, text: &str, now: u64) -> u64 {
    let entry = HistoryEntry {
        offset: history.last(topic) + 1,
        at: secs(now),
        time: UNIX_EPOCH + secs(now),
        kind: MessageKind::Text,
        payload: text.as_bytes().into(),
    };
    let offset = entry.offset;
    history.push(topic, entry);
    offset
}

fn texts(entries: &[HistoryEntry]) -> Vec<&str> {
    entries
        .iter()
        .map(|entry| str::from_utf8(&entry.payload).unwrap())
        .collect()
}

fn recent(history: &MemoryHistory, topic: &str, now: u64) -> Vec<HistoryEntry> {
    let shared: &dyn History = history;
    shared.recent(topic, usize::MAX, secs(now))
}

/// Asserts that the counters match what is kept.
fn check(history: &MemoryHistory) {
    for shard in history.shards.iter() {
        let of_topic = |(name, topic): (&Arc<str>, &Topic)| {
            let bytes: usize = topic.entries.iter().map(|it| it.payload.len()).sum();
            assert_eq!(topic.bytes, bytes);
            assert_eq!(shard.by_use.get(&topic.used), Some(name));
            bytes + name.len()
        };
        let bytes: usize = shard.topics.iter().map(of_topic).sum();
        assert_eq!(shard.bytes, bytes);
        assert_eq!(shard.by_use.len(), shard.topics.len());
    }
}

#[test]
fn the_last_messages_come_back_in_order_and_share_their_bytes() {
    let history = history(HistoryLimits {
        max_messages: 3,
        ..HistoryLimits::default()
    });
    let payload: Arc<[u8]> = (*b"e").into();
    for text in ["a", "b", "c", "d"] {
        push(&history, "t", text, 0);
    }
    let entry = HistoryEntry {
        offset: 5,
        at: secs(0),
        time: UNIX_EPOCH,
        kind: MessageKind::Binary,
        payload: payload.clone(),
    };
    history.push("t", entry);
    let entries = recent(&history, "t", 0);
    assert_eq!(texts(&entries), ["c", "d", "e"]);
    assert!(Arc::ptr_eq(&entries[2].payload, &payload));
    assert_eq!(entries[2].kind, MessageKind::Binary);
    assert_eq!(texts(&history.recent("t", 2, secs(0))), ["d", "e"]);
    assert_eq!(history.recent("t", 0, secs(0)), []);
    assert_eq!(recent(&history, "other", 0), []);
    check(&history);
}

#[test]
fn who_comes_back_gets_what_was_missed_and_is_told_if_that_is_not_all() {
    let history = history(HistoryLimits {
        max_messages: 2,
        ..HistoryLimits::default()
    });
    let offsets: Vec<u64> = (0..4)
        .map(|it| {
            push(&history, "other", "x", 0);
            push(&history, "t", &format!("{it}"), 0)
        })
        .collect();
    let since = |offset| history.since("t", offset, secs(0));
    let missed = since(offsets[1]);
    assert_eq!(
        (texts(&missed.entries), missed.complete),
        (vec!["2", "3"], true)
    );
    let missed = since(offsets[2]);
    assert_eq!((texts(&missed.entries), missed.complete), (vec!["3"], true));
    assert_eq!(
        since(offsets[3]),
        Replay {
            entries: vec![],
            complete: true
        }
    );
    let missed = since(offsets[0]);
    assert_eq!(
        (texts(&missed.entries), missed.complete),
        (vec!["2", "3"], false)
    );
    assert!(!since(offsets[3] + 1).complete, "of another epoch");
    assert!(history.epoch() < 1 << 53);
}

#[test]
fn bytes_are_bounded_and_a_message_too_long_is_a_gap() {
    let history = history(HistoryLimits {
        max_bytes: 10,
        ..HistoryLimits::default()
    });
    push(&history, "t", "aaaaaa", 0);
    push(&history, "t", "bbb", 0);
    let seen = push(&history, "t", "cccc", 0);
    assert_eq!(texts(&recent(&history, "t", 0)), ["bbb", "cccc"]);
    push(&history, "t", "far too long", 0);
    assert_eq!(recent(&history, "t", 0), []);
    assert!(!history.since("t", seen, secs(0)).complete);
    check(&history);
}

#[test]
fn what_is_too_old_is_gone() {
    let history = history(HistoryLimits {
        max_age: secs(60),
        ..HistoryLimits::default()
    });
    let first = push(&history, "t", "a", 0);
    push(&history, "t", "b", 30);
    assert_eq!(texts(&recent(&history, "t", 59)), ["a", "b"]);
    assert_eq!(texts(&recent(&history, "t", 60)), ["b"]);
    assert!(history.since("t", first, secs(60)).complete);
    assert!(!history.since("t", first, secs(100)).complete);
    // Nobody asks for it any more: messages of other topics drop it.
    push(&history, "u", "x", 100);
    assert_eq!(history.shards.of("t").topics.len(), 1);
    check(&history);
}

#[test]
fn the_least_recently_used_topic_gives_way() {
    let history = history(HistoryLimits {
        max_topics: 2,
        ..HistoryLimits::default()
    });
    let seen = push(&history, "a", "1", 0);
    push(&history, "b", "2", 0);
    recent(&history, "a", 0);
    push(&history, "c", "3", 0);
    assert_eq!(recent(&history, "b", 0), []);
    assert_eq!(texts(&recent(&history, "a", 0)), ["1"]);
    assert!(history.since("a", seen, secs(0)).complete);
    check(&history);
}

#[test]
fn a_topic_that_was_forgotten_is_a_gap_also_when_it_comes_back() {
    let history = history(HistoryLimits {
        max_topics: 1,
        ..HistoryLimits::default()
    });
    let seen = push(&history, "a", "1", 0);
    push(&history, "a", "2", 0);
    push(&history, "b", "3", 0);
    assert!(!history.since("a", seen, secs(0)).complete);
    push(&history, "a", "4", 0);
    let missed = history.since("a", seen, secs(0));
    assert_eq!(
        (texts(&missed.entries), missed.complete),
        (vec!["4"], false)
    );
    assert!(history.since("a", seen + 1, secs(0)).complete);
}

#[test]
fn all_topics_together_are_bounded_in_bytes() {
    let history = history(HistoryLimits {
        max_total_bytes: 10_000,
        ..HistoryLimits::default()
    });
    for topic in 0..1000 {
        push(&history, &format!("topic {topic}"), &"x".repeat(100), 0);
        check(&history);
    }
    let shard = history.shards.of("");
    assert!((9_000..=10_000).contains(&shard.bytes), "{}", shard.bytes);
}

#[test]
fn in_parts_the_limits_still_bound_it() {
    let history = MemoryHistory::new(HistoryLimits {
        max_topics: 64,
        ..HistoryLimits::default()
    });
    for topic in 0..10_000 {
        push(&history, &format!("{topic}"), "x", 0);
    }
    check(&history);
    let topics: usize = history.shards.iter().map(|shard| shard.topics.len()).sum();
    assert!(topics <= 64, "{topics}");
}

#[test]
fn an_offset_that_is_skipped_counts_and_is_no_gap() {
    let history = history(HistoryLimits::default());
    history.skip("t", 7);
    assert_eq!(history.last("t"), 7);
    assert_eq!(push(&history, "t", "a", 0), 8);
    history.skip("t", 9);
    assert_eq!(push(&history, "t", "b", 0), 10);
    history.skip("t", 11);
    assert_eq!(history.last("t"), 11);
    for (seen, missed) in [(6, 2), (7, 2), (8, 1), (9, 1), (10, 0), (11, 0)] {
        let replay = history.since("t", seen, secs(0));
        assert_eq!(
            (replay.entries.len(), replay.complete),
            (missed, true),
            "{seen}"
        );
    }
    assert!(!history.since("t", 5, secs(0)).complete);
    assert!(!history.since("t", 12, secs(0)).complete);
}
