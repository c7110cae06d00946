//! The feed as a process, its threads, and readers over sockets; its topics are tested in
//! simulation (`simulated/topics.rs`).

use serde_json::{Value, json};

use super::{Answer, Example, Peer, assert_starts_and_stops};

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

fn publish(example: &Example, body: &Value) -> Answer {
    example.http("POST", "/publish", JSON, &body.to_string())
}

/// Prices come at any time: the next message that is not one.
#[track_caller]
fn answer(peer: &mut Peer, id: u64) -> Value {
    loop {
        let mut message = peer.next();
        if message["event"] == "update" {
            continue;
        }
        assert_eq!(message["ack"], id, "{message}");
        assert_eq!(message.get("error"), None, "{message}");
        return message["data"].take();
    }
}

#[test]
fn it_starts_and_stops() {
    assert_starts_and_stops("feed", "/feed");
}

#[test]
fn the_page_is_served() {
    let example = Example::start("feed", &[]);
    for path in ["/", "/feed"] {
        let page = example.get(path);
        page.assert_page("<title>Sockeye feed</title>");
    }
}

/// The thread that trades: the last price, and those that follow.
#[test]
fn prices_follow_one_another() {
    let example = Example::start("feed", &["--interval", "10"]);
    let mut peer = example.connect("/feed");
    peer.send(json!({ "event": "subscribe", "data": ["prices/COD"], "id": 1 }));
    let mut times = Vec::new();
    while times.len() < 3 {
        let message = peer.next();
        if message["event"] == "update" {
            assert_eq!(message["data"]["topic"], "prices/COD");
            assert!(message["data"]["data"]["price"].as_f64().unwrap() > 0.0);
            times.push(message["data"]["data"]["at"].as_u64().unwrap());
        }
    }
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn a_reader_that_is_slow_misses_old_prices_and_no_news() {
    let example = Example::start("feed", &["--interval", "3600000"]);
    let mut slow = example.connect("/feed");
    slow.send(json!({ "event": "subscribe", "data": ["prices/COD", "news/fish"], "id": 1 }));
    answer(&mut slow, 1);
    // It reads nothing, until far more is published than the systems' buffers hold.
    let padding = "x".repeat(512 * 1024);
    let rounds = 60;
    for number in 1..=rounds {
        let data = json!({ "number": number, "padding": padding });
        publish(&example, &json!({ "topic": "prices/COD", "data": data }));
        publish(&example, &json!({ "topic": "news/fish", "data": number }));
    }
    let (mut prices, mut news) = (Vec::new(), Vec::new());
    while news.last() != Some(&rounds) || prices.last() != Some(&rounds) {
        let message = slow.expect("update");
        match message["topic"].as_str() {
            Some("news/fish") => news.push(message["data"].as_u64().unwrap()),
            // The first one, from the start, has no number.
            _ => prices.extend(message["data"]["number"].as_u64()),
        }
    }
    assert!(news.iter().copied().eq(1..=rounds), "{news:?}");
    assert!(prices.is_sorted(), "{prices:?}");
    assert!((prices.len() as u64) < rounds, "nothing was conflated");
}

#[test]
fn a_flood_reaches_its_reader_alone_up_to_the_last_price() {
    let example = Example::start("feed", &["--interval", "3600000"]);
    let mut peer = example.connect("/feed");
    let mut other = example.connect("/feed");
    peer.send(json!({ "event": "flood", "id": 1 }));
    let (mut topic, mut read, mut last) = (Value::Null, 0, 0);
    while last < 4000 {
        let mut message = peer.next();
        if message["ack"] == 1 {
            topic = message["data"].take();
            continue;
        }
        let number = message["data"]["data"]["number"].as_u64().unwrap();
        assert!(number > last, "{number} after {last}");
        (read, last) = (read + 1, number);
    }
    assert!((1..=4000).contains(&read));
    assert!(topic.as_str().unwrap().starts_with("slow/"), "{topic}");
    // Nobody else sees it, nor may follow it.
    other.send(json!({ "event": "topics", "id": 1 }));
    assert_eq!(answer(&mut other, 1).as_array().unwrap().len(), 6);
    other.send(json!({ "event": "subscribe", "data": [topic], "id": 2 }));
    assert_eq!(other.expect_error(Some(2)), "no_topic");
}
