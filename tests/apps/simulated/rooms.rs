//! The rooms of the chat.

use serde_json::{Value, json};
use sockeye::proto::CloseCode;
use sockeye::server::testing::{Client, Simulation};

use super::{Peer, common, connect, json_of};

#[path = "../../../examples/chat/app.rs"]
mod app;

fn start() -> Simulation {
    app::add(common::builder()).simulate().unwrap()
}

/// Enters a room and follows its messages; answers the history and the acknowledgement.
#[track_caller]
fn enter(chat: &Simulation, room: &str, name: &str) -> (Peer<Client>, Vec<Value>, Value) {
    enter_since(chat, room, name, &Value::Null)
}

/// The same, where it was left off.
#[track_caller]
fn enter_since(
    chat: &Simulation,
    room: &str,
    name: &str,
    since: &Value,
) -> (Peer<Client>, Vec<Value>, Value) {
    let mut peer = connect(chat, &format!("/rooms/{room}?name={name}"));
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
fn receipt(peer: &mut Peer<Client>, id: u64) -> Value {
    let message = peer.expect("message");
    let receipt = peer.expect_ack(id);
    assert_eq!(message["id"], receipt["id"]);
    receipt
}

#[track_caller]
fn join(chat: &Simulation, room: &str, name: &str) -> Peer<Client> {
    enter(chat, room, name).0
}

fn say(text: &str, id: u64) -> Value {
    json!({ "event": "message", "data": { "text": text }, "id": id })
}

#[test]
fn who_comes_and_goes_is_announced_to_the_room_with_counts() {
    let chat = start();
    let (mut ann, _, welcome) = enter(&chat, "blue", "ann");
    assert_eq!(welcome["members"], json!(["ann"]));
    assert_eq!(welcome["count"], 1);
    assert_eq!(welcome["complete"], true);
    let (mut bob, _, welcome) = enter(&chat, "blue", "bob");
    assert_eq!(welcome["members"], json!(["ann", "bob"]));
    assert_eq!(welcome["count"], 2);
    assert_eq!(ann.expect("joined"), json!({ "name": "bob", "count": 2 }));
    // Another room's people are told nothing.
    let _cat = join(&chat, "red", "cat");
    bob.client.close(CloseCode::NORMAL, "");
    assert_eq!(ann.expect("left"), json!({ "name": "bob", "count": 1 }));
    // Without a closing handshake, too.
    drop(join(&chat, "blue", "dan"));
    assert_eq!(ann.expect("joined"), json!({ "name": "dan", "count": 2 }));
    assert_eq!(ann.expect("left"), json!({ "name": "dan", "count": 1 }));
}

#[test]
fn a_second_window_of_one_person_is_no_news() {
    let chat = start();
    let mut ann = join(&chat, "blue", "ann");
    let mut bob = join(&chat, "blue", "bob");
    ann.expect("joined");
    let (mut second, _, welcome) = enter(&chat, "blue", "bob");
    assert_eq!(welcome["count"], 2);
    second.client.close(CloseCode::NORMAL, "");
    bob.send(say("still here", 1));
    assert_eq!(ann.expect("message")["text"], "still here");
}

#[test]
fn a_message_goes_to_the_room_and_its_receipt_to_the_sender() {
    let chat = start();
    let mut ann = join(&chat, "blue", "ann");
    let mut bob = join(&chat, "blue", "bob");
    let mut cat = join(&chat, "red", "cat");
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
    let chat = start();
    let mut ann = join(&chat, "blue", "ann");
    let mut bob = join(&chat, "blue", "bob");
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
    let (_cat, history, _) = enter(&chat, "blue", "cat");
    assert_eq!(history.len(), 1);
}

#[test]
fn a_private_message_reaches_all_windows_of_one_person_and_no_one_else() {
    let chat = start();
    let mut ann = join(&chat, "blue", "ann");
    let mut windows = [join(&chat, "blue", "bob"), join(&chat, "blue", "bob")];
    let mut cat = join(&chat, "blue", "cat");
    let _elsewhere = join(&chat, "red", "dan");
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
    let (_, history, _) = enter(&chat, "blue", "eve");
    assert_eq!(history.len(), 1, "{history:?}");
}

#[test]
fn who_comes_in_gets_the_last_50_messages_and_so_does_the_api() {
    let chat = start();
    let mut ann = join(&chat, "blue", "ann");
    for number in 1..=60 {
        ann.send(say(&format!("message {number}"), number));
        receipt(&mut ann, number);
    }
    let texts = |messages: &[Value]| -> Vec<String> {
        let texts = messages.iter().map(|it| it["text"].as_str().unwrap());
        texts.map(str::to_owned).collect()
    };
    let last: Vec<_> = (11..=60).map(|it| format!("message {it}")).collect();
    let (_bob, history, welcome) = enter(&chat, "blue", "bob");
    assert_eq!(texts(&history), last);
    assert_eq!(welcome["count"], 2);
    let response = chat.get("/api/messages/blue");
    assert_eq!(response.status, 200);
    let list = json_of(&response);
    assert_eq!(list["room"], "blue");
    assert_eq!(list["messages"], Value::from(history));
    let nothing = json!({ "room": "red", "messages": [] });
    assert_eq!(json_of(&chat.get("/api/messages/red")), nothing);
    let response = chat.get("/api/messages/r%20d");
    assert_eq!(response.status, 404);
    assert!(json_of(&response)["error"].is_string());
}

#[test]
fn what_is_no_message_is_answered_with_what_is_wrong() {
    let chat = start();
    let mut ann = join(&chat, "blue", "ann");
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
        ann.client.send(text);
        assert_eq!(ann.expect_error(None), code, "{text}");
    }
    ann.client.send(&b"bytes"[..]);
    assert_eq!(ann.expect_error(None), "malformed");
    ann.send(say(&"é".repeat(2001), 1));
    assert_eq!(ann.expect_error(Some(1)), "too_long");
    // None of it is sent to anyone, and the connection lives.
    ann.send(say(&"é".repeat(2000), 2));
    receipt(&mut ann, 2);
    assert_eq!(enter(&chat, "blue", "bob").1.len(), 1);
}

