//! Sockeye's side of `tests/interop/run.sh`: echoes to other implementations, and lets them echo.
//!
//! ```text
//! interop serve SET...          a server with a path for each set of parameters
//! interop connect URL ROW...    a conversation with such a server of another implementation for
//!                               each row, CLIENT_SET or SERVER_SET by who asks for the set
//! ```
//! `tests/interop/README.md` says what sets, rows and conversations are.

use std::error::Error;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use sockeye::client::{Client, ConnectOptions};
use sockeye::error::Misuse;
use sockeye::proto::{
    CloseCode, Config, Deflate, Encoding, Extension, ExtensionOffer, Message, MessageRef,
    PerMessage, PerMessageExtension, WindowBits,
};
use sockeye::server::end::EndKind;
use sockeye::server::{End, Handler, Route, Server, Socket};

type Failure = Box<dyn Error>;

// ---- sets of parameters ---------------------------------------------------------------------

fn deflate(set: &str) -> Result<Option<Deflate>, Failure> {
    let mut deflate = Deflate::default();
    let bits = |value: &str| WindowBits::new(value.parse().ok()?);
    for param in set.split(',') {
        match param.split_once('=').unwrap_or((param, "")) {
            ("none", _) => return Ok(None),
            ("deflate", _) => {}
            ("server_no_context_takeover", _) => deflate.server_no_context_takeover = true,
            ("client_no_context_takeover", _) => deflate.client_no_context_takeover = true,
            ("server_max_window_bits", value) => {
                deflate.server_max_window_bits = bits(value).ok_or("bad server_max_window_bits")?;
            }
            ("client_max_window_bits", value) => {
                deflate.client_max_window_bits = bits(value).ok_or("bad client_max_window_bits")?;
            }
            _ => return Err(format!("{param}: no such parameter").into()),
        }
    }
    Ok(Some(deflate))
}

/// A response as a set. 15 bits are what holds without the parameter.
fn as_set(response: &str) -> String {
    let params = response.split(';').skip(1).map(str::trim);
    let mut params: Vec<_> = params.filter(|it| !it.ends_with("=15")).collect();
    params.sort_unstable();
    match params[..] {
        [] => "deflate".into(),
        _ => params.join(","),
    }
}

/// permessage-deflate that remembers the last response it gave or took.
#[derive(Debug)]
struct Watched {
    deflate: Deflate,
    agreed: Mutex<Option<String>>,
}

impl Watched {
    fn remember(&self, response: &impl ToString) {
        let mut agreed = self.agreed.lock().unwrap_or_else(PoisonError::into_inner);
        *agreed = Some(as_set(&response.to_string()));
    }

    fn take_agreed(&self) -> Option<String> {
        let mut agreed = self.agreed.lock().unwrap_or_else(PoisonError::into_inner);
        agreed.take()
    }
}

impl PerMessageExtension for Watched {
    fn offers(&self) -> Vec<Extension> {
        self.deflate.offers()
    }

    fn accept(&self, offer: &ExtensionOffer<'_>) -> Option<(Extension, PerMessage)> {
        let (response, codec) = self.deflate.accept(offer)?;
        self.remember(&response);
        Some((response, codec))
    }

    fn confirm(&self, response: &ExtensionOffer<'_>) -> Option<Result<PerMessage, &'static str>> {
        self.remember(response);
        self.deflate.confirm(response)
    }
}

/// The extension of a set, and a configuration with it.
fn configured(set: &str) -> Result<(Option<Arc<Watched>>, Config), Failure> {
    let mut config = Config::default();
    let watched = deflate(set)?.map(|deflate| {
        let agreed = Mutex::default();
        Arc::new(Watched { deflate, agreed })
    });
    if let Some(watched) = &watched {
        config.extensions.push(watched.clone());
    }
    Ok((watched, config))
}

fn agreed(watched: Option<&Arc<Watched>>) -> String {
    let agreed = watched.and_then(|it| it.take_agreed());
    agreed.unwrap_or_else(|| "none".into())
}

/// A message in three fragments, the second of them empty, each with its `fin`.
fn fragments(message: MessageRef<'_>) -> [(MessageRef<'_>, bool); 3] {
    match message {
        MessageRef::Text(text) => {
            let third = (0..=text.len() / 3).rfind(|at| text.is_char_boundary(*at));
            let (first, last) = text.split_at(third.unwrap_or(0));
            [
                (first.into(), false),
                ("".into(), false),
                (last.into(), true),
            ]
        }
        MessageRef::Binary(bytes) => {
            let (first, last) = bytes.split_at(bytes.len() / 3);
            [
                (first.into(), false),
                (b"".into(), false),
                (last.into(), true),
            ]
        }
    }
}

