//! From a request's path to what answers there.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use std::io;

use super::handler::MakeApplication;
use crate::proto::Response;

/// What answers on one path.
#[derive(Default)]
pub(super) struct Route {
    pub(super) application: Option<MakeApplication>,
    pub(super) page: Option<Page>,
}

/// A fixed page for plain GET requests.
pub(super) struct Page {
    pub(super) content_type: String,
    pub(super) body: Vec<u8>,
}

pub(super) struct Router {
    routes: matchit::Router<Route>,
}

impl Router {
    /// # Errors
    /// A path that is no pattern, or two that match the same requests.
    pub(super) fn new(routes: BTreeMap<String, Route>) -> io::Result<Self> {
        let mut router = matchit::Router::new();
        for (path, route) in routes {
            router.insert(path.as_str(), route).map_err(|error| {
                let text = alloc::format!("route {path:?}: {error}");
                io::Error::new(io::ErrorKind::InvalidInput, text)
            })?;
        }
        Ok(Self { routes: router })
    }

    /// What answers on this path, as it was sent (percent-encoded).
    pub(super) fn find(&self, path: &str) -> Option<&Route> {
        self.routes.at(path).ok().map(|found| found.value)
    }
}

impl Route {
    /// The answer to a plain request with this method.
    pub(super) fn respond(&self, method: &str, answer: impl FnOnce(&Response<'_>)) {
        let Some(page) = &self.page else {
            return answer(&Response {
                body: b"this is a WebSocket endpoint: connect with a WebSocket client",
                ..Response::status(426)
            });
        };
        if !matches!(method, "GET" | "HEAD") {
            return answer(&Response {
                headers: &[("Allow", "GET, HEAD")],
                ..Response::status(405)
            });
        }
        answer(&Response {
            status: 200,
            headers: &[("Content-Type", &page.content_type)],
            body: &page.body,
        });
    }
}
