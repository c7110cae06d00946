//! Who may connect: JSON Web Tokens, roles, and one session for each user.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize};
use sockeye::proto::{CloseCode, Message};
use sockeye::server::json::{self, EventError, Events};
use sockeye::server::{Builder, Handler, HttpResponse, Request, Route, Socket};

use super::common;

/// The codes from 4000 on are the application's (RFC 6455 section 7.4.2).
const REPLACED: CloseCode = CloseCode(4000);
const UNAUTHORIZED: CloseCode = CloseCode(4001);

/// How long a connection may take to send its token: a phone's worst second times ten. Until then
/// a stranger holds a connection.
const SIGN_IN_TIME: Duration = Duration::from_secs(10);
/// How long a token is good for: a stolen one is, too.
const TOKEN_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// The longest name of a user, in characters.
const MAX_NAME: usize = 32;

/// The timer of a connection: by then it has a token, or its token ends.
const DEADLINE: u64 = 0;

/// The namespace of both paths' topics.
const DESK: &str = "desk";
/// The topic of everyone who is signed in.
const POSTS: &str = "posts";

/// Each may do what those before it may.
#[derive(Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    Reader,
    Writer,
    Admin,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Admin => "admin",
        }
    }
}

/// What a token says (RFC 7519 section 4.1).
#[derive(Clone, Serialize, Deserialize)]
struct Claims {
    sub: String,
    role: Role,
    /// In seconds since 1970.
    exp: u64,
}

// ---- tokens -----------------------------------------------------------------------------------

struct Keys {
    sign: EncodingKey,
    verify: DecodingKey,
}

impl Keys {
    fn new(secret: &[u8]) -> Self {
        Self {
            sign: EncodingKey::from_secret(secret),
            verify: DecodingKey::from_secret(secret),
        }
    }

    fn claims(&self, token: &str) -> Result<Claims, &'static str> {
        // HS256 and no other: the token doesn't choose how it is checked.
        let validation = Validation {
            // The clock that checks it is the one that made it.
            leeway: 0,
            ..Validation::default()
        };
        match jsonwebtoken::decode(token, &self.verify, &validation) {
            Ok(token) => Ok(token.claims),
            Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => Err(EXPIRED),
            Err(_) => Err("the token is not valid"),
        }
    }
}

const EXPIRED: &str = "the token has expired";

/// `POST /token`: `{"user":"ann","role":"writer"}`
///
/// Whoever asks gets what they ask for, so that there is something to try. This is the place of
/// your identity provider, which asks for a password first.
fn issue(keys: &Keys, request: &Request<'_>) -> HttpResponse {
    #[derive(Deserialize)]
    struct Ask {
        user: String,
        role: Role,
    }

    let error = |text: String| {
        let body = serde_json::json!({ "error": text }).to_string();
        HttpResponse::json(body).with_status(400)
    };
    let Ask { user, role } = match serde_json::from_slice(request.body()) {
        Ok(ask) => ask,
        Err(wrong) => return error(wrong.to_string()),
    };
    if user.trim().is_empty() || user.chars().count() > MAX_NAME {
        return error(format!("a user's name has 1 to {MAX_NAME} characters"));
    }
    let claims = Claims {
        sub: user,
        role,
        exp: (common::unix_time() + TOKEN_LIFETIME).as_secs(),
    };
    match jsonwebtoken::encode(&Header::default(), &claims, &keys.sign) {
        Ok(token) => HttpResponse::json(serde_json::json!({ "token": token }).to_string())
            .with_header("Cache-Control", "no-store"),
        Err(_) => HttpResponse::status(500),
    }
}

// ---- connections ------------------------------------------------------------------------------

/// A connection.
#[derive(Default)]
struct Session {
    /// What came with the request, until it opens.
    token: Option<String>,
    /// Who is signed in.
    claims: Option<Claims>,
}

impl Session {
    /// A token in a URL ends up in logs and histories: a program uses the header, and a page,
    /// which can set none, the first message.
    fn from(request: &Request<'_>) -> Self {
        let header = request.header("authorization").unwrap_or_default();
        let token = match header.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.into()),
            _ => request.query_param("token").map(|it| it.into_owned()),
        };
        Self {
            token,
            claims: None,
        }
    }
}

/// Fails if who is signed in has a lower role.
fn needs<'s>(socket: &'s Socket<'_, Session>, role: Role) -> Result<&'s Claims, EventError> {
    let claims = socket.state().claims.as_ref();
    claims.filter(|it| it.role >= role).ok_or_else(|| {
        let message = format!("this needs the role {}", role.name());
        EventError::new("forbidden", message)
    })
}

#[derive(Deserialize)]
struct Post {
    text: String,
}

fn post(socket: &mut Socket<'_, Session>, Post { text }: Post) -> Result<(), EventError> {
    #[derive(Serialize)]
    struct Posted<'a> {
        user: &'a str,
        text: &'a str,
    }

    let posted = Posted {
        user: &needs(socket, Role::Writer)?.sub,
        text: &text,
    };
    let text = json::event("posted", &posted)?;
    socket.publish_to_all(POSTS, text.as_str());
    Ok(())
}