// ---- the server -----------------------------------------------------------------------------

const DONE: (CloseCode, &str) = (CloseCode(3001), "done");
const AS_TOLD: (CloseCode, &str) = (CloseCode(3002), "as told");

struct Echo {
    set: String,
    watched: Option<Arc<Watched>>,
}

#[derive(Default)]
struct Conversation {
    agreed: String,
    echoes: usize,
}

/// Each way of sending in its turn: what is compressed lies between what isn't.
fn echo(socket: &mut Socket<'_, Conversation>, message: &Message<'_>) -> Result<(), Misuse> {
    socket.state_mut().echoes += 1;
    match socket.state().echoes % 5 {
        0 => socket.send_with(message, Encoding::Plain),
        1 => socket.send_with(message, Encoding::Always),
        2 => {
            for (fragment, fin) in fragments(message.into()) {
                socket.ping(b"between")?;
                match fin {
                    false => socket.send_fragment(fragment)?,
                    true => socket.send_last_fragment(fragment)?,
                };
            }
            return Ok(());
        }
        _ => socket.send(message),
    };
    Ok(())
}

impl Handler for Echo {
    type State = Conversation;

    fn on_open(&self, socket: &mut Socket<'_, Conversation>) {
        socket.state_mut().agreed = agreed(self.watched.as_ref());
    }

    fn on_message(&self, socket: &mut Socket<'_, Conversation>, message: Message<'_>) {
        let done = match message.as_text() {
            Some("?agreed") => {
                let agreed = socket.state().agreed.clone();
                socket.send(agreed.as_str());
                Ok(())
            }
            Some("?ping") => socket.ping(b"interop"),
            Some("?close") => {
                socket.close(AS_TOLD.0, AS_TOLD.1);
                Ok(())
            }
            _ => echo(socket, &message),
        };
        // It closes the connection with 1011, which the peer tells.
        done.unwrap_or_else(|misuse| panic!("{misuse}"));
    }

    fn on_pong(&self, socket: &mut Socket<'_, Conversation>, payload: &[u8]) {
        if payload == b"interop" {
            socket.send("pong");
        }
    }

    fn on_close(&self, _: &mut Socket<'_, Conversation>, end: &End) {
        let set = &self.set;
        match end.kind() {
            EndKind::Closed(closed) if closed.clean && closed.local => {
                println!("{set} server clean")
            }
            EndKind::Closed(closed) if closed.clean => {
                println!("{set} client {} {}", closed.code, closed.reason);
            }
            _ => println!("{set} {end:?}"),
        }
    }
}

fn serve(sets: &[String]) -> Result<(), Failure> {
    let mut builder = Server::builder();
    for set in sets {
        let (watched, config) = configured(set)?;
        let set = set.clone();
        let route = Route::new(&format!("/{set}"), Echo { set, watched });
        builder = builder.add_route(route.config(config));
    }
    #[cfg(unix)]
    let builder = builder.signals();
    let server = builder.listen("127.0.0.1:0")?;
    println!("listening on {}", server.local_addr());
    Ok(server.run()?)
}

// ---- the client -----------------------------------------------------------------------------

/// xorshift64: what it makes doesn't shrink.
fn noise(length: usize, state: &mut u64) -> Vec<u8> {
    let mut byte = || {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| byte()).collect()
}

/// JSON of about 100 bytes for each item.
fn document(first: usize, items: usize) -> String {
    let item = |id: usize| {
        let (user, price) = (id * 7919 % 1000, id * 104_729 % 9973);
        format!(
            r#"{{"id":{id},"user":"user-{user}","city":"Zürich","price":{price},"tags":["fish","鱼","🐟"],"open":true}}"#
        )
    };
    let items: Vec<_> = (first..first + items).map(item).collect();
    format!("[{}]", items.join(","))
}

enum Data {
    Text(String),
    Binary(Vec<u8>),
}

impl Data {
    fn as_message(&self) -> MessageRef<'_> {
        match self {
            Self::Text(text) => text.into(),
            Self::Binary(bytes) => bytes.into(),
        }
    }
}

