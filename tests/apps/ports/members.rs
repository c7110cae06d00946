//! A chat of members: JSON Web Tokens that another thread verifies, private messages, who types,
//! statistics over HTTP, and news that are posted and reach everyone at once.

use core::time::Duration;

use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sockeye::proto::{CloseCode, Message};
use sockeye::server::http::Json;
use sockeye::server::json::{Ack, EventError, Events, event};
use sockeye::server::{Builder, Handler, Pool, Server, Socket};

const KEY: &[u8] = b"for this test only";

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    exp: u64,
}

#[derive(Deserialize)]
struct Tell {
    to: String,
    text: String,
}

/// The name, once it is proved.
type State = Option<String>;

struct Chat {
    events: Events<State>,
}

fn name(state: &State) -> &str {
    state.as_deref().unwrap_or_default()
}

impl Chat {
    fn new(pool: Pool) -> Self {
        let events = Events::new()
            .guard(
                |socket: &mut Socket<'_, State>, event| match socket.state() {
                    None if event != "sign_in" => Err(EventError::new("stranger", "sign in first")),
                    _ => Ok(()),
                },
            )
            .on_deferred("sign_in", move |socket, token: String, ack: Ack| {
                let verify = move || {
                    let key = DecodingKey::from_secret(KEY);
                    jsonwebtoken::decode::<Claims>(&token, &key, &Validation::default())
                };
                socket.defer(&pool, verify, |socket, verified| match verified {
                    Ok(token) => {
                        let (state, sender) = socket.split();
                        _ = sender.set_user(&token.claims.sub);
                        _ = sender.subscribe("all");
                        *state = Some(token.claims.sub);
                        ack.reply(Ok(()));
                    }
                    Err(error) => {
                        ack.reply::<()>(Err(EventError::new("bad_token", error.to_string())));
                        socket.close(CloseCode(4001), "the token is not valid");
                    }
                });
            })
            .on("say", |socket, text: String| {
                let (me, sender) = socket.split();
                sender.publish_event("all", "said", &(name(me), text));
                Ok(())
            })
            .on("tell", |socket, Tell { to, text }| {
                let told = event("told", &(name(socket.state()), text))?;
                match socket.handle().send_to_user(&to, &*told) {
                    Ok(1..) => Ok(()),
                    _ => Err(EventError::new("away", "nobody of this name is here")),
                }
            })
            .on("typing", |socket, ()| {
                let (me, sender) = socket.split();
                sender.publish_event("all", "typing", name(me));
                Ok(())
            });
        Self { events }
    }
}

impl Handler for Chat {
    type State = State;

    fn on_message(&self, socket: &mut Socket<'_, State>, message: Message<'_>) {
        self.events.dispatch(socket, &message);
    }
}

fn server() -> Builder {
    Server::builder()
        .route("/chat", Chat::new(Pool::new(1)))
        .get("/stats", |request| {
            let stats = request.handle().stats();
            Json(json!({ "connections": stats.connections, "received": stats.messages_received }))
        })
        .post("/news", |request| {
            let news: Value = request.json()?;
            let topics = request.handle().topics("/chat");
            Ok(match topics.publish_event("all", "news", &news) {
                Ok(_) => 204,
                Err(_) => 503,
            })
        })
}

// ---- as its users see it --------------------------------------------------------------------

fn token(user: &str, key: &[u8]) -> String {
    let claims = Claims {
        sub: user.into(),
        exp: 4_000_000_000,
    };
    let key = EncodingKey::from_secret(key);
    jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap()
}

fn sign_in(token: &str) -> String {
    json!({ "event": "sign_in", "data": token, "id": 1 }).to_string()
}

#[test]
fn members_chat_in_public_and_in_private_and_see_who_types() {
    let server = server().simulate().unwrap();
    let [mut ann, mut bob, mut cat] = ["ann", "bob", "cat"].map(|user| {
        let mut client = server.connect("/chat").unwrap();
        client.send(&*sign_in(&token(user, KEY)));
        // What follows at once waits until it is known who it is from.
        client.send(r#"{"event":"typing"}"#);
        client.expect(r#"{"ack":1,"data":null}"#);
        client
    });
    ann.expect(r#"{"event":"typing","data":"bob"}"#);
    ann.expect(r#"{"event":"typing","data":"cat"}"#);
    bob.expect(r#"{"event":"typing","data":"cat"}"#);
    ann.send(r#"{"event":"say","data":"hi"}"#);
    bob.expect(r#"{"event":"said","data":["ann","hi"]}"#);
    cat.expect(r#"{"event":"said","data":["ann","hi"]}"#);
    bob.send(r#"{"event":"tell","data":{"to":"ann","text":"psst"},"id":2}"#);
    bob.expect(r#"{"ack":2,"data":null}"#);
    ann.expect(r#"{"event":"told","data":["bob","psst"]}"#);
    cat.expect_nothing();
    bob.send(r#"{"event":"tell","data":{"to":"dan","text":"psst"},"id":3}"#);
    let reply: Value = bob.json();
    assert_eq!(reply["error"]["code"], "away");
}

#[test]
fn a_forged_token_is_refused_with_its_code_and_nothing_is_done_before_one() {
    let server = server().simulate().unwrap();
    let mut forger = server.connect("/chat").unwrap();
    forger.send(r#"{"event":"say","data":"hi","id":1}"#);
    let reply: Value = forger.json();
    assert_eq!(reply["error"]["code"], "stranger");
    forger.send(&*sign_in(&token("ann", b"another key")));
    let reply: Value = forger.json();
    assert_eq!(reply["error"]["code"], "bad_token");
    forger.expect_close(CloseCode(4001));
}

#[test]
fn news_are_posted_and_reach_everyone_and_the_statistics_count() {
    let server = server().simulate().unwrap();
    let mut ann = server.connect("/chat").unwrap();
    ann.send(&*sign_in(&token("ann", KEY)));
    ann.expect(r#"{"ack":1,"data":null}"#);
    let post = server
        .request("/news")
        .header("Content-Type", "application/json");
    assert_eq!(post.send("POST", r#"{"title":"rain"}"#).status, 204);
    ann.expect(r#"{"event":"news","data":{"title":"rain"}}"#);
    server.advance(Duration::from_secs(1));
    let stats: Value = server.get("/stats").json();
    assert_eq!(stats, json!({ "connections": 1, "received": 1 }));
}
