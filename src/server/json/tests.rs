use alloc::string::String;
use alloc::vec::Vec;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::proto::CloseCode;
use crate::server::Server;
use crate::server::handler::Handler;
use crate::server::testing::{Client, Simulation};
use crate::server::topics::Position;
use proptest::prelude::*;
use serde::Deserialize;

type Texts<'a> = Socket<'a, Vec<String>>;

#[derive(Deserialize)]
struct Chat {
    room: u32,
    text: String,
}

fn events() -> Events<Vec<String>> {
    Events::new()
        .on("chat", |socket: &mut Texts<'_>, chat: Chat| {
            if chat.room == 0 {
                return Err(EventError::new("no_room", format!("room {}", chat.room)));
            }
            socket.state_mut().push(chat.text);
            Ok(socket.state().len())
        })
        .on("texts", |socket: &mut Texts<'_>, (): ()| {
            Ok(socket.state().clone())
        })
        .on("clear", |socket: &mut Texts<'_>, (): ()| {
            socket.state_mut().clear();
            Ok(())
        })
        .on("odd", |_: &mut Texts<'_>, (): ()| {
            Ok(BTreeMap::from([(Some(1), 2), (None, 3)]))
        })
        .on("echo", |_: &mut Texts<'_>, data: serde_json::Value| {
            Ok(data)
        })
}

struct App(Events<Vec<String>>);

impl Handler for App {
    type State = Vec<String>;

    fn on_open(&self, socket: &mut Texts<'_>) {
        let _ = socket.subscribe("all");
    }

    fn on_message(&self, socket: &mut Texts<'_>, message: Message<'_>) {
        self.0.dispatch(socket, &message);
    }
}

fn simulate(events: Events<Vec<String>>) -> Simulation {
    Server::builder()
        .route("/", App(events))
        .simulate()
        .unwrap()
}

fn ask(client: &mut Client, text: &str) -> Option<String> {
    client.send(text);
    client.recv().map(|it| it.into_text().unwrap())
}

