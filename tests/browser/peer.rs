//! The server that the browser client is tested with: it does what the page asks it to.

use std::error::Error;

use serde::Deserialize;
use serde_json::{Value, json};
use sockeye::proto::{CloseCode, Message};
use sockeye::server::json::{self, EventError, SubscribeTopic, TopicJoined};
use sockeye::server::topics::TopicOptions;
use sockeye::server::{Handler, HttpResponse, Server, Socket};

struct Peer;

#[derive(Deserialize)]
struct Received {
    event: Option<String>,
    #[serde(default)]
    data: Value,
    id: Option<u64>,
}

/// What an event is acknowledged with; None for no acknowledgement.
type Reply = Result<Option<Value>, EventError>;

fn bad(error: impl ToString) -> EventError {
    EventError::new("bad_data", error.to_string())
}

impl Peer {
    fn handle(socket: &mut Socket<'_, ()>, event: &str, data: Value) -> Reply {
        match event {
            "echo" => return Ok(Some(data)),
            "fail" => return Err(EventError::new("no", "not this one")),
            "silent" => return Ok(None),
            "subscribe" => return Self::subscribe(socket, data),
            "unsubscribe" => {
                socket.unsubscribe(data["topic"].as_str().unwrap_or_default());
            }
            "say" => {
                let topic = data["topic"].as_str().unwrap_or_default();
                let published = socket
                    .handle()
                    .topics("/peer")
                    .publish_with(topic, |position| {
                        let text = json::topic_event(topic, position, "said", &data["text"]);
                        text.unwrap_or_default().into()
                    });
                published.map_err(bad)?;
            }
            // Sends any text, and what the page sends back comes back as the event `sent`.
            "send" => {
                socket.send(data.as_str().unwrap_or_default());
            }
            "close" => {
                let code = data["code"].as_u64().and_then(|it| u16::try_from(it).ok());
                let code = CloseCode(code.unwrap_or(1000));
                let _ = socket.close(code, data["reason"].as_str().unwrap_or_default());
            }
            "terminate" => socket.terminate(),
            _ => return Err(EventError::new("unknown_event", event.to_owned())),
        }
        Ok(Some(Value::Null))
    }

    fn subscribe(socket: &mut Socket<'_, ()>, data: Value) -> Reply {
        let SubscribeTopic { topic, since, .. } = serde_json::from_value(data).map_err(bad)?;
        if topic == "secret" {
            return Err(EventError::new("forbidden", "not for you"));
        }
        let missed =
            since.map(|since| socket.handle().topics("/peer").history_since(&topic, since));
        let position = socket.subscribe(&topic).map_err(bad)?.position;
        let complete = missed.is_none_or(|it| it.complete);
        let joined = TopicJoined { position, complete };
        serde_json::to_value(joined).map(Some).map_err(bad)
    }
}

impl Handler for Peer {
    type State = ();

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        let text = message.as_text().unwrap_or_default();
        let Ok(received) = serde_json::from_str::<Received>(text) else {
            return;
        };
        let Some(event) = received.event else {
            let reply: Value = serde_json::from_str(text).unwrap_or_default();
            let sent = json::event("sent", &reply).unwrap_or_default();
            socket.send(sent.as_str());
            return;
        };
        let reply = match (Self::handle(socket, &event, received.data), received.id) {
            (Ok(Some(data)), Some(id)) => json!({ "ack": id, "data": data }),
            (Err(error), id) => {
                let error = json!({ "code": error.code, "message": error.message });
                match id {
                    Some(id) => json!({ "ack": id, "error": error }),
                    None => json!({ "error": error }),
                }
            }
            (Ok(_), _) => return,
        };
        socket.send(reply.to_string().as_str());
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(2).unwrap_or("127.0.0.1:0".into());
    let script = "text/javascript; charset=utf-8";
    let server = Server::builder()
        .route("/peer", Peer)
        .topic("kept/*", TopicOptions::new().history(5))
        .page("/sockeye.js", script, json::BROWSER_CLIENT)
        .get("/", |_| {
            HttpResponse::html("<!doctype html><link rel=icon href=data:,>")
        })
        .listen(port)?;
    println!("listening on {}", server.local_addr());
    server.run()?;
    Ok(())
}