/// Messages that are sent in a row, then awaited.
fn batches() -> Vec<Vec<Data>> {
    let mut state = 7692;
    let mut messages = (0..200).map(|n| match (n, n % 8) {
        (50 | 128 | 188, _) => Data::Text(document(n, 3000)),
        (91, _) => Data::Binary(noise(300_000, &mut state)),
        // What can be referred back to, but not within a window of 14 bits or less.
        (137, _) => Data::Binary(noise(30_000, &mut state).repeat(3)),
        (_, 0) => Data::Text(String::new()),
        (_, 1) => Data::Binary(Vec::new()),
        (_, 2) => Data::Text(n.to_string()),
        (_, 3) => Data::Text(document(n, 2)),
        (_, 4) => Data::Text(document(n, 50)),
        (_, 5) => Data::Binary(noise(1000, &mut state)),
        (_, 6) => Data::Binary(document(n, 50).into_bytes()),
        _ => Data::Binary(noise(4000, &mut state)),
    });
    let tens = (0..20).map(|_| messages.by_ref().take(10).collect());
    let many = (0..500).map(|n| Data::Text(document(n, 1))).collect();
    tens.chain([many]).collect()
}

fn ask(client: &mut Client, question: &str) -> Result<String, Failure> {
    client.send(question)?;
    let answer = client.recv()?.ok_or("closed before its answer")?;
    Ok(answer.as_text().ok_or("not a text")?.into())
}

fn converse(url: &str, row: &str) -> Result<String, Failure> {
    let (asker, set) = row.split_once(':').ok_or("a row is ASKER:SET")?;
    let (ours, theirs) = match asker {
        "client" => (set, "deflate"),
        _ => ("deflate", set),
    };
    let (watched, config) = configured(ours)?;
    let mut options = ConnectOptions::default();
    options.config = config;
    let mut client = options.connect(&format!("{url}/{theirs}"))?;
    let here = agreed(watched.as_ref());
    let there = ask(&mut client, "?agreed")?;
    if here != there {
        return Err(format!("the client agreed on {here}, the server on {there}").into());
    }

    let mut total = 0;
    for (number, batch) in batches().iter().enumerate() {
        for (place, message) in batch.iter().map(Data::as_message).enumerate() {
            total += message.as_bytes().len();
            if place % 3 == 0 {
                for (fragment, fin) in fragments(message) {
                    client.ping(b"between")?;
                    match fin {
                        false => client.send_fragment(fragment)?,
                        true => client.send_last_fragment(fragment)?,
                    }
                }
            } else {
                client.send(message)?;
            }
        }
        client.ping(b"from the client")?;
        for (place, message) in batch.iter().map(Data::as_message).enumerate() {
            let echo = client.recv()?.ok_or("closed before its echo")?;
            if MessageRef::from(&echo) != message {
                let text = format!("message {place} of batch {number} comes back changed");
                return Err(text.into());
            }
        }
        if ask(&mut client, "?ping")? != "pong" {
            return Err("an answer other than pong".into());
        }
    }
    let traffic = ask(&mut client, "?traffic")?;
    let (received, sent) = traffic
        .split_once(' ')
        .ok_or("an answer other than two numbers")?;
    let share = |bytes: &str| Ok::<_, Failure>(100 * bytes.parse::<usize>()? / total);
    let (up, down) = (share(received)?, share(sent)?);

    if asker == "client" {
        client.close(DONE.0, DONE.1)?;
    } else {
        client.send("?close")?;
        if client.recv()?.is_some() {
            return Err("a message in place of the Close".into());
        }
    }
    let closed = client.closed().ok_or("ended without a Close")?;
    if !closed.clean || closed.local != (asker == "client") {
        return Err(format!("not closed cleanly: {closed:?}").into());
    }
    if asker == "server" && (closed.code, &*closed.reason) != AS_TOLD {
        return Err(format!("not the server's code and reason: {closed:?}").into());
    }
    Ok(format!("{row} {here} {up} {down}"))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut done = true;
    let mut check = |what: &str, result: Result<(), Failure>| {
        if let Err(error) = result {
            println!("{what} FAILED {error}");
            done = false;
        }
    };
    const USAGE: &str = "serve SET... or connect URL ROW...";
    match words[..] {
        ["--help"] => println!("{USAGE}"),
        ["serve", ..] => check("serve", serve(&arguments[1..])),
        ["connect", url, ref rows @ ..] => {
            for row in rows {
                check(row, converse(url, row).map(|line| println!("{line}")));
            }
        }
        _ => check("interop", Err(USAGE.into())),
    }
    if done {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