/// Who is signed in.
fn sessions(socket: &mut Socket<'_, Session>, (): ()) -> Result<Vec<String>, EventError> {
    needs(socket, Role::Admin)?;
    let members = socket.handle().topics(DESK).presence_members(POSTS);
    let mut users: Vec<_> = members.iter().map(|it| it.user.to_string()).collect();
    users.sort_unstable();
    Ok(users)
}

/// A path, and the lowest role that may come in.
struct Door {
    keys: Arc<Keys>,
    lowest: Role,
    events: Events<Session>,
}

impl Door {
    fn new(keys: &Arc<Keys>, lowest: Role) -> Self {
        Self {
            keys: Arc::clone(keys),
            lowest,
            events: Events::new().on("post", post).on("sessions", sessions),
        }
    }

    /// Tells it by the acknowledgement of this id, or by an event.
    fn sign_in(&self, socket: &mut Socket<'_, Session>, token: &str, id: Option<u64>) {
        #[derive(Serialize)]
        struct SignedIn<'a> {
            user: &'a str,
            role: Role,
            expires: u64,
        }

        let claims = match self.keys.claims(token) {
            Ok(claims) => claims,
            Err(reason) => return close(socket, UNAUTHORIZED, reason),
        };
        if claims.role < self.lowest {
            let reason = format!("this needs the role {}", self.lowest.name());
            return close(socket, CloseCode::POLICY_VIOLATION, &reason);
        }
        let user = &claims.sub;
        if socket
            .replace_user(user, REPLACED, "signed in elsewhere")
            .is_err()
        {
            return close(socket, UNAUTHORIZED, "the user's name is too long");
        }
        // A single topic is within all limits. Presence says who is signed in, and ends with the
        // connection.
        let _ = socket.subscribe(POSTS);
        let _ = socket.join_presence(POSTS, user, "", |_| None);
        let left = Duration::from_secs(claims.exp).saturating_sub(common::unix_time());
        socket.set_timer(DEADLINE, left);
        let signed_in = SignedIn {
            user: &claims.sub,
            role: claims.role,
            expires: claims.exp,
        };
        match id {
            Some(id) => {
                let reply = serde_json::json!({ "ack": id, "data": signed_in });
                socket.send(reply.to_string().as_str());
            }
            None => {
                socket.emit("signed_in", &signed_in);
            }
        }
        socket.state_mut().claims = Some(claims);
    }

    /// The first message, where no token came with the request.
    fn first(&self, socket: &mut Socket<'_, Session>, text: &str) {
        #[derive(Deserialize)]
        #[serde(tag = "event", rename = "sign_in")]
        struct SignIn {
            data: Token,
            id: Option<u64>,
        }

        #[derive(Deserialize)]
        struct Token {
            token: String,
        }

        match serde_json::from_str(text) {
            Ok(SignIn { data, id }) => self.sign_in(socket, &data.token, id),
            Err(_) => close(socket, CloseCode::POLICY_VIOLATION, "sign in first"),
        }
    }
}

fn close(socket: &mut Socket<'_, Session>, code: CloseCode, reason: &str) {
    socket.close(code, reason);
}

impl Handler for Door {
    type State = Session;

    fn on_open(&self, socket: &mut Socket<'_, Session>) {
        match socket.state_mut().token.take() {
            Some(token) => self.sign_in(socket, &token, None),
            None => socket.set_timer(DEADLINE, SIGN_IN_TIME),
        }
    }

    fn on_message(&self, socket: &mut Socket<'_, Session>, message: Message<'_>) {
        let Some(text) = message.as_text() else {
            return close(socket, CloseCode::UNSUPPORTED_DATA, "send text, not binary");
        };
        match socket.state().claims {
            Some(_) => self.events.dispatch(socket, &message),
            None => self.first(socket, text),
        }
    }

    fn on_timer(&self, socket: &mut Socket<'_, Session>, _: u64) {
        let reason = match socket.state().claims {
            Some(_) => EXPIRED,
            None => "no token for ten seconds",
        };
        close(socket, UNAUTHORIZED, reason);
    }
}

/// Adds the two doors, the page, and who gives tokens, which are signed with this secret.
pub(crate) fn add(builder: Builder, secret: &[u8]) -> Builder {
    let keys = Arc::new(Keys::new(secret));
    // Both doors lead to the same posts.
    let door = |path: &str, role| {
        let accept = |request: &Request<'_>| Ok(Session::from(request));
        Route::with(path, Door::new(&keys, role), accept).namespace(DESK)
    };
    builder
        .add_route(door("/session", Role::Reader))
        .add_route(door("/admin", Role::Admin))
        .get("/auth", common::page(include_str!("index.html")))
        .get("/auth.css", common::style(include_str!("auth.css")))
        .get("/auth.js", common::script(include_str!("auth.js")))
        .post("/token", move |request: &Request<'_>| issue(&keys, request))
}
