//! Sessions with tokens: signing in, roles, and how sessions end.

use std::num::NonZeroUsize;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use sockeye::server::testing::{Client, Simulation};

use super::{Peer, common, connect, json_of, open};
use crate::SECRET;
use crate::auth::{HOUR, claims, now, sign, token};

#[path = "../../../examples/auth/app.rs"]
mod app;

/// Users who meet are on different workers.
fn start() -> Simulation {
    let builder = common::builder().workers(NonZeroUsize::new(2).unwrap());
    app::add(builder, SECRET.as_bytes()).simulate().unwrap()
}

fn sign_in(token: &str) -> Value {
    json!({ "event": "sign_in", "data": { "token": token } })
}

/// Signs in by the query, and is told so.
#[track_caller]
fn enter(server: &Simulation, user: &str, role: &str) -> Peer<Client> {
    let mut peer = connect(server, &format!("/session?token={}", token(user, role)));
    assert_eq!(peer.expect("signed_in")["user"], user);
    peer
}

#[test]
fn a_token_in_the_query_the_header_or_the_first_message_signs_in() {
    let server = start();
    let token = token("ann", "writer");
    let bearer = format!("Bearer {token}");
    let by_query = server.request(&format!("/session?token={token}"));
    let by_header = server.request("/session").header("Authorization", &bearer);
    let by_message = server.request("/session");
    for (request, first) in [(by_query, false), (by_header, false), (by_message, true)] {
        let mut peer = open(request);
        if first {
            peer.send(sign_in(&token));
        }
        let data = peer.expect("signed_in");
        assert_eq!(
            (&data["user"], &data["role"]),
            (&json!("ann"), &json!("writer"))
        );
        assert!(data["expires"].as_u64().unwrap() > now().as_secs());
        peer.client.close(None, "");
    }
}

#[test]
fn a_first_message_with_an_id_is_acknowledged() {
    let server = start();
    let mut peer = connect(&server, "/session");
    let data = json!({ "token": token("ann", "reader") });
    peer.send(json!({ "event": "sign_in", "data": data, "id": 1 }));
    assert_eq!(peer.expect_ack(1)["user"], "ann");
}

#[test]
fn the_server_issues_tokens_that_it_takes() {
    let server = start();
    let ask = |body: &str| server.request("/token").send("POST", body);
    let response = ask(r#"{"user":"ann","role":"admin"}"#);
    assert_eq!(response.header("Cache-Control"), Some("no-store"));
    let token = json_of(&response)["token"].as_str().unwrap().to_owned();
    let mut peer = connect(&server, &format!("/admin?token={token}"));
    assert_eq!(peer.expect("signed_in")["role"], "admin");
    for wrong in [
        "",
        "{}",
        r#"{"user":"ann","role":"king"}"#,
        r#"{"user":" ","role":"admin"}"#,
    ] {
        let response = ask(wrong);
        assert_eq!(response.status, 400, "{wrong}");
        assert!(json_of(&response)["error"].is_string());
    }
}

#[test]
fn a_token_that_is_not_valid_is_closed_with_4001() {
    let server = start();
    let good = claims("ann", "admin", HOUR);
    let without = |member: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(member);
        sign(&claims, Algorithm::HS256, SECRET)
    };
    let valid = token("ann", "admin");
    let (signed, _) = valid.rsplit_once('.').unwrap();
    // {"alg":"none"}: the token that asks not to be checked.
    let (_, body) = signed.split_once('.').unwrap();
    let unsigned = format!("eyJhbGciOiJub25lIn0.{body}.");
    let expired = sign(&claims("ann", "admin", -1), Algorithm::HS256, SECRET);
    for (token, reason) in [
        ("x", "the token is not valid"),
        ("", "the token is not valid"),
        (signed, "the token is not valid"),
        (&unsigned, "the token is not valid"),
        (
            &sign(&good, Algorithm::HS256, "another"),
            "the token is not valid",
        ),
        (
            &sign(&good, Algorithm::HS512, SECRET),
            "the token is not valid",
        ),
        (
            &sign(&claims("ann", "king", HOUR), Algorithm::HS256, SECRET),
            "the token is not valid",
        ),
        (&without("exp"), "the token is not valid"),
        (&without("sub"), "the token is not valid"),
        (&without("role"), "the token is not valid"),
        (&expired, "the token has expired"),
    ] {
        let mut by_query = connect(&server, &format!("/session?token={token}"));
        assert_eq!(by_query.refused(), (4001, reason.into()), "{token}");
        let mut by_message = connect(&server, "/session");
        by_message.send(sign_in(token));
        assert_eq!(by_message.refused(), (4001, reason.into()), "{token}");
    }
}

