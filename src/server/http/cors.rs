//! Which pages of other origins may read what plain requests return (Fetch, CORS protocol).

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use super::request::Request;
use super::response::HttpResponse;
use crate::proto::Origins;
use crate::proto::http::is_token;
use crate::server::build_error::CorsFault;

/// The pages of other origins that may make requests with `fetch` and read the responses: the CORS
/// protocol of the Fetch standard, for plain requests. WebSocket has none; see
/// [`Builder::origins`](crate::server::Builder::origins).
///
/// It answers preflight requests, before any guard is asked, and adds its headers to all other
/// responses, refusals included. A request of another origin is answered without them, so that its
/// page can't read the response: to keep such requests from the handlers, add a
/// [guard](crate::server::Builder::guard).
///
/// ```
/// use std::time::Duration;
/// use sockeye::server::Server;
/// use sockeye::server::http::Cors;
///
/// let server = Server::builder()
///     .cors(
///         Cors::only(["https://app.example.com"])
///             .headers(["Content-Type"])
///             .credentials()
///             .max_age(Duration::from_secs(600)),
///     )
///     .post("/messages", |_| 201)
///     .methods("/public", |it| it.cors(Cors::any()).get(|_| "for all"));
/// # let _ = server;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Cors {
    origins: Origins,
    any: bool,
    headers: Vec<String>,
    exposed: Vec<String>,
    credentials: bool,
    max_age: Option<Duration>,
}

impl Cors {
    /// Allows the pages of every origin, without [credentials](Self::credentials).
    pub fn any() -> Self {
        Self {
            origins: Origins::any(),
            any: true,
            headers: Vec::new(),
            exposed: Vec::new(),
            credentials: false,
            max_age: None,
        }
    }

    /// Allows the pages of these origins, such as `https://example.com`, as [`Origins::only`] has
    /// them.
    pub fn only<S: AsRef<str>>(origins: impl IntoIterator<Item = S>) -> Self {
        Self {
            origins: Origins::only(origins),
            any: false,
            ..Self::any()
        }
    }

    /// Sets the headers that such requests may have beyond the few that are always allowed:
    /// `Content-Type` for JSON, `Authorization`. Default none.
    pub fn headers<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        Self {
            headers: names.into_iter().map(Into::into).collect(),
            ..self
        }
    }

    /// Sets the headers of responses that such pages may read beyond the few that are always
    /// allowed. Default none.
    pub fn expose<S: Into<String>>(self, names: impl IntoIterator<Item = S>) -> Self {
        Self {
            exposed: names.into_iter().map(Into::into).collect(),
            ..self
        }
    }

    /// Allows requests with cookies and HTTP authentication. With [`any`](Self::any) origin
    /// [`listen`](crate::server::Builder::listen) fails: every site could act in its visitors' names.
    pub fn credentials(self) -> Self {
        Self {
            credentials: true,
            ..self
        }
    }

    /// Sets for how long a browser may keep the answer to a preflight request, in whole seconds.
    /// Default unset, for which browsers take five seconds.
    pub fn max_age(self, age: Duration) -> Self {
        Self {
            max_age: Some(age),
            ..self
        }
    }

    /// Checks the settings together.
    pub(in crate::server) fn check(&self) -> Result<(), CorsFault> {
        if self.any && self.credentials {
            return Err(CorsFault::CredentialsOfAny);
        }
        let mut names = self.headers.iter().chain(&self.exposed);
        // With `*` a browser would take all headers to be allowed.
        match names.find(|it| !is_token(it.as_bytes()) || *it == "*") {
            Some(name) => Err(CorsFault::Header(name.as_str().into())),
            None => Ok(()),
        }
    }

    /// Returns the response to a preflight request for a path with these methods; None if the
    /// request is none.
    pub(in crate::server) fn preflight(
        &self,
        request: &Request<'_>,
        methods: impl FnOnce() -> String,
    ) -> Option<HttpResponse> {
        let is_preflight = request.method() == "OPTIONS"
            && request.origin().is_some()
            && request.header("access-control-request-method").is_some();
        is_preflight.then(|| {
            let mut response = HttpResponse::status(204);
            if self.allows(request) {
                response = response.with_header("Access-Control-Allow-Methods", methods());
                if !self.headers.is_empty() {
                    let headers = self.headers.join(", ");
                    response = response.with_header("Access-Control-Allow-Headers", headers);
                }
                if let Some(age) = self.max_age {
                    let seconds = age.as_secs().to_string();
                    response = response.with_header("Access-Control-Max-Age", seconds);
                }
            }
            response
        })
    }

    /// Adds what every response has to this request's.
    pub(in crate::server) fn add_to(&self, response: &mut HttpResponse, request: &Request<'_>) {
        let mut add = |name: &str, value: &str| {
            response.headers.push((name.into(), value.into()));
        };
        if !self.any {
            // Also where it has no origin or another: a cache must not give it to one that is allowed.
            add("Vary", "Origin");
        }
        if let Some(origin) = request.origin()
            && self.allows(request)
        {
            let allowed = if self.any { "*" } else { origin };
            add("Access-Control-Allow-Origin", allowed);
            if self.credentials {
                add("Access-Control-Allow-Credentials", "true");
            }
            if !self.exposed.is_empty() {
                add("Access-Control-Expose-Headers", &self.exposed.join(", "));
            }
        }
    }

    fn allows(&self, request: &Request<'_>) -> bool {
        self.origins.allow(request.as_ref())
    }
}
