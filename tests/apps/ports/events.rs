//! Rooms with named events: what is said goes to the others of the room, the server acknowledges, and
//! asks for an acknowledgement itself.

use core::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sockeye::proto::Message;
use sockeye::server::json::{Ack, EventError, Events, event};
use sockeye::server::topics::Publication;
use sockeye::server::{Builder, Handler, Server, Socket};

#[derive(Deserialize, Serialize)]
struct Said {
    room: String,
    text: String,
}

struct Rooms {
    events: Events<()>,
}

impl Rooms {
    fn new() -> Self {
        let events = Events::new()
            .on(
                "join",
                |socket: &mut Socket<'_, ()>, room: String| match socket.subscribe(&room) {
                    Ok(subscribed) => Ok(subscribed.count),
                    Err(refused) => Err(EventError::new("refused", refused.to_string())),
                },
            )
            .on(
                "leave",
                |socket, room: String| Ok(socket.unsubscribe(&room)),
            )
            .on("say", |socket, said: Said| {
                if !socket.topics().any(|it| it == said.room) {
                    return Err(EventError::new("outside", "join the room first"));
                }
                // To the others: `publish` leaves out who publishes.
                socket.publish_event(&said.room, "said", &said.text);
                Ok(())
            })
            // Whoever joined first is asked, and what they decide is acknowledged.
            .on_deferred("knock", |socket, room: String, ack: Ack| {
                let rooms = socket.handle().topics("/rooms");
                let Some(host) = rooms.subscribers(&room).first().copied() else {
                    ack.reply::<()>(Err(EventError::new("empty", "nobody is there")));
                    return;
                };
                let asked = socket
                    .handle()
                    .run_on(host, move |host: &mut Socket<'_, ()>| {
                        let time = Duration::from_secs(10);
                        host.emit_with_ack("knock", &room, time, |_, opens: Result<bool, _>| {
                            ack.reply(opens);
                        });
                    });
                // With the function goes the acknowledgement, which tells the client.
                _ = asked;
            });
        Self { events }
    }
}

impl Handler for Rooms {
    type State = ();

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        self.events.dispatch(socket, &message);
    }
}

fn server() -> Builder {
    Server::builder()
        .route("/rooms", Rooms::new())
        .post("/rooms/{room}", |request| {
            // From outside, with the connection left out that it is about.
            let room: String = request.param_as("room")?;
            let said = event("said", &*String::from_utf8_lossy(request.body()));
            let said = said.unwrap_or_default();
            let mut said = Publication::new(&said);
            if let Some(id) = request.optional_query_as("except")? {
                said = said.except(id);
            }
            let published = request.handle().topics("/rooms").publish(&room, said);
            Ok(if published.is_ok() { 204 } else { 503 })
        })
}

// ---- as its users see it --------------------------------------------------------------------

#[test]
fn what_is_said_reaches_the_others_and_is_acknowledged() {
    let server = server().simulate().unwrap();
    let [mut ann, mut bob] = [1, 2].map(|count| {
        let mut client = server.connect("/rooms").unwrap();
        client.send(r#"{"event":"join","data":"blue","id":1}"#);
        client.expect(&json!({ "ack": 1, "data": count }).to_string());
        client
    });
    ann.send(r#"{"event":"say","data":{"room":"blue","text":"hi"},"id":2}"#);
    ann.expect(r#"{"ack":2,"data":null}"#);
    bob.expect(r#"{"event":"said","data":"hi"}"#);
    bob.send(r#"{"event":"leave","data":"blue","id":2}"#);
    bob.expect(r#"{"ack":2,"data":true}"#);
    bob.send(r#"{"event":"say","data":{"room":"blue","text":"hi"},"id":3}"#);
    let reply: Value = bob.json();
    assert_eq!(reply["error"]["code"], "outside");
    ann.expect_nothing();
}

#[test]
fn who_is_asked_acknowledges_or_time_does() {
    let server = server().simulate().unwrap();
    let mut host = server.connect("/rooms").unwrap();
    host.send(r#"{"event":"join","data":"blue"}"#);
    let mut guest = server.connect("/rooms").unwrap();
    guest.send(r#"{"event":"knock","data":"blue","id":1}"#);
    let asked: Value = host.json();
    assert_eq!(asked["event"], "knock");
    host.send(&*json!({ "ack": asked["id"], "data": true }).to_string());
    guest.expect(r#"{"ack":1,"data":true}"#);
    guest.send(r#"{"event":"knock","data":"blue","id":2}"#);
    server.advance(Duration::from_secs(11));
    let reply: Value = guest.json();
    assert_eq!(reply["error"]["code"], "timeout");
    guest.send(r#"{"event":"knock","data":"red","id":3}"#);
    let reply: Value = guest.json();
    assert_eq!(reply["error"]["code"], "empty");
}

#[test]
fn what_is_posted_leaves_out_whom_it_is_told_to() {
    let server = server().simulate().unwrap();
    let [mut ann, mut bob] = [(), ()].map(|()| {
        let mut client = server.connect("/rooms").unwrap();
        client.send(r#"{"event":"join","data":"blue"}"#);
        client
    });
    let target = format!("/rooms/blue?except={}", ann.id());
    assert_eq!(server.request(&target).send("POST", "news").status, 204);
    bob.expect(r#"{"event":"said","data":"news"}"#);
    ann.expect_nothing();
}