#[test]
fn who_sends_no_token_for_ten_seconds_is_closed_with_4001() {
    let server = start();
    let mut silent = connect(&server, "/session");
    let mut signed_in = enter(&server, "bob", "writer");
    server.advance(Duration::from_millis(9_500));
    assert!(silent.client.closed().is_none());
    server.advance(Duration::from_secs(1));
    assert_eq!(silent.refused(), (4001, "no token for ten seconds".into()));
    // Who signed in stays.
    signed_in.send(json!({ "event": "post", "data": { "text": "here" }, "id": 1 }));
    assert_eq!(signed_in.expect("posted")["text"], "here");
}

#[test]
fn a_session_ends_with_its_token() {
    let server = start();
    let mut peer = enter(&server, "ann", "reader");
    server.advance(Duration::from_secs(HOUR as u64 - 60));
    assert!(peer.client.closed().is_none());
    server.advance(Duration::from_secs(61));
    assert_eq!(peer.refused(), (4001, "the token has expired".into()));
}

#[test]
fn a_role_that_is_too_low_for_the_path_is_closed_with_1008() {
    let server = start();
    for role in ["reader", "writer"] {
        let mut peer = connect(&server, &format!("/admin?token={}", token("ann", role)));
        assert_eq!(peer.closed(), (1008, "this needs the role admin".into()));
    }
    let mut peer = connect(&server, &format!("/admin?token={}", token("ann", "admin")));
    peer.expect("signed_in");
}

#[test]
fn anything_else_before_the_token_is_closed_with_1008() {
    let server = start();
    for text in ["Hello", "{}", r#"{"event":"post","data":{"text":"x"}}"#] {
        let mut peer = connect(&server, "/session");
        peer.client.send(text);
        assert_eq!(peer.closed(), (1008, "sign in first".into()), "{text}");
    }
}

#[test]
fn each_role_may_do_what_it_may() {
    let server = start();
    let mut reader = enter(&server, "rea", "reader");
    let mut writer = enter(&server, "wri", "writer");
    let mut admin = enter(&server, "adm", "admin");
    let post = json!({ "event": "post", "data": { "text": "Hi" }, "id": 1 });
    let sessions = json!({ "event": "sessions", "id": 2 });
    reader.send(post.clone());
    assert_eq!(reader.expect_error(Some(1)), "forbidden");
    for peer in [&mut reader, &mut writer] {
        peer.send(sessions.clone());
        assert_eq!(peer.expect_error(Some(2)), "forbidden");
    }
    admin.send(sessions);
    assert_eq!(admin.expect_ack(2), json!(["adm", "rea", "wri"]));
    writer.send(post);
    for peer in [&mut reader, &mut writer, &mut admin] {
        let posted = peer.expect("posted");
        assert_eq!(posted, json!({ "user": "wri", "text": "Hi" }));
    }
    writer.expect_ack(1);
}

#[test]
fn a_newer_session_of_one_user_closes_the_older_with_4000() {
    let server = start();
    let mut other = enter(&server, "bob", "admin");
    let mut first = enter(&server, "ann", "writer");
    for _ in 0..3 {
        let second = enter(&server, "ann", "writer");
        assert_eq!(first.closed(), (4000, "signed in elsewhere".into()));
        first = second;
    }
    // The older one's end leaves the newer one signed in, and others alone.
    other.send(json!({ "event": "sessions", "id": 1 }));
    assert_eq!(other.expect_ack(1), json!(["ann", "bob"]));
    first.send(json!({ "event": "post", "data": { "text": "mine" } }));
    assert_eq!(other.expect("posted")["user"], "ann");
}
