//! The chat.

use serde_json::{Value, json};
use sockeye::Error;
use sockeye::proto::MessageRef;

use super::{Example, Peer, assert_starts_and_stops};

fn start() -> Example {
    Example::start("chat", &[])
}

/// Enters a room and follows its messages; answers the history and the acknowledgement.
#[track_caller]
fn enter(example: &Example, room: &str, name: &str) -> (Peer, Vec<Value>, Value) {
    enter_since(example, room, name, &Value::Null)
}

/// The same, where it was left off.
#[track_caller]
fn enter_since(
    example: &Example,
    room: &str,
    name: &str,
    since: &Value,
) -> (Peer, Vec<Value>, Value) {
    let mut peer = example.connect(&format!("/rooms/{room}?name={name}"));
    let data = json!({ "topic": room, "since": since });
    peer.send(json!({ "event": "subscribe", "data": data, "id": 0 }));
    let mut history = Vec::new();
    loop {
        let mut message = peer.next();
        if message["ack"] == 0 {
            return (peer, history, message["data"].take());
        }
        assert_eq!(message["event"], "message", "before the welcome");
        assert_eq!(message["topic"], room);
        assert!(message["position"]["offset"].is_u64());
        history.push(message["data"].take());
    }
}

/// The acknowledgement of a message to the room, which comes behind the message itself.
#[track_caller]
fn receipt(peer: &mut Peer, id: u64) -> Value {
    let message = peer.expect("message");
    let receipt = peer.expect_ack(id);
    assert_eq!(message["id"], receipt["id"]);
    receipt
}

#[track_caller]
fn join(example: &Example, room: &str, name: &str) -> Peer {
    enter(example, room, name).0
}

fn say(text: &str, id: u64) -> Value {
    json!({ "event": "message", "data": { "text": text }, "id": id })
}

#[test]
fn it_starts_and_stops() {
    assert_starts_and_stops("chat", "/rooms/a?name=ann");
}

#[test]
fn the_page_is_served_for_the_entrance_and_for_rooms() {
    let example = start();
    for path in ["/", "/chat", "/chat/blue", "/chat/blue?name=ann"] {
        example.get(path).assert_page("<title>Sockeye chat</title>");
    }
}

#[test]
fn who_comes_and_goes_is_announced_to_the_room_with_counts() {
    let example = start();
    let (mut ann, _, welcome) = enter(&example, "blue", "ann");
    assert_eq!(welcome["members"], json!(["ann"]));
    assert_eq!(welcome["count"], 1);
    assert_eq!(welcome["complete"], true);
    let (mut bob, _, welcome) = enter(&example, "blue", "bob");
    assert_eq!(welcome["members"], json!(["ann", "bob"]));
    assert_eq!(welcome["count"], 2);
    assert_eq!(ann.expect("joined"), json!({ "name": "bob", "count": 2 }));
    // Another room's people are told nothing.
    let _cat = join(&example, "red", "cat");
    bob.client.close(None, "").unwrap();
    assert_eq!(ann.expect("left"), json!({ "name": "bob", "count": 1 }));
    // Without a closing handshake, too.
    drop(join(&example, "blue", "dan"));
    assert_eq!(ann.expect("joined"), json!({ "name": "dan", "count": 2 }));
    assert_eq!(ann.expect("left"), json!({ "name": "dan", "count": 1 }));
}

#[test]
fn a_second_window_of_one_person_is_no_news() {
    let example = start();
    let mut ann = join(&example, "blue", "ann");
    let mut bob = join(&example, "blue", "bob");
    ann.expect("joined");
    let (mut second, _, welcome) = enter(&example, "blue", "bob");
    assert_eq!(welcome["count"], 2);
    second.client.close(None, "").unwrap();
    bob.send(say("still here", 1));
    assert_eq!(ann.expect("message")["text"], "still here");
}

#[test]
fn a_message_goes_to_the_room_and_its_receipt_to_the_sender() {
    let example = start();
    let mut ann = join(&example, "blue", "ann");
    let mut bob = join(&example, "blue", "bob");
    let mut cat = join(&example, "red", "cat");
    ann.expect("joined");
    bob.send(json!({ "event": "message", "data": { "text": "<b>Hi</b>", "key": "k1" }, "id": 7 }));
    let receipt = receipt(&mut bob, 7);
    let message = ann.expect("message");
    assert_eq!(message["id"], receipt["id"]);
    assert_eq!(message["at"], receipt["at"]);
    assert_eq!(
        (&message["from"], &message["text"]),
        (&json!("bob"), &json!("<b>Hi</b>"))
    );
    assert_eq!(message["key"], "k1");
    // The room beside it heard nothing: its next message is its own receipt.
    cat.send(say("alone", 1));
    assert!(self::receipt(&mut cat, 1)["id"].as_u64() > receipt["id"].as_u64());
}

#[test]
fn typing_is_told_to_the_others_only() {
    let example = start();
    let mut ann = join(&example, "blue", "ann");
    let mut bob = join(&example, "blue", "bob");
    ann.expect("joined");
    for typing in [true, false] {
        bob.send(json!({ "event": "typing", "data": { "typing": typing } }));
        assert_eq!(
            ann.expect("typing"),
            json!({ "name": "bob", "typing": typing })
        );
    }
    bob.send(say("done", 1));
    receipt(&mut bob, 1);
    // And it is nothing that is kept.
    let (_cat, history, _) = enter(&example, "blue", "cat");
    assert_eq!(history.len(), 1);
}