fn dispatch(text: &str) -> Option<String> {
    let mut client = simulate(events()).connect("/").unwrap();
    let reply = ask(&mut client, text);
    client.expect_nothing();
    reply
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
    let mut client = simulate(events()).connect("/").unwrap();
    ask(&mut client, chat);
    let texts = ask(&mut client, r#"{"event":"texts","id":8}"#);
    assert_eq!(texts.unwrap(), r#"{"ack":8,"data":["Hi"]}"#);
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
    let events = events().on("clear", |_: &mut Texts<'_>, (): ()| Ok("new"));
    let mut client = simulate(events).connect("/").unwrap();
    let reply = ask(&mut client, r#"{"event":"clear","id":1}"#);
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

#[test]
fn a_binary_message_is_told_so() {
    let mut client = simulate(events()).connect("/").unwrap();
    client.send(&b"{}"[..]);
    let told = r#"{"error":{"code":"malformed","message":"events are text, not binary"}}"#;
    client.expect(told);
}

#[test]
fn a_handler_sends_publishes_and_closes_and_is_acknowledged_behind_that() {
    let events = events()
        .on("say", |socket: &mut Texts<'_>, text: String| {
            socket.emit("echo", &text);
            socket.publish_event("all", "said", &text);
            socket.publish_json("all", &[1, 2]);
            let handle = socket.handle();
            handle.emit(socket.id(), "handle", &true).unwrap();
            handle.send_json(socket.id(), &Some(7)).unwrap();
            let topics = handle.topics("/");
            topics.publish_event("all", "told", &text).unwrap();
            topics.publish_json("all", &(3, 4)).unwrap();
            Ok(text.len())
        })
        .on("leave", |socket: &mut Texts<'_>, (): ()| {
            let _ = socket.close(CloseCode(4000), "");
            Ok("too late")
        });
    let server = simulate(events);
    let (mut ann, mut bob) = (server.connect("/").unwrap(), server.connect("/").unwrap());
    ann.send(r#"{"event":"say","data":"hi","id":1}"#);
    for text in [
        r#"{"event":"echo","data":"hi"}"#,
        r#"{"event":"handle","data":true}"#,
        "7",
        r#"{"event":"told","data":"hi"}"#,
        "[3,4]",
        r#"{"ack":1,"data":2}"#,
    ] {
        ann.expect(text);
    }
    bob.expect(r#"{"event":"said","data":"hi"}"#);
    bob.expect("[1,2]");
    bob.expect(r#"{"event":"told","data":"hi"}"#);
    bob.expect("[3,4]");
    ann.send(r#"{"event":"leave","id":2}"#);
    ann.expect_nothing();
    ann.expect_close(CloseCode(4000));
}

#[test]
fn a_guard_refuses_by_name_and_state_before_the_data_is_read() {
    let events = events()
        .guard(|socket: &mut Texts<'_>, name| match name {
            "chat" if socket.state().len() == 2 => Err(EventError::new("full", "two texts")),
            _ => Ok(()),
        })
        .guard(|_: &mut Texts<'_>, name| match name {
            "echo" => Err(EventError::new("never", "")),
            _ => Ok(()),
        });
    let mut client = simulate(events).connect("/").unwrap();
    let chat = r#"{"event":"chat","data":{"room":1,"text":"Hi"},"id":1}"#;
    assert_eq!(ask(&mut client, chat).unwrap(), r#"{"ack":1,"data":1}"#);
    assert_eq!(ask(&mut client, chat).unwrap(), r#"{"ack":1,"data":2}"#);
    let full = r#"{"ack":1,"error":{"code":"full","message":"two texts"}}"#;
    assert_eq!(ask(&mut client, chat).unwrap(), full);
    let wrong = r#"{"event":"chat","data":7}"#;
    assert!(
        ask(&mut client, wrong)
            .unwrap()
            .contains(r#""code":"full""#)
    );
    assert!(
        ask(&mut client, r#"{"event":"echo"}"#)
            .unwrap()
            .contains("never")
    );
    assert!(
        ask(&mut client, r#"{"event":"nope"}"#)
            .unwrap()
            .contains("unknown_event")
    );
}

#[test]
fn an_acknowledgement_is_given_later_from_any_thread_once() {
    let acks = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&acks);
    let events = events().on_deferred("slow", move |_: &mut Texts<'_>, data: u64, ack: Ack| {
        keep.lock().unwrap().push((data, ack));
    });
    let server = simulate(events);
    let mut client = server.connect("/").unwrap();
    for id in 1..6 {
        client.send(&*format!(r#"{{"event":"slow","data":{id},"id":{id}}}"#));
    }
    client.send(r#"{"event":"slow","data":6}"#);
    client.send(r#"{"event":"slow","data":7}"#);
    client.expect_nothing();
    let wrong = ask(&mut client, r#"{"event":"slow"}"#).unwrap();
    assert!(wrong.contains("bad_data"));
    let mut acks = std::mem::take(&mut *acks.lock().unwrap());
    let mut next = || acks.remove(0).1;

    let first = next();
    assert!(first.is_wanted() && first.connection() == client.id());
    let thread = std::thread::spawn(move || first.reply(Ok("done")));
    assert!(thread.join().unwrap());
    client.expect(r#"{"ack":1,"data":"done"}"#);
    assert!(next().reply(Err::<(), _>(EventError::new("no", "not now"))));
    client.expect(r#"{"ack":2,"error":{"code":"no","message":"not now"}}"#);
    next().reply(Ok(BTreeMap::from([(Some(1), 2), (None, 3)])));
    assert!(
        client
            .text()
            .starts_with(r#"{"ack":3,"error":{"code":"internal","#)
    );
    drop(next());
    client.expect(r#"{"ack":4,"error":{"code":"dropped","message":"nobody replied"}}"#);
    let late = next();
    // Nobody asked: only an error is told.
    assert!(!acks[0].1.is_wanted());
    assert!(acks.remove(0).1.reply(Ok(6)));
    drop(acks);
    client.expect_nothing();
    client.leave();
    assert!(!late.reply(Ok(5)));
}

/// Asks its peer for a number when it is told to, and publishes what became of that.
fn asking() -> Events<Vec<String>> {
    events().on("ask", |socket: &mut Texts<'_>, seconds: u64| {
        let within = Duration::from_secs(seconds);
        socket.emit_with_ack("number?", &[1], within, |socket: &mut Texts<'_>, reply| {
            let told = match reply {
                Ok::<u8, _>(number) => format!("{number}"),
                Err(error) => format!("{}", error.code),
            };
            socket.state_mut().push(told.clone());
            socket.publish("all", &*told);
        });
        Ok(())
    })
}

fn ask_me(client: &mut Client, seconds: u64) {
    client.send(&*format!(r#"{{"event":"ask","data":{seconds}}}"#));
}

#[test]
fn what_the_peer_is_asked_comes_to_one_end_each() {
    let server = simulate(asking());
    let (mut ann, mut bob) = (server.connect("/").unwrap(), server.connect("/").unwrap());
    for id in 1..=5 {
        ask_me(&mut ann, id);
        ann.expect(&format!(r#"{{"event":"number?","data":[1],"id":{id}}}"#));
    }
    // In any order, and what is for no question is ignored.
    for (reply, told) in [
        (r#"{"ack":3,"data":7}"#, Some("7")),
        (r#"{"ack":3,"data":8}"#, None),
        (r#"{"ack":77,"data":8}"#, None),
        (r#"{"ack":"x","data":8}"#, None),
        (
            r#"{"ack":4,"error":{"code":"busy","message":"no"}}"#,
            Some("busy"),
        ),
        (r#"{"ack":5,"data":256}"#, Some("bad_data")),
        (r#"{"ack":1}"#, Some("bad_data")),
        (r#"{"error":{"code":"lost","message":""}}"#, None),
    ] {
        ann.send(reply);
        ann.expect_nothing();
        match told {
            Some(told) => bob.expect(told),
            None => bob.expect_nothing(),
        }
    }
    server.advance(Duration::from_millis(1_999));
    bob.expect_nothing();
    server.advance(Duration::from_millis(251));
    bob.expect("timeout");
    ann.send(r#"{"ack":2,"data":1}"#);
    server.advance(Duration::from_secs(60));
    bob.expect_nothing();
    let told = ask(&mut ann, r#"{"event":"texts","id":0}"#).unwrap();
    assert_eq!(
        told,
        r#"{"ack":0,"data":["7","busy","bad_data","bad_data","timeout"]}"#
    );
}

#[test]
fn what_the_peer_is_asked_is_bounded_and_no_id_comes_twice() {
    let server = simulate(asking());
    let (mut ann, mut bob) = (server.connect("/").unwrap(), server.connect("/").unwrap());
    for _ in 0..256 {
        ask_me(&mut ann, 9);
    }
    bob.expect_nothing();
    ask_me(&mut ann, 9);
    bob.expect("full");
    server.advance(Duration::from_secs(10));
    for _ in 0..256 {
        bob.expect("timeout");
        let _ = ann.text();
    }
    ann.expect_nothing();
    ask_me(&mut ann, 9);
    assert!(ann.text().contains(r#""id":257"#));
    // Its end drops what is left.
    ann.leave();
    server.advance(Duration::from_secs(60));
    bob.expect_nothing();
}

#[test]
fn what_can_not_be_asked_is_told_at_once() {
    let events = asking().on("last", |socket: &mut Texts<'_>, (): ()| {
        let _ = socket.close(CloseCode::NORMAL, "");
        let within = Duration::from_secs(1);
        socket.emit_with_ack(
            "?",
            &(),
            within,
            |socket: &mut Texts<'_>, reply: Result<(), _>| {
                socket.publish("all", &*reply.unwrap_err().code);
            },
        );
        Ok(())
    });
    let server = Server::builder()
        .max_backpressure(60)
        .route("/", App(events));
    let server = server.simulate().unwrap();
    let (mut ann, mut bob) = (server.connect("/").unwrap(), server.connect("/").unwrap());
    ann.stop_reading();
    for _ in 0..3 {
        ask_me(&mut ann, 1);
    }
    ann.send(r#"{"event":"last"}"#);
    let told: Vec<_> = core::iter::from_fn(|| bob.recv()).collect();
    let told: Vec<_> = told.iter().map(|it| it.as_text().unwrap()).collect();
    assert!(
        told.starts_with(&["full"]) && told.ends_with(&["closed"]),
        "{told:?}"
    );
}

#[test]
fn a_message_is_read_as_json() {
    let text = |text: &str| Message::from(String::from(text));
    assert_eq!(text("[1,2]").json::<(u8, u8)>(), Ok((1, 2)));
    assert_eq!(text(r#""ann""#).json::<&str>(), Ok("ann"));
    for (message, code) in [
        (text("[1"), "malformed"),
        (text(r#"["a",2]"#), "bad_data"),
        (Message::from(Vec::from(*b"[1,2]")), "malformed"),
    ] {
        assert_eq!(message.json::<(u8, u8)>().unwrap_err().code, code);
    }
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
