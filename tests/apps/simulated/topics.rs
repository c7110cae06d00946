//! The topics of the feed, without the thread that trades.

use std::num::NonZeroUsize;

use serde_json::{Value, json};
use sockeye::server::testing::{Response, Simulation};

use super::{common, connect, json_of};

#[allow(dead_code, reason = "the tests publish the prices")]
#[path = "../../../examples/feed/app.rs"]
mod app;

/// Readers of one topic are on different workers.
fn start() -> Simulation {
    let builder = common::builder().workers(NonZeroUsize::new(2).unwrap());
    app::add(builder).simulate().unwrap()
}

fn post(server: &Simulation, content_type: Option<&str>, body: &str) -> Response {
    let request = server.request("/publish");
    let request = match content_type {
        Some(it) => request.header("Content-Type", it),
        None => request,
    };
    request.send("POST", body)
}

fn publish(server: &Simulation, body: &Value) -> Response {
    post(server, Some("application/json"), &body.to_string())
}

#[track_caller]
fn assert_subscribers(response: &Response, number: usize) {
    assert_eq!(response.status, 200);
    assert_eq!(json_of(response), json!({ "subscribers": number }));
}

#[test]
fn topics_are_listed_with_their_subscribers() {
    let server = start();
    let mut ann = connect(&server, "/feed");
    let mut bob = connect(&server, "/feed");
    ann.send(json!({ "event": "subscribe", "data": ["prices/COD", "news/fish"], "id": 1 }));
    ann.expect_ack(1);
    bob.send(json!({ "event": "subscribe", "data": ["prices/COD"], "id": 1 }));
    bob.expect_ack(1);
    bob.send(json!({ "event": "topics", "id": 2 }));
    let topics = bob.expect_ack(2);
    let topics = topics.as_array().unwrap();
    for (topic, subscribers) in [("prices/COD", 2), ("prices/TUNA", 0), ("news/fish", 1)] {
        let expected = json!({ "topic": topic, "subscribers": subscribers });
        assert!(topics.contains(&expected), "{expected} in {topics:?}");
    }
    assert_eq!(topics.len(), 7);
}

#[test]
fn who_subscribes_gets_the_last_price_and_those_that_follow_until_it_unsubscribes() {
    let server = start();
    let mut peer = connect(&server, "/feed");
    let cod = |price: u64| json!({ "topic": "prices/COD", "data": { "price": price } });
    publish(&server, &cod(1));
    publish(&server, &cod(2));
    peer.send(json!({ "event": "subscribe", "data": ["prices/COD"], "id": 1 }));
    assert_eq!(peer.expect("update"), cod(2));
    assert_eq!(peer.expect_ack(1), json!(["prices/COD"]));
    for price in [3, 4] {
        assert_subscribers(&publish(&server, &cod(price)), 1);
        assert_eq!(peer.expect("update"), cod(price));
    }
    peer.send(json!({ "event": "unsubscribe", "data": ["prices/COD"], "id": 2 }));
    assert_eq!(peer.expect_ack(2), json!([]));
    // Of what is published from now on only the other topic arrives.
    peer.send(json!({ "event": "subscribe", "data": ["news/fish"], "id": 3 }));
    assert_eq!(peer.expect_ack(3), json!(["news/fish"]));
    assert_subscribers(&publish(&server, &cod(5)), 0);
    let news = json!({ "topic": "news/fish", "data": "back" });
    publish(&server, &news);
    assert_eq!(peer.expect("update"), news);
    peer.client.expect_nothing();
}

#[test]
fn what_is_posted_reaches_the_subscribers() {
    let server = start();
    let mut peers = [connect(&server, "/feed"), connect(&server, "/feed")];
    for peer in &mut peers {
        peer.send(json!({ "event": "subscribe", "data": ["news/fish"], "id": 1 }));
        peer.expect_ack(1);
    }
    let post = json!({ "topic": "news/fish", "data": { "any": ["<b>JSON</b>", 1.5, null] } });
    assert_subscribers(&publish(&server, &post), 2);
    for peer in &mut peers {
        assert_eq!(peer.expect("update"), post);
    }
}

#[test]
fn what_can_not_be_published_is_refused_with_what_is_wrong() {
    let server = start();
    let good = r#"{"topic":"news/fish","data":1}"#;
    let json = Some("application/json");
    for (content_type, body, status) in [
        (json, "{", 400),
        (json, "{}", 400),
        (json, r#"{"topic":"news/fish"}"#, 400),
        (json, r#"{"topic":"secrets/fish","data":1}"#, 400),
        (json, r#"{"topic":"news/a b","data":1}"#, 400),
        // What a form of another site's page may send.
        (Some("text/plain"), good, 415),
        (None, good, 415),
    ] {
        let response = post(&server, content_type, body);
        assert_eq!(response.status, status, "{body}");
        assert!(json_of(&response)["error"].is_string(), "{body}");
    }
    assert_eq!(server.get("/publish").status, 405);
}

#[test]
fn what_is_no_message_is_answered_with_what_is_wrong() {
    let server = start();
    let mut peer = connect(&server, "/feed");
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
    peer.client.send("{");
    assert_eq!(peer.expect_error(None), "malformed");
    peer.client.send(&b"bytes"[..]);
    assert_eq!(peer.expect_error(None), "malformed");
}
