//! Which routes share topics, and what reaches them from elsewhere.

use sockeye::Error;
use sockeye::server::{BuildError, Route};

use super::*;

/// `/chat` for itself, `/desk` and `/admin` together.
fn serve() -> Running {
    serve_with(2, |it| {
        it.add_route(Route::new("/desk", Verbs).namespace("desk"))
            .add_route(Route::new("/admin", Verbs).namespace("desk"))
    })
}

#[test]
fn a_connection_reaches_the_topics_of_its_namespace_and_of_no_other() {
    let server = serve();
    let [mut chat, mut desk, mut admin] =
        ["/chat", "/desk", "/admin"].map(|it| open_at(&server, it));
    subscribe(&mut chat, "room", 1);
    subscribe(&mut desk, "room", 1);
    subscribe(&mut admin, "room", 2);
    assert_eq!(desk.ask("others room for the staff"), "1/0/0");
    assert_eq!(admin.hear(), "for the staff");
    assert_eq!(chat.ask("others room for nobody"), "0/0/0");
    assert_eq!(chat.ask("topics"), "room");
    // No name of a topic leads into another namespace.
    let id = id(&mut chat);
    server
        .handle()
        .topics("/chat")
        .subscribe(id, "desk room")
        .unwrap();
    assert_eq!(chat.hear(), "+desk room Ok(1)");
    for name in ["/chat", "desk"] {
        let topics = server.handle().topics(name);
        topics.publish("room", name).unwrap();
    }
    assert_eq!(
        (chat.hear(), desk.hear(), admin.hear()),
        ("/chat".into(), "desk".into(), "desk".into())
    );
    for peer in [&mut chat, &mut desk, &mut admin] {
        peer.settle();
    }
}

#[test]
fn presence_history_and_counts_are_the_namespaces() {
    let server = serve_with(2, |it| {
        let desk = Route::new("/desk", Verbs).topic("room", TopicOptions::new().history(2));
        it.add_route(desk)
            .topic("room", TopicOptions::new().history(1))
    });
    let [mut chat, mut desk] = ["/chat", "/desk"].map(|it| open_at(&server, it));
    assert_eq!(chat.ask("join room ann"), "joined");
    assert_eq!(desk.ask("join room ann"), "joined");
    subscribe(&mut desk, "room", 1);
    for (name, kept) in [("/chat", 1), ("/desk", 2)] {
        let topics = server.handle().topics(name);
        for at in 0..3 {
            assert_eq!(
                topics.publish("room", &*at.to_string()).unwrap().position,
                Some(topics.position("room"))
            );
        }
        // The route's options come before those of all.
        assert_eq!(topics.history("room", 10).len(), kept, "{name}");
        assert_eq!(topics.presence_members("room").len(), 1);
    }
    assert_eq!(server.handle().topics("/desk").list(), [("room".into(), 1)]);
    assert_eq!(server.handle().topics("/chat").list(), []);
    assert_eq!(chat.ask("leave room"), "left");
    assert_eq!(
        server
            .handle()
            .topics("/desk")
            .presence_members("room")
            .len(),
        1
    );
}

#[test]
fn nobody_is_subscribed_from_elsewhere_to_a_topic_of_another_namespace() {
    let server = serve();
    let mut chat = open_at(&server, "/chat");
    let (id, desk) = (id(&mut chat), server.handle().topics("desk"));
    desk.subscribe(id, "room").unwrap();
    assert_eq!(chat.hear(), "+room Err(Namespace)");
    assert_eq!(desk.publish("room", "secret").unwrap().waiting, 0);
    assert_eq!(desk.list(), []);
    desk.unsubscribe(id, "room").unwrap();
    assert_eq!(chat.ask("topics"), "");
}

#[test]
fn a_namespace_that_is_empty_or_has_a_space_is_told_and_so_is_a_pattern() {
    let listen = |route| Server::builder().add_route(route).listen("127.0.0.1:0");
    for (name, route) in [
        ("", Route::new("/chat", Verbs).namespace("")),
        ("a b", Route::new("/chat", Verbs).namespace("a b")),
        ("/a b", Route::new("/a b", Verbs)),
    ] {
        let Err(Error::Build(BuildError::Namespace(told))) = listen(route) else {
            panic!("{name:?}");
        };
        assert_eq!(&*told, name);
    }
    let route = Route::new("/chat", Verbs).topic("a*", TopicOptions::new());
    assert!(matches!(
        listen(route),
        Err(Error::Build(BuildError::Topic(_)))
    ));
}
