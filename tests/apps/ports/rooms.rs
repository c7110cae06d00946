//! Rooms to chat in, a feed of topics, and members who say who they are in their first message, on one
//! server.

use core::time::Duration;

use sockeye::proto::{CloseCode, Message};
use sockeye::server::{Builder, Handler, Reject, Server, Socket};

/// The state is the name, and the room is a topic.
struct Rooms;

impl Handler for Rooms {
    type State = (String, String);

    fn on_open(&self, socket: &mut Socket<'_, Self::State>) {
        let ((room, name), sender) = socket.split();
        _ = sender.subscribe(room);
        sender.publish(room, &*format!("{name} came in"));
    }

    fn on_message(&self, socket: &mut Socket<'_, Self::State>, message: Message<'_>) {
        let ((room, name), sender) = socket.split();
        let text = message.as_text().unwrap_or_default();
        sender.publish_to_all(room, &*format!("{name}: {text}"));
    }
}

/// `+topic` and `-topic` begin and end a subscription; anything else is `topic message`.
struct Feed;

impl Handler for Feed {
    type State = ();

    fn on_message(&self, socket: &mut Socket<'_, ()>, message: Message<'_>) {
        let text = message.as_text().unwrap_or_default();
        if let Some(topic) = text.strip_prefix('+') {
            if let Err(refused) = socket.subscribe(topic) {
                socket.send(&*refused.to_string());
            }
        } else if let Some(topic) = text.strip_prefix('-') {
            socket.unsubscribe(topic);
        } else if let Some((topic, _)) = text.split_once(' ') {
            socket.publish(topic, text);
        }
    }
}

/// The first message is a token, and comes within five seconds.
struct Members;

const SIGN_IN: u64 = 1;

impl Handler for Members {
    type State = Option<String>;

    fn on_open(&self, socket: &mut Socket<'_, Self::State>) {
        socket.set_timer(SIGN_IN, Duration::from_secs(5));
    }

    fn on_timer(&self, socket: &mut Socket<'_, Self::State>, _: u64) {
        socket.close(CloseCode(4001), "say who you are");
    }

    fn on_message(&self, socket: &mut Socket<'_, Self::State>, message: Message<'_>) {
        let text = message.as_text().unwrap_or_default();
        if let (Some(name), sender) = socket.split() {
            sender.publish("members", &*format!("{name}: {text}"));
        } else if let Some(name) = text.strip_prefix("token of ") {
            socket.cancel_timer(SIGN_IN);
            _ = socket.subscribe("members");
            *socket.state_mut() = Some(name.into());
        } else {
            socket.close(CloseCode(4002), "this is no token");
        }
    }
}

fn server() -> Builder {
    Server::builder()
        .route_with("/rooms/{room}", Rooms, |request| {
            let name = request.query_param("name");
            let name = name.ok_or(Reject::new(400, "add ?name="))?;
            Ok((request.param_as("room")?, name.into()))
        })
        .route("/feed", Feed)
        .route("/members", Members)
}

// ---- as its users see it --------------------------------------------------------------------

#[test]
fn a_room_hears_who_comes_and_what_is_said_and_no_other_room_does() {
    let server = server().simulate().unwrap();
    let mut ann = server.connect("/rooms/blue?name=ann").unwrap();
    let mut cat = server.connect("/rooms/red?name=cat").unwrap();
    let mut bob = server.connect("/rooms/blue?name=bob").unwrap();
    ann.expect("bob came in");
    bob.send("hi");
    ann.expect("bob: hi");
    bob.expect("bob: hi");
    cat.expect_nothing();
    assert!(server.connect("/rooms/blue").is_err());
}

#[test]
fn a_feed_sends_the_topics_that_are_subscribed_to_and_no_others() {
    let server = server().simulate().unwrap();
    let mut reader = server.connect("/feed").unwrap();
    let mut writer = server.connect("/feed").unwrap();
    reader.send("+news");
    writer.send("news rain");
    writer.send("sport won");
    reader.expect("news rain");
    reader.send("-news");
    writer.send("news sun");
    reader.expect_nothing();
}

#[test]
fn who_does_not_say_who_they_are_is_closed_after_five_seconds_and_hears_nothing_before() {
    let server = server().simulate().unwrap();
    let mut member = server.connect("/members").unwrap();
    member.send("token of ann");
    let mut stranger = server.connect("/members").unwrap();
    // The topic of another route, whatever its name.
    let mut spy = server.connect("/feed").unwrap();
    spy.send("+members");
    let mut other = server.connect("/members").unwrap();
    other.send("token of bob");
    other.send("hello");
    member.expect("bob: hello");
    server.advance(Duration::from_secs(6));
    stranger.expect_close(CloseCode(4001));
    spy.expect_nothing();
    member.expect_nothing();
    let mut liar = server.connect("/members").unwrap();
    liar.send("let me in");
    liar.expect_close(CloseCode(4002));
}
