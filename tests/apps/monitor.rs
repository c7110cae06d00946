//! The stats page.

use serde_json::{Value, json};

use super::{Answer, Example, assert_starts_and_stops};

fn start() -> Example {
    Example::start("monitor", &[])
}

#[track_caller]
fn assert_fresh(answer: &Answer) {
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.header("Cache-Control"), "no-store");
}

#[test]
fn it_starts_and_stops() {
    assert_starts_and_stops("monitor", "/echo");
}

#[test]
fn the_page_is_served_and_every_number_it_shows_exists() {
    let example = start();
    for path in ["/", "/monitor"] {
        let page = example.get(path);
        page.assert_page("<title>Sockeye monitor</title>");
    }
    let script = example.get("/monitor.js");
    let stats = example.get("/stats").json();
    let (_, tiles) = script.body.split_once("const TILES = [").unwrap();
    let (tiles, _) = tiles.split_once("];\n").unwrap();
    let names: Vec<_> = tiles
        .lines()
        .filter_map(|it| it.trim().strip_prefix("[\""))
        .collect();
    assert_eq!(names.len(), 12);
    for line in names {
        let (name, _) = line.split_once('"').unwrap();
        assert!(stats[name].is_u64(), "{name} in {stats}");
    }
    for name in ["closes", "errors", "handshake_failures"] {
        assert!(stats[name].is_object(), "{name} in {stats}");
    }
}

#[test]
fn the_numbers_are_those_of_the_traffic() {
    let example = start();
    let mut peer = example.connect("/echo");
    for _ in 0..5 {
        peer.client.send("Hello").unwrap();
        peer.client.recv().unwrap().expect("an echo");
    }
    let answer = example.get("/stats");
    assert_fresh(&answer);
    let stats = answer.json();
    let number = |stats: &Value, name: &str| stats[name].as_u64().unwrap();
    assert_eq!(number(&stats, "connections_opened"), 1);
    assert_eq!(number(&stats, "messages_received"), 5);
    assert_eq!(number(&stats, "messages_sent"), 5);
    assert!(number(&stats, "bytes_sent") > 5 * 7);
    peer.client.close(None, "").unwrap();
    while peer.client.recv().unwrap().is_some() {}
    let closes = &example.get("/stats").json()["closes"];
    let sum: u64 = closes
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_u64)
        .sum();
    assert_eq!(sum, 1, "{closes}");
}

#[test]
fn prometheus_and_a_load_balancer_are_served() {
    let example = start();
    let metrics = example.get("/metrics");
    assert_fresh(&metrics);
    assert!(
        metrics
            .header("Content-Type")
            .starts_with("text/plain; version=0.0.4")
    );
    assert!(metrics.body.contains("\nsockeye_messages_received"));
    let health = example.get("/health");
    assert_fresh(&health);
    assert_eq!(health.json()["status"], "ok");
}

#[test]
fn a_page_is_sent_the_numbers_and_who_is_connected() {
    let example = start();
    let mut page = example.connect("/live");
    let mut echo = example.connect_with("/echo", &[("User-Agent", "a test")]);
    echo.client.send("Hello").unwrap();
    echo.client.recv().unwrap().expect("an echo");
    // The look before may be one without them.
    let look = loop {
        let look = page.expect("stats");
        if look["list"].as_array().unwrap().len() == 2 {
            break look;
        }
    };
    assert_eq!(look["stats"]["connections"], 2);
    assert_eq!(
        look["crowd"],
        json!({ "wanted": 0, "open": 0, "full": false })
    );
    assert_eq!((&look["more"], &look["each"]), (&json!(0), &Value::Null));
    let listed = look["list"].as_array().unwrap();
    let echo = listed.iter().find(|it| it["agent"] == "a test");
    let echo = echo.expect("the connection of the test");
    assert_eq!((&echo["received"], &echo["sent"]), (&json!(1), &json!(1)));
}