#[test]
fn a_private_message_reaches_all_windows_of_one_person_and_no_one_else() {
    let example = start();
    let mut ann = join(&example, "blue", "ann");
    let mut windows = [join(&example, "blue", "bob"), join(&example, "blue", "bob")];
    let mut cat = join(&example, "blue", "cat");
    let _elsewhere = join(&example, "red", "dan");
    ann.expect("joined");
    ann.expect("joined");
    let whisper = |to: &str, id: u64| json!({ "event": "private", "data": { "to": to, "text": "psst" }, "id": id });
    ann.send(whisper("bob", 1));
    let receipt = ann.expect_ack(1);
    for bob in &mut windows {
        // The first to come also hears of those behind.
        let mut message = bob.next();
        while message["event"] == "joined" {
            message = bob.next();
        }
        assert_eq!(message["event"], "private");
        assert_eq!(message["data"]["id"], receipt["id"]);
        assert_eq!(message["data"]["from"], "ann");
        assert_eq!(message["data"]["text"], "psst");
    }
    for absent in ["dan", "nobody", "ann"] {
        ann.send(whisper(absent, 2));
        assert_eq!(ann.expect_error(Some(2)), "absent");
    }
    ann.send(say("aloud", 3));
    assert_eq!(cat.expect("message")["text"], "aloud");
    let (_, history, _) = enter(&example, "blue", "eve");
    assert_eq!(history.len(), 1, "{history:?}");
}

#[test]
fn who_comes_in_gets_the_last_50_messages_and_so_does_the_api() {
    let example = start();
    let mut ann = join(&example, "blue", "ann");
    for number in 1..=60 {
        ann.send(say(&format!("message {number}"), number));
        receipt(&mut ann, number);
    }
    let texts = |messages: &[Value]| -> Vec<String> {
        let texts = messages.iter().map(|it| it["text"].as_str().unwrap());
        texts.map(str::to_owned).collect()
    };
    let last: Vec<_> = (11..=60).map(|it| format!("message {it}")).collect();
    let (_bob, history, welcome) = enter(&example, "blue", "bob");
    assert_eq!(texts(&history), last);
    assert_eq!(welcome["count"], 2);
    let answer = example.get("/api/messages/blue");
    assert_eq!(answer.status(), 200);
    let list = answer.json();
    assert_eq!(list["room"], "blue");
    assert_eq!(list["messages"], Value::from(history));
    let nothing = json!({ "room": "red", "messages": [] });
    assert_eq!(example.get("/api/messages/red").json(), nothing);
    let answer = example.get("/api/messages/r%20d");
    assert_eq!(
        (answer.status(), answer.json()["error"].is_string()),
        (404, true)
    );
}

#[test]
fn what_is_no_message_is_answered_with_what_is_wrong() {
    let example = start();
    let mut ann = join(&example, "blue", "ann");
    for (text, code) in [
        ("Hello", "malformed"),
        ("{\"event\":", "malformed"),
        ("[]", "malformed"),
        (r#"{"data":{"text":"x"}}"#, "malformed"),
        (r#"{"event":"shout","data":{}}"#, "unknown_event"),
        (r#"{"event":"message","data":{"text":7}}"#, "bad_data"),
        (r#"{"event":"message"}"#, "bad_data"),
        (r#"{"event":"message","data":{"text":" \n"}}"#, "empty"),
    ] {
        ann.client.send(text).unwrap();
        assert_eq!(ann.expect_error(None), code, "{text}");
    }
    ann.client.send(MessageRef::from(&b"bytes"[..])).unwrap();
    assert_eq!(ann.expect_error(None), "malformed");
    ann.send(say(&"é".repeat(2001), 1));
    assert_eq!(ann.expect_error(Some(1)), "too_long");
    // None of it is sent to anyone, and the connection lives.
    ann.send(say(&"é".repeat(2000), 2));
    receipt(&mut ann, 2);
    assert_eq!(enter(&example, "blue", "bob").1.len(), 1);
}

#[test]
fn names_and_rooms_that_are_none_are_refused() {
    let example = start();
    let long = format!("/rooms/blue?name={}", "x".repeat(33));
    for (target, status) in [
        ("/rooms/blue", 400),
        ("/rooms/blue?name=%20", 400),
        ("/rooms/blue?name=a%0Ab", 400),
        (&long, 400),
        ("/rooms/a%2Fb?name=ann", 404),
        ("/rooms/?name=ann", 404),
    ] {
        match example.try_connect(target, &[]) {
            Err(Error::Handshake(error)) => {
                assert!(
                    error.to_string().contains(&status.to_string()),
                    "{target}: {error}"
                );
            }
            other => panic!("{target}: {other:?}", other = other.map(|_| ())),
        }
    }
}

#[test]
fn who_comes_back_is_told_whether_all_that_was_missed_is_there() {
    let example = start();
    let mut ann = join(&example, "blue", "ann");
    ann.send(say("before", 1));
    receipt(&mut ann, 1);
    let (bob, _, welcome) = enter(&example, "blue", "bob");
    drop(bob);
    let position = welcome["position"].clone();
    let (_, history, welcome) = enter_since(&example, "blue", "bob", &position);
    assert_eq!(welcome["complete"], true);
    assert!(history.len() <= 1, "{history:?}");
    // A position of another server.
    let since = json!({ "epoch": 1, "offset": 1 });
    let (_, history, welcome) = enter_since(&example, "blue", "bob", &since);
    assert_eq!((history.len(), &welcome["complete"]), (1, &json!(false)));
    let mut cat = example.connect("/rooms/blue?name=cat");
    let data = json!({ "topic": "red" });
    cat.send(json!({ "event": "subscribe", "data": data, "id": 5 }));
    assert_eq!(cat.expect_error(Some(5)), "no_topic");
}
