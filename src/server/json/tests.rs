use alloc::string::String;
use alloc::vec::Vec;
use std::collections::BTreeMap;

use super::*;
use crate::server::topics::Position;
use proptest::prelude::*;

#[derive(Deserialize)]
struct Chat {
    room: u32,
    text: String,
}

fn events() -> Events<Vec<String>> {
    Events::new()
        .on("chat", |texts: &mut Vec<String>, chat: Chat| {
            if chat.room == 0 {
                return Err(EventError::new("no_room", format!("room {}", chat.room)));
            }
            texts.push(chat.text);
            Ok(texts.len())
        })
        .on("clear", |texts: &mut Vec<String>, (): ()| {
            texts.clear();
            Ok(())
        })
        .on("odd", |_: &mut Vec<String>, (): ()| {
            Ok(BTreeMap::from([(Some(1), 2), (None, 3)]))
        })
        .on("echo", |_: &mut Vec<String>, data: serde_json::Value| {
            Ok(data)
        })
}

fn dispatch(text: &str) -> Option<String> {
    events().dispatch(&mut Vec::new(), text)
}

/// The code of the error, and the id it is for.
fn error(text: &str) -> (String, Option<u64>) {
    let reply: serde_json::Value = serde_json::from_str(&dispatch(text).unwrap()).unwrap();
    assert!(reply.get("data").is_none());
    assert!(!reply["error"]["message"].as_str().unwrap().is_empty());
    let code = reply["error"]["code"].as_str().unwrap();
    (code.into(), reply.get("ack").map(|id| id.as_u64().unwrap()))
}

