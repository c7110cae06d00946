//! From a request's path to the entry that handles it.

use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use matchit::{InsertError, Params};

use super::Endpoint;
use crate::proto::http::is_token;
use crate::server::build_error::{BuildError, RouteFault};
use crate::server::http::{Answer, HttpResponse, Methods, Request};
use crate::server::id::ConnectionId;

/// What handles the requests of one path.
#[derive(Default)]
pub(in crate::server) struct Entry {
    pub(in crate::server) endpoint: Option<Endpoint>,
    pub(in crate::server) methods: Methods,
}

pub(in crate::server) struct Router {
    entries: Vec<Entry>,
    /// The index of each pattern in `entries`; a path with an optional parameter has two patterns.
    patterns: matchit::Router<usize>,
}

impl Router {
    /// # Errors
    /// A path is not a valid pattern, or two match the same requests.
    pub(in crate::server) fn new(entries: BTreeMap<String, Entry>) -> Result<Self, BuildError> {
        let mut router = Self {
            entries: Vec::with_capacity(entries.len()),
            patterns: matchit::Router::new(),
        };
        for (path, entry) in entries {
            if let Err(fault) = router.insert(&path, entry) {
                let path = path.into();
                return Err(BuildError::Route { path, fault });
            }
        }
        Ok(router)
    }

