//! The example with tokens.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::{Example, Peer, SECRET, assert_starts_and_stops};

const HOUR: i64 = 60 * 60;

fn start() -> Example {
    Example::start("auth", &[])
}

fn now() -> Duration {
    #[allow(clippy::disallowed_methods, reason = "tokens have dates")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap()
}

fn sign(claims: &Value, algorithm: Algorithm, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

fn claims(user: &str, role: &str, seconds: i64) -> Value {
    let now = i64::try_from(now().as_secs()).unwrap();
    json!({ "sub": user, "role": role, "exp": now + seconds })
}

fn token(user: &str, role: &str) -> String {
    sign(&claims(user, role, HOUR), Algorithm::HS256, SECRET)
}

fn sign_in(token: &str) -> Value {
    json!({ "event": "sign_in", "data": { "token": token } })
}

/// Signs in by the query, and is told so.
#[track_caller]
fn enter(example: &Example, user: &str, role: &str) -> Peer {
    let mut peer = example.connect(&format!("/session?token={}", token(user, role)));
    assert_eq!(peer.expect("signed_in")["user"], user);
    peer
}

#[test]
fn it_starts_and_stops() {
    let target = format!("/session?token={}", token("ann", "reader"));
    assert_starts_and_stops("auth", &target);
}

#[test]
fn the_page_is_served() {
    let example = start();
    for path in ["/", "/auth"] {
        example.get(path).assert_page("<title>Sockeye auth</title>");
    }
    // A page waits for an acknowledgement.
    let mut peer = example.connect("/session");
    let data = json!({ "token": token("ann", "reader") });
    peer.send(json!({ "event": "sign_in", "data": data, "id": 1 }));
    assert_eq!(peer.expect_ack(1)["user"], "ann");
}

#[test]
fn a_token_in_the_query_the_header_or_the_first_message_signs_in() {
    let example = start();
    let token = token("ann", "writer");
    let bearer = format!("Bearer {token}");
    for (target, headers, first) in [
        (format!("/session?token={token}"), vec![], false),
        ("/session".into(), vec![("Authorization", &*bearer)], false),
        ("/session".into(), vec![], true),
    ] {
        let mut peer = example.connect_with(&target, &headers);
        if first {
            peer.send(sign_in(&token));
        }
        let data = peer.expect("signed_in");
        assert_eq!(
            (&data["user"], &data["role"]),
            (&json!("ann"), &json!("writer"))
        );
        assert!(data["expires"].as_u64().unwrap() > now().as_secs());
        peer.client.close(None, "").unwrap();
    }
}

#[test]
fn the_server_issues_tokens_that_it_takes() {
    let example = start();
    let answer = example.http("POST", "/token", &[], r#"{"user":"ann","role":"admin"}"#);
    assert_eq!(answer.header("Cache-Control"), "no-store");
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    let mut peer = example.connect(&format!("/admin?token={token}"));
    assert_eq!(peer.expect("signed_in")["role"], "admin");
    for wrong in [
        "",
        "{}",
        r#"{"user":"ann","role":"king"}"#,
        r#"{"user":" ","role":"admin"}"#,
    ] {
        let answer = example.http("POST", "/token", &[], wrong);
        assert_eq!(answer.status(), 400, "{wrong}");
        assert!(answer.json()["error"].is_string());
    }
}

#[test]
fn a_token_that_is_not_valid_is_closed_with_4001() {
    let example = start();
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
        let mut by_query = example.connect(&format!("/session?token={token}"));
        assert_eq!(by_query.refused(), (4001, reason.into()), "{token}");
        let mut by_message = example.connect("/session");
        by_message.send(sign_in(token));
        assert_eq!(by_message.refused(), (4001, reason.into()), "{token}");
    }
}

#[test]
fn who_sends_no_token_for_ten_seconds_is_closed_with_4001() {
    let example = start();
    let mut silent = example.connect("/session");
    let mut signed_in = enter(&example, "bob", "writer");
    let began = now();
    assert_eq!(silent.closed(), (4001, "no token for ten seconds".into()));
    let waited = (now() - began).as_secs_f64();
    assert!((9.5..14.0).contains(&waited), "{waited} s");
    // Who signed in stays.
    signed_in.send(json!({ "event": "post", "data": { "text": "here" }, "id": 1 }));
    assert_eq!(signed_in.expect("posted")["text"], "here");
}

#[test]
fn a_session_ends_with_its_token() {
    let example = start();
    let token = sign(&claims("ann", "reader", 2), Algorithm::HS256, SECRET);
    let mut peer = example.connect(&format!("/session?token={token}"));
    peer.expect("signed_in");
    assert_eq!(peer.closed(), (4001, "the token has expired".into()));
}

#[test]
fn a_role_that_is_too_low_for_the_path_is_closed_with_1008() {
    let example = start();
    for role in ["reader", "writer"] {
        let mut peer = example.connect(&format!("/admin?token={}", token("ann", role)));
        assert_eq!(peer.closed(), (1008, "this needs the role admin".into()));
    }
    let mut peer = example.connect(&format!("/admin?token={}", token("ann", "admin")));
    peer.expect("signed_in");
}

#[test]
fn anything_else_before_the_token_is_closed_with_1008() {
    let example = start();
    for text in ["Hello", "{}", r#"{"event":"post","data":{"text":"x"}}"#] {
        let mut peer = example.connect("/session");
        peer.client.send(text).unwrap();
        assert_eq!(peer.closed(), (1008, "sign in first".into()), "{text}");
    }
}

#[test]
fn each_role_may_do_what_it_may() {
    let example = start();
    let mut reader = enter(&example, "rea", "reader");
    let mut writer = enter(&example, "wri", "writer");
    let mut admin = enter(&example, "adm", "admin");
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
    let example = start();
    let mut other = enter(&example, "bob", "admin");
    let mut first = enter(&example, "ann", "writer");
    for _ in 0..3 {
        let second = enter(&example, "ann", "writer");
        assert_eq!(first.closed(), (4000, "signed in elsewhere".into()));
        first = second;
    }
    // The older one's end leaves the newer one signed in, and others alone.
    other.send(json!({ "event": "sessions", "id": 1 }));
    assert_eq!(other.expect_ack(1), json!(["ann", "bob"]));
    first.send(json!({ "event": "post", "data": { "text": "mine" } }));
    assert_eq!(other.expect("posted")["user"], "ann");
}
