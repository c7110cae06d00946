//! Who may connect: JSON Web Tokens, roles, and one session for each user.

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize};
use sockeye::proto::{CloseCode, Message};
use sockeye::server::json::{self, EventError, Events};
use sockeye::server::{
    Builder, ConnectionId, End, Handle, HandleError, Handler, HttpResponse, Request, Route, Socket,
};

use super::common;

/// The codes from 4000 on are the application's (RFC 6455 section 7.4.2).
const REPLACED: CloseCode = CloseCode(4000);
const UNAUTHORIZED: CloseCode = CloseCode(4001);

/// How long a connection may take to send its token: a phone's worst second times ten. Until then
/// a stranger holds a connection.
const SIGN_IN_TIME: Duration = Duration::from_secs(10);
/// How long a token is good for: a stolen one is, too.
const TOKEN_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// How often it is looked whose time is over.
const SWEEP: Duration = Duration::from_secs(1);
/// The longest name of a user, in characters.
const MAX_NAME: usize = 32;

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

// ---- sessions ---------------------------------------------------------------------------------

/// All connections, over all workers.
#[derive(Default)]
struct Sessions {
    /// Until when each may stay, since 1970, and why no longer.
    ends: HashMap<ConnectionId, (Duration, &'static str)>,
    by_user: HashMap<String, ConnectionId>,
}

impl Sessions {
    fn wait_for_token(&mut self, id: ConnectionId) {
        let end = common::unix_time() + SIGN_IN_TIME;
        self.ends.insert(id, (end, "no token for ten seconds"));
    }

    /// Answers the user's older session, which is no longer theirs.
    fn enter(&mut self, id: ConnectionId, claims: &Claims) -> Option<ConnectionId> {
        let end = Duration::from_secs(claims.exp);
        self.ends.insert(id, (end, EXPIRED));
        self.by_user.insert(claims.sub.clone(), id)
    }

    fn leave(&mut self, id: ConnectionId, claims: Option<&Claims>) {
        self.ends.remove(&id);
        // A newer session of the same user stays.
        if let Some(claims) = claims
            && self.by_user.get(&claims.sub) == Some(&id)
        {
            self.by_user.remove(&claims.sub);
        }
    }
}

/// Closes those whose time is over, until the server stops.
fn sweep(desk: &Desk, handle: &Handle) {
    loop {
        thread::sleep(SWEEP);
        let now = common::unix_time();
        for (id, (end, reason)) in &desk.sessions().ends {
            if *end > now {
                continue;
            }
            // A worker that is that busy is told again by the next round.
            if handle.close(*id, UNAUTHORIZED, reason) == Err(HandleError::Stopped) {
                return;
            }
        }
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

/// What all connections share.
pub(crate) struct Desk {
    keys: Keys,
    sessions: Mutex<Sessions>,
}

impl Desk {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        // Each change is whole: a panic elsewhere leaves nothing half done.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
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

/// A path, and the lowest role that may come in.
struct Door {
    desk: Arc<Desk>,
    lowest: Role,
    events: Events<Session>,
}

impl Door {
    fn new(desk: &Arc<Desk>, lowest: Role) -> Self {
        let admin = Arc::clone(desk);
        // Who is signed in.
        let sessions = move |socket: &mut Socket<'_, Session>, (): ()| {
            needs(socket, Role::Admin)?;
            let mut users: Vec<_> = admin.sessions().by_user.keys().cloned().collect();
            users.sort_unstable();
            Ok(users)
        };
        Self {
            desk: Arc::clone(desk),
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

        let claims = match self.desk.keys.claims(token) {
            Ok(claims) => claims,
            Err(reason) => return close(socket, UNAUTHORIZED, reason),
        };
        if claims.role < self.lowest {
            let reason = format!("this needs the role {}", self.lowest.name());
            return close(socket, CloseCode::POLICY_VIOLATION, &reason);
        }
        if let Some(older) = self.desk.sessions().enter(socket.id(), &claims) {
            // It may have gone by itself meanwhile.
            let _ = socket
                .handle()
                .close(older, REPLACED, "signed in elsewhere");
        }
        // A single topic is within all limits.
        let _ = socket.subscribe(POSTS);
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
            None => self.desk.sessions().wait_for_token(socket.id()),
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

    fn on_close(&self, socket: &mut Socket<'_, Session>, _: &End) {
        let claims = socket.state().claims.as_ref();
        self.desk.sessions().leave(socket.id(), claims);
    }
}

fn secret() -> Result<Vec<u8>, Box<dyn Error>> {
    match env::var("JWT_SECRET") {
        Ok(secret) if !secret.is_empty() => Ok(secret.into_bytes()),
        _ => {
            let mut random = vec![0; 32];
            getrandom::fill(&mut random)?;
            Ok(random)
        }
    }
}

/// Adds the two doors, the page, and who gives tokens; what is returned is to be [started](start).
pub(crate) fn add(builder: Builder) -> Result<(Builder, Arc<Desk>), Box<dyn Error>> {
    let desk = Arc::new(Desk {
        keys: Keys::new(&secret()?),
        sessions: Mutex::default(),
    });
    let issuer = Arc::clone(&desk);
    // Both doors lead to the same posts.
    let door = |path: &str, role| {
        let accept = |request: &Request<'_>| Ok(Session::from(request));
        Route::with(path, Door::new(&desk, role), accept).namespace("desk")
    };
    let builder = builder
        .add_route(door("/session", Role::Reader))
        .add_route(door("/admin", Role::Admin))
        .get("/auth", common::page(include_str!("index.html")))
        .get("/auth.css", common::style(include_str!("auth.css")))
        .get("/auth.js", common::script(include_str!("auth.js")))
        .post("/token", move |request: &Request<'_>| {
            issue(&issuer.keys, request)
        });
    Ok((builder, desk))
}

/// Begins to look whose time is over.
pub(crate) fn start(desk: Arc<Desk>, handle: Handle) {
    thread::spawn(move || sweep(&desk, &handle));
}
