//! The example with tokens as a process; its sessions are tested in simulation
//! (`simulated/sessions.rs`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::{Example, SECRET, assert_starts_and_stops};

pub(super) const HOUR: i64 = 60 * 60;

pub(super) fn now() -> Duration {
    #[allow(clippy::disallowed_methods, reason = "tokens have dates")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).unwrap()
}

pub(super) fn sign(claims: &Value, algorithm: Algorithm, secret: &str) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

pub(super) fn claims(user: &str, role: &str, seconds: i64) -> Value {
    let now = i64::try_from(now().as_secs()).unwrap();
    json!({ "sub": user, "role": role, "exp": now + seconds })
}

pub(super) fn token(user: &str, role: &str) -> String {
    sign(&claims(user, role, HOUR), Algorithm::HS256, SECRET)
}

#[test]
fn it_starts_and_stops() {
    let target = format!("/session?token={}", token("ann", "reader"));
    assert_starts_and_stops("auth", &target);
}

#[test]
fn the_page_is_served() {
    let example = Example::start("auth", &[]);
    for path in ["/", "/auth"] {
        example.get(path).assert_page("<title>Sockeye auth</title>");
    }
}