#[test]
fn names_and_rooms_that_are_none_are_refused() {
    let chat = start();
    let long = format!("/rooms/blue?name={}", "x".repeat(33));
    for (target, status) in [
        ("/rooms/blue", 400),
        ("/rooms/blue?name=%20", 400),
        ("/rooms/blue?name=a%0Ab", 400),
        (&long, 400),
        ("/rooms/a%2Fb?name=ann", 404),
        ("/rooms/?name=ann", 404),
    ] {
        let refused = chat.connect(target).unwrap_err();
        assert_eq!(refused.status(), Some(status), "{target}: {refused}");
    }
}

#[test]
fn who_comes_back_is_told_whether_all_that_was_missed_is_there() {
    let chat = start();
    let mut ann = join(&chat, "blue", "ann");
    ann.send(say("before", 1));
    receipt(&mut ann, 1);
    let (bob, _, welcome) = enter(&chat, "blue", "bob");
    drop(bob);
    let position = welcome["position"].clone();
    let (_, history, welcome) = enter_since(&chat, "blue", "bob", &position);
    assert_eq!(welcome["complete"], true);
    assert!(history.len() <= 1, "{history:?}");
    // A position of another server.
    let since = json!({ "epoch": 1, "offset": 1 });
    let (_, history, welcome) = enter_since(&chat, "blue", "bob", &since);
    assert_eq!((history.len(), &welcome["complete"]), (1, &json!(false)));
    let mut cat = connect(&chat, "/rooms/blue?name=cat");
    let data = json!({ "topic": "red" });
    cat.send(json!({ "event": "subscribe", "data": data, "id": 5 }));
    assert_eq!(cat.expect_error(Some(5)), "no_topic");
}
