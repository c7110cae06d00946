//! The feed.

use serde_json::{Value, json};
use sockeye::proto::MessageRef;

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

#[test]
fn topics_are_listed_with_their_subscribers() {
    let example = Example::start("feed", &[]);
    let mut ann = example.connect("/feed");
    let mut bob = example.connect("/feed");
    ann.send(json!({ "event": "subscribe", "data": ["prices/COD", "news/fish"], "id": 1 }));
    answer(&mut ann, 1);
    bob.send(json!({ "event": "subscribe", "data": ["prices/COD"], "id": 1 }));
    answer(&mut bob, 1);
    bob.send(json!({ "event": "topics", "id": 2 }));
    let topics = answer(&mut bob, 2);
    let topics = topics.as_array().unwrap();
    for (topic, subscribers) in [("prices/COD", 2), ("prices/TUNA", 0), ("news/fish", 1)] {
        let expected = json!({ "topic": topic, "subscribers": subscribers });
        assert!(topics.contains(&expected), "{expected} in {topics:?}");
    }
    assert_eq!(topics.len(), 7);
}

#[test]
fn who_subscribes_gets_the_last_price_and_those_that_follow_until_it_unsubscribes() {
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
    peer.send(json!({ "event": "unsubscribe", "data": ["prices/COD"], "id": 2 }));
    assert_eq!(answer(&mut peer, 2), json!([]));
    // Of what is published from now on only the other topic arrives.
    peer.send(json!({ "event": "subscribe", "data": ["news/fish"], "id": 3 }));
    assert_eq!(peer.expect_ack(3), json!(["news/fish"]));
    let post = json!({ "topic": "prices/COD", "data": { "price": 1 } });
    assert_eq!(publish(&example, &post).json()["subscribers"], 0);
    publish(&example, &json!({ "topic": "news/fish", "data": "back" }));
    assert_eq!(
        peer.expect("update"),
        json!({ "topic": "news/fish", "data": "back" })
    );
}

/// The last price is there before the first subscriber is: `--interval` is longer than the test.
#[test]
fn the_last_price_comes_at_once() {
    let example = Example::start("feed", &["--interval", "3600000"]);
    let mut peer = example.connect("/feed");
    publish(
        &example,
        &json!({ "topic": "prices/EEL", "data": { "price": 7 } }),
    );
    peer.send(json!({ "event": "subscribe", "data": ["prices/EEL"], "id": 1 }));
    assert_eq!(peer.expect("update")["data"]["price"], 7);
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
fn what_is_posted_reaches_the_subscribers() {
    let example = Example::start("feed", &["--interval", "3600000"]);
    let mut peers = [example.connect("/feed"), example.connect("/feed")];
    for peer in &mut peers {
        peer.send(json!({ "event": "subscribe", "data": ["news/fish"], "id": 1 }));
        peer.expect_ack(1);
    }
    let post = json!({ "topic": "news/fish", "data": { "any": ["<b>JSON</b>", 1.5, null] } });
    let answer = publish(&example, &post);
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.json(), json!({ "subscribers": 2 }));
    for peer in &mut peers {
        assert_eq!(peer.expect("update"), post);
    }
}

#[test]
fn what_can_not_be_published_is_refused_with_what_is_wrong() {
    let example = Example::start("feed", &[]);
    let good = r#"{"topic":"news/fish","data":1}"#;
    let form = &[("Content-Type", "text/plain")][..];
    for (headers, body, status) in [
        (JSON, "{", 400),
        (JSON, "{}", 400),
        (JSON, r#"{"topic":"news/fish"}"#, 400),
        (JSON, r#"{"topic":"secrets/fish","data":1}"#, 400),
        (JSON, r#"{"topic":"news/a b","data":1}"#, 400),
        // What a form of another site's page may send.
        (form, good, 415),
        (&[][..], good, 415),
    ] {
        let answer = example.http("POST", "/publish", headers, body);
        assert_eq!(answer.status(), status, "{body}");
        assert!(answer.json()["error"].is_string(), "{body}");
    }
    assert_eq!(example.get("/publish").status(), 405);
}

#[test]
fn what_is_no_message_is_answered_with_what_is_wrong() {
    let example = Example::start("feed", &["--interval", "3600000"]);
    let mut peer = example.connect("/feed");
    let many: Vec<_> = (0..101).map(|number| format!("news/{number}")).collect();
    for (event, code) in [
        (
            json!({ "event": "subscribe", "data": "prices/COD" }),
            "bad_data",
        ),
        (
            json!({ "event": "subscribe", "data": ["secrets"] }),
            "no_topic",
        ),
        (json!({ "event": "subscribe", "data": many }), "too_many"),
        (json!({ "event": "buy" }), "unknown_event"),
    ] {
        peer.send(event);
        assert_eq!(peer.expect_error(None), code);
    }
    for half in [&many[..60], &many[60..]] {
        peer.send(json!({ "event": "subscribe", "data": half, "id": 1 }));
    }
    assert_eq!(peer.expect_ack(1).as_array().unwrap().len(), 60);
    assert_eq!(peer.expect_error(Some(1)), "too_many");
    peer.client.send("{").unwrap();
    assert_eq!(peer.expect_error(None), "malformed");
    peer.client.send(MessageRef::from(&b"bytes"[..])).unwrap();
    assert_eq!(peer.expect_error(None), "malformed");
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