#[test]
fn an_event_with_an_id_is_acknowledged_and_one_without_is_not() {
    let chat = r#"{"event":"chat","data":{"room":1,"text":"Hi"}}"#;
    assert_eq!(dispatch(chat), None);
    let chat = r#" {"id" : 7, "data":{"text":"H\u0069","room":1},"event":"\u0063hat","x":[]} "#;
    assert_eq!(dispatch(chat).unwrap(), r#"{"ack":7,"data":1}"#);
    let mut texts = Vec::new();
    events().dispatch(&mut texts, chat);
    assert_eq!(texts, ["Hi"]);
}

#[test]
fn missing_data_is_null_and_so_is_nothing_returned() {
    for data in ["", r#","data":null"#] {
        let text = format!(r#"{{"event":"clear","id":0{data}}}"#);
        assert_eq!(dispatch(&text).unwrap(), r#"{"ack":0,"data":null}"#);
    }
}

#[test]
fn data_comes_through_unchanged() {
    let data = r#"{"a":[1,-2.5,"\"\\\u0000é",null,true],"b":{}}"#;
    let text = format!(r#"{{"event":"echo","id":{},"data":{data}}}"#, u64::MAX);
    let expected = format!(r#"{{"ack":{},"data":{data}}}"#, u64::MAX);
    assert_eq!(dispatch(&text).unwrap(), expected);
}

#[test]
fn each_fault_is_answered_by_its_code() {
    for (text, code, id) in [
        ("", "malformed", None),
        ("null", "malformed", None),
        ("[]", "malformed", None),
        ("{}", "malformed", None),
        (r#"{"id":7}"#, "malformed", Some(7)),
        (r#"{"event":"chat""#, "malformed", None),
        (r#"{"event":"chat"}{}"#, "malformed", None),
        (r#"{"event":5,"id":7}"#, "malformed", None),
        (r#"{"event":"clear","id":-1}"#, "malformed", None),
        (r#"{"event":"clear","id":1.5}"#, "malformed", None),
        (r#"{"event":"clear","id":"x"}"#, "malformed", None),
        (r#"{"event":"clear","event":"chat"}"#, "malformed", None),
        (r#"{"event":"nope"}"#, "unknown_event", None),
        (r#"{"event":"nope","id":7}"#, "unknown_event", Some(7)),
        (r#"{"event":"","id":7}"#, "unknown_event", Some(7)),
        (r#"{"event":"chat","id":7}"#, "bad_data", Some(7)),
        (r#"{"event":"chat","data":{"room":1}}"#, "bad_data", None),
        (
            r#"{"event":"chat","data":{"room":-1,"text":""}}"#,
            "bad_data",
            None,
        ),
        (
            r#"{"event":"chat","data":{"room":0,"text":""},"id":7}"#,
            "no_room",
            Some(7),
        ),
        (
            r#"{"event":"chat","data":{"room":0,"text":""}}"#,
            "no_room",
            None,
        ),
        (r#"{"event":"odd","id":7}"#, "internal", Some(7)),
    ] {
        assert_eq!(error(text), (code.into(), id), "{text}");
    }
    assert_eq!(dispatch(r#"{"event":"odd"}"#), None, "nobody asked");
}

#[test]
fn answers_are_not_answered() {
    for text in [
        r#"{"ack":7,"data":1}"#,
        r#"{"ack":7,"error":{"code":"x","message":""}}"#,
        r#"{"error":{"code":"malformed","message":""}}"#,
    ] {
        assert_eq!(dispatch(text), None, "{text}");
    }
    let answer = dispatch("nonsense").unwrap();
    assert_eq!(dispatch(&answer), None);
}

#[test]
fn an_error_does_not_grow_with_what_was_received() {
    let long = "\u{1}é".repeat(100_000);
    let long = serde_json::to_string(&long).unwrap();
    for text in [
        format!(r#"{{"event":{long}}}"#),
        format!(r#"{{"event":"chat","data":{long}}}"#),
        format!(r#"{{"event":"chat","id":{long}}}"#),
    ] {
        assert!(dispatch(&text).unwrap().len() < 2048);
    }
    let deep = format!(r#"{{"event":"echo","data":{}"#, "[".repeat(100_000));
    assert_eq!(error(&deep).0, "malformed");
}

#[test]
fn a_later_handler_replaces_the_former() {
    let events = events().on("clear", |_, (): ()| Ok("new"));
    let reply = events.dispatch(&mut Vec::new(), r#"{"event":"clear","id":1}"#);
    assert_eq!(reply.unwrap(), r#"{"ack":1,"data":"new"}"#);
    assert_eq!(event("a\"", &1).unwrap(), r#"{"event":"a\"","data":1}"#);
    assert!(event("x", &BTreeMap::from([(Some(1), 2), (None, 3)])).is_err());
}

#[test]
fn what_the_browser_client_asks_of_a_topic_is_read() {
    let read = |text| serde_json::from_str::<SubscribeTopic>(text);
    let position = Position {
        epoch: 1,
        offset: 7,
    };
    for (text, since) in [
        (r#"{"topic":"blue"}"#, None),
        (r#"{"topic":"blue","since":null,"name":"ann"}"#, None),
        (
            r#"{"topic":"blue","since":{"epoch":1,"offset":7}}"#,
            Some(position),
        ),
    ] {
        let asked = read(text).unwrap();
        assert_eq!((&*asked.topic, asked.since), ("blue", since));
    }
    for text in [
        "{}",
        r#"{"topic":7}"#,
        r#"{"topic":"blue","since":7}"#,
        r#"{"topic":"blue","since":{"epoch":1}}"#,
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    let joined = TopicJoined {
        position,
        complete: true,
    };
    assert_eq!(
        serde_json::to_string(&joined).unwrap(),
        r#"{"position":{"epoch":1,"offset":7},"complete":true}"#
    );
    assert!(
        topic_event(
            "blue",
            position,
            "x",
            &BTreeMap::from([(Some(1), 2), (None, 3)])
        )
        .is_err()
    );
}

proptest! {
    /// Any input: no panic, and a reply that is JSON and ends the exchange.
    #[test]
    fn any_text_is_answered_in_json_once(
        text in prop_oneof![
            any::<String>(),
            "[{}\\[\\]\",:eventdataidackrro0-9 ]{0,60}",
            r#"\{"event":"(echo|chat|nope)","data":[\[{}\]"a0-9:,]{0,20},"id":[0-9]{1,3}\}"#,
        ],
    ) {
        if let Some(reply) = dispatch(&text) {
            serde_json::from_str::<serde_json::Value>(&reply).unwrap();
            prop_assert_eq!(dispatch(&reply), None);
        }
    }
}
