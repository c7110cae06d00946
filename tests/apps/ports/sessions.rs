//! Rooms by an optional parameter, close codes of the application's own, one session for each user, and
//! a room's history over HTTP.

use core::time::Duration;

use sockeye::proto::{CloseCode, Message};
use sockeye::server::http::Json;
use sockeye::server::topics::TopicOptions;
use sockeye::server::{Builder, Handler, Request, Route, Server, Socket};

const NO_NAME: CloseCode = CloseCode(4001);
const NO_ROOM: CloseCode = CloseCode(4002);
const ELSEWHERE: CloseCode = CloseCode(4003);

struct Chat;

struct Member {
    room: String,
    name: String,
}

/// Where a browser can't see the status of a refusal, it can see the code of a Close.
fn member(request: &Request<'_>) -> Result<Member, CloseCode> {
    let room = request.param("room").unwrap_or("lobby".into());
    let name = request.query_param("name").ok_or(NO_NAME)?;
    if !["lobby", "kitchen"].contains(&&*room) {
        return Err(NO_ROOM);
    }
    Ok(Member {
        room: room.into(),
        name: name.into(),
    })
}

impl Handler for Chat {
    type State = Result<Member, CloseCode>;

    fn on_open(&self, socket: &mut Socket<'_, Self::State>) {
        match socket.split() {
            (Err(code), sender) => _ = sender.close(*code, "see the code"),
            (Ok(Member { room, name }), sender) => {
                _ = sender.replace_user(name, ELSEWHERE, "opened elsewhere");
                _ = sender.subscribe(room);
                sender.publish_to_all(room, &*format!("{name} is here"));
            }
        }
    }

    fn on_message(&self, socket: &mut Socket<'_, Self::State>, message: Message<'_>) {
        if let (Ok(Member { room, name }), sender) = socket.split() {
            let text = message.as_text().unwrap_or("(binary)");
            sender.publish_to_all(room, &*format!("{name}: {text}"));
        }
    }
}

fn server() -> Builder {
    let route = Route::with("/chat/{room?}", Chat, |request| Ok(member(request)))
        .namespace("chat")
        .topic("**", TopicOptions::new().history(100));
    Server::builder()
        .add_route(route)
        .get("/history/{room}", |request| {
            let room: String = request.param_as("room")?;
            let kept = request.handle().topics("chat").history(&room, 20);
            let texts = kept.iter().map(|it| String::from_utf8_lossy(&it.payload));
            Ok(Json(texts.map(String::from).collect::<Vec<_>>()))
        })
}

// ---- as its users see it --------------------------------------------------------------------

#[test]
fn a_room_is_an_optional_parameter_and_its_history_is_read_over_http() {
    let server = server().simulate().unwrap();
    let mut ann = server.connect("/chat?name=ann").unwrap();
    ann.expect("ann is here");
    ann.send("hello");
    ann.expect("ann: hello");
    let mut bob = server.connect("/chat/kitchen?name=bob").unwrap();
    bob.expect("bob is here");
    bob.send("any soup?");
    ann.expect_nothing();
    let lobby: Vec<String> = server.get("/history/lobby").json();
    assert_eq!(lobby, ["ann is here", "ann: hello"]);
    let kitchen: Vec<String> = server.get("/history/kitchen").json();
    assert_eq!(kitchen, ["bob is here", "bob: any soup?"]);
}

#[test]
fn each_mistake_has_its_close_code() {
    let server = server().simulate().unwrap();
    server.connect("/chat").unwrap().expect_close(NO_NAME);
    let mut lost = server.connect("/chat/attic?name=ann").unwrap();
    lost.expect_close(NO_ROOM);
}

#[test]
fn a_second_session_of_a_user_replaces_the_first() {
    let server = server().simulate().unwrap();
    let mut first = server.connect("/chat?name=ann").unwrap();
    let mut second = server.connect("/chat?name=ann").unwrap();
    first.expect("ann is here");
    // From the history, and its own.
    second.expect("ann is here");
    second.expect("ann is here");
    first.expect_close(ELSEWHERE);
    server.advance(Duration::from_secs(1));
    second.send("still here");
    second.expect("ann: still here");
}

#[test]
fn a_session_that_is_being_closed_replaces_no_other() {
    let server = server().simulate().unwrap();
    let mut first = server.connect("/chat?name=ann").unwrap();
    first.expect("ann is here");
    // It doesn't answer the Close.
    first.stop_reading();
    let handle = server.handle();
    handle.close(first.id(), CloseCode(4000), "").unwrap();
    let mut second = server.connect("/chat?name=ann").unwrap();
    let late = |socket: &mut Socket<'_, Result<Member, CloseCode>>| {
        assert_eq!(socket.replace_user("ann", ELSEWHERE, ""), Ok(0));
    };
    handle.run_on(first.id(), late).unwrap();
    server.settle();
    assert!(second.closed().is_none());
    assert_eq!(handle.user_connections("ann"), [second.id()]);
}
