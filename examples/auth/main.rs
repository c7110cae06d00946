//! Who may connect: JSON Web Tokens, roles, and one session for each user.
//!
//! ```text
//! JWT_SECRET=… cargo run --release --example auth -- --listen 127.0.0.1:9001
//! ```
//! `--listen ADDR` (port 0 takes a free one). `JWT_SECRET` is the key that tokens are signed with,
//! by HS256; without it a random one is made, and no token outlives the program. Open the printed
//! address: the page gets a token from `POST /token` and signs in with it.
//!
//! A program connects to `/session`, or to `/admin`, with a token in one of three places:
//!
//! ```text
//! GET /session                          GET /session?token=eyJ…     GET /session
//! Authorization: Bearer eyJ…                                        ► {"event":"sign_in","data":{"token":"eyJ…"}}
//! ```
//! and is answered (a first message with an id by its acknowledgement), and may then post:
//!
//! ```text
//! ◄ {"event":"signed_in","data":{"user":"ann","role":"writer","expires":1735693200}}
//! ► {"event":"post","data":{"text":"Hello"},"id":1}       a writer or an admin
//! ◄ {"event":"posted","data":{"user":"ann","text":"Hello"}}
//! ◄ {"ack":1,"data":null}
//! ► {"event":"sessions","id":2}                           an admin
//! ◄ {"ack":2,"error":{"code":"forbidden","message":"this needs the role admin"}}
//! ```
//! A browser shows no page why a handshake was refused. So the connection opens, and its Close
//! tells:
//!
//! | code | |
//! |---|---|
//! | 4000 | the same user signed in elsewhere: the newer session stays |
//! | 4001 | nobody is signed in: no token for ten seconds, a token that is not valid, or is no longer |
//! | 1008 | the role is too low for the path, or something else was sent before the token |

mod app;
#[path = "../common/mod.rs"]
mod common;
mod secret;

use std::error::Error;
use std::process::ExitCode;

fn run() -> Result<(), Box<dyn Error>> {
    let options = common::Options::read(&[("--listen", "127.0.0.1:9001")])?;
    let builder = app::add(common::builder(), &secret::read()?)
        .get("/", common::page(include_str!("index.html")));
    common::serve(builder, options.text("--listen"), |_| {})
}

fn main() -> ExitCode {
    common::exit("auth", run())
}
