//! From a request's path to what answers there.

use std::collections::BTreeMap;
use std::format;
use std::io;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use matchit::Params;

use super::http::{HttpResponse, Methods, Request};
use super::route::Endpoint;
use crate::proto::http::is_token;

/// What answers on one path.
#[derive(Default)]
pub(super) struct Entry {
    pub(super) endpoint: Option<Endpoint>,
    pub(super) methods: Methods,
}

pub(super) struct Router {
    entries: Vec<Entry>,
    /// The pattern's place in `entries`: one with an optional parameter is there twice.
    patterns: matchit::Router<usize>,
}

impl Router {
    /// # Errors
    /// A path that is no pattern, or two that match the same requests.
    pub(super) fn new(entries: BTreeMap<String, Entry>) -> io::Result<Self> {
        let mut router = Self {
            entries: Vec::with_capacity(entries.len()),
            patterns: matchit::Router::new(),
        };
        for (path, entry) in entries {
            router.insert(&path, entry).map_err(|text| {
                let text = format!("route {path:?}: {text}");
                io::Error::new(io::ErrorKind::InvalidInput, text)
            })?;
        }
        Ok(router)
    }

    fn insert(&mut self, path: &str, entry: Entry) -> Result<(), String> {
        if let Some(method) = entry.methods.names().find(|it| !is_token(it.as_bytes())) {
            return Err(format!("{method:?} is no method"));
        }
        for pattern in patterns(path)? {
            self.patterns
                .insert(pattern, self.entries.len())
                .map_err(|error| error.to_string())?;
        }
        self.entries.push(entry);
        Ok(())
    }

    /// What answers on this path, as it was sent (percent-encoded), and what its parameters stand
    /// for.
    pub(super) fn at<'a>(&'a self, path: &'a str) -> Option<(&'a Entry, Params<'a, 'a>)> {
        let found = self.patterns.at(path).ok()?;
        Some((&self.entries[*found.value], found.params))
    }
}

impl Entry {
    /// The answer to a plain request.
    pub(super) fn answer(&self, request: &Request<'_>) -> HttpResponse {
        if self.methods.is_empty() {
            let text = "this is a WebSocket endpoint: connect with a WebSocket client";
            return HttpResponse::text(text).with_status(426);
        }
        self.methods.answer(request)
    }
}

/// The patterns that a path stands for: `/rooms/{room?}` is `/rooms/{room}` and `/rooms`, any
/// other itself.
fn patterns(path: &str) -> Result<Vec<String>, String> {
    let optional = path.strip_suffix("?}").and_then(|it| it.rsplit_once("/{"));
    let patterns = match optional {
        Some(("", name)) => vec![format!("/{{{name}}}"), "/".into()],
        Some((before, name)) => vec![format!("{before}/{{{name}}}"), before.into()],
        None => vec![path.into()],
    };
    // A path never has a `?`.
    match patterns[0].contains('?') {
        true => Err("only a whole last segment can be optional, as in /rooms/{room?}".into()),
        false => Ok(patterns),
    }
}