    fn insert(&mut self, path: &str, entry: Entry) -> Result<(), RouteFault> {
        if let Some(method) = entry.methods.names().find(|it| !is_token(it.as_bytes())) {
            return Err(RouteFault::Method(method.into()));
        }
        for pattern in patterns(path)? {
            self.patterns
                .insert(pattern, self.entries.len())
                .map_err(fault)?;
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Returns the entry of this path, which is percent-encoded as sent, and the values of its
    /// parameters.
    pub(in crate::server) fn at<'r, 'p>(
        &'r self,
        path: &'p str,
    ) -> Option<(&'r Entry, Params<'r, 'p>)> {
        let found = self.patterns.at(path).ok()?;
        Some((&self.entries[*found.value], found.params))
    }
}

impl Entry {
    /// Returns the response to a plain request.
    pub(in crate::server) fn answer(
        &self,
        request: &Request<'_>,
        id: ConnectionId,
    ) -> Answer<HttpResponse> {
        if self.methods.is_empty() {
            let text = "this is a WebSocket endpoint: connect with a WebSocket client";
            return Answer::Now(HttpResponse::text(text).with_status(426));
        }
        self.methods.answer(request, id)
    }
}

/// Returns the patterns of a path: `/rooms/{room?}` yields `/rooms/{room}` and `/rooms`, any other
/// path yields itself.
fn patterns(path: &str) -> Result<Vec<String>, RouteFault> {
    // RFC 9112 section 3.2.1: an origin-form target begins with a slash.
    if !path.starts_with('/') {
        return Err(RouteFault::NoSlash);
    }
    let optional = path.strip_suffix("?}").and_then(|it| it.rsplit_once("/{"));
    let patterns = match optional {
        Some(("", name)) => vec![format!("/{{{name}}}"), "/".into()],
        Some((before, name)) => vec![format!("{before}/{{{name}}}"), before.into()],
        None => vec![path.into()],
    };
    // A path never has a `?`.
    match patterns[0].contains('?') {
        true => Err(RouteFault::Optional),
        false => Ok(patterns),
    }
}

fn fault(error: InsertError) -> RouteFault {
    match error {
        InsertError::Conflict { with } => RouteFault::Conflict(with.into()),
        InsertError::InvalidParamSegment => RouteFault::Segment,
        InsertError::InvalidCatchAll => RouteFault::CatchAll,
        // The last kind that there is.
        _ => RouteFault::Parameter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;

    fn router(paths: &[&str]) -> Result<Router, BuildError> {
        let entry = |path: &&str| ((*path).into(), Entry::default());
        Router::new(paths.iter().map(entry).collect())
    }

    /// Asserts that among these patterns, added in order, the path leads to the entry of `route`
    /// with these parameters.
    #[track_caller]
    fn leads(paths: &[&str], path: &str, route: &str, params: &[(&str, &str)]) {
        assert!(paths.is_sorted());
        let router = router(paths).unwrap();
        let (found, got) = router.at(path).expect(path);
        let place = paths.iter().position(|it| *it == route).unwrap();
        assert!(core::ptr::eq(found, &router.entries[place]), "{path}");
        assert_eq!(got.iter().collect::<Vec<_>>(), params, "{path}");
    }

    #[track_caller]
    fn leads_nowhere(paths: &[&str], path: &str) {
        assert!(router(paths).unwrap().at(path).is_none());
    }

    #[test]
    fn the_most_exact_pattern_wins() {
        let paths = [
            "/",
            "/files/{*rest}",
            "/rooms/new",
            "/rooms/{room}",
            "/rooms/{room}/users/{user}",
            "/{kind}/{name}",
        ];
        let leads = |path, route, params: &[_]| leads(&paths, path, route, params);
        leads("/", "/", &[]);
        leads("/rooms/new", "/rooms/new", &[]);
        leads("/rooms/news", "/rooms/{room}", &[("room", "news")]);
        leads(
            "/rooms/a%2Fb/users/c",
            "/rooms/{room}/users/{user}",
            &[("room", "a%2Fb"), ("user", "c")],
        );
        leads("/files/a", "/files/{*rest}", &[("rest", "a")]);
        leads("/files/a/b", "/files/{*rest}", &[("rest", "a/b")]);
        leads(
            "/file/a",
            "/{kind}/{name}",
            &[("kind", "file"), ("name", "a")],
        );
        for path in ["/rooms", "/rooms/", "", "/x", "//"] {
            leads_nowhere(&paths, path);
        }
    }

    #[test]
    fn an_optional_last_segment_may_be_absent() {
        let paths = ["/a/new", "/a/{b?}", "/a/{b}/c", "/f/{*rest?}", "/{x?}"];
        let leads = |path, route, params: &[_]| leads(&paths, path, route, params);
        leads("/a", "/a/{b?}", &[]);
        leads("/a/1", "/a/{b?}", &[("b", "1")]);
        leads("/a/new", "/a/new", &[]);
        leads("/a/1/c", "/a/{b}/c", &[("b", "1")]);
        leads("/", "/{x?}", &[]);
        leads("/1", "/{x?}", &[("x", "1")]);
        leads("/f", "/f/{*rest?}", &[]);
        leads("/f/1/2", "/f/{*rest?}", &[("rest", "1/2")]);
        leads_nowhere(&paths, "/a/");
    }

    #[test]
    fn bad_patterns_and_clashes_are_told_with_the_path() {
        let conflict = |with: &str| RouteFault::Conflict(with.into());
        for (paths, expected) in [
            (&[""][..], RouteFault::NoSlash),
            (&["chat"], RouteFault::NoSlash),
            (&["{room}"], RouteFault::NoSlash),
            (&["/{a?}/b"], RouteFault::Optional),
            (&["/x{a?}"], RouteFault::Optional),
            (&["/a?"], RouteFault::Optional),
            (&["/a?b/{c?}"], RouteFault::Optional),
            (&["/{a??}"], RouteFault::Optional),
            (&["/{a}{b?}"], RouteFault::Segment),
            (&["/{?}"], RouteFault::Parameter),
            (&["/{a"], RouteFault::Parameter),
            (&["/{a}{b}"], RouteFault::Segment),
            (&["/{*a}/b"], RouteFault::CatchAll),
            (&["/a/{b}", "/a/{c}"], conflict("/a/{b}")),
            (&["/a", "/a/{b?}"], conflict("/a")),
            // A path of one segment would be ambiguous.
            (&["/a/{b}", "/a/{*rest}"], conflict("/a/{*rest}")),
        ] {
            let error = router(paths).err().expect(paths[0]);
            let text = error.to_string();
            let BuildError::Route { path, fault } = error else {
                panic!("{error:?}");
            };
            assert_eq!(fault, expected);
            assert!(paths.contains(&&*path), "{path}");
            assert!(text.contains(&*path), "{text}");
        }
    }

    #[test]
    fn a_method_that_is_no_token_is_told() {
        let entry = Entry {
            endpoint: None,
            methods: Methods::new().on("GET\r\n", |_: &Request<'_>| HttpResponse::text("")),
        };
        let error = Router::new([("/".into(), entry)].into()).err().unwrap();
        assert!(error.to_string().contains("\"GET\\r\\n\" is not a method"));
    }
}
